"""A data set, two networks and a trainer that cost next to nothing, for tests of what uses them.

Processes that a test starts find this module beside the tests, and call `install` themselves.
"""

import keras
import numpy as np
from keras import layers

from kdutils import data, models, provenance, training
from kdutils.data import Part
from kdutils.runs import Record, Run, pack

CLASSES = tuple("0123456789")
POSITIVE = None
TRAIN_SIZE = 120
TEST_SIZE = 100


def read():
    return _part(TRAIN_SIZE, seed=0), _part(TEST_SIZE, seed=1)


def fingerprint():
    return "toy"


def status():
    return "found", "made up"


def _part(count, seed):
    labels = (np.arange(count) % 10).astype("uint8")
    images = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 1), dtype="uint8")
    images[np.arange(count), labels // 4, labels % 4] = 255
    return Part(images, labels, np.arange(count))


def toy_teacher(seed):
    pixels = keras.Input((4, 4, 1), name="pixels")
    x = layers.Flatten(name="flatten")(layers.Rescaling(1 / 255, name="scale")(pixels))
    x = layers.Dropout(0.5, seed=seed, name="dropout")(layers.Dense(16, "relu", name="fc")(x))
    return keras.Model(pixels, layers.Dense(10, name="logits")(x))


def toy_student(seed):
    del seed
    pixels = keras.Input((4, 4, 1), name="pixels")
    x = layers.Flatten(name="flatten")(layers.Rescaling(1 / 255, name="scale")(pixels))
    return keras.Model(pixels, layers.Dense(10, name="logits")(x))


def install(set_item=dict.__setitem__):
    """Put the data set and the networks in the place of the real ones; a test can undo it."""
    set_item(data.DATASETS, "toy", "toy")
    set_item(models.NETWORKS, "mnist_teacher", toy_teacher)
    set_item(models.NETWORKS, "mnist_student", toy_student)


def install_with_trainer():
    """Prepare a process of its own, in which trainings are made up."""
    install()
    training.train = Trainer()


def teacher(seed=0, **settings):
    settings = {"epochs": 2, "batch_size": 40} | settings
    return Run("mnist_teacher", "toy", seed=seed, **settings)


def student(seed=0, temperature=4.0, teacher=None, **settings):
    settings = {"epochs": 2, "batch_size": 40} | settings
    if teacher is not None:
        options = {"temperature": temperature, "alpha": 0.5}
        settings |= {"method": "kd", "options": options, "teacher": teacher}
    return Run("mnist_student", "toy", seed=seed, **settings)


def record(run, correct=90, **changes):
    """Make up the record of a run that gets the first `correct` of 100 images right."""
    fields = {
        "run": run,
        "data_fingerprint": data.fingerprint(run.data),
        "backend": keras.backend.backend(),
        "precision": "float32",
        "part": "validation" if run.validation else "test",
        "metrics": {"accuracy": correct / TEST_SIZE, "correct": correct, "count": TEST_SIZE},
        "train": {"accuracy": 0.96875},
        "history": {"loss": [1 / 3] * run.epochs, "seconds": [1.5] * run.epochs},
        "predictions": {
            "offsets": pack(np.arange(TEST_SIZE) >= correct),
            "confidences": pack(np.full(TEST_SIZE, 204)),
        },
        "parameters": 170,
        "seconds": 1.5 * run.epochs,
        "versions": provenance.versions(),
        "machine": provenance.machine(),
        "code": provenance.code_digest(run),
        "finished": "2026-01-02T03:04:05+00:00",
    }
    return Record(**fields | changes)


class Trainer:
    """Stands in for `kdutils.training.train`: makes up records, and remembers what was asked."""

    def __init__(self):
        self.runs, self.teachers, self.initials = [], [], []
        self.failing = None

    def __call__(
        self, run, teacher=None, initial=None, workspace=None, on_epoch=None, frozen_outputs=None
    ):
        del workspace, frozen_outputs
        if run == self.failing:
            raise training.TrainingError(f"{run.label}: asked to fail")
        self.runs.append(run)
        self.teachers.append(teacher)
        self.initials.append(initial)
        for epoch in range(run.epochs):
            if on_epoch is not None:
                on_epoch(epoch + 1, {})
        return record(run), models.build(run.model, run.seed)
