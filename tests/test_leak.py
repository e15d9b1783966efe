import numpy as np
import pytest

from kdutils import data, leak
from kdutils.data import Part, kather, kather_tiles

RANDOM = np.random.default_rng(0)


def test_a_flat_image_has_one_colour_and_no_darker_neighbour():
    image = np.full((1, 12, 12, 3), (0, 128, 255), "uint8")
    [found] = leak.features(image)
    assert len(found) == 3 * leak.COLOURS + 10 * len(leak.RADII)
    histograms = [*np.split(found[: 3 * leak.COLOURS], 3)]
    histograms += np.split(found[3 * leak.COLOURS :], len(leak.RADII))
    assert [np.flatnonzero(each).tolist() for each in histograms] == [[0], [8], [15], [8], [8], [8]]
    np.testing.assert_allclose([each.sum() for each in histograms], 1)


def test_features_do_not_change_as_a_tile_is_turned_or_mirrored():
    images = RANDOM.integers(0, 256, (1, 20, 20, 3)).astype("uint8")
    turned = [np.rot90(images, quarters, (1, 2)) for quarters in range(4)]
    found = leak.features(np.concatenate([*turned, images[:, :, ::-1]]))
    np.testing.assert_allclose(found, found[:1].repeat(5, axis=0))


@pytest.mark.parametrize(
    ("neighbours", "pattern"),
    [
        ([[0, 0, 0], [0, 5, 0], [0, 0, 0]], 0),
        ([[9, 9, 9], [0, 5, 0], [0, 0, 0]], 3),
        ([[9, 0, 0], [9, 5, 0], [9, 9, 0]], 4),
        ([[5, 5, 5], [5, 5, 5], [5, 5, 5]], 8),
        ([[9, 0, 9], [0, 5, 0], [0, 0, 0]], 9),
    ],
)
def test_a_pattern_counts_bright_neighbours_that_lie_side_by_side(neighbours, pattern):
    grey = np.array([neighbours], float)
    assert leak.binary_patterns(grey, 1).tolist() == [[[pattern]]]


def test_the_radius_says_how_far_away_neighbours_are():
    grey = np.zeros((1, 5, 5))
    grey[0, 2, 2] = 1
    grey[0, 0, 2] = 2
    assert leak.binary_patterns(grey, 2).tolist() == [[[1]]]
    grey[0, 1, 2] = 2
    assert leak.binary_patterns(grey, 2).tolist() == [[[1]]]


def of_slides(size):
    """Tiles that show nothing but their slide; of odd slides nine in ten are positive."""
    random = np.random.default_rng(1)
    slides = np.repeat(np.arange(1, 11), 20)
    labels = (np.arange(200) % 10 == 0) ^ (slides % 2 == 1)
    images = np.zeros((200, size, size, 3), "uint8")
    images[..., 0] = 20 * slides[:, None, None] + random.integers(0, 8, (200, size, size))
    return Part(images, labels.astype("uint8"), np.arange(200), slides)


def test_a_random_deal_scores_better_where_slides_differ(monkeypatch, ledger):
    monkeypatch.setattr(leak, "TREES", 30)
    monkeypatch.setattr(kather, "SIZE", 16)
    monkeypatch.setattr(kather_tiles, "SIZE", 16)
    for module in (kather, kather_tiles):
        monkeypatch.setattr(module, "at_size", of_slides)
    values = ledger.analyse(leak.measure, [], "study").values
    assert values["features"] == 78
    assert np.mean(values["slides"]) > 0.9
    for areas in values["roc_auc"].values():
        assert [len(each) for each in areas.values()] == [len(data.folds("kather"))] * 2
    forest = {split: np.mean(areas) for split, areas in values["roc_auc"]["forest"].items()}
    assert forest["kather_tiles"] > 0.7
    assert forest["kather"] < 0.6
