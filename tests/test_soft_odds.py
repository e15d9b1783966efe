from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from kdutils import data, metrics, soft_odds
from kdutils.methods.kd import kd_loss
from kdutils.training import Outputs

RANDOM = np.random.default_rng(1)
TEACHER, STUDENT = RANDOM.normal(size=(2, 30, 2)) * 3
LABELS = np.array([0, 0, 1] * 10)


def odds(logits):
    return logits[:, 1] - logits[:, 0]


@pytest.mark.parametrize("temperature", [1.0, 4.0, 64.0])
def test_the_gradient_is_that_of_the_loss_that_students_are_trained_with(temperature):
    shift = tf.Variable(np.zeros(30))
    with tf.GradientTape() as tape:
        logits = STUDENT + tf.stack([tf.zeros(30, "float64"), shift], axis=1)
        loss = tf.reduce_sum(kd_loss(TEACHER, logits, temperature))
    found = soft_odds.soft_gradient(odds(TEACHER), odds(STUDENT), temperature)
    np.testing.assert_allclose(found, tape.gradient(loss, shift), rtol=1e-4, atol=1e-6)


def test_at_high_temperatures_logits_are_matched():
    pair = odds(TEACHER), odds(STUDENT)
    limit = (pair[1] - pair[0]) / 4
    np.testing.assert_allclose(soft_odds.soft_gradient(*pair, 1e4), limit, rtol=1e-5)
    distances = [soft_odds.distance_to_matching(*pair, t) for t in (1, 4, 16, 64, 1e4)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-5


def test_where_both_are_sure_nothing_is_left_of_the_limit():
    distance = soft_odds.distance_to_matching(np.array([90.0]), np.array([60.0]), 1.0)
    assert distance == pytest.approx(1)


def test_the_order_is_taken_within_each_class():
    labels = np.array([0, 0, 0, 1, 1, 1])
    first = np.array([1, 2, 3, 11, 12, 13])
    second = np.array([3, 2, 1, 11, 12, 13])
    assert soft_odds.order_within_classes(first, first**3, labels) == pytest.approx(1)
    assert soft_odds.order_within_classes(first, second, labels) == pytest.approx(0)
    constant = np.array([1, 2, 3, 7, 7, 7])
    assert soft_odds.order_within_classes(first, constant, labels) == pytest.approx(0.5)


def test_the_profile_is_of_the_training_images_and_counts_both_classes_alike(monkeypatch):
    part = data.Part(np.zeros((30, 2, 2, 3), "uint8"), LABELS, np.arange(30))
    read = SimpleNamespace(train=part, positive=1)
    monkeypatch.setattr(soft_odds, "load_data", lambda run: read)
    said = {"teacher": TEACHER, "student": STUDENT}

    class Ledger:
        def outputs(self, run, asked, taps):
            assert asked is part
            assert taps == ("logits",)
            return Outputs(part.ids, {"logits": said[run].astype("float32")})

    found = soft_odds.profile(Ledger(), ["teacher", "student"], [1.0, 8.0])
    assert found["entropy"] == pytest.approx([metrics.entropy(TEACHER, t) for t in (1, 8)])
    pair = odds(TEACHER), odds(STUDENT)
    soft = [np.abs(soft_odds.soft_gradient(*pair, t)).mean() for t in (1, 8)]
    assert found["soft"] == pytest.approx(soft)
    distances = [soft_odds.distance_to_matching(*pair, t) for t in (1, 8)]
    assert found["distance"] == pytest.approx(distances)
    wrong = 1 / (1 + np.exp(odds(STUDENT) * np.where(LABELS == 1, 1, -1)))
    weights = np.where(LABELS == 1, 30 / 2 / 10, 30 / 2 / 20)  # those of the hard loss
    assert found["hard"] == pytest.approx(np.mean(weights * wrong), rel=1e-5)
