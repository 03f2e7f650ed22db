"""Opus packets tell their own length."""

import pytest

from soloist.wire.opus import channel_count, packet_ticks


@pytest.mark.parametrize(
    ("packet", "ticks"),
    [
        (b"\xfc\x00", 960),  # CELT 20 ms, stereo, one frame
        (b"\xf8\xff\xfe", 960),  # the silence packet browsers send
        (b"\x08\x00", 960),  # SILK 20 ms
        (b"\x18\x00", 2880),  # SILK 60 ms
        (b"\xe1\x00", 240),  # CELT 2.5 ms twice
        (b"\xfb\x03", 2880),  # three CELT frames of 20 ms
        (b"", 960),
        (b"\xfb\x3f", 960),  # 63 frames of 20 ms would last more than the 120 ms an Opus packet may
    ],
)
def test_packet_duration_is_read_from_its_first_bytes(packet, ticks):
    assert packet_ticks(packet) == ticks


def test_channels_are_those_of_the_toc_byte():
    assert (channel_count(b"\xfc"), channel_count(b"\xf8"), channel_count(b"")) == (2, 1, 1)
