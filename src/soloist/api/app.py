"""The HTTP application: rooms of the edge put together, outermost first: envelope, gate, routes.

Composition only; who carries out `commands` and plays `accounts` is decided by the caller.
"""

import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn, Protocol

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from soloist import __version__
from soloist.api.apps import AppCommands, app_routes, auto_record_routes
from soloist.api.bans import BanCommands, JoinKeys, ban_routes
from soloist.api.bounds import Bounds
from soloist.api.buckets import BucketCommands, bucket_routes
from soloist.api.callbacks import CallbackCommands, callback_routes
from soloist.api.console import console_routes
from soloist.api.docs_page import docs_routes
from soloist.api.envelope import Envelope
from soloist.api.errors import MethodNotAllowedError, UnknownRouteError
from soloist.api.events import EventCommands, Pausing, event_routes
from soloist.api.gate import VENDOR, Gate
from soloist.api.health import HealthWatch, Probe
from soloist.api.iam import TokenKeys, iam_routes
from soloist.api.jobs import JobCommands, job_routes
from soloist.api.known import Accounts as KnownAccounts
from soloist.api.known import Known
from soloist.api.metrics import MetricSources, ServiceMetrics
from soloist.api.mix import mix_routes
from soloist.api.notices import Notices
from soloist.api.objects import ObjectReader, object_routes
from soloist.api.openapi import describe, document_route
from soloist.api.ops import ops_routes
from soloist.api.overview import JobPages, ProjectApps, overview_routes
from soloist.api.recorders import Recorders
from soloist.api.rooms import room_routes
from soloist.api.rules import RuleCommands, rule_routes
from soloist.api.threshold import Threshold
from soloist.api.throttle import FailureThrottle, RequestRate
from soloist.api.whip import App, WhipProxy
from soloist.clock import utc_now
from soloist.model.errors import InvalidValueError, MissingFieldError, NotFoundError
from soloist.model.ids import AppId


@dataclass(frozen=True, slots=True)
class ApiLimits:
    """Bounds of the edge."""

    body_bytes_max: int = 1 << 20
    """Largest body of a vendor operation."""
    auth_failures_max: int = 20
    """Refused credentials per access key and source within `auth_window`, before further ones get 429."""
    auth_window: timedelta = timedelta(minutes=1)
    source_failures_max: int = 100
    """Refused credentials of any kind per source within `auth_window`."""
    bodies_bytes_max: int = 64 << 20
    """Bodies that requests may hold at once; a quarter of it from one source."""
    downloads_max: int = 200
    """Downloads at once."""
    downloads_per_source_max: int = 50
    """Those from one source."""
    requests_per_source_max: int = 500
    """Requests under way from one source behind a trusted proxy."""
    proxies: Sequence[str] = ()
    """Networks of proxies that tell who asks."""
    requests_per_minute_max: int = 0
    """Vendor operations a project may ask for within a minute; 0 for any number."""

    def bounds(self) -> Bounds:
        """Return what is held at once."""
        return Bounds(
            bodies_bytes_max=self.bodies_bytes_max,
            downloads_max=self.downloads_max,
            downloads_per_source_max=self.downloads_per_source_max,
            requests_per_source_max=self.requests_per_source_max,
        )

    def throttle(self, bounds: Bounds) -> FailureThrottle:
        """Return what counts refused credentials, and tells `bounds` of them."""
        return FailureThrottle(
            failures_max=self.auth_failures_max,
            window=self.auth_window,
            source_failures_max=self.source_failures_max,
            on_failure=bounds.refuse,
        )


class Jobs(JobCommands, JobPages, Protocol):
    """What is asked of jobs."""


class Apps(AppCommands, JoinKeys, Protocol):
    """What is asked of apps, the vendor's operations and ours."""


class Buckets(BucketCommands, ObjectReader, Protocol):
    """What is asked of storage."""


class TellingCommands(CallbackCommands, Pausing, Protocol):
    """What is asked of callbacks, the vendor's operations and ours."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Who plays callbacks and events."""

    callbacks: TellingCommands
    events: EventCommands
    notices: Notices


@dataclass(frozen=True, slots=True)
class Commands:
    """Who carries out the operations, the vendor's and ours, a group each."""

    jobs: Jobs
    rules: RuleCommands
    apps: Apps
    buckets: Buckets
    telling: Telling
    bans: BanCommands

    def routes(self, recorders: Recorders, bounds: Bounds) -> Sequence[APIRouter]:
        """Return the routes of every group; those of rooms lead to `recorders`, downloads take from `bounds`."""
        return (
            job_routes(self.jobs),
            rule_routes(self.rules),
            auto_record_routes(self.apps),
            app_routes(self.apps),
            room_routes(self.apps, self.bans, recorders),
            ban_routes(self.bans, self.apps),
            mix_routes(),
            bucket_routes(self.buckets),
            object_routes(self.buckets, bounds),
            callback_routes(self.telling.callbacks),
            event_routes(self.telling.events, self.telling.callbacks, self.telling.notices),
        )


class Accounts(TokenKeys, KnownAccounts, ProjectApps, Protocol):
    """Where credentials and apps are looked up."""

    async def app_anywhere(self, app_id: AppId) -> App | None:
        """Return an app whichever project owns it; None if there is none."""


def create_app(
    *,
    commands: Commands,
    accounts: Accounts,
    recorders: Mapping[str, Path],
    probes: Mapping[str, Probe] | None = None,
    is_dev: bool = False,
    clock: Callable[[], datetime] = utc_now,
    limits: ApiLimits = ApiLimits(),
    metrics: MetricSources | None = None,
) -> FastAPI:
    """Return the ASGI application of the api process.

    `recorders` maps slot names to the unix sockets of their recorders; `probes` are what `/soloist/v1/health` asks,
    `metrics` what `/metrics` reads.
    Its lifespan closes the connections to recorders and nothing else: what is passed in stays the caller's.
    """
    registry = CollectorRegistry()
    known = Known(accounts)
    bounds = limits.bounds()
    ways = Recorders(recorders)
    throttle = limits.throttle(bounds)
    whip = WhipProxy(
        known, ways, bans=commands.bans, throttle=throttle, bodies=bounds.bodies, clock=clock, is_dev=is_dev
    )
    health = HealthWatch(probes or {})
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(ways, health),
    )
    for router in commands.routes(ways, bounds):
        app.include_router(router)
    app.include_router(iam_routes(accounts, known, throttle, clock))
    service = ServiceMetrics(metrics or MetricSources(), bounds)
    app.include_router(overview_routes(commands.jobs, accounts, recorders, clock))
    app.include_router(ops_routes(health, registry, __version__, service, is_dev=is_dev))
    app.router.routes.extend([*whip.routes(), *console_routes(), *docs_routes()])
    # The framework's documented way to amend its document.
    app.openapi = functools.cache(lambda: describe(app, __version__))  # type: ignore[method-assign]
    app.router.routes.append(document_route(app.openapi))
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(RequestValidationError, _refuse_parameter)
    rate = RequestRate(limits.requests_per_minute_max)
    app.add_middleware(
        Gate,
        known=known,
        throttle=throttle,
        rate=rate,
        clock=clock,
        bodies=bounds.bodies,
        body_bytes_max=limits.body_bytes_max,
    )
    app.add_middleware(Threshold, requests=bounds.requests, proxies=limits.proxies, is_dev=is_dev)
    app.add_middleware(Envelope, registry=registry, on_refusal=bounds.refuse)
    return app


def _lifespan(ways: Recorders, health: HealthWatch) -> Callable[[object], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: object) -> AsyncIterator[None]:
        async with ways.lifespan(app), health.running():
            yield

    return lifespan


async def _refuse_route(request: Request, error: Exception) -> NoReturn:
    """Turn the router's refusals into ours; the vendor answers a wrong method like an unknown path."""
    if isinstance(error, HTTPException) and error.status_code == 405 and not request.url.path.startswith(VENDOR):
        raise MethodNotAllowedError(headers=error.headers) from error
    raise UnknownRouteError from error


async def _refuse_parameter(_request: Request, error: Exception) -> NoReturn:
    """Name what is wrong with a query; an id in the path that is outside its alphabet names nothing."""
    faults = error.errors() if isinstance(error, RequestValidationError) else ()
    in_query = [fault for fault in faults if fault["loc"][0] == "query"]
    if len(in_query) < len(faults):
        raise NotFoundError("no such app, job, rule or room") from error
    missing = [str(fault["loc"][-1]) for fault in in_query if fault["type"] == "missing"]
    if missing:
        raise MissingFieldError(", ".join(missing)) from error
    raise InvalidValueError("; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in in_query)) from error
