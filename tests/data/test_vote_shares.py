import numpy as np
import pytest

from kdutils import data
from kdutils.data import votes
from kdutils.data.dataset import Dataset, Part


def tiles(*counts):
    counts = np.array(counts)
    labels = (counts >= 4).astype("uint8")
    images = np.zeros((len(counts), 2, 2, 3), "uint8")
    return Part(images, labels, np.arange(len(counts)), votes=counts)


def test_shares_are_those_of_seven_annotators():
    shares = votes.shares(tiles(0, 3, 7))
    np.testing.assert_allclose(shares, [[1, 0], [4 / 7, 3 / 7], [0, 1]], rtol=1e-6)
    assert shares.dtype == "float32"


def test_images_without_votes_are_refused():
    part = Part(np.zeros((1, 2, 2, 3), "uint8"), np.zeros(1, "uint8"), np.arange(1))
    with pytest.raises(ValueError, match="have no votes"):
        votes.shares(part)


def test_each_class_is_cut_into_clear_and_doubtful_tiles():
    part = tiles(0, 1, 2, 3, 4, 5, 6, 7)
    divided = votes.by_agreement(Dataset("x", part, None, part, ("HP", "SSA"), 1, "f"), "y", "g")
    assert divided.train.labels.tolist() == [0, 0, 1, 1, 3, 3, 2, 2]
    assert divided.classes == ("HP, clear", "HP, doubtful", "SSA, clear", "SSA, doubtful")
    assert (divided.name, divided.fingerprint, divided.positive) == ("y", "g", None)
    np.testing.assert_array_equal(divided.train.labels // 2, part.labels)


def test_the_votes_of_a_track_are_split_as_the_track_is():
    split = {"validation": 100, "train_size": 200, "size": 16}
    of_two, of_four = (data.load(name, **split) for name in ("synthetic", "synthetic_votes"))
    for name in ("train", "validation", "test"):
        two, four = getattr(of_two, name), getattr(of_four, name)
        np.testing.assert_array_equal(two.ids, four.ids)
        np.testing.assert_array_equal(two.labels, four.labels // 2)
    assert of_two.fingerprint != of_four.fingerprint
    assert data.base("synthetic_votes") == "synthetic"
