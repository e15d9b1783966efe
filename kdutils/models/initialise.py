"""Initial weights that depend on the seed alone, and the check that a head emits logits."""

import keras
import numpy as np

OWN_SEEDS = 1_000_000  # for what is no network of the report, so that it has no network's numbers


def initialise(model: keras.Model, seed: int) -> None:
    """Draw the kernels of a model from NumPy, so that every backend starts from the same weights.

    Kernels are Glorot uniform (Glorot & Bengio 2010, equation 16), Keras' own default; all other
    weights keep the constants they were built with.

    Args:
        model: The model whose weights are replaced, in place.
        seed: Seed of the draw; each weight has a generator of its own.
    """
    for index, weight in enumerate(model.weights):
        if not weight.path.endswith("kernel"):
            continue
        *receptive_field, inputs, outputs = weight.shape
        fan_sum = int(np.prod(receptive_field)) * (inputs + outputs)
        limit = np.sqrt(6.0 / fan_sum)
        generator = np.random.default_rng([seed, index])
        weight.assign(generator.uniform(-limit, limit, weight.shape).astype("float32"))


def require_logits(model: keras.Model) -> None:
    """Refuse a model whose output is already a probability.

    The losses soften logits; a softmax output fed to them is flattened twice and teaches little.

    Raises:
        ValueError: The last layer ends in softmax or sigmoid.
    """
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    squashes = isinstance(last, keras.layers.Softmax) or activation in (
        keras.activations.softmax,
        keras.activations.sigmoid,
    )
    if squashes:
        raise ValueError(
            f"{model.name} ends in a softmax or sigmoid (layer {last.name!r}), but distillation "
            "needs logits: build its last layer without an activation"
        )
