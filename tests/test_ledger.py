import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import toy
from filelock import FileLock, Timeout

from kdutils import ledger as ledger_module
from kdutils import models, provenance, training
from kdutils.data import views
from kdutils.ledger import Ledger, LedgerError, publish, read_study, write_study

PATIENCE = 300  # seconds until a process that hangs fails a test; a busy machine needs a few


pytestmark = pytest.mark.usefixtures("small")


def lines(ledger, study="study"):
    return (ledger.folder / f"{study}.jsonl").read_text(encoding="utf-8").splitlines()


def weights(ledger, run, name="weights.npz"):
    return ledger._workspace(run) / name


def keep_snapshots(ledger, record, finished=None):
    """Put the snapshots of a recorded run where its training leaves them."""
    for epoch in range(1, record.run.epochs + 1):
        path = training.snapshot_path(ledger._workspace(record.run), epoch)
        training.save_weights(models.build(record.run.model), path)
    weights(ledger, record.run, "finished").write_text(finished or record.finished)


def test_a_run_is_trained_once_and_then_found(ledger, trainer):
    run = toy.teacher()
    epochs = []
    trained = ledger.obtain(run, "study", on_epoch=lambda epoch, history: epochs.append(epoch))
    assert trained == replace(toy.record(run), study="study")
    assert epochs == [1, 2]
    assert ledger.obtain(run, "elsewhere") == trained
    assert trainer.runs == [run]
    assert [path.name for path in ledger.folder.glob("*.jsonl")] == ["study.jsonl"]


def test_records_survive_reopening(ledger, trainer):
    recorded = [ledger.obtain(toy.student(seed), "study") for seed in range(3)]
    ledger_module._lines.cache_clear()
    ledger_module._parse.cache_clear()
    reopened = Ledger(ledger.folder, cache=ledger.cache / "another")
    assert list(reopened.records().values()) == recorded
    assert reopened.find(toy.student(1)) == recorded[1]
    assert reopened.find(toy.student(3)) is None
    assert [record.stale for record in recorded] == [False] * 3
    assert list(recorded[0].offsets) == [0] * 90 + [1] * 10
    assert list(recorded[0].confidences) == [0.8] * 100


def test_a_record_of_other_code_is_found_but_stale(ledger):
    write_study([toy.record(toy.student(), code="0123456789abcdef")], ledger.folder / "old.jsonl")
    assert ledger.find(toy.student()).stale


def test_what_a_run_rests_on_is_obtained_before_it_and_recorded(ledger, trainer):
    teacher, first = toy.teacher(), toy.student(epochs=1)
    run = toy.student(teacher=teacher, init=first)
    record = ledger.obtain(run, "study")
    assert trainer.runs == [teacher, first, run]
    assert [found.run for found in ledger.records().values()] == [teacher, first, run]
    assert record.study == "study"
    initial = trainer.initials[-1].get_weights()
    expected = models.build("mnist_student").get_weights()
    assert all(np.array_equal(*pair) for pair in zip(initial, expected, strict=True))


def test_published_records_are_found_and_never_written(tmp_path, ledger, trainer):
    published = tmp_path / "results"
    write_study([toy.record(toy.teacher(), correct=93)], published / "study.jsonl")
    before = (published / "study.jsonl").read_bytes()
    ledger = replace(ledger, published=published)

    found = ledger.obtain(toy.teacher(), "study")
    assert found.metrics["correct"] == 93
    assert trainer.runs == []
    assert not ledger.folder.exists()

    ledger.obtain(toy.teacher(seed=1), "study")
    assert trainer.runs == [toy.teacher(seed=1)]
    assert [json.loads(line)["record"]["run"]["seed"] for line in lines(ledger)] == [1]
    assert (published / "study.jsonl").read_bytes() == before
    assert os.listdir(published) == ["study.jsonl"]


def test_a_failed_training_leaves_nothing_behind(ledger, trainer):
    trainer.failing = toy.teacher()
    with pytest.raises(training.TrainingError, match="asked to fail"):
        ledger.obtain(toy.teacher(), "study")
    assert not ledger.folder.exists()
    trainer.failing = None
    assert ledger.obtain(toy.teacher(), "study").metrics["correct"] == 90


def test_teacher_outputs_are_computed_once_and_belong_to_the_sample(ledger, trainer, monkeypatch):
    computed = []

    def said_by(speaking, parts):
        (part,) = parts
        computed.append(len(part))
        return [training.Outputs(part.ids, {"logits": np.tile(part.ids[:, None], 10)})]

    monkeypatch.setattr(training, "said_by", said_by)
    teacher = toy.teacher(train_size=60)
    for temperature in (1, 4):
        ledger.obtain(toy.student(0, temperature, teacher, train_size=60), "study")
    assert computed == [60]
    (taught,) = trainer.teachers[-1]
    ids = np.random.default_rng(0).permutation(taught.ids)
    assert len(set(ids)) == 60
    assert np.array_equal(taught.of(ids)["logits"][:, 0], ids)
    with pytest.raises(KeyError, match="no teacher outputs for 1 samples"):
        taught.of(np.setdiff1d(np.arange(toy.TRAIN_SIZE), ids)[:1])

    ledger.obtain(toy.student(0, 1, teacher), "study")
    assert computed == [60, 120]  # the student sees images that no output is known for


def test_a_student_that_sees_views_gets_its_teachers_outputs_on_each(ledger, trainer, monkeypatch):
    seen = []

    def said_by(speaking, parts):
        seen.extend(part.images for part in parts)
        return [
            training.Outputs(part.ids, {"logits": np.full((len(part), 10), number)})
            for number, part in enumerate(parts, 1)
        ]

    monkeypatch.setattr(training, "said_by", said_by)
    ledger.obtain(toy.student(teacher=toy.teacher(), views="shifts_1"), "study")
    train, _ = toy.read()
    for images, view in zip(seen, views.of("shifts_1"), strict=True):
        np.testing.assert_array_equal(images, view(train.images))
    given = [outputs.values["logits"][0, 0] for outputs in trainer.teachers[-1]]
    assert given == list(range(1, 10))


def test_outputs_are_those_of_the_model_and_of_the_images(ledger, trainer):
    run = toy.teacher()
    ledger.obtain(run, "study")
    train, test = toy.read()
    first = train.take(slice(toy.TEST_SIZE))
    assert np.array_equal(first.ids, test.ids)
    model = models.build("mnist_teacher")
    for part in (first, test, first):
        found = ledger.outputs(run, part, ("logits",)).of(part.ids)["logits"]
        np.testing.assert_allclose(found, model.predict(part.images, verbose=0), rtol=1e-4)
    assert len(list(weights(ledger, run).parent.glob("outputs-*.npz"))) == 2


def test_outputs_are_forgotten_when_the_model_is_trained_again(ledger, trainer):
    run, student = toy.teacher(), toy.student(teacher=toy.teacher())
    ledger.obtain(student, "study")
    (outputs,) = weights(ledger, run).parent.glob("outputs-*.npz")
    weights(ledger, run).unlink()
    ledger.model(run)
    assert trainer.runs == [run, student, run]
    assert weights(ledger, run).exists()
    assert not outputs.exists()


def test_weights_that_are_not_at_hand_are_trained_again_without_a_second_record(
    tmp_path, ledger, trainer, caplog
):
    write_study([toy.record(toy.teacher())], tmp_path / "results" / "study.jsonl")
    ledger = replace(ledger, published=tmp_path / "results")
    caplog.set_level("INFO")
    ledger.obtain(toy.student(teacher=toy.teacher()), "study")
    assert trainer.runs == [toy.teacher(), toy.student(teacher=toy.teacher())]
    assert len(lines(ledger)) == 1
    assert f"training {toy.teacher().label} again: its weights are not" in caplog.text


DAMAGE = {
    "changed digit": lambda line: line.replace(b'"correct":90', b'"correct":91'),
    "changed seed": lambda line: line.replace(b'"seed":1', b'"seed":7'),
    "another key": lambda line: line.replace(b'{"key":"', b'{"key":"0', 1),
    "truncated line": lambda line: line[: len(line) // 2] + b"\n",
    "no text": lambda line: line[:100] + b"\xff\xfe\x80" + line[103:],
    "garbage": lambda line: b"\x00\xff<<<<<<< HEAD\n",
    "another JSON": lambda line: b"[1, 2]\n",
    "empty line": lambda line: b"\n",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_refused_and_named(ledger, trainer, damage):
    for seed in range(3):
        ledger.obtain(toy.teacher(seed), "study")
    path = ledger.folder / "study.jsonl"
    content = path.read_bytes().splitlines(keepends=True)
    damaged = DAMAGE[damage](content[1])
    assert damaged != content[1]
    path.write_bytes(content[0] + damaged + content[2])
    before = path.read_bytes()

    with pytest.raises(LedgerError) as caught:
        ledger.obtain(toy.teacher(3), "study")
    assert str(caught.value).startswith(f"{path}, line 2: the record ")
    assert "delete this line to train the run again" in str(caught.value)
    assert len(trainer.runs) == 3
    assert path.read_bytes() == before

    path.write_bytes(content[0] + content[2])
    assert ledger.obtain(toy.teacher(1), "study").run == toy.teacher(1)
    assert len(trainer.runs) == 4


def test_a_file_cut_short_is_refused_at_its_last_line(ledger, trainer):
    for seed in range(2):
        ledger.obtain(toy.teacher(seed), "study")
    path = ledger.folder / "study.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(LedgerError, match=rf"^{path}, line 2: the record unreadable is damaged"):
        ledger.records()


def test_a_file_replaced_within_one_tick_of_the_clock_is_read_again(tmp_path):
    path = tmp_path / "study.jsonl"
    for seeds in ([0], [0, 1], [0, 2]):
        write_study([toy.record(toy.teacher(seed)) for seed in seeds], path)
        os.utime(path, ns=(0, 0))
        assert [record.run.seed for record in read_study(path)] == seeds


SPOILED = {
    "truncated": lambda content: content[: len(content) // 2],
    "garbage": lambda content: b"no archive",
    "empty": lambda content: b"",
    "flipped": lambda content: content[:200] + bytes([content[200] ^ 1]) + content[201:],
}


@pytest.mark.parametrize("how", SPOILED)
def test_damaged_weights_and_outputs_are_named(ledger, trainer, how):
    run, part = toy.teacher(), toy.read()[1]
    ledger.obtain(run, "study")
    ledger.outputs(run, part, ("logits",))
    (outputs,) = weights(ledger, run).parent.glob("outputs-*.npz")
    for path, use in {
        outputs: lambda: ledger.outputs(run, part, ("logits",)),
        weights(ledger, run): lambda: ledger.model(run),
    }.items():
        path.write_bytes(SPOILED[how](path.read_bytes()))
        with pytest.raises(LedgerError) as caught:
            use()
        assert str(caught.value).startswith(f"{path} is damaged (")
        assert str(caught.value).endswith("delete it to have it made again.")
        path.unlink()
        use()


def test_weights_of_another_network_are_named(ledger, trainer):
    ledger.obtain(toy.teacher(), "study")
    training.save_weights(models.build("mnist_student"), weights(ledger, toy.teacher()))
    with pytest.raises(LedgerError, match=r"weights\.npz is damaged"):
        ledger.model(toy.teacher())


def assert_same_training(record, other):
    """Compare all but times, up to the digits that rounding may change."""
    parts = [(a.history, a.metrics, a.train) for a in (record, other)]
    for ours, theirs in zip(*parts, strict=True):
        ours, theirs = ({**part, "seconds": 0} for part in (ours, theirs))
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert value == pytest.approx(theirs[name], rel=1e-3), name
    assert np.array_equal(record.offsets, other.offsets)
    np.testing.assert_allclose(record.confidences, other.confidences, atol=1.01 / 255)
    assert (record.run, record.code, record.part) == (other.run, other.code, other.part)


def test_a_prefix_is_served_from_a_snapshot_and_equals_the_short_run(tmp_path, monkeypatch):
    long = Ledger(tmp_path / "long", cache=tmp_path / "long")
    own = Ledger(tmp_path / "own", cache=tmp_path / "own")
    run = toy.teacher(epochs=3, validation=20)
    longer = long.obtain(run, "study")
    expected = own.obtain(run.shorter(2), "study")
    monkeypatch.setattr(training, "train", None)

    record = long.obtain(run.shorter(2), "short")

    assert record.prefix_of == longer.key
    assert (expected.prefix_of, longer.prefix_of) == (None, None)
    assert (record.run, record.study, record.part) == (run.shorter(2), "short", "validation")
    assert len(record.history["val_accuracy"]) == 2
    assert_same_training(record, expected)
    assert record.metrics["nll"] != pytest.approx(longer.metrics["nll"], rel=1e-3)
    assert record.seconds == round(sum(longer.history["seconds"][:2]), 1)
    for ours, theirs in zip(
        long.model(run.shorter(2)).get_weights(),
        own.model(run.shorter(2)).get_weights(),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    assert long.find(run.shorter(2)) == record


@pytest.mark.parametrize(
    "case",
    [
        "allowed",
        "student",
        "longer",
        "other seed",
        "other rate",
        "snapshots of another training",
        "unfinished training",
        "no snapshot",
    ],
)
def test_a_prefix_is_served_only_where_it_is_the_same_training(ledger, trainer, case):
    recorded = toy.teacher(epochs=3)
    asked = {
        "student": toy.student(),
        "longer": toy.teacher(epochs=4),
        "other seed": toy.teacher(seed=1),
        "other rate": toy.teacher(learning_rate=0.01),
    }.get(case, toy.teacher())
    if case == "student":
        recorded = toy.student(epochs=3)
    history = {"loss": [3.0, 2.0, 1.0], "seconds": [5.0, 6.0, 7.0]}
    longer = toy.record(recorded, history=history)
    write_study([longer], ledger.folder / "study.jsonl")
    keep_snapshots(ledger, longer)
    if case == "snapshots of another training":
        keep_snapshots(ledger, longer, finished="2026-02-03T04:05:06+00:00")
    if case == "unfinished training":
        weights(ledger, recorded, "finished").unlink()
    if case == "no snapshot":
        training.snapshot_path(ledger._workspace(recorded), asked.epochs).unlink()

    record = ledger.obtain(asked, "study")

    if case == "allowed":
        assert trainer.runs == []
        assert record.prefix_of == longer.key
        assert record.history == {"loss": [3.0, 2.0], "seconds": [5.0, 6.0]}
    else:
        assert trainer.runs == [asked]
        assert record.prefix_of is None


def test_weights_that_other_code_has_trained_are_not_used(ledger, trainer, monkeypatch):
    ledger.obtain(toy.teacher(), "study")
    ledger.model(toy.teacher())
    assert trainer.runs == [toy.teacher()]
    monkeypatch.setattr(provenance, "code_digest", lambda run: "0123456789abcdef")
    ledger.model(toy.teacher())
    assert trainer.runs == [toy.teacher()] * 2


def test_a_prefix_and_a_record_are_those_of_one_precision(ledger, trainer):
    longer = ledger.obtain(toy.teacher(epochs=3), "study")
    keep_snapshots(ledger, longer)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        keep_snapshots(ledger, longer)
        assert ledger.key(longer.run) != longer.key
        assert ledger.find(longer.run) is None
        ledger.obtain(toy.teacher(epochs=2), "study")
    finally:
        keras.config.set_dtype_policy("float32")
    assert trainer.runs == [longer.run, toy.teacher(epochs=2)]


def test_a_prefix_and_a_record_are_those_of_one_backend(ledger, trainer, monkeypatch):
    longer = ledger.obtain(toy.teacher(epochs=3), "study")
    keep_snapshots(ledger, longer)
    with monkeypatch.context() as patch:
        patch.setattr(keras.backend, "backend", lambda: "another")
        keep_snapshots(ledger, longer)
        assert ledger.find(longer.run) is None
        assert ledger._prefix(toy.teacher(epochs=2)) is None
    assert ledger._prefix(toy.teacher(epochs=2)).prefix_of == longer.key


def test_publish_adds_what_is_new_and_renews_what_is_stale(tmp_path):
    source, target = tmp_path / "full", tmp_path / "results"
    kept, stale = toy.record(toy.teacher(0), 93), toy.record(toy.teacher(1), 94, code="older")
    write_study([kept, stale], target / "first.jsonl")
    first_line = (target / "first.jsonl").read_text().splitlines()[0]
    again = [toy.record(toy.teacher(seed)) for seed in (2, 1, 0)]
    unpublished = toy.record(toy.teacher(3), code="older")
    write_study([*again, unpublished], source / "first.jsonl")
    write_study([toy.record(toy.student())], source / "second.jsonl")

    assert publish(source, target) == {"first": 2, "second": 1}

    assert (target / "first.jsonl").read_text().splitlines()[0] == first_line
    records = list(read_study(target / "first.jsonl"))
    assert [(record.run.seed, record.metrics["correct"]) for record in records] == [
        (0, 93),
        (1, 90),
        (2, 90),
    ]
    files = [target / "first.jsonl", target / "second.jsonl"]
    after = [path.stat().st_mtime_ns for path in files]
    assert publish(source, target) == {"first": 0, "second": 0}
    assert [path.stat().st_mtime_ns for path in files] == after
    assert publish(tmp_path / "nothing", target) == {}


def start(script, *arguments):
    """Start a process of its own, which has the toys and answers line by line."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(toy.__file__).parent)},
    )


def expect(process, line):
    """Wait for a line from a process; one that hangs is killed, which ends the wait."""
    watchdog = threading.Timer(PATIENCE, process.kill)
    watchdog.start()
    assert process.stdout.readline() == f"{line}\n"
    watchdog.cancel()


RACE = """
import sys
from pathlib import Path

import toy

toy.install()
from kdutils import training
from kdutils.ledger import Ledger

trainer = toy.Trainer()


def train(*arguments):
    print("training", flush=True)
    sys.stdin.readline()
    record, model = trainer(*arguments)
    return toy.record(record.run, correct=77), model


training.train = train
folder = Path(sys.argv[1])
record = Ledger(folder / "ledger", cache=folder / "cache").obtain(toy.teacher(), "study")
print(record.metrics["correct"], flush=True)
"""


def test_of_two_processes_that_want_one_run_one_trains_it(tmp_path, ledger, trainer):
    process = start(RACE, tmp_path)
    try:
        expect(process, "training")
        results = []
        waiting = threading.Thread(
            target=lambda: results.append(ledger.obtain(toy.teacher(), "study")), daemon=True
        )
        waiting.start()
        waiting.join(timeout=1)
        assert waiting.is_alive()  # it is the other process that trains
        process.stdin.write("go on\n")
        process.stdin.flush()
        expect(process, 77)
        waiting.join(PATIENCE)
    finally:
        process.kill()
        process.communicate()
    assert [record.metrics["correct"] for record in results] == [77]
    assert trainer.runs == []
    assert len(lines(ledger)) == 1


KILLED = """
import sys
from pathlib import Path

import toy

toy.install()
from kdutils.ledger import Ledger


def on_epoch(epoch, history):
    if epoch == 2:
        print("in the middle", flush=True)
        sys.stdin.readline()


folder = Path(sys.argv[1])
ledger = Ledger(folder / "ledger", cache=folder / "cache")
ledger.obtain(toy.teacher(epochs=4), "study", on_epoch)
"""


def test_a_killed_training_goes_on_and_gives_the_record_of_an_uninterrupted_one(tmp_path, ledger):
    run = toy.teacher(epochs=4)
    process = start(KILLED, tmp_path)
    expect(process, "in the middle")
    lock = FileLock(ledger.cache / "locks" / f"{ledger.key(run)}.lock")
    with pytest.raises(Timeout):
        lock.acquire(timeout=0)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert ledger.records() == {}
    with lock.acquire(timeout=0):
        pass

    epochs = []
    record = ledger.obtain(run, "study", lambda epoch, history: epochs.append(epoch))

    assert epochs == [3, 4]
    whole = Ledger(tmp_path / "whole", cache=tmp_path / "whole").obtain(run, "study")
    assert_same_training(record, whole)
    assert len(record.history["seconds"]) == 4
    assert len(lines(ledger)) == 1
    assert not weights(ledger, run, "state.npz").exists()


def test_what_an_older_code_or_a_crash_has_left_is_not_gone_on_with(ledger):
    run = toy.teacher()
    state = weights(ledger, run, "state.npz")
    state.parent.mkdir(parents=True)
    state.write_bytes(b"half a file")
    epochs = []
    ledger.obtain(run, "study", lambda epoch, history: epochs.append(epoch))
    assert epochs == [1, 2]


def test_a_file_of_records_is_whole_whenever_its_writer_is_killed(tmp_path):
    path = tmp_path / "study.jsonl"
    contents = [[toy.record(toy.teacher(seed)) for seed in range(n)] for n in (20, 40)]
    write_study(contents[0], path)
    moments = random.Random(0)
    for _ in range(20):
        writer = os.fork()
        if writer == 0:
            try:
                while True:
                    for records in contents:
                        write_study(records, path)
            finally:
                os._exit(1)
        time.sleep(moments.uniform(0, 0.05))
        os.kill(writer, signal.SIGKILL)
        assert os.waitpid(writer, 0)[1] == signal.SIGKILL
        assert len(list(read_study(path))) in (20, 40)
