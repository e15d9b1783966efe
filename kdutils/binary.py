"""Metrics of a two-class classifier, from one score an image: NumPy in, plain numbers out.

A score is the log-odds of the positive class: the higher, the surer. Everything that only ranks
images takes any other monotone score as well. Labels are 1 for the positive class and 0 for the
other. An image is called positive where its score is *above* the threshold.
"""

import numpy as np
from scipy.special import expit
from sklearn import metrics


def scores(logits, positive: int) -> np.ndarray:
    """Log-odds `(N,)` of the positive class.

    Args:
        logits: `(N, 2)` pre-softmax scores.
        positive: the column of the positive class, 0 or 1.

    Raises:
        ValueError: the logits are not those of two classes.
    """
    logits = np.asarray(logits, dtype="float64")
    if logits.ndim != 2 or logits.shape[1] != 2:
        raise ValueError(
            f"Log-odds need logits of the shape (N, 2), not {logits.shape}. A model of more "
            "classes or with a single logit has to be reduced to two columns first."
        )
    if positive not in (0, 1):
        raise ValueError(f"The positive class is column 0 or 1, not {positive!r}.")
    return logits[:, positive] - logits[:, 1 - positive]


def is_constant(scores) -> bool:
    """Whether all scores are one and the same but for the rounding of single precision.

    Such a model tells no image from another. Its AUC is 0.5 where the scores are exactly equal;
    where they differ by rounding it is a matter of luck.
    """
    scores = np.asarray(scores, dtype="float64")
    return bool(np.ptp(scores) <= 1e-5 * max(1.0, np.abs(scores).max()))


def binary_metrics(scores, labels, threshold: float = 0.0) -> dict[str, float]:
    """What a two-class task is judged by.

    The first two and `brier` do not depend on the threshold, and only `brier` needs the scores to
    be log-odds. Average precision is the sum over steps of recall, not the area under straight
    lines between points, which is too optimistic.

    Args:
        scores: `(N,)` log-odds of the positive class.
        labels: `(N,)` 0 or 1, with 1 the positive class.
        threshold: an image is called positive above it.

    Returns:
        `roc_auc` (0.5 for a constant predictor), `average_precision` (`prevalence` for a constant
        predictor), `f1` of the positive class, `macro_f1` over both, `balanced_accuracy`,
        `sensitivity` and `specificity` (recall of the positive class and of the other), `brier`
        (mean squared error of the probability of the positive class, 0 to 1, half of the sum over
        both classes) and `prevalence`, all of them fractions.

    Raises:
        ValueError: the labels are of one class only or not 0 and 1, or a score is not finite.
    """
    scores, labels = checked(scores, labels)
    called = scores > threshold
    sensitivity, specificity = (float(np.mean(called[labels == c] == c)) for c in (1, 0))
    return {
        "roc_auc": float(metrics.roc_auc_score(labels, scores)),
        "average_precision": float(metrics.average_precision_score(labels, scores)),
        "f1": float(metrics.f1_score(labels, called)),
        "macro_f1": float(metrics.f1_score(labels, called, average="macro")),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "sensitivity": sensitivity,
        "specificity": specificity,
        "brier": float(np.mean((expit(scores) - labels) ** 2)),
        "prevalence": float(labels.mean()),
    }


def checked(scores, labels) -> tuple[np.ndarray, np.ndarray]:
    """The scores `(N,)` and labels `(N,)` as arrays of floats and integers.

    Raises:
        ValueError: the labels are of one class only or not 0 and 1, or a score is not finite.
    """
    scores, labels = np.asarray(scores, dtype="float64"), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(
            f"One score and one label an image are needed, but the shapes are {scores.shape} and "
            f"{labels.shape}. `scores` makes them of two logits."
        )
    if wrong := int(np.sum(~np.isfinite(scores))):
        raise ValueError(
            f"{wrong} of {len(scores)} scores are not finite. Did the training diverge?"
        )
    found = sorted(set(labels.tolist()))
    if not set(found) <= {0, 1}:
        raise ValueError(f"Labels are 0, or 1 for the positive class, but these are {found}.")
    if len(found) < 2:
        raise ValueError(
            f"All {len(labels)} labels are {found or 'missing'}, but a two-class metric needs both "
            "classes. Split the data such that every part holds both."
        )
    return scores, labels.astype("int64")
