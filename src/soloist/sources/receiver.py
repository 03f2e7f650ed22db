"""The media thread: the only opener of the native `Receiver`, and the one thread that sees its frames.

It hands batches to the handler of their session, runs functions posted to it from other threads, and ticks twice a
second. It knows nothing of rooms or recordings. Order within one turn: posted functions, items, what waited behind
items, tick; so a handler added before its session's answer leaves this process never misses an item, and what is asked
for behind media never overtakes it.

Full queue of posted functions: the poster is refused (`MediaBusyError`). Items are bounded by the core.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol, TypeVar

import structlog

from soloist._core import Receiver  # noqa: TID251 - the only opener of the socket loop
from soloist.core import Item
from soloist.model.errors import InternalError, SourceError
from soloist.model.media import Codec, Kind, NegotiatedTrack
from soloist.sources.behind import PATIENCE_NS, Behind, Waiting

T = TypeVar("T")
log = structlog.get_logger("soloist.media")

TICK_INTERVAL_NS = 500_000_000
POSTED_COUNT_MAX = 10_000


class MediaBusyError(InternalError):
    """The media thread does not keep up; its queue of work is full."""


class MediaStoppedError(InternalError):
    """The media thread has stopped; this recorder is going down."""


class SessionHandler(Protocol):
    """Takes what one session received. All methods run on the media thread."""

    def on_items(self, items: Sequence[Item]) -> None:
        """Take a batch, in order of arrival."""

    def on_failed(self, error: Exception) -> None:
        """Learn that `on_items` raised `error`; nothing more follows."""


class Ticker(Protocol):
    """Wants to be called twice a second on the media thread, whether or not media flows."""

    def on_tick(self, now_ns: int) -> None:
        """Take the time: nanoseconds since the Unix epoch on the steady clock."""


class SteadyClock:
    """Nanoseconds since the Unix epoch that never jump: the monotonic clock plus an offset fixed at creation."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now_ns(self) -> int:
        """Return the present on the steady clock."""
        return time.monotonic_ns() + self._offset_ns


class MediaThread:
    """Runs one `Receiver` and everything that handles its media, in one thread of its own.

    `call`, `call_behind`, `post`, `accept_offer`, `request_keyframe`, `close_session` and `stop` may be used from any
    thread; `add_handler`, `remove_handler` and `add_ticker` only on the media thread itself (or before `start`).
    """

    def __init__(self, receiver: Receiver, *, clock: SteadyClock | None = None) -> None:
        self._receiver = receiver
        self._clock = clock or SteadyClock()
        self._posted: deque[Callable[[], None]] = deque()
        self._behind = Behind(receiver)
        self._handlers: dict[int, SessionHandler] = {}
        self._tickers: list[Ticker] = []
        self._tick_due_ns = 0
        self._state_lock = threading.Lock()
        self._is_stopping = False
        self._has_ended = False
        self._thread = threading.Thread(target=self._run, name="soloist-media", daemon=True)

    @property
    def port(self) -> int:
        """The UDP port media arrives on."""
        return self._receiver.port

    @property
    def is_running(self) -> bool:
        """True while media is handled."""
        return self._thread.is_alive()

    @property
    def thread_id(self) -> int | None:
        """The system's id of the thread; None before `start`."""
        return self._thread.native_id

    def start(self) -> None:
        """Begin to handle media."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Run what is posted, end every session, let handlers see the ends, and join the thread.

        Raises:
            InternalError: the thread is still busy after `timeout_s`.
        """
        with self._state_lock:
            self._is_stopping = True
        self._receiver.wake()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise InternalError(f"the media thread did not end within {timeout_s} s")

    def post(self, work: Callable[[], None]) -> None:
        """Run `work` soon on the media thread, after everything posted before it; its exception is only logged.

        Raises:
            MediaBusyError: too much is waiting already.
            MediaStoppedError: the thread has ended.
        """
        with self._state_lock:
            if self._has_ended:
                raise MediaStoppedError
            if len(self._posted) >= POSTED_COUNT_MAX:
                raise MediaBusyError
            self._posted.append(work)
        self._receiver.wake()

    def call(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` soon on the media thread and return its result as a future (see `asyncio.wrap_future`).

        Raises: as `post`.
        """
        future: Future[T] = Future()
        self.post(lambda: _settle(future, work))
        return future

    def call_behind(self, sessions: Callable[[], Collection[int]], work: Callable[[bool], T]) -> Future[T]:
        """Run `work` on the media thread after all media of `sessions` that was received until now.

        Both are called there. `work` is told whether all of it was handed out; after 5 s it runs without.

        Raises: as `post`.
        """
        future: Future[T] = Future()
        mark, until_ns = self._receiver.mark(), self._clock.now_ns() + PATIENCE_NS

        def run(is_complete: bool) -> None:  # noqa: FBT001 - its only argument
            _settle(future, lambda: work(is_complete))

        try:
            self.post(lambda: self._behind.add(Waiting(mark, sessions, run, until_ns)))
        except InternalError:
            self._receiver.forget_mark(mark)
            raise
        return future

    def accept_offer(self, offer: str, video_codecs: Sequence[Codec]) -> tuple[int, str, tuple[NegotiatedTrack, ...]]:
        """Answer an SDP offer; return the session's number, the answer and what will be sent. Does not block.

        Raises:
            OfferError: the offer is malformed or has nothing we can record (the publisher's fault).
        """
        session, answer, tracks = self._receiver.accept_offer(offer, video_codecs=[c.value for c in video_codecs])
        negotiated = tuple(
            NegotiatedTrack(t.mid, Kind(t.kind), tuple(Codec(c) for c in t.codecs), tuple(t.rids)) for t in tracks
        )
        return session, answer, negotiated

    def request_keyframe(self, session: int, mid: str, rid: str | None) -> None:
        """Ask a publisher for a keyframe; the core limits how often one is really sent."""
        self._receiver.request_keyframe(session, mid, rid)

    def restart_ice(self, session: int, ufrag: str, pwd: str) -> str:
        """Take a publisher's new ICE credentials; return the SDP fragment with ours. Blocks for a turn of the core.

        Raises:
            OfferError: the credentials are not ICE credentials.
            SessionGoneError: the session has ended.
        """
        return self._receiver.restart_ice(session, ufrag=ufrag, pwd=pwd)

    def close_session(self, session: int) -> None:
        """End a session; its handler sees `Closed` after what had arrived before."""
        self._receiver.close_session(session)

    def stats(self) -> dict[str, int]:
        """Return the core's counters since start."""
        return self._receiver.stats()

    def add_handler(self, session: int, handler: SessionHandler) -> None:
        """Route a session's items to `handler`, in place of an earlier one."""
        self._handlers[session] = handler

    def remove_handler(self, session: int) -> None:
        """Drop what else arrives for a session."""
        self._handlers.pop(session, None)

    def add_ticker(self, ticker: Ticker) -> None:
        """Call `ticker` twice a second from now on."""
        self._tickers.append(ticker)

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                self._turn(self._receiver.wait(self._until_tick_ms()))
            self._drain()
        except Exception:
            log.exception("media_thread_failed")
        finally:
            self._refuse_the_rest()

    def _turn(self, batches: Sequence[tuple[int, Sequence[Item]]]) -> None:
        self._run_posted()
        for session, items in batches:
            self._route(session, items)
        now_ns = self._clock.now_ns()
        self._behind.run_due(now_ns)
        if now_ns >= self._tick_due_ns:
            self._tick_due_ns = now_ns + TICK_INTERVAL_NS
            self._tick(now_ns)

    def _drain(self) -> None:
        """Close the receiver and hand out what it still holds, so that every file gets its last frames."""
        self._run_posted()
        self._receiver.close()
        while batches := self._receiver.wait(0):
            self._turn(batches)
        self._run_posted()
        self._behind.run_all()

    def _run_posted(self) -> None:
        # Only what waits now: work that posts more work must not keep media waiting.
        for _ in range(len(self._posted)):
            work = self._posted.popleft()
            try:
                work()
            except Exception:
                log.exception("posted_work_failed")

    def _route(self, session: int, items: Sequence[Item]) -> None:
        handler = self._handlers.get(session)
        if handler is None:
            return
        try:
            handler.on_items(items)
        except Exception as error:
            log.exception("session_handler_failed", session=session)
            self._handlers.pop(session, None)
            self._tell_failed(handler, error)

    def _tell_failed(self, handler: SessionHandler, error: Exception) -> None:
        try:
            handler.on_failed(error)
        except Exception:
            log.exception("session_handler_failed_twice")

    def _tick(self, now_ns: int) -> None:
        for ticker in tuple(self._tickers):
            try:
                ticker.on_tick(now_ns)
            except Exception:
                log.exception("ticker_failed")
                self._tickers.remove(ticker)

    def _until_tick_ms(self) -> int:
        if self._posted:
            return 0
        return max(0, min(TICK_INTERVAL_NS, self._tick_due_ns - self._clock.now_ns())) // 1_000_000 + 1

    def _refuse_the_rest(self) -> None:
        with self._state_lock:
            self._has_ended = True
        self._run_posted()
        self._behind.run_all()


def _settle(future: Future[T], work: Callable[[], T]) -> None:
    """Give a future what `work` returns or raises; a cancelled one is passed over."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for the future
        future.set_exception(error)


def open_media_thread(
    *,
    bind: str,
    port: int,
    public_addresses: Sequence[str],
    batch_interval_ms: int = 100,
    budget: Mapping[str, int] | None = None,
) -> MediaThread:
    """Open the UDP port and return its media thread, not yet started; `budget` is what one session may send.

    Raises:
        SourceError: the port cannot be bound; the message names it.
    """
    try:
        receiver = Receiver(
            bind=bind,
            port=port,
            public_addresses=list(public_addresses),
            batch_interval_ms=batch_interval_ms,
            budget=dict(budget or {}),
        )
    except OSError as error:
        raise SourceError(f"UDP {bind}:{port} cannot be opened ({error}); choose another port") from error
    return MediaThread(receiver)
