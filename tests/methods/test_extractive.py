import numpy as np
import pytest
from scipy.special import softmax

from kdutils.autodiff import gradients
from kdutils.methods.distiller import hard_loss
from kdutils.methods.extractive import (
    ExtractiveDistillation,
    extractive_kd_loss,
    extractive_targets,
)

RANDOM = np.random.default_rng(29)
TEACHER = RANDOM.normal(size=(8, 10)) * 5
STUDENT = RANDOM.normal(size=(8, 10)) * 2
LABELS = RANDOM.integers(0, 10, 8)
SETTINGS = {
    "teacher_temperature": 16.0,
    "student_temperature": 4.0,
    "epsilon": 0.1,
    "soft_weight": 2.0,
    "hard_weight": 0.5,
}


@pytest.mark.parametrize("temperature", [1.0, 16.0])
def test_targets_are_what_lies_above_the_uniform_distribution(temperature):
    targets = np.asarray(extractive_targets(TEACHER, temperature))
    p = softmax(TEACHER / temperature, axis=1)
    above = np.clip(p - 0.1, 0, None)
    np.testing.assert_allclose(targets, above / above.sum(axis=1, keepdims=True), rtol=1e-10)
    np.testing.assert_allclose(targets.sum(axis=1), 1)
    assert ((targets > 0) == (p > 0.1)).all()
    assert (targets.argmax(axis=1) == TEACHER.argmax(axis=1)).all()


def test_some_of_the_uniform_distribution_can_be_put_back():
    pure = np.asarray(extractive_targets(TEACHER, 4.0))
    mixed = extractive_targets(TEACHER, 4.0, epsilon=0.2)
    np.testing.assert_allclose(mixed, 0.8 * pure + 0.02, rtol=1e-10)


def test_high_temperatures_do_not_make_the_targets_uniform():
    above = np.clip(TEACHER - TEACHER.mean(axis=1, keepdims=True), 0, None)
    limit = above / above.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(extractive_targets(TEACHER, 1e5), limit, atol=1e-3)


def test_a_teacher_that_knows_nothing_teaches_the_uniform_distribution():
    np.testing.assert_allclose(extractive_targets(np.full((3, 10), 7.0), 4.0), 0.1)


def test_with_two_classes_the_target_is_a_hard_label():
    targets = extractive_targets(TEACHER[:, :2], 16.0)
    np.testing.assert_allclose(targets, np.eye(2)[TEACHER[:, :2].argmax(axis=1)])


@pytest.mark.parametrize("temperature", [1.0, 8.0])
def test_the_gradient_is_the_difference_to_the_targets(temperature):
    def loss(teacher, student):
        return extractive_kd_loss(teacher, student, 16.0, temperature, 0.1)

    teacher, student = gradients(loss, TEACHER, STUDENT)
    assert (teacher == 0).all()
    targets = np.asarray(extractive_targets(TEACHER, 16.0, 0.1))
    np.testing.assert_allclose(
        student, softmax(STUDENT / temperature, axis=1) - targets, atol=1e-10
    )


def test_terms_and_their_weights():
    method = ExtractiveDistillation(**SETTINGS)
    terms = method.terms(LABELS, {"logits": TEACHER}, {"logits": STUDENT})
    assert tuple(terms) == method.term_names
    assert [weight for weight, _ in terms.values()] == [2.0, 0.5]
    expected = extractive_kd_loss(TEACHER, STUDENT, 16.0, 4.0, 0.1)
    np.testing.assert_allclose(terms["soft"][1], expected)
    np.testing.assert_allclose(terms["hard"][1], hard_loss(LABELS, STUDENT))


@pytest.mark.parametrize("name", list(SETTINGS))
def test_impossible_settings_are_refused(name):
    with pytest.raises(ValueError, match=f"^{name} has to (be|lie) .*, not -1.0"):
        ExtractiveDistillation(**SETTINGS | {name: -1.0})
