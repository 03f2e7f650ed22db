"""What callbacks tell of an object: its store's address, and a URL to read it by."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from soloist.storage.location import S3Location
from soloist.storage.object_urls import ObjectUrls
from soloist.wire.sigv4 import S3Credential

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CREDENTIAL = S3Credential("AK", "secret-of-the-store", "eu-1")
S3 = S3Location("https://s3.example:9000", CREDENTIAL)
URLS = ObjectUrls(
    {
        "here": Path("/srv"),
        "s3": S3,
        "hosted": S3Location("https://s3.example", CREDENTIAL, is_virtual_hosted=True),
        "plain": S3Location(
            "http://10.0.0.1", CREDENTIAL, has_signed_urls=False, public_endpoint="https://cdn.example"
        ),
    },
    "https://rec.example",
    "k" * 32,
    timedelta(hours=1),
)


@pytest.mark.parametrize(
    ("location", "key", "beginning"),
    [
        ("here", "a b/ü.mp4", "https://rec.example/soloist/v1/objects/1795352400-"),
        ("s3", "a b/ü.mp4", "https://s3.example:9000/recordings/a%20b/%C3%BC.mp4?X-Amz-Algorithm=AWS4-HMAC-SHA256&"),
        ("s3", "a.m3u8", "https://rec.example/soloist/v1/objects/1795352400-"),
        ("hosted", "a.mp4", "https://recordings.s3.example/a.mp4?X-Amz-"),
        ("plain", "a b.mp4", "https://cdn.example/recordings/a%20b.mp4"),
        ("plain", "a.m3u8", "https://cdn.example/recordings/a.m3u8"),
    ],
)
def test_an_object_is_read_where_its_location_lets_it_be_read(location, key, beginning):
    url = URLS.download_url(location, "recordings", key, NOW)

    assert url.startswith(beginning)
    assert "secret" not in url


def test_the_store_of_a_location_is_told_by_its_address():
    assert URLS.endpoint("here") == "https://rec.example"
    assert URLS.endpoint("s3") == "https://s3.example:9000"
    assert URLS.endpoint("plain") == "https://cdn.example"


def test_a_location_that_is_not_configured_any_more_has_no_addresses():
    assert URLS.endpoint("gone") == ""
    assert URLS.download_url("gone", "recordings", "a.mp4", NOW) == ""
