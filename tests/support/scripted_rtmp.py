"""An RTMP server that does as a test says: announces codings, stops reading midway, never answers, swallows SYNs.

Its chunks are ours; that they are right is shown against nginx-rtmp and FFmpeg. One thread for each connection.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping

from soloist.wire.amf0 import encode_amf0, parse_amf0
from soloist.wire.rtmp import HANDSHAKE_BYTES
from soloist.wire.rtmp_chunks import ChunkReader, Message, encode_message

COMMAND, DATA, AUDIO, VIDEO = 20, 18, 8, 9


class ScriptedRtmp:
    """Takes streams, and keeps their messages."""

    def __init__(self, *, info: "Mapping[str, object] | None" = None, stops_after: "int | None" = None) -> None:
        """`info` goes into the answer to `connect`; after `stops_after` media messages nothing is read any more."""
        self.messages: list[tuple[int, bytes]] = []
        self.commands: list[str] = []
        self.metadata: list[dict] = []
        self.connections = 0
        self._info = info or {}
        self._stops_after = stops_after
        self._is_over = threading.Event()
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(8)
        self.url = f"rtmp://127.0.0.1:{self._listener.getsockname()[1]}/live/key"
        threading.Thread(target=self._accept, daemon=True).start()

    def media(self, kind: int) -> list[bytes]:
        """Return the bodies of one kind of tags."""
        return [payload for type_id, payload in self.messages if type_id == kind]

    def close(self) -> None:
        self._is_over.set()
        self._listener.shutdown(socket.SHUT_RDWR)  # Or who waits in `accept` would go on listening.
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connected,), daemon=True).start()

    def _serve(self, connected: socket.socket) -> None:
        with connected, contextlib.suppress(OSError):
            c0_c1 = _exactly(connected, 1 + HANDSHAKE_BYTES)
            connected.sendall(b"\3" + bytes(HANDSHAKE_BYTES) + c0_c1[1:])
            _exactly(connected, HANDSHAKE_BYTES)
            self._converse(connected, ChunkReader())

    def _converse(self, connected: socket.socket, reader: ChunkReader) -> None:
        while data := connected.recv(65536):
            for message in reader.feed(data):
                if message.type_id == 1:
                    reader.set_chunk_size(int.from_bytes(message.payload, "big"))
                elif message.type_id == COMMAND:
                    self._answer(connected, parse_amf0(message.payload))
                elif message.type_id == DATA:
                    self.metadata.append(parse_amf0(message.payload)[2])
                elif message.type_id in (AUDIO, VIDEO):
                    self.messages.append((message.type_id, message.payload))
            if self._stops_after is not None and len(self.messages) >= self._stops_after:
                self._is_over.wait()

    def _answer(self, connected: socket.socket, values: list) -> None:
        name, transaction = values[:2]
        self.commands.append(name)
        if name == "connect":
            info = {"level": "status", "code": "NetConnection.Connect.Success", **self._info}
            _say(connected, "_result", transaction, {"fmsVer": "FMS/3,0,1,123"}, info)
        elif name == "createStream":
            _say(connected, "_result", transaction, None, 1)
        elif name == "publish":
            _say(connected, "onStatus", 0, None, {"level": "status", "code": "NetStream.Publish.Start"})


def _say(connected: socket.socket, *values: object) -> None:
    connected.sendall(encode_message(Message(COMMAND, 0, encode_amf0(*values)), 0, 3, 128))


def _exactly(connected: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connected.recv(count - len(data))
        if not chunk:
            raise ConnectionResetError
        data += chunk
    return data


@contextlib.contextmanager
def scripted_rtmp(**script) -> Iterator[ScriptedRtmp]:
    """Run one."""
    running = ScriptedRtmp(**script)
    try:
        yield running
    finally:
        running.close()


@contextlib.contextmanager
def silent_target() -> Iterator[str]:
    """Yield the URL of a server that accepts and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"rtmp://127.0.0.1:{listener.getsockname()[1]}/live/silent"


@contextlib.contextmanager
def swallowing_target() -> Iterator[str]:
    """Yield the URL of a port whose SYNs are swallowed."""
    with swallow("127.0.0.1") as port:
        yield f"rtmp://127.0.0.1:{port}/live/swallowed"


@contextlib.contextmanager
def swallow(address: str, port: int = 0) -> Iterator[int]:
    """Yield a port that swallows SYNs: its queue of connections is full and nobody accepts."""
    with contextlib.ExitStack() as open_ends:
        listener = open_ends.enter_context(socket.socket())
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(3):
            waiting = open_ends.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        time.sleep(0.1)
        yield listener.getsockname()[1]
