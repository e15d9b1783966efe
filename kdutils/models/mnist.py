"""Task 1: the convolutional teacher (Figure 2) and the fully connected student (Figure 3)."""

import keras
from keras import layers

PIXEL_SCALE = 1 / 255


def mnist_teacher(seed: int) -> keras.Model:
    """Figure 2's convolutional network: 1,011,466 parameters.

    The first pooling has stride 1, as in the figure, which is why 7744 values reach the dense part.

    Args:
        seed: Fixes the dropout masks.

    Returns:
        `(B, 28, 28, 1)` pixels 0–255 → `(B, 10)` logits; layers `pool1`, `pool2`, `fc`, `logits`.
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
    logits = layers.Dense(10, name="logits")(x)
    return keras.Model(pixels, logits, name="mnist_teacher")


def mnist_student(seed: int) -> keras.Model:
    """Figure 3's fully connected network: 1,238,730 parameters.

    Args:
        seed: Unused: nothing in this network is drawn while it trains.

    Returns:
        `(B, 28, 28, 1)` pixels 0–255 → `(B, 10)` logits; layers `h1`, `h2`, `logits`.
    """
    del seed
    pixels = keras.Input((28, 28, 1), name="pixels")
    x = layers.Rescaling(PIXEL_SCALE, name="scale")(pixels)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(784, activation="relu", name="h1")(x)
    x = layers.Dense(784, activation="relu", name="h2")(x)
    logits = layers.Dense(10, name="logits")(x)
    return keras.Model(pixels, logits, name="mnist_student")
