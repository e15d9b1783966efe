"""What frozen layers make of images: computed once for all trainings that share these layers."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np

from kdutils.data import Part
from kdutils.models.taps import tapped
from kdutils.paths import replaced_atomically
from kdutils.predicting import predict_each


def outputs(
    model: keras.Model, cut: str, parts: Iterable[Part], batch: int, folder: Path | None = None
) -> list[np.ndarray]:
    """Run a network up to a layer, or read what came of it before.

    What is kept goes by the weights of these layers and by the images, whatever training they come
    from: so it serves all trainings that start from one base, and never one that does not.

    Args:
        model: Whose layers are frozen.
        cut: The last of them.
        parts: Images, such as the views of a training part.
        batch: Images at a time.
        folder: Where outputs are kept; `None` keeps none.

    Returns:
        The output of the layer for each part, in the order of its images.
    """
    below = tapped(model, (cut,))
    weights = hashlib.sha256(f"{model.name} up to {cut}".encode())
    for weight in below.weights:
        weights.update(keras.ops.convert_to_numpy(weight).tobytes())
    found, missing = [], {}
    for place, part in enumerate(parts):
        name = weights.copy()
        name.update(str(part.images.shape).encode() + part.images.tobytes())
        path = folder and folder / f"{name.hexdigest()[:32]}.npy"
        if path is None or not path.exists():
            missing[place] = path, part.images
        found.append(None if place in missing else np.load(path))
    said = predict_each(below, [images for _, images in missing.values()], batch)
    for (place, (path, _)), values in zip(missing.items(), said, strict=True):
        found[place] = np.asarray(values[cut], "float32")
        if path is not None:
            with replaced_atomically(path) as temporary, temporary.open("wb") as file:
                np.save(file, found[place])
    return found
