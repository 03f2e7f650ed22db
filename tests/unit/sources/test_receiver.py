"""The media thread runs what it is given in order, and one handler's fault ends only that handler."""

import threading
from collections.abc import Iterator

import pytest
from support.frames import audio_frame
from support.scripted_receiver import ScriptedReceiver

from soloist.model.errors import InternalError
from soloist.sources import receiver as receiver_module
from soloist.sources.receiver import MediaBusyError, MediaStoppedError, MediaThread


class Collector:
    """Keeps what it gets, or fails on it."""

    def __init__(self, fails: bool = False) -> None:
        self.items: list[object] = []
        self.errors: list[Exception] = []
        self.came = threading.Event()
        self._fails = fails

    def on_items(self, items: list[object]) -> None:
        if self._fails:
            raise ValueError("odd frame")
        self.items += items
        self.came.set()

    def on_failed(self, error: Exception) -> None:
        self.errors.append(error)
        self.came.set()


class Ticks:
    """Counts ticks, or fails on the first."""

    def __init__(self, fails: bool = False) -> None:
        self.times: list[int] = []
        self.came = threading.Event()
        self._fails = fails

    def on_tick(self, now_ns: int) -> None:
        self.times.append(now_ns)
        self.came.set()
        if self._fails:
            raise ValueError("no time")


@pytest.fixture
def core() -> ScriptedReceiver:
    return ScriptedReceiver()


@pytest.fixture
def media(core: ScriptedReceiver) -> Iterator[MediaThread]:
    thread = MediaThread(core)  # type: ignore[arg-type]
    thread.start()
    yield thread
    thread.stop()


def test_items_reach_the_handler_of_their_session_in_order(core: ScriptedReceiver, media: MediaThread) -> None:
    one, two = Collector(), Collector()
    media.call(lambda: (media.add_handler(1, one), media.add_handler(2, two))).result(5)

    core.emit(1, "a", "b")
    core.emit(2, "c")
    core.emit(1, "d")
    media.stop()

    assert (one.items, two.items) == (["a", "b", "d"], ["c"])


def test_a_handler_posted_before_its_items_never_misses_one(core: ScriptedReceiver, media: MediaThread) -> None:
    collector = Collector()

    media.post(lambda: media.add_handler(1, collector))
    core.emit(1, audio_frame(0))
    media.stop()

    assert collector.items == [audio_frame(0)]


def test_a_failing_handler_is_told_and_dropped_while_others_go_on(core: ScriptedReceiver, media: MediaThread) -> None:
    bad, good = Collector(fails=True), Collector()
    media.call(lambda: (media.add_handler(1, bad), media.add_handler(2, good))).result(5)

    core.emit(1, "x")
    core.emit(1, "y")
    core.emit(2, "z")
    media.stop()

    assert [str(error) for error in bad.errors] == ["odd frame"]
    assert good.items == ["z"]


def test_a_call_returns_its_result_or_raises_its_error(media: MediaThread) -> None:
    def fail() -> None:
        raise KeyError("gone")

    assert media.call(lambda: 6 * 7).result(5) == 42
    assert isinstance(media.call(fail).exception(5), KeyError)
    assert media.call(threading.get_ident).result(5) != threading.get_ident()


def test_posted_work_runs_in_order_and_a_failing_one_stops_nothing(media: MediaThread) -> None:
    ran: list[int] = []

    media.post(lambda: ran.append(1))
    media.post(lambda: {}[1])
    media.post(lambda: ran.append(2))

    assert media.call(lambda: list(ran)).result(5) == [1, 2]


def test_a_flood_of_posted_work_is_refused_not_kept(core: ScriptedReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "POSTED_COUNT_MAX", 3)
    idle = MediaThread(core)  # type: ignore[arg-type]
    for _ in range(3):
        idle.post(lambda: None)

    with pytest.raises(MediaBusyError):
        idle.post(lambda: None)


def test_stopping_runs_what_was_posted_and_refuses_what_comes_later(media: MediaThread) -> None:
    future = media.call(lambda: "done")

    media.stop()

    assert future.result(0) == "done"
    with pytest.raises(MediaStoppedError):
        media.post(lambda: None)


def test_stopping_hands_out_what_the_core_still_held(core: ScriptedReceiver, media: MediaThread) -> None:
    collector = Collector()
    media.call(lambda: media.add_handler(1, collector)).result(5)
    media.post(lambda: [core.emit(1, n) for n in range(50)])

    media.stop()

    assert collector.items == list(range(50))


def test_a_thread_that_does_not_end_is_reported(core: ScriptedReceiver) -> None:
    stuck, release = MediaThread(core), threading.Event()  # type: ignore[arg-type]
    stuck.start()
    stuck.post(lambda: release.wait(5))

    with pytest.raises(InternalError, match="did not end"):
        stuck.stop(timeout_s=0.01)
    release.set()
    stuck.stop()


def test_tickers_get_the_steady_time_and_a_failing_one_is_dropped(media: MediaThread) -> None:
    good, bad = Ticks(), Ticks(fails=True)
    media.post(lambda: (media.add_ticker(bad), media.add_ticker(good)))

    assert good.came.wait(5)
    media.stop()

    assert good.times[0] > 1_700_000_000 * 10**9
    assert len(bad.times) == 1


def test_answers_are_translated_into_our_nouns(media: MediaThread) -> None:
    session, answer, tracks = media.accept_offer("v=0", [])

    assert (session, answer) == (1, "v=0\r\ns=answer to v=0\r\n")
    assert [(track.mid, track.kind.value, [codec.value for codec in track.codecs]) for track in tracks] == [
        ("0", "audio", ["opus"]),
        ("1", "video", ["h264"]),
    ]


def test_work_behind_media_runs_after_what_was_received_before_it(core: ScriptedReceiver, media: MediaThread) -> None:
    collector, busy, seen = Collector(), threading.Event(), []
    media.call(lambda: media.add_handler(1, collector)).result(5)
    media.post(lambda: busy.wait(5) and None)
    core.emit(1, "a")
    core.emit(1, "b")
    behind = media.call_behind(lambda: [1], lambda is_complete: seen.append((is_complete, list(collector.items))))
    at_once = media.call(lambda: list(collector.items))
    busy.set()
    behind.result(5)

    assert at_once.result(5) == []
    assert seen == [(True, ["a", "b"])]


def test_work_behind_media_that_never_comes_runs_in_the_end_and_knows_it(
    core: ScriptedReceiver, media: MediaThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver_module, "PATIENCE_NS", 200_000_000)
    monkeypatch.setattr(core, "has_handed_out", lambda mark, sessions: False)

    assert media.call_behind(lambda: [1], lambda is_complete: is_complete).result(5) is False


def test_work_behind_media_runs_when_the_thread_ends(core: ScriptedReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    thread = MediaThread(core)  # type: ignore[arg-type]
    monkeypatch.setattr(core, "has_handed_out", lambda mark, sessions: False)
    thread.start()
    behind = thread.call_behind(lambda: [1], lambda is_complete: is_complete)
    thread.stop()

    assert behind.result(0) is True
