"""`make attack`: carry out every attack beside a victim, print the table, and fail if anybody but the attacker paid."""

import argparse
import sys
import time
from pathlib import Path

from interop import pion
from support.instance import instance

from attack.catalogue import ATTACKS
from attack.overload import overload
from attack.plan import Outcome
from attack.run import carry_out
from attack.scene import Scene
from fidelity.__main__ import machine, write_docs
from fidelity.service import Service
from fidelity.table import render

SECONDS = 20.0
DOCS = Path(__file__).parents[1] / "docs" / "security.md"
OVERLOAD = "overload by honest streams"
HEADS = ("attack", "took", "victim's pictures", "filed", "memory", "descriptors", "health", "operator sees", "verdict")


def main() -> None:
    """Run what is asked for."""
    options = parse_options()
    pion.build()
    print(machine(), flush=True)
    chosen = [
        one for one in ATTACKS if not options.only or any(word in f"{one.row} {one.name}" for word in options.only)
    ]
    outcomes: list[Outcome] = []
    for number, attack in enumerate(chosen):
        began = time.monotonic()
        with instance() as running:
            outcomes.append(carry_out(attack, Scene(Service(running)), options.seconds, f"v{number}"))
        outcome = outcomes[-1]
        verdict = f"FAILED: {outcome.complaints}" if outcome.complaints else "ok"
        took = time.monotonic() - began
        print(f"attack: {attack.row} {attack.name}: {verdict} ({number + 1}/{len(chosen)}, {took:.0f} s)", flush=True)
        print(f"attack:   {'; '.join(row(outcome)[1:-1])}", flush=True)
        if outcome.cost.said:
            print(f"attack:   the attacker's program said: {outcome.cost.said[:300]}", flush=True)
    told, faults = _overloaded(options) if not options.only or OVERLOAD in options.only else ("", [])
    text = f"{machine()}; {options.seconds:g} s each\n\n{render([row(one) for one in outcomes], HEADS)}\n\n{told}"
    print(f"\n{text}")
    if options.docs:
        write_docs(text, DOCS)
    print("\n".join(faults))
    sys.exit(1 if faults or any(one.complaints for one in outcomes) else 0)


def _overloaded(options: argparse.Namespace) -> tuple[str, list[str]]:
    """Run the overload by honest streams; return what to tell of it and what is wrong."""
    with instance() as running:
        result = overload(Service(running), seconds=3 * options.seconds)
    return f"{OVERLOAD}: {result}", result.complaints


def parse_options() -> argparse.Namespace:
    """Return what the caller asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", help="only attacks with one of these words in their row or name")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long each; default %(default)g")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/security.md")
    return parser.parse_args()


def row(outcome: Outcome) -> tuple[str, ...]:
    """Return an attack's row."""
    harm = outcome.harm
    return (
        f"{outcome.attack.row} {outcome.attack.name}",
        outcome.cost.spent,
        f"{harm.recorded} of {harm.sent}",
        f"{harm.filed_s:.1f} s",
        f"{outcome.rss_growth_mb:+.0f} MB",
        str(outcome.descriptors),
        f"{outcome.health_share:.0%}",
        outcome.seen or "nothing",
        "FAILED" if outcome.complaints else "ok",
    )


if __name__ == "__main__":
    main()
