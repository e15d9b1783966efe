"""DIST, distillation from a stronger teacher: Huang et al. 2022, arXiv:2205.10536."""

from keras import ops

from kdutils.methods.checks import require_temperature, require_weights
from kdutils.methods.distiller import Method, at_least_float32, hard_loss

EPSILON = 1e-8


def inter_class_loss(teacher_logits, student_logits, temperature):
    """One less the correlation, within each sample, of two networks' probabilities.

    The inter-class relation of Huang et al. 2022, of the probabilities at a temperature. With two
    classes the correlation of two rows is 1 or -1, and there is no gradient.

    Args:
        teacher_logits: `(B, C)`; no gradient flows into them.
        student_logits: `(B, C)`.
        temperature: `τ > 0`, dividing both logits.

    Returns:
        A scalar from 0 (all rows correlate fully) to 2.
    """
    teacher, student = _probabilities(teacher_logits, student_logits, temperature)
    return 1 - ops.mean(correlation(teacher, student))


def intra_class_loss(teacher_logits, student_logits, temperature):
    """One less the correlation, over the samples of a batch, of the probabilities of each class.

    The intra-class relation of Huang et al. 2022. A class that the teacher gives no probability to
    in the whole batch has no correlation, so even a perfect student pays `1/C` for it, and no
    column is masked: batches have to be large.

    Args:
        teacher_logits: `(B, C)`; no gradient flows into them.
        student_logits: `(B, C)`.
        temperature: `τ > 0`, dividing both logits.

    Returns:
        A scalar from 0 (all columns correlate fully) to 2.
    """
    teacher, student = _probabilities(teacher_logits, student_logits, temperature)
    return 1 - ops.mean(correlation(ops.transpose(teacher), ops.transpose(student)))


def correlation(one, other):
    """Pearson's correlation of the rows of two `(N, M)` tensors, `(N,)`."""
    one = one - ops.mean(one, axis=-1, keepdims=True)
    other = other - ops.mean(other, axis=-1, keepdims=True)
    return ops.sum(one * other, axis=-1) / (_norm(one) * _norm(other) + EPSILON)


def _norm(rows):
    # The root of zero has no gradient.
    return ops.sqrt(ops.maximum(ops.sum(ops.square(rows), axis=-1), EPSILON**2))


def _probabilities(teacher_logits, student_logits, temperature):
    teacher = ops.stop_gradient(at_least_float32(teacher_logits))
    student = at_least_float32(student_logits)
    return [ops.softmax(each / temperature, axis=-1) for each in (teacher, student)]


class RelationsOfPredictions(Method):
    """`hard_loss + β τ² inter_class_loss + γ τ² intra_class_loss`.

    The factor `τ²` is that of the authors' code for classification; the paper's listing has none.

    Args:
        temperature: `τ > 0` of the probabilities.
        beta: Weight of the relations within samples, 0 or more.
        gamma: Weight of the relations within classes, 0 or more.
    """

    term_names = ("inter", "intra", "hard")

    def __init__(self, temperature: float, beta: float, gamma: float):
        super().__init__()
        require_temperature(temperature)
        require_weights(beta=beta, gamma=gamma)
        self.temperature, self.beta, self.gamma = temperature, beta, gamma

    def terms(self, labels, teacher, student):
        """Return the terms `inter`, `intra` and `hard`."""
        logits = teacher["logits"], student["logits"]
        scale = self.temperature**2
        return {
            "inter": (self.beta * scale, inter_class_loss(*logits, self.temperature)),
            "intra": (self.gamma * scale, intra_class_loss(*logits, self.temperature)),
            "hard": (1.0, hard_loss(labels, student["logits"])),
        }
