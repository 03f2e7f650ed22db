"""Add what the whole contract needs: automatic recording, suspended jobs, record callbacks and their deliveries."""

from importlib import resources

from alembic import op

from soloist.jobs.migrations.engine import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run r0002_contract.sql."""
    script = resources.files("soloist.jobs.migrations.versions") / "r0002_contract.sql"
    run_script(op.get_bind(), script.read_text(encoding="utf-8"))
