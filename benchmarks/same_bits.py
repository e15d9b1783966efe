"""Digests of small trainings of every kind, to tell whether a change of code changes any result.

Run it in two checkouts on one machine; what differs has changed, bit for bit. Where nothing does,
`kdutils.provenance.SAME_BITS` may say so, and records made by the earlier code stay valid.
"""

import hashlib
import json
import os
import sys
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from kdutils import data, explain, methods, models, task1, training
from kdutils.data import views

PROTOCOL = task1.Protocol(epochs=2, train_size=2048)
OPTIONS = {"temperature": 4.0, "alpha": 0.5}
CONTRAST = {
    "width": 16,
    "contrast_temperature": 0.1,
    "contrast_weight": 0.8,
    "soft_weight": 1.0,
    "temperature": 4.0,
}

SMALL = task1.Protocol(epochs=2, train_size=512, batch_size=64)
SETTINGS = {
    None: {},
    "kd": OPTIONS,
    "logits": {"alpha": 0.5},
    "early_stopped_kd": {**OPTIONS, "stop_epoch": 1},
    "label_smoothing": {"smoothing": 0.1},
    "interventional": {"sample_weight": 10.0, "class_weight": 1.0, "first_epochs": 1},
    "extractive": {
        "teacher_temperature": 16.0,
        "student_temperature": 4.0,
        "epsilon": 0.1,
        "soft_weight": 1.0,
        "hard_weight": 0.5,
    },
    "subclass_teaching": {"beta": 0.1, "temperature": 1.0},
    "subclass": OPTIONS,
    "known_subclass": OPTIONS,
    "student_friendly_teaching": {"branch_weight": 1.0, "match_weight": 3.0, "temperature": 1.0},
    "relational": {
        "distance_weight": 25.0,
        "angle_weight": 50.0,
        "angle_samples": 16,
        "soft_weight": 1.0,
        "temperature": 4.0,
    },
    "hints": {},
    "hinted_kd": {"temperature": 3.0, "first_weight": 4.0, "last_weight": 1.0, "epochs": 2},
    "contrast": CONTRAST,
    "contrast_with_memory": {**CONTRAST, "negatives": 64, "momentum": 0.5},
    "decoupled": {"temperature": 4.0, "alpha": 1.0, "beta": 4.0, "warm_up": 2},
    "dist": {"temperature": 4.0, "beta": 2.0, "gamma": 2.0},
    "standardized": {"temperature": 2.0, "soft_weight": 9.0, "hard_weight": 0.1},
}
"""Of every method, for a run of `SMALL`."""
NETWORKS = {
    "interventional": "mnist_student_interventional",
    "subclass_teaching": "mnist_teacher_10x2",
    "subclass": "mnist_student_10x2",
    "known_subclass": "mnist_student_2x5",
    "student_friendly_teaching": "mnist_teacher",
}
DATA = {"known_subclass": "mnist_2x5"}
TEACHERS = {"subclass": "subclass_teaching"}
INITIAL = {"hinted_kd": "hints"}
"""By method, the method of the run that it rests on; most learn from a plain teacher."""

if lacking := sorted(methods.METHODS.keys() - SETTINGS.keys()):
    sys.exit(f"no run here trains by {', '.join(lacking)}: add it to SETTINGS in {__file__}")


def digest(content: bytes) -> str:
    """The first digits of a hash."""
    return hashlib.sha256(content).hexdigest()[:16]


def train(name, run, teacher=None, initial=None):
    """Train a run, print the digests of what comes of it, and return the model."""
    said = None
    if teacher is not None:
        part = training.load_data(run).train
        taps = methods.METHODS[run.method].teacher_taps
        said = [
            training.outputs(teacher, replace(part, images=view(part.images)), taps)
            for view in views.of(run.views)
        ]
    record, model = training.train(run, said, initial)
    history = {term: values for term, values in record.history.items() if term != "seconds"}
    rest = json.dumps([record.metrics, record.train, history, record.predictions], sort_keys=True)
    weights = b"".join(np.ascontiguousarray(each).tobytes() for each in model.get_weights())
    print(f"{name:12} weights {digest(weights)}  record {digest(rest.encode())}")
    return model


def small(method):
    """The run of `SMALL` that trains by a method."""
    run = replace(
        SMALL.student(0),
        model=NETWORKS.get(method, "mnist_student"),
        data=DATA.get(method, "mnist"),
    )
    teacher = None
    if methods.METHODS[method].teacher_taps:
        teacher = small(TEACHERS[method]) if method in TEACHERS else SMALL.teacher(0)
    init = small(INITIAL[method]) if method in INITIAL else None
    return replace(run, method=method, options=SETTINGS[method], teacher=teacher, init=init)


teacher, student = train("teacher", PROTOCOL.teacher(0)), train("student", PROTOCOL.student(1))
held_out = train("validation", PROTOCOL.teacher(2, 500))
distilled = PROTOCOL.distilled(0, **OPTIONS)
train("kd", distilled, teacher)
train("kd, held out", PROTOCOL.distilled(2, 16.0, 0.9, 500), held_out)
train("early stop", PROTOCOL.early_stopped(0, **OPTIONS, stop_epoch=1), teacher)
train("smoothing", PROTOCOL.smoothed(3, 0.1))
regression = replace(distilled, method="logits", options={"alpha": 0.5}, init=PROTOCOL.student(1))
train("logits, init", regression, teacher, student)
train("views", task1.Recipe("shifts_1", 4.0, 0.3, 4e-3).student(PROTOCOL, 0), teacher)
train("classes", replace(PROTOCOL.student(0), classes=(7, 8)))

images, classes = data.load("mnist").test.images[:40], np.arange(40) % 10
for network in ("mnist_teacher", "mnist_student"):
    for name, method in explain.methods(network).items():
        maps = method(models.build(network, 3), images, classes)
        print(f"{name} of {network}: {digest(np.ascontiguousarray(maps).tobytes())}")

trained = {None: None}  # that which a run does not rest on
trained[SMALL.teacher(0)] = train(f"{'small teacher':25}", SMALL.teacher(0))
for name in SETTINGS:
    run = small(name)
    trained[run] = train(f"{name or 'labels':25}", run, trained[run.teacher], trained[run.init])
