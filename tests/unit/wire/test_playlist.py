"""A playlist obeys RFC 8216 at every length it ever has, and never changes but at its end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hls_rules import changes, complaints, jumps_s, parse

from soloist.wire.playlist import END, NS, PlaylistSegment, render_head, render_segment, target_duration_s

AT_NS = 1_763_812_800 * NS
GOOD = """#EXTM3U
#EXT-X-VERSION:6
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MAP:URI="a_init_0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:00.000Z
#EXTINF:4.000000,
a_00000.m4s
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2026-11-22T12:00:09.500Z
#EXTINF:1.500000,
a_00001.m4s
#EXT-X-ENDLIST
"""


def texts(segments, slice_s=10, *, is_fragmented=False):
    """Return what a playlist says after each of its segments, and at its end."""
    text, before, found = (
        render_head(target_duration_s(slice_s), is_fragmented=is_fragmented, is_independent=True),
        None,
        [],
    )
    for segment in segments:
        text += render_segment(segment, before)
        before = segment
        found.append(text)
    return [*found, text + END]


@st.composite
def segment_lists(draw, *, target_s=15):
    """Draw segments as a recording cuts them: one after the other, some after a hole, some under another init."""
    segments, at_ns, init = [], AT_NS, 0
    for number in range(draw(st.integers(1, 12))):
        duration_ns = draw(st.integers(1, target_s * NS))
        hole_ns = draw(st.sampled_from([0, 0, 0, 3 * NS, 86_400 * NS])) if number else 0
        init += bool(hole_ns) and draw(st.booleans())
        at_ns += hole_ns
        segments.append(PlaylistSegment(f"s_{number:05d}.m4s", duration_ns, at_ns, bool(hole_ns), f"s_init_{init}.mp4"))
        at_ns += duration_ns
    return segments


@given(segment_lists())
def test_every_text_a_playlist_ever_has_obeys_the_rfc_and_follows_from_the_one_before(segments):
    history = texts(segments, is_fragmented=True)

    for text in history:
        assert complaints(text) == []
    for before, after in pairwise(history):
        assert changes(before, after) == []
    final = parse(history[-1])
    assert final.is_ended
    assert [segment.uri for segment in final.segments] == [segment.uri for segment in segments]
    assert final.duration_s == pytest.approx(sum(segment.duration_ns for segment in segments) / NS, abs=1e-4)
    assert all(abs(jump_s) <= 0.002 for jump_s in jumps_s(final))


def test_dates_are_the_wall_clock_of_a_segments_first_media():
    (live, _) = texts([PlaylistSegment("a.ts", 4 * NS, AT_NS + 123_456_789)])

    assert "#EXT-X-PROGRAM-DATE-TIME:2025-11-22T12:00:00.123Z\n#EXTINF:4.000000,\na.ts\n" in live
    assert "#EXT-X-MAP" not in live


def test_an_initialisation_section_is_named_again_only_when_it_changes():
    first, other = "i_0.mp4", "i_1.mp4"
    segments = [PlaylistSegment(f"{n}.m4s", NS, AT_NS + n * NS, n == 2, first if n < 2 else other) for n in range(4)]

    assert texts(segments, is_fragmented=True)[-1].count("#EXT-X-MAP") == 2


@pytest.mark.parametrize("slice_s", [2, 10, 60])
def test_a_target_leaves_room_for_a_late_keyframe(slice_s):
    assert slice_s + 10 <= target_duration_s(slice_s) <= 2 * slice_s + 10


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("#EXTM3U\n", ""),
        ("#EXTM3U\n", "\ufeff#EXTM3U\n"),
        ("#EXT-X-TARGETDURATION:4\n", ""),
        ("#EXT-X-TARGETDURATION:4", "#EXT-X-TARGETDURATION:3"),
        ("#EXT-X-TARGETDURATION:4", "#EXT-X-TARGETDURATION:4.5"),
        ("#EXTINF:4.000000,", "#EXTINF:4.500000,"),
        ("#EXTINF:4.000000,\n", ""),
        ("#EXTINF:4.000000,", "#EXTINF:four,"),
        ("#EXTINF:4.000000,", "#EXTINF:4.000000"),
        ("#EXT-X-VERSION:6", "#EXT-X-VERSION:3"),
        ("#EXT-X-VERSION:6\n", ""),
        ("#EXT-X-VERSION:6\n", "#EXT-X-VERSION:6\n#EXT-X-VERSION:6\n"),
        ("#EXT-X-PLAYLIST-TYPE:EVENT", "#EXT-X-PLAYLIST-TYPE:LIVE"),
        ("#EXT-X-PLAYLIST-TYPE:EVENT", "#EXT-X-PLAYLIST-TYPE"),
        ('URI="a_init_0.mp4"', "URI=a_init_0.mp4"),
        ("2026-11-22T12:00:09.500Z", "22.11.2026"),
        ("2026-11-22T12:00:09.500Z", "2026-11-22T12:00:09.500"),
        ("#EXT-X-DISCONTINUITY\n", "#EXT-X-DISCONTINUITY\n#EXT-X-DISCONTINUITY\n"),
        ("a_00001.m4s\n", ""),
        ("a_00001.m4s", "a_00000.m4s"),
        ("#EXT-X-ENDLIST\n", "#EXT-X-ENDLIST\n#EXT-X-ENDLIST\n"),
        ("#EXT-X-ENDLIST\n", "#EXT-X-ENDLIST"),
        ("#EXT-X-ENDLIST", "#EXT-X-STREAM-INF:BANDWIDTH=1"),
        ("a_00001.m4s\n", "a_00001.m4s\n#EXT-X-MEDIA-SEQUENCE:4\n"),
        ("#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-INDEPENDENT-SEGMENTS\n", "#EXT-X-PLAYLIST-TYPE:VOD\n" + "#" * 0),
    ],
)
def test_our_judge_of_playlists_rejects_what_the_rfc_forbids(good, bad):
    assert complaints(GOOD) == []
    broken = GOOD.replace(good, bad)
    if "VOD" in bad:
        broken = broken.replace("#EXT-X-ENDLIST\n", "")
    assert broken != GOOD
    assert complaints(broken) != []


def test_our_judge_of_changes_allows_lines_at_the_end_and_nothing_else():
    live = GOOD.removesuffix("#EXT-X-ENDLIST\n")
    first = live[: live.index("#EXT-X-DISCONTINUITY")]

    assert changes(first, live) == changes(live, GOOD) == changes(GOOD, GOOD) == []
    assert changes(live, first)
    assert changes(live, live.replace("TARGETDURATION:4", "TARGETDURATION:5"))
    assert changes(GOOD, GOOD + "#EXTINF:1,\nb.m4s\n")
