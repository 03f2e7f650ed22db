"""One segment of an HLS playlist being written: MPEG-TS, or fMP4 whose initialisation section is kept apart.

Each segment has a muxer of its own, opened on its first keyframe, so that it can be played by itself; times go on from
segment to segment because samples bring them along. Knows nothing of when a segment ends, nor of playlists.
Spec: ISO/IEC 13818-1 (MPEG-TS); ISO/IEC 14496-12 (fMP4); RFC 8216 §3.2, §3.3.
"""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import OutputContainer
from av.stream import Stream

from soloist.model.errors import InternalError
from soloist.model.media import AudioFormat, Kind, Sample, VideoFormat
from soloist.sinks.boxes import parse_header
from soloist.sinks.mp4 import OPTIONS, Mp4Sink
from soloist.sinks.template import audio_template, video_template

_TS_HZ = 90_000
_TS_OPTIONS = {
    # Each segment's continuity counters begin anew, which its first packets say (ISO/IEC 13818-1 §2.4.3.5).
    "mpegts_flags": "initial_discontinuity",
    # One AAC frame a PES packet: nothing is held back, and each frame has its own time.
    "pes_payload_size": "0",
    "flush_packets": "1",
    "max_interleave_delta": "1",
    "avoid_negative_ts": "disabled",
    # Tables at the beginning are enough for a file that is read from there.
    "pat_period": "3600",
    "sdt_period": "3600",
}


class TsSegment:
    """One MPEG-TS segment: H.264 with AAC, either of them alone included."""

    def __init__(self, path: Path, *, video: VideoFormat | None, audio: AudioFormat | None, start: Fraction) -> None:
        """Create the file; `start` is the playlist's zero in seconds of the recording's timeline.

        Raises:
            InternalError: the spool refused the file, or the keyframe is not one.
        """
        self.path = path
        self.refused_count = 0
        self.init = b""
        """TS needs none."""
        self._start = start
        self._streams: dict[Kind, Stream] = {}
        self._last: dict[Kind, int] = {}
        try:
            self._container = av.open(str(path), "w", format="mpegts", options=dict(_TS_OPTIONS))
            if video is not None:
                self._add(Kind.VIDEO, video_template(video))
            if audio is not None:
                self._add(Kind.AUDIO, audio_template(audio))
                context = self._streams[Kind.AUDIO].codec_context
                if isinstance(context, AudioCodecContext):
                    context.extradata = audio.config
            self.coding = bytes(self._streams[Kind.VIDEO].codec_context.extradata or b"") if video else b""
            """Parameter sets of its pictures."""
            self._container.start_encoding()
        except (OSError, ValueError) as error:
            raise InternalError(f"A segment could not be opened: {error}") from error

    def _add(self, kind: Kind, template: Stream) -> None:
        self._streams[kind] = self._container.add_stream_from_template(template, opaque=True)

    def push(self, sample: Sample) -> None:
        """Write one sample; those of one track in time order.

        Raises:
            InternalError: the spool refused the bytes.
        """
        ticks = sample.pts_ticks - round(self._start * sample.rate_hz)
        if ticks < 0:
            return
        if sample.kind is Kind.VIDEO and not _is_annex_b(sample.data):
            self.refused_count += 1
            return
        is_first = sample.kind not in self._last and sample.kind is Kind.VIDEO
        # Shaka plays no segment that does not tell of its pictures, also where they need the segment before it.
        packet = av.Packet(sample.data if sample.is_keyframe or not is_first else self.coding + sample.data)
        packet.stream = self._streams[sample.kind]
        packet.time_base = Fraction(1, _TS_HZ)
        pts = max((ticks * _TS_HZ * 2 + sample.rate_hz) // (2 * sample.rate_hz), self._last.get(sample.kind, -1) + 1)
        packet.pts = packet.dts = self._last[sample.kind] = pts
        packet.is_keyframe = sample.is_keyframe
        try:
            self._container.mux_one(packet)
        except OSError as error:
            raise InternalError(f"The spool refused a sample ({error.strerror}); free its disk.") from error

    def close(self, end: Fraction | None = None) -> None:
        """Write what is held back; `end` is where the next segment begins, in seconds of the recording's timeline.

        Raises:
            InternalError: the spool refused the bytes.
        """
        del end  # Packets of a transport stream have no duration.
        try:
            self._container.close()
        except OSError as error:
            raise InternalError(f"The spool refused a segment ({error.strerror}); free its disk.") from error

    def abort(self) -> None:
        """Close at once; what was written stays. Never raises."""
        try:
            self._container.close()
        except OSError:
            return


def _is_annex_b(data: bytes) -> bool:
    """Return whether bytes are a picture the muxer takes: with others it would give the segment up."""
    return len(data) > 4 and data.startswith((b"\0\0\1", b"\0\0\0\1"))


class Fmp4Segment(Mp4Sink):
    """One fMP4 segment: VP9 or AV1 with AAC or Opus; a `Mp4Sink` that keeps its fragments and gives away its header."""

    def __init__(
        self, path: Path, *, video: VideoFormat | None, audio: AudioFormat | None, start: Fraction, number: int = 0
    ) -> None:
        """Create the file; arguments as for `TsSegment`. Fragments are numbered on from `number` segments before.

        Raises:
            InternalError: the spool refused the file, or the keyframe is not one.
        """
        self._number = number
        try:
            self._body = _Fragments(path)
        except OSError as error:
            raise InternalError(f"A segment could not be opened: {error}") from error
        try:
            super().__init__(path, video=video, audio=audio, start=start)
        except InternalError:
            self._body.close()
            raise

    @property
    def init(self) -> bytes:
        """The initialisation section: what `EXT-X-MAP` names."""
        return self._body.init

    @property
    def coding(self) -> bytes:
        """What describes its pictures."""
        return self._body.init

    def _open(self, path: Path) -> OutputContainer:
        del path  # It has been opened.
        options = OPTIONS | {"fragment_index": str(self._number * _FRAGMENTS_PER_SEGMENT_MAX + 1)}
        return av.open(self._body, "w", format="mp4", options=options)

    def push(self, sample: Sample) -> None:
        """Write one sample; see `TsSegment.push`."""
        super().push(sample)
        self._body.check()

    def close(self, end: Fraction | None = None) -> None:
        """Write what is held back, the last picture lasting until `end`; see `TsSegment.close`."""
        track = self._tracks.get(Kind.VIDEO)
        if track is not None and track.held is not None and end is not None:
            held = track.held
            held.duration_ticks = max(round(end * held.rate_hz) - held.pts_ticks, 1)
        self.end()
        self._body.close()
        self._body.check()

    def abort(self) -> None:
        """Close at once; see `TsSegment.abort`."""
        super().abort()
        self._body.close()


_FRAGMENTS_PER_SEGMENT_MAX = 1000


class _Fragments:
    """A file that takes what a muxer writes, but for the header (ftyp and moov), which is kept apart.

    PyAV makes of an error in here one that nobody knows: a failure is kept for `check`.
    """

    def __init__(self, path: Path) -> None:
        self.init = b""
        self._head = b""
        self._failure: OSError | None = None
        self._file = path.open("wb", buffering=0)

    def write(self, data: Any) -> int:
        """Take bytes as the muxer writes them, cut anywhere."""
        if self.init:
            return self._put(bytes(data))
        self._head += bytes(data)
        at = 0
        while (found := parse_header(self._head, at)) is not None and found.end <= len(self._head):
            at = found.end
            if found.kind == b"moov":
                self.init = self._head[:at]
                self._put(self._head[at:])
                break
        return len(data)

    def check(self) -> None:
        """Tell of a write that failed.

        Raises:
            InternalError: the spool refused the bytes.
        """
        if self._failure is not None:
            reason = self._failure.strerror
            raise InternalError(f"The spool refused a sample ({reason}); free its disk.") from self._failure

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _put(self, data: bytes) -> int:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError as error:
            self._failure = self._failure or error
        return len(data)
