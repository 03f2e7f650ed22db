"""One target: connects to its RTMP server, publishes, sends what its outlet holds, and tries again when that ends.

Targets share nothing but the units they are given: each has its queue, its connection and its pauses. Lives on the
forwarder's event loop. Spec: rules R37, R38, R39.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from soloist.clock import utc_now
from soloist.forwarding.dial import Connection, dial, strict_tls, told_fault
from soloist.forwarding.outlet import Outlet
from soloist.forwarding.standing import Patience, Standing
from soloist.forwarding.units import Unit
from soloist.model.errors import DestinationError, SoloistError
from soloist.model.forward import TargetStatus
from soloist.model.media import Codec, Kind
from soloist.wire.addresses import OutgoingGuard
from soloist.wire.flv import FOURCC
from soloist.wire.rtmp import RANDOM_BYTES, RtmpPublisher, RtmpState, RtmpUrl

log = structlog.get_logger("soloist.forwarder")

LOOK_S = 0.25
"""Between two looks at what was acknowledged."""
FAREWELL_S = 1.0
"""How long the end of a stream waits to be acknowledged."""


class CodecRefusedError(DestinationError):
    """This RTMP server takes H.264 only; let the participant publish H.264."""


class StalledError(DestinationError):
    """The RTMP server has taken no media for too long; it is being connected anew."""


class Target:
    """One RTMP server a job is forwarded to."""

    def __init__(
        self,
        url: str,
        *,
        guard: OutgoingGuard,
        patience: Patience,
        has_media: asyncio.Event,
        picture: Callable[[], Unit | None],
    ) -> None:
        """`has_media` is set while there is something to send; `picture` returns the last keyframe there was."""
        self.url = url
        self._guard = guard
        self._patience = patience
        self._has_media = has_media
        self._picture = picture
        self._standing = Standing(url, _now_ms(), patience)
        self._outlet = Outlet()
        self._news = asyncio.Event()
        self._is_ending = self._has_sound = False
        self._pictures = self._sounds = 0
        self._task: asyncio.Task[None] | None = None
        self._address: RtmpUrl | None = None
        try:
            self._address = RtmpUrl.parse(url)
        except ValueError as error:  # It was stored under other rules than today's: no attempt can mend it.
            self._standing.failed(f"its address {error}; update the job's rtmp_urls", _now_ms(), 0.0)

    @property
    def status(self) -> TargetStatus:
        """Where it stands now."""
        self._standing.counted(pictures=self._pictures, sounds=self._sounds, dropped=self._outlet.dropped_count)
        return self._standing.status

    @property
    def wants_keyframe(self) -> bool:
        """True while a connection waits for a picture to begin or go on with."""
        return self._outlet.wants_keyframe

    def start(self) -> None:
        """Begin to connect if it is not about to; also anew, once its stream has ended."""
        if self._address is not None and (self._task is None or self._task.done()):
            self._is_ending = False
            self._task = asyncio.create_task(self._run(self._address), name="target")

    def offer(self, unit: Unit) -> None:
        """Take a unit, or drop it: never waits."""
        self._has_sound |= unit.kind is Kind.AUDIO
        self._outlet.offer(unit)
        self._news.set()

    async def end(self, within_s: float) -> None:
        """Send what waits, say that nothing follows, and close; whatever is not done in time is left."""
        self._is_ending = True
        self._news.set()
        if self._task is None:
            return
        if not self._outlet.is_open:
            self._task.cancel()
        await asyncio.wait({self._task}, timeout=within_s)
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=LOOK_S)

    async def _run(self, address: RtmpUrl) -> None:
        while not self._is_ending:
            await self._has_media.wait()
            self._standing.attempted(time.monotonic(), _now_ms())
            fault = await self._attempt(address)
            self._outlet.close()
            if self._is_ending:
                return
            pause_s = self._standing.failed(
                told_fault(fault),
                _now_ms(),
                random.random(),  # noqa: S311 - jitter
                is_stalled=isinstance(fault, StalledError),
            )
            await asyncio.sleep(pause_s)

    async def _attempt(self, address: RtmpUrl) -> BaseException:
        """Connect, publish and send until that ends; return why it did."""
        connection: Connection | None = None
        try:
            connection = await dial(address, self._guard, strict_tls, self._patience.answer_s)
            publisher = RtmpPublisher(address, os.urandom(RANDOM_BYTES))
            async with asyncio.timeout(self._patience.answer_s):
                await self._publish(connection, publisher)
            self._standing.accepted(time.monotonic())
            await self._stream(connection, publisher)
        except (OSError, SoloistError) as error:
            return error
        except Exception as error:
            log.exception("target_failed", target=self._standing.status.url)
            return error
        finally:
            if connection is not None:
                connection.close()
        return ConnectionResetError()

    async def _publish(self, connection: Connection, publisher: RtmpPublisher) -> None:
        """Speak with the server until it takes the stream."""
        while publisher.state is not RtmpState.READY:
            await connection.write(publisher.take())
            publisher.receive(await connection.read())
            if publisher.state is RtmpState.CONNECTED:
                self._check_codec(publisher)
                publisher.publish()
        await connection.write(publisher.take())

    async def _stream(self, connection: Connection, publisher: RtmpPublisher) -> None:
        """Send media, hear what the server says, and watch that it takes it; return when the end was said."""
        self._outlet.open()
        zero = connection.written_bytes
        await _first(
            self._send(connection, publisher),
            self._listen(connection, publisher),
            self._watch(connection, zero),
        )

    async def _send(self, connection: Connection, publisher: RtmpPublisher) -> None:
        has_begun = False
        while True:
            tags = self._outlet.take()
            if not tags:
                if self._is_ending:
                    break
                self._news.clear()
                await self._news.wait()
                continue
            if not has_begun:
                publisher.send_metadata(self._metadata())
                has_begun = True
            for tag in tags:
                send = publisher.send_video if tag.kind is Kind.VIDEO else publisher.send_audio
                send(tag.body, tag.at_ms)
                self._pictures += tag.is_frame and tag.kind is Kind.VIDEO
                self._sounds += tag.is_frame and tag.kind is Kind.AUDIO
            self._check_codec(publisher)
            await connection.write(publisher.take())
        publisher.end()
        await connection.write(publisher.take())
        await _acknowledged(connection)

    async def _listen(self, connection: Connection, publisher: RtmpPublisher) -> None:
        while True:
            publisher.receive(await connection.read())
            await connection.write(publisher.take())

    async def _watch(self, connection: Connection, zero: int) -> None:
        """Note what is acknowledged.

        Raises:
            StalledError: nothing was for too long.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            pending, now = connection.pending_bytes, time.monotonic()
            count = max(0, connection.written_bytes - zero - pending)
            self._standing.acknowledged(count, now, _now_ms(), is_all=pending == 0)
            if self._standing.is_stalled(now):
                raise StalledError

    def _check_codec(self, publisher: RtmpPublisher) -> None:
        """Hold what is published now against what the server takes.

        Raises:
            CodecRefusedError: it does not take it.
        """
        unit = self._picture()
        if unit is None or (unit.codec is Codec.H264 and not unit.is_refused):
            return
        code = FOURCC.get(unit.codec)
        if code is None or unit.is_refused or not {code, "*"} & publisher.announced:
            raise CodecRefusedError(f"{unit.codec} cannot be forwarded there; let the participant publish H.264")

    def _metadata(self) -> dict[str, object]:
        """Return what players are told before the first picture. Spec: FLV §E.5."""
        unit = self._picture()
        fields: dict[str, object] = {"encoder": "soloist"}
        if self._has_sound:
            fields |= {"audiocodecid": 10.0, "audiosamplerate": 48_000.0}
        if unit is not None:
            code = FOURCC.get(unit.codec)
            fields |= {
                "width": float(unit.width),
                "height": float(unit.height),
                "videocodecid": float(int.from_bytes(code.encode(), "big")) if code else 7.0,
            }
        return fields


async def _acknowledged(connection: Connection) -> None:
    """Return when everything has arrived, or too late."""
    deadline = time.monotonic() + FAREWELL_S
    while connection.pending_bytes and time.monotonic() < deadline:  # noqa: ASYNC110 - the kernel tells nobody
        await asyncio.sleep(0.01)


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Return when the first of several has, raising what it raised; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _now_ms() -> int:
    return int(utc_now().timestamp() * 1000)
