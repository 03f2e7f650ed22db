"""How a file states the wall clock of its zero (rule R10): a creation time and, to the nanosecond, a comment."""

from datetime import UTC, datetime


def origin_tags(origin_ns: int) -> dict[str, str]:
    """Return metadata for `origin_ns`, nanoseconds since the Unix epoch."""
    second = datetime.fromtimestamp(origin_ns // 1_000_000_000, UTC)
    stamp = f"{second:%Y-%m-%dT%H:%M:%S}.{origin_ns % 1_000_000_000:09d}"
    return {"creation_time": f"{stamp[:26]}Z", "comment": f"origin {stamp}Z"}
