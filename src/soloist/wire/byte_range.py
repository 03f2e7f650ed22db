"""The part of an object that a Range header asks for. Spec: RFC 9110 §14.1.2, §14.2."""

import re

from soloist.model.errors import RequestError

_SINGLE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*")


class RangeError(RequestError):
    """None of the object lies in the range asked for; ask for one within its size."""


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the first byte asked for and the one after the last; None for the whole object.

    What is no range, or several, is answered by the whole object, as the specification lets us.

    Raises:
        RangeError: the range begins behind the object's end, or is empty.
    """
    match = _SINGLE.fullmatch(header)
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = size - min(int(match[2]), size), size
    else:
        start, last = int(match[1]), int(match[2]) if match[2] else size
        if match[2] and last < start:
            return None
        end = min(last + 1, size)
    if start >= end:
        raise RangeError
    return start, end
