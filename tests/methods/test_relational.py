import numpy as np
import pytest
from precision import FLOAT64, within
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ortho_group

from kdutils.autodiff import gradients
from kdutils.methods.distiller import hard_loss
from kdutils.methods.kd import kd_loss
from kdutils.methods.relational import (
    RelationalDistillation,
    angle_loss,
    distance_loss,
    huber,
)

RANDOM = np.random.default_rng(31)
TEACHER = RANDOM.normal(size=(12, 6)) * 3
STUDENT = RANDOM.normal(size=(12, 9))
LABELS = RANDOM.integers(0, 10, 12)
LOGITS = RANDOM.normal(size=(2, 12, 10))
LOSSES = [distance_loss, angle_loss]


def numpy_huber(x):
    return np.where(np.abs(x) <= 1, x**2 / 2, np.abs(x) - 0.5)


def angles(features):
    """Cosines `(i, j, k)` at `j`, one triplet after the other."""
    cosines = np.zeros((12, 12, 12))
    for i, j, k in np.ndindex(cosines.shape):
        one, other = features[i] - features[j], features[k] - features[j]
        if i != j and k != j:
            cosines[i, j, k] = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    return cosines


def test_distances_are_compared_relative_to_their_mean():
    teacher, student = (pdist(each) for each in (TEACHER, STUDENT))
    pairs = squareform(student / student.mean()) - squareform(teacher / teacher.mean())
    expected = numpy_huber(pairs).mean()
    assert float(distance_loss(TEACHER, STUDENT)) == pytest.approx(expected, rel=within(1e-9))


def test_angles_are_compared_by_their_cosines():
    expected = numpy_huber(angles(STUDENT) - angles(TEACHER)).mean()
    assert float(angle_loss(TEACHER, STUDENT)) == pytest.approx(expected, rel=within(1e-9))


def test_huber_is_quadratic_and_then_linear():
    np.testing.assert_allclose(
        huber(np.array([-3.0, -1.0, 0.0, 0.5, 2.0])), [2.5, 0.5, 0, 1 / 8, 1.5]
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_moving_turning_and_scaling_change_nothing(loss):
    turned = 7 * STUDENT @ ortho_group.rvs(9, random_state=3) + RANDOM.normal(size=9)
    assert float(loss(TEACHER, turned)) == pytest.approx(float(loss(TEACHER, STUDENT)), rel=1e-8)
    same_shape = 0.2 * TEACHER @ ortho_group.rvs(6, random_state=4) - 5
    assert float(loss(TEACHER, same_shape)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_maps_are_taken_as_vectors(loss):
    maps = TEACHER.reshape(12, 1, 2, 3)
    assert float(loss(maps, STUDENT)) == pytest.approx(float(loss(TEACHER, STUDENT)))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_duplicates_have_a_finite_gradient_and_the_teacher_none(loss, precision):
    student = (STUDENT + 100).astype(precision)
    student[5] = student[2]
    by_teacher, by_student = gradients(loss, TEACHER.astype(precision), student)
    assert (by_teacher == 0).all()
    assert np.isfinite(by_student).all()
    assert 1e-4 < np.abs(by_student).max() < 1


@pytest.mark.skipif(not FLOAT64, reason="float32 is too coarse for finite differences")
def test_the_gradient_equals_finite_differences():
    for loss in LOSSES:
        found = gradients(lambda student, loss=loss: loss(TEACHER, student), STUDENT)[0]
        step = np.zeros_like(STUDENT)
        step[3, 4] = 1e-5
        up, down = (float(loss(TEACHER, STUDENT + each)) for each in (step, -step))
        assert found[3, 4] == pytest.approx((up - down) / 2e-5, rel=1e-5)


def test_terms_and_their_weights():
    method = RelationalDistillation(
        distance_weight=25.0, angle_weight=50.0, angle_samples=5.0, soft_weight=0.5, temperature=4.0
    )
    teacher, student = (
        {"logits": logits, "features": features}
        for logits, features in zip(LOGITS, (TEACHER, STUDENT), strict=True)
    )
    terms = method.terms(LABELS, teacher, student)
    assert tuple(terms) == method.term_names
    assert [weight for weight, _ in terms.values()] == [25.0, 50.0, 0.5, 1.0]
    assert float(terms["distance"][1]) == float(distance_loss(TEACHER, STUDENT))
    assert float(terms["angle"][1]) == float(angle_loss(TEACHER[:5], STUDENT[:5]))
    np.testing.assert_allclose(terms["soft"][1], kd_loss(*LOGITS, 4.0))
    np.testing.assert_allclose(terms["hard"][1], hard_loss(LABELS, LOGITS[1]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("distance_weight", -1.0),
        ("angle_weight", -1.0),
        ("soft_weight", -1.0),
        ("temperature", 0.0),
        ("angle_samples", 2.0),
        ("angle_samples", 3.5),
    ],
)
def test_impossible_settings_are_refused(name, value):
    settings = {
        "distance_weight": 25.0,
        "angle_weight": 50.0,
        "angle_samples": 64.0,
        "soft_weight": 0.0,
        "temperature": 4.0,
    }
    with pytest.raises(ValueError, match=f"{name} has to be .*, not {value}"):
        RelationalDistillation(**settings | {name: value})
