"""How a two-class classifier is put to use: its threshold and its calibration.

Both are chosen on validation images. For scores and labels see `kdutils.binary`.
"""

import numpy as np
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import expit

from kdutils.binary import checked, is_constant

TEMPERATURES = (0.05, 20.0)


def choose_threshold(scores, labels) -> float:
    """The threshold with the highest balanced accuracy, to be chosen on validation images.

    Balanced accuracy and not F1, because the share of positives differs from one part of the data
    to another. The threshold that is best for F1 moves with that share; that of balanced
    accuracy, the mean of two rates taken within a class each, does not.

    The threshold lies midway between two neighbouring scores. Between cuts that are equally good
    the widest gap decides, where further images have most room on both sides, and between equal
    gaps the lowest.

    Args:
        scores: `(N,)` any scores that rise with the positive class.
        labels: `(N,)` 0 or 1, with 1 the positive class.

    Returns:
        The threshold in the unit of the scores. Where all scores are the same there is no cut to
        choose, and it is that score.

    Raises:
        ValueError: as `kdutils.binary.checked`.
    """
    scores, labels = checked(scores, labels)
    levels, level = np.unique(scores, return_inverse=True)
    if len(levels) == 1:
        return float(levels[0])
    # Cut k separates the levels up to k from those above.
    negatives, positives = (np.bincount(level[labels == c], minlength=len(levels)) for c in (0, 1))
    # Balanced accuracy but for a factor and a constant, in whole numbers: equal cuts are equal.
    gain = np.cumsum(negatives * positives.sum() - positives * negatives.sum())[:-1]
    gaps = np.where(gain == gain.max(), np.diff(levels), -np.inf)
    cut = int(np.argmax(gaps))
    return float((levels[cut] + levels[cut + 1]) / 2)


def fit_temperature(scores, labels) -> float:
    """The temperature that calibrates log-odds, to be fitted on validation images.

    Temperature scaling after Guo et al. (2017), section 4.2: one number divides all logits, here
    all log-odds, such that the negative log-likelihood is lowest. It leaves every ranking, so the
    AUC, and the sign of every score as they are.

    Args:
        scores: `(N,)` log-odds of the positive class.
        labels: `(N,)` 0 or 1, with 1 the positive class.

    Returns:
        The temperature, within `TEMPERATURES`; scores worse than chance get the highest. It is 1
        where the images cannot tell it: constant scores, or all of them on their right side of
        zero, where the likelihood rises the further the temperature falls.

    Raises:
        ValueError: as `kdutils.binary.checked`.
    """
    scores, labels = checked(scores, labels)
    margins = np.where(labels == 1, scores, -scores)
    if is_constant(scores) or margins.min() > 0:
        return 1.0
    # Of the inverse temperature the likelihood is concave, so the one minimum is the global one.
    low, high = (1 / temperature for temperature in reversed(TEMPERATURES))
    found = minimize_scalar(
        lambda inverse: np.logaddexp(0, -margins * inverse).mean(),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return float(1 / found.x)


def reliability(scores, labels, bins: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probability of the positive class against its share, in bins of equal width over [0, 1].

    Args:
        scores: `(N,)` log-odds of the positive class, divided by a temperature or not.
        labels: `(N,)` 0 or 1, with 1 the positive class.
        bins: number of bins.

    Returns:
        Mean probability, share of positives and number of images of every bin, each `(bins,)`; the
        first two are NaN where a bin is empty.

    Raises:
        ValueError: as `kdutils.binary.checked`.
    """
    scores, labels = checked(scores, labels)
    probabilities = expit(scores)
    values = [probabilities, labels]
    means = stats.binned_statistic(probabilities, values, "mean", bins, (0, 1)).statistic
    return *means, np.histogram(probabilities, bins, (0, 1))[0]
