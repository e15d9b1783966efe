"""Networks between the teacher and the student, for distillation in two steps."""

import keras
from keras import layers

from kdutils.models.mnist import PIXEL_SCALE


def mnist_assistant_convolutional(seed: int) -> keras.Model:
    """A small convolutional network: 173,930 parameters.

    Args:
        seed: Unused: nothing in this network is drawn while it trains.

    Returns:
        `(B, 28, 28, 1)` pixels 0–255 → `(B, 10)` logits.
    """
    del seed
    pixels = keras.Input((28, 28, 1), name="pixels")
    x = layers.Rescaling(PIXEL_SCALE, name="scale")(pixels)
    x = layers.Conv2D(16, 3, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(2, name="pool1")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(64, activation="relu", name="fc")(x)
    logits = layers.Dense(10, name="logits")(x)
    return keras.Model(pixels, logits, name="mnist_assistant_convolutional")


def mnist_assistant_wide(seed: int) -> keras.Model:
    """A fully connected network, wider than the student and with dropout: 2,395,210 parameters.

    It has the student's inductive bias, so the step that changes it is the teacher's alone.

    Args:
        seed: Fixes the dropout masks.

    Returns:
        `(B, 28, 28, 1)` pixels 0–255 → `(B, 10)` logits.
    """
    pixels = keras.Input((28, 28, 1), name="pixels")
    x = layers.Rescaling(PIXEL_SCALE, name="scale")(pixels)
    x = layers.Flatten(name="flatten")(x)
    for number in (1, 2):
        x = layers.Dense(1200, activation="relu", name=f"h{number}")(x)
        x = layers.Dropout(0.5, seed=2 * seed + number, name=f"dropout{number}")(x)
    logits = layers.Dense(10, name="logits")(x)
    return keras.Model(pixels, logits, name="mnist_assistant_wide")
