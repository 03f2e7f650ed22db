"""The other peer: aiortc taking WHIP offers, with its decoder replaced by a write to a file.

What a frame costs here is receiving, decrypting, putting together and writing it; nothing is decoded. Prints one JSON
line once it listens. Run by its own locked project, since aiortc's dependencies are not Soloist's.
"""

import argparse
import itertools
import json
import socket
import struct
import threading
from pathlib import Path

import aioice.ice
import aiortc.rtcrtpreceiver
import uvloop
from aiohttp import web
from aiortc import RTCPeerConnection, RTCSessionDescription

FILE_BUFFER_BYTES = 64 << 10


def main() -> None:
    """Serve until the process is ended."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, required=True)
    peer = Peer(options.parse_args().folder)
    aiortc.rtcrtpreceiver.decoder_worker = peer.write
    # aioice leaves loopback addresses out, and this is a measurement on loopback.
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    uvloop.install()
    listener = socket.create_server(("127.0.0.1", 0))
    print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    web.run_app(peer.application(), sock=listener, print=None, access_log=None)


class Peer:
    """Every session of the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        self._counting = threading.Lock()
        self._connections: dict[str, RTCPeerConnection] = {}

    def application(self) -> web.Application:
        """Return the WHIP endpoint: any path."""
        application = web.Application()
        application.router.add_post("/{path:.*}", self.join)
        application.router.add_delete("/{path:.*}", self.leave)
        return application

    async def join(self, request: web.Request) -> web.Response:
        """Answer an offer."""
        connection = RTCPeerConnection()
        self._connections[request.path] = connection
        await connection.setRemoteDescription(RTCSessionDescription(await request.text(), "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        headers = {"Location": request.path}
        return web.Response(
            status=201, text=connection.localDescription.sdp, content_type="application/sdp", headers=headers
        )

    async def leave(self, request: web.Request) -> web.Response:
        """End a session; its files are whole afterwards."""
        await self._connections.pop(request.path).close()
        return web.Response()

    def write(self, loop, input_q, output_q, decode_error) -> None:  # noqa: ANN001 - stands in for aiortc's own
        """Write encoded frames, each behind its length, until the track ends; runs in the track's own thread."""
        with self._counting:
            number = next(self._numbers)
        first = input_q.get()
        if first is None:
            return
        codec, _ = first
        kind = codec.mimeType.split("/")[0]
        with (self._folder / f"{number}.{kind}").open("wb", FILE_BUFFER_BYTES) as out:
            task = first
            while task is not None:
                data = task[1].data
                out.write(struct.pack(">I", len(data)) + data)
                task = input_q.get()


if __name__ == "__main__":
    main()
