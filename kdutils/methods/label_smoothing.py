"""Label smoothing: Szegedy et al. 2016, arXiv:1512.00567, section 7. It needs no teacher."""

from keras import ops

from kdutils.methods.distiller import Method, at_least_float32, hard_loss


def label_smoothing_loss(labels, logits, smoothing):
    """Cross-entropy with labels that share out a little of their certainty among all classes.

    `(1 − ε) · CE(label) + ε · mean over classes of −log q`: the target of the true class is
    `1 − ε + ε / C`, that of every other class `ε / C`.

    Args:
        labels: `(B,)` true classes.
        logits: `(B, C)`.
        smoothing: `ε`, 0 (labels as they are) to 1 (nothing but the uniform distribution).

    Returns:
        `(B,)`, nats.
    """
    uniform = -ops.mean(ops.log_softmax(at_least_float32(logits), axis=-1), axis=-1)
    return (1 - smoothing) * hard_loss(labels, logits) + smoothing * uniform


class LabelSmoothing(Method):
    """Training on smoothed labels alone.

    Args:
        smoothing: `ε`, see `label_smoothing_loss`.
    """

    teacher_taps = ()
    term_names = ("smoothed",)

    def __init__(self, smoothing: float):
        super().__init__()
        if not 0 <= smoothing <= 1:
            raise ValueError(f"smoothing has to lie between 0 and 1, not {smoothing}")
        self.smoothing = smoothing

    def terms(self, labels, teacher, student):
        """Return the term `smoothed`."""
        return {"smoothed": (1.0, label_smoothing_loss(labels, student["logits"], self.smoothing))}
