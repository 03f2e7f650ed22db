"""`make fidelity`: run the scenarios and the interruptions, print the tables, and fail if a bound does not hold."""

import argparse
import os
import platform
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from interop import pion
from support.instance import instance

from fidelity.checker import CAUSES_RIGHT_MIN
from fidelity.interruptions import run_interruptions
from fidelity.plan import Act
from fidelity.scenarios import Scenario, all_scenarios
from fidelity.service import Service
from fidelity.table import confusion, render, row
from fidelity.trial import Trial, run_trial

AT_ONCE = 5
COUNT_MIN = 200
"""Interruptions."""
SEED = 1
ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "fidelity.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What part of a run showed, and what is wrong with it."""

    text: str
    faults: list[str]


def main() -> None:
    """Run what is asked for."""
    options = parse_options()
    began = time.monotonic()
    pion.build()
    print(f"{machine()}; {network()}; seed {options.seed}", flush=True)
    outcomes = []
    with instance() as running:
        service = Service(running)
        if options.part != "interruptions":
            outcomes.append(scenarios(service, options.only))
        if options.part != "scenarios" and not options.only:
            outcomes.append(interruptions(service, options.seed))
    text = "\n\n".join(outcome.text for outcome in outcomes)
    faults = [fault for outcome in outcomes for fault in outcome.faults]
    print(f"\n{text}\n\n{time.monotonic() - began:.0f} s, {len(faults)} faults")
    print("\n".join(faults))
    if options.docs:
        write_docs(f"{machine()}; {network()}; {len(faults)} faults\n\n{text}", DOCS)
    sys.exit(1 if faults else 0)


def parse_options() -> argparse.Namespace:
    """Return what the caller asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", help="only scenarios with one of these words in their names")
    parser.add_argument("--part", choices=("scenarios", "interruptions"), help="only this part")
    parser.add_argument("--seed", type=int, default=SEED, help="of the interruptions; default %(default)s")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/fidelity.md")
    return parser.parse_args()


def scenarios(service: Service, only: list[str] | None) -> Outcome:
    """Run the scenarios; those that have one of some words in their names, if there are any."""
    chosen = [one for one in all_scenarios() if not only or any(word in one.name for word in only)]
    trials, faults = run_all(chosen, service)
    faults += [f"{trial.scenario.name}: {said}" for trial in trials for said in complaints_of(trial)]
    held = sum(not complaints_of(trial) for trial in trials)
    text = render([row(trial.scenario.name, trial.verdict) for trial in trials])
    return Outcome(f"{text}\n{held} of {len(chosen)} scenarios hold", faults)


def run_all(chosen: list[Scenario], service: Service) -> tuple[list[Trial], list[str]]:
    """Run scenarios a few at a time; return them in their order, and which could not be run."""
    done: dict[str, Trial] = {}
    faults = []
    # A browser needs most of a core: one at a time, beside the others.
    with ThreadPoolExecutor(AT_ONCE) as pool, ThreadPoolExecutor(1) as pages:
        running = {
            (pages if scenario.publisher == "chromium" else pool).submit(run_one, scenario, service): scenario
            for scenario in chosen
        }
        for future in as_completed(running):
            name = running[future].name
            try:
                done[name] = future.result()
            except Exception as error:  # noqa: BLE001 - the others stand by themselves, and the run fails
                faults.append(f"{name}: {error!r}")
                say(faults[-1])
                continue
            said = complaints_of(done[name])
            say(f"{name}: {'FAILED: ' + said[0] if said else 'ok'} ({len(done)}/{len(chosen)})")
    return [done[scenario.name] for scenario in chosen if scenario.name in done], faults


def run_one(scenario: Scenario, service: Service) -> Trial:
    """Run a scenario; one that kills, in an instance of its own."""
    if not scenario.plan.among(Act.KILL):
        return run_trial(scenario, service)
    with instance() as victim:
        return run_trial(scenario, Service(victim))


def interruptions(service: Service, seed: int) -> Outcome:
    """Run the interruptions; their causes are judged together."""
    say("many interruptions: about a minute")
    trials, faults = run_interruptions(seed, service)
    causes = [cause for trial in trials for cause in trial.verdict.causes]
    right = sum(cause.planned == cause.said for cause in causes)
    faults += [f"{trial.scenario.name}: {said}" for trial in trials for said in trial.verdict.complaints]
    share = f"{right} of {len(causes)} interruptions declared with the right cause, {right / max(1, len(causes)):.1%}"
    if len(causes) < COUNT_MIN:
        faults.append(f"only {len(causes)} interruptions were judged, at least {COUNT_MIN} are wanted")
    if right < CAUSES_RIGHT_MIN * len(causes):
        faults += [share, *(said for trial in trials for said in trial.verdict.wrong_causes)]
    table = render([row(trial.scenario.name, trial.verdict) for trial in trials])
    return Outcome(f"{table}\n\n{confusion(causes)}\n{share}", faults)


def complaints_of(trial: Trial) -> list[str]:
    """Return all that is wrong with a trial."""
    return trial.verdict.complaints + trial.verdict.wrong_causes


def network() -> str:
    """Say by what the networks of this run are bad."""
    command = ["unshare", "-rn", "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    try:
        has_netem = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        has_netem = False
    return f"network: the seeded UDP proxy (this kernel {'has' if has_netem else 'offers no'} netem)"


def machine() -> str:
    """Name the machine by what matters here."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return f"{os.cpu_count()} x {models[0] if models else platform.machine()}, load {os.getloadavg()[0]:.1f}"


def write_docs(text: str, path: Path) -> None:
    """Put the tables in their place in the documentation."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n```\n{text}\n```\n\n{END}{after}")


def say(text: str) -> None:
    """Tell what is going on."""
    print(f"fidelity: {text}", flush=True)


if __name__ == "__main__":
    main()
