"""Task 1: the convolutional teacher (Figure 2) and the fully connected student (Figure 3)."""

import keras
from keras import layers

from kdutils.models.heads import head

PIXEL_SCALE = 1 / 255


def mnist_teacher(seed: int, classes: int = 10, subclasses: int = 1) -> keras.Model:
    """Figure 2's convolutional network: 1,011,466 parameters with ten classes.

    The first pooling has stride 1, as in the figure, which is why 7744 values reach the dense part.

    Args:
        seed: Fixes the dropout masks.
        classes: Number of classes.
        subclasses: Of each class, see `kdutils.models.heads`.

    Returns:
        `(B, 28, 28, 1)` pixels 0–255 → `(B, classes)` logits; layers `pool1`, `pool2`, `fc` and
        `logits`.
    """
    pixels = keras.Input((28, 28, 1), name="pixels")
    x = layers.Rescaling(PIXEL_SCALE, name="scale")(pixels)
    x = layers.Conv2D(32, 3, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(2, strides=1, name="pool1")(x)
    x = layers.Conv2D(64, 3, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(2, strides=2, name="pool2")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(0.5, seed=2 * seed, name="dropout1")(x)
    x = layers.Dense(128, activation="relu", name="fc")(x)
    x = layers.Dropout(0.5, seed=2 * seed + 1, name="dropout2")(x)
    return keras.Model(pixels, head(x, classes, subclasses), name="mnist_teacher")


def mnist_student(seed: int, classes: int = 10, subclasses: int = 1) -> keras.Model:
    """Figure 3's fully connected network: 1,238,730 parameters with ten classes.

    Args:
        seed: Unused: nothing in this network is drawn while it trains.
        classes: Number of classes.
        subclasses: Of each class, see `kdutils.models.heads`.

    Returns:
        `(B, 28, 28, 1)` pixels 0–255 → `(B, classes)` logits; layers `h1`, `h2`, `logits`.
    """
    del seed
    pixels = keras.Input((28, 28, 1), name="pixels")
    x = layers.Rescaling(PIXEL_SCALE, name="scale")(pixels)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(784, activation="relu", name="h1")(x)
    x = layers.Dense(784, activation="relu", name="h2")(x)
    return keras.Model(pixels, head(x, classes, subclasses), name="mnist_student")
