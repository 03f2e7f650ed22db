"""The database's shape: what migrations make is what statements expect, however often and by however many."""

import concurrent.futures
from importlib import resources

import psycopg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
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


BEFORE_GRANTS = """
INSERT INTO projects VALUES ('acme'), ('beta'), ('gone');
INSERT INTO apps (app_id, project_id, app_name, enabled, join_key, video_codecs, created_at)
    VALUES ('shop', 'acme', 'shop', true, '', '{}', now()), ('mall', 'beta', 'mall', true, '', '{}', now());
INSERT INTO record_rules (app_id, rule_id, location, body, created_at, updated_at)
    VALUES ('shop', 'r', 'here', '{"address": {"bucket": "recordings", "object": "shop"}}', now(), now()),
        ('mall', 'r', 'here', '{"address": {"bucket": "recordings", "object": "mall/"}}', now(), now()),
        ('mall', 's', 'there', '{"address": {"bucket": "other", "object": ""}}', now(), now());
INSERT INTO bucket_owners VALUES ('here', 'recordings', 'acme'), ('here', 'old', 'gone');
"""


def test_who_records_into_a_bucket_when_grants_come_is_granted_it(database_admin):
    with psycopg.connect(database_admin, autocommit=True) as connection:
        connection.execute("CREATE DATABASE before_grants")
    url = database_admin.replace("/postgres?", "/before_grants?")
    engine = create_engine(psycopg_url(url))
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(resources.files("soloist.jobs") / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        connection.exec_driver_sql(BEFORE_GRANTS)
    engine.dispose()
    migrate(url)
    with psycopg.connect(url) as connection:
        granted = connection.execute("SELECT * FROM bucket_grants ORDER BY 1, 2, 3").fetchall()
    with psycopg.connect(database_admin, autocommit=True) as connection:
        connection.execute("DROP DATABASE before_grants WITH (FORCE)")
    assert granted == [
        ("acme", "here", "recordings", ""),
        ("beta", "here", "recordings", "mall"),
        ("beta", "there", "other", ""),
        ("gone", "here", "old", ""),
    ]
