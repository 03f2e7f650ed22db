"""Download URLs: an object read in whole and in part by whoever has one, from a folder and from a real S3 server."""

import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime

import pytest

from soloist.clock import utc_now
from soloist.service.settings import object_key_of
from soloist.storage.object_urls import ObjectUrls

DATA = os.urandom(300_000)
KEY = "a b/房间/s_1.m3u8"
"""A playlist, because its URL leads through the api wherever it lies."""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(url, method="GET", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, headers=named, method=method)  # noqa: S310 - our own
    try:
        answer = urllib.request.urlopen(request, timeout=10)  # noqa: S310 - our own
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read())


@pytest.fixture(scope="module")
def urls(server, folders, s3):
    locations = {**folders, "s3": s3.location}
    return ObjectUrls(locations, server.url, object_key_of(server.data), timedelta(hours=1))


@pytest.fixture(scope="module", params=["elsewhere", "s3"])
def place(request, server, folders, s3):
    location = request.param

    def put(key, data):
        if location == "s3":
            s3.ask("PUT", f"/recordings/{key}", data=data)
        else:
            path = folders[location] / "recordings" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    put(KEY, DATA)
    put("a b/房间/s_1_00000.ts", b"segment")
    put("a b/房间/other.mp4", b"other")
    put("empty.m3u8", b"")
    return location


@pytest.fixture
def url(urls, place):
    return urls.download_url(place, "recordings", KEY, utc_now())


def test_an_object_is_read_whole_and_says_what_it_is(url):
    answer = ask(url)

    assert (answer.status, answer.body == DATA) == (200, True)
    assert answer.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert answer.headers["content-length"] == str(len(DATA))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert parsedate_to_datetime(answer.headers["last-modified"]) <= utc_now()


def test_head_tells_the_same_and_sends_nothing(url):
    got, head = ask(url), ask(url, "HEAD")

    changing = {"date", "x-request-id"}
    assert (head.status, head.body) == (200, b"")
    assert {n: v for n, v in head.headers.items() if n not in changing} == {
        n: v for n, v in got.headers.items() if n not in changing
    }


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [("0-0", 0, 1), ("100-199", 100, 200), ("262000-", 262_000, 300_000), ("-5", 299_995, 300_000)],
)
def test_a_part_is_read_as_players_ask_for_it(url, wanted, start, end):
    answer = ask(url, Range=f"bytes={wanted}")

    assert (answer.status, answer.body == DATA[start:end]) == (206, True)
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
    assert answer.headers["content-length"] == str(end - start)


def test_a_part_behind_the_end_cannot_be_read(url):
    answer = ask(url, Range="bytes=300000-")

    assert answer.status == 416
    assert answer.headers["content-range"] == "bytes */300000"


def test_an_empty_object_is_read_too(urls, place):
    answer = ask(urls.download_url(place, "recordings", "empty.m3u8", utc_now()))

    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"", "0")


def test_a_version_one_has_is_not_sent_again_and_a_part_of_another_version_never(url):
    e_tag = ask(url, "HEAD").headers["etag"]

    assert ask(url, If_None_Match=e_tag).status == 304
    assert ask(url, If_None_Match='"other"').status == 200
    assert ask(url, Range="bytes=0-9", If_Range=e_tag).status == 206
    assert ask(url, Range="bytes=0-9", If_Range='"other"').status == 200


def test_the_names_in_a_playlist_lead_to_its_segments_and_to_nothing_else(url):
    folder = url.rpartition("/")[0]

    assert ask(f"{folder}/s_1_00000.ts").body == b"segment"
    assert ask(f"{folder}/other.mp4").status == 403
    assert ask(f"{folder}/s_1_00001.ts").status == 404


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_an_address_is_for_reading_only(url, method):
    assert ask(url, method).status == 405


def test_a_url_ends_when_its_time_is_over(urls, place):
    past = urls.download_url(place, "recordings", KEY, utc_now() - timedelta(hours=2))

    answer = ask(past)

    assert (answer.status, b"APIGW.0302" in answer.body) == (403, True)


@pytest.mark.parametrize("way", ["..%2F..%2F", "%2e%2e/", "../", "%00", "%5c"])
def test_no_address_leads_out_of_its_bucket(url, way):
    folder = url.rpartition("/")[0]

    assert ask(f"{folder}/{way}s_1_00000.ts").status in {400, 403, 404}


def test_a_link_that_leads_out_of_its_bucket_is_not_followed(urls, folders, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    (folders["elsewhere"] / "recordings" / "link.mp4").symlink_to(tmp_path / "secret")

    assert ask(urls.download_url("elsewhere", "recordings", "link.mp4", utc_now())).status == 404


def test_a_file_in_an_s3_store_is_read_from_the_store_itself(urls, s3):
    s3.ask("PUT", "/recordings/ü x.mp4", data=b"media")
    url = urls.download_url("s3", "recordings", "ü x.mp4", utc_now())

    assert url.startswith(s3.url)
    assert ask(url).body == b"media"
    assert ask(re.sub("X-Amz-Signature=.", "X-Amz-Signature=x", url)).status == 403


def test_no_ticket_is_in_the_log(url, server):
    ticket = url.split("/objects/")[1].split("/")[0]
    ask(url)

    log = server.log.read_text()
    assert "/soloist/v1/objects/…/" in log
    assert ticket not in log
