"""Listening sockets, opened before what serves them is built, so that a taken address is told at once."""

import contextlib
import errno
import socket
import ssl
import stat
from pathlib import Path

from soloist.service.errors import StartError

BACKLOG = 512


def open_tcp(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; port 0 lets the system choose.

    Raises:
        StartError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StartError(f"TCP {host}:{port} cannot be used: {error.strerror}. {_remedy(error)}") from error
    listener.listen(BACKLOG)
    return listener


def _remedy(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL):
        return "Give an address of this machine with --host, such as 127.0.0.1 or 0.0.0.0."
    return "Choose another with --port."


def check_udp(host: str, port: int, option: str = "--media-port") -> None:
    """Find out early whether a UDP port can be had; port 0 always can.

    Raises:
        StartError: it cannot; the message names `option`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(
                f"UDP {host}:{port} cannot be used: {error.strerror}. Choose another with {option}."
            ) from error


def check_certificate(cert: Path, key: Path) -> None:
    """Find out early whether HTTPS can be served with these files.

    Raises:
        StartError: a file is missing, unreadable, no PEM, or the key is another certificate's.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise StartError(
            f"HTTPS cannot be served with --tls-cert {cert} and --tls-key {key}: {error}. "
            "Both are PEM files, the key without a password."
        ) from error


def open_unix(path: Path) -> socket.socket:
    """Return a listening unix socket that only our user may open, in place of one a dead process left."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    listener.listen(BACKLOG)
    return listener


def url_of(listener: socket.socket, *, scheme: str = "http") -> str:
    """Return where a TCP socket listens."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
