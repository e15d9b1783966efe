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

from kdutils import bench, bench_task2, data, explain, methods, models, task1, task2, training
from kdutils.data import views
from kdutils.provenance import lineage

PROTOCOL = task1.Protocol(epochs=2, train_size=2048)
OPTIONS = {"temperature": 4.0, "alpha": 0.5}
SMALL = task1.Protocol(epochs=2, train_size=512, batch_size=64)
NOT_ON_THE_BENCH = [
    SMALL.student(0),
    SMALL.early_stopped(0, **OPTIONS, stop_epoch=1),
    replace(
        SMALL.distilled(0, **OPTIONS),
        model="mnist_student_2x5",
        data="mnist_2x5",
        method="known_subclass",
    ),
]

TISSUE = task2.Protocol(
    "synthetic",
    None,
    32,
    head_epochs=1,
    fine_epochs=1,
    source_epochs=1,
    batch_size=16,
    train_size=32,
    source_size=32,
)


def small_runs():
    """Small runs of every method, each after those that it rests on.

    Raises:
        SystemExit: A registered method trains none of them.
    """
    entries = bench.BENCH.values()
    students = [entry.student(SMALL, 0, None, **entry.candidates[-1]) for entry in entries]
    settings = task2.Settings()
    students += [
        student(TISSUE, 0, settings) for student in bench_task2.entries("synthetic").values()
    ]
    students += [TISSUE.student(0, settings, "random"), TISSUE.choosing().student(0, settings)]
    runs = [each for run in (*students, *NOT_ON_THE_BENCH) for each in lineage(run)]
    if lacking := sorted(methods.METHODS.keys() - {run.method for run in runs}):
        sys.exit(f"no run here trains by {', '.join(lacking)}: add one in {__file__}")
    return list(dict.fromkeys(runs))


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


small = small_runs()  # before anything is trained
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
for run in small:
    trained[run] = train(run.label, run, trained[run.teacher], trained[run.init])
