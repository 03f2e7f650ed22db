"""A `_core.Receiver` whose sessions say what the test tells them to; `tests/e2e` uses the real one."""

import queue
from dataclasses import dataclass

from soloist.core import OfferError, SessionGoneError
from support.session_items import ClosedValue


@dataclass(frozen=True)
class TrackValue:
    """A `_core.Track` made by hand."""

    mid: str
    kind: str
    codecs: list[str]
    rids: list[str]


AUDIO_TRACK = TrackValue("0", "audio", ["opus"], [])
VIDEO_TRACK = TrackValue("1", "video", ["h264"], [])


class ScriptedReceiver:
    """Answers every offer; `emit` puts items of a session into the next batch."""

    port = 5000

    def __init__(self, tracks=(AUDIO_TRACK, VIDEO_TRACK)):
        self.keyframes_asked = []
        self.sessions_closed = []
        self._tracks = list(tracks)
        self._batches = queue.SimpleQueue()
        self.sessions_count = 0
        self._is_closed = False
        self._emitted = 0
        self._taken = 0

    def accept_offer(self, offer, *, video_codecs, with_red=True):
        self.sessions_count += 1
        return self.sessions_count, f"v=0\r\ns=answer to {offer[:3]}\r\n", self._tracks

    def emit(self, session, *items):
        self._emitted += 1
        self._batches.put((session, list(items)))

    def request_keyframe(self, session, mid, rid=None):
        self.keyframes_asked.append((session, mid, rid))

    def restart_ice(self, session, *, ufrag, pwd):
        if session in self.sessions_closed:
            raise SessionGoneError
        if len(pwd) < 22:
            raise OfferError("the password is too short")
        return f"a=ice-lite\r\na=ice-ufrag:ours{ufrag}\r\n"

    def close_session(self, session):
        self.sessions_closed.append(session)
        self.emit(session, ClosedValue("closed"))

    def wait(self, timeout_ms):
        batches = []
        try:
            batches.append(self._batches.get(timeout=timeout_ms / 1000 if not self._is_closed else 0.001))
            while True:
                batches.append(self._batches.get_nowait())
        except queue.Empty:
            batches = [batch for batch in batches if batch is not None]
            self._taken += len(batches)
            return batches

    def mark(self):
        self.wake()
        return self._emitted

    def has_handed_out(self, mark, sessions):
        return not sessions or self._taken >= mark

    def forget_mark(self, mark):
        pass

    def wake(self):
        self._batches.put(None)

    def stats(self):
        return {}

    def close(self):
        self._is_closed = True
