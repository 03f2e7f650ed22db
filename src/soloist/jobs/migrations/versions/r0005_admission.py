"""Add what admission asks of recorders and jobs, and let a callback outlive its app."""

from importlib import resources

from alembic import op

from soloist.jobs.migrations.engine import run_script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run r0005_admission.sql."""
    script = resources.files("soloist.jobs.migrations.versions") / "r0005_admission.sql"
    run_script(op.get_bind(), script.read_text(encoding="utf-8"))
