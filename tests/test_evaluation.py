from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from kdutils import evaluation
from kdutils.evaluation import RESOLUTION


def record(correct, seed=0, *, count=10_000, part="test", nll=0.1, **changes):
    options = {name: changes.pop(name) for name in ("temperature", "alpha") if name in changes}
    fields = {
        "run": SimpleNamespace(seed=seed, options=options, data=changes.pop("data", "mnist")),
        "metrics": {"correct": correct, "count": count, "nll": nll},
        "part": part,
        "backend": "tensorflow",
        "precision": "float32",
    }
    return SimpleNamespace(**fields | changes)


def seeds(*counts, **changes):
    return [record(correct, seed, **changes) for seed, correct in enumerate(counts)]


def test_the_standard_error_of_an_accuracy_is_binomial():
    assert evaluation.standard_error(0.988, 10_000) == pytest.approx(0.0010888, rel=1e-4)
    assert evaluation.standard_error(0.5, 25) == pytest.approx(0.1)
    assert evaluation.standard_error(1.0, 25) == 0


def test_mean_interval_is_students():
    values = [0.98, 0.985, 0.99]
    interval = evaluation.mean_interval(values)
    # By hand: sd 0.005, t(2 degrees of freedom, 97.5 %) = 4.302653.
    half = 4.302653 * 0.005 / np.sqrt(3)
    assert interval.mean == pytest.approx(0.985)
    assert interval.sd == pytest.approx(0.005)
    assert (interval.low, interval.high) == pytest.approx((0.985 - half, 0.985 + half), abs=1e-8)
    assert interval.count == 3
    narrower = evaluation.mean_interval(values, level=0.5)
    assert narrower.high == pytest.approx(0.985 + stats.t.ppf(0.75, 2) * 0.005 / np.sqrt(3))


def test_one_value_has_no_interval_and_says_so():
    interval = evaluation.mean_interval([0.98])
    assert interval.mean == 0.98
    assert np.isnan([interval.sd, interval.low, interval.high]).all()
    assert str(interval) == "0.9800 (one value, no interval)"
    assert str(evaluation.mean_interval([0.98, 0.98])) == "0.9800 [0.9800, 0.9800]"


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="no values"):
        evaluation.mean_interval([])


def test_prediction_interval_by_hand():
    interval = evaluation.prediction_interval([1.0, 2.0, 3.0])
    # sd 1; a fourth value has the standard error sqrt(1 + 1/3) about the mean of the three.
    half = 4.302653 * np.sqrt(4 / 3)
    assert (interval.low, interval.high) == pytest.approx((2 - half, 2 + half), abs=1e-5)
    assert interval.sd == 1


def test_accuracies_are_ordered_by_seed():
    records = [record(9830, seed=2), record(9810, seed=0), record(9820, seed=1)]
    assert evaluation.accuracies(records).tolist() == [0.981, 0.982, 0.983]


def test_the_mean_accuracy_has_the_interval_of_its_seeds():
    interval = evaluation.mean_accuracy(seeds(9810, 9820, 9830))
    assert interval == evaluation.mean_interval([0.981, 0.982, 0.983])
    assert interval.mean == pytest.approx(0.982)


def test_accuracies_refuse_a_seed_that_comes_twice_and_no_records():
    with pytest.raises(ValueError, match=r"seeds \[1\] come more than once"):
        evaluation.accuracies([record(9810, 0), record(9820, 1), record(9830, 1)])
    with pytest.raises(ValueError, match="no records"):
        evaluation.accuracies([])


def test_pair_orders_both_by_seed():
    first, second = evaluation.pair(
        [record(1, seed=7), record(2, seed=3)], [record(3, seed=3), record(4, seed=7)]
    )
    assert [r.metrics["correct"] for r in first] == [2, 1]
    assert [r.metrics["correct"] for r in second] == [3, 4]


def test_pair_refuses_other_seeds():
    with pytest.raises(ValueError, match=r"\[0, 1\].*\[0\]"):
        evaluation.pair(seeds(9810, 9820), seeds(9810))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backend": "jax"}, r"backend \(jax / tensorflow\)"),
        ({"precision": "mixed_bfloat16"}, r"precision \(float32 / mixed_bfloat16\)"),
        ({"part": "validation"}, "mnist test, 10000 images / mnist validation"),
        ({"count": 5000}, "evaluated images"),
        ({"data": "mhist"}, "evaluated images"),
    ],
)
def test_records_made_differently_are_not_compared(change, message):
    first, second = seeds(4900, 4910), seeds(4900, 4910, **change)
    with pytest.raises(ValueError, match=message):
        evaluation.pair(first, second)
    with pytest.raises(ValueError, match=message):
        evaluation.mcnemar(first[0], second[0])


def test_compare_is_the_paired_t_test():
    first, second = seeds(9880, 9885, 9879, 9890), seeds(9800, 9820, 9810, 9805)
    result = evaluation.compare(first, reversed(second))
    expected = stats.ttest_rel([0.9880, 0.9885, 0.9879, 0.9890], [0.98, 0.982, 0.981, 0.9805])
    interval = expected.confidence_interval(0.95)
    assert result.difference == pytest.approx(0.007475)
    assert result.p_value == pytest.approx(expected.pvalue)
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    assert result.count == 4
    assert result.verdict == "higher"
    assert evaluation.compare(second, first).verdict == "lower"


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ((9, 10, 11), "higher"),  # mean 10 images: at the resolution
        ((9, 10, 10), "no difference"),  # certain, but below the resolution
        ((-9, -10, -11), "lower"),
        ((-9, -10, -10), "no difference"),
        ((40, -30, 20), "no difference"),  # above the resolution, but the interval holds zero
        ((0, 0, 0), "no difference"),
        ((20, 20, 20), "not tested"),  # no spread: a t test cannot judge
        ((200,), "not tested"),
        ((0,), "not tested"),
    ],
)
def test_verdicts(differences, verdict):
    second = [9800, 9810, 9805][: len(differences)]
    first = [correct + more for correct, more in zip(second, differences, strict=True)]
    result = evaluation.compare(seeds(*first), seeds(*second))
    assert result.verdict == verdict
    if result.verdict in ("higher", "lower"):
        assert result.low * result.high > 0
        assert abs(result.difference) >= RESOLUTION


def test_the_level_moves_interval_and_verdict_together():
    first, second = seeds(9820, 9850, 9860), seeds(9800, 9810, 9805)
    wide, narrow = (evaluation.compare(first, second, level) for level in (0.95, 0.8))
    assert wide.low < 0 < narrow.low
    assert (wide.verdict, narrow.verdict) == ("no difference", "higher")


def test_one_seed_has_a_difference_but_no_test():
    result = evaluation.compare(seeds(9820), seeds(9800))
    assert result.difference == pytest.approx(0.002)
    assert np.isnan([result.low, result.high, result.p_value]).all()


def test_equal_runs_differ_in_nothing():
    result = evaluation.compare(seeds(9820, 9830), seeds(9820, 9830))
    assert (result.difference, result.low, result.high, result.p_value) == (0, 0, 0, 1)


def test_mcnemar_counts_images_and_is_exact():
    # 1 only the first gets right, 6 only the second, one both, one neither.
    first = np.array([0, 3, 3, 3, 1, 2, 9, 0, 5], dtype=np.uint8)
    second = np.array([1, 0, 0, 0, 0, 0, 0, 0, 5], dtype=np.uint8)
    result = evaluation.mcnemar(
        record(2, count=9, offsets=first), record(7, count=9, offsets=second)
    )
    # By hand: two-sided binomial, 2 (C(7, 0) + C(7, 1)) / 2^7.
    assert result == (1, 6, pytest.approx(2 * 8 / 128))


def test_mcnemar_of_equal_predictions():
    same = record(2, count=3, offsets=np.array([0, 0, 4], dtype=np.uint8))
    assert evaluation.mcnemar(same, same) == (0, 0, 1)


def test_holm_by_hand():
    assert evaluation.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_holm_does_not_count_what_was_not_tested():
    adjusted = evaluation.holm([0.02, np.nan, 0.03])
    assert adjusted[[0, 2]] == pytest.approx([0.04, 0.04])
    assert np.isnan(adjusted[1])
    assert evaluation.holm([]).size == 0


CURVE = {
    4.0: seeds(9880, 9882, 9879),
    1.0: seeds(9830, 9833, 9828),
    2.0: seeds(9855, 9857, 9856),
    16.0: seeds(9881, 9880, 9881),
}


def test_neighbours_in_the_order_of_their_keys():
    steps = evaluation.compare_neighbours(CURVE)
    assert [(low, high) for low, high, _ in steps] == [(1, 2), (2, 4), (4, 16)]
    assert [step.verdict for *_, step in steps] == ["higher", "higher", "no difference"]
    alone = [evaluation.compare(CURVE[high], CURVE[low]) for low, high, _ in steps]
    assert [step.p_value for *_, step in steps] == pytest.approx(
        evaluation.holm([comparison.p_value for comparison in alone])
    )
    assert [step.low for *_, step in steps] == [comparison.low for comparison in alone]


def test_adjusting_for_several_steps_can_take_a_verdict_back():
    curve = {
        1: seeds(9800, 9810, 9805),
        2: seeds(9820, 9839, 9839),
        4: seeds(9821, 9839, 9838),
        8: seeds(9820, 9840, 9839),
    }
    assert evaluation.compare(curve[2], curve[1]).verdict == "higher"
    step = evaluation.compare_neighbours(curve)[0][2]
    assert step.p_value > 0.05
    assert step.verdict == "no difference"


def test_several_groups_against_one_reference():
    reference = seeds(9800, 9810, 9805)
    groups = {"far": seeds(9880, 9889, 9886), "near": seeds(9815, 9829, 9816)}
    found = evaluation.compare_all(groups, reference)
    alone = {name: evaluation.compare(group, reference) for name, group in groups.items()}
    p_values = [alone["far"].p_value, alone["near"].p_value]
    assert p_values[0] < p_values[1] < 0.05
    assert found["far"].p_value == pytest.approx(2 * p_values[0])
    assert found["near"].p_value == pytest.approx(p_values[1])
    assert [each.verdict for each in found.values()] == ["higher", "higher"]
    assert found["far"].low == alone["far"].low


def test_rank_correlations_are_spearmans_row_by_row():
    first = np.array([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5], [2, 2, 2, 2, 2]])
    second = np.array([[2, 3, 9, 10, 40], [1, 2, 3, 5, 4], [1, 2, 3, 4, 5]])
    # By hand: 1 - 6 Σd² / (n (n² - 1)) with Σd² = 0 and 2.
    np.testing.assert_allclose(evaluation.rank_correlations(first, second), [1, 0.9, np.nan])


def test_flat_from_the_first_key_without_later_differences():
    assert evaluation.flat_from(CURVE) == 4


def test_not_flat_where_the_last_step_differs_or_is_untested():
    assert evaluation.flat_from(CURVE | {64.0: seeds(9850, 9851, 9848)}) is None
    assert evaluation.flat_from({1: seeds(9810), 2: seeds(9811)}) is None


def test_small_steps_in_one_direction_do_not_pass_for_flat():
    # Eight images a step, below the resolution; the second seed wavers by one.
    drift = {k: seeds(9800 - 8 * k, 9801 - 8 * k + k % 2, 9799 - 8 * k) for k in range(5)}
    verdicts = {step.verdict for *_, step in evaluation.compare_neighbours(drift)}
    assert verdicts == {"no difference"}
    assert evaluation.flat_from(drift) == 3


def grid(cells, **changes):
    return [
        record(correct, seed, part="validation", temperature=temperature, alpha=alpha, **changes)
        for (temperature, alpha), counts in cells.items()
        for seed, correct in enumerate(counts)
    ]


def test_choose_takes_the_best_mean_and_gives_the_grid():
    tuning = evaluation.choose(
        grid({(4, 0.9): (9850, 9870), (2, 0.5): (9890, 9800), (4, 0.5): (9840, 9842)})
    )
    assert (tuning.temperature, tuning.alpha) == (4, 0.9)
    assert tuning.accuracy == pytest.approx(0.986)
    assert (tuning.temperatures, tuning.alphas) == ([2, 4], [0.5, 0.9])
    np.testing.assert_allclose(tuning.accuracies, [[0.9845, 0.9841], [np.nan, 0.986]])
    assert tuning.tried == 3
    assert tuning.median == pytest.approx(0.9845)


def test_choose_decides_ties_by_nll_then_by_the_smaller_temperature():
    # The means agree, though not the single seeds.
    cells = {(8, 0.5): (9850, 9860), (4, 0.5): (9855, 9855)}
    assert evaluation.choose(grid(cells)).temperature == 4
    records = grid(cells)
    for r in records:
        r.metrics["nll"] = 0.04 if r.run.options["temperature"] == 8 else 0.05
    assert evaluation.choose(records).temperature == 8


def test_test_data_never_choose():
    records = grid({(4, 0.5): (9850,)})
    records[0].part = "test"
    with pytest.raises(ValueError, match=r"Test data never choose anything.*\['test'\]"):
        evaluation.choose(records)
    with pytest.raises(ValueError, match="none"):
        evaluation.choose([])


def test_choose_refuses_cells_with_other_seeds():
    with pytest.raises(ValueError, match=r"T 2, alpha 0.5: \[0\]; T 4, alpha 0.5: \[0, 1\]"):
        evaluation.choose(grid({(4, 0.5): (9850, 9850), (2, 0.5): (9850,)}))


def test_reliability_by_hand():
    confidences = np.array([0.55, 0.65, 0.95, 1.0, 0.9, 0.2])
    offsets = np.array([0, 4, 0, 0, 1, 2], dtype=np.uint8)
    confidence, accuracy, count = evaluation.reliability(
        record(3, confidences=confidences, offsets=offsets), bins=4
    )
    assert count.tolist() == [1, 0, 2, 3]
    np.testing.assert_allclose(confidence, [0.2, np.nan, 0.6, 0.95])
    np.testing.assert_allclose(accuracy, [0, np.nan, 0.5, 2 / 3])


def test_reliability_bins_add_up_to_the_accuracy():
    rng = np.random.default_rng(0)
    confidences = rng.integers(0, 256, 500) / 255
    offsets = (rng.random(500) > confidences).astype(np.uint8)
    _, accuracy, count = evaluation.reliability(record(0, confidences=confidences, offsets=offsets))
    assert len(count) == 15
    assert np.nansum(accuracy * count) == pytest.approx(np.sum(offsets == 0))
    assert count.sum() == 500


def test_best_takes_the_most_correct_then_the_lower_loss_then_the_first():
    tried = [
        record(4941, part="validation", nll=0.05),
        record(4956, part="validation", nll=0.04),
        record(4956, part="validation", nll=0.03),
        record(4956, part="validation", nll=0.03),
        record(4951, part="validation", nll=0.01),
    ]
    assert evaluation.best(tried) == 2
    assert evaluation.best(tried[:2]) == 1


def test_best_never_looks_at_the_test_part():
    with pytest.raises(ValueError, match=r"best\(\) takes records of the validation part"):
        evaluation.best([record(4941, part="validation"), record(4956)])
    with pytest.raises(ValueError, match="was given none"):
        evaluation.best([])
