"""Who may pass where: the folders in the way of PostgreSQL's own user."""

import os
import subprocess

import pytest

from soloist.service.binaries import Account, launcher

STRANGER = Account(uid=54321, gid=54321)


def test_a_private_folder_on_the_way_is_named(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    barrier = STRANGER.barrier(private / "data" / "postgres")
    assert barrier is not None
    assert barrier in (private, *private.parents)


def test_folders_open_to_pass_are_no_barrier(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir(mode=0o711)
    folder.chmod(0o711)
    assert STRANGER.may_enter(folder)


def test_owner_and_group_are_judged_by_their_own_bits(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    status = folder.stat()
    folder.chmod(0o071)
    assert not Account(status.st_uid, 0).may_enter(folder)
    folder.chmod(0o710)
    assert Account(54321, status.st_gid).may_enter(folder)
    assert not STRANGER.may_enter(folder)


@pytest.mark.parametrize("call", ["access", "listdir"])
def test_programs_below_a_private_folder_are_found_by_the_lent_user(tmp_path, call):
    """Symptom: initdb in an environment below /root said that postgres was not in its own directory."""
    program = tmp_path / "private" / "program"
    program.parent.mkdir(mode=0o700)
    program.write_bytes(b"")
    program.chmod(0o755)
    account = Account(65534, 65534) if os.geteuid() == 0 else None
    looked = {"access": f"os.access({str(program)!r}, os.X_OK)", "listdir": f"os.listdir({str(program.parent)!r})"}
    command = [*launcher(account, program), "/usr/bin/python3", "-c", f"import os; print(bool({looked[call]}))"]

    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"
