import csv
import logging

import numpy as np
import pytest
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kdutils import data, paths
from kdutils.data import DatasetError, mhist, synthetic

COUNT, SIZE = 64, 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated")
    synthetic.write(folder, COUNT, SIZE)
    return folder


# --- votes and partitions


def test_votes_and_partitions_are_those_of_mhist():
    assert synthetic.expected() == mhist.OFFICIAL
    votes, trained = synthetic.annotations()
    assert np.bincount(votes[trained]).tolist() == list(mhist.OFFICIAL.votes["train"])
    assert np.bincount(votes[~trained]).tolist() == list(mhist.OFFICIAL.votes["test"])


def test_votes_are_dealt_by_the_seed_alone():
    # Names of tiles and published records rest on these draws: they must never change.
    votes, trained = synthetic.annotations()
    assert votes[:12].tolist() == [4, 1, 1, 7, 0, 1, 1, 5, 4, 1, 7, 2]
    assert trained[:12].astype(int).tolist() == [1, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 1]
    assert (synthetic.annotations(1)[0] != votes).any()


@pytest.mark.parametrize("count", [64, 500, 1000])
def test_fewer_tiles_are_in_proportion(count):
    expected = synthetic.expected(count)
    assert expected.count == count
    for name, votes in mhist.OFFICIAL.votes.items():
        share = np.array(votes) * count / synthetic.COUNT
        assert (np.abs(share - expected.votes[name]) < 1).all()
        assert sum(expected.votes[name][:4]) > 0
        assert sum(expected.votes[name][4:]) > 0


@pytest.mark.parametrize("count", [0, 63, 3153])
def test_other_counts_are_refused(count, tmp_path):
    with pytest.raises(ValueError, match=f"count={count} is impossible: it has to be from 64 to"):
        synthetic.write(tmp_path / "new", count)
    assert not (tmp_path / "new").exists()


# --- tiles


def test_a_tile_is_a_function_of_seed_index_and_size():
    first = synthetic.tile(5, 32)
    assert (first.shape, first.dtype) == ((32, 32, 3), np.uint8)
    synthetic.tile(6, 32)
    np.testing.assert_array_equal(synthetic.tile(5, 32), first)
    assert (synthetic.tile(6, 32) != first).any()
    assert (synthetic.tile(5, 32, seed=1) != first).any()


@pytest.mark.parametrize("index", range(4))
def test_a_tile_shows_the_same_at_every_size(index):
    small = synthetic.tile(index, 32).astype(float)
    large = synthetic.tile(index, 128).astype(float).reshape(32, 4, 32, 4, 3).mean(axis=(1, 3))
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.97


def features(tile):
    """What is pale and how long its outline is; how dark and how uneven the tile is."""
    green = tile[..., 1].astype(float)
    pale = green > 205
    outline = (pale[1:] != pale[:-1]).mean() + (pale[:, 1:] != pale[:, :-1]).mean()
    lumens = ndimage.label(pale)[1]
    area = pale.mean()
    return [area, outline, outline / (area + 0.01), lumens, green.mean(), green.std()]


def test_a_simple_classifier_does_about_as_well_as_networks_do_on_mhist():
    votes, trained = synthetic.annotations()
    labels = votes >= 4
    learnt, tested = np.flatnonzero(trained)[:400], np.flatnonzero(~trained)[:400]
    seen, new = (
        np.array([features(synthetic.tile(index, 64)) for index in some])
        for some in (learnt, tested)
    )
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(seen, labels[learnt])
    scores = model.decision_function(new)
    assert 0.8 < roc_auc_score(labels[tested], scores) < 0.96
    # Tiles that the pathologists would agree on are the easier ones.
    clear = np.isin(votes[tested], [0, 1, 6, 7])
    split = ~clear
    assert roc_auc_score(labels[tested][clear], scores[clear]) > 0.9
    assert roc_auc_score(labels[tested][split], scores[split]) < 0.85


# --- a folder


def test_a_folder_reads_as_one_of_mhist(folder):
    dataset = mhist.read(folder, expected=synthetic.expected(COUNT, SIZE))
    with (folder / "annotations.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == mhist.COLUMNS
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    index = synthetic._chosen(COUNT)[[row[3] for row in rows].index("test")]
    np.testing.assert_array_equal(dataset.test.images[0], synthetic.tile(index, SIZE))
    assert "show no tissue" in (folder / mhist.SIMULATED).read_text()


def test_names_are_those_of_mhist():
    names = [synthetic._name(index) for index in (0, 1, 26, 3151)]
    assert names == ["MHIST_aaa.png", "MHIST_aab.png", "MHIST_aba.png", "MHIST_erf.png"]


def test_a_data_set_is_never_overwritten(folder):
    with pytest.raises(DatasetError, match=r"annotations\.csv is there\. Name another folder"):
        synthetic.write(folder, COUNT, SIZE)


# --- a data set


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """Indices of the tiles that were drawn; an empty cache, and tiles that take no time."""
    drawn = []

    def tile(index, size):
        drawn.append(index)
        return np.full((size, size, 3), index % 251, np.uint8)

    monkeypatch.setattr(synthetic, "tile", tile)
    monkeypatch.setattr(paths, "BUILD", tmp_path)
    synthetic._read_once.cache_clear()
    yield drawn
    synthetic._read_once.cache_clear()


def test_it_is_drawn_once_at_the_size_asked_for(drawn, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        dataset = data.load("synthetic", size=16)
    assert "drawing 3152 tiles of 16 pixels" in caplog.text
    assert drawn == list(range(3152))
    assert (len(dataset.train), len(dataset.test)) == (2175, 977)
    assert (dataset.classes, dataset.positive) == (("HP", "SSA"), 1)
    votes, trained = synthetic.annotations()
    np.testing.assert_array_equal(dataset.test.votes, votes[~trained])
    np.testing.assert_array_equal(dataset.test.labels, votes[~trained] >= 4)
    np.testing.assert_array_equal(dataset.test.images[:, 0, 0, 0], np.flatnonzero(~trained) % 251)
    with pytest.raises(ValueError, match="read-only"):
        dataset.test.images[0] = 0

    (kept,) = (path for path in tmp_path.rglob("*") if path.is_file())
    assert kept.relative_to(tmp_path).as_posix() == "cache/synthetic-1/0-16.npz"
    synthetic._read_once.cache_clear()
    again = data.load("synthetic", size=16)
    assert len(drawn) == 3152
    np.testing.assert_array_equal(again.train.images, dataset.train.images)


def test_validation_is_exact_and_stratified_by_votes(drawn):
    dataset = data.load("synthetic", validation=435, size=16)
    assert (len(dataset.validation), len(dataset.train)) == (435, 1740)
    share = np.array(mhist.OFFICIAL.votes["train"]) * 435 / 2175
    assert (np.abs(np.bincount(dataset.validation.votes) - share) < 1).all()
    assert not set(dataset.validation.ids) & set(dataset.train.ids)


def test_the_fingerprint_needs_nothing_drawn(drawn, monkeypatch):
    before = data.fingerprint("synthetic")
    monkeypatch.setattr(synthetic, "VERSION", 2)
    assert data.fingerprint("synthetic") != before
    assert synthetic.status()[0] == "found"
    assert drawn == []
