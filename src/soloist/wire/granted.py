"""What an operator lets a project reach in storage: buckets, or folders of them. Judges names; asks nobody.

A folder is a key's beginning up to a slash, written without that slash; the empty one is the whole bucket. Names are
compared letter for letter: whatever a key could be read as, it is in a folder only if it begins with the folder's text
and a slash, and `..` or an empty segment is in no key (`storage/bucket.py`).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from soloist.model.rule import DEFAULT_PREFIX, RecordRule

EVERY_BUCKET = "*"
"""In place of a bucket's name: every bucket of the location that no other project was granted by name."""

Place = tuple[str, str]
"""Location and bucket."""

_VARIABLE = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Grant:
    """One thing an operator gave a project."""

    location: str
    bucket: str
    """Its name, or `EVERY_BUCKET`."""
    folder: str = ""
    """Below which all keys are the project's; empty for all of the bucket."""

    @property
    def place(self) -> Place:
        """Where it is."""
        return self.location, self.bucket


@dataclass(frozen=True, slots=True)
class Reach:
    """All that a project was granted."""

    grants: tuple[Grant, ...] = ()
    others: frozenset[Place] = frozenset()
    """Buckets granted by name to other projects; needed only where one of `grants` names every bucket."""

    def folders(self, location: str, bucket: str) -> tuple[str, ...]:
        """Return the folders granted in a bucket, none within another; `("",)` for all of it, empty for nothing."""
        places = {(location, bucket)}
        if (location, bucket) not in self.others:
            places.add((location, EVERY_BUCKET))
        granted = sorted({grant.folder for grant in self.grants if grant.place in places})
        return tuple(
            folder for folder in granted if not any(is_below(folder, above) for above in granted if above != folder)
        )

    def holds(self, location: str, bucket: str, key: str) -> bool:
        """Return whether an object is within what was granted."""
        return any(is_below(key, folder) for folder in self.folders(location, bucket))


def is_below(name: str, folder: str) -> bool:
    """Return whether a key, or a folder, is in a folder or is that folder."""
    return not folder or name == folder or name.startswith(f"{folder}/")


def folders_of_rule(rule: RecordRule) -> tuple[str, ...]:
    """Return the folders that every key of a rule begins with, one for each of its templates, as deep as is certain."""
    templates = [config.prefix for config in (rule.mp4, rule.hls) if config is not None] or [DEFAULT_PREFIX]
    base = rule.address.object.removesuffix("/")
    return tuple(dict.fromkeys(_certain(base, template, rule.app_id) for template in templates))


def is_within(prefix: str, folders: Iterable[str]) -> bool:
    """Return whether whatever begins with `prefix` is in one of these folders."""
    return any(not folder or prefix.startswith(f"{folder}/") for folder in folders)


def reached_by(prefix: str, folders: Iterable[str]) -> tuple[str, ...]:
    """Return those of these folders in which every key begins with `prefix`, each with a slash at its end."""
    return tuple(f"{folder}/" for folder in folders if f"{folder}/".startswith(prefix))


def _certain(base: str, template: str, app_id: str) -> str:
    key = f"{base}/{template}" if base else template
    fixed = _VARIABLE.split(key.replace("{app_id}", app_id), maxsplit=1)[0]
    return fixed.rpartition("/")[0]
