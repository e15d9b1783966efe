import os
import shutil

import pytest
import toy
from filelock import FileLock
from playwright.sync_api import sync_playwright

from kdutils import report, training
from kdutils.ledger import Ledger

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SWITCHES = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


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
            report.execute("smoke", ledger=build / "ledger", build=build, at_once=2)
            (build / "executed.done").touch()
    return build


@pytest.fixture(scope="session")
def book(smoke_report):
    """The folder of the book compiled from `smoke_report`."""
    with FileLock(f"{smoke_report}.lock"):
        if not (smoke_report / "html").exists():
            report.compile_book("smoke", build=smoke_report)
    return smoke_report / "html"


@pytest.fixture(scope="module")  # no longer: while it lives, no other event loop can run
def browser():
    """Chromium; where there is none, the tests that need it are skipped."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        message = (
            "NO BROWSER: nothing that a reader sees is tested. Install one, for example with "
            "`apt-get install chromium`, so that one of these can be run: " + ", ".join(BROWSERS)
        )
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=SWITCHES)
        yield browser
        browser.close()
