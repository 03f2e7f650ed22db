"""Holds what was sent against what the files hold and what the manifest declares: pure, and able to fail.

Bounds are those of docs/fidelity.md. A verdict's `complaints` say in words what is wrong; empty means it holds.
"""

import statistics
from dataclasses import dataclass, field
from itertools import pairwise

from fidelity.evidence import Evidence, Shown
from fidelity.plan import STILL_MS, Absence, Act, Phase, Plan

OFFSET_MEDIAN_MS_MAX = 20.0
OFFSET_WORST_MS_MAX = 40.0
PACKET_MS = 20.0
READING_MS = 6.0
"""How finely the edge of a sound can be read from a decoded file."""
NEAR_MS = 600.0
"""A beep is held against a picture no further off than this."""
AFTER_MS = 3500.0
"""How long after a fault a beep counts as right after it."""
CAUSES_RIGHT_MIN = 0.95


@dataclass(frozen=True, slots=True)
class SentPicture:
    """One picture that left its publisher whole, or was lost by the plan."""

    captured_ms: float
    layer: int = 0
    identity: int = 1
    digest: str = ""
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class Truth:
    """What a publisher really sent."""

    pictures: tuple[SentPicture, ...]
    packets: tuple[tuple[float, bool, str], ...] = ()
    """Sound: when each was captured, whether it was lost by the plan, its SHA-256."""


@dataclass(frozen=True, slots=True)
class Standard:
    """What a scenario has to hold beyond the bounds of all."""

    frame_ms: float
    faults_ms: tuple[float, ...] = ()
    """When each fault was over."""
    is_clean: bool = True
    """Nothing may be missing but what the plan says."""
    is_copy: bool = False
    """Packets of sound in the files are those sent, to the byte."""
    kinds: tuple[str, ...] = ("audio", "video")
    is_counted: bool = False
    """Pictures are held against those sent by their number alone: a browser does not tell which one left."""


@dataclass(frozen=True, slots=True)
class Cause:
    """An interruption, why something must be missing for it, and why the manifest says it is."""

    act: Act
    planned: str
    said: str


@dataclass
class Verdict:
    """What one scenario came to."""

    offsets_ms: list[float] = field(default_factory=list)
    after_ms: list[float] = field(default_factory=list)
    """The worst offset right after each fault after which one can be measured."""
    sent: int = 0
    recorded: int = 0
    missing: int = 0
    """Sent, not in the files, and within nothing that is declared."""
    damaged: int = 0
    declared: int = 0
    edge_ms: float = 0.0
    """How far the edge of a declared absence is from the file's, at worst."""
    causes: list[Cause] = field(default_factory=list)
    """Of each interruption that was planned."""
    copied: str = "-"
    """Pictures, and packets of sound where they are copied, that lie in the files as they were sent; of how many."""
    length_ms: float = 0.0
    """How much longer the recording is than what was sent, the worse of both tracks."""
    complaints: list[str] = field(default_factory=list)
    wrong_causes: list[str] = field(default_factory=list)

    @property
    def median_ms(self) -> float:
        """The offset in the middle, by size."""
        return statistics.median(map(abs, self.offsets_ms)) if self.offsets_ms else 0.0

    @property
    def worst_ms(self) -> float:
        """The offset furthest from zero."""
        return max(self.offsets_ms, key=abs, default=0.0)

    @property
    def causes_right(self) -> int:
        """How many causes are as planned."""
        return sum(cause.planned == cause.said for cause in self.causes)


def judge(plan: Plan, truth: Truth, found: Evidence, standard: Standard) -> Verdict:
    """Return what a recording is worth."""
    found = found.moved(-lateness_ms(found.pictures))
    verdict = Verdict(complaints=list(found.complaints))
    if {"audio", "video"} <= set(standard.kinds):
        _judge_offsets(verdict, found, standard)
    if "video" in standard.kinds:
        _judge_pictures(verdict, truth, found, standard)
        if any(picture.digest for picture in truth.pictures):
            _judge_payloads(verdict, truth, found)
    if "audio" in standard.kinds:
        _judge_sound(verdict, truth, found, standard)
    _judge_declared(verdict, found, standard)
    for phase in plan.phases:
        _judge_cause(verdict, phase, truth, found)
    if standard.is_clean:
        outside = _before_and_after(truth, found)
        _judge_unplanned(verdict, plan.expected(standard.kinds) + outside, found.declared)
    return verdict


def lateness_ms(pictures: list[Shown]) -> float:
    """Return how late the middle one of all pictures stands: no clock tells how long packets travel."""
    late = [picture.at_ms - picture.captured_ms for picture in pictures if picture.captured_ms is not None]
    return statistics.median(late) if late else 0.0


def offsets(beeps_ms: list[float], pictures: list[Shown]) -> list[tuple[float, float]]:
    """Return when each beep is heard and how much later than the picture of its moment, milliseconds."""
    readable = [picture for picture in pictures if picture.captured_ms is not None]
    pairs = []
    for beep in beeps_ms:
        near = min(readable, key=lambda picture: abs(picture.at_ms - beep), default=None)
        if near is not None and near.captured_ms is not None and abs(near.at_ms - beep) < NEAR_MS:
            sound_late, picture_late = beep - round(beep / 1000) * 1000, near.at_ms - near.captured_ms
            pairs.append((beep, sound_late - picture_late))
    return pairs


def _judge_offsets(verdict: Verdict, found: Evidence, standard: Standard) -> None:
    pairs = offsets(found.beeps_ms, found.pictures)
    verdict.offsets_ms = [offset for _, offset in pairs]
    for fault in standard.faults_ms:
        after = [offset for at, offset in pairs if fault <= at < fault + AFTER_MS]
        if after:
            verdict.after_ms.append(max(after, key=abs))
    if len(pairs) < 3:
        verdict.complaints.append(f"only {len(pairs)} beeps with a picture beside them")
    if verdict.median_ms > OFFSET_MEDIAN_MS_MAX:
        verdict.complaints.append(f"median A/V offset {verdict.median_ms:.1f} ms")
    if abs(verdict.worst_ms) > OFFSET_WORST_MS_MAX:
        at = next(at for at, offset in pairs if offset == verdict.worst_ms)
        verdict.complaints.append(f"A/V offset {verdict.worst_ms:+.1f} ms at {at / 1000:.1f} s")


def _judge_pictures(verdict: Verdict, truth: Truth, found: Evidence, standard: Standard) -> None:
    sent = {_key(p.captured_ms, p.identity) for p in truth.pictures if not p.is_lost}
    shown = [(_key(p.captured_ms, p.identity), p) for p in found.pictures if p.captured_ms is not None]
    verdict.sent, verdict.recorded = len(sent), len({key for key, _ in shown})
    verdict.damaged = sum(picture.is_damaged for picture in found.pictures)
    if verdict.damaged:
        first = next(picture for picture in found.pictures if picture.is_damaged)
        verdict.complaints.append(f"{verdict.damaged} damaged pictures, the first at {first.at_ms / 1000:.2f} s")
    absent = [key for key in sent - {key for key, _ in shown} if not _is_declared("video", key[0], found, standard)]
    if standard.is_counted:
        there = sum(_is_declared("video", key[0], found, standard) for key in sent)
        absent = absent[: max(0, len(sent) - there - verdict.recorded)]
    verdict.missing = len(absent)
    if absent:
        verdict.complaints.append(f"{len(absent)} pictures missing, undeclared, from {min(absent)[0] / 1000:.2f} s on")
    known = {_key(p.captured_ms, p.identity) for p in truth.pictures}
    strangers = [key for key, _ in shown if key not in known and not standard.is_counted]
    if strangers:
        verdict.complaints.append(f"{len(strangers)} pictures that were never sent, the first {min(strangers)}")
    at = [picture.at_ms for picture in found.pictures]
    if any(later <= sooner for sooner, later in pairwise(at)):
        verdict.complaints.append("pictures go back in time")
    _judge_length(verdict, shown, standard)


def _judge_payloads(verdict: Verdict, truth: Truth, found: Evidence) -> None:
    """Hold the bytes of each picture in the files against what was sent."""
    sent = {picture.digest for picture in truth.pictures}
    same = sum(digest in sent for _, digest in found.payloads)
    verdict.copied = f"{same}/{len(found.payloads)}"
    if same != len(found.payloads):
        verdict.complaints.append(
            f"only {same} of {len(found.payloads)} pictures are those that were sent, to the byte"
        )


def _judge_length(verdict: Verdict, shown: list[tuple[tuple[int, int], Shown]], standard: Standard) -> None:
    """Hold the time between the first and the last picture against the wall clock of their capture."""
    if len(shown) < 2:
        verdict.complaints.append("no run of pictures")
        return
    first, last = shown[0][1], shown[-1][1]
    verdict.length_ms = (last.at_ms - first.at_ms) - ((last.captured_ms or 0) - (first.captured_ms or 0))
    if abs(verdict.length_ms) > standard.frame_ms:
        verdict.complaints.append(f"the picture's track is {verdict.length_ms:+.1f} ms longer than what it shows")


def _key(captured_ms: float | None, identity: int) -> tuple[int, int]:
    return round(captured_ms or 0), identity


def _is_declared(kind: str, at_ms: float, found: Evidence, standard: Standard) -> bool:
    """Return whether a frame of a moment lies within something declared, or outside the recording."""
    frame_ms = standard.frame_ms if kind == "video" else PACKET_MS
    if not standard.is_clean and not found.starts_ms - frame_ms < at_ms < found.ends_ms - frame_ms:
        return True
    return any(
        absence.kind == kind and absence.start_ms - frame_ms <= at_ms <= absence.end_ms for absence in found.declared
    )


def _judge_sound(verdict: Verdict, truth: Truth, found: Evidence, standard: Standard) -> None:
    expected = [(at, digest) for at, is_lost, digest in truth.packets if not is_lost]
    covered = [at for at, _ in expected if not _is_declared("audio", at, found, standard)]
    silent = [at for at in covered if not _is_heard(at, found)]
    # What is lost by chance at the very end has nothing after it that would tell.
    if silent and standard.is_clean:
        verdict.complaints.append(
            f"{len(silent)} packets of sound missing, undeclared, from {silent[0] / 1000:.2f} s on"
        )
    if standard.is_copy:
        _judge_copies(verdict, expected, found)


def _is_heard(at_ms: float, found: Evidence) -> bool:
    """Return whether there is sound where a packet belongs: as late as the beep next to it, judged by itself."""
    beep = min(found.beeps_ms, key=lambda beep: abs(beep - at_ms), default=0.0)
    middle = at_ms + PACKET_MS / 2 + beep - round(beep / 1000) * 1000
    return any(start - READING_MS <= middle <= end for start, end in found.sound)


def _judge_copies(verdict: Verdict, sent: list[tuple[float, str]], found: Evidence) -> None:
    """Hold each packet in the files against the one that was sent at its time."""
    by_time = {round(at / PACKET_MS): digest for at, digest in sent}
    slack = (0, -1, 1)
    same = sum(any(by_time.get(round(at / PACKET_MS) + n) == digest for n in slack) for at, digest in found.packets)
    verdict.copied += f" {same}/{len(found.packets)}"
    if same != len(found.packets) or not found.packets:
        verdict.complaints.append(f"only {same} of {len(found.packets)} packets of sound are those that were sent")


def holes(found: Evidence, kind: str, frame_ms: float) -> list[tuple[float, float]]:
    """Return where a track holds nothing between the recording's beginning and end."""
    if kind == "video":
        spans = [(picture.at_ms, picture.at_ms + frame_ms) for picture in found.pictures]
    elif found.is_copied:
        spans = [(at, at + PACKET_MS) for at, _ in found.packets]
    else:
        spans = found.sound
    at, empty = found.starts_ms, []
    for start, end in sorted(spans):
        if start - at > frame_ms / 2:
            empty.append((at, start))
        at = max(at, end)
    return [*empty, (at, found.ends_ms)] if found.ends_ms - at > frame_ms / 2 else empty


def _judge_declared(verdict: Verdict, found: Evidence, standard: Standard) -> None:
    """Hold what is declared against the holes of the files, both ways."""
    for kind in standard.kinds:
        frame_ms = standard.frame_ms if kind == "video" else PACKET_MS
        slack_ms = frame_ms + (READING_MS if kind == "audio" else 0)
        empty = holes(found, kind, frame_ms)
        declared = [absence for absence in found.declared if absence.kind == kind]
        inside = [a for a in declared if a.end_ms > found.starts_ms + 1 and a.start_ms < found.ends_ms - 1]
        verdict.declared += len(declared)
        for absence in inside:
            start, end = max(absence.start_ms, found.starts_ms), min(absence.end_ms, found.ends_ms)
            error = min((max(abs(start - s), abs(end - e)) for s, e in empty), default=float("inf"))
            verdict.edge_ms = max(verdict.edge_ms, error)
            if error > slack_ms:
                said = f"{kind} {start / 1000:.3f}-{end / 1000:.3f} s ({absence.cause} {absence.detail})"
                verdict.complaints.append(f"declared {said} is no hole of the file: {_near(empty, start, end)}")
        for start, end in empty:
            least_ms = STILL_MS if kind == "video" else 2 * frame_ms
            if end - start > least_ms + slack_ms and not any(
                max(abs(start - max(a.start_ms, found.starts_ms)), abs(end - min(a.end_ms, found.ends_ms))) <= slack_ms
                for a in inside
            ):
                verdict.complaints.append(f"{kind} is missing {start / 1000:.3f}-{end / 1000:.3f} s, undeclared")


def _near(empty: list[tuple[float, float]], start: float, end: float) -> str:
    near = [(s, e) for s, e in empty if s < end + 500 and e > start - 500]
    return ", ".join(f"{s / 1000:.3f}-{e / 1000:.3f}" for s, e in near) or "there is none"


def _judge_cause(verdict: Verdict, phase: Phase, truth: Truth, found: Evidence) -> None:
    """Hold what is declared while a phase took media away against why it did, on each track."""
    said = {}
    for planned in phase.missing():
        near = max(found.declared, key=planned.overlap_ms, default=None)
        overlap_ms = planned.overlap_ms(near) if near else 0.0
        if overlap_ms < planned.length_ms / 2 and planned.cause == "gap" and _is_repaired(planned, truth, found):
            continue
        is_still = (planned.kind, planned.cause) == ("video", "pause") and planned.length_ms <= STILL_MS
        if is_still and not overlap_ms:
            continue  # A picture may stand so long.
        said[planned] = near.cause if near and overlap_ms > planned.length_ms / 4 else UNDECLARED
        if said[planned] != planned.cause:
            place = f"{planned.kind} {planned.start_ms / 1000:.2f}-{planned.end_ms / 1000:.2f} s ({planned.detail})"
            what = f"declared {near.cause} {near.detail}" if near and said[planned] != UNDECLARED else UNDECLARED
            verdict.wrong_causes.append(f"{place} is {planned.cause}, {what}")
    if said:
        verdict.causes.append(Cause(phase.act, next(iter(said)).cause, " and ".join(dict.fromkeys(said.values()))))


UNDECLARED = "undeclared"


def _is_repaired(planned: Absence, truth: Truth, found: Evidence) -> bool:
    """Return whether most of what was sent while it should have been lost was sent again, and is there."""
    shown = {round(picture.captured_ms) for picture in found.pictures if picture.captured_ms is not None}
    sent = [p.captured_ms for p in truth.pictures if planned.start_ms <= p.captured_ms < planned.end_ms]
    return planned.kind == "video" and 2 * sum(round(at) in shown for at in sent) > len(sent)


def _before_and_after(truth: Truth, found: Evidence) -> tuple[Absence, ...]:
    """Return what is missing where a publisher could begin a track only late, or ended it before it left."""
    times = {"audio": [at for at, _, _ in truth.packets], "video": [p.captured_ms for p in truth.pictures]}
    spans = [(kind, min(sent), max(sent)) for kind, sent in times.items() if sent]
    before = [Absence(kind, found.starts_ms, first, "gap") for kind, first, _ in spans if first > found.starts_ms]
    return *before, *(Absence(kind, last, found.ends_ms, "idle") for kind, _, last in spans)


def _judge_unplanned(verdict: Verdict, expected: tuple[Absence, ...], declared: list[Absence]) -> None:
    for absence in declared:
        if not any(absence.overlap_ms(planned) > absence.length_ms / 4 for planned in expected):
            place = f"{absence.kind} {absence.start_ms / 1000:.3f}-{absence.end_ms / 1000:.3f} s"
            verdict.complaints.append(f"declared {place} ({absence.cause} {absence.detail}), where nothing was planned")
