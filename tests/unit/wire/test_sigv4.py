"""Presigned S3 URLs, held against the specification's own example."""

from datetime import UTC, datetime, timedelta

from soloist.wire.sigv4 import S3Credential, presign

# "Authenticating Requests: Using Query Parameters (AWS Signature Version 4)", Amazon S3 API Reference.
EXAMPLE = S3Credential("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1")
HOST = "https://examplebucket.s3.amazonaws.com"
NOW = datetime(2013, 5, 24, tzinfo=UTC)


def test_the_specifications_example_gets_the_specifications_signature():
    url = presign("GET", HOST, "/test.txt", credential=EXAMPLE, now=NOW, lifetime=timedelta(days=1))

    assert url == (
        f"{HOST}/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
        "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_no_url_lives_longer_than_the_specification_lets_it():
    url = presign("GET", HOST, "/a", credential=EXAMPLE, now=NOW, lifetime=timedelta(days=30))

    assert "X-Amz-Expires=604800&" in url


def test_a_credential_does_not_show_its_secret():
    assert EXAMPLE.secret_key not in repr(EXAMPLE)
