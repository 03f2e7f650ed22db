"""Fuzz targets behind the receive core: frames of any bytes and times into files, and what a dead recorder left.

Each takes bytes and raises nothing but our own errors. Frames travel as records, `pack` makes seeds of real ones.
"""

import json
import struct
import tempfile
from fractions import Fraction
from functools import cache
from pathlib import Path

import av

from soloist.forwarding.messages import HEADER, encode_sample, parse_sample
from soloist.forwarding.outlet import Outlet
from soloist.forwarding.units import Feed
from soloist.keeping.notes import parse_note
from soloist.model.errors import SoloistError
from soloist.model.media import Codec, Kind, Tier
from soloist.model.rule import AudioMode, HlsConfig, Mp4Config, RecordFormat
from soloist.model.timing import Cause, Missing
from soloist.sinks.repair import repair, repair_segment
from soloist.wire.manifest import Manifest, ManifestFile, ManifestJob, ManifestTrack, render_manifest
from soloist.wire.playlist import target_duration_s
from soloist.wire.timeline import AHEAD_NS_MAX, EARLY_NS_MAX
from support.frames import NS, START_NS, FrameValue
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.stage import Stage, a_publisher

CODECS = (Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1)
HEAD = struct.Struct(">BIQHHH")
"""Flags, RTP time, arrival in ms, width, height, length of the payload that follows."""
SOUND, KEYFRAME, GAP = 1, 2, 4
MINUTES_MAX = 600_000


def pack(codec: Codec, *, how: int) -> bytes:
    """Return a second of real frames as records, behind a byte that says how they are recorded."""
    sound = [(s, SOUND | KEYFRAME, s.pts_ns) for s in opus_samples(1)]
    pictures = [(s, KEYFRAME * s.is_keyframe, s.pts_ns) for s in video_samples(codec, 1)]
    records = [bytes([CODECS.index(codec) | how << 2])]
    for sample, flags, at_ns in sorted([*sound, *pictures], key=lambda record: record[2]):
        size = (320, 180) if flags == KEYFRAME else (0, 0)
        head = HEAD.pack(flags, sample.pts_ticks, at_ns // 1_000_000, *size, len(sample.data))
        records.append(head + sample.data)
    return b"".join(records)


def _unpack(data: bytes, codec: Codec):
    at, unwrapped = 1, {}
    while at + HEAD.size <= len(data):
        flags, ticks, arrival_ms, width, height, length = HEAD.unpack_from(data, at)
        before = unwrapped.get(flags & SOUND, 1 << 33)
        unwrapped[flags & SOUND] = ticks = before + ((ticks - before + (1 << 31)) % (1 << 32)) - (1 << 31)
        payload = data[at + HEAD.size : at + HEAD.size + length]
        at += HEAD.size + length
        is_sound = bool(flags & SOUND)
        yield FrameValue(
            mid="0" if is_sound else "1",
            rid=None,
            codec="opus" if is_sound else codec.value,
            rtp_ticks=ticks,
            rate_hz=48_000 if is_sound else 90_000,
            is_keyframe=is_sound or bool(flags & KEYFRAME),
            follows_gap=bool(flags & GAP),
            received_ns=START_NS + arrival_ms % MINUTES_MAX * 1_000_000,
            width=width * bool(flags & KEYFRAME),
            height=height * bool(flags & KEYFRAME),
            data=payload,
        )


class Forwarded:
    """A tap that makes of every sample what RTMP carries, as a forwarder would."""

    wants_keyframe = False

    def __init__(self) -> None:
        self._feed, self._outlet = Feed(), Outlet()
        self._outlet.open()

    def expect(self, kinds: frozenset[Kind]) -> None:
        self._feed.expect(kinds)

    def push(self, samples) -> None:
        for sample in samples:
            for unit in self._feed.push(parse_sample(encode_sample(sample)[HEADER.size :])):
                self._outlet.offer(unit)
                times = [tag.at_ms for tag in self._outlet.take()]
                assert all(at_ms >= 0 for at_ms in times)

    def flush(self) -> None:
        self._feed.flush()


def frames(data: bytes) -> None:
    """Record and forward frames; every file that comes of them opens, and a recording that gives up says why.

    No file lasts longer than its frames took to arrive, but for what a network may hold back (rule R7). Arrival never
    goes back: it is our clock. RTP times and payloads are the stranger's.
    """
    if not data:
        return
    codec, how = CODECS[data[0] & 3], data[0] >> 2
    rule = a_rule(
        formats=(RecordFormat.HLS,) if how & 4 else (RecordFormat.MP4,),
        audio=AudioMode.COPY if how & 1 else AudioMode.AAC,
        mp4=Mp4Config(record_cycle_s=1 if how & 2 else 60),
        hls=HlsConfig(record_cycle_s=0, slice_s=2 if how & 2 else 10, merge_gap_s=-1),
    )
    with tempfile.TemporaryDirectory() as folder:
        stage, alice = Stage(Path(folder), a_job(rule=rule)), a_publisher(codec=codec)
        stage.recording.on_attached(alice)
        stage.recording.tap(Forwarded())
        arrived_ns = START_NS
        for frame in _unpack(data, codec):
            arrived_ns = max(arrived_ns, frame.received_ns)
            stage.recording.on_items(alice, [frame.but(received_ns=arrived_ns)])
            stage.recording.on_tick(arrived_ns)
        stage.recording.on_tick(arrived_ns + 11 * NS)
        for path in filter(Path.exists, stage.stop()):
            assert end_s(path) < (arrived_ns - START_NS + AHEAD_NS_MAX + EARLY_NS_MAX) / NS + 2
        for segment in stage.segments:
            lasts_s = (segment.end_ns - segment.start_ns) / NS
            assert 0 <= lasts_s <= target_duration_s(rule.hls.slice_s)
            repair_segment(segment.path, segment.init, is_torn=False)
        assert all(isinstance(error, SoloistError) and str(error) for error in stage.failures)


def end_s(path: Path) -> float:
    """Return how long a player finds a file to be, having read every packet of it."""
    with av.open(str(path)) as container:
        packets = [packet.pts * packet.time_base for packet in container.demux() if packet.pts is not None]
        return float(max([Fraction(container.duration or 0, 1_000_000), *packets]))


def note(data: bytes) -> None:
    """Read a note; what is none is a ValueError, and what is one stays in its folder."""
    folder = Path("/spool/job/1")
    try:
        found = parse_note(data, folder)
    except ValueError:
        return
    assert found.path.parent == folder
    assert ".." not in found.key.split("/")


@cache
def left_behind(suffix: str) -> bytes:
    """Return what a killed recorder leaves: whole fragments, or clusters, and no index."""
    codec = Codec.VP8 if suffix == "webm" else Codec.H264
    with tempfile.TemporaryDirectory() as folder:
        stage, alice = Stage(Path(folder)), a_publisher(codec=codec)
        stage.recording.on_attached(alice)
        for second in range(3):
            for frame in _unpack(pack(codec, how=0), codec):
                later = frame.but(
                    received_ns=frame.received_ns + second * NS, rtp_ticks=frame.rtp_ticks + second * frame.rate_hz
                )
                stage.recording.on_items(alice, [later])
        stage.recording.abort()
        (path,) = Path(folder).glob(f"*.{suffix}")
        return path.read_bytes()


def leftover(data: bytes) -> None:
    """Repair what a dead recorder, and then the disk, left; what can be read afterwards is what a player finds."""
    if not data:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("0.webm" if data.startswith(b"\x1a\x45") else "0.mp4")
        path.write_bytes(data)
        found = repair(path)
        if not found.is_empty:
            assert end_s(path) > 0


def manifest(data: bytes) -> None:
    """Render a manifest of a stranger's words; what comes is JSON and says the same."""
    word = data.decode("utf-8", "replace")
    numbers = [int.from_bytes(data[at : at + 7], "big") for at in range(0, 28, 7)]
    job = ManifestJob(word, 1, word, word, word, word, with_audio=True, video=None, tier=Tier.FHD)
    file = ManifestFile(word, RecordFormat.MP4, numbers[0], "0" * 64, numbers[1], numbers[1] + numbers[2], note=word)
    missing = Missing(Kind.AUDIO, numbers[2], numbers[2] + numbers[3], Cause.GAP, word)
    tracks = (ManifestTrack(Kind.AUDIO, Codec.OPUS, transcoded=False),)
    body = json.loads(render_manifest(Manifest(job, numbers[1] % (1 << 60), tracks, (missing,), (file,))))
    assert (body["job"]["room_id"], body["files"][0]["note"], body["missing"][0]["detail"]) == (word, word, word)
