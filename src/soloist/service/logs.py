"""Log lines: one past-tense event each, as JSON in production and for people in development, without secrets.

Every line of ours and of the libraries passes `redact`: values under a secret's name are dropped, and IP addresses,
candidate lines, bearer tokens, signatures, RTMP stream keys and passwords in URLs are replaced wherever they stand.
Of one event so many lines are written in a second; of more, `left_out` of the next line says how many there were.
"""

import ipaddress
import logging
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

HIDDEN = "***"

_SECRET_NAMES = re.compile(
    r"secret|token|password|passwd|authorization|cookie|credential|join_key|auth_key|private_key|ice_pwd|database_url",
    re.IGNORECASE,
)

_MAYBE_IP = re.compile(
    r"(?<![\w:.])(?:[0-9a-f]{0,4}:[0-9a-f:]*(?:\d{1,3}(?:\.\d{1,3}){3})?|\d{1,3}(?:\.\d{1,3}){3})(?![\w])", re.I
)
"""What looks like an address; whether it is one, `ipaddress` says: times of day are not."""

_PATTERNS = (
    (re.compile(r"candidate:[^\r\n\"]*", re.IGNORECASE), f"candidate:{HIDDEN}"),
    (re.compile(r"(ice-pwd:|ice-ufrag:)[^\s\"]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(bearer\s+)[^\s\",]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(signature=|x-auth-token:\s*)[^\s\",]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(rtmps?://[^\s\"'?]*/)[^\s\"'/?]+(\?[^\s\"']*)?", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"(://[^/\s:@]*):[^/\s@]+@"), rf"\1:{HIDDEN}@"),
)

LINES_PER_S_MAX = 100
"""Of one event in one process."""
ERRORS_PER_S_MAX = 20
"""Of one event's errors, counted by themselves: a traceback is fifty times as long as a line."""
EVENT_NAME_LENGTH_MAX = 60
ERRORS = ("error", "critical", "exception")

_UNTOUCHED = frozenset({"timestamp", "level", "logger", "process"})


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace what must not be logged; the last processor before rendering."""
    for name, value in event.items():
        if name in _UNTOUCHED:
            continue
        event[name] = HIDDEN if _SECRET_NAMES.search(name) and value else redacted(value)
    return event


def redacted(value: Any) -> Any:
    """Return a value with every secret pattern in its strings replaced; containers are searched."""
    if isinstance(value, str):
        for pattern, replacement in _PATTERNS:
            value = pattern.sub(replacement, value)
        return _MAYBE_IP.sub(_hide_address, value)
    if isinstance(value, dict):
        return {key: HIDDEN if _SECRET_NAMES.search(str(key)) else redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return redacted(str(value))


def _hide_address(match: re.Match[str]) -> str:
    try:
        ipaddress.ip_address(match.group())
    except ValueError:
        return match.group()
    return HIDDEN


class LineLimit:
    """A processor that drops what one event says too often; its errors have a share of their own."""

    def __init__(self, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._second = -1
        self._written: Counter[tuple[str, bool]] = Counter()
        """Lines of this second by event, errors apart."""
        self._left_out: Counter[str] = Counter()

    def __call__(self, _logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Let an event pass.

        Raises:
            DropEvent: there were `LINES_PER_S_MAX` of it in this second, or `ERRORS_PER_S_MAX` errors.
        """
        name = str(event.get("event"))[:EVENT_NAME_LENGTH_MAX]
        second = int(self._seconds())
        if second != self._second:
            self._second = second
            self._written.clear()
            if self._left_out:
                event["left_out"] = dict(self._left_out)
                self._left_out.clear()
        is_error = method in ERRORS
        self._written[name, is_error] += 1
        if self._written[name, is_error] > (ERRORS_PER_S_MAX if is_error else LINES_PER_S_MAX):
            self._left_out[name] += 1
            raise structlog.DropEvent
        return event


def configure_logs(*, process: str, as_json: bool, level: str) -> None:
    """Send our lines and the libraries' to stderr in one shape; `process` names the writer."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _name_process(process),
    ]
    structlog.configure(
        processors=[LineLimit(), *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=_has_colours())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("soloist").setLevel(level.upper())
    for library in ("procrastinate", "psycopg.pool"):
        # An outage is told by us in one line; they tell it in a hundred, with tracebacks.
        logging.getLogger(library).setLevel(logging.DEBUG if level == "debug" else logging.CRITICAL)
    logging.getLogger("uvicorn").handlers.clear()


def _name_process(process: str) -> Any:
    def name(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = process
        return event

    return name


def _has_colours() -> bool:
    return sys.stderr.isatty()
