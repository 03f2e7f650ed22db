"""Rules and events survive the database: what is written is what is read."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import NOW, a_rule
from support.recordings import a_file

from soloist.jobs.codec import parse_event, parse_rule_body, render_event_body, render_rule_body
from soloist.model.event import FileStarted, JobAccepted, JobEnded, JobTaken
from soloist.model.job import StopReason
from soloist.model.rule import AudioMode, HlsConfig, Mp4Config, RecordFormat

mp4s = st.builds(Mp4Config, st.integers(60, 10800), st.text(min_size=1), st.integers(0, 300))
hlss = st.builds(HlsConfig, st.integers(0, 43200), st.text(min_size=1), st.integers(2, 60), st.integers(-1, 300))


@given(
    mp4=st.none() | mp4s,
    hls=st.none() | hlss,
    audio=st.sampled_from(AudioMode),
    keep_damaged=st.booleans(),
    formats=st.lists(st.sampled_from(RecordFormat), min_size=1, unique=True),
)
def test_any_rule_comes_back_from_json_as_it_was(*, mp4, hls, audio, keep_damaged, formats):
    rule = a_rule(mp4=mp4, hls=hls, audio=audio, keep_damaged=keep_damaged, formats=tuple(formats))
    body = json.loads(json.dumps(render_rule_body(rule)))
    assert parse_rule_body(rule.app_id, rule.rule_id, body) == rule


def test_a_rule_stored_before_damaged_pictures_could_be_kept_keeps_none():
    body = render_rule_body(a_rule())
    del body["keep_damaged"]
    assert parse_rule_body("demo", "rule1", body) == a_rule()


def test_an_events_body_is_json_with_milliseconds_and_iso_times():
    body = json.loads(json.dumps(render_event_body(a_file("a.mp4"))))
    assert body["duration"] == timedelta(seconds=10) / timedelta(milliseconds=1)
    assert body["started_at"] == NOW.isoformat()
    assert json.loads(json.dumps(render_event_body(JobEnded(StopReason.TENANT_STOP)))) == {
        "reason": "TENANT_STOP",
        "description": "",
    }


@pytest.mark.parametrize(
    "event",
    [
        JobAccepted("node/0"),
        JobTaken("node/0#ab"),
        FileStarted("a.mp4", RecordFormat.HLS, NOW),
        a_file("b.mp4"),
        JobEnded(StopReason.INTERNAL_ERROR, "a full disk"),
    ],
    ids=lambda event: type(event).__name__,
)
def test_any_event_comes_back_from_json_as_it_was(event):
    body = json.loads(json.dumps(render_event_body(event)))

    assert parse_event(type(event).__name__, body) == event


def test_an_event_written_before_a_field_existed_has_its_default():
    body = render_event_body(a_file("b.mp4"))
    del body["bucket"]

    assert parse_event("FileCompleted", body) == replace(a_file("b.mp4"), bucket="")
