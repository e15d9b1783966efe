from types import SimpleNamespace

import numpy as np
import pytest

from kdutils import data, subclasses, training
from kdutils.data import mnist
from kdutils.provenance import lineage
from kdutils.task1 import Protocol


def test_students_differ_in_what_teaches_them_alone():
    students = subclasses.students(Protocol(), seed=3)
    assert {each.data for each in students.values()} == {"mnist_2x5"}
    assert {each.epochs for run in students.values() for each in lineage(run)} == {12}
    assert {each.seed for run in students.values() for each in lineage(run)} == {3}
    assert {name: each.teacher and each.teacher.model for name, each in students.items()} == {
        "no KD": None,
        "KD": "mnist_teacher_2",
        "invented subclasses": "mnist_teacher_2x5",
        "digits as subclasses": "mnist_teacher",
    }


def test_the_teacher_of_digits_is_that_of_task_1():
    protocol = Protocol()
    known = subclasses.students(protocol, seed=0)["digits as subclasses"]
    assert known.teacher == protocol.teacher(0)


def test_subclasses_that_are_the_digits_in_another_order_match_all_images():
    counts = 100 * np.eye(10, dtype=int)[[4, 2, 0, 1, 3, 9, 8, 7, 6, 5]]
    assert subclasses.matched(counts) == 1
    assert subclasses.in_use(counts) == pytest.approx(10)


def test_one_subclass_a_class_matches_one_digit_of_five():
    counts = np.zeros((10, 10), int)
    counts[:5, 0] = counts[5:, 7] = 100
    assert subclasses.matched(counts) == pytest.approx(0.2)
    assert subclasses.in_use(counts) == pytest.approx(2)


def test_a_digit_spread_over_subclasses_counts_by_its_largest_share():
    counts = np.diag([100] * 9 + [60])
    counts[9, 8] = 40  # taken by digit 8, which has more images there
    assert subclasses.matched(counts) == pytest.approx(0.96)


def test_test_images_are_counted_by_digit_and_most_probable_subclass(monkeypatch):
    labels = np.array([0, 0, 7], "uint8")
    part = data.Part(np.zeros((3, 28, 28, 1), "uint8"), labels, np.arange(3))
    monkeypatch.setattr(mnist, "read", lambda: (part, part))
    said = np.eye(10)[[2, 2, 9]]
    outputs = training.Outputs(part.ids, {"subclass_logits": said})
    monkeypatch.setattr(training, "outputs", lambda model, part, taps: outputs)
    (teacher,) = lineage(subclasses.students(Protocol(), 0)["invented subclasses"])[:-1]
    counts = subclasses.use(Models(), [teacher])["counts"]
    assert counts.sum() == 3
    assert counts[0, 2] == 2
    assert counts[7, 9] == 1


def test_a_digit_of_the_same_class_is_no_error(monkeypatch):
    labels = np.array([0, 4, 7, 9], "uint8")
    part = data.Part(np.zeros((4, 28, 28, 1), "uint8"), labels, np.arange(4))
    monkeypatch.setattr(mnist, "read", lambda: (part, part))
    said = np.array([3, 5, 7, 0])
    record = SimpleNamespace(offsets=(said - labels.astype(int)) % 10)
    assert subclasses.errors_of_classes([record]).tolist() == [0.5]


class Models:
    """A ledger of which nothing but the models is asked."""

    def model(self, run):
        return run
