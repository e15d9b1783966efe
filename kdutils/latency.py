"""What a network costs on a machine: the time of a call, and the memory that it takes.

A call is Keras' `model.predict_on_batch(pixels)`: it takes bytes in a NumPy array and gives logits
in one, through the function that Keras compiles once for a shape, with XLA where Keras chooses it
(with TensorFlow on a CPU it does not). It has none of the loop and callbacks of `model.predict`,
but what Python and the backend do for any call is in it. How much that is shows in the times of
`EMPTY`, a network that only reshapes its input.

No backend changes its number of threads once it has started, and the peak of a process' memory
never falls again; so both are measured in fresh processes, which run this module as a script.
"""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from kdutils import models
from kdutils.runs import Run

EMPTY = "empty call"
WARM_UP = 10
# TensorFlow reads the first two, PyTorch and NumPy the third, JAX the last.
THREADS = ["TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "NPROC"]


class MeasurementError(RuntimeError):
    """A process that was to measure something failed; the message ends with what it said."""


def measure(ledger, runs: Iterable[Run], images: Sequence[int], repetitions: int) -> dict:
    """Measure time and memory of the networks of some runs, for `Ledger.analyse`.

    Neither depends on the values of the weights, so the networks have their initial ones.

    Args:
        ledger: Unused, see above.
        runs: Whose networks are measured; times are compared with those of the first.
        images: How many images a call takes, for each kind of call.
        repetitions: Timed calls of each kind, after `WARM_UP` others.

    Returns:
        `calls`, what `time_calls` returns with one thread and with as many as there are cores,
        each row with its `threads`; and `memory`, what `peak_memory` returns, each row with its
        `network`.

    Raises:
        MeasurementError: A process failed.
    """
    del ledger
    networks = {run.model: models.build(run.model) for run in runs}
    return measure_networks(networks, images, repetitions)


def measure_networks(
    networks: Mapping[str, keras.Model], images: Sequence[int], repetitions: int
) -> dict:
    """Measure time and memory of networks of one input shape, as `measure` does for runs.

    Args:
        networks: By name; times are compared with those of the first.
        images: How many images a call takes, for each kind of call.
        repetitions: Timed calls of each kind, after `WARM_UP` others.

    Returns:
        See `measure`.

    Raises:
        MeasurementError: A process failed.
    """
    images = sorted(images)
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: str(Path(folder) / f"{name}.keras") for name in networks}
        for name, network in networks.items():
            network.save(paths[name])
        calls = [
            {"threads": threads} | row
            for threads in sorted({1, os.cpu_count()})
            for row in _elsewhere(time_calls, threads, paths, images, repetitions)
        ]
        memory = [
            {"network": name} | row
            for name, network in networks.items()
            for row in _elsewhere(
                peak_memory, os.cpu_count(), paths[name], network.input_shape[1:], images
            )
        ]
    return {"calls": calls, "memory": memory}


def time_calls(paths: Mapping[str, str], images: Sequence[int], repetitions: int) -> list[dict]:
    """Time calls of several networks, and of an empty one, in this process.

    The networks take turns, call by call, so that what else the machine does meets all alike.

    Args:
        paths: A `.keras` file for each network, by name, all of one input shape.
        images: How many images a call takes, for each kind of call.
        repetitions: Timed calls of each kind.

    Returns:
        A row for each network and number of images: `network`, `images`; `low`, `median` and
        `high`, the quartiles of the seconds a call takes; `ratio_low`, `ratio_median` and
        `ratio_high`, those of the first network's seconds divided by this one's, turn by turn; and
        `cores`, how many of them its calls kept busy on average.
    """
    networks = {name: keras.models.load_model(path) for name, path in paths.items()}
    shape = next(iter(networks.values())).input_shape[1:]
    networks[EMPTY] = _empty_network(shape)
    rows = []
    for count in images:
        pixels = _pixels(count, shape)
        for network in networks.values():
            for _ in range(WARM_UP):
                network.predict_on_batch(pixels)
        elapsed = np.empty((len(networks), repetitions))
        busy = np.empty_like(elapsed)
        for turn in range(repetitions):
            for row, network in enumerate(networks.values()):
                started, started_busy = time.perf_counter(), time.process_time()
                network.predict_on_batch(pixels)
                elapsed[row, turn] = time.perf_counter() - started
                busy[row, turn] = time.process_time() - started_busy
        for name, seconds, used in zip(networks, elapsed, busy, strict=True):
            rows.append(
                {"network": name, "images": count}
                | _quartiles(seconds)
                | _quartiles(elapsed[0] / seconds, "ratio_")
                | {"cores": used.sum() / seconds.sum()}
            )
    return rows


def peak_memory(path: str, shape: Sequence[int], images: Sequence[int]) -> list[dict]:
    """Measure by how much using a network raises the peak of this process' memory.

    The peak is that of the resident set. It is read when Keras is loaded and has made an empty
    call, and again when the network is read from its file and has made `WARM_UP` calls. The
    difference holds the network, what reading it took, its compiled function, and the values that
    a call keeps between layers.

    Args:
        path: A `.keras` file.
        shape: Of an image.
        images: How many images a call takes, ascending, as a peak never falls.

    Returns:
        A row for each number of images: `images`, and `bytes` above the peak of the empty call.
    """
    _empty_network(shape).predict_on_batch(_pixels(1, shape))
    before = _peak_bytes()
    network = keras.models.load_model(path)
    rows = []
    for count in images:
        pixels = _pixels(count, shape)
        for _ in range(WARM_UP):
            network.predict_on_batch(pixels)
        rows.append({"images": count, "bytes": _peak_bytes() - before})
    return rows


def _elsewhere(function, threads: int, *arguments):
    """Call a function of this module in a fresh process with so many threads."""
    done = subprocess.run(
        [sys.executable, "-m", "kdutils.latency", function.__name__, json.dumps(arguments)],
        env=os.environ | dict.fromkeys(THREADS, str(threads)),
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise MeasurementError(
            f"{function.__name__} failed in its own process:\n{done.stderr[-2000:]}"
        )
    return json.loads(done.stdout.splitlines()[-1])


def _empty_network(shape: Sequence[int]) -> keras.Model:
    pixels = keras.Input(shape)
    return keras.Model(pixels, keras.layers.Flatten()(pixels))


def _pixels(count: int, shape: Sequence[int]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype="uint8")


def _quartiles(values: np.ndarray, prefix: str = "") -> dict[str, float]:
    quartiles = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return {prefix + name: q for name, q in zip(("low", "median", "high"), quartiles, strict=True)}


def _peak_bytes() -> int:
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux hands `ru_maxrss` down from the process that started this one, which may be larger.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[1])


if __name__ == "__main__":
    _, name, arguments = sys.argv
    measurement = {"time_calls": time_calls, "peak_memory": peak_memory}[name]
    print(json.dumps(measurement(*json.loads(arguments))))
