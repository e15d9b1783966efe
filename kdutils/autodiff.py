"""Gradients on any backend: Keras has none of its own, so this is the place that asks for it."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops


def gradients(function: Callable, *arrays: np.ndarray) -> list[np.ndarray]:
    """Differentiate the sum of a function's values by each of its arguments.

    Args:
        function: Takes one tensor for each array, returns a tensor of any shape.
        arrays: Where to differentiate; of floating point.

    Returns:
        The gradients, each of the shape of its array; zero where none flows.
    """
    tensors = [ops.convert_to_tensor(array) for array in arrays]
    found = _OF_BACKEND[keras.backend.backend()](lambda *each: ops.sum(function(*each)), tensors)
    return [ops.convert_to_numpy(gradient) for gradient in found]


def _tensorflow(total, tensors):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value = total(*tensors)
    return tape.gradient(value, tensors, unconnected_gradients="zero")


def _jax(total, tensors):
    import jax

    return jax.grad(total, tuple(range(len(tensors))))(*tensors)


def _torch(total, tensors):
    import torch

    leaves = [tensor.detach().requires_grad_() for tensor in tensors]
    found = torch.autograd.grad(total(*leaves), leaves, allow_unused=True)
    return [torch.zeros_like(a) if g is None else g for a, g in zip(leaves, found, strict=True)]


_OF_BACKEND = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
