"""Bodies to commands and jobs to views: values, defaults, leniency, and the order in which faults are named."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soloist.api.fields import render_time
from soloist.api.schema import parse_start, parse_update, view_job
from soloist.model.errors import InvalidCombinationError, InvalidValueError, MissingFieldError, RequestError
from soloist.model.forward import ForwardState, TargetStatus
from soloist.model.job import Job, JobState, StopReason, UpdateJob
from soloist.model.media import Tier, TrackSource
from soloist.model.rule import RecordFormat, RecordRule, StorageAddress

LEAST = {"room_id": "room", "user_id": "user", "record_param": {"record_rule_id": "rule"}}
NOW = datetime(2026, 11, 22, 12, 0, 0, 75_999, tzinfo=UTC)


def start(**fields):
    return parse_start("demo", {**LEAST, **fields})


def without(name):
    return {key: value for key, value in LEAST.items() if key != name}


def test_absent_fields_get_the_vendors_defaults():
    command = start()

    assert command.with_audio is True
    assert command.video is TrackSource.CAMERA
    assert command.tier is Tier.FHD
    assert command.idle_timeout == timedelta(seconds=30)


def test_every_field_reaches_the_command():
    command = start(is_record_audio=False, video_type="SCREENSTREAM", select_stream_type="LD", max_idle_time=43_200)

    assert (command.with_audio, command.video, command.tier) == (False, TrackSource.SCREEN, Tier.LD)
    assert command.idle_timeout == timedelta(hours=12)
    assert (command.app_id, command.room_id, command.participant_id, command.rule_id) == (
        "demo",
        "room",
        "user",
        "rule",
    )


def test_an_empty_video_type_asks_for_audio_only():
    assert start(video_type="").video is None


def test_unknown_fields_are_ignored():
    assert start(future_field={"x": [1]}, is_record_vedio=3) == start()


@pytest.mark.parametrize(("number", "text"), [(100, "100"), (0, "0"), (-7, "-7"), (2**64 - 1, str(2**64 - 1))])
def test_a_whole_number_is_taken_as_its_decimal_text(number, text):
    command = start(room_id=number, user_id=number)

    assert (command.room_id, command.participant_id) == (text, text)


@pytest.mark.parametrize("name", ["room_id", "user_id"])
@pytest.mark.parametrize(
    "value", [True, False, 1.0, 2**64, -(2**63) - 1, float("inf"), "", "a" * 65, "a/b", "..", "房间", "a\n", [], {}]
)
def test_an_id_of_another_kind_is_refused(name, value):
    with pytest.raises(InvalidValueError, match=name):
        start(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("is_record_audio", "true"),
        ("is_record_audio", 1),
        ("video_type", "camerastream"),
        ("video_type", 0),
        ("select_stream_type", "UHD"),
        ("select_stream_type", ""),
        ("max_idle_time", 4),
        ("max_idle_time", 43_201),
        ("max_idle_time", "30"),
        ("max_idle_time", 30.0),
        ("max_idle_time", True),
        ("record_param", "rule"),
        ("record_param", {"record_rule_id": ""}),
        ("record_param", {"record_rule_id": "r" * 129}),
        ("record_param", {"record_rule_id": "a b"}),
        ("record_param", {"record_rule_id": 7}),
    ],
)
def test_a_value_outside_its_type_or_range_is_refused_and_named(name, value):
    with pytest.raises(InvalidValueError, match=name):
        start(**{name: value})


@pytest.mark.parametrize("seconds", [5, 43_200])
def test_the_limits_of_max_idle_time_are_inside(seconds):
    assert start(max_idle_time=seconds).idle_timeout == timedelta(seconds=seconds)


@pytest.mark.parametrize("name", ["room_id", "user_id"])
def test_a_missing_field_is_named_before_any_wrong_value(name):
    with pytest.raises(MissingFieldError, match=name):
        parse_start("demo", {**without(name), "max_idle_time": 1})


def test_every_missing_field_is_named():
    with pytest.raises(MissingFieldError, match="room_id, user_id"):
        parse_start("demo", {})


def test_a_record_param_without_its_rule_is_missing_it():
    with pytest.raises(MissingFieldError, match=r"record_param\.record_rule_id"):
        start(record_param={})


def test_a_wrong_value_is_named_before_the_missing_destination():
    with pytest.raises(InvalidValueError, match="max_idle_time"):
        parse_start("demo", {**without("record_param"), "max_idle_time": 1})


def test_a_missing_destination_is_named_before_nothing_to_record():
    with pytest.raises(MissingFieldError, match="record_param"):
        parse_start("demo", {**without("record_param"), "is_record_audio": False, "video_type": ""})


def test_neither_sound_nor_picture_is_nothing_to_record():
    with pytest.raises(InvalidCombinationError, match="nothing to record"):
        start(is_record_audio=False, video_type="")


URL = "rtmp://live.example.test/app/key"


@pytest.mark.parametrize("urls", [[URL], [f"rtmps://live.example.test:443/app/key{n}" for n in range(5)]])
@pytest.mark.parametrize("record", [{}, {"record_param": {"record_rule_id": "rule"}}])
def test_a_job_may_forward_with_a_rule_or_without(urls, record):
    command = parse_start("demo", {**without("record_param"), **record, "publish_param": {"rtmp_urls": urls}})

    assert (command.rule_id, command.forward_urls) == ("rule" if record else None, tuple(urls))
    assert parse_update({**record, "publish_param": {"rtmp_urls": urls}}) == UpdateJob(
        command.rule_id, command.forward_urls
    )
    assert "key" not in repr(command)


@pytest.mark.parametrize(
    "urls",
    [
        [],
        [f"{URL}{n}" for n in range(6)],
        [URL, URL],
        [URL, "rtmp://live.example.test:1935/app/key"],
        [URL, "RTMP://Live.Example.Test/app/key"],
        ["rtmp://a..b/app/key"],
        [f"{URL}#2"],
        ["http://live.example.test/x"],
        ["rtmp://"],
        ["rtmp://["],
        ["rtmp://h/application-alone"],
        ["rtmp://user:password@h/app/key"],
        [7],
        "rtmp://h/x",
        [URL + "x" * 1024],
    ],
)
def test_addresses_to_forward_to_are_one_to_five_distinct_rtmp_urls(urls):
    with pytest.raises(InvalidValueError, match="rtmp_urls"):
        start(publish_param={"rtmp_urls": urls})


def test_a_wrong_address_is_named_by_its_place_and_not_quoted():
    with pytest.raises(InvalidValueError) as caught:
        start(publish_param={"rtmp_urls": [URL, "rtmp://h/a/b", "rtmp://h/secret-key"]})

    assert str(caught.value) == "publish_param.rtmp_urls[2]: must end in /application/stream-key"


def test_a_job_shows_where_it_forwards_and_how_that_stands():
    status = TargetStatus("id", "rtmp://h/app/***", ForwardState.FAILED, 1_795_348_800_000, retries=2, last_error="no")
    shown = view_job(job(rule=None, forward_urls=(URL,), forwarding=(status,))).model_dump(exclude_none=True)

    assert "record_param" not in shown
    assert shown["publish_param"] == {"rtmp_urls": [URL]}
    (target,) = shown["ext"]["forward"]
    assert (target["url"], target["state"], target["retries"]) == ("rtmp://h/app/***", "failed", 2)
    assert target["last_error"] == "no"
    assert "target_id" not in target


def test_forwarding_without_addresses_is_missing_them():
    with pytest.raises(MissingFieldError, match=r"publish_param\.rtmp_urls"):
        start(publish_param={})


def test_an_update_names_a_rule():
    assert parse_update({"record_param": {"record_rule_id": "r2"}}) == UpdateJob("r2")


def test_an_empty_update_is_missing_its_rule():
    with pytest.raises(MissingFieldError, match="record_param"):
        parse_update({})


json_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text(), max_size=2)
names = st.sampled_from(
    [*LEAST, "is_record_audio", "video_type", "select_stream_type", "max_idle_time", "publish_param"]
)


@given(st.dictionaries(names, json_values | st.dictionaries(st.text(), json_values, max_size=2)))
def test_any_object_is_a_command_or_the_callers_fault(body):
    with contextlib.suppress(RequestError):
        assert parse_start("demo", {**LEAST, **body}).app_id == "demo"


def job(**fields):
    values = {
        "job_id": "7" * 32,
        "project_id": "dev",
        "app_id": "demo",
        "room_id": "room",
        "participant_id": "user",
        "with_audio": True,
        "video": TrackSource.CAMERA,
        "tier": Tier.HD,
        "idle_timeout": timedelta(seconds=45),
        "rule": RecordRule("rule", "demo", StorageAddress("cn-north-4", "dev", "b"), (RecordFormat.MP4,)),
        "state": JobState.INIT,
        "created_at": NOW,
        "updated_at": NOW,
        "started_at": NOW,
    }
    return Job(**{**values, **fields})


def view(**fields):
    return view_job(job(**fields)).model_dump(exclude_none=True)


def test_a_fresh_job_is_shown_with_what_it_has_and_nothing_else():
    time = "2026-11-22T12:00:00.075Z"

    assert view() == {
        "job_id": "7" * 32,
        "stream_name": f"s_{'7' * 32}_room_user",
        "app_id": "demo",
        "room_id": "room",
        "user_id": "user",
        "is_record_audio": True,
        "video_type": "CAMERASTREAM",
        "select_stream_type": "HD",
        "max_idle_time": 45,
        "record_param": {"record_rule_id": "rule"},
        "create_time": time,
        "update_time": time,
        "start_time": time,
        "state": "INIT",
        "ext": {"vp8": "webm"},
    }


def test_a_stopped_job_shows_when_and_why():
    shown = view(state=JobState.STOPPED, stopped_at=NOW, stop_reason=StopReason.EXCEED_MAX_IDLE_TIME)

    assert (shown["state"], shown["stop_reason"]) == ("STOPPED", "EXCEED_MAX_IDLE_TIME")
    assert shown["stop_time"] == "2026-11-22T12:00:00.075Z"


@pytest.mark.parametrize(
    ("video", "shown"), [(TrackSource.SCREEN, "SCREENSTREAM"), (TrackSource.CAMERA, "CAMERASTREAM"), (None, "")]
)
def test_the_video_type_is_echoed_as_it_was_asked(video, shown):
    assert view(video=video)["video_type"] == shown


def test_a_description_is_cut_to_its_128_characters():
    assert view(description="x" * 200)["description"] == "x" * 128


def test_times_are_utc_with_three_digits_and_a_literal_z():
    cest = timezone(timedelta(hours=2))

    assert render_time(datetime(2026, 7, 1, 12, 0, 0, tzinfo=cest)) == "2026-07-01T10:00:00.000Z"
