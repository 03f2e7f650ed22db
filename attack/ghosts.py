"""Publishers who never finish joining: an offer, then one STUN request every few seconds and no handshake. S6."""

import hashlib
import hmac
import http.client
import os
import socket
import struct
import time
from dataclasses import dataclass

from support.offers import SOUND_OFFER

from attack.scene import STRANGER, Scene

MAGIC = 0x2112A442
STUN_S = 5.0


@dataclass(frozen=True, slots=True)
class Ghost:
    """One session that was answered."""

    ufrag: str
    password: str
    port: int

    def knock(self, from_socket: socket.socket) -> None:
        """Send a binding request that proves the password of the answer. Spec: RFC 8489 sections 14.3 and 14.5."""
        name = f"{self.ufrag}:abcd".encode()
        body = struct.pack("!HH", 0x0006, len(name)) + name + bytes(-len(name) % 4)
        body += struct.pack("!HHI", 0x0024, 4, 1) + struct.pack("!HHQ", 0x802A, 8, 1) + struct.pack("!HH", 0x0025, 0)
        head = struct.pack("!HHI", 1, len(body) + 24, MAGIC) + os.urandom(12)
        proof = hmac.new(self.password.encode(), head + body, hashlib.sha1).digest()
        from_socket.sendto(head + body + struct.pack("!HH", 0x0008, 20) + proof, ("127.0.0.1", self.port))


def haunt(scene: Scene, room: str) -> Ghost | int:
    """Post an offer for a room; return what was answered, or the status of the refusal."""
    connection = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=10, source_address=(STRANGER, 0))
    token = scene.join_token(room, "ghost")
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {token}"}
    connection.request("POST", f"/whip/{scene.app[0]}/{room}/ghost", SOUND_OFFER, headers)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    if reply.status != 201:
        return reply.status
    values = dict(
        line[2:].split(":", 1) for line in text.splitlines() if line.startswith(("a=ice-ufrag:", "a=ice-pwd:"))
    )
    return Ghost(values["ice-ufrag"], values["ice-pwd"], scene.media_port)


def keep(ghosts: list[Ghost], seconds: float) -> None:
    """Have every ghost knock once in a while, for so many seconds."""
    until, sockets = time.monotonic() + seconds, [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in ghosts]
    while time.monotonic() < until:
        for ghost, own in zip(ghosts, sockets, strict=True):
            ghost.knock(own)
        time.sleep(max(0.0, min(STUN_S, until - time.monotonic())))
    for own in sockets:
        own.close()
