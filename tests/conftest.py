import os

import pytest
from filelock import FileLock

from kdutils import report


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
