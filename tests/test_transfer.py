import sys
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import log_softmax

from kdutils import data, frozen, models, training
from kdutils.data import Part
from kdutils.ledger import Ledger
from kdutils.methods.distiller import Distiller
from kdutils.methods.kd import KnowledgeDistillation
from kdutils.models import histology, transfer
from kdutils.runs import Run, pack_scores, unpack

TILES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype("uint8")
OTHER_STATISTICS = np.random.default_rng(1).integers(0, 60, (16, 8, 8, 3)).astype("uint8")


def network(name, classes=2):
    """Two blocks with batch normalisation, cut like the networks of Task 2."""

    def build(seed):
        pixels = keras.Input((None, None, 3), name="pixels")
        x = layers.Rescaling(1 / 127.5, offset=-1, name="scale")(pixels)
        for block in ("low", "high"):
            x = layers.Conv2D(4, 3, name=f"{block}_conv")(x)
            x = layers.BatchNormalization(name=f"{block}_bn", momentum=0.9)(x)
            x = layers.ReLU(name=f"{block}_out")(x)
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dropout(0.2, seed=seed, name="dropout")(x)
        return keras.Model(pixels, layers.Dense(classes, name="logits")(x), name=name)

    return build


def tiles(count, seed):
    """Noise, brighter in the positive class, from two slides."""
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 2).astype("uint8")
    images = random.integers(0, 128, (count, 8, 8, 3)) + 100 * labels[:, None, None, None]
    return Part(images.astype("uint8"), labels, np.arange(count), groups=(np.arange(count) % 2 + 6))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """The toy network and toy tiles in the place of the real ones."""
    module = SimpleNamespace(
        CLASSES=("simple", "complex"),
        POSITIVE=1,
        TRAIN_SIZE=64,
        read=lambda: (tiles(64, 0), tiles(32, 1)),
        fingerprint=lambda: "tiles",
    )
    monkeypatch.setitem(sys.modules, "toy_tiles", module)
    monkeypatch.setitem(data.DATASETS, "tiles", "toy_tiles")
    monkeypatch.setitem(models.NETWORKS, "mobilenetv2", network("mobilenetv2"))
    monkeypatch.setitem(models.NETWORKS, "mobilenetv2_6", network("mobilenetv2", classes=6))
    cuts = {"mobilenetv2": ("low_out", "high_out", "avg_pool")}
    for holder in (histology.CUTS, models.CUTS):
        monkeypatch.setitem(holder, "mobilenetv2", cuts["mobilenetv2"])


BASE = Run("mobilenetv2", data="tiles", epochs=2, batch_size=16, learning_rate=0.01)


def weights_of(model, layer):
    return model.get_layer(layer).get_weights()


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


# --- weights that come from elsewhere


def test_all_but_the_head_is_transferred_between_unlike_heads():
    source, target = models.build("mobilenetv2_6", 1), models.build("mobilenetv2", 2)
    head = weights_of(target, "logits")
    transfer.transfer(source, target)
    for layer in ("low_conv", "low_bn", "high_conv"):
        assert same(weights_of(target, layer), weights_of(source, layer))
    assert same(weights_of(target, "logits"), head)


def test_like_networks_pass_on_their_head_too():
    source, target = models.build("mobilenetv2", 1), models.build("mobilenetv2", 2)
    transfer.transfer(source, target)
    assert same(target.get_weights(), source.get_weights())


def test_a_layer_that_is_missing_is_named():
    source, target = models.build("mnist_student"), models.build("mobilenetv2")
    with pytest.raises(ValueError, match="has no layer 'low_conv' like that of mobilenetv2"):
        transfer.transfer(source, target)


def test_imagenet_that_cannot_be_had_says_what_to_do(monkeypatch):
    def unreachable(**settings):
        raise OSError("no route to host")

    monkeypatch.setitem(transfer.APPLICATIONS, "mobilenetv2", unreachable)
    with pytest.raises(transfer.WeightsError, match=r"no route to host.*imagenet/.*KDUTILS_DATA"):
        transfer.load_imagenet(models.build("mobilenetv2"))


def test_imagenet_is_read_from_the_data_path_and_spares_the_head(monkeypatch, tmp_path):
    file = tmp_path / "imagenet" / transfer.FILES["mobilenetv2"]
    file.parent.mkdir()
    file.touch()
    monkeypatch.setenv("KDUTILS_DATA", str(tmp_path))
    asked = []

    def application(include_top, weights):
        asked.append((include_top, weights))
        return models.build("mobilenetv2_6", 5)

    monkeypatch.setitem(transfer.APPLICATIONS, "mobilenetv2", application)
    model = models.build("mobilenetv2", 0)
    head = weights_of(model, "logits")
    transfer.load_imagenet(model)
    assert asked == [(False, str(file))]
    assert same(
        weights_of(model, "low_conv"), weights_of(models.build("mobilenetv2_6", 5), "low_conv")
    )
    assert same(weights_of(model, "logits"), head)


# --- batch normalisation


def test_fixed_statistics_are_used_and_kept_in_training():
    model = models.build("mobilenetv2", 0)
    before = model.get_weights()
    fixed = transfer.with_fixed_statistics(model)
    without_dropout = keras.Model(fixed.input, fixed.get_layer("avg_pool").output)
    training_mode = np.asarray(without_dropout(OTHER_STATISTICS, training=True))
    inference = np.asarray(without_dropout(OTHER_STATISTICS, training=False))
    np.testing.assert_array_equal(training_mode, inference)
    assert same(fixed.get_weights(), before)
    assert len(fixed.trainable_weights) == len(model.trainable_weights)


def test_statistics_that_are_not_fixed_follow_the_images():
    model = models.build("mobilenetv2", 0)
    before = model.get_weights()
    model(OTHER_STATISTICS, training=True)
    assert not same(model.get_weights(), before)


def test_a_network_without_batch_normalisation_stays_the_same_object():
    model = models.build("mnist_student")
    assert transfer.with_fixed_statistics(model) is model


def test_a_random_start_trains_its_statistics_and_a_pretrained_one_does_not():
    _, random = training.train(BASE)
    moved = weights_of(random, "low_bn")[2:]
    assert not same(moved, weights_of(models.build("mobilenetv2"), "low_bn")[2:])
    _, tuned = training.train(replace(BASE, init=BASE, seed=1), initial=random)
    assert same(weights_of(tuned, "low_bn")[2:], moved)
    assert not same(weights_of(tuned, "low_bn")[:2], weights_of(random, "low_bn")[:2])


# --- frozen layers


def test_the_part_above_a_cut_completes_the_network():
    model = models.build("mobilenetv2", 0)
    for cut in models.cuts("mobilenetv2"):
        below = keras.Model(model.input, model.get_layer(cut).output)
        upper = transfer.above(model, cut)
        whole = model.predict(TILES, verbose=0)
        parts = upper.predict(below.predict(TILES, verbose=0), verbose=0)
        np.testing.assert_allclose(parts, whole, rtol=1e-5, atol=1e-6)
        assert upper.name == model.name


def test_frozen_layers_stay_bit_for_bit_and_the_others_move():
    _, source = training.train(BASE)
    run = replace(BASE, init=BASE, frozen="low_out", seed=1)
    record, tuned = training.train(run, initial=source)
    for layer in ("low_conv", "low_bn"):
        assert same(weights_of(tuned, layer), weights_of(source, layer))
    for layer in ("high_conv", "logits"):
        assert not same(weights_of(tuned, layer), weights_of(source, layer))
    assert record.parameters == source.count_params()


def test_frozen_layers_see_each_image_in_the_view_that_was_drawn(monkeypatch):
    """With nothing left to learn, the loss is that of the whole network on the same views."""
    _, source = training.train(BASE)
    still = replace(BASE, init=BASE, views="turns", learning_rate=1e-30, seed=1)
    monkeypatch.setattr(layers.Dropout, "call", lambda self, inputs, training=False: inputs)
    whole, _ = training.train(still, initial=source)
    cut, _ = training.train(replace(still, frozen="low_out"), initial=source)
    np.testing.assert_allclose(cut.history["loss"], whole.history["loss"], rtol=1e-4)
    other, _ = training.train(replace(still, frozen="low_out", views=None), initial=source)
    assert not np.allclose(other.history["loss"], whole.history["loss"], rtol=1e-4)


def test_outputs_of_frozen_layers_are_kept_for_all_that_share_them(tmp_path):
    ledger = Ledger(tmp_path / "records", cache=tmp_path / "cache")
    first = replace(BASE, init=BASE, frozen="low_out", views="turns", seed=1)
    record = ledger.obtain(first, "study")
    kept = sorted(path.name for path in (tmp_path / "cache" / "frozen").iterdir())
    assert len(kept) == 8
    ledger.obtain(replace(first, seed=2), "study")
    ledger.obtain(replace(first, init=first, seed=3), "study")
    assert sorted(path.name for path in (tmp_path / "cache" / "frozen").iterdir()) == kept
    _, source = training.train(BASE)
    alone, _ = training.train(first, initial=source)
    assert alone.predictions == record.predictions


def test_outputs_of_other_weights_are_never_taken(tmp_path):
    part = tiles(8, 3)
    one, other = models.build("mobilenetv2", 1), models.build("mobilenetv2", 2)
    for model in (one, other, one):
        (kept,) = frozen.outputs(model, "low_out", [part], 4, tmp_path)
        (fresh,) = frozen.outputs(model, "low_out", [part], 4)
        np.testing.assert_array_equal(kept, fresh)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_teacher_that_sees_other_sizes_is_refused():
    options = {"temperature": 4.0, "alpha": 0.5}
    with pytest.raises(ValueError, match="has seen images of native pixels and would be shown"):
        replace(BASE, method="kd", options=options, teacher=BASE, size=32)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"frozen": "low_out"}, "layers are frozen that nothing has trained"),
        ({"frozen": "low_conv", "init": BASE}, "its cuts: low_out, high_out, avg_pool"),
        ({"model": "mnist_student", "frozen": "h1", "weights": "imagenet"}, "of no use"),
        ({"weights": "places"}, "there is imagenet"),
        ({"weights": "imagenet", "init": BASE}, "as it starts from another run"),
        ({"class_weight": "none"}, "no class_weight 'none'; there is balanced"),
        ({"fold": 1}, "tiles has no fold 1; there is None"),
        ({"size": 0}, "size has to be at least 1"),
        ({"size": 96.5}, "size has to be a whole number"),
    ],
)
def test_impossible_runs_are_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        replace(BASE, **changes)


# --- what a record of two classes holds


def test_a_record_holds_scores_labels_and_slides():
    record, model = training.train(BASE)
    test = tiles(32, 1)
    logits = model.predict(test.images, verbose=0)
    np.testing.assert_allclose(record.scores, logits[:, 1] - logits[:, 0], rtol=1e-3)
    np.testing.assert_array_equal(record.labels, test.labels)
    np.testing.assert_array_equal(record.groups, test.groups - 6)
    assert record.metrics["roc_auc"] > 0.9


def test_scores_beyond_half_precision_stay_finite():
    found = unpack(pack_scores(np.array([1e9, -1e9, 0.5]))).view("float16")
    assert np.isfinite(found).all()
    assert found[2] == 0.5


def test_classes_weigh_alike_however_many_images_they_have():
    weights = training._balanced(np.array([0] * 30 + [1] * 10), 3)
    assert weights == pytest.approx([2 / 3, 2, 0])
    assert 30 * weights[0] == pytest.approx(10 * weights[1])


def test_class_weights_count_for_labels_and_not_for_what_a_teacher_says():
    model = models.build("mobilenetv2", 0)
    labels = np.array([0, 1, 1, 0])
    said = {"logits": np.eye(2)[[1, 0, 1, 0]].astype("float32")}
    inputs = {"images": TILES, "teacher": said}

    def terms(class_weight):
        distiller = Distiller(model, KnowledgeDistillation(4.0, 0.5), class_weight)
        distiller.compile(optimizer="sgd", run_eagerly=True)
        distiller.compute_loss(inputs, labels, distiller(inputs))
        return {name: float(mean.result()) for name, mean in distiller.term_means.items()}

    plain, weighed = terms(None), terms(np.array([0.0, 3.0], "float32"))
    assert weighed["soft"] == plain["soft"]
    logits = np.asarray(model(TILES))
    losses = -log_softmax(logits, axis=1)[np.arange(4), labels]
    assert weighed["hard"] == pytest.approx(3 * losses[labels == 1].sum() / 4, rel=1e-5)
    assert plain["hard"] == pytest.approx(losses.mean(), rel=1e-5)
