import os
import stat

import pytest

from kdutils.paths import ROOT, data_folders, replaced_atomically


def test_the_new_content_takes_the_place_of_the_old_one_at_the_end(tmp_path):
    path = tmp_path / "made" / "records.jsonl"
    with replaced_atomically(path) as temporary:
        temporary.write_text("first")
        assert temporary.parent == path.parent
        assert not path.exists()
    with replaced_atomically(path) as temporary:
        temporary.write_text("second")
        assert path.read_text() == "first"
    assert path.read_text() == "second"
    assert os.listdir(path.parent) == ["records.jsonl"]


def test_an_exception_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_text("old")

    def write_half():
        with replaced_atomically(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["records.jsonl"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_are_those_of_any_new_file(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with replaced_atomically(tmp_path / "a") as temporary:
            temporary.write_text("content")
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


@pytest.mark.parametrize(
    ("configured", "folders"),
    [
        (None, [ROOT / "data"]),
        ("", [ROOT / "data"]),
        ("{tmp}", ["{tmp}"]),
        ("{tmp}:elsewhere", ["{tmp}", ROOT / "elsewhere"]),
        (":{tmp}:", ["{tmp}"]),
    ],
)
def test_the_data_path_starts_at_the_root_whatever_the_working_folder(
    tmp_path, monkeypatch, configured, folders
):
    monkeypatch.chdir(tmp_path)
    if configured is None:
        monkeypatch.delenv("KDUTILS_DATA", raising=False)
    else:
        configured = configured.replace("{tmp}", str(tmp_path)).replace(":", os.pathsep)
        monkeypatch.setenv("KDUTILS_DATA", configured)
    assert data_folders() == [tmp_path if folder == "{tmp}" else folder for folder in folders]
