"""Statistics over records: intervals, paired tests, and choices made on validation images.

The same seed gives the same initial weights and the same order of batches to every method, so two
lists of records are compared seed by seed. A record here is anything with the attributes of
`kdutils.ledger.Record`.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_test
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

# Ten images in 10,000. At 98.8 % the binomial standard error of an accuracy on 10,000 images is
# 0.0011, so a smaller difference would not outlast another draw of as many images, however many
# seeds repeat it on the same ones.
RESOLUTION = 0.001


@dataclass(frozen=True)
class Interval:
    """A mean with its interval, in the unit of the values; one value alone has no interval."""

    mean: float
    sd: float
    low: float
    high: float
    count: int

    def __str__(self):
        if self.count == 1:
            return f"{self.mean:.4f} (one value, no interval)"
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"


@dataclass(frozen=True)
class Comparison:
    """The paired difference of two methods, over seeds where nothing else is said.

    Attributes:
        difference: mean accuracy of the first less that of the second, as a fraction.
        low: lower end of the interval of the difference, NaN with one seed.
        high: upper end of the interval of the difference, NaN with one seed.
        p_value: of the paired t test, two-sided; NaN where no test is possible.
        count: number of seeds, or of what else the two were paired by.
        verdict: "higher" or "lower" (the first against the second), "no difference" or
            "not tested". "No difference" says that none was shown; how large one may still be is
            what the interval says.
    """

    difference: float
    low: float
    high: float
    p_value: float
    count: int
    verdict: str


@dataclass(frozen=True)
class Tuning:
    """The outcome of a grid search on validation images.

    Attributes:
        temperature: temperature of the best cell.
        alpha: weight of the distillation term in the best cell.
        accuracy: mean accuracy of the best cell over seeds, as a fraction.
        temperatures: the columns of the grid, ascending.
        alphas: the rows of the grid, ascending.
        accuracies: mean accuracies `(len(alphas), len(temperatures))`, NaN where no run was made.
    """

    temperature: float
    alpha: float
    accuracy: float
    temperatures: list[float]
    alphas: list[float]
    accuracies: np.ndarray

    @property
    def tried(self) -> int:
        """Number of configurations tried."""
        return int(np.isfinite(self.accuracies).sum())

    @property
    def median(self) -> float:
        """Median accuracy over the configurations tried: what a cell picked blindly gives."""
        return float(np.nanmedian(self.accuracies))


def mean_interval(values: Iterable[float], level: float = 0.95) -> Interval:
    """Mean, standard deviation (n - 1) and Student's t interval of the mean.

    Args:
        values: at least one number; from one number alone, `sd`, `low` and `high` are NaN.
        level: confidence level.

    Raises:
        ValueError: there are no values.
    """
    values = np.fromiter(values, dtype=float)
    if not len(values):
        raise ValueError("There are no values to take the mean of. Are the runs trained?")
    mean, sd, low, high = float(values.mean()), np.nan, np.nan, np.nan
    if len(values) > 1:
        sd = float(values.std(ddof=1))
        low, high = map(float, DescrStatsW(values).tconfint_mean(alpha=1 - level))
    return Interval(mean, sd, low, high, len(values))


def prediction_interval(values: Iterable[float], level: float = 0.95) -> Interval:
    """The interval in which one further value falls with probability `level`.

    The interval of the mean shrinks as seeds are added and most single runs end up outside it, so
    a new run is held against this wider one. Assumes normally distributed values.

    Raises:
        ValueError: there are no values.
    """
    known = mean_interval(values, level)
    # Variance of a further value about the mean: sd² (1 + 1/n), against sd² / n of the mean.
    wider = np.sqrt(known.count + 1)
    low, high = (known.mean + wider * (end - known.mean) for end in (known.low, known.high))
    return replace(known, low=float(low), high=float(high))


def standard_error(accuracy: float, count: int) -> float:
    """Binomial standard error of one accuracy on so many images, as fractions."""
    return float(np.sqrt(accuracy * (1 - accuracy) / count))


def accuracies(records: Iterable) -> np.ndarray:
    """Accuracies `(n,)` as fractions of the evaluated images, ordered by seed.

    Raises:
        ValueError: there is no record, or a seed comes twice.
    """
    return np.array([r.metrics["correct"] / r.metrics["count"] for r in _by_seed(records)])


def mean_accuracy(records: Iterable) -> Interval:
    """`mean_interval` of the `accuracies` of one method's records.

    Raises:
        ValueError: there is no record, or a seed comes twice.
    """
    return mean_interval(accuracies(records))


def pair(first: Iterable, second: Iterable) -> tuple[list, list]:
    """Both lists of records in the order of their seeds, so that equal places belong together.

    Raises:
        ValueError: the seeds differ, a seed comes twice, or the records were not made alike
            (backend, precision) or do not speak of the same images.
    """
    first, second = _by_seed(first), _by_seed(second)
    seeds, other_seeds = ([r.run.seed for r in records] for records in (first, second))
    if seeds != other_seeds:
        raise ValueError(
            f"Records are compared seed by seed, but the first have the seeds {seeds} and the "
            f"second {other_seeds}. Train the missing seeds or leave out the surplus ones."
        )
    _check_comparable(first + second)
    return first, second


def compare(first: Iterable, second: Iterable, level: float = 0.95) -> Comparison:
    """Compares two methods by a paired t test over seeds of accuracy, first less second.

    A difference counts only where its interval excludes zero and it is at least `RESOLUTION`. One
    seed allows no test, nor do several seeds that all differ by the same number of images: the
    test has no spread to go by.

    Raises:
        ValueError: the records cannot be paired, see `pair`.
    """
    first, second = pair(first, second)
    # Whole numbers of images: sums are exact, so equal differences have a spread of exactly zero.
    correct, other_correct = (
        np.array([r.metrics["correct"] for r in records]) for records in (first, second)
    )
    images = first[0].metrics["count"]
    interval = mean_interval(correct - other_correct, level)
    if interval.sd > 0:
        p_value = float(stats.ttest_rel(correct, other_correct).pvalue)
    else:
        p_value = 1.0 if interval.sd == 0 == interval.mean else np.nan
    difference = interval.mean / images
    return Comparison(
        difference=difference,
        low=interval.low / images,
        high=interval.high / images,
        p_value=p_value,
        count=interval.count,
        verdict=verdict(difference, p_value, interval.count, level),
    )


def mcnemar(first, second) -> tuple[int, int, float]:
    """Exact McNemar test of two models over the images they were both evaluated on.

    Returns:
        Number of images that only the first gets right, number that only the second gets right,
        and the two-sided p value.

    Raises:
        ValueError: the two records do not speak of the same images or were not made alike.
    """
    _check_comparable([first, second])
    right, other_right = first.offsets == 0, second.offsets == 0
    only_first = int(np.sum(right & ~other_right))
    only_second = int(np.sum(~right & other_right))
    # The test looks at the images on which the two differ, so the diagonal may stay empty.
    table = [[0, only_first], [only_second, 0]]
    return only_first, only_second, float(mcnemar_test(table, exact=True).pvalue)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's adjustment of p values for being several; NaN stays NaN and is not counted."""
    raised = np.array(p_values, dtype=float)
    tested = ~np.isnan(raised)
    if tested.any():
        raised[tested] = multipletests(raised[tested], method="holm")[1]
    return raised


def adjusted(comparisons: Sequence[Comparison], resolution: float = RESOLUTION) -> list[Comparison]:
    """The same comparisons with p values adjusted after Holm, and the verdicts that follow."""
    p_values = holm([each.p_value for each in comparisons])
    return [
        replace(
            each,
            p_value=float(p),
            verdict=verdict(each.difference, p, each.count, resolution=resolution),
        )
        for each, p in zip(comparisons, p_values, strict=True)
    ]


def verdict(
    difference: float,
    p_value: float,
    count: int,
    level: float = 0.95,
    resolution: float = RESOLUTION,
) -> str:
    """Puts a difference in words, see `Comparison`.

    Args:
        difference: the first less the second.
        p_value: of the test of the difference, NaN where there was none.
        count: number of seeds, or of what else the two were paired by.
        level: of confidence; a p value below `1 - level` makes a difference.
        resolution: the smallest difference that counts, in the unit of the difference.
    """
    if count > 1 and abs(difference) < resolution:
        return "no difference"
    if np.isnan(p_value):
        return "not tested"
    if p_value >= 1 - level:
        return "no difference"
    return "higher" if difference > 0 else "lower"


def compare_neighbours(curve: Mapping[float, Iterable]) -> list[tuple[float, float, Comparison]]:
    """Compares each key of a curve with the next higher one.

    Args:
        curve: the records of every key, for instance of every temperature.

    Returns:
        For every step its lower key, its upper key and the comparison, upper less lower. P values
        are adjusted after Holm and decide the verdicts; the intervals are those of each step alone.
    """
    steps = list(pairwise(sorted(curve)))
    comparisons = adjusted([compare(curve[high], curve[low]) for low, high in steps])
    return [(low, high, step) for (low, high), step in zip(steps, comparisons, strict=True)]


def compare_all(groups: Mapping, reference: Iterable) -> dict:
    """Compares each of several groups with one and the same reference.

    Args:
        groups: the records of every group, by any key.
        reference: the records that each group is held against.

    Returns:
        For every key the comparison, group less reference, with p values adjusted after Holm, which
        decide the verdicts; the intervals are those of each comparison alone.
    """
    reference = list(reference)
    comparisons = adjusted([compare(group, reference) for group in groups.values()])
    return dict(zip(groups, comparisons, strict=True))


def rank_correlations(first: Sequence, second: Sequence) -> np.ndarray:
    """Spearman's rank correlation of each row with the same row of the other, `(rows,)`.

    Args:
        first: `(rows, points)`, for instance one row a seed and one point an epoch.
        second: as many values of something else. A constant row has no ranks, and gives NaN.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        return np.array(
            [stats.spearmanr(a, b).statistic for a, b in zip(first, second, strict=True)]
        )


def flat_from(curve: Mapping[float, Iterable]) -> float | None:
    """The smallest key from which on a curve shows no difference.

    Every later step has to be "no difference", and so has the way from that key to the last one,
    lest many small steps in one direction pass for flat.

    Returns:
        The key, or None where the last step already is a difference or could not be tested.
    """
    last = max(curve)
    flat = None
    for low, _, step in reversed(compare_neighbours(curve)):
        if step.verdict != "no difference":
            break
        if compare(curve[last], curve[low]).verdict == "no difference":
            flat = low
    return flat


def choose(records: Iterable) -> Tuning:
    """Chooses temperature and alpha by the mean accuracy over seeds on validation images.

    Equal accuracies are decided by the lower mean negative log-likelihood, then by the smaller
    temperature, then by the smaller alpha.

    Args:
        records: runs on validation images with the same seeds in every cell of the grid.

    Raises:
        ValueError: a record speaks of test images, cells differ in their seeds, or the records
            were not made alike.
    """
    records = list(records)
    _require_validation(records, "choose()")
    cells = defaultdict(list)
    for record in records:
        cells[record.run.options["temperature"], record.run.options["alpha"]].append(record)
    cells = {cell: _by_seed(group) for cell, group in cells.items()}
    seeds = {cell: [r.run.seed for r in group] for cell, group in cells.items()}
    if len({tuple(s) for s in seeds.values()}) > 1:
        listed = "; ".join(f"T {t:g}, alpha {a:g}: {s}" for (t, a), s in sorted(seeds.items()))
        raise ValueError(f"Every cell of the grid needs the same seeds, but they are {listed}.")

    def rank(cell):
        group = cells[cell]
        nll = sum(r.metrics["nll"] for r in group)
        return -sum(r.metrics["correct"] for r in group), nll, *cell

    temperature, alpha = min(cells, key=rank)
    temperatures, alphas = (sorted(set(values)) for values in zip(*cells, strict=True))
    grid = np.full((len(alphas), len(temperatures)), np.nan)
    for (column, row), group in cells.items():
        grid[alphas.index(row), temperatures.index(column)] = accuracies(group).mean()
    accuracy = float(grid[alphas.index(alpha), temperatures.index(temperature)])
    return Tuning(temperature, alpha, accuracy, temperatures, alphas, grid)


def best(records: Sequence) -> int:
    """Chooses one of several single runs by the rule of `choose`, and gives its position.

    The highest accuracy on validation images, between equals the lower negative log-likelihood,
    between equals again the first.

    Raises:
        ValueError: a record speaks of test images, or the records were not made alike.
    """
    _require_validation(records, "best()")
    ranks = [(-record.metrics["correct"], record.metrics["nll"]) for record in records]
    return ranks.index(min(ranks))


def reliability(record, bins: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Confidence against accuracy in bins of equal width over [0, 1].

    Returns:
        Mean confidence, accuracy and number of images of every bin, each `(bins,)`; the first two
        are NaN where a bin is empty.
    """
    values = [record.confidences, record.offsets == 0]
    means = stats.binned_statistic(record.confidences, values, "mean", bins, (0, 1)).statistic
    return *means, np.histogram(record.confidences, bins, (0, 1))[0]


def _by_seed(records):
    records = sorted(records, key=lambda record: record.run.seed)
    seeds = [record.run.seed for record in records]
    if not records:
        raise ValueError("There are no records. Train the runs first, or ask for those there are.")
    if repeated := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise ValueError(
            f"The seeds {repeated} come more than once, so these records are not runs of one "
            "configuration. Select them by all their settings."
        )
    return records


def _require_validation(records, who):
    if not records or any(record.part != "validation" for record in records):
        raise ValueError(
            f"Test data never choose anything: {who} takes records of the validation part and "
            f"was given {sorted({r.part for r in records}) or 'none'}. Train the grid with "
            "`validation=...` and choose from those records."
        )
    _check_comparable(records)


def _check_comparable(records):
    for what, described in {
        "backend": lambda r: r.backend,
        "precision": lambda r: r.precision,
        "evaluated images": lambda r: f"{r.run.data} {r.part}, {r.metrics['count']} images",
    }.items():
        found = sorted({described(record) for record in records})
        if len(found) > 1:
            raise ValueError(
                f"These records differ in their {what} ({' / '.join(found)}), so a difference "
                "between them would not be one between methods. Compare runs made alike."
            )
