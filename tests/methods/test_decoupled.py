import numpy as np
import pytest
from scipy.special import rel_entr, softmax

from kdutils.autodiff import gradients
from kdutils.methods.decoupled import DecoupledDistillation, decoupled_kd_loss
from kdutils.methods.distiller import hard_loss
from kdutils.methods.kd import kd_loss

RANDOM = np.random.default_rng(17)
TEACHER = RANDOM.normal(size=(8, 10)) * 5
STUDENT = RANDOM.normal(size=(8, 10)) * 2
LABELS = RANDOM.integers(0, 10, 8)
ROWS = np.arange(8)
SURE = 60 * np.eye(10, dtype="float32")[LABELS]  # float32 rounds its 1 - p to zero


def parts(temperature):
    """TCKD and NCKD in NumPy, `(B,)` each."""
    p, q = softmax(TEACHER / temperature, axis=1), softmax(STUDENT / temperature, axis=1)
    p_t, q_t = p[ROWS, LABELS], q[ROWS, LABELS]
    target = rel_entr(p_t, q_t) + rel_entr(1 - p_t, 1 - q_t)
    others = np.ones_like(p, dtype=bool)
    others[ROWS, LABELS] = False
    p, q = (each[others].reshape(8, 9) for each in (p, q))
    p, q = (each / each.sum(axis=1, keepdims=True) for each in (p, q))
    return target, rel_entr(p, q).sum(axis=1)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_loss_is_the_weighted_sum_of_both_parts(temperature):
    target, others = parts(temperature)
    loss = decoupled_kd_loss(TEACHER, STUDENT, LABELS, temperature, 2.0, 3.0)
    np.testing.assert_allclose(loss, temperature**2 * (2 * target + 3 * others), rtol=1e-8)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_weights_of_each_sample_that_make_it_distillation(temperature):
    beta = 1 - softmax(TEACHER / temperature, axis=1)[ROWS, LABELS]
    loss = decoupled_kd_loss(TEACHER, STUDENT, LABELS, temperature, 1.0, beta)
    np.testing.assert_allclose(loss, kd_loss(TEACHER, STUDENT, temperature), rtol=1e-8)


def test_loss_is_zero_where_the_student_matches():
    np.testing.assert_allclose(
        decoupled_kd_loss(TEACHER, TEACHER + 3, LABELS, 4.0, 1.0, 8.0), 0, atol=1e-12
    )


def test_the_second_part_does_not_see_the_true_class():
    moved = STUDENT.copy()
    moved[ROWS, LABELS] += 7
    second = [decoupled_kd_loss(TEACHER, each, LABELS, 4.0, 0.0, 1.0) for each in (STUDENT, moved)]
    first = [decoupled_kd_loss(TEACHER, each, LABELS, 4.0, 1.0, 0.0) for each in (STUDENT, moved)]
    np.testing.assert_allclose(*second, rtol=1e-10)
    assert (np.abs(np.subtract(*map(np.asarray, first))) > 1e-3).all()


def test_with_two_classes_nothing_is_decoupled():
    teacher, student, labels = TEACHER[:, :2], STUDENT[:, :2], LABELS % 2

    def second_part(student):
        return decoupled_kd_loss(teacher, student, labels, 4.0, 0.0, 1.0)

    np.testing.assert_allclose(second_part(student), 0, atol=1e-12)
    np.testing.assert_allclose(gradients(second_part, student)[0], 0, atol=1e-12)
    np.testing.assert_allclose(
        decoupled_kd_loss(teacher, student, labels, 4.0, 0.7, 8.0),
        0.7 * np.asarray(kd_loss(teacher, student, 4.0)),
        rtol=1e-10,
    )


def test_no_gradient_reaches_the_teacher():
    def loss(teacher, student):
        return decoupled_kd_loss(teacher, student, LABELS, 4.0, 1.0, 8.0)

    teacher, student = gradients(loss, TEACHER, STUDENT)
    assert (teacher == 0).all()
    assert (np.abs(student).max(axis=1) > 0.01).all()


def test_sure_networks_lose_nothing():
    student = (SURE - 3 * np.eye(10, dtype="float32")[(LABELS + 1) % 10]).astype("float32")

    def loss(student):
        return decoupled_kd_loss(SURE, student, LABELS, 1.0, 1.0, 1.0)

    # Of the nine others, one is at e^-3: all other differences are lost to rounding, this is not.
    log_q = np.log(softmax([-3.0] + 8 * [0.0]))
    np.testing.assert_allclose(loss(student), np.mean(-np.log(9) - log_q), rtol=1e-4)
    assert np.isfinite(gradients(loss, student)[0]).all()


def test_the_soft_term_warms_up():
    method = DecoupledDistillation(temperature=4.0, alpha=1.0, beta=8.0, warm_up=2.0)
    weights = []
    for epoch in range(4):
        method.begin_epoch(epoch)
        terms = method.terms(LABELS, {"logits": TEACHER}, {"logits": STUDENT})
        weights.append(float(terms["soft"][0]))
    assert weights == [0.5, 1.0, 1.0, 1.0]
    assert tuple(terms) == method.term_names
    expected = decoupled_kd_loss(TEACHER, STUDENT, LABELS, 4.0, 1.0, 8.0)
    np.testing.assert_allclose(terms["soft"][1], expected)
    assert terms["hard"][0] == 1
    np.testing.assert_allclose(terms["hard"][1], hard_loss(LABELS, STUDENT))


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", 0), ("alpha", -1), ("beta", -0.5), ("warm_up", 0)]
)
def test_impossible_settings_are_refused(name, value):
    settings = {"temperature": 4.0, "alpha": 1.0, "beta": 8.0, "warm_up": 1.0} | {name: value}
    with pytest.raises(ValueError, match=f"{name} has to be .*, not {value}"):
        DecoupledDistillation(**settings)
