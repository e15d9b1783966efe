import os
from types import SimpleNamespace

import pytest

from kdutils import latency
from kdutils.task1 import Protocol

IMAGES = [1, 256]


class Clock:
    """A clock that only the calls of networks move on."""

    def __init__(self):
        self.now = self.busy = 0.0
        self.order = []

    def network(self, name, *seconds, cores):
        """A network whose timed calls take these seconds, and those before them much longer."""
        durations = iter([1000] * latency.WARM_UP + list(seconds))

        def predict_on_batch(pixels):
            assert pixels.shape == (2, 4, 4, 1)
            duration = next(durations)
            self.now += duration
            self.busy += cores * duration
            self.order.append(name)

        return SimpleNamespace(input_shape=(None, 4, 4, 1), predict_on_batch=predict_on_batch)


def test_times_are_quartiles_over_turns_and_ratios_are_taken_turn_by_turn(monkeypatch):
    clock = Clock()
    networks = {
        "a": clock.network("a", 8, 6, 10, 12, 14, cores=2),
        "b": clock.network("b", 4, 2, 2, 3, 7, cores=1),
    }
    empty = clock.network("empty", 1, 1, 1, 1, 1, cores=0.5)
    monkeypatch.setattr(latency.keras.models, "load_model", networks.__getitem__)
    monkeypatch.setattr(latency, "_empty_network", lambda shape: empty)
    monkeypatch.setattr(
        latency,
        "time",
        SimpleNamespace(perf_counter=lambda: clock.now, process_time=lambda: clock.busy),
    )
    first, second, call = latency.time_calls({"a": "a", "b": "b"}, [2], repetitions=5)
    assert clock.order[3 * latency.WARM_UP :] == ["a", "b", "empty"] * 5
    kind = {"images": 2}
    assert first == kind | {
        "network": "a",
        "low": 8,
        "median": 10,
        "high": 12,
        "ratio_low": 1,
        "ratio_median": 1,
        "ratio_high": 1,
        "cores": 2,
    }
    # The ratios are 2, 3, 5, 4, 2; those of the quartiles would be 4, 10/3 and 3.
    assert second == kind | {
        "network": "b",
        "low": 2,
        "median": 3,
        "high": 4,
        "ratio_low": 2,
        "ratio_median": 3,
        "ratio_high": 4,
        "cores": 1,
    }
    assert (call["network"], call["ratio_median"], call["cores"]) == (latency.EMPTY, 10, 0.5)


@pytest.fixture(scope="module")
def measured():
    protocol = Protocol()
    runs = [protocol.teacher(0), protocol.student(0)]
    return latency.measure(None, runs, images=IMAGES[::-1], repetitions=3)


def test_every_kind_of_call_is_timed(measured):
    assert [(row["threads"], row["images"], row["network"]) for row in measured["calls"]] == [
        (threads, images, network)
        for threads in sorted({1, os.cpu_count()})
        for images in IMAGES
        for network in ("mnist_teacher", "mnist_student", latency.EMPTY)
    ]
    for row in measured["calls"]:
        assert 0 < row["low"] <= row["median"] <= row["high"]


def test_one_thread_keeps_no_more_than_one_core_busy(measured):
    single = [row["cores"] for row in measured["calls"] if row["threads"] == 1]
    assert max(single) < 1.1


def test_memory_holds_the_weights_and_the_values_between_layers(measured):
    found = {(row["network"], row["images"]): row["bytes"] for row in measured["memory"]}
    assert found["mnist_teacher", 1] > 4 * 1_011_466
    assert found["mnist_student", 1] > 4 * 1_238_730
    # What the second convolution of the teacher reads and what it writes, 55 MB, exist at once;
    # some of it fits where the network was read from its file.
    between = 256 * 4 * (25 * 25 * 32 + 23 * 23 * 64)
    grown = found["mnist_teacher", 256] - found["mnist_teacher", 1]
    assert 0.5 * between < grown < 4 * between
    assert found["mnist_student", 256] - found["mnist_student", 1] < 0.5 * between


def test_a_process_that_fails_is_quoted(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "abacus")
    with pytest.raises(latency.MeasurementError, match=r"(?s)peak_memory failed.*abacus"):
        latency._elsewhere(latency.peak_memory, 1, "some.keras", (4, 4, 1), [1])
