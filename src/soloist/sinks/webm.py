"""Samples in, WebM out: readable while it grows, seekable with Cues and Duration once finished.

For VP8 (and VP9) with Opus, which MP4 or its players do not take. PyAV does all the work; times are whole
milliseconds, as WebM has them. Spec: WebM container guidelines; RFC 9559 (Matroska).
"""

import os
from fractions import Fraction
from pathlib import Path

import av
from av.stream import Stream

from soloist.model.errors import InternalError
from soloist.model.media import AudioFormat, Kind, Sample, VideoFormat
from soloist.sinks.origin import origin_tags
from soloist.sinks.template import audio_template, video_template

CLUSTER_MS = 500
INTERLEAVE_US = 400_000
"""A cluster is written when it is this long; a silent track holds the other up at most this much. Their sum is what a
kill can lose."""

_OPTIONS = {
    "cluster_time_limit": str(CLUSTER_MS),
    "max_interleave_delta": str(INTERLEAVE_US),
    "flush_packets": "1",
    "avoid_negative_ts": "disabled",
}


class WebmSink:
    """A `FileSink` for VP8 or VP9 with Opus, either of them alone included."""

    def __init__(
        self,
        path: Path,
        *,
        video: VideoFormat | None,
        audio: AudioFormat | None,
        start: Fraction,
        origin_ns: int | None = None,
    ) -> None:
        """Create the file and write its header; arguments as for `Mp4Sink`.

        Raises:
            InternalError: the spool refused the file, or the keyframe is not one.
        """
        self.path = path
        self.refused_count = 0
        self._start = start
        self._tracks: dict[Kind, tuple[Stream, int]] = {}
        self._last_ms: dict[Kind, int] = {}
        try:
            self._container = av.open(str(path), "w", format="webm", options=dict(_OPTIONS))
            if video is not None:
                self._add(Kind.VIDEO, video_template(video), 90_000)
            if audio is not None:
                self._add(Kind.AUDIO, audio_template(audio), audio.rate_hz)
            if origin_ns is not None:
                self._container.metadata.update(origin_tags(origin_ns))
            self._container.start_encoding()
        except (OSError, ValueError) as error:
            raise InternalError(f"A recording file could not be opened: {error}") from error

    def _add(self, kind: Kind, template: Stream, rate_hz: int) -> None:
        """Declare a track; the muxer counts in milliseconds whatever is asked for."""
        stream = self._container.add_stream_from_template(template, opaque=True)
        stream.time_base = Fraction(1, 1000)
        self._tracks[kind] = stream, round(self._start * rate_hz)
        self._last_ms[kind] = -1

    def push(self, sample: Sample) -> None:
        """Add one sample; see `FileSink.push`."""
        stream, offset_ticks = self._tracks[sample.kind]
        ticks, rate_hz = sample.pts_ticks - offset_ticks, sample.rate_hz
        if ticks < 0 or not sample.data:
            return
        packet = av.Packet(sample.data)
        packet.stream = stream
        milliseconds = (ticks * 2000 + rate_hz) // (2 * rate_hz)
        milliseconds = self._last_ms[sample.kind] = max(milliseconds, self._last_ms[sample.kind])
        packet.pts = packet.dts = milliseconds
        packet.duration = (sample.duration_ticks * 2000 + rate_hz) // (2 * rate_hz)
        packet.is_keyframe = sample.is_keyframe
        try:
            self._container.mux_one(packet)
        except OSError as error:
            raise InternalError(f"The spool refused a sample ({error.strerror}); free its disk.") from error

    def finish(self) -> None:
        """Write Cues and Duration and sync; see `FileSink.finish`."""
        try:
            self._container.close()
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise InternalError(
                f"The spool refused the end of a recording ({error.strerror}); free its disk."
            ) from error

    def abort(self) -> None:
        """Close at once; see `FileSink.abort`."""
        try:
            self._container.close()
        except OSError:
            return
