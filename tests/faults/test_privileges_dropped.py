"""Started as root, what strangers reach does not run as root: it records, restarts and stops all the same."""

import os
import pwd
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.crash_verdict import lost_pictures
from support.instance import Instance, instance, until
from support.takes import take

ROOT = Path(__file__).resolve().parents[2]
USER = "soloist"
NEEDED = 1 << 10 | 1 << 12 | 1 << 2
"""What may be kept: CAP_NET_BIND_SERVICE for low ports, CAP_NET_ADMIN for large socket buffers, and CAP_DAC_READ_SEARCH
where Python lies in a private folder. Spec: linux/capability.h."""


@pytest.fixture(scope="module")
def service() -> Iterator[Instance]:
    assert os.geteuid() == 0, "privileges are dropped by root; CI is root"
    with instance(environment={"SOLOIST_RUN_AS": USER}) as running:
        yield running


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def assert_unprivileged(pid: int) -> None:
    status = status_of(pid)
    user = pwd.getpwnam(USER)
    assert status["Uid"].split() == [str(user.pw_uid)] * 4
    assert status["Gid"].split() == [str(user.pw_gid)] * 4
    assert status["Groups"] == ""
    assert status["NoNewPrivs"] == "1"
    for held in ("CapPrm", "CapEff", "CapInh", "CapAmb", "CapBnd"):
        assert int(status[held], 16) & ~NEEDED == 0, held
    assert re.search(r"Max core file size +0 +0", Path(f"/proc/{pid}/limits").read_text())


def test_what_strangers_reach_is_unprivileged_and_records_also_after_a_restart(service: Instance, clip: Path) -> None:
    for part in ("api", "recorder"):
        pid = service.pid(part)
        assert pid is not None
        assert_unprivileged(pid)
    with take(service, clip, "unprivileged") as taken:
        taken.await_recording()
        killed = service.signal("recorder", signal.SIGKILL)
        taken.await_recording(2)
        again = until(lambda: service.pid("recorder"), 20, "no recorder")
        assert again != killed
        assert_unprivileged(again)
        time.sleep(2)
        taken.stop()
        files = taken.finished()
    assert len(files) == 2
    assert lost_pictures(files[-1]) == []
    owner = pwd.getpwnam(USER).pw_uid
    assert {path.stat().st_uid for path in service.bucket.rglob("*")} == {owner}
    assert {path.stat().st_uid for path in service.spool.rglob("*")} <= {owner}


def test_a_storage_folder_the_user_may_not_write_to_is_refused_by_name_when_one_was_named() -> None:
    folder = Path("/tmp") / f"soloist-closed-{os.getpid()}"  # noqa: S108 - outside of pytest's private folders
    folder.mkdir(mode=0o755)
    environment = {"SOLOIST_RUN_AS": USER, "SOLOIST_STORAGE": f'{{"cn-north-4": "{folder}"}}'}
    try:
        told = rf"{folder} is not writable for user {USER}: run chown -R {USER}"
        with pytest.raises(AssertionError, match=told), instance(environment=environment):
            pass
    finally:
        shutil.rmtree(folder)


def test_the_unit_file_is_one_that_systemd_takes(tmp_path: Path) -> None:
    unit = tmp_path / "soloist.service"
    text = (ROOT / "deploy" / "soloist.service").read_text()
    unit.write_text(text.replace("/opt/soloist/bin/soloist", "/usr/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
