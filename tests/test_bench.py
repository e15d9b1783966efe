from dataclasses import replace

import pytest

from kdutils import bench, models
from kdutils.models.branches import mnist_branches
from kdutils.provenance import lineage
from kdutils.runs import Run
from kdutils.task1 import Protocol

PROTOCOL = Protocol()
TEACHER = PROTOCOL.teacher(0)


def students(name, validation=None):
    entry = bench.BENCH[name]
    return [entry.student(PROTOCOL, 0, validation, **each) for each in entry.candidates]


@pytest.mark.parametrize("validation", [None, 5000])
@pytest.mark.parametrize("name", bench.BENCH)
def test_every_method_has_as_many_candidates_all_different(name, validation):
    runs = students(name, validation)
    assert len(set(runs)) == len(runs) == bench.CANDIDATES
    for run in runs:
        assert Run.from_json(run.to_json()) == run
        assert run.validation == validation
        assert run.epochs == 12
        assert {each.seed for each in lineage(run)} == {0}
        assert run.label


@pytest.mark.parametrize(
    ("name", "epochs", "weights"),
    [
        ("KD", 12 + 12, 0),
        ("label smoothing", 12, 0),
        ("teacher assistant", 12 + 12 + 12, 173_930),
        ("subclass", 12 + 12, 0),
        ("student-friendly", 12 + 12, 1_251_274 + 1_263_034),
        ("FitNets", 12 + 4 + 12, (784 + 1) * 1600),
        ("contrastive, in-batch", 12 + 12, (784 + 1) * 128 + (128 + 1) * 128),
        ("contrastive (CRD)", 12 + 12, (784 + 1) * 128 + (128 + 1) * 128),
        ("causal (CID)", 12 + 12, (784 + 1) * 128),
        ("relational, distances", 12 + 12, 0),
    ],
)
def test_what_a_student_costs_in_all(name, epochs, weights):
    run = students(name)[0]
    assert bench.total_epochs(run) == epochs
    assert bench.extra_parameters(run) == weights


def test_an_early_stopped_teacher_costs_its_own_epochs_alone():
    early = next(run for run in students("early stopping") if run.teacher.epochs == 4)
    assert bench.total_epochs(early) == 4 + 12


def test_distillation_that_never_stops_is_plain_distillation_from_that_teacher():
    never, stopped = (
        bench.BENCH["early stopping"].student(PROTOCOL, 0, None, teacher_epochs=8, stop_epoch=stop)
        for stop in (12, 8)
    )
    plain = PROTOCOL.distilled(0, 4.0, 0.5)
    assert never == replace(plain, teacher=plain.teacher.shorter(8))
    assert stopped.method == "early_stopped_kd"


def test_networks_between_teacher_and_student_have_the_size_they_say():
    sizes = {
        "mnist_assistant_convolutional": 173_930,
        "mnist_assistant_wide": 2_395_210,
        "mnist_student_interventional": 1_262_260,
        "mnist_student_10x2": 1_238_730 + 7_850,
        "mnist_teacher_10x2": 1_011_466 + 1_290,
    }
    assert {name: models.build(name).count_params() for name in sizes} == sizes


def test_branches_have_the_size_and_none_of_the_numbers_of_the_student():
    branches = mnist_branches(seed=0)
    assert branches["early"].count_params() == 1_251_274
    assert branches["middle"].count_params() == 1_263_034
    student = models.build("mnist_student", seed=0)
    hidden = student.get_layer("h2").kernel.numpy()
    for weight in branches["early"].weights:
        assert weight.shape != hidden.shape or (weight.numpy() != hidden).any()
