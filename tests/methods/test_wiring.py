"""Every method trains a network of the report, and leaves nothing of its own in it."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from kdutils import data, methods, models, training
from kdutils.data import Part
from kdutils.runs import Run

IMAGES = 48
TEACHER = Run("mnist_teacher", data="feed", epochs=1, batch_size=16)
SOFT = {"temperature": 4.0, "alpha": 0.5}
CONTRAST = {
    "width": 8,
    "contrast_temperature": 0.1,
    "contrast_weight": 0.8,
    "soft_weight": 0.5,
    "temperature": 4.0,
}
STUDENTS = {
    None: {},
    "kd": SOFT,
    "logits": {"alpha": 0.5},
    "early_stopped_kd": {**SOFT, "stop_epoch": 1},
    "label_smoothing": {"smoothing": 0.1},
    "interventional": {
        "sample_weight": 10.0,
        "class_weight": 1.0,
        "first_epochs": 1.0,
    },
    "extractive": {
        "teacher_temperature": 16.0,
        "student_temperature": 4.0,
        "epsilon": 0.0,
        "soft_weight": 1.0,
        "hard_weight": 1.0,
    },
    "subclass_teaching": {"beta": 0.1, "temperature": 1.0},
    "subclass": SOFT,
    "student_friendly_teaching": {"branch_weight": 1.0, "match_weight": 3.0, "temperature": 1.0},
    "relational": {
        "distance_weight": 25.0,
        "angle_weight": 50.0,
        "angle_samples": 8,
        "soft_weight": 0.5,
        "temperature": 4.0,
    },
    "hints": {},
    "hinted_kd": {"temperature": 3.0, "first_weight": 4.0, "last_weight": 1.0, "epochs": 12},
    "known_subclass": SOFT,
    "contrast": CONTRAST,
    "contrast_with_memory": {**CONTRAST, "negatives": 16, "momentum": 0.5},
    "decoupled": {"temperature": 4.0, "alpha": 1.0, "beta": 4.0, "warm_up": 2},
    "dist": {"temperature": 4.0, "beta": 2.0, "gamma": 2.0},
    "standardized": {"temperature": 2.0, "soft_weight": 9.0, "hard_weight": 0.1},
}
"""Settings of every method, those that train a teacher among them."""
NETWORKS = {
    "interventional": "mnist_student_interventional",
    "subclass_teaching": "mnist_teacher_10x2",
    "subclass": "mnist_student_10x2",
    "known_subclass": "mnist_student_2x5",
    "student_friendly_teaching": "mnist_teacher",
}
TEACHERS = {"subclass": "subclass_teaching"}
"""By method, how its teacher is trained where that is not plainly."""


def feed(digits_in_a_class=1):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (IMAGES, 28, 28, 1), dtype="uint8")
    digits = (np.arange(IMAGES) % 10).astype("uint8")
    return Part(images, digits // digits_in_a_class, np.arange(IMAGES))


class Feed:
    CLASSES = tuple("0123456789")
    POSITIVE = None
    TRAIN_SIZE = IMAGES
    read = staticmethod(lambda: (feed(), feed()))
    fingerprint = staticmethod(lambda: "feed")


class Halves(Feed):
    CLASSES = ("0–4", "5–9")
    read = staticmethod(lambda: (feed(5), feed(5)))


@pytest.fixture(autouse=True)
def fed(monkeypatch):
    """Random images of MNIST's shape, few of them, as digits and in two classes."""
    monkeypatch.setattr(data, "_module", {"feed": Feed, "halves": Halves}.get)


def student_run(name, **changes):
    teacher = None
    if methods.METHODS[name].teacher_taps:
        teacher = student_run(TEACHERS[name], epochs=1) if name in TEACHERS else TEACHER
    return Run(
        NETWORKS.get(name, "mnist_student"),
        data="halves" if name == "known_subclass" else "feed",
        method=name,
        options=STUDENTS[name],
        teacher=teacher,
        **{"epochs": 2, "batch_size": 16, **changes},
    )


def trained(run, **more):
    """The record and the model of a run whose teacher has its first weights."""
    said = None
    if run.teacher:
        teacher = models.build(run.teacher.model, run.teacher.seed)
        taps = methods.METHODS[run.method].teacher_taps
        said = [training.outputs(teacher, feed(), taps)]
    return training.train(run, said, **more)


@pytest.mark.parametrize("name", list(STUDENTS))
def test_a_network_learns_and_stays_what_it_is(name):
    run = student_run(name)
    record, model = trained(run)
    for term in methods.METHODS[name].term_names:
        assert np.isfinite(record.history[term]).all()
    fresh = models.build(run.model, run.seed)
    assert [w.path for w in model.weights] == [w.path for w in fresh.weights]
    moved = [
        np.abs(after - before).max()
        for after, before in zip(model.get_weights(), fresh.get_weights(), strict=True)
    ]
    assert np.isfinite(moved).all()
    assert max(moved) > 0
    again = trained(run)[1]
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_all_methods_are_tried_here():
    without_votes = {name for name, each in methods.METHODS.items() if not each.reads_votes}
    missing = sorted(
        without_votes - STUDENTS.keys()
    )  # those with votes: see tests/test_training_by_votes.py
    assert not missing, f"add the settings of {', '.join(missing)} to STUDENTS in {__file__}"


def test_hints_leave_the_layers_above_as_they_were():
    model = trained(student_run("hints"))[1]
    fresh = models.build("mnist_student", 0)
    for layer in ("h2", "logits"):
        for one, other in zip(
            model.get_layer(layer).get_weights(), fresh.get_layer(layer).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(one, other)
    kernels = (each.get_layer("h1").get_weights()[0] for each in (model, fresh))
    assert np.abs(np.subtract(*kernels)).max() > 0


def test_a_student_friendly_teacher_is_the_plain_one_where_its_branches_do_not_count():
    run = student_run("student_friendly_teaching", epochs=1)
    run = replace(run, options={**run.options, "branch_weight": 0.0, "match_weight": 0.0})
    plain, friendly = trained(TEACHER)[1], trained(run)[1]
    assert friendly.count_params() == 1_011_466
    for one, other in zip(plain.get_weights(), friendly.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_branches_change_the_teacher():
    run = student_run("student_friendly_teaching", epochs=1)
    plain, friendly = trained(TEACHER)[1], trained(run)[1]
    kernels = (model.get_layer("conv1").get_weights()[0] for model in (plain, friendly))
    assert np.abs(np.subtract(*kernels)).max() > 1e-4


def test_the_context_is_the_weighted_mean_of_the_features_of_each_class():
    method = methods.build("interventional", STUDENTS["interventional"])
    student = models.build("mnist_student_interventional", 0)
    method.prepare(student, {"logits": (10,), "features": (128,)}, IMAGES, 0)
    random = np.random.default_rng(3)
    labels = np.arange(32) % 10
    logits, features = random.normal(size=(32, 10)), random.normal(size=(32, 784))
    method.begin_epoch(0)
    for rows in np.split(np.arange(32), 2):
        method.terms(
            labels[rows],
            {"logits": logits[rows].astype("float32"), "features": np.ones((16, 128), "float32")},
            {
                "logits": logits[rows].astype("float32"),
                "plain_logits": logits[rows].astype("float32"),
                "features": features[rows].astype("float32"),
            },
        )
    assert float(method.uses_labels) == 0
    method.begin_epoch(1)
    assert float(method.uses_labels) == 1
    p = np.exp(logits / 4) / np.exp(logits / 4).sum(axis=1, keepdims=True)
    expected = [
        np.average(features[labels == k], axis=0, weights=p[labels == k, k]) for k in range(10)
    ]
    np.testing.assert_allclose(student.get_layer("context").table, expected, rtol=1e-4, atol=1e-5)


def test_without_context_the_second_head_reads_the_features_alone():
    student = models.build("mnist_student_interventional", 0)
    outputs = training.outputs(student, feed(), ("context", "features")).values
    np.testing.assert_array_equal(outputs["context"][:, :784], outputs["features"])
    assert (outputs["context"][:, 784:] == 0).all()


def test_the_memory_keeps_its_rows_at_length_one_and_changes_those_of_the_batch_alone():
    from kdutils.methods.memory import MemoryBank

    bank = MemoryBank(20, 8, negatives=5, momentum=0.5, temperature=0.1, seed=0)
    before = np.array(bank.rows)
    embeddings = np.random.default_rng(1).normal(size=(3, 8)).astype("float32")
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    own, labels = np.array([4, 17, 2]), np.array([7, 7, 3])
    scores, counted = (np.array(each) for each in bank.scores(embeddings, own, labels))
    assert scores.shape == (3, 6)
    assert counted.shape == (3, 5)
    assert counted.all()  # no class is known yet
    assert scores.mean() == pytest.approx(1 / 20, rel=1e-5)
    first = np.exp((embeddings * before[own]).sum(axis=1) / 0.1)
    np.testing.assert_allclose(scores[:, 0] / scores[0, 0], first / first[0], rtol=1e-4)
    scale = float(bank.scale)
    bank.scores(embeddings, own, labels)
    assert float(bank.scale) == scale
    bank.remember(embeddings, own, labels)
    np.testing.assert_array_equal(np.array(bank.classes)[own], labels)
    after = np.array(bank.rows)
    others = np.setdiff1d(np.arange(20), own)
    np.testing.assert_array_equal(after[others], before[others])
    mixed = 0.5 * before[own] + 0.5 * embeddings
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    np.testing.assert_allclose(after[own], mixed, rtol=1e-5)


def test_negatives_of_the_own_class_do_not_count():
    from kdutils.methods.memory import MemoryBank

    bank = MemoryBank(6, 4, negatives=50, momentum=0.5, temperature=0.1, seed=0)
    embeddings = np.eye(4, dtype="float32")[[0, 1, 2, 3, 0, 1]]
    everyone, labels = np.arange(6), np.array([0, 0, 0, 1, 1, 2])
    bank.remember(embeddings, everyone, labels)
    _, counted = bank.scores(embeddings, everyone, labels)
    shares = np.array(counted).mean(axis=1)
    # Images of one class leave out the same negatives, and the three classes together all of them.
    assert len(set(shares[:3])) == len(set(shares[3:5])) == 1
    assert (1 - shares[[0, 3, 5]]).sum() == pytest.approx(1)


def test_the_weight_of_soft_targets_falls_evenly_to_its_last():
    method = methods.build("hinted_kd", STUDENTS["hinted_kd"])
    weights = []
    for epoch in range(14):
        method.begin_epoch(epoch)
        weights.append(float(keras.ops.convert_to_numpy(method.weight)))
    np.testing.assert_allclose(weights, [*np.linspace(3.75, 1.0, 12), 1.0, 1.0], rtol=1e-6)
    assert method.trainable_weights == []  # the regressor belonged to the first training


class InterruptedTrainingError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize(
    "name", ["interventional", "contrast_with_memory", "hinted_kd", "decoupled", "relational"]
)
def test_an_interrupted_training_goes_on_as_if_it_had_not_been(name, tmp_path):
    def stop(epoch, history):
        del history
        if epoch == 1:
            raise InterruptedTrainingError

    run = student_run(name, epochs=3)
    whole = trained(run)[1]
    with pytest.raises(InterruptedTrainingError):
        trained(run, workspace=tmp_path, on_epoch=stop)
    resumed = trained(run, workspace=tmp_path)[1]
    for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
