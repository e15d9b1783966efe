"""Explanations: which pixels speak for a class, and whether a map of them can be believed.

What is explained is the logit of a class less the mean logit of all classes. Softmax ignores what
all logits share, so it is left out; and unlike a probability, this score does not saturate where a
network is sure, as these are of almost every digit.

A map holds one number for each pixel, `(N, H, W)`: above zero the pixel speaks for the class, below
zero against it. For integrated gradients and occlusion "not there" is black, 0: they say what ink
does, and nothing of what ink would do where there is none.

The methods are written out here because no maintained library explains Keras 3 on all its backends:
Xplique 2.0.2 takes TensorFlow alone and none above 2.20, Captum takes PyTorch alone, and the last
releases of tf-explain and tf-keras-vis date from 2021 and March 2024.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial

import keras
import numpy as np
from keras import ops
from scipy import stats
from scipy.special import softmax

from kdutils import data, models
from kdutils.autodiff import gradients
from kdutils.data.dataset import stratified_indices
from kdutils.evaluation import mean_interval
from kdutils.ledger import Ledger
from kdutils.runs import Run
from kdutils.training import PREDICTION_BATCH

GRADIENT_BATCH = 250
# For Grad-CAM: the last layer of convolutions, and how far inside the image its outermost cells are
# centred. Without padding, the teacher's cell p looks at the pixels p to p + 5.
CONVOLUTIONS = {"mnist_teacher": {"layer": "conv2", "margin": 2.5}}


def class_scores(logits, classes):
    """The logit of a class less the mean logit of all: `(N, C)` and `(N,)` → `(N,)`."""
    logits = ops.cast(logits, "float32")
    own = ops.take_along_axis(logits, ops.expand_dims(classes, 1), axis=1)
    return ops.squeeze(own, 1) - ops.mean(logits, axis=1)


def input_gradients(model: keras.Model, inputs: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Gradient of `class_scores` by the inputs of a model, image by image.

    Args:
        model: Anything that ends in `(N, C)` logits.
        inputs: `(N, …)`, what the model takes.
        classes: `(N,)` integers, what to explain.

    Returns:
        `(N, …)`, float32, in units of the score per unit of the input.
    """
    starts = range(GRADIENT_BATCH, len(inputs), GRADIENT_BATCH)
    batches = zip(np.split(inputs, starts), np.split(classes, starts), strict=True)
    return np.concatenate([_gradients(model, *batch) for batch in batches])


def _gradients(model, inputs, classes):
    # Images do not mix, so each finds its own gradient in that of the sum.
    def scores(inputs):
        return class_scores(model(inputs, training=False), classes)

    return gradients(scores, np.asarray(inputs, "float32"))[0]


def integrated_gradients(
    model: keras.Model, images: np.ndarray, classes: np.ndarray, steps: int = 32
) -> np.ndarray:
    """Each pixel's value times its mean gradient on the straight way from black to the image.

    Sundararajan et al. (2017), section 3, with a black baseline; the integral is a sum over the
    midpoints of `steps` equal parts. The map adds up to the score of the image less that of black,
    their axiom of completeness, as closely as the steps are fine.

    Args:
        model: Pixels in, logits out.
        images: `(N, H, W, C)`.
        classes: `(N,)` integers, what to explain.
        steps: Gradients an image.

    Returns:
        `(N, H, W)`, in units of the score, colours added up.
    """
    images = np.asarray(images, "float32")
    midpoints = (np.arange(steps, dtype="float32") + 0.5) / steps
    total = sum(input_gradients(model, share * images, classes) for share in midpoints)
    return (images * total / steps).sum(axis=-1)


def occlusion(
    model: keras.Model, images: np.ndarray, classes: np.ndarray, window: int = 4, stride: int = 2
) -> np.ndarray:
    """How far the score falls when a square is painted black: mean over the squares on a pixel.

    Zeiler & Fergus (2014), section 4.2. It needs nothing of a model but predictions, and no chance:
    the random masks of RISE (Petsiuk et al. 2018), of which that paper draws thousands an image,
    would add noise of their own to the comparison of two networks.

    Args:
        model: Pixels in, logits out.
        images: `(N, H, W, C)`.
        classes: `(N,)` integers, what to explain.
        window: Side of the square, in pixels.
        stride: From one square to the next, in pixels.

    Returns:
        `(N, H, W)`, in units of the score.

    Raises:
        ValueError: Some pixels lie under no square.
    """
    rows, columns = (_windows(side, window, stride) for side in images.shape[1:3])
    squares = (rows[:, None, :, None] & columns[None, :, None, :]).reshape(-1, *images.shape[1:3])
    painted = [
        _scores(model, np.where(squares[..., None], 0, image), np.repeat(label, len(squares)))
        for image, label in zip(images, classes, strict=True)
    ]
    falls = _scores(model, images, classes)[:, None] - painted
    return np.einsum("ns,shw->nhw", falls, squares) / squares.sum(axis=0)


def grad_cam(
    model: keras.Model, images: np.ndarray, classes: np.ndarray, layer: str, margin: float = 0.0
) -> np.ndarray:
    """Where the channels that speak for a class are active, after a layer of convolutions.

    Selvaraju et al. (2017), equations 1 and 2: each channel weighs as much as its mean gradient,
    and what is below zero is cut off. The cells of the layer are placed where they look at the
    image, with linear interpolation between.

    Args:
        model: Pixels in, logits out.
        images: `(N, H, W, C)`.
        classes: `(N,)` integers, what to explain.
        layer: Name of the layer, whose output is `(N, h, w, channels)`.
        margin: Pixels that convolutions and poolings without padding lose at each edge, 0 where all
            are padded.

    Returns:
        `(N, H, W)`, at least zero; its scale has no meaning.
    """
    tapped = model.get_layer(layer).output
    features = _outputs(keras.Model(model.inputs, tapped), images)
    gradients = input_gradients(keras.Model(tapped, model.outputs[0]), features, classes)
    maps = np.maximum((features * gradients.mean(axis=(1, 2), keepdims=True)).sum(axis=-1), 0)
    rows, columns = (
        _interpolation(size, cells, margin)
        for size, cells in zip(images.shape[1:3], maps.shape[1:], strict=True)
    )
    return rows @ maps @ columns.T


def methods(network: str) -> dict[str, Callable]:
    """The methods that a network can be explained with, by name.

    Each is called with a model, images and classes.
    """
    found = {"integrated gradients": integrated_gradients, "occlusion": occlusion}
    if network in CONVOLUTIONS:
        found["Grad-CAM"] = partial(grad_cam, **CONVOLUTIONS[network])
    return found


def deletion_insertion(
    model: keras.Model,
    images: np.ndarray,
    classes: np.ndarray,
    maps: np.ndarray,
    fractions: Sequence[float],
) -> tuple[np.ndarray, np.ndarray]:
    """Probability of a class while ink is removed, or added to black, the most important first.

    Petsiuk et al. (2018), section 4.3. Only pixels with ink take part: to delete what is black
    already changes nothing, and would let any order beat a random one. If a map is right about what
    the model looks at, the probability falls early under deletion and rises early under insertion.

    Args:
        model: Pixels in, logits out.
        images: `(N, H, W, C)`.
        classes: `(N,)` integers, what was explained.
        maps: `(N, H, W)`.
        fractions: Of each image's ink pixels, 0 to 1.

    Returns:
        Two arrays `(N, len(fractions))`, deletion and insertion.
    """
    ink = images.any(axis=-1)
    order = np.argsort(np.where(ink, -maps, np.inf).reshape(len(maps), -1), axis=1, kind="stable")
    ranks = np.argsort(order, axis=1).reshape(maps.shape)
    curves = []
    for fraction in fractions:
        taken = ranks < np.rint(fraction * ink.sum(axis=(1, 2), keepdims=True))
        curves.append(
            [
                softmax(_outputs(model, np.where(shown[..., None], images, 0)), axis=1)[
                    np.arange(len(classes)), classes
                ]
                for shown in (~taken, taken)
            ]
        )
    return tuple(np.transpose(curves, (1, 2, 0)))


def rank_correlations(first: np.ndarray, second: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of two maps over the ink of each image.

    Black pixels are left out: methods that give them nothing would agree there whatever the models.

    Args:
        first: Maps `(N, H, W)`.
        second: Maps `(N, H, W)`.
        images: `(N, H, W, C)`.

    Returns:
        `(N,)`, from -1 to 1; NaN where a map is constant.
    """
    return np.array(
        [
            stats.spearmanr(one[ink], other[ink]).statistic
            for one, other, ink in zip(first, second, images.any(axis=-1), strict=True)
        ]
    )


def faithfulness(ledger: Ledger, runs: Sequence[Run], count: int, points: int) -> dict:
    """Measure how much the maps of some models know of what these look at; see `Ledger.analyse`.

    Explained is the class that a model predicts. The control is a random order of the ink.

    Args:
        ledger: Where the models are.
        runs: Which models.
        count: Test images, stratified by class.
        points: Of each curve, from no ink to all of it.

    Returns:
        `fractions` of the curves, and `models`, for each run a dictionary: `completeness`, the mean
        distance of the sum of integrated gradients from what it should be, relative to that; and
        under `orders`, for each method and `random`, for `deletion` and `insertion`, the mean
        `curve`, the `area` under it (an interval over images) and, except for `random`, the
        `gain`: by how much the area is better than that of the random order, paired by image, with
        its `p_value` in a t test.
    """
    images = _sample(runs[0], count)
    fractions = np.linspace(0, 1, points)
    random = np.random.default_rng(0).random(images.shape[:3])
    measured = []
    for run in runs:
        model = ledger.model(run)
        classes = _outputs(model, images).argmax(axis=1)
        maps = {name: method(model, images, classes) for name, method in methods(run.model).items()}
        rise = _scores(model, images, classes) - _scores(model, np.zeros_like(images), classes)
        error = np.abs(maps["integrated gradients"].sum(axis=(1, 2)) - rise)
        curves = {
            name: deletion_insertion(model, images, classes, each, fractions)
            for name, each in (maps | {"random": random}).items()
        }
        orders = {
            name: {
                "deletion": _judge(deletion, curves["random"][0], fractions, better=-1),
                "insertion": _judge(insertion, curves["random"][1], fractions, better=1),
            }
            for name, (deletion, insertion) in curves.items()
        }
        completeness = error.mean() / np.abs(rise).mean()
        measured.append({"completeness": completeness, "orders": orders})
    return {"fractions": fractions, "models": measured}


def _judge(curves, control, fractions, better):
    area, control_area = (np.trapezoid(each, fractions, axis=1) for each in (curves, control))
    judged = {"curve": curves.mean(axis=0), "area": _interval(area)}
    if curves is not control:
        judged["gain"] = _interval(better * (area - control_area))
        judged["p_value"] = stats.ttest_rel(area, control_area).pvalue
    return judged


def agreement(ledger: Ledger, runs: Sequence[Run], count: int) -> dict:
    """Measure whether models look where a teacher looks; see `Ledger.analyse`.

    All explain the class that the teacher predicts, so that a difference between two maps is never
    one between two classes. The control is the second run's network before its training: what its
    map shares with the teacher's comes from the image and the method, not from what was learnt
    (Adebayo et al. 2018).

    Args:
        ledger: Where the models are.
        runs: Of the teacher, of two students to compare, and of any further models.
        count: Test images, stratified by class.

    Returns:
        For each method that needs no convolutions: `correlations`, the rank correlation with the
        teacher's map, an interval over images for each further run and, last, for the control; and
        `difference` of the first student's less the second's, paired by image, with its `p_value`
        in a t test.
    """
    teacher, *others = runs
    images = _sample(teacher, count)
    reference = ledger.model(teacher)
    classes = _outputs(reference, images).argmax(axis=1)
    compared = [ledger.model(run) for run in others]
    compared.append(models.build(others[0].model, others[0].seed))
    measured = {}
    for name, method in methods(others[0].model).items():
        target = method(reference, images, classes)
        found = [
            rank_correlations(method(model, images, classes), target, images) for model in compared
        ]
        measured[name] = {
            "correlations": [_interval(each) for each in found],
            "difference": _interval(found[0] - found[1]),
            "p_value": stats.ttest_rel(found[0], found[1]).pvalue,
        }
    return measured


def _interval(values):
    return asdict(mean_interval(values))


def _sample(run, count):
    test = data.load(run.data).test
    return test.images[stratified_indices(test.labels, count, seed=0)]


def _outputs(model, images):
    # `predict` takes longer to begin than a small network takes for a batch, and it begins often.
    starts = range(PREDICTION_BATCH, len(images), PREDICTION_BATCH)
    return np.concatenate([model.predict_on_batch(batch) for batch in np.split(images, starts)])


def _scores(model, images, classes):
    return ops.convert_to_numpy(class_scores(_outputs(model, images), classes))


def _windows(side, window, stride):
    """Which of `side` pixels each window covers, `(windows, side)`."""
    starts = np.arange(0, side - window + 1, stride)[:, None]
    covered = (np.arange(side) >= starts) & (np.arange(side) < starts + window)
    if not covered.any(axis=0).all():
        raise ValueError(
            f"squares of {window} pixels, one every {stride}, leave some of {side} pixels out: "
            f"choose a stride up to {window} that divides {side - window}"
        )
    return covered


def _interpolation(size, cells, margin):
    """Weights `(size, cells)` of the cells at each pixel; beyond the outermost, these count."""
    places = (np.arange(size) + 0.5 - margin) * cells / (size - 2 * margin) - 0.5
    distances = np.abs(np.clip(places, 0, cells - 1)[:, None] - np.arange(cells))
    return np.maximum(1 - distances, 0)
