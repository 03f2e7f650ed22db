"""Notes beside spool files: what a later recorder must know to settle a file whose process died.

A note `<file>.note` is written when its file opens and removed when the file stands in the bucket; so what has a note
still has to be published. Spec: design section 5 (spool); rule R33.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from soloist.model.errors import InternalError
from soloist.model.rule import RecordFormat

SUFFIX = ".note"


@dataclass(frozen=True, slots=True)
class FileNote:
    """Where a spool file belongs."""

    job_id: str
    epoch: int
    path: Path
    key: str
    """Object key it was announced under, with extension."""
    record_format: RecordFormat
    location: str
    bucket: str
    origin_ns: int
    """Wall clock of the recording's origin, nanoseconds of Unix time."""
    start_ns: int
    """The file's first sample, nanoseconds from the origin."""
    detail: str


def write_note(note: FileNote) -> None:
    """Write a note beside its file, whole or not at all.

    Raises:
        InternalError: the spool refused it.
    """
    target = _note_path(note.path)
    draft = target.with_suffix(".draft")
    try:
        draft.write_text(json.dumps(asdict(note) | {"path": note.path.name}))
        draft.replace(target)
    except OSError as error:
        raise InternalError(f"The spool refused a note ({error.strerror}); free its disk.") from error


def read_notes(folder: Path) -> list[FileNote]:
    """Return the notes in a spool folder, by file name; one that cannot be read is left out."""
    notes = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            body = json.loads(path.read_text())
            body |= {"path": folder / Path(body["path"]).name, "record_format": RecordFormat(body["record_format"])}
            notes.append(FileNote(**body))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return notes


def remove_note(note: FileNote) -> None:
    """Remove a note: its file stands in the bucket. Harmless if it is gone."""
    _note_path(note.path).unlink(missing_ok=True)


def _note_path(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)
