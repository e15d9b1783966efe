"""Vectors of length 1, which several methods compare."""

from keras import ops

from kdutils.methods.distiller import at_least_float32

EPSILON = 1e-12


def unit_vectors(features):
    """Scale the rows of `(B, D)` to length 1; a row of zeros stays one, with a finite gradient."""
    features = at_least_float32(features)
    squares = ops.sum(ops.square(features), axis=-1, keepdims=True)
    return features * ops.rsqrt(ops.maximum(squares, EPSILON))
