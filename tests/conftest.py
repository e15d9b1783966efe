import os

import pytest
import toy
from filelock import FileLock

from kdutils import report, training
from kdutils.ledger import Ledger


@pytest.fixture
def small(monkeypatch):
    """The toy data set and networks in the place of the real ones."""
    toy.install(monkeypatch.setitem)


@pytest.fixture
def trainer(monkeypatch):
    """Training that takes no time, and remembers what it was asked for."""
    trainer = toy.Trainer()
    monkeypatch.setattr(training, "train", trainer)
    return trainer


@pytest.fixture
def ledger(tmp_path):
    """An empty ledger."""
    return Ledger(tmp_path / "ledger", cache=tmp_path / "cache")


@pytest.fixture(scope="session")
def smoke_report(tmp_path_factory):
    """The folder that holds all notebooks executed with the profile `smoke`, in `executed/smoke`.

    It is made once, also where several workers of pytest-xdist ask for it.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    build = shared / "report"
    with FileLock(f"{build}.lock"):
        if not (build / "executed.done").exists():
            report.execute("smoke", ledger=build / "ledger", build=build)
            (build / "executed.done").touch()
    return build


@pytest.fixture(scope="session")
def book(smoke_report):
    """The folder of the book compiled from `smoke_report`."""
    with FileLock(f"{smoke_report}.lock"):
        if not (smoke_report / "html").exists():
            report.compile_book("smoke", build=smoke_report)
    return smoke_report / "html"
