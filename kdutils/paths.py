"""Where things lie: every path starts at the repository's root, whatever the working folder is."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
RESULTS = ROOT / "results"
NOTEBOOKS = ROOT / "notebooks"


def data_folders() -> list[Path]:
    """The data path: the folders of ``KDUTILS_DATA``, else ``data/``; new data go to the first."""
    configured = filter(None, os.environ.get("KDUTILS_DATA", "").split(os.pathsep))
    return [ROOT / folder for folder in configured] or [ROOT / "data"]


@contextlib.contextmanager
def replaced_atomically(path: Path) -> Iterator[Path]:
    """Give a temporary file to write; it takes the place of `path` only once it is complete.

    Whoever reads `path` meanwhile, or after a crash at any moment, finds the old content or the
    new, never a part.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
