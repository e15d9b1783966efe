"""Simulated tiles of six kinds: a task to train on first, as `kather_source` is for tissue.

They are drawn with the strokes of `kdutils.data.synthetic`, and none of its tiles is among them.
What a kind shows is drawn after one of the six classes of `kdutils.data.kather_source`.
"""

import functools
import logging
from dataclasses import dataclass

import numpy as np

from kdutils import paths
from kdutils.data import synthetic, tiles
from kdutils.data.dataset import Part
from kdutils.data.synthetic import SIZE

__all__ = ["CLASSES", "KINDS", "POSITIVE", "SIZE", "TRAIN_SIZE", "at_size", "fingerprint", "status"]

VERSION = 1  # raised with every change of what is drawn
SEED = 6  # another than that of `synthetic`, whose chances these are not to repeat
EACH = {"train": 200, "test": 50}  # tiles of a kind


@dataclass(frozen=True)
class Kind:
    """What tiles of one kind show.

    Attributes:
        nuclei: Fewest and most that lie scattered.
        crypts: Whether there are any, as `synthetic` draws them.
        holes: Fewest and most round, pale cells, such as those of fat.
        ground: Which of `kdutils.data.synthetic.COLOURS` lies below all else.
    """

    nuclei: tuple[int, int]
    crypts: bool = False
    holes: tuple[int, int] = (0, 1)
    ground: int = 0


KINDS = {
    "crowded": Kind((250, 400), crypts=True, ground=1),
    "nuclei": Kind((700, 1000), ground=1),
    "debris": Kind((40, 90), holes=(4, 12)),
    "glands": Kind((70, 140), crypts=True),
    "fat": Kind((5, 25), holes=(25, 40)),
    "empty": Kind((0, 3), ground=3),
}
CLASSES = tuple(KINDS)
POSITIVE = None
TRAIN_SIZE = EACH["train"] * len(KINDS)

logger = logging.getLogger(__name__)


def at_size(size: int) -> tuple[Part, Part]:
    """Returns the training and the test part, drawn at this size, or read if they were before."""
    return _read_once(size)


def fingerprint() -> str:
    """Returns the name of what is drawn: it changes when that changes."""
    return f"synthetic-source-{VERSION}-{SEED}-{synthetic.fingerprint()}"


def status() -> tuple[str, str]:
    """Returns "found", always, and the detail."""
    return "found", f"simulated, not tissue: drawn at first use and kept in {_cache()}"


def tile(label: int, index: int, size: int) -> np.ndarray:
    """Draws one tile, which shows the same at every size.

    Args:
        label: Of its kind, in the order of `CLASSES`.
        index: Of the tile among those of its kind.
        size: Side, pixels.

    Returns:
        uint8 array of shape `(size, size, 3)`.
    """
    kind = KINDS[CLASSES[label]]
    chance = np.random.default_rng([SEED, label, index])
    palette = synthetic.stained(chance)
    if kind.ground:
        palette[0] = palette[kind.ground]
    outer, inner, edge = synthetic.crypts(chance.uniform(), chance)
    if not kind.crypts:
        outer, inner, edge = outer[:0], inner[:0], edge[:0]
    count = chance.integers(*kind.holes)
    radii = chance.uniform(0.04, 0.14, (count, 1, 1))
    holes = chance.uniform(size=(count, 1, 2)) + radii * synthetic.COMPASS
    inner = np.concatenate([inner, holes.reshape(count, inner.shape[1])])
    nuclei = np.concatenate([chance.uniform(size=(chance.integers(*kind.nuclei), 2)), edge])
    return synthetic.painted(palette, outer, nuclei, inner, size, chance)


def _cache():
    return paths.BUILD / "cache" / f"synthetic-source-{VERSION}"


@functools.lru_cache(maxsize=1)
def _read_once(size):
    per_kind = sum(EACH.values())
    path = _cache() / f"{SEED}-{size}.npz"
    if not path.exists():
        logger.info("synthetic_source: drawing %d tiles of %d pixels, once", 6 * per_kind, size)
        drawn = [tile(kind, i, size) for kind in range(len(KINDS)) for i in range(per_kind)]
        with paths.replaced_atomically(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, images=np.stack(drawn))
    with np.load(path) as kept:
        images = kept["images"]
    labels = np.repeat(np.arange(len(KINDS), dtype=np.uint8), per_kind)
    trained = np.arange(len(labels)) % per_kind < EACH["train"]
    return tuple(tiles.shared(images[rows], labels[rows]) for rows in (trained, ~trained))
