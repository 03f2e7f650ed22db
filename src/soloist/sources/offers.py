"""Answering SDP offers off the event loop: what one costs is paid by nobody else.

A few threads answer; who waits for one is bounded, fairly by project, and a participant's offers are answered one at a
time. An offer that
uses up its processor time is refused, and its session closed should it come to be after all. Spec: RFC 9725 §4.2.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from soloist.core import OfferError
from soloist.model.errors import SourceError
from soloist.model.ids import AppId, ParticipantId, RoomId
from soloist.model.media import Codec, NegotiatedTrack

THREADS = 2
CPU_S_MAX = 0.25
"""Processor time an offer may take; a browser's takes 2 ms."""
WAIT_S_MAX = 5.0
"""How long its sender waits for the answer in all, other offers and a busy machine included."""
WAITING_MAX = 128
"""Beyond it only a project's that has less than an even share: its participants cost who mints their tokens nothing."""
WAITING_PER_PARTICIPANT_MAX = 4
"""A browser offers its camera and its screen at the same time."""

Answered = tuple[int, str, tuple[NegotiatedTrack, ...]]
"""Session number, answer and what will be sent."""
Participant = tuple[AppId, RoomId, ParticipantId]


class OffersBusyError(SourceError):
    """Too many offers wait to be answered; try again soon."""


@dataclass(slots=True)
class _Work:
    """One offer in a thread."""

    thread_id: int = 0
    began_cpu_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held while the thread's clock is read, so that it is still this offer's."""

    def run(self, answer: Callable[[], Answered]) -> Answered:
        self.began_cpu_s, self.thread_id = time.thread_time(), threading.get_ident()
        try:
            return answer()
        finally:
            with self.lock:
                self.thread_id = 0

    def cpu_s(self) -> float:
        """Return the processor time used so far; 0 before it begins and after its end."""
        with self.lock:
            if not self.thread_id:
                return 0.0
            return time.clock_gettime(time.pthread_getcpuclockid(self.thread_id)) - self.began_cpu_s


class Offers:
    """Answers offers; use from one event loop only."""

    def __init__(self, answer: Callable[[str, Sequence[Codec]], Answered], close: Callable[[int], None]) -> None:
        """`answer` may take its time and is called in a thread; `close` ends a session nobody waits for any more."""
        self._answer = answer
        self._close = close
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="soloist-offer")
        self._turns: dict[Participant, asyncio.Lock] = {}
        self._waiting: dict[Participant, int] = {}
        self._of_project: Counter[str] = Counter()
        """How many wait; none is 0."""
        self.refused_count = 0
        """Offers not looked at, because too many waited."""
        self.late_count = 0
        """Offers given up, because they took too long."""

    @property
    def waiting_count(self) -> int:
        """Offers that wait for their answer now."""
        return sum(self._waiting.values())

    async def answer(
        self, participant: Participant, offer: str, codecs: Sequence[Codec], *, project: str = ""
    ) -> Answered:
        """Answer an offer in turn; it counts to the share of `project`.

        Raises:
            OffersBusyError: too many wait already.
            OfferError: the offer cannot be answered, or not in the time it has.
        """
        waiting = self._waiting.get(participant, 0)
        refusal = None
        if waiting >= WAITING_PER_PARTICIPANT_MAX:
            refusal = f"{waiting} offers of this participant"
        elif self._has_its_share(project):
            refusal = f"{self.waiting_count} offers of this recorder"
        if refusal is not None:
            self.refused_count += 1
            raise OffersBusyError(f"{refusal} wait to be answered; try again")
        self._waiting[participant] = waiting + 1
        self._of_project[project] += 1
        try:
            async with self._turns.setdefault(participant, asyncio.Lock()):
                return await self._answer_now(offer, codecs)
        finally:
            self._of_project[project] -= 1
            self._of_project = +self._of_project
            self._waiting[participant] -= 1
            if not self._waiting[participant]:
                del self._waiting[participant], self._turns[participant]

    def _has_its_share(self, project: str) -> bool:
        """Tell whether nothing more of a project may wait: there is no room, and it has an even part of it."""
        share = WAITING_MAX // len({*self._of_project, project})
        return self.waiting_count >= WAITING_MAX and self._of_project[project] >= share

    async def _answer_now(self, offer: str, codecs: Sequence[Codec]) -> Answered:
        work, loop = _Work(), asyncio.get_running_loop()
        future = self._threads.submit(work.run, partial(self._answer, offer, codecs))
        answered, until_s = asyncio.wrap_future(future), loop.time() + WAIT_S_MAX
        try:
            while not answered.done() and work.cpu_s() < CPU_S_MAX and loop.time() < until_s:
                await asyncio.wait([answered], timeout=CPU_S_MAX / 5)
        finally:
            if not answered.done():
                self.late_count += 1
                future.add_done_callback(self._forsake)
        if not answered.done():
            raise OfferError("it takes too long to answer; offer less, or try again when the machine is less busy")
        return answered.result()

    def _forsake(self, future: "Future[Answered]") -> None:
        """Close what came to be after nobody waited for it any more."""
        if not future.cancelled() and future.exception() is None:
            self._close(future.result()[0])
