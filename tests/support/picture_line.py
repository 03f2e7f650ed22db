"""A picture line whose children and clock are the test's."""

from soloist.model.media import Codec, Kind, Sample
from soloist.recording.transcoding import PictureLine
from soloist.wire.picture_pipe import Flag, PipedPicture
from support.frames import NS

FPS = 30
STEP = 90_000 // FPS
NONE = Flag(0)


class ScriptedChild:
    """Answers when it is told to."""

    def __init__(self):
        self.has_died = self.is_ended = False
        self.taken = []
        self._answers = []

    def push(self, picture):
        self.taken.append(picture)

    def answers(self):
        found, self._answers = self._answers, []
        return found

    def end(self):
        self.has_died = self.is_ended = True

    def answer(self, count=None, flags=NONE):
        for picture in self.taken[:count]:
            is_key = picture.flags & (Flag.KEYFRAME | Flag.FORCED)
            told = flags | (Flag.KEYFRAME if is_key else NONE)
            self._answers.append(PipedPicture(told, picture.pts_ticks, b"h264", 320, 180))
        del self.taken[:count]


class Script:
    """A line, its children, and a clock."""

    def __init__(self, places=None):
        self.children = []
        self.now_ns = NS
        self.line = PictureLine("job1", spawn=self._spawn, places=places, project="acme")
        self.out = []

    def _spawn(self):
        self.children.append(ScriptedChild())
        return self.children[-1]

    @property
    def child(self):
        return self.children[-1]

    def push(self, *samples):
        for sample in samples:
            self.now_ns = max(self.now_ns, NS + sample.pts_ns)
            self.line.push([sample], self.now_ns)
            self.look()

    def look(self, seconds=0.0):
        self.now_ns += int(seconds * NS)
        for step in self.line.ready(self.now_ns):
            self.out.append(step if isinstance(step, Sample) else step())

    @property
    def pictures(self):
        return [s.pts_ticks // STEP for s in self.out if isinstance(s, Sample) and s.kind is Kind.VIDEO]

    @property
    def missing(self):
        return [(round(m.start_ns * FPS / NS), round(m.end_ns * FPS / NS), m.detail) for m in self.line.missing]


def vp8(n, gop=30):
    return Sample(Kind.VIDEO, n * STEP, STEP, 90_000, n % gop == 0, b"vp8", Codec.VP8.value)


def opus(n):
    return Sample(Kind.AUDIO, n * 960, 960, 48_000, is_keyframe=True, data=b"opus", codec=Codec.OPUS.value)
