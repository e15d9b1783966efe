"""What a network costs on paper: its parameters, and its operations for one image, layer by layer.

Operations are counted, not timed: FLOPs are a number of floating-point operations, FLOP/s would be
a rate. What a machine makes of them is measured in `kdutils.latency`. The convention:

* A multiply-accumulate (MAC), `sum += weight * value`, is 2 FLOPs. Each entry of a kernel is used
  in one MAC at every position of the layer's output; zeros of the padding count as other values do.
* A bias is 1 FLOP for each value of the output.
* Pooling is 1 FLOP for each value in the window, whether it is compared or added.
* Batch normalisation at inference is a scale and a shift, 2 FLOPs for each value; so is rescaling.
* Adding tensors is 1 FLOP for each value and each tensor after the first.
* Activations, and layers that only move values or do nothing at inference, are not counted. A
  ReLU is one comparison for each value, a quarter of a per cent of Task 1's teacher.

TensorFlow's profiler counts in the same way, so `profiler_flops` can check the totals.
"""

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import keras
import pandas as pd
from keras import layers

FLOPS_OF_MAC = 2
FLOAT32_BYTES = 4
KERNELS = {
    layers.Conv2D: ["kernel"],
    layers.DepthwiseConv2D: ["kernel"],
    layers.SeparableConv2D: ["depthwise_kernel", "pointwise_kernel"],
    layers.Dense: ["kernel"],
}
# FLOPs of the layers without a kernel.
OTHERS = {
    layers.Add: lambda layer: (len(layer.input) - 1) * _values(layer.output),
    layers.AveragePooling2D: lambda layer: math.prod(layer.pool_size) * _values(layer.output),
    layers.BatchNormalization: lambda layer: 2 * _values(layer.output),
    layers.GlobalAveragePooling2D: lambda layer: _values(layer.input),
    layers.MaxPooling2D: lambda layer: math.prod(layer.pool_size) * _values(layer.output),
    layers.Rescaling: lambda layer: 2 * _values(layer.output),
}


def count(model: keras.Model) -> pd.DataFrame:
    """Count parameters and operations of one image, in inference.

    Args:
        model: A functional model of images of a fixed size, channels last, which calls each of its
            layers once; models inside it are counted by their own layers.

    Returns:
        One row a layer, in the order of the model: `layer` and `kind`, the shape of its `output`
        without the batch, its `parameters` (those that are not trained included), the `uses` of
        each entry of its kernel (0 without a kernel), its `macs` and its `flops`.

    Raises:
        ValueError: A layer has weights but no rule here; or it has one, but puts channels first or
            takes images of no fixed size.
    """
    return pd.DataFrame([_row(layer) for layer in _layers(model)])


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer


def _row(layer: keras.Layer) -> dict:
    kind, uses, macs, flops = type(layer), 0, 0, 0
    if kind in KERNELS or kind in OTHERS:
        _require_countable(layer)
    if kind in KERNELS:
        uses = math.prod(layer.output.shape[1:-1])
        macs = uses * sum(math.prod(getattr(layer, kernel).shape) for kernel in KERNELS[kind])
        flops = FLOPS_OF_MAC * macs + (_values(layer.output) if layer.use_bias else 0)
    elif kind in OTHERS:
        flops = OTHERS[kind](layer)
    elif layer.weights:
        raise ValueError(
            f"layer {layer.name!r} is a {kind.__name__}, whose operations kdutils.cost cannot "
            "count: give it a rule in KERNELS or OTHERS"
        )
    return {
        "layer": layer.name,
        "kind": kind.__name__,
        "output": layer.output.shape[1:],
        "parameters": layer.count_params(),
        "uses": uses,
        "macs": macs,
        "flops": flops,
    }


def _values(tensor) -> int:
    return math.prod(tensor.shape[1:])


def _require_countable(layer: keras.Layer) -> None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ValueError(f"layer {layer.name!r} puts channels first; only channels last is counted")
    for tensor in keras.tree.flatten([layer.input, layer.output]):
        if None in tensor.shape[1:]:
            raise ValueError(
                f"layer {layer.name!r} has an input or output of no fixed size, {tensor.shape}: "
                "build the model for images of one size"
            )


def weight_bytes(model: keras.Model) -> int:
    """Bytes of the weights alone, in float32."""
    return FLOAT32_BYTES * model.count_params()


def file_bytes(model: keras.Model) -> int:
    """Bytes of the `.keras` file of a model: its weights, uncompressed, and its description."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.stat().st_size


def profiler_flops(model: keras.Model) -> int:
    """Count the operations of one image with TensorFlow's own profiler, to check `count`.

    The profiler walks a graph of TensorFlow's, which no other backend makes: hence this import. In
    that graph batch normalisation first makes a scale and a shift of its four statistics, 6 FLOPs
    for each channel, once a call; `count` leaves them out, as they are no work of an image.

    Raises:
        RuntimeError: Keras runs on another backend.
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"the profiler counts TensorFlow's graphs, but Keras runs on {keras.backend.backend()};"
            " kdutils.cost.count works on every backend"
        )
    import tensorflow as tf

    image = tf.TensorSpec((1, *model.input_shape[1:]), model.input.dtype)
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(image).graph
    profiler = tf.compat.v1.profiler
    options = profiler.ProfileOptionBuilder(profiler.ProfileOptionBuilder.float_operation())
    return profiler.profile(graph, options=options.with_empty_output().build()).total_float_ops
