"""The database's shape: what migrations make is what statements expect, however often and by however many."""

import concurrent.futures

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from soloist.jobs.database import psycopg_url
from soloist.jobs.migrate import migrate
from soloist.jobs.schema import metadata


def test_migrations_make_exactly_the_tables_that_statements_use(database_url):
    engine = create_engine(psycopg_url(database_url), connect_args={"options": "-c search_path=public"})
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        differences = compare_metadata(context, metadata)
    engine.dispose()
    assert differences == []


def test_processes_that_migrate_at_once_do_the_work_once(database_admin):
    with psycopg.connect(database_admin, autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated_by_many")
    url = database_admin.replace("/postgres?", "/migrated_by_many?")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [url] * 4))
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
    with psycopg.connect(database_admin, autocommit=True) as connection:
        connection.execute("DROP DATABASE migrated_by_many WITH (FORCE)")


def test_the_engines_tables_are_in_a_schema_of_their_own(database_url):
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE 'procrastinate%'"
        ).fetchall()
        comment = connection.execute("SELECT obj_description('procrastinate'::regnamespace)").fetchone()
    assert rows == [("procrastinate",)]
    assert comment[0].startswith("procrastinate 3.")
