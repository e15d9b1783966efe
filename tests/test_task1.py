from dataclasses import replace

import pytest

from kdutils.task1 import Protocol, Recipe, on_subset

PROTOCOL = Protocol()


def test_the_defaults_are_the_assignments():
    teacher, student = PROTOCOL.teacher(3), PROTOCOL.student(3)
    for run in (teacher, student):
        assert (run.epochs, run.batch_size, run.learning_rate) == (12, 256, 1e-3)
        assert run.train_size is None
        assert run.seed == 3
    assert PROTOCOL.distilled(3, 4, 0.5).teacher == teacher


def test_what_holds_out_validation_images_has_a_teacher_that_holds_out_the_same():
    run = PROTOCOL.distilled(0, 4, 0.5, validation=5000)
    assert (run.validation, run.teacher.validation) == (5000, 5000)
    assert PROTOCOL.student(0, validation=5000).validation == 5000
    assert PROTOCOL.smoothed(0, 0.1, validation=5000).validation == 5000


def test_early_stopping_changes_the_method_alone():
    plain, stopped = PROTOCOL.distilled(1, 4, 0.5), PROTOCOL.early_stopped(1, 4, 0.5, 8)
    options = {"temperature": 4.0, "alpha": 0.5, "stop_epoch": 8.0}
    assert stopped == replace(plain, method="early_stopped_kd", options=options)


@pytest.mark.parametrize(
    ("size", "epochs"),
    # Of 256 images each: 1, 3, 11, 39 and 117 steps an epoch.
    [(300, 468), (1000, 156), (3000, 43), (10_000, 12), (30_000, 12)],
)
def test_small_sets_are_repeated_until_the_steps_suffice(size, epochs):
    run = PROTOCOL.distilled(0, 4, 0.5)
    few = on_subset(run, size, least_steps=468)
    assert (few.train_size, few.epochs) == (size, epochs)
    assert few.teacher == run.teacher


def test_all_images_under_the_usual_protocol_are_the_usual_run():
    assert on_subset(PROTOCOL.student(0), 60_000, least_steps=468) == PROTOCOL.student(0)


def test_a_recipe_changes_the_student_alone():
    recipe = Recipe("shifts_1", temperature=8, alpha=0.9, learning_rate=2e-3, batch_size=128)
    run = recipe.student(PROTOCOL, 2, validation=5000)
    usual = PROTOCOL.distilled(2, 8, 0.9, validation=5000)
    assert run.teacher == usual.teacher
    assert (run.views, run.schedule, run.learning_rate) == ("shifts_1", "cosine", 2e-3)
    assert (run.batch_size, run.epochs) == (128, 12)
    longer = Recipe(None, 8, 0.9, 2e-3, epochs=30).student(PROTOCOL, 2)
    assert (longer.batch_size, longer.epochs, longer.views) == (256, 30, None)
