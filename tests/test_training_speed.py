from dataclasses import replace

import pytest
import toy

from kdutils import training_speed


def test_trainings_take_turns_after_each_was_compiled(monkeypatch):
    order, now = [], iter(range(100))

    def training_of(run, steps):
        assert steps == 2
        return lambda: order.append(run)

    monkeypatch.setattr(training_speed, "training_of", training_of)
    monkeypatch.setattr(training_speed.time, "perf_counter", lambda: 3.0 * next(now))
    measured = training_speed.measure(None, ["a", "b"], steps=2, rounds=3)
    assert order == ["a", "b"] * 4
    assert measured == {"seconds": [[1.5] * 3] * 2}


@pytest.mark.usefixtures("small")
def test_a_turn_trains_the_network_on_whole_batches(monkeypatch):
    seen = []
    fit = training_speed.Distiller.fit

    def watched(self, inputs, labels, **settings):
        before = self.student.get_weights()
        fitted = fit(self, inputs, labels, **settings)
        seen.append((len(labels), set(inputs), before, self.student.get_weights()))
        return fitted

    monkeypatch.setattr(training_speed.Distiller, "fit", watched)
    runs = (toy.teacher(), toy.student(teacher=toy.teacher()))
    for run in runs:
        training_speed.training_of(run, 2)()
    for run, (images, _, before, after) in zip(runs, seen, strict=True):
        assert images == 2 * run.batch_size
        assert any((one != other).any() for one, other in zip(before, after, strict=True))
    assert [keys for _, keys, *_ in seen] == [{"images"}, {"images", "teacher"}]


@pytest.mark.usefixtures("small")
def test_more_steps_than_there_are_images_are_refused():
    run = replace(toy.teacher(), batch_size=16)
    with pytest.raises(ValueError, match=r"has \d+ images; 1000 steps take 16000"):
        training_speed.training_of(run, 1000)
