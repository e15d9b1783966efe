"""MHIST: 3,152 tiles of colorectal polyps, 224 x 224 pixels (Wei et al., 2021), as a user has them.

Seven pathologists said of each tile whether it shows a hyperplastic polyp (HP) or a sessile
serrated adenoma (SSA); the majority is its label. The tiles are given out under an agreement and
must not be passed on: each user obtains them, and nothing here fetches, copies or caches them.
"""

import csv
import functools
import hashlib
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kdutils.data import tiles
from kdutils.data.dataset import Dataset, DatasetError, Part
from kdutils.data.faults import Faults
from kdutils.paths import data_folders

CLASSES = ("HP", "SSA")
POSITIVE = 1
SIZE = 224  # pixels
TRAIN_SIZE = 2175

FOLDER, TABLE, IMAGES, SUMS = "mhist", "annotations.csv", "images", "MD5SUMs.txt"
SIMULATED = "SIMULATED.txt"
"""Lies in a folder of simulated tiles, see `kdutils.data.synthetic`, and so tells it from MHIST."""

COLUMNS = (
    "Image Name",
    "Majority Vote Label",
    "Number of Annotators who Selected SSA (Out of 7)",
    "Partition",
)
PARTITIONS = ("train", "test")
ANNOTATORS, MAJORITY = 7, 4

OBTAIN = (
    "MHIST is obtained by filling in the form at https://bmirds.github.io/MHIST/#accessing-dataset;"
    f" an e-mail then brings the links. Put {TABLE} and, if you like, {SUMS} into {{folder}}, and "
    f"unpack images.zip such that {{folder}}/{IMAGES} holds the images themselves. Another place "
    f"is named with the environment variable KDUTILS_DATA: the folder that {FOLDER} lies in."
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Expected:
    """What a folder in MHIST's format has to hold.

    Attributes:
        size: Side of its tiles, pixels.
        votes: For each partition, how many tiles were called SSA by 0, 1, … 7 pathologists.
    """

    size: int
    votes: Mapping[str, tuple[int, ...]]

    @property
    def count(self) -> int:
        """Number of all tiles."""
        return sum(map(sum, self.votes.values()))


OFFICIAL = Expected(
    SIZE,
    {
        "train": (537, 497, 302, 209, 151, 106, 154, 219),
        "test": (186, 208, 124, 99, 65, 62, 96, 137),
    },
)


class Tile(NamedTuple):
    """One row of the table."""

    name: str
    votes: int
    partition: str


def read(folder: Path, size: int | None = None, expected: Expected = OFFICIAL) -> Dataset:
    """Reads a folder in MHIST's format, and checks all of it.

    Checked are the table (header, names, votes, labels, partitions, and how many tiles of each),
    that every image is there and is a square RGB image of the right size, and the sums of
    `MD5SUMs.txt` where that lies beside the table.

    Args:
        folder: It holds `annotations.csv` and the folder `images`.
        size: Side to resize images to, pixels; by default as they are.
        expected: What it has to hold.

    Returns:
        A `Dataset` without a validation part, whose parts are in the order of the images' names
        and have the votes for SSA. Their arrays are read-only.

    Raises:
        DatasetError: It lists all faults, and says how to obtain the data.
    """
    folder = Path(folder)
    faults = Faults()
    table = _checked_table(folder, expected, faults)
    _check_sums(folder, faults)
    parts = []
    for partition in PARTITIONS:
        chosen = [tile for tile in table if tile.partition == partition]
        paths = [folder / IMAGES / tile.name for tile in chosen]
        there = [path for path in paths if path.is_file()]  # what is missing is a fault already
        images, _ = tiles.read(there, expected.size, size or expected.size, faults)
        if len(there) == len(paths):
            votes = np.array([tile.votes for tile in chosen], np.int64)
            labels = (votes >= MAJORITY).astype(np.uint8)
            parts.append(tiles.shared(images, labels, votes=votes))
    _refuse(folder, faults)
    return Dataset("mhist", parts[0], None, parts[1], CLASSES, POSITIVE, _fingerprint(folder))


def find() -> Path:
    """Returns the user's folder: the first `mhist` on the data path.

    Raises:
        DatasetError: If there is none.
    """
    folders = [folder / FOLDER for folder in data_folders()]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise DatasetError(
        f"MHIST is not here: there is no folder {' or '.join(map(str, folders))}. "
        + OBTAIN.format(folder=folders[0])
    )


def at_size(size: int) -> tuple[Part, Part]:
    """Returns the training and the test part of the user's copy, with images of this side."""
    folder = find()
    try:
        content = _fingerprint(folder)
    except DatasetError:
        content = None  # reading it tells all that is wrong
    dataset = _read_once(folder, size, content)
    return dataset.train, dataset.test


def fingerprint() -> str:
    """Returns 16 hexadecimal digits of the user's table and the sizes of the image files.

    Line ends and the order of the rows do not count.

    Raises:
        DatasetError: If there is no table, or no folder of images.
    """
    return _fingerprint(find())


def status() -> tuple[str, str]:
    """Returns where MHIST stands: "found", "refused" or "not here", and the detail.

    The table is checked, and that every image is there; the images themselves when they are read.
    """
    try:
        folder = find()
    except DatasetError as error:
        return "not here", str(error)
    faults = Faults()
    _checked_table(folder, OFFICIAL, faults)
    if faults:
        return "refused", f"refused {folder}:\n{faults}"
    what = "simulated tiles, not MHIST; " if is_simulated(folder) else ""
    return "found", f"{folder}, {what}table verified; images are verified when they are read"


def is_simulated(folder: Path) -> bool:
    """Tells whether a folder in MHIST's format says of itself that its tiles are simulated."""
    return (folder / SIMULATED).exists()


@functools.lru_cache(maxsize=1)
def _read_once(folder, size, content):
    del content  # tells a folder from what it held before
    if is_simulated(folder):
        logger.warning("MHIST: %s holds simulated tiles", folder)
    return read(folder, size)


def _refuse(folder, faults):
    if faults:
        raise DatasetError(
            f"{folder} does not hold MHIST as it was published:\n{faults}\n"
            + OBTAIN.format(folder=folder)
        )


def _checked_table(folder, expected, faults):
    """Returns the tiles of the good rows, by name.

    All that is wrong with the table is noted, and which images are not there.
    """
    images = folder / IMAGES
    if not images.is_dir():
        faults.add(IMAGES, "there is no such folder")
    rows = _rows(folder / TABLE, faults)
    if rows is None:  # the counts of what could not be read would only be noise
        return []
    names, table = set(), []
    for line, row in enumerate(rows, 2):
        tile, wrong = _checked_row(row, names)
        for kind, what in wrong:
            faults.add(kind, f"{what} in line {line}")
        if not wrong:
            table.append(tile)
    table.sort()
    for partition, counts in expected.votes.items():
        votes = [tile.votes for tile in table if tile.partition == partition]
        found = tuple(np.bincount(np.array(votes, int), minlength=8).tolist())
        if found != tuple(counts):
            faults.add(
                f"other tiles in {partition} than expected",
                f"{_in_words(found)} instead of {_in_words(counts)}",
            )
    there = set(os.listdir(images)) if images.is_dir() else set()
    for name in sorted(names - there):
        faults.add(f"images of the table that are not in {images}", name)
    return table


def _in_words(counts):
    of_hp, of_ssa = sum(counts[:MAJORITY]), sum(counts[MAJORITY:])
    return (
        f"{of_hp:,} HP and {of_ssa:,} SSA (tiles with 0 to 7 votes: {' '.join(map(str, counts))})"
    )


def _rows(path, faults):
    """Returns the rows below the header, or None where there is no such table."""
    try:
        # With or without the mark that some programs put before a text, and whatever ends a line.
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        what = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        faults.add(TABLE, what)
        return None
    if tuple(header) != COLUMNS:
        faults.add(f"another header in {TABLE}", f"{','.join(header)!r}, not {','.join(COLUMNS)!r}")
        return None
    return rows


def _checked_row(row, names):
    """Returns the tile of a row, and what is wrong with it; adds its name to those before."""
    if len(row) != len(COLUMNS):
        return None, [(f"rows without {len(COLUMNS)} values", repr(",".join(row)))]
    name, label, votes, partition = row
    wrong = []
    if not re.fullmatch(r"MHIST_\w+\.png", name):
        wrong.append(("names that are not MHIST_….png", repr(name)))
    elif name in names:
        wrong.append(("names that stand there twice", name))
    else:
        names.add(name)
    if label not in CLASSES:
        wrong.append((f"labels other than {' and '.join(CLASSES)}", repr(label)))
    if not re.fullmatch("[0-7]", votes):
        wrong.append(("votes that are no whole number from 0 to 7", repr(votes)))
    elif label in CLASSES and label != CLASSES[int(votes) >= MAJORITY]:
        kind = f"labels against the majority (SSA from {MAJORITY} votes on)"
        wrong.append((kind, f"{label} with {votes}"))
    if partition not in PARTITIONS:
        wrong.append((f"partitions other than {' and '.join(PARTITIONS)}", repr(partition)))
    return None if wrong else Tile(name, int(votes), partition), wrong


def _check_sums(folder, faults):
    """Compares the files that are there with `MD5SUMs.txt`; archives may be gone by now."""
    try:
        text = (folder / SUMS).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for digest, name in re.findall(r"^([0-9a-fA-F]{32}) [ *]?(.+?)\s*$", text, re.MULTILINE):
        path = folder / name
        if not path.is_file():
            continue
        content = path.read_bytes()
        possible = [content]
        if name == TABLE:  # copies of the table go round with either end of line
            unix = content.replace(b"\r\n", b"\n")
            possible = [unix, unix.replace(b"\n", b"\r\n")]
        if digest.lower() not in (
            hashlib.md5(each, usedforsecurity=False).hexdigest() for each in possible
        ):
            faults.add(f"files that {SUMS} has another sum for", name)


def _fingerprint(folder):
    try:
        changed = tuple((folder / name).stat().st_mtime_ns for name in (TABLE, IMAGES))
        return _fingerprint_of(folder, changed)
    except OSError as error:
        raise DatasetError(
            f"{folder} does not hold MHIST: {error}. {OBTAIN.format(folder=folder)}"
        ) from error


@functools.lru_cache(maxsize=4)
def _fingerprint_of(folder, changed):
    del changed  # thousands of files are asked for their size once, and when there are others
    content = hashlib.sha256()
    for line in sorted((folder / TABLE).read_bytes().splitlines()):
        content.update(line + b"\n")
    with os.scandir(folder / IMAGES) as entries:
        sizes = sorted((entry.name, entry.stat().st_size) for entry in entries)
    content.update(repr([each for each in sizes if each[0].endswith(".png")]).encode())
    return content.hexdigest()[:16]
