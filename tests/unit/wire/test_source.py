"""Whom a request comes from: headers are believed as far as those who wrote them are trusted, from right to left."""

import pytest

from soloist.wire.source import client_of, limit_key, parse_networks

TRUSTED = parse_networks(["127.0.0.1", "10.0.0.0/8", "::1"])


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("192.0.2.1", ["203.0.113.9"], "192.0.2.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", [""], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:127.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        ("127.0.0.1", ["1.1.1.1, 203.0.113.9, 10.1.1.1"], "203.0.113.9"),
        ("127.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("127.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("127.0.0.1", ["[2001:db8::9]:4711"], "2001:db8::9"),
        ("127.0.0.1", ["2001:db8::9"], "2001:db8::9"),
        ("127.0.0.1", ["1.1.1.1, unknown, 10.1.1.1"], "10.1.1.1"),
        ("127.0.0.1", ["1.1.1.1, unknown"], "127.0.0.1"),
        ("127.0.0.1", [", ".join(["1.1.1.1"] * 1000)], "1.1.1.1"),
    ],
)
def test_the_first_address_from_the_right_that_is_no_trusted_proxys_is_who_asks(peer, forwarded_for, client):
    assert client_of(peer, forwarded_for, [], TRUSTED) == client


@pytest.mark.parametrize(
    ("forwarded_for", "forwarded", "client"),
    [
        ([], ["for=203.0.113.9;proto=https"], "203.0.113.9"),
        ([], ['for=1.1.1.1, For="[2001:db8::9]:4711"'], "2001:db8::9"),
        ([], ["for=203.0.113.9, for=10.1.1.1"], "203.0.113.9"),
        ([], ["for=_hidden"], "127.0.0.1"),
        (["203.0.113.9"], ["for=1.1.1.1"], "203.0.113.9"),
    ],
)
def test_forwarded_is_read_only_where_the_older_header_is_absent(forwarded_for, forwarded, client):
    assert client_of("127.0.0.1", forwarded_for, forwarded, TRUSTED) == client


def test_without_trusted_proxies_no_header_is_believed():
    assert client_of("127.0.0.1", ["203.0.113.9"], ["for=203.0.113.9"], ()) == "127.0.0.1"


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("", ""),
    ],
)
def test_limits_count_a_subscribers_whole_ipv6_network_as_one(source, key):
    assert limit_key(source) == key
