"""Contrastive representation distillation (CRD): Tian, Krishnan & Isola 2020, arXiv:1910.10699."""

from keras import layers, ops

from kdutils.methods.checks import require_temperature, require_weights, require_whole
from kdutils.methods.distiller import Method, hard_loss
from kdutils.methods.kd import kd_loss
from kdutils.methods.modules import draw, regressor
from kdutils.methods.vectors import unit_vectors


def info_nce_loss(teacher_embeddings, student_embeddings, temperature):
    """Pick out each image's own embedding by the other network among those of the batch.

    The in-batch form of the contrast (InfoNCE: van den Oord et al. 2018), symmetric, and not the
    one of the paper, which draws its negatives from a memory bank: see
    `kdutils.methods.memory_bank`. Every embedding is scaled to length 1.

    Args:
        teacher_embeddings: `(B, D)`.
        student_embeddings: `(B, D)`.
        temperature: `τ > 0`, dividing the cosines.

    Returns:
        `(B,)`, nats; `log B` where the embeddings tell nothing.
    """
    teacher, student = unit_vectors(teacher_embeddings), unit_vectors(student_embeddings)
    cosines = ops.matmul(student, ops.transpose(teacher)) / temperature
    own = ops.diagonal(cosines)
    among_teachers = ops.logsumexp(cosines, axis=1) - own
    among_students = ops.logsumexp(cosines, axis=0) - own
    return (among_teachers + among_students) / 2


class InBatchContrast(Method):
    """`hard_loss + contrast_weight · info_nce_loss + soft_weight · kd_loss`.

    Both networks' features are projected to embeddings of one width; the projections are trained.

    Args:
        width: Of the embeddings.
        contrast_temperature: `τ > 0` of the contrast.
        contrast_weight: 0 or more.
        soft_weight: 0 or more.
        temperature: `T > 0` of `kd_loss`.
    """

    teacher_taps = ("logits", "features")
    student_taps = ("logits", "features")
    term_names = ("contrast", "soft", "hard")

    def __init__(
        self,
        width: float,
        contrast_temperature: float,
        contrast_weight: float,
        soft_weight: float,
        temperature: float,
    ):
        super().__init__()
        require_temperature(contrast_temperature, "contrast_temperature")
        require_temperature(temperature)
        require_weights(contrast_weight=contrast_weight, soft_weight=soft_weight)
        require_whole(1, width=width)
        self.width = int(width)
        self.contrast_temperature, self.temperature = contrast_temperature, temperature
        self.contrast_weight, self.soft_weight = contrast_weight, soft_weight

    def prepare(self, student, teacher, images, seed):
        """Make the projections."""
        del images
        self.of_student = regressor(student, "features", self.width)
        self.of_teacher = layers.Dense(self.width, name="of_teacher")
        self.of_teacher.build((None, *teacher["features"]))
        draw(self, seed)

    def contrast(self, labels, teacher, student):
        """The contrastive loss of a batch.

        Args:
            labels: `(B,)` true classes.
            teacher: Outputs by name, of which `features` are `(B, D_t)`.
            student: The same, `features` of `(B, D_s)`.

        Returns:
            `(B,)`, nats.
        """
        del labels  # images of one class are told apart too
        embeddings = self.of_teacher(teacher["features"]), self.of_student(student["features"])
        return info_nce_loss(*embeddings, self.contrast_temperature)

    def terms(self, labels, teacher, student):
        """Return the terms `contrast`, `soft` and `hard`."""
        soft = kd_loss(teacher["logits"], student["logits"], self.temperature)
        return {
            "contrast": (self.contrast_weight, self.contrast(labels, teacher, student)),
            "soft": (self.soft_weight, soft),
            "hard": (1.0, hard_loss(labels, student["logits"])),
        }
