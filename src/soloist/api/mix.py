"""Operations 26 to 29, mixed streams: not offered, and said so. Left out of OpenAPI. Spec: API section 13."""

from typing import Any, NoReturn

from fastapi import APIRouter

from soloist.api.errors import MixingNotOfferedError

COLLECTION = "/v2/apps/{app_id}/mix-stream-jobs"


def mix_routes() -> APIRouter:
    """Return the addresses of the four operations, each of which is refused."""
    router = APIRouter()

    async def refuse() -> NoReturn:
        raise MixingNotOfferedError

    hidden: dict[str, Any] = {"include_in_schema": False, "response_model": None}
    router.add_api_route(COLLECTION, refuse, methods=["POST"], **hidden)
    router.add_api_route(COLLECTION + "/{job_id}", refuse, methods=["GET", "PUT", "DELETE"], **hidden)
    return router
