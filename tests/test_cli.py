import os
import re
import sys
from pathlib import Path

import pytest
import toy
from typer.testing import CliRunner

from kdutils import cli, data, report
from kdutils.data import DatasetError, mhist, synthetic
from kdutils.ledger import Ledger, LedgerError, read_study, write_study

pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    """The folder of published records; nothing here reads or writes the real ones."""
    monkeypatch.setattr(cli, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(cli, "BUILD", tmp_path / "_build")
    monkeypatch.setattr(cli, "REPEATED", tmp_path / "_build" / "ledger" / "repeated")
    return tmp_path / "results"


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setattr(cli.console, "_width", 200)
    monkeypatch.setenv("COLUMNS", "200")  # for the messages of typer, which has its own console


def run(*arguments):
    return CliRunner().invoke(cli.app, arguments)


def table(output):
    """The rows of the table that was printed."""
    lines = [line for line in output.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


# --- data


def test_data_says_where_each_set_stands_and_fetches_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("KDUTILS_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(data, "fetch", None)
    done = run("data")
    assert done.exit_code == 0
    rows = {row[0]: row[1:] for row in table(done.output)}
    assert rows["toy"] == ["found", "made up"]
    assert rows["mnist"][0] == rows["mhist"][0] == rows["kather"][0] == "not here"
    assert rows["synthetic"][0] == "found"

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist.npz").write_bytes(b"no archive")
    output = run("data").output
    assert {row[0]: row[1] for row in table(output) if row[0]}["mnist"] == "refused"
    assert str(tmp_path / "data" / "mnist.npz") in re.sub(r"\s*│\s*", "", output)


def test_data_fetches_what_is_named(monkeypatch):
    fetched = []
    monkeypatch.setattr(data, "fetch", fetched.append)
    assert run("data", "toy", "mnist").exit_code == 0
    assert fetched == ["toy", "mnist"]


def test_data_writes_simulated_tiles(tmp_path):
    folder = tmp_path / "simulated"
    done = run("data", "--generate", str(folder), "--count", "64")
    assert done.exit_code == 0
    assert f"wrote 64 simulated tiles into {folder}" in done.output
    assert len(mhist.read(folder, expected=synthetic.expected(64)).train) == 44


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "100"], "--count is of the tiles that --generate writes"),
        (["mnist", "--generate", "{tmp}"], "--generate writes tiles, and fetches nothing"),
        (["--generate", "{tmp}", "--count", "7"], "count=7 is impossible: it has to be from 64"),
    ],
)
def test_data_refuses_what_does_not_go_together(arguments, message, tmp_path):
    done = run("data", *(argument.format(tmp=tmp_path / "new") for argument in arguments))
    assert done.exit_code == 2
    assert message in done.output
    assert not (tmp_path / "new").exists()


def test_data_names_the_sets_that_there_are(monkeypatch):
    monkeypatch.setattr(data, "fetch", None)
    done = run("data", "mnits")
    assert done.exit_code == 2
    assert f"no data set 'mnits'; there are {', '.join(data.DATASETS)}" in done.output


# --- runs


def test_runs_lists_the_published_records_and_which_are_stale(results):
    fresh = toy.record(toy.student(teacher=toy.teacher()), correct=93)
    stale = toy.record(toy.teacher(validation=20), code="another")
    write_study([fresh, stale], results / "q04.jsonl")
    listed = [
        [fresh.key, fresh.run.label, "test", "93.00 %", "3", "q04", ""],
        [stale.key, stale.run.label, "validation", "90.00 %", "3", "q04", "stale"],
    ]
    assert table(run("runs").output) == listed
    assert table(run("runs", "--stale").output) == listed[1:]


def measure(ledger, runs):
    return {"models": len(runs)}


def test_runs_lists_measurements_and_which_are_stale(results, trainer):
    ledger = Ledger(results, cache=cli.BUILD / "cache")
    analysis = ledger.analyse(measure, [toy.student()], "q04")
    listed = [[analysis.key, "test_cli:measure", "1", "0", "q04", ""]]
    assert table(run("runs").output)[-1:] == listed
    assert table(run("runs", "--stale").output) == []
    write_study([toy.record(toy.student(), finished="later"), analysis], results / "q04.jsonl")
    assert table(run("runs", "--stale").output) == [[*listed[0][:-1], "stale"]]


def test_keys_and_verdicts_stay_whole_on_a_narrow_terminal(results, monkeypatch):
    monkeypatch.setattr(cli.console, "_width", 80)
    record = toy.record(toy.student(teacher=toy.teacher()), code="another")
    write_study([record], results / "task1_q06_temperature.jsonl")
    output = run("runs").output
    assert max(map(len, output.splitlines())) <= 80
    assert table(output)[0][0] == record.key
    assert table(output)[0][-1] == "stale"
    assert "".join(row[5] for row in table(output)) == "task1_q06_temperature"


# --- run and verify


def test_run_trains_again_with_what_it_rests_on_and_agrees(results, trainer):
    teacher = toy.record(toy.teacher(), seconds=7000.0)
    student = toy.record(toy.student(teacher=toy.teacher()), correct=88, seconds=200.0)
    write_study([teacher, student], results / "study.jsonl")
    before = (results / "study.jsonl").read_bytes()

    done = run("run", student.key[:6])

    assert done.exit_code == 0
    assert "1 records; 2 runs to train, with those they rest on: about 2.0 hours" in done.output
    assert trainer.runs == [teacher.run, student.run]
    # 1.96 √(2 · 0.88 · 0.12 / 100)
    assert table(done.output) == [
        [
            student.key,
            student.run.label,
            "88.00 %",
            "90.00 %",
            "± 9.01",
            "0.0 %",
            "2 of 100",
            "agrees",
        ]
    ]
    assert (results / "study.jsonl").read_bytes() == before
    assert len(list(read_study(cli.REPEATED / "study.jsonl"))) == 2

    again = run("run", student.key)
    assert "0 runs to train" in again.output
    assert len(trainer.runs) == 2


def test_run_tells_by_its_exit_status_that_a_repetition_differs(results, trainer):
    record, other = toy.record(toy.student(), correct=99), toy.record(toy.student(1))
    write_study([record, other], results / "study.jsonl")
    done = run("run", record.key, other.key)
    assert done.exit_code == 1
    assert [row[-1] for row in table(done.output)] == ["DIFFERS", "agrees"]
    assert [row[6] for row in table(done.output)] == ["9 of 100", "0 of 100"]


def test_run_repeats_again_what_other_code_has_repeated(results, trainer):
    record = toy.record(toy.student())
    write_study([record], results / "study.jsonl")
    write_study([toy.record(toy.student(), 20, code="older")], cli.REPEATED / "study.jsonl")
    done = run("run", record.key)
    assert done.exit_code == 0
    assert trainer.runs == [record.run]


def test_run_refuses_a_key_that_names_no_record_or_several(results, trainer):
    records = [toy.record(toy.student(seed)) for seed in range(20)]
    write_study(records, results / "study.jsonl")
    first = [record.key[0] for record in records]
    ambiguous = next(digit for digit in first if first.count(digit) > 1)
    for key, count in {ambiguous: first.count(ambiguous), "nokey": 0, "": 20}.items():
        done = run("run", key)
        assert done.exit_code == 2
        assert f"{count} records have a key that starts with {key}" in done.output
    assert trainer.runs == []


def test_verify_draws_a_sample_that_a_seed_repeats(results, trainer):
    records = [toy.record(toy.student(seed)) for seed in range(10)]
    write_study(records, results / "study.jsonl")
    drawn = run("verify", "--sample", "4").output
    first = table(drawn)
    assert len({row[0] for row in first}) == 4
    assert {row[0] for row in first} <= {record.key for record in records}
    (seed,) = re.findall(r"^sample 4 of 10; draw the same again with --seed (\d+)$", drawn, re.M)
    assert table(run("verify", "--sample", "4", "--seed", seed).output) == first
    assert len(trainer.runs) == 4
    other = str(int(seed) + 1)
    assert table(run("verify", "--sample", "9", "--seed", other).output) != first
    everything = run("verify", "--sample", "99")
    assert everything.exit_code == 0
    assert [row[0] for row in table(everything.output)] == [record.key for record in records]


def test_verify_fails_where_a_repetition_differs(results, trainer):
    write_study([toy.record(toy.student(), correct=50)], results / "study.jsonl")
    assert run("verify").exit_code == 1


@pytest.mark.parametrize("command", [("verify",), ("run", "0")])
def test_without_records_there_is_nothing_to_repeat(results, trainer, command):
    done = run(*command)
    assert done.exit_code == 1
    assert f"there are no records in {results}" in done.output


def test_records_of_another_backend_or_precision_are_not_repeated(results, trainer):
    record = toy.record(toy.student())
    others = [
        toy.record(toy.student(1), backend="another", versions={"another": "1"}),
        toy.record(toy.student(2), precision="mixed_bfloat16"),
    ]
    write_study([*others, record], results / "study.jsonl")
    done = run("verify", "--sample", "9")
    assert done.exit_code == 0
    assert "2 of 3 records were computed with another backend, precision or data" in done.output
    assert trainer.runs == [record.run]
    refused = run("run", others[0].key)
    assert refused.exit_code == 2
    write_study(others, results / "study.jsonl")
    assert run("verify").exit_code == 1
    assert trainer.runs == [record.run]


# --- publish and pair


def test_publish_adds_the_records_of_a_full_report(results):
    full = cli.BUILD / "ledger" / "full"
    write_study([toy.record(toy.student(seed)) for seed in range(2)], full / "q07.jsonl")
    write_study([toy.record(toy.student(0))], results / "q07.jsonl")
    assert run("publish", "--ledger", str(full)).output == "q07: 1 published\n"
    assert len(list(read_study(results / "q07.jsonl"))) == 2
    assert run("publish", "--ledger", str(full)).output == "q07: 0 published\n"


def test_publish_takes_the_weights_of_the_records_that_are_named(results, trainer, monkeypatch):
    full = cli.BUILD / "ledger" / "full"
    ledger = Ledger(full)
    monkeypatch.setattr(Ledger, "_workspace", lambda *_: cli.BUILD / "cache")
    record = ledger.obtain(toy.student(), "q07")
    done = run("publish", "--ledger", str(full), "--weights", record.key[:8])
    path = results / "weights" / f"{record.key}.npz"
    assert f"{path}: weights of {record.run.label}" in done.output
    assert path.exists()
    assert run("publish", "--ledger", str(full), "--weights", "none").exit_code == 2


def test_pair_names_what_it_wrote(monkeypatch):
    monkeypatch.setattr(report, "pair", lambda: [cli.ROOT / "notebooks" / "a.ipynb"])
    assert run("pair").output == f"wrote {Path('notebooks', 'a.ipynb')}\n"


# --- report


@pytest.fixture
def made(monkeypatch):
    """What the tool chain was asked for, without it."""
    made = []
    monkeypatch.setattr(data, "load", lambda name: made.append(("load", name)))
    monkeypatch.setattr(
        report, "execute", lambda *given, at_once: made.append(("execute", *given, at_once))
    )

    def compile_book(profile):
        made.append(("compile", profile))
        return Path("_build", "html", "index.html")

    monkeypatch.setattr(report, "compile_book", compile_book)
    return made


def test_report_executes_and_compiles_the_full_profile(made):
    done = run("report")
    assert made == [("load", "mnist"), ("execute", "full", None, None, 1), ("compile", "full")]
    assert done.output == f"open {Path('_build', 'html', 'index.html')}\n"


def test_report_takes_a_profile_notebooks_and_a_ledger(made):
    run("report", "--profile", "quick", "--ledger", "mine", "--at-once", "2")
    assert made[1:] == [("execute", "quick", None, Path("mine"), 2), ("compile", "quick")]


def test_report_executes_single_notebooks_and_tells_how_to_compile_the_book(made):
    done = run("report", "--profile", "quick", "--notebook", "a", "--notebook", "b")
    assert made == [("load", "mnist"), ("execute", "quick", ["a", "b"], None, 1)]
    assert done.output.endswith("kdutils report --profile quick --no-execute\n")


def test_report_can_compile_alone(made):
    run("report", "--no-execute")
    assert made == [("compile", "full")]


@pytest.mark.parametrize(
    "options",
    [
        ("--no-execute", "--fresh"),
        ("--no-execute", "--ledger", "mine"),
        ("--no-execute", "--notebook", "a"),
        ("--fresh", "--ledger", "mine"),
    ],
)
def test_report_refuses_options_that_exclude_each_other(made, options):
    assert run("report", *options).exit_code == 2
    assert made == []


def test_a_fresh_report_says_how_long_it_takes_and_how_to_go_on(made, results):
    longer = toy.record(toy.teacher(epochs=12), seconds=6000.0)
    prefix = toy.record(toy.teacher(epochs=6), seconds=3000.0, prefix_of=longer.key)
    write_study([longer, prefix], results / "q04.jsonl")

    done = run("report", "--fresh")

    ledger = made[1][3]
    assert ledger.parent == cli.BUILD / "ledger"
    assert re.fullmatch(r"full-\d{4}-\d\d-\d\dT\d{6}", ledger.name)
    assert done.output.splitlines() == [
        "training everything again, which takes 1.7 hours on the machines of the records. If it "
        "is interrupted, go on with:",
        f"  .venv/bin/kdutils report --profile full --ledger {ledger}",
        f"open {Path('_build', 'html', 'index.html')}",
    ]
    assert not ledger.exists()

    assert "which takes a while." in run("report", "--fresh", "--profile", "quick").output
    assert made[-2][3].name.startswith("quick-")


# --- what goes wrong


@pytest.fixture
def main(monkeypatch):
    """Runs the command line as a program, on an application that raises."""

    def main(error):
        def app():
            raise error

        monkeypatch.setattr(cli, "app", app)
        monkeypatch.setitem(os.environ, "TF_CPP_MIN_LOG_LEVEL", "2")
        cli.main()

    return main


@pytest.mark.parametrize(
    "error", [LedgerError("a.jsonl, line 2: damaged"), DatasetError("MNIST: not to be had")]
)
def test_the_errors_of_the_package_are_told_in_a_sentence(main, error):
    with pytest.raises(SystemExit) as caught:
        main(error)
    assert caught.value.code == f"kdutils: {error}"


@pytest.mark.parametrize("error", [ValueError("a fault of ours"), KeyError("x"), SystemExit(3)])
def test_other_errors_keep_their_traceback(main, error):
    with pytest.raises(type(error)) as caught:
        main(error)
    assert caught.value is error


def test_the_program_ends_with_the_status_of_its_command(monkeypatch, results, capsys):
    monkeypatch.setattr(sys, "argv", ["kdutils", "run", "abc"])
    write_study([toy.record(toy.student())], results / "study.jsonl")
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 2
    assert "0 records have a key that starts with abc" in capsys.readouterr().err


def test_a_damaged_record_ends_the_program_with_its_place(monkeypatch, results):
    monkeypatch.setattr(sys, "argv", ["kdutils", "runs"])
    results.mkdir()
    (results / "study.jsonl").write_text("{}\n")
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert str(caught.value.code).startswith(f"kdutils: {results / 'study.jsonl'}, line 1: ")
