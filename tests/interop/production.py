"""A production-mode instance, set up by the operator's commands: credential, app, join tokens.

A record rule is put into the database, which has no command for it yet.
"""

import asyncio
import json
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from huaweicloudsdkcloudrtc.v2 import CloudRTCClient
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from support.database import connected, private_folder
from support.sdk import Sdk
from support.server import START_S, Server, _stop, _tail, free_port

from soloist.clock import utc_now
from soloist.jobs.accounts import Accounts
from soloist.model.ids import AppId, ParticipantId, ProjectId, RoomId, RuleId
from soloist.model.rule import HlsConfig, Mp4Config, RecordFormat, RecordRule, StorageAddress
from soloist.wire.join_token import JoinRole, mint_join_token

RULE = RuleId("demo")


@dataclass(frozen=True)
class Production:
    """A running instance and the customer it was set up for."""

    server: Server
    api: str
    """Where its API is reached."""
    access: str
    secret: str = field(repr=False)
    project: str = "acme"
    app: str = ""
    join_key: str = field(default="", repr=False)
    """What the customer's backend signs join tokens with."""

    @property
    def bucket(self) -> Path:
        return self.server.bucket

    def sdk(self, url: str | None = None) -> "AppSdk":
        return AppSdk(self.app, url or self.api, access=self.access, secret=self.secret, project=self.project)

    def endpoint(self, room: str, user: str) -> tuple[str, str]:
        token = mint_join_token(
            self.join_key,
            app_id=AppId(self.app),
            room_id=RoomId(room),
            participant_id=ParticipantId(user),
            role=JoinRole.PUBLISHER,
            expires_at=utc_now() + timedelta(hours=1),
        )
        return f"{self.api}/whip/{self.app}/{room}/{user}", token

    def operators_token(self, room: str, user: str) -> str:
        """Return a join token made by the operator's command."""
        return _command(self.server, "join-token", "create", "--app", self.app, "--room", room, "--user", user).strip()


class AppSdk(Sdk):
    """The SDK of a customer who has one app."""

    def __init__(self, app: str, url: str, *, access: str, secret: str, project: str) -> None:
        super().__init__(url, access=access, secret=secret, project=project)
        if url.startswith("https:"):
            self.client = trusting_client(url, access, secret, project)
        self._app = app

    def create(self, **fields: object) -> object:
        return super().create(self._app, **fields)

    def show(self, job_id: str) -> object:
        return super().show(job_id, self._app)

    def stop(self, job_id: str) -> object:
        return super().stop(job_id, self._app)


def trusting_client(url: str, access: str, secret: str, project: str) -> CloudRTCClient:
    """Return the official client, told to take a certificate nobody vouches for."""
    config = HttpConfig.get_default_config()
    config.ignore_ssl_verification = True
    builder = CloudRTCClient.new_builder().with_http_config(config).with_endpoints([url])
    return builder.with_credentials(BasicCredentials(access, secret, project)).build()


@contextmanager
def production(
    host: str, *options: str, reached_at: str, scheme: str = "http", environment: dict[str, str] | None = None
) -> Iterator[Production]:
    """Run `soloist serve` on `host`; `reached_at` is how clients write that host in a URL."""
    with private_folder() as folder:
        server = _spawn(folder, f"{scheme}://{reached_at}", ("--host", host, *options), environment or {})
        try:
            _await_health(server)
            yield _set_up(server)
        finally:
            _stop(server)


def _spawn(folder: Path, origin: str, options: tuple[str, ...], environment: dict[str, str]) -> Server:
    port = free_port()
    data, runtime, log = folder / "data", folder / "run", folder / "serve.log"
    arguments = ["serve", "--port", str(port), "--media-port", "0", "--data", str(data), *options]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "soloist", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=_variables(runtime) | environment,
        )
    return Server(f"{origin}:{port}", data, runtime, log, process)


def _variables(runtime: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SOLOIST_")}
    return inherited | {"SOLOIST_RUNTIME": str(runtime)}


def _await_health(server: Server) -> None:
    health, anybody = f"{server.url}/soloist/v1/health", None
    if health.startswith("https:"):
        anybody = ssl._create_unverified_context()  # noqa: S323 - the certificate is the test's own
    deadline = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(health, timeout=5, context=anybody) as answer:  # noqa: S310 - our own
                if json.load(answer)["status"] == "ok":
                    return
        except OSError:
            pass
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the server did not start:\n{_tail(server)}")
        time.sleep(0.05)


def _set_up(server: Server) -> Production:
    credential = _facts(_command(server, "credential", "create", "--project", "acme"))
    app = _facts(_command(server, "app", "create", "shop", "--project", "acme"))
    asyncio.run(_save_rule(server.database_url, AppId(app["app"])))
    keys = credential["AK"], credential["SK"]
    return Production(server, server.url, *keys, project="acme", app=app["app"], join_key=app["join key"])


def _facts(printed: str) -> dict[str, str]:
    return dict(re.findall(r"^(\S+(?: \S+)*?)\s+(\S+)$", printed, re.MULTILINE))


def _command(server: Server, *words: str) -> str:
    command = [sys.executable, "-m", "soloist", *words, "--data", str(server.data)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=_variables(server.runtime)
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def _save_rule(url: str, app: AppId) -> None:
    rule = RecordRule(
        rule_id=RULE,
        app_id=app,
        address=StorageAddress(location="cn-north-4", project_id=ProjectId("acme"), bucket="recordings"),
        formats=(RecordFormat.MP4,),
        mp4=Mp4Config(record_cycle_s=3600, merge_gap_s=300),
        hls=HlsConfig(record_cycle_s=0, merge_gap_s=-1),
    )
    async with connected(url) as database:
        await Accounts(database).save_rule(rule, utc_now())
