"""The database's history: alembic revisions, applied at start under a lock. See `jobs/migrate.py`."""
