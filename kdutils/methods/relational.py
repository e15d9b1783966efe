"""Relational knowledge distillation (RKD): Park et al. 2019, arXiv:1904.05068."""

from keras import ops

from kdutils.methods.checks import require_temperature, require_weights, require_whole
from kdutils.methods.distiller import Method, hard_loss
from kdutils.methods.geometry import cosines_of_angles, relative_distances
from kdutils.methods.kd import kd_loss


def distance_loss(teacher_features, student_features):
    """How far the distances between the samples of a batch differ, each relative to their mean.

    Park et al. 2019, section 3; the mean runs over all `B²` pairs, as in the authors' code.
    The two networks need not have the same width.

    Args:
        teacher_features: `(B, …)`; no gradient flows into them.
        student_features: `(B, …)`.

    Returns:
        A scalar from 0 on; zero where one set of features is the other moved, turned and scaled.
    """
    teacher = ops.stop_gradient(relative_distances(teacher_features))
    return ops.mean(huber(relative_distances(student_features) - teacher))


def angle_loss(teacher_features, student_features):
    """How far the cosines of the angles between the samples of a batch differ.

    Park et al. 2019, section 3, of all `B³` triplets, as in the authors' code. The cosines
    are computed from the dot products of all pairs, so that the cost does not grow with the width
    of the features.

    Args:
        teacher_features: `(B, …)`; no gradient flows into them.
        student_features: `(B, …)`.

    Returns:
        A scalar from 0 on; zero where one set of features is the other moved, turned and scaled.
    """
    teacher = ops.stop_gradient(cosines_of_angles(teacher_features))
    return ops.mean(huber(cosines_of_angles(student_features) - teacher))


def huber(differences):
    """Half the square up to 1, linear beyond (Huber's loss).

    Args:
        differences: Of any shape.

    Returns:
        The loss of each of them, in the same shape.
    """
    size = ops.abs(differences)
    return ops.where(size <= 1, size**2 / 2, size - 0.5)


class RelationalDistillation(Method):
    """`hard_loss + λ_D distance_loss + λ_A angle_loss + soft_weight · kd_loss`.

    Args:
        distance_weight: `λ_D`, 0 or more.
        angle_weight: `λ_A`, 0 or more.
        angle_samples: The angles are those among so many samples of a batch, as their number grows
            with the third power.
        soft_weight: Weight of `kd_loss`, 0 or more.
        temperature: `T > 0` of `kd_loss`.
    """

    teacher_taps = ("logits", "features")
    student_taps = ("logits", "features")
    term_names = ("distance", "angle", "soft", "hard")

    def __init__(
        self,
        distance_weight: float,
        angle_weight: float,
        angle_samples: float,
        soft_weight: float,
        temperature: float,
    ):
        super().__init__()
        require_temperature(temperature)
        require_weights(
            distance_weight=distance_weight, angle_weight=angle_weight, soft_weight=soft_weight
        )
        require_whole(3, angle_samples=angle_samples)
        self.distance_weight, self.angle_weight = distance_weight, angle_weight
        self.angle_samples = int(angle_samples)
        self.soft_weight, self.temperature = soft_weight, temperature

    def terms(self, labels, teacher, student):
        """Return the terms `distance`, `angle`, `soft` and `hard`."""
        features = teacher["features"], student["features"]
        some = [each[: self.angle_samples] for each in features]
        # What has no weight is not computed: the angles take longer than all else together.
        return {
            "distance": (
                self.distance_weight,
                distance_loss(*features) if self.distance_weight else ops.zeros(()),
            ),
            "angle": (
                self.angle_weight,
                angle_loss(*some) if self.angle_weight else ops.zeros(()),
            ),
            "soft": (
                self.soft_weight,
                kd_loss(teacher["logits"], student["logits"], self.temperature),
            ),
            "hard": (1.0, hard_loss(labels, student["logits"])),
        }
