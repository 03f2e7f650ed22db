"""The spool's disk fills up in the middle of a recording: a real file system of a few megabytes, and real ENOSPC."""

from pathlib import Path

from support.disk import service_with_disk
from support.instance import until
from support.takes import take


def test_a_full_spool_ends_the_job_by_name_and_keeps_every_part(clip: Path) -> None:
    with service_with_disk("spool", "2m") as (service, disk):
        service.cut_every(3)
        with take(service, clip, "r") as taken:
            # A finished file leaves the spool a moment after it was told of: only then is it the next that holds
            # something, and no room is made any more.
            until(lambda: [path.stem for path in taken.spooled()] == ["00001"], 30, "no file is finished")
            taken.await_recording()
            disk.fill()
            until(lambda: taken.state[0] == "STOPPED", 30, "the job goes on over a full disk")
            _, _, reason, description = service.job(taken.job_id)
            assert reason == "INTERNAL_ERROR"
            assert "No space left" in description
            assert "disk" in description
            disk.free()

            files = taken.finished(within_s=60)
            assert len(files) >= 2
            assert [file.complaints for file in files] == [()] * len(files)
            assert taken.events.count("FileCompleted") == taken.events.count("FileStarted") == len(files)
            assert taken.spooled() == []


def test_a_job_started_after_the_disk_has_room_again_is_recorded(clip: Path) -> None:
    with service_with_disk("spool", "2m") as (service, disk):
        disk.fill()
        with take(service, clip, "full") as refused:
            until(lambda: refused.state[0] == "STOPPED", 30, "a job without a disk goes on")
            assert "No space left" in service.job(refused.job_id)[3]
            disk.free()
        with take(service, clip, "room") as taken:
            taken.await_recording()
            taken.stop()
            (file,) = taken.finished()
            assert file.complaints == ()
