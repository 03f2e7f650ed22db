"""The spool keeps what is not committed and lets nothing escape it."""

from pathlib import Path

import pytest

from soloist.model.errors import InternalError, InvalidValueError
from soloist.storage.bucket import Committed
from soloist.storage.spool import Spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def _committed(size: int) -> Committed:
    return Committed("a.mp4", size, "0" * 64, None)


def test_file_lies_under_its_job_and_epoch_for_its_owner_alone(spool, tmp_path):
    path = spool.create("job1", 3, "0.mp4")

    assert path == tmp_path / "spool/job1/3/0.mp4"
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_existing_file_is_never_opened_again(spool):
    spool.create("job1", 1, "0.mp4")

    with pytest.raises(InternalError):
        spool.create("job1", 1, "0.mp4")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a\0b", "x" * 201])
def test_name_that_is_not_one_plain_file_is_refused(spool, name):
    with pytest.raises(InvalidValueError):
        spool.create("job1", 1, name)


@pytest.mark.parametrize(("job_id", "epoch"), [("..", 1), ("a/b", 1), ("", 1), ("job1", -1)])
def test_job_that_is_not_an_id_gets_no_folder(spool, job_id, epoch):
    with pytest.raises(InvalidValueError):
        spool.folder(job_id, epoch)


def test_link_planted_in_the_spool_is_neither_followed_nor_listed(spool, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("keep")
    (spool.folder("job1", 1) / "0.mp4").symlink_to(outside)

    with pytest.raises(InternalError):
        spool.create("job1", 1, "0.mp4")
    assert list(spool.files()) == []


def test_files_are_listed_with_job_epoch_and_size(spool, tmp_path):
    spool.create("b", 2, "1.mp4").write_bytes(b"12")
    spool.create("a", 10, "0.webm").write_bytes(b"1")
    (tmp_path / "spool/stray").mkdir()
    (tmp_path / "spool/a/not-an-epoch").mkdir()
    (tmp_path / "spool/a/not-an-epoch/x").write_text("x")

    assert [(f.job_id, f.epoch, f.path.name, f.size_bytes) for f in spool.files()] == [
        ("a", 10, "0.webm", 1),
        ("b", 2, "1.mp4", 2),
    ]


def test_committed_file_and_its_empty_folders_are_removed(spool, tmp_path):
    path = spool.create("job1", 1, "0.mp4")
    path.write_bytes(b"12345")

    spool.remove(path, _committed(5))
    spool.remove(path, _committed(5))

    assert not (tmp_path / "spool/job1").exists()


def test_folder_with_another_file_stays(spool):
    path, other = spool.create("job1", 1, "0.mp4"), spool.create("job1", 1, "1.mp4")

    spool.remove(path, _committed(0))

    assert other.exists()


def test_file_that_differs_from_its_object_is_kept(spool):
    path = spool.create("job1", 1, "0.mp4")
    path.write_bytes(b"123")

    with pytest.raises(InternalError):
        spool.remove(path, _committed(5))

    assert path.exists()


def test_file_outside_the_spool_is_never_removed(spool, tmp_path):
    outside = tmp_path / "x.mp4"
    outside.write_bytes(b"")

    for path in (outside, tmp_path / "spool/../x.mp4"):
        with pytest.raises(InternalError):
            spool.remove(path, _committed(0))

    assert outside.exists()


def test_free_room_is_told_before_anything_is_written(spool):
    assert spool.free_bytes() > 0
