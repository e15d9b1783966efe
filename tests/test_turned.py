import keras
import numpy as np
import pytest
import toy
from keras import layers

from kdutils import models, turned
from kdutils.binary import binary_metrics
from kdutils.ledger import Ledger


def two_logits(seed):
    """Two logits, linear in the pixels."""
    del seed
    pixels = keras.Input((4, 4, 1), name="pixels")
    x = layers.Flatten(name="flatten")(layers.Rescaling(1 / 255, name="scale")(pixels))
    return keras.Model(pixels, layers.Dense(2, name="logits")(x))


@pytest.fixture
def two_classes(small, monkeypatch):
    """The toy data set with the second of its digits against all others."""
    monkeypatch.setattr(toy, "POSITIVE", 1)
    monkeypatch.setitem(models.NETWORKS, "mnist_student", two_logits)


def laid(image):
    """An image in all eight ways: rows and columns in both orders, swapped or not."""
    return [
        image[::down, ::right] if straight else image[::down, ::right].T
        for down in (1, -1)
        for right in (1, -1)
        for straight in (True, False)
    ]


def by_hand(model):
    """Log-odds of the toy's test images in all views, `(8, N)`."""
    kernel, bias = model.get_layer("logits").get_weights()
    slope, start = kernel[:, 1] - kernel[:, 0], bias[1] - bias[0]
    images = toy.read()[1].images[..., 0] / 255
    return np.transpose([[view.ravel() @ slope + start for view in laid(each)] for each in images])


@pytest.fixture
def centred(monkeypatch):
    """Gives the models of runs a bias such that about half of the tiles are called positive."""

    def model(ledger, run):
        built = models.build(run.model, run.seed)
        kernel, bias = built.get_layer("logits").get_weights()
        bias[0] = np.median(by_hand(built))
        built.get_layer("logits").set_weights([kernel, bias])
        return built

    monkeypatch.setattr(Ledger, "model", model)


@pytest.mark.usefixtures("two_classes", "centred")
def test_scores_are_averaged_over_the_eight_ways_to_lay_a_tile(ledger, trainer):
    runs = [toy.student(), toy.student(seed=1)]
    found = ledger.analyse(turned.eight_view_scores, runs, "study").values
    assert found["labels"] == (toy.read()[1].labels == 1).tolist()
    for run, scored in zip(runs, found["models"], strict=True):
        expected = by_hand(ledger.model(run))
        np.testing.assert_allclose(scored["identity"], expected[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(scored["mean"], expected.mean(axis=0), rtol=1e-4, atol=1e-5)
        assert scored["deviation"] == pytest.approx(expected.std(axis=0).mean(), rel=1e-4)
        positive = (expected > 0).sum(axis=0)
        changed = ((positive > 0) & (positive < 8)).mean()
        assert 0 < changed < 1
        assert scored["changed"] == pytest.approx(changed)
        assert 0 <= binary_metrics(scored["mean"], found["labels"])["roc_auc"] <= 1


@pytest.mark.usefixtures("two_classes")
def test_a_model_of_the_sum_of_pixels_never_changes_its_mind(ledger, monkeypatch):
    model = models.build("mnist_student")
    model.get_layer("logits").set_weights([np.tile([0.0, 1.0], (16, 1)), np.array([8.0, 0.0])])
    monkeypatch.setattr(Ledger, "model", lambda self, run: model)
    [scored] = turned.eight_view_scores(ledger, [toy.student()])["models"]
    assert scored["changed"] == 0
    assert scored["deviation"] == pytest.approx(0, abs=1e-6)
    np.testing.assert_allclose(scored["mean"], scored["identity"], rtol=1e-4)
