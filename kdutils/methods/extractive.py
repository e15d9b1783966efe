"""Extractive knowledge distillation (EKD), a reconstruction of Kobayashi 2022.

Neither the paper's text nor its code could be read. The formula here is rebuilt from the abstract's
idea, that the near-uniform part of softened targets carries no knowledge and is to be taken out;
what it gives is not to be held for a result of that paper.
"""

import keras
from keras import ops

from kdutils.methods.checks import require_temperature, require_weights
from kdutils.methods.distiller import Method, at_least_float32, hard_loss

LEAST = {"float32": 1e-6, "float64": 1e-12}


def extractive_targets(teacher_logits, temperature, epsilon=0.0):
    """What a softened distribution has above the uniform one, as a distribution.

    `p̃ = [p - u]₊ / Σ [p - u]₊` with `u = 1/C`, and `(1 - ε) p̃ + ε u`. Unlike softened targets, it
    does not tend to the uniform distribution as the temperature grows. With two classes and `ε = 0`
    it is the class the teacher names, and nothing more.

    Args:
        teacher_logits: `(B, C)`; no gradient flows into them.
        temperature: `T > 0`, dividing them.
        epsilon: Share of the uniform distribution that is put back, 0 to 1.

    Returns:
        `(B, C)`, rows that sum to 1; uniform where the teacher is.
    """
    teacher = ops.stop_gradient(at_least_float32(teacher_logits))
    probabilities = ops.softmax(teacher / temperature, axis=-1)
    uniform = 1 / probabilities.shape[-1]
    above = ops.relu(probabilities - uniform)
    total = ops.sum(above, axis=-1, keepdims=True)
    # What is left of a uniform distribution are rounding errors, which tell nothing.
    least = LEAST[keras.backend.standardize_dtype(total.dtype)]
    extracted = ops.where(total > least, above / ops.maximum(total, least), uniform)
    return (1 - epsilon) * extracted + epsilon * uniform


def extractive_kd_loss(
    teacher_logits, student_logits, teacher_temperature, student_temperature, epsilon=0.0
):
    """Cross-entropy with the extracted targets, times the student's temperature.

    With that factor its gradient is the student's softened probabilities less the targets, of the
    size of the hard loss's at any temperature.

    Args:
        teacher_logits: `(B, C)`; no gradient flows into them.
        student_logits: `(B, C)`.
        teacher_temperature: `T_t > 0` of the targets.
        student_temperature: `T_s > 0` of the student's probabilities.
        epsilon: See `extractive_targets`.

    Returns:
        `(B,)`, nats times `T_s`.
    """
    targets = extractive_targets(teacher_logits, teacher_temperature, epsilon)
    student = at_least_float32(student_logits) / student_temperature
    return -student_temperature * ops.sum(targets * ops.log_softmax(student, axis=-1), axis=-1)


class ExtractiveDistillation(Method):
    """`soft_weight · extractive_kd_loss + hard_weight · hard_loss`.

    Args:
        teacher_temperature: `T_t > 0` of the targets.
        student_temperature: `T_s > 0` of the student's probabilities.
        epsilon: Share of the uniform distribution in the targets, 0 to 1.
        soft_weight: 0 or more.
        hard_weight: 0 or more.
    """

    term_names = ("soft", "hard")

    def __init__(
        self,
        teacher_temperature: float,
        student_temperature: float,
        epsilon: float,
        soft_weight: float,
        hard_weight: float,
    ):
        super().__init__()
        require_temperature(teacher_temperature, "teacher_temperature")
        require_temperature(student_temperature, "student_temperature")
        if not 0 <= epsilon <= 1:
            raise ValueError(f"epsilon has to lie between 0 and 1, not {epsilon}")
        require_weights(soft_weight=soft_weight, hard_weight=hard_weight)
        self.temperatures, self.epsilon = (teacher_temperature, student_temperature), epsilon
        self.soft_weight, self.hard_weight = soft_weight, hard_weight

    def terms(self, labels, teacher, student):
        """Return the terms `soft` and `hard`."""
        soft = extractive_kd_loss(
            teacher["logits"], student["logits"], *self.temperatures, self.epsilon
        )
        hard = hard_loss(labels, student["logits"])
        return {"soft": (self.soft_weight, soft), "hard": (self.hard_weight, hard)}
