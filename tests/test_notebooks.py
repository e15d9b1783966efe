import json
import os
import re
import shutil
import subprocess
import sys

import jupytext
import nbformat
import pytest
import yaml

from kdutils import parameters, report
from kdutils.data.mnist import TRAIN_SIZE
from kdutils.ledger import Ledger
from kdutils.paths import NOTEBOOKS, ROOT

NAMES = report.notebook_names()
PROFILES = ("smoke", "quick", "full")

# A smoke-size notebook takes 5 to 30 s on an idle machine of two cores, and the one that trains
# every method several times as long. In CI two of them and other tests share the two cores, and
# elsewhere they take whatever the machine can spare, so it is mainly their work that is bounded, in
# images seen.
CI_SECONDS = 300
RUN_IMAGES, REPORT_IMAGES = 2_000, 60_000


def source(name):
    return jupytext.read(NOTEBOOKS / f"{name}.md")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def declared(name):
    (cell,) = (cell for cell in source(name).cells if "parameters" in cell.metadata.get("tags", []))
    return parameters.declared(cell.source, name)


def profile_values(profile, name):
    path = NOTEBOOKS / "profiles" / profile / f"{name}.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_every_notebook_is_in_the_table_of_contents():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.md")) == sorted(NAMES)


# --- the paired .ipynb


def drifted(root, scratch):
    """The notebooks whose .ipynb is not what `kdutils pair` writes."""
    (scratch / "notebooks").mkdir(parents=True)
    shutil.copy(root / "_toc.yml", scratch)
    for path in (root / "notebooks").glob("*.md"):
        shutil.copy(path, scratch / "notebooks")
    return [
        path.stem
        for path in report.pair(scratch)
        if json.loads(path.read_bytes())
        != json.loads((root / "notebooks" / path.name).read_bytes())
    ]


def test_every_notebook_has_an_ipynb_and_no_ipynb_is_left_over():
    assert sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb")) == sorted(NAMES), (
        "run: kdutils pair"
    )


@pytest.mark.parametrize("name", NAMES)
def test_an_ipynb_holds_no_outputs(name):
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert [cell.outputs for cell in code_cells(notebook) if cell.outputs] == []
    assert {cell.execution_count for cell in code_cells(notebook)} == {None}
    assert notebook.metadata.jupytext.formats == "ipynb,md:myst"


def test_no_ipynb_has_drifted_from_its_md(tmp_path):
    assert drifted(ROOT, tmp_path) == [], "run: kdutils pair, or save the .md with Jupytext"


@pytest.mark.parametrize(
    ("change", "into"),
    [
        ("# Question 7:", "# Question 8:"),
        ("alpha: float = 0.5", "alpha: float = 0.6"),
        ("tags: [remove-cell]", "tags: [remove-call]"),
        ("display_name: Python 3", "display_name: Python 4"),
    ],
)
def test_a_drift_of_one_character_is_seen(tmp_path, change, into):
    (tmp_path / "root" / "notebooks").mkdir(parents=True)
    shutil.copy(ROOT / "_toc.yml", tmp_path / "root")
    for path in NOTEBOOKS.glob("*.md"):
        shutil.copy(path, tmp_path / "root" / "notebooks")
    paired = report.pair(tmp_path / "root")
    assert [path.stem for path in paired] == NAMES
    assert drifted(tmp_path / "root", tmp_path / "before") == []

    path = tmp_path / "root" / "notebooks" / "task1_q07_without_kd.md"
    text = path.read_text(encoding="utf-8")
    assert change in text
    path.write_text(text.replace(change, into, 1), encoding="utf-8")
    assert drifted(tmp_path / "root", tmp_path / "after") == ["task1_q07_without_kd"]


# --- parameters and profiles


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_declared_first_and_checked_at_once(name):
    first, second, *_ = code_cells(source(name))
    assert first.metadata.tags == ["parameters"]
    assert declared(name)["profile"] == (str, "custom")
    assert second.source.splitlines() == [
        "from kdutils import notebook",
        "",
        "notebook.check_parameters(globals())",
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_has_one_file_a_notebook(profile):
    files = sorted(os.listdir(NOTEBOOKS / "profiles" / profile))
    assert files == sorted(f"{name}.yaml" for name in NAMES)


def test_there_are_no_further_profiles():
    assert sorted(os.listdir(NOTEBOOKS / "profiles")) == sorted(PROFILES)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("name", NAMES)
def test_a_profile_fits_the_declared_parameters(profile, name):
    values = profile_values(profile, name)
    types = {parameter: annotation for parameter, (annotation, _) in declared(name).items()}
    parameters.check(values, types, f"{profile}/{name}.yaml")
    assert values["profile"] == profile


@pytest.mark.parametrize("name", NAMES)
def test_the_defaults_are_those_of_the_full_profile(name):
    defaults = {parameter: default for parameter, (_, default) in declared(name).items()}
    assert profile_values("full", name) == defaults | {"profile": "full"}


@pytest.mark.parametrize("profile", PROFILES)
def test_times_of_task_2_are_measured_for_one_page_and_shown_by_two(profile):
    names = ("networks", "sides", "images", "repetitions")
    asked = [
        {name: profile_values(profile, page)[name] for name in names}
        for page in ("task2_q01_architectures", "task2_q02_cost")
    ]
    assert asked[0] == asked[1]


# --- prose

# A typed result is a number with a decimal point, in per cent or points, outside of what is glued.
TYPED = re.compile(r"\d[\d,]*\.\d+\s*(?:%|(?:percentage\s+)?points?\b)")
# What is stated, not measured: the resolution of the report, `kdutils.evaluation.RESOLUTION`, and
# two figures of an earlier report, which is unpublished and cannot be cited.
STATED = {"0.1 points", "98.08 %", "97.88 %"}


def typed_results(markdown):
    """Numbers that look like results typed into prose; a sentence with a citation may have them."""
    text = re.sub(r"\{glue:text\}`[^`]*`", "", markdown)
    sentences = re.split(r"(?<=[.!?:;])\s+|\n\s*\n", text)
    return [
        " ".join(found.split())
        for sentence in sentences
        if "{cite" not in sentence
        for found in TYPED.findall(sentence)
    ]


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("The student reaches 98.41 % of them.", ["98.41 %"]),
        (
            "It gains +0.31 points, then\n1.25\npercentage points.",
            ["0.31 points", "1.25 percentage points"],
        ),
        ("Of them 98.4% are right. The paper {cite:p}`a` differs.", ["98.4%"]),
        ("It reaches {glue:text}`best:.2f` % and {glue:text}`gap:+.2f` points.", []),
        ("The paper reports 98.41 % {cite:p}`hinton2015`.", []),
        ("Bars are 95 % intervals at α = 0.5; version 2.1, 10 points on a line.", []),
    ],
)
def test_typed_results_are_found_with_few_false_alarms(markdown, found):
    assert typed_results(markdown) == found


@pytest.mark.parametrize("name", NAMES)
def test_no_result_is_typed_into_prose(name):
    prose = [cell.source for cell in source(name).cells if cell.cell_type == "markdown"]
    assert set(typed_results("\n\n".join(prose))) - STATED == set()


# --- execution


def test_smoke_notebooks_are_quick(smoke_report, record_property):
    folder = smoke_report / "executed" / "smoke"
    seconds = {
        name: nbformat.read(folder / f"{name}.ipynb", as_version=4).metadata.papermill.duration
        for name in NAMES
    }
    record_property("seconds", seconds)
    assert min(seconds.values()) > 0
    if os.environ.get("CI") == "true":
        assert {name: time for name, time in seconds.items() if time > CI_SECONDS} == {}


def test_the_smoke_profile_trains_little(smoke_report):
    runs = [record.run for record in Ledger(smoke_report / "ledger").records().values()]
    images = [run.epochs * (run.train_size or TRAIN_SIZE) for run in runs]
    assert max(images) <= RUN_IMAGES
    assert sum(images) <= REPORT_IMAGES


def papermill(tmp_path, name, *options, **environment):
    """Run papermill as from a terminal in the repository's root."""
    executed = tmp_path / "executed.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", "papermill", f"notebooks/{name}.ipynb", executed, *options],
        cwd=ROOT,
        env=os.environ | {"KDUTILS_LEDGER": str(tmp_path / "ledger")} | environment,
        capture_output=True,
        text=True,
    )
    return done, nbformat.read(executed, as_version=4)


def test_papermill_runs_a_paired_notebook_from_the_root(tmp_path):
    done, notebook = papermill(tmp_path, "task1_q02_models", "-p", "profile", "smoke")
    assert done.returncode == 0, done.stderr
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    glued = {
        output.metadata.scrapbook.name: output.data
        for output in outputs
        if "scrapbook" in output.get("metadata", {})
    }
    prefix = "application/papermill.record/"
    assert glued["teacher_parameters"][f"{prefix}text/plain"] == "1011466"
    assert "Profile “smoke”." in glued["banner"][f"{prefix}text/html"]


def test_papermill_fails_on_wrong_parameters_before_keras_is_imported(tmp_path):
    options = ("-p", "epoch", "3", "-p", "epochs", "three")
    # With this backend it would be the import of Keras that fails.
    done, notebook = papermill(tmp_path, "task1_q03_losses", *options, KERAS_BACKEND="none")
    assert done.returncode == 1
    assert "parameters: no parameter 'epoch'; it has profile, seeds, temperature, " in done.stderr
    assert "parameters: epochs must be int, not 'three'" in done.stderr
    (error,) = (
        output
        for cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "error"
    )
    assert error.ename == "ParameterError"
    ran = [cell.source for cell in code_cells(notebook) if cell.execution_count]
    assert ran[-1].endswith("notebook.check_parameters(globals())")
    assert len(ran) == 3
