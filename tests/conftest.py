"""Fixtures of every tier: the async backend, and a real PostgreSQL started once a session when a test first asks."""

import pytest
from support.database import database_server, fresh_database


@pytest.fixture(scope="session")
def anyio_backend():
    return "asyncio"


@pytest.fixture(scope="session")
def database_admin():
    """URL of the session's PostgreSQL."""
    with database_server() as admin:
        yield admin


@pytest.fixture
def database_url(database_admin):
    """URL of a migrated database of the test's own."""
    with fresh_database(database_admin) as url:
        yield url
