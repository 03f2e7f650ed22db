"""What every bucket promises, on disk and in memory alike, and what the one on disk does besides."""

import errno
import hashlib
import os
from pathlib import Path

import obstore
import pytest
from support.memory_store import memory_bucket

from soloist.clock import utc_now
from soloist.model.errors import DestinationError, InternalError, InvalidValueError
from soloist.storage import bucket as bucket_module
from soloist.storage import links
from soloist.storage.bucket import Bucket, check_bucket_name
from soloist.storage.errors import KeyTakenError, StoreDeniedError, StoreFullError, destination_error

pytestmark = pytest.mark.anyio


def folder_bucket(location: Path) -> Bucket:
    return Bucket.at(location, "recordings", clock=utc_now)


KEY = "demo/mp4/s_1_2026-11-22-10-00-00/s_1_2026-11-22-10-00-00.mp4"


@pytest.fixture(params=["folder", "memory"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Bucket:
    return folder_bucket(tmp_path / "storage") if request.param == "folder" else memory_bucket()


async def test_committed_object_has_size_and_checksum_of_the_file(bucket, spooled):
    done = await bucket.commit(spooled(b"media" * 1000), KEY)

    assert (done.key, done.size, done.sha256) == (KEY, 5000, hashlib.sha256(b"media" * 1000).hexdigest())
    assert done.e_tag


async def test_file_larger_than_one_request_arrives_whole(bucket, spooled):
    data = os.urandom(1024) * (10 * 1024)

    done = await bucket.commit(spooled(data), KEY)

    assert (done.size, done.sha256) == (len(data), hashlib.sha256(data).hexdigest())


async def test_committing_the_same_file_twice_is_harmless(bucket, spooled):
    file = spooled(b"media")

    assert await bucket.commit(file, KEY) == await bucket.commit(file, KEY)


@pytest.mark.parametrize("other", [b"other", b"longer than before"])
async def test_object_under_a_taken_key_is_never_overwritten(bucket, spooled, other):
    first = await bucket.commit(spooled(b"media"), KEY)

    with pytest.raises(KeyTakenError):
        await bucket.commit(spooled(other), KEY)

    assert await bucket.commit(spooled(b"media"), KEY) == first


async def test_large_file_never_overwrites_either(bucket, spooled):
    await bucket.commit(spooled(b"media"), KEY)

    with pytest.raises(KeyTakenError):
        await bucket.commit(spooled(bytes(9 * 1024 * 1024)), KEY)


async def test_bucket_knows_what_stands_in_it(bucket, spooled):
    await bucket.commit(spooled(b"1"), "a/b.mp4")

    assert await bucket.exists("a/b.mp4")
    assert not await bucket.exists("a/b_1.mp4")


async def test_manifest_is_replaced_as_a_whole(bucket):
    version = await bucket.put_own("a/b.json", b"first, and longer")
    await bucket.put_own("a/b.json", b"second", version)

    assert (await obstore.head_async(bucket._store, "a/b.json"))["size"] == len(b"second")


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/../../b", "a/./b", "a\0b", "a\nb", "a\\b", "x" * 1025]
)
async def test_key_that_could_leave_the_bucket_is_refused(bucket, spooled, key):
    for attempt in (bucket.commit(spooled(b"media"), key), bucket.exists(key), bucket.put_own(key, b"")):
        with pytest.raises(InvalidValueError):
            await attempt


@pytest.mark.parametrize("key", ["a b/ü.mp4", "x%41/y%2F.mp4", "a?b#c.mp4", "日本/語.mp4", "..a/b..mp4", "a:b"])
async def test_unusual_keys_are_kept_letter_for_letter(bucket, spooled, key):
    await bucket.commit(spooled(b"media"), key)

    assert await bucket.exists(key)


async def test_missing_spool_file_is_our_fault(bucket, tmp_path):
    with pytest.raises(InternalError):
        await bucket.commit(tmp_path / "gone.mp4", KEY)


async def test_object_on_disk_lies_at_its_key_and_takes_no_second_room(tmp_path, spooled):
    file = spooled(b"media")

    await folder_bucket(tmp_path / "storage").commit(file, "Record/a.mp4")

    assert (tmp_path / "storage/recordings/Record/a.mp4").samefile(file)


async def test_file_is_copied_where_links_do_not_reach(tmp_path, spooled, monkeypatch):
    file = spooled(b"media")
    monkeypatch.setattr(links.os, "link", _no_links)

    done = await folder_bucket(tmp_path).commit(file, "a.mp4")

    assert (tmp_path / "recordings/a.mp4").read_bytes() == b"media"
    assert done.size == 5
    assert [path.name for path in (tmp_path / "recordings").iterdir()] == ["a.mp4"]


async def test_copy_never_overwrites_either(tmp_path, spooled, monkeypatch):
    monkeypatch.setattr(links.os, "link", _no_links)
    bucket = folder_bucket(tmp_path)
    await bucket.commit(spooled(b"media"), "a.mp4")

    with pytest.raises(KeyTakenError):
        await bucket.commit(spooled(b"other"), "a.mp4")


async def test_object_read_back_wrong_is_taken_out_again(tmp_path, spooled, monkeypatch):
    bucket = folder_bucket(tmp_path)
    monkeypatch.setattr(links.os, "link", _no_links)
    digest = bucket_module._digest
    monkeypatch.setattr(
        bucket_module, "_digest", lambda path: digest(path) if path.parent == tmp_path else "something else"
    )

    with pytest.raises(DestinationError, match="not what was written"):
        await bucket.commit(spooled(b"media"), "a.mp4")

    assert not await bucket.exists("a.mp4")


async def test_location_that_is_a_file_is_the_operators_fault(tmp_path):
    (tmp_path / "storage").write_text("")

    with pytest.raises(DestinationError):
        folder_bucket(tmp_path / "storage")


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.ENOSPC, StoreFullError), (errno.EACCES, StoreDeniedError), (errno.EROFS, StoreDeniedError)],
)
def test_disk_errors_name_the_remedy(number, expected):
    assert isinstance(destination_error(OSError(number, "x")), expected)


@pytest.mark.parametrize("name", ["ab", "A" * 5, "a" * 64, "-abc", "abc-", "a..b", "a.-b", "a/b", "..", "a_b", ""])
def test_bucket_name_outside_the_alphabet_is_refused(name):
    with pytest.raises(InvalidValueError):
        check_bucket_name(name)


def _no_links(source: object, target: object) -> None:
    raise OSError(errno.EXDEV, "Invalid cross-device link")


async def test_a_finished_file_is_as_readable_as_its_manifest(tmp_path, spooled):
    bucket = folder_bucket(tmp_path / "storage")
    private = spooled(b"media")
    private.chmod(0o600)

    await bucket.commit(private, "a/file.mp4")
    await bucket.put_own("a/file.json", b"{}")

    modes = {path.suffix: path.stat().st_mode & 0o777 for path in (tmp_path / "storage" / "recordings" / "a").iterdir()}
    assert modes[".mp4"] == modes[".json"]


def test_a_tenant_reads_no_path_of_the_server_in_a_storage_failure():
    error = OSError(errno.ENOTDIR, "Not a directory", "/var/lib/soloist/storage/recordings")
    assert "/var" not in str(destination_error(error))
    assert "/var" not in str(destination_error(ValueError("Unable to open /var/lib/soloist/storage: odd")))


async def read(bucket, key):
    return bytes(await (await obstore.get_async(bucket._store, key)).bytes_async())


async def test_somebody_elses_object_in_place_of_a_playlist_is_left_alone_first_and_last(bucket, spooled):
    await bucket.commit(spooled(b"theirs"), "a.m3u8")
    with pytest.raises(KeyTakenError):
        await bucket.put_own("a.m3u8", b"ours 1")
    assert await read(bucket, "a.m3u8") == b"theirs"

    version = await bucket.put_own("b.m3u8", b"ours 1")
    await bucket.withdraw("b.m3u8")
    await bucket.commit(spooled(b"theirs"), "b.m3u8")
    with pytest.raises(KeyTakenError):
        await bucket.put_own("b.m3u8", b"ours 2", version, lambda data: data == b"ours 1")
    assert await read(bucket, "b.m3u8") == b"theirs"


async def test_an_object_of_ours_is_known_without_its_version_by_what_it_says(bucket):
    await bucket.put_own("a.m3u8", b"ours 1")

    assert await bucket.put_own("a.m3u8", b"ours 1") == await bucket.put_own("a.m3u8", b"ours 1", "another")
    await bucket.put_own("a.m3u8", b"ours 2", "", lambda data: data == b"ours 1")
    await bucket.put_own("a.m3u8", b"ours 3", "another", lambda data: data == b"ours 2")
    assert await read(bucket, "a.m3u8") == b"ours 3"


async def test_an_object_of_ours_that_was_taken_away_is_put_again(bucket):
    version = await bucket.put_own("a.m3u8", b"ours 1")
    await bucket.withdraw("a.m3u8")
    await bucket.withdraw("a.m3u8")

    await bucket.put_own("a.m3u8", b"ours 2", version)
    assert await read(bucket, "a.m3u8") == b"ours 2"


async def test_what_is_far_longer_than_ours_is_not_read_to_see_whether_it_is(bucket, spooled):
    await bucket.commit(spooled(b"[" * 300_000), "a.json")
    asked = []
    with pytest.raises(KeyTakenError):
        await bucket.put_own("a.json", b"ours", "", asked.append)
    assert not asked


@pytest.mark.parametrize("make", [lambda at: at.symlink_to("/etc/passwd"), lambda at: at.mkdir(), os.mkfifo])
async def test_what_is_no_file_in_place_of_a_playlist_is_not_followed_read_or_replaced(tmp_path, make):
    bucket = folder_bucket(tmp_path)
    make(tmp_path / "recordings" / "a.m3u8")

    with pytest.raises(KeyTakenError):
        await bucket.put_own("a.m3u8", b"ours", "", lambda _: True)
    assert [path.name for path in (tmp_path / "recordings").iterdir()] == ["a.m3u8"]
