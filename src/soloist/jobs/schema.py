"""The tables, as statements see them. The migrations in `jobs/migrations/` create them; keep the two in step.

`jobs` is the truth about a job (R36): its row carries the epoch that fences every later write, the engine's id of the
queued work, and the counter that numbers its events. All times are UTC.
"""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Interval,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()

UNIQUE_LIVE_JOB = "jobs_one_live_per_stream"
"""Name of the partial unique index behind the duplicate rule. Spec: API section 5.3."""


ONE_RULE_PER_LOCATION = "record_rules_one_per_location"
"""Name of the constraint behind the upsert of rules. Spec: API section 2.5."""


def _at(name: str, *, nullable: bool = False) -> Column[datetime]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


projects = Table(
    "projects",
    metadata,
    Column("project_id", String(128), primary_key=True),
    _at("disabled_at", nullable=True),
)
"""A disabled project's requests are refused, and nobody joins its rooms."""

credentials = Table(
    "credentials",
    metadata,
    Column("access_key", String(128), primary_key=True),
    Column("secret_key", String(256), nullable=False),
    Column("project_id", ForeignKey("projects.project_id"), nullable=False),
    _at("created_at"),
    _at("expires_at", nullable=True),
)
"""A credential without `expires_at` is good until it is revoked."""

tokens = Table(
    "tokens",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("project_id", ForeignKey("projects.project_id"), nullable=False),
    _at("expires_at", nullable=True),
    _at("created_at", nullable=True),
    Column("access_key", ForeignKey("credentials.access_key", ondelete="CASCADE")),
    Index("tokens_by_access_key", "access_key"),
)
"""A token without `expires_at` is good until it is revoked. `access_key` is what it was asked for with, and ends it."""

apps = Table(
    "apps",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("project_id", ForeignKey("projects.project_id"), nullable=False),
    Column("app_name", String(256), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("join_key", String(64), nullable=False),
    Column("video_codecs", ARRAY(String(16)), nullable=False),
    _at("created_at"),
    Column("auto_rule_id", String(128)),
    _at("auto_since", nullable=True),
    _at("auto_changed_at", nullable=True),
    _at("state_changed_at", nullable=True),
    Column("vp8", String(8), nullable=False, server_default="webm"),
    Column("old_join_key", String(64)),
    _at("old_join_key_until", nullable=True),
)
"""`auto_rule_id` is the rule of automatic recording, None while it is off; it holds for rooms that began after
`auto_since`. The times of change are None until the first one. `old_join_key` is the one before, good for a while after
it was replaced. Spec: API section 2.6."""

record_rules = Table(
    "record_rules",
    metadata,
    Column("app_id", ForeignKey("apps.app_id"), primary_key=True),
    Column("rule_id", String(128), primary_key=True),
    Column("location", String(64), nullable=False),
    Column("body", JSONB, nullable=False),
    _at("created_at"),
    _at("updated_at"),
    UniqueConstraint("app_id", "location", name=ONE_RULE_PER_LOCATION),
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String(64), primary_key=True),
    Column("project_id", ForeignKey("projects.project_id"), nullable=False),
    Column("app_id", String(64), nullable=False),
    Column("room_id", String(64), nullable=False),
    Column("participant_id", String(64), nullable=False),
    Column("with_audio", Boolean, nullable=False),
    Column("video", String(16)),
    Column("tier", String(8), nullable=False),
    Column("idle_timeout", Interval, nullable=False),
    Column("rule_id", String(128)),
    Column("rule", JSONB(none_as_null=True)),
    Column("state", String(16), nullable=False),
    _at("created_at"),
    _at("updated_at"),
    _at("started_at"),
    _at("stopped_at", nullable=True),
    Column("stop_reason", String(32)),
    Column("description", String(128), nullable=False, server_default=""),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("owner", String(128)),
    Column("slot", String(128), nullable=False),
    Column("engine_id", BigInteger),
    Column("event_seq", Integer, nullable=False, server_default="0"),
    _at("ended_at", nullable=True),
    Column("automatic", Boolean, nullable=False, server_default="false"),
    Column("suspended", Boolean, nullable=False, server_default="false"),
    Column("transcoded", JSONB),
    Column("vp8", String(8), nullable=False, server_default="webm"),
    Column("forward_urls", ARRAY(String(1024)), nullable=False, server_default="{}"),
    Column("forwarding", JSONB, nullable=False, server_default="[]"),
)
"""`engine_id` is procrastinate's id of the queued work; `ended_at` is set with the JobEnded event. `rule` is None for a
job that only forwards; `forwarding` is where its targets stood when its recorder last said so."""

Index(
    UNIQUE_LIVE_JOB,
    jobs.c.app_id,
    jobs.c.room_id,
    jobs.c.participant_id,
    func.coalesce(jobs.c.video, ""),
    unique=True,
    postgresql_where=text("state <> 'STOPPED'"),
)
Index("jobs_unfinished", jobs.c.slot, postgresql_where=text("ended_at IS NULL"))
Index("jobs_by_room", jobs.c.app_id, jobs.c.room_id)
Index("jobs_by_project", jobs.c.project_id, jobs.c.created_at)
Index("jobs_live_by_project", jobs.c.project_id, postgresql_where=text("state <> 'STOPPED'"))
Index("jobs_untaken", jobs.c.created_at, postgresql_where=text("state = 'INIT'"))

files = Table(
    "files",
    metadata,
    Column("job_id", ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(2048), primary_key=True),
    Column("location", String(64), nullable=False, server_default=""),
    Column("bucket", String(256), nullable=False, server_default=""),
    Column("stem", String(2048), nullable=False, server_default=""),
    Column("epoch", Integer, nullable=False),
    Column("format", String(8), nullable=False),
    Column("state", String(16), nullable=False),
    _at("started_at"),
    _at("ended_at", nullable=True),
    Column("size_bytes", BigInteger),
    Column("sha256", String(64)),
    Column("duration_ms", BigInteger),
    Column("width", Integer),
    Column("height", Integer),
)
"""`state` is STARTED or COMPLETED. `location` and `bucket` are where the file was recorded to: the job's rule may have
another address by now. `stem` is the key without its extension, which playlists' segments and manifests begin with."""

Index("files_by_stem", files.c.location, files.c.bucket, files.c.stem)
Index(
    "files_one_open_per_stem",
    files.c.location,
    files.c.bucket,
    files.c.stem,
    unique=True,
    postgresql_where=text("state = 'STARTED' AND stem <> ''"),
)
"""No two files that are being recorded have one name (rule R34); of two that want it at once, one gets it."""

job_events = Table(
    "job_events",
    metadata,
    Column("job_id", ForeignKey("jobs.job_id", ondelete="CASCADE"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("epoch", Integer, nullable=False),
    Column("type", String(32), nullable=False),
    Column("body", JSONB, nullable=False),
    _at("at"),
)

Index("job_events_by_time", job_events.c.at)

record_callbacks = Table(
    "record_callbacks",
    metadata,
    Column("app_id", String(64), primary_key=True),
    Column("url", String(1024), nullable=False),
    Column("auth_key", String(64), nullable=False, server_default=""),
    Column("paused", Boolean, nullable=False, server_default="false"),
    _at("updated_at"),
    Column("retired", Boolean, nullable=False, server_default="false"),
)
"""A `retired` one is of an app that was deleted: kept, and shown to nobody, until what waits for it is settled."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("job_id", String(64), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("app_id", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _at("created_at"),
    _at("next_at"),
    _at("settled_at", nullable=True),
    Column("last_error", String(256), nullable=False, server_default=""),
    ForeignKeyConstraint(["job_id", "seq"], ["job_events.job_id", "job_events.seq"], ondelete="CASCADE"),
)
"""Events that are to be told to the app's callback, written with the event itself (rule R49). `state` is a
`model.callback.DeliveryState`; `created_at` is when the event was queued, at first or to be told again; all times are
the database's."""

Index("deliveries_waiting", deliveries.c.next_at, postgresql_where=text("state = 'WAITING'"))
Index("deliveries_by_app", deliveries.c.app_id, deliveries.c.created_at)

bucket_grants = Table(
    "bucket_grants",
    metadata,
    Column("project_id", ForeignKey("projects.project_id"), primary_key=True),
    Column("location", String(64), primary_key=True),
    Column("bucket", String(256), primary_key=True),
    Column("folder", String(1024), primary_key=True, server_default=""),
)
"""What the operator lets a project see and name: a folder of a bucket, or all of it where `folder` is empty."""

revoked_buckets = Table(
    "revoked_buckets",
    metadata,
    Column("project_id", ForeignKey("projects.project_id"), primary_key=True),
    Column("location", String(64), primary_key=True),
    Column("bucket", String(256), primary_key=True),
)
"""Buckets into which a project lets nothing be recorded any more. Spec: API section 2.6 (bucket authority)."""

bans = Table(
    "bans",
    metadata,
    Column("app_id", ForeignKey("apps.app_id", ondelete="CASCADE"), primary_key=True),
    Column("room_id", String(64), primary_key=True),
    Column("participant_id", String(64), primary_key=True),
    _at("since"),
    _at("until"),
    Index("bans_by_age", "app_id", "since"),
)
"""Who was removed from a room: kept out with tokens issued before `since`, until `until`."""

slots = Table(
    "slots",
    metadata,
    Column("slot", String(128), primary_key=True),
    Column("owner", String(128), nullable=False),
    _at("seen_at"),
    Column("state", String(16), nullable=False, server_default="ok"),
    Column("reason", String(128), nullable=False, server_default=""),
    Column("writing", JSONB, nullable=False, server_default="{}"),
)
"""Which recorder process serves a slot, renewed once a second; by the database's clock. `state` is a
`model.admission.LoadState` and `reason` what made it so; `writing` counts its recordings that write, by project."""
