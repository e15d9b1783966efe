from itertools import product

import numpy as np
import pytest
from scipy import stats
from scored import FIRST, LABELS, SECOND
from sklearn.metrics import roc_auc_score

from kdutils import binary, image_tests, operating


def placements(scores, labels):
    """Shares of the other class that each image is ranked right against, pair by pair."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    right = np.array([[(p > n) + (p == n) / 2 for n in negative] for p in positive])
    return right.mean(axis=1), right.mean(axis=0)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, 0.2], [1, 1], r"All 2 labels are \[1\].*needs both classes"),
        ([0.1, 0.2], [0, 0], r"All 2 labels are \[0\]"),
        ([0.1, 0.2], [1, 2], r"these are \[1, 2\]"),
        ([0.1, np.nan, np.inf], [0, 1, 1], "2 of 3 scores are not finite"),
        ([0.1, 0.2, 0.3], [0, 1], r"\(3,\) and \(2,\)"),
        ([[0.1, 0.2], [0.3, 0.1]], [0, 1], r"shapes are \(2, 2\) and \(2,\)"),
        ([], [], "All 0 labels are missing"),
    ],
)
def test_what_cannot_be_judged_is_refused(scores, labels, message):
    functions = (binary.binary_metrics, operating.choose_threshold, operating.fit_temperature)
    for function in (*functions, image_tests.auc_interval, operating.reliability):
        with pytest.raises(ValueError, match=message):
            function(scores, labels)


def test_placements_of_the_mid_rank_form_are_those_of_all_pairs():
    areas, covariance = image_tests._delong([FIRST, SECOND], LABELS)
    by_pairs = [placements(scores, LABELS) for scores in (FIRST, SECOND)]
    assert len(np.unique(SECOND)) < 15  # many ties
    assert areas == pytest.approx([roc_auc_score(LABELS, s) for s in (FIRST, SECOND)])
    expected = sum(np.cov(each) / len(each[0]) for each in zip(*by_pairs, strict=True))
    np.testing.assert_allclose(covariance, expected, rtol=1e-10)


def test_delong_by_hand():
    # Placements of the positives 1, 1/2 and of the others 1, 1/2; variances 1/8, so 1/16 each.
    interval = image_tests.auc_interval([3, 1, 2, 0], np.array([1, 1, 0, 0]), level=0.5)
    assert interval.mean == 0.75
    assert interval.sd == pytest.approx(np.sqrt(1 / 8))
    assert interval.count == 4
    reach = 0.6744898 * np.sqrt(1 / 8)
    assert interval.low == pytest.approx(0.75 - reach)
    assert interval.high == pytest.approx(0.75 + reach)
    assert image_tests.auc_interval([3, 1, 2, 0], np.array([1, 1, 0, 0])).high == 1


def test_delong_of_a_pair():
    found = image_tests.delong(FIRST, SECOND, LABELS)
    _, covariance = image_tests._delong([FIRST, SECOND], LABELS)
    error = np.sqrt(np.array([1, -1]) @ covariance @ [1, -1])
    assert found.difference == pytest.approx(
        roc_auc_score(LABELS, FIRST) - roc_auc_score(LABELS, SECOND)
    )
    assert found.high - found.difference == pytest.approx(1.959964 * error)
    assert found.p_value == pytest.approx(2 * stats.norm.cdf(-abs(found.difference) / error))
    assert found.count == len(LABELS)
    swapped = image_tests.delong(SECOND, FIRST, LABELS)
    assert (swapped.difference, swapped.p_value) == pytest.approx(
        (-found.difference, found.p_value)
    )
    # Only the order of the scores counts.
    assert image_tests.delong(np.exp(FIRST), SECOND, LABELS).p_value == pytest.approx(found.p_value)


def test_delong_agrees_with_the_bootstrap():
    found = image_tests.delong(FIRST, SECOND, LABELS)

    def difference(images):
        positive = LABELS[images] == 1
        ranks = stats.rankdata(FIRST[images]) - stats.rankdata(SECOND[images])
        return ranks[positive].sum() / (positive.sum() * (~positive).sum())

    drawn = image_tests.clustered_bootstrap(difference, np.arange(len(LABELS)), count=800)
    assert drawn.mean == pytest.approx(found.difference)
    assert drawn.sd == pytest.approx((found.high - found.low) / (2 * 1.96), rel=0.12)
    assert drawn.low == pytest.approx(found.low, abs=0.015)
    assert drawn.high == pytest.approx(found.high, abs=0.015)


def test_delong_verdicts():
    assert image_tests.delong(FIRST, 3 * FIRST, LABELS).verdict == "no difference"
    assert image_tests.delong(FIRST, 3 * FIRST, LABELS).p_value == 1
    better = FIRST + LABELS
    assert image_tests.delong(better, SECOND, LABELS).verdict == "higher"
    assert image_tests.delong(SECOND, better, LABELS).verdict == "lower"
    assert image_tests.delong(better, SECOND, LABELS, resolution=0.5).verdict == "no difference"
    perfect = image_tests.delong([0, 1, 2, 3], [3, 2, 1, 0], np.array([0, 0, 1, 1]))
    assert perfect.difference == 1
    assert np.isnan(perfect.p_value)
    assert perfect.verdict == "not tested"


def test_delong_needs_two_images_of_each_class():
    with pytest.raises(ValueError, match="1 positive and 3 other"):
        image_tests.auc_interval([0, 1, 2, 3], [0, 0, 0, 1])


def test_the_bootstrap_draws_whole_groups():
    slides = np.array(["a", "b", "a", "c", "b", "c"])
    drawn = []

    def statistic(images):
        drawn.append(sorted(images.tolist()))
        return float(len(images))

    found = image_tests.clustered_bootstrap(statistic, slides, count=200)
    members = {"a": [0, 2], "b": [1, 4], "c": [3, 5]}
    possible = {
        tuple(sorted(image for slide in draw for image in members[slide]))
        for draw in product("abc", repeat=3)
    }
    assert {tuple(images) for images in drawn} == possible
    assert (found.mean, found.low, found.high, found.sd, found.count) == (6, 6, 6, 0, 3)


def test_the_bootstrap_of_a_mean_has_its_standard_error():
    values = np.random.default_rng(5).normal(size=400)
    single = image_tests.clustered_bootstrap(lambda i: values[i].mean(), np.arange(400))
    assert single.sd == pytest.approx(values.std() / 20, rel=0.06)
    assert single.low == pytest.approx(values.mean() - 1.96 * single.sd, abs=0.15 * single.sd)
    # Four copies of every value are one piece of evidence, and four where taken for independent.
    copies = np.repeat(values[:100], 4)
    together = image_tests.clustered_bootstrap(
        lambda i: copies[i].mean(), np.repeat(np.arange(100), 4)
    )
    apart = image_tests.clustered_bootstrap(lambda i: copies[i].mean(), np.arange(400))
    assert together.sd / apart.sd == pytest.approx(2, rel=0.1)


def test_the_bootstrap_repeats_with_its_seed():
    def statistic(images):
        return FIRST[images].mean()

    slides = np.arange(120) // 10
    assert image_tests.clustered_bootstrap(
        statistic, slides, 50
    ) == image_tests.clustered_bootstrap(statistic, slides, 50)
    other = image_tests.clustered_bootstrap(statistic, slides, 50, seed=1)
    assert other != image_tests.clustered_bootstrap(statistic, slides, 50)


def test_the_bootstrap_refuses_one_group_and_undefined_draws():
    with pytest.raises(ValueError, match="one group"):
        image_tests.clustered_bootstrap(lambda i: 0.0, ["a", "a"])
    with pytest.raises(ValueError, match="too few groups hold both classes"):
        image_tests.clustered_bootstrap(
            lambda i: np.nan if len(set(i)) == 1 else 1.0, np.arange(2), count=100
        )


def test_the_planned_error_of_chance_is_that_of_the_rank_sum():
    expected = np.sqrt((70 + 30 + 1) / (12 * 70 * 30))
    assert image_tests.planned_error(0.5, 30, 70) == pytest.approx(expected)


def test_the_planned_error_is_rather_too_large_for_normal_scores():
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], [617, 360])
    scores = random.normal(size=977) + 1.99 * labels  # an area of 0.92
    measured = image_tests.auc_interval(scores, labels)
    assert measured.mean == pytest.approx(0.92, abs=0.01)
    assert measured.sd < image_tests.planned_error(0.92, 360, 617) < 1.3 * measured.sd
