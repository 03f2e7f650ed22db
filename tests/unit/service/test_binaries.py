"""Who may pass where: the folders in the way of PostgreSQL's own user."""

from soloist.service.binaries import Account

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
