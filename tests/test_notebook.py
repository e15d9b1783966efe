import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import toy
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import HTML
from IPython.utils.capture import capture_output
from myst_nb import glue as myst_nb_glue
from traitlets.config import Config

from kdutils import notebook
from kdutils.analyses import Analysis
from kdutils.evaluation import Comparison, Interval
from kdutils.ledger import Ledger
from kdutils.parameters import ParameterError
from kdutils.paths import BUILD, RESULTS

DECLARED = {"profile": str, "seeds": list[int], "epochs": int, "rate": float}
DEFAULTS = {"profile": "custom", "seeds": [0, 1], "epochs": 12, "rate": 0.1}


@pytest.fixture(scope="module", autouse=True)
def shell():
    """IPython's shell, as in a kernel; without it nothing is displayed."""
    main = sys.modules["__main__"]
    yield InteractiveShell.instance(config=Config({"HistoryManager": {"hist_file": ":memory:"}}))
    InteractiveShell.clear_instance()
    sys.modules["__main__"] = main  # the shell puts a module of its own there


def shown(function, *arguments, **named):
    """What a call displays: for each output its data and its metadata."""
    with capture_output() as captured:
        function(*arguments, **named)
    return [(output.data, output.metadata) for output in captured.outputs]


def displayed_html(function, *arguments):
    ((data, _),) = shown(function, *arguments)
    return data["text/html"]


# --- parameters


def namespace(*cells, **values):
    """The globals of a notebook whose cells were run: IPython keeps their sources in `In`."""
    return {"__annotations__": dict(DECLARED), "In": ["", *cells], **DEFAULTS, **values}


def injected(**values):
    """What papermill writes for these values, and what has become of them."""
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    return namespace("epochs: int = 12", "\n".join(["# Parameters", *lines, ""]), **values)


def test_the_defaults_and_fitting_values_are_accepted():
    notebook.check_parameters(namespace())
    notebook.check_parameters(injected())
    notebook.check_parameters(injected(profile="smoke", seeds=[3], epochs=1, rate=1))


def test_unknown_parameters_and_wrong_types_are_all_named():
    with pytest.raises(ParameterError) as caught:
        notebook.check_parameters(injected(epoch=3, rate="1e-3", seeds=[0.5]))
    assert caught.value.faults == [
        "parameters: seeds must be list[int], not [0.5]",
        "parameters: rate must be float, not '1e-3'; '1e-3' is text in YAML; write 1.0e-3",
        "parameters: no parameter 'epoch'; it has profile, seeds, epochs, rate",
    ]


def test_a_wrong_type_typed_into_the_parameters_cell_is_refused():
    with pytest.raises(ParameterError, match="epochs must be int, not 'three'"):
        notebook.check_parameters(namespace('epochs: int = "three"', epochs="three"))


def test_later_in_a_session_other_variables_do_not_matter():
    later = injected(epochs=3)
    later |= {"records": [], "epoch": 7, "figure": object()}
    later["In"] += ["# Parameters of a figure\nepoch = 7", "records = []"]
    notebook.check_parameters(later)


def test_an_injected_cell_that_was_corrected_and_run_again_counts_as_it_is_now():
    corrected = injected(epochs=3)
    corrected["In"].insert(2, "# Parameters\nepoch = 3\n")
    notebook.check_parameters(corrected)
    corrected["In"].append("# Parameters\nepoch = 3\n")
    corrected["epoch"] = 3
    with pytest.raises(ParameterError, match="no parameter 'epoch'"):
        notebook.check_parameters(corrected)


def test_areas_are_written_with_three_digits_and_their_range():
    assert notebook.auc(Interval(0.9684, 0.01, 0.9512, 0.9856, 5)) == "0.968 (0.951 to 0.986)"
    assert notebook.auc(Interval(0.9684, float("nan"), 0.9684, 0.9684, 1)) == "0.968 (one run)"
    change = Comparison(-0.0124, -0.02, 0.003, 0.2, 5, "no difference")
    assert notebook.auc_change(change) == "−0.012 (−0.020 to +0.003)"


# --- the ledger of a page


@pytest.mark.parametrize("profile", ["smoke", "custom"])
def test_a_page_of_another_profile_carries_a_banner(monkeypatch, profile):
    monkeypatch.delenv("KDUTILS_LEDGER", raising=False)
    (data, _), (glued, metadata) = shown(notebook.begin, profile)
    assert data["text/html"].startswith('<div class="profile-banner">')
    assert f"Profile “{profile}”." in data["text/html"]
    assert glued[f"{notebook.GLUE_PREFIX}text/html"] == data["text/html"]
    assert metadata["scrapbook"]["name"] == "banner"


def test_a_simulated_track_has_a_banner_at_every_profile(monkeypatch):
    monkeypatch.delenv("KDUTILS_LEDGER", raising=False)
    (data, _), _ = shown(notebook.begin, "full", "synthetic")
    assert "<strong>Simulated tiles.</strong> The images of this page were" in data["text/html"]
    (data, _), _ = shown(notebook.begin, "smoke", "synthetic")
    assert data["text/html"].count('<div class="profile-banner">') == 2
    ((glued, _),) = shown(notebook.begin, "full", "kather")
    assert "profile-banner" not in str(glued)


def test_the_published_protocol_has_no_banner(monkeypatch):
    monkeypatch.delenv("KDUTILS_LEDGER", raising=False)
    ((glued, metadata),) = shown(notebook.begin, "full")
    assert glued[f"{notebook.GLUE_PREFIX}text/html"] == "<span hidden></span>"
    assert metadata["scrapbook"]["name"] == "banner"


@pytest.mark.parametrize(
    ("profile", "published"), [("full", RESULTS), ("custom", RESULTS), ("quick", None)]
)
def test_a_page_reads_published_records_where_they_answer_for_it(monkeypatch, profile, published):
    monkeypatch.delenv("KDUTILS_LEDGER", raising=False)
    assert notebook.begin(profile) == Ledger(BUILD / "ledger" / profile, published)


def test_the_name_of_a_profile_is_text():
    (data, _), _ = shown(notebook.begin, "<script>")
    assert "<script>" not in data["text/html"]
    assert "“&lt;script&gt;”" in data["text/html"]


def test_a_ledger_can_be_named_from_outside(monkeypatch, tmp_path):
    monkeypatch.setenv("KDUTILS_LEDGER", str(tmp_path / "mine"))
    ledger = notebook.begin("full")
    assert ledger == Ledger(tmp_path / "mine", cache=tmp_path / "mine" / "cache")
    assert ledger.published is None


# --- numbers for the prose


@pytest.mark.parametrize("value", [3, 0.25, "text", True, None, HTML("<b>x</b>")])
def test_glue_gives_what_myst_nb_gives(value):
    assert shown(notebook.glue, "name", value) == shown(myst_nb_glue, "name", value, False)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.float64(0.25), "0.25"),
        (np.float32(0.5), "0.5"),
        (np.int64(7), "7"),
        (np.bool_(True), "True"),
        (np.array(1.5), "1.5"),
        (np.array([1.5]), "array([1.5])"),
        ("a text", "'a text'"),
    ],
)
def test_glue_writes_numpys_scalars_as_numbers(value, text):
    assert shown(notebook.glue, "accuracy_2", value) == [
        (
            {"application/papermill.record/text/plain": text},
            {
                "scrapbook": {
                    "name": "accuracy_2",
                    "mime_prefix": "application/papermill.record/",
                }
            },
        )
    ]


@pytest.mark.parametrize("name", ["teacher:accuracy", "two words", "", "a-b", "a.b"])
def test_glue_refuses_names_that_prose_cannot_use(name):
    with pytest.raises(ValueError, match="letters, digits and underscores") as caught:
        notebook.glue(name, 1)
    assert repr(name) in str(caught.value)


def test_glue_all_glues_each_value_by_its_name():
    outputs = shown(notebook.glue_all, first=1, second=2.5)
    assert [
        (metadata["scrapbook"]["name"], data[f"{notebook.GLUE_PREFIX}text/plain"])
        for data, metadata in outputs
    ] == [("first", "1"), ("second", "2.5")]


def test_glue_figure_glues_both_themes_with_their_description():
    ((data, metadata),) = shown(
        notebook.glue_figure, "curve", lambda figure: figure.subplots(), "A <rising> line."
    )
    page = data[f"{notebook.GLUE_PREFIX}text/html"]
    assert re.findall(r'class="(only-\w+)"', page) == ["only-light", "only-dark"]
    assert page.count('alt="A &lt;rising&gt; line."') >= 1
    assert f"{notebook.GLUE_PREFIX}image/png" in data
    assert metadata["scrapbook"]["name"] == "curve"


def test_percent_gives_the_mean_and_its_range():
    interval = Interval(mean=0.98765, sd=0.001, low=0.98, high=0.99501, count=5)
    assert notebook.percent(interval) == "98.77 % (98.00 to 99.50)"
    alone = Interval(0.5, np.nan, np.nan, np.nan, 1)
    assert notebook.percent(alone) == "50.00 % (one run)"


def test_points_carry_their_sign():
    better = Comparison(0.0123, 0.001, 0.0236, 0.01, 5, "higher")
    assert notebook.points(better) == "+1.23 points (+0.10 to +2.36)"
    worse = Comparison(-0.0123, -0.0236, 0.001, 0.2, 5, "no difference")
    assert notebook.points(worse) == "−1.23 points (−2.36 to +0.10)"
    alone = Comparison(-0.02, np.nan, np.nan, np.nan, 1, "not tested")
    assert notebook.points(alone) == "−2.00 points"


def test_signed_differences_keep_their_unit_and_digits():
    interval = Interval(mean=-0.0058, sd=0.01, low=-0.0109, high=0.0007, count=10)
    assert notebook.signed(interval, 4) == "−0.0058 (−0.0109 to +0.0007)"
    assert notebook.signed(replace(interval, mean=5.52, count=1), 1, " points") == "+5.5 points"
    assert notebook.change(-0.0058, 4) == "−0.0058"
    assert notebook.change(5.52, 1) == "+5.5"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "p < 0.001"),
        (0.00099, "p < 0.001"),
        (0.001, "p = 0.001"),
        (0.0314, "p = 0.031"),
        (0.25, "p = 0.25"),
        (1.0, "p = 1"),
        (np.nan, "not tested"),
    ],
)
def test_p_values_have_two_digits(value, text):
    assert notebook.p_value(value) == text


# --- provenance


@pytest.fixture
def small(monkeypatch):
    toy.install(monkeypatch.setitem)


def rows(page):
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    return [re.findall(r"<td>(.*?)</td>", row) for row in body.split("</tr>") if row]


def test_provenance_lists_each_record_once_and_adds_up_their_time(small):
    longer = toy.record(toy.teacher(epochs=12), study="q04", seconds=120.0)
    shorter = toy.record(toy.teacher(epochs=6), study="q04", seconds=60.0, prefix_of=longer.key)
    student = toy.record(toy.student(validation=20), correct=85, study="q05", seconds=30.4)
    page = displayed_html(notebook.provenance, [longer, student, shorter, longer])
    # The snapshot took no time of its own.
    assert "Made from 3 recorded runs, 2.5 minutes of training. Repeat" in page
    assert "stale" not in page
    table = rows(page)
    assert [row[0] for row in table] == [
        f"<code>{record.key}</code> " for record in (longer, student, shorter)
    ]
    assert table[1][1:6] == [
        "mnist_student · 2 epochs · batches of 40 · seed 0",
        "validation",
        "85 of 100",
        "30",
        "2026-01-02",
    ]
    assert [row[4] for row in table] == ["120", "30", "snapshot"]
    assert table[1][7] == "q05.jsonl"
    machine, backend = student.machine, student.backend
    computed_with = f"{backend} {student.versions[backend]}, {machine['processor']}, "
    assert table[1][6] == f"{computed_with}{machine['cores']} cores"


def test_provenance_marks_what_the_code_has_changed_since(small):
    fresh, stale = (toy.record(toy.student(seed), study="q07") for seed in (0, 1))
    page = displayed_html(notebook.provenance, [fresh, replace(stale, stale=True)])
    badge = '<span class="stale-badge"'
    summary, table = page.split("</summary>")
    assert f"of training · 1 {badge}" in summary
    assert table.count(badge) == 1
    assert [badge in row[0] for row in rows(page)] == [False, True]


def test_provenance_of_measurements_alone_speaks_of_no_runs():
    measured = Analysis(
        function="kdutils.vanishing:measure",
        runs=(),
        trained=(),
        parameters={},
        values={},
        seconds=12.3,
        code="c",
        versions={"keras": "3.0"},
        machine={"processor": "A", "cores": 2},
        finished="2026-01-02T03:04:05+00:00",
        study="q01",
    )
    page = displayed_html(notebook.provenance, [], [measured])
    assert "Made from recorded measurements (1) that need no training. Repeat them with" in page
    assert "--fresh --notebook NAME" in page
    assert "kdutils run KEY" not in page
    assert rows(page)[0][1:5] == ["kdutils.vanishing:measure", "0 models", "12", "2026-01-02"]


def test_provenance_shows_texts_as_texts(small):
    machine = {"system": "Linux", "processor": "A&B <i>9</i>", "cores": 2}
    record = toy.record(toy.student(), machine=machine, study="<b>")
    page = displayed_html(notebook.provenance, [record])
    assert "A&amp;B &lt;i&gt;9&lt;/i&gt;, 2 cores" in page
    assert "&lt;b&gt;.jsonl" in page
    assert "<b>" not in page
    assert "<i>" not in page


# --- before anything slow


def test_importing_it_imports_nothing_slow():
    slow = {"keras", "tensorflow", "jax", "torch", "pandas", "matplotlib", "scipy", "sphinx"}
    code = "import sys, kdutils.notebook; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(os.sep),
    )
    loaded = set(done.stdout.split())
    assert "kdutils" in loaded
    assert loaded & slow == set()
