"""What operators and their tools read: health and metrics. Ours, not the vendor's; asks for no credential.

Neither tells names, ids or addresses: only counts and states. Health is for everybody, metrics for the networks the
operator names, because counts tell how much a business is used.
"""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel

from soloist.api.errors import UnknownRouteError
from soloist.api.health import HealthWatch
from soloist.api.metrics import ServiceMetrics
from soloist.wire.source import is_within, parse_address, parse_networks


class HealthView(BaseModel):
    """Whether this process can do its work, and which part cannot."""

    status: str
    version: str
    dev: bool
    """Whether this is development mode, whose credentials everybody knows."""
    parts: dict[str, str]
    age_s: float
    """How long ago the parts were asked: about a second at the most, more only while one of them hangs."""


def ops_routes(
    health: HealthWatch,
    registry: CollectorRegistry,
    version: str,
    service: ServiceMetrics,
    *,
    is_dev: bool = False,
) -> APIRouter:
    """Return `/soloist/v1/health` over `health` and `/metrics` over `registry` and `service`."""
    networks = parse_networks(service.readers)
    router = APIRouter(tags=["operations"], generate_unique_id_function=lambda route: route.name)

    @router.get("/soloist/v1/health", responses={503: {"model": HealthView}})
    async def show_health(response: Response) -> HealthView:
        """Tell whether the service can take work: 200 if every part answered when last asked, else 503."""
        found, age_s = await health.read()
        response.status_code = 200 if found.is_well else 503
        status = "ok" if found.is_well else "failing"
        return HealthView(status=status, version=version, dev=is_dev, parts=dict(found.parts), age_s=round(age_s, 3))

    @router.get("/metrics", response_class=Response)
    async def show_metrics(request: Request) -> Response:
        """Show counters in the Prometheus text format; to others than the networks allowed there is no such address."""
        if not is_within(parse_address(request.client.host if request.client else ""), networks):
            raise UnknownRouteError
        text = generate_latest(registry) + await service.text()
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return router
