"""Why media is missing, from what its sender's numbering and the rest of its session say.

A sender that mutes goes on, when it comes back, with the next sequence number: nothing was sent. On a network that
loses packets numbers are missing; after a blackout as many as were sent into it. Between the two lies the mute whose
last packets were lost too: a few numbers for a long silence. Then it counts whether the rest of the session was heard
when the silence began. Integers only. Spec: RFC 3550 §5.1 (sequence numbers).
"""

SILENCE_NS = 300_000_000
"""A session whose packets stay away for so long is cut off, or sends nothing at all."""
SAME_MOMENT_NS = 500_000_000
"""What ends within so long ended together: a report or a retransmission may come after the last frame."""
SHARE = 4
"""A hole is loss if at least one in so many of the packets that belong into it is missing."""
TAIL_PACKETS = 8
"""More than the end of a last picture, lost before the sender fell silent."""
PACKET_BYTES = 1200
"""What senders put into one packet of a picture at most."""


class Hearing:
    """When anything was last heard of each session, and when its last silence began."""

    def __init__(self) -> None:
        self._at_ns: dict[int, int] = {}
        self._silent_from_ns: dict[int, int] = {}

    def heard(self, session: int, at_ns: int) -> None:
        """Note an arrival; they come in order, or nearly so."""
        before_ns = self._at_ns.get(session, at_ns)
        self._at_ns[session] = at_ns
        if at_ns - before_ns > SILENCE_NS:
            self._silent_from_ns[session] = before_ns

    def fell_silent_at(self, session: int, ns: int) -> bool:
        """Return whether a session's last silence began at that moment."""
        return abs(self._silent_from_ns.get(session, 0) - ns) < SAME_MOMENT_NS

    def forget(self, session: int) -> None:
        """Drop what is known of a session that is over."""
        self._at_ns.pop(session, None)
        self._silent_from_ns.pop(session, None)


def is_loss(lost: int, expected: int, *, fell_silent: bool) -> bool:
    """Return whether a hole is one of packets lost, of which `lost` are missing and `expected` belong into it.

    `fell_silent` says that nothing of the session was heard any more when the hole began.
    """
    return lost > 0 and (lost * SHARE >= expected or (fell_silent and lost >= TAIL_PACKETS))
