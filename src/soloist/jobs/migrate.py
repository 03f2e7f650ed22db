"""Brings a database to the schema this release needs, before anything else touches it.

Many processes may start at once: an advisory lock lets one of them work and the others find the work done.
"""

from importlib import resources

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from soloist.jobs.database import CONNECT_ARGS, psycopg_url

LOCK_KEY = 0x501_0157
"""Of the advisory lock; any number nobody else uses in this database."""


def migrate(url: str) -> None:
    """Apply the revisions the database lacks, all in one transaction; blocks while another process does.

    Raises:
        SQLAlchemyError: the database is away or refuses; nothing was changed.
    """
    engine = create_engine(psycopg_url(url), connect_args=CONNECT_ARGS, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        _upgrade(connection)


def _upgrade(connection: object) -> None:
    from alembic import command  # noqa: PLC0415 - costs as much as all else; only this function needs it
    from alembic.config import Config  # noqa: PLC0415 - likewise

    config = Config()
    config.set_main_option("script_location", str(resources.files("soloist.jobs") / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
