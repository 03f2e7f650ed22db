"""What operators and their tools read: health and metrics. Ours, not the vendor's; asks for no credential.

Neither tells names, ids or addresses: only counts and states.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog
from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel

PROBE_TIMEOUT_S = 2.0

Probe = Callable[[], Awaitable[None]]
"""Returns if the part works, raises otherwise."""

log = structlog.get_logger("soloist.api")


class HealthView(BaseModel):
    """Whether this process can do its work, and which part cannot."""

    status: str
    version: str
    parts: dict[str, str]


def ops_routes(probes: Mapping[str, Probe], registry: CollectorRegistry, version: str) -> APIRouter:
    """Return `/soloist/v1/health` over `probes` and `/metrics` over `registry`."""
    router = APIRouter(tags=["operations"], generate_unique_id_function=lambda route: route.name)

    @router.get("/soloist/v1/health", responses={503: {"model": HealthView}})
    async def show_health(response: Response) -> HealthView:
        """Tell whether the service can take work: 200 if every part answers, else 503."""
        states = await asyncio.gather(*(_state(name, probe) for name, probe in probes.items()))
        is_well = all(state == "ok" for state in states)
        response.status_code = 200 if is_well else 503
        parts = dict(zip(probes, states, strict=True))
        return HealthView(status="ok" if is_well else "failing", version=version, parts=parts)

    @router.get("/metrics", response_class=Response)
    async def show_metrics() -> Response:
        """Show counters in the Prometheus text format."""
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return router


async def _state(name: str, probe: Probe) -> str:
    try:
        await asyncio.wait_for(probe(), PROBE_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 - whatever it is, the part does not work; the log says why
        log.warning("part failing", part=name, error=repr(error))
        return "failing"
    return "ok"
