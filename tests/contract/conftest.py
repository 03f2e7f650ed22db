"""One running server for the whole tier, the official SDK pointed at it, and what no operation can arrange yet."""

import asyncio
import json
import urllib.error
import urllib.request
from dataclasses import replace
from itertools import count

import pytest
from huaweicloudsdkcloudrtc.v2 import AppCallbackUrlReq, AppReq, AutoRecordModeReq
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from support.database import connected
from support.s3 import versitygw
from support.sdk import Sdk
from support.server import private_server

from soloist.clock import utc_now
from soloist.jobs.accounts import Accounts
from soloist.model.ids import AppId, ProjectId, RuleId

numbers = count()


@pytest.fixture(scope="session")
def s3(tmp_path_factory):
    """A real S3 server with an empty bucket `recordings`."""
    with versitygw(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """The folders of the server's locations `cn-north-4` and `elsewhere`."""
    return {name: tmp_path_factory.mktemp(name) for name in ("cn-north-4", "elsewhere")}


@pytest.fixture(scope="session")
def server(folders, s3):
    """A private `soloist serve --dev` with a second rule `demo2`, a disabled app `off` and a foreign app `theirs`.

    Its third location `s3` is a real S3 server.
    """
    locations = {**{name: str(folder) for name, folder in folders.items()}, "s3": s3.setting}
    with private_server(environment={"SOLOIST_STORAGE": json.dumps(locations)}) as running:
        asyncio.run(_arrange(running.database_url))
        yield running


async def _arrange(database_url):
    now = utc_now()
    async with connected(database_url) as database:
        accounts = Accounts(database)
        app = await accounts.app_anywhere(AppId("demo"))
        rule = await accounts.rule(AppId("demo"), RuleId("demo"))
        elsewhere = replace(rule.address, location="elsewhere")
        await accounts.save_rule(replace(rule, rule_id=RuleId("demo2"), address=elsewhere), now)
        await accounts.create_app(replace(app, app_id=AppId("off"), enabled=False))
        await accounts.create_app(replace(app, app_id=AppId("theirs"), project_id=ProjectId("other")))
        await accounts.save_rule(replace(rule, app_id=AppId("theirs"), rule_id=RuleId("their-rule")), now)


@pytest.fixture(scope="session")
def sdk(server):
    """The official SDK with the dev credential."""
    return Sdk(server.url)


@pytest.fixture
def who():
    """A room and a user that no other test uses."""
    number = next(numbers)
    return {"room_id": f"room{number}", "user_id": f"user{number}"}


@pytest.fixture
def job(sdk, who):
    """A live job; stopped afterwards."""
    created = sdk.create(**who)
    yield created
    sdk.stop(created.job_id)


@pytest.fixture
def fresh_app(sdk):
    """The id of an enabled app of its own, without rules; taken away afterwards with all it has."""
    app_id = sdk.call("create_app", body=AppReq(app_name=f"app {next(numbers)}")).app_id
    yield app_id
    sdk.call("update_auto_record", app_id=app_id, body=AutoRecordModeReq(mode="AUTO_RECORD_OFF"))
    for rule in sdk.call("list_record_rules", app_id=app_id).rules:
        sdk.call("delete_record_rule", app_id=app_id, rule_id=rule.rule_id)
    sdk.call("update_record_callback", app_id=app_id, body=AppCallbackUrlReq(url=""))
    sdk.call("stop_app", app_id=app_id)
    sdk.delete_finished(app_id)


@pytest.fixture
def refused():
    """Run a call that must be refused; return the SDK's exception."""

    def run(call, *arguments, **named):
        with pytest.raises(ClientRequestException) as caught:
            call(*arguments, **named)
        return caught.value

    return run


@pytest.fixture(scope="session")
def http(server):
    """Send a request without the SDK: `http(method, path, body, headers)` gives status, headers and JSON or bytes."""

    def send(method, path, body=None, headers=(("X-Auth-Token", "devtoken"),), *, is_json=True):
        request = urllib.request.Request(server.url + path, body, dict(headers), method=method)  # noqa: S310 - our own
        try:
            answer = urllib.request.urlopen(request, timeout=10)  # noqa: S310 - our own
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            received = answer.read()
            return answer.status, answer.headers, json.loads(received) if is_json and received else received

    return send
