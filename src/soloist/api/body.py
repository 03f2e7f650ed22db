"""Strict JSON bodies: bytes in, an object of plain values out, or a fault of the caller.

Refuses what parsers disagree about: duplicate names, NaN and Infinity, nesting beyond a limit, other encodings than
UTF-8. JSON null counts as absent. Spec: RFC 8259 §4, §6, §8.1; API section 1.
"""

import json
import re

from soloist.model.errors import MalformedBodyError

DEPTH_MAX = 32
INTEGER_DIGITS_MAX = 20

_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def parse_object(raw: bytes) -> dict[str, object]:
    """Return the JSON object in `raw`, without its null members; no bytes at all count as an empty object.

    Raises:
        MalformedBodyError: not UTF-8, not JSON, not an object, nested too deep, or a name given twice.
    """
    if not raw:
        return {}
    try:
        text = raw.decode("utf-8")
        _refuse_deep(text)
        value = json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedBodyError from error
    if not isinstance(value, dict):
        raise MalformedBodyError
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a name stands twice")
    return {name: value for name, value in pairs if value is not None}


def _integer(digits: str) -> int | float:
    """Return an int only up to 20 digits: no field takes more, and converting long ones costs square time."""
    return int(digits) if len(digits) <= INTEGER_DIGITS_MAX else float("inf")


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _refuse_deep(text: str) -> None:
    if text.count("[") + text.count("{") <= DEPTH_MAX:
        return
    depth = 0
    for token in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token.group(), 0)
        if depth > DEPTH_MAX:
            raise ValueError("nested too deep")
