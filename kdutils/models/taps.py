"""Layers by what they are, so that a method can read alike layers of unlike networks."""

from collections.abc import Iterable

import keras
from keras import layers

LAYERS = {
    "mnist_teacher": {"features": "fc", "hint": ("pool2", 2), "middle": "pool2", "early": "pool1"},
    "mnist_student": {"features": "h2", "middle": "h1"},
    "resnet50v2": {"features": "avg_pool", "hint": "conv4_block6_out"},
    "mobilenetv2": {"features": "avg_pool", "middle": "block_14_add"},
}
"""By network, the layer of that name, or that layer with so many pixels averaged each way.

`features` are what the head reads; `middle` and `early` lie below; `hint` is what FitNets predict.
"""


def tapped(model: keras.Model, taps: Iterable[str]) -> keras.Model:
    """Make a model of the same layers that returns the outputs of several of them.

    Args:
        model: Of the report's networks, or any other.
        taps: Names of layers, or of those that `LAYERS` tells for the model's name.

    Returns:
        A model whose output is a dictionary with the given names.

    Raises:
        ValueError: There is no such layer.
    """
    return keras.Model(model.input, {tap: _output(model, tap) for tap in taps})


def _output(model, tap):
    found = LAYERS.get(model.name, {}).get(tap, tap)
    name, pooled = (found, 1) if isinstance(found, str) else found
    output = model.get_layer(name).output
    return output if pooled == 1 else layers.AveragePooling2D(pooled)(output)
