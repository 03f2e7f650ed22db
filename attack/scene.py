"""The place of an attack: a running service with a victim's project and an attacker's, and what the attacker holds."""

import functools
import http.client
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from fidelity.service import Service

STRANGER = "127.0.0.2"
"""Where an attacker's connections come from, so that bounds per address tell them from the victim's."""
PROJECT, BUCKET = "mallory", "mallory-bucket"


@dataclass
class Scene:
    """A service in development mode; the victim is of project dev, the attacker of one of his own."""

    service: Service

    @property
    def port(self) -> int:
        """TCP port of the API."""
        return self.service.instance.port

    @property
    def media_port(self) -> int:
        """UDP and TCP port of media."""
        return self.service.instance.media_port

    @functools.cached_property
    def token(self) -> str:
        """A token of the attacker's project."""
        said = self.command("credential", "create", "--project", PROJECT, "--token")
        return said.split()[1]

    @functools.cached_property
    def app(self) -> tuple[str, str]:
        """An app of the attacker's and the id of its rule."""
        made = self.call("POST", "/v2/apps", {"app_name": "attack"})
        self.command("bucket", "grant", "--project", PROJECT, "--bucket", BUCKET)
        address = {"location": "cn-north-4", "project_id": PROJECT, "bucket": BUCKET, "object": "f/"}
        rule = {"obs_addr": address, "record_formats": ["MP4"], "mp4_config": {"record_cycle": 3600}}
        return made["app_id"], self.call("POST", f"/v2/apps/{made['app_id']}/record-rules", rule)["rule_id"]

    def start_job(self, room: str, user: str = "mallory", **fields: Any) -> dict[str, Any]:
        """Start a job of the attacker's.

        Raises:
            urllib.error.HTTPError: it is refused.
        """
        app, rule = self.app
        body = {
            "room_id": room,
            "user_id": user,
            "record_param": {"record_rule_id": rule},
            "max_idle_time": 60,
            **fields,
        }
        return self.call("POST", f"/v2/apps/{app}/individual-stream-jobs", body)

    def join_token(self, room: str, user: str = "mallory", app: str = "") -> str:
        """Return a token that lets one of the attacker's users into one of his rooms."""
        asked = {"app_id": app or self.app[0], "room_id": room, "user_id": user}
        return str(self.call("POST", "/soloist/v1/join-tokens", asked)["token"])

    def whip_url(self, room: str, user: str = "mallory", app: str = "") -> str:
        """Return where somebody of the attacker's publishes."""
        return f"{self.service.instance.url}/whip/{app or self.app[0]}/{room}/{user}"

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Make a request with the attacker's token, from his address.

        Raises:
            urllib.error.HTTPError: it is refused.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30, source_address=(STRANGER, 0))
        headers = {"X-Auth-Token": self.token, "Content-Type": "application/json"}
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status >= 400:
            raise urllib.error.HTTPError(path, answer.status, text.decode(errors="replace"), answer.headers, None)
        return dict(json.loads(text)) if text else {}

    def command(self, *words: str) -> str:
        """Run an operator's command on this service; return what it printed."""
        instance = self.service.instance
        variables = {**os.environ, "SOLOIST_RUNTIME": str(instance.runtime)}
        done = subprocess.run(
            [sys.executable, "-m", "soloist", *words, "--data", str(instance.data)],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"soloist {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout
