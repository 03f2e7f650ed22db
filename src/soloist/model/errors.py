"""Errors, named by whose fault they are.

Each base carries what the API reports when it ends a job (`stop_reason`) and whether trying again can help
(`retryable`). A class docstring is the default message and names the remedy.
"""

from typing import ClassVar


class SoloistError(Exception):
    """Soloist failed; the log line with this request or job id says where."""

    stop_reason: ClassVar[str] = "INTERNAL_ERROR"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().splitlines()[0])


class RequestError(SoloistError):
    """The request cannot be carried out as it stands; change it and send it again."""


class SourceError(SoloistError):
    """The room or its media misbehaved; the participant has to publish again."""

    retryable = True


class DestinationError(SoloistError):
    """The customer's storage or address refused us; check its configuration."""

    retryable = True


class InternalError(SoloistError):
    """Soloist failed; the log line with this request or job id says where."""


def told(error: Exception) -> SoloistError:
    """Return what customers may be told of a fault: what is not ours to word might name paths of this machine."""
    if isinstance(error, SoloistError):
        return error
    if isinstance(error, OSError):
        return InternalError(f"The system refused ({error.strerror}); the log line with this job id says where.")
    return InternalError()


class MalformedBodyError(RequestError):
    """The body is not a JSON object; send one, UTF-8 encoded."""


class MissingFieldError(RequestError):
    """A required field is absent; add it."""


class InvalidValueError(RequestError):
    """A field has a value outside its type, range or alphabet; correct it."""


class InvalidCombinationError(RequestError):
    """These fields cannot be used together; drop one of them."""


class NotFoundError(RequestError):
    """Nothing of that id exists in this app; check the id and the project of the credential."""


class JobRunningError(RequestError):
    """A job for this participant and video type is live; stop it first or use it."""


class JobLimitError(RequestError):
    """The project has as many live jobs as it may; stop one or raise the limit."""


class QuotaError(JobLimitError):
    """The project keeps as much as it may; wait until jobs are forgotten, or raise the quota."""


class JobDoneError(RequestError):
    """The job has stopped; start a new one."""


class LocationUnknownError(RequestError):
    """The rule's storage location is not configured here; add it to SOLOIST_STORAGE or use another rule."""


class AppDisabledError(RequestError):
    """The app is disabled; enable it first."""


class AppLimitError(RequestError):
    """The project has as many apps as it may; delete one or raise the limit."""


class RuleInUseError(RequestError):
    """The record rule is in use; stop the jobs that record by it and switch automatic recording off."""


class RuleExistsError(RequestError):
    """The app has a record rule in the way; delete it first."""


class ProjectDisabledError(RequestError):
    """The project is disabled; ask the operator of this server."""


class TokenExpiredError(RequestError):
    """The token has expired; ask for a new one."""


class CallbackUnavailableError(RequestError):
    """The callback's address did not confirm what was sent to try it out; let it answer 2xx within 10 s."""
