"""Fixtures of the publishers' tier: clips, servers, and the table that is printed at the end."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from interop import pion
from interop.clips import Clips
from interop.table import Table
from support.sdk import Sdk
from support.server import Server, private_server

TABLE = pytest.StashKey[Table]()


@dataclass(frozen=True)
class DevStage:
    """A development-mode instance on loopback."""

    server: Server

    @property
    def bucket(self) -> Path:
        return self.server.bucket

    def sdk(self) -> Sdk:
        return Sdk(self.server.url)

    def endpoint(self, room: str, user: str) -> tuple[str, str]:
        return self.server.whip_url(room, user), "devtoken"


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TABLE] = Table()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, whatever failed."""
    table = config.stash[TABLE]
    if table.rows:
        terminalreporter.section("publishers", sep="-")
        terminalreporter.write_line(table.render())


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> Table:
    return request.config.stash[TABLE]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Clips:
    return Clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="session")
def stage() -> Iterator[DevStage]:
    """The instance most publishers meet."""
    with private_server() as server:
        yield DevStage(server)


@pytest.fixture(scope="session")
def pion_publisher() -> str:
    """Version of the pion publisher, which is built and ready."""
    pion.build()
    return pion.version()
