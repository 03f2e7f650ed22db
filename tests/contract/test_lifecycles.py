"""Apps, rules, callbacks, automatic recording and jobs in any order: the server answers as a model of a page would."""

import json
import time
from dataclasses import dataclass, field
from itertools import count

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from soloist.jobs.accounts import token_digest

FEW = settings(max_examples=12, stateful_step_count=30, suppress_health_check=list(HealthCheck), deadline=None)
LOCATIONS = ("cn-north-4", "elsewhere")
PICK = st.integers(0, 5)
projects = count()

OK, MADE, GONE = (200, None), (201, None), (204, None)
NOT_FOUND = (404, "RTC.00001003")
DISABLED, RUNNING, DONE, IN_USE = ((400, f"RTC.000010{number}") for number in ("16", "06", "09", "13"))
NO_SUCH_RULE = STILL_ENABLED = (400, "RTC.00001003")
HAS_RULES = (400, "RTC.00001019")


@dataclass
class AppModel:
    """What the server should know of an app."""

    enabled: bool = True
    auto_rule: str | None = None
    callback: str = ""
    rules: dict[str, str] = field(default_factory=dict)
    """Rule id by location."""


@dataclass
class JobModel:
    """What the server should know of a job."""

    app: str
    stream: str
    rule: str
    live: bool = True


class Lifecycles(RuleBasedStateMachine):
    """One project of its own; every step asks the server and the model and compares their answers."""

    def __init__(self, server, http):
        super().__init__()
        self.http, self.database_url = http, server.database_url
        project = f"machine{next(projects)}"
        self.headers = {"X-Auth-Token": f"{project}-token"}
        self.bucket = project
        with psycopg.connect(server.database_url) as connection:
            connection.execute("INSERT INTO projects VALUES (%s)", [project])
            values = [token_digest(f"{project}-token"), project]
            connection.execute("INSERT INTO tokens (token_sha256, project_id) VALUES (%s, %s)", values)
            for location in LOCATIONS:
                connection.execute("INSERT INTO bucket_grants VALUES (%s, %s, %s)", [project, location, self.bucket])
        self.apps, self.deleted, self.jobs, self.rules = {}, [], {}, ["none"]

    def ask(self, method, path, body=None):
        """Return what was answered as status and code, and the body."""
        sent = None if body is None else json.dumps(body).encode()
        status, _, answer = self.http(method, path, sent, self.headers)
        return (status, answer["error_code"] if status >= 400 else None), answer

    def app(self, pick):
        """Return the id of an app that is or was there, or of none."""
        known = [*self.apps, *self.deleted, "none"]
        return known[pick % len(known)]

    def await_ended(self, app_id):
        """Return once an app's stopped jobs have ended: what its callback never took does not keep it."""
        ended = "SELECT count(*) FROM jobs WHERE app_id = %s AND ended_at IS NULL"
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            deadline = time.monotonic() + 20
            while connection.execute(ended, [app_id]).fetchone()[0]:
                assert time.monotonic() < deadline, "a stopped job does not end"
                time.sleep(0.05)

    def live_jobs(self, **wanted):
        return [job for job in self.jobs.values() if job.live and all(getattr(job, k) == v for k, v in wanted.items())]

    @precondition(lambda self: len(self.apps) < 3)
    @rule()
    def make_app(self):
        said, answer = self.ask("POST", "/v2/apps", {"app_name": f"app {len(self.apps) + len(self.deleted)}"})
        assert said == MADE
        self.apps[answer["app_id"]] = AppModel()

    @rule(pick=PICK, enabled=st.booleans())
    def enable_app(self, pick, enabled):
        app_id = self.app(pick)
        said, answer = self.ask("POST", f"/v2/apps/{app_id}/{'enable' if enabled else 'disable'}")
        assert said == (OK if app_id in self.apps else NOT_FOUND)
        if app_id in self.apps:
            self.apps[app_id].enabled = enabled
            assert answer["state"]["state"] == ("ACTIVATION" if enabled else "DEACTIVATION")

    @rule(pick=PICK)
    def delete_app(self, pick):
        app_id = self.app(pick)
        app = self.apps.get(app_id)
        if app is None:
            expected = NOT_FOUND
        elif app.enabled or app.rules:
            expected = STILL_ENABLED if app.enabled else HAS_RULES
        else:
            self.await_ended(app_id)
            expected = GONE
        said, _ = self.ask("DELETE", f"/v2/apps/{app_id}")
        assert said == expected
        if said == GONE:
            del self.apps[app_id]
            self.deleted.append(app_id)

    @rule(pick=PICK, location=st.sampled_from(LOCATIONS), cycle=st.integers(60, 10_800))
    def save_rule(self, pick, location, cycle):
        app_id = self.app(pick)
        address = {"location": location, "project_id": "p", "bucket": self.bucket}
        body = {"obs_addr": address, "record_formats": ["MP4"], "mp4_config": {"record_cycle": cycle}}
        said, answer = self.ask("POST", f"/v2/apps/{app_id}/record-rules", body)
        app = self.apps.get(app_id)
        assert said == (NOT_FOUND if app is None else OK if location in app.rules else MADE)
        if app is not None:
            assert answer["mp4_config"]["record_cycle"] == cycle
            assert app.rules.setdefault(location, answer["rule_id"]) == answer["rule_id"]
            self.rules.append(answer["rule_id"])

    @rule(pick=PICK, which=PICK)
    def delete_rule(self, pick, which):
        app_id, rule_id = self.app(pick), self.rules[-1 - which % len(self.rules)]
        app = self.apps.get(app_id)
        said, _ = self.ask("DELETE", f"/v2/apps/{app_id}/record-rules/{rule_id}")
        if app is None or rule_id not in app.rules.values():
            assert said == NOT_FOUND
        elif app.auto_rule == rule_id or self.live_jobs(app=app_id, rule=rule_id):
            assert said == IN_USE
        else:
            assert said == GONE
            app.rules = {location: other for location, other in app.rules.items() if other != rule_id}

    @rule(pick=PICK, which=PICK, on=st.booleans())
    def record_automatically(self, pick, which, on):
        app_id, rule_id = self.app(pick), self.rules[-1 - which % len(self.rules)]
        body = {"mode": "AUTO_INDIVIDUAL_RECORD", "record_rule_id": rule_id} if on else {"mode": "AUTO_RECORD_OFF"}
        said, _ = self.ask("PUT", f"/v2/apps/{app_id}/auto-record-mode", body)
        app = self.apps.get(app_id)
        if app is None:
            assert said == NOT_FOUND
        elif on and rule_id not in app.rules.values():
            assert said == NO_SUCH_RULE
        else:
            assert said == OK
            app.auto_rule = rule_id if on else None

    @rule(pick=PICK, url=st.sampled_from(["", "https://shop.example/a", "https://shop.example/b"]))
    def set_callback(self, pick, url):
        app_id = self.app(pick)
        said, answer = self.ask("PUT", f"/v2/apps/{app_id}/record-callback", {"url": url})
        assert said == (OK if app_id in self.apps else NOT_FOUND)
        if app_id in self.apps:
            assert answer["record_callback"]["url"] == url
            self.apps[app_id].callback = url

    @rule(pick=PICK, which=PICK, user=st.sampled_from(["alice", "bob"]), video=st.sampled_from(["CAMERASTREAM", ""]))
    def start_job(self, pick, which, user, video):
        app_id, rule_id = self.app(pick), self.rules[-1 - which % len(self.rules)]
        body = {"room_id": "room", "user_id": user, "video_type": video, "max_idle_time": 43_200}
        path = f"/v2/apps/{app_id}/individual-stream-jobs"
        said, answer = self.ask("POST", path, {**body, "record_param": {"record_rule_id": rule_id}})
        app = self.apps.get(app_id)
        if app is None:
            assert said == NOT_FOUND
        elif not app.enabled:
            assert said == DISABLED
        elif rule_id not in app.rules.values():
            assert said == NO_SUCH_RULE
        elif self.live_jobs(app=app_id, stream=f"{user}{video}"):
            assert said == RUNNING
        else:
            assert said == MADE
            self.jobs[answer["job_id"]] = JobModel(app_id, f"{user}{video}", rule_id)

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK, which=PICK)
    def update_job(self, pick, which):
        job_id, job = self.a_job(pick)
        rule_id = self.rules[-1 - which % len(self.rules)]
        path = f"/v2/apps/{job.app}/individual-stream-jobs/{job_id}"
        said, answer = self.ask("PUT", path, {"record_param": {"record_rule_id": rule_id}})
        if not job.live:
            assert said == DONE
        elif rule_id not in self.apps[job.app].rules.values():
            assert said == NO_SUCH_RULE
        else:
            assert (said, answer["record_param"]["record_rule_id"]) == (OK, rule_id)
            job.rule = rule_id

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK)
    def stop_job(self, pick):
        job_id, job = self.a_job(pick)
        assert self.ask("DELETE", f"/v2/apps/{job.app}/individual-stream-jobs/{job_id}")[0] == GONE
        job.live = False

    @invariant()
    def the_server_knows_the_same_apps_rules_and_jobs(self):
        listed = self.ask("GET", "/v2/apps")[1]
        assert {app["app_id"]: app["state"]["state"] == "ACTIVATION" for app in listed["apps"]} == {
            app_id: app.enabled for app_id, app in self.apps.items()
        }
        assert listed["count"] == len(self.apps)
        for entry in listed["apps"]:
            app = self.apps[entry["app_id"]]
            rules = self.ask("GET", f"/v2/apps/{entry['app_id']}/record-rules")[1]["rules"]
            assert {one["obs_addr"]["location"]: one["rule_id"] for one in rules} == app.rules
            assert entry["auto_record_mode"].get("record_rule_id") == app.auto_rule
            assert entry["callbacks"]["record_callback"]["url"] == app.callback
        for job_id, job in self.jobs.items():
            shown = self.ask("GET", f"/v2/apps/{job.app}/individual-stream-jobs/{job_id}")[1]
            assert (shown["state"] != "STOPPED", shown["record_param"]["record_rule_id"]) == (job.live, job.rule)

    def a_job(self, pick):
        return list(self.jobs.items())[pick % len(self.jobs)]

    def teardown(self):
        for job_id, job in self.jobs.items():
            self.ask("DELETE", f"/v2/apps/{job.app}/individual-stream-jobs/{job_id}")


def test_whatever_is_done_in_whatever_order_is_answered_as_the_model_says(server, http):
    run_state_machine_as_test(lambda: Lifecycles(server, http), settings=FEW)
