"""Training a student on labels and on what its teacher says: the part all methods share."""

import keras
from keras import ops

from kdutils.models.initialise import require_logits
from kdutils.models.taps import tapped


class Method(keras.layers.Layer):
    """What a student learns from: named loss terms with their weights.

    A method that trains extra modules (regressors, heads) makes them in `prepare` as sublayers; the
    optimiser trains them with the student, and they are never saved in it.
    """

    teacher_taps: tuple[str, ...] = ("logits",)
    """Layers of the teacher whose outputs the method reads, see `kdutils.models.taps`."""
    student_taps: tuple[str, ...] = ("logits",)
    """Layers of the student whose outputs the method reads, likewise."""
    reads_votes: bool = False
    """Whether `terms` is given the shares of annotators, `(B, C)`, as the teacher's `votes`."""
    term_names: tuple[str, ...] = ("hard",)
    """Names of the loss terms, under which the history keeps them."""

    def prepare(self, student: keras.Model, teacher: dict, images: int, seed: int) -> None:
        """Make what the method needs besides the student, before the training; most need nothing.

        Args:
            student: What will be trained.
            teacher: Shapes of the teacher's tapped outputs, by name, without the batch.
            images: Number of training images.
            seed: Of the run; what is drawn has to depend on it alone.
        """

    def begin_epoch(self, epoch: int) -> None:
        """Prepare for an epoch, counted from 0; most methods treat all epochs alike."""

    def terms(self, labels, teacher: dict, student: dict) -> dict[str, tuple]:
        """Compute the loss terms of a batch.

        Args:
            labels: `(B,)` true classes.
            teacher: Outputs of the teacher's tapped layers, by name, each `(B, …)`; and `rows`,
                `(B,)`, where each image stands among all training images.
            student: Outputs of the student's tapped layers, by name; each `(B, …)`.

        Returns:
            `name: (weight, loss)`, the loss `(B,)`, or a scalar that exists for a batch only.
        """
        raise NotImplementedError


class Supervised(Method):
    """Training on labels alone."""

    teacher_taps = ()

    def __init__(self):
        super().__init__()

    def terms(self, labels, teacher, student):
        """Return the cross-entropy with the labels, named `hard`."""
        return {"hard": (1.0, hard_loss(labels, student["logits"]))}


def hard_loss(labels, logits):
    """Cross-entropy with the labels, at temperature 1.

    Args:
        labels: `(B,)` true classes.
        logits: `(B, C)`.

    Returns:
        `(B,)`, nats.
    """
    return keras.losses.sparse_categorical_crossentropy(
        labels, at_least_float32(logits), from_logits=True
    )


def at_least_float32(values):
    """Lift half-precision values to float32, in which every loss is computed."""
    values = ops.convert_to_tensor(values)
    half = keras.backend.standardize_dtype(values.dtype) in {"float16", "bfloat16"}
    return ops.cast(values, "float32") if half else values


def require_weight(alpha: float) -> None:
    """Refuse a task balance outside 0 (labels alone) … 1 (imitation alone)."""
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha has to lie between 0 and 1, not {alpha}")


def batch_mean(loss, sample_weight=None):
    """Average a loss over the batch; weights apply to `(B,)` losses, as in Keras' own."""
    if sample_weight is not None and len(loss.shape) == 1:
        loss = loss * ops.cast(ops.reshape(sample_weight, (-1,)), loss.dtype)
    return ops.mean(loss)


class Distiller(keras.Model):
    """A student under training; to `evaluate`, `predict` and `save` it is the student alone.

    `fit` takes `x = {"images": …, "teacher": {tap: …}}` and `y = labels`. The teacher itself is
    not here: it was run once, beforehand, so it cannot change, and each step runs one forward pass
    of the student and none of the teacher.

    Args:
        student: A functional model whose output is the layer `logits`.
        method: Its loss terms.
        class_weight: `(C,)` weights of the classes in the loss of the labels, `hard`; what a
            teacher says is not weighted by the label. `None` weighs all alike.
    """

    def __init__(self, student: keras.Model, method: Method, class_weight=None):
        super().__init__(name=f"distiller_of_{student.name}")
        require_logits(student)
        self.student = student
        self.method = method
        self.class_weight = class_weight
        self.tapped = tapped(student, {"logits", *method.student_taps})
        self.built = True  # the student is, and a method makes its modules in `prepare`
        self.term_means = {name: keras.metrics.Mean(name=name) for name in method.term_names}

    def call(self, inputs, training=None):
        """Return the student's logits; given a training batch, all of its tapped outputs."""
        if isinstance(inputs, dict):
            return self.tapped(inputs["images"], training=training)
        return self.student(inputs, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Add up the weighted terms, and the losses the layers add themselves (regularisers)."""
        total = ops.convert_to_tensor(sum(self.losses, 0.0), "float32")
        if not isinstance(y_pred, dict):
            return total + batch_mean(hard_loss(y, y_pred), sample_weight)
        for name, (weight, loss) in self.method.terms(y, x.get("teacher", {}), y_pred).items():
            if name == "hard" and self.class_weight is not None:
                loss = loss * ops.take(self.class_weight, ops.cast(y, "int32"))
            loss = batch_mean(loss, sample_weight)
            self.term_means[name].update_state(loss, sample_weight=ops.shape(y)[0])
            total = total + weight * loss
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Score the student's logits, whatever else was tapped."""
        if isinstance(y_pred, dict):
            return super().compute_metrics(x, y, y_pred["logits"], sample_weight)
        results = super().compute_metrics(x, y, y_pred, sample_weight)
        return {name: value for name, value in results.items() if name not in self.term_means}

    def save(self, *args, **kwargs):
        """Save the student: neither the teacher nor the method's modules are part of it."""
        self.student.save(*args, **kwargs)
