"""Kather: stroma against complex stroma, 1,250 tiles of ten slides (Kather et al., 2016).

The collection (https://doi.org/10.5281/zenodo.53169, CC BY 4.0) has eight classes of tissue in
colorectal cancer, 625 tiles of 150 x 150 pixels each. This data set is two of them, which look
alike: simple stroma, and stroma that holds single tumour cells or a few immune cells, the positive
class. The other six are `kdutils.data.kather_source`.

The tiles are looked for on the data path (`kdutils.paths.data_folders`), then downloaded. Wherever
they come from and in whatever lossless format, their pixels have to be those that were published.
"""

import functools
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdutils.data import download, tiles
from kdutils.data.dataset import DatasetError, Part
from kdutils.data.faults import Faults
from kdutils.data.slides import Fold
from kdutils.paths import data_folders

# Tiles of slides 1 to 10, and the SHA-256 of all pixels of a class, tile by tile in the order of
# their names without extension.
COLLECTION = {
    "01_TUMOR": (
        (54, 107, 30, 62, 57, 38, 120, 55, 77, 25),
        "088afd8de1af8bfda95e4f8dda304c8e694f9abd73c5da35affb9b692ac5b13e",
    ),
    "02_STROMA": (
        (51, 50, 170, 124, 27, 54, 68, 23, 31, 27),
        "a7f1b2aea0a472b0464dc9c0cd9333ee0daf30d30b402ba6926cb02d9d6e284e",
    ),
    "03_COMPLEX": (
        (72, 16, 132, 7, 90, 90, 84, 25, 52, 57),
        "56576d02990308a360a13abc49be30169c36ca10ccbd465b1f9f90a22f1ee3af",
    ),
    "04_LYMPHO": (
        (208, 106, 4, 16, 159, 20, 6, 8, 85, 13),
        "55f86d1bfb8f544c8e0177666370fa634f1aa858153cf8ae86af28b7e633ff59",
    ),
    "05_DEBRIS": (
        (15, 2, 111, 141, 32, 20, 59, 193, 21, 31),
        "f4c69fe231920c34232c7f5415f02484c18c695c8f4e0f9968493b72c82ac851",
    ),
    "06_MUCOSA": (
        (1, 3, 111, 0, 152, 120, 77, 85, 76, 0),
        "d5eb5399a7dde1335537e25529abe6726544b71e05fa24c7a9d92b7c25c60762",
    ),
    "07_ADIPOSE": (
        (0, 0, 182, 31, 144, 129, 89, 0, 0, 50),
        "1025b742ae7e95666e2f06839a2f6dc4757ea551ab1808753d9e20638d59d473",
    ),
    "08_EMPTY": (
        (0, 0, 0, 0, 0, 590, 0, 0, 0, 35),
        "9ed6afdc013d91c9e2516cea0a26f12fff95393b6b0def0e702b10a639c619c2",
    ),
}

# Each slide is tested once. Every fold tests at least 82 tiles of either class (some slides alone
# have next to none: slide 4 has 7 of complex stroma), and of all pairings of the slides that do so
# this one has the most even folds. Slides 6 and 10 are apart, as no other has empty tiles, which
# the source task is to keep. A validation slide has at least 50 tiles of either class; of the four
# that have, slide 3 is not taken, as it is a quarter of all tiles, nor slide 6 where 10 is tested.
#
#       test     stroma  complex     validation   stroma  complex
FOLDS = (
    Fold((1, 9), 7),  #   82      124                     68       84
    Fold((2, 6), 1),  #  104      106                     51       72
    Fold((3, 8), 6),  #  193      157                     54       90
    Fold((4, 5), 7),  #  151       97                     68       84
    Fold((7, 10), 1),  #  95      141                     51       72
)

FOLDERS = ("02_STROMA", "03_COMPLEX")
CLASSES = ("stroma", "complex stroma")
POSITIVE = 1
SIZE = 150  # pixels
TILES = {folder: COLLECTION[folder][0] for folder in FOLDERS}

FOLDER = "kather2016"
PUBLISHED_FOLDER = "Kather_texture_2016_image_tiles_5000"
URL = f"https://zenodo.org/records/53169/files/{PUBLISHED_FOLDER}.zip"
NAME = re.compile(r"[0-9A-F]+_CRC-Prim-HE-(\d\d).*_Row_\d+_Col_\d+")
EXTENSIONS = (".tif", ".webp")

logger = logging.getLogger(__name__)


def at_size(size: int) -> Part:
    """Returns all tiles of both classes, with images of this side and their slides in `groups`."""
    return read(FOLDERS, size)


def fingerprint() -> str:
    """Returns 16 hexadecimal digits of what was published and of the folds; it needs no data."""
    return fingerprint_of(FOLDERS)


def status() -> tuple[str, str]:
    """Returns where the collection stands: "found", "refused" or "not here", and the detail.

    The names of the tiles are checked here, and their pixels when they are read.
    """
    refused = []
    for folder in _found():
        faults = Faults()
        for name in COLLECTION:
            _listed(folder, name, faults)
        if not faults:
            return "found", f"{folder}, all names; pixels are verified when they are read"
        refused.append(f"refused {folder}:\n{faults}")
    return ("refused", "\n".join(refused)) if refused else ("not here", f"first use fetches {URL}")


def read(folders: Sequence[str], size: int) -> Part:
    """Reads classes of the collection, verified, and downloads it first where it is not there.

    Args:
        folders: Names of classes in `COLLECTION`, in the order of their labels.
        size: Side to resize tiles to, pixels.

    Returns:
        A read-only `Part`, class by class in the order of the names of the tiles; `groups` are
        the numbers of the slides, 1 to 10.

    Raises:
        DatasetError: If the collection is not there and cannot be downloaded, or is not what was
            published; it lists all faults.
    """
    found = _found() or [_downloaded()]
    refused = []
    for folder in found:
        try:
            return _read_once(folder, tuple(folders), size)
        except DatasetError as error:
            refused.append(str(error))
    raise DatasetError("\n".join(refused))


def fingerprint_of(folders: Sequence[str]) -> str:
    """Returns 16 hexadecimal digits of published classes of the collection, and of the folds."""
    folds = [[*fold.test, fold.validation] for fold in FOLDS]
    content = json.dumps([[COLLECTION[folder][1] for folder in folders], folds])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=2)  # this data set and its source task
def _read_once(folder, folders, size):
    faults = Faults()
    # All names, whatever is read: half a collection is a broken one.
    listed = {name: _listed(folder, name, faults) for name in COLLECTION}
    paths = [path for name in folders for path in listed[name]]
    images = np.zeros((len(paths), size, size, 3), np.uint8)
    start = 0
    for name in folders:
        stop = start + len(listed[name])
        images[start:stop], digest = tiles.read(listed[name], SIZE, size, faults)
        complete = stop - start == sum(COLLECTION[name][0])
        if complete and digest is not None and digest != COLLECTION[name][1]:
            faults.add("classes with other pixels than were published", name)
        start = stop
    if faults:
        raise DatasetError(
            f"{folder} does not hold the collection of Kather et al. as it was published:\n"
            f"{faults}\n{_by_hand()}"
        )
    labels = np.repeat(np.arange(len(folders), dtype=np.uint8), [len(listed[n]) for n in folders])
    slides = np.array([_slide(path) for path in paths])
    return tiles.shared(images, labels, groups=slides)


def _found():
    """Returns the folders on the data path that claim to be the collection."""
    nested = (Path(FOLDER), Path(FOLDER, PUBLISHED_FOLDER), Path(PUBLISHED_FOLDER))
    candidates = [folder / name for folder in data_folders() for name in nested]
    return [folder for folder in candidates if any((folder / name).is_dir() for name in COLLECTION)]


def _listed(folder, name, faults):
    """Returns the tiles of a class, by name; notes what there should be and is not."""
    files = [path for path in (folder / name).glob("*") if path.suffix in EXTENSIONS]
    for path in files:
        if not NAME.fullmatch(path.stem):
            faults.add("names that say no slide", f"{name}{os.sep}{path.name}")
    paths = sorted(
        (path for path in files if NAME.fullmatch(path.stem)), key=lambda path: path.stem
    )
    found = np.bincount([_slide(path) for path in paths], minlength=11)
    expected = COLLECTION[name][0]
    for slide in range(1, max(len(found), 11)):
        wanted = expected[slide - 1] if slide <= len(expected) else 0
        if found[slide] != wanted:
            faults.add(f"tiles in {name}", f"{found[slide]} of slide {slide} instead of {wanted}")
    return paths


def _slide(path):
    return int(NAME.fullmatch(path.stem)[1])


def _downloaded():
    """Downloads the collection into the first folder of the data path, and returns where."""
    target = data_folders()[0] / PUBLISHED_FOLDER
    try:
        download.require_answer(URL)
        logger.info("Kather: downloading %s (about 250 MB)", URL)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as unfinished:
            archive = Path(unfinished, "tiles.zip")
            with (
                urllib.request.urlopen(URL, timeout=download.PATIENCE) as answer,
                archive.open("wb") as file,
            ):
                shutil.copyfileobj(answer, file)
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(unfinished)  # which keeps every file inside the folder
            Path(unfinished, PUBLISHED_FOLDER).rename(target)
    # A download can fail in any way at all: network, archive, disk.
    except Exception as error:
        raise DatasetError(
            "The collection of Kather et al. is not on the data path, and could not be downloaded "
            f"from {URL}: {error or type(error).__name__}.\n{_by_hand()}"
        ) from error
    return target


def _by_hand():
    folder = data_folders()[0]
    return (
        f"To supply it by hand, download {URL} (about 250 MB) and unpack it in {folder}, such that "
        f"{folder / PUBLISHED_FOLDER} has the folders {', '.join(COLLECTION)} of {SIZE}x{SIZE} "
        "pixels .tif or .webp; or name another folder to unpack it in with the environment "
        "variable KDUTILS_DATA."
    )
