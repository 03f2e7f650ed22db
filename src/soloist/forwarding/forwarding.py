"""One job's forwarding, as its recorder sees it: a child process kept running, told what to do, and listened to.

The child is started with the job's first media and again whenever it ends or falls silent, if there is a place for it;
URLs go to it by its socket, never by argv or environment. What it reports is summed up over its lives and told on. Runs
on the event loop; the samples go from the media thread to the child by `tap.py`. Spec: design section 2 (forwarder
children); rules R37, R38, R39, R42, R44.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from soloist.clock import utc_now
from soloist.forwarding.messages import HEADER, parse_header
from soloist.forwarding.tap import Tap
from soloist.forwarding.turn import Turn
from soloist.model.forward import ForwardState, TargetStatus
from soloist.model.ids import JobId
from soloist.sources.receiver import MediaBusyError, MediaStoppedError
from soloist.wire.places import Places
from soloist.wire.rtmp import masked, target_id

log = structlog.get_logger("soloist.forwarding")

SILENT_S = 10.0
"""A child that reports nothing for so long hangs, and is ended."""
PAUSE_S_MIN = 1.0
PAUSE_S_MAX = 60.0
STEADY_S = 30.0
"""A child that lived so long is started again after the shortest pause."""
FINISH_S = 2.5
"""How long the child may take to get the rest, and streams to end, when their job does: within a recorder's drain."""
HAND_OVER_LOOK_S = 0.02
"""Between two looks whether the child has taken what waited for it at the end."""
PERMIT_LOOK_S, PERMIT_WAIT_S = 0.1, 0.05
"""Between two looks whether the job is certainly ours, and how long the answer may take: it is there or it is not."""
TELL_LOOK_S = 0.5
TURN_LOOK_S = 0.5
"""Between two looks whether there is a place for a child."""
COUNTS_INTERVAL_S = 10.0
"""Between two times that counts are told on; changes of state are told at once."""
CHANGE_INTERVAL_S = 5.0
"""Between two changes of state of one target that are told as events; what lies between is not."""
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONPATH", "VIRTUAL_ENV")
"""What a child gets of our environment, beside how to log: no settings, so no secrets."""

Told = Callable[[Sequence[TargetStatus], Sequence[TargetStatus]], Awaitable[None]]
"""Takes where all targets stand, and those whose change of state is to be told as an event."""


@dataclass(frozen=True, slots=True)
class ForwardSettings:
    """What forwarders are told by the operator."""

    allowed_networks: tuple[str, ...] = ()
    denied_networks: tuple[str, ...] = ()
    """Beside the public ones."""
    stalled_s: float = 30.0
    log_format: str = "json"
    log_level: str = "info"


@dataclass(slots=True)
class ForwardTotals:
    """What all forwarding of a process does and did, and how much of it there may be; for metrics."""

    places: Places = field(default_factory=Places)

    running: "dict[JobId, Forwarding]" = field(default_factory=dict)
    ended: TargetStatus = field(default_factory=lambda: TargetStatus("", ""))
    """Sums over jobs that have ended."""

    def counts(self) -> dict[str, int]:
        """Return targets by state, and sums that only grow."""
        states = [status.state for forwarding in self.running.values() for status in forwarding.statuses]
        everything = [
            *(status for forwarding in self.running.values() for status in forwarding.all_statuses),
            self.ended,
        ]
        return {
            **{f"forward_{state.value}": states.count(state) for state in ForwardState if state != ForwardState.ENDED},
            "forward_refused": self.places.refused_count,
            "forward_bytes": sum(status.bytes_sent for status in everything),
            "forward_frames": sum(status.pictures_sent + status.sounds_sent for status in everything),
            "forward_frames_dropped": sum(status.frames_dropped for status in everything),
            "forward_retries": sum(status.retries for status in everything),
        }

    def end(self, job_id: JobId) -> None:
        """Take the counts of a job that has ended."""
        forwarding = self.running.pop(job_id, None)
        for status in forwarding.all_statuses if forwarding else ():
            self.ended = _sum(status, self.ended)


class Forwarding:
    """Forwards one job's media until it is finished or abandoned."""

    def __init__(
        self,
        job_id: JobId,
        *,
        settings: ForwardSettings,
        post: Callable[[Callable[[], None]], None],
        permit: Callable[[], Awaitable[None]],
        told: Told,
        earlier: Sequence[TargetStatus] = (),
        totals: ForwardTotals | None = None,
        project: str = "",
    ) -> None:
        """`post` runs work on the media thread; `permit` returns while the job is certainly ours.

        `earlier` is where its targets stood under earlier epochs: their counts go on.
        """
        self._loop, self._has_media = asyncio.get_running_loop(), asyncio.Event()
        self.tap = Tap(began=self._begin)
        self._turn = Turn(totals.places if totals else Places(), project)
        self._job_id = job_id
        self._settings = settings
        self._post = post
        self._permit = permit
        self._told = told
        self._totals = totals or ForwardTotals()
        self._urls: tuple[str, ...] = ()
        self._aims_count = 0
        """How often the targets changed: what a child reports of others than the present ones is out of date."""
        self._is_held = False
        self._process: asyncio.subprocess.Process | None = None
        self._earlier = {status.target_id: status for status in earlier}
        """Sums of children that have ended, and of targets that are none now, by target id."""
        self._statuses: dict[str, TargetStatus] = {}
        self._events: dict[str, tuple[ForwardState, float]] = {}
        """The last state of each target that was told as an event, and when."""
        self._told_at = 0.0
        self._told_last: tuple[TargetStatus, ...] = ()
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def statuses(self) -> tuple[TargetStatus, ...]:
        """Where each target stands."""
        return tuple(self._summed(url) for url in self._urls)

    @property
    def all_statuses(self) -> tuple[TargetStatus, ...]:
        """The same, and what targets got that are none now."""
        present = {status.target_id: status for status in self.statuses}
        return tuple({**self._earlier, **present}.values())

    def start(self, urls: Sequence[str]) -> None:
        """Begin to forward."""
        self._totals.running[self._job_id] = self
        self._set_targets(urls)
        works = {"child": self._run(), "permit": self._keep_permitted(), "telling": self._keep_telling()}
        self._tasks = [asyncio.create_task(work, name=f"forward {name}") for name, work in works.items()]

    def aim(self, urls: Sequence[str]) -> None:
        """Let these be the targets; those that were already are not interrupted."""
        self._set_targets(urls)
        self._order(self._aimed)

    def _set_targets(self, urls: Sequence[str]) -> None:
        """Keep the counts of targets that go: they may come back. What the tap drops is missed by those there are."""
        for url in set(self._urls) - set(urls):
            gone = self._summed(url)
            self._earlier[gone.target_id] = gone
            self._statuses.pop(gone.target_id, None)
        for url in set(urls) - set(self._urls):
            name = target_id(url)
            earlier = self._earlier.get(name, TargetStatus(name, masked(url)))
            self._earlier[name] = replace(earlier, frames_dropped=earlier.frames_dropped - self.tap.dropped_count)
        self._urls = tuple(urls)
        self._aims_count += 1

    @property
    def _aimed(self) -> Mapping[str, Any]:
        """The order to forward to the present targets."""
        return {"targets": self._urls, "aim": self._aims_count}

    async def finish(self, *, goes_on: bool = False) -> None:
        """End every stream in order, as far as its server lets us, and tell the last counts; nothing raises.

        With `goes_on`, the job's next recorder begins them again.
        """
        self._is_over = True
        deadline = time.monotonic() + FINISH_S
        try:
            await self._hand_over(deadline)
            left_s = max(0.0, deadline - time.monotonic())
            self._order({"finish": left_s})
            if self._process is not None:
                await asyncio.wait({self._tasks[0]}, timeout=left_s + 1)
        finally:
            await self._end()
        state = ForwardState.CONNECTING if goes_on else ForwardState.ENDED
        with contextlib.suppress(Exception):
            now_ms = int(utc_now().timestamp() * 1000)
            ended = [replace(status, state=state, since_ms=now_ms) for status in self.statuses]
            async with asyncio.timeout(FINISH_S):
                await self._told(ended, ())

    async def abandon(self) -> None:
        """Let go at once: the job is another recorder's."""
        self._is_over = True
        await self._end()

    async def _hand_over(self, deadline: float) -> None:
        """Have the child take what waits for it: with the samples ended, nobody else has the tap try again."""
        while self._turn.is_taken and self.tap.is_waiting and time.monotonic() < deadline:
            self._on_media(self.tap.flush)
            await asyncio.sleep(HAND_OVER_LOOK_S)

    async def _end(self) -> None:
        self._totals.end(self._job_id)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._on_media(self.tap.disconnect)
        self._kill()
        if self._process is not None:
            await self._process.wait()

    def _kill(self) -> None:
        """End the child at once, if there is one; another follows unless the job is over."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    @property
    def is_over(self) -> bool:
        """True once it has been finished or abandoned."""
        return self._is_over

    @property
    def is_shed(self) -> bool:
        """True while this side output is given up for the sake of recordings."""
        return self._turn.is_shed

    @property
    def is_running(self) -> bool:
        """True while there is a child, or one is about to be."""
        return self._turn.is_taken and not self._is_over

    def shed(self) -> None:
        """End the child, and have none until `restore`."""
        self._turn.is_shed = True
        log.warning("forwarder_shed", job_id=self._job_id)
        self._kill()

    def restore(self) -> None:
        """Go on when there is a place."""
        self._turn.is_shed = False

    def _begin(self) -> None:
        """Let there be a child: media has come. On the media thread."""
        with contextlib.suppress(RuntimeError):  # The loop is over, and everything with it.
            self._loop.call_soon_threadsafe(self._has_media.set)

    async def _take_turn(self) -> None:
        """Wait for the first media, then for a place among the forwarders."""
        await self._has_media.wait()
        while not self._turn.take():
            self._on_media(self.tap.let_go)
            await asyncio.sleep(TURN_LOOK_S)

    async def _run(self) -> None:
        """Run one child after another."""
        pause_s = PAUSE_S_MIN
        while not self._is_over:
            await self._take_turn()
            began = time.monotonic()
            try:
                await self._live()
            except OSError as error:
                log.error("forwarder_not_started", job_id=self._job_id, error=str(error))  # noqa: TRY400 - no traceback
            except Exception:
                log.exception("forwarder_failed", job_id=self._job_id)
            finally:
                self._turn.give_back()
            self._carry_over()
            if self._is_over:
                return
            if self.is_shed:
                continue
            pause_s = PAUSE_S_MIN if time.monotonic() - began > STEADY_S else min(pause_s * 2, PAUSE_S_MAX)
            log.error("forwarder_ended", job_id=self._job_id, restarting_in_s=pause_s)
            await asyncio.sleep(pause_s)

    async def _live(self) -> None:
        """Run a child to its end."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = await self._spawn(theirs)
            except BaseException:
                ours.close()  # Should a child have come of it, it ends by that.
                raise
        log.info("forwarder_started", job_id=self._job_id, pid=self._process.pid, targets_count=len(self._urls))
        reader, writer = await asyncio.open_connection(sock=ours.dup())
        try:
            self._on_media(lambda: self.tap.connect(ours))
            networks = {"allowed": self._settings.allowed_networks, "denied": self._settings.denied_networks}
            self._order({**networks, "stalled_s": self._settings.stalled_s})
            self._order({"hold": self._is_held, **self._aimed})
            await self._listen(reader)
        finally:
            writer.close()
            self._on_media(self.tap.disconnect)
            self._kill()
            await self._process.wait()

    async def _spawn(self, theirs: socket.socket) -> asyncio.subprocess.Process:
        """Start a child with its end of the socket as standard input."""
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "soloist", "forwarder"),
            stdin=theirs.fileno(),
            stdout=asyncio.subprocess.DEVNULL,
            env=self._environment(),
            start_new_session=True,
        )

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Take a child's reports until it ends or falls silent."""
        while True:
            try:
                async with asyncio.timeout(SILENT_S):
                    _, length = parse_header(await reader.readexactly(HEADER.size))
                    report = json.loads(await reader.readexactly(length))
            except (EOFError, OSError):
                return
            if report["aim"] == self._aims_count:
                self._statuses = {status["target_id"]: TargetStatus.of(status) for status in report["targets"]}
            if report["wants_keyframe"]:
                self._on_media(self._want_keyframe)

    def _want_keyframe(self) -> None:
        self.tap.wants_keyframe = True

    async def _keep_permitted(self) -> None:
        """Let go of the servers while another recorder may have taken the job. Spec: design section 6.2."""
        while True:
            permitted = asyncio.ensure_future(self._permit())
            done, _ = await asyncio.wait({permitted}, timeout=PERMIT_WAIT_S)
            if not done:
                self._is_held = True
                self._order({"hold": True})
                await permitted
                self._is_held = False
                self._order({"hold": False})
            await asyncio.sleep(PERMIT_LOOK_S)

    async def _keep_telling(self) -> None:
        """Tell on what has changed, the latest each time; while the database is away nothing queues up."""
        while True:
            await asyncio.sleep(TELL_LOOK_S)
            statuses, now = self.statuses, time.monotonic()
            changed = [status for status in statuses if self._is_news(status, now)]
            is_due = now - self._told_at > COUNTS_INTERVAL_S and statuses != self._told_last
            if changed or is_due or _states(statuses) != _states(self._told_last):
                try:
                    await self._told(statuses, changed)
                except Exception:
                    log.exception("forwarding_not_told", job_id=self._job_id)
                    return  # The job is another's: whoever holds it tells.
                self._told_at, self._told_last = now, statuses
                self._events |= {status.target_id: (status.state, now) for status in changed}
                for status in changed:
                    log.info("forward_changed", job_id=self._job_id, target=status.url, state=status.state.value)

    def _is_news(self, status: TargetStatus, now: float) -> bool:
        """Return whether a target's state is to be told as an event; that it begins to connect is none."""
        state, told_at = self._events.get(status.target_id, (ForwardState.CONNECTING, 0.0))
        return status.state is not state and now - told_at > CHANGE_INTERVAL_S

    def _summed(self, url: str) -> TargetStatus:
        """Return where a target stands, counts of earlier children and epochs included."""
        name = target_id(url)
        status = self._statuses.get(name, TargetStatus(name, masked(url)))
        status = replace(status, frames_dropped=status.frames_dropped + self.tap.dropped_count)
        return self._turn.told(_sum(status, self._earlier[name]))

    def _carry_over(self) -> None:
        """Keep the counts of a child that has ended."""
        for url in self._urls:
            summed = self._summed(url)
            dropped = summed.frames_dropped - self.tap.dropped_count
            retries = summed.retries + (summed.target_id in self._statuses and not self._is_over)
            self._earlier[summed.target_id] = replace(summed, frames_dropped=dropped, retries=retries)
        self._statuses = {}

    def _order(self, fields: Mapping[str, Any]) -> None:
        self._on_media(lambda: self.tap.order(fields))

    def _on_media(self, work: Callable[[], None]) -> None:
        """Have work done on the media thread; if that does not keep up, the next child is told everything."""
        try:
            self._post(work)
        except MediaStoppedError:
            pass  # Nothing is forwarded any more.
        except MediaBusyError:
            log.warning("forwarder_not_told", job_id=self._job_id)
            self._kill()

    def _environment(self) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        return inherited | {
            "SOLOIST_SUPERVISOR_PID": str(os.getpid()),
            "SOLOIST_LOG_FORMAT": self._settings.log_format,
            "SOLOIST_LOG_LEVEL": self._settings.log_level,
        }


def _sum(status: TargetStatus, earlier: TargetStatus) -> TargetStatus:
    """Return a status with the counts of an earlier one added."""
    return replace(
        status,
        since_ms=status.since_ms or earlier.since_ms,
        retries=status.retries + earlier.retries,
        bytes_sent=status.bytes_sent + earlier.bytes_sent,
        pictures_sent=status.pictures_sent + earlier.pictures_sent,
        sounds_sent=status.sounds_sent + earlier.sounds_sent,
        frames_dropped=status.frames_dropped + earlier.frames_dropped,
        last_error=status.last_error or earlier.last_error,
    )


def _states(statuses: Sequence[TargetStatus]) -> list[tuple[str, str, str]]:
    return [(status.target_id, status.state.value, status.last_error) for status in statuses]
