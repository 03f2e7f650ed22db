"""The OpenAPI document: what the framework derives, and what it cannot know because bodies and keys are read raw.

Adds body schemas, the two ways to authenticate and the request-id header. Served at /soloist/v1/openapi.json.
"""

import functools
import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema
from starlette.routing import Route

from soloist.api.app_schema import AppBody, AutoRecordBody
from soloist.api.bans import JoinKeyBody
from soloist.api.buckets import BucketAuthorityBody
from soloist.api.callbacks import CallbackBody
from soloist.api.events import PauseBody, ReplayBody
from soloist.api.gate import is_guarded
from soloist.api.iam import TokenBody
from soloist.api.overview import JoinTokenBody
from soloist.api.rooms import RemoveUsersBody
from soloist.api.rule_schema import RuleBody
from soloist.api.schema import StartBody, UpdateBody

BODIES = (
    StartBody,
    UpdateBody,
    RuleBody,
    AppBody,
    AutoRecordBody,
    RemoveUsersBody,
    JoinKeyBody,
    BucketAuthorityBody,
    JoinTokenBody,
    TokenBody,
    CallbackBody,
    ReplayBody,
    PauseBody,
)
"""Every body that a handler parses itself."""

SECURITY_SCHEMES = {
    "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "SDK-HMAC-SHA256 Access=..., SignedHeaders=..., Signature=..., with X-Sdk-Date",
    },
}
REQUEST_ID = {"schema": {"type": "string"}, "description": "Id of this request, as in the server's log"}


def document_route(document: Callable[[], dict[str, Any]]) -> Route:
    """Return the route of the document, which is rendered once: it is large, and strangers may ask for it."""

    @functools.cache
    def rendered() -> bytes:
        return json.dumps(document(), separators=(",", ":")).encode()

    async def show(_request: Request) -> Response:
        return Response(rendered(), media_type="application/json")

    return Route("/soloist/v1/openapi.json", show)


def describe(app: FastAPI, version: str) -> dict[str, Any]:
    """Return the document of `app`'s routes; the framework's own 422 is left out, we never send it."""
    document = get_openapi(
        title="Soloist",
        version=version,
        routes=app.routes,
        description="Records one participant's stream of a WebRTC room. Operations below /v2 are the vendor's.",
    )
    _, bodies = models_json_schema(
        [(body, "validation") for body in BODIES], ref_template="#/components/schemas/{model}"
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(bodies["$defs"])
    components["securitySchemes"] = SECURITY_SCHEMES
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    for path, item in document["paths"].items():
        for operation in item.values():
            _complete(operation, guarded=is_guarded(path))
    return document


def _complete(operation: dict[str, Any], *, guarded: bool) -> None:
    operation["security"] = [{"token": []}, {"signature": []}] if guarded else []
    operation["responses"].pop("422", None)
    for answer in operation["responses"].values():
        answer.setdefault("headers", {})["X-request-Id"] = REQUEST_ID
