"""Bodies about record rules: what a request may hold, how it becomes a rule, and how a rule is shown.

Ranges are those of `model/rule.py`, which the operator's commands hold to as well. Spec: API sections 2.5, 3, 4.9.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from soloist.api.fields import Body, PlainText, nullable, parse_body, render_time
from soloist.jobs.accounts import StoredRule
from soloist.model.errors import InvalidCombinationError
from soloist.model.ids import AppId, RuleId
from soloist.model.rule import (
    DEFAULT_PREFIX,
    HLS_CYCLE_S,
    HLS_MERGE_GAP_S,
    MP4_CYCLE_S,
    MP4_MERGE_GAP_S,
    PREFIX_LENGTH_MAX,
    SLICE_S,
    AudioMode,
    HlsConfig,
    Mp4Config,
    RecordFormat,
    RecordRule,
    StorageAddress,
)

FormatName = Literal["HLS", "MP4"]
AudioName = Literal["aac", "copy"]
Prefix = Annotated[str, Field(min_length=1, max_length=PREFIX_LENGTH_MAX)]


def _seconds(allowed: range) -> Any:
    return Field(ge=allowed.start, le=allowed.stop - 1)


def _hls_cycle(seconds: int) -> int:
    if seconds and seconds not in HLS_CYCLE_S:
        raise ValueError(f"must be 0 or {HLS_CYCLE_S.start} to {HLS_CYCLE_S.stop - 1}")
    return seconds


def _distinct(names: list[FormatName]) -> list[FormatName]:
    if len(set(names)) != len(names):
        raise ValueError("must not name a format twice")
    return names


def _with_cycles(schema: dict[str, Any]) -> None:
    """Say in the schema what `_hls_cycle` checks."""
    nullable(schema)
    cycle = {"type": "integer", "minimum": HLS_CYCLE_S.start, "maximum": HLS_CYCLE_S.stop - 1}
    schema["properties"]["record_cycle"] = {"anyOf": [{"const": 0}, cycle]}


class ObsAddress(Body):
    """Where a rule's files go."""

    location: PlainText = Field(min_length=1, max_length=64)
    project_id: PlainText = Field(min_length=1, max_length=128)
    bucket: PlainText = Field(min_length=1, max_length=256)
    object: PlainText = Field(default="", max_length=1024)


class Mp4ConfigBody(Body):
    """How MP4 files are cut and named."""

    record_cycle: Annotated[int, _seconds(MP4_CYCLE_S)]
    record_prefix: Prefix = DEFAULT_PREFIX
    record_max_duration_to_merge_file: Annotated[int, _seconds(MP4_MERGE_GAP_S)] = 0


class HlsConfigBody(Body):
    """How HLS playlists are cut and named."""

    model_config = ConfigDict(json_schema_extra=_with_cycles)

    record_cycle: Annotated[int, AfterValidator(_hls_cycle)]
    record_prefix: Prefix = DEFAULT_PREFIX
    record_slice_duration: Annotated[int, _seconds(SLICE_S)] = 10
    record_max_duration_to_merge_file: Annotated[int, _seconds(HLS_MERGE_GAP_S)] = 0


class RuleExtension(Body):
    """What this server adds to a rule."""

    audio: AudioName = "aac"
    keep_damaged: bool = False


class RuleBody(Body):
    """The body of create and update. Spec: API section 3 (RecordRuleReq)."""

    obs_addr: ObsAddress
    record_formats: Annotated[
        list[FormatName],
        Field(min_length=1, max_length=2, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_distinct),
    ]
    hls_config: HlsConfigBody | None = None
    mp4_config: Mp4ConfigBody | None = None
    ext: RuleExtension | None = None


class RuleView(BaseModel):
    """A rule as the API shows it; a configuration that was not given is left out. Spec: API section 3 (RecordRule)."""

    rule_id: str
    app_id: str
    obs_addr: ObsAddress
    record_formats: list[FormatName]
    hls_config: HlsConfigBody | None = None
    mp4_config: Mp4ConfigBody | None = None
    create_time: str
    update_time: str
    ext: RuleExtension


class RulesView(BaseModel):
    """A page of an app's rules. Spec: API section 2.5."""

    rules: list[RuleView]


def parse_rule(app_id: AppId, rule_id: RuleId, body: dict[str, object]) -> RecordRule:
    """Return the rule a body describes.

    Raises:
        MissingFieldError, InvalidValueError, InvalidCombinationError: the caller's, in this order.
    """
    asked = parse_body(RuleBody, body)
    formats = tuple(RecordFormat(name) for name in asked.record_formats)
    hls, mp4 = asked.hls_config, asked.mp4_config
    for record_format, config in ((RecordFormat.HLS, hls), (RecordFormat.MP4, mp4)):
        if record_format in formats and config is None:
            raise InvalidCombinationError(f"record_formats names {record_format}, add {record_format.lower()}_config")
    address = asked.obs_addr
    return RecordRule(
        rule_id=rule_id,
        app_id=app_id,
        address=StorageAddress(address.location, address.project_id, address.bucket, address.object),
        formats=formats,
        mp4=_mp4_config(mp4) if mp4 else None,
        hls=_hls_config(hls) if hls else None,
        audio=AudioMode(asked.ext.audio) if asked.ext else AudioMode.AAC,
        keep_damaged=asked.ext is not None and asked.ext.keep_damaged,
    )


def view_rule(stored: StoredRule) -> RuleView:
    """Return the rule in the vendor's words."""
    rule, address = stored.rule, stored.rule.address
    obs_addr = ObsAddress(
        location=address.location, project_id=address.project_id, bucket=address.bucket, object=address.object
    )
    return RuleView(
        rule_id=rule.rule_id,
        app_id=rule.app_id,
        obs_addr=obs_addr,
        record_formats=[record_format.value for record_format in rule.formats if record_format != RecordFormat.WEBM],
        hls_config=_view_hls(rule.hls) if rule.hls else None,
        mp4_config=_view_mp4(rule.mp4) if rule.mp4 else None,
        create_time=render_time(stored.created_at),
        update_time=render_time(stored.updated_at),
        ext=RuleExtension(audio=rule.audio.value, keep_damaged=rule.keep_damaged),
    )


def _mp4_config(config: Mp4ConfigBody) -> Mp4Config:
    return Mp4Config(config.record_cycle, config.record_prefix, config.record_max_duration_to_merge_file)


def _hls_config(config: HlsConfigBody) -> HlsConfig:
    return HlsConfig(
        config.record_cycle,
        config.record_prefix,
        config.record_slice_duration,
        config.record_max_duration_to_merge_file,
    )


def _view_mp4(config: Mp4Config) -> Mp4ConfigBody:
    return Mp4ConfigBody(
        record_cycle=config.record_cycle_s,
        record_prefix=config.prefix,
        record_max_duration_to_merge_file=config.merge_gap_s,
    )


def _view_hls(config: HlsConfig) -> HlsConfigBody:
    return HlsConfigBody(
        record_cycle=config.record_cycle_s,
        record_prefix=config.prefix,
        record_slice_duration=config.slice_s,
        record_max_duration_to_merge_file=config.merge_gap_s,
    )
