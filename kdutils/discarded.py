"""What a method of Task 2's bench trains for the student and throws away with its training."""

from collections.abc import Iterable
from dataclasses import replace

from kdutils import bench, methods
from kdutils.runs import Run


def weights(ledger, runs: Iterable[Run]) -> dict:
    """Count weights that are no part of the student or of its teacher, for `Ledger.analyse`.

    Regressors and projections, see `kdutils.bench.extra_parameters`.

    Args:
        ledger: Unused: it is the networks that are counted, not what they have learnt.
        runs: Students of `kdutils.bench_task2`.

    Returns:
        `weights`, one number for each run.
    """
    del ledger
    return {"weights": [_of(run) for run in runs]}


def _of(run):
    phases = [each for each in (run.init, run) if each and each.teacher]
    # Methods that compare logits alone have no weights of their own; so nothing is built for them.
    looking = [each for each in phases if {*methods.METHODS[each.method].teacher_taps} - {"logits"}]
    return max((bench.extra_parameters(_bare(each)) for each in looking), default=0)


def _bare(run):
    """The run without where it and its teacher start: no other network is then built."""
    start = {"init": None, "weights": None, "frozen": None}
    return replace(run, **start, teacher=replace(run.teacher, **start))
