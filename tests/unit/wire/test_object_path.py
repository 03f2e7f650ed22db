"""Addresses of objects: what a ticket opens, and that it opens nothing else."""

from datetime import UTC, datetime, timedelta
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soloist.wire.object_path import PREFIX, TicketError, check_ticket, object_path

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECRET = "0123456789abcdef0123456789abcdef"
PLAYLIST = "demo/hls/s_1/s_1.m3u8"


def ticket_of(key, *, location="cn-north-4", bucket="recordings", secret=SECRET):
    path = object_path(secret, location=location, bucket=bucket, key=key, ends_at=NOW + timedelta(days=1))
    ticket, _, rest = path.removeprefix(PREFIX).partition("/")
    assert unquote(rest) == f"{location}/{bucket}/{key}"
    return ticket


def opens(ticket, key, *, location="cn-north-4", bucket="recordings", now=NOW):
    try:
        check_ticket(SECRET, ticket, location=location, bucket=bucket, key=key, now=now)
    except TicketError:
        return False
    return True


def test_a_ticket_opens_its_object_until_its_time_is_over():
    ticket = ticket_of("a/b.mp4")

    assert opens(ticket, "a/b.mp4")
    assert opens(ticket, "a/b.mp4", now=NOW + timedelta(hours=23))
    assert not opens(ticket, "a/b.mp4", now=NOW + timedelta(days=1))


@pytest.mark.parametrize(
    "name", ["s_1_00000.ts", "s_1_123456.m4s", "s_1_init_0.mp4", "s_1_e2_00007.ts", "s_1_e12_init_3.mp4"]
)
def test_a_playlists_ticket_opens_its_segments(name):
    assert opens(ticket_of(PLAYLIST), f"demo/hls/s_1/{name}")


@pytest.mark.parametrize(
    "name", ["s_1_1.m3u8", "s_1.mp4", "s_1.json", "s_1_1_00000.ts", "s_10_00000.ts", "s_1_00000.mp4", "x/s_1_00000.ts"]
)
def test_a_playlists_ticket_opens_nothing_else(name):
    assert not opens(ticket_of(PLAYLIST), f"demo/hls/s_1/{name}")


def test_a_playlist_whose_own_name_looks_like_an_epochs_opens_its_segments_too():
    assert opens(ticket_of("a/s_e2.m3u8"), "a/s_e2_00001.ts")


def test_a_ticket_of_another_place_or_key_opens_nothing():
    for ticket in (
        ticket_of("a/b.mp4", location="elsewhere"),
        ticket_of("a/b.mp4", bucket="others"),
        ticket_of("a/b.mp4", secret="f" * 32),
        ticket_of("a/c.mp4"),
        "",
        "1-" + "0" * 64,
    ):
        assert not opens(ticket, "a/b.mp4")


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_a_ticket_changed_anywhere_opens_nothing(place, letter):
    ticket = ticket_of("a/b.mp4")
    place %= len(ticket)
    changed = ticket[:place] + letter + ticket[place + 1 :]

    assert opens(changed, "a/b.mp4") == (changed == ticket)


@given(st.text(max_size=120))
def test_any_text_as_a_ticket_is_refused_and_nothing_worse(text):
    assert not opens(text, "a/b.mp4")
