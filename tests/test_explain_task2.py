import json

import keras
import numpy as np
import pytest
import toy
from keras import layers
from scipy import stats

from kdutils import analyses, explain_task2, models
from kdutils.data.dataset import stratified_indices
from kdutils.models.initialise import initialise

RANDOM = np.random.default_rng(5)
FINER, LAST = RANDOM.normal(size=(1, 1, 1, 3)), RANDOM.normal(size=(2, 2, 3, 4))
HEAD = RANDOM.normal(size=(4, 2))
BIAS = np.array([0.3, -0.4])


def small_network(seed, finest=1):
    """Two convolutions, of which the second halves the sides, then mean, dropout and two logits."""
    pixels = keras.Input((None, None, 1), name="pixels")
    x = layers.Rescaling(1 / 255, name="scale")(pixels)
    x = layers.Conv2D(3, finest, strides=finest, activation="relu", name="finer")(x)
    x = layers.Conv2D(4, 2, strides=2, activation="relu", name="last")(x)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(0.2, seed=seed, name="dropout")(x)
    return keras.Model(pixels, layers.Dense(2, name="logits")(x))


def known():
    """That network with weights that can be computed with by hand."""
    model = small_network(0)
    for name, weights in {
        "finer": [FINER, np.full(3, 0.1)],
        "last": [LAST, np.full(4, 0.5)],
        "logits": [HEAD, BIAS],
    }.items():
        model.get_layer(name).set_weights(weights)
    return model


def activations(images):
    """What `known` makes of images after both layers, by hand."""
    finer = np.maximum(images / 255 * FINER[0, 0, 0] + 0.1, 0)
    windows = np.stack([finer[:, r::2, c::2] for r in (0, 1) for c in (0, 1)], axis=-2)
    last = np.maximum(np.einsum("nhwpk,pkc->nhwc", windows, LAST.reshape(4, 3, 4)) + 0.5, 0)
    return finer, last


@pytest.fixture
def two_classes(small, monkeypatch):
    """The toy data set with two classes of tiles in slides, and small networks with two layers."""
    read = toy.read

    def of_two_classes():
        parts = []
        for part in read():
            labels, groups = (part.labels == 1).astype("uint8"), np.arange(len(part)) % 3
            parts.append(toy.Part(part.images, labels, part.ids, groups))
        return tuple(parts)

    monkeypatch.setattr(toy, "read", of_two_classes)
    monkeypatch.setattr(toy, "POSITIVE", 1)
    monkeypatch.setattr(toy, "CLASSES", ("others", "ones"))
    for name in ("mnist_teacher", "mnist_student"):
        monkeypatch.setitem(models.NETWORKS, name, small_network)
    monkeypatch.setattr(explain_task2, "LAYERS", {"mnist": {"last": "last", "finer": "finer"}})


RUNS = (toy.teacher(), toy.student(seed=1), toy.student(seed=2))


def test_the_last_map_adds_up_to_the_log_odds_less_the_bias():
    images = RANDOM.integers(0, 256, (6, 4, 4, 1)).astype("uint8")
    model = known()
    log_odds = model(images, training=False).numpy() @ [-1, 1]
    maps = explain_task2.maps(model, images, 1, "last")
    assert maps.shape == (6, 2, 2)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), log_odds - (BIAS @ [-1, 1]), rtol=1e-4)
    _, last = activations(images)
    np.testing.assert_allclose(maps, last @ HEAD @ [-1, 1] / 4, rtol=1e-4, atol=1e-5)
    against = explain_task2.maps(model, images, 0, "last")
    np.testing.assert_allclose(against, -maps, rtol=1e-5)


def test_a_finer_map_weighs_channels_by_their_mean_gradient():
    images = RANDOM.integers(0, 256, (6, 4, 4, 1)).astype("uint8")
    finer, last = activations(images)
    through = (last > 0) * (HEAD @ [-1, 1]) / 4
    mean = np.einsum("nhwc,pkc->nk", through, LAST.reshape(4, 3, 4)) / 16
    expected = np.einsum("nhwk,nk->nhw", finer, mean)
    maps = explain_task2.maps(known(), images, 1, "finer")
    np.testing.assert_allclose(maps, expected, rtol=1e-3, atol=1e-5)


def test_tiles_are_chosen_by_their_margin():
    log_odds = np.array([0.5, -2.0, 3.0, 1.0, -1.0, 2.0, -3.0])
    labels = np.array([1, 1, 1, 1, 0, 0, 0])
    assert explain_task2.chosen_tiles(log_odds, labels) == {
        "positive_surest": 2,
        "positive_median": 0,
        "positive_worst": 1,
        "negative_surest": 6,
        "negative_median": 4,
        "negative_worst": 5,
    }
    assert set(explain_task2.chosen_tiles(log_odds[3:5], labels[3:5]).values()) == {0, 1}


def explained(ledger, runs, **settings):
    settings = {"count": 40, "points": 3, "draws": 2} | settings
    return ledger.analyse(explain_task2.explanations, runs, "study", **settings).values


@pytest.mark.usefixtures("two_classes")
def test_chosen_tiles_are_recorded_with_the_maps_of_all_models(ledger, trainer):
    found = explained(ledger, RUNS)
    test = toy.read()[1]
    chooser = ledger.model(RUNS[-1])
    scores = chooser(test.images, training=False).numpy() @ [-1, 1]
    chosen = explain_task2.chosen_tiles(scores, test.labels)
    assert {tile["rule"]: tile["position"] for tile in found["tiles"]} == chosen
    for tile in found["tiles"]:
        assert tile["label"] == test.labels[tile["position"]]
        assert tile["group"] == str(test.groups[tile["position"]])
    images = test.images[list(chosen.values())]
    for run, model in zip(RUNS, found["shown"], strict=True):
        for name in ("last", "finer"):
            expected = explain_task2.maps(ledger.model(run), images, 1, name)
            np.testing.assert_allclose(model[name], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        found["shown"][-1]["log_odds"], scores[list(chosen.values())], rtol=1e-4, atol=1e-6
    )


@pytest.mark.usefixtures("two_classes")
def test_maps_are_judged_on_a_stratified_sample_with_weights_as_they_were_trained(ledger, trainer):
    found = explained(ledger, RUNS)
    assert found["count"] == 40
    test = toy.read()[1]
    images = test.images[stratified_indices(test.labels, 40, seed=0)]
    built = [ledger.model(run) for run in RUNS]
    lost = [models.build(run.model, explain_task2.FRESH) for run in RUNS]
    for name in ("last", "finer"):
        expected = explain_task2.agreement(built, lost, images, 1, [name] * 3, draws=2)
        assert_alike(found["agreement"][name], expected)
        for model, measured in zip(built, found["deletion"], strict=True):
            assert_alike(measured[name], explain_task2.deletion(model, images, 1, name, points=3))


def assert_alike(found, expected):
    """The same JSON up to rounding; the weights of both were drawn alike."""
    expected = analyses.rounded(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    else:
        assert found == (expected and pytest.approx(expected, rel=1e-3, abs=1e-5))


def test_cells_are_deleted_from_the_highest_on():
    ranked = np.array([[[3.0, 1.0], [0.0, 2.0]]])
    half, most = explain_task2._deleted(ranked, (5, 4), [0.5, 0.75])
    rows = [[True, True, False, False]] * 3 + [[False, False, True, True]] * 2
    np.testing.assert_array_equal(half[0, ..., 0], rows)
    assert most[0, :3].all()
    np.testing.assert_array_equal(most[0, 3:, :, 0], rows[3:])


def test_deletion_in_the_order_of_a_map_beats_chance(monkeypatch):
    """With cells of one pixel each, a linear network, and nothing in the place of a pixel."""
    model = small_network(0)
    identity = np.zeros((2, 2, 3, 4))
    identity[:, :, 0, 0] = 1
    head = np.zeros((4, 2))
    head[0] = -3, 3
    first = [np.array([1.0, 0, 0]).reshape(1, 1, 1, 3), np.zeros(3)]
    for name, weights in {
        "finer": first,
        "last": [identity, np.zeros(4)],
        "logits": [head, np.zeros(2)],
    }.items():
        model.get_layer(name).set_weights(weights)
    monkeypatch.setattr(explain_task2, "_blurred", np.zeros_like)
    images = RANDOM.integers(0, 256, (40, 4, 4, 1)).astype("uint8")
    for name, cells in (("last", 2), ("finer", 4)):
        orders = analyses.rounded(explain_task2.deletion(model, images, 1, name, points=5))
        assert (orders["cells"], orders["fractions"]) == (cells, [0, 0.25, 0.5, 0.75, 1])
        for order in explain_task2.ORDERS:
            curve = orders[order]["curve"]
            assert len(curve) == 5
            assert curve[0] == pytest.approx(orders["most"]["curve"][0])
            assert curve[-1] == pytest.approx(0, abs=1e-6)
            assert orders[order]["area"]["mean"] == pytest.approx(
                np.trapezoid(curve, dx=0.25), rel=1e-4
            )
        for name, (kept, lost) in explain_task2.DIFFERENCES.items():
            difference = orders[kept]["area"]["mean"] - orders[lost]["area"]["mean"]
            assert orders[name]["interval"]["mean"] == pytest.approx(difference, rel=1e-3)
            assert orders[name]["interval"]["low"] > 0
            assert orders[name]["p_value"] < 0.001
            assert orders[name]["share"] > 0.5


def test_correlations_are_those_of_ranks():
    first, second = np.round(RANDOM.normal(size=(2, 7, 3, 3)), 1)
    expected = [
        stats.spearmanr(one.ravel(), other.ravel()).statistic
        for one, other in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(explain_task2.correlations(first, second), expected)
    assert np.isnan(explain_task2.correlations(first[:, :1, :1], second[:, :1, :1])).all()


def test_agreement_is_with_the_first_model_and_pairs_tiles():
    trained = [small_network(0, finest=2) for _ in range(3)]
    lost = [small_network(0, finest=2)] * 4
    random = np.random.default_rng(1)
    for model in [*trained, lost[0]]:
        drawn = [random.normal(size=each.shape) for each in model.get_weights()]
        # Biases above zero, so that units speak up.
        model.set_weights([np.abs(each) if each.ndim == 1 else each for each in drawn])
    images = random.integers(0, 256, (30, 16, 16, 1)).astype("uint8")
    for name in ("last", "finer"):
        judged = explain_task2.agreement(
            [*trained, trained[0]], lost, images, 1, [name] * 4, draws=2
        )
        maps = [explain_task2.maps(model, images, 1, name) for model in trained]
        one, other = (explain_task2.correlations(maps[0], each) for each in maps[1:])
        means = [each["mean"] for each in judged["correlations"]]
        np.testing.assert_allclose(means, [np.nanmean(one), np.nanmean(other), 1], rtol=1e-4)
        assert judged["difference"]["mean"] == pytest.approx(np.nanmean(one - other))
        p_value = stats.ttest_rel(one, other, nan_policy="omit").pvalue
        assert judged["p_value"] == pytest.approx(p_value)
        heads = judged["random_head"]
        assert heads[0] == heads[3] != heads[1]
        assert heads[0][0] != heads[0][1]
        before = trained[0].get_weights()
        head = keras.Model(trained[0].get_layer("avg_pool").output, trained[0].outputs[0])
        initialise(head, explain_task2.FRESH + 1)
        own = explain_task2.correlations(maps[0], explain_task2.maps(trained[0], images, 1, name))
        assert heads[0][1] == pytest.approx(np.nanmean(own), abs=1e-5)
        trained[0].set_weights(before)
        fresh = explain_task2.correlations(maps[1], explain_task2.maps(lost[1], images, 1, name))
        assert judged["random_weights"][1]["mean"] == pytest.approx(np.nanmean(fresh), abs=1e-5)


@pytest.mark.usefixtures("two_classes")
def test_maps_of_one_cell_have_no_order(ledger, trainer, monkeypatch):
    def coarse(seed):
        return small_network(seed, finest=2)

    for name in ("mnist_teacher", "mnist_student"):
        monkeypatch.setitem(models.NETWORKS, name, coarse)
    found = explained(ledger, RUNS, count=10, draws=1)
    assert found["agreement"]["last"] == {
        "correlations": [None, None],
        "difference": None,
        "p_value": None,
        "random_head": [[None]] * 3,
        "random_weights": [None] * 3,
    }
    assert found["agreement"]["finer"]["correlations"][0]["count"] > 1
    last = found["deletion"][0]["last"]
    assert (last["cells"], last["early"]["p_value"], last["early"]["share"]) == (1, None, 0)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("network", ["resnet50v2", "mobilenetv2"])
def test_networks_have_the_layers_and_the_finer_has_twice_the_cells(network):
    model = models.build(network)
    tile = RANDOM.integers(0, 256, (1, 32, 32, 3)).astype("uint8")
    layers_of = explain_task2.LAYERS[network]
    last, finer = (
        explain_task2.maps(model, tile, 1, layers_of[each]) for each in ("last", "finer")
    )
    assert (last.shape, finer.shape) == ((1, 1, 1), (1, 2, 2))
    [logits] = model(tile, training=False).numpy()
    np.testing.assert_allclose(last.sum(), logits[1] - logits[0], rtol=1e-3, atol=1e-5)
