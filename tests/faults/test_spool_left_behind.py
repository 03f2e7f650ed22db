"""A start finds files in the spool whose job the database does not know: it was restored from an older backup, say."""

import json
import os
import signal
from pathlib import Path

from support.crash_verdict import read_files
from support.instance import instance, until
from support.takes import take


def test_a_start_publishes_what_a_job_nobody_knows_left_in_the_spool(clip: Path) -> None:
    with instance() as service:
        with take(service, clip, "r") as taken:
            taken.await_recording()
            service.signal("recorder", signal.SIGKILL)
            service.kill()
        left = service.spool / taken.job_id
        (note,) = left.rglob("*.note")
        key = json.loads(note.read_bytes())["key"]
        left.rename(service.spool / "nobodys")
        for path in service.spool.rglob("*"):
            os.utime(path, (0, 0))

        service.start()

        until(lambda: not (service.spool / "nobodys").exists(), 40, "it is still in the spool")
        (file,) = read_files(service.bucket, taken.job_id)
        assert str(file.path.relative_to(service.bucket)) == key
        assert file.complaints == ()
        assert file.pictures > 0
