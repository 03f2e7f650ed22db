"""Which IP addresses an outgoing request may go to: public ones but those an operator denies, and what one allows.

A customer names the URLs we call (callbacks, forwarding, storage), so a name of theirs must not lead us into the
operator's own network. Judged is the address a connection is about to be made to, never the name. Knows nothing of
sockets and names. An IPv6 address that carries an IPv4 one (mapped, 6to4, NAT64) is judged by the one it carries.
Spec: RFC 6890 and the IANA special-purpose address registries; design section 8.
"""

import re
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from soloist.model.errors import DestinationError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class AddressRefusedError(DestinationError):
    """This address is not public; an operator can allow its network in SOLOIST_OUTGOING_ALLOWED."""


LOOPBACK = ("127.0.0.0/8", "::1/128")
"""What development mode allows."""

_SPECIAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network, RFC 1122 §3.2.1.3
        "10.0.0.0/8",  # private, RFC 1918
        "100.64.0.0/10",  # carrier-grade NAT, RFC 6598; a metadata service lives at 100.100.100.200
        "127.0.0.0/8",  # loopback, RFC 1122
        "168.63.129.16/32",  # a cloud's host agent, public only by its number
        "169.254.0.0/16",  # link-local, RFC 3927; metadata services live at 169.254.169.254
        "172.16.0.0/12",  # private, RFC 1918
        "192.0.0.0/24",  # protocol assignments, RFC 6890
        "192.0.2.0/24",  # documentation, RFC 5737
        "192.88.99.0/24",  # 6to4 relays, RFC 7526
        "192.168.0.0/16",  # private, RFC 1918
        "198.18.0.0/15",  # benchmarks, RFC 2544
        "198.51.100.0/24",  # documentation, RFC 5737
        "203.0.113.0/24",  # documentation, RFC 5737
        "224.0.0.0/4",  # multicast, RFC 5771
        "240.0.0.0/4",  # reserved, RFC 1112, and broadcast
    )
)

_GLOBAL_V6 = IPv6Network("2000::/3")
"""What is handed out as global unicast, RFC 4291 §2.4; everything outside is local, multicast or unassigned."""

_SPECIAL_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, RFC 2928, with Teredo in it, which carries an IPv4 address in disguise
        "2001:db8::/32",  # documentation, RFC 3849
        "3fff::/20",  # documentation, RFC 9637
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052 §2.1."""


_NUMBER = re.compile("[0-9]+|0[xX][0-9a-fA-F]*")


class OutgoingGuard:
    """Judges addresses for one operator."""

    def __init__(self, allowed: Iterable[str] = (), denied: Iterable[str] = ()) -> None:
        """`allowed` are networks in CIDR form that are permitted though they are not public.

        `denied` ones are refused though they are public, or allowed.

        Raises:
            ValueError: one of them is no network.
        """
        self._allowed = tuple(ip_network(text) for text in allowed)
        self._denied = tuple(ip_network(text) for text in denied)

    def check(self, text: str) -> None:
        """Return if a connection may be made to the IP address `text`.

        Raises:
            AddressRefusedError: it may not.
        """
        try:
            named = ip_address(text)
        except ValueError:
            raise AddressRefusedError(f"{text!r} is no IP address") from None
        address = _carried(named)
        if any(each in network for network in self._denied for each in (named, address)):
            raise AddressRefusedError(f"{text} is denied to outgoing requests here (SOLOIST_OUTGOING_DENIED_NETWORKS)")
        if not is_public(address) and not any(address in network for network in self._allowed):
            raise AddressRefusedError(
                f"{text} is not a public address; an operator can allow its network in SOLOIST_OUTGOING_ALLOWED"
            )

    def check_host(self, host: str) -> None:
        """Return if a connection may be made to `host`, as far as can be told before its name is resolved.

        Judged is an address, in whatever spelling: a host whose last label is a number is no name (RFC 1123 §2.1).

        Raises:
            AddressRefusedError: it is one that may not, or none that can be read.
        """
        host = host.strip("[]").rstrip(".")
        if ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]):
            self.check(host)


def is_public(address: Address) -> bool:
    """Tell whether `address`, which carries no other, is one of the whole Internet's."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _SPECIAL_V6)


def _carried(address: Address) -> Address:
    """Return the IPv4 address in an IPv6 one that leads to it, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or address
