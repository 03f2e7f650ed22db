"""Samples in, MP4 out: fragmented while it grows, an ordinary indexed file once finished.

PyAV writes the fragments and every codec's description; `mp4_index` writes the final index, so that memory stays
constant and an edit list says exactly when each track begins (ADR 0005 has the figures).
One sample a track is held back, because only its successor tells how long it lasts.
Spec: ISO/IEC 14496-12; -15 (avc1); VP9, AV1 and Opus bindings.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.audio.codeccontext import AudioCodecContext
from av.container import OutputContainer

from soloist.model.errors import InternalError
from soloist.model.media import AudioFormat, Codec, Kind, Sample, VideoFormat
from soloist.sinks.av1 import is_obu_sequence
from soloist.sinks.mp4_index import write_index
from soloist.sinks.origin import origin_tags
from soloist.sinks.template import audio_template, video_template

FRAGMENT_US = 700_000
"""A fragment ends at the first sample this long after its start. With what waits before it (0.1 s for a batch, 0.2 s
for a silent track) and what AAC and this sink hold back, a kill loses about 1 s at most."""

OPTIONS = {
    # empty_moov: the header needs no sample, so a track that stays silent never holds up the file.
    # frag_discont without edit lists: each fragment states its absolute time, so tracks keep their distance.
    "movflags": "empty_moov+default_base_moof+frag_discont+skip_trailer",
    "use_editlist": "0",
    "avoid_negative_ts": "disabled",
    "frag_duration": str(FRAGMENT_US),
    "flush_packets": "1",
    # The default holds packets for up to 10 s while another track is silent; fragments need no interleaving.
    "max_interleave_delta": "1",
    # Exact for 90 kHz video and, after rounding, for 48 kHz audio.
    "movie_timescale": "90000",
}


@dataclass(slots=True)
class _Track:
    """One track of the open file."""

    stream: av.stream.Stream
    offset_ticks: int
    """What the file's start is in this track's ticks."""
    held: Sample | None = None
    end_ticks: int = 0
    """No later sample may begin before this."""


class Mp4Sink:
    """A `FileSink` for H.264, VP9 or AV1 with AAC or Opus, either of them alone included."""

    def __init__(
        self,
        path: Path,
        *,
        video: VideoFormat | None,
        audio: AudioFormat | None,
        start: Fraction,
        origin_ns: int | None = None,
    ) -> None:
        """Create the file and write its header; `start` is the file's zero in seconds of the recording's timeline.

        `origin_ns` is the wall clock at the file's zero (Unix time, nanoseconds); it is stated in the file.

        Raises:
            InternalError: the spool refused the file, or the keyframe is not one.
        """
        self.path = path
        self.refused_count = 0
        """Samples left out because they are not what their codec says; the file would be unreadable with them."""
        self._is_av1 = video is not None and video.codec is Codec.AV1
        self._tracks: dict[Kind, _Track] = {}
        self._sizes: set[tuple[int, int]] = set()
        try:
            self._container = self._open(path)
            if video is not None:
                self._add(Kind.VIDEO, video_template(video), start, 90_000)
            if audio is not None:
                self._add(Kind.AUDIO, audio_template(audio), start, audio.rate_hz)
                self._declare(audio)
            if origin_ns is not None:
                self._container.metadata.update(origin_tags(origin_ns))
            self._container.start_encoding()
        except (OSError, ValueError) as error:
            raise InternalError(f"A recording file could not be opened: {error}") from error

    def _open(self, path: Path) -> OutputContainer:
        """Open the muxer."""
        return av.open(str(path), "w", format="mp4", options=dict(OPTIONS))

    def _add(self, kind: Kind, template: av.stream.Stream, start: Fraction, rate_hz: int) -> None:
        """Declare a track."""
        stream = self._container.add_stream_from_template(template, opaque=True)
        stream.time_base = Fraction(1, rate_hz)
        self._tracks[kind] = _Track(stream, round(start * rate_hz))

    def _declare(self, audio: AudioFormat) -> None:
        """Say what the encoder said of AAC; Opus is wholly described by its template."""
        context = self._tracks[Kind.AUDIO].stream.codec_context
        if audio.codec is Codec.AAC and isinstance(context, AudioCodecContext):
            context.extradata = audio.config

    def push(self, sample: Sample) -> None:
        """Add one sample; see `FileSink.push`."""
        track = self._tracks[sample.kind]
        if sample.pts_ticks < track.offset_ticks or not sample.data:
            return
        if self._is_av1 and sample.kind is Kind.VIDEO and not is_obu_sequence(sample.data):
            self.refused_count += 1
            return
        if sample.width:
            self._sizes.add((sample.width, sample.height))
        held, track.held = track.held, sample
        if held is not None:
            self._write(track, held, sample.pts_ticks - held.pts_ticks)

    def _largest(self) -> tuple[int, int]:
        return max(self._sizes, key=lambda size: size[0] * size[1])

    def _write(self, track: _Track, sample: Sample, duration_ticks: int) -> None:
        """Hand one sample to the muxer; time never stands still, so a duration is at least one tick."""
        packet = av.Packet(sample.data)
        packet.stream = track.stream
        pts = max(sample.pts_ticks - track.offset_ticks, track.end_ticks)
        duration = max(sample.pts_ticks - track.offset_ticks + duration_ticks - pts, 1)
        packet.pts = packet.dts = pts
        packet.duration = duration
        packet.is_keyframe = sample.is_keyframe
        track.end_ticks = pts + duration
        try:
            self._container.mux_one(packet)
        except OSError as error:
            raise InternalError(f"The spool refused a sample ({error.strerror}); free its disk.") from error

    def finish(self) -> None:
        """Write what is held back and the index; see `FileSink.finish`."""
        self.end()
        write_index(self.path, largest=self._largest() if len(self._sizes) > 1 else None)

    def end(self) -> None:
        """Write what is held back and close the file, its fragments whole.

        Raises:
            InternalError: the spool refused them.
        """
        for track in self._tracks.values():
            if track.held is not None:
                self._write(track, track.held, track.held.duration_ticks)
                track.held = None
        try:
            self._container.close()
        except OSError as error:
            raise InternalError(
                f"The spool refused the end of a recording ({error.strerror}); free its disk."
            ) from error

    def abort(self) -> None:
        """Close without an index; see `FileSink.abort`. `mp4_index.write_index` can still make it an ordinary file."""
        for track in self._tracks.values():
            track.held = None
        try:
            self._container.close()
        except OSError:
            return
