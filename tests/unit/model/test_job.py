"""A job's moves from state to state."""

from datetime import timedelta

from support.jobs import a_job

from soloist.model.job import JobEvent, JobState


def test_a_move_by_a_clock_read_earlier_does_not_take_the_time_of_the_last_change_back():
    job = a_job(state=JobState.INIT)
    taken = job.after(JobEvent.TAKEN, job.updated_at - timedelta(milliseconds=3))
    stopped = taken.after(JobEvent.STOP_REQUESTED, job.updated_at + timedelta(milliseconds=3))

    assert (taken.state, taken.updated_at) == (JobState.RUNNING, job.updated_at)
    assert stopped.updated_at - job.updated_at == timedelta(milliseconds=3)
