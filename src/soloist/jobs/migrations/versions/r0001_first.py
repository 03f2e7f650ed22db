"""Create the first tables, and procrastinate's in a schema of their own."""

from importlib import resources

from alembic import op

from soloist.jobs.migrations.engine import install_engine_schema, run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run r0001_first.sql, then procrastinate's own script."""
    connection = op.get_bind()
    script = resources.files("soloist.jobs.migrations.versions") / "r0001_first.sql"
    run_script(connection, script.read_text(encoding="utf-8"))
    install_engine_schema(connection)
