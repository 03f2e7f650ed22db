"""Whatever we drop is declared as ours: no stretch of it passes for the network's loss, or for nothing at all."""

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.frames import MS, NS, START_NS, audio_frame, report_at, video_frame
from support.streams import AUDIO, VIDEO

from soloist.model.media import Kind
from soloist.model.timing import Cause, Missing
from soloist.wire.timeline import Timeline

OURS = (Cause.FAULT, "overload")


@dataclass(frozen=True)
class Dropped:
    """A frame that the core had no room for."""

    frame: object

    @property
    def received_ns(self):
        return self.frame.received_ns


def kind_of(frame):
    return Kind.AUDIO if frame.mid == "0" else Kind.VIDEO


def captured_ns(frame):
    """Return when a frame was captured, from START_NS."""
    zero, rate_hz = (77_000, 48_000) if frame.mid == "0" else (1_000_000, 90_000)
    return (frame.rtp_ticks - zero) * NS // rate_hz


def play(items, *, with_reports=True, is_told_late=False):
    """Run items through a timeline as a recording does; return it, its samples and everything declared.

    A frame after dropped ones says that it follows a gap; with `is_told_late` nothing says so but the drop itself.
    """
    timeline, came_ns, after_drop, samples = Timeline(), START_NS, set(), []
    if with_reports:
        for line in (AUDIO, VIDEO):
            timeline.report(1, report_at(0.0, **line), line["rate_hz"])
    for item in items:
        if isinstance(item, Dropped):
            timeline.leave_out(kind_of(item.frame), 1, came_ns)
            after_drop.add(kind_of(item.frame))
            continue
        kind = kind_of(item)
        timeline.push(1, item.but(follows_gap=not is_told_late and kind in after_drop), kind)
        after_drop.discard(kind)
        came_ns = item.received_ns
        samples += timeline.take()
    timeline.conclude(max(item.received_ns for item in items) + 50 * MS)
    return timeline, samples + timeline.take(), timeline.missing


def is_declared(timeline, missing, kind, at_ns):
    """Return whether a moment, nanoseconds from START_NS, is declared missing from a track by our fault."""
    at_ns += START_NS - timeline.origin_ns
    return any(m.kind is kind and m.start_ns <= at_ns < m.end_ns and (m.cause, m.detail) == OURS for m in missing)


def uncovered(kind, samples, missing, until_ns):
    """Return the longest stretch of a track, nanoseconds, that is neither media nor declared."""
    stretches = [(s.pts_ns, s.end_ns) for s in samples if s.kind is kind]
    stretches += [(m.start_ns, m.end_ns) for m in missing if m.kind is kind]
    reached_ns = longest_ns = 0
    for start_ns, end_ns in sorted(stretches):
        longest_ns = max(longest_ns, min(start_ns, until_ns) - reached_ns)
        reached_ns = max(reached_ns, end_ns)
    return max(longest_ns, until_ns - reached_ns)


def session(seed, seconds=4):
    """Return a session of uneven pictures and even sound, runs of which are dropped; both in order of arrival."""
    rng, items, at_ns, number = random.Random(seed), [], 0, 0
    intervals_ms = rng.choice([(33, 33), (16, 60), (33, 400), (5, 7)])
    while at_ns < seconds * NS:
        picture = video_frame(0, is_keyframe=number % 8 == 0, rtp_ticks=1_000_000 + at_ns * 90_000 // NS)
        items.append(picture.but(received_ns=START_NS + at_ns + 20 * MS))
        at_ns, number = at_ns + rng.randint(*intervals_ms) * MS, number + 1
    items += [audio_frame(n) for n in range(seconds * 50)]
    items.sort(key=lambda item: item.received_ns)
    dropping = {Kind.AUDIO: 0, Kind.VIDEO: 0}
    for place, frame in enumerate(items):
        kind = kind_of(frame)
        if rng.random() < 0.03:
            dropping[kind] = rng.choice([1, 2, 5, 30])
        if dropping[kind]:
            dropping[kind] -= 1
            items[place] = Dropped(frame)
    return items


@settings(max_examples=60, deadline=None)
@given(st.integers(min_value=0, max_value=2**32), st.booleans(), st.booleans())
def test_media_and_what_is_declared_are_the_whole_time_whatever_is_dropped(seed, with_reports, is_told_late):
    items = session(seed)
    if all(isinstance(item, Dropped) for item in items):
        return
    timeline, samples, missing = play(items, with_reports=with_reports, is_told_late=is_told_late)

    for item in items:
        if isinstance(item, Dropped):
            kind = kind_of(item.frame)
            # Reports are 5 ms on their way; without any, pictures are placed by their arrival, 20 ms after capture.
            shift_ns = 5 * MS if with_reports or kind is Kind.AUDIO else 20 * MS
            middle_ns = captured_ns(item.frame) + (10 * MS if kind is Kind.AUDIO else 2 * MS) + shift_ns
            assert is_declared(timeline, missing, kind, middle_ns), (item, missing)
    assert not any(m.cause is Cause.GAP for m in missing if m.detail == "packets_lost")
    if any(isinstance(item, Dropped) for item in items):
        assert missing != []
    assert uncovered(Kind.AUDIO, samples, missing, 3900 * MS) <= 10 * MS


def steady(*, drop_video=(), drop_audio=(), seconds=3):
    """Return a session of both tracks with frames dropped between moments, seconds."""

    def of(frame, spans):
        at_s = captured_ns(frame) / NS
        return Dropped(frame) if any(since <= at_s < until for since, until in spans) else frame

    items = [of(video_frame(n), drop_video) for n in range(seconds * 30)]
    items += [of(audio_frame(n), drop_audio) for n in range(seconds * 50)]
    return sorted(items, key=lambda item: item.received_ns)


def stretches(missing, kind, origin_ns):
    """Return what is declared of a track, seconds from START_NS."""
    shift_ns = origin_ns - START_NS
    return [
        (round((m.start_ns + shift_ns) / NS, 1), round((m.end_ns + shift_ns) / NS, 1), m.cause, m.detail)
        for m in missing
        if m.kind is kind
    ]


def test_one_dropped_packet_of_sound_is_declared():
    _, _, missing = play(steady(drop_audio=[(1.0, 1.02)]))
    (hole,) = missing

    assert hole == Missing(Kind.AUDIO, 1000 * MS, 1020 * MS, *OURS)


def test_what_is_dropped_before_a_stream_has_its_place_is_declared_where_it_was():
    # The first 600 ms of a stream wait for its clock; the frames before the drop do not end what it left out.
    timeline, _, missing = play(steady(drop_audio=[(0.1, 0.2)], drop_video=[(0.2, 0.3)]), with_reports=False)

    assert stretches(missing, Kind.AUDIO, timeline.origin_ns) == [(0.1, 0.2, *OURS)]
    assert stretches(missing, Kind.VIDEO, timeline.origin_ns) == [(0.2, 1.0, *OURS)]


def test_what_is_dropped_before_anything_was_kept_stands_before_the_first_media():
    timeline, _, missing = play(steady(drop_audio=[(0, 0.5)], drop_video=[(0, 0.5)]))

    audio, video = (stretches(missing, kind, timeline.origin_ns) for kind in Kind)
    assert [part[1:] for part in audio] == [(0.5, *OURS)]
    assert [part[1:] for part in video] == [(1.0, *OURS)]
    assert all(m.start_ns < 0 for m in missing)


def test_what_is_dropped_at_the_end_is_declared_up_to_the_end():
    timeline, _, missing = play(steady(drop_audio=[(2, 9)], drop_video=[(2, 9)]))

    for kind in Kind:
        ((start_s, end_s, *said),) = stretches(missing, kind, timeline.origin_ns)
        assert (start_s, end_s) == (pytest.approx(2.0, abs=0.04), pytest.approx(3.0, abs=0.1))
        assert tuple(said) == OURS


def test_a_track_that_was_dropped_whole_is_declared_whole():
    timeline, _, missing = play(steady(drop_video=[(0, 9)]))

    ((start_s, end_s, *said),) = stretches(missing, Kind.VIDEO, timeline.origin_ns)
    assert start_s <= 0
    assert end_s == pytest.approx(3.0, abs=0.11)
    assert tuple(said) == OURS


def test_a_track_that_was_dropped_before_anything_came_is_missing_from_the_first_media_on():
    timeline = Timeline()
    timeline.leave_out(Kind.VIDEO, 1, 0)
    for n in range(100):
        timeline.push(1, audio_frame(n), Kind.AUDIO)
    timeline.conclude(START_NS + 2 * NS)

    ((start_s, end_s, *said),) = stretches(timeline.missing, Kind.VIDEO, timeline.origin_ns)
    assert (start_s, end_s) == (pytest.approx(0, abs=0.1), pytest.approx(2, abs=0.1))
    assert tuple(said) == OURS


def test_absence_before_a_drop_keeps_its_own_cause():
    timeline = Timeline()
    for line in (AUDIO, VIDEO):
        timeline.report(1, report_at(0.0, **line), line["rate_hz"])
    for n in range(50):
        timeline.push(1, audio_frame(n), Kind.AUDIO)
    timeline.conclude(START_NS + NS)
    timeline.interrupt(Kind.AUDIO, Cause.IDLE, "participant_left")
    # Back after ten seconds; what came first was dropped for one second more.
    timeline.leave_out(Kind.AUDIO, 50, audio_frame(550).received_ns)
    for n in range(600, 650):
        timeline.push(1, audio_frame(n), Kind.AUDIO)
    timeline.finish()

    assert stretches(timeline.missing, Kind.AUDIO, timeline.origin_ns) == [
        (1.0, 11.0, Cause.IDLE, "participant_left"),
        (11.0, 12.0, *OURS),
    ]


def test_absence_after_a_drop_keeps_its_own_cause():
    timeline = Timeline()
    for line in (AUDIO, VIDEO):
        timeline.report(1, report_at(0.0, **line), line["rate_hz"])
    for n in range(50):
        timeline.push(1, audio_frame(n), Kind.AUDIO)
    timeline.leave_out(Kind.AUDIO, 50, audio_frame(49).received_ns)
    timeline.conclude(START_NS + 2 * NS)
    timeline.interrupt(Kind.AUDIO, Cause.IDLE, "participant_left")
    for n in range(600, 650):
        timeline.push(1, audio_frame(n), Kind.AUDIO)
    timeline.finish()

    assert stretches(timeline.missing, Kind.AUDIO, timeline.origin_ns) == [
        (1.0, 2.0, *OURS),
        (2.0, 12.0, Cause.IDLE, "participant_left"),
    ]
