"""Identifiers and the alphabets they are held to.

Every id that can reach a path or an object key passes `parse_id` first (recording rule R56).
Spec: API section 1 (ids, room_id, user_id).
"""

import re
from typing import NewType

from soloist.model.errors import InvalidValueError

AppId = NewType("AppId", str)
RoomId = NewType("RoomId", str)
ParticipantId = NewType("ParticipantId", str)
JobId = NewType("JobId", str)
RuleId = NewType("RuleId", str)
ProjectId = NewType("ProjectId", str)

ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def parse_id(value: str, field: str, length_max: int = 64) -> str:
    """Return `value` unchanged if it is an id of at most `length_max` characters.

    Raises:
        InvalidValueError: anything else (the caller's fault); names the field and the alphabet.
    """
    if len(value) > length_max or not ID_PATTERN.fullmatch(value):
        raise InvalidValueError(f"{field} must be 1 to {length_max} characters of A-Z a-z 0-9 _ -")
    return value
