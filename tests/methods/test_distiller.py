import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import log_softmax

from kdutils import methods, training
from kdutils.data import Part
from kdutils.methods.distiller import (
    Distiller,
    Method,
    Supervised,
    at_least_float32,
    batch_mean,
    hard_loss,
)
from kdutils.methods.kd import KnowledgeDistillation
from kdutils.methods.logits import LogitRegression

RANDOM = np.random.default_rng(11)
IMAGES = RANDOM.normal(size=(11, 5)).astype("float32")
LABELS = np.arange(11) % 3
TEACHER_LOGITS = (RANDOM.normal(size=(11, 3)) * 3).astype("float32")
INPUTS = {"images": IMAGES, "teacher": {"logits": TEACHER_LOGITS}}
ALPHA, TEMPERATURE = 0.7, 4.0


def network(*extra, **options):
    """A small student; `extra` layers come before its head, `options` go to its hidden layer."""
    keras.utils.set_random_seed(2)
    inputs = keras.Input((5,), name="pixels")
    x = layers.Dense(7, activation="tanh", name="hidden", **options)(inputs)
    for layer in extra:
        x = layer(x)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="small")


def distiller(student, method=None, learning_rate=0.0, **options):
    """A distiller ready to fit; at the learning rate 0 its losses can be computed beforehand."""
    found = Distiller(student, method or KnowledgeDistillation(TEMPERATURE, ALPHA))
    options.setdefault("metrics", [keras.metrics.SparseCategoricalAccuracy(name="accuracy")])
    found.compile(keras.optimizers.SGD(learning_rate), jit_compile=False, **options)
    return found


def fit(model, inputs=INPUTS, labels=LABELS, batch_size=11, **options):
    return model.fit(
        inputs, labels, batch_size=batch_size, shuffle=False, verbose=0, **options
    ).history


def soft_losses(student):
    """KD's `(B,)`, in NumPy."""
    log_p = log_softmax(TEACHER_LOGITS.astype("float64") / TEMPERATURE, axis=1)
    log_q = log_softmax(np.asarray(student(IMAGES), "float64") / TEMPERATURE, axis=1)
    return TEMPERATURE**2 * (np.exp(log_p) * (log_p - log_q)).sum(axis=1)


def hard_losses(student):
    """The cross-entropy's `(B,)`, in NumPy."""
    return -log_softmax(np.asarray(student(IMAGES), "float64"), axis=1)[np.arange(11), LABELS]


def accuracy(student):
    return np.mean(np.asarray(student(IMAGES)).argmax(axis=1) == LABELS)


class Counting(layers.Layer):
    """Counts its forward passes, in the graph, where they happen."""

    def build(self, shape):
        self.calls = self.add_weight(initializer="zeros", trainable=False, name="calls")

    def call(self, inputs):
        self.calls.assign_add(1)
        return inputs


class Hint(Method):
    """Reads a hidden layer of the student through a regressor of its own; its loss is a scalar."""

    teacher_taps = ("logits",)
    student_taps = ("logits", "hidden")
    term_names = ("hint", "hard")

    def __init__(self):
        super().__init__()
        self.regressor = layers.Dense(3, name="regressor")
        self.regressor.build((None, 7))

    def terms(self, labels, teacher, student):
        difference = self.regressor(student["hidden"]) - teacher["logits"]
        hint = keras.ops.mean(keras.ops.square(difference))
        return {"hint": (2.0, hint), "hard": (1.0, hard_loss(labels, student["logits"]))}


def test_loss_is_the_weighted_sum_and_every_term_is_logged():
    student = network()
    # The last batch is smaller: each image counts the same, in every epoch.
    history = fit(distiller(student), batch_size=4, epochs=2)
    soft, hard = soft_losses(student).mean(), hard_losses(student).mean()
    assert set(history) == {"loss", "soft", "hard", "accuracy"}
    assert history["soft"] == pytest.approx([soft, soft], rel=1e-5)
    assert history["hard"] == pytest.approx([hard, hard], rel=1e-5)
    assert history["loss"] == pytest.approx([ALPHA * soft + (1 - ALPHA) * hard] * 2, rel=1e-5)
    assert history["accuracy"] == pytest.approx([accuracy(student)] * 2)


def test_one_step_moves_the_logits_by_the_temperature_times_the_difference():
    student = network()
    before = student.get_layer("logits").bias.numpy()
    p, q = (
        np.exp(log_softmax(np.asarray(z, "float64") / TEMPERATURE, axis=1))
        for z in (TEACHER_LOGITS, student(IMAGES))
    )
    fit(distiller(student, KnowledgeDistillation(TEMPERATURE, 1.0), learning_rate=0.1))
    moved = student.get_layer("logits").bias.numpy() - before
    expected = -0.1 * TEMPERATURE * (q - p).mean(axis=0)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_losses_of_the_layers_are_counted_once():
    student = network(
        kernel_regularizer=keras.regularizers.L2(0.3),
        activity_regularizer=keras.regularizers.L1(0.2),
    )
    history = fit(distiller(student))
    penalty = 0.3 * np.square(student.get_layer("hidden").kernel.numpy()).sum()
    student(IMAGES)
    activity, weights = (float(loss) for loss in student.losses)
    assert weights == pytest.approx(penalty, rel=1e-6)
    assert min(activity, weights) > 0.1
    distillation = ALPHA * soft_losses(student).mean() + (1 - ALPHA) * hard_losses(student).mean()
    assert history["loss"] == pytest.approx([distillation + activity + weights], rel=1e-5)


@pytest.mark.parametrize("kind", ["sample_weight", "class_weight"])
def test_weights_of_images_apply_to_every_term(kind):
    student = network()
    of_classes = np.array([0.5, 2.0, 3.0])
    weights = of_classes[LABELS] if kind == "class_weight" else np.linspace(0, 2, 11)
    given = dict(enumerate(of_classes)) if kind == "class_weight" else weights
    history = fit(
        distiller(student, weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="w")]),
        **{kind: given},
    )
    soft = (weights * soft_losses(student)).mean()
    hard = (weights * hard_losses(student)).mean()
    assert abs(soft / soft_losses(student).mean() - 1) > 0.01
    assert history["soft"] == pytest.approx([soft], rel=1e-5)
    assert history["hard"] == pytest.approx([hard], rel=1e-5)
    assert history["loss"] == pytest.approx([ALPHA * soft + (1 - ALPHA) * hard], rel=1e-5)
    correct = np.asarray(student(IMAGES)).argmax(axis=1) == LABELS
    assert history["accuracy"] == pytest.approx([correct.mean()])
    assert history["w"] == pytest.approx([(weights * correct).sum() / weights.sum()], rel=1e-5)


def test_weights_leave_the_loss_of_a_whole_batch_alone():
    loss, weights = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 0.5])
    assert float(batch_mean(loss)) == 2
    assert float(batch_mean(loss, weights)) == pytest.approx(2.5 / 3)
    assert float(batch_mean(loss, weights[:, None])) == pytest.approx(2.5 / 3)
    assert float(batch_mean(np.array(4.0), weights)) == 4


def test_each_step_runs_the_student_once():
    counting = Counting()
    fit(distiller(network(counting)), batch_size=4, epochs=2)
    assert int(counting.calls) == 2 * 3


def test_training_on_labels_alone_is_what_keras_does():
    ours, plain = network(), network()
    fit(distiller(ours, Supervised(), learning_rate=0.1), {"images": IMAGES}, epochs=3)
    plain.compile(
        keras.optimizers.SGD(0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    fit(plain, IMAGES, epochs=3)
    for weight, expected, start in zip(
        ours.get_weights(), plain.get_weights(), network().get_weights(), strict=True
    ):
        np.testing.assert_allclose(weight, expected, atol=1e-6)
        assert np.abs(weight - start).max() > 1e-3


def test_to_evaluate_and_predict_it_is_the_student_alone():
    student = network(layers.Dropout(0.5), kernel_regularizer=keras.regularizers.L2(0.3))
    found = distiller(student)
    history = fit(found, validation_data=(IMAGES, LABELS))
    assert set(history) == {"loss", "soft", "hard", "accuracy", "val_loss", "val_accuracy"}
    np.testing.assert_array_equal(
        found.predict(IMAGES, verbose=0), student.predict(IMAGES, verbose=0)
    )
    student.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
        jit_compile=False,
    )
    ours, its_own = (
        model.evaluate(IMAGES, LABELS, batch_size=4, verbose=0, return_dict=True)
        for model in (found, student)
    )
    assert set(ours) == {"loss", "accuracy"}
    assert ours == pytest.approx(its_own, rel=1e-5)
    assert history["val_loss"] == pytest.approx([ours["loss"]], rel=1e-5)
    assert ours["accuracy"] == pytest.approx(accuracy(student))


def test_evaluation_respects_sample_weights():
    student, weights = network(), np.linspace(0, 2, 11)
    found = distiller(student).evaluate(
        IMAGES, LABELS, batch_size=11, sample_weight=weights, verbose=0, return_dict=True
    )
    assert found["loss"] == pytest.approx((weights * hard_losses(student)).mean(), rel=1e-5)


def test_only_the_student_is_saved(tmp_path):
    student = network()
    found = distiller(student, Hint(), learning_rate=0.1)
    fit(found)
    found.save(tmp_path / "student.keras")
    loaded = keras.saving.load_model(tmp_path / "student.keras", safe_mode=True)
    assert loaded.name == "small"
    assert loaded.count_params() == student.count_params() == 5 * 7 + 7 + 7 * 3 + 3
    np.testing.assert_array_equal(
        loaded.predict(IMAGES, verbose=0), student.predict(IMAGES, verbose=0)
    )


def test_modules_of_a_method_train_with_the_student():
    student, method = network(), Hint()
    kernel, start = method.regressor.kernel.numpy(), student.get_weights()
    hidden = np.tanh(IMAGES @ start[0] + start[1])
    hint = np.square(hidden @ kernel - TEACHER_LOGITS).mean()
    hard = hard_losses(student).mean()
    history = fit(distiller(student, method, learning_rate=0.1), sample_weight=np.ones(11))
    assert history["hint"] == pytest.approx([hint], rel=1e-5)
    assert history["loss"] == pytest.approx([2 * hint + hard], rel=1e-5)
    gradient = 2 * hidden.T @ (2 * (hidden @ kernel - TEACHER_LOGITS)) / TEACHER_LOGITS.size
    np.testing.assert_allclose(method.regressor.kernel, kernel - 0.1 * gradient, atol=1e-5)
    assert not np.array_equal(student.get_weights()[0], start[0])


def test_training_a_student_leaves_its_teacher_as_it_was():
    teacher = network(layers.BatchNormalization(name="norm"), layers.Dropout(0.5))
    teacher.get_layer("norm").set_weights(
        [RANDOM.uniform(0.5, 2, 7).astype("float32") for _ in range(4)]
    )
    weights = [weight.copy() for weight in teacher.get_weights()]
    expected = np.asarray(teacher(IMAGES, training=False))
    found = training.outputs(teacher, Part(IMAGES, LABELS, np.arange(11)))
    np.testing.assert_allclose(found.values["logits"], expected, rtol=1e-5)
    student = network()
    inputs = {"images": IMAGES, "teacher": found.of(np.arange(11))}
    history = fit(distiller(student, learning_rate=0.1), inputs, epochs=3)
    assert history["soft"][2] < history["soft"][0]
    for weight, before in zip(teacher.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(weight, before)


def test_batch_normalisation_of_the_student_trains():
    norm = layers.BatchNormalization(momentum=0.9)
    student = network(norm)
    hidden = np.asarray(keras.Model(student.input, student.get_layer("hidden").output)(IMAGES))
    fit(distiller(student))
    # One update and no more: the student ran once, in training mode.
    np.testing.assert_allclose(norm.moving_mean, 0.1 * hidden.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(norm.moving_variance, 0.9 + 0.1 * hidden.var(axis=0), atol=1e-6)


def test_mixed_precision_trains():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        student = network()
        found = distiller(student, learning_rate=0.1)
        half = student(IMAGES)
        history = fit(found, epochs=2)
    finally:
        keras.config.set_dtype_policy(policy)
    assert keras.backend.standardize_dtype(half.dtype) == "bfloat16"
    assert {weight.dtype for weight in student.get_weights()} == {np.dtype("float32")}
    exact = network()
    assert history["soft"][0] == pytest.approx(soft_losses(exact).mean(), rel=0.02)
    assert history["hard"][0] == pytest.approx(hard_losses(exact).mean(), rel=0.02)
    total = ALPHA * history["soft"][0] + (1 - ALPHA) * history["hard"][0]
    # To float32's precision: the terms and their sum were not rounded to half.
    assert history["loss"][0] == pytest.approx(total, rel=1e-6)
    assert history["loss"][1] < history["loss"][0]


def test_losses_are_computed_in_float32_at_least():
    logits = np.array([[0.1, 0.7, -0.3]])
    for given, computed in [
        ("float16", "float32"),
        ("bfloat16", "float32"),
        ("float32", "float32"),
        ("float64", "float64"),
    ]:
        lifted = at_least_float32(keras.ops.cast(logits, given))
        assert keras.backend.standardize_dtype(lifted.dtype) == computed
    half = keras.ops.cast(logits, "bfloat16")
    rounded = np.asarray(keras.ops.cast(half, "float64"))
    expected = -log_softmax(rounded, axis=1)[:, 1]
    np.testing.assert_allclose(hard_loss(np.array([1]), half), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "head",
    [
        layers.Dense(3, activation="softmax", name="logits"),
        layers.Dense(3, activation="sigmoid", name="logits"),
        layers.Softmax(name="logits"),
        layers.Activation("softmax", name="logits"),
    ],
    ids=["softmax", "sigmoid", "softmax_layer", "activation_layer"],
)
def test_a_student_that_emits_probabilities_is_refused(head):
    inputs = keras.Input((3,))
    with pytest.raises(ValueError, match="distillation needs logits"):
        Distiller(keras.Model(inputs, head(inputs)), Supervised())


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        (None, {}, Supervised),
        ("kd", {"temperature": 4.0, "alpha": 0.5}, KnowledgeDistillation),
        ("logits", {"alpha": 0.5}, LogitRegression),
    ],
)
def test_methods_are_built_by_name(name, options, kind):
    method = methods.build(name, options)
    assert type(method) is kind
    assert {option: getattr(method, option) for option in options} == options


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rkd", {}, "no method 'rkd'; there are kd, logits"),
        ("kd", {"temperature": 4.0}, r"takes exactly the options \['alpha', 'temperature'\], not"),
        ("logits", {"alpha": 0.5, "temperature": 4.0}, r"options \['alpha'\], not \['alpha', 'te"),
        (None, {"alpha": 0.5}, r"method None takes exactly the options \[\], not \['alpha'\]"),
        ("kd", {"temperature": 0.0, "alpha": 0.5}, "temperature has to be above 0"),
        ("logits", {"alpha": 2.0}, "alpha has to lie between 0 and 1"),
    ],
)
def test_impossible_methods_are_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        methods.build(name, options)
