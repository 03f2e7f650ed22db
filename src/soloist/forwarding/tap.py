"""The recorder's end of a forwarder: takes samples on the media thread and never makes it wait (rule R39).

What the child does not take at once waits here, bounded in bytes and in media time; when that is full all of it is
dropped and pictures wait for the next keyframe. Lives on the media thread; knows nothing of targets.
"""

import contextlib
import socket
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from soloist.forwarding.messages import MessageType, encode_json, encode_sample
from soloist.model.media import Kind, Sample

log = structlog.get_logger("soloist.forwarding")

BACKLOG_BYTES_MAX = 8 * 1024 * 1024
BACKLOG_NS_MAX = 5_000_000_000


class Tap:
    """Hands a recording's samples to a child process, as far as that keeps up."""

    def __init__(
        self,
        *,
        bytes_max: int = BACKLOG_BYTES_MAX,
        ns_max: int = BACKLOG_NS_MAX,
        began: Callable[[], None] = lambda: None,
    ) -> None:
        """`began` is told, on the media thread, of the first sample: before it nobody needs a child."""
        self._bytes_max, self._ns_max = bytes_max, ns_max
        self._began = began
        self._is_begun = False
        self._is_starting = True
        """True while the first child may still come: what it is to get waits for it."""
        self._socket: socket.socket | None = None
        self._rest = memoryview(b"")
        """What is left of a message the socket took only a part of."""
        self._orders: deque[bytes] = deque()
        self._waiting: deque[tuple[Sample, bytes]] = deque()
        self._waiting_bytes = 0
        self._awaits_keyframe = True
        self._expected: frozenset[Kind] = frozenset()
        self.wants_keyframe = False
        """True from when a target asked for a keyframe, or pictures wait for one, until one passes."""
        self.dropped_count = 0
        """Frames no target got, because the child did not keep up or there was none."""

    @property
    def is_waiting(self) -> bool:
        """True while the child has not taken everything it is to get; any thread may ask."""
        return bool(self._rest or self._orders or self._waiting)

    def connect(self, connected: socket.socket) -> None:
        """Speak to a child over its socket from now on; what waited for one before is dropped."""
        if not self._is_starting:
            self.disconnect()
        self._is_starting = False
        connected.setblocking(False)  # noqa: FBT003 - the socket's own
        self._socket = connected
        self.wants_keyframe |= self._awaits_keyframe
        self.order({"expect": sorted(self._expected)})

    def disconnect(self) -> None:
        """Close the socket: the child ends by that, if it has not; its last report can still be read."""
        self._drop()
        self._orders.clear()
        self._rest = memoryview(b"")
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)  # Who listens to the child holds it open otherwise.
            self._socket.close()
            self._socket = None

    def let_go(self) -> None:
        """Let nothing wait for the first child any more: it does not come soon."""
        if self._is_starting:
            self._is_starting = False
            self._drop()

    def order(self, fields: Mapping[str, Any]) -> None:
        """Tell the child something other than media."""
        if self._socket is not None:
            self._orders.append(encode_json(MessageType.ORDER, fields))
            self.flush()

    def expect(self, kinds: frozenset[Kind]) -> None:
        """Say which tracks there may be."""
        if kinds != self._expected:
            self._expected = kinds
            self.order({"expect": sorted(kinds)})

    def push(self, samples: Sequence[Sample]) -> None:
        """Take samples in time order; a fault of ours ends this forwarding's child and nothing else."""
        try:
            for sample in samples:
                self._take(sample)
            self.flush()
        except Exception:
            log.exception("tap_failed")
            self.disconnect()

    def flush(self) -> None:
        """Hand over what waits, as far as the child takes it."""
        while self._socket is not None and self._next():
            try:
                sent = self._socket.send(self._rest)
            except BlockingIOError:
                return
            except OSError:
                self.disconnect()  # The child is gone; whoever watches it starts another.
                return
            self._rest = self._rest[sent:]

    def _take(self, sample: Sample) -> None:
        if not sample.data:
            return
        if not self._is_begun:
            self._is_begun = True
            self._began()
        if sample.kind is Kind.VIDEO:
            if sample.is_keyframe:
                self.wants_keyframe = self._awaits_keyframe = False
            elif self._awaits_keyframe:
                self.wants_keyframe |= self._socket is not None
                self.dropped_count += 1
                return
        if self._is_full(sample):
            self.flush()
        if (self._socket is None and not self._is_starting) or self._is_full(sample):
            self._drop()
            self.dropped_count += 1
            self._awaits_keyframe |= sample.kind is Kind.VIDEO
            return
        encoded = encode_sample(sample)
        self._waiting.append((sample, encoded))
        self._waiting_bytes += len(encoded)

    def _is_full(self, sample: Sample) -> bool:
        if not self._waiting:
            return False
        is_old = sample.pts_ns - self._waiting[0][0].pts_ns > self._ns_max
        return is_old or self._waiting_bytes + len(sample.data) > self._bytes_max

    def _drop(self) -> None:
        """Drop all that waits; pictures go on from the next keyframe, which is asked for."""
        self._awaits_keyframe |= any(sample.kind is Kind.VIDEO for sample, _ in self._waiting)
        self.wants_keyframe |= bool(self._waiting)
        self.dropped_count += len(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _next(self) -> bool:
        """Let something be sent if anything waits; return whether there is."""
        if not self._rest and self._orders:
            self._rest = memoryview(self._orders.popleft())
        elif not self._rest and self._waiting:
            _, encoded = self._waiting.popleft()
            self._waiting_bytes -= len(encoded)
            self._rest = memoryview(encoded)
        return bool(self._rest)
