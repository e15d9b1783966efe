import keras
import numpy as np
import pytest
import toy
from keras import layers
from scipy import stats
from scipy.special import expit

from kdutils import explain, models

RANDOM = np.random.default_rng(7)
WEIGHTS = RANDOM.normal(size=(16, 3))
IMAGES = RANDOM.integers(1, 256, (5, 4, 4, 1)).astype("uint8")
CLASSES = np.array([0, 1, 2, 0, 1])


def linear(weights, bias=0.5):
    """Logits `x · weights + bias` of images of four by four pixels."""
    pixels = keras.Input((4, 4, 1))
    dense = layers.Dense(weights.shape[1], name="logits")
    model = keras.Model(pixels, dense(layers.Flatten()(pixels)))
    dense.set_weights([weights, np.full(weights.shape[1], bias)])
    return model


def slopes(weights, classes):
    """Gradient of the explained score of a linear model, as images."""
    return (weights - weights.mean(axis=1, keepdims=True)).T[classes].reshape(-1, 4, 4)


def test_the_score_is_the_logit_less_the_mean_logit():
    logits = np.array([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]], "float32")
    scores = keras.ops.convert_to_numpy(explain.class_scores(logits, np.array([2, 0])))
    assert scores.tolist() == [3.0, -1.0]
    shifted = explain.class_scores(logits + 5, np.array([2, 0]))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(shifted), scores)


def test_gradients_of_a_linear_model_are_its_weights_in_any_batches(monkeypatch):
    monkeypatch.setattr(explain, "GRADIENT_BATCH", 2)
    gradients = explain.input_gradients(linear(WEIGHTS), IMAGES, CLASSES)
    assert gradients.shape == IMAGES.shape
    np.testing.assert_allclose(gradients[..., 0], slopes(WEIGHTS, CLASSES), rtol=1e-5)


def test_gradients_leave_dropout_and_weights_alone(small):
    model = models.build("mnist_teacher")
    before = [weight.copy() for weight in model.get_weights()]
    once, again = (explain.input_gradients(model, IMAGES, CLASSES) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert once.any()
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


@pytest.mark.parametrize("steps", [1, 32])
def test_integrated_gradients_of_a_linear_model_are_weight_times_input(steps):
    maps = explain.integrated_gradients(linear(WEIGHTS), IMAGES, CLASSES, steps)
    np.testing.assert_allclose(maps, IMAGES[..., 0] * slopes(WEIGHTS, CLASSES), rtol=1e-4)


def test_integrated_gradients_are_complete_on_a_network_that_is_not_linear():
    model = models.build("mnist_teacher", seed=3)
    for weight in model.weights:
        if weight.name == "bias":  # without biases a ReLU network is linear on the way from black
            weight.assign(RANDOM.normal(scale=0.2, size=weight.shape))
    images = RANDOM.integers(0, 256, (4, 28, 28, 1)).astype("uint8")
    classes = np.array([0, 3, 5, 9])

    def score(images):
        return keras.ops.convert_to_numpy(explain.class_scores(model(images), classes))

    rise = score(images) - score(np.zeros_like(images))
    assert np.abs(rise).min() > 0.01
    maps = explain.integrated_gradients(model, images, classes)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), rise, rtol=0.02, atol=0.002)
    plain = (images * explain.input_gradients(model, images, classes)).sum(axis=(1, 2, 3))
    assert not np.allclose(plain, rise, rtol=0.02, atol=0.002), "the path would not matter"


def test_integrated_gradients_add_up_colours():
    pixels = keras.Input((2, 2, 3))
    dense = layers.Dense(2)
    model = keras.Model(pixels, dense(layers.Flatten()(pixels)))
    kernel = np.zeros((12, 2))
    kernel[:3, 0] = 2, 4, 6  # the first pixel's red, green and blue
    dense.set_weights([kernel, np.zeros(2)])
    images = np.full((1, 2, 2, 3), 10, "uint8")
    maps = explain.integrated_gradients(model, images, np.array([0]))
    np.testing.assert_allclose(maps, [[[60, 0], [0, 0]]], rtol=1e-5)


def test_occlusion_of_a_linear_model_is_the_mean_fall_over_the_squares_on_a_pixel():
    maps = explain.occlusion(linear(WEIGHTS), IMAGES, CLASSES, window=2, stride=1)
    parts = IMAGES[..., 0] * slopes(WEIGHTS, CLASSES)
    expected = np.zeros((5, 4, 4))
    for row in range(4):
        for column in range(4):
            squares = [
                parts[:, top : top + 2, left : left + 2].sum(axis=(1, 2))
                for top in range(3)
                for left in range(3)
                if top <= row < top + 2 and left <= column < left + 2
            ]
            expected[:, row, column] = np.mean(squares, axis=0)
    np.testing.assert_allclose(maps, expected, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize(("window", "stride"), [(3, 2), (1, 2), (5, 1)])
def test_occlusion_refuses_squares_that_leave_pixels_out(window, stride):
    with pytest.raises(ValueError, match=f"squares of {window} pixels, one every {stride}, leave"):
        explain.occlusion(linear(WEIGHTS), IMAGES, CLASSES, window, stride)


def convolutional(kernel, weights):
    """One convolution without padding, then linear logits."""
    pixels = keras.Input((4, 4, 1))
    convolution = layers.Conv2D(2, kernel.shape[0], use_bias=False, name="conv")
    dense = layers.Dense(2, use_bias=False)
    model = keras.Model(pixels, dense(layers.Flatten()(convolution(pixels))))
    convolution.set_weights([kernel])
    dense.set_weights([weights])
    return model


def test_grad_cam_of_a_small_network_is_as_by_hand():
    kernel = np.zeros((3, 3, 1, 2))
    kernel[1, 1, 0] = 1, -3  # the channels are the middle pixel, once and minus three times
    weights = np.zeros((4, 2, 2))  # cell, channel, class
    weights[:, 0, 0] = 8, 0, 0, 0
    weights[:, 1, 0] = 2, 2, 2, -2
    # Less the mean of the two classes the gradients are half of these: on average 1 and 0.5.
    images = np.arange(16, dtype="uint8").reshape(1, 4, 4, 1)
    model = convolutional(kernel, weights.reshape(8, 2))
    middle = np.array([[5, 6], [9, 10]])
    against = explain.grad_cam(model, images, np.array([0]), "conv", margin=1)
    np.testing.assert_allclose(against, np.zeros((1, 4, 4)))  # 1 · x - 1.5 · x is cut off
    [found] = explain.grad_cam(model, images, np.array([1]), "conv", margin=1)
    np.testing.assert_allclose(found[1:3, 1:3], 0.5 * middle, rtol=1e-5)
    np.testing.assert_allclose(found, 0.5 * np.pad(middle, 1, mode="edge"), rtol=1e-5)


def test_grad_cam_spreads_cells_over_the_image_where_nothing_is_lost_at_its_edges():
    kernel = np.array([[1.0, 0.0], [0.0, 0.0]])[:, :, None, None] * [1.0, 0.0]
    pixels = keras.Input((4, 4, 1))
    convolution = layers.Conv2D(2, 2, strides=2, use_bias=False, name="conv")
    dense = layers.Dense(2, use_bias=False)
    model = keras.Model(pixels, dense(layers.Flatten()(convolution(pixels))))
    convolution.set_weights([kernel])
    weights = np.zeros((4, 2, 2))
    weights[:, 0, 0] = 2
    dense.set_weights([weights.reshape(8, 2)])
    images = np.zeros((1, 4, 4, 1), "uint8")
    images[0, :, 2:] = 8
    [found] = explain.grad_cam(model, images, np.array([0]), "conv")
    np.testing.assert_allclose(found, np.tile([0, 2, 6, 8], (4, 1)), rtol=1e-5)


def test_grad_cam_is_for_networks_with_convolutions():
    assert list(explain.methods("mnist_student")) == ["integrated gradients", "occlusion"]
    teacher = models.build("mnist_teacher", seed=1)
    method = explain.methods("mnist_teacher")["Grad-CAM"]
    image = np.zeros((1, 28, 28, 1), "uint8")
    image[0, 14, 14] = 255
    lit, dark = (method(teacher, images, np.array([0])) for images in (image, 0 * image))
    changed = np.argwhere(np.abs(lit - dark)[0] > 1e-6)
    # The cells that see the pixel are centred up to 2.5 pixels from it, and reach one further.
    assert np.abs(changed - 14).max() <= 3
    np.testing.assert_allclose(changed.min(axis=0) + changed.max(axis=0), 28, atol=2)


def test_deletion_and_insertion_follow_the_order_of_the_ink():
    weights = np.zeros((16, 2))
    weights[[0, 5, 10, 15], 0] = 0.01, 0.02, 0.03, -0.04
    images = np.zeros((1, 4, 4, 1), "uint8")
    images[0, [0, 1, 2, 3], [0, 1, 2, 3]] = 100
    maps = np.full((1, 4, 4), 9.0)  # the most important pixels have no ink
    maps[0, [0, 1, 2, 3], [0, 1, 2, 3]] = 1, 2, 3, -4
    deletion, insertion = explain.deletion_insertion(
        linear(weights, bias=0), images, np.array([0]), maps, [0, 0.25, 0.5, 1]
    )
    np.testing.assert_allclose(deletion, expit([[2, -1, -3, 0]]), rtol=1e-5)
    np.testing.assert_allclose(insertion, expit([[0, 3, 5, 2]]), rtol=1e-5)


def test_each_image_has_its_own_share_of_ink():
    weights = np.zeros((16, 2))
    weights[:, 0] = 0.01
    images = np.zeros((2, 4, 4, 1), "uint8")
    images[0, 0, :2], images[1] = 100, 100
    deletion, _ = explain.deletion_insertion(
        linear(weights, bias=0), images, np.array([0, 0]), np.zeros((2, 4, 4)), [0.5]
    )
    np.testing.assert_allclose(deletion, expit([[1], [8]]), rtol=1e-5)


def test_maps_are_correlated_by_rank_over_the_ink_alone():
    images = np.zeros((2, 4, 4, 1), "uint8")
    images[0, :2], images[1, :, 1] = 7, 1
    first, second = np.round(RANDOM.normal(size=(2, 2, 4, 4)), 1)
    second[0, 0, 0] = second[0, 0, 1]  # a tie
    expected = [
        stats.spearmanr(first[0, :2].ravel(), second[0, :2].ravel()).statistic,
        stats.spearmanr(first[1, :, 1], second[1, :, 1]).statistic,
    ]
    found = explain.rank_correlations(first, second, images)
    np.testing.assert_allclose(found, expected)
    second[0, 3] += 100  # where there is no ink
    np.testing.assert_array_equal(explain.rank_correlations(first, second, images), found)
    np.testing.assert_allclose(explain.rank_correlations(first, -(first**3), images), -1)


# --- what is recorded


def test_faithfulness_compares_areas_with_those_of_a_random_order(small, ledger, trainer):
    run = toy.student()
    found = ledger.analyse(explain.faithfulness, [run], "study", count=40, points=5).values
    assert found["fractions"] == [0, 0.25, 0.5, 0.75, 1]
    [model] = found["models"]
    assert model["completeness"] < 1e-4, "the student of these tests is linear"
    assert list(model["orders"]) == ["integrated gradients", "occlusion", "random"]
    random, order = model["orders"]["random"], model["orders"]["integrated gradients"]
    assert "gain" not in random["deletion"]
    for curve, better in (("deletion", -1), ("insertion", 1)):
        area = order[curve]["area"]
        assert area["count"] == 40
        assert area["mean"] == pytest.approx(np.trapezoid(order[curve]["curve"], dx=0.25), rel=1e-4)
        gain = better * (area["mean"] - random[curve]["area"]["mean"])
        assert order[curve]["gain"]["mean"] == pytest.approx(gain, rel=1e-3)
        assert order[curve]["gain"]["low"] > 0, "weight times input is the best order there is"
        assert order[curve]["p_value"] < 0.001
    everything = order["deletion"]["curve"][0]
    assert everything == pytest.approx(order["insertion"]["curve"][-1], rel=1e-5)
    assert everything == pytest.approx(random["deletion"]["curve"][0], rel=1e-5)


def test_faithfulness_explains_what_the_model_predicts(small, ledger, trainer):
    run = toy.student()
    images = explain._sample(run, 40)
    logits = ledger.model(run).predict(images, verbose=0)
    most = np.exp(logits).max(axis=1) / np.exp(logits).sum(axis=1)
    [model] = explain.faithfulness(ledger, [run], count=40, points=2)["models"]
    np.testing.assert_allclose(
        model["orders"]["random"]["insertion"]["curve"][1], most.mean(), rtol=1e-5
    )


# The images of these tests are as large as the square that occlusion paints.
@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
def test_agreement_is_with_the_first_model_about_the_class_it_predicts(
    small, ledger, trainer, monkeypatch
):
    monkeypatch.setattr(explain, "CONVOLUTIONS", {})  # the teacher of these tests has none
    teacher, student, other = toy.teacher(), toy.student(seed=1), toy.student(seed=2)
    student_model = ledger.model(student)
    student_model.get_layer("logits").kernel.assign(RANDOM.normal(size=(16, 10)))
    loaded = {student: student_model}
    monkeypatch.setattr(
        type(ledger),
        "model",
        lambda self, run: loaded.get(run) or models.build(run.model, run.seed),
    )
    found = explain.agreement(ledger, [teacher, student, other, teacher], count=40)
    assert list(found) == ["integrated gradients", "occlusion"]
    images = explain._sample(teacher, 40)
    reference = models.build("mnist_teacher", 0)
    classes = reference.predict(images, verbose=0).argmax(axis=1)
    maps = [
        explain.integrated_gradients(model, images, classes)
        for model in (reference, student_model, models.build("mnist_student", 2))
    ]
    expected = [explain.rank_correlations(maps[0], each, images) for each in maps[1:]]
    gradients = found["integrated gradients"]
    means = [interval["mean"] for interval in gradients["correlations"]]
    control = explain.integrated_gradients(models.build("mnist_student", 1), images, classes)
    control = explain.rank_correlations(control, maps[0], images).mean()
    np.testing.assert_allclose(means, [*np.mean(expected, axis=1), 1, control], rtol=1e-5)
    difference = expected[0] - expected[1]
    test = stats.ttest_1samp(difference, 0)
    assert gradients["difference"]["mean"] == pytest.approx(difference.mean(), rel=1e-4)
    assert gradients["difference"]["low"] == pytest.approx(
        test.confidence_interval().low, rel=1e-3, abs=1e-6
    )
    assert gradients["p_value"] == pytest.approx(test.pvalue, rel=1e-3)


def test_the_sample_is_stratified(small):
    run = toy.student()
    images = explain._sample(run, 20)
    labels = toy.read()[1].labels
    assert len(images) == 20
    drawn = [
        np.flatnonzero((toy.read()[1].images == image).all(axis=(1, 2, 3)))[0] for image in images
    ]
    assert np.bincount(labels[drawn]).tolist() == [2] * 10
