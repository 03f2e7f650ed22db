"""One attack beside its victim, and the verdict on it."""

from attack.plan import Attack, Outcome
from attack.relay import relay
from attack.scene import Scene
from attack.victim import Victim
from attack.watch import Watch

RSS_GROWTH_MB_MAX = 300.0
DESCRIPTORS_MAX = 1024


def carry_out(attack: Attack, scene: Scene, seconds: float, room: str) -> Outcome:
    """Record a victim, attack for so many seconds, and judge what that did."""
    scene.app  # noqa: B018 - made before anything is measured
    with relay(scene.media_port) as between, Watch(scene.service.instance) as watch:
        victim = Victim(scene.service, room, seconds, via=between.address)
        victim.begin()
        cost = attack.run(scene, seconds, between)
        harm = victim.end()
    outcome = Outcome(attack, cost, harm)
    outcome.rss_growth_mb, outcome.descriptors = watch.rss_growth_mb, watch.descriptors_max
    outcome.health_share = watch.health_share
    outcome.seen = next((f"{name} +{watch.grown(name):g}" for name in attack.sees if watch.grown(name)), "")
    outcome.complaints = [*harm.complaints, *cost.complaints, *_complaints(outcome, attack)]
    return outcome


def _complaints(outcome: Outcome, attack: Attack) -> list[str]:
    said = []
    if outcome.rss_growth_mb > RSS_GROWTH_MB_MAX:
        said.append(f"memory grew by {outcome.rss_growth_mb:.0f} MB")
    if outcome.descriptors >= DESCRIPTORS_MAX:
        said.append(f"{outcome.descriptors} descriptors in one process")
    if outcome.health_share < 1.0:
        said.append(f"health was well in {outcome.health_share:.0%} of the looks")
    if not outcome.seen:
        said.append(f"no metric tells of it: {', '.join(attack.sees)}")
    return said
