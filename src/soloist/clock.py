"""The one place that reads the wall clock for rows, names and signatures; the rest takes `now` as an argument."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - this is the clock everyone else is sent to
