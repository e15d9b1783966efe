import warnings

import numpy as np
import pytest
from scipy.special import expit
from scored import FIRST, LABELS

from kdutils import binary


def test_scores_are_log_odds_of_the_positive_class():
    logits = [[1.0, 3.0], [0.5, -0.5]]
    assert binary.scores(logits, positive=1).tolist() == [2, -1]
    assert binary.scores(logits, positive=0).tolist() == [-2, 1]
    softmax = np.exp([1.0, 3.0]) / np.exp([1.0, 3.0]).sum()
    assert expit(binary.scores(logits, 1)[0]) == pytest.approx(softmax[1])


@pytest.mark.parametrize(
    ("logits", "positive", "message"),
    [
        (np.zeros((4, 1)), 1, r"\(N, 2\), not \(4, 1\)"),
        (np.zeros((4, 3)), 1, r"\(4, 3\)"),
        (np.zeros(4), 1, r"\(4,\)"),
        (np.zeros((4, 2)), 2, "column 0 or 1, not 2"),
    ],
)
def test_scores_refuse_what_is_not_two_classes(logits, positive, message):
    with pytest.raises(ValueError, match=message):
        binary.scores(logits, positive)


def test_metrics_by_hand():
    # Above 0: two of three positives, one of four others.
    scores = np.array([2.0, 1.0, -1.0, 0.5, -0.5, -2.0, -3.0])
    labels = np.array([1, 1, 1, 0, 0, 0, 0])
    metrics = binary.binary_metrics(scores, labels)
    assert metrics["sensitivity"] == pytest.approx(2 / 3)
    assert metrics["specificity"] == pytest.approx(3 / 4)
    assert metrics["balanced_accuracy"] == pytest.approx(17 / 24)
    assert metrics["f1"] == pytest.approx(4 / 6)  # 2 TP / (2 TP + FP + FN)
    assert metrics["macro_f1"] == pytest.approx((4 / 6 + 6 / 8) / 2)
    assert metrics["roc_auc"] == pytest.approx(10 / 12)  # -1 is below 0.5 and -0.5
    assert metrics["average_precision"] == pytest.approx((1 + 1 + 3 / 5) / 3)
    assert metrics["brier"] == pytest.approx(np.mean((1 / (1 + np.exp(-scores)) - labels) ** 2))
    assert metrics["prevalence"] == pytest.approx(3 / 7)
    assert all(type(value) is float for value in metrics.values())


def test_the_threshold_moves_what_is_called_positive_and_nothing_else():
    plain = binary.binary_metrics(FIRST, LABELS)
    strict = binary.binary_metrics(FIRST, LABELS, threshold=FIRST.max())
    assert strict["sensitivity"] == strict["f1"] == 0
    assert strict["specificity"] == 1
    for name in ("roc_auc", "average_precision", "brier", "prevalence"):
        assert strict[name] == plain[name]


def test_a_constant_predictor_scores_as_chance():
    labels = np.array([1] * 30 + [0] * 70)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = binary.binary_metrics(np.zeros(100), labels)
    assert metrics["roc_auc"] == 0.5
    assert metrics["average_precision"] == pytest.approx(0.3)
    assert metrics["balanced_accuracy"] == 0.5
    assert metrics["f1"] == 0
    assert metrics["brier"] == 0.25


@pytest.mark.parametrize(
    ("scores", "constant"),
    [
        (np.full(5, 3.2), True),
        (np.float32(3.2) + np.array([0, 2e-7, -2e-7], "float32"), True),
        ([1000.0, 1000.001], True),
        ([0.0, 0.001], False),
        (FIRST, False),
    ],
)
def test_constant_scores_are_told(scores, constant):
    assert binary.is_constant(scores) is constant
