"""Knowledge distillation (KD): Hinton, Vinyals & Dean 2015, arXiv:1503.02531."""

from keras import ops

from kdutils.methods.distiller import Method, at_least_float32, hard_loss, require_weight


def kd_loss(teacher_logits, student_logits, temperature):
    """Softened Kullback–Leibler divergence, `T² KL(p^T ‖ q^T)`, summed over classes.

    Its gradient by the student's logits is `T (q^T - p^T)` (Hinton et al. 2015, equation 2, times
    the `T²` of their section 2), that of the paper's cross-entropy form; unlike it, this form is
    zero where the student matches.

    Args:
        teacher_logits: `(B, C)`; no gradient flows into them.
        student_logits: `(B, C)`.
        temperature: `T > 0`, dividing both logits.

    Returns:
        `(B,)`, nats times `T²`.
    """
    teacher = ops.stop_gradient(at_least_float32(teacher_logits)) / temperature
    student = at_least_float32(student_logits) / temperature
    log_p, log_q = ops.log_softmax(teacher, axis=-1), ops.log_softmax(student, axis=-1)
    return temperature**2 * ops.sum(ops.exp(log_p) * (log_p - log_q), axis=-1)


class KnowledgeDistillation(Method):
    """`α · kd_loss + (1 − α) · hard_loss`.

    Args:
        temperature: `T > 0` of the soft targets.
        alpha: Weight of the distillation term, 0 (labels alone) to 1 (imitation alone).
    """

    term_names = ("soft", "hard")

    def __init__(self, temperature: float, alpha: float):
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature has to be above 0, not {temperature}")
        require_weight(alpha)
        self.temperature, self.alpha = temperature, alpha

    def terms(self, labels, teacher, student):
        """Return the terms `soft` and `hard`."""
        soft = kd_loss(teacher["logits"], student["logits"], self.temperature)
        hard = hard_loss(labels, student["logits"])
        return {"soft": (self.alpha, soft), "hard": (1 - self.alpha, hard)}
