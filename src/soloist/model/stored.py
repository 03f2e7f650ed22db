"""What lies in storage, as lists show it. Spec: API section 3 (ObsBucket, ObsObject)."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class FoundBucket:
    """A bucket of a location."""

    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object, or a folder of objects (its key ends with a slash)."""

    key: str
    size_bytes: int = 0
    modified_at: datetime | None = None
    """None for folders, which are only the beginnings of keys."""
