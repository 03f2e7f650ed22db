"""One file being written, whatever its container: the right muxer, and AAC made on the way where the plan asks for it.

Lives on the media thread. Knows nothing of when files begin or end, nor of where they go.
"""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

from soloist.model.media import AudioFormat, Codec, Kind, Sample, VideoFormat
from soloist.sinks.aac import RATE_HZ, AacTranscoder
from soloist.sinks.matrix import Container, Plan
from soloist.sinks.mp4 import Mp4Sink
from soloist.sinks.port import FileSink
from soloist.sinks.webm import WebmSink
from soloist.wire.clock import NS, ns_to_ticks

SOUND_LAG_NS = 5 * NS
"""Sound that is so far behind its picture is not to come any more; nothing that holds sound back holds it as long."""


class OpenFile:
    """Takes video as it came and sound as Opus; writes what the plan says."""

    def __init__(
        self,
        path: Path,
        plan: Plan,
        *,
        video: VideoFormat | None,
        audio: AudioFormat | None,
        start: Fraction,
        origin_ns: int,
    ) -> None:
        """`audio` is what arrives; `start` is the file's zero on the recording's timeline, in seconds.

        `origin_ns` is the wall clock at the file's zero, nanoseconds of Unix time.

        Raises:
            InternalError: the spool refused the file.
        """
        self._transcoder = AacTranscoder(audio.channels) if audio and plan.audio_codec is Codec.AAC else None
        written = self._transcoder.format if self._transcoder else audio
        sink = WebmSink if plan.container is Container.WEBM else Mp4Sink
        self._sink: FileSink | None = sink(path, video=video, audio=written, start=start, origin_ns=origin_ns)
        self._damaged_count = 0

    def push(self, sample: Sample) -> None:
        """Write one sample; those of one track come in time order."""
        if self._transcoder is None:
            self._put([sample])
        elif sample.kind is Kind.AUDIO:
            self._put(self._transcoder.push(sample))
        else:
            if self._transcoder.is_begun:
                # Else an hour without sound would be made silence all at once when it returns.
                self._put(self._transcoder.advance_to(ns_to_ticks(sample.pts_ns - SOUND_LAG_NS, RATE_HZ)))
            self._put([sample])

    def _put(self, coded: Iterable[Sample]) -> None:
        assert self._sink is not None, "it is not finished"  # noqa: S101 - for the type checker
        for sample in coded:
            self._sink.push(sample)

    @property
    def wants_keyframe(self) -> bool:
        """False: one file needs no keyframe but its first."""
        return False

    def tick(self, now_ns: int) -> None:
        """Let time pass: nothing depends on it."""

    def conclude(self) -> None:
        """Take note that nothing more will be pushed; `finish` does the rest, on another thread."""

    def finish(self) -> None:
        """Write what is still in the encoder, then the index; the file is then complete on disk.

        It holds nothing but a count afterwards: neither muxer nor descriptor, however long it waits for its bucket.
        """
        if self._sink is None:
            return
        if self._transcoder is not None:
            self._put(self._transcoder.finish())
        self._sink.finish()
        self._damaged_count = self.damaged_count
        self._sink = self._transcoder = None

    @property
    def damaged_count(self) -> int:
        """Frames that could not be kept: sound that became silence, pictures that were left out."""
        concealed_count = self._transcoder.concealed_count if self._transcoder else 0
        refused_count = self._sink.refused_count if self._sink else self._damaged_count
        return concealed_count + refused_count

    def abort(self) -> None:
        """Stop writing without an index: what is on disk stays as readable as after a crash."""
        if self._sink is not None:
            self._sink.abort()
