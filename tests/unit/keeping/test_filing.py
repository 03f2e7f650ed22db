"""What becomes of finished files, whole crashes included: key, object, manifest, event, spool."""

import asyncio
import errno
import hashlib
import json
import os
import shutil
from dataclasses import replace

import pytest
from support.filed import Desk, PaperJournal
from support.frames import NS, START_NS, report_at
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.stage import a_publisher, frames_of, merged

from soloist.keeping import publishing
from soloist.keeping.filing import Leftovers
from soloist.keeping.salvage import salvage
from soloist.keeping.shelf import Shelf
from soloist.keeping.summary import resumed
from soloist.model.errors import DestinationError
from soloist.model.event import FileCompleted, FileStarted
from soloist.model.media import Codec, Kind
from soloist.model.rule import Mp4Config, StorageAddress
from soloist.model.timing import Cause, Missing
from soloist.recording.facts import MediaFacts
from soloist.storage.errors import KeyTakenError
from soloist.storage.spool import Spool

pytestmark = pytest.mark.anyio


async def test_a_finished_file_stands_under_its_key_with_manifest_and_event_and_leaves_the_spool(tmp_path):
    desk = Desk(tmp_path, a_job())
    desk.play(2)
    await desk.finish()

    started, completed = desk.journal.facts
    assert isinstance(started, FileStarted)
    assert isinstance(completed, FileCompleted)
    assert started.key == completed.key
    data = desk.objects[completed.key].read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (completed.size_bytes, completed.sha256)
    manifest = json.loads(desk.objects[completed.key.replace(".mp4", ".json")].read_text())
    assert manifest["files"][0]["sha256"] == completed.sha256
    assert desk.spooled == []


async def test_names_come_from_the_first_sample_not_from_the_time_of_opening(tmp_path):
    desk = Desk(tmp_path, a_job())
    desk.play(2)
    await desk.finish()

    # The script's media was captured at 12:00:00 UTC.
    assert "_2026-11-22-12-00-00/" in desk.journal.facts[0].key
    assert desk.journal.facts[0].started_at.strftime("%H:%M:%S") == "12:00:00"


async def test_files_of_one_second_get_keys_of_their_own(tmp_path):
    rule = a_rule(mp4=Mp4Config(record_cycle_s=1, prefix="{stream}"))
    desk = Desk(tmp_path, a_job(rule=rule))
    desk.play(3)
    await desk.finish()

    keys = [fact.key for fact in desk.journal.facts if isinstance(fact, FileCompleted)]
    stem = "s_job1_room1_alice"
    assert keys == [f"{stem}.mp4", f"{stem}_1.mp4", f"{stem}_2.mp4"]


async def test_an_object_that_was_there_before_is_never_overwritten(tmp_path):
    theirs = tmp_path / "storage" / "recordings" / "fixed.mp4"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("somebody else's")
    desk = Desk(tmp_path, a_job(rule=a_rule(mp4=Mp4Config(record_cycle_s=60, prefix="fixed"))))
    desk.play(2)
    await desk.finish()

    assert theirs.read_text() == "somebody else's"
    assert desk.journal.facts[-1].key == "fixed_1.mp4"


async def test_an_object_that_comes_to_stand_under_the_announced_key_meanwhile_is_not_overwritten_either(tmp_path):
    desk = Desk(tmp_path, a_job(rule=a_rule(mp4=Mp4Config(record_cycle_s=60, prefix="fixed"))))
    desk.play(2)
    await desk.told()
    theirs = tmp_path / "storage" / "recordings" / "fixed.mp4"
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("somebody else's")
    await desk.finish()

    assert theirs.read_text() == "somebody else's"
    assert desk.journal.facts[-1].key == "fixed_1.mp4"
    assert desk.failures == []


async def test_vp8_is_told_as_webm_in_description_and_event(tmp_path):
    desk = Desk(tmp_path, a_job())
    desk.play(2, Codec.VP8)
    await desk.finish()

    assert "WebM" in desk.journal.texts[0]
    assert desk.journal.facts[-1].record_format == "WEBM"
    assert desk.journal.facts[-1].key.endswith(".webm")


async def test_an_unknown_location_fails_the_job_and_keeps_the_file(tmp_path):
    address = StorageAddress("mars-1", "dev", "recordings")
    desk = Desk(tmp_path, a_job(rule=a_rule(address=address)))
    desk.play(2)
    with pytest.raises(DestinationError, match="SOLOIST_STORAGE"):
        await desk.finish()

    assert "00000.mp4" in desk.spooled
    assert isinstance(desk.failures[0], DestinationError)


async def test_what_a_killed_recorder_left_is_repaired_and_published_by_the_next_epoch(tmp_path):
    killed = Desk(tmp_path, a_job(epoch=1))
    killed.play(5)
    await killed.told()
    killed.filing.abandon()
    copy = tmp_path / "as_killed.mp4"
    shutil.copy(tmp_path / "spool" / "job1" / "1" / "00000.mp4", copy)
    killed.stage.recording.abort()
    shutil.copy(copy, tmp_path / "spool" / "job1" / "1" / "00000.mp4")

    successor = PaperJournal(killed.journal)
    assert (await salvage(a_job(epoch=2), successor, killed.shelf)).refusal is None

    (told,) = successor.facts
    assert told.key == killed.journal.facts[0].key
    assert 3.9 <= told.duration.total_seconds() <= 5.1
    assert killed.spooled == []
    manifest = json.loads(killed.objects[told.key.replace(".mp4", ".json")].read_text())
    assert manifest["job"]["epoch"] == 1


async def test_a_file_killed_before_its_note_was_written_holds_nothing_and_is_removed(tmp_path):
    desk = Desk(tmp_path, a_job(epoch=1))
    desk.filing.abandon()
    desk._path(0, "mp4")

    assert (await salvage(a_job(epoch=2), PaperJournal(), desk.shelf)).refusal is None
    assert desk.spooled == []


async def test_a_leftover_of_an_unknown_codec_stays_in_the_spool_and_costs_the_job_nothing(tmp_path):
    desk = Desk(tmp_path, a_job(epoch=1))
    desk.play(4)
    await desk.die()
    path = tmp_path / "spool" / "job1" / "1" / "00000.mp4"
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))

    assert (await salvage(a_job(epoch=2), PaperJournal(), desk.shelf)).refusal is None
    assert "00000.mp4" in desk.spooled
    assert desk.objects == {}


async def test_a_bucket_that_cannot_be_asked_for_a_key_costs_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("soloist.keeping.publishing.PATIENCE_S", 0.01)
    folder = tmp_path / "storage" / "recordings"
    folder.parent.mkdir()
    folder.write_text("not a folder")
    desk = Desk(tmp_path, a_job(epoch=1))
    desk.play(2)
    with pytest.raises(DestinationError):
        await desk.finish()
    folder.unlink()

    journal = PaperJournal()
    assert (await salvage(a_job(epoch=2), journal, desk.shelf)).refusal is None
    assert [type(fact) for fact in journal.facts] == [FileStarted, FileCompleted]
    assert desk.spooled == []


class CrowdedJournal(PaperJournal):
    """Says that some names are other recordings'."""

    async def file_started(self, fact):
        if fact.key.removesuffix(".mp4")[-2:] in ("00", "_1"):
            raise KeyTakenError
        await super().file_started(fact)


async def test_a_file_of_a_killed_recorder_that_was_never_announced_takes_no_name_of_another_recording(tmp_path):
    desk = Desk(tmp_path, a_job(epoch=1))
    desk.play(2)
    desk.filing.abandon()
    desk.stage.recording.abort()
    assert desk.journal.facts == []

    journal = CrowdedJournal()
    assert (await salvage(a_job(epoch=2), journal, desk.shelf)).refusal is None

    started, completed = journal.facts
    assert started.key.endswith("_2.mp4")
    assert (completed.key, type(completed)) == (started.key, FileCompleted)
    assert desk.objects.keys() == {started.key, started.key.replace(".mp4", ".json")}


async def test_a_name_that_somebody_elses_object_took_is_given_up_for_one_that_is_announced(tmp_path):
    desk = Desk(tmp_path, a_job(epoch=1))
    desk.play(2)
    await desk.told()
    (announced,) = desk.journal.facts
    foreign = tmp_path / "storage" / "recordings" / announced.key
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"somebody else's")
    await desk.finish()

    first, second, completed = desk.journal.facts
    assert (first, type(second), type(completed)) == (announced, FileStarted, FileCompleted)
    assert second.key == completed.key != announced.key
    assert foreign.read_bytes() == b"somebody else's"


def refuse(desk):
    """Let the bucket refuse everything; return what undoes it."""
    bucket = desk.folder / "storage" / "recordings"
    bucket.rename(bucket.with_name("aside"))
    bucket.write_text("not a folder any more")

    def undo():
        bucket.unlink()
        bucket.with_name("aside").rename(bucket)

    return undo


def two_second_job():
    return a_job(rule=a_rule(mp4=Mp4Config(record_cycle_s=2, prefix="{stream}")))


async def test_a_recording_goes_on_while_its_bucket_refuses_and_loses_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr("soloist.keeping.publishing.DELAY_S", 0.02)
    desk = Desk(tmp_path, two_second_job())
    desk.play(1)
    await desk.told()
    undo = refuse(desk)
    desk.play(6, at_s=1)
    await asyncio.sleep(0.2)

    assert desk.failures == []
    assert desk.shelf.usage()["objects_pending"] == 2
    assert [type(fact) for fact in desk.journal.facts] == [FileStarted]

    undo()
    await desk.finish()
    assert [type(fact) for fact in desk.journal.facts] == [FileStarted, FileCompleted] * 3
    assert desk.shelf.usage()["objects_pending"] == 0
    assert desk.spooled == []


async def test_a_bucket_that_refuses_for_an_hour_ends_the_job_and_keeps_its_files(tmp_path, monkeypatch):
    assert publishing.PATIENCE_S == 3600
    monkeypatch.setattr("soloist.keeping.publishing.PATIENCE_S", 0.05)
    monkeypatch.setattr("soloist.keeping.publishing.DELAY_S", 0.02)
    desk = Desk(tmp_path, two_second_job())
    desk.play(1)
    await desk.told()
    refuse(desk)
    desk.play(3, at_s=1)
    await asyncio.sleep(0.2)
    await desk.told()

    assert isinstance(desk.failures[0], DestinationError)
    assert "00000.mp4.note" in desk.spooled
    assert desk.shelf.usage()["objects_pending"] >= 1


async def test_sound_that_could_not_be_decoded_is_said_in_manifest_and_event(tmp_path):
    desk = Desk(tmp_path, a_job())
    alice = a_publisher()
    desk.stage.recording.on_attached(alice)
    sound = [f.but(data=b"\xff") if 50 <= n < 53 else f for n, f in enumerate(frames_of(opus_samples(2), Codec.OPUS))]
    desk.stage.play(alice, merged(frames_of(video_samples(Codec.H264, 2), Codec.H264), sound))
    await desk.finish()

    assert "3 damaged frames" in desk.journal.facts[-1].detail
    manifest = next(path for key, path in desk.objects.items() if key.endswith(".json"))
    assert "3 damaged frames" in json.loads(manifest.read_text())["files"][0]["note"]


async def test_a_file_has_its_note_from_its_first_moment(tmp_path):
    desk = Desk(tmp_path, a_job(epoch=1))
    desk.play(1)

    assert sorted(desk.spooled) == ["00000.mp4", "00000.mp4.note"]


async def test_salvage_of_an_empty_spool_does_nothing(tmp_path):
    journal = PaperJournal()
    shelf = Shelf(Spool(tmp_path / "spool"), {"cn-north-4": tmp_path})

    assert (await salvage(a_job(epoch=3), journal, shelf)).refusal is None
    assert journal.facts == []


async def test_a_file_killed_before_its_first_fragment_is_removed_without_an_event(tmp_path):
    desk = Desk(tmp_path, a_job(epoch=1))
    desk.play(1)
    await desk.told()
    desk.filing.abandon()
    desk.stage.recording.abort()
    (tmp_path / "spool" / "job1" / "1" / "00000.mp4").write_bytes(b"")

    journal = PaperJournal()
    assert (await salvage(a_job(epoch=2), journal, desk.shelf)).refusal is None
    assert journal.facts == []
    assert desk.spooled == []


def holes_of(desk):
    """Return what the desk's only manifest declares of each kind, as (start, end, cause, detail) in seconds."""
    (manifest,) = (json.loads(path.read_text()) for key, path in desk.objects.items() if key.endswith(".json"))
    return {m["kind"]: (m["start_ns"] / 1e9, m["end_ns"] / 1e9, m["cause"], m["detail"]) for m in manifest["missing"]}


async def test_after_a_crash_the_next_file_declares_the_time_since_each_track_ended(tmp_path):
    killed = Desk(tmp_path / "1", a_job(epoch=1))
    killed.play(4)
    await killed.told()
    killed.filing.abandon()
    killed.stage.recording.abort()
    left = await salvage(a_job(epoch=2), PaperJournal(), killed.shelf)

    desk = Desk(tmp_path / "2", a_job(epoch=2), lambda: _given(left))
    desk.play(2, at_s=10)
    await desk.finish()

    holes = holes_of(desk)
    ends_s = {kind: (end_ns - START_NS) / 1e9 for kind, end_ns in left.ends_ns.items()}
    assert set(holes) == {Kind.AUDIO, Kind.VIDEO}
    for kind, (start_s, end_s, cause, detail) in holes.items():
        assert 3.0 < ends_s[kind] < 4.01
        assert start_s == pytest.approx(ends_s[kind] - 10, abs=0.03)
        assert end_s == pytest.approx(0, abs=0.03)
        assert (cause, detail) == ("fault", "recorder_restarted")


async def test_a_file_that_a_second_crash_left_declares_the_first_one(tmp_path):
    for epoch, at_s in ((1, 0), (2, 10)):
        desk = Desk(tmp_path, a_job(epoch=epoch), lambda: _given(Leftovers()))
        desk.play(4, at_s=at_s)
        await desk.told()
        desk.filing.abandon()
        desk.stage.recording.abort()

    assert (await salvage(a_job(epoch=3), PaperJournal(), desk.shelf)).refusal is None

    manifests = [json.loads(path.read_text()) for key, path in sorted(desk.objects.items()) if key.endswith(".json")]
    assert [[m["cause"] for m in manifest["missing"]] for manifest in manifests] == [[], ["fault", "fault"]]
    for hole in manifests[1]["missing"]:
        assert -7.1 < hole["start_ns"] / 1e9 < -5.9
        assert hole["end_ns"] == pytest.approx(0, abs=3e7)


async def test_after_a_clean_restart_the_next_file_declares_the_time_since_the_last_one(tmp_path):
    desk = Desk(tmp_path, a_job(epoch=2))
    desk.journal.ended_ns = START_NS + 7 * NS
    desk.play(2, at_s=10)
    await desk.finish()

    expected = (pytest.approx(-3, abs=0.03), pytest.approx(0, abs=0.03), "fault", "recorder_restarted")
    assert holes_of(desk) == {Kind.AUDIO: expected, Kind.VIDEO: expected}


async def test_the_first_recorder_of_a_job_declares_no_restart(tmp_path):
    desk = Desk(tmp_path, a_job(epoch=1))
    desk.play(2)
    await desk.finish()

    assert holes_of(desk) == {}


async def test_a_picture_that_comes_later_than_the_sound_is_missing_since_before_the_restart():
    late = Missing(Kind.VIDEO, 0, 2 * NS, Cause.GAP, "waiting_keyframe")
    facts = MediaFacts(START_NS, (late,), rule=a_job().rule)

    told = resumed(facts, {Kind.AUDIO: START_NS - NS, Kind.VIDEO: START_NS - 2 * NS})

    assert told.missing == (
        Missing(Kind.AUDIO, -NS, 0, Cause.FAULT, "recorder_restarted"),
        Missing(Kind.VIDEO, -2 * NS, 2 * NS, Cause.FAULT, "recorder_restarted"),
    )


async def test_media_does_not_wait_for_what_an_earlier_recorder_left(tmp_path):
    gate = asyncio.Event()

    async def settle():
        await gate.wait()
        return Leftovers()

    desk = Desk(tmp_path, a_job(epoch=2), settle)
    desk.play(2)
    await asyncio.sleep(0)
    assert "00000.mp4" in desk.spooled
    assert desk.journal.facts == []

    gate.set()
    await desk.finish()
    assert [type(fact) for fact in desk.journal.facts] == [FileStarted, FileCompleted]


async def test_a_file_that_broke_off_under_its_own_epoch_is_settled_by_it(tmp_path):
    desk = Desk(tmp_path, a_job(epoch=1))
    desk.play(4)
    await desk.told()
    desk.stage.recording.abort()

    assert (await salvage(desk.job, desk.journal, desk.shelf, own=True)).refusal is None
    assert [type(fact) for fact in desk.journal.facts] == [FileStarted, FileCompleted]
    assert desk.spooled == []


async def test_a_disk_without_room_for_an_index_keeps_the_file_for_later(tmp_path, monkeypatch):
    desk = Desk(tmp_path, a_job(epoch=1))
    desk.play(4)
    await desk.told()
    desk.stage.recording.abort()
    monkeypatch.setattr("soloist.sinks.mp4_index.os.pwrite", _no_room)

    refusal = (await salvage(a_job(epoch=2), PaperJournal(), desk.shelf)).refusal

    assert "free the spool's disk" in str(refusal)
    assert "00000.mp4" in desk.spooled


async def _given(value):
    return value


def _no_room(*_arguments):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_the_skew_of_each_clock_is_counted_with_its_files(tmp_path):
    desk, alice = Desk(tmp_path, a_job()), a_publisher(kinds=(Kind.AUDIO,))
    desk.stage.recording.on_attached(alice)
    reports = [report_at(at_s, mid="0", rtp_zero=7, rate_hz=48_000) for at_s in range(1, 13)]
    slow = [replace(report, ntp_ns=report.ntp_ns + (report.ntp_ns - START_NS) // 10_000) for report in reports]
    desk.stage.play(alice, merged(frames_of(opus_samples(13), Codec.OPUS, rtp_zero=7), slow))
    await desk.finish()

    usage = desk.shelf.usage()
    assert (usage["clocks_measured"], usage["clock_skew_ppm"]) == (1, pytest.approx(100, abs=1))
