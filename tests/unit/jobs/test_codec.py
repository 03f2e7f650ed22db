"""Rules and events survive the database: what is written is what is read."""

import json
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from support.jobs import NOW, a_rule
from support.recordings import a_file

from soloist.jobs.codec import parse_rule_body, render_event_body, render_rule_body
from soloist.model.event import JobEnded
from soloist.model.job import StopReason
from soloist.model.rule import AudioMode, HlsConfig, Mp4Config, RecordFormat

mp4s = st.builds(Mp4Config, st.integers(60, 10800), st.text(min_size=1), st.integers(0, 300))
hlss = st.builds(HlsConfig, st.integers(0, 43200), st.text(min_size=1), st.integers(2, 60), st.integers(-1, 300))


@given(
    mp4=st.none() | mp4s,
    hls=st.none() | hlss,
    audio=st.sampled_from(AudioMode),
    formats=st.lists(st.sampled_from(RecordFormat), min_size=1, unique=True),
)
def test_any_rule_comes_back_from_json_as_it_was(mp4, hls, audio, formats):
    rule = a_rule(mp4=mp4, hls=hls, audio=audio, formats=tuple(formats))
    body = json.loads(json.dumps(render_rule_body(rule)))
    assert parse_rule_body(rule.app_id, rule.rule_id, body) == rule


def test_an_events_body_is_json_with_milliseconds_and_iso_times():
    body = json.loads(json.dumps(render_event_body(a_file("a.mp4"))))
    assert body["duration"] == timedelta(seconds=10) / timedelta(milliseconds=1)
    assert body["started_at"] == NOW.isoformat()
    assert json.loads(json.dumps(render_event_body(JobEnded(StopReason.TENANT_STOP)))) == {
        "reason": "TENANT_STOP",
        "description": "",
    }
