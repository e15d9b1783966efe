from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from kdutils import evaluation, folds

VALUES = [0.95, 0.93, 0.97, 0.91, 0.94]
# Five folds of two seeds whose means are VALUES.
SEEDS = np.array([[v - 0.01, v + 0.01] for v in VALUES])


def record(value, fold, seed, metric="roc_auc", part="test"):
    run = SimpleNamespace(fold=fold, seed=seed, data="tiles")
    return SimpleNamespace(run=run, metrics={metric: value}, part=part)


def test_records_are_ordered_by_fold_and_seed():
    records = [record(10 * fold + seed, fold, seed) for fold in (2, 0, 1) for seed in (7, 3)]
    assert folds.by_fold(records, "roc_auc").tolist() == [[3, 7], [13, 17], [23, 27]]
    official = [record(0.9, None, 1), record(0.8, None, 0)]
    assert folds.by_fold(official, "roc_auc").tolist() == [[0.8, 0.9]]


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ([], "no records"),
        ([(0, 0), (1, 0), (0, 0)], "Seed 0 comes twice in fold 0"),
        ([(0, 0), (0, 1), (1, 0)], r"fold 0: \[0, 1\]; fold 1: \[0\]"),
        ([(0, 0), (None, 0)], "official split"),
    ],
)
def test_records_that_make_no_table_are_refused(places, message):
    with pytest.raises(ValueError, match=message):
        folds.by_fold([record(0.9, fold, seed) for fold, seed in places], "roc_auc")


def test_differences_are_taken_in_pairs():
    first = [record(0.9 + fold / 100, fold, 0) for fold in (1, 0)]
    second = [record(0.8, fold, 0) for fold in (0, 1)]
    assert folds.differences(first, second, "roc_auc") == pytest.approx(np.array([[0.1], [0.11]]))


@pytest.mark.parametrize(
    "other",
    [record(0.8, 1, 0), record(0.8, 0, 1), record(0.8, 0, 0, part="validation")],
    ids=["fold", "seed", "part"],
)
def test_what_makes_no_pair_is_refused(other):
    with pytest.raises(ValueError, match="without a partner"):
        folds.differences([record(0.9, 0, 0)], [other], "roc_auc")


def test_the_interval_is_that_of_nadeau_and_bengio():
    interval = folds.over_folds(VALUES, 250, 1000)
    # By hand: mean 0.94, s² = 0.0005, (1/5 + 250/1000) s² = 0.000225, t(4, 97.5 %) = 2.776445.
    assert interval.mean == pytest.approx(0.94)
    assert interval.sd == pytest.approx(np.sqrt(0.0005))
    assert interval.high - interval.mean == pytest.approx(2.776445 * 0.015)
    assert interval.mean - interval.low == pytest.approx(2.776445 * 0.015)
    assert interval.count == 5
    ten = folds.over_folds(VALUES, 250, 1000, level=0.9)
    assert ten.high - ten.mean == pytest.approx(stats.t.ppf(0.95, 4) * 0.015)


def test_the_uncorrected_interval_is_narrower_by_the_known_factor():
    plain = evaluation.mean_interval(VALUES)
    corrected = folds.over_folds(VALUES, 250, 1000)
    # With k folds of one size n_test/n_train is 1/(k - 1), so the factor is 1.5 at five.
    assert (corrected.high - corrected.mean) / (plain.high - plain.mean) == pytest.approx(1.5)


def test_folds_of_unequal_size_enter_by_their_totals():
    unequal = folds.over_folds(VALUES, [200, 300, 250, 250, 250], [1050, 950, 1000, 1000, 1000])
    assert unequal == folds.over_folds(VALUES, 250, 1000)


def test_seeds_are_averaged_within_their_fold_first():
    interval, plain = folds.over_folds(SEEDS, 250, 1000), folds.over_folds(VALUES, 250, 1000)
    assert (interval.mean, interval.low, interval.high) == pytest.approx(
        (plain.mean, plain.low, plain.high)
    )
    assert interval.count == 5


def test_the_spread_over_seeds_is_pooled_over_folds():
    # Variances 2 and 8 with one degree of freedom each.
    assert folds.seed_spread([[1, 3], [10, 14]]) == pytest.approx(np.sqrt(5))
    assert folds.seed_spread([[1, 2, 3]]) == pytest.approx(1)
    assert np.isnan(folds.seed_spread(VALUES))


def test_with_one_fold_the_unit_is_the_seed():
    assert folds.over_folds([VALUES], 977, 2175) == evaluation.mean_interval(VALUES)
    found = folds.contrast([[0.01, 0.02, 0.03]], 977, 2175)
    assert found.p_value == pytest.approx(stats.ttest_1samp([0.01, 0.02, 0.03], 0).pvalue)
    assert found.count == 3
    single = folds.contrast([[0.02]], 977, 2175)
    assert single.verdict == "not tested"
    assert np.isnan([single.low, single.high, single.p_value]).all()


def test_the_contrast_by_hand():
    differences = np.array([0.02, 0.01, 0.03, 0.02, 0.02])
    found = folds.contrast(differences, 250, 1000)
    # s² = 0.00005; standard error sqrt(0.45 * 0.00005) = 0.00474342; t = 4.21637, 4 degrees.
    assert found.difference == pytest.approx(0.02)
    assert found.p_value == pytest.approx(2 * stats.t.sf(4.216370, 4), rel=1e-5)
    assert found.low == pytest.approx(0.02 - 2.776445 * 0.00474342, abs=1e-7)
    assert found.verdict == "higher"
    assert found.count == 5
    mirrored = folds.contrast(-differences, 250, 1000)
    assert mirrored.p_value == pytest.approx(found.p_value)
    assert mirrored.verdict == "lower"


def test_the_correction_can_take_a_verdict_back():
    differences = [0.00, 0.01, 0.03, 0.02, 0.02]
    assert stats.ttest_1samp(differences, 0).pvalue < 0.05
    assert folds.contrast(differences, 250, 1000).p_value > 0.05
    assert folds.contrast(differences, 250, 1000).verdict == "no difference"


def test_the_interval_excludes_zero_exactly_where_the_test_says_so():
    generator = np.random.default_rng(2)
    for differences in generator.normal(0.01, 0.01, (50, 5)):
        found = folds.contrast(differences, 250, 1000, resolution=0)
        assert (found.low > 0 or found.high < 0) == (found.p_value < 0.05)


def test_a_difference_below_the_resolution_does_not_count():
    small = [0.0041, 0.0040, 0.0042, 0.0039, 0.0040]
    assert folds.contrast(small, 250, 1000).p_value < 0.001
    assert folds.contrast(small, 250, 1000).verdict == "no difference"
    assert folds.contrast(small, 250, 1000, resolution=0.001).verdict == "higher"


def test_differences_without_spread_are_not_tested():
    equal = folds.contrast(np.full(5, 0.8) - 0.7, 250, 1000)
    assert np.isnan(equal.p_value)
    assert equal.verdict == "not tested"
    none = folds.contrast(np.zeros((5, 2)), 250, 1000)
    assert (none.p_value, none.verdict) == (1, "no difference")


def test_several_contrasts_are_adjusted_after_holm():
    first, second = [0.02, 0.01, 0.03, 0.02, 0.02], [0.03, 0.01, 0.03, 0.02, 0.00]
    alone = [folds.contrast(each, 250, 1000) for each in (first, second)]
    found = folds.contrasts({"a": first, "b": second}, 250, 1000)
    expected = evaluation.holm([each.p_value for each in alone])
    assert [found[name].p_value for name in "ab"] == pytest.approx(expected)
    assert [(found[name].low, found[name].high) for name in "ab"] == [
        (each.low, each.high) for each in alone
    ]
    assert [found[name].verdict for name in "ab"] == ["higher", "no difference"]
    coarse = folds.contrasts({"a": first}, 250, 1000, resolution=0.03)
    assert coarse["a"].verdict == "no difference"


def test_effects_by_hand():
    found = folds.effects(
        {
            (False, False): [0.80, 0.82],
            (False, True): [0.84, 0.83],
            (True, False): [0.90, 0.92],
            (True, True): [0.91, 0.95],
        }
    )
    assert list(found) == ["pre-training", "distillation", "interaction"]
    assert found["pre-training"] == pytest.approx([(0.10 + 0.07) / 2, (0.10 + 0.12) / 2])
    assert found["distillation"] == pytest.approx([(0.04 + 0.01) / 2, (0.01 + 0.03) / 2])
    assert found["interaction"] == pytest.approx([0.01 - 0.04, 0.03 - 0.01])


def test_effects_keep_folds_and_seeds_for_their_tests():
    cells = {
        (pretrained, distilled): SEEDS + 0.02 * pretrained + 0.01 * distilled * pretrained
        for pretrained in (False, True)
        for distilled in (False, True)
    }
    found = folds.contrasts(folds.effects(cells), 250, 1000)
    assert found["pre-training"].difference == pytest.approx(0.025)
    assert found["distillation"].difference == pytest.approx(0.005)
    assert found["interaction"].difference == pytest.approx(0.01)
    assert {each.count for each in found.values()} == {5}


def test_effects_need_four_cells_alike():
    cells = {(False, False): [1], (False, True): [1], (True, False): [1]}
    with pytest.raises(ValueError, match="need four cells"):
        folds.effects(cells)
    with pytest.raises(ValueError, match=r"\(True, True\): \(2,\)"):
        folds.effects(cells | {(True, True): [1, 2]})


@pytest.mark.parametrize(
    ("values", "images", "message"),
    [
        ([[0.9, 0.8], [0.9]], (250, 1000), "same number of seeds"),
        ([], (250, 1000), r"not in the shape \(0, 1\)"),
        (np.zeros((2, 2, 2)), (250, 1000), r"\(2, 2, 2\)"),
        ([0.9, np.nan], (250, 1000), "not finite"),
        (VALUES, ([250, 250], 1000), "number of test images.* 5 folds"),
        (VALUES, (250, 0), "number of training images"),
    ],
)
def test_values_that_are_no_folds_are_refused(values, images, message):
    with pytest.raises(ValueError, match=message):
        folds.over_folds(values, *images)
