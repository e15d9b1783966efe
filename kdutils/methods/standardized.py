"""Logit standardisation in knowledge distillation (LSKD): Sun et al. 2024, arXiv:2403.01427."""

from keras import ops

from kdutils.methods.checks import require_temperature, require_weights
from kdutils.methods.distiller import Method, at_least_float32, hard_loss
from kdutils.methods.kd import kd_loss

EPSILON = 1e-7


def standardize(logits):
    """Z-scores of every row: less its mean, divided by its standard deviation.

    The standard deviation is the paper's, with `1/C`; the authors' code has `1/(C - 1)`, which
    makes the scores smaller by `√((C - 1)/C)`. No score is beyond `√(C - 1)`; with two classes they
    are all 1 or -1, whatever the logits.

    Args:
        logits: `(B, C)`.

    Returns:
        `(B, C)`, without a unit; zero for a row of equal logits.
    """
    logits = at_least_float32(logits)
    centred = logits - ops.mean(logits, axis=-1, keepdims=True)
    variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
    # The root of zero has no gradient.
    return centred / ops.sqrt(ops.maximum(variance, EPSILON**2))


def standardized_kd_loss(teacher_logits, student_logits, temperature):
    """`kd_loss` of the z-scores of both logits (Sun et al. 2024, algorithm 1).

    A student is not asked for the size of its teacher's logits: any `z = a v + b` with `a > 0` is
    a match.

    Args:
        teacher_logits: `(B, C)`; no gradient flows into them.
        student_logits: `(B, C)`.
        temperature: `τ > 0`, dividing both scores.

    Returns:
        `(B,)`, nats times `τ²`.
    """
    return kd_loss(standardize(teacher_logits), standardize(student_logits), temperature)


class StandardizedDistillation(Method):
    """`soft_weight · standardized_kd_loss + hard_weight · hard_loss`.

    Args:
        temperature: `τ > 0` of the soft targets.
        soft_weight: The paper's `λ_KD`, 0 or more.
        hard_weight: The paper's `λ_CE`, 0 or more.
    """

    term_names = ("soft", "hard")

    def __init__(self, temperature: float, soft_weight: float, hard_weight: float):
        super().__init__()
        require_temperature(temperature)
        require_weights(soft_weight=soft_weight, hard_weight=hard_weight)
        self.temperature = temperature
        self.soft_weight, self.hard_weight = soft_weight, hard_weight

    def terms(self, labels, teacher, student):
        """Return the terms `soft` and `hard`."""
        soft = standardized_kd_loss(teacher["logits"], student["logits"], self.temperature)
        hard = hard_loss(labels, student["logits"])
        return {"soft": (self.soft_weight, soft), "hard": (self.hard_weight, hard)}
