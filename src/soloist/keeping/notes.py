"""Notes beside spool files: what a later recorder must know to settle a file whose process died.

A note `<file>.note` is written when its file opens and removed when the file stands in the bucket; so what has a note
still has to be published. It says everything the manifest needs, so that a file outlives even its job's row.
Spec: design section 5 (spool); rule R33.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Protocol

from pydantic import Field, TypeAdapter

from soloist.model.errors import InternalError, InvalidValueError
from soloist.model.media import Codec, Kind
from soloist.model.rule import HlsConfig, RecordFormat
from soloist.model.timing import Missing
from soloist.sinks.matrix import Container
from soloist.storage.bucket import check_bucket_name, check_key
from soloist.storage.spool import NAME_PATTERN
from soloist.wire.manifest import ManifestJob

SUFFIX = ".note"

Nanoseconds = Annotated[int, Field(gt=-(1 << 62), lt=1 << 62)]
"""Such that the sum of two is a moment a calendar knows."""


class Coded(Protocol):
    """Whatever says of its picture whether it was transcoded."""

    @property
    def has_transcoded_picture(self) -> bool:
        """True if the picture is not the sender's own coding."""


def is_transcoded(kind: Kind, codec: Codec, written: Coded) -> bool:
    """Return whether a track is another coding than the sender's (rule R48). AAC always is: no browser sends it."""
    return codec is Codec.AAC or (kind is Kind.VIDEO and written.has_transcoded_picture)


@dataclass(frozen=True, slots=True)
class PlaylistTerms:
    """What a playlist promises to its end. Another epoch goes on with it if its own would promise the same."""

    container: Container
    codecs: dict[Kind, Codec]
    channels: int
    """Of sound; 0 without it."""
    config: HlsConfig
    folder: str
    """The rule's key prefix."""
    first_epoch: int = field(compare=False)
    """Which began it."""
    origin_ns: Nanoseconds = field(compare=False)
    """Wall clock of the origin of the recording that began it: its manifest's times count from there."""
    zero_ns: Nanoseconds = field(compare=False)
    """Wall clock of what its segments call 0."""
    has_transcoded_picture: bool = False
    """True if the picture is not the sender's own coding."""


@dataclass(frozen=True, slots=True)
class FileNote:
    """Where a spool file belongs."""

    job: ManifestJob
    path: Path
    key: str
    """Object key it was announced under, with extension."""
    record_format: RecordFormat
    location: str
    bucket: str
    origin_ns: Nanoseconds
    """Wall clock of the recording's origin, nanoseconds of Unix time."""
    start_ns: Nanoseconds
    """The file's first sample, nanoseconds from the origin."""
    detail: str
    playlist: PlaylistTerms | None = None
    """Of a playlist; None for one plain file."""
    has_transcoded_picture: bool = False
    """True if the picture is not the sender's own coding."""
    missing: tuple[Missing, ...] = ()
    """What was known to be missing before it when it opened, nanoseconds from the origin."""

    @property
    def job_id(self) -> str:
        """Whose file this is."""
        return self.job.job_id

    @property
    def epoch(self) -> int:
        """Under which take-over of the job it was written."""
        return self.job.epoch


_NOTES = TypeAdapter(FileNote)
_MOMENTS = TypeAdapter(tuple[Nanoseconds, Nanoseconds])


def write_note(note: FileNote) -> None:
    """Write a note beside its file, whole or not at all.

    Raises:
        InternalError: the spool refused it.
    """
    target = _note_path(note.path)
    draft = target.with_suffix(".draft")
    try:
        draft.write_bytes(_NOTES.dump_json(replace(note, path=Path(note.path.name))))
        draft.replace(target)
    except OSError as error:
        raise InternalError(f"The spool refused a note ({error.strerror}); free its disk.") from error


def parse_note(data: bytes, folder: Path) -> FileNote:
    """Return the note of a file in `folder`.

    Raises:
        ValueError: it is not a note of ours, or leads out of its folder or its bucket.
    """
    note = _NOTES.validate_json(data, strict=True)
    name = str(note.path)
    try:
        check_key(note.key)
        check_bucket_name(note.bucket)
    except InvalidValueError as error:
        raise ValueError(str(error)) from error
    for missing in note.missing:
        _MOMENTS.validate_python((missing.start_ns, missing.end_ns))
    if not NAME_PATTERN.fullmatch(name):
        raise ValueError("a note names one plain file")
    return replace(note, path=folder / name)


def read_notes(folder: Path) -> list[FileNote]:
    """Return the notes in a spool folder, by file name; one that cannot be read is left out."""
    notes = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            notes.append(parse_note(path.read_bytes(), folder))
        except (OSError, ValueError):
            continue
    return notes


def remove_note(note: FileNote) -> None:
    """Remove a note: its file stands in the bucket. Harmless if it is gone."""
    _note_path(note.path).unlink(missing_ok=True)


def _note_path(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)
