"""Facts about the networks of Task 2 and their predecessors, read from the graphs of Keras.

The weights are random throughout: nothing that is counted, drawn or timed here depends on them.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
from keras import applications, layers

from kdutils import cost, latency

NETWORKS: dict[str, Callable[..., keras.Model]] = {
    "resnet50": applications.ResNet50,
    "resnet50v2": applications.ResNet50V2,
    "mobilenet": applications.MobileNet,
    "mobilenetv2": applications.MobileNetV2,
}
BLOCKS = {
    "resnet50": "conv3_block2",
    "resnet50v2": "conv3_block2",
    "mobilenet": "conv_(dw|pw)_5",
    "mobilenetv2": "block_4",
}
"""One block of each, as a pattern of the names of its layers: in the middle, on 28 x 28 positions
of an image of 224 pixels, and of the same shape at both ends."""


@dataclass(frozen=True)
class Step:
    """One layer of a block.

    Args:
        layer: Its name.
        words: What it does, in words for a drawing.
        shape: Of its output, without the batch.
        parameters: How many it has.
    """

    layer: str
    words: str
    shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class Block:
    """The layers of a block, each list in the order of the graph.

    Args:
        branch: The longest way through the block, up to the addition where there is one.
        shortcut: The other way to the addition: empty for an identity, `None` without an addition.
        after: What the block does after the addition.
        shape: What enters the block.
        followers: The layers after the block that take its output.
    """

    branch: list[Step]
    shortcut: list[Step] | None
    after: list[Step]
    shape: tuple[int, ...]
    followers: list[Step]


def build(name: str, side: int = 224, classes: int = 2) -> keras.Model:
    """Build a network with random weights, all its layers in one model.

    Args:
        name: One of `NETWORKS`.
        side: Of the images, in pixels.
        classes: Logits it ends in.

    Returns:
        A functional model, pixels from 0 to 255 in and logits out.

    Raises:
        ValueError: There is no such network.
    """
    if name not in NETWORKS:
        raise ValueError(f"no network {name!r}; there are {', '.join(NETWORKS)}")
    pixels = keras.Input((side, side, 3), name="pixels")
    base = NETWORKS[name](
        include_top=False,
        weights=None,
        input_tensor=layers.Rescaling(1 / 127.5, -1, name="scale")(pixels),
        input_shape=(side, side, 3),
        pooling="avg",
    )
    return keras.Model(pixels, layers.Dense(classes, name="logits")(base.output), name=name)


def block(model: keras.Model, pattern: str) -> Block:
    """Read one block of a network from its graph.

    Args:
        model: Functional, each layer called once.
        pattern: Regular expression that the names of the layers of the block start with, up to an
            underscore or their end.

    Raises:
        ValueError: No layer has such a name.
    """
    sources = _sources(model)
    members = [each for each in model.layers if re.match(f"({pattern})(_|$)", each.name)]
    if not members:
        raise ValueError(f"{model.name} has no layer whose name starts with {pattern!r}")

    def way_back(layer, goes_on):
        way = []
        while goes_on(layer):
            way.append(layer)
            layer = sources[layer.name][0]
        return way[::-1]

    additions = [each for each in members if isinstance(each, layers.Add)]
    if additions:
        ends = sources[additions[0].name]
        branch = max((way_back(end, members.__contains__) for end in ends), key=len)
        # Not by name: Keras gives the pooling of a skip none that tells of its block.
        known = [*branch, sources[branch[0].name][0]]
        (end,) = (each for each in ends if each is not branch[-1])
        shortcut = way_back(end, lambda layer: layer not in known)
        after = members[members.index(additions[0]) + 1 :]
    else:
        branch, shortcut, after = way_back(members[-1], members.__contains__), None, []
    last = (after or additions or branch)[-1]
    entry = sources[branch[0].name][0]
    return Block(
        _steps(branch),
        None if shortcut is None else _steps(shortcut),
        _steps(after),
        tuple(entry.output.shape[1:]),
        _steps(each for each in model.layers if last in sources[each.name]),
    )


def skips(model: keras.Model) -> dict[str, int]:
    """Count the additions of a network by what the shorter of their two ways does.

    Returns:
        How many are an `identity`, how many `subsample` by pooling, and how many `project` by a
        convolution.
    """
    sources = _sources(model)
    counts = dict.fromkeys(("identity", "subsample", "project"), 0)
    for addition in (each for each in model.layers if isinstance(each, layers.Add)):
        one, other = sources[addition.name]
        pooled = [each for each in (one, other) if isinstance(each, layers.MaxPooling2D)]
        if one in _ancestors(other, sources) or other in _ancestors(one, sources):
            counts["identity"] += 1
        else:
            counts["subsample" if pooled else "project"] += 1
    return counts


def stages(model: keras.Model) -> pd.DataFrame:
    """Sum parameters and MACs of the layers whose output has the same side.

    Returns:
        A row for each `side` of an output, in pixels, from the largest to the head, whose side is
        1: `narrowest` and `widest`, the fewest and the most channels that a convolution gives
        there, and `parameters` and `macs` (of one image).
    """
    counts = cost.count(model).query("parameters > 0").copy()
    counts["side"] = [shape[0] if len(shape) == 3 else 1 for shape in counts["output"]]
    counts["channels"] = [shape[-1] for shape in counts["output"]]
    groups = counts.groupby("side")
    found = groups[["parameters", "macs"]].sum()
    channels = counts[counts["uses"] > 0].groupby("side")["channels"]
    found.insert(0, "narrowest", channels.min())
    found.insert(1, "widest", channels.max())
    return found.sort_index(ascending=False).reset_index()


def widths(model: keras.Model) -> pd.DataFrame:
    """Channels after every convolution on the longest way through a network.

    Returns:
        A row a convolution, in order: `layer`, `side` and `channels` of its output.
    """
    shortcuts = re.compile(r"_0_conv$")  # the projections of Keras' residual networks
    found = [
        (each.name, *each.output.shape[2:])
        for each in model.layers
        if isinstance(each, layers.Conv2D | layers.DepthwiseConv2D)
        and not shortcuts.search(each.name)
    ]
    return pd.DataFrame(found, columns=["layer", "side", "channels"])


def macs_by_kind(model: keras.Model) -> dict[str, int]:
    """MACs of one image in `depthwise`, in `pointwise` (1 x 1) and in all `other` layers."""
    counts = cost.count(model).set_index("layer")["macs"]
    found = dict.fromkeys(("depthwise", "pointwise", "other"), 0)
    for layer in model.layers:
        if isinstance(layer, layers.DepthwiseConv2D):
            kind = "depthwise"
        elif isinstance(layer, layers.Conv2D) and layer.kernel_size == (1, 1):
            kind = "pointwise"
        else:
            kind = "other"
        found[kind] += int(counts[layer.name])
    return found


def macs_without_separation(model: keras.Model) -> int:
    """MACs of one image if ordinary convolutions stood in the place of separable ones.

    Each depthwise convolution with the pointwise one that follows would be one convolution, of
    the kernel of the first and the channels of the second.
    """
    counts = cost.count(model).set_index("layer")
    total = int(counts["macs"].sum())
    depthwise = None
    for layer in model.layers:
        if isinstance(layer, layers.DepthwiseConv2D):
            depthwise = layer
        elif isinstance(layer, layers.Conv2D) and depthwise is not None:
            kernel = np.prod([*depthwise.kernel_size, *layer.kernel.shape[2:]])
            total += int(kernel * counts["uses"][layer.name])
            total -= int(counts["macs"][[depthwise.name, layer.name]].sum())
            depthwise = None
    return total


def measure_latency(
    ledger,
    runs,
    networks: Sequence[str],
    sides: Sequence[int],
    images: Sequence[int],
    repetitions: int,
) -> dict:
    """Measure time and memory of networks on images of several sizes, for `Ledger.analyse`.

    Args:
        ledger: Unused: nothing here rests on a recorded run.
        runs: None, for the same reason.
        networks: Names in `NETWORKS`; times are compared with those of the first.
        sides: Of the images, in pixels.
        images: How many images a call takes, for each kind of call.
        repetitions: Timed calls of each kind.

    Returns:
        What `kdutils.latency.measure_networks` returns, each row with its `side`.

    Raises:
        kdutils.latency.MeasurementError: A process failed.
    """
    del ledger, runs
    found = {"calls": [], "memory": []}
    for side in sides:
        built = {name: build(name, side) for name in networks}
        measured = latency.measure_networks(built, images, repetitions)
        for what, rows in measured.items():
            found[what] += [{"side": side} | row for row in rows]
    return found


def _sources(model: keras.Model) -> dict[str, list[keras.Layer]]:
    """For each layer by name, the layers whose output it takes."""
    made_by = {id(each.output): each for each in model.layers}
    return {
        each.name: []
        if isinstance(each, layers.InputLayer)
        else [made_by[id(tensor)] for tensor in keras.tree.flatten(each.input)]
        for each in model.layers
    }


def _ancestors(layer: keras.Layer, sources: dict[str, list[keras.Layer]]) -> set[keras.Layer]:
    """The layers that come before one, back to the last addition before it and including that."""
    found, left = set(), [layer]
    while left:
        for source in sources[left.pop().name]:
            found.add(source)
            if not isinstance(source, layers.Add):
                left.append(source)
    return found


def _steps(each_layer) -> list[Step]:
    return [
        Step(each.name, _words(each), tuple(each.output.shape[1:]), each.count_params())
        for each in each_layer
    ]


def _words(layer: keras.Layer) -> str:
    match layer:
        case layers.DepthwiseConv2D() | layers.Conv2D():
            size = " × ".join(map(str, layer.kernel_size))
            kind = "depthwise" if isinstance(layer, layers.DepthwiseConv2D) else "convolution"
            stride = f", stride {layer.strides[0]}" if layer.strides[0] > 1 else ""
            return f"{size} {kind}{stride}"
        case layers.ReLU():
            return "ReLU" if layer.max_value is None else f"ReLU{layer.max_value:g}"
        case layers.Activation():
            return {"relu": "ReLU"}.get(layer.activation.__name__, layer.activation.__name__)
    return {
        "BatchNormalization": "batch norm",
        "Add": "addition",
        "MaxPooling2D": "pooling",
        "ZeroPadding2D": "padding",
    }.get(type(layer).__name__, type(layer).__name__)
