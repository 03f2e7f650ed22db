"""Forwarding a job's media to RTMP servers: where each target stands. Spec: API section 4.3; rules R37, R38."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any

TARGETS_MAX = 5


class ForwardState(StrEnum):
    """Where one target stands."""

    CONNECTING = "connecting"
    """It is being connected, or there is no media to send yet."""
    WAITING = "waiting"
    """It waits for a forwarder: there are as many as there may be, or the recorder has too much to do."""
    LIVE = "live"
    """It takes media: bytes of it have been acknowledged."""
    STALLED = "stalled"
    """It was live and has acknowledged nothing for too long; it is being connected anew."""
    FAILED = "failed"
    """The last attempt failed; the next one follows with growing pauses."""
    ENDED = "ended"
    """The job is over, and the stream with it."""


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """Where one target stands, and what it got so far."""

    target_id: str
    """What tells it from others of the job: two may differ in their stream key alone."""
    url: str
    """Masked: without its stream key."""
    state: ForwardState = ForwardState.CONNECTING
    since_ms: int = 0
    """When it came to this state, milliseconds of Unix time."""
    retries: int = 0
    """Connections begun after the first one."""
    bytes_sent: int = 0
    """Acknowledged by the target's host, over all connections."""
    pictures_sent: int = 0
    sounds_sent: int = 0
    """AAC frames."""
    frames_dropped: int = 0
    """Pictures and AAC frames there were and this target did not get: it was away, or too slow."""
    last_error: str = ""
    """What its last failure was, with its remedy; stays when it is live again."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "TargetStatus":
        """Return the status that `asdict` gave these values for; names it does not know are left out."""
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        return cls(**{**known, "state": ForwardState(known["state"])})
