import keras
import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr, softmax

from kdutils.autodiff import gradients
from kdutils.methods.kd import KnowledgeDistillation, kd_loss
from kdutils.methods.logits import logit_regression_loss

RANDOM = np.random.default_rng(5)
TEACHER = RANDOM.normal(size=(8, 10)) * 5
STUDENT = RANDOM.normal(size=(8, 10)) * 2
LABELS = RANDOM.integers(0, 10, 8)
SHIFTS = RANDOM.normal(size=(2, 8, 1)) * 10
TEMPERATURES = [0.5, 1.0, 4.0, 20.0]


def of_mean_loss(teacher, student, temperature):
    """Gradients of the batch's mean loss, by both logits."""
    summed = gradients(lambda *logits: kd_loss(*logits, temperature), teacher, student)
    return [gradient / len(teacher) for gradient in summed]


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_loss_is_the_divergence_times_the_squared_temperature(temperature):
    loss = np.asarray(kd_loss(TEACHER, STUDENT, temperature))
    p, q = softmax(TEACHER / temperature, axis=1), softmax(STUDENT / temperature, axis=1)
    assert loss.shape == (8,)
    assert loss.dtype == "float64"
    np.testing.assert_allclose(loss, temperature**2 * rel_entr(p, q).sum(axis=1), rtol=1e-10)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_loss_is_zero_where_the_student_matches(temperature):
    np.testing.assert_allclose(kd_loss(TEACHER, TEACHER, temperature), 0, atol=1e-12)
    np.testing.assert_allclose(kd_loss(TEACHER, TEACHER + SHIFTS[0], temperature), 0, atol=1e-12)
    assert (np.asarray(kd_loss(TEACHER, STUDENT, temperature)) > 0.01).all()


def test_row_shifts_change_nothing():
    np.testing.assert_allclose(
        kd_loss(TEACHER + SHIFTS[0], STUDENT + SHIFTS[1], 4.0),
        kd_loss(TEACHER, STUDENT, 4.0),
        rtol=1e-10,
    )


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_gradient_is_the_temperature_times_the_difference_of_probabilities(temperature):
    found = of_mean_loss(TEACHER, STUDENT, temperature)[1]
    p, q = softmax(TEACHER / temperature, axis=1), softmax(STUDENT / temperature, axis=1)
    np.testing.assert_allclose(found, temperature * (q - p) / 8, atol=1e-12)


def test_gradient_equals_finite_differences():
    found = np.asarray(of_mean_loss(TEACHER, STUDENT, 4.0)[1])
    step = 1e-4
    for index in [(0, 0), (3, 7), (7, 9)]:
        offset = np.zeros_like(STUDENT)
        offset[index] = step
        up = float(np.mean(kd_loss(TEACHER, STUDENT + offset, 4.0)))
        down = float(np.mean(kd_loss(TEACHER, STUDENT - offset, 4.0)))
        assert found[index] == pytest.approx((up - down) / (2 * step), rel=1e-6)


def test_the_cross_entropy_form_differs_by_the_entropy_of_the_targets_alone():
    p, log_q = softmax(TEACHER / 4, axis=1), log_softmax(STUDENT / 4, axis=1)
    entropy = -(p * np.log(p)).sum(axis=1)
    cross_entropy = -(p * log_q).sum(axis=1)
    loss = np.asarray(kd_loss(TEACHER, STUDENT, 4.0))
    np.testing.assert_allclose(16 * cross_entropy, loss + 16 * entropy, rtol=1e-10)


def test_averaging_over_classes_too_makes_the_loss_smaller_by_their_number():
    p, q = (softmax(logits / 4, axis=1) for logits in (TEACHER, STUDENT))
    element_mean = rel_entr(p, q).mean()
    assert np.mean(kd_loss(TEACHER, STUDENT, 4.0)) == pytest.approx(16 * 10 * element_mean)


def test_no_gradient_reaches_the_teacher():
    teacher, student = of_mean_loss(TEACHER, STUDENT, 4.0)
    assert not teacher.any()
    assert np.abs(student).max() > 0.01


def test_the_limit_of_high_temperature_is_the_regression_of_centred_logits():
    soft, regression = kd_loss(TEACHER, STUDENT, 1e4), logit_regression_loss(TEACHER, STUDENT)
    np.testing.assert_allclose(soft, regression, rtol=2e-3)
    difference = STUDENT - TEACHER
    centred = difference - difference.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(of_mean_loss(TEACHER, STUDENT, 1e4)[1], centred / 80, atol=2e-4)


def test_without_its_factor_the_gradient_would_vanish_with_the_square_of_the_temperature():
    low, high = (np.asarray(of_mean_loss(TEACHER, STUDENT, t)[1]) / t**2 for t in (1e4, 2e4))
    np.testing.assert_allclose(low, 4 * high, rtol=0.01, atol=1e-12)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(precision):
    teacher, student = (keras.ops.cast(logits, precision) for logits in (TEACHER, STUDENT))
    loss = kd_loss(teacher, student, 4.0)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    rounded = (np.asarray(keras.ops.cast(logits, "float64")) for logits in (teacher, student))
    np.testing.assert_allclose(loss, kd_loss(*rounded, 4.0), rtol=1e-5)


def test_float32_is_precise_enough_at_the_highest_temperature_of_the_report():
    teacher, student = TEACHER.astype("float32"), STUDENT.astype("float32")
    np.testing.assert_allclose(
        kd_loss(teacher, student, 64.0), kd_loss(TEACHER, STUDENT, 64.0), atol=5e-3
    )
    np.testing.assert_allclose(
        of_mean_loss(teacher, student, 64.0)[1], of_mean_loss(TEACHER, STUDENT, 64.0)[1], atol=1e-5
    )


def test_terms_and_their_weights():
    method = KnowledgeDistillation(temperature=4.0, alpha=0.7)
    terms = method.terms(LABELS, {"logits": TEACHER}, {"logits": STUDENT})
    assert tuple(terms) == method.term_names == ("soft", "hard")
    assert [weight for weight, _ in terms.values()] == pytest.approx([0.7, 0.3])
    np.testing.assert_allclose(terms["soft"][1], kd_loss(TEACHER, STUDENT, 4.0))
    # The labels are learned at temperature 1.
    expected = -np.log(softmax(STUDENT, axis=1)[np.arange(8), LABELS])
    np.testing.assert_allclose(terms["hard"][1], expected, rtol=1e-6)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_impossible_temperatures_are_refused(temperature):
    with pytest.raises(ValueError, match="temperature has to be above 0, not"):
        KnowledgeDistillation(temperature=temperature, alpha=0.5)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_impossible_weights_are_refused(alpha):
    with pytest.raises(ValueError, match="alpha has to lie between 0 and 1, not"):
        KnowledgeDistillation(temperature=4.0, alpha=alpha)
