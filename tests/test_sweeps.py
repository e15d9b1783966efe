import multiprocessing
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
import toy

from kdutils import training
from kdutils.ledger import write_study
from kdutils.sweeps import _levels, obtain_all

pytestmark = pytest.mark.usefixtures("small")


def test_records_come_in_the_order_of_the_runs_each_trained_once(ledger, trainer, capsys):
    second, first = toy.student(1, teacher=toy.teacher(1)), toy.student(0, teacher=toy.teacher(0))
    runs = [second, toy.student(), first, second, toy.teacher(1)]
    records = obtain_all(runs, ledger, "study")
    assert [record.run for record in records] == runs
    assert {record.study for record in records} == {"study"}
    assert trainer.runs == [toy.teacher(1), toy.student(), toy.teacher(0), second, first]
    assert len(capsys.readouterr().out.splitlines()) == 5

    assert obtain_all(runs, ledger, "study") == records
    assert len(trainer.runs) == 5
    assert capsys.readouterr() == ("", "")


def test_a_run_that_is_recorded_asks_for_none_of_its_teachers(ledger, trainer):
    run = toy.student(teacher=toy.teacher())
    write_study([toy.record(run)], ledger.folder / "study.jsonl")
    (record,) = obtain_all([run], ledger, "study")
    assert record.run == run
    assert trainer.runs == []


def test_levels_put_what_a_run_rests_on_before_it():
    teacher = toy.teacher()
    assistant = toy.student(teacher=teacher)
    last = toy.student(1, teacher=assistant, init=toy.student(2))
    lineage = [teacher, assistant, toy.student(2), last]
    assert _levels([*lineage, toy.student(3)]) == [
        [teacher, toy.student(2), toy.student(3)],
        [assistant],
        [last],
    ]
    # What is recorded already is not among the missing runs.
    assert _levels([assistant, last]) == [[assistant], [last]]


def test_threads_train_what_is_missing_teachers_first(ledger, trainer, capsys):
    teacher = toy.teacher()
    runs = [toy.student(0, temperature, teacher) for temperature in (1, 2, 4, 8)]
    obtain_all(runs[:1], ledger, "study")
    with ThreadPoolExecutor(3) as executor:
        records = obtain_all(runs[::-1], ledger, "study", executor)
    assert [record.run for record in records] == runs[::-1]
    assert trainer.runs[:2] == [teacher, runs[0]]
    assert len(trainer.runs) == 5
    assert len((ledger.folder / "study.jsonl").read_text().splitlines()) == 5
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        "1/2",
        "2/2",
        "1/3",
        "2/3",
        "3/3",
    ]


def test_spawned_processes_train_what_is_missing(ledger, monkeypatch):
    monkeypatch.setattr(training, "train", None)  # here, that is; the processes have their own
    runs = [toy.student(seed, teacher=toy.teacher()) for seed in (1, 0)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=toy.install_with_trainer) as executor:
        records = obtain_all(runs, ledger, "study", executor)
    assert [record.run for record in records] == runs
    assert set(ledger.records()) == {ledger.key(run) for run in [toy.teacher(), *runs]}


@pytest.mark.parametrize("workers", [0, 2])
def test_after_an_error_a_sweep_goes_on_with_what_is_not_finished(ledger, trainer, workers):
    runs = [toy.student(seed) for seed in range(3)]
    trainer.failing = runs[1]

    def sweep():
        if not workers:
            return obtain_all(runs, ledger, "study")
        with ThreadPoolExecutor(workers) as executor:
            return obtain_all(runs, ledger, "study", executor)

    with pytest.raises(training.TrainingError, match="asked to fail"):
        sweep()
    finished = [record.run for record in ledger.records().values()]
    assert runs[0] in finished
    assert runs[1] not in finished
    trainer.failing = None
    assert [record.run for record in sweep()] == runs
    assert sorted(run.seed for run in trainer.runs) == [0, 1, 2]


def test_after_an_error_what_has_not_begun_is_given_up(ledger, trainer, monkeypatch):
    told = threading.Event()

    def train(run, *arguments):
        if run.seed == 1:
            told.wait()
        return trainer(run, *arguments)

    monkeypatch.setattr(training, "train", train)
    trainer.failing = toy.student(0)
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(training.TrainingError):
            obtain_all([toy.student(seed) for seed in range(3)], ledger, "study", executor)
        told.set()
    assert toy.student(2) not in trainer.runs


def test_forked_processes_are_refused(ledger, trainer):
    fork = multiprocessing.get_context("fork")
    with (
        ProcessPoolExecutor(1, fork) as executor,
        pytest.raises(ValueError, match=r'multiprocessing\.get_context\("spawn"\)'),
    ):
        obtain_all([toy.student()], ledger, "study", executor)


def test_without_a_terminal_each_run_is_one_line(ledger, trainer, capsys):
    runs = [toy.student(validation=20), toy.teacher(3)]
    obtain_all(runs, ledger, "study")
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        f"1/2 {runs[0].label}: 90.00 % of the validation part, 3 s",
        f"2/2 {runs[1].label}: 90.00 % of the test part, 3 s",
    ]
    assert err == ""


def test_on_a_terminal_bars_show_the_sweep_and_the_present_run(
    ledger, trainer, capsys, monkeypatch
):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    obtain_all([toy.student(), toy.student(1, epochs=7)], ledger, "study")
    out, err = capsys.readouterr()
    assert out == ""
    shown = err.rpartition("runs")[2]
    assert "2/2" in shown
    assert "batches of 40 · seed 1" in shown
    assert "7/7" in shown


def test_bars_are_put_away_when_a_training_fails(ledger, trainer, capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    trainer.failing = toy.student()
    with pytest.raises(training.TrainingError):
        obtain_all([toy.student()], ledger, "study")
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    err = capsys.readouterr().err
    assert err.rfind(shown) > err.rfind(hidden) >= 0
