import numpy as np
import pytest

from kdutils import data
from kdutils.data import Part, mnist
from kdutils.runs import Run


@pytest.fixture
def digits(monkeypatch):
    """MNIST with few images."""
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10, dtype="uint8"), 30))
    part = Part(np.zeros((300, 1, 1, 1), "uint8"), labels, np.arange(300))
    monkeypatch.setattr(mnist, "read", lambda: (part, part))
    return part


@pytest.mark.usefixtures("digits")
def test_images_and_splits_are_those_of_the_digits():
    sizes = {"validation": 50, "train_size": 100, "split_seed": 3}
    ten, two = data.load("mnist", **sizes), data.load("mnist_2x5", **sizes)
    assert two.classes == ("0–4", "5–9")
    for name in ("train", "validation", "test"):
        one, other = getattr(ten, name), getattr(two, name)
        np.testing.assert_array_equal(other.ids, one.ids)
        np.testing.assert_array_equal(other.labels, one.labels >= 5)
        assert set(other.labels) == {0, 1}


@pytest.mark.usefixtures("digits")
def test_without_validation_there_is_none():
    assert data.load("mnist_2x5").validation is None


def test_it_is_another_data_set_with_the_same_images():
    assert data.fingerprint("mnist_2x5") != data.fingerprint("mnist")
    assert data.base("mnist_2x5") == data.base("mnist") == "mnist"


def test_a_teacher_of_digits_that_holds_out_the_same_images_may_teach_two_classes():
    options = {"temperature": 4.0, "alpha": 0.5}

    def student(validation, of_teacher):
        return Run(
            "mnist_student_2x5",
            data="mnist_2x5",
            method="known_subclass",
            options=options,
            teacher=Run("mnist_teacher", validation=of_teacher),
            validation=validation,
        )

    assert student(5000, 5000).teacher.data == "mnist"
    with pytest.raises(ValueError, match="has trained on the images held out"):
        student(5000, 4000)
