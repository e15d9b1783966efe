"""Every figure of the report, each drawn twice: for a light page and for a dark one.

A drawing function takes axes (or a whole figure, where it lays out panels of its own) and data, and
leaves the colours of text and ground to the theme:

    themed(lambda figure: temperature_curve(figure.subplots(), curve), alt="Accuracy against T")

Series differ by colour, marker and line style at once, so the figures also work in greyscale.
Dots and lines show accuracies by position, so their axes span the data and do not start at zero;
bars do. Accuracies are drawn in percent.
"""

import base64
import html
import io
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator
from scipy.optimize import linear_sum_assignment
from statsmodels.stats.proportion import proportion_confint

from kdutils.evaluation import accuracies, compare, mean_interval, pair, prediction_interval

WIDTH = 640  # pixels on the page, which has 96 to the inch; the files have twice as many
HEIGHT = 400
FEWEST = 10  # images in a bin of a reliability diagram
MARKERS = ["o", "s", "^", "D", "v"]
LINES = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1))]
# Blue, orange, green, pink and grey after Okabe and Ito, each also of another lightness where the
# colour-blind see one hue, and with enough contrast (4.5) to the page for coloured words.
LIGHT = {"text": "#1f2328", "grid": "#d5dae0", "series": "#00438c #bd4d00 #00704f #bb4690 #3a3a3a"}
DARK = {"text": "#d8dee6", "grid": "#39414c", "series": "#4f9fe8 #f0a03c #86ecc6 #f5c6ec #a39d80"}
DARK_PAGE = ':is([data-theme="dark"],[data-jp-theme-light="false"])'  # of the book, of JupyterLab
# The page follows its theme; JupyterLab has none of the page's styles, so the figure brings these.
STYLE = (
    "<style>.themed-figure .only-dark{display:none}"
    f"{DARK_PAGE} .themed-figure .only-dark{{display:inline}}"
    f"{DARK_PAGE} .themed-figure .only-light{{display:none}}</style>"
)


@dataclass(frozen=True)
class Bundle:
    """One figure as two PNG images, of which a page shows the one that fits its theme."""

    light: bytes
    dark: bytes
    alt: str

    def _repr_mimebundle_(self, include=None, exclude=None):
        images = "".join(
            f'<img class="only-{theme}" width="{WIDTH}" alt="{html.escape(self.alt)}" '
            f'src="data:image/png;base64,{base64.b64encode(png).decode()}">'
            for theme, png in (("light", self.light), ("dark", self.dark))
        )
        return {
            "text/html": f'<div class="themed-figure">{images}{STYLE}</div>',
            "image/png": self.light,
        }


def themed(draw: Callable[[Figure], object], alt: str) -> Bundle:
    """Draws a figure for light and for dark pages.

    Args:
        draw: draws on the figure it is given; called once for each theme, so it must not use up
            its data.
        alt: what the figure shows, for those who cannot see it.

    Raises:
        ValueError: `alt` is empty.
    """
    if not alt.strip():
        raise ValueError("A figure needs an alt text: say in a sentence what it shows.")
    return Bundle(_png(draw, LIGHT), _png(draw, DARK), alt)


def temperature_curve(
    axes: Axes,
    curve: Mapping[float, Sequence],
    without_kd: Sequence = (),
    teacher: Sequence = (),
) -> None:
    """Accuracy of the student against the temperature, its mean over seeds with 95 % interval.

    Args:
        axes: where to draw.
        curve: the records of every temperature; each seed is a faint point.
        without_kd: records of the student without distillation, a band of the mean's interval.
        teacher: records of the teacher, a line at their mean.
    """
    style, without_style, teacher_style = itertools.islice(series_styles(), 3)
    temperatures = sorted(curve)
    values = [100 * accuracies(curve[temperature]) for temperature in temperatures]
    for temperature, heights in zip(temperatures, values, strict=True):
        beside = np.full(len(heights), 0.93 * temperature)
        axes.plot(beside, heights, ".", color=style["color"], alpha=0.6)
    error_bars(axes, temperatures, values, style)
    labels = [("student\nwith KD", values[-1].mean(), style["color"])]
    if without_kd:
        mean = _level(axes, 100 * accuracies(without_kd), without_style)
        labels.append(("student\nwithout KD", mean, without_style["color"]))
    if teacher:
        mean = 100 * accuracies(teacher).mean()
        axes.axhline(mean, **teacher_style | {"marker": ""})
        labels.append(("teacher", mean, teacher_style["color"]))
    axes.set_xscale("log", base=2)
    axes.set_xticks(temperatures, labels=[f"{t:g}" for t in temperatures])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("Temperature T (log scale)")
    axes.set_ylabel(_accuracy_label(curve[temperatures[0]]))
    label_right(axes, labels)


def tuning_heatmap(
    axes: Axes,
    temperatures: Sequence[float],
    alphas: Sequence[float],
    accuracies: np.ndarray,
    chosen: tuple[float, float],
) -> None:
    """Mean validation accuracy of every cell of a grid search, the chosen cell framed.

    Args:
        axes: where to draw.
        temperatures: the columns.
        alphas: the rows, drawn upwards.
        accuracies: fractions `(len(alphas), len(temperatures))`; cells of NaN stay empty.
        chosen: temperature and alpha of the cell to frame.
    """
    _heatmap(
        axes,
        np.asarray(accuracies),
        columns=[f"{t:g}" for t in temperatures],
        rows=[f"{a:g}" for a in alphas],
        fmt=".2f",
        annot_kws={"color": "black"},
    )
    axes.invert_yaxis()
    corner = list(temperatures).index(chosen[0]), list(alphas).index(chosen[1])
    frame = Rectangle(corner, 1, 1, fill=False, edgecolor="black", linewidth=3, clip_on=False)
    # Black in white is seen on every colour of the map, on light pages and on dark ones.
    frame.set_path_effects([withStroke(linewidth=7, foreground="white")])
    axes.add_patch(frame)
    axes.set_xlabel("Temperature T")
    axes.set_ylabel("Weight of the distillation loss, $\\alpha$")
    axes.set_title("Validation accuracy (%), chosen cell framed", loc="left")


def paired_seeds(axes: Axes, groups: Mapping[str, Sequence]) -> None:
    """Accuracy of every seed in each group, joined by seed; mean and 95 % interval beside.

    Args:
        axes: where to draw.
        groups: the records of every group from left to right, with the same seeds.

    Raises:
        ValueError: the groups cannot be paired, see `kdutils.evaluation.pair`.
    """
    positions = np.arange(len(groups))
    for one, other in itertools.pairwise(groups.values()):
        pair(one, other)
    heights = np.array([100 * accuracies(records) for records in groups.values()])
    axes.plot(positions, heights, color=mpl.rcParams["text.color"], alpha=0.45, lw=1.5, marker="o")
    style = next(series_styles())
    for x, values in zip(positions, heights, strict=True):
        # The lines leave the first group to the right and come to the others from the left.
        side = -1 if x == 0 else 1
        error_bars(axes, [x + 0.12 * side], [values], style)
    ticks = [
        f"{label}\n{values.mean():.2f} %" for label, values in zip(groups, heights, strict=True)
    ]
    axes.set_xticks(positions, labels=ticks)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(_accuracy_label(records for group in groups.values() for records in group))


def learning_curves(axes: Axes, groups: Mapping[str, Sequence], quantity: str = "loss") -> None:
    """A quantity of the training history against the epoch: mean over seeds and their range.

    Args:
        axes: where to draw.
        groups: the records of every curve; the seeds of one group have as many epochs.
        quantity: key of the history, drawn on a log scale. Of an accuracy the error is drawn, in
            percent: near 100 % it is what tells accuracies apart.
    """
    is_accuracy = quantity.endswith("accuracy")
    labels = []
    for (label, records), style in zip(groups.items(), series_styles(), strict=False):
        values = np.array([record.history[quantity] for record in records])
        values = 100 * (1 - values) if is_accuracy else values
        epochs = np.arange(1, values.shape[1] + 1)
        every = -(-len(epochs) // 20)  # more markers than that would run together
        axes.plot(epochs, values.mean(axis=0), **style, markersize=5, markevery=every)
        axes.fill_between(
            epochs, values.min(axis=0), values.max(axis=0), color=style["color"], alpha=0.2, lw=0
        )
        labels.append((label, values[:, -1].mean(), style["color"]))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("Epoch")
    name = quantity.replace("val_", "validation ").replace("_", " ").capitalize()
    name = name.replace("nll", "NLL")
    name = name.replace("accuracy", "error").replace("Accuracy", "Training error")
    axes.set_yscale("log", subs=[])
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel(f"{name} ({'%, ' * is_accuracy}log scale)")
    label_right(axes, labels)


def interval_curves(
    axes: Axes,
    curves: Mapping[str, Mapping[float, Sequence[float]]],
    xlabel: str,
    ylabel: str,
    levels: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Any quantity against another, one curve a group: means over seeds with 95 % intervals.

    Args:
        axes: where to draw; a log scale is set by the caller, before or after.
        curves: for every group the values `(seeds,)` at every position.
        xlabel: what the positions are, with unit.
        ylabel: what the values are, with unit.
        levels: groups that do not depend on the position: a line at their mean, a band for its
            interval.
    """
    labels, styles = [], series_styles()
    for label, curve in curves.items():
        style = next(styles)
        positions = sorted(curve)
        groups = [np.asarray(curve[position], float) for position in positions]
        if min(len(values) for values in groups) > 1:
            error_bars(axes, positions, groups, style)
        else:
            axes.plot(positions, [values.mean() for values in groups], **style, markersize=7)
        labels.append((label, groups[-1].mean(), style["color"]))
    for label, values in (levels or {}).items():
        style = next(styles)
        labels.append((label, _level(axes, values, style), style["color"]))
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    label_right(axes, labels)


def soft_targets(
    figure: Figure, probabilities: Mapping[float, np.ndarray], classes: Sequence[str]
) -> None:
    """The teacher's softened output for one image at several temperatures, a panel for each.

    Args:
        figure: where to draw; its height is set.
        probabilities: the output `(classes,)` at every temperature.
        classes: names of the classes.
    """
    rows = (len(probabilities) + 1) // 2
    figure.set_figheight(0.4 + 2 * rows)
    figure.get_layout_engine().set(h_pad=0.1)
    panels = figure.subplots(rows, 2, sharey=True, squeeze=False).flat
    color = next(series_styles())["color"]
    for (temperature, values), axes in zip(sorted(probabilities.items()), panels, strict=False):
        axes.bar(range(len(classes)), values, color=color, linewidth=0)
        axes.set_xticks(range(len(classes)), labels=classes)
        top = int(np.argmax(values))
        axes.text(top, values[top], f"{values[top]:.2f}", ha="center", va="bottom")
        axes.set_title(f"T = {temperature:g}", loc="left")
        axes.set_ylim(0, 1.2)
        axes.set_yticks([0, 0.5, 1])
        axes.grid(visible=False)
    for axes in panels:
        axes.remove()
    figure.supxlabel("Class")
    figure.supylabel("Probability")


def dark_knowledge(
    figure: Figure,
    images: np.ndarray,
    labels: Sequence[int],
    probabilities: np.ndarray,
    classes: Sequence[str],
) -> None:
    """What a teacher gives to the wrong classes, a row for each image; all rows have one scale.

    Args:
        figure: where to draw; its height is set.
        images: `(N, H, W)` or `(N, H, W, 1)`, uint8.
        labels: positions of the right classes, whose bars are left out and whose values are
            written instead.
        probabilities: the teacher's softened output `(N, classes)`.
        classes: names of the classes.
    """
    figure.set_figheight(0.5 + 1.5 * len(images))
    figure.get_layout_engine().set(h_pad=0.08)
    grid = figure.add_gridspec(len(images), 2, width_ratios=[1, 4])
    color = next(series_styles())["color"]
    wrong = np.array(probabilities, dtype=float)
    right = wrong[np.arange(len(wrong)), labels]
    wrong[np.arange(len(wrong)), labels] = 0
    for row, (image, label) in enumerate(zip(images, labels, strict=True)):
        picture, axes = (figure.add_subplot(grid[row, column]) for column in (0, 1))
        picture.imshow(image, cmap="gray", vmin=0, vmax=255)
        picture.set(xticks=[], yticks=[])
        axes.bar(range(len(classes)), wrong[row], color=color, linewidth=0)
        for top in np.argsort(wrong[row])[-2:]:
            axes.text(top, wrong[row, top], f"{wrong[row, top]:.2f}", ha="center", va="bottom")
        axes.set_title(f"right class {classes[label]}: {right[row]:.2f}", loc="left")
        axes.set_xticks(range(len(classes)), labels=classes)
        axes.set_ylim(0, 1.25 * wrong.max())
        axes.yaxis.get_major_locator().set_params(nbins=3)
        axes.grid(visible=False, axis="x")
    figure.supylabel("Probability of the wrong classes")


def similarity(
    axes: Axes, probabilities: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> None:
    """Mean output of a model for the images of each class, the right class left empty.

    Args:
        axes: where to draw.
        probabilities: `(N, classes)`.
        labels: `(N,)` positions of the right classes; each occurs.
        classes: names of the classes.
    """
    means = np.stack([probabilities[labels == label].mean(axis=0) for label in range(len(classes))])
    _heatmap(
        axes,
        means,
        columns=classes,
        rows=classes,
        fmt=".1f",
        annot_kws={"color": "black", "size": 10},
        mask=np.eye(len(classes), dtype=bool),
    )
    axes.set_xlabel("Class")
    axes.set_ylabel("Label of the image")
    axes.set_title("Mean probability (%)", loc="left")


def subclass_use(axes: Axes, counts: np.ndarray, classes: Sequence[str]) -> None:
    """Where the images of each digit go, subclasses in the order that matches them with digits.

    Args:
        axes: where to draw.
        counts: `(digits, subclasses)`, see `kdutils.subclasses.use`.
        classes: names of the digits.
    """
    rows, columns = linear_sum_assignment(counts, maximize=True)
    ordered = counts[:, columns[np.argsort(rows)]]
    shares = ordered / ordered.sum(axis=1, keepdims=True)
    _heatmap(
        axes,
        shares,
        columns=[str(column + 1) for column in columns],
        rows=classes,
        fmt=".0f",
        annot_kws={"color": "black", "size": 10},
    )
    axes.set_xlabel("Subclass")
    axes.set_ylabel("Digit")
    axes.set_title("Test images (%)", loc="left")


def gradient_limit(
    figure: Figure,
    temperatures: Sequence[float],
    distances: Mapping[str, Sequence[float]],
    lengths: Mapping[str, Sequence[float]],
) -> None:
    """Gradients of the distillation loss against the temperature: two panels, log scales.

    Args:
        figure: where to draw; its height is set.
        temperatures: where the gradients were taken, ascending.
        distances: for every form of the loss, the relative distance to the limit.
        lengths: for the same forms, the mean length of the gradient.
    """
    figure.set_figheight(6.4)
    upper, lower = figure.subplots(2, 1, sharex=True)
    for axes, curves in ((upper, distances), (lower, lengths)):
        labels = []
        for (label, values), style in zip(curves.items(), series_styles(), strict=False):
            axes.plot(temperatures, values, **style, markersize=5)
            labels.append((label, values[-1], style["color"]))
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        ticks = temperatures[::2]
        axes.set_xticks(ticks, labels=[f"{t:g}" for t in ticks])
        axes.set_xticks([], minor=True)
        axes.set_yticks([], minor=True)
        label_right(axes, labels)
    upper.set_ylabel("Relative distance\nto the limit")
    lower.set_ylabel("Mean length\nof the gradient")
    lower.set_xlabel("Temperature T (log scale)")


def balance_curves(figure: Figure, groups: Mapping[float, Sequence]) -> None:
    """What the balance α does to a student: three panels, one over the other.

    Args:
        figure: where to draw; its height is set.
        groups: the records of every α, each with the same seeds. The accuracy's bars are the 95 %
            interval (Wilson) that the number of its images allows.
    """
    figure.set_figheight(7.5)
    alphas = sorted(groups)
    records = [groups[alpha] for alpha in alphas]
    count = records[0][0].metrics["count"]
    accuracy = np.array([accuracies(group).mean() for group in records])
    low, high = proportion_confint(accuracy * count, count, method="wilson")
    panels = figure.subplots(3, 1, sharex=True)
    styles = list(itertools.islice(series_styles(), 3))
    panels[0].errorbar(
        alphas, 100 * accuracy, yerr=100 * np.array([accuracy - low, high - accuracy]), **styles[0]
    )
    panels[0].set_ylabel(_accuracy_label(records[0]).replace(" accuracy", "\naccuracy"))
    names = {
        "nll": "Distance from the labels\n(train NLL, nats)",
        "teacher_kl": "Distance from the\nteacher (train KL, nats)",
    }
    for axes, style, (name, label) in zip(panels[1:], styles[1:], names.items(), strict=True):
        axes.plot(alphas, [np.mean([r.train[name] for r in group]) for group in records], **style)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(label)
    panels[-1].set_xticks(alphas, labels=[f"{alpha:g}" for alpha in alphas])
    panels[-1].set_xlabel("Weight of the distillation loss, $\\alpha$")


def intervals(figure: Figure, panels: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Several quantities of the same groups: mean with 95 % interval and single values beside.

    Args:
        figure: where to draw; its height is set.
        panels: for every quantity, named with its unit, the values of each group.
    """
    rows = max(len(groups) for groups in panels.values())
    figure.set_figheight(len(panels) * (0.9 + 0.36 * rows))
    figure.get_layout_engine().set(h_pad=0.1)
    for axes, (quantity, groups) in zip(
        figure.subplots(len(panels), 1, squeeze=False).flat, panels.items(), strict=True
    ):
        for row, ((_, values), style) in enumerate(
            zip(groups.items(), series_styles(), strict=False)
        ):
            interval = mean_interval(values)
            ends = [[interval.mean - interval.low], [interval.high - interval.mean]]
            axes.errorbar([interval.mean], [row], xerr=ends, **style, markersize=7)
            axes.plot(values, [row + 0.3] * len(values), ".", color=style["color"], alpha=0.6)
        axes.set_yticks(range(len(groups)), labels=list(groups))
        axes.set_ylim(len(groups) - 0.4, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_title(quantity, loc="left")


def bias_curves(
    figure: Figure,
    panels: Mapping[str, tuple[Sequence[float], Mapping[str, np.ndarray], float]],
) -> None:
    """Errors against what is added to some biases: mean over runs and their range.

    Args:
        figure: where to draw; its height is set.
        panels: under its title, for every student what was added, in logits; for each group of
            images the error rates `(runs, added)`, fractions; and the addition that was chosen.
    """
    figure.set_figheight(3.6 * len(panels))
    figure.get_layout_engine().set(h_pad=0.12)
    for axes, (title, (added, groups, chosen)) in zip(
        figure.subplots(len(panels), 1, squeeze=False).flat, panels.items(), strict=True
    ):
        labels = []
        for (label, rates), style in zip(groups.items(), series_styles(), strict=False):
            rates = 100 * np.asarray(rates)
            axes.plot(added, rates.mean(axis=0), **style | {"marker": ""})
            axes.fill_between(
                added, rates.min(axis=0), rates.max(axis=0), color=style["color"], alpha=0.2, lw=0
            )
            labels.append((label, rates[:, -1].mean(), style["color"]))
        axes.axvline(chosen, color=mpl.rcParams["text.color"], lw=1, ls=":")
        axes.set_ylim(bottom=0)
        axes.set_title(title, loc="left")
        axes.set_xlabel("Added to the bias (logits)")
        axes.set_ylabel("Test errors (%)")
        label_right(axes, labels)


def disagreements(
    figure: Figure,
    images: np.ndarray,
    labels: Sequence[str],
    first: Sequence[str],
    second: Sequence[str],
    names: tuple[str, str],
) -> None:
    """A grid of images with what two models take them for.

    Args:
        figure: where to draw; its height is set.
        images: `(N, H, W)`, `(N, H, W, 1)` or `(N, H, W, 3)`, uint8.
        labels: the true classes.
        first: the classes that the first model predicts.
        second: the classes that the second model predicts.
        names: short names of the two models.
    """
    columns = 4
    rows = -(-len(images) // columns)
    figure.set_figheight(2.45 * rows)
    figure.get_layout_engine().set(h_pad=0.1)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for image, label, *predicted, axes in zip(images, labels, first, second, panels, strict=False):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"label {label}")
        axes.set_xlabel(
            "\n".join(
                f"{name} {guess} {'✓' if guess == label else '✗'}"
                for name, guess in zip(names, predicted, strict=True)
            )
        )
        axes.set(xticks=[], yticks=[])
    for axes in panels:
        axes.remove()


def class_errors(
    axes: Axes, groups: Mapping[str, np.ndarray], classes: Sequence[str], ylabel: str
) -> None:
    """Errors class by class, side by side for each group: means over seeds with 95 % intervals.

    Args:
        axes: where to draw.
        groups: for every group the errors `(seeds, classes)`.
        classes: names of the classes.
        ylabel: what an error is counted in.
    """
    places = np.arange(len(classes))
    offsets = np.linspace(-0.15, 0.15, len(groups)) if len(groups) > 1 else [0]
    for (label, errors), offset, style in zip(
        groups.items(), offsets, series_styles(), strict=False
    ):
        style = style | {"linestyle": ""}
        if len(errors) > 1:
            error_bars(axes, places + offset, np.transpose(errors), style | {"label": label})
        else:
            axes.plot(places + offset, errors[0], **style, markersize=7, label=label)
    axes.set_xticks(places, labels=classes)
    axes.set_xlabel("True class")
    axes.set_ylabel(ylabel)
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")
    axes.figure.legend(loc="outside upper center", ncols=len(groups))


def live_comparison(
    axes: Axes, live: Mapping[str, object], published: Mapping[str, Sequence]
) -> None:
    """Runs made just now below the recorded ones and the range where 95 % of further runs fall.

    Args:
        axes: where to draw.
        live: the record of every run made just now.
        published: the recorded runs under the same names; one that is missing leaves the live
            run on its own.
    """
    color, live_color = (style["color"] for style in itertools.islice(series_styles(), 2))
    for row, (label, record) in enumerate(live.items()):
        if records := published.get(label):
            values = 100 * accuracies(records)
            interval = prediction_interval(values)
            ends = [interval.low, interval.high]
            axes.fill_between(
                ends, row - 0.1, row + 0.1, color=color, alpha=0.3, lw=0, label="expected (95 %)"
            )
            axes.plot(values, [row] * len(values), "o", color=color, label="recorded")
        below = row + 0.27  # rows run downwards
        axes.plot(
            100 * accuracies([record]), [below], "D", color=live_color, markersize=8, label="live"
        )
    axes.set_yticks(range(len(live)), labels=list(live))
    axes.set_ylim(len(live) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(_accuracy_label(live.values()))
    handles, names = axes.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    axes.figure.legend(unique.values(), unique.keys(), loc="outside upper center", ncols=3)


def reliability_diagram(
    axes: Axes, groups: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> None:
    """Accuracy against confidence, bin by bin, with 95 % Wilson intervals.

    Bins of fewer than `FEWEST` images are left out: their accuracy says next to nothing.

    Args:
        axes: where to draw.
        groups: what `kdutils.evaluation.reliability` returns, for every model.
    """
    axes.plot([0, 1], [0, 1], color=mpl.rcParams["text.color"], lw=1, ls=":", label="calibrated")
    for (label, bins), style in zip(groups.items(), series_styles(), strict=False):
        confidence, accuracy, count = (values[bins[2] >= FEWEST] for values in bins)
        low, high = proportion_confint(accuracy * count, count, method="wilson")
        axes.errorbar(
            confidence,
            accuracy,
            yerr=np.abs([low - accuracy, high - accuracy]),
            capsize=0,
            elinewidth=1,
            **style,
            label=label,
        )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    axes.set_xlabel("Mean confidence of the bin")
    axes.set_ylabel("Accuracy in the bin")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def architectures(figure: Figure, networks: Mapping[str, Sequence[tuple[str, str, int]]]) -> None:
    """Networks side by side, each a column of layers from the input down.

    Layers with parameters stand in a frame.

    Args:
        figure: where to draw; its height is set.
        networks: for every network its layers: what it does, the shape that comes out, and how many
            parameters it has.
    """
    most = max(len(layers) for layers in networks.values())
    figure.set_figheight(0.62 * most + 0.5)
    panels = figure.subplots(1, len(networks), squeeze=False)[0]
    colors = itertools.cycle(mpl.rcParams["axes.prop_cycle"].by_key()["color"])
    for axes, color, (name, layers) in zip(panels, colors, networks.items(), strict=False):
        axes.set(xlim=(0, 1), ylim=(-most + 0.4, 0.6))
        axes.axis("off")
        axes.set_title(name)
        reach = [0.43 if parameters else 0.2 for *_, parameters in layers]  # half a block's height
        for row in range(1, len(layers)):
            axes.annotate(
                "",
                (0.38, reach[row] - row),
                (0.38, 1 - row - reach[row - 1]),
                arrowprops={"arrowstyle": "-", "color": color, "lw": 1, "shrinkA": 0, "shrinkB": 0},
            )
        for row, (what, shape, parameters) in enumerate(layers):
            weighs = parameters > 0
            axes.annotate(
                what + (f"\n{parameters:,} parameters" if weighs else ""),
                (0.38, -row),
                ha="center",
                va="center",
                fontsize=11 if weighs else 10,
                bbox={"boxstyle": "round,pad=0.4", "facecolor": "none", "edgecolor": color}
                if weighs
                else None,
            )
            axes.annotate(shape, (1, -row), ha="right", va="center", fontsize=10)


def weight_use(axes: Axes, networks: Mapping[str, pd.DataFrame]) -> None:
    """Parameters and MACs of every layer with a kernel, and the uses of each of its weights.

    Dots rather than bars, because a log scale has no zero for bars to start from. On it the way
    from one dot of a layer to the other is the number of uses, which is written at its end.

    Args:
        axes: where to draw; the height of its figure is set.
        networks: what `kdutils.cost.count` returns, for every network from top to bottom.
    """
    parameters_style, macs_style = itertools.islice(series_styles(), 2)
    labels, places, rows = [], [], []
    for gap, (network, layers) in enumerate(networks.items()):
        kernels = layers[layers["uses"] > 0]
        macs = kernels["macs"].sum()
        uses = [*kernels["uses"], macs / (kernels["macs"] / kernels["uses"]).sum()]
        labels += [f"{network} {layer}" for layer in kernels["layer"]] + [f"{network}, all"]
        places += [len(rows) + gap / 2 + row for row in range(len(uses))]
        rows += zip(
            [*kernels["parameters"], layers["parameters"].sum()],
            [*kernels["macs"], macs],
            uses,
            strict=True,
        )
    axes.figure.set_figheight(0.9 + 0.37 * places[-1])
    for place, (parameters, macs, uses) in zip(places, rows, strict=True):
        axes.plot([parameters, macs], [place, place], color=mpl.rcParams["text.color"], lw=1.5)
        text = f"× {uses:,.0f}" if uses >= 100 else f"× {uses:.3g}"
        axes.annotate(text, (macs, place), (10, 0), textcoords="offset points", va="center")
    parameters, macs, _ = zip(*rows, strict=True)
    # Open and larger, so that the other still shows where both are the same.
    open_style = parameters_style | {"linestyle": "", "markersize": 11, "fillstyle": "none"}
    axes.plot(parameters, places, **open_style, markeredgewidth=2, label="parameters")
    axes.plot(macs, places, **macs_style | {"linestyle": ""}, label="MACs of an image")
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.set_yticks(places, labels=labels)
    for label in axes.get_yticklabels():
        if label.get_text().endswith(", all"):
            label.set_fontweight("bold")
    axes.set_ylim(places[-1] + 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Number (log scale)")
    axes.figure.legend(loc="outside upper center", ncols=2)


def call_times(axes: Axes, calls: pd.DataFrame) -> None:
    """Time of a call, median with quartiles, for every kind of call and network.

    Args:
        axes: where to draw.
        calls: a row for every `network`, number of `images` and of `threads`, with the quartiles
            `low`, `median` and `high` in seconds.
    """
    kinds = sorted(set(zip(calls["images"], calls["threads"], strict=True)))
    networks = list(dict.fromkeys(calls["network"]))
    for place, (network, style) in enumerate(zip(networks, series_styles(), strict=False)):
        own = calls[calls["network"] == network]
        median = 1000 * own["median"].to_numpy()
        ends = np.abs(1000 * own[["low", "high"]].to_numpy().T - median)
        rows = [kinds.index(kind) for kind in zip(own["images"], own["threads"], strict=True)]
        beside = np.array(rows) + 0.2 * (place - (len(networks) - 1) / 2)
        plain = style | {"linestyle": ""}
        axes.errorbar(median, beside, xerr=ends, **plain, markersize=7, label=network)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(
        range(len(kinds)),
        labels=[
            f"{images} image{'s' * (images > 1)}\n{threads} thread{'s' * (threads > 1)}"
            for images, threads in kinds
        ],
    )
    axes.set_ylim(len(kinds) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("Milliseconds a call (log scale)")
    axes.figure.legend(loc="outside upper center", ncols=len(networks))


def explanation_grid(
    figure: Figure,
    images: np.ndarray,
    rows: Sequence[str],
    columns: Mapping[str, tuple[np.ndarray, Sequence[str]]],
) -> None:
    """Maps of what speaks for a class and what against it, under the outline of each digit.

    Every map has a scale of its own, symmetric about zero. The colours are cividis: light speaks
    for the class, dark against it, and what lies between is grey, so lightness alone tells them
    apart, on light pages, on dark ones and without colours.

    Args:
        figure: where to draw; its height is set.
        images: `(N, H, W, 1)`, uint8.
        rows: what each image is, beside it.
        columns: for every column its maps `(N, H, W)` and what stands below each.
    """
    figure.set_figheight(1.43 * len(images) + 1)
    grid, bar = figure.subfigures(2, 1, height_ratios=[1.43 * len(images) + 0.3, 0.7])
    panels = grid.subplots(len(images), len(columns) + 1, squeeze=False)
    for axes, image, row in zip(panels[:, 0], images, rows, strict=True):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_xlabel(row)
    for index, (name, (maps, notes)) in enumerate(columns.items(), start=1):
        panels[0, index].set_title(name)
        for axes, image, values, note in zip(panels[:, index], images, maps, notes, strict=True):
            limit = np.abs(values).max() or 1
            shown = axes.imshow(values, cmap="cividis", vmin=-limit, vmax=limit)
            axes.contour(image[..., 0], [127], colors="black", linewidths=1)
            axes.set_xlabel(note)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
    signed_scale(bar, shown, ["against the class", "nothing", "for the class"])


def signed_scale(figure: Figure, shown: AxesImage, words: Sequence[str]) -> None:
    """A bar that tells what the colours of a map about zero mean.

    Args:
        figure: where to draw, and nothing else there.
        shown: a map whose scale is symmetric about zero.
        words: for the lowest value, for zero and for the highest.
    """
    limit = shown.norm.vmax
    ticks = [-limit, 0, limit]
    scale = figure.colorbar(shown, cax=figure.subplots(), orientation="horizontal", ticks=ticks)
    low, _, high = scale.ax.set_xticklabels(words)
    low.set_ha("left")
    high.set_ha("right")
    scale.outline.set_visible(False)


def deletion_insertion(
    figure: Figure,
    fractions: Sequence[float],
    curves: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
) -> None:
    """Probability of the predicted class while ink is deleted or inserted, most important first.

    Args:
        figure: where to draw; its height is set.
        fractions: of the ink, 0 to 1.
        curves: for every model, for every order, the curves `deletion` and `insertion`.
    """
    figure.set_figheight(2 * len(curves) + 1.4)
    panels = figure.subplots(len(curves), 2, sharex=True, sharey=True, squeeze=False)
    orders = list(dict.fromkeys(order for model in curves.values() for order in model))
    styles = dict(zip(orders, series_styles(), strict=False))
    for row, (model, measured) in zip(panels, curves.items(), strict=True):
        for axes, name in zip(row, ("deletion", "insertion"), strict=True):
            for order, both in measured.items():
                axes.plot(fractions, both[name], **styles[order], markevery=4, label=order)
            axes.set_title(f"{model}: {name}", loc="left")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    figure.supxlabel("Fraction of the ink that is deleted, or inserted into black")
    figure.supylabel("Probability of the class")
    handles = {line.get_label(): line for panel in panels.flat for line in panel.lines}
    figure.legend([handles[each] for each in orders], orders, loc="outside upper center", ncols=2)


def rank_correlations(figure: Figure, groups: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Rank correlation with the teacher's maps: every seed, mean and 95 % interval.

    Args:
        figure: where to draw.
        groups: for every method, for every model from top to bottom, one value a seed.
    """
    panels = figure.subplots(1, len(groups), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (method, models) in zip(panels, groups.items(), strict=True):
        axes.axvline(0, color=mpl.rcParams["text.color"], lw=1)
        for row, (values, style) in enumerate(zip(models.values(), series_styles(), strict=False)):
            interval = mean_interval(values)
            axes.plot(values, [row + 0.2] * len(values), ".", color=style["color"], alpha=0.6)
            axes.errorbar(
                interval.mean,
                row,
                xerr=[[interval.mean - interval.low], [interval.high - interval.mean]],
                **style,
            )
        axes.set_title(method, loc="left")
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(models)), labels=list(models))
    panels[0].set_ylim(len(models) - 0.5, -0.5)
    figure.supxlabel("Rank correlation with the teacher's map")


def ranking(
    figure: Figure, groups: Mapping[str, Sequence], reference: str, floor: Sequence
) -> None:
    """Methods ranked by accuracy: accuracy on the left, difference to one of them on the right.

    Args:
        figure: where to draw.
        groups: the records of every method, with the same seeds.
        reference: the method that all others are held against.
        floor: records of training on labels alone, a line on both sides.

    Raises:
        ValueError: the groups cannot be paired, see `kdutils.evaluation.pair`.
    """
    figure.set_figheight(1.6 + 0.36 * len(groups))
    left, right = figure.subplots(1, 2, sharey=True)
    ranked = sorted(groups, key=lambda name: -accuracies(groups[name]).mean())
    style, line = itertools.islice(series_styles(), 2)
    line = {"color": line["color"], "linestyle": line["linestyle"]}
    dots = style | {"linestyle": "", "markersize": 6}
    for row, name in enumerate(ranked):
        mean = mean_interval(100 * accuracies(groups[name]))
        ends = [[mean.mean - mean.low], [mean.high - mean.mean]]
        left.errorbar(mean.mean, row, xerr=ends, **dots)
        if name != reference:
            change = compare(groups[name], groups[reference])
            ends = [[change.difference - change.low], [change.high - change.difference]]
            right.errorbar(100 * change.difference, row, xerr=100 * np.array(ends), **dots)
    left.axvline(100 * accuracies(floor).mean(), **line)
    right.axvline(100 * compare(floor, groups[reference]).difference, **line)
    right.axvline(0, color=mpl.rcParams["text.color"], lw=1)
    left.set_yticks(range(len(ranked)), labels=ranked)
    left.set_ylim(len(ranked) - 0.5, -0.5)
    left.set_xlabel(_accuracy_label(floor))
    right.set_xlabel(f"Points above {reference}")


def _png(draw, theme):
    parameters = sns.axes_style("whitegrid") | {
        "axes.edgecolor": theme["grid"],
        "axes.labelcolor": theme["text"],
        "axes.prop_cycle": mpl.cycler(color=theme["series"].split()),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": "medium",
        "figure.labelsize": "medium",
        "legend.frameon": False,
        "errorbar.capsize": 5,
        "font.size": 12,  # 16 pixels at full width, 9 on a phone
        "grid.color": theme["grid"],
        "lines.linewidth": 2,
        "text.color": theme["text"],
        "xtick.color": theme["text"],
        "ytick.color": theme["text"],
    }
    file = io.BytesIO()
    with mpl.style.context(["default", parameters]):
        figure = Figure((WIDTH / 96, HEIGHT / 96), dpi=96, layout="constrained")
        FigureCanvasAgg(figure)  # pyplot is left out, so no window and no figure stays open
        draw(figure)
        figure.savefig(file, format="png", dpi=2 * 96, transparent=True)
    return file.getvalue()


def series_styles():
    """Colour, marker and line style of one series after the other, without end."""
    colors = mpl.rcParams["axes.prop_cycle"].by_key()["color"]
    for color, marker, line in itertools.cycle(zip(colors, MARKERS, LINES, strict=False)):
        yield {"color": color, "marker": marker, "linestyle": line}


def _accuracy_label(records):
    parts = {record.part.capitalize() for record in records}
    return f"{' / '.join(sorted(parts))} accuracy (%)"


def error_bars(axes, positions, groups, style):
    """Draws the mean of each group of values at its position, with the 95 % interval."""
    intervals = [mean_interval(values) for values in groups]
    means = [interval.mean for interval in intervals]
    ends = [[i.mean - i.low, i.high - i.mean] for i in intervals]
    axes.errorbar(positions, means, yerr=np.transpose(ends), **style, markersize=7)


def _level(axes, values, style):
    """Draws a line at the mean of values and a band for its interval, and returns the mean."""
    interval = mean_interval(values)
    if interval.count > 1:
        axes.axhspan(interval.low, interval.high, color=style["color"], alpha=0.2, lw=0)
    axes.axhline(interval.mean, **style | {"marker": ""})
    return interval.mean


def _heatmap(axes, fractions, columns, rows, **options):
    """Draws fractions in percent, written into cells that are light throughout."""
    sns.heatmap(
        100 * fractions,
        ax=axes,
        annot=True,
        cmap=sns.light_palette("#3f93dc", as_cmap=True),
        cbar=False,
        xticklabels=columns,
        yticklabels=rows,
        **options,
    )
    axes.grid(visible=False)
    axes.tick_params(axis="y", rotation=0)


def label_right(axes, labels):
    """Writes `(label, height, colour)` beside the right end, moved apart where they overlap."""
    axes.set_ylim(axes.get_ylim())
    axes.figure.draw_without_rendering()  # lays out, so that the height of the axes is known
    box = axes.get_window_extent()
    line = 1.2 * mpl.rcParams["font.size"] / 72 * axes.figure.dpi / box.height
    labels = sorted(labels, key=lambda label: label[1])
    places = axes.transAxes.inverted().transform(
        axes.transData.transform([(axes.get_xlim()[1], height) for _, height, _ in labels])
    )[:, 1]
    sizes = [line * (label.count("\n") + 1.25) for label, *_ in labels]
    for _ in range(100):
        for i in range(len(labels) - 1):
            overlap = (sizes[i] + sizes[i + 1]) / 2 - (places[i + 1] - places[i])
            if overlap > 0:
                places[i] -= overlap / 2
                places[i + 1] += overlap / 2
    for place, (label, _, color) in zip(places, labels, strict=True):
        axes.text(1.02, place, label, color=color, va="center", transform=axes.transAxes)
