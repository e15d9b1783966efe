from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from scored import FIRST, LABELS, SECOND
from sklearn.metrics import roc_auc_score

from kdutils import judged
from kdutils.binary import binary_metrics
from kdutils.metrics import classification_metrics


@dataclass(frozen=True)
class Record:
    """What is read of `kdutils.runs.Record`."""

    run: SimpleNamespace
    scores: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None
    metrics: dict | None = None


def record(scores, groups=None, fold=None, name="kather"):
    run = SimpleNamespace(data=name, fold=fold, seed=0)
    return Record(run, np.asarray(scores, float), LABELS, groups, {"seconds": 1})


HALVES = np.arange(len(LABELS)) % 2


def test_unchanged_a_record_gets_the_metrics_that_its_logits_have():
    found = judged.at(record(FIRST)).metrics
    logits = np.stack([np.zeros_like(FIRST), FIRST], axis=1)
    expected = classification_metrics(logits, LABELS)
    assert found["nll"] == pytest.approx(expected["nll"])
    assert found["ece"] == pytest.approx(expected["ece"])
    assert found["brier"] == pytest.approx(expected["brier"] / 2)
    assert found["f1"] == binary_metrics(FIRST, LABELS)["f1"]
    assert found["seconds"] == 1


def test_a_threshold_moves_what_is_called_and_nothing_else():
    before, after = judged.at(record(FIRST)).metrics, judged.at(record(FIRST), 1.0).metrics
    assert after["sensitivity"] == np.mean(FIRST[LABELS == 1] > 1)
    assert after["specificity"] == np.mean(FIRST[LABELS == 0] <= 1)
    for name in ("roc_auc", "average_precision", "brier", "nll", "ece"):
        assert after[name] == before[name]


def test_a_temperature_moves_probabilities_and_nothing_else():
    before, after = judged.at(record(FIRST)), judged.at(record(FIRST), temperature=2)
    scaled = judged.at(record(FIRST / 2)).metrics
    for name in ("brier", "nll", "ece"):
        assert after.metrics[name] == pytest.approx(scaled[name])
        assert after.metrics[name] != before.metrics[name]
    for name in ("roc_auc", "f1", "balanced_accuracy"):
        assert after.metrics[name] == before.metrics[name]


def test_the_area_is_that_of_scikit_learn_ties_included():
    assert judged.area(SECOND, LABELS) == pytest.approx(roc_auc_score(LABELS, SECOND))
    assert np.isnan(judged.area(SECOND, np.ones_like(LABELS)))


def test_slides_go_by_their_numbers():
    found = judged.by_slide(record(FIRST, HALVES, fold=0))
    assert list(found) == [1, 9]
    assert found[9]["images"] == 60
    assert found[9]["positive"] == LABELS[1::2].sum()
    assert found[9]["roc_auc"] == roc_auc_score(LABELS[1::2], FIRST[1::2])
    assert judged.by_slide(record(FIRST, name="synthetic")) == {}


def test_two_slides_have_three_different_draws():
    whole = judged.area(FIRST, LABELS)
    slides = [judged.area(FIRST[each::2], LABELS[each::2]) for each in (0, 1)]
    interval = judged.over_slides([record(FIRST, HALVES, 0)], count=200)
    assert interval.mean == pytest.approx(whole)
    assert interval.count == 2
    assert (interval.low, interval.high) == pytest.approx(sorted(slides))


def test_slides_of_two_folds_are_not_mixed():
    records = [record(FIRST, HALVES, 0), record(SECOND, HALVES, 1)]
    interval = judged.over_slides(records, count=50)
    assert interval.count == 4
    areas = [judged.area(each.scores, LABELS) for each in records]
    assert interval.mean == pytest.approx(np.mean(areas))


def test_a_difference_is_taken_on_the_same_images():
    first, second = [record(FIRST)], [record(SECOND)]
    interval = judged.over_slides(first, second, count=200)
    assert interval.count == len(LABELS)
    assert interval.mean == pytest.approx(judged.area(FIRST, LABELS) - judged.area(SECOND, LABELS))
    same = judged.over_slides(first, first, count=20)
    assert (same.low, same.high) == (0, 0)
