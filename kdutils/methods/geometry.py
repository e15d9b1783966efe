"""Distances and angles among the samples of a batch, with gradients that stay finite."""

import numpy as np
from keras import ops

from kdutils.methods.distiller import at_least_float32

TINY = 1e-12
NEAREST = 1e-6  # of the mean squared distance: two samples this near have no direction


def _dot_products(features):
    """Dot products `(B, B)` of features seen from their mean, and the squared distances."""
    features = at_least_float32(features)
    features = ops.reshape(features, (-1, int(np.prod(features.shape[1:]))))
    # The mean changes no distance, and without it less is lost to rounding.
    features = features - ops.mean(features, axis=0, keepdims=True)
    products = ops.matmul(features, ops.transpose(features))
    squares = ops.diagonal(products)
    distances = squares[:, None] + squares[None, :] - 2 * products
    apart = distances > NEAREST * ops.mean(distances)
    # Where the root would be of nothing, it has no gradient.
    return products, ops.where(apart, distances, 1.0), apart


def relative_distances(features):
    """Distances between the samples of a batch, divided by their mean over different samples.

    Args:
        features: `(B, …)`.

    Returns:
        `(B, B)`, from 0 on.
    """
    _, squared, apart = _dot_products(features)
    distances = ops.where(apart, ops.sqrt(squared), 0.0)
    count = distances.shape[0] or ops.shape(distances)[0]
    mean = ops.sum(distances) / ops.cast(count * (count - 1), distances.dtype)
    return distances / ops.maximum(mean, TINY)


def cosines_of_angles(features):
    """Cosines of the angles that triplets of samples make.

    Args:
        features: `(B, …)`.

    Returns:
        `(B, B, B)`: at `(i, j, k)` that of the angle at `j`, between the directions to `i` and `k`.
    """
    products, squared, apart = _dot_products(features)
    inverse = ops.where(apart, ops.rsqrt(squared), 0.0)
    at_vertex = (
        products[:, None, :]
        - products[:, :, None]
        - products[None, :, :]
        + ops.diagonal(products)[None, :, None]
    )
    return at_vertex * inverse[:, :, None] * inverse[None, :, :]
