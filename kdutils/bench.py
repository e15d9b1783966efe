"""The bench of distillation methods: which runs each of them is made of, and what may be tuned."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import keras

from kdutils import methods, models
from kdutils.models.taps import tapped
from kdutils.provenance import lineage
from kdutils.runs import Run
from kdutils.task1 import Protocol

CANDIDATES = 4
HINT_EPOCHS = 4
SOFT = {"temperature": 4.0, "alpha": 0.5}


@dataclass(frozen=True)
class Entry:
    """A method on the bench.

    Args:
        student: `student(protocol, seed, validation, **settings)` is the run of the student, with
            all that it rests on.
        candidates: Settings to choose from, `CANDIDATES` of them for every method.
    """

    student: Callable[..., Run]
    candidates: tuple[dict, ...]


def _taught(method: str, **fixed) -> Callable[..., Run]:
    """Students that learn by one method from the plain teacher."""

    def student(protocol: Protocol, seed: int, validation: int | None, **settings) -> Run:
        run = protocol.distilled(seed, **SOFT, validation=validation)
        return replace(run, method=method, options={**fixed, **settings})

    return student


def _smoothed(protocol, seed, validation, smoothing):
    return protocol.smoothed(seed, smoothing, validation)


def _early_stopped(protocol, seed, validation, teacher_epochs, stop_epoch):
    run = protocol.distilled(seed, **SOFT, validation=validation)
    run = replace(run, teacher=run.teacher.shorter(min(teacher_epochs, protocol.epochs)))
    if stop_epoch >= protocol.epochs:
        return run  # the teacher's half of the method alone
    return replace(run, method="early_stopped_kd", options={**SOFT, "stop_epoch": stop_epoch})


def _interventional(protocol, seed, validation, **settings):
    first = min(2.0, max(protocol.epochs - 1.0, 1.0))
    run = _taught("interventional", first_epochs=first)(protocol, seed, validation, **settings)
    return replace(run, model="mnist_student_interventional")


def _assisted(protocol, seed, validation, assistant, alpha):
    student = protocol.distilled(seed, 4.0, alpha, validation)
    return replace(student, teacher=replace(student, model=f"mnist_assistant_{assistant}"))


def _subclasses(protocol, seed, validation, beta, alpha):
    student = protocol.distilled(seed, 4.0, alpha, validation)
    teacher = replace(
        student.teacher,
        model="mnist_teacher_10x2",
        method="subclass_teaching",
        options={"beta": beta, "temperature": 1.0},
    )
    return replace(student, model="mnist_student_10x2", method="subclass", teacher=teacher)


def _student_friendly(protocol, seed, validation, match_weight, alpha):
    student = protocol.distilled(seed, 4.0, alpha, validation)
    options = {"branch_weight": 1.0, "match_weight": match_weight, "temperature": 1.0}
    teacher = replace(student.teacher, method="student_friendly_teaching", options=options)
    return replace(student, teacher=teacher)


def _hinted(protocol, seed, validation, **settings):
    run = _taught("hinted_kd", epochs=protocol.epochs)(protocol, seed, validation, **settings)
    hints = replace(run, method="hints", options={}, epochs=min(HINT_EPOCHS, protocol.epochs))
    return replace(run, init=hints)


def _each(**settings) -> tuple[dict, ...]:
    """All combinations of the values of several settings."""
    combined = [{}]
    for name, values in settings.items():
        combined = [{**each, name: value} for each in combined for value in values]
    return tuple(combined)


_CONTRAST = {"width": 128, "contrast_weight": 0.8, "temperature": 4.0}
_GEOMETRY = {"angle_samples": 64, "temperature": 4.0}

BENCH = {
    "label smoothing": Entry(_smoothed, _each(smoothing=[0.02, 0.05, 0.1, 0.2])),
    "logit regression": Entry(_taught("logits"), _each(alpha=[0.25, 0.5, 0.9, 1.0])),
    "KD": Entry(_taught("kd"), _each(temperature=[4.0, 16.0], alpha=[0.5, 0.9])),
    "early stopping": Entry(
        _early_stopped,
        tuple(
            {"teacher_epochs": teacher, "stop_epoch": stop}
            for teacher, stop in ((4, 12), (8, 12), (12, 8), (8, 8))
        ),
    ),
    "causal (CID)": Entry(
        _interventional,
        tuple(
            {"sample_weight": sample, "class_weight": of_class}
            for sample, of_class in ((10.0, 1.0), (10.0, 0.1), (1.0, 1.0), (50.0, 1.0))
        ),
    ),
    "extractive, rebuilt": Entry(
        _taught("extractive", epsilon=0.0, soft_weight=1.0, hard_weight=1.0),
        _each(teacher_temperature=[4.0, 16.0], student_temperature=[1.0, 4.0]),
    ),
    "teacher assistant": Entry(
        _assisted, _each(assistant=["convolutional", "wide"], alpha=[0.5, 0.9])
    ),
    "subclass": Entry(_subclasses, _each(beta=[0.05, 0.2], alpha=[0.5, 0.9])),
    "student-friendly": Entry(_student_friendly, _each(match_weight=[1.0, 3.0], alpha=[0.5, 0.9])),
    "relational, distances": Entry(
        _taught("relational", angle_weight=0.0, **_GEOMETRY),
        _each(distance_weight=[25.0, 100.0], soft_weight=[0.0, 1.0]),
    ),
    "relational, angles": Entry(
        _taught("relational", distance_weight=0.0, **_GEOMETRY),
        _each(angle_weight=[50.0, 200.0], soft_weight=[0.0, 1.0]),
    ),
    "relational, both": Entry(
        _taught("relational", **_GEOMETRY),
        tuple(
            {"distance_weight": weight, "angle_weight": 2 * weight, "soft_weight": soft}
            for weight in (25.0, 100.0)
            for soft in (0.0, 1.0)
        ),
    ),
    "FitNets": Entry(
        _hinted,
        tuple(
            {"temperature": temperature, "first_weight": first, "last_weight": first / 4}
            for temperature, first in ((3.0, 4.0), (3.0, 16.0), (4.0, 16.0), (4.0, 64.0))
        ),
    ),
    "contrastive (CRD)": Entry(
        _taught("contrast_with_memory", negatives=1024, momentum=0.5, **_CONTRAST),
        _each(contrast_temperature=[0.07, 0.1], soft_weight=[0.0, 1.0]),
    ),
    "contrastive, in-batch": Entry(
        _taught("contrast", **_CONTRAST),
        _each(contrast_temperature=[0.07, 0.1], soft_weight=[0.0, 1.0]),
    ),
    "decoupled (DKD)": Entry(
        _taught("decoupled", temperature=4.0, alpha=1.0, warm_up=2.0),
        _each(beta=[1.0, 2.0, 4.0, 8.0]),
    ),
    "DIST": Entry(
        _taught("dist"),
        tuple(
            {"temperature": temperature, "beta": weight, "gamma": weight}
            for temperature in (1.0, 4.0)
            for weight in (1.0, 2.0)
        ),
    ),
    "standardised logits": Entry(
        _taught("standardized"),
        _each(temperature=[2.0, 3.0], soft_weight=[9.0], hard_weight=[0.1, 1.0]),
    ),
}
"""By the name on the page, in the order of the bibliography's methods, the newer ones last."""


def total_epochs(run: Run) -> int:
    """Epochs of the student and of all networks it rests on."""
    return sum(each.epochs for each in lineage(run))


def extra_parameters(run: Run) -> int:
    """Weights that are trained for a student and thrown away.

    Those of regressors, projections and branches, of which the largest number counts that any
    training of the run's lineage has at a time; and those of networks between teacher and student.
    """
    trained = lineage(run)
    # A plain teacher is taught by nobody; hints train the student itself.
    between = [each.model for each in trained if each.teacher and each.model != run.model]
    assistants = sum(models.build(model).count_params() for model in between)
    return assistants + max(map(_own_parameters, trained))


def _own_parameters(run: Run) -> int:
    method = methods.build(run.method, dict(run.options))
    student = models.build(run.model)
    shapes = {}
    if run.teacher:
        taps = tapped(models.build(run.teacher.model), method.teacher_taps).output
        shapes = {tap: tensor.shape[1:] for tap, tensor in taps.items()}
    own = {id(weight) for weight in student.weights}
    method.prepare(student, shapes, images=1, seed=0)
    trained = [each for each in method.trainable_weights if id(each) not in own]
    return sum(int(keras.ops.size(each)) for each in trained)
