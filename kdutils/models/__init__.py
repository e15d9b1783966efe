"""The networks of the report, by name."""

import functools

import keras

from kdutils.models.assistants import mnist_assistant_convolutional, mnist_assistant_wide
from kdutils.models.initialise import initialise
from kdutils.models.interventional import mnist_student_interventional
from kdutils.models.mnist import mnist_student, mnist_teacher

NETWORKS = {
    "mnist_teacher": mnist_teacher,
    "mnist_student": mnist_student,
    "mnist_student_interventional": mnist_student_interventional,
    "mnist_assistant_convolutional": mnist_assistant_convolutional,
    "mnist_assistant_wide": mnist_assistant_wide,
    "mnist_teacher_2": functools.partial(mnist_teacher, classes=2),
    "mnist_student_2": functools.partial(mnist_student, classes=2),
    "mnist_teacher_2x5": functools.partial(mnist_teacher, classes=2, subclasses=5),
    "mnist_student_2x5": functools.partial(mnist_student, classes=2, subclasses=5),
    "mnist_teacher_10x2": functools.partial(mnist_teacher, subclasses=2),
    "mnist_student_10x2": functools.partial(mnist_student, subclasses=2),
}
"""`2x5` is two classes with five subclasses each."""


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
