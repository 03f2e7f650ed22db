"""One clip for all, and one service for each file of tests, which harms it in its own way."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.instance import Instance, instance
from support.steady import write_clip


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mkv")


@pytest.fixture(scope="module")
def service() -> Iterator[Instance]:
    with instance() as running:
        yield running
