"""Add what recording fidelity needs: what is to become of VP8, and forwarding, with or without a record rule."""

from importlib import resources

from alembic import op

from soloist.jobs.migrations.engine import run_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run r0003_fidelity.sql."""
    script = resources.files("soloist.jobs.migrations.versions") / "r0003_fidelity.sql"
    run_script(op.get_bind(), script.read_text(encoding="utf-8"))
