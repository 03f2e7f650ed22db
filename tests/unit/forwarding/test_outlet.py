"""What one target is sent: from a keyframe on, in order, bounded, with headers before what they describe."""

from dataclasses import replace

from soloist.forwarding.outlet import NO_KEYFRAME_MS, Outlet
from soloist.forwarding.units import Unit
from soloist.model.media import Codec, Kind


def picture(at_ms, *, is_keyframe=False, config=b"sps", size=100):
    config = config if is_keyframe else b""
    return Unit(Kind.VIDEO, at_ms, is_keyframe, Codec.H264, b"p" * size, config, 320, 180)


def sound(at_ms):
    return Unit(Kind.AUDIO, at_ms, is_keyframe=True, codec=Codec.AAC, payload=b"s", config=b"asc")


def an_outlet(*units, **limits):
    outlet = Outlet(**limits)
    outlet.open()
    for unit in units:
        outlet.offer(unit)
    return outlet


def drained(outlet):
    tags = []
    while batch := outlet.take():
        tags += batch
    return tags


def test_a_connection_begins_with_a_keyframe_at_zero_and_headers_come_first():
    outlet = an_outlet(sound(980), picture(990), picture(1000, is_keyframe=True), sound(1011), picture(1033))

    tags = drained(outlet)

    assert [(tag.kind, tag.at_ms, tag.is_frame) for tag in tags] == [
        (Kind.VIDEO, 0, False),
        (Kind.VIDEO, 0, True),
        (Kind.AUDIO, 11, False),
        (Kind.AUDIO, 11, True),
        (Kind.VIDEO, 33, True),
    ]
    assert outlet.dropped_count == 2


def test_sound_begins_alone_when_no_picture_is_to_be_had():
    sounds = [sound(at_ms) for at_ms in range(0, NO_KEYFRAME_MS + 100, 20)]
    tags = drained(an_outlet(*sounds))

    assert [tag.at_ms for tag in tags] == [0, 0, 20, 40, 60, 80]


def test_a_picture_that_comes_later_brings_its_header():
    outlet = an_outlet(*(sound(at_ms) for at_ms in range(0, 4000, 20)))
    drained(outlet)

    outlet.offer(picture(4000, is_keyframe=True))

    assert [(tag.kind, tag.is_frame) for tag in drained(outlet)] == [(Kind.VIDEO, False), (Kind.VIDEO, True)]


def test_a_header_comes_again_only_when_what_it_describes_has_changed():
    outlet = an_outlet(
        picture(0, is_keyframe=True), picture(1000, is_keyframe=True), picture(2000, is_keyframe=True, config=b"other")
    )

    assert [tag.is_frame for tag in drained(outlet)] == [False, True, True, False, True]


def test_time_of_one_kind_never_goes_back():
    outlet = an_outlet(picture(100, is_keyframe=True), sound(120), sound(90), picture(133))

    assert [tag.at_ms for tag in drained(outlet) if tag.is_frame] == [0, 20, 20, 33]


def test_a_full_queue_is_dropped_and_pictures_go_on_from_the_next_keyframe():
    outlet = an_outlet(*(picture(n * 33, is_keyframe=n == 0, size=1000) for n in range(30)), bytes_max=10_000)
    assert outlet.wants_keyframe

    outlet.offer(picture(1000))
    outlet.offer(picture(1033, is_keyframe=True))

    assert [tag.at_ms for tag in drained(outlet) if tag.is_frame] == [0]
    assert not outlet.wants_keyframe
    assert outlet.dropped_count == 31


def test_a_keyframe_that_finds_the_queue_full_begins_it_anew_and_what_follows_is_sent():
    outlet = an_outlet(*(picture(n * 33, is_keyframe=n in (0, 10), size=1000) for n in range(15)), bytes_max=10_000)

    assert [tag.at_ms for tag in drained(outlet) if tag.is_frame] == [0, 33, 66, 99, 132]
    assert not outlet.wants_keyframe
    assert outlet.dropped_count == 10


def test_what_has_waited_too_long_is_dropped_however_small():
    outlet = an_outlet(*(sound(n * 21) for n in range(300)), *(sound(10_000 + n * 21) for n in range(400)), ms_max=5000)

    tags = [tag for tag in drained(outlet) if tag.is_frame]

    assert tags[-1].at_ms - tags[0].at_ms <= 5000
    assert outlet.dropped_count + len(tags) == 700


def test_every_frame_is_either_sent_or_counted_as_dropped():
    units = [picture(n * 33, is_keyframe=n % 30 == 0, size=500) for n in range(200)]
    outlet = an_outlet(*units[:70], bytes_max=5_000)
    sent = len([tag for tag in drained(outlet) if tag.is_frame])
    outlet.close()
    for unit in units[70:100]:
        outlet.offer(unit)
    outlet.open()
    for unit in units[100:]:
        outlet.offer(unit)
        sent += len([tag for tag in drained(outlet) if tag.is_frame])

    assert sent + outlet.dropped_count == 200


def test_a_new_connection_begins_anew():
    outlet = an_outlet(picture(0, is_keyframe=True), picture(33))
    drained(outlet)
    outlet.open()
    outlet.offer(picture(66))
    outlet.offer(replace(picture(99, is_keyframe=True)))

    assert [(tag.at_ms, tag.is_frame) for tag in drained(outlet)] == [(0, False), (0, True)]
