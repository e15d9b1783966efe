"""Many runs through one executor, with their progress."""

import functools
import logging
import sys
from collections.abc import Sequence
from concurrent.futures import Executor, Future, as_completed

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from kdutils.ledger import Ledger
from kdutils.provenance import lineage
from kdutils.runs import Record, Run

logger = logging.getLogger(__name__)


def obtain_all(
    runs: Sequence[Run], ledger: Ledger, study: str, executor: Executor | None = None
) -> list[Record]:
    """Obtain many runs; those the ledger holds cost nothing, so a sweep resumes after a kill.

    Args:
        runs: What is wanted. The runs they rest on are obtained too, first.
        ledger: Where records are.
        study: The file of records that new ones go to.
        executor: Any executor of the `concurrent.futures` kind. By default one run is trained after
            the other, here.

    Returns:
        The records, in the order of `runs`.

    Raises:
        ValueError: The executor forks its processes.
        Exception: Whatever stopped a training; the runs that were finished stay in the ledger.
    """
    context = getattr(executor, "_mp_context", None)
    if context is not None and context.get_start_method() == "fork":
        raise ValueError(
            "a forked process hangs once TensorFlow has started threads; write "
            'ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn"))'
        )
    wanted = [each for run in runs if ledger.find(run) is None for each in lineage(run)]
    missing = [each for each in dict.fromkeys(wanted) if ledger.find(each) is None]
    with _Progress(len(missing)) as progress:
        for level in _levels(missing):
            obtain = functools.partial(ledger.obtain, study=study)
            if executor is None:
                for run in level:
                    progress.start(run)
                    progress.finish(obtain(run, on_epoch=progress.epoch))
            else:
                futures: list[Future] = [executor.submit(obtain, run) for run in level]
                try:
                    for future in as_completed(futures):
                        progress.finish(future.result())
                finally:
                    for future in futures:
                        future.cancel()  # after an error: what has not begun
    return [ledger.obtain(run, study) for run in runs]


def _levels(runs: list[Run]) -> list[list[Run]]:
    """Group runs so that each rests on earlier groups only."""
    depth: dict[Run, int] = {}
    for run in runs:
        depth[run] = 1 + max((depth.get(each, 0) for each in lineage(run)[:-1]), default=0)
    return [[run for run in runs if depth[run] == level] for level in sorted(set(depth.values()))]


class _Progress:
    """Bars where somebody watches a terminal, one quiet line a run everywhere else."""

    def __init__(self, total: int):
        self.total, self.done = total, 0
        self.bars = None
        if total and sys.stderr.isatty():
            self.bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )

    def __enter__(self):
        if self.bars is not None:
            self.bars.start()
            self.sweep = self.bars.add_task("runs", total=self.total)
            self.current = self.bars.add_task("", total=None, visible=False)
        return self

    def __exit__(self, *exception):
        if self.bars is not None:
            self.bars.stop()

    def start(self, run: Run):
        if self.bars is not None:
            self.bars.reset(
                self.current, description=run.label, total=run.epochs, completed=0, visible=True
            )

    def epoch(self, number: int, history: dict):
        del history
        if self.bars is not None:
            self.bars.update(self.current, completed=number)

    def finish(self, record: Record):
        self.done += 1
        if self.bars is not None:
            self.bars.update(self.sweep, completed=self.done)
        else:
            accuracy = 100 * record.metrics["accuracy"]
            print(
                f"{self.done}/{self.total} {record.run.label}: {accuracy:.2f} % of the "
                f"{record.part} part, {record.seconds:.0f} s"
            )
