"""Logit regression: model compression (Bucilă et al. 2006) as in Ba & Caruana (2014)."""

from keras import ops

from kdutils.methods.distiller import Method, at_least_float32, hard_loss, require_weight


def logit_regression_loss(teacher_logits, student_logits):
    """Squared error of centred logits, `1/(2C) Σ_c ((z_c - z̄) - (v_c - v̄))²`.

    Ba & Caruana (2014), equation 1, with each row's mean taken out first: the softmax ignores it,
    and in this form the loss is the limit of `kd_loss` as the temperature grows.

    Args:
        teacher_logits: `v`, `(B, C)`; no gradient flows into them.
        student_logits: `z`, `(B, C)`.

    Returns:
        `(B,)`, squared logits.
    """
    teacher = ops.stop_gradient(at_least_float32(teacher_logits))
    difference = at_least_float32(student_logits) - teacher
    centred = difference - ops.mean(difference, axis=-1, keepdims=True)
    return ops.mean(ops.square(centred), axis=-1) / 2


class LogitRegression(Method):
    """`α · logit_regression_loss + (1 − α) · hard_loss`.

    Args:
        alpha: Weight of the regression, 0 (labels alone) to 1 (imitation alone).
    """

    term_names = ("regression", "hard")

    def __init__(self, alpha: float):
        super().__init__()
        require_weight(alpha)
        self.alpha = alpha

    def terms(self, labels, teacher, student):
        """Return the terms `regression` and `hard`."""
        regression = logit_regression_loss(teacher["logits"], student["logits"])
        hard = hard_loss(labels, student["logits"])
        return {"regression": (self.alpha, regression), "hard": (1 - self.alpha, hard)}
