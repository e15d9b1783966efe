"""Train recorded runs again and compare."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdutils.ledger import Ledger, update_study
from kdutils.provenance import lineage
from kdutils.runs import Record, Run

Z_95 = 1.96
FIRST_EPOCH_TOLERANCE = 0.1
SMALLEST_LOSS = 1e-6


@dataclass(frozen=True)
class Repetition:
    """A record beside the same run trained again."""

    recorded: Record
    repeated: Record

    @property
    def difference(self) -> float:
        """Accuracy repeated minus recorded, a fraction."""
        return self.repeated.metrics["accuracy"] - self.recorded.metrics["accuracy"]

    @property
    def changed(self) -> int:
        """Images that are predicted otherwise."""
        return int((self.recorded.offsets != self.repeated.offsets).sum())

    @property
    def first_epoch(self) -> float:
        """Largest relative difference between the loss terms of the first epoch, a fraction.

        Rounding has not grown yet, so this tells a changed loss that the accuracy would hide.
        """
        before, after = self.recorded.history, self.repeated.history
        terms = set(before) - {"seconds"} - {each for each in before if each.startswith("val_")}
        # A term may be exactly zero, as that of a student which matches its teacher.
        return max(
            abs(after[term][0] - before[term][0]) / max(abs(before[term][0]), SMALLEST_LOSS)
            for term in terms
        )

    @property
    def agrees(self) -> bool:
        """Whether accuracy and the losses of the first epoch lie within their tolerances."""
        close = abs(self.difference) <= tolerance(self.recorded)
        return close and self.first_epoch <= FIRST_EPOCH_TOLERANCE


def tolerance(record: Record) -> float:
    """How far two trainings of one run may differ in accuracy, a fraction.

    1.96 standard errors of the difference of two binomial accuracies on as many images. The same
    seed on another machine is in effect another seed, as rounding differences grow in training.
    """
    accuracy, count = record.metrics["accuracy"], record.metrics["count"]
    return Z_95 * float(np.sqrt(2 * accuracy * (1 - accuracy) / count))


def forget_stale(folder: Path) -> None:
    """Drop repetitions that the code has changed since: they say nothing about the code of now.

    Args:
        folder: Where the records of repetitions lie.
    """
    for path in folder.glob("*.jsonl"):
        update_study(path, lambda records: [record for record in records if not record.stale])


def needed(records: Iterable[Record], published: Ledger, repeated: Ledger) -> tuple[int, float]:
    """How much training a repetition takes.

    Args:
        records: What is to be repeated.
        published: The ledger that knows how long each run took.
        repeated: The ledger of what has been repeated already.

    Returns:
        The number of runs, those they rest on included, and their recorded seconds.
    """
    runs: list[Run] = list(dict.fromkeys(each for r in records for each in lineage(r.run)))
    runs = [run for run in runs if repeated.find(run) is None]
    known = [published.find(run) for run in runs]
    return len(runs), sum(record.seconds for record in known if record is not None)
