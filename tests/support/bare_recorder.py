"""The receiving half of a recorder alone: media thread, rooms and WHIP on a loopback port; no database, no api.

For tests of `sources/` with real publishers, and to look at what a publisher sends.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import uvicorn

from soloist.sources.items import is_frame, is_report
from soloist.sources.receiver import MediaThread, open_media_thread
from soloist.sources.rooms import Rooms
from soloist.sources.whip import create_whip_app
from support.server import free_port

T = TypeVar("T")


@dataclass
class Listener:
    """A subscriber that keeps everything it is told."""

    frames: list = field(default_factory=list)
    reports: list = field(default_factory=list)
    events: list[tuple] = field(default_factory=list)

    def on_items(self, publisher, items):
        self.frames += [item for item in items if is_frame(item)]
        self.reports += [item for item in items if is_report(item)]
        self.events += [("overflow", item.mid) for item in items if not is_frame(item) and not is_report(item)]

    def on_attached(self, publisher):
        self.events.append(("attached", publisher))

    def on_detached(self, publisher, reason):
        self.events.append(("detached", publisher, reason))

    def on_tick(self, now_ns):
        pass


class BareRecorder:
    """A running one."""

    def __init__(self, url: str, media: MediaThread, rooms: Rooms, loop: asyncio.AbstractEventLoop) -> None:
        self.url = url
        self.media = media
        self.rooms = rooms
        self._loop = loop

    def whip_url(self, room: str, user: str, app: str = "demo") -> str:
        return f"{self.url}/whip/{app}/{room}/{user}"

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the recorder's loop."""
        return asyncio.run_coroutine_threadsafe(make(), self._loop).result(10)


class _Server(uvicorn.Server):
    """Says when it listens, and on which loop it runs."""

    loop: asyncio.AbstractEventLoop

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: list | None = None) -> None:
        await super().startup(sockets)
        self.loop = asyncio.get_running_loop()
        self.is_up.set()


@contextmanager
def bare_recorder(port: int | None = None) -> Iterator[BareRecorder]:
    """Run one on a TCP port, by default a free one, and a free UDP port."""
    media = open_media_thread(bind="127.0.0.1", port=0, public_addresses=["127.0.0.1"])
    media.start()
    rooms = Rooms(media)
    port = port or free_port()
    config = uvicorn.Config(
        create_whip_app(rooms, media), host="127.0.0.1", port=port, log_level="warning", lifespan="off"
    )
    server = _Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    assert server.is_up.wait(10)
    try:
        yield BareRecorder(f"http://127.0.0.1:{port}", media, rooms, server.loop)
    finally:
        media.stop()
        server.should_exit = True
        thread.join(10)
