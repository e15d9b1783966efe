import functools

import keras
import numpy as np
import pytest
from keras import layers

from kdutils import architectures, cost


@functools.cache
def network(name):
    return architectures.build(name)


def steps(found):
    return [(step.words, *step.shape[2:]) for step in found]


# --- the counts that are published

# With their heads of 1,000 classes, as Keras documents them.
PUBLISHED = {
    "resnet50": (25_636_712, 3.858),
    "resnet50v2": (25_613_800, 3.482),
    "mobilenet": (4_253_864, 0.569),
    "mobilenetv2": (3_538_984, 0.301),
}
TWO_CLASSES = {"resnet50v2": (23_568_898, 3.480), "mobilenetv2": (2_260_546, 0.299)}
FEATURES = {"resnet50": 2048, "resnet50v2": 2048, "mobilenet": 1024, "mobilenetv2": 1280}


@pytest.mark.parametrize("name", architectures.NETWORKS)
def test_the_networks_have_their_published_parameters_and_macs(name):
    counts = cost.count(network(name))
    parameters, macs = counts.parameters.sum(), counts.macs.sum()
    assert parameters == network(name).count_params()
    if name in TWO_CLASSES:
        expected, billions = TWO_CLASSES[name]
        assert parameters == expected
        assert macs / 1e9 == pytest.approx(billions, abs=6e-4)
    # Another 998 classes have so many further weights, used once each, and biases.
    added = 998 * FEATURES[name]
    expected, billions = PUBLISHED[name]
    assert parameters + added + 998 == expected
    assert (macs + added) / 1e9 == pytest.approx(billions, abs=6e-4)


def test_the_ratios_of_teacher_and_student():
    teacher, student = (
        cost.count(network(name))[["parameters", "macs"]].sum()
        for name in ("resnet50v2", "mobilenetv2")
    )
    assert (teacher / student).round(1).tolist() == [10.4, 11.6]


def test_a_network_takes_bytes_and_gives_logits():
    model = network("mobilenetv2")
    assert model.input_shape == (None, 224, 224, 3)
    assert model.output_shape == (None, 2)
    assert model.layers[-1].activation is keras.activations.linear


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match="no network 'vgg'; there are resnet50, resnet50v2, mob"):
        architectures.build("vgg")


# --- blocks, read from the graph

CONV1, CONV3 = "1 × 1 convolution", "3 × 3 convolution"
SHORT = {CONV1: "1×1", CONV3: "3×3", "3 × 3 depthwise": "depthwise", "batch norm": "BN"}


def in_short(found):
    """The steps in few letters, convolutions with their channels."""
    return " ".join(
        SHORT.get(step.words, step.words)
        + (f":{step.shape[-1]}" if step.parameters and step.words != "batch norm" else "")
        for step in found
    )


@pytest.mark.parametrize(
    ("name", "branch", "after", "followers"),
    [
        (
            "resnet50",
            "1×1:128 BN ReLU 3×3:128 BN ReLU 1×1:512 BN",
            "ReLU",
            [(CONV1, 128), ("addition", 512)],
        ),
        (
            "resnet50v2",
            "BN ReLU 1×1:128 BN ReLU padding 3×3:128 BN ReLU 1×1:512",
            "",
            [("batch norm", 512), ("addition", 512)],
        ),
        (
            "mobilenetv2",
            "1×1:192 BN ReLU6 depthwise:192 BN ReLU6 1×1:32 BN",
            "",
            [(CONV1, 192), ("addition", 32)],
        ),
    ],
)
def test_a_block_with_an_identity_skip(name, branch, after, followers):
    block = architectures.block(network(name), architectures.BLOCKS[name])
    assert in_short(block.branch) == branch
    assert block.shortcut == []
    assert in_short(block.after) == after
    assert steps(block.followers) == followers
    assert block.shape == (28, 28, block.followers[1].shape[-1])


def test_a_block_of_mobilenet_v1_has_no_skip():
    block = architectures.block(network("mobilenet"), architectures.BLOCKS["mobilenet"])
    assert in_short(block.branch) == "depthwise:256 BN ReLU6 1×1:256 BN ReLU6"
    assert (block.shortcut, block.after) == (None, [])
    assert block.branch[0].parameters == 9 * 256
    assert block.branch[3].parameters == 256 * 256


@pytest.mark.parametrize(
    ("name", "pattern", "shortcut", "stride"),
    [
        # Version 1 strides in the first convolution of a stage, Keras' version 2 in its last block.
        ("resnet50", "conv3_block1", [f"{CONV1}, stride 2", "batch norm"], f"{CONV1}, stride 2"),
        ("resnet50v2", "conv3_block1", [CONV1], None),
        ("resnet50v2", "conv3_block4", ["pooling"], f"{CONV3}, stride 2"),
    ],
)
def test_what_a_skip_does_where_shapes_change(name, pattern, shortcut, stride):
    block = architectures.block(network(name), pattern)
    assert [step.words for step in block.shortcut] == shortcut
    assert {step.words for step in block.branch if "stride" in step.words} == {stride} - {None}


def test_a_block_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="mobilenetv2 has no layer whose name starts with 'conv9'"):
        architectures.block(network("mobilenetv2"), "conv9")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50", (12, 0, 4)),
        ("resnet50v2", (9, 3, 4)),
        ("mobilenet", (0, 0, 0)),
        ("mobilenetv2", (10, 0, 0)),
    ],
)
def test_skips_are_counted_by_what_they_do(name, expected):
    assert tuple(architectures.skips(network(name)).values()) == expected


# --- where parameters and MACs are


@pytest.mark.parametrize("name", ["resnet50v2", "mobilenetv2"])
def test_stages_add_up(name):
    found = architectures.stages(network(name))
    counts = cost.count(network(name))
    assert found.side.tolist() == [112, 56, 28, 14, 7, 1]
    assert found.parameters.sum() == counts.parameters.sum()
    assert found.macs.sum() == counts.macs.sum()


def test_the_first_stage_and_the_head_by_hand():
    found = architectures.stages(network("mobilenetv2")).set_index("side")
    # 3 x 3 x 3 to 32; 3 x 3 depthwise on 32; 1 x 1 to 16; 1 x 1 to 96; 4 statistics each.
    kernels = [27 * 32, 9 * 32, 32 * 16, 16 * 96]
    assert found.macs[112] == 112 * 112 * sum(kernels)
    assert found.parameters[112] == sum(kernels) + 4 * (32 + 32 + 16 + 96)
    assert found.loc[112, ["narrowest", "widest"]].tolist() == [16, 96]
    assert found.loc[1, ["parameters", "macs"]].tolist() == [2562, 2560]


def test_channels_along_the_way():
    wide = architectures.widths(network("resnet50v2"))
    assert wide.channels.tolist()[:7] == [64, 64, 64, 256, 64, 64, 256]
    assert len(wide) == 49
    thin = architectures.widths(network("mobilenetv2"))
    assert thin.channels.tolist()[:9] == [32, 32, 16, 96, 96, 24, 144, 144, 24]
    assert len(thin) == 52


def separable(channels_in, channels_out, side=8):
    image = keras.Input((side, side, channels_in))
    x = layers.Conv2D(channels_in, 3, padding="same", use_bias=False)(image)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(channels_out, 1, use_bias=False)(x)
    return keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def test_macs_by_kind_and_without_separation_by_hand():
    model = separable(4, 10)
    positions, first, head = 64, 64 * 9 * 4 * 4, 20
    assert architectures.macs_by_kind(model) == {
        "depthwise": positions * 9 * 4,
        "pointwise": positions * 4 * 10,
        "other": first + head,
    }
    assert architectures.macs_without_separation(model) == positions * 9 * 4 * 10 + first + head


def test_mobilenet_of_ordinary_convolutions_costs_what_its_paper_says():
    # Howard et al. 2017, table 4: 4866 million multiply-adds, against 569.
    assert architectures.macs_without_separation(network("mobilenet")) / 1e6 == pytest.approx(
        4866, abs=2
    )


# --- time


def test_latency_is_measured_at_every_side(monkeypatch):
    seen = []

    def measure_networks(networks, images, repetitions):
        seen.append({name: model.input_shape[1] for name, model in networks.items()})
        return {"calls": [{"images": images[0]}], "memory": [{"bytes": repetitions}]}

    monkeypatch.setattr(architectures.latency, "measure_networks", measure_networks)
    found = architectures.measure_latency(
        None, [], networks=["mobilenetv2"], sides=[32, 64], images=[1], repetitions=5
    )
    assert seen == [{"mobilenetv2": 32}, {"mobilenetv2": 64}]
    assert found == {
        "calls": [{"side": 32, "images": 1}, {"side": 64, "images": 1}],
        "memory": [{"side": 32, "bytes": 5}, {"side": 64, "bytes": 5}],
    }


def test_the_number_of_weights_does_not_depend_on_the_side():
    small = architectures.build("mobilenetv2", side=32)
    assert small.count_params() == TWO_CLASSES["mobilenetv2"][0]
    assert np.isfinite(small(np.zeros((1, 32, 32, 3), "float32"))).all()
