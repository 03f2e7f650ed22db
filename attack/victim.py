"""Who is recorded while others attack: a publisher that knows every frame it sent, and a verdict on its files."""

import threading
import time
from dataclasses import dataclass, field

from fidelity.checker import Standard, Truth, judge
from fidelity.evidence import gather, pattern_reader
from fidelity.plan import Plan
from fidelity.publisher import Sending, prepare, run_pion
from fidelity.service import Job, Rule, Service

NS = 1_000_000_000
LEAD_S = 2.0
"""From the decision to begin to the first frame: the publisher connects meanwhile."""
CALM_S = 2.0
"""How long the victim is left alone at its beginning and at its end."""
TAKEN_S_MAX = 1.0
"""By when a job that was asked for has its recorder."""
FILED_S_MAX = 10.0
"""By when a job that was stopped has its files in the bucket."""
SENDING = Sending()


@dataclass
class Harm:
    """What an attack did to its victim; `complaints` is empty where it did nothing."""

    sent: int = 0
    recorded: int = 0
    filed_s: float = 0.0
    """From the stop to the last file in the bucket."""
    complaints: list[str] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Frames that were sent and are not in the files, declared or not."""
        return self.sent - self.recorded


class Victim:
    """One participant of project dev, recorded from before an attack until after it."""

    def __init__(self, service: Service, room: str, seconds: float, via: str = "") -> None:
        """`seconds` is the attack's length; `via` an address that stands for the media port."""
        self._service = service
        self._plan = Plan(seconds + 2 * CALM_S)
        self._room = room
        self._via = via
        self._job: Job | None = None
        self._truth: Truth | None = None
        self._error: Exception | None = None
        self._epoch_ns = 0
        self._taken_s = 0.0
        self._thread = threading.Thread(target=self._publish, name="victim")

    def begin(self) -> None:
        """Start the job and the publisher; return when the attack may begin."""
        prepare(self._plan, SENDING)
        self._service.app(Rule())
        began = time.monotonic()
        self._job = self._service.start(self._room, "alice", Rule())
        self._taken_s = time.monotonic() - began
        self._epoch_ns = (time.time_ns() + round(LEAD_S * NS)) // NS * NS + NS
        self._thread.start()
        time.sleep(max(0.0, (self._epoch_ns - time.time_ns()) / NS) + CALM_S)

    def end(self) -> Harm:
        """Wait for the publisher, stop the job and judge its files."""
        self._thread.join()
        if self._error is not None:
            return Harm(complaints=[f"the victim could not publish: {self._error}"])
        assert self._job is not None  # noqa: S101 - begun
        assert self._truth is not None  # noqa: S101 - it published
        time.sleep(0.4)
        stopped_at = time.monotonic()
        self._service.stop(self._job)
        try:
            manifests = self._service.manifests(self._job)
        except AssertionError as error:
            return Harm(len(self._truth.pictures), complaints=[str(error)])
        filed_s = time.monotonic() - stopped_at
        reader = pattern_reader(SENDING.codec, SENDING.fps)
        found = gather(manifests, self._service.path, reader, self._epoch_ns)
        verdict = judge(self._plan, self._truth, found, Standard(SENDING.frame_ms))
        harm = Harm(verdict.sent, verdict.recorded, filed_s, verdict.complaints)
        if harm.missing:
            harm.complaints.append(f"{harm.missing} of {harm.sent} pictures are not in the files")
        if declared := [hole for manifest in manifests for hole in manifest["missing"]]:
            harm.complaints.append(f"the manifest declares {declared[:3]}")
        if self._taken_s > TAKEN_S_MAX:
            harm.complaints.append(f"its job ran {self._taken_s:.1f} s after it was asked for")
        if filed_s > FILED_S_MAX:
            harm.complaints.append(f"its files came {filed_s:.1f} s after the stop")
        return harm

    def _publish(self) -> None:
        assert self._job is not None  # noqa: S101 - begun
        try:
            endpoint = self._service.whip_url(self._job)
            self._truth = run_pion(self._plan, SENDING, self._epoch_ns, endpoint, via=self._via)
        except Exception as error:  # noqa: BLE001 - told by `end`
            self._error = error
