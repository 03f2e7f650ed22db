"""Signatures of notices, against the vendor's constants and Standard Webhooks' own library; and the times between."""

import base64
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from soloist.clock import utc_now
from soloist.wire.callback import callback_signature, retry_delay, standard_signature

KEY = "0123456789abcdef0123456789abcdef"
SECOND, LONGEST = timedelta(seconds=1), timedelta(minutes=10)


def test_the_vendors_signature_of_a_known_request_is_this():
    body = '{"event_type":"RECORD_FILE_COMPLETE","job_id":"j1","room_id":"房间"}'.encode()

    signature = callback_signature(KEY, "a1b2c3d4e5f60718", "1795348800", body)

    assert signature == "14ca31f1bbd36b5b34d82d5d321a21baee8f945f3818bf7559c8e1da0c597934"


@given(st.binary(min_size=1), st.integers(0), st.integers(1, 255))
def test_a_changed_byte_changes_the_signature(body, where, change):
    where %= len(body)
    changed = body[:where] + bytes([body[where] ^ change]) + body[where + 1 :]

    assert callback_signature(KEY, "r", "1", body) != callback_signature(KEY, "r", "1", changed)


def standard_headers(body):
    timestamp = str(int(utc_now().timestamp()))
    signature = standard_signature(KEY, "job-7", timestamp, body)
    return {"webhook-id": "job-7", "webhook-timestamp": timestamp, "webhook-signature": signature}


def test_the_standards_own_library_accepts_our_signature():
    body = b'{"event_type":"RECORD_FILE_COMPLETE"}'
    secret = "whsec_" + base64.b64encode(KEY.encode()).decode()

    assert Webhook(secret).verify(body, standard_headers(body)) == {"event_type": "RECORD_FILE_COMPLETE"}


def test_the_standards_own_library_refuses_another_body_under_our_signature():
    with pytest.raises(WebhookVerificationError):
        Webhook(base64.b64encode(KEY.encode()).decode()).verify(b"{} ", standard_headers(b"{}"))


def test_without_jitter_the_waits_double_from_a_second_to_ten_minutes():
    waits = [retry_delay(failures, 0.0, first=SECOND, most=LONGEST).total_seconds() for failures in range(1, 13)]

    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_jitter_keeps_every_wait_between_a_second_and_ten_minutes(failures, fraction):
    assert SECOND <= retry_delay(failures, fraction, first=SECOND, most=LONGEST) <= LONGEST


def test_a_day_of_failures_is_not_more_than_three_hundred_attempts():
    spent, failures = timedelta(), 0
    while spent < timedelta(days=1):
        failures += 1
        spent += retry_delay(failures, 1.0, first=SECOND, most=LONGEST)

    assert failures < 300
