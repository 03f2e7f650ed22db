"""The bucket's file system is full or read-only when a recording ends; a while later it is well again."""

from pathlib import Path

import pytest
from support.disk import service_with_disk
from support.instance import until
from support.takes import take


@pytest.mark.parametrize("how", ["full", "read_only"])
def test_a_file_its_bucket_refuses_waits_in_the_spool_and_is_published_afterwards(clip: Path, how: str) -> None:
    with service_with_disk("storage", "2m") as (service, disk), take(service, clip, "r") as taken:
        taken.await_recording()
        disk.fill()
        if how == "read_only":
            disk.remount("ro")
        taken.stop()
        until(lambda: "bucket_refused" in service.log.read_text(), 20, "the bucket took it")
        assert taken.state[0] == "STOPPED"
        assert taken.files == []
        assert "JobEnded" not in taken.events
        assert len(taken.spooled()) == 1

        if how == "read_only":
            disk.remount("rw")
        disk.free()
        (file,) = taken.finished()
        assert file.complaints == ()
        assert taken.events[-2:] == ["FileCompleted", "JobEnded"]
        assert taken.spooled() == []
