import keras
import numpy as np
import pytest

from kdutils import models
from kdutils.models.initialise import require_logits

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1)).astype("uint8")


@pytest.fixture(scope="module")
def teacher():
    return models.build("mnist_teacher", seed=3)


@pytest.fixture(scope="module")
def student():
    return models.build("mnist_student", seed=3)


def test_parameter_counts(teacher, student):
    assert teacher.count_params() == 1_011_466
    assert student.count_params() == 1_238_730


@pytest.mark.parametrize(
    ("network", "shapes"),
    [
        (
            "teacher",
            {
                "conv1": (26, 26, 32),
                "pool1": (25, 25, 32),
                "conv2": (23, 23, 64),
                "pool2": (11, 11, 64),
                "flatten": (7744,),
                "fc": (128,),
                "logits": (10,),
            },
        ),
        ("student", {"flatten": (784,), "h1": (784,), "h2": (784,), "logits": (10,)}),
    ],
)
def test_shapes_of_the_tapped_layers(network, shapes, request):
    model = request.getfixturevalue(network)
    assert {name: model.get_layer(name).output.shape[1:] for name in shapes} == shapes
    assert model.input_shape == (None, 28, 28, 1)
    assert model.output is model.get_layer("logits").output


def test_the_student_computes_figure_3(student):
    x = IMAGES.reshape(3, 784) / 255
    for name in ("h1", "h2"):
        kernel, bias = student.get_layer(name).get_weights()
        x = np.maximum(x @ kernel + bias, 0)
    kernel, bias = student.get_layer("logits").get_weights()
    np.testing.assert_allclose(student(IMAGES), x @ kernel + bias, atol=1e-5)


def test_the_teacher_computes_figure_2(teacher):
    x = IMAGES / 255
    for convolution, stride in (("conv1", 1), ("conv2", 2)):
        kernel, bias = teacher.get_layer(convolution).get_weights()
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
        x = np.maximum(np.einsum("bijchw,hwcd->bijd", windows, kernel) + bias, 0)
        windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(1, 2))
        x = windows.max(axis=(-2, -1))[:, ::stride, ::stride]
    kernel, bias = teacher.get_layer("fc").get_weights()
    x = np.maximum(x.reshape(3, 7744) @ kernel + bias, 0)
    kernel, bias = teacher.get_layer("logits").get_weights()
    np.testing.assert_allclose(teacher(IMAGES), x @ kernel + bias, atol=1e-5)


@pytest.mark.parametrize("network", ["teacher", "student"])
def test_pixels_may_be_bytes_or_floats(network, request):
    model = request.getfixturevalue(network)
    np.testing.assert_array_equal(model(IMAGES), model(IMAGES.astype("float32")))


@pytest.mark.parametrize("network", models.NETWORKS)
def test_the_seed_alone_decides_the_weights(network):
    keras.utils.set_random_seed(1)
    first, second, other = (models.build(network, seed) for seed in (3, 3, 4))
    for weight, same, another in zip(first.weights, second.weights, other.weights, strict=True):
        np.testing.assert_array_equal(weight, same)
        drawn = weight.path.endswith("kernel")
        assert drawn == (not np.array_equal(weight, another))


def test_initial_weights_are_pinned():
    # Other initial weights would change what all published records mean.
    student = models.build("mnist_student", seed=0)
    teacher = models.build("mnist_teacher", seed=1)
    np.testing.assert_allclose(
        student.get_layer("h1").kernel[0, :3], [0.01694462, -0.02848151, -0.0567898], rtol=1e-6
    )
    np.testing.assert_allclose(
        teacher.get_layer("conv2").kernel[1, 2, 3, :3],
        [-0.05807284, -0.0680064, -0.04007953],
        rtol=1e-6,
    )


def test_kernels_are_glorot_uniform_and_biases_zero(teacher, student):
    bounds = {
        teacher: {
            "conv1": 6 / (9 * 1 + 9 * 32),
            "conv2": 6 / (9 * 32 + 9 * 64),
            "fc": 6 / (7744 + 128),
            "logits": 6 / (128 + 10),
        },
        student: {
            "h1": 6 / (784 + 784),
            "h2": 6 / (784 + 784),
            "logits": 6 / (784 + 10),
        },
    }
    for model, squares in bounds.items():
        for name, square in squares.items():
            kernel, bias = model.get_layer(name).get_weights()
            limit = np.sqrt(square)
            assert 0.97 * limit < np.abs(kernel).max() <= np.float32(limit)
            # Four standard errors of the variance of a uniform draw.
            tolerance = 4 * np.sqrt(0.8 / kernel.size)
            assert kernel.var() == pytest.approx(square / 3, rel=tolerance)
            assert not bias.any()


def test_equal_shapes_get_different_kernels(student):
    assert not np.array_equal(student.get_layer("h1").kernel, student.get_layer("h2").kernel)


def test_dropout_masks_depend_on_the_seed_alone(teacher):
    same, other = models.build("mnist_teacher", seed=3), models.build("mnist_teacher", seed=4)
    other.set_weights(teacher.get_weights())
    fresh = models.build("mnist_teacher", seed=3)
    first, second = fresh(IMAGES, training=True), fresh(IMAGES, training=True)
    np.testing.assert_array_equal(first, same(IMAGES, training=True))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, other(IMAGES, training=True))
    assert not np.array_equal(first, fresh(IMAGES, training=False))
    dropouts = [
        model.get_layer(name) for model in (fresh, other) for name in ("dropout1", "dropout2")
    ]
    assert [layer.rate for layer in dropouts] == [0.5] * 4
    assert len({layer.seed for layer in dropouts}) == 4


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match=r"no network 'resnet'; there are mnist_teacher, mnist_s"):
        models.build("resnet")


SQUASHES = {
    "activation_softmax": lambda x: keras.layers.Dense(3, activation="softmax", name="logits")(x),
    "activation_sigmoid": lambda x: keras.layers.Dense(1, activation="sigmoid", name="logits")(x),
    "layer_softmax": lambda x: keras.layers.Softmax(name="logits")(keras.layers.Dense(3)(x)),
    "layer_activation": lambda x: keras.layers.Activation("softmax", name="logits")(x),
}


@pytest.mark.parametrize("head", SQUASHES)
def test_heads_that_emit_probabilities_are_refused(head):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, SQUASHES[head](inputs), name="squashed")
    with pytest.raises(ValueError, match=r"squashed ends in a softmax or sigmoid \(layer 'logits'"):
        require_logits(model)


def test_heads_that_emit_logits_are_accepted(teacher):
    require_logits(teacher)
    inputs = keras.Input((4,))
    # A softmax inside the network, such as attention's, is no head.
    hidden = keras.layers.Dense(3, activation="softmax")(inputs)
    require_logits(keras.Model(inputs, keras.layers.Dense(3, name="logits")(hidden)))
