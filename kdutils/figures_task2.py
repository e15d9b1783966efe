"""Figures of two-class tasks: scores, folds, and choices made on validation images.

Each draws on the empty figure it is given, so that it goes straight to `kdutils.figures.themed`:

    themed(lambda figure: roc_bands(figure, curves), alt="ROC curves of teacher and students")

Conventions, palette and theme are those of `kdutils.figures`.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn import metrics

from kdutils.evaluation import mean_interval
from kdutils.figures import (
    error_bars,
    label_right,
    reliability_diagram,
    series_styles,
    signed_scale,
)
from kdutils.folds import over_folds

RATES = np.linspace(0, 1, 201)


def roc_bands(figure: Figure, curves: Mapping[str, Iterable[tuple]]) -> None:
    """ROC curves averaged over folds, with the range over folds as a band.

    Averaged vertically: the mean sensitivity at every false-positive rate. The mean of the AUCs of
    all folds stands beside each name.

    Args:
        figure: where to draw; its height is set.
        curves: for every model the scores `(N,)` and the labels `(N,)`, 0 or 1, of each fold.
    """
    axes = _square(figure)
    axes.plot([0, 1], [0, 1], color=mpl.rcParams["text.color"], lw=1, ls=":", label="chance")
    for (name, folds), style in zip(curves.items(), series_styles(), strict=False):
        sensitivities, areas = [], []
        for scores, labels in folds:
            false, true, _ = metrics.roc_curve(labels, scores)
            sensitivities.append(np.interp(RATES, false, true))
            areas.append(metrics.auc(false, true))
        _band(axes, sensitivities, style, f"{name}\nAUC {np.mean(areas):.3f}", start=0)
    axes.set_xlabel("False-positive rate (1 − specificity)")
    axes.set_ylabel("Sensitivity")
    _legend(axes)


def precision_recall_bands(figure: Figure, curves: Mapping[str, Iterable[tuple]]) -> None:
    """Precision against recall, averaged over folds, with the range over folds as a band.

    The precision at a recall is that of the highest threshold that reaches it, without a straight
    line between points; average precision sums the same steps, and its mean over folds stands
    beside each name. A line shows the prevalence: the precision of chance.

    Args:
        figure: where to draw; its height is set.
        curves: for every model the scores `(N,)` and the labels `(N,)`, 0 or 1, of each fold.
    """
    axes = _square(figure)
    prevalences = []
    for (name, folds), style in zip(curves.items(), series_styles(), strict=False):
        precisions, averages = [], []
        for scores, labels in folds:
            # From the highest threshold down; the first point, of no image at all, is a convention.
            precision, recall, _ = metrics.precision_recall_curve(labels, scores)
            precision, recall = precision[-2::-1], recall[-2::-1]
            precisions.append(precision[np.searchsorted(recall, RATES)])
            averages.append(metrics.average_precision_score(labels, scores))
            prevalences.append(np.mean(labels))
        _band(axes, precisions, style, f"{name}\nAP {np.mean(averages):.3f}")
    prevalence = np.mean(prevalences)
    axes.axhline(
        prevalence,
        color=mpl.rcParams["text.color"],
        lw=1,
        ls=":",
        label=f"chance\n(prevalence {prevalence:.2f})",
    )
    axes.set_xlabel("Recall (sensitivity)")
    axes.set_ylabel("Precision")
    _legend(axes)


def confusion_matrices(
    figure: Figure, matrices: Mapping[str, np.ndarray], classes: Sequence[str]
) -> None:
    """Confusion matrices side by side: shares of each true class, and numbers of images below.

    Args:
        figure: where to draw; its height is set.
        matrices: for every model the numbers `(classes, classes)`, true classes in rows.
        classes: names of the classes.
    """
    rows = -(-len(matrices) // 3)
    columns = -(-len(matrices) // rows)
    figure.set_figheight(0.6 + 2.5 * rows)
    figure.get_layout_engine().set(h_pad=0.1)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(matrices) :]:
        axes.remove()
    for index, (name, counts) in enumerate(matrices.items()):
        axes = panels.flat[index]
        counts = np.asarray(counts)
        shares = counts / counts.sum(axis=1, keepdims=True)
        words = [
            [f"{100 * share:.0f} %\n{count}" for share, count in zip(*pair, strict=True)]
            for pair in zip(shares, counts, strict=True)
        ]
        sns.heatmap(
            shares,
            ax=axes,
            annot=words,
            fmt="",
            annot_kws={"color": "black"},
            vmin=0,
            vmax=1,
            cmap=sns.light_palette("#3f93dc", as_cmap=True),
            cbar=False,
            square=True,
            xticklabels=classes,
            yticklabels=classes if index % columns == 0 else False,
        )
        axes.tick_params(axis="y", rotation=90)
        axes.set_title(name)
    figure.supxlabel("Predicted class")
    figure.supylabel("True class")


def reliability(
    figure: Figure,
    by_name: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    positive: str,
) -> None:
    """Probability of the positive class against its share, and where the probabilities lie.

    Shares carry 95 % Wilson intervals; bins of fewer than
    `kdutils.figures.FEWEST` images are left out of the upper panel.

    Args:
        figure: where to draw; its height is set.
        by_name: what `kdutils.operating.reliability` returns, for every model.
        positive: name of the positive class.
    """
    figure.set_figheight(6.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    reliability_diagram(upper, by_name)
    upper.get_legend().remove()
    upper.set_aspect("auto")
    upper.set_xlabel("")
    upper.set_ylabel(f"Share of {positive}")
    for (_, _, counts), style in zip(by_name.values(), series_styles(), strict=False):
        lower.stairs(
            100 * counts / counts.sum(),
            np.linspace(0, 1, len(counts) + 1),
            baseline=None,
            color=style["color"],
            linestyle=style["linestyle"],
            lw=2,
        )
    lower.set_ylim(bottom=0)
    lower.set_ylabel("Images (%)")
    lower.set_xlabel(f"Predicted probability of {positive}")
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper center", ncols=2)


def fold_intervals(
    figure: Figure,
    groups: Mapping[str, Sequence],
    test_images,
    train_images,
    label: str = "Test ROC-AUC",
) -> None:
    """Every fold of each group as a dot, and the mean with the interval corrected for folds.

    A faint line joins the dots of one fold, so that it shows which differences hold in every fold.

    Args:
        figure: where to draw; its height is set.
        groups: from top to bottom, values as `kdutils.folds.over_folds` takes them, with the same
            folds in every group. With one fold the dots are its seeds.
        test_images: as `kdutils.folds.over_folds` takes them.
        train_images: as `kdutils.folds.over_folds` takes them.
        label: what the values are.
    """
    figure.set_figheight(1.1 + 0.62 * len(groups))
    axes = figure.subplots()
    rows = np.arange(len(groups))
    units = np.array([_dots(values) for values in groups.values()])
    axes.plot(units, rows + 0.22, color=mpl.rcParams["text.color"], alpha=0.25, lw=1)
    for row, (values, style) in enumerate(zip(groups.values(), series_styles(), strict=False)):
        interval = over_folds(values, test_images, train_images)
        ends = [[interval.mean - interval.low], [interval.high - interval.mean]]
        axes.plot(units[row], [row + 0.22] * units.shape[1], "o", color=style["color"], ms=5)
        axes.errorbar([interval.mean], [row - 0.12], xerr=ends, **style, markersize=8)
    axes.set_yticks(rows, labels=list(groups))
    axes.set_ylim(len(groups) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(label)


def interaction_2x2(
    figure: Figure,
    cells: Mapping[tuple[bool, bool], Sequence],
    test_images,
    train_images,
    label: str = "Test ROC-AUC",
) -> None:
    """What pre-training and distillation do together: parallel lines are no interaction.

    Args:
        figure: where to draw.
        cells: values under (pre-trained, distilled), see `kdutils.folds.effects`; small dots are
            folds, or the seeds of one fold.
        test_images: as `kdutils.folds.over_folds` takes them.
        train_images: as `kdutils.folds.over_folds` takes them.
        label: what the values are.
    """
    axes = figure.subplots()
    labels = []
    for distilled, shift, style in zip((False, True), (-0.03, 0.03), series_styles(), strict=False):
        places = np.array([0, 1]) + shift
        groups = [cells[pretrained, distilled] for pretrained in (False, True)]
        intervals = [over_folds(values, test_images, train_images) for values in groups]
        means = [interval.mean for interval in intervals]
        ends = [[each.mean - each.low, each.high - each.mean] for each in intervals]
        axes.errorbar(places, means, yerr=np.transpose(ends), **style, markersize=8)
        for place, values in zip(places, groups, strict=True):
            dots = _dots(values)
            axes.plot([place + 3 * shift] * len(dots), dots, ".", color=style["color"], alpha=0.7)
        labels.append(("with KD" if distilled else "without KD", means[1], style["color"]))
    axes.set_xticks([0, 1], labels=["random weights", "pre-trained weights"])
    axes.set_xlim(-0.3, 1.3)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("Student starts from")
    axes.set_ylabel(label)
    label_right(axes, labels)


def choice_curves(
    figure: Figure, tried: Mapping[float, Sequence[float]], chosen: Sequence[float], label: str
) -> None:
    """Validation AUC of every value tried, a faint line a fold and the mean in bold.

    Values stand evenly spaced, in order. A ring marks what each fold chose, on its own line.

    Args:
        figure: where to draw.
        tried: for every value tried the AUCs `(folds,)`.
        chosen: the value that each fold chose; the same one for all where they chose together.
        label: what was tried, such as "Temperature T".
    """
    axes = figure.subplots()
    values = sorted(tried)
    heights = np.array([tried[value] for value in values])
    line, ring = itertools.islice(series_styles(), 2)
    faint = {"color": mpl.rcParams["text.color"], "alpha": 0.35, "lw": 1.2}
    axes.plot(heights, marker=".", **faint)
    axes.plot([], [], marker=".", **faint, label="a fold")
    axes.plot(heights.mean(axis=1), **line | {"lw": 3}, markersize=7, label="mean over folds")
    axes.plot(
        [values.index(value) for value in chosen],
        [tried[value][fold] for fold, value in enumerate(chosen)],
        linestyle="",
        marker="o",
        markersize=13,
        markeredgewidth=2,
        markeredgecolor=ring["color"],
        fillstyle="none",
        label="chosen",
    )
    axes.set_xticks(range(len(values)), labels=[f"{value:g}" for value in values])
    axes.set_xlabel(f"{label} (values tried)")
    axes.set_ylabel("Validation ROC-AUC")
    figure.legend(loc="outside upper center", ncols=3)


def courses(
    figure: Figure, panels: Mapping[str, Mapping[str, Sequence]], boundary: int | None = None
) -> None:
    """Quantities of the training by epoch, a panel each: means over trainings and their range.

    Args:
        figure: where to draw; its height is set.
        panels: under the label of its axis, for every curve the values `(trainings, epochs)`.
            Curves of one name are drawn alike in all panels; those of a panel may differ in their
            number of epochs.
        boundary: the last epoch of a first phase, which a line marks.
    """
    figure.set_figheight(1.1 + 2.9 * len(panels))
    names = dict.fromkeys(name for curves in panels.values() for name in curves)
    styles = dict(zip(names, series_styles(), strict=False))
    for axes, (label, curves) in zip(
        figure.subplots(len(panels), sharex=True, squeeze=False).flat, panels.items(), strict=True
    ):
        for name, values in curves.items():
            values, style = np.asarray(values, float), styles[name]
            epochs = np.arange(1, values.shape[1] + 1)
            low, high = values.min(axis=0), values.max(axis=0)
            every = -(-len(epochs) // 20)  # more markers than that would run together
            axes.fill_between(epochs, low, high, color=style["color"], alpha=0.15, lw=0)
            axes.plot(epochs, values.mean(axis=0), **style, markersize=5, markevery=every)
        if boundary is not None:
            axes.axvline(boundary + 0.5, color=mpl.rcParams["text.color"], lw=1, ls=":")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel(label)
    axes.set_xlabel("Epoch")
    lines = [mpl.lines.Line2D([], [], **styles[name], markersize=5) for name in names]
    figure.legend(lines, list(names), loc="outside upper center", ncols=2)


def fold_curve(
    axes: Axes,
    curve: Mapping[float, Sequence],
    levels: Mapping[str, Sequence],
    test_images,
    train_images,
    xlabel: str,
    ylabel: str = "Test ROC-AUC",
    name: str = "",
) -> None:
    """A quantity against a setting: folds faint, their mean with the interval corrected for folds.

    Args:
        axes: where to draw; a log scale is set by the caller, before.
        curve: at every setting, values as `kdutils.folds.over_folds` takes them; of one fold
            alone its seeds are drawn.
        levels: values of what does not depend on the setting, by name: a line at their mean.
        test_images: as `kdutils.folds.over_folds` takes them.
        train_images: as `kdutils.folds.over_folds` takes them.
        xlabel: what the settings are.
        ylabel: what the values are, with unit.
        name: of the curve, at its right end.
    """
    styles = series_styles()
    style = next(styles)
    settings = sorted(curve)
    dots = np.array([_dots(curve[setting]) for setting in settings])
    axes.plot(settings, dots, color=style["color"], alpha=0.4, lw=1, marker=".")
    intervals = [over_folds(curve[setting], test_images, train_images) for setting in settings]
    means = [interval.mean for interval in intervals]
    ends = [[each.mean - each.low, each.high - each.mean] for each in intervals]
    axes.errorbar(settings, means, yerr=np.transpose(ends), **style, markersize=7)
    labels = [(name, means[-1], style["color"])] if name else []
    for label, values in levels.items():
        style = next(styles)
        mean = over_folds(values, test_images, train_images).mean
        axes.axhline(mean, **style | {"marker": ""})
        labels.append((label, mean, style["color"]))
    axes.set_xticks(settings, labels=[f"{setting:g}" for setting in settings])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if labels:
        label_right(axes, labels)


def tile_maps(
    figure: Figure,
    images: np.ndarray | None,
    rows: Sequence[str],
    columns: Mapping[str, tuple[np.ndarray, Sequence[str]]],
    classes: Sequence[str],
) -> None:
    """Maps of what speaks for either class, cell by cell, beside the tiles or without them.

    Colours are cividis, as in `kdutils.figures.explanation_grid`, with one scale a column.

    Args:
        figure: where to draw; its height is set.
        images: `(N, H, W, 3)`, uint8; without them the maps stand alone.
        rows: what each tile is, beside it.
        columns: for every column its maps `(N, h, w)` and what stands below each.
        classes: names of the class that values below zero speak for, and of the other.
    """
    height = 1.62 * len(rows)
    figure.set_figheight(height + 1)
    grid, bar = figure.subfigures(2, 1, height_ratios=[height + 0.3, 0.7])
    width = len(columns) + (images is not None)
    panels = grid.subplots(len(rows), width, squeeze=False)
    for axes, row in zip(panels[:, 0], rows, strict=True):
        axes.set_ylabel(row)
    if images is not None:
        for axes, image in zip(panels[:, 0], images, strict=True):
            axes.imshow(image)
    for axes_of, (name, (maps, notes)) in zip(
        panels[:, width - len(columns) :].T, columns.items(), strict=True
    ):
        limit = np.abs(maps).max() or 1
        axes_of[0].set_title(name)
        for axes, values, note in zip(axes_of, maps, notes, strict=True):
            shown = axes.imshow(values, cmap="cividis", vmin=-limit, vmax=limit)
            axes.set_xlabel(note)
    for axes in panels.flat:
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
    signed_scale(bar, shown, [f"for {classes[0]}", "nothing", f"for {classes[1]}"])


def cell_deletion(
    figure: Figure,
    fractions: Sequence[float],
    curves: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]],
) -> None:
    """Log-odds of the predicted class while cells are blurred, in several orders.

    Args:
        figure: where to draw; its height is set.
        fractions: of the cells, 0 to 1.
        curves: for every model, in rows, for every layer, in columns, the curve of each order.
    """
    figure.set_figheight(2 * len(curves) + 1.2)
    wide = max(len(layers) for layers in curves.values())
    panels = figure.subplots(len(curves), wide, sharex=True, sharey="row", squeeze=False)
    for row, (model, layers) in zip(panels, curves.items(), strict=True):
        row[0].set_ylabel(model)
        for axes, (layer, orders) in zip(row, layers.items(), strict=True):
            for (order, heights), style in zip(orders.items(), series_styles(), strict=False):
                axes.plot(fractions, heights, **style, markersize=5, label=order)
            if model == next(iter(curves)):
                axes.set_title(layer, loc="left")
    panels[0, 0].set(xlim=(-0.02, 1.02), xticks=[0, 0.25, 0.5, 0.75, 1])
    panels[0, 0].xaxis.set_major_formatter("{x:g}")
    figure.supxlabel("Fraction of the cells that are blurred")
    figure.supylabel("Log-odds of the predicted class")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3)


def estimates(
    figure: Figure, panels: Mapping[str, Mapping[str, Sequence[float]]], label: str
) -> None:
    """Values that were estimated elsewhere, each with its interval, beside a line at zero.

    Args:
        figure: where to draw; its height is set.
        panels: for every panel, for every row from top to bottom, the value and the ends of its
            interval, NaN where it has none. The rows are those of the first panel.
        label: what the values are.
    """
    rows = list(next(iter(panels.values())))
    figure.set_figheight(1.5 + 0.5 * len(rows))
    drawn = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (panel, values) in zip(drawn, panels.items(), strict=True):
        axes.axvline(0, color=mpl.rcParams["text.color"], lw=1)
        for name, style in zip(rows, series_styles(), strict=False):
            if name not in values:
                continue
            value, low, high = values[name]
            ends = np.nan_to_num([[value - low], [high - value]])
            axes.errorbar([value], [rows.index(name)], xerr=ends, **style, markersize=8)
        axes.set_title(panel, loc="left")
        axes.grid(visible=False, axis="y")
    drawn[0].set_yticks(range(len(rows)), labels=rows)
    drawn[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.supxlabel(label)


def images_with_scores(figure: Figure, images: np.ndarray, titles: Sequence[str]) -> None:
    """A grid of images, each under what is said of it, such as label and predictions.

    Args:
        figure: where to draw; its height is set.
        images: `(N, H, W, 3)`, uint8.
        titles: one for each image; lines of more than 18 characters make the grid narrower.
    """
    longest = max(len(line) for title in titles for line in title.split("\n"))
    columns = int(np.clip(72 // longest, 1, 4))
    rows = -(-len(images) // columns)
    lines = max(title.count("\n") + 1 for title in titles)
    figure.set_figheight(rows * (6.2 / columns + 0.22 * lines))
    figure.get_layout_engine().set(h_pad=0.06)
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for image, title, axes in zip(images, titles, panels, strict=False):
        axes.imshow(image)
        axes.set_title(title, fontsize=10.5)
        axes.set(xticks=[], yticks=[])
    for axes in panels:
        axes.remove()


def by_agreement(
    figure: Figure,
    groups: Mapping[str, Mapping[int, Sequence[float]]],
    images: Mapping[int, int],
    annotators: int,
    label: str,
) -> None:
    """A quantity against how many annotators agreed on the label: means over seeds, 95 % intervals.

    Args:
        figure: where to draw.
        groups: for every model the values `(seeds,)` at each number of agreeing annotators.
        images: number of images at each of these numbers.
        annotators: how many there are.
        label: what the values are, with unit.
    """
    axes = figure.subplots()
    levels = sorted(images)
    places = np.arange(len(levels))
    offsets = np.linspace(-0.12, 0.12, len(groups)) if len(groups) > 1 else [0]
    for (name, curve), offset, style in zip(groups.items(), offsets, series_styles(), strict=False):
        values = [np.asarray(curve[level], float) for level in levels]
        if min(len(each) for each in values) > 1:
            error_bars(axes, places + offset, values, style | {"label": name})
        else:
            means = [mean_interval(each).mean for each in values]
            axes.plot(places + offset, means, **style, markersize=7, label=name)
    axes.set_xticks(
        places, labels=[f"{level} of {annotators}\n{images[level]} images" for level in levels]
    )
    axes.set_xlim(-0.4, len(levels) - 0.6)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("Annotators who agree with the label")
    axes.set_ylabel(label)
    figure.legend(loc="outside upper center", ncols=3)


def slides_and_folds(
    figure: Figure,
    tiles: Mapping[str, Sequence[int]],
    folds: Sequence,
) -> None:
    """Tiles of each class on every slide, and below what each fold does with the slide.

    Slides stand in the order of the folds that test them.

    Args:
        figure: where to draw; its height is set.
        tiles: for every class how many tiles each slide has, from slide 1.
        folds: `kdutils.data.slides.Fold`, each slide tested by one of them.
    """
    figure.set_figheight(2.6 + 0.42 * len(folds))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.9, 0.34 * len(folds)])
    slides = [slide for fold in folds for slide in fold.test]
    places = np.arange(len(slides))
    width = 0.8 / len(tiles)
    for number, ((name, counts), style) in enumerate(
        zip(tiles.items(), series_styles(), strict=False)
    ):
        upper.bar(
            places + (number - (len(tiles) - 1) / 2) * width,
            [counts[slide - 1] for slide in slides],
            width,
            color=style["color"],
            linewidth=0,
            label=name,
        )
    upper.set_ylabel("Tiles")
    upper.grid(visible=False, axis="x")
    figure.legend(loc="outside upper center", ncols=len(tiles))
    test, held_out = itertools.islice(series_styles(), 2, 4)
    for row, fold in enumerate(folds):
        for column, slide in enumerate(slides):
            for word, color, chosen in (
                ("test", test["color"], slide in fold.test),
                ("held", held_out["color"], slide == fold.validation),
            ):
                if chosen:
                    lower.axvspan(
                        column - 0.5,
                        column + 0.5,
                        1 - (row + 1) / len(folds),
                        1 - row / len(folds),
                        color=color,
                        alpha=0.3,
                        lw=0,
                    )
                    lower.text(column, row, word, ha="center", va="center", fontsize=11)
    lower.set_yticks(range(len(folds)), labels=[f"fold {row}" for row in range(len(folds))])
    lower.set_ylim(len(folds) - 0.5, -0.5)
    lower.set_xticks(places, labels=slides)
    lower.set_xlim(-0.5, len(slides) - 0.5)
    lower.grid(visible=False)
    lower.set_xlabel("Slide")


def vote_counts(
    figure: Figure, parts: Mapping[str, Sequence[int]], majority: int, classes: Sequence[str]
) -> None:
    """How many images have so many votes for the positive class, a panel for each part.

    Heights are shares of the part, so that parts compare; the numbers above are of images.

    Args:
        figure: where to draw; its height is set.
        parts: for every part how many images have 0, 1, … votes.
        majority: from so many votes on an image is of the positive class.
        classes: names of the other class and of the positive one.
    """
    figure.set_figheight(3.4)
    panels = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    for (name, counts), axes in zip(parts.items(), panels, strict=True):
        shares = 100 * np.asarray(counts) / np.sum(counts)
        for word, style, places in zip(
            classes,
            series_styles(),
            (range(majority), range(majority, len(counts))),
            strict=False,
        ):
            axes.bar(places, shares[places], color=style["color"], linewidth=0, label=word)
        for votes, count in enumerate(counts):
            axes.text(votes, shares[votes], count, ha="center", va="bottom", fontsize=10)
        axes.set_title(f"{name}, {sum(counts):,} images", loc="left")
        axes.set_xticks(range(len(counts)))
        axes.grid(visible=False)
    panels[0].set_ylim(top=1.08 * panels[0].get_ylim()[1])
    panels[0].set_ylabel("Images (%)")
    figure.supxlabel(f"Votes for {classes[1]}")
    handles = panels[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=2)


def split_slopes(
    figure: Figure,
    models: Mapping[str, tuple[Sequence, Sequence]],
    splits: tuple[str, str],
    label: str = "Test ROC-AUC",
) -> None:
    """What models score under one split and under another: means over folds, folds as dots.

    Args:
        figure: where to draw.
        models: for every model its values under both splits, `(folds,)` or `(folds, seeds)`; the
            dots of one fold alone are its seeds.
        splits: what the two are called.
        label: what the values are.
    """
    axes = figure.subplots()
    labels = []
    offsets = np.linspace(-0.09, 0.09, len(models)) if len(models) > 1 else [0]
    for (name, pair), offset, style in zip(models.items(), offsets, series_styles(), strict=False):
        both = [_dots(values) for values in pair]
        means = [dots.mean() for dots in both]
        axes.plot(np.array([0, 1]) + offset, means, **style, markersize=9)
        for place, dots in enumerate(both):
            axes.plot([place + offset] * len(dots), dots, ".", color=style["color"], alpha=0.6)
        label_of = f"{name}\n{means[0]:.3f} → {means[1]:.3f}"
        labels.append((label_of, means[1], style["color"]))
    axes.set_xticks([0, 1], labels=splits)
    axes.set_xlim(-0.3, 1.3)
    axes.grid(visible=False, axis="x")
    axes.set_ylabel(label)
    label_right(axes, labels)


def stacked_costs(figure: Figure, parts: pd.DataFrame, label: str) -> None:
    """What each of several models costs, part upon part, with the sum at the end.

    Args:
        figure: where to draw; its height is set.
        parts: a row a model, from top to bottom, and a column a part; NaN is nothing.
        label: what the numbers are, with unit.
    """
    figure.set_figheight(1.4 + 0.5 * len(parts))
    axes = figure.subplots()
    rows = np.arange(len(parts))
    left = np.zeros(len(parts))
    for (name, values), style in zip(parts.items(), series_styles(), strict=False):
        values = np.nan_to_num(values.to_numpy(float))
        axes.barh(rows, values, 0.6, left, color=style["color"], linewidth=0, label=name)
        left += values
    for row, total in zip(rows, left, strict=True):
        axes.text(total, row, f" {total:.1f}", va="center")
    axes.set_xlim(0, 1.1 * left.max())
    axes.set_yticks(rows, labels=list(parts.index))
    axes.set_ylim(len(parts) - 0.5, -0.5)
    axes.grid(visible=False)
    axes.set_xlabel(label)
    figure.legend(loc="outside upper center", ncols=4)


def _square(figure):
    """Axes from 0 to 1, about square beside a legend; exactly square, a long name would be cut."""
    figure.set_figheight(4.3)
    axes = figure.subplots()
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    return axes


def _band(axes, heights, style, label, start=None):
    """Draws the mean and the range of curves at `RATES`, from a common start where there is one."""
    heights = np.array(heights)
    rates = RATES
    if start is not None:
        rates = np.append(0, rates)
        heights = np.insert(heights, 0, start, axis=1)
    low, high = heights.min(axis=0), heights.max(axis=0)
    axes.fill_between(rates, low, high, color=style["color"], alpha=0.15, lw=0)
    axes.plot(rates, heights.mean(axis=0), **style, markevery=25, markersize=6, label=label)


def _legend(axes):
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), labelspacing=0.9)


def _dots(values):
    """One value a fold, its mean over seeds; of one fold alone the values of its seeds."""
    values = np.asarray(values, dtype=float)
    if values.ndim == 1:
        return values
    return values[0] if len(values) == 1 else values.mean(axis=1)
