"""What a temperature does to distillation with two classes, where a target is one number.

Two logits come down to their difference, the log-odds of the positive class: `t` of the teacher,
`s` of the student. The softened answers are `σ(t / T)` and `σ(s / T)`, and nothing else is passed.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats
from scipy.special import expit

from kdutils import binary, metrics
from kdutils.ledger import Ledger
from kdutils.runs import Run
from kdutils.training import load_data


def soft_gradient(teacher: np.ndarray, student: np.ndarray, temperature: float) -> np.ndarray:
    """Gradient of the distillation loss by the student's log-odds, `(N,)`.

    `T (σ(s / T) - σ(t / T))`: Hinton et al. (2015), equation 2, times the `T²` of their section 2.

    Args:
        teacher: `(N,)` log-odds.
        student: `(N,)` log-odds.
        temperature: `T > 0`.
    """
    return temperature * (expit(student / temperature) - expit(teacher / temperature))


def distance_to_matching(teacher: np.ndarray, student: np.ndarray, temperature: float) -> float:
    """Relative distance of that gradient to its limit at high temperatures, `(s - t) / 4`.

    In the limit distillation matches logits (Hinton et al. 2015, section 2.1).

    Args:
        teacher: `(N,)` log-odds.
        student: `(N,)` log-odds, not all equal to the teacher's.
        temperature: `T > 0`.

    Returns:
        0 at the limit; 1 where the gradient is far shorter than the limit, or of its own direction.
    """
    limit = (student - teacher) / 4
    gradient = soft_gradient(teacher, student, temperature)
    return float(np.linalg.norm(gradient - limit) / np.linalg.norm(limit))


def order_within_classes(scores: np.ndarray, others: np.ndarray, labels: np.ndarray) -> float:
    """How alike two models order the images of one class: Spearman's rank correlation.

    Models that tell the classes apart agree on the order of images of different classes. Within a
    class the labels say nothing, so what two models share there was not learnt from them alone.

    Args:
        scores: `(N,)` of one model.
        others: `(N,)` of the other.
        labels: `(N,)`.

    Returns:
        The mean over classes, -1 to 1; a class in which a model tells nothing apart counts 0.
    """
    correlations = []
    for label in np.unique(labels):
        pair = [each[labels == label] for each in (scores, others)]
        constant = any(np.ptp(each) == 0 for each in pair)
        correlations.append(0.0 if constant else stats.spearmanr(*pair).statistic)
    return float(np.mean(correlations))


def profile(
    ledger: Ledger, runs: Sequence[Run], temperatures: Sequence[float]
) -> dict[str, list[float] | float]:
    """What a teacher tells a student who has learnt from labels, on the training images.

    Args:
        ledger: Where the models are.
        runs: A teacher and a student of the same two classes.
        temperatures: One value of each list is for one of them.

    Returns:
        `entropy` of the targets (nats), `soft` (mean length of the gradient of the distillation
        loss by the log-odds) and `distance` (see `distance_to_matching`), lists; `hard`, the mean
        length of the gradient of the hard loss, in which both classes count alike.
    """
    dataset = load_data(runs[0])
    part = dataset.train
    outputs = (ledger.outputs(run, part, ("logits",)).values["logits"] for run in runs)
    logits, other = (each.astype("float64") for each in outputs)
    teacher, student = (binary.scores(each, dataset.positive) for each in (logits, other))
    positive = part.labels == dataset.positive
    hard = np.abs(expit(student) - positive)
    return {
        "entropy": [metrics.entropy(logits, t) for t in temperatures],
        "soft": [np.abs(soft_gradient(teacher, student, t)).mean() for t in temperatures],
        "distance": [distance_to_matching(teacher, student, t) for t in temperatures],
        "hard": np.mean([hard[positive == each].mean() for each in (True, False)]),
    }
