"""What every group of the vendor's routes shares: parameters, the caller's project, documented answers and bodies."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel

from soloist.api.fields import APP_ID_PATTERN, JOB_ID_PATTERN, ROOM_ID_PATTERN, RULE_ID_PATTERN, ErrorView
from soloist.model.ids import ProjectId

ALPHABET = "characters of A-Z a-z 0-9 _ -"
AppPath = Annotated[str, Path(pattern=APP_ID_PATTERN, description=f"App id, 1 to 32 {ALPHABET}")]
JobPath = Annotated[str, Path(pattern=JOB_ID_PATTERN, description=f"Job id, 1 to 64 {ALPHABET}")]
RulePath = Annotated[str, Path(pattern=RULE_ID_PATTERN, description=f"Record rule id, 1 to 128 {ALPHABET}")]
RoomPath = Annotated[str, Path(pattern=ROOM_ID_PATTERN, description=f"Room id, 1 to 64 {ALPHABET}")]
PageNumber = Annotated[int, Query(ge=0, le=2**31 - 1, description="Number of the page, the first one is 0")]
PageSize = Annotated[int, Query(ge=1, le=100, description="How many on a page")]


def new_router(tag: str) -> APIRouter:
    """Return a router whose operations are named as their functions."""
    return APIRouter(tags=[tag], generate_unique_id_function=lambda route: route.name)


def project_of(request: Request) -> ProjectId:
    """Return the project the gate let this request pass for."""
    project_id: ProjectId = request.state.project_id
    return project_id


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI entries of refusals: `statuses` and what any operation may be answered with."""
    return {status: {"model": ErrorView} for status in (*statuses, 401, 403, 413, 429, 500)}


def body_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI entry of a body that the handler parses itself, from raw bytes; see `openapi.BODIES`."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"content": {"application/json": {"schema": schema}}, "required": True}}
