"""The native receiver as Python sees it: arguments, errors, waiting and waking.

Its media is tested in `crates/core/tests` and end to end.
"""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from soloist._core import Receiver  # noqa: TID251 - the receiver itself is under test
from soloist.core import Closed, OfferError, SessionGoneError

OFFER = """v=0
o=- 1 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=ice-ufrag:e0e0e78e
a=ice-pwd:f4ed707ad0d428cafa8884accdb9a600
a=fingerprint:sha-256 E2:98:34:44:70:22:89:C9:B5:9D:62:80:C0:19:4A:A7:B6:5F:4C:1C:F9:03:BD:43:F7:CE:D4:10:7D:D0:14:0F
a=setup:actpass
a=mid:0
a=sendonly
a=rtcp-mux
a=rtpmap:111 opus/48000/2
m=video 9 UDP/TLS/RTP/SAVPF 96 97
a=ice-ufrag:e0e0e78e
a=ice-pwd:f4ed707ad0d428cafa8884accdb9a600
a=fingerprint:sha-256 E2:98:34:44:70:22:89:C9:B5:9D:62:80:C0:19:4A:A7:B6:5F:4C:1C:F9:03:BD:43:F7:CE:D4:10:7D:D0:14:0F
a=setup:actpass
a=mid:1
a=sendonly
a=rtcp-mux
a=rtpmap:96 VP8/90000
a=rtpmap:97 H264/90000
a=fmtp:97 packetization-mode=1;profile-level-id=42e01f
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    opened = Receiver(bind="127.0.0.1", port=0, public_addresses=[], batch_interval_ms=5, silence_timeout_ms=100)
    yield opened
    opened.close()


def test_an_answer_tells_the_port_and_the_tracks_in_the_codecs_preferred(receiver: Receiver) -> None:
    session, answer, tracks = receiver.accept_offer(OFFER, video_codecs=["h264", "vp8"])

    assert session == 1
    assert f"127.0.0.1 {receiver.port} typ host" in answer
    described = [(track.mid, track.kind, track.codecs, track.rids) for track in tracks]
    assert described == [("0", "audio", ["opus"], []), ("1", "video", ["h264", "vp8"], [])]


def test_public_addresses_take_the_place_of_the_bound_one() -> None:
    receiver = Receiver(bind="127.0.0.1", port=0, public_addresses=["203.0.113.7", "2001:db8::7"], with_tcp=False)
    _, answer, _ = receiver.accept_offer(OFFER, video_codecs=["vp8"])
    receiver.close()

    candidates = [line.split()[4] for line in answer.splitlines() if line.startswith("a=candidate")]
    assert candidates == ["203.0.113.7", "2001:db8::7"]


def test_tcp_is_answered_on_the_port_of_udp_unless_switched_off(receiver: Receiver) -> None:
    _, answer, _ = receiver.accept_offer(OFFER, video_codecs=["vp8"])
    [candidate] = [line for line in answer.splitlines() if line.startswith("a=candidate") and " tcp " in line]
    assert f"127.0.0.1 {receiver.port} typ host tcptype passive" in candidate

    with socket.create_connection(("127.0.0.1", receiver.port)) as stranger:
        stranger.sendall(b"\0\4nope")
        stranger.settimeout(5)
        assert stranger.recv(1) == b""


def test_a_restart_of_ice_is_answered_with_new_credentials(receiver: Receiver) -> None:
    session, answer, _ = receiver.accept_offer(OFFER, video_codecs=["vp8"])
    fragment = receiver.restart_ice(session, ufrag="abcd", pwd="0123456789012345678901")

    [ufrag] = [line for line in fragment.splitlines() if line.startswith("a=ice-ufrag:")]
    assert ufrag not in answer
    assert "a=candidate:" in fragment
    with pytest.raises(SessionGoneError):
        receiver.restart_ice(session + 1, ufrag="abcd", pwd="0123456789012345678901")
    with pytest.raises(OfferError):
        receiver.restart_ice(session, ufrag="a\r\nb", pwd="c")


def test_a_wildcard_answers_with_this_machines_addresses() -> None:
    receiver = Receiver(bind="0.0.0.0", port=0, public_addresses=[])  # noqa: S104 - closed at once
    _, answer, _ = receiver.accept_offer(OFFER, video_codecs=["vp8"])
    receiver.close()

    assert " 127.0.0.1 " in answer


@pytest.mark.parametrize(
    ("offer", "named"),
    [
        ("", "v=0"),
        ("no sdp", "v=0"),
        (OFFER.replace("a=ice-ufrag:e0e0e78e\n", ""), "a=ice-ufrag"),
        (OFFER.replace("a=sendonly", "a=recvonly"), "offer a=sendonly"),
        (OFFER.replace("a=group:BUNDLE 0 1\n", ""), "BUNDLE"),
    ],
)
def test_an_offer_that_cannot_be_answered_is_refused_with_its_fault(receiver: Receiver, offer: str, named: str) -> None:
    with pytest.raises(OfferError, match=named):
        receiver.accept_offer(offer, video_codecs=["vp8"])


def test_a_codec_that_does_not_exist_is_the_callers_fault(receiver: Receiver) -> None:
    with pytest.raises(ValueError, match="h265"):
        receiver.accept_offer(OFFER, video_codecs=["h265"])


def test_an_address_that_is_no_ip_is_refused() -> None:
    with pytest.raises(ValueError, match="bind"):
        Receiver(bind="localhost", port=0, public_addresses=[])


def test_a_port_in_use_is_an_os_error(receiver: Receiver) -> None:
    with pytest.raises(OSError, match="use"):
        Receiver(bind="127.0.0.1", port=receiver.port, public_addresses=[])


def test_closing_a_session_is_told_once(receiver: Receiver) -> None:
    session, _, _ = receiver.accept_offer(OFFER, video_codecs=["vp8"])
    receiver.close_session(session)
    receiver.close_session(session)

    [(closed_session, [closed])] = receiver.wait(2_000)
    assert closed_session == session
    assert isinstance(closed, Closed)
    assert closed.reason == "closed"
    assert receiver.stats()["sessions"] == 0


def test_a_session_nobody_comes_to_times_out(receiver: Receiver) -> None:
    receiver.accept_offer(OFFER, video_codecs=["vp8"])

    [(_, [closed])] = receiver.wait(2_000)
    assert closed.reason == "timeout"


def test_a_wait_without_items_ends_at_its_limit(receiver: Receiver) -> None:
    begin = time.monotonic()
    assert receiver.wait(50) == []
    assert time.monotonic() - begin >= 0.05


def test_wake_ends_a_wait_in_another_thread(receiver: Receiver) -> None:
    waiting = threading.Thread(target=receiver.wait, args=(30_000,))
    waiting.start()
    receiver.wake()
    waiting.join(timeout=5)
    assert not waiting.is_alive()


def test_a_wake_before_the_wait_is_not_lost(receiver: Receiver) -> None:
    receiver.wake()
    begin = time.monotonic()
    receiver.wait(30_000)
    assert time.monotonic() - begin < 5


def test_closing_ends_every_session_and_every_later_wait(receiver: Receiver) -> None:
    receiver.accept_offer(OFFER, video_codecs=["vp8"])
    receiver.close()
    receiver.close()

    [(_, [closed])] = receiver.wait(30_000)
    assert closed.reason == "closed"
    assert receiver.wait(30_000) == []


def test_commands_for_unknown_sessions_are_ignored(receiver: Receiver) -> None:
    receiver.request_keyframe(99, "0")
    receiver.close_session(99)
    assert receiver.wait(20) == []


def test_errors_have_the_bases_callers_catch() -> None:
    assert issubclass(OfferError, ValueError)
    assert issubclass(SessionGoneError, LookupError)
