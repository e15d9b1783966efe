"""Run a network over many images, in inference mode."""

from collections.abc import Iterator, Sequence

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


def predict_each(model: keras.Model, parts: Sequence[np.ndarray], batch: int) -> Iterator:
    """Give what `predict` gives of each of several arrays of images, one after the other.

    What fits into one batch goes through the network together: on few images a deep network spends
    its time on going from layer to layer.

    Args:
        model: A functional model.
        parts: `(N, …)` each, at least one image in each.
        batch: Images at a time.
    """
    ends = np.cumsum([len(part) for part in parts])[:-1]
    if len(parts) < 2 or ends[-1] + len(parts[-1]) > batch:
        yield from (predict(model, part, batch) for part in parts)
        return
    joined = predict(model, np.concatenate(parts), batch)
    if not isinstance(joined, dict):
        yield from np.split(joined, ends)
        return
    split = {name: np.split(values, ends) for name, values in joined.items()}
    yield from ({name: each[place] for name, each in split.items()} for place in range(len(parts)))


def _joined(parts):
    return np.concatenate([ops.convert_to_numpy(part) for part in parts])
