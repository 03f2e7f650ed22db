"""What a customer's file may rely on: exact times, sound beside its picture, every hole declared."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.frames import MS, NS, START_NS, ReportValue, audio_frame, report_at, video_frame
from support.streams import AUDIO, VIDEO, by_arrival, camera, feed, microphone, seconds_of, stamped_at_sending

from soloist.model.media import Kind
from soloist.model.timing import Cause
from soloist.wire.clock import ticks_to_ns
from soloist.wire.timeline import Timeline


def test_sample_times_are_rtp_times():
    out = feed(Timeline(), camera(2))

    steps = {b.pts_ticks - a.pts_ticks for a, b in pairwise(out[Kind.VIDEO])}
    assert steps == {3000}
    assert len(out[Kind.VIDEO]) == 60


def test_reports_put_sound_beside_its_picture_although_video_is_delayed():
    reports = [report_at(0.3, **AUDIO), report_at(0.35, **VIDEO)]
    late_camera = camera(2, delay_ms=180)

    out = feed(Timeline(), by_arrival(late_camera, microphone(2), reports))

    assert abs(seconds_of(out[Kind.AUDIO][0]) - seconds_of(out[Kind.VIDEO][0])) < 0.001


def test_a_sender_clock_years_off_does_not_move_sound_against_picture():
    far = {"ntp_offset_ns": 400 * 86_400 * NS}
    reports = [report_at(0.2, **AUDIO, **far), report_at(0.3, **VIDEO, **far)]

    timeline = Timeline()
    out = feed(timeline, by_arrival(camera(1), microphone(1), reports))

    assert abs(seconds_of(out[Kind.AUDIO][0]) - seconds_of(out[Kind.VIDEO][0])) < 0.001
    assert abs(timeline.origin_ns - START_NS) < 20 * MS


def test_without_reports_streams_are_placed_by_arrival_after_the_settling_time():
    timeline = Timeline()
    out = feed(timeline, by_arrival(camera(2, delay_ms=30), microphone(2, delay_ms=50)))

    assert abs(seconds_of(out[Kind.AUDIO][0]) - seconds_of(out[Kind.VIDEO][0])) <= 0.030
    assert timeline.placement(Kind.VIDEO).placed_by == "arrival"


def test_the_first_packet_of_each_kind_is_kept():
    out = feed(Timeline(), by_arrival(camera(2), microphone(2)))

    assert out[Kind.AUDIO][0].pts_ticks == 0
    assert len(out[Kind.AUDIO]) == 100
    assert out[Kind.VIDEO][0].data == b"picture 0"


@settings(max_examples=60)
@given(st.integers(min_value=0, max_value=2**32))
def test_any_interleaving_of_streams_and_reports_gives_the_same_samples(seed):
    reports = [report_at(0.1, **AUDIO), report_at(0.1, **VIDEO)]
    streams = [camera(0.5), microphone(0.5), reports]
    in_turn = Timeline(settle_ns=NS)
    in_turn.expect(1, ["0", "1"])
    expected = feed(in_turn, [item for stream in streams for item in stream])

    rng, rest, mixed = random.Random(seed), [list(stream) for stream in streams], []
    while any(rest):
        mixed.append(rng.choice([stream for stream in rest if stream]).pop(0))
    timeline = Timeline(settle_ns=NS)
    timeline.expect(1, ["0", "1"])
    got = feed(timeline, mixed)

    assert got == expected
    assert len(got[Kind.VIDEO]) == 15


def test_drift_is_slewed_by_at_most_one_millisecond_a_second():
    timeline = Timeline()
    reports = [report_at(s, **AUDIO) for s in (0.1, 0.2)] + [report_at(s, **VIDEO) for s in range(1, 60)]
    # The camera's RTP clock runs 200 ppm slow against the sender's own wall clock.
    slow = [
        video_frame(n, received_ns=START_NS + n * NS // 30 + 20 * MS, rtp_ticks=1_000_000 + n * 3000 - n * 3000 // 5000)
        for n in range(1800)
    ]
    reports = [
        r
        if r.mid == "0"
        else ReportValue("1", None, r.rtp_ticks - (r.rtp_ticks - 1_000_000) // 5000, r.ntp_ns, r.received_ns)
        for r in reports
    ]

    out = feed(timeline, by_arrival(slow, reports))[Kind.VIDEO]

    steps = [b.pts_ticks - a.pts_ticks for a, b in pairwise(out)]
    assert max(steps) <= 3000 + 4
    last_at_ns = timeline.origin_ns + ticks_to_ns(out[-1].pts_ticks, 90_000)
    assert abs(last_at_ns - (START_NS + 5 * MS + 1799 * NS // 30)) < 5 * MS


def test_an_rtp_jump_of_hours_does_not_make_a_sample_of_hours():
    timeline = Timeline()
    jumped = [video_frame(n, rtp_ticks=1_000_000 + n * 3000 + 149 * 3600 * 90_000) for n in range(60, 90)]

    out = feed(timeline, camera(2) + jumped)[Kind.VIDEO]

    assert len(out) == 90
    assert seconds_of(out[-1]) < 3.2


def test_an_rtp_jump_right_after_a_late_frame_does_not_make_a_sample_of_hours_either():
    timeline = Timeline()
    late = video_frame(60, received_ns=START_NS + 2 * NS + 3 * NS)
    jumped = [
        video_frame(n, rtp_ticks=1_000_000 + n * 3000 + 149 * 3600 * 90_000, received_ns=late.received_ns + n * MS)
        for n in range(61, 90)
    ]

    out = feed(timeline, [*camera(2), late, *jumped])[Kind.VIDEO]

    assert len(out) == 90
    assert seconds_of(out[-1]) < 7


def hours(count):
    """Return hours in RTP ticks of a picture."""
    return count * 3600 * 90_000


@pytest.mark.parametrize("jump", [3, -3], ids=["ahead", "back"])
def test_one_frame_with_a_time_hours_off_leaves_those_after_it_in_place(jump):
    timeline = Timeline()
    frames = camera(4)
    frames[70] = frames[70].but(rtp_ticks=frames[70].rtp_ticks + hours(jump))

    out = feed(timeline, frames)[Kind.VIDEO]

    assert len(out) == 120
    assert seconds_of(out[-1]) < 4.2


def test_a_jump_among_the_first_frames_does_not_move_the_beginning_by_hours():
    timeline = Timeline()
    frames = [f if n < 2 else f.but(rtp_ticks=f.rtp_ticks + hours(3)) for n, f in enumerate(camera(3))]

    out = feed(timeline, frames)[Kind.VIDEO]

    assert len(out) == 90
    assert seconds_of(out[-1]) < 3.2
    assert abs(timeline.origin_ns - START_NS) < NS


def test_after_unrepairable_loss_pictures_are_dropped_to_the_next_keyframe_and_the_gap_is_declared():
    timeline = Timeline()
    frames = [f.but(follows_gap=True, packets_lost=1) if n == 41 else f for n, f in enumerate(camera(3)) if n != 40]

    out = feed(timeline, frames)[Kind.VIDEO]

    assert [s.data for s in out[39:42]] == [b"picture 39", b"picture 60", b"picture 61"]
    (gap,) = timeline.missing
    assert gap.cause is Cause.GAP
    assert abs((gap.end_ns - gap.start_ns) - 20 * NS // 30) < 2 * MS


def test_damaged_pictures_are_kept_where_that_is_asked_for_and_only_what_is_lost_is_declared():
    timeline = Timeline(keep_damaged=True)
    frames = [
        f.but(follows_gap=True, packets_lost=3) if n == 45 else f for n, f in enumerate(camera(3)) if not 40 <= n < 45
    ]

    out = feed(timeline, frames)[Kind.VIDEO]

    assert [s.data for s in out[39:42]] == [b"picture 39", b"picture 45", b"picture 46"]
    (gap,) = timeline.missing
    assert (gap.cause, gap.detail) == (Cause.GAP, "packets_lost")
    assert (gap.start_ns, gap.end_ns) == (ticks_to_ns(40 * 3000, 90_000), ticks_to_ns(45 * 3000, 90_000))


def test_lost_sound_is_declared_and_the_rest_stays_in_place():
    timeline = Timeline()
    packets = [
        p.but(follows_gap=True, packets_lost=5) if n == 55 else p
        for n, p in enumerate(microphone(2))
        if not 50 <= n < 55
    ]

    out = feed(timeline, packets)[Kind.AUDIO]

    assert out[50].pts_ticks == 55 * 960
    assert [(m.start_ns, m.end_ns, m.cause) for m in timeline.missing] == [(1000 * MS, 1100 * MS, Cause.GAP)]


def test_a_replaced_publisher_continues_the_same_track():
    timeline = Timeline()
    first = feed(timeline, camera(2), session=1)[Kind.VIDEO]
    timeline.interrupt(Kind.VIDEO, Cause.IDLE, "left")
    second = [video_frame(n, rtp_zero=555, received_ns=START_NS + 5 * NS + n * NS // 30 + 20 * MS) for n in range(60)]

    out = feed(timeline, second, session=2)[Kind.VIDEO]

    assert abs(seconds_of(out[0]) - 5.0) < 0.05
    assert out[0].pts_ticks > first[-1].pts_ticks
    assert [m.cause for m in timeline.missing] == [Cause.IDLE]


def test_a_new_stream_never_begins_before_the_old_one_ended():
    timeline = Timeline()
    first = feed(timeline, camera(2), session=1)[Kind.VIDEO]
    early = [video_frame(n, rtp_zero=5, received_ns=START_NS + n * NS // 30) for n in range(40)]

    out = feed(timeline, early, session=2)[Kind.VIDEO]

    assert out[0].pts_ticks >= first[-1].pts_ticks + 3000


def test_a_layer_that_comes_back_with_a_picture_of_the_same_instant_moves_none_after_it():
    timeline = Timeline()
    reports = [report_at(s, **VIDEO) for s in (0.1, 1, 2)] + [
        report_at(s, **VIDEO | {"rtp_zero": 55}, rid="h") for s in (0.1, 1, 2)
    ]
    first = [frame for frame in camera(3) if frame.rtp_ticks <= 1_000_000 + 60 * 3000]
    back = [f for n, f in enumerate(camera(5, rtp_zero=55, rid="h")) if n >= 60]

    feed(timeline, by_arrival(reports, first))
    out = feed(timeline, back)[Kind.VIDEO]

    offsets = {sample.pts_ticks - (60 + n) * 3000 for n, sample in enumerate(out)}
    origin = {sample.pts_ticks % 3000 for sample in out[1:]}
    assert (out[0].pts_ticks, out[1].pts_ticks) == (60 * 3000 + 90, 61 * 3000)
    assert offsets == {0, 90}
    assert origin == {0}


def test_after_a_hole_a_picture_is_thought_to_last_as_long_as_those_before_it():
    timeline = Timeline()
    kept = [n for n in range(90) if n < 30 or n in (36, 60) or n > 60]
    frames = [camera(3, keyframe_every=6)[n] for n in kept]
    frames = [
        frame.but(follows_gap=True, packets_lost=30) if before + 1 < n else frame
        for before, n, frame in zip([-1, *kept], kept, frames, strict=False)
    ]

    feed(timeline, frames)

    assert [(m.start_ns, m.end_ns) for m in timeline.missing] == [
        (ticks_to_ns(30 * 3000, 90_000), ticks_to_ns(36 * 3000, 90_000)),
        (ticks_to_ns(37 * 3000, 90_000), ticks_to_ns(60 * 3000, 90_000)),
    ]


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.floats(0, 0.2))
def test_media_and_declared_holes_add_up_to_the_wall_time(seed, loss):
    rng = random.Random(seed)
    timeline, packets, lost = Timeline(), [], 0
    for packet in microphone(10):
        if rng.random() < loss and packet.rtp_ticks > 77_000 and len(packets) > 35:
            lost += 1
            continue
        packets.append(packet.but(follows_gap=lost > 0, packets_lost=lost))
        lost = 0

    out = feed(timeline, packets)[Kind.AUDIO]

    media_ns = sum(ticks_to_ns(s.duration_ticks, 48_000) for s in out)
    missing_ns = sum(m.end_ns - m.start_ns for m in timeline.missing)
    assert media_ns + missing_ns == timeline.end_ns(Kind.AUDIO)


def test_pts_never_go_back_whatever_the_time_stamps_say():
    rng = random.Random(7)
    frames = [f.but(rtp_ticks=f.rtp_ticks + rng.randrange(-40_000, 40_000)) for f in camera(10)]

    out = feed(Timeline(), frames)[Kind.VIDEO]

    assert all(b.pts_ticks > a.pts_ticks for a, b in pairwise(out))


def test_a_report_that_arrives_after_placement_by_arrival_corrects_without_a_step():
    timeline = Timeline()
    late = camera(40, delay_ms=20)
    late[:20] = [f.but(received_ns=f.received_ns + 30 * MS) for f in late[:20]]
    reports = [report_at(s, **VIDEO) for s in range(2, 40)]

    out = feed(timeline, by_arrival(late, reports))[Kind.VIDEO]

    steps = [b.pts_ticks - a.pts_ticks for a, b in pairwise(out)]
    assert min(steps) >= 3000 - 4


@pytest.mark.parametrize("kind", list(Kind))
def test_a_track_that_never_began_has_no_end(kind):
    assert Timeline().end_ns(kind) is None


def test_frames_held_for_a_publisher_that_is_replaced_are_kept():
    timeline = Timeline()
    first = feed(timeline, microphone(0.4), session=1)[Kind.AUDIO]
    later = [audio_frame(n, rtp_zero=5, received_ns=START_NS + (20 + n) * 20 * MS + 25 * MS) for n in range(100)]

    out = feed(timeline, later, session=2)[Kind.AUDIO]

    assert len(first) + len(out) == 120


def test_what_is_known_of_a_session_goes_with_it():
    timeline = Timeline()
    for session in range(50):
        timeline.expect(session, ["0"])
        feed(timeline, [audio_frame(n, received_ns=START_NS + session * NS + n * 20 * MS) for n in range(50)], session)
        timeline.forget(session)

    assert (len(timeline._clocks), len(timeline._senders), len(timeline._expected)) == (0, 0, 0)


def tell(timeline, *reports):
    """Give a timeline reports before any frame."""
    for report in by_arrival(*reports):
        timeline.report(1, report, 48_000 if report.mid == "0" else 90_000)


def after(seconds, *frames):
    """Return what of frames arrived later."""
    return [frame for frame in by_arrival(*frames) if frame.received_ns > START_NS + seconds * NS]


def test_reports_stamped_at_sending_do_not_put_sound_a_packet_late():
    reports = stamped_at_sending(20) + [report_at(s, **VIDEO) for s in range(1, 50)]
    out = feed(Timeline(), by_arrival(camera(50, delay_ms=5), microphone(50, delay_ms=24), reports))

    sound, picture = out[Kind.AUDIO][-1], out[Kind.VIDEO][-1]
    assert abs((seconds_of(sound) - 2499 / 50) - (seconds_of(picture) - 1499 / 30)) < 0.010


def test_who_comes_late_gets_sound_beside_its_picture_too():
    timeline = Timeline()
    timeline.expect(1, ["0", "1"])
    tell(timeline, stamped_at_sending(8), [report_at(s, **VIDEO) for s in range(1, 20)])

    out = feed(timeline, after(20, camera(25, delay_ms=5), microphone(25, delay_ms=24)))

    first = {kind: samples[0] for kind, samples in out.items()}
    sound_ns = START_NS + 20 * MS * (1250 - len(out[Kind.AUDIO]))
    picture_ns = START_NS + 20 * NS  # The first keyframe after twenty seconds.
    offset_ns = (first[Kind.AUDIO].pts_ns - sound_ns) - (first[Kind.VIDEO].pts_ns - picture_ns)
    assert abs(offset_ns) < 10 * MS


def test_a_browser_recorded_after_its_first_report_does_not_get_its_sound_a_packet_late():
    timeline = Timeline()
    tell(timeline, stamped_at_sending(1), [report_at(2, **VIDEO)])

    out = feed(timeline, after(3, camera(8, delay_ms=5), microphone(8, delay_ms=24)))

    sound, picture = out[Kind.AUDIO][-1], out[Kind.VIDEO][-1]
    assert abs((seconds_of(sound) - 399 / 50) - (seconds_of(picture) - 239 / 30)) < 0.010


def test_exact_reports_of_a_sender_that_sends_early_are_believed():
    timeline = Timeline()
    tell(timeline, *([report_at(s, **kind) for s in (0.1, 1, 2)] for kind in (AUDIO, VIDEO)))

    out = feed(timeline, after(3, camera(6, delay_ms=1), microphone(6, delay_ms=1)))

    assert abs(seconds_of(out[Kind.AUDIO][-1]) - 299 / 50 - seconds_of(out[Kind.VIDEO][-1]) + 179 / 30) < 0.001
