"""Bodies about apps and automatic recording: what a request may hold and how an app is shown.

Spec: API sections 2.6, 3 (App and its parts).
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from soloist.api.callbacks import AppCallbackView, view_callback
from soloist.api.fields import Body, parse_body, render_time
from soloist.jobs.accounts import App
from soloist.model.errors import MissingFieldError
from soloist.model.ids import RuleId

StateName = Literal["ACTIVATION", "DEACTIVATION", "ARREARS"]
ModeName = Literal["AUTO_RECORD_OFF", "AUTO_INDIVIDUAL_RECORD"]
ENABLED_OF_STATE: dict[StateName, bool | None] = {"ACTIVATION": True, "DEACTIVATION": False, "ARREARS": None}
"""Which apps a state asks for; nobody is ever in arrears here."""
AUTH_EXPIRE_S = 300


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("must hold printable characters only")
    return name


class AppExtension(Body):
    """What this server adds to an app."""

    vp8: Literal["webm", "h264"] = "webm"


class AppBody(Body):
    """The body of create_app."""

    app_name: Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_printable)]
    ext: AppExtension | None = None


class AutoRecordBody(Body):
    """The body of update_auto_record."""

    mode: ModeName
    record_rule_id: str | None = Field(default=None, pattern="^[A-Za-z0-9_-]{0,128}$")


class AppStateView(BaseModel):
    """Whether an app is enabled. Spec: API section 3 (AppState)."""

    state: StateName
    update_time: str


class AppAuthView(BaseModel):
    """The vendor's URL authentication: always off, rooms ask for join tokens. Spec: API section 3 (AppAuth)."""

    enable: bool = False
    expire: int = AUTH_EXPIRE_S
    update_time: str


class AutoRecordModeView(BaseModel):
    """Automatic recording of an app; before it was ever changed there is no time. Spec: API section 3."""

    mode: ModeName
    record_rule_id: str | None = None
    update_time: str | None = None


class AppCallbacksView(BaseModel):
    """Where an app's events are told; the vendor's push_callback is of streams that this server does not push."""

    record_callback: AppCallbackView


class AppView(BaseModel):
    """An app as the API shows it; fields without a value are left out. Spec: API section 3 (App)."""

    app_name: str
    app_id: str
    state: AppStateView
    scope: Literal["GLOBAL"] = "GLOBAL"
    tenant_name: str
    create_time: str
    authentication: AppAuthView
    callbacks: AppCallbacksView
    auto_record_mode: AutoRecordModeView
    ext: AppExtension


class AppsView(BaseModel):
    """A page of a project's apps, and how many there are in all."""

    count: int
    apps: list[AppView]


class AppIdView(BaseModel):
    """The answer to create_app."""

    app_id: str


class AppStateOf(BaseModel):
    """The answer to enable and disable."""

    app_id: str
    state: AppStateView


class AutoRecordView(BaseModel):
    """The answer to both operations on automatic recording."""

    app_id: str
    auto_record_mode: AutoRecordModeView


def parse_auto_record(body: dict[str, object]) -> RuleId | None:
    """Return the rule automatic recording is to use, None for off.

    Raises:
        MissingFieldError, InvalidValueError: the caller's.
    """
    asked = parse_body(AutoRecordBody, body)
    if asked.mode == "AUTO_RECORD_OFF":
        return None
    if not asked.record_rule_id:
        raise MissingFieldError("record_rule_id")
    return RuleId(asked.record_rule_id)


def view_app(app: App) -> AppView:
    """Return the app in the vendor's words."""
    return AppView(
        app_name=app.app_name,
        app_id=app.app_id,
        state=_view_state(app),
        tenant_name=app.project_id,
        create_time=render_time(app.created_at),
        authentication=AppAuthView(update_time=render_time(app.created_at)),
        callbacks=AppCallbacksView(record_callback=view_callback(app.callback)),
        auto_record_mode=_view_auto_record_mode(app),
        ext=AppExtension(vp8=app.vp8.value),
    )


def view_state(app: App) -> AppStateOf:
    """Return whether the app is enabled."""
    return AppStateOf(app_id=app.app_id, state=_view_state(app))


def view_auto_record(app: App) -> AutoRecordView:
    """Return the app's automatic recording."""
    return AutoRecordView(app_id=app.app_id, auto_record_mode=_view_auto_record_mode(app))


def _view_state(app: App) -> AppStateView:
    changed_at = app.state_changed_at or app.created_at
    return AppStateView(state="ACTIVATION" if app.enabled else "DEACTIVATION", update_time=render_time(changed_at))


def _view_auto_record_mode(app: App) -> AutoRecordModeView:
    return AutoRecordModeView(
        mode="AUTO_INDIVIDUAL_RECORD" if app.auto_rule_id else "AUTO_RECORD_OFF",
        record_rule_id=app.auto_rule_id,
        update_time=render_time(app.auto_changed_at) if app.auto_changed_at else None,
    )
