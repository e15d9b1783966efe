"""The command line: `kdutils data | report | pair | runs | run | verify | publish`."""

import logging
import os
import secrets
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from kdutils.paths import BUILD, RESULTS, ROOT

app = typer.Typer(
    help="Knowledge distillation, as a report: its data, its runs, its pages.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
# Paths and commands are printed to be copied, so they are not broken into lines.
console = Console(highlight=False, soft_wrap=True)
REPEATED = BUILD / "ledger" / "repeated"


Keys = Annotated[list[str], typer.Argument(help="Keys of records; their first digits will do.")]


def main() -> None:
    """Run the command line; what a person can mend is told in a sentence, without a traceback."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        app()
    except Exception as error:
        # The package's own errors are written for people; anything else is a fault of ours.
        if not type(error).__module__.startswith("kdutils."):
            raise
        sys.exit(f"kdutils: {error}")


@app.command()
def data(
    fetch: Annotated[
        list[str] | None, typer.Argument(help="Data sets to fetch and verify first.")
    ] = None,
    generate: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write simulated tiles in the format of MHIST here."),
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="How many tiles to write; by default as many as MHIST has.")
    ] = None,
) -> None:
    """Print where each data set stands, after fetching those named; or write simulated tiles."""
    from kdutils import data

    if generate:
        _generate(generate, count, fetch)
        return
    if count is not None:
        raise typer.BadParameter("--count is of the tiles that --generate writes")
    for name in fetch or []:
        if name not in data.DATASETS:
            raise typer.BadParameter(f"no data set {name!r}; there are {', '.join(data.DATASETS)}")
        data.fetch(name)
    table = Table("data set", "state", Column("detail", overflow="fold"))
    for row in data.status():
        table.add_row(*row)
    console.print(table)


def _generate(folder: Path, count: int | None, fetch: list[str] | None) -> None:
    from kdutils.data import synthetic

    if fetch:
        raise typer.BadParameter("--generate writes tiles, and fetches nothing")
    count = synthetic.COUNT if count is None else count
    try:
        synthetic.write(folder, count)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    console.print(f"wrote {count} simulated tiles into {folder}")


@app.command()
def report(
    profile: Annotated[str, typer.Option(help="A folder of notebooks/profiles.")] = "full",
    fresh: Annotated[bool, typer.Option(help="Train everything again, published or not.")] = False,
    ledger: Annotated[
        Path | None, typer.Option(help="Work with the records of this folder alone.")
    ] = None,
    notebook: Annotated[
        list[str] | None, typer.Option(help="Execute this notebook only; may be repeated.")
    ] = None,
    execute: Annotated[bool, typer.Option(help="Execute, or only compile what was.")] = True,
    at_once: Annotated[
        int, typer.Option(min=1, help="Notebooks to execute side by side; spoils measured times.")
    ] = 1,
) -> None:
    """Execute the notebooks and compile the book."""
    from kdutils import data, report

    if not execute and (fresh or ledger or notebook):
        raise typer.BadParameter("--no-execute only compiles; it takes --profile alone")
    if fresh and ledger:
        raise typer.BadParameter("--fresh makes a folder of its own; --ledger goes on with one")
    if execute:
        data.load("mnist")
    if fresh:
        ledger = BUILD / "ledger" / f"{profile}-{datetime.now():%Y-%m-%dT%H%M%S}"
        console.print(_announcement(profile, ledger))
    if execute:
        report.execute(profile, notebook or None, ledger, at_once=at_once)
    if notebook:
        console.print(
            f"executed; compile with .venv/bin/kdutils report --profile {profile} --no-execute"
        )
    else:
        console.print(f"open {report.compile_book(profile)}")


def _announcement(profile: str, ledger: Path) -> str:
    from kdutils.ledger import Ledger

    records = Ledger(RESULTS).records().values()
    # A snapshot of a longer run costs nothing.
    seconds = sum(record.seconds for record in records if record.prefix_of is None)
    time = (
        f"{_duration(seconds)} on the machines of the records" if profile == "full" else "a while"
    )
    return (
        f"training everything again, which takes {time}. If it is interrupted, go on with:\n"
        f"  .venv/bin/kdutils report --profile {profile} --ledger {ledger}"
    )


@app.command()
def pair() -> None:
    """Write the .ipynb twins of the notebooks from their .md."""
    from kdutils import report

    for path in report.pair():
        console.print(f"wrote {path.relative_to(ROOT)}")


@app.command()
def runs(
    stale: Annotated[bool, typer.Option(help="Only those whose code has changed since.")] = False,
) -> None:
    """List the published records, and what was measured on the models they speak of."""
    from kdutils.ledger import Ledger

    ledger = Ledger(RESULTS)
    table = _table("key", "run", "part", "accuracy", "seconds", "file", "")
    for record in ledger.records().values():
        if record.stale or not stale:
            table.add_row(
                record.key,
                record.run.label,
                record.part,
                f"{100 * record.metrics['accuracy']:.2f} %",
                f"{record.seconds:.0f}",
                record.study,
                "stale" if record.stale else "",
            )
    console.print(table)
    table = _table("key", "measurement", "models", "seconds", "file", "")
    for analysis in ledger.analyses():
        if analysis.stale or not stale:
            table.add_row(
                analysis.key,
                analysis.function,
                str(len(analysis.runs)),
                f"{analysis.seconds:.0f}",
                analysis.study,
                "stale" if analysis.stale else "",
            )
    if table.row_count:
        console.print(table)


@app.command()
def run(keys: Keys) -> None:
    """Train recorded runs again, with what they rest on, and compare."""
    _repeat(_chosen(keys, _records()))


@app.command()
def verify(
    sample: Annotated[int, typer.Option(min=1, help="How many records.")] = 3,
    seed: Annotated[int | None, typer.Option(min=0, help="Draw the same sample again.")] = None,
) -> None:
    """Train some published records again, drawn at random, and compare."""
    import numpy as np

    records = list(_records().values())
    size = min(sample, len(records))
    seed = secrets.randbits(32) if seed is None else seed
    console.print(f"sample {size} of {len(records)}; draw the same again with --seed {seed}")
    drawn = np.random.default_rng(seed).choice(len(records), size=size, replace=False)
    _repeat([records[index] for index in sorted(drawn)])


def _chosen(keys, records) -> list:
    chosen = []
    for key in keys:
        found = [record for name, record in records.items() if name.startswith(key)]
        if len(found) != 1:
            raise typer.BadParameter(f"{len(found)} records have a key that starts with {key}")
        chosen += found
    return chosen


def _records():
    from kdutils.ledger import Ledger

    ledger = Ledger(RESULTS)
    records = ledger.records()
    if not records:
        sys.exit(f"kdutils: there are no records in {RESULTS}")
    # Another backend or precision makes another run of the same configuration.
    comparable = {key: record for key, record in records.items() if ledger.key(record.run) == key}
    if len(comparable) < len(records):
        console.print(
            f"{len(records) - len(comparable)} of {len(records)} records were computed with "
            "another backend, precision or data than is set up now, and cannot be compared"
        )
    if not comparable:
        raise typer.Exit(1)
    return comparable


def _repeat(records) -> None:
    from kdutils.ledger import Ledger
    from kdutils.verification import Repetition, forget_stale, needed, tolerance

    forget_stale(REPEATED)
    # A cache of its own: nothing of an earlier training can reach the repetition.
    published, again = Ledger(RESULTS), Ledger(REPEATED, cache=REPEATED / "cache")
    count, seconds = needed(records, published, again)
    console.print(
        f"{len(records)} records; {count} runs to train, with those they rest on: "
        f"about {_duration(seconds)} on the machines of the records"
    )
    table = _table(
        "key", "run", "recorded", "repeated", "tolerance", "first epoch", "other predictions", ""
    )
    disagree = 0
    for record in records:
        pair = Repetition(record, again.obtain(record.run, record.study))
        disagree += not pair.agrees
        table.add_row(
            record.key,
            record.run.label,
            f"{100 * record.metrics['accuracy']:.2f} %",
            f"{100 * pair.repeated.metrics['accuracy']:.2f} %",
            f"± {100 * tolerance(record):.2f}",
            f"{100 * pair.first_epoch:.1f} %",
            f"{pair.changed} of {record.metrics['count']}",
            "agrees" if pair.agrees else "DIFFERS",
        )
    console.print(table)
    if disagree:
        raise typer.Exit(1)


@app.command()
def publish(
    ledger: Annotated[Path, typer.Option(help="The folder of records to publish.")] = BUILD
    / "ledger"
    / "full",
    weights: Annotated[
        list[str] | None,
        typer.Option(help="Publish the weights of this record too, in half precision."),
    ] = None,
) -> None:
    """Add what a full report has trained to the published records, and renew stale ones."""
    from kdutils.ledger import Ledger, publish, publish_weights

    for study, gained in publish(ledger, RESULTS).items():
        console.print(f"{study}: {gained} published")
    if weights:
        for record in _chosen(weights, _records()):
            path = publish_weights(record, Ledger(RESULTS), RESULTS)
            console.print(f"{path}: weights of {record.run.label}")


def _table(key: str, *headers: str) -> Table:
    """A table whose keys and verdicts stay whole, however narrow the terminal."""
    *others, verdict = headers
    others = (Column(header, overflow="fold") for header in others)
    return Table(Column(key, no_wrap=True), *others, Column(verdict, no_wrap=True))


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
