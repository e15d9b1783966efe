"""Transfer learning: weights that another training left, and a network cut where it is frozen."""

import keras
from keras import layers

from kdutils.models.histology import APPLICATIONS
from kdutils.paths import data_folders

FILES = {
    "resnet50v2": "resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "mobilenetv2": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
}
"""As Keras names them in its cache, `~/.keras/models`."""

HEAD = ("logits", "subclass_logits")


class WeightsError(RuntimeError):
    """Weights that a run starts from cannot be had; the message says what to do."""


@keras.saving.register_keras_serializable("kdutils")
class FixedStatistics(layers.BatchNormalization):
    """Batch normalisation by its stored mean and variance, in training as in inference.

    A layer of its own, as a functional model hands its mode to all of its layers.
    """

    def call(self, inputs, training=None, mask=None):
        """Normalise by the stored statistics."""
        del training
        return super().call(inputs, training=False, mask=mask)


def transfer(source: keras.Model, target: keras.Model) -> None:
    """Copy the weights of one network into another that shares its layers, by their names.

    Args:
        source: Where they come from.
        target: Where they go. Its head is left as it is, unless all of its layers are the source's.

    Raises:
        ValueError: A layer below the head is missing in the source, or has other shapes.
    """
    if [each.shape for each in source.weights] == [each.shape for each in target.weights]:
        target.set_weights(source.get_weights())
        return
    known = {layer.name: layer for layer in source.layers}
    for layer in target.layers:
        if layer.name in HEAD or not layer.weights:
            continue
        given = known[layer.name].get_weights() if layer.name in known else []
        if [each.shape for each in given] != [tuple(each.shape) for each in layer.weights]:
            raise ValueError(
                f"{source.name} has no layer {layer.name!r} like that of {target.name}, so its "
                "weights cannot be transferred"
            )
        layer.set_weights(given)


def load_imagenet(model: keras.Model) -> None:
    """Give a network the weights that Keras publishes for its base; the head stays as it is.

    They are looked for on the data path (`imagenet/`), then in Keras' cache, then downloaded.

    Args:
        model: Of `kdutils.models.histology`.

    Raises:
        WeightsError: They can be had nowhere.
    """
    application = APPLICATIONS[model.name]
    files = [
        path for folder in data_folders() for path in folder.glob(f"imagenet/{FILES[model.name]}")
    ]
    try:
        base = application(include_top=False, weights=str(files[0]) if files else "imagenet")
    except Exception as error:  # of the network, of the archive, of a file that is another's
        where = files[0] if files else "Keras' download"
        raise WeightsError(
            f"The ImageNet weights of {model.name} cannot be had from {where}: {error}. Put Keras' "
            f"{FILES[model.name]} into the folder imagenet/ of {data_folders()[0]}, or of a folder "
            "that KDUTILS_DATA names; or start from another source (weights=None)."
        ) from error
    transfer(base, model)


def with_fixed_statistics(model: keras.Model) -> keras.Model:
    """Copy a network so that batch normalisation goes by its stored statistics in training too.

    Its scale and shift are still trained. That is how a pre-trained base is fine-tuned: the
    statistics of a few small batches would spoil those of the training that made it.

    Args:
        model: A functional model, which is left as it is; without such layers it is returned.
    """
    if not any(isinstance(layer, layers.BatchNormalization) for layer in model.layers):
        return model

    def copied(layer):
        fixed = isinstance(layer, layers.BatchNormalization)
        return (FixedStatistics if fixed else type(layer)).from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=copied)
    copy.set_weights(model.get_weights())
    return copy


def above(model: keras.Model, cut: str) -> keras.Model:
    """Copy the part of a network that reads the output of a layer, on which all that follows rests.

    Args:
        model: A functional model, which is left as it is; `put_back` brings it up to date.
        cut: The name of the layer.

    Returns:
        A model of the same name and output.
    """
    part = keras.Model(model.get_layer(cut).output, model.output, name=model.name)
    # Its layers are the model's, of which each knows that graph first: copies know this one alone.
    copy = keras.models.clone_model(part)
    copy.set_weights(part.get_weights())
    return copy


def put_back(part: keras.Model, model: keras.Model) -> None:
    """Give a network the weights of a part of it, see `above`."""
    for layer in part.layers:
        if layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())
