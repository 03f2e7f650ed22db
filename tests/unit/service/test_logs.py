"""What never appears in a log line: secrets by name, and addresses, candidates, tokens and passwords wherever."""

import contextlib

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from soloist.service.logs import ERRORS_PER_S_MAX, HIDDEN, LINES_PER_S_MAX, LineLimit, redact, redacted


@pytest.mark.parametrize(
    "text",
    [
        "peer 203.0.113.9:4000 left",
        "peer 2001:db8::9 left",
        "peer fe80:0:0:0:1:2:3:4 left",
        "peer ::1 left",
        "a=candidate:1 1 udp 2130706431 host.local 4000 typ host",
        "a=ice-pwd:abcdefghijklmnop",
        "Authorization: Bearer eyJhbGciOi.eyJ.sig",
        "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host, Signature=0123456789abcdef",
        "postgresql://soloist:hunter2@db/soloist",
        "push to rtmps://live.example.com:443/app/abcd-efgh?token=1/2 failed",
    ],
)
def test_what_identifies_or_admits_somebody_is_replaced(text):
    shown = redacted(text)
    assert HIDDEN in shown
    for secret in (
        "203.0.113.9",
        "2001:db8",
        "fe80",
        "::1",
        "2130706431",
        "abcdefgh",
        "eyJ",
        "0123456",
        "hunter2",
        "efgh",
        "token=1",
    ):
        assert secret not in shown


@pytest.mark.parametrize(
    "text", ["job_ended", "2026-11-22T19:17:01.123Z", "lasted 12:30:05", "key demo/mp4/s_1_r_u.mp4", "epoch 7 of 9"]
)
def test_ordinary_text_stays(text):
    assert redacted(text) == text


def test_values_under_a_secrets_name_are_dropped_at_any_depth():
    line = {"event": "credential_created", "secret_key": "sk", "detail": {"X-Auth-Token": "t", "rooms": ["r"]}}
    assert redact(None, "info", line) == {
        "event": "credential_created",
        "secret_key": HIDDEN,
        "detail": {"X-Auth-Token": HIDDEN, "rooms": ["r"]},
    }


def test_numbers_and_the_lines_own_fields_are_left_alone():
    line = {"event": "x", "timestamp": "2026-11-22T19:17:01Z", "count": 3, "is_done": True, "nothing": None}
    assert redact(None, "info", dict(line)) == line


@given(st.ip_addresses())
def test_no_address_survives(address):
    assert str(address) not in redacted(f"from {address} to")


def written(limit, name, times, method="info"):
    lines = []
    for _ in range(times):
        with contextlib.suppress(structlog.DropEvent):
            lines.append(limit(None, method, {"event": name}))
    return lines


def test_of_one_event_so_many_lines_are_written_in_a_second_and_the_next_one_says_how_many_more_there_were():
    now = [10.0]
    limit = LineLimit(seconds=lambda: now[0])

    assert len(written(limit, "publisher_refused", 3000)) == LINES_PER_S_MAX
    assert len(written(limit, "job_ended", 1)) == 1, "a flood of one event hides no other"
    assert len(written(limit, "publisher_refused", 5, "error")) == 5
    now[0] += 1
    [line] = written(limit, "job_ended", 1)
    assert line["left_out"] == {"publisher_refused": 3000 - LINES_PER_S_MAX}
    assert "left_out" not in written(limit, "job_ended", 1)[0]


def test_a_flood_of_errors_is_bounded_and_hides_no_other_line_of_its_event():
    now = [10.0]
    limit = LineLimit(seconds=lambda: now[0])

    assert len(written(limit, "request failed", 3000, "error")) == ERRORS_PER_S_MAX
    assert len(written(limit, "request failed", 1)) == 1
    now[0] += 1
    assert written(limit, "request failed", 1, "error")[0]["left_out"] == {"request failed": 3000 - ERRORS_PER_S_MAX}
