"""How near a value has to come: Keras rounds means to float32, except on TensorFlow."""

import keras

FLOAT64 = keras.backend.backend() == "tensorflow"


def within(exact: float) -> float:
    """The tolerance in double precision, or that of float32 where the backend has no better."""
    return exact if FLOAT64 else max(exact, 1e-5)
