"""What operators and their tools read: health and metrics. Ours, not the vendor's; asks for no credential.

Neither tells names, ids or addresses: only counts and states. Health is for everybody, metrics for the networks the
operator names, because counts tell how much a business is used.
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel

from soloist.api.errors import UnknownRouteError
from soloist.api.metrics import ServiceMetrics

PROBE_TIMEOUT_S = 2.0

Probe = Callable[[], Awaitable[object]]
"""Returns if the part works, raises otherwise."""

log = structlog.get_logger("soloist.api")


class HealthView(BaseModel):
    """Whether this process can do its work, and which part cannot."""

    status: str
    version: str
    dev: bool
    """Whether this is development mode, whose credentials everybody knows."""
    parts: dict[str, str]


def ops_routes(
    probes: Mapping[str, Probe],
    registry: CollectorRegistry,
    version: str,
    service: ServiceMetrics,
    *,
    is_dev: bool = False,
) -> APIRouter:
    """Return `/soloist/v1/health` over `probes` and `/metrics` over `registry` and `service`."""
    networks = [ipaddress.ip_network(text) for text in service.readers]
    router = APIRouter(tags=["operations"], generate_unique_id_function=lambda route: route.name)

    @router.get("/soloist/v1/health", responses={503: {"model": HealthView}})
    async def show_health(response: Response) -> HealthView:
        """Tell whether the service can take work: 200 if every part answers, else 503."""
        states = await asyncio.gather(*(_state(name, probe) for name, probe in probes.items()))
        is_well = all(state == "ok" for state in states)
        response.status_code = 200 if is_well else 503
        parts = dict(zip(probes, states, strict=True))
        return HealthView(status="ok" if is_well else "failing", version=version, dev=is_dev, parts=parts)

    @router.get("/metrics", response_class=Response)
    async def show_metrics(request: Request) -> Response:
        """Show counters in the Prometheus text format; to others than the networks allowed there is no such address."""
        if not _is_within(request, networks):
            raise UnknownRouteError
        text = generate_latest(registry) + generate_latest(await service.read())
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return router


def _is_within(request: Request, networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any((mapped or address) in network for network in networks)


async def _state(name: str, probe: Probe) -> str:
    try:
        await asyncio.wait_for(probe(), PROBE_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001 - whatever it is, the part does not work; the log says why
        log.warning("part failing", part=name, error=repr(error))
        return "failing"
    return "ok"
