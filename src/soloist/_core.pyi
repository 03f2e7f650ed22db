"""The native receive core: one UDP socket and one I/O thread per `Receiver`.

Only `sources/receiver.py` opens a `Receiver`; everything else sees frames and events as values.
"""

from typing import final

__all__ = [
    "Closed",
    "Connected",
    "Frame",
    "OfferError",
    "Overflow",
    "Receiver",
    "SenderReport",
    "SessionGoneError",
    "Track",
]

class OfferError(ValueError):
    """The SDP offer cannot be answered; the message says which part and why."""

class SessionGoneError(LookupError):
    """The session has ended or never existed."""

@final
class Track:
    """A media section the publisher sends and the answer accepted."""

    mid: str
    kind: str
    codecs: list[str]
    rids: list[str]

@final
class Frame:
    """One encoded frame; see `soloist.model.media.EncodedFrame` for units."""

    mid: str
    rid: str | None
    codec: str
    rtp_ticks: int
    rate_hz: int
    is_keyframe: bool
    follows_gap: bool
    packets_lost: int
    received_ns: int
    width: int
    height: int
    data: bytes

@final
class SenderReport:
    """One RTCP sender report; see `soloist.model.media.SenderReport` for units."""

    mid: str
    rid: str | None
    rtp_ticks: int
    ntp_ns: int
    received_ns: int

@final
class Connected:
    """ICE and DTLS are done; media can flow."""

    received_ns: int

@final
class Closed:
    """The session is over; nothing follows it. `reason` is one of closed, timeout, dtls, failed."""

    reason: str
    received_ns: int

@final
class Overflow:
    """Media was dropped here: Python did not drain in time, or the session sent more than it may.

    Video resumes at its next keyframe.
    """

    mid: str
    rid: str | None
    frames_count: int
    packets_count: int
    """Packets refused before they were frames, of this layer or of another of its kind."""

Item = Frame | SenderReport | Connected | Closed | Overflow

@final
class Receiver:
    """Receives WebRTC sessions on one UDP port; its I/O thread never holds the GIL."""

    port: int
    """The UDP port in use."""

    def __init__(
        self,
        *,
        bind: str,
        port: int,
        public_addresses: list[str],
        batch_interval_ms: int = 100,
        queue_bytes_max: int = 268435456,
        socket_buffer_bytes: int = 33554432,
        silence_timeout_ms: int = 15000,
        with_tcp: bool = True,
        budget: dict[str, int] | None = None,
    ) -> None:
        """Bind a UDP port (0 chooses one) and, `with_tcp`, the TCP port of the same number if it is free.

        Without `public_addresses` publishers are told the bound address, or for a wildcard all of this machine's.
        `budget` is what one session may send a second: audio_packets_per_s, video_packets_per_s, bytes_per_s,
        pictures_per_s; the core's own limits where it says nothing.

        Raises:
            ValueError: an address is not an IP address, or the budget names something else.
            OSError: the UDP port is taken or not ours to bind.
        """
    def accept_offer(
        self, offer: str, *, video_codecs: list[str], with_red: bool = True
    ) -> tuple[int, str, list[Track]]:
        """Answer an SDP offer; return the session's number, the answer and what will be sent.

        Raises:
            OfferError: the offer is malformed or has nothing we can record.
        """
    def request_keyframe(self, session: int, mid: str, rid: str | None = None) -> None:
        """Ask the publisher for a keyframe, within the core's own rate limit. Unknown sessions are ignored."""
    def restart_ice(self, session: int, *, ufrag: str, pwd: str) -> str:
        """Take a publisher's new ICE credentials; return the SDP fragment with ours. Blocks for an I/O turn.

        Raises:
            OfferError: the credentials are not ICE credentials.
            SessionGoneError: the session has ended.
        Spec: RFC 9725 §4.3.3; RFC 8840 §9.
        """
    def close_session(self, session: int) -> None:
        """End a session; a `Closed` with reason "closed" follows. Unknown sessions are ignored."""
    def wait(self, timeout_ms: int) -> list[tuple[int, list[Item]]]:
        """Block without the GIL until items, a `wake` or the time limit; return items grouped by session, in order.

        Each session gets its turn: of one with much to say the rest waits for the next call, which returns at once.

        Raises:
            RuntimeError: the I/O thread has failed and everything it had received was returned before.
        """
    def mark(self) -> int:
        """Put a mark behind everything received so far, also what the socket holds; return its number."""
    def has_handed_out(self, mark: int, sessions: list[int]) -> bool:
        """Return whether `wait` has returned all items of these sessions before a mark; it is then forgotten."""
    def forget_mark(self, mark: int) -> None:
        """Give up waiting for a mark."""
    def wake(self) -> None:
        """Make a `wait` in another thread return at once."""
    def stats(self) -> dict[str, int]:
        """Return counters since start: packets, bytes, kernel drops, loop gaps, plis, nacks, queue fill."""
    def close(self) -> None:
        """End all sessions and the I/O thread; `wait` then returns what is left and afterwards nothing."""
