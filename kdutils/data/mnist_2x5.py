"""MNIST-2x5: the images of MNIST in two classes, digits 0–4 and digits 5–9 (Müller et al. 2020).

A digit is a subclass of its class, and digits are ordered class by class: what a network for MNIST
says about an image is the logits of these subclasses.
"""

from dataclasses import replace

from kdutils.data import mnist
from kdutils.data.dataset import Dataset
from kdutils.data.mnist import TRAIN_SIZE, status

__all__ = ["BASE", "CLASSES", "POSITIVE", "TRAIN_SIZE", "derive", "fingerprint", "status"]

BASE = "mnist"
CLASSES = ("0–4", "5–9")
POSITIVE = None


def derive(digits: Dataset) -> Dataset:
    """Puts the digits of MNIST into two classes.

    Args:
        digits: MNIST, loaded and split.

    Returns:
        The same images in the same parts, labelled 0 for digits 0–4 and 1 for digits 5–9.
    """
    parts = {
        name: part and replace(part, labels=part.labels // 5)
        for name, part in (
            ("train", digits.train),
            ("validation", digits.validation),
            ("test", digits.test),
        )
    }
    return Dataset("mnist_2x5", **parts, classes=CLASSES, positive=None, fingerprint=fingerprint())


def fingerprint() -> str:
    """Returns MNIST's own, with how it is cut into classes."""
    return f"{mnist.fingerprint()}-2x5"
