"""The way from the api process to its recorders: HTTP over a unix socket each. A room is always the same recorder's.

Knows how to reach them; knows nothing of what is asked. Spec: design section 2.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from soloist.wire.placement import slot_of_room

READ_TIMEOUT_S = 2.0
RECORDER_TIMEOUT = aiohttp.ClientTimeout(total=10, connect=2)


UNANSWERED = (TimeoutError, aiohttp.ClientError, OSError, ValueError)
"""What asking raises if a recorder does not answer, or not with what was asked for."""


class RecorderAwayError(Exception):
    """The room's recorder does not answer; try again."""


@dataclass(frozen=True, slots=True)
class RecorderAnswer:
    """What a recorder answered."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(slots=True)
class Recorders:
    """Holds one connection pool per recorder; `lifespan` closes them."""

    sockets: Mapping[str, Path]
    """Unix socket of each slot."""
    _sessions: dict[str, aiohttp.ClientSession] = field(default_factory=dict)

    @asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Close the connections when the application ends."""
        yield
        for session in self._sessions.values():
            await session.close()

    async def ask(self, app_id: str, room_id: str, method: str, target: str, **sent: Any) -> RecorderAnswer:
        """Ask the recorder of a room; `target` is sent as it is, `sent` is what `ClientSession.request` takes.

        Raises:
            RecorderAwayError: it does not answer, or not in time.
        """
        slot = slot_of_room(app_id, room_id, list(self.sockets))
        url = URL("http://recorder" + target, encoded=True)
        options = {"allow_redirects": False, "skip_auto_headers": ["Content-Type"], **sent}
        try:
            async with self._session(slot).request(method, url, **options) as answer:
                return RecorderAnswer(answer.status, tuple(answer.headers.items()), await answer.read())
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise RecorderAwayError from error

    def _session(self, slot: str) -> aiohttp.ClientSession:
        """Return the recorder's pool; it keeps no connection, since a restarted recorder would break the next POST."""
        if slot not in self._sessions:
            connector = aiohttp.UnixConnector(path=str(self.sockets[slot]), force_close=True)
            self._sessions[slot] = aiohttp.ClientSession(connector=connector, timeout=RECORDER_TIMEOUT)
        return self._sessions[slot]


async def read_recorder(path: Path, target: str) -> Mapping[str, Any]:
    """Return the JSON object the recorder behind a unix socket answers a GET of `target` with.

    Raises:
        OSError, TimeoutError, aiohttp.ClientError, ValueError: it does not answer, or not with one and 200.
    """
    timeout = aiohttp.ClientTimeout(total=READ_TIMEOUT_S)
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(path)), timeout=timeout) as session,
        session.get(f"http://recorder{target}") as answer,
    ):
        body: dict[str, Any] = await answer.json()
        if answer.status != 200:
            raise ValueError(f"the recorder answers {answer.status} to {target}")
        return body
