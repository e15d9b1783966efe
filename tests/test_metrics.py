from itertools import pairwise

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss

from kdutils import metrics

RANDOM = np.random.default_rng(7)
LABELS = RANDOM.integers(0, 10, 500)
LOGITS = RANDOM.normal(size=(500, 10)) * 2 + 3 * np.eye(10)[LABELS]
TEACHER_LOGITS = LOGITS + RANDOM.normal(size=(500, 10))


def test_scores_equal_those_computed_image_by_image():
    scores = metrics.classification_metrics(LOGITS, LABELS)
    probabilities = softmax(LOGITS, axis=1)
    correct = sum(row.argmax() == label for row, label in zip(LOGITS, LABELS, strict=True))
    brier = np.mean(
        [
            sum((p[c] - (c == label)) ** 2 for c in range(10))
            for p, label in zip(probabilities, LABELS, strict=True)
        ]
    )
    assert 0 < correct < 500
    assert scores["correct"] == correct
    assert scores["count"] == 500
    assert scores["accuracy"] == correct / 500
    assert scores["nll"] == pytest.approx(log_loss(LABELS, probabilities), rel=1e-12)
    assert scores["brier"] == pytest.approx(brier, rel=1e-12)
    assert scores["entropy"] == pytest.approx(-(probabilities * np.log(probabilities)).sum() / 500)
    assert set(scores) == {"accuracy", "correct", "count", "nll", "brier", "ece", "entropy"}


def test_scores_are_plain_numbers():
    scores = metrics.classification_metrics(LOGITS.astype("float32"), LABELS.astype("uint8"))
    assert {name: type(value) for name, value in scores.items()} == {
        name: int if name in {"correct", "count"} else float for name in scores
    }


def test_uniform_predictions_score_as_chance():
    scores = metrics.classification_metrics(np.zeros((10, 10)), np.arange(10))
    assert scores["nll"] == pytest.approx(np.log(10))
    assert scores["entropy"] == pytest.approx(np.log(10))
    assert scores["brier"] == pytest.approx(0.9)
    assert scores["accuracy"] == 0.1
    assert scores["ece"] == pytest.approx(0, abs=1e-12)


def test_large_logits_stay_finite():
    scores = metrics.classification_metrics([[1000.0, 0.0], [1000.0, 0.0]], [0, 1])
    assert scores["nll"] == 500
    assert scores["brier"] == 1
    assert scores["entropy"] == 0
    assert scores["ece"] == 0.5


def test_calibration_error_equals_the_sum_over_bins():
    confidences = softmax(LOGITS, axis=1).max(axis=1)
    correct = LOGITS.argmax(axis=1) == LABELS
    edges = np.linspace(0, 1, 16)
    expected = 0
    for low, high in pairwise(edges):
        inside = (confidences > low) & (confidences <= high)
        if inside.any():
            gap = abs(correct[inside].mean() - confidences[inside].mean())
            expected += inside.mean() * gap
    assert expected > 0.01
    found = metrics.expected_calibration_error(confidences, correct)
    assert found == pytest.approx(expected, rel=1e-9)
    assert metrics.classification_metrics(LOGITS, LABELS)["ece"] == pytest.approx(found)


@pytest.mark.parametrize(
    ("confidences", "correct", "expected"),
    [
        ([1.0, 1.0, 1.0, 1.0], [1, 1, 1, 0], 0.25),
        ([0.0], [0], 0.0),
        # Gaps of opposite sign in two bins do not cancel; in one bin they do.
        ([0.9, 0.5], [0, 1], 0.7),
        ([0.91, 0.92], [1, 0], 0.415),
        # The lowest bin ends at 1/15.
        ([0.05, 0.1], [0, 1], 0.475),
    ],
)
def test_calibration_error_of_a_few_images(confidences, correct, expected):
    assert metrics.expected_calibration_error(confidences, correct) == pytest.approx(expected)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_entropy_and_divergence_soften_by_the_temperature(temperature):
    p, q = softmax(TEACHER_LOGITS / temperature, axis=1), softmax(LOGITS / temperature, axis=1)
    assert metrics.entropy(LOGITS, temperature) == pytest.approx(-(q * np.log(q)).sum() / 500)
    divergence = metrics.kullback_leibler(TEACHER_LOGITS, LOGITS, temperature)
    assert divergence == pytest.approx((p * np.log(p / q)).sum() / 500)
    assert divergence > 0.001


def test_divergence_is_zero_at_equality_and_not_symmetric():
    assert metrics.kullback_leibler(LOGITS, LOGITS + 3) == pytest.approx(0, abs=1e-12)
    forward = metrics.kullback_leibler(TEACHER_LOGITS, LOGITS)
    assert forward != pytest.approx(metrics.kullback_leibler(LOGITS, TEACHER_LOGITS), rel=1e-3)


def test_entropy_by_hand():
    logits = np.log([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3]])
    expected = [0.5 * np.log(2) + 0.5 * np.log(4), np.log(3)]
    np.testing.assert_allclose([metrics.entropy(row[None], 1) for row in logits], expected)
    # Halving the logits takes square roots: weights of 2^-1/2, 1/2, 1/2.
    weights = np.array([2**-0.5, 0.5, 0.5])
    p = weights / weights.sum()
    assert metrics.entropy(logits[:1], 2) == pytest.approx(-(p * np.log(p)).sum())
