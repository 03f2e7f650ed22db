"""Lists of what is in an S3 bucket are bounded by requests as well as by objects."""

from datetime import timedelta

import pytest

from soloist.clock import utc_now
from soloist.model.stored import FoundObject
from soloist.storage.listing import PAGES_MAX, list_objects
from soloist.storage.location import S3Location
from soloist.storage.s3 import S3Api
from soloist.wire.sigv4 import S3Credential

pytestmark = pytest.mark.anyio


async def test_folders_among_endless_objects_are_looked_for_in_few_requests(monkeypatch):
    asked = []

    async def page(self, prefix, delimiter, token):
        del self, prefix, delimiter
        assert len(asked) <= PAGES_MAX, "it goes on for ever"
        asked.append(token)
        return [FoundObject(f"{len(asked)}.mp4", 1), FoundObject(f"folder{len(asked)}/")], f"after {len(asked)}"

    monkeypatch.setattr(S3Api, "page", page)
    second = timedelta(seconds=1)
    location = S3Location("http://127.0.0.1:9", S3Credential("k", "s", "r"), request_timeout=second, patience=second)

    found = await list_objects(location, "crowded", "", clock=utc_now, only_folders=True)

    assert len(found) == len(asked) == PAGES_MAX
