"""Let operators end what they gave: credentials, tokens, join keys, projects; and keep removed users out."""

from importlib import resources

from alembic import op

from soloist.jobs.migrations.engine import run_script

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run r0006_control.sql."""
    script = resources.files("soloist.jobs.migrations.versions") / "r0006_control.sql"
    run_script(op.get_bind(), script.read_text(encoding="utf-8"))
