"""Kather's other six classes of tissue: a task to train on first, before stroma is told apart.

It takes the place of ImageNet where pre-trained weights cannot be had. The slides are the same,
so a fold tests and holds out those that it does in `kdutils.data.kather`: a model that was
pre-trained on a fold has seen nothing of the slides that it is later chosen or tested on.
"""

from kdutils.data import kather
from kdutils.data.dataset import Part
from kdutils.data.kather import FOLDS, SIZE, status

__all__ = [
    "BASE",
    "CLASSES",
    "FOLDS",
    "POSITIVE",
    "SIZE",
    "TILES",
    "at_size",
    "fingerprint",
    "status",
]

BASE = "kather"
FOLDERS = tuple(name for name in kather.COLLECTION if name not in kather.FOLDERS)
CLASSES = ("tumour", "lymphocytes", "debris", "mucosa", "adipose", "empty")
POSITIVE = None
TILES = {folder: kather.COLLECTION[folder][0] for folder in FOLDERS}


def at_size(size: int) -> Part:
    """Returns all tiles of the six classes, with images of this side, slides in `groups`."""
    return kather.read(FOLDERS, size)


def fingerprint() -> str:
    """Returns 16 hexadecimal digits of what was published and of the folds; it needs no data."""
    return kather.fingerprint_of(FOLDERS)
