"""VP8 pictures on their way through the child process that makes H.264 of them, and what has to wait for them.

A `PictureLine` stands between the timeline and the files of a recording. Everything leaves it in the order in which it
came: sound, other pictures, and what is to be done between two samples (ending a file) wait for the pictures before
them. So the files see exactly what they would see without it, only later: by a look or two of the media thread.

It never blocks and never grows beyond its limits. A child that falls too far behind gets no picture until the next
keyframe after it has caught up; one that dies or hangs is replaced at the next keyframe. Either way the stretch without
pictures is declared as a fault of ours. Lives on the media thread; time is an argument. Rules R16, R17, R39, R48.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from soloist.model.errors import SoloistError
from soloist.model.media import Codec, Kind, Sample
from soloist.model.timing import Cause, Missing
from soloist.sinks.h264_process import H264Process, piped
from soloist.wire.clock import NS
from soloist.wire.left_out import PICTURE_TOO_LARGE
from soloist.wire.picture_pipe import Flag, PipedPicture
from soloist.wire.places import Places

log = structlog.get_logger("soloist.transcoding")

BACKLOG_NS_MAX = 5 * NS
"""More media than this is not given to a child before it has answered; sound waits as long in memory."""
BACKLOG_BYTES_MAX = 8 << 20
CAUGHT_UP_NS = NS
"""With no more than this before it, a child gets pictures again."""
WAIT_NS_MAX = 8 * NS
"""A child that has had a picture for so long hangs, or is far too slow: everything behind that picture waits."""
IDLE_NS_MAX = 30 * NS
"""A child nobody sends a picture to for so long is ended: there may never be another."""
PIXELS_MAX = 4096 * 2304
"""Larger pictures are not transcoded: x264 takes 40 bytes for each pixel, and a core has no time for more."""
PAUSE_NS_MIN, PAUSE_NS_MAX = NS // 2, 30 * NS
"""How long after a child's death the next is started, at least and, if each dies without an answer, at most."""

REFUSED_NS = 2 * NS
"""How long after it could have no child a line tries again."""

DIED, HANGS, OVERLOAD, UNDECODABLE = "transcoder_died", "transcoder_hangs", "transcoder_overload", "undecodable"
REFUSED, SHED = "transcoder_refused", "overload"
"""Why pictures are missing, in a manifest's `detail`."""

Work = Callable[[], None]


class Process(Protocol):
    """What transcodes; `H264Process` fits."""

    has_died: bool

    def push(self, picture: PipedPicture) -> None:
        """Hand a picture over."""

    def answers(self) -> list[PipedPicture]:
        """Return what came back since the last call, in order."""

    def end(self) -> None:
        """End it."""


@dataclass(slots=True)
class _Picture:
    """A VP8 picture in the line."""

    sample: Sample
    came_ns: int
    answer: Sample | None = None
    lost: str = ""
    """Why there will be no answer."""
    is_settled: bool = False


COUNTS = {
    "pictures_refused_transcoding": 0,
    "transcoders_refused": 0,
    "pictures_transcoded": 0,
    "pictures_lost_transcoding": 0,
    "transcoders_replaced": 0,
}
"""What happened since the start, in all recordings of this process; written on the media thread, read by metrics."""


class PictureLine:
    """One recording's line."""

    def __init__(
        self,
        job_id: str,
        *,
        spawn: Callable[[], Process] = H264Process,
        places: Places | None = None,
        project: str = "",
    ) -> None:
        """`places` are those of all transcoders of the process; one of them is held while there is a child."""
        self._job_id = job_id
        self._spawn = spawn
        self._places, self._project = places or Places(), project
        self.is_shed = False
        """True while there may be no child, for the sake of recordings."""
        self._entries: deque[Sample | _Picture | Work] = deque()
        self._sent: deque[_Picture] = deque()
        """What the child has not answered yet."""
        self._sent_bytes = 0
        self._process: Process | None = None
        self._skipping = DIED
        """Why pictures are left out until the next keyframe; empty while they are not. At first there is no child."""
        self._is_forced = False
        self._is_without = False
        """True while pictures come and none leaves: those that come last were lost."""
        self._now_ns = 0
        self._heard_ns = 0
        """When the child last answered."""
        self._start_ns = 0
        """Not before this is another child started."""
        self._pause_ns = PAUSE_NS_MIN
        self._end_ns: int | None = None
        """Where the last picture that left the line ends."""
        self._lost: tuple[int, str] | None = None
        """From when on pictures are missing, and why."""
        self.missing: list[Missing] = []
        """Stretches that were lost here; the owner takes them out."""

    @property
    def is_empty(self) -> bool:
        """True while nothing waits."""
        return not self._entries

    @property
    def wants_keyframe(self) -> bool:
        """True if pictures are left out although they could be taken again, from a keyframe on."""
        return self._is_without and self._has_room

    def force_keyframe(self) -> None:
        """Have the next picture made a keyframe, whatever it was: a cut waits for one."""
        self._is_forced = True

    def push(self, samples: Iterable[Sample], now_ns: int) -> None:
        """Add samples, each track in time order."""
        self._now_ns = max(self._now_ns, now_ns)
        for sample in samples:
            if sample.codec == Codec.VP8:
                self._entries.append(self._picture(sample))
                continue
            self._is_without &= sample.kind is Kind.AUDIO
            self._entries.append(sample)

    def then(self, work: Work) -> None:
        """Do something once everything before has left the line."""
        self._entries.append(work)

    def ready(self, now_ns: int) -> Iterable[Sample | Work]:
        """Yield what nothing waits before any more, in order. Do the work that is yielded before going on."""
        self._now_ns = max(self._now_ns, now_ns)
        self._hear()
        while self._entries:
            head = self._entries[0]
            if isinstance(head, _Picture):
                if not head.is_settled:
                    return
                self._entries.popleft()
                if (picture := self._leave(head)) is not None:
                    yield picture
                continue
            self._entries.popleft()
            if not isinstance(head, Sample):
                self._declare()  # The work may be the end of a file, which tells of what it lacks.
            yield head

    def give_up(self, detail: str = DIED) -> None:
        """Wait for nothing any more: what the child still has is lost."""
        self._lose_sent(detail)

    @property
    def is_running(self) -> bool:
        """True while there is a child."""
        return self._process is not None

    def shed(self) -> None:
        """End the child, and have none while `is_shed`: what it still has is lost."""
        self.is_shed = True
        if self._process is not None:
            log.warning("transcoder_shed", job_id=self._job_id)
            self.end()
            self._skipping = SHED
            self._lose_sent(SHED)

    def end(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.end()
            self._process = None
            self._places.give_back(self._project)
            self._skipping = self._skipping or DIED

    @property
    def _has_room(self) -> bool:
        return self._backlog_ns <= CAUGHT_UP_NS and self._now_ns >= self._start_ns

    @property
    def _backlog_ns(self) -> int:
        return self._sent[-1].sample.pts_ns - self._sent[0].sample.pts_ns if self._sent else 0

    def _picture(self, sample: Sample) -> _Picture:
        """Return a picture's entry, given to the child or lost already."""
        picture = _Picture(sample, self._now_ns)
        if sample.is_keyframe and sample.width * sample.height > PIXELS_MAX:
            COUNTS["pictures_refused_transcoding"] += 1
            self._skipping = PICTURE_TOO_LARGE
        elif self._skipping and sample.is_keyframe and self._has_room and self._begin():
            self._skipping = ""
        if not self._skipping and (self._backlog_ns > BACKLOG_NS_MAX or self._sent_bytes > BACKLOG_BYTES_MAX):
            self._skipping = OVERLOAD
            log.warning("transcoder_overloaded", job_id=self._job_id, backlog_s=round(self._backlog_ns / NS, 1))
        if self._skipping or self._process is None:
            picture.lost, picture.is_settled, self._is_without = self._skipping, True, True
            return picture
        message = piped(sample.data, sample.pts_ticks, is_keyframe=sample.is_keyframe, is_forced=self._is_forced)
        self._is_forced = False
        self._sent.append(picture)
        self._sent_bytes += len(sample.data)
        self._process.push(message)
        return picture

    def _begin(self) -> bool:
        """Make sure there is a child; return whether there is."""
        if self._process is None:
            if self.is_shed or not self._places.take(self._project):
                self._refuse(SHED if self.is_shed else REFUSED)
                return False
            try:
                self._process = self._spawn()
            except SoloistError as error:
                self._places.give_back(self._project)
                self._bury(DIED, str(error))
        return self._process is not None

    def _refuse(self, detail: str) -> None:
        """Have no child for now; another try follows with a keyframe, after a while."""
        if self._skipping != detail:
            COUNTS["transcoders_refused"] += 1
            log.warning("transcoder_refused", job_id=self._job_id, detail=detail)
        self._skipping = detail
        self._start_ns = self._now_ns + REFUSED_NS

    def _hear(self) -> None:
        """Take the child's answers, and notice if it is none any more."""
        if self._process is None:
            return
        try:
            for answer in self._process.answers():
                self._settle(answer)
        except ValueError as error:
            self._bury(DIED, str(error))
            return
        if self._process.has_died:
            self._bury(DIED, "it ended")
        elif self._sent and self._now_ns - self._sent[0].came_ns > WAIT_NS_MAX:
            self._bury(OVERLOAD if self._heard_ns > self._sent[0].came_ns else HANGS, "its answer is overdue")
        elif not self._sent and self._now_ns - self._heard_ns > IDLE_NS_MAX:
            self.end()

    def _settle(self, answer: PipedPicture) -> None:
        """Put an answer to its picture: they come in order.

        Raises:
            ValueError: it is the answer to another picture.
        """
        if not self._sent or self._sent[0].sample.pts_ticks != answer.pts_ticks:
            raise ValueError("an answer nobody waits for")
        picture = self._sent.popleft()
        self._sent_bytes -= len(picture.sample.data)
        self._heard_ns, self._pause_ns = self._now_ns, PAUSE_NS_MIN
        picture.is_settled = True
        if Flag.FAILED in answer.flags:
            # What refers to it fails as well, up to the next keyframe.
            picture.lost, self._is_without = UNDECODABLE, True
        elif answer.data:
            picture.answer = _transcoded(picture.sample, answer)
            self._is_without = bool(self._skipping)

    def _bury(self, detail: str, why: str) -> None:
        """Give up a child that is of no use any more; the next keyframe starts another."""
        log.error("transcoder_ended", job_id=self._job_id, detail=detail, error=why, pictures=len(self._sent))
        COUNTS["transcoders_replaced"] += 1
        self.end()
        self._skipping = detail
        self._is_without |= bool(self._sent)
        self._lose_sent(detail)
        self._start_ns, self._pause_ns = self._now_ns + self._pause_ns, min(self._pause_ns * 2, PAUSE_NS_MAX)

    def _lose_sent(self, detail: str) -> None:
        for picture in self._sent:
            picture.lost, picture.is_settled = detail, True
        self._sent.clear()
        self._sent_bytes = 0

    def _leave(self, picture: _Picture) -> Sample | None:
        """Return what becomes of a picture; what was lost before it is declared with it."""
        if picture.lost:
            COUNTS["pictures_lost_transcoding"] += 1
            if self._lost is None:
                begins_ns = picture.sample.pts_ns
                self._lost = (begins_ns if self._end_ns is None else min(self._end_ns, begins_ns), picture.lost)
            self._end_ns = picture.sample.end_ns
            return None
        if picture.answer is not None:
            self._declare(picture.sample.pts_ns)
            self._end_ns = picture.sample.end_ns
            COUNTS["pictures_transcoded"] += 1
        return picture.answer

    def _declare(self, until_ns: int | None = None) -> None:
        """Put into words what was lost, up to the next picture or, without one, to where the last lost one ends."""
        if self._lost is not None:
            start_ns, detail = self._lost
            end_ns = self._end_ns if until_ns is None else until_ns
            self.missing.append(Missing(Kind.VIDEO, start_ns, end_ns or start_ns, Cause.FAULT, detail))
            self._lost = None


def _transcoded(sample: Sample, answer: PipedPicture) -> Sample:
    is_keyframe = Flag.KEYFRAME in answer.flags
    return replace(
        sample,
        data=answer.data,
        codec=Codec.H264,
        is_keyframe=is_keyframe,
        is_transcoded=True,
        width=answer.width if is_keyframe else 0,
        height=answer.height if is_keyframe else 0,
    )
