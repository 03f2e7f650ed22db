"""What becomes of HLS recordings: segments and playlists in the bucket while they grow, after crashes, at the end."""

import errno
import json
import os
import shutil
import subprocess
import tracemalloc
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
from support.filed import Desk, PaperJournal
from support.frames import NS, START_NS
from support.hls_rules import changes, jumps_s, parse
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.stage import a_publisher, frames_of, merged

from soloist.keeping.salvage import salvage, settled
from soloist.model.errors import DestinationError, InternalError
from soloist.model.event import FileCompleted, FileStarted
from soloist.model.media import Codec
from soloist.model.rule import HlsConfig, Mp4Config, RecordFormat

pytestmark = pytest.mark.anyio


def hls_job(*, slice_s=2, formats=(RecordFormat.HLS,), epoch=1, **config):
    """Return a job whose playlists have segments of two seconds and go over any interruption."""
    hls = HlsConfig(**({"record_cycle_s": 0, "prefix": "p/{stream}", "slice_s": slice_s, "merge_gap_s": -1} | config))
    return a_job(epoch=epoch, rule=a_rule(formats=formats, hls=hls, mp4=Mp4Config(3600, "{stream}", 300)))


def playlists(desk):
    """Return the playlists in the bucket by key."""
    return {key: path.read_text() for key, path in sorted(desk.objects.items()) if key.endswith(".m3u8")}


def the_playlist(desk):
    (text,) = playlists(desk).values()
    return parse(text)


def decode_complaints(desk, key):
    """Return what ffmpeg says while it decodes a playlist."""
    command = ["ffmpeg", "-v", "warning", "-nostdin", "-i", str(desk.objects[key]), "-f", "null", "-"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stderr


@pytest.mark.parametrize(("codec", "extension"), [(Codec.H264, ".ts"), (Codec.VP9, ".m4s"), (Codec.AV1, ".m4s")])
async def test_a_recording_becomes_a_playlist_of_segments_that_ffmpeg_decodes(tmp_path, codec, extension):
    desk = Desk(tmp_path, hls_job())
    desk.play(7, codec)
    await desk.finish()

    playlist = the_playlist(desk)
    assert desk.failures == []
    assert playlist.complaints == []
    assert playlist.is_ended
    assert [segment.uri for segment in playlist.segments] == [
        f"s_job1_room1_alice_{number:05d}{extension}" for number in range(4)
    ]
    assert {f"p/{segment.uri}" for segment in playlist.segments} <= desk.objects.keys()
    assert decode_complaints(desk, "p/s_job1_room1_alice.m3u8") == ""
    assert desk.spooled == []


async def test_its_events_tell_of_the_playlist_with_all_its_bytes_and_time(tmp_path):
    desk = Desk(tmp_path, hls_job())
    desk.play(7)
    await desk.finish()

    started, completed = desk.journal.facts
    assert isinstance(started, FileStarted)
    assert isinstance(completed, FileCompleted)
    assert started.key == completed.key == "p/s_job1_room1_alice.m3u8"
    media = [path for key, path in desk.objects.items() if not key.endswith(".json")]
    assert completed.size_bytes == sum(path.stat().st_size for path in media)
    assert completed.duration.total_seconds() == pytest.approx(the_playlist(desk).duration_s, abs=1e-3)
    assert (completed.record_format, completed.width, completed.height) == ("HLS", 320, 180)


async def test_the_manifest_lists_every_object_of_a_playlist_with_its_checksum(tmp_path):
    desk = Desk(tmp_path, hls_job())
    desk.play(5, Codec.VP9)
    await desk.finish()

    manifest = json.loads(desk.objects["p/s_job1_room1_alice.json"].read_text())
    (file,) = manifest["files"]
    listed = [segment["key"].rsplit("/", 1)[1] for segment in file["segments"]]
    assert listed == ["s_job1_room1_alice_init_0.mp4", *(segment.uri for segment in the_playlist(desk).segments)]
    assert {segment["key"]: segment["size_bytes"] for segment in file["segments"]} == {
        key: path.stat().st_size for key, path in desk.objects.items() if key.endswith((".m4s", ".mp4"))
    }
    assert file["frames"] == {"audio": 250, "video": 150}
    assert [track["codec"] for track in manifest["tracks"]] == ["aac", "vp9"]


async def test_segments_stand_in_the_bucket_while_the_recording_goes_on_and_every_text_follows_from_the_last(tmp_path):
    desk = Desk(tmp_path, hls_job())
    texts = []
    for at_s in range(6):
        desk.play(1, at_s=at_s, publisher=None if not at_s else desk.publisher)
        await desk.told()
        texts += playlists(desk).values()
    await desk.finish()
    texts += playlists(desk).values()

    assert len(parse(texts[-2]).segments) >= 2
    assert not parse(texts[-2]).is_ended
    for before, after in pairwise(texts):
        assert changes(before, after) == []
        assert parse(after).complaints == []


async def test_hls_and_mp4_together_hold_the_same_time(tmp_path):
    desk = Desk(tmp_path, hls_job(formats=(RecordFormat.HLS, RecordFormat.MP4)))
    desk.play(7)
    await desk.finish()

    done = {fact.record_format: fact for fact in desk.journal.facts if isinstance(fact, FileCompleted)}
    assert set(done) == {RecordFormat.HLS, RecordFormat.MP4}
    assert the_playlist(desk).duration_s == pytest.approx(done[RecordFormat.MP4].duration.total_seconds(), abs=1 / 30)


@pytest.mark.parametrize("formats", [(RecordFormat.HLS,), (RecordFormat.HLS, RecordFormat.MP4)])
async def test_vp8_becomes_one_webm_whether_hls_is_asked_for_alone_or_not(tmp_path, formats):
    desk = Desk(tmp_path, hls_job(formats=formats))
    desk.play(4, Codec.VP8)
    await desk.finish()

    (completed,) = [fact for fact in desk.journal.facts if isinstance(fact, FileCompleted)]
    assert completed.record_format == "WEBM"
    assert "VP8" in completed.detail
    assert not playlists(desk)


async def test_a_playlist_whose_name_is_taken_takes_its_segments_along_to_the_next_one(tmp_path):
    theirs = tmp_path / "storage" / "recordings" / "p" / "s_job1_room1_alice_00000.ts"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("somebody else's")
    desk = Desk(tmp_path, hls_job())
    desk.play(3)
    await desk.finish()

    assert theirs.read_text() == "somebody else's"
    assert list(playlists(desk)) == ["p/s_job1_room1_alice_1.m3u8"]
    assert [segment.uri for segment in the_playlist(desk).segments] == [
        f"s_job1_room1_alice_1_{number:05d}.ts" for number in range(2)
    ]


async def test_a_killed_recorders_playlist_goes_on_under_the_next_epoch_with_a_declared_fault(tmp_path):
    killed = Desk(tmp_path, hls_job())
    killed.play(5)
    await killed.die()
    (before,) = playlists(killed).values()

    desk = Desk(tmp_path, hls_job(epoch=2), journal=PaperJournal(killed.journal))
    desk.filing._opened_ns = START_NS + 8_000_000_000
    desk.play(5, at_s=10)
    await desk.finish()

    (after,) = playlists(desk).values()
    playlist = parse(after)
    assert changes(before, after) == []
    assert playlist.complaints == []
    assert playlist.is_ended
    uris = [segment.uri.removeprefix("s_job1_room1_alice_") for segment in playlist.segments]
    assert uris == ["00000.ts", "00001.ts", "00002.ts", "e2_00003.ts", "e2_00004.ts", "e2_00005.ts"]
    assert [segment.is_discontinuous for segment in playlist.segments] == [False, False, False, True, False, False]
    assert all(abs(jump_s) < 0.05 for jump_s in jumps_s(playlist))
    assert decode_complaints(desk, "p/s_job1_room1_alice.m3u8") == ""
    manifest = json.loads(desk.objects["p/s_job1_room1_alice.json"].read_text())
    holes = {m["kind"]: (m["start_ns"] / 1e9, m["end_ns"] / 1e9, m["cause"]) for m in manifest["missing"]}
    assert set(holes) == {"audio", "video"}
    for start_s, end_s, cause in holes.values():
        assert 3.9 < start_s <= 5.03
        assert end_s == pytest.approx(10, abs=0.05)
        assert cause == "fault"
    assert desk.spooled == []
    assert [type(fact) for fact in desk.journal.facts] == [FileCompleted]


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9])
async def test_a_killed_recorders_playlist_is_ended_if_the_job_is_over(tmp_path, codec):
    killed = Desk(tmp_path, hls_job())
    killed.play(5, codec)
    await killed.die()
    journal = PaperJournal(killed.journal)
    ended = hls_job(epoch=2)

    assert (await salvage(ended, journal, killed.shelf, own=True)).refusal is None

    playlist = the_playlist(killed)
    assert playlist.complaints == []
    assert playlist.is_ended
    assert 4 <= playlist.duration_s <= 5.05
    assert decode_complaints(killed, "p/s_job1_room1_alice.m3u8") == ""
    assert [type(fact) for fact in journal.facts] == [FileCompleted]
    assert killed.spooled == []


async def test_salvage_that_is_killed_as_well_lists_nothing_twice(tmp_path, monkeypatch):
    killed = Desk(tmp_path, hls_job())
    killed.play(5)
    await killed.die()
    spooled = tmp_path / "as_killed"
    shutil.copytree(tmp_path / "spool", spooled)
    assert (await salvage(hls_job(epoch=2), PaperJournal(), killed.shelf)).playlist is not None
    # Killed after its ledger was written and before its segment left the spool.
    for path in spooled.rglob("*.ts"):
        shutil.copy(path, tmp_path / "spool" / path.relative_to(spooled))

    assert (await salvage(hls_job(epoch=3), PaperJournal(), killed.shelf, own=True)).refusal is None

    playlist = the_playlist(killed)
    assert playlist.complaints == []
    assert len(playlist.segments) == 3
    assert killed.spooled == []


async def test_a_recorder_shut_down_in_order_leaves_its_playlist_open_for_the_next(tmp_path):
    first = Desk(tmp_path, hls_job())
    first.play(3)
    first.filing.hand_over()
    await first.finish()
    assert not the_playlist(first).is_ended
    assert the_playlist(first).duration_s == pytest.approx(3.02, abs=0.05)

    desk = Desk(tmp_path, hls_job(epoch=2))
    desk.filing._opened_ns = START_NS + 3_000_000_000
    desk.play(3, at_s=5)
    await desk.finish()

    playlist = the_playlist(desk)
    assert (playlist.complaints, playlist.is_ended) == ([], True)
    assert playlist.duration_s == pytest.approx(6.04, abs=0.1)
    assert desk.spooled == []


async def test_a_playlist_nobody_comes_back_to_is_ended_with_the_job(tmp_path):
    first = Desk(tmp_path, hls_job())
    first.play(3)
    first.filing.hand_over()
    await first.finish()
    desk = Desk(tmp_path, hls_job(epoch=2))
    await desk.finish()

    assert the_playlist(desk).is_ended
    assert desk.spooled == []


async def test_a_store_that_refuses_for_a_while_loses_and_reorders_nothing(tmp_path, monkeypatch):
    desk = Desk(tmp_path, hls_job())
    refusals = iter([True] * 3)
    commit = desk.shelf.commit

    async def refusing(note):
        if next(refusals, False):
            raise DestinationError("Come back later.")
        return await commit(note)

    monkeypatch.setattr(desk.shelf, "commit", refusing)
    monkeypatch.setattr("soloist.keeping.publishing.DELAY_S", 0.01)
    desk.play(7)
    await desk.finish()

    playlist = the_playlist(desk)
    assert playlist.complaints == []
    assert [int(segment.uri[-8:-3]) for segment in playlist.segments] == [0, 1, 2, 3]
    assert playlist.duration_s == pytest.approx(7.02, abs=0.05)


async def test_a_store_that_goes_on_refusing_ends_the_job_and_keeps_every_segment_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr("soloist.keeping.publishing.PATIENCE_S", 0.01)
    desk = Desk(tmp_path, hls_job())
    desk.play(1)
    await desk.told()
    commit = desk.shelf.commit
    monkeypatch.setattr(desk.shelf, "commit", partial(_refuse, DestinationError("No.")))
    desk.play(6, at_s=1, publisher=desk.publisher)
    with pytest.raises(DestinationError):
        await desk.finish()
    monkeypatch.setattr(desk.shelf, "commit", commit)

    assert (await salvage(hls_job(epoch=2), PaperJournal(), desk.shelf, own=True)).refusal is None

    playlist = the_playlist(desk)
    assert (playlist.complaints, playlist.is_ended) == ([], True)
    assert playlist.duration_s == pytest.approx(7.02, abs=0.1)
    assert desk.spooled == []


async def test_a_publisher_with_another_picture_size_is_a_discontinuity_and_not_another_playlist(tmp_path):
    desk = Desk(tmp_path, hls_job())
    desk.play(3)
    small = video_samples(Codec.H264, 3, width=160, height=90)
    frames = frames_of(small, Codec.H264, size=(160, 90), at_s=3, rtp_zero=1_270_000)
    sound = frames_of(opus_samples(3), Codec.OPUS, rtp_zero=7 + 3 * 48_000, at_s=3)
    desk.stage.play(desk.publisher, merged(frames, sound))
    await desk.finish()

    playlist = the_playlist(desk)
    assert playlist.complaints == []
    assert [segment.is_discontinuous for segment in playlist.segments] == [False, False, True, False]
    assert decode_complaints(desk, "p/s_job1_room1_alice.m3u8") == ""


async def _refuse(error, _note):
    raise error


def stems(desk):
    """Return the playlists' names and how long each is, in order."""
    return {key: round(parse(text).duration_s, 1) for key, text in playlists(desk).items()}


async def test_each_format_is_cut_by_its_own_cycle(tmp_path):
    job = hls_job(formats=(RecordFormat.HLS, RecordFormat.MP4), record_cycle_s=4, prefix="h/{stream}")
    desk = Desk(tmp_path, replace(job, rule=replace(job.rule, mp4=Mp4Config(3, "m/{stream}", 300))))
    desk.play(9)
    await desk.finish()

    done = [fact for fact in desk.journal.facts if isinstance(fact, FileCompleted)]
    keys = sorted(fact.key for fact in done)
    assert keys == [
        *(f"h/s_job1_room1_alice{suffix}.m3u8" for suffix in ("", "_1", "_2")),
        *(f"m/s_job1_room1_alice{suffix}.mp4" for suffix in ("", "_1", "_2")),
    ]
    assert all(parse(text).is_ended and not parse(text).complaints for text in playlists(desk).values())
    assert sum(stems(desk).values()) == pytest.approx(9.02, abs=0.1)


@pytest.mark.parametrize(("merge_gap_s", "count"), [(0, 2), (30, 1), (-1, 1)])
async def test_an_interruption_begins_another_playlist_only_if_it_is_longer_than_the_merge_gap(
    tmp_path, merge_gap_s, count
):
    desk = Desk(tmp_path, hls_job(merge_gap_s=merge_gap_s))
    desk.play(3)
    desk.stage.recording.on_detached(desk.publisher, "left")
    desk.stage.wait(10)
    desk.play(3, publisher=None, at_s=14)
    await desk.finish()

    assert len(playlists(desk)) == count
    assert all(parse(text).is_ended and not parse(text).complaints for text in playlists(desk).values())
    assert sum(stems(desk).values()) == pytest.approx(6.04, abs=0.1)
    if count == 1:
        assert [segment.is_discontinuous for segment in the_playlist(desk).segments] == [False, False, True, False]


async def test_another_rule_for_a_running_job_cuts_at_the_next_keyframe(tmp_path):
    desk = Desk(tmp_path, hls_job())
    desk.play(2)
    other = a_rule(formats=(RecordFormat.HLS,), hls=HlsConfig(0, "other/{stream}", slice_s=4, merge_gap_s=-1))
    desk.stage.recording.update(other)
    desk.play(5, at_s=2, publisher=desk.publisher)
    await desk.finish()

    assert stems(desk) == pytest.approx(
        {"other/s_job1_room1_alice.m3u8": 5.0, "p/s_job1_room1_alice.m3u8": 2.0}, abs=0.1
    )
    texts = playlists(desk)
    assert "#EXT-X-TARGETDURATION:14" in texts["other/s_job1_room1_alice.m3u8"]
    assert all(parse(text).is_ended and not parse(text).complaints for text in texts.values())


async def test_another_rule_may_ask_for_other_formats(tmp_path):
    desk = Desk(tmp_path, hls_job(formats=(RecordFormat.MP4,)))
    desk.play(2)
    desk.stage.recording.update(hls_job().rule)
    desk.play(3, at_s=2, publisher=desk.publisher)
    await desk.finish()

    done = {
        fact.record_format: fact.duration.total_seconds()
        for fact in desk.journal.facts
        if isinstance(fact, FileCompleted)
    }
    assert done == pytest.approx({RecordFormat.MP4: 2.0, RecordFormat.HLS: 3.0}, abs=0.35)
    assert the_playlist(desk).complaints == []


async def test_two_formats_under_one_prefix_share_no_name(tmp_path):
    job = hls_job(formats=(RecordFormat.HLS, RecordFormat.MP4), prefix="{stream}")
    desk = Desk(tmp_path, job)
    desk.play(3)
    await desk.finish()

    assert desk.objects.keys() >= {f"s_job1_room1_alice{name}" for name in (".mp4", ".json", "_1.m3u8", "_1.json")}


async def test_forgotten_playlists_are_ended_by_the_sweep(tmp_path):
    killed = Desk(tmp_path, hls_job())
    killed.play(5)
    await killed.die()

    left = await settled(killed.shelf.spool.earlier_epochs("job1"), PaperJournal(), killed.shelf)

    assert (left.refusal, left.playlist) == (None, None)
    assert the_playlist(killed).is_ended
    assert killed.spooled == []


async def test_a_playlist_that_ended_before_its_recorder_died_is_ended_and_nothing_is_cut_from_it(tmp_path):
    killed = Desk(tmp_path, hls_job(merge_gap_s=0))
    killed.play(5)
    await killed.told()
    killed.stage.recording.on_detached(killed.publisher, "left")
    killed.stage.wait(10)
    killed.filing.abandon()

    left = await salvage(hls_job(epoch=2, merge_gap_s=0), PaperJournal(), killed.shelf)

    assert (left.refusal, left.playlist) == (None, None)
    assert the_playlist(killed).is_ended
    assert the_playlist(killed).duration_s == pytest.approx(5.02, abs=0.05)
    assert killed.spooled == []


async def test_a_disk_that_refuses_a_playlists_text_has_nothing_published_that_lacks_a_segment(tmp_path, monkeypatch):
    desk = Desk(tmp_path, hls_job())
    desk.play(3)
    await desk.told()
    before = playlists(desk)
    with monkeypatch.context() as full:
        full.setattr(Path, "open", _full_for(Path.open, ".m3u8"))
        desk.play(2, at_s=3, publisher=desk.publisher)
        await desk.told()
    desk.play(2, at_s=5, publisher=desk.publisher)
    await desk.finish()

    assert isinstance(desk.failures[0], InternalError)
    assert playlists(desk) == before
    assert not the_playlist(desk).is_ended
    assert desk.shelf.usage()["objects_pending"] > 0

    # The next try has its room, and everything is still there.
    journal = PaperJournal(desk.journal)
    assert (await salvage(hls_job(epoch=2), journal, desk.shelf, own=True)).refusal is None
    playlist = the_playlist(desk)
    manifest = json.loads(desk.objects["p/s_job1_room1_alice.json"].read_text())
    listed = [segment["key"].removeprefix("p/") for segment in manifest["files"][0]["segments"]]
    assert (playlist.complaints, playlist.is_ended) == ([], True)
    assert [segment.uri for segment in playlist.segments] == listed
    assert playlist.duration_s == pytest.approx(7.02, abs=0.1)
    assert [type(fact) for fact in journal.facts] == [FileCompleted]
    assert desk.spooled == []
    assert desk.shelf.usage()["objects_pending"] == 0


def _full_for(really, suffix):
    """Return an `open` to which the disk is full when such a file is to be written."""

    def refuse(path, mode="r", *args, **kwargs):
        if path.suffix == suffix and mode[0] in "aw":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really(path, mode, *args, **kwargs)

    return refuse


async def test_a_playlist_of_a_sender_without_keyframes_no_longer_claims_that_segments_stand_alone(tmp_path):
    desk = Desk(tmp_path, hls_job())
    alice = a_publisher()
    desk.stage.recording.on_attached(alice)
    desk.stage.play(alice, frames_of(video_samples(Codec.H264, 26, gop=10_000), Codec.H264))
    await desk.finish()

    (text,) = playlists(desk).values()
    assert parse(text).complaints == []
    assert "INDEPENDENT" not in text
    assert len(parse(text).segments) == 3


async def test_memory_does_not_grow_with_a_playlist(tmp_path):
    desk = Desk(tmp_path, hls_job())
    desk.play(3)
    await desk.told()
    (playlist,) = desk.filing._playlists.values()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    entry = playlist.last
    for number in range(500):
        playlist._write_down(replace(entry, name=f"x_{number:05d}.ts", starts_at_ns=entry.end_ns + number * NS))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    desk.filing.abandon()

    assert grown < 20_000
    assert len(parse((tmp_path / "spool/job1/1/00000.m3u8").read_text()).segments) == 501
