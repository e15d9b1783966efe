"""Explanations of Task 2's networks: which parts of a tile speak for the positive class.

What is explained is the log-odds of the positive class, by Grad-CAM (Selvaraju et al. 2017) after
two layers of each network. A map has a cell for each position of the layer. Above zero, a cell
speaks for the positive class, below zero for the other: what Grad-CAM cuts off for the one class is
what it keeps for the other, so with two classes one map with signs holds both.

After the last convolution nothing follows but the mean over positions and a linear head, so there
the cells add up to the log-odds less the head's bias: Grad-CAM is CAM (Zhou et al. 2016).

For maps by pixels, and how those are judged, see `kdutils.explain`.
"""

from collections.abc import Sequence
from dataclasses import asdict

import keras
import numpy as np
from scipy import ndimage, stats

from kdutils import binary, explain, models, training
from kdutils.data.dataset import stratified_indices
from kdutils.evaluation import mean_interval, rank_correlations
from kdutils.ledger import Ledger
from kdutils.models.initialise import initialise
from kdutils.predicting import predict
from kdutils.runs import Run

LAYERS = {
    "resnet50v2": {"last": "post_relu", "finer": "conv4_block5_out"},
    "mobilenetv2": {"last": "out_relu", "finer": "block_12_add"},
}
"""By network: the last convolutional activation, and an earlier layer of twice as many cells a
side, 6 × 6 of a tile of 96 pixels."""

ORDERS = ("most", "least", "random")
DIFFERENCES = {
    "separation": ("least", "most"),
    "early": ("random", "most"),
    "late": ("least", "random"),
}
BLUR = 1 / 8  # standard deviation, of the side of a tile: of 96 pixels 12, where a nucleus has 10
AT_ONCE = 64  # tiles
HEAD_INPUT = "avg_pool"
FRESH = 1_000_000  # seeds from here on draw weights that no run starts from


def maps(model: keras.Model, images: np.ndarray, positive: int, layer: str) -> np.ndarray:
    """Grad-CAM of the log-odds of the positive class, with its sign.

    Selvaraju et al. (2017), equations 1 and 2, without the ReLU: each channel weighs as much as the
    mean over positions of the gradient of the log-odds by it.

    Args:
        model: Pixels in, two logits out.
        images: `(N, H, W, 3)`.
        positive: The column of the positive class, 0 or 1.
        layer: Name of the layer, whose output is `(N, h, w, channels)`.

    Returns:
        `(N, h, w)`, in units of the log-odds.
    """
    return _weighed(model, _features(model, images, layer), positive, layer)


def _features(model, images, layer):
    return predict(keras.Model(model.inputs[0], model.get_layer(layer).output), images, AT_ONCE)


def _weighed(model, features, positive, layer):
    rest = keras.Model(model.get_layer(layer).output, model.outputs[0])
    classes = np.full(len(features), positive)
    # The score that is differentiated there is half of the log-odds where there are two classes.
    slopes = 2 * explain.input_gradients(rest, features, classes)
    return (features * slopes.mean(axis=(1, 2), keepdims=True)).sum(axis=-1)


def chosen_tiles(log_odds: np.ndarray, labels: np.ndarray) -> dict[str, int]:
    """Choose test tiles by a rule: of each class that on which a model is surest, middle, worst.

    Args:
        log_odds: `(N,)` of the positive class.
        labels: `(N,)` 1 for the positive class, else 0.

    Returns:
        By name of the rule the position of a tile: of `positive` and `negative` the one with the
        most log-odds for its true class (`surest`), the lower median of them (`median`), and the
        least (`worst`). In a class of fewer than three tiles, one may stand for several.
    """
    found = {}
    for name, label in (("positive", 1), ("negative", 0)):
        rows = np.flatnonzero(labels == label)
        margins = log_odds[rows] * (1 if label else -1)
        order = rows[np.argsort(margins, kind="stable")]
        places = {"surest": len(order) - 1, "median": (len(order) - 1) // 2, "worst": 0}
        found |= {f"{name}_{rule}": int(order[place]) for rule, place in places.items()}
    return found


def explanations(ledger: Ledger, runs: Sequence[Run], count: int, points: int, draws: int) -> dict:
    """Explain models on test tiles, and judge their maps; see `Ledger.analyse`.

    Args:
        ledger: Where the models are.
        runs: Of one data set, fold and size: the teacher, the student that it taught, the plain
            student, and any further. By the scores of the plain student tiles are chosen.
        count: Test tiles that maps are judged on, stratified by class; all where there are fewer.
        points: See `deletion`.
        draws: See `agreement`.

    Returns:
        `tiles`, what `chosen_tiles` chooses, for each a dictionary: `rule`, `position` in the test
        part, `id`, `label` (1 for the positive class) and `group` (its slide, or `None`); `shown`,
        for each run the `log_odds` of these tiles and the maps after the layers `last` and `finer`,
        `(tiles, h, w)`; `count`, of the tiles judged on; `deletion`, for each run and layer what
        the function of that name returns; and `agreement`, for each layer what that one does.
    """
    dataset = training.load_data(runs[0])
    test, positive = dataset.test, dataset.positive
    labels = (test.labels == positive).astype(int)
    built = [ledger.model(run) for run in runs]
    layers = [LAYERS[run.model.partition("_")[0]] for run in runs]
    chosen = chosen_tiles(_log_odds(built[2], test.images, positive), labels)
    images = test.images[list(chosen.values())]
    fresh = {name: models.build(name, FRESH) for name in {run.model for run in runs}}
    judged_on = test.images[stratified_indices(test.labels, min(count, len(test)), seed=0)]
    return {
        "tiles": [
            {
                "rule": rule,
                "position": row,
                "id": int(test.ids[row]),
                "label": int(labels[row]),
                "group": None if test.groups is None else str(test.groups[row]),
            }
            for rule, row in chosen.items()
        ],
        "shown": [
            {"log_odds": _log_odds(model, images, positive)}
            | {name: maps(model, images, positive, layer) for name, layer in known.items()}
            for model, known in zip(built, layers, strict=True)
        ],
        "count": len(judged_on),
        "deletion": [
            {name: deletion(model, judged_on, positive, known[name], points) for name in known}
            for model, known in zip(built, layers, strict=True)
        ],
        "agreement": {
            name: agreement(
                built,
                [fresh[run.model] for run in runs],
                judged_on,
                positive,
                [known[name] for known in layers],
                draws,
            )
            for name in layers[0]
        },
    }


def deletion(
    model: keras.Model, images: np.ndarray, positive: int, layer: str, points: int
) -> dict:
    """Blur the cells of tiles one after another, in the order of a map.

    Deletion of Petsiuk et al. (2018), section 4.3, by cells and with blurred tissue in the place of
    black, which no tile holds. Measured is the log-odds of the class that the model predicts for
    the whole tile; if a map is right about what the model looks at, it falls early where the cells
    that speak most for that class go first, and late where they go last.

    Args:
        model: Pixels in, two logits out.
        images: `(N, H, W, 3)`, uint8.
        positive: The column of the positive class, 0 or 1.
        layer: Whose map it is.
        points: Of each curve, from no cell to all of them.

    Returns:
        `cells` a side; `fractions` of them, as the curves have them; for each of `ORDERS` the mean
        `curve` and the `area` under it, an interval over tiles; and differences of these areas,
        paired by tile: `separation`, `least` less `most`, `early`, `random` less `most`, and
        `late`, `least` less `random`. Of each there is the `interval`, the `p_value` of a t test,
        and the `share` of tiles on which it is above zero, as it is where the map is right.
    """
    fractions = np.linspace(0, 1, points)
    blurred = _blurred(images)
    whole, nothing = (_log_odds(model, each, positive) for each in (images, blurred))
    sign = np.where(whole > 0, 1.0, -1.0)
    relevance = sign[:, None, None] * maps(model, images, positive, layer)
    chance = np.random.default_rng(0).random(relevance.shape)
    curves = {}
    for order, ranked in zip(ORDERS, (relevance, -relevance, chance), strict=True):
        steps = [
            _log_odds(model, np.where(gone, blurred, images), positive)
            for gone in _deleted(ranked, images.shape[1:3], fractions[1:-1])
        ]
        curves[order] = np.stack([whole, *steps, nothing], axis=1) * sign[:, None]
    areas = {order: np.trapezoid(each, fractions, axis=1) for order, each in curves.items()}
    judged = {
        order: {"curve": each.mean(axis=0), "area": _interval(areas[order])}
        for order, each in curves.items()
    }
    for name, (kept, lost) in DIFFERENCES.items():
        difference = areas[kept] - areas[lost]
        judged[name] = {
            "interval": _interval(difference),
            "p_value": _p_value(difference),
            "share": (difference > 0).mean(),
        }
    return {"cells": relevance.shape[1], "fractions": fractions} | judged


def agreement(
    trained: Sequence[keras.Model],
    untrained: Sequence[keras.Model],
    images: np.ndarray,
    positive: int,
    layers: Sequence[str],
    draws: int,
) -> dict:
    """Compare maps of models with a teacher's, and with their own after their weights are lost.

    All explain the log-odds of the positive class of the same tiles. Compared is by Spearman's rank
    correlation over the cells of a tile. The control is of Adebayo et al. (2018): a map that stays
    the same when weights are drawn anew, those of the head or all, is not about what was learnt.

    Args:
        trained: The teacher, two students to compare, any further.
        untrained: The same networks with random weights.
        images: `(N, H, W, 3)`, uint8.
        positive: The column of the positive class, 0 or 1.
        layers: Whose maps they are, by model.
        draws: Heads of random weights to try in every model.

    Returns:
        `correlations` with the teacher's map, an interval over tiles for each further model;
        `difference` of the first student's less the second's, paired by tile, with its `p_value` in
        a t test; and for each model `random_head`, the mean over tiles of the correlation with its
        own map, one for each draw, and `random_weights`, an interval of it over tiles. What cannot
        be computed is `None`, such as all of this for maps of one cell.
    """
    found, random_head, random_weights = [], [], []
    for model, lost, layer in zip(trained, untrained, layers, strict=True):
        features = _features(model, images, layer)
        own = _weighed(model, features, positive, layer)
        found.append(own)
        head = keras.Model(model.get_layer(HEAD_INPUT).output, model.outputs[0])
        learnt = head.get_weights()
        of_draws = []
        for draw in range(draws):
            initialise(head, FRESH + draw)
            of_draws.append(_mean(correlations(own, _weighed(model, features, positive, layer))))
        head.set_weights(learnt)
        random_head.append(of_draws)
        random_weights.append(_interval(correlations(own, maps(lost, images, positive, layer))))
    with_teacher = [correlations(found[0], each) for each in found[1:]]
    difference = with_teacher[0] - with_teacher[1]
    return {
        "correlations": [_interval(each) for each in with_teacher],
        "difference": _interval(difference),
        "p_value": _p_value(difference),
        "random_head": random_head,
        "random_weights": random_weights,
    }


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation over the cells of each pair of maps.

    Args:
        first: `(N, h, w)`.
        second: `(N, h, w)`.

    Returns:
        `(N,)`, from -1 to 1; NaN where a map is constant, as one of a single cell is.
    """
    return rank_correlations(*(each.reshape(len(each), -1) for each in (first, second)))


def _interval(values):
    values = values[np.isfinite(values)]
    return asdict(mean_interval(values)) if len(values) > 1 else None


def _mean(values):
    values = values[np.isfinite(values)]
    return values.mean() if len(values) else None


def _p_value(values):
    values = values[np.isfinite(values)]
    if len(values) < 2 or not values.std() > 0:
        return None
    return stats.ttest_1samp(values, 0).pvalue


def _blurred(images):
    """What stands in for tissue that is taken away: its colours without its shapes."""
    reach = BLUR * images.shape[1]
    soft = ndimage.gaussian_filter(images.astype("float32"), (0, reach, reach, 0), mode="nearest")
    return np.rint(soft).astype("uint8")


def _deleted(ranked, sides, fractions):
    """Pixels of the cells that rank highest, `(N, H, W, 1)` for each fraction of the cells."""
    flat = ranked.reshape(len(ranked), -1)
    ranks = np.argsort(np.argsort(-flat, axis=1, kind="stable"), axis=1).reshape(ranked.shape)
    rows, columns = (
        np.arange(side) * cells // side for side, cells in zip(sides, ranked.shape[1:], strict=True)
    )
    of_pixels = ranks[:, rows][:, :, columns][..., None]
    return [of_pixels < np.rint(fraction * flat.shape[1]) for fraction in fractions]


def _log_odds(model, images, positive):
    return binary.scores(predict(model, images, AT_ONCE), positive)
