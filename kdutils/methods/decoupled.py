"""Decoupled knowledge distillation (DKD): Zhao et al. 2022, arXiv:2203.08679."""

from keras import ops

from kdutils.methods.checks import require_temperature, require_weights
from kdutils.methods.distiller import Method, at_least_float32, hard_loss
from kdutils.methods.divergence import divergence

OUT_OF_REACH = -1e9  # as a logit: a probability of zero at any temperature of use


def decoupled_kd_loss(teacher_logits, student_logits, labels, temperature, alpha, beta):
    """The two parts of `kd_loss`, with weights of their own: `T² (α TCKD + β NCKD)`.

    TCKD is the divergence between the probabilities of the true class and of all others together,
    NCKD the one between the others among themselves (Zhao et al. 2022, equation 7). `kd_loss` is
    `α = 1` and `β = 1 - p_t`: where the teacher is sure of the true class it hardly teaches the
    others. With two classes NCKD is zero, and nothing is decoupled.

    Computed from log-probabilities throughout, where the authors' code takes the logarithm of a sum
    of probabilities, which is lost where a network is sure.

    Args:
        teacher_logits: `(B, C)`; no gradient flows into them.
        student_logits: `(B, C)`.
        labels: `(B,)` true classes.
        temperature: `T > 0`, dividing both logits.
        alpha: Weight of TCKD; a number, or one for every sample `(B,)`.
        beta: Weight of NCKD; the same.

    Returns:
        `(B,)`, nats times `T²`.
    """
    teacher = ops.stop_gradient(at_least_float32(teacher_logits)) / temperature
    student = at_least_float32(student_logits) / temperature
    true = ops.one_hot(labels, teacher.shape[-1], dtype="bool")
    target = divergence(_target_or_not(teacher, true), _target_or_not(student, true))
    others = divergence(_among_others(teacher, true), _among_others(student, true))
    return temperature**2 * (alpha * target + beta * others)


def _target_or_not(logits, true):
    log_probabilities = ops.log_softmax(logits, axis=-1)
    return ops.stack(
        [
            ops.sum(ops.where(true, log_probabilities, 0.0), axis=-1),
            ops.logsumexp(ops.where(true, OUT_OF_REACH, log_probabilities), axis=-1),
        ],
        axis=-1,
    )


def _among_others(logits, true):
    return ops.log_softmax(ops.where(true, OUT_OF_REACH, logits), axis=-1)


class DecoupledDistillation(Method):
    """`hard_loss + w · decoupled_kd_loss`, whose weight `w` grows to 1 in the first epochs.

    Args:
        temperature: `T > 0` of the soft targets.
        alpha: Weight of the true class against the others, 0 or more.
        beta: Weight of the others among themselves, 0 or more.
        warm_up: Epochs in which `w` grows linearly; 1 begins with the full weight.
    """

    term_names = ("soft", "hard")

    def __init__(self, temperature: float, alpha: float, beta: float, warm_up: float):
        super().__init__()
        require_temperature(temperature)
        require_weights(alpha=alpha, beta=beta)
        if not warm_up >= 1:
            raise ValueError(f"warm_up has to be 1 epoch or more, not {warm_up}")
        self.temperature, self.alpha, self.beta, self.warm_up = temperature, alpha, beta, warm_up
        self.ramp = self.add_weight(shape=(), initializer="ones", trainable=False, name="ramp")

    def begin_epoch(self, epoch):
        """Raise the weight of the soft term."""
        self.ramp.assign(min((epoch + 1) / self.warm_up, 1.0))

    def terms(self, labels, teacher, student):
        """Return the terms `soft` and `hard`, with the weights of the present epoch."""
        soft = decoupled_kd_loss(
            teacher["logits"],
            student["logits"],
            labels,
            self.temperature,
            self.alpha,
            self.beta,
        )
        return {"soft": (self.ramp, soft), "hard": (1.0, hard_loss(labels, student["logits"]))}
