import numpy as np
import pandas as pd
import pytest
from legible import require_legible
from matplotlib.figure import Figure
from matplotlib.text import Text

from kdutils import figures, network_figures
from kdutils.architectures import Block, Step

NARROW = Step("one", "1 × 1 convolution", (28, 28, 16), 1024)
PAD = Step("pad", "padding", (30, 30, 16), 0)
RELU = Step("relu", "ReLU", (28, 28, 64), 0)
WIDE = Step("two", "3 × 3 depthwise", (28, 28, 64), 9216)
SHAPE = (28, 28, 64)
BLOCKS = {
    "with a skip": Block([NARROW, PAD, WIDE], [], [RELU], SHAPE, []),
    "without": Block([WIDE, RELU], None, [], SHAPE, []),
}
STAGES = {
    "large": pd.DataFrame({"side": [56, 1], "parameters": [3000, 40], "macs": [9e6, 40]}),
    "small": pd.DataFrame({"side": [56, 1], "parameters": [100, 10], "macs": [3e6, 20]}),
}
WIDTHS = {
    "one": pd.DataFrame({"layer": list("abcdefg"), "side": [56] * 6 + [28], "channels": [16] * 7}),
    "other": pd.DataFrame({"layer": list("ab"), "side": [28, 28], "channels": [64, 256]}),
}
RATIOS = {"96 px": (2, 2.5, 4), "224 px": (5, 6, 7)}
CURVES = {
    "with": {"plain": ([0, 1], [[1e-4, 1], [1e-2, 1]]), "v2": ([0, 1], [[2, 1], [2, 1]])},
    "without": {"plain": ([0, 1], [[1e-9, 1]]), "v2": ([0, 1], [[8, 1]])},
}
DRAWINGS = {
    "blocks": lambda figure: network_figures.blocks(figure, BLOCKS),
    "stage_costs": lambda figure: network_figures.stage_costs(figure, STAGES),
    "channel_widths": lambda figure: network_figures.channel_widths(figure, WIDTHS),
    "time_ratios": lambda figure: network_figures.time_ratios(
        figure.subplots(), RATIOS, {"MACs": 11.6}, "a ÷ b"
    ),
    "gradient_grid": lambda figure: network_figures.gradient_grid(figure, CURVES, "x", "y"),
    "path_lengths": lambda figure: network_figures.path_lengths(
        figure.subplots(), range(4), [0.1, 0.6, 0.3, 0], [0.125, 0.375, 0.375, 0.125], (0, 2)
    ),
}


def drawn(name):
    """The figure of that name on a plain ground."""
    figure = Figure((figures.WIDTH / 96, figures.HEIGHT / 96), dpi=96, layout="constrained")
    DRAWINGS[name](figure)
    return figure


def words(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


@pytest.mark.parametrize("name", DRAWINGS)
def test_figures_are_drawn_for_both_themes(name):
    bundle = figures.themed(DRAWINGS[name], "what it shows")
    assert bundle.light.startswith(b"\x89PNG")
    assert bundle.light != bundle.dark


@pytest.mark.parametrize("name", DRAWINGS)
def test_words_are_large_enough_and_inside_the_figure(name):
    require_legible(DRAWINGS[name])


def test_a_block_is_drawn_as_it_is():
    with_skip, without = drawn("blocks").axes
    assert words(with_skip) == [
        "identity",
        "+",
        "in: 28 × 28 × 64",
        "1 × 1 convolution, 16",
        "3 × 3 depthwise, 64",
        "ReLU",
        "out: 28 × 28 × 64",
        "with a skip",
    ]
    heights = {text.get_text(): text.get_position()[1] for text in with_skip.texts}
    assert [heights[each] for each in ("+", "ReLU", "out: 28 × 28 × 64")] == [-3, -4, -5]
    assert {"+", "identity"}.isdisjoint(words(without))


def test_stages_are_told_by_how_many_times():
    left, right = drawn("stage_costs").axes
    assert [text.get_text() for text in left.texts] == ["÷ 30", "÷ 4.0", "÷ 28"]
    assert [text.get_text() for text in right.texts] == ["÷ 3.0", "÷ 2.0", "÷ 3.0"]
    assert [label.get_text() for label in left.get_yticklabels()] == ["56 × 56", "head", "all"]


def test_widths_are_bars_and_long_stages_are_named():
    one, other = drawn("channel_widths").axes
    assert [bar.get_height() for bar in other.patches] == [64, 256]
    assert [text.get_text() for text in one.texts] == ["56 px"]
    assert list(other.texts) == []


def test_ratios_of_times_and_counts():
    (axes,) = drawn("time_ratios").axes
    assert axes.get_xlabel() == "a ÷ b"
    assert axes.containers[0].lines[0].get_xdata().tolist() == [2.5, 6]
    assert 11.6 in [line.get_xdata()[0] for line in axes.lines]


def test_a_line_is_the_geometric_mean_over_seeds():
    grid = drawn("gradient_grid").axes
    lines = {line.get_label(): line.get_ydata() for line in grid[0].lines}
    np.testing.assert_allclose(lines["plain"], [1e-3, 1])
    np.testing.assert_allclose(lines["v2"], [2, 1])
    np.testing.assert_allclose(grid[0].get_yticks(), [1e-8, 1e-6, 1e-4, 1e-2, 1])


def test_shares_are_in_per_cent_and_the_middle_is_shaded():
    (axes,) = drawn("path_lengths").axes
    *bars, shade = axes.patches
    assert [bar.get_height() for bar in bars] == pytest.approx([10, 60, 30, 0])
    assert axes.lines[0].get_ydata() == pytest.approx([12.5, 37.5, 37.5, 12.5])
    assert (shade.get_x(), shade.get_x() + shade.get_width()) == (-0.5, 2.5)
