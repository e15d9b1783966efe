"""Run a network over many images, in inference mode."""

import keras
import numpy as np
from keras import ops

DEEP = 50  # layers
FEW = 4  # batches


def traced_in_vain(model: keras.Model, batches: int) -> bool:
    """Whether a network has so many layers that to trace it takes longer than these few batches."""
    return len(model.layers) > DEEP and batches <= FEW


def predict(model: keras.Model, images: np.ndarray, batch: int):
    """Give what a model says of images: `(N, …)`, or a dictionary of such arrays.

    Args:
        model: A functional model.
        images: `(N, …)`, at least one.
        batch: Images at a time.
    """
    starts = range(batch, len(images), batch)
    if not traced_in_vain(model, len(starts) + 1):
        return model.predict(images, batch_size=batch, verbose=0)
    parts = [model(part, training=False) for part in np.split(images, starts)]
    if isinstance(parts[0], dict):
        return {name: _joined([part[name] for part in parts]) for name in parts[0]}
    return _joined(parts)


def _joined(parts):
    return np.concatenate([ops.convert_to_numpy(part) for part in parts])
