import numpy as np
import pytest
from scipy.special import expit, log_expit
from scored import FIRST, LABELS

from kdutils import binary, operating


def test_the_threshold_has_the_highest_balanced_accuracy_of_all():
    chosen = operating.choose_threshold(FIRST, LABELS)
    best = binary.binary_metrics(FIRST, LABELS, chosen)["balanced_accuracy"]
    positive, other = FIRST[LABELS == 1], FIRST[LABELS == 0]
    every = [(np.mean(positive > t) + np.mean(other <= t)) / 2 for t in FIRST]
    assert best == pytest.approx(max(every))
    assert chosen not in FIRST


def test_the_threshold_is_midway_in_the_widest_of_the_best_gaps():
    assert operating.choose_threshold([0, 1, 4, 5], [0, 0, 1, 1]) == 2.5
    # Between 0 and 1, and between 2 and 6, three of four are right; the latter gap is wider.
    assert operating.choose_threshold([0, 1, 2, 6], [0, 1, 0, 1]) == 4
    assert operating.choose_threshold([0, 4, 5, 6], [0, 1, 0, 1]) == 2
    # Equal gaps: the lower one.
    assert operating.choose_threshold([0, 1, 2, 3], [0, 1, 0, 1]) == 0.5


def test_the_threshold_does_not_move_with_the_share_of_positives():
    more = np.concatenate([np.arange(len(LABELS)), *5 * [np.flatnonzero(LABELS)]])
    chosen = operating.choose_threshold(FIRST, LABELS)
    assert operating.choose_threshold(FIRST[more], LABELS[more]) == chosen
    assert operating.choose_threshold(FIRST[::-1], LABELS[::-1]) == chosen


def test_constant_scores_have_no_cut():
    assert operating.choose_threshold([2.0, 2.0, 2.0], [0, 1, 1]) == 2


def test_the_temperature_undoes_a_scale():
    generator = np.random.default_rng(3)
    log_odds = generator.normal(0, 2, 20_000)
    labels = (generator.random(20_000) < expit(log_odds)).astype(int)
    temperature = operating.fit_temperature(log_odds, labels)
    assert temperature == pytest.approx(1, abs=0.03)
    assert operating.fit_temperature(3 * log_odds, labels) == pytest.approx(
        3 * temperature, rel=1e-3
    )
    assert operating.fit_temperature(log_odds / 4, labels) == pytest.approx(
        temperature / 4, rel=1e-3
    )


def test_the_temperature_has_the_lowest_negative_log_likelihood():
    def nll(temperature):
        return -log_expit(np.where(LABELS, FIRST, -FIRST) / temperature).mean()

    fitted = operating.fit_temperature(FIRST, LABELS)
    assert nll(fitted) <= min(nll(t) for t in np.geomspace(0.05, 20, 500))


def test_the_temperature_where_images_cannot_tell_it():
    assert operating.fit_temperature([3.0, 3.0, 3.0], [0, 1, 1]) == 1
    assert operating.fit_temperature([-1.0, 2.0, 3.0], [0, 1, 1]) == 1
    # Worse than chance: the flattest there is.
    assert operating.fit_temperature([1.0, -2.0, -3.0], [0, 1, 1]) == pytest.approx(20, rel=1e-3)
    # All in order, but one on the wrong side of zero: there is a lowest point.
    assert 0.05 < operating.fit_temperature([0.5, 2.0, 3.0, -4.0], [0, 1, 1, 0]) < 20


def test_reliability_by_hand():
    scores = np.log([1 / 9, 1 / 4, 3, 4, 9])  # probabilities 0.1, 0.2, 0.75, 0.8, 0.9
    probability, share, count = operating.reliability(scores, np.array([0, 1, 1, 0, 1]), bins=2)
    assert probability == pytest.approx([0.15, 2.45 / 3])
    assert share == pytest.approx([0.5, 2 / 3])
    assert count.tolist() == [2, 3]
