import numpy as np
import pytest
import tensorflow as tf
import toy

from kdutils import metrics, softness
from kdutils.methods.kd import kd_loss

RANDOM = np.random.default_rng(1)
TEACHER, STUDENT = RANDOM.normal(size=(2, 20, 10)) * 4
LABELS = RANDOM.integers(0, 10, 20)


@pytest.mark.parametrize("temperature", [1.0, 4.0, 64.0])
def test_the_share_is_that_of_the_loss_that_students_are_trained_with(temperature):
    student = tf.Variable(STUDENT)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(kd_loss(TEACHER, student, temperature))
    gradient = np.abs(tape.gradient(loss, student).numpy())
    expected = gradient[np.arange(20), LABELS] / gradient.sum(axis=1)
    found = softness.target_share(TEACHER, STUDENT, LABELS, temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert (found <= 0.5 + 1e-12).all()


def test_the_share_is_one_half_where_the_wrong_classes_move_together():
    teacher, student = np.zeros((1, 4)), np.zeros((1, 4))
    teacher[0, 2], student[0, 2] = 3, 1
    assert softness.target_share(teacher, student, np.array([2]), 1.0) == pytest.approx(0.5)


def test_the_share_is_right_where_both_are_nearly_sure():
    teacher, student = np.array([[60.0, 0, 1]]), np.array([[50.0, 0, 0]])
    # p = e^-60 (…, 1, e), q = e^-50 (…, 1, 1): both wrong classes move down together.
    assert softness.target_share(teacher, student, np.array([0]), 1.0) == pytest.approx(0.5)


@pytest.mark.usefixtures("small")
def test_the_profile_takes_means_over_the_training_images(ledger, trainer):
    runs = [toy.teacher(), toy.student()]
    found = ledger.analyse(softness.soft_target_profile, runs, "study", temperatures=[1.0, 8.0])
    train, _ = toy.read()
    teacher, student = (
        ledger.model(run).predict(train.images, verbose=0).astype("float64") for run in runs
    )
    for place, temperature in enumerate((1.0, 8.0)):
        shares = softness.target_share(teacher, student, train.labels, temperature)
        assert found.values["target_share"][place] == pytest.approx(shares.mean(), rel=1e-4)
        expected = metrics.entropy(teacher, temperature)
        assert found.values["entropy"][place] == pytest.approx(expected, rel=1e-4)
