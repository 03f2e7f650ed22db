"""Notices reach the customer: each job's in order, each at least once, whatever the receiver does.

A real PostgreSQL, real HTTP over the guarded connector, a real receiver.
"""

import asyncio
import base64
import hashlib
import hmac
import re
import threading
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from standardwebhooks import Webhook
from support.delivering import PATIENT, PLAIN, URLS, delivering
from support.engine import APP, PROJECT, an_office, until
from support.receiver import answers, hangs_up, receiver
from support.server import free_port
from support.telling import (
    KEY,
    a_completed_file,
    append,
    callbacks_of,
    deliveries,
    end,
    set_callback,
    start_jobs,
    states,
    tell_files,
)

from soloist.api.notices import NoticeOptions, Notices
from soloist.callbacks.post import Poster, PostLimits
from soloist.clock import utc_now
from soloist.jobs.callbacks import Callbacks
from soloist.jobs.events import Events
from soloist.model.errors import CallbackUnavailableError, InvalidValueError
from soloist.model.ids import AppId
from soloist.model.job import StopReason
from soloist.wire.addresses import LOOPBACK, OutgoingGuard

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "callbacks.md").read_text(encoding="utf-8")
THREE = ["RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE", "CLOUD_RECORD_SERVER_OVER"]


@pytest.fixture
async def office(database_url):
    async with an_office(database_url) as office:
        yield office


@pytest.fixture
def customer():
    with receiver() as running:
        yield running


async def a_told_job(office, customer, *, count=1):
    """A job whose app tells `customer`, with files and an end."""
    await set_callback(office, customer.url)
    job = (await start_jobs(office, 1))[0]
    await tell_files(office, job, count=count)
    await end(office, job)
    return job


async def all_delivered(office):
    return all(each.state.value == "DELIVERED" for each in await deliveries(office))


async def test_a_jobs_events_arrive_once_and_in_order_with_its_end_last(office, customer):
    async with delivering(office.url):
        job = await a_told_job(office, customer, count=5)
        await until(lambda: len(customer.received) == 11)
        await until(lambda: all_delivered(office))

    assert [each.seq for each in customer.received] == list(range(2, 13))
    assert [each.fields["event_type"] for each in customer.received] == [*THREE[:2] * 5, THREE[2]]
    assert {each.fields["job_id"] for each in customer.received} == {job.job_id}


async def test_a_finished_file_is_told_with_every_field_of_the_contract(office, customer):
    async with delivering(office.url):
        await set_callback(office, customer.url)
        job = (await start_jobs(office, 1))[0]
        await append(office, job, a_completed_file("a/b c.mp4", detail="said so"))
        await until(lambda: customer.received)

    told = customer.received[0].fields
    assert told.pop("start_time").endswith("Z")
    assert told.pop("download_url").startswith("http://here.example:8080/")
    assert len(told.pop("end_time")) == len("2026-11-22T12:00:00Z")
    assert told == {
        "event_type": "RECORD_FILE_COMPLETE",
        "stream_name": f"s_{job.job_id}_room0_alice",
        "record_format": "MP4",
        "file_size": 1234,
        "record_duration": 65,
        "width": 1280,
        "height": 720,
        "obs_location": "http://here.example:8080",
        "obs_bucket": "recordings",
        "obs_object": "a/b c.mp4",
        "app_id": "demo",
        "job_id": job.job_id,
        "room_id": "room0",
        "detail_message": "said so",
    }


async def test_the_end_of_a_job_says_why(office, customer):
    async with delivering(office.url):
        await set_callback(office, customer.url)
        job = (await start_jobs(office, 1))[0]
        await end(office, job, StopReason.EXCEED_MAX_IDLE_TIME)
        await until(lambda: customer.received)

    told = customer.received[0].fields
    assert (told["event_type"], told["detail_message"]) == ("CLOUD_RECORD_SERVER_OVER", "EXCEED_MAX_IDLE_TIME")


async def test_what_is_sent_is_signed_over_the_exact_bytes_and_anew_for_each_attempt(office, customer):
    customer.answer = answers(503)
    async with delivering(office.url):
        await a_told_job(office, customer)
        await until(lambda: len(customer.received) >= 2)

    first, second = customer.received[:2]
    for sent in (first, second):
        message = (sent.headers["x-rtc-rand"] + sent.headers["x-rtc-timestamp"]).encode() + sent.body
        assert sent.headers["x-rtc-signature"] == hmac.new(KEY.encode(), message, hashlib.sha256).hexdigest()
        assert sent.headers["content-type"] == "application/json;charset=utf-8"
    assert first.headers["x-rtc-rand"] != second.headers["x-rtc-rand"]
    assert (first.body, first.event_id) == (second.body, second.event_id)


async def _stand(office, job, *wanted):
    return await states(office, job) == list(wanted)


async def test_the_example_of_the_document_verifies_what_is_sent_and_nothing_else(office, customer):
    example = {}
    exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], example)  # noqa: S102 - the document is ours
    async with delivering(office.url):
        await a_told_job(office, customer)
        await until(lambda: customer.received)

    sent, is_ours = customer.received[0], example["is_from_soloist"]
    assert is_ours(sent.headers, sent.body, KEY)
    assert not is_ours(sent.headers, sent.body + b" ", KEY)
    assert not is_ours(sent.headers, sent.body, KEY[::-1])
    assert not is_ours(sent.headers | {"x-rtc-timestamp": "1795348800"}, sent.body, KEY)


async def test_the_standards_own_library_verifies_what_is_sent_with_its_headers(office, customer):
    async with delivering(office.url, options=NoticeOptions(with_standard_headers=True)):
        await a_told_job(office, customer)
        await until(lambda: customer.received)

    sent = customer.received[0]
    secret = "whsec_" + base64.b64encode(KEY.encode()).decode()
    assert Webhook(secret).verify(sent.body, sent.headers) == sent.fields
    assert sent.headers["webhook-id"] == sent.event_id


async def test_without_a_key_nothing_is_signed(office, customer):
    async with delivering(office.url):
        await set_callback(office, customer.url, auth_key="")
        await tell_files(office, (await start_jobs(office, 1))[0])
        await until(lambda: customer.received)

    assert [name for name in customer.received[0].headers if "sign" in name or "rand" in name] == []


async def test_a_callback_that_is_set_later_is_told_of_later_events_only(office, customer):
    job = (await start_jobs(office, 1))[0]
    await tell_files(office, job)
    async with delivering(office.url):
        await set_callback(office, customer.url)
        await end(office, job)
        await until(lambda: _stand(office, job, "UNTOLD", "UNTOLD", "DELIVERED"))
        assert [each.fields["event_type"] for each in customer.received] == [THREE[2]]

        await Events(office.database).replay(PROJECT, f"{job.job_id}-2")
        await until(lambda: len(customer.received) == 2)
    assert customer.received[1].seq == 2


@pytest.mark.parametrize("misbehaves", [answers(500), answers(404), hangs_up], ids=["500", "404", "hangs up"])
async def test_a_receiver_that_fails_is_tried_again_and_nothing_overtakes(office, customer, misbehaves):
    customer.answer = misbehaves
    async with delivering(office.url):
        job = await a_told_job(office, customer, count=2)
        await until(lambda: len(customer.received) >= 3)
        assert {each.seq for each in customer.received} == {2}
        customer.answer = answers(204)
        await until(lambda: all_delivered(office))

    in_order = list(dict.fromkeys(each.seq for each in customer.of(job)))
    assert in_order == [2, 3, 4, 5, 6]
    assert [each.attempts for each in await deliveries(office)][1:] == [1, 1, 1, 1]


async def test_a_receiver_that_is_down_gets_everything_once_it_is_up(office):
    port = free_port()
    async with delivering(office.url):
        await set_callback(office, f"http://127.0.0.1:{port}/")
        job = (await start_jobs(office, 1))[0]
        await tell_files(office, job, count=2)
        await until(lambda: _was_tried(office))
        with receiver(port) as late:
            await until(lambda: all_delivered(office))

    assert [each.seq for each in late.received] == [2, 3, 4, 5]


async def _was_tried(office):
    first = (await deliveries(office))[0]
    return first.attempts >= 2 and "no connection" in first.last_error


async def test_a_receiver_that_hangs_delays_neither_other_apps_nor_the_database(office, customer):
    is_over = threading.Event()
    with receiver() as stuck:
        stuck.answer = lambda *_: is_over.wait(60)
        await set_callback(office, stuck.url)
        for job in await start_jobs(office, 20):
            await tell_files(office, job)
        quick = await another_app(office, "quick")
        await set_callback(office, customer.url, app=quick)
        async with delivering(office.url, limits=PostLimits(total_s=60)):
            await until(lambda: len(stuck.received) == 8)
            await tell_files(office, await office.start(app_id=quick), count=3)
            await until(lambda: len(customer.received) == 6)
            hanging = len(stuck.received)
            is_over.set()

    assert hanging == 8, "one app has no more than 8 on their way, all of which still hang"


async def another_app(office, name):
    """Make an app with the rules of the office's own."""
    app = await office.accounts.app_anywhere(APP)
    rule = await office.accounts.rule(APP, "rule1")
    await office.accounts.create_app(replace(app, app_id=AppId(name), app_name=name))
    await office.accounts.save_rule(replace(rule, app_id=AppId(name)), app.created_at)
    return AppId(name)


async def test_a_receiver_that_answers_too_late_is_tried_again(office, customer):
    customer.answer = answers(200, after_s=3)
    async with delivering(office.url, limits=PostLimits(connect_s=0.5, total_s=1.0)):
        await a_told_job(office, customer)
        await until(lambda: len(customer.received) >= 2)
        customer.answer = answers(200)
        failed = (await deliveries(office))[0].last_error
        await until(lambda: all_delivered(office))

    assert failed == "no answer within 1 s"


async def test_a_redirect_is_a_failure_and_is_not_followed(office, customer):
    with receiver() as elsewhere:
        customer.answer = answers(307, Location=elsewhere.url)
        async with delivering(office.url):
            await a_told_job(office, customer)
            await until(lambda: len(customer.received) >= 2)
        assert elsewhere.received == []
    assert "redirects are not followed" in (await deliveries(office))[0].last_error


async def test_an_address_that_leads_into_a_private_network_is_never_connected_to(office, customer):
    async with delivering(office.url, allowed=()):
        await a_told_job(office, customer)
        await until(lambda: _has_error(office))

    error = (await deliveries(office))[0].last_error
    assert error == "the address leads to a network that callbacks may not reach (SOLOIST_OUTGOING_ALLOWED)"
    assert customer.received == []


async def _has_error(office):
    return (await deliveries(office))[0].last_error


async def test_what_is_given_up_is_kept_and_can_be_replayed(office, customer):
    customer.answer = answers(500)
    async with delivering(office.url, give_up=timedelta(seconds=0.3)):
        job = await a_told_job(office, customer)
        await until(lambda: _all_dead(office))
        tried = len(customer.received)
        customer.answer = answers(200)
        assert await Events(office.database).replay_dead(PROJECT, APP) == 3
        await until(lambda: all_delivered(office))

    assert tried >= 3
    assert [each.seq for each in customer.of(job)[tried:]] == [2, 3, 4]


async def test_however_many_were_given_up_all_are_replayed(office, customer):
    await set_callback(office, customer.url)
    job = (await start_jobs(office, 1))[0]
    await tell_files(office, job)
    many = {"job_id": job.job_id, "count": 12_000}
    async with office.database.begin() as connection:
        for statement in A_MONTH_GIVEN_UP:
            await connection.execute(text(statement), many)

    assert await Events(office.database).replay_dead(PROJECT, APP) == 12_002

    assert {each.state.value for each in await deliveries(office)} == {"WAITING"}


A_MONTH_GIVEN_UP = (
    """INSERT INTO job_events (job_id, seq, epoch, type, body, at)
    SELECT job_id, seq + number, epoch, type, body, at FROM job_events, generate_series(100, 99 + :count) AS number
    WHERE job_id = :job_id AND seq = 3""",
    """INSERT INTO deliveries (job_id, seq, app_id, state, created_at, next_at)
    SELECT job_id, seq, 'demo', 'WAITING', now(), now() FROM job_events WHERE job_id = :job_id AND seq > 100""",
    "UPDATE deliveries SET state = 'DEAD' WHERE job_id = :job_id",
)
"""A receiver's absence of a month: `count` copies of an event, and everything of the job given up."""


async def _all_dead(office):
    return {each.state.value for each in await deliveries(office)} == {"DEAD"}


async def test_one_event_can_be_told_again_though_it_was_delivered(office, customer):
    async with delivering(office.url):
        job = await a_told_job(office, customer)
        await until(lambda: all_delivered(office))
        assert await Events(office.database).replay(PROJECT, f"{job.job_id}-2") == 1
        await until(lambda: len(customer.received) == 4)

    assert customer.received[3].body == customer.received[0].body


async def test_a_paused_callback_keeps_its_queue_and_sends_it_when_resumed(office, customer):
    async with delivering(office.url):
        await set_callback(office, customer.url)
        await callbacks_of(office).pause(PROJECT, APP, paused=True)
        job = (await start_jobs(office, 1))[0]
        await tell_files(office, job, count=2)
        await asyncio.sleep(0.3)
        assert customer.received == []
        assert await states(office, job) == ["WAITING"] * 4
        await callbacks_of(office).pause(PROJECT, APP, paused=False)
        await until(lambda: all_delivered(office))

    assert [each.seq for each in customer.received] == [2, 3, 4, 5]


async def test_a_callback_that_is_taken_away_leaves_its_queue_to_be_replayed(office, customer):
    customer.answer = answers(500)
    async with delivering(office.url):
        job = await a_told_job(office, customer)
        await until(lambda: customer.received)
        await set_callback(office, "")
        await tell_files(office, job, first=9)
        assert await states(office, job) == ["DEAD", "DEAD", "DEAD", "UNTOLD", "UNTOLD"]
        with pytest.raises(InvalidValueError, match="no callback"):
            await Events(office.database).replay_dead(PROJECT, APP)
        with receiver() as other:
            await set_callback(office, other.url)
            assert await Events(office.database).replay_dead(PROJECT, APP) == 3
            await until(lambda: len(other.received) == 3)


async def test_a_new_address_gets_at_once_what_the_old_one_refused(office, customer):
    customer.answer = answers(500)
    async with delivering(office.url, first_delay=timedelta(seconds=60), delay_max=timedelta(seconds=60)):
        await a_told_job(office, customer)
        await until(lambda: customer.received)
        await until(lambda: _has_error(office))
        with receiver() as other:
            await set_callback(office, other.url)
            await until(lambda: len(other.received) == 3)


async def test_of_several_processes_one_delivers_and_the_next_takes_over(office, customer):
    async with AsyncExitStack() as first:
        await first.enter_async_context(delivering(office.url))
        first_job = await a_told_job(office, customer)
        await until(lambda: all_delivered(office))
        async with delivering(office.url):
            await tell_files(office, first_job, count=20, first=1)
            await until(lambda: all_delivered(office))
            assert [each.seq for each in customer.received] == list(range(2, 45))
            await first.aclose()
            job = await office.start(room_id="another")
            await end(office, job)
            await until(lambda: customer.of(job))


async def test_who_stops_finishes_what_is_on_its_way_before_the_next_takes_over(office, customer):
    customer.answer = answers(200, after_s=1.5)
    patient = {"limits": PostLimits(total_s=10), "drain_s": 10.0}
    async with AsyncExitStack() as first:
        await first.enter_async_context(delivering(office.url, **patient))
        job = await a_told_job(office, customer)
        await until(lambda: customer.received)
        async with delivering(office.url, **patient):
            await first.aclose()
            assert await states(office, job) == ["DELIVERED", "WAITING", "WAITING"]
            customer.answer = answers(200)
            await until(lambda: all_delivered(office))

    assert [each.seq for each in customer.of(job)] == [2, 3, 4]


async def test_a_file_found_after_its_job_ended_is_told_after_the_end(office, customer):
    async with delivering(office.url):
        job = await a_told_job(office, customer)
        await tell_files(office, job, first=7)
        await until(lambda: all_delivered(office))

    assert [each.fields["event_type"] for each in customer.received] == [*THREE, *THREE[:2]]


async def test_the_end_of_a_job_is_not_told_where_the_operator_switched_that_off(office, customer):
    async with delivering(office.url, tells_job_over=False):
        job = await a_told_job(office, customer)
        await until(lambda: _stand(office, job, "DELIVERED", "DELIVERED", "SKIPPED"))

    assert [each.fields["event_type"] for each in customer.received] == THREE[:2]


async def test_the_user_is_named_where_the_operator_switched_that_on(office, customer):
    async with delivering(office.url, options=NoticeOptions(with_user_id=True)):
        await a_told_job(office, customer)
        await until(lambda: customer.received)

    assert customer.received[0].fields["user_id"] == "alice"


async def test_with_probing_only_an_address_that_answers_is_accepted(office, customer):
    poster = Poster(OutgoingGuard(LOOPBACK), PATIENT)
    notices = Notices(URLS, poster.post, PLAIN, clock=utc_now)
    callbacks = Callbacks(office.database, OutgoingGuard(LOOPBACK), probe=notices.probe)

    accepted = await callbacks.set(PROJECT, APP, url=customer.url, auth_key=KEY)
    customer.answer = answers(404)
    with pytest.raises(CallbackUnavailableError, match="answered 404"):
        await callbacks.set(PROJECT, APP, url=customer.url + "/wrong", auth_key=KEY)
    stored = await callbacks.show(PROJECT, APP)
    await poster.close()

    assert stored == accepted
    assert [each.fields for each in customer.received] == [{"event_type": "CALLBACK_PROBE"}] * 2
    assert "x-rtc-signature" in customer.received[0].headers
