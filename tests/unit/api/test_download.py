"""Downloads: so many at once, in all and from one address, and none that hardly reads."""

import anyio
import pytest
from support.asgi import call

from soloist.api.bounds import Bounds
from soloist.api.download import DROP, PacedResponse
from soloist.api.errors import BusyError

pytestmark = pytest.mark.anyio

PIECES = [b"a" * 1000, b"b" * 1000]


def room(total=4, per_source=2):
    return Bounds(bodies_bytes_max=1, downloads_max=total, downloads_per_source_max=per_source)


def download(bounds, pieces=PIECES, bucket="here/mine"):
    async def read():
        for piece in pieces:
            yield piece

    return PacedResponse(read(), bounds, bucket=bucket, status_code=200, headers={"Content-Type": "video/mp4"})


class Reader:
    """Takes what it is sent when it is let."""

    def __init__(self, bounds, source="192.0.2.1", bucket="here/mine"):
        self.takes, self.got, self.ended = anyio.Event(), [], []
        self.bounds, self.bucket = bounds, bucket
        self.scope = {
            "type": "http",
            "client": (source, 1),
            "asgi": {"spec_version": "2.3"},
            "extensions": {DROP: lambda: self.ended.append("dropped")},
        }

    async def run(self):
        await download(self.bounds, bucket=self.bucket)(self.scope, self.receive, self.send)

    async def send(self, message):
        await self.takes.wait()
        self.got.append(message.get("body", b""))

    async def receive(self):
        await anyio.sleep_forever()


async def test_a_reader_who_reads_gets_all_of_it_and_gives_its_place_back():
    bounds = room()

    answer = await call(download(bounds), "GET", "/")

    assert answer.body == b"".join(PIECES)
    assert bounds.figures()["downloads"] == 0


async def test_a_reader_who_does_not_read_is_cut_off_and_counted(monkeypatch):
    monkeypatch.setattr(PacedResponse, "piece_s_max", 0.05)
    bounds = room()
    reader = Reader(bounds)

    async def start_only(message):
        if message["type"] == "http.response.body":
            await anyio.sleep_forever()

    reader.send = start_only
    with anyio.fail_after(5):
        await reader.run()

    assert reader.ended == ["dropped"]
    assert bounds.downloads_refused == {"slow": 1}
    assert bounds.figures()["downloads"] == 0


async def test_a_store_that_pauses_is_not_the_readers_fault(monkeypatch):
    monkeypatch.setattr(PacedResponse, "piece_s_max", 0.05)
    bounds = room()

    async def slow_store():
        for piece in PIECES:
            await anyio.sleep(0.15)
            yield piece

    reader = Reader(bounds)
    reader.takes.set()
    await PacedResponse(slow_store(), bounds, bucket="here/mine", status_code=200, headers={})(
        reader.scope, reader.receive, reader.send
    )

    assert b"".join(reader.got) == b"".join(PIECES)
    assert not bounds.downloads_refused


async def test_an_address_has_its_share_and_no_more_and_others_have_theirs():
    bounds = room(total=3, per_source=2)
    readers = [Reader(bounds, bucket="here/theirs") for _ in range(2)]
    async with anyio.create_task_group() as group:
        for reader in readers:
            group.start_soon(reader.run)
        await anyio.sleep(0.01)
        with pytest.raises(BusyError) as caught:
            await Reader(bounds).run()
        other = Reader(bounds, "192.0.2.2")
        group.start_soon(other.run)
        await anyio.sleep(0.01)
        with pytest.raises(BusyError):
            await Reader(bounds, "192.0.2.3").run()
        for reader in (*readers, other):
            reader.takes.set()

    assert caught.value.headers["Retry-After"] == "1"
    assert bounds.downloads_refused == {"source": 1, "total": 1}
    assert [b"".join(reader.got) for reader in readers] == [b"".join(PIECES)] * 2
    assert bounds.figures()["downloads"] == 0


async def test_one_bucket_leaves_a_quarter_of_the_places_to_others_whoever_reads_it():
    bounds = room(total=4, per_source=1)
    readers = [Reader(bounds, f"192.0.2.{number}") for number in range(3)]
    async with anyio.create_task_group() as group:
        for reader in readers:
            group.start_soon(reader.run)
        await anyio.sleep(0.01)
        with pytest.raises(BusyError, match="at most 3 at once from one bucket"):
            await Reader(bounds, "192.0.2.9").run()
        other = Reader(bounds, "192.0.2.10", bucket="here/theirs")
        group.start_soon(other.run)
        await anyio.sleep(0.01)
        for reader in (*readers, other):
            reader.takes.set()

    assert b"".join(other.got) == b"".join(PIECES)
    assert bounds.downloads_refused == {"bucket": 1}
    assert bounds.figures()["downloads"] == 0
