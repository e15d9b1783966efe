import logging

import pytest

from kdutils import data
from kdutils.data import kather, mhist, synthetic, tracks


@pytest.fixture
def states(monkeypatch):
    """Where each data set stands, as if."""
    states = dict.fromkeys(data.DATASETS, "not here")
    monkeypatch.setattr(data, "status", lambda: [(name, *row) for name, row in rows(states)])
    return states


def rows(states):
    return [(name, (state, f"why {name}")) for name, state in states.items()]


@pytest.mark.parametrize(
    ("found", "track"),
    [
        ([], "synthetic"),
        (["synthetic"], "synthetic"),
        (["synthetic", "kather", "kather_source"], "kather"),
        (["synthetic", "kather", "mhist"], "mhist"),
        (["mnist", "mhist"], "mhist"),
    ],
)
def test_auto_takes_the_first_that_is_there(states, found, track):
    states.update(dict.fromkeys(found, "found"))
    assert tracks.resolve("auto") == track


def test_what_is_refused_is_told(states, caplog):
    states.update(mhist="refused", kather="found")
    with caplog.at_level(logging.WARNING):
        assert tracks.resolve("auto") == "kather"
    assert "mhist is not used: why mhist" in caplog.text


def test_auto_reads_and_fetches_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("KDUTILS_DATA", str(tmp_path))
    for module in (mhist, kather, synthetic):
        monkeypatch.setattr(module, "at_size", None)
    monkeypatch.setattr(kather, "_downloaded", None)
    assert tracks.resolve("auto") == "synthetic"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", tracks.TRACKS)
def test_a_track_that_is_named_is_taken_whether_it_is_there_or_not(states, name):
    assert tracks.resolve(name) == name


@pytest.mark.parametrize(
    "function",
    [tracks.resolve, tracks.folds, tracks.held_out, tracks.source, tracks.banner],
)
@pytest.mark.parametrize("name", ["mnist", "kather_source"])
def test_other_names_are_refused(function, name):
    with pytest.raises(ValueError, match=f"no track '{name}'. Known: auto, mhist, kather, synth"):
        function(name)


def test_what_is_tested_and_chosen_on():
    assert tracks.folds("kather") == (0, 1, 2, 3, 4)
    assert tracks.folds("mhist") == tracks.folds("synthetic") == (None,)
    assert tracks.held_out("kather") == 1
    assert tracks.held_out("mhist") == tracks.held_out("synthetic") == 435 == mhist.TRAIN_SIZE / 5
    assert tracks.source("kather") == "kather_source"
    assert tracks.source("synthetic") == "synthetic_source"
    assert tracks.source("mhist") is None


def test_only_simulated_tiles_have_a_banner(tmp_path, monkeypatch):
    monkeypatch.setenv("KDUTILS_DATA", str(tmp_path))
    assert tracks.banner("synthetic").startswith("Simulated tiles")
    assert tracks.banner("mhist") is tracks.banner("kather") is None

    synthetic.write(tmp_path / "mhist", 64, 16)
    monkeypatch.setattr(mhist, "OFFICIAL", synthetic.expected(64, 16))
    assert tracks.banner("mhist") == tracks.banner("synthetic")
    (tmp_path / "mhist" / mhist.SIMULATED).unlink()
    assert tracks.banner("mhist") is None
