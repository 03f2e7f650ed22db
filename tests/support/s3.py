"""Real S3 servers for tests: versitygw, which `setup.sh tests` builds, and moto; each with a bucket `recordings`."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import boto3

from soloist.clock import utc_now
from soloist.storage.location import S3Location
from soloist.wire.sigv4 import S3Credential, presign
from support.server import free_port

BUILD = Path(__file__).parents[2] / "build"
CREDENTIAL = S3Credential("testkey", "secret-of-the-tests", "us-east-1")
START_S = 30.0


@dataclass(frozen=True)
class S3Server:
    """A running server."""

    url: str

    @property
    def location(self) -> S3Location:
        """It as a location, less patient than one of the real world."""
        timeout = timedelta(seconds=10)
        return S3Location(self.url, CREDENTIAL, request_timeout=timeout, patience=timedelta(seconds=1))

    @property
    def setting(self) -> dict[str, str | float]:
        """It as a value of SOLOIST_STORAGE."""
        keys = {"access_key": CREDENTIAL.access_key, "secret_key": CREDENTIAL.secret_key}
        return {"endpoint": self.url, **keys, "request_timeout_s": 10.0, "patience_s": 1.0}

    def ask(self, method: str, path: str, query: dict[str, str] | None = None, data: bytes | None = None) -> bytes:
        """Send one request, signed; return the answer's body."""
        lifetime = timedelta(minutes=1)
        url = presign(method, self.url, path, credential=CREDENTIAL, now=utc_now(), lifetime=lifetime, query=query)
        with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=10) as answer:  # noqa: S310 - our own
            return bytes(answer.read())

    def objects(self, bucket: str = "recordings") -> dict[str, bytes]:
        """Return every object of a bucket, read by a client that is not ours."""
        client = boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=CREDENTIAL.access_key,
            aws_secret_access_key=CREDENTIAL.secret_key,
            region_name=CREDENTIAL.region,
        )
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}

    def at(self, url: str) -> "S3Server":
        """Return it as it is reached by another address."""
        return replace(self, url=url)


@contextlib.contextmanager
def versitygw(folder: Path) -> Iterator[S3Server]:
    """Run versitygw over an empty folder."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    keys = {"ROOT_ACCESS_KEY": CREDENTIAL.access_key, "ROOT_SECRET_KEY": CREDENTIAL.secret_key}
    program = shutil.which("versitygw", path=f"{BUILD}:{os.environ['PATH']}")
    assert program, "no versitygw: `scripts/setup.sh tests` builds it"
    command = [program, "--port", f"127.0.0.1:{port}", "--quiet", "posix", folder]
    with _running(command, port, keys) as server:
        yield server


@contextlib.contextmanager
def moto() -> Iterator[S3Server]:
    """Run moto, which keeps its objects in memory."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with _running(command, port, {}) as server:
        yield server


@contextlib.contextmanager
def _running(command: list[str | Path], port: int, variables: dict[str, str]) -> Iterator[S3Server]:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | variables,
    )
    try:
        deadline = time.monotonic() + START_S
        while not _answers(port):
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{command[0]} does not answer"
            time.sleep(0.05)
        server = S3Server(f"http://127.0.0.1:{port}")
        server.ask("PUT", "/recordings")
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
