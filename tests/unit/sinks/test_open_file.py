"""One file with sound made AAC on the way, whatever the sound does."""

from dataclasses import replace
from fractions import Fraction

import av
import pytest
from support.media import opus_samples, video_format, video_samples

from soloist.model.media import AudioFormat, Codec, Kind
from soloist.model.rule import AudioMode, RecordFormat
from soloist.sinks.matrix import plan
from soloist.sinks.open_file import OpenFile

HOLE_S = 120


def test_the_silence_of_a_long_hole_is_written_bit_by_bit_while_pictures_go_on(tmp_path):
    chosen = plan(Codec.H264, with_audio=True, audio_mode=AudioMode.AAC, wanted=RecordFormat.MP4)
    pictures, sound = video_samples(Codec.H264, 2), opus_samples(1)
    path = tmp_path / "one.mp4"
    video, audio = video_format(Codec.H264, pictures), AudioFormat(Codec.OPUS, 1)
    file = OpenFile(path, chosen, video=video, audio=audio, start=Fraction(0), origin_ns=0)
    written = []
    push, file._sink.push = file._sink.push, lambda sample: (written.append(sample), push(sample))

    media = [replace(p, pts_ticks=p.pts_ticks + turn * 180_000) for turn in range(HOLE_S // 2) for p in pictures]
    media += [*sound, *(replace(s, pts_ticks=s.pts_ticks + (HOLE_S - 1) * 48_000) for s in sound)]
    at_once = []
    for sample in sorted(media, key=lambda sample: sample.pts_ns):
        before = len(written)
        file.push(sample)
        at_once.append(len(written) - before)
    file.finish()

    assert max(at_once) < 6 * 48_000 / 1024
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        assert float(stream.duration * stream.time_base) == pytest.approx(HOLE_S, abs=0.03)
    assert sum(sample.kind is Kind.VIDEO for sample in written) == HOLE_S * 30
