import keras
import numpy as np
import pytest
from precision import within
from scipy.special import softmax

from kdutils.autodiff import gradients
from kdutils.methods.logits import LogitRegression, logit_regression_loss

RANDOM = np.random.default_rng(6)
TEACHER = RANDOM.normal(size=(8, 10)) * 5
STUDENT = RANDOM.normal(size=(8, 10)) * 2
LABELS = RANDOM.integers(0, 10, 8)
SHIFTS = RANDOM.normal(size=(2, 8, 1)) * 10


def centred(logits):
    return logits - logits.mean(axis=1, keepdims=True)


def test_loss_is_half_the_mean_square_of_centred_differences():
    loss = np.asarray(logit_regression_loss(TEACHER, STUDENT))
    expected = ((centred(STUDENT) - centred(TEACHER)) ** 2).sum(axis=1) / (2 * 10)
    assert loss.shape == (8,)
    np.testing.assert_allclose(loss, expected, rtol=within(1e-12))


def test_loss_is_zero_where_the_student_matches_up_to_a_shift():
    np.testing.assert_allclose(logit_regression_loss(TEACHER, TEACHER), 0, atol=within(1e-20))
    np.testing.assert_allclose(
        logit_regression_loss(TEACHER, TEACHER + SHIFTS[0]), 0, atol=within(1e-20)
    )
    assert (np.asarray(logit_regression_loss(TEACHER, STUDENT)) > 1).all()


def test_row_shifts_change_nothing():
    np.testing.assert_allclose(
        logit_regression_loss(TEACHER + SHIFTS[0], STUDENT + SHIFTS[1]),
        logit_regression_loss(TEACHER, STUDENT),
        rtol=within(1e-10),
    )


def test_gradient_is_the_centred_difference_and_spares_the_teacher():
    by_teacher, by_student = gradients(logit_regression_loss, TEACHER, STUDENT)
    assert not by_teacher.any()
    expected = (centred(STUDENT) - centred(TEACHER)) / 10
    np.testing.assert_allclose(by_student, expected, atol=1e-14)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(precision):
    teacher, student = (keras.ops.cast(logits, precision) for logits in (TEACHER, STUDENT))
    loss = logit_regression_loss(teacher, student)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    rounded = (np.asarray(keras.ops.cast(logits, "float64")) for logits in (teacher, student))
    np.testing.assert_allclose(loss, logit_regression_loss(*rounded), rtol=1e-6)


def test_terms_and_their_weights():
    method = LogitRegression(alpha=0.9)
    terms = method.terms(LABELS, {"logits": TEACHER}, {"logits": STUDENT})
    assert tuple(terms) == method.term_names == ("regression", "hard")
    assert [weight for weight, _ in terms.values()] == pytest.approx([0.9, 0.1])
    np.testing.assert_allclose(terms["regression"][1], logit_regression_loss(TEACHER, STUDENT))
    expected = -np.log(softmax(STUDENT, axis=1)[np.arange(8), LABELS])
    np.testing.assert_allclose(terms["hard"][1], expected, rtol=1e-6)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_impossible_weights_are_refused(alpha):
    with pytest.raises(ValueError, match="alpha has to lie between 0 and 1, not"):
        LogitRegression(alpha=alpha)
