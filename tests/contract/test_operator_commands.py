"""What an operator types: a production account from nothing, and plain words for what cannot be."""

import asyncio
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support.database import private_folder
from support.engine import APP, PROJECT, a_command, an_office
from support.jobs import NOW, a_rule
from support.telling import set_callback, tell_files
from typer.testing import CliRunner

from soloist import cli
from soloist.jobs.queue import open_engine
from soloist.jobs.service import JobService
from soloist.model.errors import LocationUnknownError
from soloist.model.ids import RuleId
from soloist.model.job import UpdateJob

ROOT = Path(__file__).parents[2]


def test_the_production_account_of_the_document_can_be_made_as_written(database_url):
    script = re.search(r"```sh\n(soloist credential.*?)```", (ROOT / "docs" / "production.md").read_text(), re.DOTALL)

    done = run("bash", "-euc", script[1], SOLOIST_DATABASE_URL=database_url)

    assert done.returncode == 0, done.stderr
    made, listed = re.findall(r"^(\w{24}) +cn-north-4 +recordings +shop +3600 s +300 s +aac", done.stdout, re.MULTILINE)
    assert made == listed
    assert done.stdout.strip().splitlines()[-1].count(".") == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("rule", "create", "--app", "nowhere", "--bucket", "recordings"), "app nowhere does not exist"),
        (("app", "create", ""), "1 to 256"),
        (("app", "create", "shop", "--vp8", "av1"), "--vp8 is one of webm, h264"),
        (("app", "set", "nowhere", "--vp8", "h264"), "app nowhere does not exist"),
        (("jobs", "list", "--limit", "-1"), "--limit"),
    ],
)
def test_what_cannot_be_is_told_in_words_and_not_in_sql_or_a_traceback(database_url, arguments, says):
    done = soloist(*arguments, SOLOIST_DATABASE_URL=database_url)
    assert done.returncode != 0
    assert says in done.stderr
    assert "SELECT" not in done.stderr
    assert "Traceback" not in done.stderr


def test_events_are_listed_held_back_and_told_again(database_url):
    async def arrange():
        async with an_office(database_url) as office:
            job = await office.start()
            await tell_files(office, job)
            await set_callback(office, "https://shop.example/")
            return job

    job = asyncio.run(arrange())
    environment = {"SOLOIST_DATABASE_URL": database_url, "COLUMNS": "300"}
    for command, status, says in (
        (("list", "--state", "UNTOLD"), 0, f"{job.job_id}-2"),
        (("pause", "demo"), 0, "kept"),
        (("replay", f"{job.job_id}-2"), 0, "1 queued"),
        (("list", "--job", job.job_id, "--state", "WAITING"), 0, "FileStarted"),
        (("replay", "--app", "demo"), 0, "0 queued"),
        (("resume", "demo"), 0, "is being sent"),
        (("list", "--state", "LOST"), 1, "WAITING, DELIVERED, DEAD"),
        (("replay",), 1, "one event id, or --app"),
        (("replay", "none-1"), 1, "event none-1 does not exist"),
        (("pause", "nowhere"), 1, "app nowhere does not exist"),
    ):
        done = CliRunner().invoke(cli.app, ["events", *command], env=environment)
        assert (done.exit_code, says in done.output) == (status, True), done.output


def test_buckets_are_granted_listed_and_revoked(database_url):
    environment = {"SOLOIST_DATABASE_URL": database_url, "COLUMNS": "300"}
    acme = ("--project", "acme", "--bucket", "recordings")
    app_id = re.search(r"^app +(\w+)", told(["app", "create", "shop", "--project", "acme"], environment), re.MULTILINE)[
        1
    ]
    made = told(["rule", "create", "--app", app_id, "--bucket", "recordings", "--folder", "shop"], environment)
    assert "Granted to project acme besides: folder shop of bucket recordings" in made
    for arguments, status, says in (
        (("grant", *acme), 0, "Project acme may see and record into bucket recordings"),
        (("grant", "--project", "beta", "--bucket", "recordings", "--folder", "beta/"), 0, "granted to acme as well"),
        (("grant", *acme, "--folder", "../x"), 1, "no empty, . or .. segments"),
        (("grant", "--project", "a b", "--bucket", "recordings"), 1, "--project must be"),
        (("grant", "--project", "acme", "--bucket", "NO"), 1, "bucket must be"),
        (("grant", "--project", "acme", "--bucket", "*", "--folder", "x"), 1, "--folder is of one bucket"),
        (("grant", *acme, "--location", "mars-1"), 0, "mars-1 is not in this command's SOLOIST_STORAGE"),
        (("list",), 0, "(all of it)"),
        (("list", "--project", "beta"), 0, "beta     cn-north-4"),
        (("revoke", *acme), 0, "not granted bucket recordings of location cn-north-4 any more"),
        (("revoke", *acme), 1, "is not granted to project acme; see soloist bucket list"),
        (("revoke", *acme, "--folder", "shop"), 0, f"of app {app_id} records there: its jobs are refused now"),
    ):
        done = CliRunner().invoke(cli.app, ["bucket", *arguments], env=environment)
        assert (done.exit_code, says in done.output) == (status, True), done.output


def told(arguments, environment):
    done = CliRunner().invoke(cli.app, arguments, env=environment)
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    "name", ["STORAGE", "PUBLIC_ADDRESS", "ICE_SERVERS", "METRICS_FROM", "OUTGOING_ALLOWED", "OUTGOING_DENIED_NETWORKS"]
)
def test_a_setting_that_is_not_json_is_named_with_an_example(name):
    done = soloist("jobs", "list", **{f"SOLOIST_{name}": "/srv/recordings"})
    assert done.returncode == 1
    assert f"SOLOIST_{name} is not JSON; write it like: SOLOIST_{name}='" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_on_a_stopped_instance_leaves_no_runtime_folder_behind():
    with private_folder() as folder:
        done = soloist("jobs", "list", SOLOIST_DATA=str(folder / "data"), SOLOIST_RUNTIME=str(folder / "run"))
        assert done.returncode == 0, done.stderr
        assert list((folder / "run").iterdir()) == []


@pytest.mark.anyio
async def test_a_rule_of_a_location_is_replaced_under_its_id(database_url):
    async with an_office(database_url) as office:
        again = await office.accounts.set_rule(replace(a_rule(), rule_id=RuleId("other"), app_id=APP), NOW)
        assert again.rule.rule_id == "rule1"
        assert [rule.rule_id for rule in await office.accounts.rules(APP)] == ["rule1", "rule2"]


@pytest.mark.anyio
async def test_a_job_whose_rule_names_an_unknown_location_is_refused_before_it_records(database_url):
    async with an_office(database_url) as office:
        jobs = JobService(office.database, open_engine(database_url), ["node1/0"], locations={"cn-north-4"})
        with pytest.raises(LocationUnknownError, match="location elsewhere of rule rule2"):
            await jobs.start(PROJECT, a_command(rule_id=RuleId("rule2")))
        job = await jobs.start(PROJECT, a_command())
        with pytest.raises(LocationUnknownError):
            await jobs.update(PROJECT, APP, job.job_id, UpdateJob("rule2"))
        await asyncio.wait_for(jobs.stop(PROJECT, APP, job.job_id), 5)


def soloist(*arguments, **variables):
    return run(sys.executable, "-m", "soloist", *arguments, **variables)


def run(*command, **variables):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SOLOIST_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = inherited | {"PATH": path, "COLUMNS": "300"} | variables
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
