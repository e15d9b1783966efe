"""What a draw of test images leaves open of an ROC-AUC: intervals and paired tests over images.

For scores and labels see `kdutils.binary`; what trainings and folds leave open is the matter of
`kdutils.folds`.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from kdutils.binary import checked
from kdutils.evaluation import Comparison, Interval, verdict

# The standard error of a paired difference of two AUCs on about a thousand images is between
# 0.0055 and 0.0098 where the scores correlate by 0.85 to 0.5, by simulation of binormal scores at
# an AUC of 0.92. So a smaller difference would not outlast another draw of as many images.
RESOLUTION = 0.005


def auc_interval(scores, labels, level: float = 0.95) -> Interval:
    """ROC-AUC of one model with its interval over draws of images, after DeLong et al. (1988).

    The images count as independent draws. Tiles of one slide are not, so for them the interval is
    too narrow; see `clustered_bootstrap`. It is cut off at 0 and 1, and an AUC of 0 or 1 has no
    width, which says that the images are too few to tell and not that the AUC is certain.

    Args:
        scores: `(N,)` any scores that rise with the positive class.
        labels: `(N,)` 0 or 1, with 1 the positive class and two images or more of each.
        level: confidence level.

    Returns:
        The AUC as `mean`, its standard error as `sd`, and the number of images as `count`.

    Raises:
        ValueError: as `kdutils.binary.checked`, or there is one image only of a class.
    """
    areas, covariance = _delong([scores], labels)
    area, error = float(areas[0]), float(np.sqrt(covariance[0, 0]))
    reach = stats.norm.ppf((1 + level) / 2) * error
    return Interval(area, error, max(0.0, area - reach), min(1.0, area + reach), len(labels))


def delong(
    scores_a, scores_b, labels, level: float = 0.95, resolution: float = RESOLUTION
) -> Comparison:
    """Difference of the ROC-AUCs of two models on the same images, first less second.

    The test of DeLong, DeLong and Clarke-Pearson (1988), computed from mid-ranks after Sun and Xu
    (2014). It speaks of two trained models and of further images like these, not of further
    trainings, and takes the images as independent, as `auc_interval` does.

    Args:
        scores_a: `(N,)` scores of the first model that rise with the positive class.
        scores_b: `(N,)` those of the second, of the same images.
        labels: `(N,)` 0 or 1, with 1 the positive class and two images or more of each.
        level: confidence level.
        resolution: the smallest difference that counts.

    Returns:
        The comparison, with the number of images as its count. Its p value is 1 where both models
        rank alike, and NaN where they differ but no image departs from the rest.

    Raises:
        ValueError: as `auc_interval`.
    """
    areas, covariance = _delong([scores_a, scores_b], labels)
    difference = float(areas[0] - areas[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    # Less is rounding: one image moved by one rank among ten thousand makes about 1e-15.
    error = float(np.sqrt(variance)) if variance > 1e-16 else 0.0
    if error:
        p_value = float(2 * stats.norm.sf(abs(difference) / error))
    else:
        p_value = 1.0 if abs(difference) < 1e-12 else np.nan
    reach = float(stats.norm.ppf((1 + level) / 2)) * error
    return Comparison(
        difference=difference,
        low=difference - reach,
        high=difference + reach,
        p_value=p_value,
        count=len(labels),
        verdict=verdict(difference, p_value, len(labels), level, resolution),
    )


def planned_error(area: float, positives: int, others: int) -> float:
    """Standard error to expect of an ROC-AUC, before there is a model to measure it on.

    Hanley and McNeil (1982), whose approximation takes the scores of both classes as exponential.

    Args:
        area: the AUC that is expected.
        positives: number of images of the positive class.
        others: number of images of the other class.
    """
    twice_positive = area / (2 - area) - area**2
    twice_other = 2 * area**2 / (1 + area) - area**2
    variance = area * (1 - area) + (positives - 1) * twice_positive + (others - 1) * twice_other
    return float(np.sqrt(variance / (positives * others)))


def clustered_bootstrap(
    statistic: Callable[[np.ndarray], float],
    groups,
    count: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of a statistic over draws of whole groups of images.

    Images of one slide resemble each other, so slides are drawn, with replacement, and each brings
    all of its images. A difference between two models is paired by taking both at the same images:

        clustered_bootstrap(lambda i: auc(first[i], labels[i]) - auc(second[i], labels[i]), slides)

    Where no slides are known, `np.arange(N)` as groups draws single images. The interval is only
    as good as the number of groups: with ten slides it is too narrow, by a factor of 0.95 for the
    missing degree of freedom alone, and rests on few different draws; with two there are three.
    Below some thirty groups take it for a lower bound of the uncertainty.

    Args:
        statistic: the number of interest, given positions of images `(n,)`, of which some come
            several times; NaN where it is not defined, such as an AUC of images of one class.
        groups: `(N,)` the group of every image.
        count: number of draws.
        seed: decides the draws.
        level: confidence level.

    Returns:
        The statistic of all images as `mean`, its standard error (the standard deviation over the
        draws) as `sd`, and the number of groups as `count`.

    Raises:
        ValueError: there is one group only, or more than one draw in ten leaves the statistic
            undefined.
    """
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        raise ValueError(
            "All images are of one group, and draws of one group are all alike. Give the slide of "
            "every image, or np.arange(N) to draw single images."
        )
    members = [np.flatnonzero(group == each) for each in range(len(names))]
    generator = np.random.default_rng(seed)
    drawn = generator.integers(len(names), size=(count, len(names)))
    values = np.array([statistic(np.concatenate([members[g] for g in row])) for row in drawn])
    defined = values[np.isfinite(values)]
    if len(defined) < 0.9 * count:
        raise ValueError(
            f"The statistic is not defined for {count - len(defined)} of {count} draws of "
            f"{len(names)} groups: too few groups hold both classes. An interval of the rest would "
            "mislead."
        )
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    observed = float(statistic(np.arange(len(group))))
    return Interval(observed, float(defined.std(ddof=1)), float(low), float(high), len(names))


def _delong(models, labels):
    """AUCs `(models,)` and their covariance `(models, models)`, after Sun and Xu (2014)."""
    pairs = [checked(scores, labels) for scores in models]
    labels = pairs[0][1]
    counts = np.bincount(labels)
    if counts.min() < 2:
        raise ValueError(
            "The variance of an AUC needs two images or more of each class, and there are "
            f"{counts[1]} positive and {counts[0]} other ones."
        )
    # A placement is the share of the other class that an image is ranked right against. Its rank
    # among all images less that among its own class counts those of the other class below it.
    placements = [[], []]
    for scores, _ in pairs:
        ranks = stats.rankdata(scores)
        for c in (0, 1):
            below = ranks[labels == c] - stats.rankdata(scores[labels == c])
            share = below / counts[1 - c]
            placements[c].append(share if c == 1 else 1 - share)
    areas = np.mean(placements[1], axis=1)
    return areas, sum(np.atleast_2d(np.cov(placements[c])) / counts[c] for c in (0, 1))
