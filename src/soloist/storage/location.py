"""Where a storage region id leads: a folder of this machine, or an S3-compatible store. Light: imported by settings."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from soloist.wire.sigv4 import S3Credential


@dataclass(frozen=True, slots=True)
class S3Location:
    """An S3-compatible store."""

    endpoint: str
    """Scheme, host and port; no path."""
    credential: S3Credential = field(repr=False)
    is_virtual_hosted: bool = False
    """Whether a bucket is part of the host's name instead of the path."""
    public_endpoint: str = ""
    """What download URLs begin with, if readers reach the store by another address."""
    has_signed_urls: bool = True
    """Whether download URLs are presigned; plain ones need a bucket that everybody may read."""
    request_timeout: timedelta = timedelta(seconds=60)
    """For one request, the largest being a part of 8 MiB."""
    patience: timedelta = timedelta(seconds=15)
    """How long a request that failed is tried again at once; after that the caller decides."""

    def base_url(self, bucket: str = "", *, is_public: bool = False) -> str:
        """Return scheme and host under which a bucket is addressed; without one, the store's own."""
        endpoint = (is_public and self.public_endpoint) or self.endpoint
        if not bucket or not self.is_virtual_hosted:
            return endpoint
        parts = urlsplit(endpoint)
        return f"{parts.scheme}://{bucket}.{parts.netloc}"

    def path(self, bucket: str, key: str = "") -> str:
        """Return the path of a bucket or an object below `base_url`."""
        return f"/{key}" if self.is_virtual_hosted else f"/{bucket}/{key}" if key else f"/{bucket}"


Location = Path | S3Location
"""A folder holds its buckets as folders."""
