"""A playlist that goes on under another recorder keeps the promises it began with."""

import pytest
from support.filed import Desk, PaperJournal
from support.frames import NS, START_NS
from support.hls_rules import parse
from support.jobs import a_job, a_rule

from soloist.model.event import FileCompleted
from soloist.model.rule import HlsConfig, RecordFormat

pytestmark = pytest.mark.anyio


def cycled_job(epoch=1, cycle_s=8):
    """Return a job whose playlists are of eight seconds, or as long as told."""
    hls = HlsConfig(record_cycle_s=cycle_s, prefix="{stream}", slice_s=2, merge_gap_s=-1)
    return a_job(epoch=epoch, rule=a_rule(formats=(RecordFormat.HLS,), hls=hls))


async def test_a_playlist_that_goes_on_after_a_crash_is_no_longer_than_its_cycle(tmp_path):
    killed = Desk(tmp_path, cycled_job())
    killed.play(5)
    await killed.die()

    desk = Desk(tmp_path, cycled_job(epoch=2))
    desk.filing._opened_ns = START_NS + 6 * NS
    desk.play(1, at_s=6)
    await desk.told()
    desk.play(5, at_s=7, publisher=desk.publisher)
    await desk.finish()

    spans = []
    for _, path in sorted((key, path) for key, path in desk.objects.items() if key.endswith(".m3u8")):
        text = path.read_text()
        first, *_, last = parse(text).segments
        spans.append([moment.starts_at.timestamp() - START_NS / NS for moment in (first, last)])
        spans[-1][1] += last.duration_s
        assert (parse(text).complaints, parse(text).is_ended) == ([], True)
    assert spans == [pytest.approx((0, 8), abs=0.1), pytest.approx((8, 12), abs=0.1)]


async def test_a_playlist_that_goes_on_a_second_time_keeps_its_name(tmp_path):
    desk = Desk(tmp_path, cycled_job(cycle_s=0))
    desk.play(5)
    for epoch in (2, 3):
        await desk.die()
        desk = Desk(tmp_path, cycled_job(epoch, cycle_s=0), journal=PaperJournal(desk.journal))
        desk.filing._opened_ns = START_NS + (10 * epoch - 12) * NS
        desk.play(5, at_s=10 * (epoch - 1))
    await desk.finish()

    (text,) = (path.read_text() for key, path in desk.objects.items() if key.endswith(".m3u8"))
    assert parse(text).is_ended
    assert len(parse(text).segments) == 9
    assert [type(fact) for fact in desk.journal.facts] == [FileCompleted]
