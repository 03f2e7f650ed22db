"""The checker finds each fault it is there for, in evidence that is broken on purpose."""

from dataclasses import replace

import pytest

from fidelity.checker import Cause, SentPicture, Standard, Truth, judge
from fidelity.evidence import Evidence, Shown, without_ours
from fidelity.plan import Absence, Act, Phase, Plan

FPS, SECONDS = 25, 10
FRAME_MS = 1000 / FPS
SIZE = (320, 180)
MUTE = Plan(SECONDS, (Phase(Act.MUTE_AUDIO, 3000, 5000),))
STANDARD = Standard(FRAME_MS, is_copy=True)


def truth(silent=()):
    pictures = tuple(SentPicture(n * FRAME_MS, digest=f"p{n}") for n in range(FPS * SECONDS))
    packets = tuple((n * 20.0, False, f"s{n}") for n in range(50 * SECONDS))
    return Truth(pictures, tuple(p for p in packets if not any(a <= p[0] < b for a, b in silent)))


def evidence(silent=(), declared=(), sound_late_ms=0.0):
    """Return what a recording without a fault holds of `truth`."""
    of_truth = truth(silent)
    pictures = [Shown(p.captured_ms, p.captured_ms, 1, is_damaged=False, size=SIZE) for p in of_truth.pictures]
    edges = [0.0, *(edge for hole in silent for edge in hole), SECONDS * 1000.0]
    spans = list(zip(edges[::2], edges[1::2], strict=True))
    beeps = [n * 1000.0 + sound_late_ms for n in range(1, SECONDS) if any(a + 30 < n * 1000 < b for a, b in spans)]
    return Evidence(
        starts_ms=0.0,
        ends_ms=SECONDS * 1000.0,
        pictures=pictures,
        beeps_ms=beeps,
        sound=spans,
        packets=[(at, digest) for at, _, digest in of_truth.packets],
        payloads=[(p.captured_ms, p.digest) for p in of_truth.pictures],
        declared=list(declared),
        is_copied=True,
    )


def complaints(found, plan=Plan(SECONDS), of_truth=None, standard=STANDARD):  # noqa: B008 - a value
    verdict = judge(plan, of_truth or truth(), found, standard)
    return verdict.complaints + verdict.wrong_causes


MUTED = ((3000.0, 5000.0),)
SAID = (Absence("audio", 3000.0, 5000.0, "pause"),)


def test_a_faultless_recording_gives_no_complaint():
    assert complaints(evidence()) == []


def test_a_declared_pause_gives_no_complaint():
    verdict = judge(MUTE, truth(MUTED), evidence(MUTED, SAID), STANDARD)
    assert (verdict.complaints, verdict.causes, verdict.edge_ms) == ([], [Cause(Act.MUTE_AUDIO, "pause", "pause")], 0)


@pytest.mark.parametrize("late_ms", [-60.0, -25.0, 25.0, 60.0])
def test_sound_that_is_shifted_is_found(late_ms):
    verdict = judge(Plan(SECONDS), truth(), evidence(sound_late_ms=late_ms), STANDARD)
    assert verdict.median_ms == pytest.approx(abs(late_ms))
    assert any("median A/V offset" in said for said in verdict.complaints)


def test_one_beep_that_is_late_is_found_though_the_median_is_not():
    found = evidence()
    found.beeps_ms[4] += 45
    assert complaints(found) == ["A/V offset +45.0 ms at 5.0 s"]


def test_an_offset_after_a_fault_is_told_apart():
    found = evidence(MUTED, SAID)
    found.beeps_ms = [beep + 30 * (beep > 5000) for beep in found.beeps_ms]
    verdict = judge(MUTE, truth(MUTED), found, replace(STANDARD, faults_ms=(5000.0,)))
    assert verdict.after_ms == [pytest.approx(30)]


def test_a_missing_picture_is_found():
    found = evidence()
    del found.pictures[100]
    assert complaints(found) == ["1 pictures missing, undeclared, from 4.00 s on"]


def test_a_missing_picture_that_is_declared_away_where_pictures_stand_is_found():
    found = evidence()
    del found.pictures[100]
    found.declared = [Absence("video", 1000, 9000, "gap")]
    assert any("is no hole of the file" in said for said in complaints(found))


def test_a_damaged_picture_is_found():
    found = evidence()
    found.pictures[50] = replace(found.pictures[50], is_damaged=True)
    assert complaints(found) == ["1 damaged pictures, the first at 2.00 s"]


def test_somebody_elses_picture_is_found():
    found = evidence()
    found.pictures[50] = replace(found.pictures[50], identity=2)
    assert any("never sent" in said for said in complaints(found))


def test_a_picture_that_goes_back_in_time_is_found():
    found = evidence()
    found.pictures[50] = replace(found.pictures[50], at_ms=found.pictures[49].at_ms)
    assert "pictures go back in time" in complaints(found)


def test_a_changed_byte_is_found_in_picture_and_sound():
    found = evidence()
    found.payloads[3] = (3 * FRAME_MS, "other")
    found.packets[7] = (found.packets[7][0], "other")
    assert complaints(found) == [
        "only 249 of 250 pictures are those that were sent, to the byte",
        "only 499 of 500 packets of sound are those that were sent",
    ]


def test_silence_that_is_not_declared_is_found():
    said = complaints(evidence(MUTED), MUTE, truth(MUTED))
    assert "audio is missing 3.000-5.000 s, undeclared" in said
    assert "audio 3.00-5.00 s (mute_audio) is pause, undeclared" in said


@pytest.mark.parametrize("late_ms", [-18.0, 0.0, 18.0])
@pytest.mark.parametrize(("lost_ms", "count"), [(0.0, 0), (20.0, 1), (60.0, 3)])
def test_the_first_packets_are_missing_where_they_are_and_not_where_all_sound_is_late(late_ms, lost_ms, count):
    found = evidence(sound_late_ms=late_ms)
    found.sound = [(late_ms + lost_ms, SECONDS * 1000.0 + late_ms)]
    said = [f"{count} packets of sound missing, undeclared, from 0.00 s on"] if count else []
    assert [one for one in complaints(found) if "packets of sound missing" in one] == said


def test_silence_where_sound_was_sent_is_found():
    assert any("packets of sound missing, undeclared" in said for said in complaints(evidence(MUTED)))


def test_a_wrong_cause_is_found():
    wrong = (replace(SAID[0], cause="gap"),)
    verdict = judge(MUTE, truth(MUTED), evidence(MUTED, wrong), STANDARD)
    assert verdict.causes == [Cause(Act.MUTE_AUDIO, "pause", "gap")]
    assert verdict.causes_right == 0
    assert len(verdict.wrong_causes) == 1


def test_a_declaration_that_is_off_by_more_than_a_packet_is_found():
    off = (replace(SAID[0], start_ms=2950.0),)
    assert any("is no hole of the file" in said for said in complaints(evidence(MUTED, off), MUTE, truth(MUTED)))


def test_a_declaration_where_nothing_was_planned_is_found():
    said = complaints(evidence(MUTED, SAID), of_truth=truth(MUTED))
    assert said == ["declared audio 3.000-5.000 s (pause ), where nothing was planned"]


def test_a_picture_track_that_is_stretched_is_found():
    found = evidence()
    found.pictures = [replace(picture, at_ms=picture.at_ms * 1.01) for picture in found.pictures]
    assert any("longer than what it shows" in said for said in complaints(found))


def test_a_recording_without_beeps_is_no_pass():
    found = evidence()
    found.beeps_ms = []
    assert complaints(found) == ["only 0 beeps with a picture beside them"]


def test_black_is_no_picture_where_none_is_declared_and_damage_elsewhere():
    found = evidence()
    said = Absence("video", 4000.0, 6000.0, "pause")
    black = [Shown(at_ms, None, 0, is_damaged=True, size=SIZE, is_black=True) for at_ms in (4500.0, 7010.0)]
    found.pictures = [p for p in found.pictures if not said.start_ms <= p.at_ms < said.end_ms] + black
    found.payloads += [(p.at_ms, "black") for p in black]
    found.declared = [said]

    left = without_ours(found)

    assert [p.at_ms for p in left.pictures if p.is_damaged] == [7010.0]
    assert [at for at, told in left.payloads if told == "black"] == [7010.0]


def test_a_picture_that_stands_in_the_hole_before_it_is_left_out_there_and_counts_as_one_twice_elsewhere():
    found = evidence()
    said = Absence("video", 4000.0, 6000.0, "idle")
    found.pictures = [p for p in found.pictures if not said.start_ms <= p.at_ms < said.end_ms]
    back = next(n for n, p in enumerate(found.pictures) if p.at_ms >= said.end_ms)
    found.pictures.insert(back, replace(found.pictures[back], at_ms=said.start_ms))
    found.pictures.insert(10, replace(found.pictures[10], at_ms=found.pictures[10].at_ms - 5))
    found.declared = [said]

    left = without_ours(found)

    assert len(left.pictures) == len(found.pictures) - 1
    assert said.start_ms not in [p.at_ms for p in left.pictures]
