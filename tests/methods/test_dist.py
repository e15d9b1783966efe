import numpy as np
import pytest
from scipy.special import softmax

from kdutils.autodiff import gradients
from kdutils.methods.dist import (
    RelationsOfPredictions,
    correlation,
    inter_class_loss,
    intra_class_loss,
)
from kdutils.methods.distiller import hard_loss

RANDOM = np.random.default_rng(23)
TEACHER = RANDOM.normal(size=(32, 10)) * 5
STUDENT = RANDOM.normal(size=(32, 10)) * 2
LABELS = RANDOM.integers(0, 10, 32)
LOSSES = [inter_class_loss, intra_class_loss]


def expected(teacher, student, temperature, axis):
    p, q = (softmax(each / temperature, axis=1) for each in (teacher, student))
    if axis == 0:
        p, q = p.T, q.T
    return 1 - np.mean([np.corrcoef(*pair)[0, 1] for pair in zip(p, q, strict=True)])


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize(("loss", "axis"), [(inter_class_loss, 1), (intra_class_loss, 0)])
def test_losses_are_one_less_the_mean_correlation(loss, axis, temperature):
    found = float(loss(TEACHER, STUDENT, temperature))
    assert found == pytest.approx(expected(TEACHER, STUDENT, temperature, axis), rel=1e-5)
    assert 0 < found < 2


@pytest.mark.parametrize("loss", LOSSES)
def test_a_student_that_says_the_opposite_has_nearly_the_highest_loss(loss):
    teacher = np.tile([[4.0, 0.0], [0.0, 4.0]], (8, 1))
    assert 1.99 < float(loss(teacher, -teacher, 1.0)) <= 2.0


@pytest.mark.parametrize("loss", LOSSES)
def test_shifts_of_the_logits_change_nothing(loss):
    shifts = RANDOM.normal(size=(2, 32, 1)) * 9
    moved = float(loss(TEACHER + shifts[0], STUDENT + shifts[1], 4.0))
    assert moved == pytest.approx(float(loss(TEACHER, STUDENT, 4.0)), rel=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_student_that_matches_up_to_a_shift_has_no_loss(loss):
    shifts = RANDOM.normal(size=(32, 1))
    assert float(loss(TEACHER, TEACHER + shifts, 4.0)) == pytest.approx(0, abs=1e-4)


def test_positive_affine_maps_of_probabilities_keep_the_correlation():
    p, q = (softmax(each, axis=1) for each in (TEACHER, STUDENT))
    np.testing.assert_allclose(correlation(p, q), correlation(p, 0.3 * q + 0.07), rtol=1e-5)


def test_with_two_classes_rows_agree_or_not_and_teach_nothing():
    teacher, student = TEACHER[:, :2], STUDENT[:, :2]
    agree = np.sign(teacher[:, 0] - teacher[:, 1]) == np.sign(student[:, 0] - student[:, 1])
    loss = float(inter_class_loss(teacher, student, 4.0))
    assert loss == pytest.approx(1 - np.mean(np.where(agree, 1, -1)), abs=1e-4)

    rows, columns = (
        gradients(lambda logits, loss=loss: loss(teacher, logits, 4.0), student)[0]
        for loss in LOSSES
    )
    # The small number that keeps a norm from being zero lets something through near a tie.
    decided = (np.abs(np.diff(teacher)) > 0.5).ravel() & (np.abs(np.diff(student)) > 0.5).ravel()
    assert decided.sum() > 16
    np.testing.assert_allclose(rows[decided], 0, atol=1e-7)
    assert np.abs(columns[decided]).max() > 1e-3


def test_a_class_that_is_absent_costs_even_a_perfect_student():
    absent = TEACHER.copy()
    absent[:, 3] = -80
    assert float(intra_class_loss(absent, absent, 1.0)) == pytest.approx(0.1, abs=1e-3)
    assert float(inter_class_loss(absent, absent, 1.0)) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_no_gradient_reaches_the_teacher(loss):
    teacher, student = gradients(lambda *pair: loss(*pair, 4.0), TEACHER, STUDENT)
    assert (teacher == 0).all()
    assert np.abs(student).max() > 1e-4


@pytest.mark.parametrize("loss", LOSSES)
def test_equal_logits_have_a_finite_gradient(loss):
    found = gradients(lambda logits: loss(TEACHER, logits, 4.0), np.zeros((32, 10)))[0]
    assert np.isfinite(found).all()


def test_terms_and_their_weights():
    method = RelationsOfPredictions(temperature=4.0, beta=2.0, gamma=1.5)
    terms = method.terms(LABELS, {"logits": TEACHER}, {"logits": STUDENT})
    assert tuple(terms) == method.term_names
    assert [weight for weight, _ in terms.values()] == [32.0, 24.0, 1.0]
    for name, loss in zip(("inter", "intra"), LOSSES, strict=True):
        assert float(terms[name][1]) == float(loss(TEACHER, STUDENT, 4.0))
    np.testing.assert_allclose(terms["hard"][1], hard_loss(LABELS, STUDENT))


@pytest.mark.parametrize("name", ["temperature", "beta", "gamma"])
def test_impossible_settings_are_refused(name):
    settings = {"temperature": 4.0, "beta": 2.0, "gamma": 2.0} | {name: -1.0}
    with pytest.raises(ValueError, match=f"{name} has to be .*, not -1.0"):
        RelationsOfPredictions(**settings)
