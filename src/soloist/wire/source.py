"""Who a request comes from, when it may have come through proxies of the operator's: pure.

A header is believed as far as those who wrote it are trusted: the peer's address is a fact, and each address of
X-Forwarded-For was added by the hop to its right. So the walk goes from right to left and ends at the first address
that is no trusted proxy's. Spec: RFC 7239 §5.2, §6; X-Forwarded-For as proxies write it.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

IPV6_PREFIX = 64
"""What one subscriber commonly has of IPv6; limits count it as one source."""
HOPS_MAX = 32
"""Addresses looked at; a list that is longer is a stranger's invention."""

_FOR = re.compile(r'for\s*=\s*("(?:[^"\\]|\\.)*"|[^;,\s]*)', re.IGNORECASE)


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Return networks; an address is the network of itself.

    Raises:
        ValueError: a text is neither; the message has it.
    """
    return tuple(ipaddress.ip_network(text) for text in texts)


def parse_address(text: str) -> Address | None:
    """Return an address as peers and headers write it: with port or brackets or not, IPv4 in IPv6 as IPv4."""
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def is_within(address: Address | None, networks: Iterable[Network]) -> bool:
    """Tell whether an address lies in one of `networks`."""
    return address is not None and any(address in network for network in networks)


def client_of(peer: str, forwarded_for: Sequence[str], forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the address of whoever asks: `peer`, or beyond trusted proxies the first address that is none of theirs.

    `forwarded_for` and `forwarded` are the values of those two headers in the order they came; the second is read only
    without the first. What is no address ends the walk at the hop that wrote it.
    """
    if not is_within(parse_address(peer), trusted):
        return peer
    hops = _hops(forwarded_for) or [text for value in forwarded for text in _FOR.findall(value)]
    source = peer
    for text in reversed(hops[-HOPS_MAX:]):
        address = parse_address(text)
        if address is None:
            break
        source = str(address)
        if not is_within(address, trusted):
            break
    return source


def _hops(values: Sequence[str]) -> list[str]:
    return [text for value in values for text in value.split(",") if text.strip()]


def limit_key(source: str) -> str:
    """Return what limits count a source as: an IPv4 address, or the IPv6 network of one subscriber."""
    address = parse_address(source)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(address), IPV6_PREFIX), strict=False))
    return str(address) if address else source
