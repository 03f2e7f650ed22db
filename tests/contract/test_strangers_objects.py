"""Objects that somebody else puts where a recording is about to be: none is lost, and the recording has its place."""

import contextlib
import json

import obstore
import pytest
from support.filed import Desk
from support.jobs import a_job, a_rule
from support.s3 import moto, versitygw

from soloist.clock import utc_now
from soloist.keeping.salvage import salvage
from soloist.keeping.shelf import Shelf
from soloist.model.event import FileCompleted, FileStarted
from soloist.model.rule import HlsConfig, Mp4Config, RecordFormat
from soloist.storage.bucket import Bucket
from soloist.storage.errors import ReplacedError
from soloist.storage.spool import Spool

pytestmark = pytest.mark.anyio

THEIRS = b'{"job": {"job_id": "another"}, "files": [{"key": "theirs"}]}'


@pytest.fixture(scope="module", params=["folder", "versitygw", "moto"])
def location(request, tmp_path_factory):
    """A location with a bucket `recordings`."""
    folder = tmp_path_factory.mktemp("place")
    if request.param == "folder":
        yield folder
        return
    with versitygw(folder) if request.param == "versitygw" else moto() as server:
        yield server.location


class Intruder:
    """Somebody else with a right to write into the same bucket, whom no condition binds."""

    def __init__(self, location):
        self._store = Bucket.at(location, "recordings", clock=utc_now)._store

    async def put(self, key):
        await obstore.put_async(self._store, key, THEIRS)

    async def remove(self, key):
        await obstore.delete_async(self._store, key)

    async def read(self, key):
        with contextlib.suppress(FileNotFoundError):
            return bytes(await (await obstore.get_async(self._store, key)).bytes_async())
        return None


@pytest.fixture
def intruder(location):
    return Intruder(location)


def a_desk(folder, location, name, record_format):
    """Return a recording into the location whose keys begin with a name of its own."""
    rule = a_rule(
        formats=(record_format,),
        mp4=Mp4Config(3600, f"{name}/{{stream}}", 300),
        hls=HlsConfig(0, f"{name}/{{stream}}", slice_s=2, merge_gap_s=-1),
    )
    return Desk(folder, a_job(rule=rule), shelf=Shelf(Spool(folder / "spool"), {"cn-north-4": location}))


def told(desk, kind):
    return [fact.key for fact in desk.journal.facts if isinstance(fact, kind)]


@pytest.mark.parametrize("taken", [(".mp4",), (".json",), (".mp4", ".json")])
async def test_a_file_whose_name_was_taken_after_it_was_announced_goes_under_another(
    tmp_path, location, intruder, taken
):
    desk = a_desk(tmp_path, location, f"mp4{'-'.join(taken)}", RecordFormat.MP4)
    desk.play(1)
    await desk.told()
    (announced,) = told(desk, FileStarted)
    stem = announced.removesuffix(".mp4")
    for extension in taken:
        await intruder.put(stem + extension)
    desk.play(1, publisher=desk.publisher, at_s=1.0)
    await desk.finish()

    assert desk.failures == []
    assert told(desk, FileCompleted) == [f"{stem}_1.mp4"]
    assert json.loads(await intruder.read(f"{stem}_1.json"))["files"][0]["key"] == f"{stem}_1.mp4"
    assert await intruder.read(stem + ".json") == (THEIRS if ".json" in taken else None)
    assert await intruder.read(announced) == (THEIRS if ".mp4" in taken else None)
    assert desk.spooled == []


async def test_a_playlist_whose_name_was_taken_before_its_first_segment_goes_under_another(
    tmp_path, location, intruder
):
    desk = a_desk(tmp_path, location, "first", RecordFormat.HLS)
    desk.play(1)
    await desk.told()
    (announced,) = told(desk, FileStarted)
    await intruder.put(announced)
    desk.play(5, publisher=desk.publisher, at_s=1.0)
    await desk.finish()

    stem = announced.removesuffix(".m3u8")
    assert desk.failures == []
    assert await intruder.read(announced) == THEIRS
    assert told(desk, FileCompleted) == [f"{stem}_1.m3u8"]
    text = (await intruder.read(f"{stem}_1.m3u8")).decode()
    names = [line for line in text.splitlines() if line and line[0] != "#"]
    assert len(names) >= 3
    assert all(name.startswith(stem.rpartition("/")[2] + "_1_0") for name in names)
    assert None not in [await intruder.read(f"first/{name}") for name in names]


@pytest.mark.parametrize("extension", [".m3u8", ".json"])
async def test_a_playlist_that_is_replaced_meanwhile_is_not_put_back_but_loses_nothing(
    tmp_path, location, intruder, extension
):
    desk = a_desk(tmp_path, location, f"meanwhile{extension}", RecordFormat.HLS)
    desk.play(4)
    await desk.told()
    (announced,) = told(desk, FileStarted)
    replaced = announced.removesuffix(".m3u8") + extension
    await intruder.put(replaced)
    desk.play(4, publisher=desk.publisher, at_s=4.0)
    with pytest.raises(ReplacedError):
        await desk.finish()

    assert await intruder.read(replaced) == THEIRS
    assert [type(failure) for failure in desk.failures] == [ReplacedError]
    assert told(desk, FileCompleted) == []

    await intruder.remove(replaced)
    await salvage(desk.job, desk.journal, desk.shelf, own=True)
    assert told(desk, FileCompleted) == [announced]
    text = (await intruder.read(announced)).decode()
    names = [line for line in text.splitlines() if line and line[0] != "#"]
    assert len(names) >= 4
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert desk.spooled == []
