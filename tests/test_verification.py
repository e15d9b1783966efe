import pytest
import toy

from kdutils.ledger import Ledger, write_study
from kdutils.verification import Repetition, forget_stale, needed, tolerance

pytestmark = pytest.mark.usefixtures("small")


def scored(correct, count):
    metrics = {"accuracy": correct / count, "correct": correct, "count": count}
    return toy.record(toy.student(), metrics=metrics)


def test_tolerance_is_that_of_two_binomial_accuracies():
    # 1.96 √(2 · 0.988 · 0.012 / 10,000) = 1.96 · 0.00153987
    assert tolerance(scored(9880, 10_000)) == pytest.approx(0.00301814, rel=1e-5)
    assert tolerance(scored(2500, 5000)) == pytest.approx(0.0196, rel=1e-12)
    assert tolerance(scored(100, 100)) == 0


@pytest.mark.parametrize(
    ("correct", "agrees"), [(2500, True), (2598, True), (2403, True), (2599, False), (2401, False)]
)
def test_repetitions_agree_up_to_the_tolerance(correct, agrees):
    # Half of 5000 images: the tolerance is 0.0196, which is 98 images.
    pair = Repetition(scored(2500, 5000), scored(correct, 5000))
    assert pair.agrees is agrees
    assert pair.difference == pytest.approx((correct - 2500) / 5000)


def with_history(**first):
    history = {name: [value, 0.1] for name, value in first.items()} | {"seconds": [9.0, 1.0]}
    return toy.record(toy.student(), history=history)


@pytest.mark.parametrize(
    ("soft", "agrees"), [(2.0, True), (2.19, True), (2.21, False), (1.79, False)]
)
def test_repetitions_agree_in_the_losses_of_their_first_epoch(soft, agrees):
    recorded = with_history(loss=1.0, soft=2.0, val_nll=1.0)
    repeated = with_history(loss=1.0, soft=soft, val_nll=5.0)
    pair = Repetition(recorded, repeated)
    assert pair.first_epoch == pytest.approx(abs(soft - 2) / 2)
    assert pair.agrees is agrees


def test_other_predictions_are_counted_image_by_image():
    recorded, repeated = toy.record(toy.student(), 90), toy.record(toy.student(), 85)
    assert Repetition(recorded, repeated).changed == 5
    assert Repetition(recorded, recorded).changed == 0


def test_needed_counts_what_the_runs_rest_on_once_and_nothing_repeated(tmp_path):
    teacher = toy.teacher()
    runs = [toy.student(seed, teacher=teacher) for seed in range(3)]
    seconds = {teacher: 100.0, **dict(zip(runs, (10.0, 20.0, 40.0), strict=True))}
    records = [toy.record(run, seconds=time) for run, time in seconds.items()]
    published, repeated = Ledger(tmp_path / "results"), Ledger(tmp_path / "repeated")
    write_study(records, published.folder / "study.jsonl")

    assert needed(records[1:], published, repeated) == (4, 170.0)
    assert needed(records[2:3], published, repeated) == (2, 120.0)

    write_study([records[0], records[1]], repeated.folder / "study.jsonl")
    assert needed(records[1:], published, repeated) == (2, 60.0)
    assert needed(records[:2], published, repeated) == (0, 0)


def test_needed_counts_a_run_whose_time_is_not_known(tmp_path):
    published, repeated = Ledger(tmp_path / "results"), Ledger(tmp_path / "repeated")
    record = toy.record(toy.student(teacher=toy.teacher()), seconds=5.0)
    write_study([record], published.folder / "study.jsonl")
    assert needed([record], published, repeated) == (2, 5.0)


def test_repetitions_of_other_code_are_forgotten(tmp_path):
    ledger = Ledger(tmp_path)
    kept = toy.record(toy.student(0))
    write_study([kept, toy.record(toy.student(1), code="older")], tmp_path / "study.jsonl")
    forget_stale(tmp_path)
    assert [record.run for record in ledger.records().values()] == [kept.run]
    forget_stale(tmp_path / "nothing yet")


def test_a_loss_term_of_zero_can_be_compared():
    recorded, repeated = (
        toy.record(toy.student(), history={"loss": [2.0], "soft": [0.0], "seconds": [1.0]})
        for _ in range(2)
    )
    assert Repetition(recorded, repeated).first_epoch == 0
