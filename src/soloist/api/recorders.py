"""Questions to recorders over their unix sockets: each answers about what it holds itself, and nobody else may ask."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

READ_TIMEOUT_S = 2.0

UNANSWERED = (TimeoutError, aiohttp.ClientError, OSError, ValueError)
"""What asking raises if a recorder does not answer, or not with what was asked for."""


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
