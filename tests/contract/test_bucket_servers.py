"""What every bucket promises, held by two independent S3 servers, and what S3 asks for besides. Rules R27, R28."""

import os
from collections.abc import Iterator
from dataclasses import replace

import obstore
import pytest
from obstore.exceptions import PermissionDeniedError
from support.s3 import S3Server, moto, versitygw

# The suite of the bucket on disk, held against servers.
from unit.storage.test_bucket import (  # noqa: F401 - collected from here, with this module's buckets
    test_an_object_of_ours_is_known_without_its_version_by_what_it_says,
    test_an_object_of_ours_that_was_taken_away_is_put_again,
    test_bucket_knows_what_stands_in_it,
    test_committed_object_has_size_and_checksum_of_the_file,
    test_committing_the_same_file_twice_is_harmless,
    test_file_larger_than_one_request_arrives_whole,
    test_key_that_could_leave_the_bucket_is_refused,
    test_large_file_never_overwrites_either,
    test_manifest_is_replaced_as_a_whole,
    test_missing_spool_file_is_our_fault,
    test_object_under_a_taken_key_is_never_overwritten,
    test_somebody_elses_object_in_place_of_a_playlist_is_left_alone_first_and_last,
    test_unusual_keys_are_kept_letter_for_letter,
)

from soloist.clock import utc_now
from soloist.storage.bucket import READ_BYTES, WHOLE_BYTES_MAX, Bucket
from soloist.storage.errors import BucketMissingError, KeyTakenError, StoreDeniedError
from soloist.wire.sigv4 import S3Credential

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=["versitygw", "moto"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    folder = tmp_path_factory.mktemp("s3")
    with versitygw(folder) if request.param == "versitygw" else moto() as running:
        yield running


@pytest.fixture
def bucket(server: S3Server, request: pytest.FixtureRequest) -> Bucket:
    name = f"b{abs(hash(request.node.name)):x}"[:40]
    server.ask("PUT", f"/{name}")
    return Bucket.at(server.location, name, clock=utc_now)


@pytest.mark.parametrize("is_large", [False, True])
async def test_an_object_is_verified_by_its_e_tag_without_reading_it_back(bucket, spooled, monkeypatch, is_large):
    monkeypatch.setattr(bucket, "_read_sha256", _unread)
    data = os.urandom(WHOLE_BYTES_MAX + 5 if is_large else 100)

    done = await bucket.commit(spooled(data), "a.mp4")

    assert done.size == len(data)
    assert ("-2" in (done.e_tag or "")) == is_large


async def test_a_store_with_e_tags_of_its_own_is_read_back_whole(bucket, spooled, monkeypatch):
    monkeypatch.setattr("soloist.storage.bucket._e_tag", lambda *_: "an e-tag of nobody")

    large = os.urandom(READ_BYTES * 2 + 5)
    assert (await bucket.commit(spooled(b"media"), "a.mp4")).size == 5
    assert (await bucket.commit(spooled(large), "large.mp4")).size == len(large)
    with pytest.raises(KeyTakenError):
        await bucket.commit(spooled(b"other"), "a.mp4")
    with pytest.raises(KeyTakenError):
        await bucket.commit(spooled(large[:-1] + b"x"), "large.mp4")


async def test_the_store_is_found_to_keep_its_word_and_the_probe_is_removed(bucket, spooled):
    await bucket.commit(spooled(b"media"), "a.mp4")

    assert (bucket._conditions.creates_only, bucket._conditions.replaces_only) == (True, True)
    assert [item["path"] for page in obstore.list(bucket._store) for item in page] == ["a.mp4"]


async def test_a_credential_for_one_folder_is_enough(bucket, spooled, monkeypatch):
    put = obstore.put_async

    async def put_in_folder(store, key, *arguments, **named):
        if not key.startswith("Record/"):
            raise PermissionDeniedError(f"{key}: 403 Forbidden")
        return await put(store, key, *arguments, **named)

    monkeypatch.setattr(obstore, "put_async", put_in_folder)

    assert (await bucket.commit(spooled(b"media"), "Record/a.mp4")).size == 5


async def test_a_store_that_cannot_create_only_never_overwrites_either(bucket, spooled):
    bucket._conditions.creates_only = bucket._conditions.replaces_only = False
    await bucket.commit(spooled(b"media"), "a.mp4")

    with pytest.raises(KeyTakenError):
        await bucket.commit(spooled(b"other"), "a.mp4")


@pytest.mark.parametrize(("key", "expected"), [("a.mp4", "video/mp4"), ("a.m3u8", "application/vnd.apple.mpegurl")])
async def test_objects_say_what_they_are(bucket, spooled, key, expected):
    await (bucket.put_own(key, b"#EXTM3U") if key.endswith("8") else bucket.commit(spooled(b"media"), key))

    assert (await obstore.get_async(bucket._store, key)).attributes["Content-Type"] == expected


async def test_what_a_broken_off_upload_left_is_removed_by_the_next(bucket, server, spooled):
    name = bucket._s3.bucket
    server.ask("POST", f"/{name}/a.mp4", {"uploads": ""})
    server.ask("POST", f"/{name}/a.mp4x", {"uploads": ""})

    await bucket.commit(spooled(bytes(WHOLE_BYTES_MAX + 1)), "a.mp4")

    left = server.ask("GET", f"/{name}", {"uploads": ""}).decode()
    assert left.count("<Upload>") == 1
    assert "<Key>a.mp4x</Key>" in left


async def test_a_bucket_that_is_not_there_is_told_by_name(server, spooled):
    bucket = Bucket.at(server.location, "no-such-bucket", clock=utc_now)

    for attempt in (bucket.commit(spooled(b"media"), "a.mp4"), bucket.exists("a.mp4"), bucket.put_own("a.json", b"{}")):
        with pytest.raises(BucketMissingError):
            await attempt


async def test_variables_of_another_account_around_the_service_change_nothing(server, spooled, monkeypatch):
    for name, value in {
        "AWS_ACCESS_KEY_ID": "another",
        "AWS_SECRET_ACCESS_KEY": "another",
        "AWS_SESSION_TOKEN": "another",
        "AWS_SKIP_SIGNATURE": "true",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = Bucket.at(server.location, "recordings", clock=utc_now)

    assert (await bucket.commit(spooled(b"media"), "by-its-own-settings.mp4")).size == 5


async def test_a_refused_credential_is_told_as_such(tmp_path, spooled):
    with versitygw(tmp_path / "s3") as server:
        wrong = replace(server.location, credential=S3Credential("testkey", "not its secret", "us-east-1"))
        bucket = Bucket.at(wrong, "recordings", clock=utc_now)

        for attempt in (bucket.commit(spooled(b"media"), "a.mp4"), bucket.put_own("a.json", b"{}")):
            with pytest.raises(StoreDeniedError):
                await attempt


async def _unread(_key: str, _size: int) -> str:
    raise AssertionError("the object was read back")


@pytest.mark.parametrize("kept", [(False, False), (True, False), (False, True)])
async def test_a_store_that_keeps_no_conditions_is_looked_at_first(bucket, spooled, kept):
    bucket._conditions.creates_only, bucket._conditions.replaces_only = kept
    await bucket.commit(spooled(b"theirs"), "a.json")
    with pytest.raises(KeyTakenError):
        await bucket.put_own("a.json", b"ours")

    version = await bucket.put_own("b.json", b"ours 1")
    version = await bucket.put_own("b.json", b"ours 2", version)
    await obstore.put_async(bucket._store, "b.json", b"theirs")
    with pytest.raises(KeyTakenError):
        await bucket.put_own("b.json", b"ours 3", version)
    assert bytes(await (await obstore.get_async(bucket._store, "b.json")).bytes_async()) == b"theirs"
