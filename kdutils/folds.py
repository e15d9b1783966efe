"""Statistics over cross-validation folds, with one or several seeds in each.

Values stand in arrays `(folds, seeds)`; `(folds,)` is one seed a fold. An AUC is taken in each fold
and the mean over folds reported: scores of different models have no common scale, so an AUC of
scores pooled over folds would not be that of any model.

The unit is the fold. Seeds of one fold share its images, so they are averaged first, and their
spread is reported beside (`seed_spread`). Two folds share most of their training images, so their
results are not independent, and their variance over folds is too small a guess of the variance of
the mean; intervals and tests carry the correction of Nadeau and Bengio (2003).

One fold alone is an official split: there the unit is the seed and nothing is corrected.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from kdutils.evaluation import Comparison, Interval, adjusted, mean_interval, verdict
from kdutils.image_tests import RESOLUTION


def by_fold(records: Iterable, metric: str) -> np.ndarray:
    """A metric of records as `(folds, seeds)`, in the order of folds and of seeds.

    Args:
        records: of one method; their `run` has a `fold` (None for an official split) and a `seed`.
        metric: key of the metrics.

    Raises:
        ValueError: there are no records, a seed comes twice in a fold, the folds differ in their
            seeds, or an official split is among them.
    """
    values = {}
    for record in records:
        seeds = values.setdefault(record.run.fold, {})
        if record.run.seed in seeds:
            raise ValueError(
                f"Seed {record.run.seed} comes twice in fold {record.run.fold}, so these records "
                "are not runs of one configuration. Select them by all their settings."
            )
        seeds[record.run.seed] = record.metrics[metric]
    if not values:
        raise ValueError("There are no records. Train the runs first, or ask for those there are.")
    trained = {fold: sorted(seeds) for fold, seeds in values.items()}
    if len({tuple(seeds) for seeds in trained.values()}) > 1:
        listed = "; ".join(f"fold {fold}: {seeds}" for fold, seeds in trained.items())
        raise ValueError(f"Every fold needs the same seeds, but they are {listed}.")
    if len(values) > 1 and None in values:
        raise ValueError(
            "Some records are of an official split and some of folds. Compare runs made alike."
        )
    folds = sorted(values) if len(values) > 1 else list(values)
    return np.array([[values[fold][seed] for seed in trained[fold]] for fold in folds])


def differences(first: Iterable, second: Iterable, metric: str) -> np.ndarray:
    """How much higher a metric is with one method than with another, `(folds, seeds)`, in pairs.

    Args:
        first: records of one method, see `by_fold`.
        second: records of the other.
        metric: key of the metrics.

    Raises:
        ValueError: they differ in folds or seeds, or in the images they were scored on; or as
            `by_fold`.
    """
    first, second = list(first), list(second)
    scored = [
        {(each.run.fold, each.run.seed): (each.run.data, each.part) for each in records}
        for records in (first, second)
    ]
    if scored[0] != scored[1]:
        alone = sorted(map(str, scored[0].items() ^ scored[1].items()))
        raise ValueError(
            "Only runs of the same folds, seeds and images make pairs; without a partner, as "
            f"(fold, seed), (data, part): {', '.join(alone)}."
        )
    return by_fold(first, metric) - by_fold(second, metric)


def over_folds(
    values: ArrayLike, test_images: ArrayLike, train_images: ArrayLike, level: float = 0.95
) -> Interval:
    """Mean over folds with the interval of Nadeau and Bengio (2003).

    Student's interval with the variance (1/k + n_test/n_train) s² of the mean of k folds in place
    of s²/k. The correction was derived for random splits of equal size. Cross-validation is
    commonly treated alike; folds of unequal size enter by their totals.

    Args:
        values: `(folds,)` or `(folds, seeds)`.
        test_images: number of test images of each fold, or one number for all.
        train_images: number of training images of each fold, or one number for all.
        level: confidence level.

    Returns:
        The mean over folds, with the standard deviation over folds and their number; with one fold
        the mean over its seeds, with `kdutils.evaluation.mean_interval` of them.

    Raises:
        ValueError: the values are no such array, or the numbers of images do not fit them.
    """
    units, ratio = _units(values, test_images, train_images)
    plain = mean_interval(units, level)
    wider = np.sqrt(1 + plain.count * ratio)  # of (1/k + ratio) against 1/k
    low, high = (plain.mean + wider * (end - plain.mean) for end in (plain.low, plain.high))
    return Interval(plain.mean, plain.sd, float(low), float(high), plain.count)


def seed_spread(values: ArrayLike) -> float:
    """Standard deviation over the seeds of a fold, pooled over folds; NaN with one seed.

    Args:
        values: `(folds, seeds)`, or `(folds,)` with one seed each.
    """
    values = _folds_and_seeds(values)
    if values.shape[1] == 1:
        return float("nan")
    return float(np.sqrt(values.var(axis=1, ddof=1).mean()))


def contrast(
    differences: ArrayLike,
    test_images: ArrayLike,
    train_images: ArrayLike,
    resolution: float = RESOLUTION,
    level: float = 0.95,
) -> Comparison:
    """Tests whether a paired difference over folds is zero: the corrected resampled t test.

    Nadeau and Bengio (2003): t is the mean over the root of (1/k + n_test/n_train) s², with k - 1
    degrees of freedom. With one fold it is the paired t test over seeds.

    Args:
        differences: first less second, fold by fold (and seed by seed), as `over_folds` takes them.
        test_images: number of test images of each fold, or one number for all.
        train_images: number of training images of each fold, or one number for all.
        resolution: the smallest difference that counts, in the unit of the differences. The default
            is for AUCs on about a thousand images, see `kdutils.image_tests.RESOLUTION`.
        level: confidence level; a p value below `1 - level` makes a difference.

    Returns:
        The comparison, whose count is the number of folds, or of seeds with one fold. Differences
        without any spread cannot be tested.

    Raises:
        ValueError: as `over_folds`.
    """
    _, ratio = _units(differences, test_images, train_images)
    interval = over_folds(differences, test_images, train_images, level)
    count = interval.count
    p_value = np.nan
    if interval.sd > 1e-12:  # less is the rounding of equal differences
        t = interval.mean / (interval.sd * np.sqrt(1 / count + ratio))
        p_value = float(2 * stats.t.sf(abs(t), count - 1))
    elif count > 1 and abs(interval.mean) < 1e-12:
        p_value = 1.0
    return Comparison(
        difference=interval.mean,
        low=interval.low,
        high=interval.high,
        p_value=p_value,
        count=count,
        verdict=verdict(interval.mean, p_value, count, level, resolution),
    )


def contrasts(
    differences: Mapping[str, ArrayLike],
    test_images: ArrayLike,
    train_images: ArrayLike,
    resolution: float = RESOLUTION,
) -> dict[str, Comparison]:
    """Several contrasts made together; p values adjusted after Holm decide the verdicts.

    Args:
        differences: those of every contrast, each as `contrast` takes them.
        test_images: number of test images of each fold, or one number for all.
        train_images: number of training images of each fold, or one number for all.
        resolution: the smallest difference that counts.

    Returns:
        The comparisons under the same names; the intervals are those of each alone.

    Raises:
        ValueError: as `over_folds`.
    """
    tested = [
        contrast(each, test_images, train_images, resolution) for each in differences.values()
    ]
    return dict(zip(differences, adjusted(tested, resolution), strict=True))


def effects(cells: Mapping[tuple[bool, bool], ArrayLike]) -> dict[str, np.ndarray]:
    """Main effects and interaction of pre-training and distillation, fold by fold.

    A main effect is the change that one factor makes, mean over both states of the other. The
    interaction is what distillation changes with pre-training, less what it changes without.
    `contrasts(effects(cells), ...)` tests the three together.

    Args:
        cells: values `(folds,)` or `(folds, seeds)` of the four students, under (pre-trained,
            distilled); folds and seeds are paired by position.

    Returns:
        `pre-training`, `distillation` and `interaction`, each of the shape of a cell.

    Raises:
        ValueError: a cell is missing, or the cells differ in their shape.
    """
    wanted = {
        (pretrained, distilled) for pretrained in (False, True) for distilled in (False, True)
    }
    if set(cells) != wanted:
        raise ValueError(
            f"Effects need four cells, {sorted(wanted)}, named (pre-trained, distilled), but there "
            f"are {sorted(cells)}."
        )
    arrays = {cell: np.asarray(values, dtype=float) for cell, values in cells.items()}
    shapes = {cell: values.shape for cell, values in arrays.items()}
    if len(set(shapes.values())) > 1:
        listed = "; ".join(f"{cell}: {shape}" for cell, shape in shapes.items())
        raise ValueError(f"All cells need the same folds and seeds, but their shapes are {listed}.")
    with_neither, with_kd = arrays[False, False], arrays[False, True]
    with_weights, with_both = arrays[True, False], arrays[True, True]
    return {
        "pre-training": (with_weights + with_both - with_neither - with_kd) / 2,
        "distillation": (with_kd + with_both - with_neither - with_weights) / 2,
        "interaction": (with_both - with_weights) - (with_kd - with_neither),
    }


def _units(values, test_images, train_images):
    """The values of the units `(k,)` and n_test / n_train, which is 0 where units are seeds."""
    values = _folds_and_seeds(values)
    if len(values) == 1:
        return values[0], 0.0
    images = []
    for name, counts in (("test", test_images), ("training", train_images)):
        counts = np.asarray(counts, dtype=float)
        if counts.shape not in ((), (len(values),)) or not (counts > 0).all():
            raise ValueError(
                f"Give one number of {name} images, or one for each of the {len(values)} folds, "
                f"all above 0, not {counts.tolist()}."
            )
        images.append(counts.mean())
    return values.mean(axis=1), float(images[0] / images[1])


def _folds_and_seeds(values):
    try:
        values = np.asarray(values, dtype=float)
    except ValueError:
        raise ValueError("Every fold needs the same number of seeds, one value each.") from None
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or not values.size:
        raise ValueError(
            f"Values are needed as (folds,) or (folds, seeds), not in the shape {values.shape}."
        )
    if not np.isfinite(values).all():
        raise ValueError("A value is not finite. Did a training diverge, or is a run missing?")
    return values
