"""Ours, not the vendor's: a project's jobs with their files, who is in its rooms, and tokens to enter them.

What the console shows; for other clients as well. Jobs are shown as operation 2 shows them, with more beside it. Rooms
are asked from the recorders, which alone know them, at each call.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import structlog
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from soloist.api.body import parse_object
from soloist.api.fields import APP_ID_PATTERN, ROOM_ID_PATTERN, Body, NumericId, parse_body, render_time
from soloist.api.recorders import UNANSWERED, read_recorder
from soloist.api.routing import PageNumber, PageSize, answers, body_of, new_router, project_of
from soloist.api.schema import JobView, view_job
from soloist.jobs.listing import JobFilter, JobPage, ListedJob, RecordedFile
from soloist.model.errors import NotFoundError
from soloist.model.ids import AppId, ParticipantId, ProjectId, RoomId
from soloist.model.job import JobState
from soloist.wire.join_token import JoinRole, mint_join_token

PREFIX = "/soloist/v1"
TOKEN_S_MAX = 24 * 3600

AppQuery = Annotated[str | None, Query(pattern=APP_ID_PATTERN, description="Only of this app")]
RoomQuery = Annotated[str | None, Query(pattern=ROOM_ID_PATTERN, description="Only of this room")]
StateQuery = Annotated[Literal["INIT", "RUNNING", "STOPPED"] | None, Query(description="Only in this state")]

log = structlog.get_logger("soloist.api")


class JobPages(Protocol):
    """Where jobs are looked through."""

    async def page(self, project_id: ProjectId, wanted: JobFilter, *, number: int, size: int) -> JobPage:
        """Return one page of a project's jobs, newest first."""


class App(Protocol):
    """What a join token depends on."""

    @property
    def project_id(self) -> ProjectId:
        """Whose app it is."""

    @property
    def join_key(self) -> str:
        """Key of its join tokens."""


class ProjectApps(Protocol):
    """Where apps are looked up."""

    async def app_anywhere(self, app_id: AppId) -> App | None:
        """Return an app whichever project owns it; None if there is none."""

    async def app_ids(self, project_id: ProjectId) -> frozenset[AppId]:
        """Return the ids of a project's apps."""


class FileView(BaseModel):
    """A file of a job; what is not known yet is left out."""

    key: str
    record_format: Literal["MP4", "WEBM", "HLS"]
    state: Literal["STARTED", "COMPLETED"]
    start_time: str
    end_time: str | None = None
    size_bytes: int | None = None
    duration_ms: int | None = None
    width: int | None = None
    height: int | None = None
    download_url: str | None = None


class ListedJobView(JobView):
    """A job as operation 2 shows it, how it was started, and its files, oldest first."""

    automatic: bool
    suspended: bool
    files: list[FileView]


class JobPageView(BaseModel):
    """One page of jobs, newest first."""

    jobs: list[ListedJobView]
    has_more: bool


class StreamView(BaseModel):
    """What one participant publishes; `stream` as in the address published to, codecs as negotiated, best first."""

    user_id: str
    stream: Literal["camera", "screen"]
    kinds: list[Literal["audio", "video"]]
    codecs: list[str]
    age_seconds: int


class RoomView(BaseModel):
    """A room with somebody in it."""

    app_id: str
    room_id: str
    age_seconds: int
    streams: list[StreamView]


class RoomsView(BaseModel):
    """Rooms in the order of their ids; `complete` is false while a recorder, and so its rooms, cannot be asked."""

    rooms: list[RoomView]
    complete: bool


class JoinTokenBody(Body):
    """Whom a join token lets in, and for how long."""

    app_id: str = Field(pattern=APP_ID_PATTERN)
    room_id: NumericId
    user_id: NumericId
    role: Literal["joiner", "publisher", "player"] = "publisher"
    lifetime_seconds: int = Field(default=3600, ge=1, le=TOKEN_S_MAX)


class JoinTokenView(BaseModel):
    """A join token, where it is of use, and until when."""

    token: str
    whip_path: str
    expire_time: str


def overview_routes(
    jobs: JobPages,
    apps: ProjectApps,
    recorders: Mapping[str, Path],
    clock: Callable[[], datetime],
) -> APIRouter:
    """Return the three operations; `recorders` maps slot names to the unix sockets of their recorders."""
    router = new_router("overview")

    @router.get(f"{PREFIX}/jobs", response_model_exclude_none=True, responses=answers(400))
    async def list_jobs(
        request: Request,
        *,
        app_id: AppQuery = None,
        room_id: RoomQuery = None,
        state: StateQuery = None,
        offset: PageNumber = 0,
        limit: PageSize = 20,
    ) -> JobPageView:
        """Show a project's jobs with their files, newest first; `offset` counts pages, not jobs."""
        wanted = JobFilter(
            AppId(app_id) if app_id else None, RoomId(room_id) if room_id else None, JobState(state) if state else None
        )
        page = await jobs.page(project_of(request), wanted, number=offset, size=limit)
        return JobPageView(jobs=[_view_listed(entry) for entry in page.entries], has_more=page.has_more)

    @router.get(f"{PREFIX}/rooms", responses=answers(400))
    async def list_rooms(request: Request, app_id: AppQuery = None) -> RoomsView:
        """Show who publishes what in the rooms of a project's apps at this moment."""
        allowed = await apps.app_ids(project_of(request))
        parts = await asyncio.gather(*(_streams_of(slot, path) for slot, path in recorders.items()))
        streams = [stream for part in parts for stream in part or () if stream["app_id"] in allowed]
        wanted = [stream for stream in streams if app_id in (None, stream["app_id"])]
        return RoomsView(rooms=_view_rooms(wanted), complete=None not in parts)

    @router.post(
        f"{PREFIX}/join-tokens", status_code=201, responses=answers(400, 404), openapi_extra=body_of(JoinTokenBody)
    )
    async def create_join_token(request: Request) -> JoinTokenView:
        """Mint a token that lets one user into one room of an app."""
        body = parse_body(JoinTokenBody, parse_object(await request.body()))
        app = await apps.app_anywhere(AppId(body.app_id))
        if app is None or app.project_id != project_of(request):
            raise NotFoundError(f"app {body.app_id} does not exist")
        now = clock()
        expires_at = (now + timedelta(seconds=body.lifetime_seconds)).replace(microsecond=0)
        return JoinTokenView(
            token=_mint(app.join_key, body, now, expires_at),
            whip_path=f"/whip/{body.app_id}/{body.room_id}/{body.user_id}",
            expire_time=render_time(expires_at),
        )

    return router


def _mint(join_key: str, body: JoinTokenBody, now: datetime, expires_at: datetime) -> str:
    return mint_join_token(
        join_key,
        app_id=AppId(body.app_id),
        room_id=RoomId(body.room_id),
        participant_id=ParticipantId(body.user_id),
        role=JoinRole(body.role),
        expires_at=expires_at,
        issued_at=now,
    )


async def _streams_of(slot: str, path: Path) -> Sequence[Mapping[str, Any]] | None:
    """Return what a recorder's rooms hold; None if it does not answer."""
    try:
        streams: Sequence[Mapping[str, Any]] = (await read_recorder(path, "/streams"))["streams"]
    except UNANSWERED as error:
        log.warning("rooms_unread", slot=slot, error=type(error).__name__)
        return None
    return streams


def _view_rooms(streams: Sequence[Mapping[str, Any]]) -> list[RoomView]:
    rooms: dict[tuple[str, str], RoomView] = {}
    for stream in sorted(streams, key=lambda one: (one["app_id"], one["room_id"], -one["age_s"])):
        key = (stream["app_id"], stream["room_id"])
        room = rooms.setdefault(
            key, RoomView(app_id=key[0], room_id=key[1], age_seconds=int(stream["room_age_s"]), streams=[])
        )
        room.streams.append(_view_stream(stream))
    return list(rooms.values())


def _view_stream(stream: Mapping[str, Any]) -> StreamView:
    tracks = stream["tracks"]
    return StreamView(
        user_id=stream["participant_id"],
        stream=stream["source"],
        kinds=[track["kind"] for track in tracks],
        codecs=[codec for track in tracks for codec in track["codecs"]],
        age_seconds=int(stream["age_s"]),
    )


def _view_listed(entry: ListedJob) -> ListedJobView:
    return ListedJobView(
        **view_job(entry.job).model_dump(),
        automatic=entry.job.automatic,
        suspended=entry.job.suspended,
        files=[_view_file(file) for file in entry.files],
    )


def _view_file(file: RecordedFile) -> FileView:
    return FileView.model_validate(
        {
            "key": file.key,
            "record_format": file.record_format,
            "state": "COMPLETED" if file.is_complete else "STARTED",
            "start_time": render_time(file.started_at),
            "end_time": render_time(file.ended_at) if file.ended_at else None,
            "size_bytes": file.size_bytes,
            "duration_ms": None if file.duration is None else round(file.duration / timedelta(milliseconds=1)),
            "width": file.width,
            "height": file.height,
            "download_url": file.download_url or None,
        }
    )
