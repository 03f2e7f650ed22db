"""What a plan says must be missing."""

import pytest

from fidelity.plan import Absence, Act, Phase, Plan, drawn

ACTS = (Act.MUTE_AUDIO, Act.MUTE_VIDEO, Act.LOSE_AUDIO, Act.LEAVE, Act.BLACKOUT)


def expected(*phases):
    return [(a.kind, a.start_ms, a.end_ms, a.cause) for a in Plan(20, phases).expected()]


@pytest.mark.parametrize(
    ("act", "kinds", "cause"),
    [
        (Act.MUTE_AUDIO, ["audio"], "pause"),
        (Act.MUTE_VIDEO, ["video"], "pause"),
        (Act.LOSE_VIDEO, ["video"], "gap"),
        (Act.LEAVE, ["audio", "video"], "idle"),
        (Act.BLACKOUT, ["audio", "video"], "gap"),
        (Act.SUSPEND, ["audio", "video"], "pause"),
        (Act.KILL, ["audio", "video"], "fault"),
    ],
)
def test_each_act_takes_its_tracks_for_its_cause(act, kinds, cause):
    assert expected(Phase(act, 3000, 6000)) == [(kind, 3000, 6000, cause) for kind in kinds]


def test_a_picture_comes_back_with_the_next_keyframe_and_sound_with_the_next_packet():
    assert expected(Phase(Act.BLACKOUT, 3010, 5110)) == [
        ("audio", 3020, 5120, "gap"),
        ("video", 3020, 5500, "gap"),
    ]


def test_a_picture_that_only_stands_is_not_missing():
    assert expected(Phase(Act.MUTE_VIDEO, 3000, 5000)) == []


def test_what_begins_late_was_never_sent():
    assert expected(Phase(Act.MUTE_AUDIO, 0, 3000)) == [("audio", 0, 3000, "gap")]


def test_a_change_of_picture_takes_nothing():
    assert expected(Phase(Act.REPLACE, 3000, 6000)) == []


def test_a_silent_layer_takes_the_picture_until_another_one_is_recorded():
    assert expected(Phase(Act.SILENCE_LAYER, 5000, 9000, layer=2)) == [("video", 5000, 7000, "gap")]


def test_the_same_seed_draws_the_same_plan_and_another_seed_another():
    assert drawn(7, ACTS, 12) == drawn(7, ACTS, 12) != drawn(8, ACTS, 12)


@pytest.mark.parametrize("seed", range(20))
def test_drawn_interruptions_leave_calm_between_them_and_are_all_expected(seed):
    plan = drawn(seed, ACTS, 15)

    assert all(
        after.start_ms - before.end_ms >= 1000 for before, after in zip(plan.phases, plan.phases[1:], strict=False)
    )
    assert {phase.act for phase in plan.phases} == set(ACTS)
    assert all(any(a.start_ms >= p.start_ms for a in plan.expected()) for p in plan.phases)
    assert plan.seconds * 1000 > plan.phases[-1].end_ms


def test_absences_of_different_tracks_share_nothing():
    one, other = Absence("audio", 0, 100, "gap"), Absence("video", 0, 100, "gap")
    assert (one.overlap_ms(other), one.overlap_ms(Absence("audio", 60, 200, "idle"))) == (0, 40)
