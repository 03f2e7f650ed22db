"""The sides of the comparison: each takes WHIP publishers at `url`, and says afterwards what its files hold.

Soloist runs whole, as an operator would run it: supervisor, PostgreSQL, api and recorder, one job per publisher made
through the REST API. The peers are single processes that only receive and write.
"""

import asyncio
import contextlib
import json
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from kept import NOTHING, Kept, kept_in_lengths, kept_in_mp4, kept_raw
from support.server import Server, private_server

from soloist.clock import utc_now
from soloist.jobs.accounts import Accounts
from soloist.jobs.database import open_database
from soloist.model.ids import AppId, RuleId
from soloist.model.rule import AudioMode, RecordFormat

APP, RULE, ROOM = AppId("demo"), RuleId("demo"), "bench"
STOP_S, JOBS_S = 20.0, 60.0


class SideError(Exception):
    """A side did not do its part, so there is nothing to compare."""


class Running(Protocol):
    """A side that takes publishers."""

    @property
    def pid(self) -> int:
        """Root of the processes that count as this side."""

    @property
    def url(self) -> str:
        """Where publisher {n} publishes."""

    def kept(self, count: int) -> list[Kept]:
        """Finish the files and return what those of each publisher hold; a peer may know only the sum, as one entry."""


class Side(Protocol):
    """Something that can be measured."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    @property
    def channels(self) -> int:
        """Of the Opus it is sent."""

    @property
    def has_picture(self) -> bool:
        """Whether it is sent pictures."""

    def running(self, count: int) -> "contextlib.AbstractContextManager[Running]":
        """Run it for `count` publishers."""


@dataclass(frozen=True)
class Soloist:
    """This service with one job per publisher."""

    audio: AudioMode
    channels: int
    formats: tuple[RecordFormat, ...] = (RecordFormat.MP4,)
    """What is recorded: the first publisher in the first of these, the next in the next, and so on, round and round."""
    mp4_cycle_s: int = 3600
    has_picture: bool = True
    """False: participants send sound alone, and jobs ask for nothing else (rule R53)."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        kept = "copy" if self.audio is AudioMode.COPY else f"AAC {('mono', 'stereo')[self.channels - 1]}"
        return f"soloist {kept}" if self.has_picture else f"soloist sound alone, {kept}"

    @contextlib.contextmanager
    def running(self, count: int) -> Iterator["RunningSoloist"]:
        """Start an instance of its own and create the jobs; each waits for its participant."""
        with private_server() as server:
            jobs = [""] * count
            for offset, wanted in enumerate(self.formats):
                asyncio.run(self._set_rule(server, wanted))  # A job keeps the rule it began with.
                for n in range(offset, count, len(self.formats)):
                    jobs[n] = _start_job(server, f"p{n}", has_picture=self.has_picture)
            _await("recorder", jobs, lambda job: _call(server, "GET", f"/{job}")["state"] == "RUNNING")
            yield RunningSoloist(server, jobs)

    async def _set_rule(self, server: Server, wanted: RecordFormat) -> None:
        """Let the dev app's rule write what is asked for."""
        database = open_database(server.database_url)
        accounts = Accounts(database)
        rule = await accounts.rule(APP, RULE)
        if rule is None or rule.mp4 is None:
            raise SideError("the dev app has no rule")
        mp4 = replace(rule.mp4, record_cycle_s=self.mp4_cycle_s)
        await accounts.save_rule(replace(rule, audio=self.audio, formats=(wanted,), mp4=mp4), utc_now())
        await database.dispose()


@dataclass
class RunningSoloist:
    """An instance and its jobs, by number of publisher."""

    server: Server
    jobs: list[str]

    @property
    def pid(self) -> int:
        """The supervisor."""
        return self.server.process.pid

    @property
    def url(self) -> str:
        """Where publisher {n} publishes."""
        return self.server.whip_url(ROOM, "p{n}")

    def kept(self, count: int) -> list[Kept]:
        """Stop the jobs, wait until each has moved its files, and count what is in them."""
        self.finish()
        return [self._kept_by(job) for job in self.jobs[:count]]

    def finish(self) -> None:
        """Stop the jobs and wait until each has moved its files."""
        for job in self.jobs:
            _call(self.server, "DELETE", f"/{job}")
        _await("files in the bucket", self.jobs, self._is_filed)

    def _is_filed(self, job: str) -> bool:
        # The manifest comes last, and nothing may still be on its way.
        spool = self.server.data / "spool" / job
        try:
            is_left = any(path.is_file() for path in spool.rglob("*"))
        except FileNotFoundError:  # removed while we looked
            return False
        return not is_left and any(self.server.bucket.rglob(f"*{job}*.json"))

    def _kept_by(self, job: str) -> Kept:
        return sum((kept_in_mp4(path) for path in self.server.bucket.rglob(f"*{job}*.mp4")), NOTHING)


def _start_job(server: Server, user: str, *, has_picture: bool = True) -> str:
    record = {"record_rule_id": RULE}
    body = {"room_id": ROOM, "user_id": user, "max_idle_time": 120, "record_param": record}
    body |= {} if has_picture else {"video_type": ""}
    return str(_call(server, "POST", "", body)["job_id"])


def _await(what: str, jobs: list[str], is_done: Callable[[str], bool]) -> None:
    deadline = time.monotonic() + JOBS_S
    for job in jobs:
        while not is_done(job):
            if time.monotonic() > deadline:
                raise SideError(f"job {job} has no {what} after {JOBS_S} s")
            time.sleep(0.1)


def _call(server: Server, method: str, path: str, body: object = None) -> dict[str, Any]:
    url = f"{server.url}/v2/apps/{APP}/individual-stream-jobs{path}"
    headers = {"X-Auth-Token": "devtoken", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
        text = answer.read()
    return dict(json.loads(text)) if text else {}


@dataclass(frozen=True)
class Peer:
    """A program that prints its address as JSON and writes into the folder it is given."""

    name: str
    command: tuple[str, ...]
    is_by_name: bool
    """Whether its files carry the publisher's name."""
    channels: int = 1
    has_picture: bool = True

    @contextlib.contextmanager
    def running(self, count: int) -> Iterator[Running]:
        """Start the program with a folder of its own."""
        with tempfile.TemporaryDirectory(prefix="soloist-bench-") as name:
            folder = Path(name)
            process = subprocess.Popen([*self.command, "--folder", name], stdout=subprocess.PIPE, text=True)
            try:
                line = process.stdout.readline() if process.stdout else ""
                if not line:
                    raise SideError(f"{self.name} did not start")
                yield RunningPeer(process.pid, json.loads(line)["url"] + "/{n}", folder, self.is_by_name)
            finally:
                process.terminate()
                process.wait(STOP_S)


@dataclass
class RunningPeer:
    """A peer's process and its folder."""

    pid: int
    url: str
    folder: Path
    is_by_name: bool

    def kept(self, count: int) -> list[Kept]:
        """Count what is in the files; leaving has closed them."""
        if self.is_by_name:
            return [kept_raw(self.folder, str(n)) for n in range(count)]
        return [kept_in_lengths(self.folder)]
