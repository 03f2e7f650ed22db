"""One target against a server over loopback: what is sent, and what becomes of it when the server will not have it."""

import asyncio
import io
import struct
import time
from dataclasses import replace

import av
import pytest
from support.media import interleaved, opus_samples, video_samples
from support.scripted_rtmp import AUDIO, VIDEO, scripted_rtmp, silent_target, swallowing_target

from soloist.forwarding.child import Forwarder
from soloist.forwarding.standing import Patience
from soloist.forwarding.target import Target
from soloist.forwarding.units import Feed
from soloist.model.forward import ForwardState
from soloist.model.media import Codec, Kind
from soloist.wire.addresses import LOOPBACK, OutgoingGuard

pytestmark = pytest.mark.anyio
QUICK = Patience(answer_s=0.5, stalled_s=1.0)


def units(codec=Codec.H264, seconds=2):
    feed = Feed()
    feed.expect(frozenset(Kind))
    pictures = tuple(
        replace(s, codec=codec.value, width=320 * s.is_keyframe, height=180 * s.is_keyframe)
        for s in video_samples(codec, seconds)
    )
    sounds = tuple(replace(s, codec=Codec.OPUS.value) for s in opus_samples(seconds))
    return [unit for sample in interleaved(pictures, sounds) for unit in feed.push(sample)] + feed.flush()


def a_target(url, made, *, guard=OutgoingGuard(LOOPBACK), patience=QUICK):  # noqa: B008 - a value
    has_media = asyncio.Event()
    has_media.set()
    first = next((unit for unit in made if unit.kind is Kind.VIDEO), None)
    return Target(url, guard=guard, patience=patience, has_media=has_media, picture=lambda: first)


async def until(condition, within_s=10.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"
        await asyncio.sleep(0.02)


async def forwarded(server, made):
    """Forward units to a server and end in order; return the target's last status."""
    target = a_target(server.url, made)
    target.start()
    await until(lambda: target.wants_keyframe)
    for unit in made:
        target.offer(unit)
    await until(lambda: target.status.state is ForwardState.LIVE)
    await target.end(5.0)
    return target.status


async def test_everything_is_sent_and_the_end_is_said():
    made = units()
    with scripted_rtmp() as server:
        status = await forwarded(server, made)
        await until(lambda: server.commands[-1] == "deleteStream")

    assert status.pictures_sent == len([u for u in made if u.kind is Kind.VIDEO]) == len(server.media(VIDEO)) - 1
    assert status.sounds_sent == len(server.media(AUDIO)) - 1
    assert status.sounds_sent + status.frames_dropped == len([u for u in made if u.kind is Kind.AUDIO])
    assert server.commands == [
        "connect",
        "releaseStream",
        "FCPublish",
        "createStream",
        "publish",
        "FCUnpublish",
        "deleteStream",
    ]


@pytest.mark.parametrize("kinds", [{Kind.VIDEO}, {Kind.VIDEO, Kind.AUDIO}])
async def test_players_are_told_what_there_is_before_it_comes(kinds):
    made = [unit for unit in units() if unit.kind in kinds]
    with scripted_rtmp() as server:
        await forwarded(server, made)

    (told,) = server.metadata
    assert (told["width"], told["height"], told["videocodecid"]) == (320, 180, 7)
    assert ("audiocodecid" in told) == (Kind.AUDIO in kinds)


@pytest.mark.parametrize(("codec", "code"), [(Codec.VP9, "vp09"), (Codec.AV1, "av01")])
async def test_what_a_server_announces_it_gets_and_players_can_show(codec, code):
    with scripted_rtmp(info={"videoFourCcInfoMap": {code: 1}}) as server:
        await forwarded(server, units(codec, 1))

    flv = io.BytesIO(_flv(server.media(VIDEO)))
    with av.open(flv, format="flv") as container:
        shown = sum(1 for _ in container.decode(video=0))
        assert container.streams.video[0].codec_context.codec.canonical_name == codec.value
    assert shown == 30


@pytest.mark.parametrize("codec", [Codec.VP9, Codec.AV1, Codec.VP8])
async def test_a_server_that_does_not_announce_a_coding_is_not_published_to(codec):
    made = units(codec, 1)
    with scripted_rtmp(info={"fourCcList": ["hvc1"]}) as server:
        target = a_target(server.url, made)
        target.start()
        await until(lambda: target.status.state is ForwardState.FAILED)
        await target.end(1.0)

    assert "publish H.264" in target.status.last_error
    assert "publish" not in server.commands


@pytest.mark.parametrize("place", [silent_target, swallowing_target])
async def test_a_server_that_never_answers_fails_and_is_tried_again(place):
    with place() as url:
        target = a_target(url, units())
        target.start()
        await until(lambda: target.status.retries >= 1)
        await target.end(0.2)

    assert target.status.state is ForwardState.FAILED
    assert "did not answer in time" in target.status.last_error


async def test_a_server_that_stops_reading_stalls_and_the_queue_stays_bounded():
    made = units(seconds=4)
    with scripted_rtmp(stops_after=20) as server:
        target = a_target(server.url, made)
        target.start()
        await until(lambda: target.wants_keyframe)
        for unit in made[:40]:
            target.offer(unit)
        await until(lambda: target.status.state is ForwardState.LIVE)
        for n in range(400):
            target.offer(replace(made[0], at_ms=10_000 + n * 10, payload=bytes(50_000)))
        await until(lambda: target.status.state is ForwardState.STALLED)
        held = target._outlet._queue_bytes
        await until(lambda: server.connections == 2)
        await target.end(0.2)

    assert held <= 4 * 1024 * 1024
    assert target.status.frames_dropped > 100
    assert "taken no media" in target.status.last_error


async def test_a_server_that_takes_nothing_is_let_go_at_once_when_another_recorder_may_have_the_job():
    made = units(seconds=1)
    with scripted_rtmp(stops_after=20) as server:
        target = a_target(server.url, made)
        target.start()
        await until(lambda: target.wants_keyframe)
        for unit in made:
            target.offer(replace(unit, payload=unit.payload + bytes(50_000 * (unit.kind is Kind.VIDEO))))
        await until(lambda: target.status.state is ForwardState.LIVE)
        forwarder = Forwarder()
        forwarder._targets[server.url] = target

        forwarder.obey({"hold": True})
        await until(target._task.done, 0.6)


async def test_an_address_that_is_not_public_is_refused_before_anything_is_sent():
    with scripted_rtmp() as server:
        target = a_target(server.url, units(), guard=OutgoingGuard())
        target.start()
        await until(lambda: target.status.state is ForwardState.FAILED)
        await target.end(0.2)

    assert server.connections == 0
    assert "SOLOIST_OUTGOING_ALLOWED" in target.status.last_error


async def test_nobody_there_is_told_with_its_remedy():
    with scripted_rtmp() as server:
        url = server.url
    target = a_target(url, units())
    target.start()
    await until(lambda: target.status.state is ForwardState.FAILED)
    await target.end(0.2)

    assert target.status.last_error == "nobody accepts connections there; check host and port"


def _flv(bodies):
    """Return a file of these video tags, 33 ms apart. Spec: FLV §E.2."""
    parts = [b"FLV\1\1\0\0\0\x09\0\0\0\0"]
    for n, body in enumerate(bodies):
        at_ms = max(0, n - 1) * 33
        head = b"\x09" + len(body).to_bytes(3, "big") + (at_ms & 0xFFFFFF).to_bytes(3, "big") + bytes(4)
        parts += [head, body, struct.pack(">I", len(body) + 11)]
    return b"".join(parts)
