"""A recorder's end of forwarding with a real child process: what it tells, and when it lets go."""

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.instance import children_of, is_running
from support.media import interleaved, opus_samples, video_samples
from support.scripted_rtmp import VIDEO, scripted_rtmp

from soloist.forwarding import forwarding as module
from soloist.forwarding.forwarding import Forwarding, ForwardSettings, ForwardTotals
from soloist.model.errors import InternalError
from soloist.model.forward import ForwardState, TargetStatus
from soloist.model.media import Codec, Kind
from soloist.sources.receiver import MediaBusyError
from soloist.wire.addresses import LOOPBACK
from soloist.wire.places import Places
from soloist.wire.rtmp import masked, target_id

pytestmark = pytest.mark.anyio


class Stage:
    """One job's forwarding, fed in real time; the media thread is this one."""

    def __init__(self, *, earlier=(), totals=None, job_id="job1"):
        self.told = []
        self.changes = []
        self.permitted = asyncio.Event()
        self.permitted.set()
        self.totals = totals or ForwardTotals()
        self.busy_times = 0
        """How often the media thread will not keep up."""
        self.forwarding = Forwarding(
            job_id,
            settings=ForwardSettings(LOOPBACK),
            post=self._post,
            permit=self.permitted.wait,
            told=self._told,
            earlier=earlier,
            totals=self.totals,
        )
        self.forwarding.tap.expect(frozenset(Kind))
        self._feeding = asyncio.create_task(self._feed())

    async def close(self):
        self._feeding.cancel()
        await self.forwarding.finish()

    def _post(self, work):
        if self.busy_times > 0:
            self.busy_times -= 1
            raise MediaBusyError
        work()

    async def _told(self, statuses, changed):
        self.told.append(statuses)
        self.changes += [(status.url, status.state) for status in changed]

    async def _feed(self):
        pictures = [
            replace(s, codec=Codec.H264.value, width=320 * s.is_keyframe, height=180 * s.is_keyframe)
            for s in video_samples(Codec.H264, 4)
        ]
        sounds = [replace(s, codec=Codec.OPUS.value) for s in opus_samples(4)]
        began, shift_s = time.monotonic(), 0
        while True:
            for sample in interleaved(tuple(pictures), tuple(sounds)):
                at_s = sample.pts_ns / 1e9 + shift_s
                await asyncio.sleep(max(0.0, began + at_s - time.monotonic()))
                self.forwarding.tap.push([replace(sample, pts_ticks=sample.pts_ticks + shift_s * sample.rate_hz)])
            shift_s += 4


async def until(condition, within_s=30.0):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it does not come to that"
        await asyncio.sleep(0.02)


async def test_while_another_recorder_may_have_the_job_its_streams_are_ended():
    with scripted_rtmp() as server:
        stage = Stage()
        stage.forwarding.start([server.url])
        await until(lambda: len(server.media(VIDEO)) > 10)

        stage.permitted.clear()
        await until(lambda: stage.forwarding._is_held, 0.4)
        await until(lambda: server.commands[-1] == "deleteStream")
        await asyncio.sleep(2)
        assert server.connections == 1

        stage.permitted.set()
        await until(lambda: server.connections == 2 and server.commands[-1] == "publish")
        await stage.close()

    assert stage.told[-1][0].state is ForwardState.ENDED
    assert server.commands[-1] == "deleteStream"


async def test_counts_of_earlier_recorders_go_on_and_changes_are_told_with_the_key_masked():
    with scripted_rtmp() as server:
        earlier = TargetStatus(
            target_id(server.url), masked(server.url), retries=3, bytes_sent=10**9, pictures_sent=500
        )
        stage = Stage(earlier=[earlier])
        stage.forwarding.start([server.url])
        await until(lambda: stage.changes)
        assert stage.totals.counts()["forward_live"] == 1
        await stage.close()

    (status,) = stage.told[-1]
    assert status.retries == 3
    assert status.bytes_sent > 10**9
    assert status.pictures_sent == 500 + len(server.media(VIDEO)) - 1
    assert stage.changes == [(masked(server.url), ForwardState.LIVE)]
    assert stage.totals.counts()["forward_live"] == 0
    assert stage.totals.counts()["forward_bytes"] == status.bytes_sent


async def test_sums_never_fall_while_targets_go_and_come_back():
    with scripted_rtmp() as stays, scripted_rtmp() as goes:
        stage = Stage()
        stage.forwarding.start([goes.url, stays.url])
        seen = []
        watching = asyncio.create_task(watch(stage.totals, seen))
        await until(lambda: len(stage.changes) == 2)
        sums = stage.totals.counts()
        stage.forwarding.aim([stays.url])
        stage.forwarding.aim([stays.url, goes.url])
        await until(lambda: goes.connections == 2 and len(goes.media(VIDEO)) > 120)
        stage.forwarding.aim([stays.url])
        await asyncio.sleep(0.5)
        await stage.close()
        watching.cancel()

    for name in ("forward_bytes", "forward_frames", "forward_frames_dropped", "forward_retries"):
        counts = [counts[name] for counts in seen]
        assert counts == sorted(counts), name
    assert stage.totals.counts()["forward_frames"] >= sums["forward_frames"]
    sent = [len(server.messages) - 2 * server.connections for server in (stays, goes)]
    assert 0 <= sum(sent) - seen[-1]["forward_frames"] < 40, "what was sent since the last report before a removal"


async def test_frames_no_child_took_are_missed_by_the_targets_there_were():
    first, second = "rtmp://live.example.test/app/1", "rtmp://live.example.test/app/2"
    stage = Stage()
    stage.forwarding.tap.let_go()
    dropped = []
    for urls in ([first], [first, second], [second], [first, second]):
        stage.forwarding.aim(urls)
        stage.forwarding.tap.push([replace(video_samples(Codec.H264, 1)[0], codec=Codec.H264.value)])
        dropped.append([status.frames_dropped for status in stage.forwarding.statuses])
    await stage.close()

    assert dropped == [[1], [2, 1], [2], [3, 3]]


async def watch(totals, seen):
    """Note the counts a hundred times a second."""
    while True:
        seen.append(totals.counts())
        await asyncio.sleep(0.01)


async def test_what_an_earlier_recorder_could_not_tell_the_end_of_is_told_without_a_child():
    url = "rtmp://live.example.test/app/key"
    stage = Stage(earlier=[TargetStatus(target_id(url), masked(url), ForwardState.LIVE, pictures_sent=500)])

    stage.forwarding.aim([url])
    await stage.close()

    ((status,),) = stage.told
    assert (status.state, status.pictures_sent) == (ForwardState.ENDED, 500)
    assert stage.forwarding._process is None


async def test_an_address_that_could_not_be_given_today_fails_once_and_harms_no_other_target():
    with scripted_rtmp() as server:
        stage = Stage()
        stage.forwarding.start(["rtmp://user:s3cret@live.example.test/app/k3y", server.url])
        await until(lambda: len(stage.changes) == 2)
        refused, live = stage.forwarding.statuses
        await stage.close()

    assert (refused.state, live.state) == (ForwardState.FAILED, ForwardState.LIVE)
    assert refused.last_error == (
        "its address must not have user:password@; a stream key goes to the end of the path; update the job's rtmp_urls"
    )
    assert "s3cret" not in refused.url
    assert refused.retries == 0
    assert [state for url, state in stage.changes if url == refused.url] == [ForwardState.FAILED]


async def test_a_child_gets_no_secrets_by_argv_or_environment_and_gives_way_to_recorders(monkeypatch):
    monkeypatch.setenv("SOLOIST_DATABASE_URL", "postgresql://s3cret")
    with scripted_rtmp() as server:
        stage = Stage()
        stage.forwarding.start([server.url])
        await until(lambda: stage.changes)
        process = Path("/proc") / str(stage.forwarding._process.pid)
        seen = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        score, niceness = (process / "oom_score_adj").read_text(), (process / "stat").read_text().split()[18]
        await stage.close()

    assert b"s3cret" not in seen
    assert b"rtmp" not in seen
    assert int(score) == 500
    assert int(niceness) >= 5


@pytest.mark.parametrize("after_s", [0.0, 0.01, 0.3])
async def test_a_job_stopped_at_once_leaves_no_child_behind(after_s):
    before = set(children_of(os.getpid()))
    with scripted_rtmp() as server:
        stage = Stage()
        stage.forwarding.start([server.url])
        await asyncio.sleep(after_s)
        await stage.close()

    await until(lambda: not [pid for pid in set(children_of(os.getpid())) - before if is_running(pid)])
    assert stage.told[-1][0].state is ForwardState.ENDED


async def test_what_a_busy_media_thread_did_not_pass_on_a_fresh_child_is_told():
    with scripted_rtmp() as first, scripted_rtmp() as second:
        stage = Stage()
        stage.forwarding.start([first.url])
        await until(lambda: stage.changes)

        stage.busy_times = 2
        stage.forwarding.aim([second.url])
        await until(lambda: len(second.media(VIDEO)) > 10)
        await stage.close()

    assert first.connections == second.connections == 1


async def test_a_fault_in_what_a_child_reports_costs_that_child_alone(monkeypatch):
    monkeypatch.setattr(module, "PAUSE_S_MIN", 0.05)
    monkeypatch.setattr(Forwarding, "_listen", faulty := _Faulty(Forwarding._listen))
    with scripted_rtmp() as server:
        stage = Stage()
        stage.forwarding.start([server.url])
        await until(lambda: stage.changes)
        await stage.close()

    assert faulty.children == 4
    assert stage.told[-1][0].state is ForwardState.ENDED


class _Faulty:
    """Fails as a report may, for the first children; hears the next one."""

    def __init__(self, listen):
        self.listen, self.children = listen, 0

    def __get__(self, forwarding, _class):
        return lambda reader: self(forwarding, reader)

    async def __call__(self, forwarding, reader):
        self.children += 1
        faults = (InternalError(), ValueError(), KeyError())
        if self.children <= len(faults):
            raise faults[self.children - 1]
        await self.listen(forwarding, reader)


async def test_the_end_of_a_stream_reaches_its_server_though_the_child_was_behind():
    with scripted_rtmp() as server:
        stage = Stage()
        stage.forwarding.start([server.url])
        await until(lambda: len(server.media(VIDEO)) > 10)
        stage._feeding.cancel()
        process, tap = stage.forwarding._process, stage.forwarding.tap
        process.send_signal(signal.SIGSTOP)
        keyframe = replace(video_samples(Codec.H264, 1)[0], codec=Codec.H264.value)
        large = replace(keyframe, data=keyframe.data + b"\xff" * 60_000)
        tap.push([replace(large, pts_ticks=(3000 + n) * 3000) for n in range(30)])
        assert tap.is_waiting
        asyncio.get_running_loop().call_later(0.5, process.send_signal, signal.SIGCONT)

        await stage.forwarding.finish()

    assert len([body for body in server.media(VIDEO) if len(body) > 60_000]) == 30
    assert server.commands[-1] == "deleteStream"


async def test_a_finish_that_is_cut_short_leaves_no_child_behind():
    with scripted_rtmp() as server:
        stage = Stage()
        stage.forwarding.start([server.url])
        await until(lambda: stage.changes)
        process = stage.forwarding._process

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await stage.forwarding.finish()

        assert not is_running(process.pid)
        assert stage.totals.running == {}
        await stage.close()


async def test_no_child_is_started_before_there_is_media():
    stage = Stage()
    stage._feeding.cancel()
    before = children_of(os.getpid())
    stage.forwarding.start(["rtmp://live.example.test/app/1"])
    await asyncio.sleep(1.5)
    assert children_of(os.getpid()) == before

    stage._feeding = asyncio.create_task(stage._feed())
    await until(lambda: children_of(os.getpid()) != before)
    await stage.close()
    assert children_of(os.getpid()) == before


async def test_a_job_without_a_place_waits_and_says_so_and_begins_when_another_ends():
    with scripted_rtmp() as server:
        totals = ForwardTotals(Places(in_all_max=5, project_max=1))
        first, second = Stage(totals=totals), Stage(totals=totals, job_id="job2")
        first.forwarding.start(["rtmp://127.0.0.1:9/app/1"])
        await until(lambda: first.forwarding.is_running)
        second.forwarding.start([server.url])
        await until(lambda: second.changes)

        (status,) = second.forwarding.statuses
        assert status.state is ForwardState.WAITING
        assert "as many forwarders" in status.last_error
        assert second.changes == [(masked(server.url), ForwardState.WAITING)]
        assert totals.counts()["forward_waiting"] == 1
        assert not second.forwarding.tap.is_waiting, "what nobody takes is not kept"

        await first.close()
        await until(lambda: len(server.media(VIDEO)) > 10)
        await second.close()
    assert totals.places.taken == {}


async def test_what_is_shed_ends_at_once_and_goes_on_when_restored():
    with scripted_rtmp() as server:
        stage = Stage()
        stage.forwarding.start([server.url])
        await until(lambda: len(server.media(VIDEO)) > 10)

        stage.forwarding.shed()
        await until(lambda: stage.forwarding.statuses[0].state is ForwardState.WAITING)
        assert "overload" in stage.forwarding.statuses[0].last_error
        assert not stage.forwarding.is_running
        await asyncio.sleep(1)
        assert server.connections == 1

        stage.forwarding.restore()
        await until(lambda: server.connections == 2 and server.commands[-1] == "publish")
        await stage.close()
