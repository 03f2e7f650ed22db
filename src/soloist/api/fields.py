"""What all bodies of the vendor's API are made of: field types, the base of their models, and how a fault is named.

Validation is strict (no text for numbers, no numbers for truth values) but for room_id and user_id, which the vendor's
own example sends as numbers. Spec: API section 1.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from soloist.model.errors import InvalidValueError, MissingFieldError

APP_ID_PATTERN = "^[A-Za-z0-9_-]{1,32}$"
JOB_ID_PATTERN = "^[A-Za-z0-9_-]{1,64}$"
ROOM_ID_PATTERN = "^[A-Za-z0-9_-]{1,64}$"
RULE_ID_PATTERN = "^[A-Za-z0-9_-]{1,128}$"
PLAIN_PATTERN = r"^[^\x00-\x1f\x7f]*$"
"""Of free text: no control characters, of which NUL is in no file's name and in no text of the database."""
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1


def _decimal(value: object) -> object:
    """Return a whole number as its decimal text; anything else unchanged, for the type check to judge."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_whole and INTEGER_MIN <= value <= INTEGER_MAX else value  # type: ignore[operator]


PlainText = Annotated[str, Field(pattern=PLAIN_PATTERN)]

NumericId = Annotated[
    str,
    BeforeValidator(_decimal),
    Field(pattern=ROOM_ID_PATTERN),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": ROOM_ID_PATTERN},
                {"type": "integer", "minimum": INTEGER_MIN, "maximum": INTEGER_MAX},
            ]
        }
    ),
]
"""A room's or user's id; whole numbers are taken as their decimal text."""


def nullable(schema: dict[str, Any]) -> None:
    """Say in the schema what `parse_object` does: null in an optional field counts as absent."""
    for name, field in schema["properties"].items():
        if name not in schema.get("required", ()):
            schema["properties"][name] = {"anyOf": [field, {"type": "null"}]}


class Body(BaseModel):
    """Base of request bodies: validator and OpenAPI schema in one."""

    model_config = ConfigDict(strict=True, extra="ignore", json_schema_extra=nullable)


class ErrorView(BaseModel):
    """What every refused request is answered with; `request_id` only by the gateway. Spec: API section 8."""

    error_code: str
    error_msg: str
    request_id: str | None = None


BodyT = TypeVar("BodyT", bound=Body)


def parse_body(model: type[BodyT], body: dict[str, object]) -> BodyT:
    """Return `body` as its model.

    Raises:
        MissingFieldError: names every required field that is absent.
        InvalidValueError: names the first field of a wrong type or value.
    """
    try:
        return model.model_validate(body)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        missing = [_name(fault["loc"]) for fault in faults if fault["type"] == "missing"]
        if missing:
            raise MissingFieldError(", ".join(missing)) from error
        text = faults[0]["msg"].removeprefix("Value error, ")
        raise InvalidValueError(f"{_name(faults[0]['loc'])}: {text}") from error


def render_time(moment: datetime) -> str:
    """Return an aware moment as `2006-01-02T15:04:05.075Z`: UTC, cut (not rounded) to milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _name(location: tuple[int | str, ...]) -> str:
    """Return a field's path as it is written: `publish_param.rtmp_urls[2]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")
