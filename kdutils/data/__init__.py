"""The data sets of the report: one type for all, verified before use, split reproducibly.

Each data set is a module of this package, named in `DATASETS`, which defines

* ``CLASSES`` (tuple of str) and ``POSITIVE`` (int or None), as in `Dataset`,
* ``TRAIN_SIZE`` (int), the number of images in its training part,
* ``read()``, which returns its training and test `Part`, verified, or raises `DatasetError`,
  or ``BASE``, the name of another data set, and ``derive(dataset)``, which makes of that one,
  loaded and split, the data set itself: so the two are split alike,
* ``fingerprint()``, which returns a short text that changes whenever the data do,
* ``status()``, which returns two texts, a state and a detail, and fetches nothing.
"""

import importlib
import operator

import numpy as np

from kdutils.data.dataset import Dataset, DatasetError, Part, stratified_indices

__all__ = ["DATASETS", "Dataset", "DatasetError", "Part", "base", "fingerprint", "load", "status"]

DATASETS = {
    "mnist": "kdutils.data.mnist",
    "mnist_2x5": "kdutils.data.mnist_2x5",
}


def load(
    name: str, validation: int = 0, train_size: int | None = None, split_seed: int = 0
) -> Dataset:
    """Loads a data set, fetching it first where that is possible and needed.

    The validation part is cut first; the training part is then a subset of what is left. Both are
    stratified by label, of exactly the size asked for, and pure functions of `split_seed`.

    Args:
        name: A name in `DATASETS`.
        validation: Number of images to hold out of the training part.
        train_size: Number of images to train on. By default, all that are left.
        split_seed: A non-negative integer.

    Returns:
        A `Dataset`. Arrays that were not cut are shared between calls, and read-only.

    Raises:
        DatasetError: If the data cannot be had or fail their verification.
        ValueError: If the name is unknown, or the sizes impossible; known before anything is read.
    """
    module = _module(name)
    _check_sizes(name, module, validation, train_size, split_seed)
    if base(name) != name:
        return module.derive(load(module.BASE, validation, train_size, split_seed))
    train, test = module.read()
    held_out = None
    if validation:
        chosen = stratified_indices(train.labels, validation, (split_seed, 0))
        held_out = train.take(chosen)
        train = train.take(np.setdiff1d(np.arange(len(train)), chosen))
    if train_size is not None:
        train = train.take(stratified_indices(train.labels, train_size, (split_seed, 1)))
    return Dataset(
        name, train, held_out, test, module.CLASSES, module.POSITIVE, module.fingerprint()
    )


def base(name: str) -> str:
    """Returns the data set whose images, and whose splits, a data set has: mostly its own name.

    Raises:
        ValueError: If the name is unknown.
    """
    return getattr(_module(name), "BASE", name)


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


def _check_sizes(name, module, validation, train_size, split_seed):
    available, classes = module.TRAIN_SIZE, len(module.CLASSES)
    asked = {"validation": validation, "split_seed": split_seed}
    if train_size is not None:
        asked["train_size"] = train_size
    for argument, value in asked.items():
        try:
            operator.index(value)
        except TypeError:
            raise ValueError(f"{argument} must be a whole number, not {value!r}.") from None
    if split_seed < 0:
        raise ValueError(f"split_seed must not be negative, but is {split_seed}.")
    if validation != 0 and validation < classes:
        raise ValueError(
            f"validation={validation} is impossible: 0 holds nothing out, and a stratified part "
            f"of {name} needs at least one image for each of its {classes} classes."
        )
    if train_size is not None and train_size < classes:
        raise ValueError(
            f"train_size={train_size} is impossible: a stratified part of {name} needs at least "
            f"one image for each of its {classes} classes."
        )
    left, needed = max(available - validation, 0), classes if train_size is None else train_size
    if left < needed:
        raise ValueError(
            f"{name} has {available} training images: validation={validation} leaves {left} to "
            f"train on, and at least {needed} are needed."
        )
