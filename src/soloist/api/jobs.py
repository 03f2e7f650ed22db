"""Operations 1 to 5: create, show, update, stop and control an individual-stream job.

Each handler is a line of parsing, a command and a view; rules of values live in `schema`, rules of jobs in `jobs/`.
Spec: API sections 2.1 to 2.4, 5.
"""

from typing import Protocol

from fastapi import APIRouter, Request

from soloist.api.body import parse_object
from soloist.api.routing import AppPath, JobPath, answers, body_of, new_router, project_of
from soloist.api.schema import (
    ACTIONS,
    JobView,
    StartBody,
    UpdateBody,
    parse_action,
    parse_start,
    parse_update,
    view_job,
)
from soloist.model.ids import AppId, JobId, ProjectId
from soloist.model.job import Job, StartJob, UpdateJob

COLLECTION = "/v2/apps/{app_id}/individual-stream-jobs"
ITEM = COLLECTION + "/{job_id}"
_ACTION = {"name": "action", "in": "query", "required": True, "schema": {"type": "string", "enum": list(ACTIONS)}}


class JobCommands(Protocol):
    """What the edge asks of the engine; every call is within one project."""

    async def start(self, project_id: ProjectId, command: StartJob) -> Job:
        """Persist a new job and return it."""

    async def show(self, project_id: ProjectId, app_id: AppId, job_id: JobId) -> Job:
        """Return the job as persisted."""

    async def update(self, project_id: ProjectId, app_id: AppId, job_id: JobId, command: UpdateJob) -> Job:
        """Put the job under another rule, forward it elsewhere, or both; return it."""

    async def suspend(self, project_id: ProjectId, app_id: AppId, job_id: JobId, *, suspended: bool) -> Job:
        """Record nothing until further notice, or go on; return the job."""

    async def stop(self, project_id: ProjectId, app_id: AppId, job_id: JobId) -> object:
        """Stop the job; one that has stopped stays as it is."""


def job_routes(jobs: JobCommands) -> APIRouter:
    """Return the five operations over `jobs`."""
    router = new_router("individual-stream-jobs")

    @router.post(
        COLLECTION,
        status_code=201,
        response_model_exclude_none=True,
        responses=answers(400, 404),
        openapi_extra=body_of(StartBody),
    )
    async def create_individual_stream_job(app_id: AppPath, request: Request) -> JobView:
        """Start recording one participant's stream."""
        command = parse_start(AppId(app_id), parse_object(await request.body()))
        return view_job(await jobs.start(project_of(request), command))

    @router.get(ITEM, response_model_exclude_none=True, responses=answers(404))
    async def show_individual_stream_job(app_id: AppPath, job_id: JobPath, request: Request) -> JobView:
        """Show a job, running or stopped."""
        return view_job(await jobs.show(project_of(request), AppId(app_id), JobId(job_id)))

    @router.put(ITEM, response_model_exclude_none=True, responses=answers(400, 404), openapi_extra=body_of(UpdateBody))
    async def update_individual_stream_job(app_id: AppPath, job_id: JobPath, request: Request) -> JobView:
        """Put a running job under another record rule, or forward it to other RTMP servers."""
        command = parse_update(parse_object(await request.body()))
        return view_job(await jobs.update(project_of(request), AppId(app_id), JobId(job_id), command))

    @router.put(
        ITEM + "/control",
        response_model_exclude_none=True,
        responses=answers(400, 404),
        openapi_extra={"parameters": [_ACTION]},
    )
    async def control_individual_stream_job(app_id: AppPath, job_id: JobPath, request: Request) -> JobView:
        """Suspend a running job, or let a suspended one go on."""
        suspended = parse_action(request.query_params.getlist("action"))
        return view_job(await jobs.suspend(project_of(request), AppId(app_id), JobId(job_id), suspended=suspended))

    @router.delete(ITEM, status_code=204, responses=answers(404))
    async def stop_individual_stream_job(app_id: AppPath, job_id: JobPath, request: Request) -> None:
        """Stop a job; stopping it again changes nothing."""
        await jobs.stop(project_of(request), AppId(app_id), JobId(job_id))

    return router
