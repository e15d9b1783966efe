"""Classes that a transfer set leaves out, and what a student knows of them all the same.

A student that meets no image of a class still hears of it: its teacher gives that class some
probability on images of others. What it cannot learn so is how common the class is, which the bias
of the class's logit makes up for (Hinton et al. 2015, section 3).
"""

from collections.abc import Sequence

import numpy as np

from kdutils import training
from kdutils.runs import Run


def errors_against_bias(
    ledger, runs: Sequence[Run], labels: Sequence[int], shifts: Sequence[float]
) -> dict:
    """Count the errors of models when the biases of some classes are moved; for `Ledger.analyse`.

    Args:
        ledger: Holds the models.
        runs: Their runs, all scored on the same images.
        labels: Classes whose biases are moved, all by the same.
        shifts: What is added to them, in logits.

    Returns:
        `errors`, `(runs, shifts)`: errors on the images that the runs are scored on, which are
        validation images where they hold some out and else the test images; `missed`, the same on
        those with one of the labels; `count` and `labelled`, how many images these are.
    """
    errors, missed = [], []
    for run in runs:
        dataset = training.load_data(run)
        part = dataset.test if dataset.validation is None else dataset.validation
        logits = ledger.outputs(run, part, ("logits",)).values["logits"]
        moved = np.isin(np.arange(logits.shape[1]), labels)
        labelled = np.isin(part.labels, labels)
        wrong = [(logits + shift * moved).argmax(axis=1) != part.labels for shift in shifts]
        errors.append([int(each.sum()) for each in wrong])
        missed.append([int(each[labelled].sum()) for each in wrong])
    count, of_labels = len(part), int(labelled.sum())
    return {"errors": errors, "missed": missed, "count": count, "labelled": of_labels}
