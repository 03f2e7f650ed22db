"""Fuzzing of the Python side: whatever bytes come in, the only exceptions are ours (rule R24).

Seeded mutations of well-formed input. The short run takes the same inputs every time; `SOLOIST_FUZZ=long` (`make fuzz`)
takes as many as the table says and notes its counts below build/fuzz.
"""

import json
import os
import random
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.frames import START_NS, ReportValue, audio_frame, video_frame
from support.fuzz_media import CODECS, frames, left_behind, leftover, manifest, note, pack
from support.hls_rules import changes, complaints, parse
from support.jobs import a_job
from support.offers import OFFER, RESTART, TRICKLE
from support.walk import declared_between

from soloist.api.body import parse_object
from soloist.keeping.notes import FileNote, write_note
from soloist.keeping.summary import told_job
from soloist.model.errors import SoloistError
from soloist.model.media import Kind
from soloist.model.rule import RecordFormat
from soloist.wire.join_token import JoinRole, mint_join_token, verify_join_token
from soloist.wire.keys import check_prefix
from soloist.wire.playlist import END, PlaylistSegment, render_head, render_segment, target_duration_s
from soloist.wire.rtmp import RANDOM_BYTES, RtmpPublisher, RtmpState, RtmpUrl
from soloist.wire.signing import RawRequest, parse_authorization, verify_signature
from soloist.wire.timeline import Timeline
from soloist.wire.whip import WhipRequest, WhipSession, parse_offer

RESULTS = Path(__file__).parents[2] / "build" / "fuzz"
BASE_S, BYTE_S = 0.25, 50e-6
"""Processor time any input may take, and each of its bytes besides."""

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEY = "6a" * 32
TOKEN = mint_join_token(
    KEY, app_id="demo", room_id="r", participant_id="u", role=JoinRole.JOINER, expires_at=NOW + timedelta(hours=1)
)
AUTHORIZATION = b"SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature=" + b"0a" * 32
VECTORS = Path(__file__).parents[1] / "unit" / "wire" / "vectors"
RTMP = [(VECTORS / f"rtmp_{name}.bin").read_bytes() for name in ("nginx_1.22_accepts", "ffmpeg_5.1_accepts")]
HANDSHAKE = RTMP[0][:3073]
BODY = b'{"room_id": "r", "user_id": 7, "record_param": {"record_rule_id": "demo"}, "x": [null, 1e9, true, "\\u623f"]}'


def offer(data):
    parse_offer(WhipRequest("POST", {"content-type": "application/sdp"}, data))


def fragment(data):
    headers = {"content-type": "application/trickle-ice-sdpfrag", "if-match": "*"}
    WhipSession("tag", "EsAw").answer(WhipRequest("PATCH", headers, data))


def body(data):
    parse_object(data)


def token(data):
    verify_join_token(data.decode("latin-1"), KEY, NOW)


def signature(data):
    head, _, target = data.partition(b"\n")
    headers = [(b"host", b"x"), (b"x-sdk-date", b"20261122T120000Z"), (b"authorization", head)]
    request = RawRequest("GET", target or b"/v2/apps/demo%2F", headers, "0" * 64)
    verify_signature(request, parse_authorization(request), "secret", NOW)


def prefix(data):
    check_prefix(data.decode("latin-1"))


def timeline(data):
    """Each eight bytes are a frame or a report with whatever times; arrival is our clock and never goes back.

    Whatever comes: times go up, nothing overlaps, and what lies between samples is declared to the nanosecond.
    """
    line, samples, now_ns = Timeline(), [], START_NS
    for place in range(0, len(data) - 7, 8):
        what, *rest = data[place : place + 8]
        ticks = int.from_bytes(rest[:3], "big", signed=True) << (what >> 5)
        now_ns += rest[3] * 10_000_000
        kind, session = Kind.VIDEO if what & 1 else Kind.AUDIO, rest[4] & 1
        if what & 2:
            ntp_ns = now_ns + (int.from_bytes(rest[5:], "big", signed=True) << (what >> 5)) * 1_000
            line.report(
                session, ReportValue("01"[what & 1], None, ticks, ntp_ns, now_ns), 90_000 if what & 1 else 48_000
            )
        else:
            make = video_frame if what & 1 else audio_frame
            frame = make(0).but(rtp_ticks=ticks, received_ns=now_ns, data=bytes(rest[:3] * (1 + rest[6])))
            is_key = kind is Kind.AUDIO or bool(what & 4)
            line.push(session, frame.but(follows_gap=bool(what & 8), packets_lost=rest[5], is_keyframe=is_key), kind)
        if what & 16:
            line.tick(now_ns)
        if rest[4] > 250:
            line.forget(session)
        samples += line.take()
    line.finish()
    samples += line.take()
    for kind in Kind:
        missing = [hole for hole in line.missing if hole.kind is kind]
        assert declared_between([sample for sample in samples if sample.kind is kind], missing) == missing


def playlist(data):
    """Each twelve bytes are a segment; the text grows by it and is read again by the rules of RFC 8216."""
    is_fragmented, target_s = bool(data[:1] > b"\x7f"), target_duration_s(2 + (data[0] & 7 if data else 0))
    text, before, listed = render_head(target_s, is_fragmented=is_fragmented, is_independent=False), None, []
    for place in range(1, len(data) - 11, 12):
        flags, number, *rest = data[place : place + 12]
        segment = PlaylistSegment(
            f"s_{len(listed):05d}.{'m4s' if is_fragmented else 'ts'}",
            int.from_bytes(rest[:4], "big") % (target_s * 1_000_000_000),
            int.from_bytes(rest[4:], "big") % (1 << 61),
            bool(flags & 1),
            f"init_{number & 3}.mp4" if is_fragmented else "",
        )
        longer = text + render_segment(segment, before)
        assert (complaints(longer), changes(text, longer)) == ([], [])
        text, before = longer, segment
        listed.append((segment.uri, segment.map_uri, segment.is_discontinuous and bool(listed)))
    found = parse(text + END) if listed else parse(text)
    assert found.complaints == []
    assert [(one.uri, one.map_uri, one.is_discontinuous) for one in found.segments] == listed


def rtmp(data):
    """What a server answers a publisher with, from the handshake's end on, in pieces of 100 bytes."""
    publisher = RtmpPublisher(RtmpUrl.parse("rtmp://h/live/key"), bytes(RANDOM_BYTES))
    publisher.receive(HANDSHAKE)
    for place in range(0, len(data), 100):
        publisher.receive(data[place : place + 100])
        if publisher.state is RtmpState.CONNECTED:
            publisher.publish()


def a_note():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "00000.mp4"
        job = told_job(a_job())
        write_note(FileNote(job, path, "demo/a.mp4", RecordFormat.MP4, "cn-north-4", "recordings", 1, 2, "detail"))
        return path.with_name("00000.mp4.note").read_bytes()


TIMES = [
    bytes(range(64)),
    b"".join(bytes([what, 0, 12 * n & 255, 0, 3, 0, 0, 1]) for n in range(24) for what in (5, 0, 19, 18)),
    b"".join(bytes([5 if n % 8 == 0 else 9, n // 8, n * 32 & 255, 0, 4, 0, n % 3, 9]) for n in range(40)),
]
SEGMENTS = [bytes([how, *[1, 2, 60, 40, 0, 0, 25, 70, 80, 90, 100, 110] * 6]) for how in (0, 0x81)]
TARGETS = {
    offer: ([OFFER.encode()], 4_000, 200_000),
    fragment: ([TRICKLE.encode(), RESTART.encode()], 4_000, 200_000),
    body: ([BODY], 4_000, 400_000),
    token: ([TOKEN.encode()], 4_000, 200_000),
    signature: ([AUTHORIZATION + b"\n/v2/apps?a=b&c=%20", AUTHORIZATION], 4_000, 300_000),
    prefix: ([b"{app_id}/{stream}/x_{file_start_time}"], 4_000, 200_000),
    timeline: (TIMES, 2_000, 60_000),
    playlist: (SEGMENTS, 1_000, 30_000),
    frames: ([pack(codec, how=how) for codec in CODECS for how in range(4)], 120, 8_000),
    rtmp: ([answers[3073:] for answers in RTMP], 4_000, 300_000),
    note: ([a_note()], 4_000, 200_000),
    leftover: ([left_behind("mp4"), left_behind("webm")], 400, 20_000),
    manifest: ([b'alice \xf0\x9f\x8e\xa5\n"room"\\ '], 2_000, 100_000),
}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_no_input_raises_anything_but_our_own_errors(target):
    seeds, short, long = TARGETS[target]
    is_long = os.environ.get("SOLOIST_FUZZ") == "long"
    seed = int(os.environ.get("SOLOIST_FUZZ_SEED", "1"))
    chance, count, began = random.Random(seed), long if is_long else short, time.monotonic()
    for _ in range(count):
        data = mutated(chance, seeds)
        # One that is slow again and again is slow itself; a first time may have imported something.
        cost_s = min(cost_of(target, data, seed) for _ in range(3)) if cost_of(target, data, seed) > BASE_S else 0.0
        assert cost_s <= BASE_S + BYTE_S * len(data), f"seed {seed}: {cost_s} s for {data!r}"
    if is_long:
        RESULTS.mkdir(parents=True, exist_ok=True)
        row = {"target": f"python/{target.__name__}", "seed": seed, "inputs": count}
        row["seconds"] = round(time.monotonic() - began, 1)
        (RESULTS / f"python-{target.__name__}-{seed}.json").write_text(json.dumps(row) + "\n")


def cost_of(target, data, seed):
    """Give a target an input; return the processor time that took, seconds."""
    began_s = time.thread_time()
    try:
        target(data)
    except SoloistError:
        pass
    except Exception as error:
        raise AssertionError(f"seed {seed}: {data!r}") from error
    return time.thread_time() - began_s


def mutated(chance, seeds):
    """Return a seed changed in one to six places."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.randint(1, 6)):
        at, length = chance.randrange(len(data) + 1), chance.randint(1, 32)
        match chance.randrange(5):
            case 0:
                del data[at : at + length]
            case 1:
                data[at:at] = data[at : at + length]
            case 2:
                data[at:at] = chance.randbytes(length)
            case 3 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case _:
                data[at : at + 1] = chance.choice([b"\x00", b"\xff", b"\r\n", b"a=", b"%2F", b"..", b"{", b'"', b"="])
    return bytes(data)
