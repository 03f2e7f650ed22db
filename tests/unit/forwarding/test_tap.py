"""The media thread's end of a forwarder: it never waits, whatever the other end does (rule R39)."""

import contextlib
import json
import socket
from itertools import pairwise

import pytest

from soloist.forwarding.messages import HEADER, MessageType, parse_header, parse_sample
from soloist.forwarding.tap import Tap
from soloist.model.media import Codec, Kind, Sample


def picture(number, *, is_keyframe=False, size=100):
    data = bytes((number % 256,)) * size
    return Sample(Kind.VIDEO, number * 3000, 3000, 90_000, is_keyframe, data, Codec.H264.value, 320, 180)


def sound(number):
    return Sample(Kind.AUDIO, number * 960, 960, 48_000, is_keyframe=True, data=b"s", codec=Codec.OPUS.value)


@pytest.fixture
def connected():
    """Make taps, each with the child's end of its socket, from which what is said at first was taken."""
    with contextlib.ExitStack() as open_ends:

        def make(tap=None, **limits):
            ours, theirs = socket.socketpair()
            tap = tap or Tap(**limits)
            open_ends.callback(tap.disconnect)
            open_ends.enter_context(theirs)
            tap.connect(ours)
            theirs.setblocking(False)
            received(theirs)
            return tap, theirs

        yield make


def received(theirs):
    """Return the messages that have arrived."""
    data = b""
    try:
        while chunk := theirs.recv(1 << 20):
            data += chunk
    except BlockingIOError:
        pass
    found = []
    while len(data) >= HEADER.size:
        kind, length = parse_header(data[: HEADER.size])
        payload, data = data[HEADER.size : HEADER.size + length], data[HEADER.size + length :]
        assert len(payload) == length, "a message was cut"
        found.append(parse_sample(payload) if kind is MessageType.SAMPLE else json.loads(payload))
    return found


def test_samples_arrive_as_they_were(connected):
    tap, theirs = connected()
    sent = [picture(0, is_keyframe=True), sound(1), picture(2)]

    tap.push(sent)

    assert received(theirs) == sent


def test_pictures_begin_with_a_keyframe(connected):
    tap, theirs = connected()

    tap.push([picture(0), picture(1), picture(2, is_keyframe=True), picture(3)])

    assert [sample.pts_ticks for sample in received(theirs)] == [6000, 9000]
    assert tap.dropped_count == 2


def test_a_child_that_takes_nothing_costs_no_more_memory_than_the_bound_and_no_time(connected):
    tap, theirs = connected(bytes_max=1_000_000)

    tap.push([picture(n, is_keyframe=n % 30 == 0, size=20_000) for n in range(900)])
    kept = received(theirs)

    assert tap._waiting_bytes <= 1_000_000
    assert tap.wants_keyframe or tap._waiting
    assert tap.dropped_count > 700
    assert kept[0].is_keyframe


def test_after_a_drop_pictures_go_on_with_a_keyframe_and_messages_stay_whole(connected):
    tap, theirs = connected(bytes_max=300_000)
    tap.push([picture(n, is_keyframe=n == 0, size=20_000) for n in range(100)])
    assert tap.wants_keyframe

    first = received(theirs)
    tap.push([picture(n, is_keyframe=n == 110, size=20_000) for n in range(100, 115)])
    rest = received(theirs)

    numbers = [sample.pts_ticks // 3000 for sample in first + rest]
    assert numbers == sorted(numbers)
    after_hole = next(n for before, n in pairwise(numbers) if n != before + 1)
    assert after_hole == 110
    assert not tap.wants_keyframe
    assert len(numbers) + tap.dropped_count == 115


def test_what_waits_longer_than_some_seconds_is_dropped_however_small(connected):
    tap, _theirs = connected(bytes_max=1 << 30, ns_max=2_000_000_000)
    tap.push([picture(0, is_keyframe=True, size=3_000_000)])

    tap.push([sound(n) for n in range(0, 300, 1)])

    assert tap.dropped_count > 0


def test_what_comes_before_the_first_child_waits_for_it():
    began = []
    tap = Tap(began=lambda: began.append(True))

    tap.push([picture(0, is_keyframe=True), sound(1), picture(1)])

    assert began == [True]
    assert tap.is_waiting
    assert tap.dropped_count == 0


def test_without_a_child_everything_is_dropped_and_counted():
    tap = Tap()
    tap.let_go()

    tap.push([picture(0, is_keyframe=True), sound(1), picture(1)])

    assert tap.dropped_count == 3


def test_a_child_that_died_is_let_go_and_the_next_one_begins_with_a_keyframe(connected):
    tap, theirs = connected()
    theirs.close()
    tap.push([picture(0, is_keyframe=True), picture(1)])

    _, theirs = connected(tap)
    tap.push([picture(2), picture(3, is_keyframe=True)])

    assert [sample.pts_ticks // 3000 for sample in received(theirs) if isinstance(sample, Sample)] == [3]


def test_pictures_without_sound_go_on_after_a_child_that_died(connected):
    tap, theirs = connected()
    theirs.close()
    tap.push([picture(0, is_keyframe=True), picture(1)])
    tap.push([picture(2, is_keyframe=True), picture(3)])
    assert not tap.wants_keyframe, "nobody is there to get one"

    connected(tap)

    assert tap.wants_keyframe


def test_pictures_that_wait_for_a_keyframe_have_one_asked_for(connected):
    tap, _theirs = connected()
    tap.push([picture(0, is_keyframe=True, size=2_000_000)])
    tap._drop()
    tap._awaits_keyframe, tap.wants_keyframe = True, False

    tap.push([picture(1)])

    assert tap.wants_keyframe


def test_a_child_that_is_let_go_knows_it_though_its_reports_are_still_read():
    ours, theirs = socket.socketpair()
    tap = Tap()
    with ours.dup() as listening, theirs:
        tap.connect(ours)
        tap.disconnect()
        theirs.settimeout(1)
        while theirs.recv(1 << 20):
            pass

        theirs.send(b"last words")
        assert listening.recv(100) == b"last words"


def test_orders_are_never_dropped(connected):
    tap, theirs = connected(bytes_max=1000)
    tap.push([picture(0, is_keyframe=True, size=500_000), picture(1), picture(2)])

    tap.order({"targets": ["rtmp://h/a/b"]})
    got = []
    for _ in range(20):
        got += list(_pieces(theirs))
        tap.flush()

    assert b"rtmp://h/a/b" in b"".join(got)


def _pieces(theirs):
    try:
        while chunk := theirs.recv(1 << 20):
            yield chunk
    except BlockingIOError:
        return


def test_a_sample_that_cannot_be_sent_costs_the_recording_nothing(connected):
    tap, _theirs = connected()

    tap.push([Sample(Kind.AUDIO, 0, 960, 48_000, is_keyframe=True, data=b"s", codec="none of ours")])
    tap.push([sound(1)])

    assert tap.dropped_count == 1
