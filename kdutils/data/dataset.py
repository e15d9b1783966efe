"""What every data set is: parts of images with labels and ids, split reproducibly."""

from dataclasses import dataclass

import numpy as np


class DatasetError(RuntimeError):
    """A data set cannot be had, or is not what it should be; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Part:
    """Images with their labels, in ascending order of `ids`.

    Attributes:
        images: uint8 array of shape `(N, H, W, C)`, values 0 to 255.
        labels: uint8 array of shape `(N,)`.
        ids: int64 array of shape `(N,)`: the row of each image in the data set's own training or
            test part. It is unique there and stays with the image through every split.
        groups: Array of shape `(N,)` or None: what must not be torn apart by a split, such as the
            patient.
        votes: Array of shape `(N,)` or None: how many annotators voted for the positive class.

    Raises:
        ValueError: If the arrays differ in length.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray
    groups: np.ndarray | None = None
    votes: np.ndarray | None = None

    def __post_init__(self):
        lengths = {name: len(array) for name, array in vars(self).items() if array is not None}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"The arrays of a part must have the same length, not {lengths}.")

    def __len__(self):
        return len(self.ids)

    def take(self, indices) -> "Part":
        """Returns the images at these positions, in this order, with all that belongs to them.

        Args:
            indices: Positions (not ids), any index NumPy accepts for one axis.
        """
        return Part(
            **{
                name: None if array is None else array[indices]
                for name, array in vars(self).items()
            }
        )


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set, ready for training.

    Attributes:
        name: Its name in `DATASETS`.
        train: What a model learns from.
        validation: What choices are made on, cut from the training part; None if nothing was cut.
        test: What is looked at once, after every choice.
        classes: The names of the classes; a label is a position in it.
        positive: The label of the positive class of a two-class problem, else None.
        fingerprint: Identifies the whole data set, whatever was cut from it.
    """

    name: str
    train: Part
    validation: Part | None
    test: Part
    classes: tuple[str, ...]
    positive: int | None
    fingerprint: str


def stratified_indices(labels, size: int, seed) -> np.ndarray:
    """Draws positions such that each class keeps its share, to the nearest image.

    The places are given to the classes by the method of largest remainders (ties to the lower
    label), so that the total is exact. Within a class the images with the smallest random keys are
    drawn. The keys are the raw output of PCG64, which NumPy keeps the same in all versions, unlike
    the methods of its generators (NEP 19).

    Args:
        labels: Integer array of shape `(N,)`.
        size: Number of positions to draw, at most `N`.
        seed: Non-negative integer or sequence of such.

    Returns:
        int64 array of shape `(size,)`, ascending.
    """
    labels = np.asarray(labels)
    counts = np.bincount(labels)
    places, remainders = np.divmod(counts * size, len(labels))
    places[np.argsort(-remainders, kind="stable")[: size - places.sum()]] += 1
    keys = np.random.PCG64(seed).random_raw(len(labels))
    order = np.lexsort((keys, labels))  # by label, then by key
    starts = np.cumsum(counts) - counts
    drawn = [order[start : start + n] for start, n in zip(starts, places, strict=True)]
    return np.sort(np.concatenate(drawn))
