"""One track's samples gone through from the beginning: what lies between them, and whether that was declared."""

from soloist.model.media import Kind
from soloist.wire.clock import NS, ticks_to_ns

UNDECLARED_NS_MAX = {Kind.AUDIO: 10_000_000, Kind.VIDEO: 2 * NS}
"""How long nothing may be missing without a word: less than a packet, and as long as a picture may stand."""
BEGIN_NS_MAX = 50_000_000


def declared_between(samples, missing):
    """Return what of `missing` fits exactly between two samples, or before the first.

    What lies between others is less than may go undeclared, and no sample begins before the one before it.
    """
    starts = {hole.start_ns: hole for hole in missing}
    declared, end, last = [], 0, -1
    for sample in samples:
        rate_hz = sample.rate_hz
        begin_ns, end_ns = ticks_to_ns(sample.pts_ticks, rate_hz), ticks_to_ns(end, rate_hz)
        hole = starts.get(end_ns)
        if hole is not None and hole.end_ns == begin_ns:
            declared.append(hole)
        else:
            allowed_ns = BEGIN_NS_MAX if last < 0 else UNDECLARED_NS_MAX[sample.kind]
            assert begin_ns - end_ns <= allowed_ns + NS // rate_hz, (end_ns, begin_ns)
        assert sample.pts_ticks > last
        last, end = sample.pts_ticks, sample.pts_ticks + sample.duration_ticks
    return declared
