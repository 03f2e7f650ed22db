"""The forwarder process: one job's samples in by a socket, one to five RTMP streams out.

Orders say whom to forward to; a report a quarter of a second says where each target stands, and is what the recorder
knows it by to be alive. When the recorder's end of the socket closes, so does everything here. Nothing is kept.
"""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import structlog

from soloist.forwarding.messages import HEADER, MessageType, encode_json, parse_header, parse_sample
from soloist.forwarding.standing import Patience
from soloist.forwarding.target import Target
from soloist.forwarding.units import Feed, Unit
from soloist.model.media import Kind
from soloist.wire.addresses import OutgoingGuard

log = structlog.get_logger("soloist.forwarder")

REPORT_S = 0.25
MEDIA_S = 10.0
"""After so long without media nothing is connected anew until some comes."""
FLUSH_S = 0.5
"""After so long without media, what waits for the other track goes out."""
ORPHANED_S = 1.0
"""How long streams may take to end when the recorder is gone."""
HELD_S = 0.1
"""How long they may take when another recorder is about to begin them: what a server does not take is aborted."""


class Forwarder:
    """One job's targets."""

    def __init__(self) -> None:
        self._feed = Feed()
        self._targets: dict[str, Target] = {}
        self._aims_count = 0
        self._guard = OutgoingGuard()
        self._patience = Patience()
        self._has_media = asyncio.Event()
        self._media_at = 0.0
        self._picture: Unit | None = None
        self._is_held = self._is_finishing = False
        self._endings: set[asyncio.Task[None]] = set()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the job has ended and its streams with it."""

    def push(self, payload: bytes) -> None:
        """Take an encoded sample."""
        self._media_at = time.monotonic()
        self._hand_out(self._feed.push(parse_sample(payload)))
        if not self._is_held:
            self._has_media.set()

    def obey(self, order: Mapping[str, Any]) -> None:
        """Carry out an order."""
        if "allowed" in order:
            self._guard = OutgoingGuard(order["allowed"], order["denied"])
            self._patience = Patience(stalled_s=order["stalled_s"])
        if "expect" in order:
            self._feed.expect(frozenset(Kind(kind) for kind in order["expect"]))
        if "hold" in order:
            self._hold(is_held=order["hold"])
        if "targets" in order:
            self._aim(order["targets"])
            self._aims_count = order["aim"]
        if "finish" in order:
            self._hand_out(self._feed.flush())
            self._later(self._finish(order["finish"]))

    def report(self) -> dict[str, Any]:
        """Return where everything stands, and look after time."""
        quiet_s = time.monotonic() - self._media_at
        if quiet_s > FLUSH_S:
            self._hand_out(self._feed.flush())
        if quiet_s > MEDIA_S:
            self._has_media.clear()
        targets = self._targets.values()
        if not self._is_held and not self._is_finishing:
            for target in targets:
                target.start()
        return {
            "targets": [asdict(target.status) for target in targets],
            "aim": self._aims_count,
            "wants_keyframe": any(target.wants_keyframe for target in targets),
        }

    async def end(self, within_s: float) -> None:
        """End every stream in order."""
        await asyncio.gather(*(target.end(within_s) for target in self._targets.values()))

    def _hand_out(self, units: list[Unit]) -> None:
        for unit in units:
            if unit.kind is Kind.VIDEO and unit.is_keyframe:
                self._picture = unit
            for target in self._targets.values():
                target.offer(unit)

    def _aim(self, urls: list[str]) -> None:
        """Let these be the targets; those that were already go on undisturbed."""
        for url in self._targets.keys() - set(urls):
            self._later(self._targets.pop(url).end(ORPHANED_S))
        for url in urls:
            if url not in self._targets:
                self._targets[url] = Target(
                    url,
                    guard=self._guard,
                    patience=self._patience,
                    has_media=self._has_media,
                    picture=lambda: self._picture,
                )
        self._targets = {url: self._targets[url] for url in urls}

    def _hold(self, *, is_held: bool) -> None:
        """Let go of every server, so that another recorder can take the streams over; or go on."""
        self._is_held = is_held
        if is_held:
            self._has_media.clear()
            for target in self._targets.values():
                self._later(target.end(HELD_S))

    async def _finish(self, within_s: float) -> None:
        self._is_finishing = True
        await self.end(within_s)
        if not self.finished.done():
            self.finished.set_result(None)

    def _later(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)


async def run_child(connected: socket.socket) -> None:
    """Forward until the recorder says that the job is over, or is gone."""
    reader, writer = await asyncio.open_connection(sock=connected, limit=4 * 1024 * 1024)
    forwarder = Forwarder()
    works = [asyncio.ensure_future(_listen(reader, forwarder)), asyncio.ensure_future(_report(writer, forwarder))]
    await asyncio.wait([*works, forwarder.finished], return_when=asyncio.FIRST_COMPLETED)
    for work in works:
        work.cancel()
    for fault in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(fault, Exception) and not isinstance(fault, OSError | EOFError):
            log.error("forwarder_failed", exc_info=fault)
    await forwarder.end(ORPHANED_S)
    with contextlib.suppress(OSError):
        writer.write(encode_json(MessageType.REPORT, forwarder.report()))
        await writer.drain()
    writer.close()


async def _listen(reader: asyncio.StreamReader, forwarder: Forwarder) -> None:
    """Take in what the recorder sends.

    Raises:
        EOFError: it is gone.
    """
    while True:
        kind, length = parse_header(await reader.readexactly(HEADER.size))
        payload = await reader.readexactly(length)
        if kind is MessageType.SAMPLE:
            forwarder.push(payload)
        else:
            forwarder.obey(json.loads(payload))


async def _report(writer: asyncio.StreamWriter, forwarder: Forwarder) -> None:
    while True:
        writer.write(encode_json(MessageType.REPORT, forwarder.report()))
        await writer.drain()
        await asyncio.sleep(REPORT_S)
