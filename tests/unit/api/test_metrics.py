"""What /metrics shows: every number of every process under a documented name, to those who may see it."""

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from support.asgi import call
from support.book import AccountBook, commands

from soloist.api.app import create_app
from soloist.api.metrics import CORE, METRICS, MetricSources, read_health
from soloist.api.metrics import HEALTH as HEALTH_NAMES
from soloist.sources.receiver import open_media_thread

pytestmark = pytest.mark.anyio

DOCUMENT = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
HEALTH = {
    **dict.fromkeys(HEALTH_NAMES, 6),
    "status": "ok",
    "rooms": 2,
    "publishers": 3,
    "spool_files": 4,
    "objects_pending": 3,
    "spool_free_bytes": 5_000,
    "streams_refused": 0,
    "usage": {"cpu_seconds": 1.5, "resident_bytes": 7_000, "descriptors": 40, "descriptors_max": 1_000},
    "load": {
        "cpu_io": 0.25,
        "cpu_media": 0.5,
        "queue_age_ms": 120.0,
        "descriptors": 70,
        "state": "shedding",
        "shedding": 1,
        "full": 0,
        "became_full": 2,
        "outputs_shed": 3,
        "outputs_restored": 1,
    },
    "core": dict.fromkeys(CORE, 10),
}


@dataclass
class Counts:
    jobs: dict
    files: dict
    notices: dict
    oldest_notice_s: float = 12.5
    callbacks_paused: int = 1
    jobs_untaken: int = 2
    oldest_untaken_s: float = 7.5


async def count():
    jobs = {("RUNNING", ""): 3, ("STOPPED", "JOB_STOPPED"): 1}
    return Counts(jobs, {"published": 9, "pending": 1}, {"WAITING": 2, "DEAD": 4})


async def fail():
    raise OSError("the database is away")


@pytest.fixture
async def sockets():
    folder = Path(tempfile.mkdtemp(prefix="metrics"))
    runners = []
    for name, body in {"well": HEALTH, "ill": {**HEALTH, "status": "failing"}}.items():
        recorder = web.Application()
        recorder.router.add_get("/health", answering(body))
        runners.append(web.AppRunner(recorder))
        await runners[-1].setup()
        await web.UnixSite(runners[-1], str(folder / name)).start()
    yield folder
    for runner in runners:
        await runner.cleanup()
    shutil.rmtree(folder)


def answering(body):
    async def answer(_request):
        return web.json_response(body)

    return answer


def edge(sources):
    accounts = AccountBook()
    return create_app(commands=commands(accounts), accounts=accounts, recorders={}, metrics=sources)


async def exposed(app, client=("127.0.0.1", 1)):
    answer = await call(app, "GET", "/metrics", client=client)
    assert answer.status == 200
    return answer.body.decode()


async def test_every_recorder_is_shown_with_what_it_counts(sockets):
    text = await exposed(edge(MetricSources({"n/0": sockets / "well"}, count, lambda: HEALTH["usage"])))

    for line in (
        'soloist_recorder_up{slot="n/0"} 1.0',
        'soloist_publishers{slot="n/0"} 3.0',
        'soloist_media_kernel_drops_total{slot="n/0"} 10.0',
        'soloist_media_loop_gap_max_seconds{slot="n/0"} 0.01',
        'soloist_spool_files{slot="n/0"} 4.0',
        'soloist_objects_pending{slot="n/0"} 3.0',
        'soloist_process_cpu_seconds_total{process="recorder n/0"} 1.5',
        'soloist_process_resident_bytes{process="api"} 7000.0',
        'soloist_jobs{state="RUNNING",stop_reason=""} 3.0',
        'soloist_files{state="pending"} 1.0',
        'soloist_callback_events{state="DEAD"} 4.0',
        "soloist_callback_oldest_waiting_seconds 12.5",
        "soloist_callbacks_paused 1.0",
        "soloist_jobs_untaken 2.0",
        "soloist_jobs_untaken_oldest_seconds 7.5",
        'soloist_load_media_cpu_ratio{slot="n/0"} 0.5',
        'soloist_load_queue_age_seconds{slot="n/0"} 0.12',
        'soloist_load_shedding{slot="n/0"} 1.0',
        'soloist_load_full{slot="n/0"} 0.0',
        "soloist_database_up 1.0",
    ):
        assert f"\n{line}\n" in f"\n{text}"


@pytest.mark.parametrize("name", ["ill", "away"])
async def test_a_recorder_that_fails_or_is_away_is_down_and_hides_nobody_else(sockets, name):
    text = await exposed(edge(MetricSources({"n/0": sockets / "well", "n/1": sockets / name})))

    assert 'soloist_recorder_up{slot="n/0"} 1.0' in text
    assert 'soloist_recorder_up{slot="n/1"} 0.0' in text
    assert 'soloist_rooms{slot="n/1"}' not in text


async def test_an_absent_database_is_told_and_hides_nobody_else(sockets):
    text = await exposed(edge(MetricSources({"n/0": sockets / "well"}, fail)))

    assert "soloist_database_up 0.0" in text
    assert 'soloist_rooms{slot="n/0"} 2.0' in text


async def test_a_recorder_whose_media_thread_has_ended_is_not_well(sockets):
    with pytest.raises(ValueError, match="failing"):
        await read_health(sockets / "ill")


@pytest.mark.parametrize(
    ("client", "status"),
    [
        (("127.0.0.1", 1), 200),
        (("::1", 1), 200),
        (("192.0.2.9", 1), 404),
        (("::ffff:192.0.2.9", 1), 404),
        (("10.1.2.3", 1), 200),
        (("::ffff:10.1.2.3", 1), 200),
        (None, 404),
    ],
)
async def test_metrics_are_for_the_networks_that_were_named(client, status):
    app = edge(MetricSources(readers=("127.0.0.0/8", "::1/128", "10.0.0.0/8")))

    assert (await call(app, "GET", "/metrics", client=client)).status == status


async def test_everything_exposed_is_documented_and_everything_documented_is_exposed(sockets):
    app = edge(MetricSources({"n/0": sockets / "well"}, count, lambda: HEALTH["usage"]))
    await exposed(app)
    families = set(re.findall(r"^# TYPE (soloist_\w+)", await exposed(app), re.MULTILINE))
    documented = set(re.findall(r"^\| `(soloist_\w+)`", DOCUMENT, re.MULTILINE))

    assert {name for name in families if not name.endswith("_created")} == documented
    assert len(METRICS) + 2 == len(documented)


def test_every_counter_of_the_core_is_shown():
    media = open_media_thread(bind="127.0.0.1", port=0, public_addresses=[])
    media.start()
    try:
        assert set(media.stats()) == set(CORE)
    finally:
        media.stop()
