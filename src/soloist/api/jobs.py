"""Operations 1 to 5: create, show, update, stop and control an individual-stream job.

Each handler is a line of parsing, a command and a view; rules of values live in `schema`, rules of jobs in `jobs/`.
Spec: API sections 2.1 to 2.4, 5.
"""

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Path, Request

from soloist.api.body import parse_object
from soloist.api.schema import (
    ACTIONS,
    APP_ID_PATTERN,
    JOB_ID_PATTERN,
    ErrorView,
    JobView,
    parse_action,
    parse_start,
    parse_update,
    view_job,
)
from soloist.model.ids import AppId, JobId, ProjectId, RuleId
from soloist.model.job import Job, StartJob

AppPath = Annotated[str, Path(pattern=APP_ID_PATTERN, description="App id, 1 to 32 characters of A-Z a-z 0-9 _ -")]
JobPath = Annotated[str, Path(pattern=JOB_ID_PATTERN, description="Job id, 1 to 64 characters of A-Z a-z 0-9 _ -")]

COLLECTION = "/v2/apps/{app_id}/individual-stream-jobs"
ITEM = COLLECTION + "/{job_id}"
_ACTION = {"name": "action", "in": "query", "required": True, "schema": {"type": "string", "enum": list(ACTIONS)}}


class JobCommands(Protocol):
    """What the edge asks of the engine; every call is within one project."""

    async def start(self, project_id: ProjectId, command: StartJob) -> Job:
        """Persist a new job and return it."""

    async def show(self, project_id: ProjectId, app_id: AppId, job_id: JobId) -> Job:
        """Return the job as persisted."""

    async def update(self, project_id: ProjectId, app_id: AppId, job_id: JobId, rule_id: RuleId) -> Job:
        """Put the job under another rule and return it."""

    async def suspend(self, project_id: ProjectId, app_id: AppId, job_id: JobId, *, suspended: bool) -> Job:
        """Record nothing until further notice, or go on; return the job."""

    async def stop(self, project_id: ProjectId, app_id: AppId, job_id: JobId) -> object:
        """Stop the job; one that has stopped stays as it is."""


def job_routes(jobs: JobCommands) -> APIRouter:
    """Return the four operations over `jobs`."""
    router = APIRouter(tags=["individual-stream-jobs"], generate_unique_id_function=lambda route: route.name)

    @router.post(
        COLLECTION,
        status_code=201,
        response_model_exclude_none=True,
        responses=_answers(400, 404),
        openapi_extra=_body("StartBody"),
    )
    async def create_individual_stream_job(app_id: AppPath, request: Request) -> JobView:
        """Start recording one participant's stream."""
        command = parse_start(AppId(app_id), parse_object(await request.body()))
        return view_job(await jobs.start(_project(request), command))

    @router.get(ITEM, response_model_exclude_none=True, responses=_answers(404))
    async def show_individual_stream_job(app_id: AppPath, job_id: JobPath, request: Request) -> JobView:
        """Show a job, running or stopped."""
        return view_job(await jobs.show(_project(request), AppId(app_id), JobId(job_id)))

    @router.put(ITEM, response_model_exclude_none=True, responses=_answers(400, 404), openapi_extra=_body("UpdateBody"))
    async def update_individual_stream_job(app_id: AppPath, job_id: JobPath, request: Request) -> JobView:
        """Put a running job under another record rule."""
        rule_id = RuleId(parse_update(parse_object(await request.body())))
        return view_job(await jobs.update(_project(request), AppId(app_id), JobId(job_id), rule_id))

    @router.put(
        ITEM + "/control",
        response_model_exclude_none=True,
        responses=_answers(400, 404),
        openapi_extra={"parameters": [_ACTION]},
    )
    async def control_individual_stream_job(app_id: AppPath, job_id: JobPath, request: Request) -> JobView:
        """Suspend a running job, or let a suspended one go on."""
        suspended = parse_action(request.query_params.getlist("action"))
        return view_job(await jobs.suspend(_project(request), AppId(app_id), JobId(job_id), suspended=suspended))

    @router.delete(ITEM, status_code=204, responses=_answers(404))
    async def stop_individual_stream_job(app_id: AppPath, job_id: JobPath, request: Request) -> None:
        """Stop a job; stopping it again changes nothing."""
        await jobs.stop(_project(request), AppId(app_id), JobId(job_id))

    return router


def _project(request: Request) -> ProjectId:
    project_id: ProjectId = request.state.project_id
    return project_id


def _answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorView} for status in (*statuses, 401, 403, 413, 429, 500)}


def _body(name: str) -> dict[str, Any]:
    """Return the OpenAPI entry of a body that the handler parses itself, from raw bytes."""
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"requestBody": {"content": {"application/json": {"schema": schema}}, "required": True}}
