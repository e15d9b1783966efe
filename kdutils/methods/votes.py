"""Learning from annotators' votes: a teacher made of people, after Peterson et al. 2019.

Human uncertainty makes classification more robust (ICCV 2019, arXiv:1908.07086): the share of
annotators that chose a class is its soft target.
"""

from keras import ops

from kdutils.methods.distiller import Method, at_least_float32, hard_loss, require_weight


def vote_loss(shares, logits):
    """Cross-entropy with the shares of annotators.

    Args:
        shares: `(B, C)`, of the annotators for each class; they add up to 1.
        logits: `(B, C)`.

    Returns:
        `(B,)`, nats.
    """
    logits = at_least_float32(logits)
    return -ops.sum(ops.cast(shares, logits.dtype) * ops.log_softmax(logits, axis=-1), axis=-1)


class VoteTargets(Method):
    """`α · vote_loss + (1 - α) · hard_loss`, for data sets with votes.

    Args:
        alpha: Weight of the votes, 0 to 1.
    """

    teacher_taps = ()
    reads_votes = True
    term_names = ("soft", "hard")

    def __init__(self, alpha: float):
        super().__init__()
        require_weight(alpha)
        self.alpha = alpha

    def terms(self, labels, teacher, student):
        """Return the terms `soft` and `hard`; `teacher` has the `votes`, `(B, C)`."""
        return {
            "soft": (self.alpha, vote_loss(teacher["votes"], student["logits"])),
            "hard": (1 - self.alpha, hard_loss(labels, student["logits"])),
        }
