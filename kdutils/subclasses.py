"""MNIST in two classes: the runs of Müller et al. 2020, and how far a teacher finds the digits."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from kdutils import data, training
from kdutils.ledger import Ledger
from kdutils.runs import Record, Run
from kdutils.task1 import Protocol

SOFT = {"temperature": 4.0, "alpha": 0.5}
TEACHING = {"beta": 1.0, "temperature": 1.0}
"""The authors' settings for MNIST-2x5, as in their notebook."""


def students(protocol: Protocol, seed: int) -> dict[str, Run]:
    """The students of digits 0–4 against digits 5–9, by name, each with the teacher it needs.

    Args:
        protocol: Of the trainings.
        seed: Of student and teacher.
    """
    none = replace(protocol.student(seed), model="mnist_student_2", data="mnist_2x5")
    teacher = replace(none, model="mnist_teacher_2")
    inventive = replace(
        teacher, model="mnist_teacher_2x5", method="subclass_teaching", options=TEACHING
    )
    kd = replace(none, method="kd", options=SOFT, teacher=teacher)
    subclass = replace(kd, model="mnist_student_2x5", method="subclass", teacher=inventive)
    known = replace(subclass, method="known_subclass", teacher=protocol.teacher(seed))
    return {
        "no KD": none,
        "KD": kd,
        "invented subclasses": subclass,
        "digits as subclasses": known,
    }


def use(ledger: Ledger, runs: Sequence[Run]) -> dict:
    """Count the test images by digit and by the subclass that is most probable.

    Args:
        ledger: Where the model is.
        runs: One, of a network with subclasses of digits 0–4 and 5–9.

    Returns:
        `counts`, `(10, subclasses)`.
    """
    (run,) = runs
    test = data.load(data.base(run.data)).test
    logits = training.outputs(ledger.model(run), test, ("subclass_logits",)).values
    chosen = logits["subclass_logits"].argmax(axis=1)
    counts = np.zeros((10, logits["subclass_logits"].shape[1]), int)
    np.add.at(counts, (test.labels, chosen), 1)
    return {"counts": counts}


def matched(counts: np.ndarray) -> float:
    """Share of the images in the subclass of their digit, if each digit gets one of its own.

    Digits are matched with subclasses so that the share is largest.

    Args:
        counts: `(digits, subclasses)`, see `use`.
    """
    counts = np.asarray(counts)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / counts.sum())


def errors_of_classes(records: Sequence[Record]) -> np.ndarray:
    """Share of the test images that networks of ten digits put into the wrong one of two classes.

    Args:
        records: Of networks for MNIST, on its test images.

    Returns:
        One for each record; a digit of the right class is right.
    """
    labels = data.load("mnist").test.labels.astype(int)
    digits = [(labels + record.offsets) % 10 for record in records]
    return np.array([np.mean(each // 5 != labels // 5) for each in digits])


def in_use(counts: np.ndarray) -> float:
    """How many subclasses are in use: the exponential of the entropy of their shares.

    Args:
        counts: `(digits, subclasses)`, see `use`.
    """
    shares = np.asarray(counts).sum(axis=0) / np.sum(counts)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
