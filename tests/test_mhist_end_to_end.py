"""The pages of Task 2 on a folder in MHIST's format, as a user has who was given the real one."""

import os
import subprocess
import sys

import nbformat
import pytest
from PIL import Image

from kdutils.data import mhist, synthetic
from kdutils.ledger import Ledger
from kdutils.paths import NOTEBOOKS, ROOT

DRAWN = 32  # pixels; the files have MHIST's size all the same


@pytest.fixture(scope="module")
def supplied(tmp_path_factory):
    """A data path with a folder that passes every check of MHIST's, with simulated tiles.

    Its size and its table are MHIST's. It does not say of itself that it is simulated, so nothing
    on the pages may.
    """
    folder = tmp_path_factory.mktemp("supplied")
    images = folder / "mhist" / "images"
    images.mkdir(parents=True)
    rows = [
        "Image Name,Majority Vote Label,Number of Annotators who Selected SSA (Out of 7),Partition"
    ]
    for partition, part in zip(mhist.PARTITIONS, synthetic.at_size(DRAWN), strict=True):
        for tile, votes in zip(part.images, part.votes, strict=True):
            name = f"MHIST_{len(rows):03}.png"
            label = mhist.CLASSES[int(votes >= mhist.MAJORITY)]
            rows.append(f"{name},{label},{votes},{partition}")
            large = Image.fromarray(tile).resize((mhist.SIZE, mhist.SIZE), Image.Resampling.NEAREST)
            large.save(images / name, compress_level=1)
    (folder / "mhist" / "annotations.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def executed(page, supplied, folder, *options):
    """Execute a page at the profile `smoke`, but for its track and what is given."""
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "papermill",
                f"notebooks/{page}.ipynb",
                folder / f"{page}.ipynb",
            ),
            *("-f", NOTEBOOKS / "profiles" / "smoke" / f"{page}.yaml"),
            # There are no weights of ImageNet here, and MHIST has no source task.
            *("-p", "track", "auto", "-p", "initial", "random", *options),
        ],
        cwd=ROOT,
        env=os.environ | {"KDUTILS_DATA": str(supplied), "KDUTILS_LEDGER": str(folder / "ledger")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return nbformat.read(folder / f"{page}.ipynb", as_version=4)


def shown(notebook):
    """All that the page shows as text."""
    outputs = [each for cell in notebook.cells for each in cell.get("outputs", [])]
    return "\n".join(
        str(text)
        for each in outputs
        for kind, text in each.get("data", {}).items()
        if kind.startswith(("text/", "application/papermill.record/text"))
    )


@pytest.fixture(scope="module")
def ledger_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("executed")


@pytest.mark.parametrize(
    ("page", "options"),
    [
        ("task2_q02_training", ()),
        ("task2_q02_methods", ("-y", "{methods: [no KD, KD, votes]}")),
    ],
)
def test_a_page_runs_on_a_users_mhist(page, options, supplied, ledger_folder):
    text = shown(executed(page, supplied, ledger_folder, *options))
    assert "Simulated tiles" not in text
    records = Ledger(ledger_folder / "ledger").records().values()
    assert {record.run.data for record in records} == {"mhist"}
    tested = [record for record in records if record.part == "test"]
    assert {record.metrics["count"] for record in tested} == {sum(mhist.OFFICIAL.votes["test"])}
    if page == "task2_q02_training":
        assert all(name in text for name in mhist.CLASSES)
    else:
        assert {None, "kd", "votes"} <= {record.run.method for record in tested}
