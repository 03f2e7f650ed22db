"""Bodies about jobs: what a request may hold, how it becomes a command, and how a job is shown.

The models below are both the validators and the OpenAPI schemas. Spec: API sections 2.1 to 2.3, 4.1, 4.3.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from soloist.api.fields import RULE_ID_PATTERN, Body, NumericId, nullable, parse_body, render_time
from soloist.model.errors import InvalidCombinationError, InvalidValueError, MissingFieldError
from soloist.model.forward import TARGETS_MAX, TargetStatus
from soloist.model.ids import AppId, ParticipantId, RoomId
from soloist.model.job import Job, StartJob, UpdateJob
from soloist.model.media import Kind, Tier, TrackSource
from soloist.wire.rtmp import RtmpUrl

DESCRIPTION_LENGTH_MAX = 128

SUSPENDED = "suspended"
ACTIONS = {"SUSPEND": True, "RESTART": False}
"""What control can be asked for, and whether the job is suspended afterwards."""

VideoType = Literal["CAMERASTREAM", "SCREENSTREAM", ""]
StreamType = Literal["LD", "SD", "HD", "FHD"]
VIDEO_TYPES: dict[VideoType, TrackSource | None] = {
    "CAMERASTREAM": TrackSource.CAMERA,
    "SCREENSTREAM": TrackSource.SCREEN,
    "": None,
}


def _rtmp_url(url: str) -> str:
    RtmpUrl.parse(url)
    return url


def _distinct(urls: list[str]) -> list[str]:
    if len({RtmpUrl.parse(url) for url in urls}) < len(urls):  # Hosts in capitals and ports left out are no others.
        raise ValueError("must name each address once")
    return urls


ForwardUrl = Annotated[
    str,
    Field(max_length=1024),
    AfterValidator(_rtmp_url),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 1024,
            "pattern": r"^rtmps?://[a-z]([a-z0-9-]{0,58}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,58}[a-z0-9])?){0,3}(:[1-9][0-9]{0,3})?(/[A-Za-z0-9_-]{1,64}){2,3}$",
        }
    ),
]
"""Where to push to, up to its stream key; the schema shows the usual form, a query and other letters may follow."""


def _with_destination(schema: dict[str, Any]) -> None:
    """Say in the schema that one destination at least is there: a rule, or servers to forward to."""
    nullable(schema)
    places = {"record_param": "RecordParam", "publish_param": "PublishParam"}
    schema["anyOf"] = [
        {"required": [name], "properties": {name: {"$ref": f"#/components/schemas/{model}"}}}
        for name, model in places.items()
    ]


class RecordParam(Body):
    """Where and how to record."""

    record_rule_id: str = Field(pattern=RULE_ID_PATTERN)


class PublishParam(Body):
    """Where to forward to."""

    rtmp_urls: Annotated[list[ForwardUrl], AfterValidator(_distinct)] = Field(
        min_length=1, max_length=TARGETS_MAX, json_schema_extra={"uniqueItems": True}
    )


class StartBody(Body):
    """The body of create. Spec: API section 2.1."""

    model_config = ConfigDict(json_schema_extra=_with_destination)

    room_id: NumericId
    user_id: NumericId
    is_record_audio: bool = True
    video_type: VideoType = "CAMERASTREAM"
    select_stream_type: StreamType = "FHD"
    max_idle_time: int = Field(default=30, ge=5, le=43_200)
    record_param: RecordParam | None = None
    publish_param: PublishParam | None = None


class UpdateBody(Body):
    """The body of update. Spec: API section 2.3."""

    model_config = ConfigDict(json_schema_extra=_with_destination)

    record_param: RecordParam | None = None
    publish_param: PublishParam | None = None


class ForwardView(BaseModel):
    """Where one RTMP server stands, in the order of publish_param; ours, not the vendor's."""

    url: str
    """Without its stream key."""
    state: Literal["connecting", "waiting", "live", "stalled", "failed", "ended"]
    since: str
    retries: int
    bytes_sent: int
    pictures_sent: int
    sounds_sent: int
    frames_dropped: int
    last_error: str | None = None


class TranscodedView(BaseModel):
    """For each track of the file opened last, whether it is another coding than the sender's (rule R48)."""

    audio: bool | None = None
    video: bool | None = None


class JobExtension(BaseModel):
    """What this server adds to a job."""

    vp8: Literal["webm", "h264"]
    transcoded: TranscodedView | None = None
    forward: list[ForwardView] | None = None


class JobView(BaseModel):
    """A job as the API shows it; fields without a value are left out. Spec: API section 2.2."""

    job_id: str
    stream_name: str
    app_id: str
    room_id: str
    user_id: str
    is_record_audio: bool
    video_type: VideoType
    select_stream_type: StreamType
    max_idle_time: int
    record_param: RecordParam | None = None
    publish_param: PublishParam | None = None
    create_time: str
    update_time: str
    start_time: str
    stop_time: str | None = None
    state: Literal["INIT", "RUNNING", "STOPPED"]
    stop_reason: Literal["TENANT_STOP", "EXCEED_MAX_IDLE_TIME", "INTERNAL_ERROR"] | None = None
    description: str | None = None
    ext: JobExtension


def parse_start(app_id: AppId, body: dict[str, object]) -> StartJob:
    """Return the command a create body asks for.

    Raises:
        MissingFieldError, InvalidValueError, InvalidCombinationError: the caller's, in the order of API section 2.1.
    """
    start = parse_body(StartBody, body)
    _require_destination(start)
    video = VIDEO_TYPES[start.video_type]
    if video is None and not start.is_record_audio:
        raise InvalidCombinationError("is_record_audio is false and video_type is empty, nothing to record")
    return StartJob(
        app_id=app_id,
        room_id=RoomId(start.room_id),
        participant_id=ParticipantId(start.user_id),
        with_audio=start.is_record_audio,
        video=video,
        tier=Tier(start.select_stream_type),
        idle_timeout=timedelta(seconds=start.max_idle_time),
        rule_id=_rule_id(start),
        forward_urls=_forward_urls(start) or (),
    )


def parse_update(body: dict[str, object]) -> UpdateJob:
    """Return the command an update body asks for.

    Raises:
        MissingFieldError, InvalidValueError: the caller's. Spec: API section 5.4.
    """
    update = parse_body(UpdateBody, body)
    _require_destination(update)
    return UpdateJob(_rule_id(update), _forward_urls(update))


def parse_action(values: Sequence[str]) -> bool:
    """Return whether the `action` parameter of control asks to suspend.

    Raises:
        MissingFieldError, InvalidValueError: the caller's. Spec: API section 2.3.
    """
    if not values:
        raise MissingFieldError("action")
    if len(values) > 1 or values[0] not in ACTIONS:
        raise InvalidValueError(f"action: must be one of {', '.join(ACTIONS)}")
    return ACTIONS[values[0]]


def view_job(job: Job) -> JobView:
    """Return the job in the vendor's words. Spec: API section 2.2."""
    names = {source: name for name, source in VIDEO_TYPES.items()}
    return JobView(
        job_id=job.job_id,
        stream_name=job.stream_name,
        app_id=job.app_id,
        room_id=job.room_id,
        user_id=job.participant_id,
        is_record_audio=job.with_audio,
        video_type=names[job.video],
        select_stream_type=job.tier.value,
        max_idle_time=int(job.idle_timeout.total_seconds()),
        record_param=RecordParam(record_rule_id=job.rule.rule_id) if job.rule else None,
        publish_param=PublishParam.model_construct(rtmp_urls=list(job.forward_urls)) if job.forward_urls else None,
        create_time=render_time(job.created_at),
        update_time=render_time(job.updated_at),
        start_time=render_time(job.started_at),
        stop_time=render_time(job.stopped_at) if job.stopped_at else None,
        state=job.state.value,
        stop_reason=job.stop_reason.value if job.stop_reason else None,
        description=_description(job)[:DESCRIPTION_LENGTH_MAX] or None,
        ext=JobExtension(
            vp8=job.vp8.value,
            transcoded=_transcoded(job),
            forward=[_view_target(status) for status in job.forwarding] or None,
        ),
    )


def _view_target(status: TargetStatus) -> ForwardView:
    return ForwardView(
        url=status.url,
        state=status.state.value,
        since=render_time(datetime.fromtimestamp(status.since_ms / 1000, UTC)),
        retries=status.retries,
        bytes_sent=status.bytes_sent,
        pictures_sent=status.pictures_sent,
        sounds_sent=status.sounds_sent,
        frames_dropped=status.frames_dropped,
        last_error=status.last_error or None,
    )


def _transcoded(job: Job) -> TranscodedView | None:
    if job.transcoded is None:
        return None
    return TranscodedView(audio=job.transcoded.get(Kind.AUDIO), video=job.transcoded.get(Kind.VIDEO))


def _description(job: Job) -> str:
    """Return what there is to say of a job's state; the vendor has no state for a suspended one."""
    return "; ".join(filter(None, (SUSPENDED if job.suspended and job.is_live else "", job.description)))


def _require_destination(body: StartBody | UpdateBody) -> None:
    if body.record_param is None and body.publish_param is None:
        raise MissingFieldError("record_param or publish_param")


def _rule_id(body: StartBody | UpdateBody) -> str | None:
    return body.record_param.record_rule_id if body.record_param else None


def _forward_urls(body: StartBody | UpdateBody) -> tuple[str, ...] | None:
    return tuple(body.publish_param.rtmp_urls) if body.publish_param else None
