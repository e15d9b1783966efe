"""Tiles in files, read into arrays: checked, and resized where another size is asked for."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from kdutils.data.dataset import Part
from kdutils.data.faults import Faults

# Cubic, and widened by Pillow to the pixels that become one: it smooths while it makes smaller.
FILTER = Image.Resampling.BICUBIC
AT_ONCE = 8  # files; much of the time goes into waiting for the disk
CHUNK = 256  # files that lie in memory as they come


def read(
    paths: Sequence[Path], side: int, size: int, faults: Faults
) -> tuple[np.ndarray, str | None]:
    """Reads tiles, which have to be square RGB images.

    Args:
        paths: One file a tile; Pillow knows its format from its content.
        side: Of every tile as it comes, pixels.
        size: To resize it to, pixels.
        faults: Where to note the files that are no such tiles; their pixels stay black.

    Returns:
        uint8 array of shape `(N, size, size, 3)`, and the SHA-256 of the pixels of all
        tiles as they came, in this order; None where there are faults.
    """
    images = np.zeros((len(paths), size, size, 3), np.uint8)
    pixels, whole = hashlib.sha256(), True
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for start in range(0, len(paths), CHUNK):
            chunk = paths[start : start + CHUNK]
            for row, tile in enumerate(pool.map(_open, chunk), start):
                fault = _fault(tile, side)
                if fault is None:
                    pixels.update(tile.tobytes())
                    images[row] = tile if size == side else tile.resize((size, size), FILTER)
                else:
                    whole = False
                    kind, detail = fault
                    faults.add(kind, f"{paths[row].name} ({detail})")
    return images, pixels.hexdigest() if whole else None


def shared(images, labels, groups=None, votes=None) -> Part:
    """Returns a read-only part, whose ids count its images, for all who load it."""
    part = Part(images, labels, np.arange(len(images)), groups, votes)
    for array in vars(part).values():
        if array is not None:
            array.setflags(write=False)
    return part


def _open(path):
    try:
        with Image.open(path) as image:
            image.load()
            return image
    # A file can be broken in any way at all, and none of them may hide the other files' faults.
    except Exception as error:
        return error


def _fault(tile, side):
    if isinstance(tile, Exception):
        return "images that cannot be read", tile
    if (tile.mode, tile.size) != ("RGB", (side, side)):
        found = f"{tile.width}x{tile.height} {tile.mode}"
        return f"images that are not {side}x{side} RGB", found
    return None
