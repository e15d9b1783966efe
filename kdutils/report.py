"""The report's tool chain: execute the notebooks of a profile, then compile them into the book.

Both steps start from the table of contents `_toc.yml`. Executed notebooks lie in
`<build>/executed/<profile>/`, the compiled book in `<build>/html/`. A notebook that failed never
gets where the book reads: Jupyter Book would compile it without complaint.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
import yaml
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from traitlets.config import Config

from kdutils import parameters
from kdutils.paths import BUILD, ROOT

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class ReportError(RuntimeError):
    """The report cannot be made; the message says what is wrong, where, and what to do."""


def notebook_names(source: Path = ROOT) -> list[str]:
    """The notebooks of the book, in the order of its table of contents."""

    def files(entry: Any) -> Iterator[str]:
        if isinstance(entry, dict):
            yield from (value for key, value in entry.items() if key == "file")
            entry = list(entry.values())
        for child in entry if isinstance(entry, list) else []:
            yield from files(child)

    toc = yaml.safe_load((source / "_toc.yml").read_text(encoding="utf-8"))
    return [Path(file).name for file in files(toc) if file.startswith("notebooks/")]


def pair(source: Path = ROOT) -> list[Path]:
    """Writes the `.ipynb` twin of every notebook from its `.md`, without outputs, always the same.

    Args:
        source: The folder that holds `_toc.yml` and `notebooks/`.

    Returns:
        What was written.

    Raises:
        ReportError: Where the table of contents names a notebook that has no `.md`.
    """
    paths = []
    for name in notebook_names(source):
        paths.append(source / "notebooks" / f"{name}.ipynb")
        jupytext.write(_read(source, name), paths[-1])
    return paths


def execute(
    profile: str,
    notebooks: Sequence[str] | None = None,
    ledger: Path | None = None,
    source: Path = ROOT,
    build: Path = BUILD,
    at_once: int = 1,
) -> list[Path]:
    """Executes notebooks with the parameters of a profile.

    The parameters of all of them are checked before the first one runs.

    Args:
        profile: A folder of `notebooks/profiles/`, with one YAML file a notebook.
        notebooks: Names without suffix; all those of the table of contents where left out. They
            run in the order of the book, so that runs go to the study of the page they belong to.
        ledger: The folder of the ledger that the notebooks are to use (`KDUTILS_LEDGER`).
        source: The folder that holds `_toc.yml` and `notebooks/`.
        build: The folder that everything made goes to.
        at_once: Notebooks to execute side by side. Of a run that two of them need, one waits while
            the other trains it. Times that are measured then are of a busy machine.

    Returns:
        The executed notebooks, `<build>/executed/<profile>/<name>.ipynb`.

    Raises:
        ReportError: Where a notebook, the profile or one of its files does not exist, or a
            notebook failed: its copy with the error is `<name>.failed.ipynb` and an older
            executed copy is gone.
        kdutils.parameters.ParameterError: Where a profile's file has an unknown parameter or a
            value of the wrong type.
    """
    names = _selected(notebooks, notebook_names(source))
    jobs, faults = [], []
    for name in names:
        notebook = _read(source, name)
        try:
            jobs.append((name, notebook, _profile_parameters(source, profile, name, notebook)))
        except parameters.ParameterError as error:
            faults += error.faults
    if faults:
        raise parameters.ParameterError(faults)

    folder = build / "executed" / profile
    folder.mkdir(parents=True, exist_ok=True)
    # TensorFlow's notes on start-up would go past the notebook, straight to the terminal.
    environment = {"TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")}
    if ledger:
        environment["KDUTILS_LEDGER"] = str(ledger.resolve())
    with _environment(environment), _progress(profile, len(jobs)) as show:

        def execute_one(name, notebook, values):
            with show(name, len(notebook.cells) + bool(values)) as on_cell_start:
                _execute_one(name, notebook, values, source / "notebooks", folder, on_cell_start)

        if at_once == 1:  # not in a thread, where an interruption would not reach the kernel
            for job in jobs:
                execute_one(*job)
        else:
            with ThreadPoolExecutor(at_once) as pool:
                futures = [pool.submit(execute_one, *job) for job in jobs]
                try:
                    for future in as_completed(futures):
                        future.result()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
    return [folder / f"{name}.ipynb" for name in names]


def compile_book(profile: str, source: Path = ROOT, build: Path = BUILD) -> Path:
    """Compiles the book from the executed notebooks of a profile.

    The last good book stays where it is until the new one is whole.

    Args:
        profile: The profile that the notebooks were executed with.
        source: The folder that holds `_config.yml`, `_toc.yml` and `book/`.
        build: The folder that everything made goes to.

    Returns:
        The page to open, `<build>/html/index.html`.

    Raises:
        ReportError: Where Jupyter Book is not of version 1, an executed notebook is missing, holds
            an error or is not that of the notebook as it is now, or the book has a warning.
    """
    if not version("jupyter-book").startswith("1."):
        raise ReportError(
            f"Jupyter Book {version('jupyter-book')} cannot read _config.yml and _toc.yml, it needs"
            " version 1: install the versions of requirements.txt"
        )
    executed = build / "executed" / profile
    names = notebook_names(source)
    faults = {name: fault for name in names if (fault := _unfit(source, executed, name))}
    if faults:
        raise ReportError(
            "\n".join(f"notebooks/{name}: {fault}" for name, fault in faults.items())
            + f"\nexecute with: .venv/bin/kdutils report --profile {profile}"
        )

    staged, work = build / "src", build / "compiling"
    for folder in (staged, work):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source / "book", staged / "book")
    (staged / "notebooks").mkdir()
    for name in names:
        shutil.copy(executed / f"{name}.ipynb", staged / "notebooks")

    # A fresh output folder each time: pages whose glued number changed elsewhere are not rewritten
    # by an incremental build, and glued numbers outlive a deleted notebook.
    command = "from jupyter_book.cli.main import main; main()"
    arguments = ["build", staged, "--path-output", work, "-W", "-n", "--keep-going", "-q"]
    settings = ["--config", source / "_config.yml", "--toc", (source / "_toc.yml").resolve()]
    done = subprocess.run(
        [sys.executable, "-c", command, *arguments, *settings],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    html = work / "_build" / "html"
    if done.returncode or not (html / "index.html").exists():
        raise ReportError(f"the book did not compile:\n{_complaints(done.stdout, staged)}")
    shutil.rmtree(build / "html", ignore_errors=True)
    html.replace(build / "html")
    shutil.rmtree(work)
    return build / "html" / "index.html"


def _selected(wanted: Iterable[str] | None, known: list[str]) -> list[str]:
    if wanted is None:
        return known
    wanted = set(wanted)
    if unknown := sorted(wanted - set(known)):
        raise ReportError(
            f"no notebook {', '.join(unknown)} in _toc.yml; it has {', '.join(known)}"
        )
    return [name for name in known if name in wanted]


def _read(source: Path, name: str) -> nbformat.NotebookNode:
    path = source / "notebooks" / f"{name}.md"
    if not path.exists():
        raise ReportError(f"_toc.yml names notebooks/{name}, but notebooks/{name}.md is missing")
    notebook = jupytext.read(path)
    notebook.nbformat_minor = max(notebook.nbformat_minor, 5)
    for index, cell in enumerate(notebook.cells):
        # jupytext draws them at random, which would change every executed copy.
        cell.id = f"{name}-{index}"[-64:]
    return notebook


def _profile_parameters(
    source: Path, profile: str, name: str, notebook: nbformat.NotebookNode
) -> dict[str, Any]:
    """The values of a profile for a notebook, checked against its parameters cell."""
    profiles = source / "notebooks" / "profiles"
    path = profiles / profile / f"{name}.yaml"
    if not path.parent.is_dir():
        known = ", ".join(sorted(folder.name for folder in profiles.iterdir() if folder.is_dir()))
        raise ReportError(f"no profile {profile!r}; notebooks/profiles has {known}")
    if not path.exists():
        raise ReportError(f"{path.relative_to(source)} is missing: the parameters of {name}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise ReportError(f"{path.relative_to(source)} is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise ReportError(f"{path.relative_to(source)} must hold lines of the form `name: value`")
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ReportError(
            f"notebooks/{name}.md must have one cell tagged `parameters`, it has {len(cells)}"
        )
    declared = parameters.declared(cells[0].source, f"{name}.md")
    annotations = {name: annotation for name, (annotation, _) in declared.items()}
    parameters.check(values, annotations, path.name)
    return values


def _execute_one(
    name: str,
    notebook: nbformat.NotebookNode,
    values: dict[str, Any],
    cwd: Path,
    folder: Path,
    on_cell_start: Callable,
) -> None:
    running, done, failed = (
        folder / f"{name}{suffix}" for suffix in (".running.ipynb", ".ipynb", ".failed.ipynb")
    )
    started = []

    def cell_started(cell: nbformat.NotebookNode, cell_index: int) -> None:
        started.append(cell)
        on_cell_start(cell_index)

    try:
        with _sockets() as config:
            executed = papermill.execute_notebook(
                notebook,
                running,
                values,
                kernel_name="python3",
                language="python",
                progress_bar=False,
                cwd=cwd,
                on_cell_start=cell_started,
                config=config,
            )
    except (PapermillExecutionError, DeadKernelError) as error:
        running.replace(failed)
        done.unlink(missing_ok=True)
        raise ReportError(_failure(name, started, error, failed)) from error
    _tidy(executed, name)
    nbformat.write(executed, running)
    running.replace(done)
    failed.unlink(missing_ok=True)


def _failure(name: str, started: list, error: Exception, failed: Path) -> str:
    """What a reader of the terminal needs to know of a failed notebook."""
    codes = [cell for cell in started if cell.cell_type == "code"]
    first_line = codes[-1].source.strip().partition("\n")[0]
    if isinstance(error, PapermillExecutionError):
        traceback = _ANSI.sub("", "\n".join(error.traceback)).splitlines()
        what = f"{error.ename}: {error.evalue}\n\n" + "\n".join(traceback[-12:])
    else:
        what = f"{error}\nThe kernel was killed, most often for want of memory."
    return (
        f"notebooks/{name}.md failed in cell [{len(codes)}], `{first_line}`: {what}\n\n"
        f"The notebook as far as it got: {failed}"
    )


def _tidy(notebook: nbformat.NotebookNode, name: str) -> None:
    """Hides the parameters behind a toggle and drops the paths of the machine."""
    prompts = {"parameters": "the parameters", "injected-parameters": "the values used here"}
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags:
            cell.id = f"{name}-values"[-64:]
        for tag in prompts.keys() & tags:
            cell.metadata["tags"] = [*tags, "hide-input"]
            cell.metadata["mystnb"] = {
                "code_prompt_show": f"Show {prompts[tag]}",
                "code_prompt_hide": f"Hide {prompts[tag]}",
            }
    notebook.metadata.papermill.input_path = f"notebooks/{name}.md"
    notebook.metadata.papermill.output_path = f"{name}.ipynb"


def _unfit(source: Path, executed: Path, name: str) -> str | None:
    """Why an executed notebook must not go into the book; None where it may."""
    path = executed / f"{name}.ipynb"
    if not path.exists():
        return "not executed"
    notebook = nbformat.read(path, as_version=4)
    outputs = (output for cell in notebook.cells for output in cell.get("outputs", []))
    if notebook.metadata.get("papermill", {}).get("exception") or any(
        output.output_type == "error" for output in outputs
    ):
        return "its executed copy holds an error"
    injected = ("injected-parameters" in cell.metadata.get("tags", []) for cell in notebook.cells)
    ran = [cell.source for cell, extra in zip(notebook.cells, injected, strict=True) if not extra]
    if ran != [cell.source for cell in _read(source, name).cells]:
        return "changed since it was executed"
    return None


def _complaints(output: str, staged: Path) -> str:
    """The warnings of Jupyter Book, with places as the writer of the book knows them."""
    text = _ANSI.sub("", output).replace(f"{staged.resolve()}{os.sep}", "")
    faults = re.findall(r"^.*\b(?:WARNING|ERROR|CRITICAL)\b.*$", text, re.MULTILINE)
    # Without a warning it broke down; the traceback is that of Jupyter Book, the cause precedes it.
    return "\n".join(faults) or text.partition("Traceback (most recent call last)")[0].strip()


@contextmanager
def _sockets() -> Iterator[Config]:
    """Lets a kernel talk through files: two runs at a time may draw the same TCP port."""
    with tempfile.TemporaryDirectory() as folder:
        address = {} if os.name == "nt" else {"transport": "ipc", "ip": f"{folder}/kernel"}
        yield Config({"KernelManager": address, "AsyncKernelManager": address})


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Sets variables that kernels inherit."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _progress(profile: str, count: int) -> Iterator[Callable]:
    """Shows where the execution is: a live line on a terminal, else one line a notebook."""
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        finished = iter(range(1, count + 1))

        @contextmanager
        def show(name: str, cells: int) -> Iterator[Callable[[int], None]]:
            task = progress.add_task(f"{profile}/{name}")
            start = time.perf_counter()
            yield lambda index: progress.update(
                task, description=f"{profile}/{name}, cell {index + 1} of {cells}"
            )
            progress.remove_task(task)
            seconds = time.perf_counter() - start
            console.print(
                f"[{next(finished)}/{count}] {name}: {seconds:.0f} s", markup=False, highlight=False
            )

        yield show
