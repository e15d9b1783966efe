import numpy as np

from kdutils import data
from kdutils.data import synthetic, synthetic_source


def test_a_tile_is_drawn_from_its_kind_and_number_alone():
    first = synthetic_source.tile(2, 7, 32)
    synthetic_source.tile(3, 8, 32)
    np.testing.assert_array_equal(synthetic_source.tile(2, 7, 32), first)
    assert (synthetic_source.tile(2, 8, 32) != first).any()
    assert (synthetic_source.tile(3, 7, 32) != first).any()


def test_kinds_look_unlike_each_other():
    pixels = np.array(
        [
            [synthetic_source.tile(kind, i, 48).mean(axis=(0, 1)) for i in range(12)]
            for kind in range(len(synthetic_source.CLASSES))
        ]
    )
    between = pixels.mean(axis=1).std(axis=0)
    within = pixels.std(axis=1).mean(axis=0)
    assert (between > within).all()


def test_it_is_a_data_set_of_six_classes_apart_from_the_tiles_it_prepares_for():
    dataset = data.load("synthetic_source", size=16, validation=60)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (1140, 60, 300)
    assert np.bincount(dataset.test.labels).tolist() == [50] * 6
    assert dataset.classes == synthetic_source.CLASSES
    assert not data.share_images("synthetic_source", "synthetic")
    simulated = {image.tobytes() for image in data.load("synthetic", size=16).train.images}
    assert not simulated & {image.tobytes() for image in dataset.train.images}
    assert synthetic.fingerprint() in dataset.fingerprint
