"""The networks of the report, by name."""

import keras

from kdutils.models.initialise import initialise
from kdutils.models.mnist import mnist_student, mnist_teacher

NETWORKS = {
    "mnist_teacher": mnist_teacher,
    "mnist_student": mnist_student,
}


def build(name: str, seed: int = 0) -> keras.Model:
    """Build a network with fresh weights.

    Args:
        name: One of `NETWORKS`.
        seed: Fixes the initial weights, the same on every backend, and the dropout masks.

    Returns:
        A functional model, pixels in and logits out, its layers named for methods to tap.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network {name!r}; there are {', '.join(NETWORKS)}")
    model = NETWORKS[name](seed)
    initialise(model, seed)
    return model
