"""Subclass distillation: Müller, Kornblith & Hinton 2020, arXiv:2002.03936.

The teacher invents subclasses of each class while it trains, and the student matches all of them.
Both networks end in a layer `subclass_logits`, ordered class by class, which
`kdutils.models.heads.class_logits` turns into their `logits`.
"""

from keras import ops

from kdutils.methods.checks import require_temperature, require_weights
from kdutils.methods.distiller import Method, at_least_float32, hard_loss, require_weight
from kdutils.methods.kd import kd_loss
from kdutils.methods.vectors import unit_vectors
from kdutils.models.heads import class_logits

__all__ = [
    "KnownSubclassDistillation",
    "SubclassDistillation",
    "SubclassTeaching",
    "auxiliary_loss",
    "class_logits",
]


def auxiliary_loss(subclass_logits, temperature):
    """How alike the rows of a batch are; its fall spreads the samples over the subclasses.

    `1/B Σ_i log Σ_j exp(ρ_ij / T) - 1/T - log B`, with the correlation `ρ_ij` of the logits of two
    samples (Müller et al. 2020, equation 4). The paper says unit variance, which makes the constant
    wrong; its code scales rows to unit length, and so does this.

    Args:
        subclass_logits: `(B, K)`.
        temperature: `T > 0`.

    Returns:
        A scalar from `-2/T` to 0, which means that all rows agree.
    """
    rows = at_least_float32(subclass_logits)
    rows = unit_vectors(rows - ops.mean(rows, axis=-1, keepdims=True))
    correlations = ops.matmul(rows, ops.transpose(rows))
    spread = ops.mean(ops.logsumexp(correlations / temperature, axis=-1))
    count = rows.shape[0] or ops.shape(rows)[0]
    return spread - 1 / temperature - ops.log(ops.cast(count, rows.dtype))


class SubclassTeaching(Method):
    """`hard_loss + β · auxiliary_loss`: how the teacher invents its subclasses.

    Args:
        beta: Weight of the auxiliary loss, 0 or more.
        temperature: `T > 0` of the auxiliary loss.
    """

    teacher_taps = ()
    student_taps = ("logits", "subclass_logits")
    term_names = ("hard", "auxiliary")

    def __init__(self, beta: float, temperature: float):
        super().__init__()
        require_temperature(temperature)
        require_weights(beta=beta)
        self.beta, self.temperature = beta, temperature

    def terms(self, labels, teacher, student):
        """Return the terms `hard` and `auxiliary`."""
        auxiliary = auxiliary_loss(student["subclass_logits"], self.temperature)
        return {
            "hard": (1.0, hard_loss(labels, student["logits"])),
            "auxiliary": (self.beta, auxiliary),
        }


class SubclassDistillation(Method):
    """`α · kd_loss` of the subclasses `+ (1 - α) · hard_loss` of the classes.

    Args:
        temperature: `T > 0` of the soft targets.
        alpha: Weight of the distillation term, 0 to 1.
    """

    teacher_taps = ("logits", "subclass_logits")
    student_taps = ("logits", "subclass_logits")
    term_names = ("soft", "hard")
    subclasses_of_teacher = "subclass_logits"

    def __init__(self, temperature: float, alpha: float):
        super().__init__()
        require_temperature(temperature)
        require_weight(alpha)
        self.temperature, self.alpha = temperature, alpha

    def terms(self, labels, teacher, student):
        """Return the terms `soft` and `hard`."""
        soft = kd_loss(
            teacher[self.subclasses_of_teacher], student["subclass_logits"], self.temperature
        )
        hard = hard_loss(labels, student["logits"])
        return {"soft": (self.alpha, soft), "hard": (1 - self.alpha, hard)}


class KnownSubclassDistillation(SubclassDistillation):
    """The same where the subclasses are known, and the teacher was trained to tell them.

    So the teacher's logits are those of the subclasses. That is subclass knowledge distillation
    (SKD: Sajedi & Plataniotis 2021, arXiv:2109.05587, of which the abstract could be read).

    Args:
        temperature: `T > 0` of the soft targets.
        alpha: Weight of the distillation term, 0 to 1.
    """

    teacher_taps = ("logits",)
    subclasses_of_teacher = "logits"
