"""Metrics of one classifier, from its logits: NumPy in, plain numbers out, nothing to train."""

import numpy as np
from scipy.special import log_softmax

ECE_BINS = 15


def classification_metrics(logits, labels) -> dict[str, float]:
    """Score logits against labels.

    Args:
        logits: `(N, C)` pre-softmax scores.
        labels: `(N,)` true classes, `0 … C-1`.

    Returns:
        `accuracy` (a fraction), `correct` and `count` (images), `nll` (mean negative
        log-likelihood, nats), `brier` (mean squared error of the probability vector, 0 to 2),
        `ece` (see `expected_calibration_error`), `entropy` (mean entropy of the predictions, nats).
    """
    logits = np.asarray(logits, dtype="float64")
    labels = np.asarray(labels, dtype="int64")
    log_probabilities = log_softmax(logits, axis=1)
    probabilities = np.exp(log_probabilities)
    correct = logits.argmax(axis=1) == labels
    one_hot = np.eye(logits.shape[1])[labels]
    return {
        "accuracy": float(correct.mean()),
        "correct": int(correct.sum()),
        "count": len(labels),
        "nll": float(-log_probabilities[np.arange(len(labels)), labels].mean()),
        "brier": float(((probabilities - one_hot) ** 2).sum(axis=1).mean()),
        "ece": expected_calibration_error(probabilities.max(axis=1), correct),
        "entropy": entropy(logits),
    }


def expected_calibration_error(confidences, correct) -> float:
    """Mean gap between confidence and accuracy over equal-width confidence bins.

    Guo et al. (2017), equation 3, with 15 bins.

    Args:
        confidences: `(N,)` probability given to the predicted class.
        correct: `(N,)` whether the prediction is right.

    Returns:
        The gap, 0 to 1, each bin weighted by the images in it.
    """
    confidences = np.asarray(confidences, dtype="float64")
    correct = np.asarray(correct, dtype="float64")
    bins = np.clip(np.ceil(confidences * ECE_BINS).astype(int) - 1, 0, ECE_BINS - 1)
    gaps = np.bincount(bins, weights=confidences - correct, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / len(confidences))


def entropy(logits, temperature: float = 1.0) -> float:
    """Mean entropy, in nats, of the softmax of `(N, C)` logits at a temperature."""
    log_probabilities = log_softmax(np.asarray(logits, dtype="float64") / temperature, axis=1)
    return float(-(np.exp(log_probabilities) * log_probabilities).sum(axis=1).mean())


def kullback_leibler(teacher_logits, student_logits, temperature: float = 1.0) -> float:
    """Mean KL(teacher ‖ student), in nats, of two `(N, C)` logits at a temperature."""
    teacher = log_softmax(np.asarray(teacher_logits, dtype="float64") / temperature, axis=1)
    student = log_softmax(np.asarray(student_logits, dtype="float64") / temperature, axis=1)
    return float((np.exp(teacher) * (teacher - student)).sum(axis=1).mean())
