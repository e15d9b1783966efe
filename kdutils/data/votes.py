"""What the votes of annotators say beyond their majority: shares, and subclasses."""

from dataclasses import replace

import numpy as np

from kdutils.data.dataset import Dataset, Part
from kdutils.data.mhist import ANNOTATORS, CLASSES, MAJORITY

AGREEMENT = tuple(f"{name}, {how}" for name in CLASSES for how in ("clear", "doubtful"))
"""Subclasses, class by class."""

DISSENTERS = 1
"""A tile is clear where no more annotators than this one voted against the others."""


def shares(part: Part) -> np.ndarray:
    """Returns the share of annotators for each class, float32 `(N, 2)`.

    Args:
        part: Images with votes.

    Raises:
        ValueError: If it has none.
    """
    if part.votes is None:
        raise ValueError("These images have no votes; only mhist and synthetic have.")
    positive = np.asarray(part.votes, "float32") / ANNOTATORS
    return np.stack([1 - positive, positive], axis=1)


def by_agreement(dataset: Dataset, name: str, fingerprint: str) -> Dataset:
    """Puts the tiles of two classes into four subclasses: each class clear, or doubtful.

    Args:
        dataset: One with votes, loaded and split.
        name: Of the data set that is made.
        fingerprint: Likewise.
    """

    def divided(part):
        if part is None:
            return None
        against = np.minimum(part.votes, ANNOTATORS - part.votes)
        labels = 2 * (part.votes >= MAJORITY) + (against > DISSENTERS)
        return replace(part, labels=labels.astype("uint8"))

    parts = (divided(part) for part in (dataset.train, dataset.validation, dataset.test))
    return Dataset(name, *parts, AGREEMENT, None, fingerprint)
