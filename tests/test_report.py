import os
import shutil
import textwrap

import nbformat
import pytest

from kdutils import report
from kdutils.parameters import ParameterError
from kdutils.paths import ROOT

HEADER = """---
jupytext:
  formats: ipynb,md:myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""
PARAMETERS = """
```{code-cell} ipython3
:tags: [parameters]

profile: str = "full"
epochs: int = 12
rates: list[float] = [0.1]
```
"""


@pytest.fixture
def root(tmp_path):
    """A repository of two notebooks, `first` and `second`, and one profile, `tiny`."""
    (tmp_path / "notebooks" / "profiles" / "tiny").mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text(
        textwrap.dedent(
            """
            format: jb-book
            root: book/index
            parts:
            - caption: Notebooks
              chapters:
              - file: notebooks/first
                sections:
                - file: notebooks/second
            """
        )
    )
    for name in ("first", "second"):
        write(tmp_path, name, "print(epochs)", "profile: tiny")
    return tmp_path


def write(root, name, code, values):
    notebook = f"{HEADER}\n# {name}\n{PARAMETERS}\n```{{code-cell}} ipython3\n{code}\n```\n"
    (root / "notebooks" / f"{name}.md").write_text(notebook)
    (root / "notebooks" / "profiles" / "tiny" / f"{name}.yaml").write_text(values)


def executed_by_hand(root, name, outputs):
    """Writes an executed copy of a notebook as papermill would have, without a kernel."""
    notebook = report._read(root, name)
    notebook.metadata.papermill = {"exception": None}
    notebook.metadata.language_info = {"name": "python", "pygments_lexer": "ipython3"}
    notebook.cells[-1].outputs = outputs
    path = root / "_build" / "executed" / "tiny" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def test_notebook_names_follow_the_table_of_contents(root):
    assert report.notebook_names(root) == ["first", "second"]


def test_execute_gives_the_notebook_its_parameters_folder_and_ledger(root, capfd):
    code = "import os, pathlib\nprint(profile, epochs, rates, pathlib.Path.cwd().name)\n"
    code += "print(os.environ['KDUTILS_LEDGER'], *pathlib.Path.cwd().glob('kernel-ipc*'))"
    write(root, "second", code, "profile: tiny\nepochs: 3\nrates: [1, 1.0e-3]")
    build = root / "made"
    failed = build / "executed" / "tiny" / "second.failed.ipynb"
    failed.parent.mkdir(parents=True)
    failed.touch()

    (path,) = report.execute("tiny", ["second"], ledger=root / "ledger", source=root, build=build)

    assert path == build / "executed" / "tiny" / "second.ipynb"
    assert os.listdir(path.parent) == ["second.ipynb"]
    assert "KDUTILS_LEDGER" not in os.environ
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[-1].outputs[0].text == (
        f"tiny 3 [1, 0.001] notebooks\n{root / 'ledger'}\n"
    )
    assert [cell.id for cell in notebook.cells] == [
        "second-0",
        "second-1",
        "second-values",
        "second-2",
    ]
    assert [cell.metadata.get("tags") for cell in notebook.cells[1:3]] == [
        ["parameters", "hide-input"],
        ["injected-parameters", "hide-input"],
    ]
    assert notebook.cells[2].metadata.mystnb.code_prompt_show == "Show the values used here"
    assert str(root) not in str(notebook.metadata)
    assert "[1/1] second: " in capfd.readouterr().err


def test_notebooks_run_side_by_side_where_asked_for(root):
    meet = """
import pathlib, time
mine, other = (pathlib.Path("..") / each for each in {names})
mine.touch()
end = time.monotonic() + 60
while not other.exists():
    assert time.monotonic() < end, "the other notebook did not run meanwhile"
    time.sleep(0.05)
"""
    write(root, "first", meet.format(names=("a", "b")), "profile: tiny")
    write(root, "second", meet.format(names=("b", "a")), "profile: tiny")
    paths = report.execute("tiny", source=root, build=root / "_build", at_once=2)
    assert [path.name for path in paths] == ["first.ipynb", "second.ipynb"]
    assert all(path.exists() for path in paths)


def test_faulty_parameters_are_all_named_before_anything_runs(root):
    write(root, "first", "print(epochs)", "epoch: 3")
    write(root, "second", "print(epochs)", "rates: [1e-3]\nepochs: 2.5")
    with pytest.raises(ParameterError) as caught:
        report.execute("tiny", source=root, build=root / "_build")
    assert caught.value.faults == [
        "first.yaml: no parameter 'epoch'; it has profile, epochs, rates",
        "second.yaml: rates must be list[float], not ['1e-3']; '1e-3' is text in YAML; "
        "write 1.0e-3",
        "second.yaml: epochs must be int, not 2.5",
    ]
    assert not (root / "_build").exists()


@pytest.mark.parametrize(
    ("profile", "notebooks", "message"),
    [
        ("tny", None, "no profile 'tny'; notebooks/profiles has tiny"),
        ("tiny", ["frist"], "no notebook frist in _toc.yml; it has first, second"),
    ],
)
def test_execute_refuses_what_does_not_exist(root, profile, notebooks, message):
    with pytest.raises(report.ReportError, match=message):
        report.execute(profile, notebooks, source=root, build=root / "_build")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("[1]", "must hold lines of the form `name: value`"),
        ("epochs: [", "is not YAML"),
        (None, "is missing: the parameters of second"),
    ],
)
def test_execute_refuses_a_profile_file_that_cannot_be_used(root, values, message):
    path = root / "notebooks" / "profiles" / "tiny" / "second.yaml"
    path.unlink() if values is None else path.write_text(values)
    with pytest.raises(report.ReportError, match=message) as caught:
        report.execute("tiny", source=root, build=root / "_build")
    assert str(caught.value).startswith("notebooks/profiles/tiny/second.yaml ")


def test_a_failing_notebook_is_named_with_its_cell_and_kept_out_of_the_book(root):
    write(root, "second", "limit = 0\nassert epochs < limit, 'too many'", "epochs: 3")
    older = executed_by_hand(root, "second", [])

    with pytest.raises(report.ReportError) as caught:
        report.execute("tiny", source=root, build=root / "_build")

    message = str(caught.value)
    assert message.startswith(
        "notebooks/second.md failed in cell [3], `limit = 0`: AssertionError: too many\n"
    )
    assert "----> 2 assert epochs < limit, 'too many'" in message
    failed = older.with_name("second.failed.ipynb")
    assert str(failed) in message
    assert sorted(os.listdir(older.parent)) == ["first.ipynb", "second.failed.ipynb"]
    assert nbformat.read(failed, as_version=4).cells[-1].outputs[0].ename == "AssertionError"
    with pytest.raises(report.ReportError) as caught:
        report.compile_book("tiny", source=root, build=root / "_build")
    assert str(caught.value) == (
        "notebooks/second: not executed\nexecute with: .venv/bin/kdutils report --profile tiny"
    )


def test_a_killed_kernel_is_told_with_the_cell_that_it_died_in(root):
    write(root, "first", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "epochs: 1")
    with pytest.raises(report.ReportError, match=r"first\.md failed in cell \[3\], `import os"):
        report.execute("tiny", ["first"], source=root, build=root / "_build")
    assert os.listdir(root / "_build" / "executed" / "tiny") == ["first.failed.ipynb"]


def test_compile_refuses_error_outputs_and_notebooks_changed_since(root):
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="", traceback=[])
    executed_by_hand(root, "first", [error])
    executed_by_hand(root, "second", [])
    write(root, "second", "print(epochs + 1)", "epochs: 1")
    with pytest.raises(report.ReportError) as caught:
        report.compile_book("tiny", source=root, build=root / "_build")
    assert str(caught.value).splitlines()[:2] == [
        "notebooks/first: its executed copy holds an error",
        "notebooks/second: changed since it was executed",
    ]


def test_compile_refuses_a_papermill_exception_without_an_error_output(root):
    executed_by_hand(root, "second", [])
    path = executed_by_hand(root, "first", [])
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.papermill.exception = True
    nbformat.write(notebook, path)
    with pytest.raises(report.ReportError, match="notebooks/first: its executed copy holds"):
        report.compile_book("tiny", source=root, build=root / "_build")


def test_compile_refuses_another_jupyter_book(root, monkeypatch):
    monkeypatch.setattr(report, "version", lambda package: "2.1.7")
    with pytest.raises(report.ReportError, match=r"Jupyter Book 2\.1\.7 cannot read _config\.yml"):
        report.compile_book("tiny", source=root, build=root / "_build")


def test_compile_relays_warnings_forgets_old_numbers_and_keeps_the_last_good_book(root):
    shutil.copy(ROOT / "_config.yml", root)
    (root / "book").mkdir()
    for name in ("_static", "references.bib"):
        (root / "book" / name).symlink_to(ROOT / "book" / name)
    (root / "book" / "index.md").write_text(
        "# Index\n\nIt is {glue:text}`../notebooks/first.ipynb::answer:.2f`.\n"
    )
    prefix = "application/papermill.record/"
    glued = nbformat.v4.new_output(
        "display_data",
        data={f"{prefix}text/plain": "41.5"},
        metadata={"scrapbook": {"name": "answer", "mime_prefix": prefix}},
    )
    executed_by_hand(root, "second", [])
    executed_by_hand(root, "first", [glued])
    build = root / "_build"
    assert report.compile_book("tiny", source=root, build=build) == build / "html" / "index.html"
    page = build / "html" / "book" / "index.html"
    assert ">41.50</span>" in page.read_text()
    assert (build / "html" / "_sources" / "notebooks" / "first.ipynb").exists()

    executed_by_hand(root, "first", [])
    with pytest.raises(report.ReportError, match=r"did not compile:\nbook/index\.md:3: WARNING: "):
        report.compile_book("tiny", source=root, build=build)
    assert ">41.50</span>" in page.read_text()


def test_a_breakdown_of_jupyter_book_is_told_by_its_cause():
    output = "\x1b[91mExtension error:\x1b[39;49;00m\nboom\nTraceback (most recent call last):\n  x"
    assert report._complaints(output, ROOT) == "Extension error:\nboom"
