"""A relay between publisher and media port: a stranger's datagrams leave from where the publisher's do."""

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HOST = "127.0.0.1"


class Relay:
    """Passes datagrams both ways; `inject` sends one more from where the publisher's come from."""

    def __init__(self, media_port: int) -> None:
        self._target = (HOST, media_port)
        self._front = _socket()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._front, selectors.EVENT_READ)
        self._upstream: dict[tuple[str, int], socket.socket] = {}
        self._clients: dict[socket.socket, tuple[str, int]] = {}
        self._is_over = threading.Event()
        self.seen: dict[int, bytes] = {}
        """The newest RTP packet of each payload type, as it passed."""
        self.seen_control = b""
        """The newest RTCP packet that passed."""

    @property
    def address(self) -> str:
        """Where the publisher sends to instead of the media port."""
        host, port = self._front.getsockname()
        return f"{host}:{port}"

    def inject(self, datagram: bytes) -> None:
        """Send a datagram to the recorder as if the publisher had."""
        for upstream in tuple(self._upstream.values()):
            upstream.sendto(datagram, self._target)

    def run(self) -> None:
        """Pass datagrams on until `stop`."""
        while not self._is_over.is_set():
            for key, _ in self._selector.select(0.1):
                assert isinstance(key.fileobj, socket.socket)  # noqa: S101 - nothing else is registered
                self._pass_on(key.fileobj)

    def close(self) -> None:
        """Give its ports back, after `run`."""
        self._selector.close()
        for made in (self._front, *self._clients):
            made.close()

    def stop(self) -> None:
        """End `run`."""
        self._is_over.set()

    def _pass_on(self, readable: socket.socket) -> None:
        while True:
            try:
                datagram, sender = readable.recvfrom(65_536)
            except OSError:
                return
            if readable is not self._front:
                self._front.sendto(datagram, self._clients[readable])
                continue
            self._note(datagram)
            self._upstream_of(sender).sendto(datagram, self._target)

    def _upstream_of(self, client: tuple[str, int]) -> socket.socket:
        if client not in self._upstream:
            made = _socket()
            self._upstream[client], self._clients[made] = made, client
            self._selector.register(made, selectors.EVENT_READ)
        return self._upstream[client]

    def _note(self, datagram: bytes) -> None:
        if len(datagram) < 12 or datagram[0] >> 6 != 2:
            return
        if 192 <= datagram[1] <= 223:
            self.seen_control = datagram
        else:
            self.seen[datagram[1] & 0x7F] = datagram


@contextmanager
def relay(media_port: int) -> Iterator[Relay]:
    """Run a relay while this lasts."""
    running = Relay(media_port)
    thread = threading.Thread(target=running.run, name="relay")
    thread.start()
    try:
        yield running
    finally:
        running.stop()
        thread.join()
        running.close()


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((HOST, 0))
    made.setblocking(False)  # noqa: FBT003 - its only parameter
    return made
