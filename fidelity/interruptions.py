"""At least 200 interruptions, drawn from seeds: several participants at once, each cut off again and again.

Whether the manifest says the right cause is judged once per interruption, by the plan; everything else a scenario is
held to holds here too.
"""

import time
from concurrent.futures import ThreadPoolExecutor

from fidelity.plan import Act, drawn
from fidelity.publisher import Sending
from fidelity.scenarios import Scenario
from fidelity.service import Service
from fidelity.trial import Trial, run_trial

ACTS = (Act.MUTE_AUDIO, Act.MUTE_VIDEO, Act.LOSE_AUDIO, Act.LOSE_VIDEO, Act.LEAVE, Act.BLACKOUT, Act.SUSPEND)
PARTICIPANTS, EACH = 16, 13
FPS = 20
LEAD_S = 6.0
"""Many connect beside each other."""
APART_S = 0.5
"""From one participant's beginning to the next: sixteen handshakes at once take a busy machine longer than patience."""


def participants(seed: int, count: int = PARTICIPANTS) -> list[Scenario]:
    """Return the participants of a run; the same seed, the same plans."""
    return [
        Scenario(
            f"interrupted participant {n + 1}",
            drawn(seed + n, ACTS, EACH),
            # What is lost stays lost, so that the plan knows what must be missing.
            Sending(fps=FPS, identity=n + 1, nack=False, rtx=False, seed=seed + n),
        )
        for n in range(count)
    ]


def run_interruptions(seed: int, service: Service) -> tuple[list[Trial], list[str]]:
    """Run all participants at once; return their trials, and which could not be run."""
    chosen = participants(seed)
    trials, faults = [], []
    with ThreadPoolExecutor(len(chosen)) as pool:
        running = []
        for scenario in chosen:
            running.append((scenario, pool.submit(run_trial, scenario, service, LEAD_S)))
            time.sleep(APART_S)
        for scenario, future in running:
            try:
                trials.append(future.result())
            except Exception as error:  # noqa: BLE001 - the others stand by themselves, and the run fails
                faults.append(f"{scenario.name}: {error!r}")
    return trials, faults
