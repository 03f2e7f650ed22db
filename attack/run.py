"""Attacks beside a victim, and the verdict on them: one with a victim of its own, or several in turn beside one."""

import time
from collections.abc import Sequence
from dataclasses import replace

from attack.plan import Attack, Outcome
from attack.relay import relay
from attack.scene import Scene
from attack.victim import CALM_S, Harm, Victim
from attack.watch import Watch

RSS_GROWTH_MB_MAX = 300.0
DESCRIPTORS_MAX = 1024


def carry_out(attack: Attack, scene: Scene, seconds: float, room: str) -> Outcome:
    """Record a victim, attack for so many seconds, and judge what that did."""
    scene.app  # noqa: B018 - made before anything is measured
    spent = attack.before(scene) if attack.before is not None else ""
    with relay(scene.media_port) as between, Watch(scene.service.instance) as watch:
        victim = Victim(scene.service, room, seconds, via=between.address)
        victim.begin()
        cost = attack.run(scene, seconds, between)
        harm = victim.end()
    if spent:
        cost = replace(cost, spent=spent)
    return _judged(Outcome(attack, cost, harm), watch)


def carry_out_in_turn(attacks: Sequence[Attack], scene: Scene, seconds: float, victim_s: float) -> list[Outcome]:
    """Record one victim for so long and carry out all attacks meanwhile; the last outcome tells what became of it."""
    scene.app  # noqa: B018 - as above
    outcomes = []
    with relay(scene.media_port) as between:
        victim = Victim(scene.service, "in-turn", victim_s, via=between.address)
        victim.begin()
        until = time.monotonic() + victim_s + CALM_S
        for attack in attacks:
            with Watch(scene.service.instance) as watch:
                cost = attack.run(scene, seconds, between)
            outcomes.append(_judged(Outcome(attack, cost, Harm()), watch))
        late_s = time.monotonic() - until
        harm = victim.end()
    if late_s > 0:
        harm.complaints.append(f"the attacks outlasted their victim by {late_s:.0f} s")
    outcomes[-1].harm = harm
    outcomes[-1].complaints += harm.complaints
    return outcomes


def _judged(outcome: Outcome, watch: Watch) -> Outcome:
    outcome.rss_growth_mb, outcome.descriptors = watch.rss_growth_mb, watch.descriptors_max
    outcome.health_share = watch.health_share
    sees = outcome.attack.sees
    outcome.seen = next((f"{name} +{watch.grown(name):g}" for name in sees if watch.grown(name)), "")
    outcome.complaints = [*outcome.harm.complaints, *outcome.cost.complaints, *_complaints(outcome, watch)]
    return outcome


def _complaints(outcome: Outcome, watch: Watch) -> list[str]:
    said = []
    if outcome.rss_growth_mb > RSS_GROWTH_MB_MAX:
        said.append(f"memory grew by {outcome.rss_growth_mb:.0f} MB")
    if outcome.descriptors >= DESCRIPTORS_MAX:
        said.append(f"{outcome.descriptors} descriptors in one process")
    if outcome.health_share < 1.0:
        said.append(f"health was well in {outcome.health_share:.0%} of the looks")
    if not outcome.seen:
        said.append(f"no metric tells of it: {', '.join(outcome.attack.sees)}; those that grew: {watch.grew()}")
    return said
