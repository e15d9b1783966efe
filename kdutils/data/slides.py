"""Folds of slides: all tiles of one slide are tested, or held out, or learnt from, together.

Tiles of one slide look alike, whatever they show. A model that has seen a slide recognises it,
and is then scored better than it would be on a new one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kdutils.data.dataset import Part


@dataclass(frozen=True)
class Fold:
    """One way to take slides apart.

    Attributes:
        test: Numbers of the slides that are tested.
        validation: Number of the slide to make choices on; it is learnt from where nothing is held
            out.
    """

    test: tuple[int, ...]
    validation: int

    def cut(self, tiles: Part, validation: int) -> tuple[Part, Part | None, Part]:
        """Returns the training part, the validation part or None, and the test part.

        Args:
            tiles: All of them, with their slides in `groups`.
            validation: 1 holds the validation slide out, 0 does not.
        """
        tested, held_out = (
            np.isin(tiles.groups, slides) for slides in (self.test, self._held_out(validation))
        )
        return apart(tiles, tested, held_out)

    def train_size(self, tiles: Mapping[str, Sequence[int]], validation: int) -> int:
        """Returns the number of tiles to train on, which `cut` leaves.

        Args:
            tiles: For each class, how many tiles each slide has, from slide 1.
            validation: As for `cut`.
        """
        out = {*self.test, *self._held_out(validation)}
        return sum(
            count
            for counts in tiles.values()
            for slide, count in enumerate(counts, 1)
            if slide not in out
        )

    def _held_out(self, validation):
        return (self.validation,) if validation else ()


def apart(tiles: Part, tested, held_out) -> tuple[Part, Part | None, Part]:
    """Returns the training part, the validation part or None, and the test part.

    Args:
        tiles: All of them.
        tested: `(N,)`, whether each is tested.
        held_out: `(N,)`, whether each is held out; where none is, there is no validation part.
    """
    return (
        tiles.take(np.flatnonzero(~(tested | held_out))),
        tiles.take(np.flatnonzero(held_out)) if held_out.any() else None,
        tiles.take(np.flatnonzero(tested)),
    )
