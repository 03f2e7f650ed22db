"""`soloist backup` and `soloist restore`: everything the database knows, and what names this installation, in one file.

The file is a zip: one `tables/<name>.copy` for each table, in PostgreSQL's COPY text format, all from one snapshot, and
at last `soloist.json`, which says what is in it. So it is independent of PostgreSQL's version and programs, and a file
that was cut off is known by its missing end. Queued work is not in it: recorders queue every live job anew.
"""

import asyncio
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from soloist import __version__
from soloist.clock import utc_now
from soloist.jobs.schema import metadata
from soloist.service.admin import Office
from soloist.service.errors import StartError
from soloist.service.settings import node_id_of, object_key_of

FORMAT = "soloist-backup-1"
CONTENTS = "soloist.json"
CONTENTS_BYTES_MAX = 1024 * 1024
PIECE_BYTES = 1024 * 1024
LEFT_OUT = frozenset({"slots"})
"""Which recorder serves a slot right now means nothing later."""
FORGOTTEN = {"jobs": ("engine_id",)}
"""Columns that name what is not in the file."""


class TableContents(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(frozen=True)

    columns: tuple[str, ...] = Field(min_length=1)
    rows: int = Field(ge=0)


class Contents(BaseModel):
    """What a backup's `soloist.json` says."""

    model_config = ConfigDict(frozen=True)

    format: str
    version: str
    """Of the Soloist that wrote it."""
    made_at: str
    node_id: str = Field(pattern=r"^[0-9a-f]{12}$")
    object_key: str = Field(min_length=32)
    tables: dict[str, TableContents]


async def backup_written(office: Office, target: Path) -> None:
    """Write a backup; see `write_backup`."""
    await asyncio.to_thread(write_backup, office, target)


async def backup_restored(office: Office, source: Path, contents: "Contents") -> None:
    """Restore a backup; see `restore_backup`."""
    await asyncio.to_thread(restore_backup, office, source, contents)


def write_backup(office: Office, target: Path) -> None:
    """Write a backup of a database that may be in use; the file appears when it is whole, for this user alone.

    Raises:
        StartError: the file exists, or cannot be written.
    """
    if target.exists():
        raise StartError(f"{target} exists; choose another name")
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with (
            _new_file(draft) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            contents = _dump(office, archive)
            archive.writestr(CONTENTS, contents.model_dump_json(indent=2))
        os.link(draft, target)
    except FileExistsError as error:
        raise StartError(f"{target} exists; choose another name") from error
    except OSError as error:
        raise StartError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        draft.unlink(missing_ok=True)
    rows = ", ".join(f"{table.rows} {name}" for name, table in contents.tables.items() if table.rows)
    office.out.print(f"{target} written: {rows or 'no rows'}. It holds secrets; keep it as safe as the database.")


def read_contents(source: Path) -> Contents:
    """Return what a backup says of itself, once every byte of it was read and found undamaged.

    Raises:
        StartError: it is no backup, cut off, damaged, or of a newer Soloist.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise StartError(f"{source} is damaged in {damaged}; use another backup")
            if archive.getinfo(CONTENTS).file_size > CONTENTS_BYTES_MAX:
                raise StartError(f"{source} is no backup of Soloist")
            contents = Contents.model_validate_json(archive.read(CONTENTS))
            names = set(archive.namelist())
    except OSError as error:
        raise StartError(f"{source} cannot be read: {error.strerror}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise StartError(f"{source} is no backup, or only the beginning of one; use another") from error
    except (KeyError, ValidationError, ValueError) as error:
        raise StartError(f"{source} is no backup of Soloist") from error
    _check(contents, source, names)
    return contents


def restore_backup(office: Office, source: Path, contents: Contents) -> None:
    """Fill an empty database from a backup whose contents were read; all of it or nothing.

    Raises:
        StartError: the database is not empty, or does not take what is in the file.
    """
    try:
        with zipfile.ZipFile(source) as archive, psycopg.connect(office.url) as connection:
            _refuse_unless_empty(connection)
            for name in _names():
                if name in contents.tables:
                    _load(connection, archive, name, contents.tables[name])
    except psycopg.Error as error:
        raise StartError(f"The database does not take {source}: {str(error).splitlines()[0]}") from error
    # Last, for what they name is there now; a run that broke off before can be repeated.
    _replace(office.data / "node_id", contents.node_id)
    _replace(office.data / "object_key", contents.object_key)
    rows = sum(table.rows for table in contents.tables.values())
    office.out.print(f"{rows} rows restored from {source}, made {contents.made_at} by Soloist {contents.version}.")


def _dump(office: Office, archive: zipfile.ZipFile) -> Contents:
    """Write every table as it was at one moment."""
    tables = {}
    with psycopg.connect(office.url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        for name in _names():
            with archive.open(f"tables/{name}.copy", "w", force_zip64=True) as file:
                tables[name] = _save(connection, name, file)
    return Contents(
        format=FORMAT,
        version=__version__,
        made_at=utc_now().isoformat(timespec="seconds"),
        node_id=node_id_of(office.data),
        object_key=object_key_of(office.data),
        tables=tables,
    )


def _save(connection: psycopg.Connection[Any], name: str, file: IO[bytes]) -> TableContents:
    columns = _columns(name)
    query = sql.SQL("COPY {} ({}) TO STDOUT").format(sql.Identifier("public", name), _listed(columns))
    with connection.cursor() as cursor:
        with cursor.copy(query) as copy:
            for data in copy:
                file.write(data)
        return TableContents(columns=columns, rows=cursor.rowcount)


def _load(connection: psycopg.Connection[Any], archive: zipfile.ZipFile, name: str, table: TableContents) -> None:
    query = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier("public", name), _listed(table.columns))
    with connection.cursor() as cursor, archive.open(f"tables/{name}.copy") as file:
        with cursor.copy(query) as copy:
            while data := file.read(PIECE_BYTES):
                copy.write(data)
        if cursor.rowcount != table.rows:
            raise StartError(f"{name} has {cursor.rowcount} rows in the backup instead of {table.rows}")


def _refuse_unless_empty(connection: psycopg.Connection[Any]) -> None:
    for name in [*_names(), *LEFT_OUT]:
        query = sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier("public", name))
        if connection.execute(query).fetchone() is not None:
            raise StartError(
                f"The database is not empty ({name}); restore into a data folder that has not been used yet"
            )


def _check(contents: Contents, source: Path, names: set[str]) -> None:
    """Return if this Soloist knows everything that a backup has.

    Raises:
        StartError: it does not, or the backup lacks what it says it has.
    """
    if contents.format != FORMAT:
        raise StartError(f"{source} is a backup of another kind ({contents.format}); use the Soloist that wrote it")
    for name, table in contents.tables.items():
        if name not in _names() or not set(table.columns) <= set(_columns(name)):
            raise StartError(f"{source} was written by a newer Soloist ({contents.version}); restore it with that one")
        if f"tables/{name}.copy" not in names:
            raise StartError(f"{source} lacks the table {name}; use another backup")


def _names() -> list[str]:
    """Return the tables of a backup, those that others refer to first."""
    return [table.name for table in metadata.sorted_tables if table.name not in LEFT_OUT]


def _columns(name: str) -> tuple[str, ...]:
    return tuple(column.name for column in metadata.tables[name].columns if column.name not in FORGOTTEN.get(name, ()))


def _listed(columns: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with _new_file(draft) as file:
        file.write(f"{text}\n".encode("ascii"))
    draft.replace(path)


def _new_file(path: Path) -> IO[bytes]:
    """Return a new file for this user alone."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
