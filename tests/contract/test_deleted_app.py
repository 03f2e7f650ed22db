"""An app is deleted at once, whatever its callback's server does; what that is still to be told is told afterwards."""

import asyncio
import threading
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from support.delivering import delivering
from support.engine import APP, PROJECT, an_office, until
from support.receiver import answers, receiver
from support.telling import callbacks_of, deliveries, end, set_callback, start_jobs, states, tell_files

from soloist.callbacks.post import PostLimits
from soloist.clock import utc_now
from soloist.jobs import reaper, schema, store
from soloist.jobs.apps import AppService
from soloist.jobs.rules import RuleService
from soloist.model.errors import InvalidValueError, NotFoundError

pytestmark = pytest.mark.anyio

THREE = ["RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE", "CLOUD_RECORD_SERVER_OVER"]


@pytest.fixture
async def office(database_url):
    async with an_office(database_url) as office:
        yield office


@pytest.fixture
def customer():
    with receiver() as running:
        yield running


async def test_an_app_is_deleted_once_its_files_are_finished_and_is_told_of_them_afterwards(office, customer):
    await set_callback(office, customer.url)
    accepted = (await start_jobs(office, 1))[0]
    async with office.database.begin() as connection:
        job = await store.take(connection, accepted.job_id, "a recorder", utc_now())
    await office.stop(job)
    apps = AppService(office.database)
    for rule_id in ("rule1", "rule2"):
        await RuleService(office.database).delete(PROJECT, APP, rule_id)
    await apps.enable(PROJECT, APP, enabled=False)

    with pytest.raises(InvalidValueError, match=f"files of job {job.job_id} are still being finished"):
        await apps.delete(PROJECT, APP)
    await tell_files(office, job)
    await end(office, job)
    await apps.delete(PROJECT, APP)

    async with delivering(office.url):
        await until(lambda: all_delivered(office))
    assert [each.fields["event_type"] for each in customer.received] == THREE


async def test_a_deleted_apps_server_that_never_answers_delays_nothing_and_is_tried_for_its_24_hours(office, customer):
    is_over = threading.Event()
    customer.answer = lambda *_: is_over.wait(20)
    async with delivering(office.url, limits=PostLimits(connect_s=0.3, total_s=0.3)):
        job = await a_stopped_job(office, customer)
        await until(lambda: customer.received)
        await callbacks_of(office).pause(PROJECT, APP, paused=True)
        began = asyncio.get_running_loop().time()
        await delete_app(office)
        assert asyncio.get_running_loop().time() - began < 2
        tried = len(customer.received)
        await until(lambda: len(customer.received) > tried)
        assert await states(office, job) == ["WAITING"] * 3
        is_over.set()
        customer.answer = answers(200)
        await until(lambda: all_delivered(office))

    assert await kept_callbacks(office) == [(APP, True)]
    await reaper.forget_old(office.database, timedelta(days=30))
    assert await kept_callbacks(office) == []


async def test_a_deleted_apps_notices_are_given_up_after_their_time_and_its_key_is_forgotten(office, customer):
    customer.answer = answers(500)
    async with delivering(office.url, give_up=timedelta(seconds=1)):
        job = await a_stopped_job(office, customer)
        await delete_app(office)
        await until(lambda: all_given_up(office))
    await reaper.forget_old(office.database, timedelta(days=30))

    assert await states(office, job) == ["DEAD"] * 3
    assert await kept_callbacks(office) == []


async def test_a_deleted_apps_callback_is_shown_to_nobody_and_its_key_goes_at_once_if_nothing_waits(office, customer):
    async with delivering(office.url):
        await a_stopped_job(office, customer)
        await until(lambda: all_delivered(office))
    await delete_app(office)

    assert await kept_callbacks(office) == []
    with pytest.raises(NotFoundError):
        await callbacks_of(office).show(PROJECT, APP)
    with pytest.raises(NotFoundError):
        await set_callback(office, customer.url)


async def a_stopped_job(office, customer):
    """A job whose app tells `customer`, with a file, stopped before any recorder took it."""
    await set_callback(office, customer.url)
    job = (await start_jobs(office, 1))[0]
    await tell_files(office, job)
    await office.stop(job)
    return job


async def delete_app(office):
    """Delete the app as a customer does: rules, then disabled, then itself."""
    for rule_id in ("rule1", "rule2"):
        await RuleService(office.database).delete(PROJECT, APP, rule_id)
    await AppService(office.database).enable(PROJECT, APP, enabled=False)
    await AppService(office.database).delete(PROJECT, APP)


async def all_given_up(office):
    return all(each.state.value == "DEAD" for each in await deliveries(office))


async def kept_callbacks(office):
    """Return the apps whose callbacks are kept, and whether they are deleted ones."""
    table = schema.record_callbacks
    async with office.database.connect() as connection:
        rows = await connection.execute(select(table.c.app_id, table.c.retired))
        return [tuple(row) for row in rows]


async def all_delivered(office):
    return all(each.state.value == "DELIVERED" for each in await deliveries(office))


async def test_what_was_queued_while_its_callback_was_taken_away_is_given_up_with_its_app(office, customer):
    job = await a_stopped_job(office, customer)
    async with office.database.begin() as connection:
        await connection.execute(update(schema.record_callbacks).values(url=""))
    await delete_app(office)

    assert await states(office, job) == ["DEAD"] * 3
    assert await kept_callbacks(office) == []
