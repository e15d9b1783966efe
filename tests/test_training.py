import json
import sys
from dataclasses import dataclass, replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from kdutils import data, ledger, models, provenance, runs, training
from kdutils.data import Dataset, Part, views
from kdutils.methods.distiller import Distiller, Supervised
from kdutils.runs import Run
from kdutils.training import Outputs, TrainingError, TrainingState, train

RANDOM = np.random.default_rng(13)
IDS = np.arange(70)
TAUGHT = Outputs(IDS, {"logits": RANDOM.normal(size=(70, 10)).astype("float32") * 3})
# Seventy images make four batches of sixteen, and six images that the epoch drops.
TEACHER = Run("mnist_teacher", epochs=2, batch_size=16, seed=5)
STUDENT = Run("mnist_student", epochs=2, batch_size=16, seed=5)
DISTILLED = replace(
    STUDENT, method="kd", options={"temperature": 4.0, "alpha": 0.5}, teacher=TEACHER
)
STANDSTILL = 1e-60  # a learning rate that float32 rounds to 0, so that no weight moves


def toy_part(size, seed):
    """Images of noise with a bright row that tells the class."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(size) % 10).astype("uint8")
    images = random.integers(0, 100, (size, 28, 28, 1)).astype("uint8")
    images[np.arange(size), 2 * labels + 4] += 150
    return Part(images, labels, np.arange(size))


@pytest.fixture(scope="module", autouse=True)
def toy():
    """A small data set in place of MNIST."""
    train_part, test_part = toy_part(70, 0), toy_part(30, 1)
    module = SimpleNamespace(
        CLASSES=tuple("0123456789"),
        POSITIVE=None,
        TRAIN_SIZE=70,
        read=lambda: (train_part, test_part),
        fingerprint=lambda: "feed",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "toy_mnist", module)
        patch.setattr(data, "DATASETS", {"mnist": "toy_mnist"})
        yield


def weights_equal(first, second):
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


class InterruptedTrainingError(Exception):
    pass


def interrupt(epoch, history):
    raise InterruptedTrainingError


@dataclass
class Training:
    """What `train` was given and what it gave."""

    workspace: object
    epochs: list
    record: runs.Record
    model: keras.Model


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """A teacher trained without a break."""
    workspace, epochs = tmp_path_factory.mktemp("teacher"), []
    found = train(TEACHER, workspace=workspace, on_epoch=lambda *each: epochs.append(each))
    return Training(workspace, epochs, *found)


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    """A student trained from `TAUGHT` without a break."""
    workspace, epochs = tmp_path_factory.mktemp("student"), []
    found = train(DISTILLED, [TAUGHT], None, workspace, lambda *each: epochs.append(each))
    return Training(workspace, epochs, *found)


@pytest.fixture
def batches(monkeypatch):
    """What `fit` is given, epoch by epoch; nothing is trained."""
    seen = []

    def fit(self, inputs, labels, **options):
        seen.append(SimpleNamespace(inputs=inputs, labels=labels, options=options))
        return SimpleNamespace(history={"loss": [1.0]})

    monkeypatch.setattr(Distiller, "fit", fit)
    return seen


def test_outputs_are_found_by_id():
    found = Outputs(np.array([2, 3, 5, 9]), {"logits": np.eye(4), "fc": np.arange(4)})
    wanted = found.of(np.array([9, 2, 2, 5]))
    np.testing.assert_array_equal(wanted["logits"], np.eye(4)[[3, 0, 0, 2]])
    np.testing.assert_array_equal(wanted["fc"], [3, 0, 0, 2])


@pytest.mark.parametrize("unknown", [1, 4, 10])
def test_unknown_ids_are_refused(unknown):
    found = Outputs(np.array([2, 3, 5, 9]), {"logits": np.eye(4)})
    with pytest.raises(KeyError, match=rf"no teacher outputs for 1 samples, such as \[{unknown}\]"):
        found.of(np.array([2, unknown, 9]))


def test_outputs_are_those_of_inference(teacher):
    part = toy_part(30, 1)
    found = training.outputs(teacher.model, part, ("fc", "logits"))
    assert {tap: values.shape for tap, values in found.values.items()} == {
        "fc": (30, 128),
        "logits": (30, 10),
    }
    np.testing.assert_array_equal(found.ids, part.ids)
    expected = teacher.model(part.images, training=False)
    np.testing.assert_allclose(found.values["logits"], expected, atol=1e-5)


def test_a_run_learns(student, teacher):
    for trained in (student, teacher):
        assert trained.record.history["loss"][1] < trained.record.history["loss"][0]


def test_the_history_has_one_rounded_number_an_epoch(student):
    assert set(student.record.history) == {"loss", "soft", "hard", "accuracy", "seconds"}
    assert [epoch for epoch, _ in student.epochs] == [1, 2]
    for name, values in student.record.history.items():
        assert values == [float(f"{history[name]:.6g}") for _, history in student.epochs]
    assert any(
        history[name] != float(f"{history[name]:.6g}")
        for _, history in student.epochs
        for name in history
    )
    assert student.record.seconds == round(sum(student.record.history["seconds"]), 1)


def test_the_record_describes_the_run(student):
    record = student.record
    assert record.run == DISTILLED
    assert record.part == "test"
    assert record.data_fingerprint == "feed"
    assert record.backend == keras.backend.backend()
    assert record.precision == "float32"
    assert record.parameters == 1_238_730
    assert record.code == provenance.code_digest(DISTILLED)
    assert record.prefix_of is None
    assert runs.Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_the_record_scores_the_trained_model_on_the_test_part(student):
    part, record = toy_part(30, 1), student.record
    logits = student.model.predict(part.images, verbose=0).astype("float64")
    predicted = logits.argmax(axis=1)
    assert record.metrics["count"] == 30
    assert record.metrics["correct"] == (predicted == part.labels).sum()
    nll = -log_softmax(logits, axis=1)[np.arange(30), part.labels].mean()
    assert record.metrics["nll"] == pytest.approx(nll, rel=1e-5)
    np.testing.assert_array_equal((record.offsets + part.labels) % 10, predicted)
    confidences = softmax(logits, axis=1).max(axis=1)
    np.testing.assert_allclose(record.confidences, confidences, atol=0.51 / 255)


def test_training_scores_compare_the_student_with_its_teacher(student, teacher):
    part, scores = toy_part(70, 0), student.record.train
    logits = student.model.predict(part.images, verbose=0).astype("float64")
    log_q, log_p = log_softmax(logits, axis=1), log_softmax(TAUGHT.values["logits"], axis=1)
    divergence = (np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean()
    agreement = (logits.argmax(axis=1) == TAUGHT.values["logits"].argmax(axis=1)).mean()
    assert scores["teacher_kl"] == pytest.approx(divergence, rel=1e-4)
    assert scores["teacher_agreement"] == pytest.approx(agreement, rel=1e-5)
    assert scores["accuracy"] == pytest.approx(
        (logits.argmax(axis=1) == part.labels).mean(), rel=1e-5
    )
    assert scores["nll"] == pytest.approx(-log_q[np.arange(70), part.labels].mean(), rel=1e-4)
    assert scores["entropy"] == pytest.approx(-(np.exp(log_q) * log_q).sum() / 70, rel=1e-4)
    assert set(teacher.record.train) == {"accuracy", "nll", "entropy"}


def test_a_run_trained_twice_gives_identical_weights(student):
    keras.utils.set_random_seed(1)
    record, model = train(DISTILLED, [TAUGHT])
    assert model is not student.model
    assert weights_equal(model, student.model)
    assert not weights_equal(model, models.build("mnist_student", 5))
    again, before = record.history, student.record.history
    assert {**again, "seconds": []} == {**before, "seconds": []}
    assert record.predictions == student.record.predictions


def test_a_resumed_student_equals_one_trained_without_a_break(student, tmp_path):
    with pytest.raises(InterruptedTrainingError):
        train(DISTILLED, [TAUGHT], workspace=tmp_path, on_epoch=interrupt)
    epochs = []
    record, model = train(
        DISTILLED, [TAUGHT], None, tmp_path, lambda epoch, history: epochs.append(epoch)
    )
    assert epochs == [2]
    assert weights_equal(model, student.model)
    assert record.history["soft"] == student.record.history["soft"]
    assert len(record.history["seconds"]) == 2


def test_a_resumed_teacher_draws_the_dropout_masks_it_would_have_drawn(teacher, tmp_path):
    with pytest.raises(InterruptedTrainingError):
        train(TEACHER, workspace=tmp_path, on_epoch=interrupt)
    epochs = []
    record, model = train(TEACHER, None, None, tmp_path, lambda epoch, _: epochs.append(epoch))
    assert epochs == [2]
    assert record.history["loss"] == teacher.record.history["loss"]
    assert weights_equal(model, teacher.model)


def test_the_snapshot_of_an_epoch_equals_a_run_that_stops_there(teacher):
    snapshot = models.build("mnist_teacher", seed=0)
    training.load_weights(snapshot, training.snapshot_path(teacher.workspace, 1))
    assert weights_equal(snapshot, train(TEACHER.shorter(1))[1])
    assert not weights_equal(snapshot, teacher.model)
    training.load_weights(snapshot, training.snapshot_path(teacher.workspace, 2))
    assert weights_equal(snapshot, teacher.model)


def test_snapshots_are_kept_of_teachers_alone(teacher, student):
    kept = {path.name for path in teacher.workspace.iterdir()}
    assert kept == {"state.npz", "epoch-001.npz", "epoch-002.npz"}
    assert {path.name for path in student.workspace.iterdir()} == {"state.npz"}


def test_weights_survive_their_file(teacher, tmp_path):
    path = tmp_path / "folder" / "weights.npz"
    training.save_weights(teacher.model, path)
    other = models.build("mnist_teacher", seed=0)
    training.load_weights(other, path)
    assert weights_equal(other, teacher.model)


def test_batches_depend_on_seed_and_epoch_and_never_on_the_method(batches):
    train(STUDENT)
    train(DISTILLED, [TAUGHT])
    train(replace(STUDENT, seed=6, epochs=1))
    labels = toy_part(70, 0).labels
    for epoch, (alone, taught) in enumerate(zip(batches[:2], batches[2:4], strict=True)):
        order = np.random.default_rng([5, epoch]).permutation(70)[:64]
        np.testing.assert_array_equal(alone.labels, labels[order])
        np.testing.assert_array_equal(taught.labels, labels[order])
        np.testing.assert_array_equal(alone.inputs["images"], taught.inputs["images"])
        assert alone.options["batch_size"] == taught.options["batch_size"] == 16
        assert not alone.options["shuffle"]
        assert not taught.options["shuffle"]
    assert not np.array_equal(batches[0].labels, batches[1].labels)
    assert not np.array_equal(batches[0].labels, batches[4].labels)


def test_every_image_meets_its_own_teacher_outputs(batches):
    # Held-out images leave gaps in the ids, so that positions and ids differ.
    held_out = {"validation": 20, "epochs": 1}
    run = replace(DISTILLED, teacher=replace(TEACHER, validation=20), **held_out)
    train(run, [TAUGHT])
    part = toy_part(70, 0)
    given = batches[0].inputs
    assert len(given["images"]) == 48
    for image, logits in zip(given["images"], given["teacher"]["logits"], strict=True):
        (row,) = np.flatnonzero((part.images == image).all(axis=(1, 2, 3)))
        np.testing.assert_array_equal(logits, TAUGHT.values["logits"][row])


def test_each_epoch_draws_a_view_of_every_image_with_its_own_teacher_outputs(batches):
    available = views.of("shifts_1")
    taught = [
        Outputs(IDS, {"logits": TAUGHT.values["logits"] + 100 * number})
        for number in range(len(available))
    ]
    run = replace(DISTILLED, views="shifts_1")
    train(run, taught)
    train(replace(run, method=None, options={}, teacher=None))
    part = toy_part(70, 0)
    for epoch, (with_teacher, alone) in enumerate(zip(batches[:2], batches[2:], strict=True)):
        order = np.random.default_rng([5, epoch]).permutation(70)[:64]
        drawn = np.random.default_rng([5, epoch, 1]).integers(9, size=64)
        assert len(set(drawn)) == 9
        given = with_teacher.inputs
        for place, (image, view) in enumerate(zip(order, drawn, strict=True)):
            expected = available[view](part.images[image : image + 1])[0]
            np.testing.assert_array_equal(given["images"][place], expected)
            logits = taught[view].values["logits"][image]
            np.testing.assert_array_equal(given["teacher"]["logits"][place], logits)
        np.testing.assert_array_equal(alone.inputs["images"], given["images"])
        assert set(alone.inputs) == {"images"}


def test_a_run_can_learn_from_some_classes_alone_and_is_tested_on_all(batches):
    record, _ = train(replace(STUDENT, classes=(3, 7), epochs=1, batch_size=4))
    assert set(batches[0].labels) == {3, 7}
    assert len(batches[0].labels) == 12, "fourteen of seventy, in batches of four"
    assert record.metrics["count"] == 30


def test_the_cosine_schedule_starts_at_the_learning_rate_and_ends_at_zero():
    rate = training._learning_rate(replace(STUDENT, schedule="cosine", learning_rate=2e-3), 4)
    expected = [2e-3 * (1 + np.cos(np.pi * step / 8)) / 2 for step in range(9)]
    np.testing.assert_allclose([rate(step) for step in range(9)], expected, atol=1e-9)
    assert training._learning_rate(STUDENT, 4) == 1e-3


def test_a_resumed_schedule_goes_on_where_it_stopped(tmp_path):
    run = replace(STUDENT, schedule="cosine", learning_rate=0.01)
    with pytest.raises(InterruptedTrainingError):
        train(run, workspace=tmp_path, on_epoch=interrupt)
    assert weights_equal(train(run, workspace=tmp_path)[1], train(run)[1])


STOPPED = replace(
    DISTILLED,
    method="early_stopped_kd",
    options={"temperature": 4.0, "alpha": 0.9, "stop_epoch": 1},
)
FULL_KD = replace(DISTILLED, options={"temperature": 4.0, "alpha": 0.9})


def test_distillation_that_never_stops_is_plain_distillation():
    run = replace(STOPPED, options={**STOPPED.options, "stop_epoch": 2})
    assert weights_equal(train(run, [TAUGHT])[1], train(FULL_KD, [TAUGHT])[1])


def test_distillation_that_never_starts_is_training_on_labels():
    run = replace(STOPPED, options={**STOPPED.options, "stop_epoch": 0})
    assert weights_equal(train(run, [TAUGHT])[1], train(STUDENT)[1])


def test_distillation_that_stops_is_first_one_and_then_the_other(tmp_path):
    record, model = train(STOPPED, [TAUGHT])
    whole, _ = train(FULL_KD, [TAUGHT])
    for term in ("loss", "soft", "hard"):
        assert record.history[term][0] == whole.history[term][0]
    assert record.history["loss"][1] == record.history["hard"][1]
    assert whole.history["loss"][1] != whole.history["hard"][1]
    # The switch is part of what a resumed training remembers or sets again.
    with pytest.raises(InterruptedTrainingError):
        train(STOPPED, [TAUGHT], workspace=tmp_path, on_epoch=interrupt)
    assert weights_equal(train(STOPPED, [TAUGHT], workspace=tmp_path)[1], model)


class Untouchable:
    """A test part that nobody may look at."""

    def __getattribute__(self, name):
        raise AssertionError(f"the test part was asked for {name}")

    def __len__(self):
        raise AssertionError("the test part was counted")


def test_a_run_with_validation_never_touches_the_test_part(monkeypatch):
    run = replace(STUDENT, validation=20)
    whole = training.load_data(run)
    hidden = Dataset(**vars(whole) | {"test": Untouchable()})
    monkeypatch.setattr(data, "load", lambda *names, **sizes: hidden)
    record, model = train(run)
    logits = model.predict(whole.validation.images, verbose=0)
    assert record.part == "validation"
    assert record.metrics["count"] == 20
    assert record.metrics["correct"] == (logits.argmax(axis=1) == whole.validation.labels).sum()
    assert len(record.offsets) == 20
    assert record.history["val_accuracy"][-1] == pytest.approx(record.metrics["accuracy"])
    assert record.history["val_nll"][-1] == record.metrics["nll"]
    assert len(record.history["val_nll"]) == 2
    with pytest.raises(AssertionError, match="the test part was asked for images"):
        training.assess(STUDENT, model, replace(hidden, validation=None), record.history)


def test_a_run_starts_from_its_seed_or_from_the_weights_it_names(student):
    run = replace(STUDENT, epochs=1, learning_rate=STANDSTILL)
    kept = [weight.copy() for weight in student.model.get_weights()]
    from_seed = train(run)[1]
    assert weights_equal(from_seed, models.build("mnist_student", 5))
    from_model = train(replace(run, init=DISTILLED), initial=student.model)[1]
    assert from_model is not student.model
    assert weights_equal(from_model, student.model)
    trained_on = train(replace(STUDENT, epochs=1, init=DISTILLED), initial=student.model)[1]
    assert not weights_equal(trained_on, student.model)
    for weight, before in zip(student.model.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(weight, before)


def test_a_loss_that_is_not_finite_names_the_run_and_the_epoch(monkeypatch):
    calls = []

    def of(self, ids):
        calls.append(ids)
        return {"logits": np.full((len(ids), 10), np.nan if len(calls) == 2 else 0, "float32")}

    monkeypatch.setattr(Outputs, "of", of)
    message = (
        r"^student · kd \(.*\) · .* · seed 5: the loss is nan after epoch 2; a lower learning_rate"
    )
    with pytest.raises(TrainingError, match=message):
        train(DISTILLED, [TAUGHT])
    assert len(calls) == 2


def test_too_few_images_for_a_batch_are_refused():
    run = replace(STUDENT, batch_size=64, train_size=60)
    with pytest.raises(
        TrainingError, match="60 training images do not fill one batch of 64; lower"
    ):
        train(run)


@pytest.fixture
def distiller():
    """A small one, ready to train, with dropout."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((4,))
    x = keras.layers.Dropout(0.5, seed=1)(inputs)
    found = Distiller(keras.Model(inputs, keras.layers.Dense(3, name="logits")(x)), Supervised())
    found.compile(keras.optimizers.Adam(0.1), jit_compile=False)
    found.optimizer.build(found.trainable_variables)
    return found


def state_of(distiller):
    variables = [*distiller.variables, *distiller.optimizer.variables]
    return {each.path: keras.ops.convert_to_numpy(each) for each in variables}


def shake(distiller):
    """Change all that a training changes."""
    for variable in [*distiller.variables, *distiller.optimizer.variables]:
        variable.assign(variable + 1)


def test_the_state_holds_weights_optimiser_and_random_state(distiller, tmp_path):
    shake(distiller)
    kept = state_of(distiller)
    assert len(kept) == 2 + 1 + 2 + 4  # weights, dropout, Adam's counters and its moments
    TrainingState(distiller, "code", tmp_path / "state.npz").keep({"loss": [0.5, 0.25]})
    shake(distiller)
    assert TrainingState(distiller, "code", tmp_path / "state.npz").restore() == {
        "loss": [0.5, 0.25]
    }
    for path, value in state_of(distiller).items():
        np.testing.assert_array_equal(value, kept[path], err_msg=path)


def test_without_a_path_nothing_is_remembered(distiller):
    state = TrainingState(distiller, "code", None)
    state.keep({"loss": [0.5]})
    assert state.restore() == {}


def test_state_of_other_code_is_not_used(distiller, tmp_path):
    TrainingState(distiller, "old code", tmp_path / "state.npz").keep({"loss": [0.5]})
    shake(distiller)
    before = state_of(distiller)
    assert TrainingState(distiller, "code", tmp_path / "state.npz").restore() == {}
    for path, value in state_of(distiller).items():
        np.testing.assert_array_equal(value, before[path])


@pytest.mark.parametrize(
    "fraction",
    [
        0.0,
        0.01,
        0.5,
        0.99,
    ],
)
def test_a_truncated_state_is_not_used(fraction, distiller, tmp_path):
    path = tmp_path / "state.npz"
    TrainingState(distiller, "code", path).keep({"loss": [0.5]})
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    before = state_of(distiller)
    assert TrainingState(distiller, "code", path).restore() == {}
    for name, value in state_of(distiller).items():
        np.testing.assert_array_equal(value, before[name])


def test_a_damaged_state_is_not_used(distiller, tmp_path):
    path = tmp_path / "state.npz"
    TrainingState(distiller, "code", path).keep({"loss": [0.5]})
    content = bytearray(path.read_bytes())
    content[200] ^= 0xFF  # within the values of the first array
    path.write_bytes(content)
    assert TrainingState(distiller, "code", path).restore() == {}


def test_a_record_of_ten_thousand_images_takes_20_kb(tmp_path):
    # The images are the logits: a tenth of them is wrong, and the confidences are spread evenly.
    count = 10_000
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, count).astype("uint8")
    images = np.zeros((count, 1, 1, 10), "uint8")
    predicted = np.where(random.random(count) < 0.1, random.integers(0, 10, count), labels)
    images[np.arange(count), 0, 0, predicted] = random.integers(1, 256, count)
    inputs = keras.Input((1, 1, 10))
    scaled = keras.layers.Rescaling(0.03)(inputs)
    model = keras.Model(inputs, keras.layers.Flatten(name="logits")(scaled))
    part = Part(images, labels, np.arange(count))
    dataset = Dataset("mnist", part, None, part, tuple("0123456789"), None, "feed")
    history = {
        name: [float(f"{value:.6g}") for value in random.random(12)]
        for name in ("loss", "soft", "hard", "accuracy", "seconds")
    }
    record = training.assess(DISTILLED, model, dataset, history, Outputs(part.ids, {}))
    assert record.metrics["correct"] == (predicted == labels).sum()
    assert (record.offsets == 0).sum() == record.metrics["correct"]
    assert len(np.unique(record.confidences)) > 100
    path = tmp_path / "study.jsonl"
    ledger.write_study([record], path)
    assert 10_000 < path.stat().st_size <= 20_000
