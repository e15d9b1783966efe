import keras
import pandas as pd
import pytest
from keras import layers

from kdutils import cost, models

SHAPE = (7, 9, 3)


def counted(*stack, shape=SHAPE):
    """The row of the last of some layers, which are stacked on an image."""
    x = image = keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return cost.count(keras.Model(image, x)).iloc[-1]


# By hand, on an image of 7 x 9 with 3 channels. `uses` are the positions of the output, MACs are
# the entries of the kernel times those.
BY_HAND = {
    "valid": (layers.Conv2D(4, 3), (5, 7, 4), 112, 35, 108 * 35, 2 * 108 * 35 + 140),
    "same": (layers.Conv2D(4, 3, padding="same"), (7, 9, 4), 112, 63, 6804, 13608 + 252),
    "strides": (layers.Conv2D(4, (3, 2), strides=2), (3, 4, 4), 76, 12, 864, 1728 + 48),
    "strides, same": (
        layers.Conv2D(4, 3, strides=(2, 3), padding="same", use_bias=False),
        (4, 3, 4),
        108,
        12,
        1296,
        2592,
    ),
    "groups": (layers.Conv2D(6, 3, groups=3), (5, 7, 6), 60, 35, 54 * 35, 3780 + 210),
    "dilation": (layers.Conv2D(2, 3, dilation_rate=2), (3, 5, 2), 56, 15, 810, 1620 + 30),
    "activation": (layers.Conv2D(4, 3, activation="relu"), (5, 7, 4), 112, 35, 3780, 7700),
    "depthwise": (
        layers.DepthwiseConv2D(3, strides=2, depth_multiplier=2),
        (3, 4, 6),
        60,
        12,
        54 * 12,
        1296 + 72,
    ),
    "separable": (
        layers.SeparableConv2D(4, 3, strides=2),
        (3, 4, 4),
        27 + 12 + 4,
        12,
        39 * 12,
        936 + 48,
    ),
    "dense at every position": (layers.Dense(5), (7, 9, 5), 20, 63, 945, 1890 + 315),
    "max pooling": (layers.MaxPooling2D((2, 3), strides=1), (6, 7, 3), 0, 0, 0, 6 * 126),
    "average pooling": (layers.AveragePooling2D(2), (3, 4, 3), 0, 0, 0, 4 * 36),
    "global pooling": (layers.GlobalAveragePooling2D(), (3,), 0, 0, 0, 189),
    "batch normalisation": (layers.BatchNormalization(), SHAPE, 12, 0, 0, 378),
    "rescaling": (layers.Rescaling(1 / 127.5, -1), SHAPE, 0, 0, 0, 378),
    "relu": (layers.ReLU(6), SHAPE, 0, 0, 0, 0),
    "padding": (layers.ZeroPadding2D(1), (9, 11, 3), 0, 0, 0, 0),
    "dropout": (layers.Dropout(0.5), SHAPE, 0, 0, 0, 0),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_layers_cost_what_they_do_by_hand(case):
    layer, *expected = BY_HAND[case]
    row = counted(layer)
    assert row["kind"] == type(layer).__name__
    assert row[["output", "parameters", "uses", "macs", "flops"]].tolist() == expected


def test_a_dense_layer_uses_each_weight_once():
    row = counted(layers.Flatten(), layers.Dense(10))
    assert (row.uses, row.macs, row.flops) == (1, 1890, 3790)


def test_an_addition_counts_every_tensor_after_the_first():
    image = keras.Input(SHAPE)
    total = layers.Add()([image, layers.ReLU()(image), layers.ReLU()(image)])
    assert cost.count(keras.Model(image, total)).flops.sum() == 2 * 189


def test_a_model_inside_a_model_is_counted_by_its_layers():
    inner = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(4, 3), layers.ReLU()])
    image = keras.Input(SHAPE)
    outer = keras.Model(image, layers.GlobalAveragePooling2D()(inner(layers.ReLU()(image))))
    table = cost.count(outer)
    assert table.kind.tolist() == ["InputLayer", "ReLU", "Conv2D", "ReLU", "GlobalAveragePooling2D"]
    assert table.flops.sum() == 7700 + 140


# --- the networks of the report


def table(network):
    """The layers that cost anything, without what they are."""
    rows = cost.count(models.build(network)).query("flops > 0")
    return rows[["layer", "parameters", "macs", "flops"]].reset_index(drop=True)


TEACHER_BY_HAND = [
    ("scale", 0, 0, 2 * 28 * 28),
    ("conv1", 9 * 32 + 32, 26 * 26 * 9 * 32, 2 * 194_688 + 26 * 26 * 32),
    ("pool1", 0, 0, 4 * 25 * 25 * 32),
    ("conv2", 9 * 32 * 64 + 64, 23 * 23 * 9 * 32 * 64, 2 * 9_750_528 + 23 * 23 * 64),
    ("pool2", 0, 0, 4 * 11 * 11 * 64),
    ("fc", 7744 * 128 + 128, 7744 * 128, 2 * 991_232 + 128),
    ("logits", 128 * 10 + 10, 128 * 10, 2 * 1280 + 10),
]
STUDENT_BY_HAND = [
    ("scale", 0, 0, 2 * 784),
    ("h1", 784 * 784 + 784, 784 * 784, 2 * 614_656 + 784),
    ("h2", 784 * 784 + 784, 784 * 784, 2 * 614_656 + 784),
    ("logits", 784 * 10 + 10, 784 * 10, 2 * 7840 + 10),
]


@pytest.mark.parametrize(
    ("network", "by_hand", "totals"),
    [
        ("mnist_teacher", TEACHER_BY_HAND, [1_011_466, 10_937_728, 22_043_626]),
        ("mnist_student", STUDENT_BY_HAND, [1_238_730, 1_237_152, 2_477_450]),
    ],
)
def test_the_networks_layer_by_layer(network, by_hand, totals):
    found = table(network)
    pd.testing.assert_frame_equal(found, pd.DataFrame(by_hand, columns=found.columns))
    assert found[["parameters", "macs", "flops"]].sum().tolist() == totals


needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow has the profiler"
)


@needs_tensorflow
@pytest.mark.parametrize("network", ["mnist_teacher", "mnist_student"])
def test_tensorflows_profiler_counts_as_many(network):
    model = models.build(network)
    assert cost.profiler_flops(model) == cost.count(model).flops.sum()


@needs_tensorflow
@pytest.mark.parametrize(
    ("application", "parameters", "gigamacs"),
    [("ResNet50V2", 23_568_898, 3.480), ("MobileNetV2", 2_260_546, 0.2995)],
)
def test_the_networks_of_task_2(application, parameters, gigamacs):
    image = keras.Input((224, 224, 3))
    build = getattr(keras.applications, application)
    base = build(include_top=False, weights=None, input_shape=(224, 224, 3))
    features = layers.GlobalAveragePooling2D()(base(layers.Rescaling(1 / 127.5, -1)(image)))
    model = keras.Model(image, layers.Dense(2)(layers.Dropout(0.2)(features)))
    counts = cost.count(model)
    assert counts.parameters.sum() == model.count_params() == parameters
    assert counts.macs.sum() / 1e9 == pytest.approx(gigamacs, rel=2e-4)
    # The graph also makes the scale and the shift of batch normalisation of its four statistics,
    # once a call: for each channel a sum, a reciprocal root (2), two products, a difference.
    normalised = counts.query("kind == 'BatchNormalization'").output
    prepared = 6 * sum(channels for *_, channels in normalised)
    assert cost.profiler_flops(model) == counts.flops.sum() + prepared


def test_another_backend_has_no_profiler(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(RuntimeError, match="Keras runs on jax"):
        cost.profiler_flops(models.build("mnist_student"))


# --- what cannot be counted


def test_an_unknown_layer_with_weights_is_named():
    with pytest.raises(ValueError, match=r"layer 'up' is a Conv2DTranspose, .* KERNELS or OTHERS"):
        counted(layers.Conv2DTranspose(4, 3, name="up"))


@pytest.mark.parametrize(
    "kind", [lambda name: layers.Conv2D(4, 3, name=name), layers.GlobalAveragePooling2D]
)
def test_a_layer_of_no_fixed_size_is_named(kind):
    with pytest.raises(ValueError, match="layer 'any' has an input or output of no fixed size"):
        counted(kind(name="any"), shape=(None, None, 3))


def test_channels_first_is_refused():
    pooling = layers.MaxPooling2D(data_format="channels_first", name="first")
    with pytest.raises(ValueError, match="layer 'first' puts channels first"):
        counted(pooling)


# --- bytes


def test_a_file_holds_the_weights_and_little_more():
    student = models.build("mnist_student")
    assert cost.weight_bytes(student) == 4 * 1_238_730
    assert 0 < cost.file_bytes(student) - cost.weight_bytes(student) < 100_000
