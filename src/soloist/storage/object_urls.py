"""Addresses of finished objects, for callbacks and whoever shows a job's files.

A folder's objects are read through our own api, by signed paths (`wire/object_path.py`). An S3 store's files have its
presigned URLs, but for playlists: their segments would lack a signature, so those are read through the api as well.
Spec: API sections 4.12, 4.14, 7.2 (obs_location, download_url).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from soloist.storage.location import Location
from soloist.wire.object_path import PLAYLIST, object_path
from soloist.wire.sigv4 import presign


@dataclass(frozen=True, slots=True)
class ObjectUrls:
    """Makes addresses; asks nobody."""

    locations: Mapping[str, Location]
    public_url: str
    """Where readers reach our api: scheme, host and port, no slash at the end."""
    secret: str = field(repr=False)
    """What our own addresses are signed with, the same for every process of an installation."""
    lifetime: timedelta = timedelta(days=7)

    def endpoint(self, location: str) -> str:
        """Return the URL of a location's store; empty if the location is not configured any more."""
        place = self.locations.get(location)
        if place is None:
            return ""
        return self.public_url if isinstance(place, Path) else place.base_url(is_public=True)

    def download_url(self, location: str, bucket: str, key: str, now: datetime) -> str:
        """Return a URL by which an object can be read from `now` (aware) on; empty if its location is not configured.

        A playlist's URL plays: the names in it lead to its segments.
        """
        place = self.locations.get(location)
        if place is None:
            return ""
        is_plain = not isinstance(place, Path) and not place.has_signed_urls
        if isinstance(place, Path) or (key.endswith(PLAYLIST) and not is_plain):
            return self.public_url + object_path(
                self.secret, location=location, bucket=bucket, key=key, ends_at=now + self.lifetime
            )
        base_url, path = place.base_url(bucket, is_public=True), place.path(bucket, key)
        if is_plain:
            return base_url + quote(path)
        return presign("GET", base_url, path, credential=place.credential, now=now, lifetime=self.lifetime)
