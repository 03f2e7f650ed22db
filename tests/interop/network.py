"""A network of the test's own: a namespace for publishers, joined to this machine by a pair of virtual interfaces.

Nothing of it reaches the outside. libnice and aiortc need it, since they take no loopback address for media; and only
here has the service several addresses. Needs root, as `ip` says itself where it is missing.
"""

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_numbers = itertools.count(os.getpid())


@dataclass(frozen=True)
class Network:
    """The two ends: ours with several addresses, and the namespace of publishers."""

    namespace: str
    ours: tuple[str, str]
    """IPv4 addresses of this machine in it; the second is not the one the kernel would send from by itself."""
    ours_v6: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """What to put before a command that runs among the publishers."""
        return ("ip", "netns", "exec", self.namespace)

    def drop_udp(self) -> None:
        """Let no UDP out of the namespace from now on, as some offices do."""
        for family in ("-4", "-6"):
            _ip(family, "-n", self.namespace, "rule", "add", "priority", "1", "ipproto", "udp", "prohibit")


@contextmanager
def network() -> Iterator[Network]:
    """Lay out a network with addresses of the range for tests of network devices (RFC 2544); remove it afterwards."""
    number = next(_numbers) % 250
    name, link = f"soloist-{number}", f"sol{number}"
    v4, v6 = f"198.18.{number}", f"fd53:6f6c:{number:x}:"
    try:
        _ip("netns", "add", name)
        _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        for address in (f"{v4}.1/24", f"{v4}.2/24"):
            _ip("address", "add", address, "dev", link)
        _ip("address", "add", f"{v6}:1/64", "dev", link, "nodad")
        _ip("link", "set", link, "up")
        _ip("-n", name, "address", "add", f"{v4}.10/24", "dev", "eth0")
        _ip("-n", name, "address", "add", f"{v6}:10/64", "dev", "eth0", "nodad")
        for device in ("lo", "eth0"):
            _ip("-n", name, "link", "set", device, "up")
        yield Network(name, (f"{v4}.1", f"{v4}.2"), f"{v6}:1")
    finally:
        subprocess.run(["ip", "link", "delete", link], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()}"
