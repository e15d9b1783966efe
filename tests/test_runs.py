import hashlib
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest

from kdutils import runs
from kdutils.runs import Record, Run

TEACHER = Run("mnist_teacher", seed=3)
DISTILLED = Run(
    "mnist_student",
    method="kd",
    options={"temperature": 4.0, "alpha": 0.5},
    teacher=TEACHER,
    seed=3,
)
LARGEST = Run(
    "mnist_student",
    method="logits",
    options={"alpha": 0.9},
    teacher=Run(
        "mnist_teacher",
        validation=5000,
        epochs=3,
        init=Run("mnist_teacher", seed=9, validation=5000),
    ),
    init=Run("mnist_student", validation=5000),
    validation=5000,
    train_size=600,
    epochs=5,
    batch_size=32,
    learning_rate=0.01,
    seed=7,
)


def record(run=DISTILLED, **more):
    content = {
        "data_fingerprint": "feed",
        "backend": "tensorflow",
        "precision": "float32",
        "part": "test",
        "metrics": {"accuracy": 0.75, "correct": 3, "count": 4, "nll": 0.5},
        "train": {"accuracy": 0.8, "nll": 0.4},
        "history": {"loss": [1.5, 0.7], "seconds": [2.0, 1.0]},
        "predictions": {
            "offsets": runs.pack(np.array([0, 9, 0, 0])),
            "confidences": runs.pack(np.array([255, 51, 0, 102])),
        },
        "parameters": 1_238_730,
        "seconds": 3.0,
        "versions": {"python": "3.11.7"},
        "machine": {"cores": 2},
        "code": "abc",
        "finished": "2025-01-01T00:00:00+00:00",
    }
    return Record(run=run, **content | more)


@pytest.mark.parametrize("run", [TEACHER, DISTILLED, LARGEST], ids=lambda run: run.label)
def test_runs_survive_json_and_pickle(run):
    for copy in (
        Run.from_json(json.loads(json.dumps(run.to_json()))),
        pickle.loads(pickle.dumps(run)),
    ):
        assert copy == run
        assert copy is not run
        assert hash(copy) == hash(run)
        assert copy.to_json() == run.to_json()


def test_what_is_not_set_is_not_stored():
    assert TEACHER.to_json() == {
        "model": "mnist_teacher",
        "data": "mnist",
        "epochs": 12,
        "batch_size": 256,
        "learning_rate": 0.001,
        "seed": 3,
    }
    assert DISTILLED.to_json() == TEACHER.to_json() | {
        "model": "mnist_student",
        "method": "kd",
        "options": {"temperature": 4.0, "alpha": 0.5},
        "teacher": TEACHER.to_json(),
    }


def test_keys_are_pinned():
    # A key that changes here orphans every published record.
    assert runs.key(TEACHER, "feed", "tensorflow", "float32") == "d7885cb4428e25d3"
    assert runs.key(DISTILLED, "feed", "tensorflow", "float32") == "a1aeacccc002d903"
    assert runs.key(LARGEST, "feed", "tensorflow", "float32") == "c98792c922a3efc4"


def test_a_key_is_the_digest_of_the_content():
    content = (
        '{"backend":"tensorflow","data":"feed","precision":"float32","run":{"batch_size":256,'
        '"data":"mnist","epochs":12,"learning_rate":0.001,"model":"mnist_teacher","seed":3}}'
    )
    expected = hashlib.sha256(content.encode()).hexdigest()[:16]
    assert runs.key(TEACHER, "feed", "tensorflow", "float32") == expected


def test_equal_settings_give_equal_runs_and_keys():
    same = replace(DISTILLED, options={"alpha": 0.5, "temperature": 4}, learning_rate=1e-3)
    assert same == DISTILLED
    assert hash(same) == hash(DISTILLED)
    assert record(same).key == record(DISTILLED).key
    whole, fraction = (Run("mnist_student", learning_rate=rate) for rate in (1, 1.0))
    assert runs.digest(whole.to_json()) == runs.digest(fraction.to_json())
    assert len({same, DISTILLED, TEACHER}) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"temperature": 4.5, "alpha": 0.5}},
        {"teacher": Run("mnist_teacher", seed=4)},
        {"init": Run("mnist_student")},
        {"train_size": 600},
        {"epochs": 11},
        {"batch_size": 128},
        {"learning_rate": 2e-3},
        {"schedule": "cosine"},
        {"classes": (0, 1, 2)},
        {"views": "shifts_1"},
        {"seed": 4},
        {"model": "mnist_teacher"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_any_other_setting_gives_another_key(change):
    other = replace(DISTILLED, **change)
    assert other != DISTILLED
    assert record(other).key != record(DISTILLED).key


@pytest.mark.parametrize("field", ["data_fingerprint", "backend", "precision"])
def test_where_it_was_computed_is_part_of_the_key(field):
    assert record(**{field: "other"}).key != record().key


def test_the_callers_options_are_copied():
    options = {"temperature": 4, "alpha": 0.5}
    run = replace(DISTILLED, options=options)
    options["temperature"] = 8
    assert run.options == {"temperature": 4.0, "alpha": 0.5}


HOLDING_OUT = Run("mnist_teacher", validation=5000)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "resnet"}, "no network 'resnet'; there are mnist_teacher, mnist_student"),
        ({"method": "rkd", "teacher": TEACHER}, "no method 'rkd'; there are kd, logits"),
        ({"options": {"alpha": 0.5}}, r"takes exactly the options \[\], not \['alpha'\]"),
        (
            {"method": "kd", "options": {"temperature": 0, "alpha": 0.5}, "teacher": TEACHER},
            "temperature has to be above 0",
        ),
        (
            {"method": "logits", "options": {"alpha": 1.5}, "teacher": TEACHER},
            "alpha has to lie between 0 and 1",
        ),
        ({"method": "logits", "options": {"alpha": 0.5}}, "training by logits needs a teacher"),
        ({"teacher": TEACHER}, "training by labels alone takes no teacher"),
        (
            {
                "method": "label_smoothing",
                "options": {"smoothing": 0.1},
                "teacher": TEACHER,
            },
            "training by label_smoothing takes no teacher",
        ),
        ({"views": "mirrors"}, "no views 'mirrors'; there are shifts_1"),
        ({"schedule": "steps"}, "no schedule 'steps'; there is cosine"),
        ({"classes": ()}, r"classes has to list labels once, ascending, not \[\]"),
        ({"classes": (3, 2)}, r"classes has to list labels once, ascending, not \[3, 2\]"),
        ({"classes": (1.0, 2.0)}, r"classes has to list labels, not \(1.0, 2.0\)"),
        ({"classes": 5}, "classes has to list labels, not 5"),
        ({"classes": (2, 2)}, r"classes has to list labels once, ascending, not \[2, 2\]"),
        ({"epochs": 2.0}, "epochs has to be a whole number, not 2.0"),
        ({"seed": -1}, "seed has to be at least 0, not -1"),
        ({"learning_rate": float("inf")}, "learning_rate has to be finite, not inf"),
        ({"epochs": 0}, "student · 0 epochs · seed 0: epochs has to be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size has to be at least 1, not 0"),
        ({"validation": 0}, "validation has to be at least 1, not 0"),
        ({"train_size": -5}, "train_size has to be at least 1, not -5"),
        ({"learning_rate": 0}, "learning_rate has to be above 0"),
        ({"learning_rate": float("nan")}, "learning_rate has to be finite, not nan"),
    ],
)
def test_what_cannot_be_trained_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Run(**{"model": "mnist_student"} | settings)


@pytest.mark.parametrize("stop", [float("inf"), float("nan")])
def test_an_option_that_is_no_number_is_refused_before_its_method_sees_it(stop):
    options = {"temperature": 4.0, "alpha": 0.5, "stop_epoch": stop}
    with pytest.raises(ValueError, match=f"stop_epoch has to be finite, not {stop}"):
        Run("mnist_student", method="early_stopped_kd", options=options, teacher=TEACHER)


@pytest.mark.parametrize("held_out_by_source", [None, 4000, 6000])
@pytest.mark.parametrize("role", ["teacher", "init"])
def test_sources_that_saw_the_validation_images_are_refused(role, held_out_by_source):
    source = Run("mnist_student", validation=held_out_by_source)
    method = {"method": "logits", "options": {"alpha": 0.5}} if role == "teacher" else {}
    with pytest.raises(ValueError, match=r"held out for validation; it has to hold out .* 5000"):
        Run("mnist_student", validation=5000, **{role: source}, **method)
    # The source that holds out the same images is welcome, and so is any where nothing is chosen.
    Run("mnist_student", validation=5000, **{role: replace(source, validation=5000)}, **method)
    Run("mnist_student", **{role: source}, **method)


def test_labels():
    assert TEACHER.label == "teacher · seed 3"
    assert DISTILLED.label == "student · kd (temperature 4, alpha 0.5) · seed 3"
    other = replace(
        DISTILLED,
        views="shifts_1",
        classes=(7, 8),
        train_size=300,
        epochs=20,
        batch_size=64,
        learning_rate=2e-3,
        schedule="cosine",
    )
    assert other.label == (
        "student · kd (temperature 4, alpha 0.5) · shifts_1 · only (7, 8) · 300 images · "
        "20 epochs · batches of 64 · rate 0.002 · cosine · teacher of 12 epochs · seed 3"
    )


def test_labels_tell_where_weights_come_from():
    source = Run("mobilenetv2", data="synthetic_source", fold=None)
    head = Run("mobilenetv2", data="synthetic", init=source, frozen="block_12_add")
    assert "weights from synthetic_source" in head.label
    assert "weights from synthetic_source" in replace(head, init=head).label
    published = replace(head, init=None, weights="imagenet")
    assert "weights from imagenet" in Run("mobilenetv2", data="synthetic", init=published).label
    assert "weights from" not in published.label


def test_a_shorter_run_differs_in_its_epochs_alone():
    shorter = LARGEST.shorter(2)
    assert shorter.to_json() == LARGEST.to_json() | {"epochs": 2}
    assert LARGEST.epochs == 5


def test_teachers_of_few_epochs_alone_keep_snapshots():
    assert TEACHER.keeps_snapshots
    assert not replace(TEACHER, epochs=234).keeps_snapshots
    assert not DISTILLED.keeps_snapshots
    assert not Run("mnist_student").keeps_snapshots


def test_records_survive_json_and_pickle():
    original = record(prefix_of="123", study="some_study", stale=True)
    content = json.loads(json.dumps(original.to_json()))
    assert "stale" not in content
    assert "study" not in content
    assert Record.from_json(content, study="some_study", stale=True) == original
    copy = pickle.loads(pickle.dumps(original))
    assert copy == original
    assert copy.key == original.key
    np.testing.assert_array_equal(copy.offsets, original.offsets)


def test_records_unpack_their_predictions():
    np.testing.assert_array_equal(record().offsets, [0, 9, 0, 0])
    np.testing.assert_array_equal(record().confidences, [1, 0.2, 0, 0.4])


def test_packed_values_are_those_that_went_in():
    values = np.arange(256).repeat(40)
    packed = runs.pack(values)
    assert isinstance(packed, str)
    assert len(packed) < 1000
    np.testing.assert_array_equal(runs.unpack(packed), values)
    assert runs.unpack(packed).dtype == "uint8"
    assert runs.unpack(runs.pack(np.array([]))).shape == (0,)
