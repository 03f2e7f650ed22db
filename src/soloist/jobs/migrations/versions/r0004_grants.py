"""Let each project reach only the buckets its operator granted it; what it records into by now is granted."""

from importlib import resources

from alembic import op

from soloist.jobs.migrations.engine import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run r0004_grants.sql."""
    script = resources.files("soloist.jobs.migrations.versions") / "r0004_grants.sql"
    run_script(op.get_bind(), script.read_text(encoding="utf-8"))
