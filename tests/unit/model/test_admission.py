"""When a recorder is nearly full and full, when it has room again, and who is refused then. Rule R44."""

import pytest

from soloist.model.admission import Condition, Load, LoadLimits, LoadState, Shares, Standing, condition_after, refusal

OK, SHEDDING, FULL = LoadState.OK, LoadState.SHEDDING, LoadState.FULL
LIMITS = LoadLimits(queue_bytes=256 << 20, memory_bytes=1 << 30, descriptors=1000)


@pytest.mark.parametrize(
    ("load", "state", "word"),
    [
        (Load(), OK, ""),
        (Load(cpu_io=0.84, cpu_media=0.84, queue_age_ms=700), OK, ""),
        (Load(cpu_io=0.87), SHEDDING, "I/O thread uses 87% of a core"),
        (Load(cpu_io=0.96), FULL, "I/O thread"),
        (Load(cpu_media=0.9), SHEDDING, "media thread uses 90% of a core"),
        (Load(cpu_media=0.95), FULL, "media thread"),
        (Load(queue_age_ms=900), SHEDDING, "waits 0.9 s"),
        (Load(queue_age_ms=1600), FULL, "waits 1.6 s"),
        (Load(queue_bytes=120 << 20), SHEDDING, "120 of 256 MiB"),
        (Load(queue_bytes=240 << 20), FULL, "240 of 256 MiB"),
        (Load(memory_bytes=900 << 20), SHEDDING, "900 of 1024 MiB of memory"),
        (Load(memory_bytes=930 << 20), FULL, "930 of 1024 MiB of memory"),
        (Load(descriptors=820), SHEDDING, "820 of 1000 descriptors"),
        (Load(descriptors=900), FULL, "900 of 1000 descriptors"),
        (Load(cpu_media=0.9, descriptors=950), FULL, "950 of 1000 descriptors"),
    ],
)
def test_each_measure_alone_makes_a_recorder_nearly_full_and_full_and_is_named(load, state, word):
    condition = condition_after(OK, load, LIMITS)

    assert condition.state is state
    assert word in condition.reason
    assert bool(condition.reason) is (state is not OK)


@pytest.mark.parametrize(
    ("before", "cpu_media", "after"),
    [
        (OK, 0.80, OK),
        (SHEDDING, 0.80, SHEDDING),
        (SHEDDING, 0.72, OK),
        (SHEDDING, 0.94, SHEDDING),
        (FULL, 0.94, FULL),
        (FULL, 0.82, FULL),
        (FULL, 0.79, SHEDDING),
        (FULL, 0.70, OK),
        (OK, 0.94, SHEDDING),
    ],
)
def test_a_state_is_left_only_well_below_the_mark_that_began_it(before, cpu_media, after):
    assert condition_after(before, Load(cpu_media=cpu_media), LIMITS).state is after


BUSY = Condition(SHEDDING, "its media thread uses 90% of a core")
SHARES = Shares(live_per_project_max=10, recordings_per_project_max=5, jobs_per_recorder_max=20)


@pytest.mark.parametrize(
    ("standing", "says"),
    [
        (Standing(9), None),
        (Standing(10), "10 live jobs"),
        (Standing(11), "10 live jobs"),
        (Standing(6, recordings_count=4), None),
        (Standing(6, recordings_count=5), "records 5 streams"),
        (Standing(1, held_count=19), None),
        (Standing(1, held_count=20), "holds 20 jobs"),
        (Standing(1, is_silent=True), "does not run"),
        (Standing(1, condition=Condition(FULL, "it holds 900 of 1000 descriptors")), "900 of 1000 descriptors"),
        (Standing(1, condition=BUSY, writing={"ours": 30}), None),
        (Standing(1, condition=BUSY, writing={"ours": 30, "theirs": 29}), "has its share"),
        (Standing(1, condition=BUSY, writing={"ours": 29, "theirs": 30}), None),
        (Standing(1, condition=BUSY, writing={"theirs": 100}), None),
        (Standing(1, condition=BUSY, writing={"ours": 0, "theirs": 100, "third": 9}), None),
        (Standing(1, condition=BUSY, writing={"ours": 40, "theirs": 60, "third": 9}), "has its share"),
        (Standing(1, condition=Condition(OK), writing={"ours": 99, "theirs": 1}), None),
    ],
)
def test_who_may_start_one_more_job(standing, says):
    why = refusal("ours", standing, SHARES)

    assert (why is None) is (says is None), why
    assert says is None or says in why
