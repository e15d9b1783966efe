"""How long a training step takes, by method and network, timed in turns in one process.

Records keep the seconds of each training, but those were taken on different days and under
different load. Here the trainings take turns, so that ratios of their times mean something.
"""

import time
from collections.abc import Callable, Iterable

import keras
import numpy as np

from kdutils import methods, models, training
from kdutils.methods.distiller import Distiller
from kdutils.models.taps import tapped
from kdutils.runs import Run


def measure(ledger, runs: Iterable[Run], steps: int, rounds: int) -> dict:
    """Time the training steps of several runs, for `Ledger.analyse`.

    Neither the weights nor what the teacher says change the time, so the networks have their
    initial weights, and the teacher says random numbers.

    Args:
        ledger: Unused, see above.
        runs: What is timed.
        steps: Batches that a turn takes.
        rounds: Turns of each run, after one that compiles.

    Returns:
        `seconds`, for each run the seconds of a step in each round.
    """
    del ledger
    turns = [training_of(run, steps) for run in runs]
    for turn in turns:
        turn()  # compile, and touch the memory
    seconds = [[] for _ in turns]
    for _ in range(rounds):
        for turn, taken in zip(turns, seconds, strict=True):
            started = time.perf_counter()
            turn()
            taken.append((time.perf_counter() - started) / steps)
    return {"seconds": seconds}


def training_of(run: Run, steps: int) -> Callable[[], None]:
    """Return a function that trains a run's network on the same few batches, again and again.

    Args:
        run: What to train; of its teacher only the shapes of the outputs are used.
        steps: How many batches a call takes.

    Raises:
        ValueError: The run has fewer images than that.
    """
    part = training.load_data(run).train
    images, needed = len(part), steps * run.batch_size
    if images < needed:
        raise ValueError(f"{run.label} has {images} images; {steps} steps take {needed}")
    part = part.take(slice(needed))
    method = methods.build(run.method, dict(run.options))
    student = models.build(run.model, run.seed)
    random = np.random.default_rng(run.seed)
    said = {}
    if run.teacher is not None:
        teacher = tapped(models.build(run.teacher.model), method.teacher_taps)
        for tap, output in teacher.output.items():
            said[tap] = random.normal(size=(len(part), *output.shape[1:])).astype("float32")
    method.prepare(student, {tap: each.shape[1:] for tap, each in said.items()}, images, run.seed)
    method.begin_epoch(run.epochs - 1)  # with all that comes late
    distiller = Distiller(student, method)
    distiller.compile(
        optimizer=keras.optimizers.Adam(run.learning_rate),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
        jit_compile=keras.backend.backend() == "jax",
    )
    inputs = {"images": part.images}
    if said:
        inputs["teacher"] = said | {"rows": np.arange(len(part))}
    return lambda: distiller.fit(
        inputs, part.labels, batch_size=run.batch_size, shuffle=False, verbose=0
    )
