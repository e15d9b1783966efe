import numpy as np
import pandas as pd
import pytest
from legible import require_legible
from matplotlib.figure import Figure
from matplotlib.text import Text
from sklearn.metrics import average_precision_score, roc_auc_score

from kdutils import figures_task2, folds
from kdutils.data.slides import Fold

LABELS = np.array([0, 0, 1, 1, 0, 1])
CURVES = {
    "teacher": [([-2, -1, 1, 2, 0, 3], LABELS), ([-2, 1.5, 1, 2, 0, 3], LABELS)],
    "student without KD": [([-2, 2, 1, 2, 0, -1], LABELS), (np.zeros(6), LABELS)],
}
MATRICES = {
    "teacher": [[560, 57], [60, 300]],
    "student with KD": [[540, 77], [70, 290]],
    "student\nwithout KD": [[530, 87], [0, 270]],
    "random": [[500, 117], [90, 270]],
}
BINS = (
    np.array([np.nan, 0.3, 0.6, 0.9]),
    np.array([np.nan, 0.25, 0.7, 0.88]),
    np.array([0, 9, 40, 51]),
)
GROUPS = {
    "student without KD": [[0.90, 0.92], [0.95, 0.97], [0.93, 0.93]],
    "student with KD": [[0.92, 0.92], [0.96, 0.98], [0.93, 0.95]],
}
CELLS = {
    (False, False): [0.85, 0.90, 0.88],
    (False, True): [0.87, 0.91, 0.88],
    (True, False): [0.93, 0.96, 0.95],
    (True, True): [0.94, 0.96, 0.95],
}
TRIED = {4.0: [0.93, 0.97], 1.0: [0.92, 0.95], 16.0: [0.94, 0.96]}
COURSES = {
    "Training error (%)": {"random": [[40, 30, 20], [44, 26, 22]], "pre-trained": [[20, 9, 5]]},
    "Held-out ROC-AUC": {"pre-trained": [[0.90, 0.95, 0.95]]},
}
CURVE = {1: [[0.90, 0.92], [0.95, 0.97]], 4: [[0.93, 0.93], [0.94, 0.98]]}
TILES = np.random.default_rng(0).integers(0, 255, (5, 20, 20, 3)).astype("uint8")
MAPS = np.random.default_rng(1).normal(size=(2, 3, 3))
COLUMNS = {
    "teacher": (MAPS, ["log-odds +3.1", "log-odds −0.2"]),
    "student\nwithout KD": (np.zeros((2, 1, 1)), ["log-odds +0.0", "log-odds +0.0"]),
}
TILE_ROWS = ["complex stroma\nsurest", "stroma\nworst"]
ORDERS = {
    "most relevant first": [3, 1, 0],
    "random order": [3, 2, 0],
    "least relevant first": [3, 3, 0],
}
CURVES_OF_CELLS = {
    "teacher": {"last, 3 × 3 cells": ORDERS, "finer, 6 × 6 cells": ORDERS},
    "student\nwithout KD": {"last, 3 × 3 cells": ORDERS, "finer, 6 × 6 cells": ORDERS},
}
ESTIMATES = {
    "last, 3 × 3 cells": {"with KD": (0.5, 0.4, 0.6), "without KD": (0.3, np.nan, np.nan)},
    "finer, 6 × 6 cells": {"with KD": (-0.2, -0.3, -0.1)},
}
AGREEMENT = {
    "teacher": {7: [95, 96], 4: [70, 74]},
    "student": {7: [93, 95], 4: [68, 70]},
}
TILES_OF = {"stroma": [51, 50, 170, 124], "complex stroma": [72, 16, 132, 7]}
FOLDS = (Fold((1, 4), 2), Fold((2, 3), 4))
VOTES = {"training": [537, 497, 302, 209, 151], "test": [186, 208, 124, 99, 65]}
SPLITS = {
    "linear model": ([0.85, 0.9, 0.8], [0.97, 0.98, 0.99]),
    "student": (GROUPS["student with KD"], GROUPS["student without KD"]),
}
COSTS = pd.DataFrame(
    {"head": [2.0, 1.0], "fine-tuning": [10.0, 4.0], "its teacher": [np.nan, 12.0]},
    index=["teacher", "student with KD"],
)

DRAWINGS = {
    "roc_bands": lambda f: figures_task2.roc_bands(f, CURVES),
    "precision_recall_bands": lambda f: figures_task2.precision_recall_bands(f, CURVES),
    "confusion_matrices": lambda f: figures_task2.confusion_matrices(f, MATRICES, ["HP", "SSA"]),
    "reliability": lambda f: figures_task2.reliability(f, {"teacher": BINS}, "SSA"),
    "fold_intervals": lambda f: figures_task2.fold_intervals(f, GROUPS, 250, 1000),
    "interaction_2x2": lambda f: figures_task2.interaction_2x2(f, CELLS, 250, 1000),
    "choice_curves": lambda f: figures_task2.choice_curves(f, TRIED, [16, 4], "Temperature T"),
    "courses": lambda f: figures_task2.courses(f, COURSES, boundary=1),
    "fold_curve": lambda f: figures_task2.fold_curve(
        f.subplots(),
        CURVE,
        {"student\nwithout KD": [0.91, 0.92], "teacher": [0.96, 0.97]},
        250,
        1000,
        "Temperature T",
        name="student\nwith KD",
    ),
    "tile_maps": lambda f: figures_task2.tile_maps(
        f, TILES[:2], TILE_ROWS, COLUMNS, ["stroma", "complex stroma"]
    ),
    "tile_maps without tiles": lambda f: figures_task2.tile_maps(
        f, None, TILE_ROWS, COLUMNS, ["stroma", "complex stroma"]
    ),
    "cell_deletion": lambda f: figures_task2.cell_deletion(f, [0, 0.5, 1], CURVES_OF_CELLS),
    "estimates": lambda f: figures_task2.estimates(f, ESTIMATES, "Rank correlation"),
    "images_with_scores": lambda f: figures_task2.images_with_scores(
        f, TILES, [f"complex stroma\nteacher 0.1{i}" for i in range(5)]
    ),
    "by_agreement": lambda f: figures_task2.by_agreement(
        f, AGREEMENT, {4: 121, 7: 436}, 7, "Test accuracy (%)"
    ),
    "stacked_costs": lambda f: figures_task2.stacked_costs(f, COSTS, "Minutes of training"),
    "slides_and_folds": lambda f: figures_task2.slides_and_folds(f, TILES_OF, FOLDS),
    "vote_counts": lambda f: figures_task2.vote_counts(f, VOTES, 3, ["HP", "SSA"]),
    "split_slopes": lambda f: figures_task2.split_slopes(f, SPLITS, ("by slide", "at random")),
}


def drawn(name):
    figure = Figure(layout="constrained")
    DRAWINGS[name](figure)
    return figure


def words(figure):
    figure.draw_without_rendering()
    return {text.get_text() for text in figure.findobj(Text) if text.get_visible()}


@pytest.mark.parametrize("name", DRAWINGS)
def test_words_are_large_enough_and_inside_the_figure(name):
    require_legible(DRAWINGS[name])


def test_maps_stand_beside_their_tiles_on_one_scale_a_column():
    figure = drawn("tile_maps")
    assert {"for stroma", "for complex stroma", *TILE_ROWS} <= words(figure)
    grid, _ = figure.subfigs
    panels = np.reshape(grid.axes, (2, 3))
    assert [axes.get_ylabel() for axes in panels[:, 0]] == TILE_ROWS
    np.testing.assert_array_equal(panels[1, 0].images[0].get_array(), TILES[1])
    np.testing.assert_array_equal(panels[1, 1].images[0].get_array(), MAPS[1])
    limit = np.abs(MAPS).max()
    assert {axes.images[0].get_clim() for axes in panels[:, 1]} == {(-limit, limit)}
    alone, _ = drawn("tile_maps without tiles").subfigs
    assert len(alone.axes) == 4


def test_deletion_has_a_panel_a_network_and_layer_with_a_curve_an_order():
    figure = drawn("cell_deletion")
    panels = np.reshape(figure.axes, (2, 2))
    assert [axes.get_title(loc="left") for axes in panels[0]] == list(ESTIMATES)
    assert [axes.get_ylabel() for axes in panels[:, 0]] == list(CURVES_OF_CELLS)
    for axes in figure.axes:
        assert [list(line.get_ydata()) for line in axes.lines] == list(ORDERS.values())


def test_estimates_have_their_intervals_and_may_be_missing():
    figure = drawn("estimates")
    last, finer = figure.axes
    assert [label.get_text() for label in last.get_yticklabels()] == ["with KD", "without KD"]
    widths = [
        np.ptp(bar.get_segments()[0][:, 0])
        for container in last.containers
        for bar in container.lines[2]
    ]
    np.testing.assert_allclose(widths, [0.2, 0], atol=1e-9)
    assert len(finer.containers) == 1


def test_roc_curves_are_averaged_vertically_and_their_areas_over_folds():
    figure = drawn("roc_bands")
    [axes] = figure.axes
    area = np.mean([roc_auc_score(labels, scores) for scores, labels in CURVES["teacher"]])
    assert {"chance", f"teacher\nAUC {area:.3f}"} <= words(figure)
    chance, teacher, student = axes.lines
    assert list(chance.get_ydata()) == [0, 1]
    rates, heights = teacher.get_data()
    # The first fold is perfect; the second has a false positive above the lowest positive.
    assert (rates[0], heights[0]) == (0, 0)
    assert heights[1] == pytest.approx((1 + 2 / 3) / 2)
    assert heights[np.argmin(abs(rates - 0.5))] == 1
    assert student.get_ydata()[-1] == 1


def test_precision_is_a_step_down_from_the_threshold_that_reaches_the_recall():
    figure = drawn("precision_recall_bands")
    [axes] = figure.axes
    averages = [average_precision_score(labels, scores) for scores, labels in CURVES["teacher"]]
    assert {"chance\n(prevalence 0.50)", f"teacher\nAP {np.mean(averages):.3f}"} <= words(figure)
    heights = axes.lines[0].get_ydata()
    assert heights[0] == 1
    assert heights[-1] == pytest.approx((1 + 3 / 4) / 2)
    # Area under the steps is the average precision.
    assert heights[1:].mean() == pytest.approx(np.mean(averages), abs=0.01)
    chance = axes.lines[-1]
    assert set(chance.get_ydata()) == {0.5}


def test_the_precision_of_a_constant_predictor_is_the_prevalence():
    figure = Figure(layout="constrained")
    figures_task2.precision_recall_bands(figure, {"constant": [(np.zeros(4), [0, 0, 0, 1])]})
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), 0.25)


def test_confusion_matrices_show_shares_of_the_true_class_and_numbers():
    figure = drawn("confusion_matrices")
    shown = words(figure)
    assert {"91 %\n560", "9 %\n57", "83 %\n300", "0 %\n0", "True class", "HP", "SSA"} <= shown
    assert set(MATRICES) <= shown
    assert len(figure.axes) == 4


def test_reliability_leaves_small_bins_out_above_and_shows_all_below():
    figure = drawn("reliability")
    upper, lower = figure.axes
    [bars] = upper.containers
    assert bars.lines[0].get_xdata().tolist() == [0.6, 0.9]
    assert lower.patches[0].get_data().values.tolist() == [0, 9, 40, 51]
    assert {"teacher", "Share of SSA", "Predicted probability of SSA"} <= words(figure)


def test_folds_are_dots_and_means_have_corrected_intervals():
    figure = drawn("fold_intervals")
    [axes] = figure.axes
    for bars, values in zip(axes.containers, GROUPS.values(), strict=True):
        line, _, [spread] = bars.lines
        interval = folds.over_folds(values, 250, 1000)
        assert line.get_xdata().tolist() == [interval.mean]
        ends = spread.get_segments()[0][:, 0]
        np.testing.assert_allclose(ends, [interval.low, interval.high])
    joins = axes.lines[:3]
    np.testing.assert_allclose([line.get_xdata() for line in joins][1], [0.96, 0.97])
    assert {"student with KD", "Test ROC-AUC"} <= words(figure)


def test_the_seeds_of_one_fold_are_its_dots():
    figure = Figure(layout="constrained")
    figures_task2.fold_intervals(figure, {"teacher": [[0.9, 0.92, 0.95]]}, 977, 2175)
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [0.9, 0.92, 0.95] in [line.get_xdata().tolist() for line in dots]


def test_interaction_has_a_line_with_and_one_without_distillation():
    figure = drawn("interaction_2x2")
    without, distilled = figure.axes[0].containers
    for bars, kd in ((without, False), (distilled, True)):
        heights = bars.lines[0].get_ydata()
        assert list(heights) == pytest.approx([np.mean(CELLS[p, kd]) for p in (False, True)])
    assert {"with KD", "without KD", "pre-trained weights", "random weights"} <= words(figure)


def test_choices_are_ringed_on_the_line_of_their_fold():
    figure = drawn("choice_curves")
    [axes] = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["mean over folds"].get_ydata(), [0.935, 0.95, 0.95])
    ring = lines["chosen"]
    assert list(ring.get_xdata()) == [2, 1]
    assert list(ring.get_ydata()) == [0.94, 0.97]
    assert {"1", "4", "16", "Temperature T (values tried)", "chosen"} <= words(figure)


def test_courses_are_means_over_trainings_and_alike_in_all_panels():
    figure = drawn("courses")
    upper, lower = figure.axes
    random, pretrained, boundary = upper.lines
    assert list(random.get_ydata()) == [42, 28, 21]
    assert list(random.get_xdata()) == [1, 2, 3]
    assert list(boundary.get_xdata()) == [1.5, 1.5]
    assert lower.lines[0].get_color() == pretrained.get_color() != random.get_color()
    assert {"random", "pre-trained", "Training error (%)", "Epoch"} <= words(figure)
    figure = Figure(layout="constrained")
    figures_task2.courses(figure, {"AUC": {"one": [[0.9, 0.8]]}})
    assert len(figure.axes[0].lines) == 1


def test_a_curve_over_settings_has_its_folds_its_mean_and_levels_without_a_setting():
    figure = drawn("fold_curve")
    [axes] = figure.axes
    [bars] = axes.containers
    line, _, [spread] = bars.lines
    assert list(line.get_ydata()) == pytest.approx([0.935, 0.945])
    interval = folds.over_folds(CURVE[4], 250, 1000)
    np.testing.assert_allclose(spread.get_segments()[1][:, 1], [interval.low, interval.high])
    dots = [list(each.get_ydata()) for each in axes.lines[:2]]
    assert dots == [pytest.approx([0.91, 0.93]), pytest.approx([0.96, 0.96])]
    assert [each.get_ydata()[0] for each in axes.lines[-2:]] == pytest.approx([0.915, 0.965])
    assert {"1", "4", "teacher", "student\nwith KD", "Test ROC-AUC"} <= words(figure)


def test_one_training_makes_a_curve_without_intervals():
    figure = Figure(layout="constrained")
    curve = {0: [[0.9]], 25: [[0.92]]}
    figures_task2.fold_curve(figure.subplots(), curve, {}, 250, 1000, "Epochs")
    figure.draw_without_rendering()
    assert list(figure.axes[0].containers[0].lines[0].get_ydata()) == [0.9, 0.92]


def test_long_titles_make_a_narrower_grid():
    figure = drawn("images_with_scores")
    assert len(figure.axes) == 5
    assert figure.axes[0].get_gridspec().ncols == 4
    assert "complex stroma\nteacher 0.13" in words(figure)
    figure = Figure(layout="constrained")
    figures_task2.images_with_scores(figure, TILES, ["x" * 30] * 5)
    assert figure.axes[0].get_gridspec().ncols == 2


def test_agreement_is_drawn_beside_the_numbers_of_images():
    figure = drawn("by_agreement")
    teacher, _ = figure.axes[0].containers
    assert teacher.lines[0].get_ydata().tolist() == [72, 95.5]
    assert {"4 of 7\n121 images", "7 of 7\n436 images", "teacher"} <= words(figure)
    figure = Figure(layout="constrained")
    figures_task2.by_agreement(figure, {"one": {4: [70]}}, {4: 121}, 7, "AUC")
    assert figure.axes[0].lines[0].get_ydata().tolist() == [70]


def test_slides_stand_in_the_order_of_the_folds_that_test_them():
    figure = drawn("slides_and_folds")
    upper, lower = figure.axes
    heights = [[bar.get_height() for bar in bars] for bars in upper.containers]
    assert heights == [[51, 124, 50, 170], [72, 7, 16, 132]]
    assert [text.get_text() for text in lower.get_xticklabels()] == ["1", "4", "2", "3"]
    cells = {text.get_position(): text.get_text() for text in lower.texts}
    assert cells == {
        (0, 0): "test",
        (1, 0): "test",
        (2, 0): "held",
        (1, 1): "held",
        (2, 1): "test",
        (3, 1): "test",
    }


def test_votes_are_shares_of_their_part_coloured_by_the_majority():
    figure = drawn("vote_counts")
    train, test = figure.axes
    assert [len(bars) for bars in train.containers] == [3, 2]
    heights = [bar.get_height() for bars in test.containers for bar in bars]
    np.testing.assert_allclose(heights, 100 * np.array(VOTES["test"]) / 682)
    assert {"537", "training, 1,696 images", "Votes for SSA", "HP"} <= words(figure)


def test_slopes_join_the_means_of_both_splits():
    figure = drawn("split_slopes")
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    np.testing.assert_allclose(lines[0].get_ydata(), [0.85, 0.98])
    assert {"linear model\n0.850 → 0.980", "by slide", "at random"} <= words(figure)


def test_costs_stand_upon_each_other_with_their_sum():
    figure = drawn("stacked_costs")
    head, tuning, teacher = figure.axes[0].containers
    assert [bar.get_x() for bar in tuning] == [bar.get_width() for bar in head] == [2, 1]
    assert [bar.get_width() for bar in teacher] == [0, 12]
    assert {" 12.0", " 17.0", "its teacher", "student with KD"} <= words(figure)
