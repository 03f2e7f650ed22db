"""A session that answers for itself by STUN and never begins DTLS."""

import contextlib
import hashlib
import hmac
import os
import re
import socket
import struct
import urllib.error
import urllib.request
import zlib

from support.instance import Instance
from support.offers import SOUND_OFFER


class Ghost:
    """An answered offer whose sender knows its ICE password and knows no more."""

    def __init__(self, service: Instance, user: str) -> None:
        request = urllib.request.Request(  # noqa: S310 - our own
            service.whip_url("haunted", user), SOUND_OFFER, {"Content-Type": "application/sdp"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own
            text = answer.read().decode()
            self.session = service.url + answer.headers["Location"]
        self._ufrag, self._password = (re.search(f"a=ice-{name}:(\\S+)", text)[1] for name in ("ufrag", "pwd"))
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._connection: socket.socket | None = None
        self._socket.connect(("127.0.0.1", service.media_port))

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
        if self._connection is not None:
            self._connection.close()

    def knock(self, patience_s: float = 1.0) -> bool:
        """Send a valid STUN request; return whether it was answered."""
        self._socket.settimeout(patience_s)
        self._socket.send(binding_request(f"{self._ufrag}:abcd", self._password))
        try:
            return self._socket.recv(2048)[:2] == b"\1\1"
        except (TimeoutError, BlockingIOError):
            return False

    def knock_by_tcp(self) -> bool:
        """Connect by TCP and send a valid STUN request there; return whether it was answered."""
        self._connection = socket.create_connection(self._socket.getpeername(), timeout=5)
        return self.knock_again()

    def knock_again(self) -> bool:
        """Send another on the same connection."""
        request = binding_request(f"{self._ufrag}:abcd", self._password)
        assert self._connection is not None
        with contextlib.suppress(OSError):
            self._connection.sendall(struct.pack("!H", len(request)) + request)
            return self._connection.recv(2048)[2:4] == b"\1\1"
        return False

    def is_there(self) -> bool:
        """Return whether its session is."""
        try:
            with urllib.request.urlopen(self.session, timeout=10) as answer:  # noqa: S310 - our own
                return answer.status == 204
        except urllib.error.HTTPError:
            return False


def binding_request(username: str, password: str) -> bytes:
    """Return a STUN binding request with integrity and fingerprint. Spec: RFC 8489 §14.3, §14.5, §14.7."""

    def attribute(kind: int, value: bytes) -> bytes:
        return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)

    def header(length: int) -> bytes:
        return struct.pack("!HHI", 1, length, 0x2112A442) + transaction

    transaction = os.urandom(12)
    body = attribute(0x0006, username.encode()) + attribute(0x0024, struct.pack("!I", 1))
    body += attribute(0x802A, os.urandom(8))
    signed = hmac.new(password.encode(), header(len(body) + 24) + body, hashlib.sha1).digest()
    body += attribute(0x0008, signed)
    body += attribute(0x8028, struct.pack("!I", zlib.crc32(header(len(body) + 8) + body) ^ 0x5354554E))
    return header(len(body)) + body
