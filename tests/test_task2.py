from dataclasses import replace
from types import SimpleNamespace

import pytest

from kdutils import bench_task2, choices, methods, models, task2
from kdutils.provenance import lineage

PROTOCOL = task2.Protocol("kather", fold=2, size=96)
CUT = {task2.TEACHER: "conv4_block6_out", task2.STUDENT: "block_12_add"}


def trained(network, protocol=PROTOCOL, **settings):
    return protocol.trained(network, 0, CUT[network], **settings)


@pytest.mark.parametrize(("network", "rate"), [("resnet50v2", 1e-4), ("mobilenetv2", 1e-3)])
def test_training_has_the_two_phases_that_are_assigned(network, rate):
    source, head, tuned = lineage(trained(network))
    assert (head.epochs, head.frozen, head.learning_rate) == (10, "avg_pool", rate)
    assert (tuned.epochs, tuned.frozen) == (25, CUT[network])
    assert tuned.learning_rate == pytest.approx(rate / 10)
    assert tuned.init == head
    assert head.init == source
    assert {head.batch_size, tuned.batch_size} == {32}
    assert {each.views for each in (source, head, tuned)} == {"turns"}


def test_the_source_task_sees_neither_tested_nor_held_out_slides():
    for protocol in (PROTOCOL, PROTOCOL.choosing()):
        source = lineage(trained(task2.STUDENT, protocol))[0]
        assert (source.model, source.data) == ("mobilenetv2_6", "kather_source")
        assert (source.fold, source.validation) == (2, 1)


def test_one_source_serves_choosing_and_testing():
    sources = {
        lineage(trained(task2.STUDENT, protocol))[0] for protocol in (PROTOCOL, PROTOCOL.choosing())
    }
    assert len(sources) == 1


def test_a_random_start_is_one_phase_of_all_epochs_that_trains_all():
    run = trained(task2.STUDENT, initial="random")
    assert lineage(run) == [run]
    assert (run.epochs, run.frozen, run.learning_rate) == (35, None, 1e-3)


def test_the_rate_falls_where_batch_normalisation_is_trained_and_only_there():
    random, pretrained = trained(task2.STUDENT, initial="random"), trained(task2.STUDENT)
    source, head, tuned = lineage(pretrained)
    assert random.schedule == source.schedule == "cosine"
    assert head.schedule is tuned.schedule is None


def test_imagenet_takes_the_place_of_the_source():
    head, tuned = lineage(trained(task2.TEACHER, initial="imagenet"))
    assert (head.weights, tuned.weights) == ("imagenet", None)
    assert tuned.init == head


def test_both_phases_learn_from_the_teacher():
    teacher = trained(task2.TEACHER)
    options = {"temperature": 4.0, "alpha": 0.5}
    student = trained(task2.STUDENT, method="kd", options=options, teacher=teacher)
    assert [each.method for each in (student.init, student)] == ["kd", "kd"]
    assert student.teacher == student.init.teacher == teacher
    assert student.init.init.teacher is None


def test_choosing_holds_out_what_the_track_has_for_it():
    run = trained(task2.STUDENT, PROTOCOL.choosing())
    assert run.validation == run.init.validation == 1
    simulated = task2.Protocol("synthetic", None, 64, initial="random").choosing()
    assert trained(task2.STUDENT, simulated).validation == 435


def test_what_a_track_does_not_have_is_refused():
    with pytest.raises(ValueError, match="mhist has no source task"):
        task2.Protocol("mhist", None, 64)
    with pytest.raises(ValueError, match="no initialisation 'places'"):
        replace(PROTOCOL, initial="places")


@pytest.mark.parametrize(
    ("network", "parameters"), [("resnet50v2", 23_568_898), ("mobilenetv2", 2_260_546)]
)
def test_networks_have_their_size_and_all_cuts(network, parameters):
    model = models.build(network)
    assert model.count_params() == parameters
    assert model.output_shape == (None, 2)
    momenta = {layer.momentum for layer in model.layers if hasattr(layer, "momentum")}
    assert momenta == {0.9}
    widths = {"resnet50v2": [256, 512, 1024, 2048], "mobilenetv2": [24, 32, 96, 1280]}[network]
    outputs = [model.get_layer(cut).output for cut in models.cuts(network)]
    assert [output.shape[-1] for output in outputs] == widths


def test_a_network_with_subclasses_ends_in_more_logits_and_then_in_its_classes():
    model = models.build("mobilenetv2_2x5")
    assert model.get_layer("subclass_logits").output.shape == (None, 10)
    assert model.output_shape == (None, 2)


# --- what is chosen


class Scored:
    """Gives every run a record with the AUC that a function says, and keeps what was asked for."""

    def __init__(self, auc, part="validation"):
        self.auc, self.part, self.asked = auc, part, []

    def __call__(self, runs):
        self.asked += runs
        return [
            SimpleNamespace(run=run, part=self.part, metrics={"roc_auc": self.auc(run), "nll": 1.0})
            for run in runs
        ]


def auc_of(run):
    """Best at the deeper cuts, at T = 16 and at α = 0.9."""
    worth = {"conv3_block4_out": 0.9, "block_5_add": 0.8}.get(run.frozen, 0.5)
    if run.method == "kd":
        worth = 0.1 * (run.options["temperature"] == 16) + 0.01 * run.options["alpha"]
    return worth


def test_choices_are_made_one_after_the_other_on_held_out_images():
    obtain = Scored(auc_of)
    chosen = choices.choose(PROTOCOL, obtain)
    assert chosen.settings == task2.Settings(
        {task2.TEACHER: "conv3_block4_out", task2.STUDENT: "block_5_add"}, 16, 0.9
    )
    assert {run.validation for run in obtain.asked} == {1}
    assert list(chosen.temperatures) == [1, 2, 4, 16, 32, 64]
    balances = {run.options["alpha"] for run in obtain.asked if run.options}
    assert balances == {0.1, 0.5, 0.9}
    searched = [r.run for r in chosen.temperatures.values()]
    assert {run.options["alpha"] for run in searched} == {0.5}
    assert {run.frozen for run in searched} == {"block_5_add"}
    assert {run.teacher.frozen for run in searched} == {"conv3_block4_out"}
    assert {r.run.options["temperature"] for r in chosen.alphas.values()} == {16.0}


def test_equals_are_decided_by_the_likelihood_and_then_by_the_first():
    def record(auc, nll):
        return SimpleNamespace(part="validation", metrics={"roc_auc": auc, "nll": nll})

    tried = {1: record(0.8, 0.5), 2: record(0.9, 0.4), 4: record(0.9, 0.3), 8: record(0.9, 0.3)}
    assert choices.highest(tried) == 4


def test_nothing_is_chosen_on_test_images():
    with pytest.raises(ValueError, match="scored on the test part"):
        choices.choose(PROTOCOL, Scored(auc_of, part="test"))


# --- who teaches whom


def test_a_student_has_the_teacher_of_its_seed_whatever_it_starts_from():
    settings = task2.Settings(CUT, 2.0, 0.9)
    for initial in (None, "random"):
        run = PROTOCOL.distilled(3, settings, initial)
        assert run.teacher == PROTOCOL.teacher(3, settings)
        assert run.options == {"temperature": 2.0, "alpha": 0.9}
        assert run.pretrained is (initial is None)
    untaught = PROTOCOL.teacher(0, settings, "random")
    assert PROTOCOL.distilled(3, settings, teacher=untaught).teacher == untaught


def test_early_stopping_shortens_the_teacher_or_the_distillation():
    run = PROTOCOL.distilled(0, task2.Settings(CUT))
    assert task2.with_early_stopped(run, 25, 25) == run
    shorter = task2.with_early_stopped(run, 5, 25)
    assert shorter.teacher == shorter.init.teacher == run.teacher.shorter(5)
    assert task2.with_early_stopped(run, 0, 25).teacher == run.teacher.init
    stopped = task2.with_early_stopped(run, 25, 12)
    assert stopped.method == "early_stopped_kd"
    assert stopped.options == {**run.options, "stop_epoch": 12.0}
    assert stopped.init == run.init
    in_the_first_phase = task2.with_early_stopped(run, 25, 0)
    assert (in_the_first_phase.method, in_the_first_phase.teacher) == (None, None)
    assert in_the_first_phase.init == run.init
    with pytest.raises(ValueError, match="no two phases"):
        task2.with_early_stopped(PROTOCOL.distilled(0, task2.Settings(CUT), "random"), 5, 25)


def test_a_random_split_changes_the_tiles_and_not_the_base():
    run = PROTOCOL.student(0, task2.Settings(CUT))
    leaking = task2.on_random_tiles(run)
    assert {leaking.data, leaking.init.data} == {"kather_tiles"}
    assert leaking.init.init == run.init.init


def test_a_track_without_folds_has_one_protocol():
    assert [each.fold for each in task2.protocols("kather", [1, 3], size=96)] == [1, 3]
    (one,) = task2.protocols("synthetic", [1, 3], size=64, train_size=0, source_size=200)
    assert (one.fold, one.train_size, one.source_size) == (None, None, 200)


def test_what_a_track_starts_from_follows_from_what_it_has():
    for track, initial in (("kather", "tissue"), ("synthetic", "tissue"), ("mhist", "imagenet")):
        assert task2.protocols(track, [0], size=96, initial="auto")[0].initial == initial
    assert task2.protocols("kather", [0], size=96, initial="random")[0].initial == "random"


def test_views_are_those_of_the_source_task_too():
    restained = replace(PROTOCOL, views="restained_turns_32")
    runs = lineage(restained.distilled(0, task2.Settings(CUT)))
    assert {run.views for run in runs} == {"restained_turns_32"}
    assert {run.views for run in lineage(PROTOCOL.distilled(0, task2.Settings(CUT)))} == {"turns"}


@pytest.mark.parametrize("name", bench_task2.BENCH)
def test_methods_on_features_act_in_fine_tuning_alone(name):
    settings = task2.Settings(CUT)
    run = bench_task2.BENCH[name](PROTOCOL, 0, settings)
    acts_on_features = {"features", "hint"} & {
        tap for each in lineage(run) for tap in methods.METHODS[each.method].teacher_taps
    }
    heads = [each for each in lineage(run) if each.model == task2.STUDENT and each.epochs == 10]
    if acts_on_features:
        assert heads == [PROTOCOL.student(0, settings).init]
    assert run.frozen == CUT[task2.STUDENT]
    assert run.epochs == 25


def test_votes_teach_where_there_are_any():
    assert set(bench_task2.WITH_VOTES).isdisjoint(bench_task2.entries("kather"))
    protocol = task2.Protocol("synthetic", None, 64)
    settings = task2.Settings(CUT)
    run = bench_task2.entries("synthetic")["known subclasses (SKD)"](protocol, 0, settings)
    assert (run.model, run.data) == ("mobilenetv2_2x2", "synthetic")
    taught = [run.teacher, run.teacher.init]
    assert {(each.model, each.data) for each in taught} == {("resnet50v2_4", "synthetic_votes")}
    assert run.teacher.init.init == protocol.source(task2.TEACHER)
    one_phase = replace(protocol, initial="random")
    run = bench_task2.entries("synthetic")["known subclasses (SKD)"](one_phase, 0, settings)
    assert (run.teacher.data, run.teacher.init) == ("synthetic_votes", None)
    run = bench_task2.entries("synthetic")["votes"](protocol, 0, settings)
    assert (run.method, run.teacher) == ("votes", None)


def test_entries_are_those_asked_for():
    assert list(bench_task2.entries("kather")) == list(bench_task2.BENCH)
    assert list(bench_task2.entries("mhist", ["votes", "KD"])) == ["votes", "KD"]
    with pytest.raises(ValueError, match="no method 'votes' on kather; there are no KD, label"):
        bench_task2.entries("kather", ["KD", "votes"])
