"""Whole recordings, MP4 and HLS with their manifests, in every kind of store: the same bytes under the same keys."""

import hashlib
import re
from pathlib import Path

import pytest
from support.filed import Desk
from support.jobs import NOW, a_job, a_rule
from support.s3 import moto, versitygw

from soloist.keeping.shelf import Shelf
from soloist.model.event import FileCompleted
from soloist.model.media import Codec
from soloist.model.rule import HlsConfig, Mp4Config, RecordFormat
from soloist.storage.object_urls import ObjectUrls
from soloist.storage.spool import Spool
from soloist.wire.object_path import PREFIX, TicketError, check_ticket

pytestmark = pytest.mark.anyio

RULE = a_rule(
    formats=(RecordFormat.MP4, RecordFormat.HLS),
    mp4=Mp4Config(record_cycle_s=3, prefix="mp4/{stream}"),
    hls=HlsConfig(record_cycle_s=0, prefix="hls/{stream}", slice_s=2, merge_gap_s=-1),
)


def names_in(playlist):
    """Return every name a playlist leads to: of segments, and of their initialisations."""
    return [line for line in playlist.splitlines() if line and line[0] != "#"] + re.findall('URI="(.*?)"', playlist)


def is_opened_by(playlist, key):
    """Return whether the download URL of a playlist opens another object."""
    url = ObjectUrls({"here": Path("/srv")}, "", "k" * 32).download_url("here", "recordings", playlist, NOW)
    ticket = url.removeprefix(PREFIX).partition("/")[0]
    try:
        check_ticket("k" * 32, ticket, location="here", bucket="recordings", key=key, now=NOW)
    except TicketError:
        return False
    return True


async def record(folder, location, codec):
    """Record eight seconds into a location; return what was told."""
    shelf = Shelf(Spool(folder / "spool"), {"cn-north-4": location})
    desk = Desk(folder, a_job(rule=RULE), shelf=shelf)
    desk.play(8, codec)
    await desk.finish()
    assert desk.failures == []
    assert desk.spooled == []
    return [fact for fact in desk.journal.facts if isinstance(fact, FileCompleted)]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9])
@pytest.mark.parametrize("server", [versitygw, moto])
async def test_an_s3_store_holds_what_a_folder_holds_byte_for_byte(tmp_path, server, codec):
    folder = tmp_path / "here" / "storage"
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    told_here = await record(tmp_path / "here", folder, codec)
    with server(*([tmp_path / "s3"] if server is versitygw else [])) as store:
        told_there = await record(tmp_path / "there", store.location, codec)
        there = store.objects()

    here = {
        str(path.relative_to(folder / "recordings")): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    assert sorted(there) == sorted(here)
    assert [key for key in here if here[key] != there[key]] == []
    assert told_here == told_there
    assert {fact.record_format for fact in told_there} == {"MP4", "HLS"}
    playlist = next(key for key in there if key.endswith(".m3u8"))
    assert len(names_in(there[playlist].decode())) >= 3
    assert [name for name in names_in(there[playlist].decode()) if not is_opened_by(playlist, f"hls/{name}")] == []
    for fact in told_there:
        assert hashlib.sha256(there[fact.key]).hexdigest() == fact.sha256
