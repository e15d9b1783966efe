import numpy as np
import pytest
from precision import within

from kdutils.autodiff import gradients
from kdutils.methods.distiller import hard_loss
from kdutils.methods.standardized import (
    StandardizedDistillation,
    standardize,
    standardized_kd_loss,
)

RANDOM = np.random.default_rng(19)
TEACHER = RANDOM.normal(size=(8, 10)) * 5
STUDENT = RANDOM.normal(size=(8, 10)) * 2
LABELS = RANDOM.integers(0, 10, 8)
SCALES, SHIFTS = RANDOM.uniform(0.2, 5, (8, 1)), RANDOM.normal(size=(8, 1)) * 10


def student_gradient(student, teacher=TEACHER):
    return gradients(lambda logits: standardized_kd_loss(teacher, logits, 2.0), student)[0]


def test_rows_have_mean_zero_and_variance_one():
    scores = np.asarray(standardize(STUDENT))
    np.testing.assert_allclose(scores.mean(axis=1), 0, atol=within(1e-12))
    np.testing.assert_allclose(scores.std(axis=1), 1, rtol=within(1e-10))


def test_the_sample_form_of_the_deviation_would_give_smaller_scores():
    centred = STUDENT - STUDENT.mean(axis=1, keepdims=True)
    sample = centred / STUDENT.std(axis=1, ddof=1, keepdims=True)
    np.testing.assert_allclose(standardize(STUDENT) / sample, np.sqrt(10 / 9), rtol=within(1e-7))


def test_no_score_is_beyond_the_root_of_the_other_classes():
    scores = np.asarray(standardize(np.vstack([STUDENT, 50 * np.eye(10)])))
    assert np.abs(scores).max() == pytest.approx(3)


def test_a_row_of_equal_logits_gives_zeros_and_a_finite_gradient():
    equal = np.full((8, 10), 2.5)
    assert (np.asarray(standardize(equal)) == 0).all()
    assert np.isfinite(student_gradient(equal)).all()


def test_scale_and_shift_of_a_row_change_nothing():
    np.testing.assert_allclose(
        standardized_kd_loss(TEACHER, SCALES * STUDENT + SHIFTS, 2.0),
        standardized_kd_loss(TEACHER, STUDENT, 2.0),
        rtol=within(1e-9),
    )
    matching = standardized_kd_loss(TEACHER, SCALES * TEACHER + SHIFTS, 2.0)
    np.testing.assert_allclose(matching, 0, atol=within(1e-12))


def test_the_gradient_changes_neither_the_mean_nor_the_scale_of_a_row():
    found = student_gradient(STUDENT)
    assert (np.abs(found).max(axis=1) > 1e-3).all()
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=within(1e-12))
    np.testing.assert_allclose((found * STUDENT).sum(axis=1), 0, atol=within(1e-12))


def test_two_classes_leave_nothing_to_learn():
    teacher, student = TEACHER[:, :2], STUDENT[:, :2]
    np.testing.assert_allclose(np.abs(standardize(student)), 1, rtol=within(1e-10))
    np.testing.assert_allclose(student_gradient(student, teacher), 0, atol=within(1e-12))


def test_no_gradient_reaches_the_teacher():
    teacher, _ = gradients(lambda *pair: standardized_kd_loss(*pair, 2.0), TEACHER, STUDENT)
    assert (teacher == 0).all()


def test_terms_and_their_weights():
    method = StandardizedDistillation(temperature=2.0, soft_weight=9.0, hard_weight=0.1)
    terms = method.terms(LABELS, {"logits": TEACHER}, {"logits": STUDENT})
    assert tuple(terms) == method.term_names
    assert [weight for weight, _ in terms.values()] == [9.0, 0.1]
    np.testing.assert_allclose(terms["soft"][1], standardized_kd_loss(TEACHER, STUDENT, 2.0))
    np.testing.assert_allclose(terms["hard"][1], hard_loss(LABELS, STUDENT))


@pytest.mark.parametrize("name", ["temperature", "soft_weight", "hard_weight"])
def test_impossible_settings_are_refused(name):
    settings = {"temperature": 2.0, "soft_weight": 9.0, "hard_weight": 0.1} | {name: -1.0}
    with pytest.raises(ValueError, match=f"{name} has to be .*, not -1.0"):
        StandardizedDistillation(**settings)
