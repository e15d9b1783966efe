"""Comprehensive, interventional distillation (CID): Deng & Zhang 2021."""

from keras import ops

from kdutils.methods.checks import require_weights
from kdutils.methods.distiller import Method, at_least_float32, hard_loss
from kdutils.methods.kd import kd_loss
from kdutils.methods.modules import draw, regressor
from kdutils.methods.vectors import EPSILON, unit_vectors


def sample_loss(teacher_features, student_features):
    """Squared distance of features, relative to the teacher's length: `‖f̂ - f‖² / ‖f‖²`.

    Every sample counts alike, however long its features are.

    Args:
        teacher_features: `(B, D)`; no gradient flows into them.
        student_features: `(B, D)`, regressed to the teacher's width.

    Returns:
        `(B,)`: 0 where they are equal, 1 for a student that says nothing.
    """
    teacher = ops.stop_gradient(at_least_float32(teacher_features))
    error = ops.sum(ops.square(at_least_float32(student_features) - teacher), axis=-1)
    return error / ops.maximum(ops.sum(ops.square(teacher), axis=-1), EPSILON)


def class_loss(teacher_features, student_features, labels):
    """How far the cosines between samples of one class differ.

    The mean square over all pairs of a class, averaged over the classes that have two samples or
    more in the batch.

    Args:
        teacher_features: `(B, D_t)`; no gradient flows into them.
        student_features: `(B, D_s)`, as they are.
        labels: `(B,)` true classes.

    Returns:
        A scalar from 0 on; 0 where no class has two samples.
    """
    teacher = ops.stop_gradient(_cosines(teacher_features))
    error = ops.square(_cosines(student_features) - teacher)
    same = ops.cast(ops.equal(labels[:, None], labels[None, :]), error.dtype)
    counts = ops.sum(same, axis=-1)
    paired = ops.cast(counts > 1, error.dtype)
    # Each sample stands for 1/n of its class, so that sums over samples are sums over classes.
    of_classes = ops.sum(paired * ops.sum(same * error, axis=-1) / ops.square(counts))
    return of_classes / ops.maximum(ops.sum(paired / counts), 1.0)


def _cosines(features):
    unit = unit_vectors(features)
    return ops.matmul(unit, ops.transpose(unit))


class InterventionalDistillation(Method):
    """`kd_loss + sample_weight · sample_loss + class_weight · class_loss`, then `hard_loss` too.

    Of the two heads only the second is trained on labels (`kdutils.models.interventional`); it
    reads the context of the classes, and `kd_loss` acts on the first. The table of the context is
    the mean of each class's features in the epoch before, weighted by the teacher's probability of
    the class; the table that the last epoch used is the one that stays. The second head has no
    gradient while the labels are left out, so Adam's first steps on it are longer than usual: where
    the gradient is steady, up to 4 times after 2 epochs of 234 steps, and up to 6.6 times after
    many more. The authors train by SGD, which has no such effect.

    The temperature of the soft targets is that of the network's context.

    Args:
        sample_weight: The paper's `b`, 0 or more.
        class_weight: The paper's `c`, 0 or more.
        first_epochs: Epochs without the labels, 1 or more, in which the table gets filled.
    """

    teacher_taps = ("logits", "features")
    student_taps = ("logits", "plain_logits", "features")
    term_names = ("soft", "sample", "class", "hard")

    def __init__(self, sample_weight: float, class_weight: float, first_epochs: float):
        super().__init__()
        require_weights(sample_weight=sample_weight, class_weight=class_weight)
        if not first_epochs >= 1:
            raise ValueError(f"first_epochs has to be 1 or more, not {first_epochs}")
        self.first_epochs = first_epochs
        self.sample_weight, self.class_weight = sample_weight, class_weight
        self.uses_labels = self.add_weight(
            shape=(), initializer="zeros", trainable=False, name="uses_labels"
        )

    def prepare(self, student, teacher, images, seed):
        """Make the regressor, and room to sum up the features of each class."""
        del images
        context = student.get_layer("context")
        self.table, self.temperature = context.table, context.temperature
        self.regressor = regressor(student, "features", *teacher["features"])
        draw(self, seed)
        self.sums, self.counts = (
            self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name)
            for name, shape in (("sums", self.table.shape), ("counts", (self.table.shape[0], 1)))
        )

    def begin_epoch(self, epoch):
        """Take over the table of the last epoch, and the labels once it is filled."""
        self.uses_labels.assign(float(epoch >= self.first_epochs))
        if epoch > 0:
            self.table.assign(self.sums / ops.maximum(self.counts, EPSILON))
        for total in (self.sums, self.counts):
            total.assign(ops.zeros(total.shape))

    def terms(self, labels, teacher, student):
        """Return the terms `soft`, `sample`, `class` and `hard`; sum up the context."""
        self._sum_up(labels, teacher["logits"], student["features"])
        regressed = self.regressor(student["features"])
        features = teacher["features"], student["features"]
        soft = kd_loss(teacher["logits"], student["plain_logits"], self.temperature)
        return {
            "soft": (1.0, soft),
            "sample": (self.sample_weight, sample_loss(teacher["features"], regressed)),
            "class": (self.class_weight, class_loss(*features, labels)),
            "hard": (self.uses_labels, hard_loss(labels, student["logits"])),
        }

    def _sum_up(self, labels, teacher_logits, features):
        sure = ops.softmax(at_least_float32(teacher_logits) / self.temperature, axis=-1)
        of_class = ops.one_hot(labels, self.counts.shape[0], dtype=sure.dtype) * sure
        self.sums.assign_add(ops.matmul(ops.transpose(of_class), ops.stop_gradient(features)))
        self.counts.assign_add(ops.sum(of_class, axis=0)[:, None])
