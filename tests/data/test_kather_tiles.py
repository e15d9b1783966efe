import numpy as np
import pytest

from kdutils import data
from kdutils.data import kather_tiles
from kdutils.data.dataset import Part

LABELS = np.repeat([0, 1], [625, 625])
TILES = Part(
    np.zeros((1250, 1, 1, 3), "uint8"), LABELS, np.arange(1250), groups=np.arange(1250) % 10 + 1
)


def test_every_tile_is_tested_once_and_classes_stay_alike():
    tested = [fold.cut(TILES, 0)[2] for fold in kather_tiles.FOLDS]
    assert sorted(np.concatenate([part.ids for part in tested])) == list(range(1250))
    assert {tuple(np.bincount(part.labels)) for part in tested} == {(125, 125)}


def test_slides_are_on_both_sides_which_is_the_leak():
    train, _, test = kather_tiles.FOLDS[0].cut(TILES, 0)
    assert set(train.groups) == set(test.groups) == set(range(1, 11))


@pytest.mark.parametrize("validation", [0, 1])
@pytest.mark.parametrize("fold", kather_tiles.FOLDS)
def test_parts_are_apart_and_as_large_as_is_said(fold, validation):
    train, held_out, test = fold.cut(TILES, validation)
    parts = [train, *([held_out] if held_out else []), test]
    assert (held_out is not None) == bool(validation)
    assert sorted(np.concatenate([part.ids for part in parts])) == list(range(1250))
    assert fold.train_size(kather_tiles.TILES, validation) == len(train)


def test_the_split_has_a_fingerprint_and_images_of_its_own():
    assert data.fingerprint("kather_tiles") != data.fingerprint("kather")
    assert data.share_images("kather_tiles", "kather_source")
    assert not data.share_images("synthetic", "synthetic_source")
