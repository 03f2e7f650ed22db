"""What makes a recording of the clip correct, whoever published it."""

import os
import statistics
from collections.abc import Sequence

from interop.recorded_clip import RecordedClip
from interop.table import Row

OFFSET_MEDIAN_MS_MAX = 20.0
OFFSET_WORST_MS_MAX = 40.0


def judge(
    row: Row,
    recorded: RecordedClip,
    *,
    frames: int,
    packets: int | None,
    offset_ms_max: float = OFFSET_MEDIAN_MS_MAX,
) -> None:
    """Hold a file against the number of pictures and of sound packets its publisher sent, and fill in the row.

    `packets` is None where the publisher cannot say how much sound it sent.
    """
    numbers = recorded.numbers
    row.sent, row.in_file = str(frames), str(len(numbers))
    row.offset = offset_text(recorded.offsets_ms)
    assert recorded.complaints == ""
    assert None not in numbers, "a picture cannot be read"
    assert numbers == list(range(numbers[0] or 0, (numbers[0] or 0) + len(numbers))), "pictures are missing or doubled"
    assert len(numbers) == frames, f"the first is {numbers[0]}, the last {numbers[-1]}"
    if packets is not None:
        kept = recorded.sound_packets_count
        assert kept == packets, f"{packets} packets of sound sent, {kept} in the file: {recorded.manifest['missing']}"
    judge_offset(recorded.offsets_ms, offset_ms_max)
    row.verdict = "ok"


def judge_offset(offsets_ms: Sequence[float], median_ms_max: float = OFFSET_MEDIAN_MS_MAX) -> None:
    """Hold sound against picture."""
    # A browser that gets too little processor time renders its sound late, and the file says so rightly.
    found = f"{list(offsets_ms)}, at a machine load of {os.getloadavg()[0]:.1f}"
    assert len(offsets_ms) >= 4, f"too few beeps or flashes: {found}"
    assert abs(statistics.median(offsets_ms)) <= median_ms_max, found
    assert max(abs(offset) for offset in offsets_ms) <= OFFSET_WORST_MS_MAX, found


def offset_text(offsets_ms: Sequence[float]) -> str:
    """Return median and worst offset as the table shows them."""
    if not offsets_ms:
        return "none"
    return f"{statistics.median(offsets_ms):+.0f} / {max(offsets_ms, key=abs):+.0f}"
