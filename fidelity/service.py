"""The service that records the fidelity runs: its REST API in a few short calls, and its bucket."""

import json
import threading
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.instance import Instance, until

TOKEN = "devtoken"  # noqa: S105 - of development mode
TAKEN_S = 20.0
FILED_S = 90.0


@dataclass(frozen=True, slots=True)
class Rule:
    """How a job writes."""

    container: str = "MP4"
    """MP4 or HLS."""
    audio: str = "aac"
    merge_s: int = 300

    def body(self) -> dict[str, Any]:
        """Return the request that makes it."""
        address = {"location": "cn-north-4", "project_id": "dev", "bucket": "recordings", "object": "f/"}
        config: dict[str, Any] = {"record_cycle": 3600, "record_max_duration_to_merge_file": self.merge_s}
        if self.container == "HLS":
            config |= {"record_cycle": 0, "record_slice_duration": 2}
        name = f"{self.container.lower()}_config"
        formats = {"record_formats": [self.container], name: config}
        return {"obs_addr": address, "ext": {"audio": self.audio}, **formats}


@dataclass(frozen=True, slots=True)
class Job:
    """A job and whom it records."""

    app: str
    room: str
    user: str
    job_id: str

    @property
    def path(self) -> str:
        """Where the API has it."""
        return f"/v2/apps/{self.app}/individual-stream-jobs/{self.job_id}"


@dataclass
class Service:
    """One running instance and the apps made there so far: one for each rule, since a bucket has one rule in an app."""

    instance: Instance
    _apps: dict[Rule, tuple[str, str]] = field(default_factory=dict)
    _making: threading.Lock = field(default_factory=threading.Lock)

    def app(self, rule: Rule) -> tuple[str, str]:
        """Return an app whose rule this is, made at the first call, and the rule's id."""
        with self._making:
            if rule not in self._apps:
                name = f"{rule.container}-{rule.audio}-{rule.merge_s}".lower().replace("--", "-")
                app = self._call("POST", "/v2/apps", {"app_name": name})["app_id"]
                made = self._call("POST", f"/v2/apps/{app}/record-rules", rule.body())
                self._apps[rule] = (app, made["rule_id"])
            return self._apps[rule]

    def start(self, room: str, user: str, rule: Rule, **fields: object) -> "Job":
        """Start a job and return it once a recorder has taken it."""
        app, rule_id = self.app(rule)
        body = {"room_id": room, "user_id": user, "max_idle_time": 120, **fields}
        body["record_param"] = {"record_rule_id": rule_id}
        made = self._call("POST", f"/v2/apps/{app}/individual-stream-jobs", body)["job_id"]
        job = Job(app, room, user, made)
        # An encoded clip has no other first keyframe to send when asked.
        until(lambda: self.state(job) == "RUNNING", TAKEN_S, f"the job does not run after {TAKEN_S:g} s")
        return job

    def state(self, job: "Job") -> str:
        """Return a job's state."""
        return str(self._call("GET", job.path)["state"])

    def control(self, job: "Job", action: str) -> None:
        """SUSPEND or RESTART a job."""
        self._call("PUT", f"{job.path}/control?action={action}")

    def stop(self, job: "Job") -> None:
        """Stop a job."""
        self._call("DELETE", job.path)

    def manifests(self, job: "Job") -> list[dict[str, Any]]:
        """Return the manifests of a stopped job once all its files are in the bucket."""
        lacking = f"the files of {job.job_id} are not in the bucket after {FILED_S:g} s"
        until(lambda: self._is_filed(job.job_id), FILED_S, lacking)
        return [json.loads(path.read_text()) for path in sorted(self.instance.bucket.rglob(f"*{job.job_id}*.json"))]

    def path(self, key: str) -> Path:
        """Return where an object lies."""
        return self.instance.bucket / key

    def whip_url(self, job: "Job", stream: str = "camera") -> str:
        """Return where the participant of a job publishes a stream."""
        return f"{self.instance.url}/whip/{job.app}/{job.room}/{job.user}?stream={stream}"

    def _is_filed(self, job: str) -> bool:
        try:
            is_left = any(path.is_file() for path in (self.instance.spool / job).rglob("*"))
        except FileNotFoundError:  # Removed while we looked.
            return False
        return not is_left and any(self.instance.bucket.rglob(f"*{job}*.json"))

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        url = f"{self.instance.url}{path}"
        headers = {"X-Auth-Token": TOKEN, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - our own server
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - as above
            text = answer.read()
        return dict(json.loads(text)) if text else {}
