"""The networks of the report, by name."""

import functools

import keras

from kdutils.models.assistants import mnist_assistant_convolutional, mnist_assistant_wide
from kdutils.models.histology import CUTS, network
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
    "resnet50v2": functools.partial(network, name="resnet50v2"),
    "mobilenetv2": functools.partial(network, name="mobilenetv2"),
    "resnet50v2_6": functools.partial(network, name="resnet50v2", classes=6),
    "mobilenetv2_6": functools.partial(network, name="mobilenetv2", classes=6),
    "resnet50v2_4": functools.partial(network, name="resnet50v2", classes=4),
    "resnet50v2_2x2": functools.partial(network, name="resnet50v2", subclasses=2),
    "mobilenetv2_2x2": functools.partial(network, name="mobilenetv2", subclasses=2),
    "resnet50v2_2x5": functools.partial(network, name="resnet50v2", subclasses=5),
    "mobilenetv2_2x5": functools.partial(network, name="mobilenetv2", subclasses=5),
}
"""`2x5` is two classes with five subclasses each; `6` are the classes of the source task, `4` those
that votes make of two."""


def cuts(name: str) -> tuple[str, ...]:
    """Name the layers up to which a network can be frozen, from its input to its head.

    Args:
        name: One of `NETWORKS`. Most have none.
    """
    return CUTS.get(name.partition("_")[0], ())


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
