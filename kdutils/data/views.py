"""Views: finite sets of changed copies of an image, of which a run draws one an epoch.

Because a set is finite, a teacher looks at every view of every image once, and its outputs are
kept; a student then learns from images that change from epoch to epoch at no further cost.
"""

import functools
import itertools
from collections.abc import Callable

import numpy as np
from scipy import ndimage, sparse

View = Callable[[np.ndarray], np.ndarray]
"""Maps images `(N, H, W, C)`, uint8, to as many of the same kind, each by itself."""


def of(name: str | None) -> tuple[View, ...]:
    """Gives a set of views; its first is always the unchanged image.

    Args:
        name: One of `VIEWS`; `None` is the unchanged image alone.
    """
    return VIEWS[name]()


def shift(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Moves images by whole pixels; what comes in at the edge is black.

    Args:
        images: `(N, H, W, C)`.
        down: Pixels, negative for up; less than the height.
        right: Pixels, negative for left; less than the width.
    """
    height, width = images.shape[1:3]
    moved = np.zeros_like(images)
    moved[:, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = images[
        :, max(-down, 0) : height - max(down, 0), max(-right, 0) : width - max(right, 0)
    ]
    return moved


def shifts(most: int) -> tuple[View, ...]:
    """Gives all shifts by up to `most` pixels along each axis: `(2 · most + 1)²` views."""
    steps = sorted(range(-most, most + 1), key=abs)
    return tuple(
        functools.partial(shift, down=down, right=right)
        for down, right in itertools.product(steps, steps)
    )


def turn(images: np.ndarray, quarters: int, mirrored: bool) -> np.ndarray:
    """Turns square images by quarters of a circle, and mirrors them first if so asked.

    Args:
        images: `(N, S, S, C)`.
        quarters: Quarter turns against the clock.
        mirrored: Whether left and right are swapped first.
    """
    if mirrored:
        images = images[:, :, ::-1]
    return np.ascontiguousarray(np.rot90(images, quarters, axes=(1, 2)))


def turns() -> tuple[View, ...]:
    """Gives the eight ways to lay a square tile: tissue has no upside and no left."""
    return tuple(
        functools.partial(turn, quarters=quarters, mirrored=mirrored)
        for mirrored, quarters in itertools.product((False, True), range(4))
    )


STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
"""Colour of haematoxylin, of eosin and of a third stain, optical densities of red, green and blue.

Ruifrok & Johnston 2001 (Quantification of histochemical staining by color deconvolution), table 1.
"""


class Restaining:
    """Stains tissue more or less, as slides differ: each stain by a factor and an offset.

    After Tellez et al. 2018 (Whole-slide mitosis detection in H&E breast histology using PHH3 as a
    reference to train distilled stain-invariant convolutional networks), section III-D.

    Args:
        seed: Decides factors and offsets.
        factor: Largest relative change of a stain's amount.
        offset: Largest amount of a stain that is added or taken away, as optical density.
    """

    def __init__(self, seed, factor, offset):
        draw = np.random.default_rng(seed)
        stains = STAINS / np.linalg.norm(STAINS, axis=1, keepdims=True)
        factors = 1 + draw.uniform(-factor, factor, 3)
        self.matrix = (np.linalg.inv(stains) * factors @ stains).astype("float32")
        self.added = (draw.uniform(-offset, offset, 3) @ stains).astype("float32")

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Stains `(N, H, W, 3)` images anew, uint8."""
        density = -np.log((images.astype("float32") + 1) / 256) @ self.matrix + self.added
        return np.rint(np.clip(256 * np.exp(-density) - 1, 0, 255)).astype("uint8")


def restained_turns(count: int, **settings) -> tuple[View, ...]:
    """Gives `turns` as they are and in further stains, `count` views; see `Restaining`."""

    def restained(images, way, stain):
        return stain(way(images))

    ways = turns()
    further = (
        functools.partial(
            restained, way=ways[number % len(ways)], stain=Restaining([1, number], **settings)
        )
        for number in range(len(ways), count)
    )
    return (*ways, *further)


class Deformation:
    """Bends images of one size by one smooth field: shift, rotation, scale, shear, and waves.

    Elastic deformation after Simard, Steinkraus & Platt 2003 (Best practices for convolutional
    neural networks applied to visual document analysis), section 2, with one field for all images
    of a view. Values between pixels are interpolated linearly; outside the image all is black.

    Args:
        size: Height and width, pixels.
        seed: Decides the field.
        shift: Largest shift along each axis, pixels.
        turn: Largest rotation, degrees.
        stretch: Largest relative change of height and of width.
        shear: Largest shear.
        waves: Standard deviation of the elastic displacement, pixels.
        smoothness: Standard deviation of the Gaussian that smooths it, pixels.
    """

    def __init__(self, size, seed, shift, turn, stretch, shear, waves, smoothness):
        draw = np.random.default_rng(seed)
        angle = np.deg2rad(draw.uniform(-turn, turn))
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        scales = np.diag(1 + draw.uniform(-stretch, stretch, 2))
        slant = np.array([[1, draw.uniform(-shear, shear)], [0, 1]])
        grid = np.stack(np.meshgrid(*[np.arange(size)] * 2, indexing="ij")).reshape(2, -1)
        middle = (size - 1) / 2
        source = rotation @ slant @ scales @ (grid - middle) + middle
        source += draw.uniform(-shift, shift, (2, 1))
        field = draw.normal(size=(2, size, size))
        field = ndimage.gaussian_filter(field, (0, smoothness, smoothness), mode="wrap")
        source += (waves * field / field.std()).reshape(2, -1)
        self.weights = _interpolation(source, size)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Bends `(N, H, W, C)` images, uint8."""
        channels_first = np.moveaxis(images, -1, 1)
        flat = channels_first.reshape(-1, self.weights.shape[1]).astype("float32")
        bent = np.rint((self.weights @ flat.T).T).astype("uint8")
        return np.ascontiguousarray(np.moveaxis(bent.reshape(channels_first.shape), 1, -1))


def _interpolation(source: np.ndarray, size: int) -> sparse.csr_array:
    """Make the matrix that takes each pixel from between four others, `(size², size²)`.

    Args:
        source: `(2, size²)`, where each pixel comes from: row and column.
        size: Height and width.
    """
    corner = np.floor(source).astype(int)
    fraction = source - corner
    rows, columns, weights = [], [], []
    for step in itertools.product((0, 1), (0, 1)):
        step = np.array(step)[:, None]
        pixel = corner + step
        inside = ((pixel >= 0) & (pixel < size)).all(axis=0)
        rows.append(np.flatnonzero(inside))
        columns.append((pixel[0] * size + pixel[1])[inside])
        weights.append(np.prod(np.where(step, fraction, 1 - fraction), axis=0)[inside])
    entries = np.concatenate(weights).astype("float32")
    where = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_array((entries, where), shape=(size * size, size * size))


def deformations(count: int, **settings) -> tuple[View, ...]:
    """Gives the unchanged image and `count - 1` deformations, see `Deformation`."""
    bent = (Deformation(28, [0, seed], **settings) for seed in range(1, count))
    return (np.asarray, *bent)


# Turns and stretches stay small, so that no 6 becomes a 9 and no 1 a 7. The digits of MNIST are
# centred by their mass, which the second set leaves as it is, but for what bending does.
MOVED = {"shift": 2, "turn": 12, "stretch": 0.12, "shear": 0.15, "waves": 1.0, "smoothness": 4}
CENTRED = {"shift": 0.5, "turn": 10, "stretch": 0.1, "shear": 0.15, "waves": 0.8, "smoothness": 4}


VIEWS: dict[str | None, Callable[[], tuple[View, ...]]] = {
    None: lambda: (np.asarray,),
    "shifts_1": functools.partial(shifts, 1),
    "shifts_2": functools.partial(shifts, 2),
    "turns": turns,
    "restained_turns_32": functools.partial(restained_turns, 32, factor=0.2, offset=0.05),
    "deformations_32": functools.partial(deformations, 32, **MOVED),
    "centred_deformations_16": functools.partial(deformations, 16, **CENTRED),
    "centred_deformations_64": functools.partial(deformations, 64, **CENTRED),
}
