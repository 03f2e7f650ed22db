"""`soloist serve` is asked to stop while it records: by SIGTERM as a service manager does, or by Ctrl-C."""

import signal
from pathlib import Path

import pytest
from support.instance import descendants, instance, is_running
from support.takes import take


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["sigterm", "ctrl_c"])
def test_a_stop_while_recording_drains_within_5_s_and_leaves_only_whole_files(clip: Path, how: signal.Signals) -> None:
    with instance() as service, take(service, clip, "r") as taken:
        taken.await_recording()
        children = descendants(service.process.pid)
        assert service.job(taken.job_id)[:2] == ("RUNNING", 1)

        took_s = service.stop(how)

        assert took_s < 5
        assert service.process.returncode == 0
        assert [pid for pid in children if is_running(pid)] == []
        assert [path for path in service.folder.rglob("*") if path.is_socket()] == []
        assert list(service.spool.rglob("*.mp4")) == []
        (file,) = taken.files
        assert file.complaints == ()
        assert file.pictures > 0
