"""What a store can refuse, in words that name the remedy; third-party exceptions are translated here, once."""

import errno

import structlog
from obstore import exceptions as obstore_errors

from soloist.model.errors import DestinationError

log = structlog.get_logger("soloist.storage")


class KeyTakenError(DestinationError):
    """Another object stands under this key; choose the next free one."""

    retryable = False


class ReplacedError(DestinationError):
    """Somebody else's object stands where this recording's playlist or manifest belongs; remove it there."""

    retryable = False


class BucketMissingError(DestinationError):
    """The storage location has no such bucket; create it there or change the rule."""


class StoreFullError(DestinationError):
    """The storage location has no room left; free some or configure another location."""


class StoreDeniedError(DestinationError):
    """The storage location refused access; give Soloist's user the right to write there."""


class ObjectDamagedError(DestinationError):
    """What stands in the bucket is not what was written; the spool keeps the file, check the storage location."""


_ERRNO = {
    errno.ENOSPC: StoreFullError,
    errno.EDQUOT: StoreFullError,
    errno.EFBIG: StoreFullError,
    errno.EACCES: StoreDeniedError,
    errno.EPERM: StoreDeniedError,
    errno.EROFS: StoreDeniedError,
    errno.EEXIST: KeyTakenError,
}
_FULL = ("os error 28", "507 Insufficient Storage", "<Code>XMinioStorageFull", "<Code>QuotaExceeded")
"""ENOSPC, which obstore passes on as text only, and what S3 servers say."""
_DENIED = (obstore_errors.PermissionDeniedError, obstore_errors.UnauthenticatedError)


def destination_error(error: Exception) -> DestinationError:
    """Return what to raise for a failure of a disk or an object store."""
    if isinstance(error, obstore_errors.AlreadyExistsError):
        return KeyTakenError()
    if isinstance(error, _DENIED):
        return StoreDeniedError()
    if isinstance(error, OSError) and error.errno in _ERRNO:
        return _ERRNO[error.errno]()
    if any(word in str(error) for word in _FULL):
        return StoreFullError()
    if "os error 13" in str(error) or "os error 30" in str(error):  # EACCES, EROFS
        return StoreDeniedError()
    # Tenants read this as a job's description; the error's own text has paths and addresses of the server.
    log.error("storage_failed", error=type(error).__name__, detail=str(error)[:1000])
    return DestinationError("The storage location failed; ask its operator, whose log says why.")
