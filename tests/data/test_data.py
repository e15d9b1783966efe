import sys
from types import SimpleNamespace

import numpy as np
import pytest

from kdutils import data
from kdutils.data import DatasetError, Part, stratified_indices

LABELS = np.repeat(np.arange(10, dtype=np.uint8), [30, 34, 30, 31, 29, 27, 30, 31, 29, 29])


def part(labels, votes=None):
    ids = np.arange(len(labels), dtype=np.int64)
    # Each image carries its id, so that a test can see whether the two stay together.
    images = np.broadcast_to(ids.astype(np.uint16)[:, None, None, None], (len(ids), 2, 2, 1))
    return Part(images, labels, ids, groups=ids // 3, votes=votes)


@pytest.fixture
def toy(monkeypatch):
    """A registered data set of 300 shuffled training images, which counts how often it is read."""
    labels = np.random.default_rng(0).permutation(LABELS)
    module = SimpleNamespace(
        CLASSES=tuple("0123456789"),
        POSITIVE=None,
        TRAIN_SIZE=300,
        reads=0,
        fingerprint=lambda: "feed",
        status=lambda: ("not here", "put it there"),
    )

    def read():
        module.reads += 1
        return part(labels), part(labels[:50])

    module.read = read
    monkeypatch.setitem(sys.modules, "toy_data", module)
    monkeypatch.setattr(data, "DATASETS", {"toy": "toy_data"})
    return module


def test_load_gives_everything_by_default(toy):
    dataset = data.load("toy")
    assert dataset.name == "toy"
    assert len(dataset.train) == 300
    assert dataset.validation is None
    assert len(dataset.test) == 50
    assert dataset.classes == tuple("0123456789")
    assert dataset.positive is None
    assert dataset.fingerprint == data.fingerprint("toy") == "feed"


def test_splits_have_exact_sizes_and_share_nothing(toy):
    dataset = data.load("toy", validation=47, train_size=101, split_seed=3)
    train, validation = set(dataset.train.ids), set(dataset.validation.ids)
    assert (len(train), len(validation)) == (101, 47)
    assert not train & validation
    assert len(dataset.test) == 50


def test_splits_ascend_and_keep_everything_together(toy):
    whole = data.load("toy").train
    dataset = data.load("toy", validation=47, train_size=101)
    for some in (dataset.train, dataset.validation):
        assert (np.diff(some.ids) > 0).all()
        np.testing.assert_array_equal(some.images[:, 0, 0, 0], some.ids)
        np.testing.assert_array_equal(some.labels, whole.labels[some.ids])
        np.testing.assert_array_equal(some.groups, some.ids // 3)


def test_with_votes_parts_are_stratified_by_them_too(toy):
    labels = np.tile([0, 1], 150).astype(np.uint8)
    # Of the images of either label, a third has another number of votes.
    votes = np.where(labels, 4, 0) + (np.arange(300) % 3 == 0)
    toy.read = lambda: (part(labels, votes), part(labels, votes))
    toy.CLASSES = ("HP", "SSA")
    dataset = data.load("toy", validation=60, train_size=120)
    for some, share in ((dataset.validation, 10), (dataset.train, 20)):
        np.testing.assert_array_equal(some.votes, votes[some.ids])
        assert np.bincount(some.votes).tolist() == [2 * share, share, 0, 0, 2 * share, share]


def test_validation_takes_the_largest_remainders(toy):
    # 50 of 300: a sixth of each class, 5, 5.67, 5, 5.17, 4.83, 4.5, 5, 5.17, 4.83, 4.83; the whole
    # places are 46, and the four that are left go to classes 1, 4, 8 and 9.
    validation = data.load("toy", validation=50).validation
    assert np.bincount(validation.labels).tolist() == [5, 6, 5, 5, 5, 4, 5, 5, 5, 5]


def test_ties_of_remainders_go_to_the_lower_label():
    labels = np.repeat([0, 1, 2, 3], 5)
    assert np.bincount(labels[stratified_indices(labels, 6, 0)]).tolist() == [2, 2, 1, 1]


def test_splits_depend_on_the_seed_alone(toy):
    first, again, other = (
        data.load("toy", validation=47, train_size=101, split_seed=seed) for seed in (5, 5, 6)
    )
    for name in ("train", "validation"):
        ids = getattr(first, name).ids
        np.testing.assert_array_equal(ids, getattr(again, name).ids)
        assert set(ids) != set(getattr(other, name).ids)


def test_validation_does_not_depend_on_the_training_size(toy):
    small, whole = (data.load("toy", validation=47, train_size=size) for size in (20, None))
    np.testing.assert_array_equal(small.validation.ids, whole.validation.ids)
    assert len(whole.train) == 253


def test_indices_are_pinned():
    # Published records rest on these draws: they must never change.
    labels = np.tile([0, 1, 2], 20)
    assert stratified_indices(labels, 7, 0).tolist() == [3, 11, 13, 20, 21, 48, 55]
    assert stratified_indices(labels, 7, (4, 1)).tolist() == [3, 5, 21, 23, 40, 55, 57]


def test_indices_draw_evenly():
    labels = np.tile([0, 1], 10)
    draws = np.concatenate([stratified_indices(labels, 10, seed) for seed in range(400)])
    counts = np.bincount(draws, minlength=20)
    # Each of 20 positions is drawn with probability 1/2: 200 times, standard deviation 10.
    assert counts.min() > 160
    assert counts.max() < 240


def test_all_indices_can_be_drawn():
    assert stratified_indices(np.tile([0, 1, 2], 5), 15, 1).tolist() == list(range(15))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"validation": -1}, r"validation=-1 is impossible"),
        ({"validation": 9}, r"at least one image for each of its 10 classes"),
        ({"train_size": 0}, r"train_size=0 is impossible"),
        ({"validation": 300}, r"validation=300 leaves 0 to train on"),
        ({"validation": 50, "train_size": 251}, r"leaves 250 to train on, and at least 251"),
        ({"train_size": 301}, r"has 300 training images"),
        ({"train_size": 100.0}, r"train_size must be a whole number, not 100\.0"),
        ({"split_seed": -1}, r"split_seed must not be negative"),
        ({"validation": True}, r"validation must be a whole number, not True"),
        ({"fold": 0}, r"toy has one test part and no folds: leave out fold=0"),
        ({"size": 32}, r"images of toy have one size: leave out size=32"),
        ({"split_seed": None}, r"split_seed must be a whole number, not None"),
    ],
)
def test_impossible_sizes_are_refused_before_reading(toy, arguments, message):
    with pytest.raises(ValueError, match=message):
        data.load("toy", **arguments)
    assert toy.reads == 0


def test_the_largest_possible_sizes_work(toy):
    dataset = data.load("toy", validation=50, train_size=250)
    assert sorted([*dataset.train.ids, *dataset.validation.ids]) == list(range(300))


@pytest.mark.parametrize("function", [data.load, data.fingerprint])
def test_unknown_names_are_refused_with_the_known(toy, function):
    with pytest.raises(ValueError, match=r"no data set 'cifar'. Known: toy\."):
        function("cifar")


def test_status_asks_every_data_set_and_reads_none(toy):
    assert data.status() == [("toy", "not here", "put it there")]
    assert toy.reads == 0


def test_take_leaves_out_what_is_not_there():
    some = Part(np.zeros((3, 2, 2, 1), np.uint8), np.array([4, 5, 6]), np.array([7, 8, 9])).take(
        [2, 0]
    )
    assert some.ids.tolist() == [9, 7]
    assert some.labels.tolist() == [6, 4]
    assert some.groups is None
    assert some.votes is None
    assert len(some) == 2


def test_a_part_refuses_arrays_of_different_length():
    with pytest.raises(ValueError, match="'labels': 2"):
        Part(np.zeros((3, 2, 2, 1), np.uint8), np.zeros(2, np.uint8), np.arange(3))


def test_dataset_error_is_a_runtime_error():
    assert issubclass(DatasetError, RuntimeError)
