"""Where a clip meets the clock: packets are sent when they are due, and a lost server is tried again."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from soloist.model.media import Kind
from soloist.publisher.clip import NS, Clip, DuePacket
from soloist.publisher.sender import Sender, ServerAwayError

PROGRESS_INTERVAL_NS = NS // 5
RETRY_INTERVAL_S = 1.0
"""After losing the server we POST again within 2 s, as design section 7 has it."""


@dataclass(slots=True)
class PublishProgress:
    """What has been sent so far."""

    media_ns: int = 0
    """Media time sent."""
    frames_count: int = 0
    """Pictures."""
    audio_packets_count: int = 0
    sent_bytes: int = 0
    """Encoded media, without packet headers."""
    behind_ns: int = 0
    """How late the last packet was; growing means that this machine cannot encode in real time."""
    reconnects_count: int = 0

    @property
    def kbps(self) -> float:
        """Average bit rate of the media."""
        return self.sent_bytes * 8e6 / self.media_ns if self.media_ns else 0.0

    def note(self, due: DuePacket, media_ns: int) -> None:
        """Count one packet sent."""
        self.media_ns = max(self.media_ns, media_ns)
        self.sent_bytes += due.packet.size
        if due.kind is Kind.VIDEO:
            self.frames_count += 1
        else:
            self.audio_packets_count += 1


OnProgress = Callable[[PublishProgress], None]


def publish(
    file: Path,
    url: str,
    token: str | None = None,
    *,
    loop: bool = False,
    duration: float | None = None,
    retry_for_s: float = 0.0,
    on_progress: OnProgress = lambda _progress: None,
) -> PublishProgress:
    """Publish `file` to a WHIP endpoint in real time; return what was sent. Blocks until the end.

    Ends at the end of the file (never with `loop`), after `duration` seconds, or by KeyboardInterrupt; the session is
    deleted in every case. A server that goes away midway is tried again for `retry_for_s` seconds.

    Raises:
        ClipError: the file cannot be read.
        PublishRefusedError: the server does not take it.
        ServerAwayError: the server is not there, or is gone.
    """
    progress = PublishProgress()
    end_ns = None if duration is None else int(duration * NS)
    lost_at: float | None = None
    while True:
        sent_before_ns = progress.media_ns
        try:
            _publish_once(file, url, token, loop=loop, end_ns=end_ns, progress=progress, on_progress=on_progress)
        except ServerAwayError:
            lost_at = time.monotonic() if lost_at is None or progress.media_ns > sent_before_ns else lost_at
            is_first_try = progress.media_ns == 0
            if is_first_try or time.monotonic() - lost_at >= retry_for_s:
                raise
            progress.reconnects_count += 1
            time.sleep(RETRY_INTERVAL_S)
        else:
            on_progress(progress)
            return progress


def _publish_once(
    file: Path,
    url: str,
    token: str | None,
    *,
    loop: bool,
    end_ns: int | None,
    progress: PublishProgress,
    on_progress: OnProgress,
) -> None:
    """Publish from where `progress` stands, in one session."""
    already_ns = progress.media_ns
    clip = Clip(file, start_ns=_position(file, already_ns))
    try:
        with Sender(url, token, clip.add_streams) as sender:
            started_ns = told_ns = time.monotonic_ns()
            for due in clip.packets(loop=loop):
                if end_ns is not None and already_ns + due.due_ns >= end_ns:
                    return
                progress.behind_ns = _wait_until(started_ns + due.due_ns)
                progress.note(due, already_ns + due.due_ns)
                sender.send(due)
                if time.monotonic_ns() - told_ns >= PROGRESS_INTERVAL_NS:
                    told_ns = time.monotonic_ns()
                    on_progress(progress)
    finally:
        clip.close()


def _position(file: Path, media_ns: int) -> int:
    """Return where in the file publishing goes on after `media_ns` of it, over and over."""
    if not media_ns:
        return 0
    clip = Clip(file)
    try:
        return media_ns % clip.duration_ns if clip.duration_ns else 0
    finally:
        clip.close()


def _wait_until(deadline_ns: int) -> int:
    """Sleep until a moment of the monotonic clock; return how late it is already, 0 if it was not."""
    wait_ns = deadline_ns - time.monotonic_ns()
    if wait_ns > 0:
        time.sleep(wait_ns / NS)
        return 0
    return -wait_ns
