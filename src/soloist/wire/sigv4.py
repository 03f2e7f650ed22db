"""Presigned requests to S3-compatible stores: a URL that carries its own signature, date and end.

Knows no socket and no clock. Spec: AWS Signature Version 4, "Authenticating requests: using query parameters".
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
LIFETIME_MAX = timedelta(days=7)
"""Longest life the specification gives a presigned URL."""


@dataclass(frozen=True, slots=True)
class S3Credential:
    """Who signs, and for which region."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str


def presign(
    method: str,
    base_url: str,
    path: str,
    *,
    credential: S3Credential,
    now: datetime,
    lifetime: timedelta,
    query: Mapping[str, str] | None = None,
) -> str:
    """Return the URL with which anybody may send `method` to `path` from `now` (aware) until `lifetime` is over.

    `base_url` is scheme and host, with the port if it is not the scheme's own; `path` begins with a slash and is not
    encoded yet.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{credential.region}/s3/aws4_request"
    signed = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{credential.access_key}/{scope}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(int(min(lifetime, LIFETIME_MAX).total_seconds())),
        "X-Amz-SignedHeaders": "host",
    }
    text = _query({**(query or {}), **signed})
    host = urlsplit(base_url).netloc
    encoded = quote(path, safe="/~")
    canonical = "\n".join((method, encoded, text, f"host:{host}\n", "host", "UNSIGNED-PAYLOAD"))
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    signature = _hmac(_signing_key(credential, stamp[:8]), f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}").hex()
    return f"{base_url}{encoded}?{text}&X-Amz-Signature={signature}"


def _query(pairs: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='~')}={quote(pairs[name], safe='~')}" for name in sorted(pairs))


def _signing_key(credential: S3Credential, day: str) -> bytes:
    key = f"AWS4{credential.secret_key}".encode()
    for part in (day, credential.region, "s3", "aws4_request"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
