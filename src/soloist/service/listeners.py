"""Listening sockets, opened before what serves them is built, so that a taken address is told at once."""

import contextlib
import socket
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
        raise StartError(f"TCP {host}:{port} cannot be used: {error.strerror}. Choose another with --port.") from error
    listener.listen(BACKLOG)
    return listener


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
