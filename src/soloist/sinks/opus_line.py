"""Opus packets as they came, and packets of silence where none did: players stop where one track of a segment has none.

Spec: RFC 6716 §3.1 (TOC byte); §4.3 (silence is the first symbol of a CELT frame). ADR 0012.
"""

from soloist.model.media import AudioFormat, Codec, Kind, Sample

RATE_HZ = 48_000
SILENCE = {960: b"\xf8\xff\xfe", 480: b"\xf0\xff\xfe", 240: b"\xe8\xff\xfe", 120: b"\xe0\xff\xfe"}
"""Packets of silence by how long they last, ticks of 48 kHz, longest first."""


class OpusLine:
    """One track of Opus packets that follow each other; has the methods of `AacTranscoder`."""

    concealed_count = 0
    """No packet is decoded."""

    def __init__(self, channels: int) -> None:
        """`channels` is what the file declares: each packet says by itself what it is."""
        self.format = AudioFormat(Codec.OPUS, channels)
        self._next: int | None = None

    def push(self, sample: Sample) -> list[Sample]:
        """Return a packet, after silence up to it; nothing for one whose place silence has taken."""
        end = sample.pts_ticks + sample.duration_ticks
        if self._next is not None and end <= self._next:
            return []
        silence, self._next = self.advance_to(sample.pts_ticks), end
        return [*silence, sample]

    def advance_to(self, pts_ticks: int) -> list[Sample]:
        """Return silence up to a time, to 2.5 ms. The first call sets where the track begins."""
        if self._next is None:
            self._next = pts_ticks
        silence = []
        for ticks, data in SILENCE.items():
            while pts_ticks - self._next >= ticks:
                silence.append(Sample(Kind.AUDIO, self._next, ticks, RATE_HZ, is_keyframe=True, data=data))
                self._next += ticks
        return silence

    def finish(self) -> list[Sample]:
        """Return nothing: nothing is held back."""
        return []
