from dataclasses import replace

import pytest

from kdutils import models, task2
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
    with pytest.raises(ValueError, match="synthetic has no source task"):
        task2.Protocol("synthetic", None, 64)
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
