"""A media file as a steady run of H.264 and Opus packets, in the order they are due.

H.264 without reordered pictures and stereo Opus at 48 kHz pass as they are; everything else is encoded on the way
(H.264 baseline without delay, a keyframe a second; Opus, 20 ms). Knows files and encoders; knows no network or clock.
Spec: RFC 6184 (what a WebRTC sender may send), RFC 7587 (Opus).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from soloist.model.errors import RequestError
from soloist.model.media import Kind
from soloist.wire.clock import NS

LEAD_NS = NS // 50
"""Everything is due this much later, so that an encoder's priming never makes a time negative."""
HELD_COUNT_MAX = 2_000
"""Packets held of one track while waiting for the other: some 30 s; beyond, the file's own order is taken."""
HEIGHT_MAX = 720
"""Pictures higher than this are scaled down when they have to be encoded, to keep real time on two cores."""
AUDIO_RATE_HZ = 48_000
OPUS_FRAME_SIZE = 960


class ClipError(RequestError):
    """The file cannot be published; give one with sound or pictures that FFmpeg reads."""


@dataclass(frozen=True, slots=True)
class DuePacket:
    """A packet and when to send it."""

    due_ns: int
    """Decode time from the start of publishing."""
    kind: Kind
    packet: "Packet[Stream]"
    duration_ns: int


class _Track(Protocol):
    """Turns packets of one pass over the file into packets to send."""

    kind: Kind

    def send(self, packet: "Packet[Stream]", base_ns: int) -> Iterator["Packet[Stream]"]:
        """Return what a packet of the file becomes, `base_ns` after the start of publishing."""


class _CopyTrack:
    """Passes packets on, at their own times."""

    def __init__(self, source: Stream, output: OutputContainer, kind: Kind) -> None:
        self.kind = kind
        self._stream = output.add_stream_from_template(source, opaque=True)

    def send(self, packet: "Packet[Stream]", base_ns: int) -> Iterator["Packet[Stream]"]:
        if packet.dts is None or packet.pts is None or packet.time_base is None:
            return
        shift = int(Fraction(base_ns, NS) / packet.time_base)
        packet.dts += shift
        packet.pts += shift
        packet.stream = self._stream
        yield packet


class _VideoEncodeTrack:
    """Decodes pictures and encodes them as a camera's encoder would."""

    kind = Kind.VIDEO

    def __init__(self, source: VideoStream, output: OutputContainer) -> None:
        rate = source.average_rate or source.guessed_rate or Fraction(30)
        stream = output.add_stream("libx264", rate=rate)
        stream.width, stream.height = fitted_size(source.width, source.height)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90_000)
        stream.codec_context.gop_size = max(1, round(rate))
        stream.options = {"preset": "veryfast", "tune": "zerolatency", "profile": "baseline", "sc_threshold": "0"}
        self._stream = stream

    def send(self, packet: "Packet[Stream]", base_ns: int) -> Iterator["Packet[Stream]"]:
        for frame in packet.decode():
            if isinstance(frame, VideoFrame) and frame.pts is not None and frame.time_base is not None:
                picture = frame.reformat(self._stream.width, self._stream.height, "yuv420p")
                picture.pts = int((frame.pts * frame.time_base + Fraction(base_ns, NS)) * 90_000)
                picture.time_base = Fraction(1, 90_000)
                # The file's own picture types would otherwise be asked of the encoder.
                picture.pict_type = 0
                yield from self._stream.encode(picture)


class _AudioEncodeTrack:
    """Decodes sound and encodes it as Opus in 20 ms packets."""

    kind = Kind.AUDIO

    def __init__(self, output: OutputContainer) -> None:
        self._stream = output.add_stream("libopus", rate=AUDIO_RATE_HZ, layout="stereo")
        self._resampler = _opus_resampler()
        self._next_sample = 0
        self._base_ns = -1

    def send(self, packet: "Packet[Stream]", base_ns: int) -> Iterator["Packet[Stream]"]:
        for frame in packet.decode():
            if not isinstance(frame, av.AudioFrame) or frame.pts is None or frame.time_base is None:
                continue
            if self._base_ns != base_ns:
                self._begin_pass(base_ns, frame.pts * frame.time_base)
            for piece in self._resampler.resample(frame):
                yield from self._encode(piece)

    def _begin_pass(self, base_ns: int, first: Fraction) -> None:
        # Sample counting, not the file's stamps, keeps packets exactly 20 ms apart (RFC 7587 §4.1).
        self._base_ns = base_ns
        starts = int((first + Fraction(base_ns, NS)) * AUDIO_RATE_HZ)
        self._next_sample = max(self._next_sample, starts)
        self._resampler = _opus_resampler()

    def _encode(self, piece: "av.AudioFrame") -> Iterator["Packet[Stream]"]:
        piece.pts = self._next_sample
        piece.time_base = Fraction(1, AUDIO_RATE_HZ)
        self._next_sample += piece.samples
        yield from self._stream.encode(piece)


class Clip:
    """A media file, opened for publishing once or over and over."""

    def __init__(self, path: Path, start_ns: int = 0) -> None:
        """Open `path`, to begin `start_ns` into it or at the keyframe before.

        Raises:
            ClipError: it is not there, not media, or has neither sound nor pictures.
        """
        self._path = path
        self._container = _open(path)
        self._video: VideoStream | None = next(iter(self._container.streams.video), None)
        self._audio: AudioStream | None = next(iter(self._container.streams.audio), None)
        if self._video is None and self._audio is None:
            raise ClipError(f"{path} has neither sound nor pictures; give another file")
        self._tracks: dict[int, _Track] = {}
        if start_ns:
            self._seek(start_ns)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What the file holds."""
        return tuple(kind for kind, stream in ((Kind.VIDEO, self._video), (Kind.AUDIO, self._audio)) if stream)

    @property
    def duration_ns(self) -> int | None:
        """Length of one pass; None if the file does not say."""
        return None if self._container.duration is None else self._container.duration * 1000

    @property
    def is_transcoded(self) -> bool:
        """True if pictures or sound are encoded anew on the way."""
        return not all(can_copy(stream) for stream in self._streams)

    def add_streams(self, output: OutputContainer) -> None:
        """Declare the tracks in a muxer that is not started yet; call once, before `packets`."""
        self._tracks = {}
        if self._video is not None:
            self._tracks[self._video.index] = (
                _CopyTrack(self._video, output, Kind.VIDEO)
                if can_copy(self._video)
                else _VideoEncodeTrack(self._video, output)
            )
        if self._audio is not None:
            self._tracks[self._audio.index] = (
                _CopyTrack(self._audio, output, Kind.AUDIO) if can_copy(self._audio) else _AudioEncodeTrack(output)
            )

    def packets(self, *, loop: bool) -> Iterator[DuePacket]:
        """Yield every packet in order of its due time; endless with `loop`, each pass following the one before.

        Raises:
            ClipError: the file breaks off in a way FFmpeg cannot read past.
        """
        base_ns = LEAD_NS
        while True:
            end_ns = base_ns
            for due in self._pass(base_ns):
                yield due
                end_ns = max(end_ns, due.due_ns + due.duration_ns)
            if not loop or end_ns == base_ns:
                return
            base_ns = end_ns
            self._seek(0)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    @property
    def _streams(self) -> list[VideoStream | AudioStream]:
        return [stream for stream in (self._video, self._audio) if stream is not None]

    def _pass(self, base_ns: int) -> Iterator[DuePacket]:
        """Merge the tracks by time; files may interleave them coarsely."""
        held: dict[Kind, deque[DuePacket]] = {track.kind: deque() for track in self._tracks.values()}
        for due in self._converted(base_ns):
            held[due.kind].append(due)
            while all(held.values()) or any(len(queue) > HELD_COUNT_MAX for queue in held.values()):
                yield _pop_earliest(held)
        while any(held.values()):
            yield _pop_earliest(held)

    def _converted(self, base_ns: int) -> Iterator[DuePacket]:
        """Yield the packets of one pass in the file's order, its first packet at `base_ns`."""
        origin_ns: int | None = None
        try:
            for packet in self._container.demux(self._streams):
                if origin_ns is None:
                    origin_ns = _time_ns(packet)
                track = self._tracks[packet.stream.index]
                for sent in track.send(packet, base_ns - (origin_ns or 0)):
                    due_ns = _time_ns(sent)
                    if due_ns is not None and due_ns >= base_ns - LEAD_NS:
                        yield DuePacket(due_ns, track.kind, sent, _duration_ns(sent))
        except av.FFmpegError as error:
            raise ClipError(f"{self._path} cannot be read on: {error.strerror}; repair or replace it") from error

    def _seek(self, to_ns: int) -> None:
        self._container.seek((self._container.start_time or 0) + to_ns // 1000)
        for stream in self._streams:
            stream.codec_context.flush_buffers()


def can_copy(stream: VideoStream | AudioStream) -> bool:
    """Return whether FFmpeg's WHIP muxer takes this stream as it is."""
    if isinstance(stream, VideoStream):
        return stream.codec_context.name == "h264" and not stream.codec_context.has_b_frames
    context = stream.codec_context
    is_opus = isinstance(context, AudioCodecContext) and context.name in ("opus", "libopus")
    return is_opus and context.sample_rate == AUDIO_RATE_HZ and context.layout.nb_channels == 2


def fitted_size(width: int, height: int) -> tuple[int, int]:
    """Return the size within 720 lines, even in both directions, of the same shape."""
    if height > HEIGHT_MAX:
        width, height = width * HEIGHT_MAX // height, HEIGHT_MAX
    return max(2, width // 2 * 2), max(2, height // 2 * 2)


def _open(path: Path) -> InputContainer:
    try:
        container = av.open(str(path))
    except FileNotFoundError as error:
        raise ClipError(f"{path} does not exist; check the path") from error
    except (av.FFmpegError, OSError) as error:
        raise ClipError(f"{path} cannot be read as media ({error.strerror}); give a file FFmpeg can play") from error
    return container


def _pop_earliest(held: dict[Kind, deque[DuePacket]]) -> DuePacket:
    return min((queue for queue in held.values() if queue), key=lambda queue: queue[0].due_ns).popleft()


def _time_ns(packet: "Packet[Stream]") -> int | None:
    if packet.dts is None or packet.time_base is None:
        return None
    return int(packet.dts * packet.time_base * NS)


def _duration_ns(packet: "Packet[Stream]") -> int:
    if packet.duration is None or packet.time_base is None:
        return 0
    return int(packet.duration * packet.time_base * NS)


def _opus_resampler() -> AudioResampler:
    return AudioResampler("s16", "stereo", AUDIO_RATE_HZ, OPUS_FRAME_SIZE)
