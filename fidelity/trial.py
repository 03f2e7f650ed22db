"""One scenario from its first packet to its verdict."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from uuid import uuid4

from fidelity.browser import CHROMIUM_S, page_reader, run_chromium
from fidelity.checker import Standard, Truth, Verdict, judge
from fidelity.evidence import Evidence, gather, pattern_reader
from fidelity.link import Conditions
from fidelity.plan import MISSING, Act, Plan
from fidelity.proxy import Running, proxy
from fidelity.publisher import LateError, prepare, run_pion, run_soloist
from fidelity.scenarios import Scenario
from fidelity.service import Job, Service

NS = 1_000_000_000
LEAD_S = 2.0
"""From the decision to begin to the pattern's time 0: publishers connect meanwhile."""
LAST_PACKET_S = 0.4
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Trial:
    """A scenario that was carried out."""

    scenario: Scenario
    truth: Truth
    found: Evidence
    verdict: Verdict


def run_trial(scenario: Scenario, service: Service, lead_s: float = LEAD_S) -> Trial:
    """Record a scenario and judge the files; a run the machine was too busy for is repeated."""
    for attempt in range(ATTEMPTS):
        try:
            job, epoch_ns, truth = record(scenario, service, lead_s)
            break
        except LateError:
            if attempt == ATTEMPTS - 1:
                raise
    if scenario.publisher == "chromium":
        reader = page_reader(scenario.sending.codec, epoch_ns)
    else:
        reader = pattern_reader(scenario.sending.codec, scenario.sending.fps)
    found = gather(service.manifests(job), service.path, reader, epoch_ns)
    return Trial(scenario, truth, found, judge(scenario.plan, truth, found, standard_of(scenario)))


def record(scenario: Scenario, service: Service, lead_s: float) -> tuple[Job, int, Truth]:
    """Carry a scenario out; return its job, the pattern's epoch and what was sent."""
    room = scenario.room or f"r-{uuid4().hex[:12]}"
    job = service.start(room, "alice", scenario.rule, **scenario.fields)
    try:
        prepare(scenario.plan, scenario.sending)
        lead_s += CHROMIUM_S * (scenario.publisher == "chromium")
        # A whole second: the page beeps by the wall clock's seconds.
        epoch_ns = (time.time_ns() + round(lead_s * 1e9)) // NS * NS + NS
        with ExitStack() as stack:
            via = stack.enter_context(_network(scenario, service, epoch_ns))
            stack.enter_context(_customer(scenario.plan, service, job, epoch_ns))
            endpoint = service.whip_url(job, scenario.stream)
            address = via.address if via else ""
            if scenario.publisher == "soloist":
                truth = run_soloist(scenario.plan, scenario.sending, endpoint)
            elif scenario.publisher == "chromium":
                truth = run_chromium(scenario.plan, scenario.sending, epoch_ns, endpoint, via=address)
            else:
                truth = run_pion(scenario.plan, scenario.sending, epoch_ns, endpoint, via=address)
        time.sleep(LAST_PACKET_S)
    finally:
        service.stop(job)
    return job, epoch_ns, truth


def schedule_of(scenario: Scenario) -> tuple[Conditions, ...]:
    """Return the network's conditions with the plan's blackouts among them."""
    schedule = list(scenario.network)
    for phase in scenario.plan.among(Act.BLACKOUT):
        before = max((c for c in scenario.network if c.from_ms <= phase.end_ms), key=lambda c: c.from_ms, default=None)
        after = {**(before.as_json() if before else {}), "from_ms": float(phase.end_ms)}
        schedule += [Conditions(float(phase.start_ms), is_dark=True), Conditions(**after)]
    return tuple(sorted(schedule, key=lambda conditions: conditions.from_ms))


@contextmanager
def _network(scenario: Scenario, service: Service, epoch_ns: int) -> Iterator[Running | None]:
    schedule = schedule_of(scenario)
    if not schedule:
        yield None
        return
    with proxy(service.instance.media_port, epoch_ns, scenario.sending.seed, schedule) as running:
        yield running


@contextmanager
def _customer(plan: Plan, service: Service, job: Job, epoch_ns: int) -> Iterator[None]:
    """Suspend and restart the job, and kill its recorder, as the plan says, beside the publisher."""
    orders = [(phase.start_ms, "SUSPEND") for phase in plan.among(Act.SUSPEND)]
    orders += [(phase.end_ms, "RESTART") for phase in plan.among(Act.SUSPEND)]
    orders += [(phase.start_ms, "KILL") for phase in plan.among(Act.KILL)]

    is_over = threading.Event()

    def give() -> None:
        for at_ms, action in sorted(orders):
            if is_over.wait(max(0.0, (epoch_ns - time.time_ns()) / NS + at_ms / 1000)):
                return
            if action == "KILL":
                service.instance.signal("recorder", signal.SIGKILL)
            else:
                service.control(job, action)

    thread = threading.Thread(target=give)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def standard_of(scenario: Scenario) -> Standard:
    """Return what a scenario is held to."""
    faults = [float(phase.end_ms) for phase in scenario.plan.phases if phase.act in MISSING]
    faults += [conditions.from_ms for conditions in scenario.network[1:]]
    is_copy = scenario.rule.audio == "copy" and not scenario.network
    return Standard(
        scenario.sending.frame_ms,
        tuple(faults),
        is_clean=scenario.is_clean,
        is_copy=is_copy,
        is_counted=scenario.publisher == "chromium",
    )
