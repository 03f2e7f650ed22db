"""The short scenarios of `make fidelity`, which has them all: what was sent is in the files, in sync and declared."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from interop import pion
from support.instance import instance

from fidelity.scenarios import Scenario, all_scenarios
from fidelity.service import Service
from fidelity.trial import Trial, run_trial

SHORT = [scenario for scenario in all_scenarios() if scenario.is_short]


@pytest.fixture(scope="module")
def trials() -> Iterator[dict[str, "Future[Trial]"]]:
    """All of them, three at a time: each takes its plan's length whatever the machine."""
    pion.build()
    with instance() as running, ThreadPoolExecutor(3) as pool:
        service = Service(running)
        yield {scenario.name: pool.submit(run_trial, scenario, service) for scenario in SHORT}


@pytest.mark.parametrize("scenario", SHORT, ids=lambda scenario: scenario.name)
def test_what_was_sent_is_in_the_files_in_sync_and_what_is_missing_is_declared(
    trials, scenario: Scenario, tell
) -> None:
    verdict = trials[scenario.name].result().verdict

    tell(
        f"{scenario.name}: A/V {verdict.median_ms:.1f}/{verdict.worst_ms:+.1f} ms, {verdict.recorded} of {verdict.sent}"
    )
    assert verdict.complaints + verdict.wrong_causes == []
