"""Every moment of a recording is media or declared missing, by what its manifests say (`docs/manifest.md`)."""

import asyncio
import json
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.filed import Desk, PaperJournal
from support.frames import MS, NS
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.stage import a_publisher, frames_of, merged

from soloist.keeping.salvage import salvage
from soloist.model.media import Codec, Kind
from soloist.model.rule import HlsConfig, Mp4Config, RecordFormat

FRAME_NS = {Kind.AUDIO: NS // 50, Kind.VIDEO: NS // 30}
TRACKS = {
    "microphone off": {Kind.AUDIO},
    "camera off": {Kind.VIDEO},
    "nothing sent": set(Kind),
    "sound lost": {Kind.AUDIO},
    "pictures lost": {Kind.VIDEO},
    "all lost": set(Kind),
    "away": set(Kind),
}
"""What may happen, and to which tracks."""
MEDIA_NS = 2 * NS
"""Between two interruptions: there is a keyframe in it."""
LONGEST_S = 20


def happenings(tenths_min):
    """Return up to three of what interrupts a stream, and for how many tenths of a second.

    A picture may stand for two seconds without anything being missing.
    """
    return st.lists(st.tuples(st.sampled_from(sorted(TRACKS)), st.integers(tenths_min, 40)), max_size=3)


def planned(happenings, *, goes_on):
    """Return what happens with its beginning and end, nanoseconds, and when the last frame is sent.

    Unless everything `goes_on` after it, the last interruption lasts to the end.
    """
    at_ns, plan = MEDIA_NS, []
    for what, tenths in happenings:
        plan.append((what, at_ns, at_ns + tenths * 100 * MS))
        at_ns = plan[-1][2] + MEDIA_NS
    if plan and not goes_on:
        what, start_ns, end_ns = plan[-1]
        at_ns = start_ns if TRACKS[what] == set(Kind) else end_ns
    return plan, at_ns


def sent(plan, until_ns):
    """Return each visit's frames as they arrive: who was away comes back as another publisher with other clocks."""
    visits = defaultdict(list)
    for kind, samples in ((Kind.AUDIO, opus_samples(LONGEST_S)), (Kind.VIDEO, video_samples(Codec.H264, LONGEST_S))):
        codec = Codec.OPUS if kind is Kind.AUDIO else Codec.H264
        lost_count = 0
        for sample, frame in zip(samples, frames_of(samples, codec, rtp_zero=7), strict=True):
            what = next((what for what, *span in plan if span[0] <= sample.pts_ns < span[1]), None)
            if sample.pts_ns >= until_ns:
                break
            if what is not None and kind in TRACKS[what]:
                lost_count += "lost" in what
                continue
            visit = sum(what == "away" and end_ns <= sample.pts_ns for what, _, end_ns in plan)
            rtp_ticks = frame.rtp_ticks + visit * 123_456_789
            visits[visit].append(frame.but(rtp_ticks=rtp_ticks, follows_gap=lost_count > 0, packets_lost=lost_count))
            lost_count = 0
    return [merged(visits[visit]) for visit in sorted(visits)]


async def filed(folder, visits, *, is_killed=False):
    """Record the visits as MP4 and HLS; return the manifests of each, as salvage writes them if the end is a kill."""
    rule = a_rule(
        formats=tuple(RecordFormat)[:2],
        mp4=Mp4Config(3600, "MP4/{stream}", 3),
        hls=HlsConfig(0, "HLS/{stream}", slice_s=2, merge_gap_s=-1),
    )
    job = a_job(rule=rule)
    desk = Desk(folder, job)
    for session, frames in enumerate(visits, 1):
        publisher = a_publisher(session)
        desk.stage.recording.on_attached(publisher)
        desk.stage.play(publisher, frames)
        if session < len(visits):
            desk.stage.recording.on_detached(publisher, "left")
            desk.stage.wait((visits[session][0].received_ns - desk.stage.now_ns) / NS)
    if is_killed:
        await desk.die()
        assert (await salvage(job, PaperJournal(desk.journal), desk.shelf, own=True)).refusal is None
    else:
        await desk.finish()
    assert desk.spooled == []
    manifests = [(key[:3], json.loads(path.read_text())) for key, path in desk.objects.items() if key.endswith(".json")]
    return {wanted: [manifest for key, manifest in manifests if key == wanted] for wanted in ("HLS", "MP4")}


def accounted_ns(manifests, kind):
    """Return how much of a track is media, and how much is declared missing, nanoseconds."""
    holes = [hole for m in manifests for hole in m["missing"] if hole["kind"] == kind]
    frames_count = sum(file["frames"][kind] for m in manifests for file in m["files"])
    return FRAME_NS[kind] * frames_count + sum(hole["end_ns"] - hole["start_ns"] for hole in holes)


@given(happenings(21), st.booleans())
@settings(max_examples=8)
def test_media_and_what_is_declared_missing_are_the_time_that_passed(happenings, goes_on):
    plan, until_ns = planned(happenings, goes_on=goes_on)
    with tempfile.TemporaryDirectory() as folder:
        told = asyncio.run(filed(Path(folder), sent(plan, until_ns)))
    for wanted, manifests in told.items():
        for kind in Kind:
            assert accounted_ns(manifests, kind) == pytest.approx(until_ns, abs=FRAME_NS[kind]), (wanted, kind)


@given(happenings(30), st.booleans())
@settings(max_examples=8)
def test_so_are_the_pictures_and_what_is_missing_of_them_when_the_recorder_is_killed(happenings, goes_on):
    plan, until_ns = planned(happenings, goes_on=goes_on)
    with tempfile.TemporaryDirectory() as folder:
        told = asyncio.run(filed(Path(folder), sent(plan, until_ns), is_killed=True))
    for wanted, manifests in told.items():
        ends_ns = max(file["end_ns"] for m in manifests for file in m["files"])
        assert until_ns - ends_ns < NS, wanted
        assert accounted_ns(manifests, Kind.VIDEO) == pytest.approx(ends_ns, abs=2 * FRAME_NS[Kind.VIDEO]), wanted
