"""Object keys: the only place where they are built.

Knows the prefix template and its variables; knows nothing of buckets or disks. Every variable is an id of the alphabet
of `model/ids.py` or a time, so that no value can leave the folder the template names (rules R34, R56).
Spec: API section 6.2.
"""

import re
from datetime import UTC, datetime

from soloist.model.errors import InvalidValueError
from soloist.model.job import Job
from soloist.model.rule import RecordFormat

EXTENSIONS = {RecordFormat.MP4: ".mp4", RecordFormat.WEBM: ".webm", RecordFormat.HLS: ".m3u8"}
VARIABLES = frozenset({"app_id", "record_format", "stream", "file_start_time"})
CONTENT_TYPES = {
    ".mp4": "video/mp4",
    ".webm": "video/webm",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".ts": "video/mp2t",
    ".m4s": "video/iso.segment",
    ".json": "application/json",
}
"""What objects are said to be. Spec: RFC 8216 §4 (playlists), §3.4 (segments)."""
KEY_BYTES_MAX = 900
"""Leaves room below the 1,024 bytes object stores allow for extensions and collision suffixes."""
COMPONENT_BYTES_MAX = 240
"""Leaves room below the 255 bytes a file system allows for one path component."""

STREAM_NAME_LENGTH_MAX = 199
"""Of three ids of 64 characters, as automatic recording puts them together. Spec: API section 2.6."""
COLLISIONS_MAX = 9999
"""So many suffixes find room in an accepted rule's keys."""

_VARIABLE = re.compile(r"\{([^{}]*)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


def check_prefix(template: str, field: str = "record_prefix") -> str:
    """Return `template` unchanged if every key made from it stays inside its bucket.

    Raises:
        InvalidValueError: unknown variable, stray brace, `..` or empty segment, leading `/`, control character,
            backslash (the caller's fault); names `field`.
    """
    unknown = [name for name in _VARIABLE.findall(template) if name not in VARIABLES]
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in sorted(VARIABLES))
        raise InvalidValueError(f"{field}: {{{unknown[0]}}} is not a variable; use {known}")
    rest = _VARIABLE.sub("x", template)
    if "{" in rest or "}" in rest:
        raise InvalidValueError(f"{field}: braces only stand around variables")
    if _CONTROL.search(rest):
        raise InvalidValueError(f"{field}: control characters and backslashes are not allowed")
    if any(segment in ("", ".", "..") for segment in rest.split("/")):
        raise InvalidValueError(f"{field}: must not begin or end with /, nor hold empty, . or .. segments")
    return template


def render_prefix(template: str, job: Job, record_format: RecordFormat, started_at: datetime) -> str:
    """Return the prefix of one file: times in UTC, the format in lower case.

    `started_at` is the wall clock of the file's first sample (rule R9), aware.
    """
    values = {
        "app_id": job.app_id,
        "record_format": record_format.value.lower(),
        "stream": job.stream_name,
        "file_start_time": started_at.astimezone(UTC).strftime("%Y-%m-%d-%H-%M-%S"),
    }
    return _VARIABLE.sub(lambda match: values[match[1]], check_prefix(template))


def object_key(folder: str, prefix: str, attempt: int = 0) -> str:
    """Return the key without extension: the rule's folder, the rendered prefix, and `_1`, `_2`… after a collision.

    Raises:
        InvalidValueError: the key is too long for object stores or file systems; the rule has to be shortened.
    """
    joint = "/" if folder and not folder.endswith("/") else ""
    key = f"{folder}{joint}{prefix}{f'_{attempt}' if attempt else ''}"
    too_long = len(key.encode()) > KEY_BYTES_MAX
    if too_long or any(len(part.encode()) > COMPONENT_BYTES_MAX for part in key.split("/")):
        raise InvalidValueError("record_prefix: the object key gets too long; shorten the prefix or obs_addr.object")
    return key


def segment_name(stem: str, epoch: int | None, number: str, extension: str) -> str:
    """Return the name of an object beside its playlist `stem`: of a later `epoch` than the first, it says so.

    So no two owners of a job ever write one key. Spec: API section 6.2.
    """
    return f"{stem}_{f'e{epoch}_' if epoch is not None else ''}{number}{extension}"


def check_length(folder: str, template: str, app_id: str, field: str = "record_prefix") -> None:
    """Return if even the longest ids make a key of this folder and (checked) template that is short enough.

    Raises:
        InvalidValueError: it could get too long; names `field`.
    """
    longest = {
        "app_id": app_id,
        "record_format": "webm",
        "stream": "x" * STREAM_NAME_LENGTH_MAX,
        "file_start_time": "2006-01-02-15-04-05",
    }
    try:
        object_key(folder, _VARIABLE.sub(lambda match: longest[match[1]], template), COLLISIONS_MAX)
    except InvalidValueError as error:
        raise InvalidValueError(
            f"{field}: the object key can get too long; shorten the prefix or obs_addr.object"
        ) from error


def content_type(key: str) -> str:
    """Return the media type of an object, from its extension."""
    _, dot, extension = key.rpartition(".")
    return CONTENT_TYPES.get(dot + extension, "application/octet-stream")
