import base64
import io
import itertools
import re
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from legible import require_legible
from matplotlib.figure import Figure
from PIL import Image
from statsmodels.stats.proportion import proportion_confint

from kdutils import evaluation, figures


def records(*correct, train=None, **history):
    """Stand-ins, one a seed; histories are given by quantity, one list a seed."""
    return [
        SimpleNamespace(
            run=SimpleNamespace(seed=seed, data="mnist"),
            metrics={"correct": right, "count": 10_000},
            history={quantity: values[seed] for quantity, values in history.items()},
            train=train,
            part="test",
            backend="tensorflow",
            precision="float32",
        )
        for seed, right in enumerate(correct)
    ]


CURVE = {
    1.0: records(9830, 9836, 9827),
    32.0: records(9870, 9882, 9860),
    4.0: records(9881, 9879, 9885),
    2.0: records(9856, 9858, 9853),
    64.0: records(9880, 9884, 9869),
    16.0: records(9880, 9876, 9881),
}
WITHOUT = records(9818, 9830, 9809)
TEACHER = records(9921, 9925, 9916)
HISTORIES = {
    "student\nwith KD": records(1, 2, loss=[[0.5, 0.2, 0.1], [0.7, 0.3, 0.14]]),
    "teacher": records(1, loss=[[0.4, 0.2, 0.11]]),
}
GRID = np.array([[0.9811, 0.9822, np.nan], [0.9833, 0.98444, 0.9855]])
PROBABILITIES = {4.0: [0.2, 0.7, 0.1], 1.0: [0.01, 0.98, 0.01], 16.0: [0.3, 0.4, 0.3]}
RELIABILITY = (
    np.array([np.nan, 0.2, 0.4, 0.9]),
    np.array([np.nan, 1.0, 0.5, 0.88]),
    np.array([0, 9, 10, 100]),
)
DARK = np.array([[0.05, 0.9, 0.05, 0.0], [0.25, 0.15, 0.2, 0.4]])
SOFT = np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1], [0.3, 0.1, 0.6]])
DISTANCES = {"with $T^2$": [1.0, 0.5, 0.02], "without": [1.0, 1.1, 1.0]}
LENGTHS = {"with $T^2$": [0.01, 1.0, 1.5], "without": [0.01, 0.1, 0.001]}
BALANCE = {
    0.9: records(9870, 9872, train={"nll": 0.010, "teacher_kl": 0.002}),
    0.1: records(9866, 9860, train={"nll": 0.002, "teacher_kl": 0.007}),
    0.5: records(9882, 9882, train={"nll": 0.006, "teacher_kl": 0.003}),
}
PANELS = {
    "Gap (points)": {"without KD": [1.0, 1.5, 2.0], "with KD": [0.5, 0.6, 1.0]},
    "NLL (nats)": {"without KD": [0.08, 0.07, 0.09], "with KD": [0.04, 0.04, 0.07]},
}
ADDED = {
    "Never saw a 3": (
        [0.0, 1.0, 2.0],
        {
            "all": np.array([[0.03, 0.02, 0.025], [0.05, 0.03, 0.035]]),
            "3s": np.array([[0.2, 0.1, 0.05], [0.4, 0.1, 0.07]]),
        },
        1.0,
    )
}
DIGITS = np.arange(5 * 28 * 28, dtype=np.uint8).reshape(5, 28, 28, 1)
LAYERS = {
    "CNN": pd.DataFrame(
        [("scale", 0, 0, 0), ("conv", 20, 900, 16_200), ("logits", 180, 1, 180)],
        columns=["layer", "parameters", "uses", "macs"],
    ),
    "MLP": pd.DataFrame(
        [("h1", 330, 1, 300), ("norm", 40, 0, 0)], columns=["layer", "parameters", "uses", "macs"]
    ),
}
CALLS = pd.DataFrame(
    [
        ("teacher", 256, 1, 0.08, 0.09, 0.12),
        ("student", 256, 1, 0.009, 0.010, 0.012),
        ("teacher", 1, 2, 0.0016, 0.0020, 0.0021),
        ("student", 1, 2, 0.0015, 0.0018, 0.0026),
    ],
    columns=["network", "images", "threads", "low", "median", "high"],
)
MAPS = np.random.default_rng(0).normal(size=(5, 28, 28))
CURVES = {
    "teacher": {
        "occlusion": {"deletion": [1, 0.4, 0.1], "insertion": [0.1, 0.8, 1]},
        "Grad-CAM": {"deletion": [1, 0.5, 0.1], "insertion": [0.1, 0.7, 1]},
        "random": {"deletion": [1, 0.6, 0.1], "insertion": [0.1, 0.6, 1]},
    },
    "student": {
        "occlusion": {"deletion": [1, 0.3, 0], "insertion": [0, 0.9, 1]},
        "random": {"deletion": [1, 0.6, 0], "insertion": [0, 0.5, 1]},
    },
}
CORRELATIONS = {
    "integrated gradients": {"student with KD": [0.4, 0.5, 0.45], "untrained": [0.01, -0.01, 0]},
    "occlusion": {"student with KD": [0.6, 0.5, 0.7], "untrained": [0, 0.02, 0.01]},
}

DRAWINGS = {
    "temperature_curve": lambda figure: figures.temperature_curve(
        figure.subplots(), CURVE, WITHOUT, TEACHER
    ),
    "tuning_heatmap": lambda figure: figures.tuning_heatmap(
        figure.subplots(), [2, 4, 8], [0.5, 0.9], GRID, (8, 0.9)
    ),
    "ranking": lambda figure: figures.ranking(
        figure, {"KD": CURVE[4], "teacher": TEACHER, "low": WITHOUT}, "KD", WITHOUT
    ),
    "paired_seeds": lambda figure: figures.paired_seeds(
        figure.subplots(), {"without KD": WITHOUT, "with KD": CURVE[4]}
    ),
    "learning_curves": lambda figure: figures.learning_curves(figure.subplots(), HISTORIES),
    "soft_targets": lambda figure: figures.soft_targets(figure, PROBABILITIES, list("abc")),
    "dark_knowledge": lambda figure: figures.dark_knowledge(
        figure, DIGITS[:2], [1, 3], DARK, list("abcd")
    ),
    "similarity": lambda figure: figures.similarity(
        figure.subplots(), SOFT, np.array([0, 0, 1, 2]), list("abc")
    ),
    "subclass_use": lambda figure: figures.subclass_use(
        figure.subplots(), np.array([[1, 9, 0], [2, 2, 6], [8, 1, 1]]), list("abc")
    ),
    "gradient_limit": lambda figure: figures.gradient_limit(
        figure, [0.5, 8.0, 64.0], DISTANCES, LENGTHS
    ),
    "balance_curves": lambda figure: figures.balance_curves(figure, BALANCE),
    "intervals": lambda figure: figures.intervals(figure, PANELS),
    "bias_curves": lambda figure: figures.bias_curves(figure, ADDED),
    "disagreements": lambda figure: figures.disagreements(
        figure, DIGITS, "49203", "49203", "94208", ("with KD", "without KD")
    ),
    "live_comparison": lambda figure: figures.live_comparison(
        figure.subplots(),
        {"teacher": TEACHER[0], "student": WITHOUT[0], "new": CURVE[4][0]},
        {"teacher": TEACHER, "student": WITHOUT},
    ),
    "class_errors": lambda figure: figures.class_errors(
        figure.subplots(),
        {"with KD": np.array([[1, 2, 3], [3, 2, 7]]), "without KD": np.array([[4, 5, 6]])},
        ("a", "b", "c"),
        "Errors",
    ),
    "interval_curves": lambda figure: figures.interval_curves(
        figure.subplots(),
        {
            "teacher": {1: [98.5, 98.7], 12: [99.2, 99.3], 4: [99, 99.1]},
            "student": {1: [98.1], 12: [98.6], 4: [98.4]},
        },
        "Epoch",
        "Test accuracy (%)",
        {"without KD": [98.0, 98.1]},
    ),
    "reliability_diagram": lambda figure: figures.reliability_diagram(
        figure.subplots(), {"teacher": RELIABILITY}
    ),
    "architectures": lambda figure: figures.architectures(
        figure,
        {
            "teacher": [("pixels", "28 × 28 × 1", 0), ("convolution", "26 × 26 × 32", 320)],
            "student": [("pixels", "28 × 28 × 1", 0), ("dense", "784", 615_440)],
        },
    ),
    "weight_use": lambda figure: figures.weight_use(figure.subplots(), LAYERS),
    "call_times": lambda figure: figures.call_times(figure.subplots(), CALLS),
    "explanation_grid": lambda figure: figures.explanation_grid(
        figure,
        DIGITS,
        [f"label {label}" for label in "49203"],
        {
            "teacher": (MAPS, [f"says {label} ✓" for label in "49203"]),
            "teacher,\nGrad-CAM": (np.zeros_like(MAPS), ["says 3 ✗"] * 5),
        },
    ),
    "deletion_insertion": lambda figure: figures.deletion_insertion(figure, [0, 0.5, 1], CURVES),
    "rank_correlations": lambda figure: figures.rank_correlations(figure, CORRELATIONS),
}


def drawn(name):
    """The figure of that name on a plain ground."""
    figure = Figure(layout="constrained")
    DRAWINGS[name](figure)
    return figure


def as_image(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def contrast(first, second):
    """Contrast ratio of WCAG 2."""

    def luminance(color):
        channels = np.array(mpl.colors.to_rgb(color))
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return linear @ [0.2126, 0.7152, 0.0722] + 0.05

    ratio = luminance(first) / luminance(second)
    return max(ratio, 1 / ratio)


def test_bundle_holds_one_image_for_each_theme():
    bundle = figures.themed(lambda figure: figure.subplots().plot([1, 2]), "A line")
    parts = bundle._repr_mimebundle_()
    assert set(parts) == {"text/html", "image/png"}
    assert parts["image/png"] == bundle.light
    images = re.fullmatch(
        r'<div class="themed-figure"><img class="only-light" width="640" alt="A line" '
        r'src="data:image/png;base64,([^"]+)"><img class="only-dark" width="640" alt="A line" '
        r'src="data:image/png;base64,([^"]+)"><style>[^<]+</style></div>',
        parts["text/html"],
    ).groups()
    assert [base64.b64decode(image) for image in images] == [bundle.light, bundle.dark]


def test_the_themes_differ_in_ink_and_leave_the_ground_clear():
    bundle = figures.themed(lambda figure: figure.text(0.5, 0.5, "word"), "A word")
    light, dark = as_image(bundle.light), as_image(bundle.dark)
    assert light.shape == dark.shape == (800, 1280, 4)  # twice the pixels it has on the page
    for image, ink in ((light, figures.LIGHT["text"]), (dark, figures.DARK["text"])):
        assert image[0, 0, 3] == 0
        opaque = image[image[..., 3] == 255][:, :3]
        assert np.unique(opaque, axis=0).tolist() == [list(bytes.fromhex(ink[1:]))]


def test_drawing_leaves_no_settings_and_no_figure_behind():
    before = dict(mpl.rcParams)
    figures.themed(lambda figure: figure.subplots(), "Empty axes")
    assert dict(mpl.rcParams) == before
    assert mpl.pyplot.get_fignums() == []


def test_alt_text_is_escaped():
    bundle = figures.themed(lambda figure: None, 'T < 4 & "flat"')
    assert 'alt="T &lt; 4 &amp; &quot;flat&quot;"' in bundle._repr_mimebundle_()["text/html"]


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_empty_alt_text_is_refused(alt):
    with pytest.raises(ValueError, match="alt text"):
        figures.themed(lambda figure: None, alt)


@pytest.mark.parametrize(("theme", "page"), [(figures.LIGHT, "white"), (figures.DARK, "#14181e")])
def test_words_are_readable_on_their_page(theme, page):
    for color in [theme["text"], *theme["series"].split()]:
        assert contrast(color, page) >= 4.5, color


@pytest.mark.parametrize("name", DRAWINGS)
def test_words_are_large_enough_and_inside_the_figure(name):
    require_legible(DRAWINGS[name])


def test_temperature_curve_draws_means_intervals_and_seeds():
    [axes] = drawn("temperature_curve").axes
    intervals = [
        evaluation.mean_interval(100 * evaluation.accuracies(CURVE[t]))
        for t in (1, 2, 4, 16, 32, 64)
    ]
    [bars] = axes.containers
    line, _, [spread] = bars.lines
    assert line.get_xdata().tolist() == [1, 2, 4, 16, 32, 64]
    np.testing.assert_allclose(line.get_ydata(orig=False), [i.mean for i in intervals])
    ends = [segment[:, 1] for segment in spread.get_segments()]
    np.testing.assert_allclose(ends, [[i.low, i.high] for i in intervals])
    points = [line.get_ydata().tolist() for line in axes.lines[:6]]
    np.testing.assert_allclose(points[1], [98.56, 98.58, 98.53])
    assert axes.get_xscale() == "log"
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "2", "4", "16", "32", "64"]
    assert axes.get_ylabel() == "Test accuracy (%)"


def test_temperature_curve_draws_band_and_teacher():
    [axes] = drawn("temperature_curve").axes
    interval = evaluation.mean_interval(100 * evaluation.accuracies(WITHOUT))
    [band] = axes.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx(
        (interval.low, interval.high)
    )
    across = [line.get_ydata()[0] for line in axes.lines if list(line.get_xdata()) == [0, 1]]
    assert across == pytest.approx([interval.mean, 99.206667])
    assert [text.get_text() for text in axes.texts] == [
        "student\nwithout KD",
        "student\nwith KD",
        "teacher",
    ]


def test_one_seed_is_drawn_without_an_interval():
    axes = Figure(layout="constrained").subplots()
    figures.temperature_curve(axes, {t: group[:1] for t, group in CURVE.items()}, WITHOUT[:1])
    assert not axes.patches
    low, high = axes.get_ylim()
    assert low < 98.18
    assert 98.81 < high < 99


def test_labels_beside_lines_do_not_overlap():
    figure = Figure(layout="constrained")
    figures.temperature_curve(figure.subplots(), CURVE, CURVE[64], CURVE[64])
    figure.draw_without_rendering()
    boxes = sorted((t.get_window_extent() for t in figure.axes[0].texts), key=lambda box: box.y0)
    assert len(boxes) == 3
    assert all(lower.y1 <= upper.y0 for lower, upper in itertools.pairwise(boxes))


def test_tuning_heatmap_writes_percent_and_frames_the_choice():
    [axes] = drawn("tuning_heatmap").axes
    words = {text.get_position(): text.get_text() for text in axes.texts}
    assert words == {
        (0.5, 0.5): "98.11",
        (1.5, 0.5): "98.22",
        (0.5, 1.5): "98.33",
        (1.5, 1.5): "98.44",
        (2.5, 1.5): "98.55",
    }
    [frame] = axes.patches
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((2, 1), 1, 1)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["2", "4", "8"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["0.5", "0.9"]
    assert axes.get_ylim() == (0, 2)  # alpha upwards


def test_paired_seeds_joins_each_seed():
    [axes] = drawn("paired_seeds").axes
    joined = [line.get_ydata().tolist() for line in axes.lines if len(line.get_xdata()) == 2]
    np.testing.assert_allclose(joined, [[98.18, 98.81], [98.30, 98.79], [98.09, 98.85]])
    assert [t.get_text() for t in axes.get_xticklabels()] == [
        "without KD\n98.19 %",
        "with KD\n98.82 %",
    ]
    means = [bars.lines[0].get_ydata()[0] for bars in axes.containers]
    assert means == pytest.approx([98.19, 98.816667])


def test_paired_seeds_refuses_other_seeds():
    axes = Figure().subplots()
    with pytest.raises(ValueError, match="seed by seed"):
        figures.paired_seeds(axes, {"without KD": WITHOUT, "with KD": CURVE[4][:2]})


def test_the_ranking_goes_from_the_best_down_and_compares_with_one_of_them():
    left, right = drawn("ranking").axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["teacher", "KD", "low"]
    groups = {"teacher": TEACHER, "KD": CURVE[4], "low": WITHOUT}
    means = [100 * evaluation.accuracies(group).mean() for group in groups.values()]
    np.testing.assert_allclose([bars.lines[0].get_xdata()[0] for bars in left.containers], means)
    differences = [
        100 * evaluation.compare(groups[name], CURVE[4]).difference for name in ("teacher", "low")
    ]
    found = [bars.lines[0].get_xdata()[0] for bars in right.containers]
    np.testing.assert_allclose(found, differences)
    assert left.get_ylim() == (2.5, -0.5)
    assert right.get_xlabel() == "Points above KD"


def test_learning_curves_draw_mean_and_range():
    [axes] = drawn("learning_curves").axes
    with_kd, teacher = axes.lines
    assert with_kd.get_xdata().tolist() == [1, 2, 3]
    np.testing.assert_allclose(with_kd.get_ydata(), [0.6, 0.25, 0.12])
    np.testing.assert_allclose(teacher.get_ydata(), [0.4, 0.2, 0.11])
    corners = axes.collections[0].get_paths()[0].vertices
    first = corners[corners[:, 0] == 1, 1]
    assert (first.min(), first.max()) == (0.5, 0.7)
    assert axes.get_yscale() == "log"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch", "Loss (log scale)")
    assert {t.get_text() for t in axes.texts} == set(HISTORIES)


@pytest.mark.parametrize(
    ("quantity", "label"),
    [
        ("val_accuracy", "Validation error (%, log scale)"),
        ("accuracy", "Training error (%, log scale)"),
    ],
)
def test_learning_curves_draw_accuracies_as_errors(quantity, label):
    axes = Figure(layout="constrained").subplots()
    figures.learning_curves(axes, {"a": records(1, **{quantity: [[0.9, 0.95]]})}, quantity)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [10, 5])
    assert axes.get_ylabel() == label
    assert axes.get_yscale() == "log"


def test_interval_curves_draw_means_intervals_and_levels():
    [axes] = drawn("interval_curves").axes
    [bars] = axes.containers
    line, _, [spread] = bars.lines
    np.testing.assert_allclose(line.get_xydata(), [[1, 98.6], [4, 99.05], [12, 99.25]])
    expected = evaluation.mean_interval([98.5, 98.7])
    np.testing.assert_allclose(
        spread.get_segments()[0][:, 1], [expected.low, expected.high], rtol=1e-12
    )
    single, level = axes.lines[-2:]
    np.testing.assert_allclose(single.get_xydata(), [[1, 98.1], [4, 98.4], [12, 98.6]])
    np.testing.assert_allclose(level.get_ydata(), 98.05)
    assert [t.get_text() for t in axes.texts] == ["without KD", "student", "teacher"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch", "Test accuracy (%)")


def test_class_errors_stand_side_by_side_and_start_at_zero():
    figure = drawn("class_errors")
    [axes] = figure.axes
    [bars] = axes.containers
    line, _, [spread] = bars.lines
    np.testing.assert_allclose(line.get_xydata(), [[-0.15, 2], [0.85, 2], [1.85, 5]])
    expected = evaluation.mean_interval([3, 7])
    ends = spread.get_segments()[2][:, 1]
    np.testing.assert_allclose(ends, [expected.low, expected.high])
    np.testing.assert_allclose(axes.lines[-1].get_xydata(), [[0.15, 4], [1.15, 5], [2.15, 6]])
    assert axes.get_ylim()[0] == 0
    assert [t.get_text() for t in axes.get_xticklabels()] == ["a", "b", "c"]
    [legend] = figure.legends
    assert {t.get_text() for t in legend.texts} == {"with KD", "without KD"}


def test_soft_targets_has_a_panel_for_each_temperature():
    panels = drawn("soft_targets").axes
    assert [axes.get_title(loc="left") for axes in panels] == ["T = 1", "T = 4", "T = 16"]
    assert [bar.get_height() for bar in panels[1].patches] == [0.2, 0.7, 0.1]
    assert [t.get_text() for t in panels[2].get_xticklabels()] == ["a", "b", "c"]
    assert panels[0].get_ylim()[0] == 0
    assert [t.get_text() for axes in panels for t in axes.texts] == ["0.98", "0.70", "0.40"]


def test_learning_curves_of_many_epochs_keep_their_markers_apart():
    axes = Figure(layout="constrained").subplots()
    figures.learning_curves(axes, {"a": records(1, val_nll=[[0.1] * 100])}, "val_nll")
    assert axes.lines[0].get_markevery() == 5
    assert axes.get_ylabel() == "Validation NLL (log scale)"


def test_dark_knowledge_leaves_the_right_class_to_its_title():
    picture, first, other_picture, second = drawn("dark_knowledge").axes
    np.testing.assert_array_equal(picture.images[0].get_array(), DIGITS[0, ..., 0])
    np.testing.assert_array_equal(other_picture.images[0].get_array(), DIGITS[1, ..., 0])
    assert [bar.get_height() for bar in first.patches] == [0.05, 0, 0.05, 0]
    assert [bar.get_height() for bar in second.patches] == [0.25, 0.15, 0.2, 0]
    assert first.get_title(loc="left") == "right class b: 0.90"
    assert second.get_title(loc="left") == "right class d: 0.40"
    assert [t.get_text() for t in second.texts] == ["0.20", "0.25"]
    assert first.get_ylim() == second.get_ylim() == (0, 0.3125)


def test_subclasses_stand_in_the_order_of_their_digits():
    [axes] = drawn("subclass_use").axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "3", "1"]
    written = [text.get_text() for text in axes.texts]
    assert written == ["90", "0", "10", "20", "60", "20", "10", "10", "80"]


def test_similarity_writes_the_means_of_wrong_classes_in_percent():
    [axes] = drawn("similarity").axes
    words = {text.get_position(): text.get_text() for text in axes.texts}
    assert words == {
        (1.5, 0.5): "30.0",
        (2.5, 0.5): "10.0",
        (0.5, 1.5): "10.0",
        (2.5, 1.5): "10.0",
        (0.5, 2.5): "30.0",
        (1.5, 2.5): "10.0",
    }


def test_gradient_limit_draws_both_panels_on_log_scales():
    panels = drawn("gradient_limit").axes
    for axes, curves in zip(panels, (DISTANCES, LENGTHS), strict=True):
        assert [line.get_ydata().tolist() for line in axes.lines] == list(curves.values())
        assert axes.get_xscale() == axes.get_yscale() == "log"
        assert {t.get_text() for t in axes.texts} == set(curves)
    assert [t.get_text() for t in panels[1].get_xticklabels()] == ["0.5", "64"]


def test_balance_curves_draw_accuracy_and_both_distances():
    accuracy, labels, teacher = drawn("balance_curves").axes
    [bars] = accuracy.containers
    line, _, [spread] = bars.lines
    np.testing.assert_allclose(line.get_xydata(), [[0.1, 98.63], [0.5, 98.82], [0.9, 98.71]])
    low, high = proportion_confint(np.array([9863, 9882, 9871]), 10_000, method="wilson")
    ends = [segment[:, 1] for segment in spread.get_segments()]
    np.testing.assert_allclose(ends, 100 * np.transpose([low, high]))
    np.testing.assert_allclose(labels.lines[0].get_ydata(), [0.002, 0.006, 0.010])
    np.testing.assert_allclose(teacher.lines[0].get_ydata(), [0.007, 0.003, 0.002])
    assert accuracy.get_ylabel() == "Test\naccuracy (%)"
    assert labels.get_ylim()[0] == teacher.get_ylim()[0] == 0


def test_intervals_draw_mean_interval_and_single_values():
    panels = drawn("intervals").axes
    assert [axes.get_title(loc="left") for axes in panels] == list(PANELS)
    for axes, groups in zip(panels, PANELS.values(), strict=True):
        assert [t.get_text() for t in axes.get_yticklabels()] == ["without KD", "with KD"]
        for row, (bars, values) in enumerate(zip(axes.containers, groups.values(), strict=True)):
            expected = evaluation.mean_interval(values)
            mean, _, [spread] = bars.lines
            np.testing.assert_allclose(mean.get_xydata(), [[expected.mean, row]])
            ends = spread.get_segments()[0][:, 0]
            np.testing.assert_allclose(ends, [expected.low, expected.high])
        dots = [line.get_xdata() for line in axes.lines if line.get_marker() == "."]
        np.testing.assert_allclose(dots, list(groups.values()))


def test_bias_curves_draw_mean_range_and_choice_in_percent():
    [axes] = drawn("bias_curves").axes
    overall, threes, chosen = axes.lines
    np.testing.assert_allclose(overall.get_xydata(), [[0, 4], [1, 2.5], [2, 3]])
    np.testing.assert_allclose(threes.get_ydata(), [30, 10, 6])
    assert list(chosen.get_xdata()) == [1, 1]
    corners = axes.collections[1].get_paths()[0].vertices
    first = corners[corners[:, 0] == 0, 1]
    np.testing.assert_allclose((first.min(), first.max()), (20, 40))
    assert {t.get_text() for t in axes.texts} == {"all", "3s"}
    assert axes.get_ylim()[0] == 0


def test_disagreements_show_image_label_and_both_predictions():
    panels = drawn("disagreements").axes
    assert len(panels) == 5
    np.testing.assert_array_equal(panels[2].images[0].get_array(), DIGITS[2, ..., 0])
    assert panels[0].get_title() == "label 4"
    assert panels[0].get_xlabel() == "with KD 4 ✓\nwithout KD 9 ✗"
    assert panels[2].get_xlabel() == "with KD 2 ✓\nwithout KD 2 ✓"


def test_explanations_stand_beside_their_digit_on_a_scale_about_zero():
    figure = drawn("explanation_grid")
    panels, [bar] = (part.axes for part in figure.subfigs)
    assert len(panels) == 15
    digit, teacher, cam = panels[6:9]
    np.testing.assert_array_equal(digit.images[0].get_array(), DIGITS[2, ..., 0])
    np.testing.assert_array_equal(teacher.images[0].get_array(), MAPS[2])
    low, high = teacher.images[0].get_clim()
    assert -low == high == np.abs(MAPS[2]).max()
    assert cam.images[0].get_clim() == (-1, 1), "an empty map is grey throughout"
    assert [axes.get_xlabel() for axes in (digit, teacher, cam)] == [
        "label 2",
        "says 2 ✓",
        "says 3 ✗",
    ]
    assert [axes.get_title() for axes in panels[:3]] == ["", "teacher", "teacher,\nGrad-CAM"]
    words = [text.get_text() for text in bar.get_xticklabels()]
    assert words == ["against the class", "nothing", "for the class"]


def test_colours_of_explanations_are_told_apart_by_lightness_alone():
    luminance = mpl.colormaps["cividis"](np.linspace(0, 1, 9))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()


def test_deletion_insertion_has_a_row_for_each_model_and_one_style_for_each_order():
    figure = drawn("deletion_insertion")
    panels = figure.axes
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == [f"{m}: {w}" for m in CURVES for w in ("deletion", "insertion")]
    assert panels[3].lines[0].get_xydata().tolist() == [[0, 0], [0.5, 0.9], [1, 1]]
    teacher, student = ({line.get_label(): line for line in panels[i].lines} for i in (0, 2))
    assert list(student) == ["occlusion", "random"]
    for order, line in student.items():
        assert line.get_color() == teacher[order].get_color()
    assert len({line.get_linestyle() for line in teacher.values()}) == 3
    [legend] = figure.legends
    assert [t.get_text() for t in legend.texts] == ["occlusion", "Grad-CAM", "random"]


def test_rank_correlations_draw_seeds_and_their_interval():
    panels = drawn("rank_correlations").axes
    assert [axes.get_title(loc="left") for axes in panels] == list(CORRELATIONS)
    bars = panels[1].containers[0]
    line, _, [spread] = bars.lines
    interval = evaluation.mean_interval([0.6, 0.5, 0.7])
    assert line.get_xydata().tolist() == [[pytest.approx(0.6), 0]]
    np.testing.assert_allclose(spread.get_segments()[0][:, 0], [interval.low, interval.high])
    seeds = [line for line in panels[1].lines if line.get_marker() == "."]
    assert seeds[0].get_xdata().tolist() == [0.6, 0.5, 0.7]
    assert [t.get_text() for t in panels[0].get_yticklabels()] == ["student with KD", "untrained"]


def test_live_comparison_draws_runs_and_where_a_further_one_falls():
    figure = drawn("live_comparison")
    [axes] = figure.axes
    live = [line.get_xdata().item() for line in axes.lines if line.get_label() == "live"]
    assert live == pytest.approx([99.21, 98.18, 98.81])
    recorded = [line.get_xdata() for line in axes.lines if line.get_label() == "recorded"]
    np.testing.assert_allclose(recorded, [[99.21, 99.25, 99.16], [98.18, 98.30, 98.09]])
    expected = evaluation.prediction_interval([99.21, 99.25, 99.16])
    reach = axes.collections[0].get_paths()[0].vertices[:, 0]
    assert (reach.min(), reach.max()) == pytest.approx((expected.low, expected.high))
    assert [t.get_text() for t in axes.get_yticklabels()] == ["teacher", "student", "new"]
    [legend] = figure.legends
    assert [t.get_text() for t in legend.texts] == ["expected (95 %)", "recorded", "live"]


def test_reliability_diagram_leaves_out_bins_of_few_images():
    [axes] = drawn("reliability_diagram").axes
    [bars] = axes.containers
    line, _, [spread] = bars.lines
    assert line.get_xydata().tolist() == [[0.4, 0.5], [0.9, 0.88]]
    ends = [segment[:, 1] for segment in spread.get_segments()]
    low, high = proportion_confint([5, 88], [10, 100], method="wilson")
    np.testing.assert_allclose(ends, np.transpose([low, high]))
    assert axes.lines[0].get_xydata().tolist() == [[0, 0], [1, 1]]


def test_weight_use_joins_parameters_and_macs_of_every_layer_and_of_all():
    [axes] = drawn("weight_use").axes
    labels = ["CNN conv", "CNN logits", "CNN, all", "MLP h1", "MLP, all"]
    assert [t.get_text() for t in axes.get_yticklabels()] == labels
    assert [t.get_fontweight() == "bold" for t in axes.get_yticklabels()] == [0, 0, 1, 0, 1]
    parameters, macs = (
        line for line in axes.lines if line.get_label() in ("parameters", "MACs of an image")
    )
    assert list(parameters.get_xdata()) == [20, 180, 200, 330, 370]
    assert list(macs.get_xdata()) == [16_200, 180, 16_380, 300, 300]
    for line in (parameters, macs):
        assert list(line.get_ydata()) == list(axes.get_yticks()) == [0, 1, 2, 3.5, 4.5]
    ways = [list(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2]
    np.testing.assert_array_equal(ways, np.transpose([parameters.get_xdata(), macs.get_xdata()]))
    # All in all the 18 + 180 entries of the kernels take part in 16,380 MACs.
    assert [t.get_text() for t in axes.texts] == ["× 900", "× 1", "× 82.7", "× 1", "× 1"]
    assert axes.get_xscale() == "log"


def test_call_times_draw_median_and_quartiles_in_milliseconds():
    figure = drawn("call_times")
    [axes] = figure.axes
    kinds = ["1 image\n2 threads", "256 images\n1 thread"]
    assert [t.get_text() for t in axes.get_yticklabels()] == kinds
    teacher, student = axes.containers
    for bars, median, ends, side in (
        (teacher, [90, 2], [[80, 120], [1.6, 2.1]], -0.1),
        (student, [10, 1.8], [[9, 12], [1.5, 2.6]], 0.1),
    ):
        line, _, [spread] = bars.lines
        assert line.get_xdata() == pytest.approx(median)
        assert line.get_ydata() == pytest.approx([1 + side, side])
        np.testing.assert_allclose([s[:, 0] for s in spread.get_segments()], ends)
    assert [t.get_text() for t in figure.legends[0].texts] == ["teacher", "student"]


def test_architectures_frame_what_has_parameters_and_say_how_many():
    panels = drawn("architectures").axes
    assert [axes.get_title() for axes in panels] == ["teacher", "student"]
    for axes, layer, shape in (
        (panels[0], "convolution\n320 parameters", "26 × 26 × 32"),
        (panels[1], "dense\n615,440 parameters", "784"),
    ):
        texts = {text.get_text(): text for text in axes.texts if text.get_text()}
        assert set(texts) == {"pixels", "28 × 28 × 1", layer, shape}
        framed = [text for text in texts if texts[text].get_bbox_patch() is not None]
        assert framed == [layer]
        # From the input down, each beside the shape that comes out of it.
        assert texts[layer].xy[1] == texts[shape].xy[1] < texts["pixels"].xy[1]
