"""Every error the API answers with: one table from whose-fault errors to status, code and text.

Gateway faults are classes of this module, because nothing below the edge knows of them. Codes and texts are the
vendor's; detail of ours goes after a colon, so clients that match on the text's beginning keep working.
Spec: API sections 8.1 (service codes) and 8.2 (gateway codes).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import psycopg
from procrastinate.exceptions import ConnectorException
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse

from soloist.model.errors import (
    AppDisabledError,
    AppLimitError,
    CallbackUnavailableError,
    InvalidCombinationError,
    InvalidValueError,
    JobDoneError,
    JobLimitError,
    JobRunningError,
    LocationUnknownError,
    MalformedBodyError,
    MissingFieldError,
    NotFoundError,
    ProjectDisabledError,
    RequestError,
    RuleExistsError,
    RuleInUseError,
    SoloistError,
    TokenExpiredError,
)
from soloist.wire.object_path import TicketError
from soloist.wire.signing import SignatureError


class EdgeError(RequestError):
    """The request stops at the edge; see the subclass."""

    def __init__(self, message: str | None = None, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.headers = headers or {}
        """Sent with the answer."""


class NoTenantError(EdgeError):
    """The credential is valid but belongs to no project; attach one."""


class UnauthorizedError(EdgeError):
    """Neither a valid token nor a valid signature came with the request; check the credential and the clock."""


class ForbiddenError(EdgeError):
    """The credential may not act here; use one of its own projects."""


class UnknownRouteError(EdgeError):
    """There is no such operation; check method and path."""


class MethodNotAllowedError(EdgeError):
    """This address does not answer this method; see the Allow header."""


class MixingNotOfferedError(EdgeError):
    """This server does not mix streams, it records participants one by one; see individual-stream-jobs."""


class BackendTimeoutError(EdgeError):
    """The room's recorder does not answer; try again."""


class UnsatisfiableRangeError(EdgeError):
    """None of the object lies in the range asked for; ask for one within its size."""


class BodyTooLargeError(EdgeError):
    """The body is larger than this server reads; send less."""


class SlowBodyError(EdgeError):
    """The body did not arrive in time; send it without pauses."""


class ThrottledError(EdgeError):
    """Too many requests were refused lately; wait and send again."""


class BusyError(EdgeError):
    """The server holds as much at once as it may; wait as Retry-After says and send again."""


class AmbiguousPathError(EdgeError):
    """The path has empty or dot segments, which no path of this server has; leave them out."""


class NeedlessEncodingError(EdgeError):
    """The path percent-encodes what needs no encoding; write letters, digits, dots, hyphens and underscores plainly."""


class ForeignHostError(EdgeError):
    """Development mode answers to names of this machine only; open it as http://localhost or http://127.0.0.1."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What the caller sees of an error."""

    status: int
    code: str
    text: str
    """The vendor's literal; our detail follows it after a colon."""
    with_detail: bool = True


_DATABASE = Fault(500, "RTC.00002002", "InternalError.DbErr", with_detail=False)

FAULTS: dict[type[Exception], Fault] = {
    NoTenantError: Fault(
        400,
        "RTC.00001001",
        "OperationUnauthorized: get DomainID fail please check X-Auth-Token or AK/SK",
        with_detail=False,
    ),
    MalformedBodyError: Fault(400, "RTC.00001002", "MalformedRequestBody: json parsing failed", with_detail=False),
    InvalidValueError: Fault(400, "RTC.00001003", "InvalidParameterValue"),
    InvalidCombinationError: Fault(400, "RTC.00001004", "InvalidParameterCombination"),
    MissingFieldError: Fault(400, "RTC.00001005", "MissingParameter"),
    JobRunningError: Fault(400, "RTC.00001006", "JobRunning: job exists and is not over", with_detail=False),
    JobLimitError: Fault(400, "RTC.00001007", "JobExceed"),
    JobDoneError: Fault(400, "RTC.00001009", "JobDone: task canceled or completed", with_detail=False),
    LocationUnknownError: Fault(400, "RTC.00001012", "UnsupportRegion: rtc does not provide services in the region"),
    RuleInUseError: Fault(400, "RTC.00001013", "RuleForbidenDelete"),
    AppDisabledError: Fault(400, "RTC.00001016", "AppDeactivation: app is stopped", with_detail=False),
    AppLimitError: Fault(400, "RTC.00001017", "AppsExceed: app num exceed"),
    RuleExistsError: Fault(400, "RTC.00001019", "RecordRuleExist: record rule of the app exists"),
    CallbackUnavailableError: Fault(400, "RTC.00001018", "URL unavailable: The callback URL is unavailable."),
    NotFoundError: Fault(404, "RTC.00001003", "InvalidParameterValue"),
    SQLAlchemyError: _DATABASE,
    psycopg.Error: _DATABASE,
    ConnectorException: _DATABASE,
    Exception: Fault(500, "RTC.00002004", "InternalError", with_detail=False),
    SignatureError: Fault(401, "APIGW.0301", "Incorrect IAM authentication information"),
    UnauthorizedError: Fault(401, "APIGW.0301", "Incorrect IAM authentication information"),
    TokenExpiredError: Fault(401, "APIGW.0307", "The token must be updated"),
    ForbiddenError: Fault(403, "APIGW.0302", "The IAM user is not allowed to access this API"),
    ProjectDisabledError: Fault(403, "APIGW.0302", "The IAM user is not allowed to access this API"),
    UnknownRouteError: Fault(404, "APIGW.0101", "The API does not exist or has not been published"),
    MixingNotOfferedError: Fault(404, "APIGW.0101", "The API does not exist or has not been published"),
    NeedlessEncodingError: Fault(400, "APIGW.0101", "The API does not exist or has not been published"),
    AmbiguousPathError: Fault(404, "APIGW.0101", "The API does not exist or has not been published"),
    ForeignHostError: Fault(421, "APIGW.0101", "The API does not exist or has not been published"),
    BusyError: Fault(503, "APIGW.0201", "Backend unavailable"),
    MethodNotAllowedError: Fault(405, "APIGW.0101", "The API does not exist or has not been published"),
    TicketError: Fault(403, "APIGW.0302", "The IAM user is not allowed to access this API"),
    SlowBodyError: Fault(408, "APIGW.0201", "Request timeout"),
    BodyTooLargeError: Fault(413, "APIGW.0201", "Request entity too large"),
    BackendTimeoutError: Fault(504, "APIGW.0201", "Backend timeout"),
    UnsatisfiableRangeError: Fault(416, "APIGW.0201", "Range not satisfiable"),
    ThrottledError: Fault(429, "APIGW.0308", "The throttling threshold has been reached"),
}
"""The whole table; an error is looked up by its class, then by the nearest base that is listed."""


def fault_of(error: Exception) -> Fault:
    """Return what the caller sees of `error`."""
    return next(FAULTS[kind] for kind in type(error).__mro__ if kind in FAULTS)


def render_error(error: Exception, request_id: str) -> JSONResponse:
    """Return the vendor's error body for `error`; gateway errors name the request in it as well."""
    fault = fault_of(error)
    detail = f": {error}" if fault.with_detail and isinstance(error, SoloistError) else ""
    body = {"error_code": fault.code, "error_msg": fault.text + detail}
    if fault.code.startswith("APIGW."):
        body["request_id"] = request_id
    headers = dict(error.headers) if isinstance(error, EdgeError) else None
    return JSONResponse(body, status_code=fault.status, headers=headers)
