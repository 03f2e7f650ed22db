"""Opus packets, as far as a recorder must read them: their duration and channel count.

Spec: RFC 6716 §3.1 (TOC byte), §3.2 (frame packing).
"""

SILK_TICKS = (480, 960, 1920, 2880)
HYBRID_TICKS = (480, 960)
CELT_TICKS = (120, 240, 480, 960)
PACKET_TICKS_MAX = 5760
DEFAULT_TICKS = 960


def packet_ticks(packet: bytes) -> int:
    """Return how long an Opus packet lasts, in ticks of 48 kHz; 20 ms if it is too short or too long to be legal."""
    if not packet:
        return DEFAULT_TICKS
    config = packet[0] >> 3
    if config < 12:
        frame_ticks = SILK_TICKS[config % 4]
    elif config < 16:
        frame_ticks = HYBRID_TICKS[config % 2]
    else:
        frame_ticks = CELT_TICKS[config % 4]
    ticks = frame_ticks * _frame_count(packet)
    return ticks if 0 < ticks <= PACKET_TICKS_MAX else DEFAULT_TICKS


def _frame_count(packet: bytes) -> int:
    code = packet[0] & 3
    if code == 3:
        return packet[1] & 0x3F if len(packet) > 1 else 0
    return 1 if code == 0 else 2


def channel_count(packet: bytes) -> int:
    """Return 2 if the packet's TOC says stereo, else 1."""
    return 2 if packet and packet[0] & 4 else 1
