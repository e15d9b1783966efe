"""What a method trains beside the student: regressors and heads, drawn from the run's seed."""

import keras
from keras import layers

from kdutils.models.initialise import OWN_SEEDS, initialise
from kdutils.models.taps import tapped


def regressor(
    student: keras.Model, tap: str, units: int, activation: str | None = None
) -> layers.Dense:
    """Make a layer that leads from a tapped layer of the student to another width.

    Args:
        student: Whose layer.
        tap: Which one, see `kdutils.models.taps`.
        units: The width.
        activation: As in Keras.

    Returns:
        The layer, built: `(B, D)` → `(B, units)`.
    """
    made = layers.Dense(units, activation, name="regressor")
    made.build(tapped(student, [tap]).output[tap].shape)
    return made


def draw(method: layers.Layer, seed: int) -> None:
    """Draw the kernels of a method's modules, on every backend alike.

    Args:
        method: The layer that holds them.
        seed: The run's.
    """
    initialise(method, OWN_SEEDS + seed)
