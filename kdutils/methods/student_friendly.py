"""Student-friendly teacher network (SFTN): Park et al. 2021, arXiv:2102.07650.

This trains the teacher. The student then learns from it by any method, in a run of its own.
"""

from keras import ops

from kdutils.methods.checks import require_temperature, require_weights
from kdutils.methods.distiller import Method, at_least_float32, hard_loss
from kdutils.methods.divergence import divergence
from kdutils.models.branches import mnist_branches


def branch_loss(teacher_logits, branch_logits, temperature):
    """Divergence `KL(p ‖ r)` of a branch's softened probabilities from the teacher's.

    Unlike in `kd_loss`, the gradient flows into the teacher as well: that is what makes it easy to
    follow. The direction is that of distillation; which one the paper takes was not verified.

    Args:
        teacher_logits: `(B, C)`.
        branch_logits: `(B, C)`.
        temperature: `τ > 0`, dividing both logits.

    Returns:
        `(B,)`, nats.
    """
    log_p, log_r = (
        ops.log_softmax(at_least_float32(logits) / temperature, axis=-1)
        for logits in (teacher_logits, branch_logits)
    )
    return divergence(log_p, log_r)


class StudentFriendlyTeaching(Method):
    """`hard_loss + mean over branches of (branch_weight · hard_loss + match_weight · branch_loss)`.

    The branches have the form of the student's later layers, and go when the teacher is trained.

    Args:
        branch_weight: Of the branches' own hard loss, 0 or more.
        match_weight: Of `branch_loss`, 0 or more.
        temperature: `τ > 0` of `branch_loss`.
    """

    teacher_taps = ()
    student_taps = ("logits", "early", "middle")
    term_names = ("hard", "branches", "match")

    def __init__(self, branch_weight: float, match_weight: float, temperature: float):
        super().__init__()
        require_temperature(temperature)
        require_weights(branch_weight=branch_weight, match_weight=match_weight)
        self.branch_weight, self.match_weight = branch_weight, match_weight
        self.temperature = temperature

    def prepare(self, student, teacher, images, seed):
        """Make the branches."""
        del student, teacher, images
        self.branches = mnist_branches(seed)

    def terms(self, labels, teacher, student):
        """Return the terms `hard`, `branches` and `match`."""
        logits = student["logits"]
        branched = [branch(student[tap]) for tap, branch in self.branches.items()]
        matches = [branch_loss(logits, each, self.temperature) for each in branched]
        return {
            "hard": (1.0, hard_loss(labels, logits)),
            "branches": (
                self.branch_weight / len(branched),
                sum(hard_loss(labels, each) for each in branched),
            ),
            "match": (self.match_weight / len(branched), sum(matches)),
        }
