"""One recording of everything the matrix offers, made as production makes it: frames, recording, sinks, bucket.

Each golden is one combination of container, picture and sound; some have a hole of five seconds in which everything was
lost, some a picture that changes its size. Knows no player: see `gstreamer.py`, `playback.py` and `structure.py`.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from soloist.model.media import Codec, Kind
from soloist.model.rule import AudioMode, HlsConfig, Mp4Config, RecordFormat, Vp8Mode
from soloist.sinks.matrix import AUDIO_OF, CONTAINER_OF, SEGMENTED, Container, plan
from support.filed import filed
from support.frames import NS, START_NS
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.stage import a_publisher, frames_of, merged

FPS = 15
SECONDS = 3
SLICE_S = 2
LOST_S = (2, 7)
"""From when until when nothing came; the first picture after it is a keyframe."""
HOLE_SECONDS = 9
SIZES = ((320, 180), (640, 352))
PLAIN, HOLE, RESIZE = "plain", "hole", "resize"


@dataclass(frozen=True)
class Case:
    """What is recorded."""

    container: Container
    video: Codec | None
    sound: Codec | None
    """As written."""
    wanted: RecordFormat
    mode: AudioMode
    event: str = PLAIN
    sent: Codec | None = None
    """What pictures came as, where that is not what is written."""

    @property
    def name(self) -> str:
        """Of its folder, and of its golden description."""
        sent = [f"from-{self.sent}"] if self.sent else []
        sound = [self.sound] if self.sound else []
        return "-".join([self.container, self.video or "sound", *sent, *sound, self.event])

    @property
    def sent_s(self) -> int:
        """How long the participant sends."""
        return {PLAIN: SECONDS, HOLE: HOLE_SECONDS, RESIZE: 4}[self.event]

    @property
    def numbers(self) -> list[int]:
        """What is burnt into the pictures its files are to hold."""
        count = round(self.sent_s * FPS) if self.video else 0
        if self.event == RESIZE:
            return [*range(count // 2)] * 2
        return [n for n in range(count) if self.event == PLAIN or not LOST_S[0] <= n / FPS < LOST_S[1]]

    @property
    def played_s(self) -> int:
        """How long its playback takes in all: a playlist leaves the hole out."""
        is_playlist = self.container in SEGMENTED
        lost_s = LOST_S[1] - LOST_S[0] if self.event == HOLE and is_playlist else 0
        return self.sent_s - lost_s


@dataclass(frozen=True)
class Golden:
    """A case as recorded."""

    case: Case
    folder: Path
    paths: tuple[Path, ...]
    """What a player opens: files, or playlists; more than one where a change has to begin a new file."""


def cases() -> list[Case]:
    """Return every combination the matrix offers once, and those with an event that say something of their own."""
    found: dict[tuple[Container, Codec | None, Codec | None], Case] = {}
    for (wanted, video), mode, with_sound in (
        (key, mode, with_sound) for key in CONTAINER_OF for mode in AudioMode for with_sound in (True, False)
    ):
        if video is None and not with_sound:
            continue
        chosen = plan(video, with_audio=with_sound, audio_mode=mode, wanted=wanted)
        case = Case(chosen.container, video, chosen.audio_codec, wanted, mode)
        found.setdefault((case.container, case.video, case.sound), case)
    plain = list(found.values())
    default = [case for case in plain if case.sound is AUDIO_OF[case.container, AudioMode.AAC][0]]
    kept = [case for case in plain if case.sound is Codec.OPUS and case.video in (None, Codec.H264)]
    events = [replace(case, event=HOLE) for case in default + kept]
    events += [replace(case, event=RESIZE) for case in default if case.video]
    events += [replace(case, sent=Codec.VP8) for case in [*default, *events] if case.video is Codec.H264]
    return plain + events


def record(case: Case, folder: Path) -> Golden:
    """Record a case into a folder of its own below `folder`; made once, whoever asks again gets what is there."""
    place = folder / case.name
    if not (place / "done").exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        _record(case, place)
        (place / "done").touch()
    bucket = place / "storage" / "recordings"
    found = (
        path for path in bucket.rglob("*") if path.suffix in (".mp4", ".webm", ".m3u8") and "_init" not in path.name
    )
    return Golden(case, bucket, tuple(sorted(found)))


def _record(case: Case, place: Path) -> None:
    hls = HlsConfig(record_cycle_s=0, prefix="{stream}_{file_start_time}", slice_s=SLICE_S, merge_gap_s=-1)
    mp4 = Mp4Config(record_cycle_s=3600, prefix="{stream}_{file_start_time}", merge_gap_s=300)
    rule = a_rule(formats=(case.wanted,), hls=hls, mp4=mp4, audio=case.mode)
    vp8 = Vp8Mode.H264 if case.sent else Vp8Mode.WEBM
    job = a_job(rule=rule, with_audio=case.sound is not None, vp8=vp8)
    kinds = [Kind.AUDIO] * (case.sound is not None) + [Kind.VIDEO] * (case.video is not None)
    publisher = a_publisher(kinds=tuple(kinds), codec=case.sent or case.video or Codec.H264)
    filed(place, job, publisher, merged(list(_pictures(case)), list(_sound(case))))


def _pictures(case: Case) -> Iterator[object]:
    if case.video is None:
        return
    codec = case.sent or case.video
    encoded = partial(video_samples, codec, fps=FPS, gop=FPS)
    if case.event == RESIZE:
        for part, (width, height) in enumerate(SIZES):
            samples = encoded(2, width=width, height=height)
            yield from frames_of(
                samples, codec, size=(width, height), at_s=2 * part, rtp_zero=1_000_000 + part * 180_000
            )
        return
    frames = frames_of(encoded(case.sent_s), codec)
    yield from _with_hole(frames) if case.event == HOLE else frames


def _sound(case: Case) -> Iterator[object]:
    if case.sound is not None:
        frames = frames_of(opus_samples(case.sent_s), Codec.OPUS, rtp_zero=7)
        yield from _with_hole(frames) if case.event == HOLE else frames


def _with_hole(frames: list) -> Iterator[object]:
    """Yield what is left after everything was lost for a while; the first frame after that says so."""
    was_lost = False
    for frame in frames:
        at_s = (frame.received_ns - START_NS) / NS - 0.02
        is_lost = LOST_S[0] <= round(at_s, 6) < LOST_S[1]
        if not is_lost:
            yield frame.but(follows_gap=was_lost)
        was_lost = is_lost
