"""The data sets of the report: one type for all, verified before use, split reproducibly.

Each data set is a module of this package, named in `DATASETS`, which defines

* ``CLASSES`` (tuple of str) and ``POSITIVE`` (int or None), as in `Dataset`,
* ``TRAIN_SIZE`` (int), the number of images in its training part, and ``read()``, which returns its
  training and test `Part`, verified, or raises `DatasetError`;
  where images come at any size, ``SIZE`` (int), the side that they have of themselves, pixels, and
  in the place of ``read`` ``at_size(size)``, which does the same with images of this side;
  where slides are tested in folds, also ``FOLDS`` (tuple of `Fold`) and, in the place of
  ``TRAIN_SIZE``, ``TILES``, the number of tiles by class and slide; ``at_size`` then returns all
  tiles in one `Part`, with their slides in ``groups``,
* where it is split as another data set is, ``BASE``, the name of that one; and in the place of
  ``read`` there may be ``derive(dataset)``, which makes of that one, loaded and split, the data set
  itself,
* where its images are those of another data set that is split differently, ``IMAGES``, the name of
  that one,
* ``fingerprint()``, which returns a short text that changes whenever the data do,
* ``status()``, which returns two texts, a state and a detail, and fetches nothing.
"""

import importlib
import operator

import numpy as np

from kdutils.data.dataset import Dataset, DatasetError, Part, stratified_indices

__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetError",
    "Part",
    "base",
    "classes",
    "fetch",
    "fingerprint",
    "folds",
    "load",
    "share_images",
    "status",
    "tested_slides",
    "train_size",
]

DATASETS = {
    "mnist": "kdutils.data.mnist",
    "mnist_2x5": "kdutils.data.mnist_2x5",
    "mhist": "kdutils.data.mhist",
    "kather": "kdutils.data.kather",
    "kather_source": "kdutils.data.kather_source",
    "kather_tiles": "kdutils.data.kather_tiles",
    "mhist_votes": "kdutils.data.mhist_votes",
    "synthetic": "kdutils.data.synthetic",
    "synthetic_votes": "kdutils.data.synthetic_votes",
    "synthetic_source": "kdutils.data.synthetic_source",
}

SMALLEST = 16  # pixels; on a smaller tile nothing of tissue is left


def load(
    name: str,
    validation: int = 0,
    train_size: int | None = None,
    split_seed: int = 0,
    fold: int | None = None,
    size: int | None = None,
) -> Dataset:
    """Loads a data set, fetching it first where that is possible and needed.

    The validation part is cut first; the training part is then a subset of what is left. Both are
    stratified by label, and by votes where there are any, of exactly the size asked for, and pure
    functions of `split_seed`.

    Where slides are tested in folds, the test part has the slides that the fold tests, and whole
    slides are held out: the validation part is the one slide of the fold for that, and the training
    part has the slides that are left. `split_seed` then decides the subset of `train_size` alone.

    Args:
        name: A name in `DATASETS`.
        validation: Number of images to hold out of the training part; with folds, number of slides:
            0, or 1 for the validation slide of the fold.
        train_size: Number of images to train on. By default, all that are left.
        split_seed: A non-negative integer.
        fold: Number of the fold, from 0, for a data set that has folds, and for no other.
        size: Side of the images, pixels, for data sets of tiles: they are resized to it, smoothed
            as they shrink (`kdutils.data.tiles.FILTER`, cubic), or drawn at this size if they are
            simulated. By default they stay as they come.

    Returns:
        A `Dataset`. Arrays that were not cut are shared between calls, and read-only.

    Raises:
        DatasetError: If the data cannot be had or fail their verification.
        ValueError: If the name is unknown, the fold or the size not for this data set, or the
            sizes of parts impossible; known before anything is read.
    """
    module = _module(name)
    _check_fold(name, fold)
    _check_size(name, module, size)
    _check_parts(name, module, validation, train_size, split_seed, fold)
    if hasattr(module, "derive"):
        return module.derive(load(module.BASE, validation, train_size, split_seed, size=size))
    if fold is None:
        train, test = _read(module, size)
        held_out = None
        if validation:
            chosen = stratified_indices(_strata(train), validation, (split_seed, 0))
            held_out = train.take(chosen)
            train = train.take(np.setdiff1d(np.arange(len(train)), chosen))
    else:
        train, held_out, test = module.FOLDS[fold].cut(_read(module, size), validation)
    if train_size is not None:
        train = train.take(stratified_indices(_strata(train), train_size, (split_seed, 1)))
    return Dataset(
        name, train, held_out, test, module.CLASSES, module.POSITIVE, module.fingerprint()
    )


def fetch(name: str) -> None:
    """Has a data set fetched where that is possible and needed, and verified in full.

    Raises:
        DatasetError: If the data cannot be had or fail their verification.
        ValueError: If the name is unknown.
    """
    load(name, fold=folds(name)[0])


def folds(name: str) -> tuple[int, ...] | tuple[None]:
    """Returns what `fold` may be: the numbers of the folds, or None alone where there are none.

    Raises:
        ValueError: If the name is unknown.
    """
    module = _module(name)
    return tuple(range(len(module.FOLDS))) if hasattr(module, "FOLDS") else (None,)


def classes(name: str) -> tuple[str, ...]:
    """Returns the names of the classes in the order of their labels, without reading any image.

    Raises:
        ValueError: If the name is unknown.
    """
    return _module(name).CLASSES


def tested_slides(name: str, fold: int) -> tuple[int, ...]:
    """Returns the numbers of the slides that a fold tests, in order.

    Raises:
        ValueError: If the name is unknown, or the fold not one of its.
    """
    _check_fold(name, fold)
    return tuple(sorted(_module(name).FOLDS[fold].test))


def base(name: str) -> str:
    """Returns the data set whose splits a data set has: mostly its own name.

    What was held out of the one has not been seen in a training on the other.

    Raises:
        ValueError: If the name is unknown.
    """
    return getattr(_module(name), "BASE", name)


def share_images(first: str, second: str) -> bool:
    """Returns whether two data sets show the same slides or digits, however each is split.

    Where they do not, no training on the one has seen an image of the other.

    Raises:
        ValueError: If a name is unknown.
    """
    first, second = (getattr(_module(name), "IMAGES", base(name)) for name in (first, second))
    return first == second


def train_size(name: str, fold: int | None = None) -> int:
    """Returns how many images there are to train on where none is held out; nothing is fetched.

    Raises:
        ValueError: If the name is unknown, or the fold not one of its.
    """
    module = _module(name)
    _check_fold(name, fold)
    if fold is None:
        return module.TRAIN_SIZE
    return module.FOLDS[fold].train_size(module.TILES, 0)


def fingerprint(name: str) -> str:
    """Returns what `Dataset.fingerprint` holds, without loading the data where that is possible.

    Raises:
        ValueError: If the name is unknown.
    """
    return _module(name).fingerprint()


def status() -> list[tuple[str, str, str]]:
    """Returns `(name, state, detail)` for every data set; downloads nothing.

    The state is "found" (and verified), "refused" (there, but not to be used) or "not here". The
    detail says where and why, and how the data would be had.
    """
    return [(name, *_module(name).status()) for name in DATASETS]


def _module(name):
    if name not in DATASETS:
        raise ValueError(f"There is no data set {name!r}. Known: {', '.join(DATASETS)}.")
    return importlib.import_module(DATASETS[name])


def _read(module, size):
    if not hasattr(module, "SIZE"):
        return module.read()
    return module.at_size(module.SIZE if size is None else operator.index(size))


def _strata(part):
    """What a part is stratified by: labels, and votes within them."""
    if part.votes is None:
        return part.labels
    return part.labels.astype(np.int64) * (part.votes.max() + 1) + part.votes


def _whole(argument, value):
    try:
        if isinstance(value, (bool, np.bool_)):  # an index too, for Python, and here a slip
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{argument} must be a whole number, not {value!r}.") from None


def _check_fold(name, fold):
    choices = folds(name)
    if choices == (None,):
        if fold is not None:
            raise ValueError(f"{name} has one test part and no folds: leave out fold={fold!r}.")
        return
    known = ", ".join(map(str, choices))
    if fold is None:
        raise ValueError(f"{name} is tested in folds: fold must be one of {known}.")
    if _whole("fold", fold) not in choices:
        raise ValueError(f"{name} has no fold {fold}: fold must be one of {known}.")


def _check_size(name, module, size):
    if size is None:
        return
    if not hasattr(module, "SIZE"):
        raise ValueError(f"The images of {name} have one size: leave out size={size!r}.")
    if _whole("size", size) < SMALLEST:
        raise ValueError(
            f"size={size} is impossible: {name} comes at {SMALLEST} pixels a side or more, and has "
            f"{module.SIZE} of itself."
        )


def _check_parts(name, module, validation, wanted, split_seed, fold):
    classes = len(module.CLASSES)
    _whole("validation", validation)
    if wanted is not None:
        _whole("train_size", wanted)
    if _whole("split_seed", split_seed) < 0:
        raise ValueError(f"split_seed must not be negative, but is {split_seed}.")
    if fold is not None and validation not in (0, 1):
        raise ValueError(
            f"validation={validation} is impossible: {name} holds out slides, 0 for none or 1 for "
            "the validation slide of the fold."
        )
    if fold is None and validation != 0 and validation < classes:
        raise ValueError(
            f"validation={validation} is impossible: 0 holds nothing out, and a stratified part "
            f"of {name} needs at least one image for each of its {classes} classes."
        )
    if wanted is not None and wanted < classes:
        raise ValueError(
            f"train_size={wanted} is impossible: a stratified part of {name} needs at least "
            f"one image for each of its {classes} classes."
        )
    available = train_size(name, fold)
    left = max(available - validation, 0)
    if fold is not None:
        left = module.FOLDS[fold].train_size(module.TILES, validation)
    needed = classes if wanted is None else wanted
    if left < needed:
        raise ValueError(
            f"{name} has {available} training images: validation={validation} leaves {left} to "
            f"train on, and at least {needed} are needed."
        )
