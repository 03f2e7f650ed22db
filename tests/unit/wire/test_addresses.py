"""Where outgoing requests may go: public addresses, whatever an operator allows, and nowhere else."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soloist.wire.addresses import LOOPBACK, AddressRefusedError, OutgoingGuard

REFUSED = {
    "loopback": ("127.0.0.1", "127.255.255.254", "::1"),
    "unspecified": ("0.0.0.0", "0.1.2.3", "::"),  # noqa: S104 - nothing is bound
    "private": ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fdff::1"),
    "link-local": ("169.254.1.1", "fe80::1", "fe80::1%eth0", "fec0::1"),
    "carrier-grade NAT": ("100.64.0.1", "100.127.255.255"),
    "metadata": ("169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"),
    "multicast and broadcast": ("224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1", "ff0e::1"),
    "reserved": ("192.0.0.1", "192.0.2.1", "198.18.0.1", "203.0.113.5", "240.0.0.1", "2001:db8::1", "3fff::1"),
    "IPv4 in disguise": (
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::a00:1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe",
    ),
    "no address at all": ("", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "1.1.1.1/8"),
}
PUBLIC = ("1.1.1.1", "8.8.8.8", "99.255.255.255", "100.128.0.1", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450::1")


@pytest.mark.parametrize("text", [text for texts in REFUSED.values() for text in texts])
def test_what_is_not_public_is_refused(text):
    with pytest.raises(AddressRefusedError):
        OutgoingGuard().check(text)


@pytest.mark.parametrize("text", [*PUBLIC, "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"])
def test_what_is_public_passes_in_every_form(text):
    OutgoingGuard().check(text)


@pytest.mark.parametrize("text", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203", "fd12::9"])
def test_what_the_operator_allows_passes_in_every_form(text):
    OutgoingGuard(["10.0.0.0/8", "fd12::/16"]).check(text)


@pytest.mark.parametrize("text", ["10.0.0.1", "127.0.0.1", "fd13::9", "169.254.169.254"])
def test_allowing_one_network_opens_no_other(text):
    with pytest.raises(AddressRefusedError, match="SOLOIST_OUTGOING_ALLOWED"):
        OutgoingGuard(["10.1.0.0/16", "fd12::/16"]).check(text)


def test_development_allows_loopback_in_both_families():
    for text in ("127.0.0.1", "::1", "::ffff:127.0.0.1"):
        OutgoingGuard(LOOPBACK).check(text)


@given(
    st.sampled_from(["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "224.0.0.0/4", "fc00::/7", "ff00::/8"]), st.data()
)
def test_no_address_of_a_local_network_passes(network, data):
    assert not _passes(str(data.draw(st.ip_addresses(network=network))))


@given(st.ip_addresses(v=4))
def test_a_carried_address_is_judged_like_the_address_itself(address):
    carriers = (f"::ffff:{address}", str(ipaddress.IPv6Address((0x64FF9B << 96) | int(address))))
    six_to_four = str(ipaddress.IPv6Address((0x2002 << 112) | (int(address) << 80)))

    assert {_passes(text) for text in (*carriers, six_to_four)} == {_passes(str(address))}


def _passes(text):
    try:
        OutgoingGuard().check(text)
    except AddressRefusedError:
        return False
    return True


ODD_SPELLINGS = ("[::1]", "::1", "127.0.0.1.", "127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "host.0x7f")


@pytest.mark.parametrize("host", [*ODD_SPELLINGS, "10.0.0.1", "169.254.169.254", "[::ffff:10.0.0.1]", "1.2.3.4.5"])
def test_an_address_in_any_spelling_is_judged_before_anybody_connects(host):
    with pytest.raises(AddressRefusedError):
        OutgoingGuard().check_host(host)


@pytest.mark.parametrize("host", ["example.com", "127.example.com", "localhost", "0x7f.example", "", "1.1.1.1", "a1"])
def test_names_are_judged_when_they_are_resolved(host):
    OutgoingGuard().check_host(host)


@pytest.mark.parametrize(
    "text",
    [
        "8.8.8.8",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::1",
        "2a00:1450:4001::1",
        "10.1.2.3",
    ],
)
def test_a_denied_network_is_refused_however_it_is_spelt_and_whatever_is_allowed(text):
    guard = OutgoingGuard(["10.0.0.0/8", "8.8.8.0/24"], ["8.8.8.0/24", "2a00:1450::/32", "10.1.0.0/16"])
    with pytest.raises(AddressRefusedError, match="SOLOIST_OUTGOING_DENIED_NETWORKS"):
        guard.check(text)
    guard.check("8.8.4.4")
    guard.check("10.2.0.1")
