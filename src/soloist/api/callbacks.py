"""Operations 11 and 12: set and show where an app's events are told.

Spec: API sections 2.6, 3 (AppCallbackUrl), 4.6, 4.7.
"""

from typing import Annotated, Protocol
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, Field

from soloist.api.body import parse_object
from soloist.api.fields import Body, parse_body, render_time
from soloist.api.routing import AppPath, answers, body_of, new_router, project_of
from soloist.model.callback import RecordCallback
from soloist.model.ids import AppId, ProjectId

PATH = "/v2/apps/{app_id}/record-callback"
SUBSCRIPTION = ("RECORD_NEW_FILE_START", "RECORD_FILE_COMPLETE")
"""What the vendor's own configuration names; the end of a job is told as well."""


def _callback_url(url: str) -> str:
    parts = urlsplit(url)
    # The port is read for the fault it raises.
    if url and (not parts.hostname or parts.port == 0):
        raise ValueError("must be an http:// or https:// address with a host, such as https://example.com/notices")
    return url


class CallbackBody(Body):
    """The body of update_record_callback."""

    url: Annotated[
        str,
        Field(max_length=256, pattern=r"^(https?://[!-~]+)?$", description="http:// or https://; empty tells nobody"),
        AfterValidator(_callback_url),
    ]
    auth_key: Annotated[str, Field(pattern="^[!-~]{32,64}$", description="What notices are signed with")] | None = None


class AppCallbackView(BaseModel):
    """Where and how an app is told; `url` is empty if it is not."""

    url: str
    auth_key: str
    notify_event_subscription: list[str]
    update_time: str | None = None


class CallbackView(BaseModel):
    """The answer of both operations."""

    app_id: str
    record_callback: AppCallbackView


class CallbackCommands(Protocol):
    """What the edge asks of callbacks; every call is within one project."""

    async def show(self, project_id: ProjectId, app_id: AppId) -> RecordCallback | None:
        """Return the app's callback; None if it never had one."""

    async def set(self, project_id: ProjectId, app_id: AppId, *, url: str, auth_key: str) -> RecordCallback:
        """Set it; an empty URL takes it away."""


def callback_routes(callbacks: CallbackCommands) -> APIRouter:
    """Return the two operations over `callbacks`."""
    router = new_router("record-callback")

    @router.put(
        PATH, response_model_exclude_none=True, responses=answers(400, 404), openapi_extra=body_of(CallbackBody)
    )
    async def update_record_callback(app_id: AppPath, request: Request) -> CallbackView:
        """Set where an app's events are told; without auth_key they are not signed."""
        body = parse_body(CallbackBody, parse_object(await request.body()))
        named = {"url": body.url, "auth_key": body.auth_key or ""}
        return _view(app_id, await callbacks.set(project_of(request), AppId(app_id), **named))

    @router.get(PATH, response_model_exclude_none=True, responses=answers(404))
    async def show_record_callback(app_id: AppPath, request: Request) -> CallbackView:
        """Show where an app's events are told."""
        return _view(app_id, await callbacks.show(project_of(request), AppId(app_id)))

    return router


def view_callback(callback: RecordCallback | None) -> AppCallbackView:
    """Return a callback in the vendor's words. Spec: API section 3 (AppCallbackUrl)."""
    return AppCallbackView(
        url=callback.url if callback else "",
        auth_key=callback.auth_key if callback else "",
        notify_event_subscription=list(SUBSCRIPTION),
        update_time=render_time(callback.updated_at) if callback else None,
    )


def _view(app_id: str, callback: RecordCallback | None) -> CallbackView:
    return CallbackView(app_id=app_id, record_callback=view_callback(callback))
