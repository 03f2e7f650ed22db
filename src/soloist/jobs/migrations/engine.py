"""procrastinate's own tables, installed from its package into their PostgreSQL schema.

The schema's comment names the release it came from, so that a later revision knows which of procrastinate's upgrade
scripts are still to be run.
"""

from importlib.metadata import version

from procrastinate.schema import SchemaManager
from psycopg import sql
from sqlalchemy import Connection

from soloist.jobs.database import ENGINE_SCHEMA


def run_script(connection: Connection, script: str) -> None:
    """Run a script of several statements in the connection's transaction; `%` means itself."""
    driver = connection.connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection was closed before its script")
    driver.execute(script)


def install_engine_schema(connection: Connection) -> None:
    """Create procrastinate's types, tables and functions, unqualified names resolved by the search path."""
    name = sql.Identifier(ENGINE_SCHEMA).as_string()
    release = sql.Literal(f"procrastinate {version('procrastinate')}").as_string()
    run_script(connection, f"CREATE SCHEMA {name}; SET LOCAL search_path TO {name};")
    run_script(connection, SchemaManager.get_schema())
    run_script(connection, f"SET LOCAL search_path TO public, {name}; COMMENT ON SCHEMA {name} IS {release};")
