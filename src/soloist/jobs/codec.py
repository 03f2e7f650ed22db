"""Rules, jobs and events as database rows, both ways. Knows the column names; knows no connection."""

from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row

from soloist.model.event import (
    Event,
    FileCompleted,
    FileStarted,
    ForwardChanged,
    JobAccepted,
    JobEnded,
    JobTaken,
    RecordingTroubled,
    Trouble,
)
from soloist.model.forward import ForwardState, TargetStatus
from soloist.model.ids import AppId, JobId, ParticipantId, ProjectId, RoomId, RuleId
from soloist.model.job import Job, JobState, StopReason
from soloist.model.media import Kind, Tier, TrackSource
from soloist.model.rule import AudioMode, HlsConfig, Mp4Config, RecordFormat, RecordRule, StorageAddress, Vp8Mode

Json = dict[str, Any]

EVENTS = {
    kind.__name__: kind
    for kind in (JobAccepted, JobTaken, FileStarted, FileCompleted, ForwardChanged, RecordingTroubled, JobEnded)
}
PARSERS: dict[Any, Callable[[Any], object]] = {
    datetime: datetime.fromisoformat,
    timedelta: lambda milliseconds: timedelta(milliseconds=milliseconds),
    RecordFormat: RecordFormat,
    StopReason: StopReason,
    ForwardState: ForwardState,
    Trouble: Trouble,
}
"""How fields that JSON has no type for are read again; see `_render`."""


def render_rule_body(rule: RecordRule) -> Json:
    """Return a rule as JSON without its two ids."""
    body = asdict(rule)
    del body["rule_id"], body["app_id"]
    return body


def parse_rule_body(app_id: str, rule_id: str, body: Json) -> RecordRule:
    """Return the rule that `render_rule_body` wrote."""
    return RecordRule(
        rule_id=RuleId(rule_id),
        app_id=AppId(app_id),
        address=StorageAddress(**body["address"]),
        formats=tuple(RecordFormat(name) for name in body["formats"]),
        mp4=Mp4Config(**body["mp4"]) if body["mp4"] else None,
        hls=HlsConfig(**body["hls"]) if body["hls"] else None,
        audio=AudioMode(body["audio"]),
        keep_damaged=body.get("keep_damaged", False),  # Rules stored before there was such a choice lack it.
    )


def job_rule(row: Row[Any]) -> RecordRule | None:
    """Return the rule of a `jobs` row; None if the job only forwards."""
    return parse_rule_body(row.app_id, row.rule_id, row.rule) if row.rule is not None else None


def rule_of_row(row: Row[Any]) -> RecordRule:
    """Return the rule of a `record_rules` row."""
    return parse_rule_body(row.app_id, row.rule_id, row.body)


def job_of_row(row: Row[Any]) -> Job:
    """Return the job of a `jobs` row."""
    return Job(
        job_id=JobId(row.job_id),
        project_id=ProjectId(row.project_id),
        app_id=AppId(row.app_id),
        room_id=RoomId(row.room_id),
        participant_id=ParticipantId(row.participant_id),
        with_audio=row.with_audio,
        video=TrackSource(row.video) if row.video else None,
        tier=Tier(row.tier),
        idle_timeout=row.idle_timeout,
        rule=job_rule(row),
        state=JobState(row.state),
        created_at=row.created_at,
        updated_at=row.updated_at,
        started_at=row.started_at,
        stopped_at=row.stopped_at,
        stop_reason=StopReason(row.stop_reason) if row.stop_reason else None,
        description=row.description,
        epoch=row.epoch,
        automatic=row.automatic,
        suspended=row.suspended,
        vp8=Vp8Mode(row.vp8),
        transcoded={Kind(kind): is_so for kind, is_so in row.transcoded.items()} if row.transcoded else None,
        forward_urls=tuple(row.forward_urls),
        forwarding=tuple(TargetStatus.of(status) for status in row.forwarding),
    )


def job_values(job: Job) -> Json:
    """Return the columns of a new `jobs` row, without those of the engine."""
    values = {name: getattr(job, name) for name in Job.__slots__ if name != "rule"}
    return values | {
        "rule_id": job.rule.rule_id if job.rule else None,
        "rule": render_rule_body(job.rule) if job.rule else None,
        "forward_urls": list(job.forward_urls),
        "forwarding": [asdict(status) for status in job.forwarding],
    }


def render_event_body(event: Event) -> Json:
    """Return an event's fields as JSON: times in ISO 8601, durations in milliseconds."""
    return {name: _render(value) for name, value in asdict(event).items()}


def parse_event(name: str, body: Json) -> Event:
    """Return the event that `render_event_body` wrote; fields it did not know yet have their defaults."""
    kind = EVENTS[name]
    types = {field.name: field.type for field in fields(kind)}
    return kind(**{name: _parse(types[name], value) for name, value in body.items() if name in types})


def _parse(kind: Any, value: Any) -> Any:
    return PARSERS[kind](value) if kind in PARSERS else value


def _render(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return round(value / timedelta(milliseconds=1))
    return value
