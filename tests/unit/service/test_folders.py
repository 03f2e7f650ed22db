"""Folders of an instance: what is made is ours, and only that is removed."""

import socket
import stat

import pytest
from support.database import private_folder

from soloist.service.errors import StartError
from soloist.service.folders import prepare_folders, remove_runtime
from soloist.service.settings import Settings


@pytest.fixture
def short_path():
    """A folder whose path leaves room for a socket's, wherever the tests run."""
    with private_folder("soloist-") as folder:
        yield folder


def settings_below(folder):
    return Settings(data=folder / "data", runtime=folder / "theirs")


def test_stopping_leaves_the_operators_runtime_folder_and_its_files_alone(short_path):
    theirs = short_path / "theirs"
    theirs.mkdir(mode=0o755)
    (theirs / "letter.txt").write_text("keep me")
    settings = settings_below(short_path)

    prepare_folders(settings)
    (settings.runtime_dir / "pg").mkdir()
    for name in ("recorder-0.sock", "recorder-0.lock", "pg/.s.PGSQL.5432.lock"):
        (settings.runtime_dir / name).touch()
    remove_runtime(settings.runtime_dir)

    assert [path.name for path in theirs.iterdir()] == ["letter.txt"]
    assert stat.S_IMODE(theirs.stat().st_mode) == 0o755


def test_a_strangers_file_among_our_sockets_stays(short_path):
    settings = settings_below(short_path)
    prepare_folders(settings)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(settings.runtime_dir / "recorder-0.sock"))
    (settings.runtime_dir / "letter.txt").touch()

    remove_runtime(settings.runtime_dir)

    assert [path.name for path in settings.runtime_dir.iterdir()] == ["letter.txt"]


def test_removing_a_folder_that_is_gone_is_harmless(tmp_path):
    remove_runtime(tmp_path / "gone")


def test_a_runtime_folder_that_is_too_long_for_sockets_names_its_setting(tmp_path):
    with pytest.raises(StartError, match="SOLOIST_RUNTIME"):
        prepare_folders(Settings(data=tmp_path / "data", runtime=tmp_path / ("x" * 100)))
