"""Connections to PostgreSQL: one dialect, one driver, the same safety belts everywhere.

A half-open connection must not hold a recorder for hours: keepalives and TCP_USER_TIMEOUT end it within 10 s, and a
statement that takes longer than 30 s is cancelled by the server.
"""

import select
from typing import Any

import psycopg
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

ENGINE_SCHEMA = "procrastinate"
"""The PostgreSQL schema that holds procrastinate's tables and functions."""

CONNECT_ARGS: dict[str, Any] = {
    "options": f"-c search_path=public,{ENGINE_SCHEMA} -c timezone=UTC -c statement_timeout=30000",
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""libpq parameters of every connection."""


def open_database(url: str, *, connections_max: int = 10) -> AsyncEngine:
    """Return an engine that connects when first used; dispose of it when done.

    A connection the server has left is not lent, so that a restart of PostgreSQL costs no request.
    """
    database = create_async_engine(
        psycopg_url(url),
        connect_args=CONNECT_ARGS,
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=10,
        # Statements' values are secrets now and then; errors with them end in logs.
        hide_parameters=True,
    )
    event.listen(database.sync_engine, "checkout", _refuse_if_left)
    return database


class DatabaseProbe:
    """Asks whether the database answers, by a connection of its own that is made again when it is lost.

    Not from the pool: a pool that is lent out says nothing of the database.
    """

    def __init__(self, url: str) -> None:
        self._conninfo = conninfo(url)
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def ask(self) -> None:
        """Return if it answers. Raises psycopg.Error."""
        connection, self._connection = self._connection, None
        if connection is None or connection.closed:
            options = {**CONNECT_ARGS, "connect_timeout": 2}
            connection = await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True, **options)
        try:
            await connection.execute("SELECT 1")
        except BaseException:
            await connection.close()
            raise
        self._connection = connection


def has_farewell(fileno: int) -> bool:
    """Tell whether the server broke its silence between statements, which means that it is gone or going.

    A glance at the socket instead of a round trip: half of an idle recorder's statements would be such questions.
    """
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return bool(poll.poll(0))


def _refuse_if_left(adapted: Any, _record: object, _proxy: object) -> None:
    if adapted.driver_connection.closed or has_farewell(adapted.driver_connection.fileno()):
        raise DisconnectionError


def psycopg_url(url: str) -> URL:
    """Return a database URL with our driver named, whatever driver or none it names."""
    return make_url(url).set(drivername="postgresql+psycopg")


def conninfo(url: str) -> str:
    """Return the same URL as libpq understands it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
