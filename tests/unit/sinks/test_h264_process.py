"""The process that transcodes: it gives way, knows no secrets, and never outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.media import video_samples

from soloist.model.media import Codec
from soloist.sinks.h264_process import H264Process, piped

PARENT = """
import sys, time
from soloist.sinks.h264_process import H264Process
process = H264Process()
print(process.pid, flush=True)
time.sleep(60)
"""


def until(is_true, within_s=20):
    deadline = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < deadline, "it does not come to pass"
        time.sleep(0.01)


def is_running(pid):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.fixture
def process(monkeypatch):
    monkeypatch.setenv("SOLOIST_DATABASE_URL", "postgresql://user:secret@host/db")
    process = H264Process()
    yield process
    process.end()


def test_it_answers_each_picture_once_and_in_order(process):
    samples = video_samples(Codec.VP8, 2)
    answers = []
    for sample in samples:
        process.push(piped(sample.data, sample.pts_ticks, is_keyframe=sample.is_keyframe, is_forced=False))
    until(lambda: answers.extend(process.answers()) or len(answers) >= len(samples))

    assert [answer.pts_ticks for answer in answers] == [sample.pts_ticks for sample in samples]
    assert not process.has_died


def test_it_gives_way_to_everything_else_and_is_told_no_secret(process):
    process.push(piped(b"no picture", 0, is_keyframe=True, is_forced=False))
    until(process.answers)

    assert os.getpriority(os.PRIO_PROCESS, process.pid) == min(os.getpriority(os.PRIO_PROCESS, 0) + 10, 19)
    assert b"SOLOIST_" not in Path(f"/proc/{process.pid}/environ").read_bytes()


def test_more_than_the_pipe_takes_waits_here_and_blocks_nobody(process):
    os.kill(process.pid, signal.SIGSTOP)
    began = time.monotonic()
    for n in range(64):
        process.push(piped(bytes(100_000), n, is_keyframe=False, is_forced=False))
    assert time.monotonic() - began < 1
    assert process.answers() == []
    os.kill(process.pid, signal.SIGCONT)
    answers = []
    until(lambda: answers.extend(process.answers()) or len(answers) == 64)


def test_its_death_is_noticed(process):
    os.kill(process.pid, signal.SIGKILL)

    until(lambda: process.answers() == [] and process.has_died)


def test_it_ends_when_its_parent_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()

    until(lambda: not is_running(pid))
