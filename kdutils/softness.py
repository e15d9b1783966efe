"""What a temperature does to a teacher's targets, and so to what its student is told."""

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from kdutils import metrics
from kdutils.ledger import Ledger
from kdutils.runs import Run
from kdutils.training import load_data


def target_share(
    teacher_logits: np.ndarray, student_logits: np.ndarray, labels: np.ndarray, temperature: float
) -> np.ndarray:
    """Share of the true class in the gradient of the distillation loss, `(N,)`.

    The gradient by the student's logits is `T (q^T - p^T)` (Hinton et al. 2015, equation 2). Its
    components add up to zero, so the true class has at most half of their absolute sum, and exactly
    half where all other classes are pushed the same way, against it, by whatever amounts.

    Args:
        teacher_logits: `(N, C)`.
        student_logits: `(N, C)`, not equal to the teacher's for any image.
        labels: `(N,)` true classes.
        temperature: `T > 0`.
    """
    p, q = (softmax(z / temperature, axis=1) for z in (teacher_logits, student_logits))
    others = q - p
    others[np.arange(len(labels)), labels] = 0
    # Minus the sum of the others, which is exact where both are nearly sure and round to 1.
    true = np.abs(others.sum(axis=1))
    return true / (true + np.abs(others).sum(axis=1))


def soft_target_profile(
    ledger: Ledger, runs: Sequence[Run], temperatures: Sequence[float]
) -> dict[str, list[float]]:
    """Means over the training images of the entropy and of the true class's share of the gradient.

    Args:
        ledger: Where the models are.
        runs: A teacher, and a student that has learnt from labels alone: what is the teacher able
            to tell somebody who knows the answers?
        temperatures: One value of each list is for one of them.
    """
    part = load_data(runs[0]).train
    outputs = (ledger.outputs(run, part, ("logits",)) for run in runs)
    teacher, student = (each.values["logits"].astype("float64") for each in outputs)
    return {
        "entropy": [metrics.entropy(teacher, t) for t in temperatures],
        "target_share": [
            target_share(teacher, student, part.labels, t).mean() for t in temperatures
        ],
    }
