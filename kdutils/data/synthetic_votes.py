"""The tiles of `kdutils.data.synthetic` in four classes, by what the votes were and how clear."""

from kdutils.data import synthetic, votes
from kdutils.data.dataset import Dataset
from kdutils.data.synthetic import SIZE, TRAIN_SIZE, status
from kdutils.data.votes import AGREEMENT

__all__ = ["BASE", "CLASSES", "POSITIVE", "SIZE", "TRAIN_SIZE", "derive", "fingerprint", "status"]

BASE = "synthetic"
CLASSES = AGREEMENT
POSITIVE = None


def derive(tiles: Dataset) -> Dataset:
    """Returns the same tiles in the same parts, see `kdutils.data.votes.by_agreement`."""
    return votes.by_agreement(tiles, "synthetic_votes", fingerprint())


def fingerprint() -> str:
    """Returns that of the tiles, with how their votes are cut into classes."""
    return f"{synthetic.fingerprint()}-{votes.DISSENTERS}"
