"""The composition root: who plays which part in each process, and the order parts start and stop in.

Three processes: `serve` (the supervisor), `run_api` and `run_recorder`. Nothing here decides anything about media, jobs
or HTTP; it only introduces parts to each other.
"""

import asyncio
import contextlib
import fcntl
import functools
import ipaddress
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from soloist.clock import utc_now
from soloist.jobs.accounts import Accounts
from soloist.jobs.database import DatabaseProbe, open_database
from soloist.jobs.dev import seed_dev_account
from soloist.jobs.migrate import migrate
from soloist.jobs.reaper import rehome_jobs
from soloist.jobs.untaken import UntakenWatch
from soloist.service.bounds import connections_of, shares_of
from soloist.service.connections import Connections
from soloist.service.descriptors import raise_descriptor_limit
from soloist.service.errors import StartError
from soloist.service.listeners import check_certificate, check_udp, open_tcp, open_unix, url_of
from soloist.service.parent import follow_supervisor, is_supervised, tell_ready
from soloist.service.settings import Settings, node_id_of, object_key_of
from soloist.service.supervisor import Supervisor
from soloist.service.usage import give_back, process_usage
from soloist.storage.object_urls import ObjectUrls
from soloist.wire.addresses import OutgoingGuard
from soloist.wire.places import Places
from soloist.wire.whip import IceServer

if TYPE_CHECKING:
    from fastapi import FastAPI

    from soloist.api.app import Telling
    from soloist.forwarding.forwarding import ForwardSettings
    from soloist.jobs.automatic import AutomaticRecording
    from soloist.jobs.engine import EngineSettings
    from soloist.jobs.fence import Told
    from soloist.jobs.recorder import Recorder
    from soloist.jobs.service import JobService
    from soloist.keeping.shelf import Shelf
    from soloist.model.job import Job
    from soloist.service.http import Server
    from soloist.service.load import LoadMeter
    from soloist.sources.receiver import MediaThread
    from soloist.sources.rooms import Rooms

log = structlog.get_logger("soloist.app")

MEDIA_CHECK_S = 0.5
"""How soon a recorder notices that its media thread has died."""

SLOT_WAIT_S = 15.0
"""How long a recorder waits for its predecessor, which may still be draining."""


async def serve(settings: Settings) -> None:
    """Run `soloist serve`.

    Raises:
        StartError: something keeps it from starting.
    """
    raise_descriptor_limit()
    _check_dev(settings)
    open_tcp(settings.host, settings.port).close()
    if settings.tls_cert and settings.tls_key:
        check_certificate(settings.tls_cert, settings.tls_key)
    for port in range(settings.media_port, settings.media_port + settings.recorders) if settings.media_port else ():
        check_udp(_media_host(settings), port)

    async def prepare(url: str, node_id: str) -> None:
        migrate(url)
        async with _database(url) as database:
            if settings.dev:
                await seed_dev_account(Accounts(database), utc_now(), settings.storage_locations)
            await rehome_jobs(database, node_id, settings.slots(node_id))

    await Supervisor(settings, prepare).run()


async def run_api(settings: Settings) -> None:
    """Run the api process until SIGTERM.

    Raises:
        StartError: its port or its database cannot be had.
    """
    from soloist.service.http import http_server  # noqa: PLC0415 - the supervisor serves nothing

    _begin_child()
    _check_dev(settings)
    url = _database_url(settings)
    listener = open_tcp(settings.host, settings.port)
    async with _database(url) as database, _telling(settings, database, url) as telling:
        untaken = UntakenWatch(database, settings.slots(_node_id(settings)))
        connections = connections_of(settings)
        app = build_api(settings, database, url, telling=telling, connections=connections, untaken=untaken)
        server = http_server(app, tls_cert=settings.tls_cert, tls_key=settings.tls_key, connections=connections)
        _on_stop(lambda: setattr(server, "should_exit", True))
        scheme = "https" if settings.tls_cert else "http"
        serving = _serve_until_stopped(server, listener, lambda: tell_ready(http=url_of(listener, scheme=scheme)))
        await _first(asyncio.ensure_future(serving), untaken.run())


def _begin_child() -> None:
    """End with the supervisor, and open as many files as the system lets us."""
    follow_supervisor()
    raise_descriptor_limit()


@contextlib.asynccontextmanager
async def _telling(settings: Settings, database: AsyncEngine, url: str) -> AsyncIterator["Telling"]:
    """Tell customers what happens while this lasts; yield what the api needs to be asked about it."""
    from soloist.api.app import Telling  # noqa: PLC0415 - only the api process tells
    from soloist.api.notices import NoticeOptions, Notices  # noqa: PLC0415 - likewise
    from soloist.callbacks.post import Poster  # noqa: PLC0415 - likewise
    from soloist.jobs.callbacks import Callbacks  # noqa: PLC0415 - likewise
    from soloist.jobs.deliverer import Deliverer, DeliverySettings  # noqa: PLC0415 - likewise
    from soloist.jobs.events import Events  # noqa: PLC0415 - likewise

    guard = OutgoingGuard(settings.outgoing_networks, settings.outgoing_denied_networks)
    poster = Poster(guard)
    options = NoticeOptions(settings.callback_user_id, settings.callback_standard_headers)
    notices = Notices(object_urls(settings), poster.post, options, clock=utc_now)
    patience = DeliverySettings(url, tells_job_over=settings.callback_job_over)
    deliverer = Deliverer(patience, notices)
    delivering = asyncio.create_task(deliverer.run(), name="deliverer")
    try:
        probe = notices.probe if settings.callback_probe else None
        yield Telling(Callbacks(database, guard, probe=probe), Events(database), notices)
    finally:
        deliverer.stop()
        await delivering
        await poster.close()


def build_api(
    settings: Settings,
    database: AsyncEngine,
    url: str,
    *,
    telling: "Telling",
    untaken: UntakenWatch,
    connections: Connections,
) -> "FastAPI":
    """Return the api's ASGI application over an open database."""
    from soloist.api.app import ApiLimits, Commands, create_app  # noqa: PLC0415 - only the api process needs FastAPI
    from soloist.api.metrics import MetricSources, read_health  # noqa: PLC0415 - likewise
    from soloist.jobs.apps import AppService  # noqa: PLC0415 - likewise
    from soloist.jobs.bans import Bans  # noqa: PLC0415 - likewise
    from soloist.jobs.library import Library  # noqa: PLC0415 - likewise
    from soloist.jobs.rules import RuleService  # noqa: PLC0415 - likewise
    from soloist.jobs.tally import tally  # noqa: PLC0415 - likewise

    slots = settings.slots(_node_id(settings))
    sockets = {slot: settings.recorder_socket(index) for index, slot in enumerate(slots)}

    probes: dict[str, Callable[[], Awaitable[object]]] = {"database": DatabaseProbe(url).ask, "jobs": untaken.probe}
    for index, path in enumerate(sockets.values()):
        probes[f"recorder-{index}"] = functools.partial(read_health, path)
    return create_app(
        commands=Commands(
            jobs=_job_service(settings, database, url),
            rules=RuleService(database, locations=settings.storage_locations),
            apps=AppService(database, apps_max=settings.apps_max),
            buckets=Library(database, settings.storage_locations, object_urls(settings).secret),
            telling=telling,
            bans=Bans(database),
        ),
        accounts=Accounts(database),
        recorders=sockets,
        probes=probes,
        is_dev=settings.dev,
        limits=ApiLimits(
            requests_per_minute_max=settings.requests_per_minute_max,
            downloads_max=settings.downloads_max,
            downloads_per_source_max=settings.downloads_per_address_max,
            requests_per_source_max=settings.connections_per_address_max,
            proxies=settings.trusted_proxies,
        ),
        metrics=MetricSources(
            sockets,
            functools.partial(tally, database, untaken=untaken.last_seen),
            process_usage,
            connections,
            settings.metrics_from,
        ),
    )


def _job_service(settings: Settings, database: AsyncEngine, url: str) -> "JobService":
    from soloist.jobs.queue import open_engine  # noqa: PLC0415 - the supervisor takes no jobs
    from soloist.jobs.service import JobService  # noqa: PLC0415 - likewise

    slots = settings.slots(_node_id(settings))
    urls = object_urls(settings)
    guard = OutgoingGuard(settings.outgoing_networks, settings.outgoing_denied_networks)
    return JobService(
        database,
        open_engine(url),
        slots,
        limits=shares_of(settings),
        locations=settings.storage_locations,
        urls=urls,
        guard=guard,
    )


async def run_recorder(settings: Settings, index: int) -> None:
    """Run the recorder of slot `index` until SIGTERM, then drain it.

    Raises:
        StartError: its port, its slot or its database cannot be had.
    """
    from soloist.jobs.automatic import AutomaticRecording  # noqa: PLC0415 - only recorders need media and engine
    from soloist.jobs.engine import Engine  # noqa: PLC0415 - likewise
    from soloist.jobs.recorder import Recorder  # noqa: PLC0415 - likewise
    from soloist.service.load import LoadMeter, limits_of  # noqa: PLC0415 - likewise

    _begin_child()
    url = _database_url(settings)
    slot = settings.slots(_node_id(settings))[index]
    async with _own_slot(settings.runtime_dir, index), _database(url) as database:
        media = _open_media(settings, index)
        rooms = _rooms(settings, media)
        shelf = _shelf(settings)
        recorder = Recorder(
            rooms,
            media,
            shelf,
            _forward_settings(settings),
            forwarders=Places(settings.forwarders_max, settings.project_forwarders_max),
            transcoders=Places(settings.transcoders_max, settings.project_transcoders_max),
        )
        meter = LoadMeter(media, limits_of(settings.recorder_memory_mb << 20, settings.recorders), recorder)
        engine = Engine(_engine_settings(settings, url, slot), database, recorder, told=_told(meter, rooms))
        automatic = AutomaticRecording(database, rooms, _job_service(settings, database, url))
        server = _recorder_server(
            settings,
            database,
            rooms=rooms,
            media=media,
            health=functools.partial(_health, recorder, shelf, meter=meter, automatic=automatic),
        )
        socket_path = settings.recorder_socket(index)
        stopped = asyncio.Event()
        _on_stop(stopped.set)
        media.start()
        try:
            serving = asyncio.create_task(server.serve(sockets=[open_unix(socket_path)]), name="recorder http")
            running = asyncio.create_task(engine.run(), name="engine")
            await _first(engine.wait_ready(), stopped.wait(), running, serving)
            tell_ready(media=f"{_media_host(settings)}:{media.port}")
            log.info("recorder_ready", slot=slot)
            # One of a node's recorders looks after the spool they share.
            tending = [_tend_storage(database, shelf)] if index == 0 else []
            tending += [automatic.run(), meter.run(), give_back()]
            await _first(stopped.wait(), running, serving, _end_with(media), *tending)
            await engine.drain()
            server.should_exit = True
            await asyncio.gather(running, serving)
        finally:
            await asyncio.to_thread(media.stop)
            socket_path.unlink(missing_ok=True)


async def _tend_storage(database: AsyncEngine, shelf: "Shelf") -> None:
    """Look at the rules' buckets once and after the spool for ever."""
    from soloist.jobs.stores import look_at_stores  # noqa: PLC0415 - only recorders need it
    from soloist.jobs.sweep import Sweeper  # noqa: PLC0415 - likewise

    await asyncio.gather(look_at_stores(database, shelf), Sweeper(database, shelf).run())


def _recorder_server(
    settings: Settings,
    database: AsyncEngine,
    *,
    rooms: "Rooms",
    media: "MediaThread",
    health: Callable[[], Mapping[str, object]],
) -> "Server":
    from soloist.service.http import http_server  # noqa: PLC0415 - only recorders need media
    from soloist.sources.whip import create_whip_app  # noqa: PLC0415 - likewise

    app = create_whip_app(
        rooms,
        media,
        video_codecs_of=Accounts(database).video_codecs_of,
        project_of=Accounts(database).project_of,
        ice_servers=_ice_servers(settings),
        more_health=health,
    )
    return http_server(app)


def _health(
    recorder: "Recorder", shelf: "Shelf", *, meter: "LoadMeter", automatic: "AutomaticRecording"
) -> dict[str, object]:
    """Return what a recorder tells of itself beside its media."""
    from soloist.recording import recording, transcoding, turnover  # noqa: PLC0415 - only recorders need media

    counts: dict[str, object] = {**recording.COUNTS, **transcoding.COUNTS, **turnover.COUNTS}
    counts |= {**shelf.usage(), **recorder.forwarded.counts(), "streams_refused": automatic.refused_count}
    return {**counts, "usage": process_usage(), "load": meter.health()}


def _forward_settings(settings: Settings) -> "ForwardSettings":
    from soloist.forwarding.forwarding import ForwardSettings  # noqa: PLC0415 - only recorders need it

    return ForwardSettings(
        allowed_networks=settings.outgoing_networks,
        denied_networks=settings.outgoing_denied_networks,
        stalled_s=settings.forward_stalled_s,
        log_format="json" if settings.logs_are_json else "text",
        log_level=settings.log_level,
    )


def _shelf(settings: Settings) -> "Shelf":
    from soloist.keeping.shelf import Shelf  # noqa: PLC0415 - only recorders need it
    from soloist.storage.spool import Spool  # noqa: PLC0415 - likewise

    spool = Spool(settings.data / "spool")
    return Shelf(spool, settings.storage_locations, files_per_job_max=settings.job_files_max)


def object_urls(settings: Settings) -> ObjectUrls:
    """Return what makes the addresses of finished objects, the same in every process of an installation."""
    given = settings.object_key
    secret = given.get_secret_value() if given else object_key_of(settings.data)
    lifetime = timedelta(days=settings.download_url_days)
    return ObjectUrls(settings.storage_locations, settings.api_url, secret, lifetime)


def _told(meter: "LoadMeter", rooms: "Rooms") -> "Callable[[Sequence[Job]], Told]":
    """Return what makes of the jobs a recorder holds what it tells of itself."""
    from soloist.jobs.census import writing_by_project  # noqa: PLC0415 - only recorders need it
    from soloist.jobs.fence import Told  # noqa: PLC0415 - likewise

    return lambda jobs: Told(meter.condition, writing_by_project(jobs, rooms.streams()))


def _engine_settings(settings: Settings, url: str, slot: str) -> "EngineSettings":
    from soloist.jobs.engine import EngineSettings  # noqa: PLC0415 - only recorders need it

    keep_jobs = timedelta(days=settings.keep_jobs_days)
    return EngineSettings(url, slot, secrets.token_hex(4), settings.drain_s, keep_jobs)


def _open_media(settings: Settings, index: int) -> "MediaThread":
    from soloist.sources.receiver import open_media_thread  # noqa: PLC0415 - only recorders need media

    host, port = _media_host(settings), settings.media_port + index if settings.media_port else 0
    addresses, budget = settings.public_address, settings.session_budget
    return open_media_thread(bind=host, port=port, public_addresses=addresses, budget=budget)


def _rooms(settings: Settings, media: "MediaThread") -> "Rooms":
    from soloist.sources.joining import RoomLimits  # noqa: PLC0415 - only recorders need media
    from soloist.sources.rooms import Rooms  # noqa: PLC0415 - likewise

    return Rooms(media, limits=RoomLimits(rooms_per_project_max=settings.rooms_per_project_max))


def _ice_servers(settings: Settings) -> list[IceServer]:
    return [
        IceServer(server.url, server.username, server.credential.get_secret_value()) for server in settings.ice_servers
    ]


async def _serve_until_stopped(server: "Server", listener: socket.socket, on_started: Callable[[], None]) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="api http")
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn offers no event
        await asyncio.sleep(0.01)
    if not serving.done():
        on_started()
    await serving


async def media_ended(media: "MediaThread") -> None:
    """Return once nothing handles media any more: its thread, or the core's I/O thread below it, has died."""
    while media.is_running:  # noqa: ASYNC110 - a thread that dies tells nobody
        await asyncio.sleep(MEDIA_CHECK_S)


async def _end_with(media: "MediaThread") -> None:
    await media_ended(media)
    end_like_a_crash()


def end_like_a_crash() -> NoReturn:
    """End this process at once with status 1, so that its supervisor starts another.

    Not in order: a drain needs the media thread and would end jobs that the next run takes back and salvages.
    """
    log.critical("media_thread_died", remedy="the recorder is started again and goes on with its jobs")
    os._exit(1)


async def _first(*awaitables: Awaitable[object]) -> None:
    """Return when one is done, raising what it raised; the plain coroutines among the others are cancelled."""
    tasks = [(asyncio.ensure_future(item), not isinstance(item, asyncio.Future)) for item in awaitables]
    done, _ = await asyncio.wait([task for task, _ in tasks], return_when=asyncio.FIRST_COMPLETED)
    for task, is_ours in tasks:
        if is_ours and task not in done:
            task.cancel()
    for task in done:
        task.result()


def _on_stop(callback: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    for which in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(which, callback)


@contextlib.asynccontextmanager
async def _database(url: str) -> AsyncIterator[AsyncEngine]:
    database = open_database(url)
    try:
        yield database
    finally:
        await database.dispose()


@contextlib.asynccontextmanager
async def _own_slot(runtime: Path, index: int) -> AsyncIterator[None]:
    """Hold the slot's file lock: what an earlier process of this slot was doing may then be taken back at once.

    Raises:
        StartError: another process keeps it.
    """
    deadline = time.monotonic() + SLOT_WAIT_S
    with (runtime / f"recorder-{index}.lock").open("w", encoding="ascii") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StartError(f"another recorder holds slot {index} of {runtime}; stop it first") from None
            await asyncio.sleep(0.05)
        yield


def _database_url(settings: Settings) -> str:
    """Return the database of a child process, brought to our schema if no supervisor has done so."""
    if settings.database_url is None:
        raise StartError("This command needs SOLOIST_DATABASE_URL; `soloist serve` sets it for its children.")
    url = settings.database_url.get_secret_value()
    if not is_supervised():
        migrate(url)
    return url


def _node_id(settings: Settings) -> str:
    return os.environ.get("SOLOIST_NODE_ID") or node_id_of(settings.data)


def _media_host(settings: Settings) -> str:
    return "127.0.0.1" if settings.host == "localhost" else settings.host


def _check_dev(settings: Settings) -> None:
    if not settings.dev or settings.host == "localhost":
        return
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(settings.host).is_loopback:
            return
    raise StartError(
        f"Development mode has public credentials and listens on loopback only, not on {settings.host}. "
        "Leave --host out, or run without --dev and create a credential: soloist credential create."
    )
