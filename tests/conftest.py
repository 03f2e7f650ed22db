"""Fixtures of every tier: the async backend, and a real PostgreSQL started once a session when a test first asks."""

import functools
import signal

import hypothesis
import pytest
from support.database import database_server, fresh_database

# A shell that starts its jobs in the background has them ignore Ctrl-C, and what is ignored is inherited: the children
# that tests end by Ctrl-C would not hear it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Time on a shared machine says nothing about a property, and the first text drawn on a new machine builds a table of
# Unicode, which takes a second.
hypothesis.settings.register_profile("soloist", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("soloist")


TOLD = "told"
"""Name of the property that holds a line of figures."""


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


@pytest.fixture
def tell(record_property):
    """Print a line with a test's figures at the end of the run, also from a worker process."""
    return functools.partial(record_property, TOLD)


def pytest_terminal_summary(terminalreporter):
    """Print what tests had to tell."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports if hasattr(report, "when")]
    lines = [text for report in reports for name, text in getattr(report, "user_properties", ()) if name == TOLD]
    if lines:
        terminalreporter.section("figures")
        for line in dict.fromkeys(lines):
            terminalreporter.line(line)


@pytest.fixture
def spooled(tmp_path):
    """Write a finished file of the given bytes and return its path."""

    def write(data):
        path = tmp_path / f"spooled-{len(list(tmp_path.iterdir()))}.mp4"
        path.write_bytes(data)
        return path

    return write
