"""Figures of networks as such: their blocks, what their stages cost, what gradients do in them.

Drawn as those of `kdutils.figures` are, through `kdutils.figures.themed`.
"""

import itertools
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from kdutils.architectures import Block, Step
from kdutils.figures import series_styles

SKIP, MIDDLE = 0.07, 0.5  # across a panel: where the skip runs, and where the layers stand


def blocks(figure: Figure, drawn: Mapping[str, Block]) -> None:
    """Layers of one block a panel, from what enters down to what leaves, the skip at their left.

    Args:
        figure: where to draw; its height is set.
        drawn: the blocks from left to right, by title.
    """
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    rows = [len(_shown(block.branch)) + len(_shown(block.after)) for block in drawn.values()]
    tallest = max(rows) + 3
    figure.set_figheight(0.55 + 0.47 * tallest)
    for axes, (title, block) in zip(panels, drawn.items(), strict=True):
        axes.set_title(title)
        axes.set_axis_off()
        axes.set(xlim=(0, 1), ylim=(0.6 - tallest, 0.6))
        _draw_block(axes, block)


def _draw_block(axes: Axes, block: Block) -> None:
    color = mpl.rcParams["text.color"]
    accent = mpl.rcParams["axes.prop_cycle"].by_key()["color"][1]
    line = {"arrowstyle": "-", "color": color, "lw": 1, "shrinkA": 0, "shrinkB": 0}
    branch, after = _shown(block.branch), _shown(block.after)
    addition = -(len(branch) + 1)
    adds = block.shortcut is not None
    lowest = addition - len(after) - 1 if adds else addition
    for row in np.arange(0, lowest, -1):
        # From below one row to above the next: the page shows through, so nothing can cover it.
        axes.annotate("", (MIDDLE, row - 0.7), (MIDDLE, row - 0.3), arrowprops=line)
    if adds:
        skip = line | {"color": accent, "lw": 3}
        # The skip leaves between the entrance and the first layer.
        corners = [(MIDDLE, -0.45), (SKIP, -0.45), (SKIP, addition), (MIDDLE - 0.06, addition)]
        for start, end in itertools.pairwise(corners):
            axes.annotate("", end, start, arrowprops=skip)
        words = "\n".join(step.words for step in block.shortcut) or "identity"
        middle = (addition - 0.42) / 2
        axes.text(SKIP + 0.03, middle, words, rotation=90, va="center", color=accent)
        axes.text(
            MIDDLE,
            addition,
            "+",
            ha="center",
            va="center",
            color=accent,
            fontsize=14,
            bbox={"boxstyle": "circle,pad=0.15", "facecolor": "none", "edgecolor": accent, "lw": 2},
        )
    _word(axes, 0, f"in: {_shape(block.shape)}")
    for row, step in enumerate(branch, start=1):
        _step(axes, -row, step)
    for row, step in enumerate(after, start=1):
        _word(axes, addition - row, step.words, color=accent, weight="bold")
    leaves = [*block.branch, *block.after][-1].shape
    _word(axes, lowest, f"out: {_shape(leaves)}")


def _step(axes: Axes, row: float, step: Step) -> None:
    if "convolution" not in step.words and "depthwise" not in step.words:
        _word(axes, row, step.words)
        return
    frame = {"boxstyle": "round,pad=0.35", "facecolor": "none"}
    frame["edgecolor"] = mpl.rcParams["text.color"]
    _word(axes, row, f"{step.words}, {step.shape[-1]}", bbox=frame)


def _word(axes: Axes, row: float, text: str, **options) -> None:
    axes.text(MIDDLE, row, text, **{"ha": "center", "va": "center", "fontsize": 11} | options)


def _shown(steps: Sequence[Step]) -> list[Step]:
    """Padding is a matter of the framework: it belongs to the convolution that follows."""
    return [step for step in steps if step.words != "padding"]


def _shape(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))


def stage_costs(figure: Figure, networks: Mapping[str, pd.DataFrame]) -> None:
    """Parameters on the left and MACs on the right, by stage, of two networks on log scales.

    Args:
        figure: where to draw; its height is set.
        networks: what `kdutils.architectures.stages` returns, for both; at the end of each line
            stands how many times as much the first has as the second.
    """
    first, second = networks.values()
    labels = [f"{side} × {side}" if side > 1 else "head" for side in first["side"]]
    figure.set_figheight(1.3 + 0.42 * (len(labels) + 1))
    panels = figure.subplots(1, 2, sharey=True)
    text = mpl.rcParams["text.color"]
    for axes, quantity, title in zip(
        panels, ("parameters", "macs"), ("Parameters", "MACs of an image"), strict=True
    ):
        pairs = np.array([each[quantity].tolist() for each in (first, second)], dtype=float)
        pairs = np.column_stack([pairs, pairs.sum(axis=1)])
        places = np.arange(pairs.shape[1])
        for place, (one, other) in zip(places, pairs.T, strict=True):
            axes.plot([one, other], [place, place], color=text, lw=1.5, zorder=1)
            ratio = one / other
            words = f"÷ {ratio:.0f}" if ratio >= 20 else f"÷ {ratio:.1f}"
            axes.annotate(
                words, (max(one, other), place), (8, 0), textcoords="offset points", va="center"
            )
        for (name, _), values, style in zip(networks.items(), pairs, series_styles(), strict=False):
            axes.plot(values, places, **style | {"linestyle": ""}, markersize=8, label=name)
        axes.set_xscale("log")
        axes.margins(x=0.12)
        axes.set_xlim(right=axes.get_xlim()[1] * 12)
        axes.xaxis.set_major_locator(LogLocator(numticks=5))
        axes.set_xlabel(f"{title} (log scale)")
        axes.grid(visible=False, axis="y")
    panels[0].set_yticks(places, labels=[*labels, "all"])
    panels[0].get_yticklabels()[-1].set_fontweight("bold")
    panels[0].set_ylim(places[-1] + 0.5, -0.5)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=2)


def channel_widths(figure: Figure, networks: Mapping[str, pd.DataFrame]) -> None:
    """Channels after each convolution along a network, one network a panel.

    Args:
        figure: where to draw.
        networks: what `kdutils.architectures.widths` returns, from top to bottom.
    """
    panels = figure.subplots(len(networks), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (name, found), style in zip(panels, networks.items(), series_styles(), strict=False):
        channels = found["channels"].to_numpy()
        places = np.arange(1, len(channels) + 1)
        axes.bar(places, channels, width=0.75, color=style["color"], linewidth=0)
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylim(8, 4096)
        axes.set_title(name, loc="left")
        axes.grid(visible=False, axis="x")
        sides = found["side"].to_numpy()
        for start in np.flatnonzero(np.diff(sides, prepend=0)):
            axes.axvline(start + 0.5, color=mpl.rcParams["text.color"], lw=0.8, alpha=0.6)
            if (sides == sides[start]).sum() > 4:
                axes.text(start + 0.9, 2900, f"{sides[start]} px", va="top", fontsize=10)
    figure.supxlabel("Convolution, in order")
    figure.supylabel("Channels (log scale)")


def time_ratios(
    axes: Axes,
    rows: Mapping[str, tuple[float, float, float]],
    levels: Mapping[str, float],
    across: str,
) -> None:
    """How many times as long one network takes as another, beside what the counts say.

    Args:
        axes: where to draw; the height of its figure is set.
        rows: quartiles of the ratio, by kind of call, from top to bottom.
        levels: ratios of counts, lines of their names.
        across: what is divided by what.
    """
    axes.figure.set_figheight(1.6 + 0.42 * len(rows))
    dots, *others = itertools.islice(series_styles(), 1 + len(levels))
    places = np.arange(len(rows))
    low, median, high = np.array(list(rows.values())).T
    axes.errorbar(
        median, places, xerr=[median - low, high - median], **dots | {"linestyle": ""}, ms=8
    )
    for (name, level), style in zip(levels.items(), others, strict=True):
        axes.axvline(level, **style | {"marker": ""}, label=f"{name}, {level:.1f}")
    axes.axvline(1, color=mpl.rcParams["text.color"], lw=1)
    axes.set_xlim(left=0)
    axes.set_xlabel(across)
    axes.set_yticks(places, labels=list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.figure.legend(loc="outside upper center", ncols=2)


def gradient_grid(
    figure: Figure,
    panels: Mapping[str, Mapping[str, tuple[Sequence[float], Sequence]]],
    across: str,
    up: str,
) -> None:
    """Curves over depth on one log scale, two panels a row, with their range over seeds.

    Args:
        figure: where to draw; its height is set.
        panels: for every panel by title, for every curve by name, its places and its values, one
            row a seed; the line is their geometric mean.
        across: what the places are.
        up: what the values are.
    """
    rows = (len(panels) + 1) // 2
    figure.set_figheight(0.9 + 2.25 * rows)
    grid = figure.subplots(rows, 2, sharex=True, sharey=True, squeeze=False)
    for axes, (title, curves) in zip(grid.flat, panels.items(), strict=True):
        axes.axhline(1, color=mpl.rcParams["text.color"], lw=1)
        for (name, (places, values)), style in zip(curves.items(), series_styles(), strict=False):
            logs = np.log10(np.array(values, dtype=float))
            marked = style | ({"marker": ""} if len(places) > 12 else {})
            axes.plot(places, 10 ** logs.mean(axis=0), **marked, label=name)
            ends = 10 ** logs.min(axis=0), 10 ** logs.max(axis=0)
            axes.fill_between(places, *ends, color=style["color"], alpha=0.25, lw=0)
        axes.set_yscale("log")
        axes.set_title(title, loc="left")
    # Matplotlib's own ticks leave out 1, the level that all curves are held against.
    low, high = np.log10(grid[0, 0].get_ylim())
    step = next(each for each in (1, 2, 5, 10, 20) if high - low <= 7 * each)
    exponents = step * np.arange(np.ceil(low / step), high / step)
    grid[0, 0].set_yticks(10.0**exponents)
    for axes in grid.flat:
        axes.yaxis.set_minor_locator(NullLocator())
    figure.supxlabel(across)
    figure.supylabel(up)
    handles, names = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=3)


def path_lengths(
    axes: Axes,
    lengths: Sequence[int],
    shares: Sequence[float],
    paths: Sequence[float],
    middle: Sequence[int],
) -> None:
    """Share of the squared gradient that comes down paths of each length, and that of the paths.

    Args:
        axes: where to draw.
        lengths: blocks that a path passes through their convolutions.
        shares: of the squared gradient, by length.
        paths: of all paths, by length.
        middle: the shortest and the longest of the lengths that carry most; they are shaded.
    """
    bars, line = itertools.islice(series_styles(), 2)
    axes.bar(
        lengths,
        100 * np.asarray(shares),
        width=0.8,
        color=bars["color"],
        linewidth=0,
        label="squared gradient",
    )
    axes.plot(lengths, 100 * np.asarray(paths), **line | {"marker": ""}, label="all paths")
    axes.axvspan(
        middle[0] - 0.5, middle[1] + 0.5, color=mpl.rcParams["text.color"], alpha=0.12, lw=0
    )
    axes.set_xlabel("Blocks passed through their convolutions")
    axes.set_ylabel("Share (%)")
    axes.grid(visible=False, axis="x")
    axes.figure.legend(loc="outside upper center", ncols=2)
