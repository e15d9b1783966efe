from dataclasses import replace

import keras
import numpy as np
import pytest
import toy

from kdutils import analyses
from kdutils import ledger as ledger_module
from kdutils.ledger import (
    Ledger,
    LedgerError,
    publish,
    publish_weights,
    read_study,
    write_study,
)

pytestmark = pytest.mark.usefixtures("small")


def spread(ledger, runs, scale=1):
    """Measure something of the models themselves."""
    spread.calls += 1
    models = [ledger.model(run) for run in runs]
    return {"bias": [scale * model.get_layer("logits").bias.numpy() for model in models], "n": 3}


spread.calls = 0


def test_an_analysis_is_measured_once_and_then_found(ledger, trainer):
    runs = [toy.student(seed) for seed in range(2)]
    before = spread.calls
    first = ledger.analyse(spread, runs, "study", scale=2)
    assert spread.calls == before + 1
    ledger_module._lines.cache_clear()
    ledger_module._parse.cache_clear()
    assert ledger.analyse(spread, runs, "elsewhere", scale=2) == first
    assert spread.calls == before + 1
    assert first.values == {"bias": [[0.0] * 10] * 2, "n": 3}
    assert first.runs == tuple(ledger.key(run) for run in runs)
    assert trainer.runs == runs, "what it rests on is trained"


@pytest.mark.parametrize(
    ("count", "parameters"), [(1, {"scale": 2}), (2, {"scale": 3}), (2, {})], ids=str
)
def test_other_runs_or_parameters_make_another_analysis(ledger, trainer, count, parameters):
    first = ledger.analyse(spread, [toy.student(0), toy.student(1)], "study", scale=2)
    runs = [toy.student(seed) for seed in range(count)]
    assert ledger.analyse(spread, runs, "study", **parameters).key != first.key


def test_analyses_lie_beside_records_and_are_not_taken_for_them(ledger, trainer):
    run = toy.student()
    analysis = ledger.analyse(spread, [run], "study")
    assert [each.run for each in ledger.records().values()] == [run]
    assert list(read_study(ledger.folder / "study.jsonl")) == [ledger.find(run), analysis]


def test_only_a_function_of_a_module_can_be_recorded(ledger, trainer, monkeypatch):
    with pytest.raises(ValueError, match="function of a module"):
        ledger.analyse(lambda ledger, runs: {}, [toy.student()], "study")
    monkeypatch.setattr(spread, "__module__", "__main__")
    with pytest.raises(ValueError, match="what a notebook or a script defines"):
        ledger.analyse(spread, [toy.student()], "study")
    assert trainer.runs == [], "it is refused before anything is trained"


def test_the_caller_may_work_on_the_values(ledger, trainer):
    first = ledger.analyse(spread, [toy.student()], "study")
    first.values["bias"].append("changed")
    ledger.obtain(toy.student(7), "study")  # writes the file anew
    assert ledger.analyse(spread, [toy.student()], "study").values["bias"] == [[0.0] * 10]


def test_an_analysis_whose_module_is_gone_is_stale(ledger, trainer, tmp_path):
    fresh = ledger.analyse(spread, [toy.student()], "study")
    write_study([replace(fresh, function="gone_since:spread")], tmp_path / "study.jsonl")
    assert next(read_study(tmp_path / "study.jsonl")).stale


def test_an_analysis_by_other_code_is_stale_and_replaced_on_publishing(ledger, trainer, tmp_path):
    fresh = ledger.analyse(spread, [toy.student()], "study")
    assert not fresh.stale
    old = replace(fresh, code="of before", values={})
    target = tmp_path / "published"
    write_study([old], target / "study.jsonl")
    (read,) = read_study(target / "study.jsonl")
    assert read.stale
    publish(ledger.folder, target)
    assert list(read_study(target / "study.jsonl")) == [fresh, *ledger.records().values()]


def test_an_analysis_of_stale_runs_is_stale(ledger, trainer):
    run = toy.student()
    ledger.analyse(spread, [run], "study")
    path = ledger.folder / "study.jsonl"
    write_study(
        [replace(each, code="old") if hasattr(each, "run") else each for each in read_study(path)],
        path,
    )
    assert ledger.analyse(spread, [run], "study").stale


def trained_again(folder):
    """Change records as training their runs anew would."""
    path = folder / "study.jsonl"
    write_study(
        [
            replace(each, finished="later") if hasattr(each, "run") else each
            for each in read_study(path)
        ],
        path,
    )


def test_an_analysis_of_weights_that_were_replaced_is_stale(ledger, trainer):
    run = toy.student()
    ledger.analyse(spread, [run], "study")
    assert [each.stale for each in ledger.analyses()] == [False]
    trained_again(ledger.folder)
    assert ledger.analyse(spread, [run], "study").stale
    assert [each.stale for each in ledger.analyses()] == [True]


def test_publishing_keeps_analyses_with_the_records_they_were_measured_on(
    ledger, trainer, tmp_path
):
    run = toy.student()
    fresh = ledger.analyse(spread, [run], "study")
    target = tmp_path / "published"
    publish(ledger.folder, target)
    of_other_weights = replace(fresh, trained=("earlier",), values={"n": 4})
    path = target / "study.jsonl"
    stored = list(read_study(path))
    write_study([stored[0], of_other_weights], path)
    # The published record is the one that the new measurement was made on.
    assert publish(ledger.folder, target) == {"study": 1}
    assert list(read_study(path)) == stored
    # Now the published record is of another training, and valid, so both stay as they are.
    trained_again(target)
    before = path.read_bytes()
    assert publish(ledger.folder, target) == {"study": 0}
    assert path.read_bytes() == before


def test_numbers_are_kept_to_six_digits():
    values = {"a": np.float32(1 / 3), "b": [np.array([2 / 3, 1])], "c": 7, 4: "text"}
    kept = {"a": 0.333333, "b": [[0.666667, 1.0]], "c": 7, "4": "text"}
    assert analyses.rounded(values) == kept


def test_published_weights_serve_where_nothing_is_cached(ledger, trainer, tmp_path):
    record = ledger.obtain(toy.student(), "study")
    fine = np.random.default_rng(0).normal(size=(16, 10)).astype("float32")
    model = ledger.model(record.run)
    model.get_layer("logits").kernel.assign(fine)
    ledger._keep(model, record)
    target = tmp_path / "published"
    publish(ledger.folder, target)
    path = publish_weights(record, ledger, target)
    assert path == target / "weights" / f"{record.key}.npz"
    elsewhere = Ledger(tmp_path / "new", published=target, cache=tmp_path / "none")
    loaded = elsewhere.exemplar(record.run).get_layer("logits").kernel
    np.testing.assert_array_equal(loaded, fine.astype("float16"))
    assert trainer.runs == [record.run], "nothing was trained again"


def test_weights_of_another_training_are_not_used(ledger, trainer, tmp_path):
    record = ledger.obtain(toy.student(), "study")
    target = tmp_path / "published"
    publish(ledger.folder, target)
    publish_weights(record, ledger, target)
    write_study([replace(record, finished="later")], target / "study.jsonl")
    elsewhere = Ledger(tmp_path / "new", published=target, cache=tmp_path / "none")
    elsewhere.exemplar(record.run)
    assert trainer.runs == [record.run, record.run]


def test_weights_are_published_only_with_their_own_record(ledger, trainer, tmp_path):
    record = ledger.obtain(toy.student(), "study")
    nowhere = Ledger(ledger.folder, cache=tmp_path / "empty")
    for unlike, where in [(replace(record, finished="later"), ledger), (record, nowhere)]:
        with pytest.raises(LedgerError, match=f"does not hold the weights.*{record.key}"):
            publish_weights(unlike, where, tmp_path / "published")
    assert not (tmp_path / "published").exists()
    assert trainer.runs == [record.run], "nothing is trained only to be refused"


def test_an_exemplar_is_rounded_wherever_its_weights_come_from(ledger, trainer):
    for weight in ledger.exemplar(toy.student()).weights:
        values = keras.ops.convert_to_numpy(weight)
        np.testing.assert_array_equal(values, values.astype("float16"))
        assert values.any() == (weight.name == "kernel")
