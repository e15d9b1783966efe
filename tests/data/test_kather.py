import hashlib
import itertools
import os
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from kdutils import data
from kdutils.data import DatasetError, download, kather, kather_source
from kdutils.runs import Run

SIDE = 16
CLASSES = ("02_STROMA", "03_COMPLEX", "08_EMPTY")


def stem(slide, number):
    return f"{number:04X}_CRC-Prim-HE-{slide:02}_002.tif_Row_{number}_Col_1"


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A small collection: 2 tiles of each slide in three classes; and no network."""
    folder = tmp_path / "data" / "kather2016"
    collection, chance = {}, np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        pixels = b""
        for number in range(20):
            tile = chance.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            path = folder / name / f"{stem(number % 10 + 1, number)}.webp"
            Image.fromarray(tile).save(path, lossless=True, method=0)
            pixels += tile.tobytes()
        collection[name] = (10 * (2,), hashlib.sha256(pixels).hexdigest())
    monkeypatch.setattr(kather, "COLLECTION", collection)
    monkeypatch.setattr(kather, "SIZE", SIDE)
    monkeypatch.setattr(kather, "TILES", dict.fromkeys(kather.FOLDERS, 10 * (2,)))
    monkeypatch.setattr(kather, "URL", (tmp_path / "nowhere.zip").as_uri())
    monkeypatch.setenv("KDUTILS_DATA", str(tmp_path / "data"))
    kather._read_once.cache_clear()
    yield folder
    kather._read_once.cache_clear()


def faults():
    with pytest.raises(DatasetError) as raised:
        data.load("kather", fold=0)
    return str(raised.value)


def first(folder, name="02_STROMA"):
    return sorted((folder / name).iterdir())[0]


# --- the tables


def test_the_tiles_of_a_class_are_625_of_ten_slides():
    assert len(kather.COLLECTION) == 8
    for counts, digest in kather.COLLECTION.values():
        assert len(counts) == 10
        assert sum(counts) == 625
        assert len(digest) == 64
    assert kather.TILES["03_COMPLEX"] == (72, 16, 132, 7, 90, 90, 84, 25, 52, 57)
    assert {**kather.TILES, **kather_source.TILES}.keys() == kather.COLLECTION.keys()


def test_every_slide_is_tested_once_and_none_is_chosen_and_tested_on():
    tested = [slide for fold in kather.FOLDS for slide in fold.test]
    assert sorted(tested) == list(range(1, 11))
    for fold in kather.FOLDS:
        assert len(fold.test) == 2
        assert fold.validation not in fold.test


def test_every_part_of_every_fold_has_enough_of_either_class():
    table = np.array(list(kather.TILES.values()))
    for fold in kather.FOLDS:
        assert table[:, np.array(fold.test) - 1].sum(axis=1).min() >= 82
        assert table[:, fold.validation - 1].min() >= 50


def test_pairs_are_the_most_even_of_those_with_as_many_of_either_class():
    table = np.array(list(kather.TILES.values()))

    def pairings(slides):
        if not slides:
            yield ()
        for other in slides[1:]:
            rest = [slide for slide in slides[1:] if slide != other]
            yield from (((slides[0], other), *pairs) for pairs in pairings(rest))

    def spread(pairs):
        sizes = [table[:, np.array(pair) - 1].sum() for pair in pairs]
        return max(sizes) - min(sizes)

    enough = [
        pairs
        for pairs in pairings(list(range(1, 11)))
        if min(table[:, np.array(pair) - 1].sum(axis=1).min() for pair in pairs) >= 82
    ]
    assert min(enough, key=spread) == tuple(fold.test for fold in kather.FOLDS)


def test_the_source_task_keeps_all_its_classes_in_every_fold():
    table = np.array(list(kather_source.TILES.values()))
    for fold, validation in itertools.product(kather.FOLDS, (0, 1)):
        out = [*fold.test, *validation * [fold.validation]]
        assert np.delete(table, np.array(out) - 1, axis=1).sum(axis=1).min() >= 35


# --- a small collection


def test_a_fold_takes_slides_apart(small):
    for number, fold in enumerate(kather.FOLDS):
        whole = data.load("kather", fold=number)
        assert whole.validation is None
        assert set(whole.test.groups) == set(fold.test)
        assert set(whole.train.groups) == set(range(1, 11)) - set(fold.test)
        split = data.load("kather", fold=number, validation=1)
        assert set(split.validation.groups) == {fold.validation}
        assert set(split.train.groups) == set(whole.train.groups) - {fold.validation}
        ids = np.concatenate([split.train.ids, split.validation.ids, split.test.ids])
        assert sorted(ids) == list(range(40))
        assert (np.diff(split.train.ids) > 0).all()


def test_tiles_keep_their_class_and_their_slide(small):
    dataset = data.load("kather", fold=2)
    assert (dataset.classes, dataset.positive) == (("stroma", "complex stroma"), 1)
    for part in (dataset.train, dataset.test):
        for image, label, slide, row in zip(
            part.images, part.labels, part.groups, part.ids, strict=True
        ):
            path = small / CLASSES[label] / f"{stem(slide, row % 20)}.webp"
            np.testing.assert_array_equal(image, np.asarray(Image.open(path)))


def test_the_source_task_is_split_as_the_target_is(small, monkeypatch):
    monkeypatch.setattr(kather_source, "FOLDERS", ("08_EMPTY",))
    monkeypatch.setattr(kather_source, "TILES", {"08_EMPTY": 10 * (2,)})
    monkeypatch.setattr(kather_source, "CLASSES", ("empty",))
    monkeypatch.setattr(kather_source, "SIZE", SIDE)
    assert data.base("kather_source") == "kather"
    for validation in (0, 1):
        target, source = (
            data.load(name, validation, fold=3) for name in ("kather", "kather_source")
        )
        assert set(source.train.groups) == set(target.train.groups)
        assert set(source.test.groups) == set(target.test.groups) == {4, 5}
    assert source.positive is None
    assert source.fingerprint != target.fingerprint


def test_a_subset_to_train_on_is_stratified(small):
    dataset = data.load("kather", fold=0, validation=1, train_size=10)
    assert np.bincount(dataset.train.labels).tolist() == [5, 5]
    with pytest.raises(ValueError, match="validation=1 leaves 28 to train on, and at least 29"):
        data.load("kather", fold=0, validation=1, train_size=29)


def test_resized_tiles_are_shared_and_read_only(small):
    part = kather.at_size(32)
    assert part.images.shape == (40, 32, 32, 3)
    assert kather.at_size(32) is part
    for array in (part.images, part.labels, part.ids, part.groups):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("place", ["", "kather2016"])
def test_a_download_is_read_where_it_was_unpacked(small, place):
    """As published: .tif, in a folder of another name, and with the same pixels."""
    before = data.load("kather", fold=0).train.images
    target = small.parent / "new" / kather.PUBLISHED_FOLDER
    for path in small.rglob("*.webp"):
        tile = target / path.parent.name / f"{path.stem}.tif"
        tile.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).save(tile)
    shutil.rmtree(small)
    (small.parent / place).mkdir(exist_ok=True)
    target.rename(small.parent / place / kather.PUBLISHED_FOLDER)
    kather._read_once.cache_clear()
    np.testing.assert_array_equal(data.load("kather", fold=0).train.images, before)
    assert kather.PUBLISHED_FOLDER in kather.status()[1]


def test_it_is_downloaded_where_it_is_not_there(small, tmp_path, monkeypatch):
    archive = tmp_path / "archive"
    archive.mkdir()
    small.rename(archive / kather.PUBLISHED_FOLDER)
    shutil.make_archive(str(tmp_path / "tiles"), "zip", archive)
    monkeypatch.setattr(kather, "URL", (tmp_path / "tiles.zip").as_uri())
    assert kather.status()[0] == "not here"
    assert len(data.load("kather", fold=0).test) == 8
    assert kather.status()[0] == "found"
    assert os.listdir(tmp_path / "data") == [kather.PUBLISHED_FOLDER]


# --- what is wrong


def test_without_a_network_it_says_what_to_do(small):
    shutil.rmtree(small)
    message = faults()
    assert "not on the data path, and could not be downloaded from" in message
    assert "To supply it by hand, download" in message
    assert os.listdir(small.parent) == []


def test_an_address_that_never_answers_is_given_up(small, monkeypatch):
    shutil.rmtree(small)
    monkeypatch.setattr(download, "PATIENCE", 0.1)
    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *_, **__: time.sleep(5))
    assert "no answer within 0.1 seconds" in faults()


def test_all_faults_are_in_one_message(small):
    first(small).unlink()
    first(small, "08_EMPTY").unlink()  # of a class that is not asked for
    tile = first(small, "03_COMPLEX")
    tile.rename(tile.with_name("tile_1.webp"))
    first(small, "03_COMPLEX").write_text("no image")
    Image.new("RGB", (SIDE, SIDE - 1)).save(first(small), lossless=True)
    message = faults()
    assert "tiles in 02_STROMA: 1 of slide 1 instead of 2" in message
    assert "tiles in 03_COMPLEX: 1 of slide 1 instead of 2" in message
    assert "tiles in 08_EMPTY: 1 of slide 1 instead of 2" in message
    assert f"names that say no slide: 03_COMPLEX{os.sep}tile_1.webp" in message
    assert "images that cannot be read: " in message
    assert f"images that are not {SIDE}x{SIDE} RGB: " in message
    assert message.count("To supply it by hand") == 1
    assert kather.status()[0] == "refused"


def test_a_pixel_that_differs(small):
    path = first(small)
    tile = np.array(Image.open(path))
    tile[3, 4, 1] ^= 1
    Image.fromarray(tile).save(path, lossless=True, method=0)
    assert "classes with other pixels than were published: 02_STROMA" in faults()
    assert kather.status()[0] == "found"


def test_a_tile_of_a_slide_that_does_not_exist(small):
    path = first(small)
    path.rename(path.with_name(f"{stem(12, 0)}.webp"))
    assert "0 of slide 12" not in faults()
    assert "1 of slide 12 instead of 0" in faults()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "kather is tested in folds: fold must be one of 0, 1, 2, 3, 4"),
        ({"fold": 5}, "kather has no fold 5: fold must be one of 0, 1, 2, 3, 4"),
        ({"fold": -1}, "kather has no fold -1"),
        ({"fold": True}, "fold must be a whole number, not True"),
        ({"fold": 1.0}, r"fold must be a whole number, not 1\.0"),
        ({"fold": 0, "size": 15}, "size=15 is impossible: kather comes at 16 pixels a side"),
        ({"fold": 0, "size": "96"}, "size must be a whole number, not '96'"),
        ({"fold": 0, "validation": 100}, "kather holds out slides, 0 for none or 1 for"),
        ({"fold": 0, "train_size": 1045}, "kather has 1044 training images"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_read(arguments, message, monkeypatch):
    monkeypatch.setattr(kather, "at_size", None)
    with pytest.raises(ValueError, match=message):
        data.load("kather", **arguments)


def test_the_fingerprint_needs_no_data_and_changes_with_the_folds(monkeypatch):
    before = data.fingerprint("kather")
    assert before == "9abe58f44853d21e"
    monkeypatch.setattr(kather, "FOLDS", kather.FOLDS[::-1])
    assert data.fingerprint("kather") != before


def test_a_run_may_start_from_one_of_the_source_that_holds_out_the_same():
    source = Run("mnist_student", data="kather_source", fold=2, validation=1)
    assert Run("mnist_student", data="kather", fold=2, init=source, validation=1).init == source


def test_a_run_of_another_fold_is_no_source():
    source = Run("mnist_student", data="kather_source", fold=2)
    with pytest.raises(ValueError, match="leaves out fold 2, so it may have trained"):
        Run("mnist_student", data="kather", fold=1, init=source)


def test_a_run_on_tissue_names_its_fold():
    with pytest.raises(ValueError, match="kather has no fold None; there is 0, 1, 2, 3, 4"):
        Run("mnist_student", data="kather")


# --- the published collection

published = pytest.mark.skipif(
    not kather._found(),
    reason="the tiles of Kather et al. are not on the data path: nothing of them is tested",
)


@published
def test_the_published_tiles():
    dataset = data.load("kather", fold=0, size=32)
    counts = np.zeros((2, 10), int)
    for part in (dataset.train, dataset.test):
        np.add.at(counts, (part.labels, part.groups - 1), 1)
    assert counts.tolist() == [list(row) for row in kather.TILES.values()]
    assert dataset.train.images.shape[1:] == (32, 32, 3)
    # Stained tissue is pink: it takes away green before red.
    red, green, _ = dataset.train.images.mean(axis=(0, 1, 2))
    assert 100 < green + 20 < red < 230


@published
def test_all_published_names():
    assert kather.status()[0] == "found"


def test_classes_and_tested_slides_are_known_without_any_tile():
    assert data.classes("kather") == ("stroma", "complex stroma")
    tested = [set(data.tested_slides("kather", fold)) for fold in data.folds("kather")]
    assert set.union(*tested) == set(range(1, 11))
    assert sum(map(len, tested)) == 10
    with pytest.raises(ValueError, match="fold"):
        data.tested_slides("kather", 5)
