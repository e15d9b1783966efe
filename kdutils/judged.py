"""Records of two-class models, judged further: at other thresholds, calibrated, slide by slide.

A record keeps the score of every image that it was judged on, see `kdutils.runs.Record.scores`, so
none of this needs the model or the images. The positive class is class 1, as in all tracks of
`kdutils.data.tracks`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats
from scipy.special import expit

from kdutils import data
from kdutils.binary import binary_metrics
from kdutils.evaluation import Interval
from kdutils.image_tests import clustered_bootstrap
from kdutils.metrics import expected_calibration_error
from kdutils.runs import Record


def at(record: Record, threshold: float = 0.0, temperature: float = 1.0) -> Record:
    """The same record as it would be with another threshold, and with calibrated probabilities.

    Args:
        record: Of a two-class model.
        threshold: An image is called positive where its score, as recorded, is above it.
        temperature: Divides the scores before they become probabilities, see
            `kdutils.operating.fit_temperature`. It leaves the threshold and all rankings alone.

    Returns:
        The record with the metrics of `kdutils.binary.binary_metrics` at this threshold, and with
        `brier` (0 to 1), `nll` (mean, nats) and `ece` (0 to 1) at this temperature.
    """
    scores, positive = record.scores / temperature, record.labels == 1
    probabilities = expit(scores)
    found = binary_metrics(record.scores, record.labels, threshold)
    found["brier"] = float(np.mean((probabilities - positive) ** 2))
    found["nll"] = float(np.logaddexp(0, np.where(positive, -scores, scores)).mean())
    found["ece"] = expected_calibration_error(
        np.maximum(probabilities, 1 - probabilities), (scores > 0) == positive
    )
    return replace(record, metrics=record.metrics | found)


def area(scores, labels) -> float:
    """ROC-AUC `(N,)` by ranks; NaN where the labels are of one class only."""
    positives = int(np.sum(labels))
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    below = stats.rankdata(scores)[np.asarray(labels) == 1].sum() - positives * (positives + 1) / 2
    return float(below / (positives * negatives))


def by_slide(record: Record) -> dict[int, dict[str, float]]:
    """Each slide that a record was tested on, by itself.

    Args:
        record: Of a two-class model, scored on the test part.

    Returns:
        By number of the slide its `images`, how many of them are `positive`, and its `roc_auc`, NaN
        where a class is missing. Nothing where no slides are known.
    """
    if record.groups is None:
        return {}
    found = {}
    for group, slide in enumerate(data.tested_slides(record.run.data, record.run.fold)):
        scores, labels = (each[record.groups == group] for each in (record.scores, record.labels))
        found[slide] = {
            "images": len(labels),
            "positive": int(labels.sum()),
            "roc_auc": area(scores, labels),
        }
    return found


def over_slides(
    first: Sequence[Record], second: Sequence[Record] = (), count: int = 1000
) -> Interval:
    """AUC, mean over folds and seeds, with its interval over draws of whole test slides.

    See `kdutils.image_tests.clustered_bootstrap`, and there how little few slides can tell. Where
    no slides are known, single images are drawn. A fold of which a draw has no images of one class
    is left out of that draw.

    Args:
        first: Records of one method.
        second: Records of another, of the same folds and seeds in the same order; the AUC of the
            first less theirs is taken, on the same images.
        count: Number of draws.
    """
    pairs = list(zip(first, second, strict=True)) if second else [(each,) for each in first]
    folds: dict[int | None, list[tuple]] = {}
    for pair in pairs:
        folds.setdefault(pair[0].run.fold, []).append(pair)
    groups, spans, start = [], [], 0
    for members in folds.values():
        record = members[0][0]
        images = len(record.labels)
        of_image = np.arange(images) if record.groups is None else record.groups
        groups.append(of_image.astype(int) + start)  # no slide is of two folds
        spans.append((start, start + images, members))
        start += images

    def statistic(drawn):
        areas = []
        for low, high, members in spans:
            rows = drawn[(drawn >= low) & (drawn < high)] - low
            for pair in members:
                values = [area(each.scores[rows], each.labels[rows]) for each in pair]
                areas.append(values[0] - values[1] if len(pair) == 2 else values[0])
        areas = np.array(areas)
        return float(areas[np.isfinite(areas)].mean()) if np.isfinite(areas).any() else np.nan

    return clustered_bootstrap(statistic, np.concatenate(groups), count)
