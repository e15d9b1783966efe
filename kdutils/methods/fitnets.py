"""FitNets: Romero et al. 2015, arXiv:1412.6550. Two trainings: on hints, then on soft targets.

The second is a run of its own that begins with the weights of the first (`init`).
"""

import numpy as np
from keras import ops

from kdutils.methods.checks import require_temperature, require_weights
from kdutils.methods.distiller import Method, at_least_float32, hard_loss
from kdutils.methods.kd import kd_loss
from kdutils.methods.modules import draw, regressor
from kdutils.models.taps import tapped


def hint_loss(teacher_features, student_features):
    """Half the squared distance of features (Romero et al. 2015, equation 3).

    Args:
        teacher_features: `(B, …)`, the hint; no gradient flows into them.
        student_features: `(B, …)`, regressed to the hint's shape.

    Returns:
        `(B,)`.
    """
    teacher = ops.stop_gradient(at_least_float32(teacher_features))
    error = ops.square(at_least_float32(student_features) - teacher)
    return ops.sum(error, axis=tuple(range(1, len(error.shape)))) / 2


class Hints(Method):
    """The first training: `hint_loss` between the middle layers, nothing else.

    A regressor with the hint's non-linearity leads from the student's layer to the teacher's. Where
    the student's has no pixels it is fully connected, and two by two pixels of MNIST's teacher are
    averaged: otherwise it would have five times the student's weights. Where both have the same
    pixels it is a convolution of one pixel. The student's layers above the middle one get no
    gradient, and stay as they were.
    """

    teacher_taps = ("hint",)
    student_taps = ("middle",)
    term_names = ("hint",)

    def __init__(self):
        super().__init__()

    def prepare(self, student, teacher, images, seed):
        """Make the regressor."""
        del images
        self.shape = teacher["hint"]
        has_pixels = len(tapped(student, ["middle"]).output["middle"].shape) == 4
        units = self.shape[-1] if has_pixels else int(np.prod(self.shape))
        self.regressor = regressor(student, "middle", units, "relu")
        draw(self, seed)

    def terms(self, labels, teacher, student):
        """Return the term `hint`.

        Raises:
            ValueError: Both layers have pixels, and not as many.
        """
        del labels
        pixels, of_hint = (
            tuple(shape) for shape in (student["middle"].shape[1:-1], self.shape[:-1])
        )
        if pixels and pixels != of_hint:
            raise ValueError(
                f"the hint has {of_hint} pixels and the student's layer {pixels}; choose a size of "
                "images at which both have as many"
            )
        regressed = ops.reshape(self.regressor(student["middle"]), (-1, *self.shape))
        return {"hint": (1.0, hint_loss(teacher["hint"], regressed))}


class HintedDistillation(Method):
    """The second training: `hard_loss + λ · KL`, whose weight `λ` falls from epoch to epoch.

    The divergence of the softened probabilities has no factor `T²`, as in the authors' code.

    Args:
        temperature: `T > 0` of the soft targets.
        first_weight: `λ` before the first epoch, 0 or more.
        last_weight: `λ` in the last epoch, 0 or more.
        epochs: Number of epochs in which it falls linearly; it then stays.
    """

    term_names = ("soft", "hard")

    def __init__(self, temperature: float, first_weight: float, last_weight: float, epochs: float):
        super().__init__()
        require_temperature(temperature)
        require_weights(first_weight=first_weight, last_weight=last_weight)
        if not epochs >= 1:
            raise ValueError(f"epochs has to be 1 or more, not {epochs}")
        self.temperature, self.epochs = temperature, epochs
        self.first_weight, self.last_weight = first_weight, last_weight
        self.weight = self.add_weight(shape=(), initializer="ones", trainable=False, name="weight")

    def begin_epoch(self, epoch):
        """Lower the weight of the soft term."""
        part = min((epoch + 1) / self.epochs, 1.0)
        self.weight.assign(self.first_weight + part * (self.last_weight - self.first_weight))

    def terms(self, labels, teacher, student):
        """Return the terms `soft` and `hard`, with the weights of the present epoch."""
        soft = kd_loss(teacher["logits"], student["logits"], self.temperature)
        return {
            "soft": (self.weight, soft / self.temperature**2),
            "hard": (1.0, hard_loss(labels, student["logits"])),
        }
