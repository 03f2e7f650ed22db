"""A job with every field filled, to be varied by tests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from soloist.model.ids import AppId, JobId, ParticipantId, ProjectId, RoomId, RuleId
from soloist.model.job import Job, JobState
from soloist.model.media import Tier, TrackSource
from soloist.model.rule import Mp4Config, RecordFormat, RecordRule, StorageAddress

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def a_rule(**changes):
    """Return a rule for one-hour MP4 files with AAC."""
    rule = RecordRule(
        rule_id=RuleId("rule1"),
        app_id=AppId("demo"),
        address=StorageAddress(location="cn-north-4", project_id="dev", bucket="recordings"),
        formats=(RecordFormat.MP4,),
        mp4=Mp4Config(record_cycle_s=3600, merge_gap_s=300),
    )
    return replace(rule, **changes)


def a_job(**changes):
    """Return a running job for alice's camera in room1."""
    job = Job(
        job_id=JobId("job1"),
        project_id=ProjectId("dev"),
        app_id=AppId("demo"),
        room_id=RoomId("room1"),
        participant_id=ParticipantId("alice"),
        with_audio=True,
        video=TrackSource.CAMERA,
        tier=Tier.FHD,
        idle_timeout=timedelta(seconds=30),
        rule=a_rule(),
        state=JobState.RUNNING,
        created_at=NOW,
        updated_at=NOW,
        started_at=NOW,
        epoch=1,
    )
    return replace(job, **changes)
