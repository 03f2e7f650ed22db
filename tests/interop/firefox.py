"""Drives Debian's Firefox by WebDriver BiDi, which it speaks itself on a WebSocket. A missing browser is an error.

Firefox takes no loopback address for media: let it meet a service on another one.
"""

import itertools
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from websockets.sync.client import ClientConnection, connect

START_S = 60.0
PREFERENCES = {
    "app.update.enabled": False,
    "browser.aboutwelcome.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "media.autoplay.blocking_policy": 0,
    "media.autoplay.default": 0,
    "media.gmp-manager.url": "",
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "",
    "toolkit.telemetry.enabled": False,
}


class Firefox:
    """One page in a running browser."""

    def __init__(self, socket_: ClientConnection) -> None:
        self._socket = socket_
        self._ids = itertools.count(1)
        self.version = self.command("session.new", capabilities={})["capabilities"]["browserVersion"]
        self._context = self.command("browsingContext.getTree")["contexts"][0]["context"]

    def command(self, method: str, **params: object) -> dict:
        """Send one command and return its result."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=60))
            if message.get("id") == number:
                assert message["type"] == "success", message
                result: dict = message["result"]
                return result

    def open(self, url: str) -> None:
        """Go to a page and wait until it is complete."""
        self.command("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def evaluate(self, expression: str) -> object:
        """Return what an expression, or the promise it gives, comes to."""
        answer = self.command(
            "script.evaluate",
            expression=f"(async () => JSON.stringify(await ({expression}) ?? null))()",
            target={"context": self._context},
            awaitPromise=True,
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"]["value"])


@contextmanager
def firefox(folder: Path) -> Iterator[Firefox]:
    """Start Firefox without a window, with a profile in `folder`."""
    path = shutil.which("firefox-esr") or shutil.which("firefox")
    if path is None:
        raise RuntimeError("no Firefox on PATH: `scripts/setup.sh interop` installs it")
    profile = folder / "profile"
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("\n".join(lines))
    with _sound_card(folder) as sound, _running(path, profile, folder, sound) as browser:
        yield browser


@contextmanager
def _sound_card(folder: Path) -> Iterator[dict[str, str]]:
    """Run a sound server without a card: Firefox renders no sound at all where it can play none."""
    socket_ = folder / "sound.socket"
    modules = ["-L", "module-null-sink", "-L", f"module-native-protocol-unix auth-anonymous=1 socket={socket_}"]
    options = ["-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "--disable-shm=yes"]
    own = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    with (folder / "sound.log").open("wb") as log:
        process = subprocess.Popen(["pulseaudio", *options, *modules], stdout=log, stderr=log, env=os.environ | own)
    try:
        deadline = time.monotonic() + 10
        while not socket_.exists():
            assert process.poll() is None, "pulseaudio ended"
            assert time.monotonic() < deadline, "pulseaudio does not listen"
            time.sleep(0.05)
        yield own | {"PULSE_SERVER": f"unix:{socket_}"}
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def _running(path: str, profile: Path, folder: Path, variables: dict[str, str]) -> Iterator[Firefox]:
    port = _free_port()
    arguments = ["--headless", "--no-remote", "--profile", str(profile), f"--remote-debugging-port={port}"]
    with (folder / "firefox.log").open("wb") as log:
        process = subprocess.Popen(
            [path, *arguments],
            stdout=log,
            stderr=log,
            env=os.environ | variables | {"MOZ_CRASHREPORTER_DISABLE": "1"},
        )
    try:
        with _connected(port, process) as socket_:
            yield Firefox(socket_)
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def _connected(port: int, process: "subprocess.Popen[bytes]") -> Iterator[ClientConnection]:
    deadline = time.monotonic() + START_S
    while True:
        try:
            socket_ = connect(f"ws://127.0.0.1:{port}/session", max_size=None, open_timeout=5)
            break
        except (OSError, TimeoutError):
            assert process.poll() is None, "Firefox ended"
            assert time.monotonic() < deadline, "Firefox does not answer"
            time.sleep(0.2)
    with socket_:
        yield socket_


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
