"""Runs the scenarios of a test module side by side, a few at a time: each takes the clip's length whatever the machine.

A test asks for its own scenario's outcome; only the scenarios of selected tests run.
"""

from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Generic, TypeVar

import pytest

Key = TypeVar("Key", bound=Hashable)
Outcome = TypeVar("Outcome")
AT_ONCE = 5


class Crowd(Generic[Key, Outcome]):
    """Outcomes of all selected scenarios."""

    def __init__(self, futures: dict[Key, "Future[Outcome]"]) -> None:
        self._futures = futures

    def outcome(self, key: Key) -> Outcome:
        """Return what became of a scenario, or raise what it raised."""
        return self._futures[key].result()


@contextmanager
def crowd(
    request: pytest.FixtureRequest, parameter: str, run: Callable[[Key], Outcome]
) -> Iterator[Crowd[Key, Outcome]]:
    """Run every value of `parameter` among this module's selected tests; yield the outcomes."""
    mine = [item for item in request.session.items if getattr(item, "module", None) is request.module]
    chosen = [item.callspec.params for item in mine if hasattr(item, "callspec")]
    keys = [params[parameter] for params in chosen if parameter in params]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield Crowd({key: pool.submit(run, key) for key in dict.fromkeys(keys)})
