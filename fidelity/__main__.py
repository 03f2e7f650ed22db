"""`make fidelity`: run the scenarios, print the table, and fail if a bound does not hold."""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

from interop import pion
from support.instance import instance

from fidelity.plan import Act
from fidelity.scenarios import Scenario, all_scenarios
from fidelity.service import Service
from fidelity.table import render, row
from fidelity.trial import Trial, run_trial

AT_ONCE = 5


def main() -> None:
    """Run what is asked for."""
    options = parse_options()
    began = time.monotonic()
    chosen = [s for s in all_scenarios() if not options.only or any(word in s.name for word in options.only)]
    pion.build()
    with instance() as running:
        trials = run_all(chosen, Service(running))
    print()
    print(render([row(trial.scenario.name, trial.verdict) for trial in trials]))
    complaints = [f"{trial.scenario.name}: {said}" for trial in trials for said in complaints_of(trial)]
    print(f"\n{len(trials)} scenarios in {time.monotonic() - began:.0f} s, {len(complaints)} complaints")
    print("\n".join(complaints))
    sys.exit(1 if complaints or len(trials) < len(chosen) else 0)


def parse_options() -> argparse.Namespace:
    """Return what the caller asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", help="only scenarios with one of these words in their names")
    return parser.parse_args()


def run_all(scenarios: list[Scenario], service: Service) -> list[Trial]:
    """Run scenarios a few at a time; return them in their order."""
    done: dict[str, Trial] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = {pool.submit(run_one, scenario, service): scenario for scenario in scenarios}
        for future in as_completed(running):
            name = running[future].name
            try:
                done[name] = future.result()
            except Exception as error:  # noqa: BLE001 - the others stand by themselves, and the run fails
                say(f"{name}: {error!r}")
                continue
            said = complaints_of(done[name])
            say(f"{name}: {'FAILED: ' + said[0] if said else 'ok'} ({len(done)}/{len(scenarios)})")
    return [done[scenario.name] for scenario in scenarios if scenario.name in done]


def run_one(scenario: Scenario, service: Service) -> Trial:
    """Run a scenario; one that kills, in an instance of its own."""
    if not scenario.plan.among(Act.KILL):
        return run_trial(scenario, service)
    with instance() as victim:
        return run_trial(scenario, Service(victim))


def complaints_of(trial: Trial) -> list[str]:
    """Return all that is wrong with a trial."""
    return trial.verdict.complaints + trial.verdict.wrong_causes


def say(text: str) -> None:
    """Tell what is going on."""
    print(f"fidelity: {text}", flush=True)


if __name__ == "__main__":
    main()
