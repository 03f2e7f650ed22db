"""Publishing one stream to an RTMP server: handshake, connect, publish, media, and the orderly end. Sans-IO.

States in order: HANDSHAKE, CONNECTING, CREATING, PUBLISHING (answers are awaited), READY (media may be sent), ENDED.
`receive` takes what the server sent and moves them; `take` returns what is to be sent to it. Time, randomness and
sockets are the caller's. What a server announces of itself with its answer to `connect` is kept: enhanced RTMP says
there which codings beyond H.264 and AAC it takes.
Spec: Adobe's RTMP specification 1.0 §5.2 (handshake), §5.4, §7.2 (commands); Enhanced RTMP v2, "Enhancing NetConnection
connect Command" (fourCcList, videoFourCcInfoMap).
"""

import hashlib
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote, urlsplit

from soloist.model.errors import DestinationError
from soloist.wire.amf0 import Value, encode_amf0, encode_ecma_array, parse_amf0
from soloist.wire.rtmp_chunks import ChunkReader, Message, RtmpError, encode_message

VERSION = 3
HANDSHAKE_BYTES = 1536
RANDOM_BYTES = HANDSHAKE_BYTES - 8
PORTS = {"rtmp": 1935, "rtmps": 443}
CHUNK_BYTES = 60_000
"""Of what is sent: most messages are then one chunk. FFmpeg's size, so every server knows it."""
WINDOW_BYTES = 2_500_000

OWN_FOURCC = ("av01", "vp09")

_SET_CHUNK_SIZE, _ACKNOWLEDGEMENT, _USER_CONTROL, _WINDOW_SIZE, _PEER_BANDWIDTH = 1, 3, 4, 5, 6
_AUDIO, _VIDEO, _DATA, _COMMAND = 8, 9, 18, 20
_PING_REQUEST, _PING_RESPONSE = 6, 7
_CONTROL_CHUNKS, _COMMAND_CHUNKS, _AUDIO_CHUNKS, _DATA_CHUNKS, _VIDEO_CHUNKS = 2, 3, 4, 5, 6
_CONNECT, _RELEASE, _FC_PUBLISH, _CREATE, _PUBLISH, _FC_UNPUBLISH, _DELETE = 1, 2, 3, 4, 5, 6, 7
"""Transaction numbers, one for each command we send."""
TEXT_LENGTH_MAX = 160
SECRET_LENGTH_MIN = 4
"""Of a value in a stream key's query: a shorter one hides nothing, and would be found in every word."""
HOST_LENGTH_MAX, LABEL_LENGTH_MAX = 253, 63
"""Of a name and of each part of it between dots. Spec: RFC 1035 §2.3.4."""


class RefusedError(DestinationError):
    """The RTMP server refused to take the stream; check the address and the stream key."""


class RtmpState(StrEnum):
    """How far publishing got."""

    HANDSHAKE = "handshake"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    """The server has answered; `publish` goes on. What it takes is known."""
    CREATING = "creating"
    PUBLISHING = "publishing"
    READY = "ready"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RtmpUrl:
    """An address to publish to, taken apart."""

    scheme: str
    host: str
    port: int
    app: str
    """What `connect` names: everything between host and stream key."""
    key: str
    """The stream key, with its query: a secret."""

    @classmethod
    def parse(cls, url: str) -> "RtmpUrl":
        """Return the parts of rtmp[s]://host[:port]/app/key, where `app` may have slashes and `key` a query.

        Raises:
            ValueError: it is no such address; the message says what is wrong and never quotes it.
        """
        if any(ord(letter) <= 0x20 or ord(letter) >= 0x7F for letter in url):
            raise ValueError("must be ASCII without spaces; percent-encode others")
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("must be an rtmp:// or rtmps:// address with a host and a port up to 65535") from None
        if parts.scheme not in PORTS or not parts.hostname or port == 0:
            raise ValueError("must be an rtmp:// or rtmps:// address with a host")
        if not _is_host(parts.hostname):
            raise ValueError("must have a host with 1 to 63 letters between two dots, 253 in all")
        if "#" in url:
            raise ValueError("must not have a #fragment; percent-encode a # in the stream key as %23")
        if parts.username is not None:
            raise ValueError("must not have user:password@; a stream key goes to the end of the path")
        app, _, key = parts.path.lstrip("/").rpartition("/")
        if not app or not key:
            raise ValueError("must end in /application/stream-key")
        tail = f"?{parts.query}" if parts.query else ""
        return cls(parts.scheme, parts.hostname, port or PORTS[parts.scheme], app, key + tail)

    @property
    def secrets(self) -> frozenset[str]:
        """What nobody may be told of it: the key, its parts, and what servers may have made of them."""
        name, _, query = self.key.partition("?")
        values = (field.rpartition("=")[2] for field in query.split("&"))
        said = {self.key, name, query, *(value for value in values if len(value) >= SECRET_LENGTH_MIN)}
        return frozenset(filter(None, (_plain(text) for text in said | {unquote(text) for text in said})))

    @property
    def tc_url(self) -> str:
        """The address without the key, which `connect` repeats."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}/{self.app}"


def target_id(url: str) -> str:
    """Return what tells an address from others without saying it: 16 hex digits of its SHA-256."""
    return hashlib.sha256(url.encode()).hexdigest()[:16]


def masked(url: str) -> str:
    """Return an address as it may be logged and shown: without what follows its last slash, the stream key."""
    try:
        parts = RtmpUrl.parse(url)
    except ValueError:
        return "rtmp://***"
    return f"{parts.tc_url}/***"


class RtmpPublisher:
    """One connection to a server, from the first byte to the last."""

    def __init__(self, url: RtmpUrl, random_bytes: bytes) -> None:
        """`random_bytes` are the RANDOM_BYTES of the handshake, which servers may compare."""
        self._url = url
        self._handshake = bytearray()
        self._has_echoed = False
        self._reader = ChunkReader()
        self._out: list[bytes] = []
        self._stream_id = 0
        self._received_bytes = 0
        self._acknowledged_bytes = 0
        self._window_bytes = WINDOW_BYTES
        self._chunk_bytes = 128
        self.state = RtmpState.HANDSHAKE
        self.announced: frozenset[str] = frozenset()
        """FourCCs of codings the server says it takes; `*` for any."""
        self.acknowledged_bytes = 0
        """What the server says it has read, modulo 2^32; 0 if it never said."""
        self._out.append(bytes((VERSION,)) + bytes(8) + random_bytes)

    def take(self) -> bytes:
        """Return what is to be sent, once."""
        out, self._out = b"".join(self._out), []
        return out

    def receive(self, data: bytes) -> None:
        """Take in what the server sent.

        Raises:
            RtmpError: it does not speak RTMP.
            RefusedError: it will not have this stream; says why, in its own words.
        """
        self._received_bytes += len(data)
        if self.state is RtmpState.HANDSHAKE:
            data = self._shake_hands(data)
        if self.state is not RtmpState.HANDSHAKE:
            for message in self._reader.feed(data):
                self._on_message(message)
            self._acknowledge()

    def publish(self) -> None:
        """Ask the server, which must be CONNECTED, to take the stream."""
        self._command("releaseStream", _RELEASE, None, self._url.key)
        self._command("FCPublish", _FC_PUBLISH, None, self._url.key)
        self._command("createStream", _CREATE, None)
        self.state = RtmpState.CREATING

    def send_metadata(self, values: dict[str, object]) -> None:
        """Send what players are told before the first picture."""
        payload = encode_amf0("@setDataFrame", "onMetaData") + encode_ecma_array(values)
        self._send(_DATA, payload, 0, _DATA_CHUNKS)

    def send_audio(self, tag: bytes, timestamp_ms: int) -> None:
        """Send the body of an FLV audio tag."""
        self._send(_AUDIO, tag, timestamp_ms, _AUDIO_CHUNKS)

    def send_video(self, tag: bytes, timestamp_ms: int) -> None:
        """Send the body of an FLV video tag."""
        self._send(_VIDEO, tag, timestamp_ms, _VIDEO_CHUNKS)

    def end(self) -> None:
        """Say that nothing follows, as far as anything was begun."""
        if self.state is RtmpState.READY:
            self._command("FCUnpublish", _FC_UNPUBLISH, None, self._url.key)
            self._command("deleteStream", _DELETE, None, self._stream_id)
        self.state = RtmpState.ENDED

    def _shake_hands(self, data: bytes) -> bytes:
        """Take S0, S1 and S2 in; return what follows them. S2's echo is not held against C1: servers sign it instead.

        Spec: §5.2.
        """
        self._handshake += data
        if self._handshake and self._handshake[0] != VERSION:
            raise RtmpError("no RTMP server answers there")
        if len(self._handshake) > HANDSHAKE_BYTES and not self._has_echoed:
            self._has_echoed = True
            self._out.append(bytes(self._handshake[1 : 1 + HANDSHAKE_BYTES]))
        if len(self._handshake) < 1 + 2 * HANDSHAKE_BYTES:
            return b""
        rest = bytes(self._handshake[1 + 2 * HANDSHAKE_BYTES :])
        self._handshake.clear()
        self._send(_SET_CHUNK_SIZE, struct.pack(">I", CHUNK_BYTES), 0, _CONTROL_CHUNKS)
        self._chunk_bytes = CHUNK_BYTES
        self._command("connect", _CONNECT, self._introduction())
        self.state = RtmpState.CONNECTING
        return rest

    def _introduction(self) -> dict[str, object]:
        return {
            "app": self._url.app,
            "type": "nonprivate",
            "flashVer": "FMLE/3.0 (compatible; soloist)",
            "tcUrl": self._url.tc_url,
            "fourCcList": list(OWN_FOURCC),
            "videoFourCcInfoMap": dict.fromkeys(OWN_FOURCC, 2),  # We encode, as the map's flags say it.
        }

    def _on_message(self, message: Message) -> None:
        if message.type_id == _COMMAND:
            self._on_command(parse_amf0(message.payload))
        elif message.type_id == _SET_CHUNK_SIZE:
            self._reader.set_chunk_size(_number(message))
        elif message.type_id == _WINDOW_SIZE:
            self._window_bytes = max(1, _number(message))
        elif message.type_id == _ACKNOWLEDGEMENT:
            self.acknowledged_bytes = _number(message)
        elif message.type_id == _PEER_BANDWIDTH:
            self._send(_WINDOW_SIZE, struct.pack(">I", WINDOW_BYTES), 0, _CONTROL_CHUNKS)
        elif message.type_id == _USER_CONTROL and message.payload[:2] == struct.pack(">H", _PING_REQUEST):
            answer = struct.pack(">H", _PING_RESPONSE) + message.payload[2:6]
            self._send(_USER_CONTROL, answer, 0, _CONTROL_CHUNKS)

    def _on_command(self, values: list[Value]) -> None:
        name, transaction = [*values[:2], None, None][:2]
        if name == "_error":
            self._on_error(transaction, values)
        elif name == "_result" and transaction == _CONNECT and self.state is RtmpState.CONNECTING:
            self.announced = frozenset(_announced(values[2:]))
            self.state = RtmpState.CONNECTED
        elif name == "_result" and transaction == _CREATE and self.state is RtmpState.CREATING:
            self._on_created(values)
        elif name == "onStatus":
            self._on_status(_first_object(values))
        elif name == "close":
            raise RefusedError("the RTMP server closed the connection")

    def _on_error(self, transaction: Value, values: list[Value]) -> None:
        """Give up, unless the server only does not know what is a custom: releaseStream, FCPublish."""
        if transaction in (_CONNECT, _CREATE, _PUBLISH):
            raise RefusedError(_refusal(_first_object(values), self._url))

    def _on_created(self, values: list[Value]) -> None:
        stream_id = values[3] if len(values) > 3 else None
        if not isinstance(stream_id, float) or not 0 < stream_id < 2**32:
            raise RtmpError("the RTMP server names no stream to publish on")
        self._stream_id = int(stream_id)
        self._command("publish", _PUBLISH, None, self._url.key, "live", stream_id=self._stream_id)
        self.state = RtmpState.PUBLISHING

    def _on_status(self, status: dict[str, Value]) -> None:
        code = str(status.get("code", ""))
        if code == "NetStream.Publish.Start":
            if self.state is RtmpState.PUBLISHING:
                self.state = RtmpState.READY
        elif status.get("level") == "error" or code.endswith((".BadName", ".Rejected", ".Denied", ".Failed")):
            raise RefusedError(_refusal(status, self._url))
        elif code in ("NetStream.Unpublish.Success", "NetConnection.Connect.Closed"):
            raise RefusedError(f"the RTMP server ended the stream ({code})")

    def _acknowledge(self) -> None:
        """Tell the server how much arrived, as often as it asked to be told. Spec: §5.4.3."""
        if self._received_bytes - self._acknowledged_bytes >= self._window_bytes:
            self._acknowledged_bytes = self._received_bytes
            count = struct.pack(">I", self._received_bytes & 0xFFFFFFFF)
            self._send(_ACKNOWLEDGEMENT, count, 0, _CONTROL_CHUNKS)

    def _command(self, name: str, transaction: int, *values: object, stream_id: int = 0) -> None:
        message = Message(_COMMAND, stream_id, encode_amf0(name, transaction, *values))
        self._out.append(encode_message(message, 0, _COMMAND_CHUNKS, self._chunk_bytes))

    def _send(self, type_id: int, payload: bytes, timestamp_ms: int, chunk_stream_id: int) -> None:
        stream_id = 0 if chunk_stream_id == _CONTROL_CHUNKS else self._stream_id
        message = Message(type_id, stream_id, payload)
        self._out.append(encode_message(message, timestamp_ms, chunk_stream_id, self._chunk_bytes))


def _number(message: Message) -> int:
    if len(message.payload) < 4:
        raise RtmpError("the RTMP server sends a control message that is too short")
    return int.from_bytes(message.payload[:4], "big")


def _announced(values: list[Value]) -> Iterator[str]:
    """Yield the FourCCs in a server's answer to `connect`: servers put them into either of its two objects."""
    for value in values:
        if isinstance(value, dict):
            listed, mapped = value.get("fourCcList"), value.get("videoFourCcInfoMap")
            yield from (code for code in listed if isinstance(code, str)) if isinstance(listed, list) else ()
            # Bit 0 of the flags: can decode; bit 2: can forward.
            yield from (
                (code for code, flags in mapped.items() if isinstance(flags, float) and int(flags) & 5)
                if isinstance(mapped, dict)
                else ()
            )


def _first_object(values: list[Value]) -> dict[str, Value]:
    return next((value for value in values[2:] if isinstance(value, dict)), {})


def _refusal(status: dict[str, Value], url: RtmpUrl) -> str:
    """Return why, with the server's own words: without the stream key and control characters, then cut short."""
    said = _plain(" ".join(str(status[name]) for name in ("code", "description") if status.get(name)))
    longest_first = sorted(url.secrets, key=len, reverse=True)
    plain = re.sub("|".join(map(re.escape, longest_first)), "***", said)[:TEXT_LENGTH_MAX]
    return f"the RTMP server refused the stream: {plain or 'no reason given'}; check the address and the stream key"


def _plain(text: str) -> str:
    """Return a text without control characters."""
    return "".join(letter for letter in text if letter.isprintable())


def _is_host(host: str) -> bool:
    """Return whether a resolver can be asked for a name; addresses of IPv6 have a colon instead of dots."""
    labels = host.removesuffix(".").split(".")
    return ":" in host or (len(host) <= HOST_LENGTH_MAX and all(0 < len(label) <= LABEL_LENGTH_MAX for label in labels))
