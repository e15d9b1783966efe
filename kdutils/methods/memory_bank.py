"""Contrastive distillation (CRD) with a memory: Tian, Krishnan & Isola 2020, arXiv:1910.10699."""

from keras import ops

from kdutils.methods.checks import require_whole
from kdutils.methods.contrastive import InBatchContrast
from kdutils.methods.distiller import at_least_float32
from kdutils.methods.memory import MemoryBank
from kdutils.methods.vectors import unit_vectors

EPSILON = 1e-7


def nce_loss(scores, counted, images):
    """Noise-contrastive estimation against `K` negatives.

    `-log(e_0 / (e_0 + c)) - Σ_j log(c / (e_j + c))` with `c = K/N`, as in the authors' code. The
    sum goes over the negatives that count, and is scaled up to `K` of them.

    Args:
        scores: `(B, 1 + K)`, above 0: `exp(g · m / τ) / Z`, that of the own image first.
        counted: `(B, K)`, 1 for a negative that counts and 0 for another.
        images: `N`, number of training images.

    Returns:
        `(B,)`, nats.
    """
    scores = at_least_float32(scores)
    chance = (scores.shape[-1] - 1) / images
    positive = scores[:, 0] / (scores[:, 0] + chance + EPSILON)
    negatives = chance / (scores[:, 1:] + chance + EPSILON)
    counted = ops.cast(counted, scores.dtype)
    share = ops.mean(counted, axis=-1)
    against = ops.sum(counted * ops.log(negatives), axis=-1) / ops.maximum(share, EPSILON)
    return -ops.log(positive) - against


class MemoryBankContrast(InBatchContrast):
    """`InBatchContrast` with `nce_loss`, whose negatives come from a memory of earlier embeddings.

    Negatives are of other classes, as in the authors' code. Unlike there they are drawn once a
    step for the whole batch, for each memory anew and with replacement, and those of an image's
    own class are left out of its sum. In the first epoch, rows that were not met yet have no class,
    so those of an image's own class count there too. `K` is small enough for two cores. What is
    drawn depends on the backend.

    Args:
        negatives: `K`, drawn a step.
        momentum: Share of the old embedding that stays in the memory, 0 to below 1.
        width: Of the embeddings.
        contrast_temperature: `τ > 0` of the contrast.
        contrast_weight: 0 or more.
        soft_weight: 0 or more.
        temperature: `T > 0` of `kd_loss`.
    """

    def __init__(
        self,
        negatives: float,
        momentum: float,
        width: float,
        contrast_temperature: float,
        contrast_weight: float,
        soft_weight: float,
        temperature: float,
    ):
        super().__init__(width, contrast_temperature, contrast_weight, soft_weight, temperature)
        require_whole(1, negatives=negatives)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum has to lie from 0 to below 1, not {momentum}")
        self.negatives, self.momentum = int(negatives), momentum

    def prepare(self, student, teacher, images, seed):
        """Make the projections and a memory for each network."""
        super().prepare(student, teacher, images, seed)
        size = images, self.width, self.negatives, self.momentum, self.contrast_temperature
        self.teachers, self.students = (MemoryBank(*size, seed=2 * seed + i) for i in range(2))

    def contrast(self, labels, teacher, student):
        """The contrast of each network's embeddings with the memory of the other.

        Args:
            labels: `(B,)` true classes.
            teacher: Outputs by name, of which `features` are `(B, D_t)` and `rows` `(B,)`.
            student: The same, `features` of `(B, D_s)`.

        Returns:
            `(B,)`, nats.
        """
        embeddings = (
            unit_vectors(self.of_teacher(teacher["features"])),
            unit_vectors(self.of_student(student["features"])),
        )
        loss = 0.0
        for bank, own, other in zip(
            (self.teachers, self.students), embeddings, reversed(embeddings), strict=True
        ):
            loss = loss + nce_loss(*bank.scores(other, teacher["rows"], labels), bank.images)
            bank.remember(own, teacher["rows"], labels)
        return loss
