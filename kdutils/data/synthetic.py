"""Synthetic: simulated tiles in the format, the counts and the class balance of MHIST.

They stand in for MHIST where no tissue can be had: everything runs on them, and nothing that they
show is about tissue. A tile shows crypts as a section cuts them: a ring of epithelium with dark
nuclei along its outer edge and a pale lumen. As the pathologists' votes for a sessile serrated
adenoma (SSA) rise, lumens grow wider and deeper serrated, and crypts bulge like a boot; a
hyperplastic polyp (HP) has round, narrow ones. Chance blurs the step from votes to shape, so that
no classifier can be perfect.
"""

import csv
import functools
import logging
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from kdutils import paths
from kdutils.data import mhist, tiles
from kdutils.data.dataset import DatasetError, Part, stratified_indices
from kdutils.data.mhist import CLASSES, MAJORITY, POSITIVE, SIZE, TRAIN_SIZE, Expected

__all__ = [
    "CLASSES",
    "COUNT",
    "POSITIVE",
    "SIZE",
    "TRAIN_SIZE",
    "annotations",
    "at_size",
    "crypts",
    "expected",
    "fingerprint",
    "painted",
    "stained",
    "status",
    "tile",
    "write",
]

VERSION = 1  # raised with every change of what is drawn: it names caches and stands in records
SEED = 0
COUNT = mhist.OFFICIAL.count
FEWEST = 64  # tiles of which a folder still has both classes in both partitions
CHANCE = 0.25  # standard deviation of what blurs the votes, on their scale from 0 to 1

# Of connective tissue, epithelium, nuclei and lumens.
COLOURS = np.array([[226, 164, 196], [186, 131, 179], [112, 72, 150], [242, 236, 241]])
SMALLEST_CANVAS = 192  # pixels; on a smaller one a nucleus is a dot or nothing
DIRECTIONS = np.linspace(0, 2 * np.pi, 72, endpoint=False)  # corners of every outline
COMPASS = np.stack([np.cos(DIRECTIONS), np.sin(DIRECTIONS)], axis=1)

logger = logging.getLogger(__name__)


def at_size(size: int) -> tuple[Part, Part]:
    """Returns the training and the test part, drawn at this size, or read if they were before."""
    return _read_once(size)


def fingerprint() -> str:
    """Returns the name of what is drawn: it changes when that changes."""
    return f"synthetic-{VERSION}-{SEED}"


def status() -> tuple[str, str]:
    """Returns "found", always, and the detail."""
    return "found", f"simulated, not tissue: drawn at first use and kept in {_cache()}"


def write(folder: Path, count: int = COUNT, size: int = SIZE) -> None:
    """Writes tiles into a folder in the format of MHIST, which `kdutils.data.mhist` reads.

    Args:
        folder: It gets `annotations.csv`, `images`, and a note that the tiles are simulated.
        count: Number of tiles, 64 to 3152; fewer than all are drawn from all in proportion.
        size: Side, pixels.

    Raises:
        DatasetError: If there is a table already: nothing is ever overwritten.
        ValueError: If the count is impossible.
    """
    folder = Path(folder)
    chosen = _chosen(count)
    if (folder / mhist.TABLE).exists():
        raise DatasetError(
            f"{folder} has a data set already: {mhist.TABLE} is there. Name another folder, or "
            "empty this one first."
        )
    (folder / mhist.IMAGES).mkdir(parents=True, exist_ok=True)
    note = f"The tiles in this folder are simulated ({fingerprint()}). They show no tissue.\n"
    (folder / mhist.SIMULATED).write_text(note, encoding="utf-8")
    votes, trained = annotations()
    for index in chosen:
        Image.fromarray(tile(index, size)).save(folder / mhist.IMAGES / _name(index))
    # Last, so that a folder with a table is a whole one.
    with (
        paths.replaced_atomically(folder / mhist.TABLE) as unfinished,
        unfinished.open("w", encoding="utf-8", newline="") as file,
    ):
        table = csv.writer(file)
        table.writerow(mhist.COLUMNS)
        for index in chosen:
            label = CLASSES[int(votes[index] >= MAJORITY)]
            partition = "train" if trained[index] else "test"
            table.writerow([_name(index), label, votes[index], partition])


def expected(count: int = COUNT, size: int = SIZE) -> Expected:
    """Returns what `mhist.read` has to expect of a folder that `write` wrote."""
    chosen = _chosen(count)
    votes, trained = (array[chosen] for array in annotations())
    parts = {"train": votes[trained], "test": votes[~trained]}
    return Expected(
        size,
        {name: tuple(np.bincount(part, minlength=8).tolist()) for name, part in parts.items()},
    )


@functools.lru_cache(maxsize=4)
def annotations(seed: int = SEED) -> tuple[np.ndarray, np.ndarray]:
    """Deals MHIST's votes out over the tiles, by chance.

    Args:
        seed: A non-negative integer.

    Returns:
        Votes, int64 `(3152,)`, 0 to 7; and whether a tile belongs to the training part, bool
        `(3152,)`. Both read-only.
    """
    parts = mhist.OFFICIAL.votes
    votes = np.concatenate([np.repeat(np.arange(8), parts[part]) for part in mhist.PARTITIONS])
    trained = np.arange(COUNT) < sum(parts["train"])
    order = np.argsort(np.random.PCG64((seed, COUNT)).random_raw(COUNT), kind="stable")
    votes, trained = votes[order], trained[order]
    votes.setflags(write=False)
    trained.setflags(write=False)
    return votes, trained


def tile(index: int, size: int, seed: int = SEED) -> np.ndarray:
    """Draws one tile, which shows the same at every size.

    Args:
        index: From 0 to 3151.
        size: Side, pixels.
        seed: A non-negative integer.

    Returns:
        uint8 array of shape `(size, size, 3)`.
    """
    chance = np.random.default_rng([seed, index])
    severity = annotations(seed)[0][index] / 7 + CHANCE * chance.normal()
    palette = stained(chance)
    outer, inner, edge = crypts(severity, chance)
    scattered = chance.uniform(size=(chance.integers(70, 140), 2))
    return painted(palette, outer, np.concatenate([scattered, edge]), inner, size, chance)


def stained(chance: np.random.Generator) -> np.ndarray:
    """Returns `COLOURS` as a stain of another strength leaves them."""
    # More or less of a stain takes away light of each kind in proportion.
    return 255 * (COLOURS / 255) ** chance.normal(1, 0.06, 3)


def painted(
    palette: np.ndarray,
    outer: np.ndarray,
    nuclei: np.ndarray,
    inner: np.ndarray,
    size: int,
    chance: np.random.Generator,
) -> np.ndarray:
    """Paints a tile, each of these over those before; places in units of its side.

    Args:
        palette: Colours in the order of `COLOURS`.
        outer: `(N, 2 · corners)`, x and y in turn, outlines of epithelium.
        nuclei: `(N, 2)`, their places.
        inner: `(N, 2 · corners)`, outlines of what is pale.
        size: Side, pixels.
        chance: For the sizes of nuclei, and for the grain.

    Returns:
        uint8 array of shape `(size, size, 3)`.
    """
    pink, lilac, purple, pale = (tuple(map(int, each)) for each in palette)
    # Drawn finer and then averaged, for smooth outlines.
    finer = max(3, -(-SMALLEST_CANVAS // size))
    side = size * finer
    canvas = Image.new("RGB", (side, side), pink)
    draw = ImageDraw.Draw(canvas)
    for outline in (outer * side).tolist():
        draw.polygon(outline, lilac)
    for box in (_nuclei(nuclei, chance) * side).tolist():
        draw.ellipse(box, purple)
    for outline in (inner * side).tolist():
        draw.polygon(outline, pale)
    return _grained(np.asarray(canvas.reduce(finer), np.float32), chance)


def crypts(
    severity: float, chance: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places and shapes of the crypts of a tile, in units of its side.

    Args:
        severity: About 0 for shapes of HP, about 1 for those of SSA.
        chance: A generator.

    Returns:
        Outlines of crypts and of their lumens, `(crypts, 2 · directions)`, x and y in turn; and
        the places of nuclei along the outer edges, `(nuclei, 2)`.
    """
    centres = _centres(chance)
    count = len(centres)
    severe = np.clip(severity + 0.12 * chance.normal(size=(count, 1)), -0.2, 1.2)
    turn, lobe, phase = chance.uniform(-np.pi, np.pi, (3, count, 1))
    outer = chance.uniform(0.13, 0.17, (count, 1))
    outer = outer * (1 + chance.uniform(0, 0.25, (count, 1)) * np.cos(2 * (DIRECTIONS - turn)))
    # A boot: the base of the crypt grows to one side.
    boot = 0.6 * severe.clip(0) * chance.uniform(0.3, 1, (count, 1))
    outer = outer * (1 + boot * np.exp(4 * (np.cos(DIRECTIONS - lobe) - 1)))
    # Teeth: folds of the epithelium, which narrow the lumen.
    teeth = chance.integers(5, 9, (count, 1))
    folds = np.abs((teeth * DIRECTIONS / np.pi + phase) % 2 - 1)
    width = (0.32 + 0.36 * severe + 0.05 * chance.normal(size=(count, 1))).clip(0.15, 0.8)
    inner = outer * width * (1 - (0.12 + 0.5 * severe).clip(0.05) * folds)
    near_edge = outer * chance.uniform(0.8, 0.97, outer.shape)
    edge = centres[:, None] + near_edge[..., None] * COMPASS
    outlines = [
        (centres[:, None] + radius[..., None] * COMPASS).reshape(count, -1)
        for radius in (outer, inner)
    ]
    return *outlines, edge[:, ::3].reshape(-1, 2)


def _centres(chance):
    """Centres of crypts: a jittered lattice, rows set off against each other, over all edges."""
    step = chance.uniform(0.36, 0.5)
    at = np.arange(-0.2, 1.3, step)
    x, y = np.meshgrid(at, at)
    x[::2] += step / 2
    centres = np.stack([x.ravel(), y.ravel()], axis=1) + chance.uniform(0, 0.2, 2)
    centres += chance.normal(0, 0.12 * step, centres.shape)
    return centres[(np.abs(centres - 0.5) < 0.6).all(axis=1)]


def _nuclei(places, chance):
    """Boxes around nuclei, `(nuclei, 4)`."""
    radii = chance.uniform(0.008, 0.016, places.shape)
    return np.concatenate([places - radii, places + radii], axis=1)


def _grained(pixels, chance):
    """Adds the unevenness of a stain: clouds and grains of the same size at every resolution."""
    for cells, amount in ((6, 9.0), (48, 7.0)):
        grains = Image.fromarray(chance.normal(0, amount, (cells, cells)).astype(np.float32))
        grains = grains.resize(pixels.shape[:2], Image.Resampling.BICUBIC)
        pixels = pixels + np.asarray(grains)[..., np.newaxis]
    return pixels.clip(0, 255).astype(np.uint8)


def _chosen(count):
    """Indices of the tiles of a folder, ascending: their votes and partitions in proportion."""
    if not FEWEST <= count <= COUNT:
        raise ValueError(f"count={count} is impossible: it has to be from {FEWEST} to {COUNT}.")
    votes, trained = annotations()
    return stratified_indices(votes + 8 * trained, count, SEED)


def _name(index):
    letters = "".join(chr(ord("a") + index // 26**place % 26) for place in (2, 1, 0))
    return f"MHIST_{letters}.png"


def _cache():
    return paths.BUILD / "cache" / f"synthetic-{VERSION}"


@functools.lru_cache(maxsize=1)
def _read_once(size):
    path = _cache() / f"{SEED}-{size}.npz"
    if not path.exists():
        logger.info("synthetic: drawing %d tiles of %d pixels, once", COUNT, size)
        images = np.stack([tile(index, size) for index in range(COUNT)])
        with paths.replaced_atomically(path) as unfinished, unfinished.open("wb") as file:
            np.savez(file, images=images)
    with np.load(path) as kept:
        images = kept["images"]
    votes, trained = annotations()
    return tuple(_part(images, votes, np.flatnonzero(rows)) for rows in (trained, ~trained))


def _part(images, votes, rows):
    labels = (votes[rows] >= MAJORITY).astype(np.uint8)
    return tiles.shared(images[rows], labels, votes=votes[rows])
