import keras
import numpy as np
import pytest
from keras import layers

from kdutils import predicting

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 4, 4, 3)).astype("uint8")


def network(depth):
    pixels = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 255)(pixels)
    for _ in range(depth):
        x = layers.Conv2D(3, 1)(x)
    return keras.Model(pixels, {"pixels": x, "mean": layers.GlobalAveragePooling2D()(x)})


@pytest.mark.parametrize("batch", [1, 3, 4, 10, 99])
def test_a_deep_network_says_the_same_traced_or_not(batch):
    model = network(60)
    expected = model.predict(IMAGES, verbose=0)
    found = predicting.predict(model, IMAGES, batch)
    assert found.keys() == expected.keys()
    for name, values in found.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-6)


def test_only_deep_networks_on_few_batches_are_not_traced(monkeypatch):
    deep, shallow = network(60), network(2)
    assert predicting.traced_in_vain(deep, predicting.FEW)
    assert not predicting.traced_in_vain(deep, predicting.FEW + 1)
    assert not predicting.traced_in_vain(shallow, 1)
    traced = []
    for model in (deep, shallow):
        monkeypatch.setattr(model, "predict", lambda *_, model=model, **__: traced.append(model))
        predicting.predict(model, IMAGES, 5)
    assert traced == [shallow]


def test_a_network_with_one_output_gives_an_array():
    model = network(60)
    one = keras.Model(model.inputs, model.output["mean"])
    np.testing.assert_allclose(
        predicting.predict(one, IMAGES, 4), one.predict(IMAGES, verbose=0), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("batch", [20, 10, 7])
def test_small_parts_go_through_the_network_together(batch, monkeypatch):
    model, sizes = network(60), []
    parts = [IMAGES[:3], IMAGES[3:4], IMAGES[4:]]
    predict = predicting.predict

    def counted(model, images, batch):
        sizes.append(len(images))
        return predict(model, images, batch)

    monkeypatch.setattr(predicting, "predict", counted)
    found = list(predicting.predict_each(model, parts, batch))
    assert sizes == ([10] if batch >= 10 else [3, 1, 6])
    for part, values in zip(parts, found, strict=True):
        expected = model.predict(part, verbose=0)
        assert values.keys() == expected.keys()
        for name in values:
            np.testing.assert_allclose(values[name], expected[name], rtol=1e-5, atol=1e-6)
    one = keras.Model(model.input, model.output["mean"])
    means = predicting.predict_each(one, parts, batch)
    assert [len(each) for each in means] == [3, 1, 6]
    assert list(predicting.predict_each(one, [], batch)) == []
