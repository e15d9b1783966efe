"""Kather with its tiles dealt at random, whatever slide they come from: a split that leaks.

Tiles of one slide are tested by models that have learnt from others of the same slide. It is here
to measure how much too good that makes a score, beside `kdutils.data.kather`, and for nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kdutils.data import kather
from kdutils.data.dataset import Part
from kdutils.data.kather import CLASSES, POSITIVE, SIZE, TILES, at_size, status
from kdutils.data.slides import apart

__all__ = [
    "CLASSES",
    "FOLDS",
    "IMAGES",
    "POSITIVE",
    "SIZE",
    "TILES",
    "Deal",
    "at_size",
    "fingerprint",
    "status",
]

IMAGES = "kather"
SEED = 0


@dataclass(frozen=True)
class Deal:
    """One of several parts of each class, dealt at random; as `kdutils.data.slides.Fold` is used.

    Attributes:
        number: Of the part that is tested, from 0; the part after it is held out.
        of: How many parts there are.
    """

    number: int
    of: int

    def cut(self, tiles: Part, validation: int) -> tuple[Part, Part | None, Part]:
        """Returns the training part, the validation part or None, and the test part.

        Args:
            tiles: All of them.
            validation: 1 holds a part out, 0 does not.
        """
        dealt = np.empty(len(tiles), int)
        random = np.random.default_rng(SEED)
        for label in np.unique(tiles.labels):
            found = random.permutation(np.flatnonzero(tiles.labels == label))
            dealt[found] = np.arange(len(found)) % self.of
        tested = dealt == self.number
        held_out = (dealt == (self.number + 1) % self.of) & bool(validation)
        return apart(tiles, tested, held_out)

    def train_size(self, tiles: Mapping[str, Sequence[int]], validation: int) -> int:
        """Returns the number of tiles to train on, which `cut` leaves.

        Args:
            tiles: For each class, how many tiles each slide has.
            validation: As for `cut`.
        """
        out = {self.number, (self.number + 1) % self.of} if validation else {self.number}
        sizes = (sum(counts) for counts in tiles.values())
        return sum(len(range(part, n, self.of)) for n in sizes for part in {*range(self.of)} - out)


FOLDS = tuple(Deal(number, len(kather.FOLDS)) for number in range(len(kather.FOLDS)))


def fingerprint() -> str:
    """Returns that of the collection, with how its tiles are dealt."""
    return f"{kather.fingerprint()}-dealt{SEED}"
