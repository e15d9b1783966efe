"""Branches that a teacher is trained with: what the student would make of its features."""

import keras
from keras import layers

from kdutils.models.initialise import OWN_SEEDS, initialise


def mnist_branches(seed: int) -> dict[str, keras.Model]:
    """Branches off the MNIST teacher, in the form of the MNIST student's later layers.

    Args:
        seed: Fixes the initial weights.

    Returns:
        By tap of the teacher (see `kdutils.models.taps`): outputs of that layer → `(B, 10)` logits.
        From `early` on, both hidden layers and the head follow; from `middle` on the second hidden
        layer and the head. Feature maps are first pooled to 5 x 5.
    """
    # The first dense layer has the width of the student's, so it is at once what fits the shapes.
    early = _branch((25, 25, 32), pool=5, hidden=2)
    middle = _branch((11, 11, 64), pool=2, hidden=1)
    for number, branch in enumerate((early, middle)):
        initialise(branch, OWN_SEEDS + 2 * seed + number)
    return {"early": early, "middle": middle}


def _branch(shape, pool, hidden):
    maps = keras.Input(shape)
    x = layers.Flatten()(layers.AveragePooling2D(pool)(maps))
    for _ in range(hidden):
        x = layers.Dense(784, activation="relu")(x)
    return keras.Model(maps, layers.Dense(10)(x))
