"""Silence is put where no packet came, and nowhere else."""

from dataclasses import replace
from itertools import pairwise

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.media import opus_samples

from soloist.sinks.opus_line import SILENCE, OpusLine
from soloist.wire.opus import packet_ticks


def ends(sample):
    return sample.pts_ticks + sample.duration_ticks


@given(kept=st.lists(st.booleans(), min_size=50, max_size=50), late_ticks=st.integers(0, 2000))
def test_packets_are_kept_as_they_came_and_what_is_between_them_is_filled(kept, late_ticks):
    came = [
        replace(sample, pts_ticks=sample.pts_ticks + late_ticks)
        for sample, is_kept in zip(opus_samples(1), kept, strict=True)
        if is_kept
    ]
    line = OpusLine(1)
    line.advance_to(0)
    told = [sample for one in came for sample in line.push(one)] + line.advance_to(60_000)

    assert [sample for sample in told if sample in came] == came
    assert all(sample.duration_ticks == packet_ticks(sample.data) for sample in told)
    assert told[0].pts_ticks < min(SILENCE)
    assert all(0 <= after.pts_ticks - ends(before) < min(SILENCE) for before, after in pairwise(told))
    assert 0 <= 60_000 - ends(told[-1]) < min(SILENCE)


def test_a_packet_whose_place_silence_has_taken_is_left_out_and_one_that_begins_there_is_kept():
    line, samples = OpusLine(1), opus_samples(1)
    line.push(samples[0])
    line.advance_to(samples[5].pts_ticks + 480)

    assert [line.push(sample) for sample in samples[1:7]] == [[], [], [], [], [samples[5]], [samples[6]]]


@pytest.mark.parametrize("ticks", SILENCE)
def test_silence_decodes_to_as_many_zeros(ticks):
    decoder = av.CodecContext.create("opus", "r")
    decoder.sample_rate, decoder.layout = 48_000, "mono"
    tone = [frame for sample in opus_samples(1)[:4] for frame in decoder.decode(av.Packet(sample.data))]
    assert abs(tone[-1].to_ndarray()).max() > 0.1

    silent = [frame for _ in range(4800 // ticks) for frame in decoder.decode(av.Packet(SILENCE[ticks]))]
    assert {frame.samples for frame in silent} == {ticks}
    assert abs(silent[-1].to_ndarray()).max() < 1e-4
