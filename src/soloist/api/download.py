"""Sending an object at the reader's pace, within limits: so many at once, and none that hardly reads.

A piece is read from the store only when the one before it has gone, so a download holds one or two pieces of memory, a
connection and a file for as long as its reader takes; therefore a reader may not be slower than `PIECE_S_MAX` says.
Players that pause are cut off as well, and ask on where they were when they need more.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from soloist.api.bounds import Bounds
from soloist.api.threshold import limited_source

PIECE_S_MAX = 20.0
"""In which a piece of 256 KiB must have been taken: 105 kbit/s."""
DROP = "soloist.drop"
"""The ASGI extension that ends a connection at once; where it is absent, the server closes it when it can."""


class PacedResponse(StreamingResponse):
    """An object, or a part of it, for one reader."""

    piece_s_max = PIECE_S_MAX

    def __init__(
        self, pieces: AsyncIterator[bytes], bounds: Bounds, *, bucket: str, status_code: int, headers: Mapping[str, str]
    ) -> None:
        """`bucket` names where the object lies, for the share of all downloads that one bucket may have."""
        super().__init__(pieces, status_code, headers)
        self._bounds = bounds
        self._bucket = bucket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, if there is room for another download.

        Raises:
            BusyError: there is none.
        """
        bounds = self._bounds
        with (
            bounds.downloads.holding(limited_source(scope)) as held,
            bounds.downloads_of_bucket.holding(self._bucket) as of_bucket,
        ):
            held.take(1)
            of_bucket.take(1)
            self._drop = scope.get("extensions", {}).get(DROP)
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send the pieces; a reader who takes one too slowly loses the connection."""
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for piece in self.body_iterator:
                async with asyncio.timeout(self.piece_s_max):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            self._bounds.refuse_download("slow")
            if self._drop is not None:
                self._drop()
