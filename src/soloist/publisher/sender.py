"""One WHIP session as a client, by FFmpeg's `whip` muxer, whose work are the offer, ICE, DTLS, SRTP and the DELETE.

FFmpeg makes P-224 certificates, which many DTLS stacks refuse; a throw-away P-256 one is handed to it (RFC 8827 §6.5).
Errors come out by whose fault they are, with what to do. Opening blocks, holding the interpreter, for up to 5 s.
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urljoin

import av
from av.container import OutputContainer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from soloist.model.errors import DestinationError, RequestError
from soloist.publisher.clip import DuePacket
from soloist.publisher.inquiry import refusal_detail

HANDSHAKE_TIMEOUT_MS = 5000
LOCATION_SAID = re.compile(r"\blocation=([^,\s]+)")
"""What `libavformat/whip.c` says once ICE is done."""


class PublishRefusedError(RequestError):
    """The server refused the publisher; check the URL and the token."""


class ServerAwayError(DestinationError):
    """The server cannot be reached; is `soloist serve` running there?"""


class Sender:
    """An open session. Use as a context manager: leaving it sends what is held back and the DELETE."""

    def __init__(self, url: str, token: str | None, declare: Callable[[OutputContainer], None]) -> None:
        """Connect to `url`; `declare` adds the tracks to the muxer before it starts.

        Raises:
            PublishRefusedError: the server answered, but not with 201.
            ServerAwayError: nobody answers there, or media cannot flow.
        """
        self._url = url
        with tempfile.TemporaryDirectory(prefix="soloist-publish-") as folder:
            options = {
                "handshake_timeout": str(HANDSHAKE_TIMEOUT_MS),
                "whip_flags": "dtls_active",
                **_write_certificate(Path(folder)),
                **({"authorization": token} if token else {}),
            }
            try:
                with _overheard_location() as location:
                    self._output = av.open(url, "w", format="whip", options=options)
                    declare(self._output)
                    self._output.start_encoding()
            except (av.HTTPClientError, av.HTTPServerError) as error:
                raise explained(error, url, refusal_detail(url, token)) from error
            except (av.FFmpegError, OSError) as error:
                raise explained(error, url) from error
        self.resource_url = urljoin(url, location[-1]) if location else None
        """URL of the session; None if FFmpeg did not say."""

    def send(self, due: DuePacket) -> None:
        """Send one packet now.

        Raises:
            ServerAwayError: the other side is gone.
        """
        try:
            self._output.mux(due.packet)
        except (av.FFmpegError, OSError) as error:
            raise explained(error, self._url) from error

    def close(self) -> None:
        """Send what is held back and end the session with DELETE; a server that has gone is no error any more."""
        try:
            self._output.close()
        except (av.FFmpegError, OSError):
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def _overheard_location() -> Iterator[list[str]]:
    """Keep the Location of the session out of what FFmpeg logs; nothing else tells it."""
    heard: list[str] = []
    level = av.logging.get_level()
    av.logging.set_level(av.logging.VERBOSE)
    try:
        with av.logging.Capture(local=True) as lines:
            yield heard
        for _, _, line in lines:
            heard += LOCATION_SAID.findall(line)
    finally:
        av.logging.set_level(level)


def explained(error: Exception, url: str, detail: str = "") -> RequestError | DestinationError:
    """Return FFmpeg's error as ours: whose fault it is, what to do, and what the server said of it."""
    for kind, whose, remedy in _REMEDIES:
        if isinstance(error, kind):
            said = f"; the server says: {detail}" if detail else ""
            return whose(remedy.format(url=url) + said)
    return ServerAwayError(f"the connection to {url} failed: {error.strerror if isinstance(error, OSError) else error}")


_REMEDIES: tuple[tuple[type[Exception], type[RequestError | DestinationError], str], ...] = (
    (
        av.HTTPUnauthorizedError,
        PublishRefusedError,
        "{url} wants a valid token (401): give one with --token; `soloist join-token create` mints them",
    ),
    (av.HTTPForbiddenError, PublishRefusedError, "the token names another app, room or user than {url} (403)"),
    (av.HTTPNotFoundError, PublishRefusedError, "{url} does not exist (404): check the app and the path"),
    (av.HTTPServerError, ServerAwayError, "{url} cannot serve this now (5xx): it may be starting or full; try again"),
    (av.HTTPClientError, PublishRefusedError, "{url} refused the offer (4xx)"),
    (ConnectionRefusedError, ServerAwayError, "nothing listens at {url}: is `soloist serve` running?"),
)
"""FFmpeg's error -> whose fault it is and what to do, most special first."""


def _write_certificate(folder: Path) -> dict[str, str]:
    """Write a key and a self-signed certificate for one session; return the muxer's options that name them."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "soloist publish")])
    # WebRTC checks the fingerprint in the offer and nothing else, so the dates only have to enclose any clock.
    begins = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=36_500))
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return {"cert_file": str(cert_file), "key_file": str(key_file)}
