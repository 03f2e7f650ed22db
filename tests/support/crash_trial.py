"""One service that is harmed again and again while it records, and the verdict on what it left.

A trial keeps one service at a fixed place, one job, and a publisher that comes back whenever it is sent away. Each blow
is a kill -9 of one part (or a restart in order); the next one falls some time after the publisher is back, or, now and
then, while it is still away.
"""

import random
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from support.crash_verdict import RecordedFile, Verdict, judge, read_files
from support.instance import Instance, until
from support.sdk import Sdk
from support.steady import SteadyPublisher, steady_publisher, write_clip

VICTIMS = ("recorder",) * 15 + ("api",) * 2 + ("postgres",) * 2 + ("supervisor",)
"""How often each is drawn."""
KILLS_PER_RUN = 6
"""Then the service is restarted in order: its supervisor makes a child wait longer each time it falls."""
AGAIN = 0.15
"""How often a recorder that is only just starting is killed once more."""
CALM_S_MAX = 3.0
"""The longest time from the publisher's return to the next kill."""


@dataclass(slots=True)
class Kill:
    """One blow and when the service had recovered."""

    victim: str
    at_s: float
    """Unix seconds; of a restart in order, when it was asked for."""
    away_s: float = 0.0
    """From there to the publisher's next session; 0 if its session lived on."""
    epoch: int = 0
    """The job's epoch afterwards."""


@dataclass(slots=True)
class Trial:
    """One service and what was done to it."""

    number: int
    seed: int
    blows: Iterable[str]
    """What to harm, in this order; see `drawn` for a random one."""
    folder: Path
    kills: list[Kill] = field(default_factory=list)
    files: list[RecordedFile] = field(default_factory=list)
    verdict: Verdict | None = None
    error: BaseException | None = None

    def run(self) -> None:
        """Do it all; an error of any kind is kept for the main thread."""
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - told by whoever started it
            self.error = error

    def _run(self) -> None:
        service = Instance(self.folder)
        service.start()
        try:
            clip = write_clip(self.folder / "clip.mkv")
            job_id = Sdk(service.url).create(room_id="r", user_id="alice", max_idle_time=60).job_id
            with steady_publisher(clip, service.whip_url("r", "alice"), self.folder / "notes") as publisher:
                until(lambda: publisher.spans, 30, "the publisher does not connect")
                self._harm(service, publisher, job_id)
                time.sleep(2)
                self._finish(service, publisher, job_id)
        finally:
            service.stop()

    def _harm(self, service: Instance, publisher: SteadyPublisher, job_id: str) -> None:
        chance = random.Random(self.seed)
        for victim in self.blows:
            if victim != "restart":
                time.sleep(chance.uniform(0, CALM_S_MAX))
            again_s = chance.uniform(0, 2) if chance.random() < AGAIN else None
            self._strike(victim, service, publisher, job_id, again_s=again_s)

    def _strike(
        self, victim: str, service: Instance, publisher: SteadyPublisher, job_id: str, *, again_s: float | None = None
    ) -> None:
        """Kill one part and wait until the job is recorded again: by the same epoch, or by the next."""
        epoch = service.job(job_id)[1]
        kill = Kill(victim, time.time(), epoch=epoch)
        self.kills.append(kill)
        takes_media = victim in ("recorder", "supervisor", "restart")
        if victim == "restart":
            service.stop()
            service.start()
        elif victim == "supervisor":
            service.kill()
            service.start()
        else:
            service.signal(victim, signal.SIGKILL)
        last = kill
        if victim == "recorder" and again_s is not None:
            time.sleep(again_s)
            last = Kill(victim, time.time())
            self.kills.append(last)
            service.signal(victim, signal.SIGKILL)
        if takes_media:
            back_s = until(lambda: publisher.connected_after(last.at_s), 60, f"nobody publishes after {victim}")
            kill.away_s, last.away_s = back_s - kill.at_s, back_s - last.at_s
        service.wait_healthy()
        least = epoch + takes_media
        until(lambda: _runs(service, job_id, least), 30, f"job lost by {victim}: not RUNNING in epoch {least}")
        kill.epoch = last.epoch = service.job(job_id)[1]

    def _finish(self, service: Instance, publisher: SteadyPublisher, job_id: str) -> None:
        """Stop the job as a customer does, and judge what it left."""
        Sdk(service.url).stop(job_id)
        until(lambda: service.events(job_id)[-1] == "JobEnded", 60, "the job's end is not told")
        state, _, reason, _ = service.job(job_id)
        events = service.events(job_id)
        self.files = read_files(service.bucket)
        left = [path.name for path in service.spool.rglob("*") if path.is_file()]
        takes = [(kill.at_s, kill.away_s) for kill in self.kills if kill.victim in ("recorder", "supervisor")]
        restarts = [(kill.at_s, kill.away_s) for kill in self.kills if kill.victim == "restart"]
        self.verdict = judge(self.files, takes, restarts, sent=publisher.frames_count)
        if (state, reason) != ("STOPPED", "TENANT_STOP"):
            self.verdict.complaints.append(f"the job ended as {state} {reason}")
        if events.count("FileCompleted") != len(self.files) or left:
            self.verdict.complaints.append(f"{len(self.files)} files, {events}, left in the spool: {left}")


def drawn(seed: int, count: int) -> list[str]:
    """Return `count` victims as drawn, with a restart in order after every few."""
    chance = random.Random(~seed)
    blows = []
    for number in range(count):
        if number and number % KILLS_PER_RUN == 0:
            blows.append("restart")
        blows.append(chance.choice(VICTIMS))
    return blows


def _runs(service: Instance, job_id: str, least: int) -> bool:
    state, epoch, _, _ = service.job(job_id)
    return state == "RUNNING" and epoch >= least
