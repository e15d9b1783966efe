import hashlib
import logging
import shutil

import numpy as np
import pytest
from PIL import Image

from kdutils import data
from kdutils.data import DatasetError, mhist, synthetic
from kdutils.data.faults import Faults

COUNT, SIZE = 64, 16
EXPECTED = synthetic.expected(COUNT, SIZE)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    synthetic.write(folder, COUNT, SIZE)
    return folder


@pytest.fixture
def folder(written, tmp_path):
    """A small folder in MHIST's format, to be spoilt."""
    shutil.copytree(written, tmp_path / "mhist")
    return tmp_path / "mhist"


def read(folder, size=None):
    return mhist.read(folder, size, EXPECTED)


def lines(folder):
    return (folder / "annotations.csv").read_bytes().decode().splitlines()


def rewrite(folder, lines, end="\n"):
    (folder / "annotations.csv").write_bytes("".join(line + end for line in lines).encode())


def change(folder, row, column, value):
    """Changes one value of the table; row 1 is the first tile."""
    table = lines(folder)
    values = table[row].split(",")
    values[column] = value
    table[row] = ",".join(values)
    rewrite(folder, table)


def images(folder):
    return sorted((folder / "images").iterdir())


def faults(folder):
    with pytest.raises(DatasetError) as raised:
        read(folder)
    return str(raised.value)


# --- what is right


def test_the_published_counts():
    votes = mhist.OFFICIAL.votes
    counts = {part: (sum(votes[part][:4]), sum(votes[part][4:])) for part in mhist.PARTITIONS}
    assert counts == {"train": (1545, 630), "test": (617, 360)}
    assert mhist.OFFICIAL.count == 3152
    assert sum(votes["train"]) == mhist.TRAIN_SIZE


def test_a_good_folder_is_read_with_its_votes(folder):
    dataset = read(folder)
    assert (dataset.name, dataset.classes, dataset.positive) == ("mhist", ("HP", "SSA"), 1)
    assert dataset.validation is None
    rows = sorted(line.split(",") for line in lines(folder)[1:])
    for name in ("train", "test"):
        part, mine = getattr(dataset, name), [row for row in rows if row[3] == name]
        assert part.images.shape == (len(mine), SIZE, SIZE, 3)
        assert part.votes.tolist() == [int(row[2]) for row in mine]
        assert part.labels.tolist() == [row[1] == "SSA" for row in mine]
        assert part.ids.tolist() == list(range(len(mine)))
        first = np.asarray(Image.open(folder / "images" / mine[0][0]))
        np.testing.assert_array_equal(part.images[0], first)
        for array in (part.images, part.labels, part.ids, part.votes):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 0


def test_images_are_resized_as_pillow_does(folder):
    part = read(folder, 12).train
    first = next(line.split(",")[0] for line in sorted(lines(folder)) if line.endswith("train"))
    image = Image.open(folder / "images" / first).resize((12, 12), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(part.images[0], np.asarray(image))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_order_of_rows_do_not_matter(folder, end, mark):
    before = read(folder)
    header, *rows = lines(folder)
    rewrite(folder, [mark + header, *rows[::-1]], end)
    after = read(folder)
    np.testing.assert_array_equal(after.test.images, before.test.images)
    np.testing.assert_array_equal(after.train.votes, before.train.votes)
    if not mark:
        assert after.fingerprint == before.fingerprint


@pytest.mark.parametrize("summed", ["\n", "\r\n"])
@pytest.mark.parametrize("lying", ["\n", "\r\n"])
def test_sums_hold_for_the_table_with_either_line_end(folder, summed, lying):
    table = lines(folder)
    rewrite(folder, table, summed)
    sums = {
        "annotations.csv": hashlib.md5((folder / "annotations.csv").read_bytes()).hexdigest(),
        "images.zip": 32 * "0",  # unpacked and gone
    }
    text = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    (folder / "MD5SUMs.txt").write_text(text)
    rewrite(folder, table, lying)
    read(folder)


# --- what is wrong


def test_a_folder_that_is_empty(tmp_path):
    message = faults(tmp_path)
    assert "annotations.csv: there is no such file" in message
    assert "images: there is no such folder" in message
    assert "https://bmirds.github.io/MHIST/#accessing-dataset" in message
    assert f"{tmp_path}/images holds the images themselves" in message
    assert "KDUTILS_DATA" in message


@pytest.mark.parametrize(
    ("row", "column", "value", "fault"),
    [
        (1, 0, "../x.png", "names that are not MHIST_….png: '../x.png' in line 2"),
        (1, 1, "ssa", "labels other than HP and SSA: 'ssa' in line 2"),
        (3, 2, "8", "votes that are no whole number from 0 to 7: '8' in line 4"),
        (3, 2, "", "votes that are no whole number from 0 to 7: '' in line 4"),
        (3, 2, "3.5", "votes that are no whole number from 0 to 7: '3.5' in line 4"),
        (2, 3, "validation", "partitions other than train and test: 'validation' in line 3"),
        (2, 3, "test,", "rows without 4 values"),
    ],
)
def test_a_wrong_value(folder, row, column, value, fault):
    change(folder, row, column, value)
    assert fault in faults(folder)


def test_a_label_against_the_majority(folder):
    row, values = next(
        (number, line.split(",")) for number, line in enumerate(lines(folder)) if ",HP,2," in line
    )
    change(folder, row, 1, "SSA")
    message = faults(folder)
    kind = "labels against the majority (SSA from 4 votes on)"
    assert f"{kind}: SSA with 2 in line {row + 1}" in message
    assert f"other tiles in {values[3]} than expected" in message


def test_a_name_that_stands_there_twice(folder):
    name = lines(folder)[1].split(",")[0]
    change(folder, 2, 0, name)
    assert f"names that stand there twice: {name} in line 3" in faults(folder)


@pytest.mark.parametrize("header", ["Image Name,Label,Votes,Partition", ""])
def test_another_header(folder, header):
    rewrite(folder, [header, *lines(folder)[1:]])
    message = faults(folder)
    assert f"another header in annotations.csv: {header!r}, not 'Image Name,Majority" in message


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00\x01"])
def test_a_table_that_is_none(folder, content):
    (folder / "annotations.csv").write_bytes(content)
    assert "annotations.csv: " in faults(folder)


def test_a_tile_too_few_and_one_in_the_other_partition(folder):
    table = lines(folder)
    of_train = next(line for line in table if line.endswith(",HP,0,train"))
    of_test = next(line for line in table if line.endswith(",HP,0,test"))
    table.remove(of_train)
    table[table.index(of_test)] = of_test.replace("test", "train")
    rewrite(folder, table)
    message = faults(folder)
    found = EXPECTED.votes["test"]
    assert "other tiles in train" not in message
    assert "other tiles in test than expected" in message
    assert f"{sum(found[:4]) - 1} HP and {sum(found[4:])} SSA" in message


def test_images_that_are_missing(folder):
    for path in images(folder)[:7]:
        path.unlink()
    message = faults(folder)
    assert f"images of the table that are not in {folder / 'images'}: MHIST_" in message
    assert message.count("MHIST_") == 5
    assert "and 2 more" in message


def test_a_folder_of_images_that_is_missing(folder):
    shutil.rmtree(folder / "images")
    assert f"and {COUNT - 5} more" in faults(folder)
    with pytest.raises(DatasetError, match="does not hold MHIST"):
        mhist._fingerprint(folder)


def test_images_of_another_size_or_kind(folder):
    large, grey, cut, text = images(folder)[:4]
    Image.new("RGB", (SIZE, SIZE + 1)).save(large)
    Image.new("L", (SIZE, SIZE)).save(grey)
    cut.write_bytes(cut.read_bytes()[:-60])
    text.write_text("no image")
    message = faults(folder)
    assert f"images that are not {SIZE}x{SIZE} RGB: " in message
    assert f"{large.name} ({SIZE}x{SIZE + 1} RGB)" in message
    assert f"{grey.name} ({SIZE}x{SIZE} L)" in message
    assert "images that cannot be read: " in message
    assert f"{cut.name} (" in message
    assert f"{text.name} (" in message


def test_a_sum_that_differs(folder):
    (folder / "MD5SUMs.txt").write_text(f"{32 * 'a'} *annotations.csv\n")
    assert "files that MD5SUMs.txt has another sum for: annotations.csv" in faults(folder)


def test_all_faults_are_in_one_message(folder):
    gone, broken = images(folder)[:2]
    gone.unlink()
    broken.write_text("no image")
    (folder / "MD5SUMs.txt").write_text(f"{32 * 'a'}  annotations.csv\n")
    change(folder, 5, 1, "TA")
    change(folder, 6, 2, "many")
    change(folder, 7, 3, "dev")
    message = faults(folder)
    kinds = [line[4:].split(":")[0] for line in message.splitlines() if line.startswith("  - ")]
    for beginning in (
        "labels other than",
        "votes that are no whole number",
        "partitions other than",
        "other tiles in",
        "images of the table",
        "images that cannot be read",
        "files that MD5SUMs.txt has another sum for",
    ):
        assert any(kind.startswith(beginning) for kind in kinds), beginning
    assert message.count("https://bmirds.github.io") == 1


def test_many_faults_of_a_kind_are_abbreviated():
    some = Faults()
    assert not some
    for number in range(2000):
        some.add("holes", str(number))
    some.add("stains", "here")
    assert some
    assert str(some) == "  - holes: 0, 1, 2, 3, 4 and 1,995 more\n  - stains: here"


# --- on the data path


@pytest.fixture
def on_path(folder, monkeypatch):
    monkeypatch.setenv("KDUTILS_DATA", str(folder.parent))
    monkeypatch.setattr(mhist, "OFFICIAL", EXPECTED)
    monkeypatch.setattr(mhist.read, "__defaults__", (None, EXPECTED))
    monkeypatch.setattr(mhist, "TRAIN_SIZE", sum(EXPECTED.votes["train"]))
    monkeypatch.setattr(mhist, "SIZE", SIZE)
    mhist._read_once.cache_clear()
    yield folder
    mhist._read_once.cache_clear()


def test_it_is_loaded_and_split_by_label_and_votes(on_path, caplog):
    with caplog.at_level(logging.WARNING):
        whole = data.load("mhist")
    assert "holds simulated tiles" in caplog.text
    split = data.load("mhist", validation=11)
    assert len(split.validation) == 11
    assert len(split.train) == len(whole.train) - 11
    share = np.bincount(whole.train.votes, minlength=8) * 11 / len(whole.train)
    assert (np.abs(np.bincount(split.validation.votes, minlength=8) - share) < 1).all()
    assert data.load("mhist").train.images is whole.train.images
    assert data.load("mhist", size=20).test.images.shape[1:] == (20, 20, 3)
    assert data.fingerprint("mhist") == whole.fingerprint


def test_the_fingerprint_is_of_the_table_and_the_files(on_path):
    before = data.fingerprint("mhist")
    change(on_path, 1, 1, "other")
    changed = data.fingerprint("mhist")
    images(on_path)[0].unlink()
    assert len({before, changed, data.fingerprint("mhist")}) == 3


def test_status_checks_the_table_and_which_images_are_there(on_path):
    state, detail = mhist.status()
    assert state == "found"
    assert f"{on_path}, simulated tiles, not MHIST" in detail
    (on_path / mhist.SIMULATED).unlink()
    assert "simulated" not in mhist.status()[1]
    images(on_path)[0].unlink()
    state, detail = mhist.status()
    assert state == "refused"
    assert "images of the table" in detail


def test_loading_a_copy_that_is_not_whole_tells_all_faults(on_path):
    shutil.rmtree(on_path / "images")
    change(on_path, 1, 2, "8")
    with pytest.raises(
        DatasetError, match=r"images: there is no such folder\n(.|\n)*votes that are"
    ):
        data.load("mhist")
    with pytest.raises(DatasetError, match="does not hold MHIST"):
        data.fingerprint("mhist")


def test_where_there_is_none(tmp_path, monkeypatch):
    monkeypatch.setenv("KDUTILS_DATA", str(tmp_path))
    assert mhist.status()[0] == "not here"
    for ask in (data.load, data.fingerprint):
        with pytest.raises(DatasetError, match=r"no folder .*mhist\. MHIST is obtained by"):
            ask("mhist")


def test_sizes_and_folds_that_are_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("KDUTILS_DATA", str(tmp_path))
    for arguments, message in (
        ({"fold": 0}, "mhist has one test part and no folds"),
        ({"size": 8}, "size=8 is impossible: mhist comes at 16 pixels a side or more, and has 224"),
        ({"size": 64.0}, "size must be a whole number, not 64.0"),
        ({"size": True}, "size must be a whole number, not True"),
        ({"validation": 2175}, "leaves 0 to train on"),
    ):
        with pytest.raises(ValueError, match=message):
            data.load("mhist", **arguments)
