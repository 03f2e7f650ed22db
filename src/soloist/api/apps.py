"""Operations 13 to 20: an app's automatic recording; create, list, show, delete, enable and disable an app.

Spec: API section 2.6.
"""

from typing import Annotated, Protocol

from fastapi import APIRouter, Query, Request

from soloist.api.app_schema import (
    ENABLED_OF_STATE,
    AppBody,
    AppIdView,
    AppStateOf,
    AppsView,
    AppView,
    AutoRecordBody,
    AutoRecordView,
    StateName,
    parse_auto_record,
    view_app,
    view_auto_record,
    view_state,
)
from soloist.api.body import parse_object
from soloist.api.fields import parse_body
from soloist.api.routing import AppPath, PageNumber, PageSize, answers, body_of, new_router, project_of
from soloist.jobs.accounts import App
from soloist.jobs.apps import AppPage
from soloist.model.ids import AppId, ProjectId, RuleId
from soloist.model.rule import Vp8Mode

COLLECTION = "/v2/apps"
ITEM = COLLECTION + "/{app_id}"
AUTO_RECORD = ITEM + "/auto-record-mode"


class AppCommands(Protocol):
    """What the edge asks about apps; every call is within one project."""

    async def create(self, project_id: ProjectId, app_name: str, vp8: Vp8Mode) -> App:
        """Make an app."""

    async def list_apps(
        self, project_id: ProjectId, *, enabled: bool | None = None, offset: int = 0, limit: int = 100
    ) -> AppPage:
        """Return some of a project's apps and how many there are in all."""

    async def show(self, project_id: ProjectId, app_id: AppId) -> App:
        """Return an app."""

    async def enable(self, project_id: ProjectId, app_id: AppId, *, enabled: bool) -> App:
        """Enable or disable an app and return it."""

    async def delete(self, project_id: ProjectId, app_id: AppId) -> None:
        """Delete a disabled app that has no rules and nothing left to tell."""

    async def record_automatically(self, project_id: ProjectId, app_id: AppId, rule_id: RuleId | None) -> App:
        """Switch automatic recording on by a rule, or off by None; return the app."""


def app_routes(apps: AppCommands) -> APIRouter:
    """Return the six operations on apps over `apps`."""
    router = new_router("apps")

    @router.post(COLLECTION, status_code=201, responses=answers(400), openapi_extra=body_of(AppBody))
    async def create_app(request: Request) -> AppIdView:
        """Make an app, enabled."""
        asked = parse_body(AppBody, parse_object(await request.body()))
        vp8 = Vp8Mode(asked.ext.vp8) if asked.ext else Vp8Mode.WEBM
        return AppIdView(app_id=(await apps.create(project_of(request), asked.app_name, vp8)).app_id)

    @router.get(COLLECTION, response_model_exclude_none=True, responses=answers(400))
    async def list_apps(
        request: Request,
        state: Annotated[StateName | None, Query(description="Apps of this state only")] = None,
        offset: PageNumber = 0,
        limit: PageSize = 100,
    ) -> AppsView:
        """List the project's apps, oldest first, a page at a time; `count` is how many there are in all."""
        enabled = ENABLED_OF_STATE[state] if state else None
        if state and enabled is None:
            return AppsView(count=0, apps=[])
        page = await apps.list_apps(project_of(request), enabled=enabled, offset=offset * limit, limit=limit)
        return AppsView(count=page.count, apps=[view_app(app) for app in page.apps])

    @router.get(ITEM, response_model_exclude_none=True, responses=answers(404))
    async def show_app(app_id: AppPath, request: Request) -> AppView:
        """Show an app."""
        return view_app(await apps.show(project_of(request), AppId(app_id)))

    @router.delete(ITEM, status_code=204, responses=answers(400, 404))
    async def delete_app(app_id: AppPath, request: Request) -> None:
        """Delete an app that is disabled, has no record rule and has told its callback everything."""
        await apps.delete(project_of(request), AppId(app_id))

    @router.post(ITEM + "/enable", responses=answers(404))
    async def start_app(app_id: AppPath, request: Request) -> AppStateOf:
        """Enable an app; one that is enabled stays as it is."""
        return view_state(await apps.enable(project_of(request), AppId(app_id), enabled=True))

    @router.post(ITEM + "/disable", responses=answers(404))
    async def stop_app(app_id: AppPath, request: Request) -> AppStateOf:
        """Disable an app: nobody enters its rooms any more and no job starts; what runs goes on."""
        return view_state(await apps.enable(project_of(request), AppId(app_id), enabled=False))

    return router


def auto_record_routes(apps: AppCommands) -> APIRouter:
    """Return the two operations on automatic recording over `apps`."""
    router = new_router("auto-record-mode")

    @router.put(
        AUTO_RECORD,
        response_model_exclude_none=True,
        responses=answers(400, 404),
        openapi_extra=body_of(AutoRecordBody),
    )
    async def update_auto_record(app_id: AppPath, request: Request) -> AutoRecordView:
        """Switch automatic recording of rooms that begin from now on."""
        rule_id = parse_auto_record(parse_object(await request.body()))
        return view_auto_record(await apps.record_automatically(project_of(request), AppId(app_id), rule_id))

    @router.get(AUTO_RECORD, response_model_exclude_none=True, responses=answers(404))
    async def show_auto_record(app_id: AppPath, request: Request) -> AutoRecordView:
        """Show automatic recording."""
        return view_auto_record(await apps.show(project_of(request), AppId(app_id)))

    return router
