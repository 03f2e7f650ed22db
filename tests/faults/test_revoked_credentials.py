"""What an operator takes back ends within seconds, in every process, and takes nobody else's recording along."""

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from support.crash_verdict import lost_pictures
from support.instance import Instance
from support.offers import SOUND_OFFER
from support.sdk import Sdk
from support.takes import take
from typer.testing import CliRunner

from soloist import cli

WITHIN_S = 5.0
"""How soon what was revoked is refused everywhere."""


def soloist(service: Instance, *arguments: str) -> str:
    """Run an operator's command on the instance's database while it serves; return what it prints."""
    environment = {"SOLOIST_DATABASE_URL": service._database_url, "COLUMNS": "300"}
    done = CliRunner().invoke(cli.app, [*arguments], env=environment)
    assert done.exit_code == 0, done.output
    return done.output


def ask(service: Instance, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(service.url + path, body, named, method=method)  # noqa: S310 - our own
    try:
        answer = urllib.request.urlopen(request, timeout=10)  # noqa: S310 - our own
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        return answer.status, answer.read().decode()


def becomes(status: int, attempt: Callable[[], int]) -> None:
    """Return once an attempt is answered so; it has to be in time."""
    began = time.monotonic()
    while (answered := attempt()) != status:
        assert time.monotonic() - began < WITHIN_S, f"still {answered}"
        time.sleep(0.2)


def pair_of(text: str) -> tuple[str, str]:
    found = dict(re.findall(r"^(AK|SK) +(\S+)", text, re.MULTILINE))
    return found["AK"], found["SK"]


def apps_status(service: Instance, key: str, secret: str) -> int:
    try:
        return int(Sdk(service.url, access=key, secret=secret, project=None).call("list_apps").status_code)
    except ClientRequestException as error:
        return int(error.status_code)


def token_status(service: Instance, token: str) -> int:
    return ask(service, "GET", "/v2/apps", X_Auth_Token=token)[0]


def iam_token(service: Instance, key: str, secret: str) -> str:
    user = {"name": key, "password": secret, "domain": {"name": key}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    request = urllib.request.Request(f"{service.url}/v3/auth/tokens", json.dumps(body).encode(), method="POST")  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own
        return str(answer.headers["X-Subject-Token"])


def test_a_revoked_pair_and_the_tokens_asked_for_with_it_end_while_others_record(service: Instance, clip: Path) -> None:
    key, secret = pair_of(soloist(service, "credential", "create", "--project", "acme"))
    other = pair_of(soloist(service, "credential", "create", "--project", "acme"))
    token = iam_token(service, key, secret)
    assert (apps_status(service, key, secret), token_status(service, token)) == (200, 200)
    listed = soloist(service, "credential", "list", "--project", "acme")
    assert key in listed
    assert secret not in listed
    with take(service, clip, "victim") as taken:
        taken.await_recording()
        soloist(service, "credential", "revoke", key)
        becomes(401, lambda: apps_status(service, key, secret))
        becomes(401, lambda: token_status(service, token))
        assert apps_status(service, *other) == 200
        taken.stop()
        (file,) = taken.finished()
    assert lost_pictures(file) == []


def test_a_rotated_pair_is_good_beside_the_new_one_for_a_while_and_then_is_not(service: Instance) -> None:
    old = pair_of(soloist(service, "credential", "create", "--project", "acme"))
    new = pair_of(soloist(service, "credential", "rotate", old[0], "--keep-old", "1h"))
    assert [apps_status(service, *pair) for pair in (old, new)] == [200, 200]
    newest = pair_of(soloist(service, "credential", "rotate", new[0], "--keep-old", "0"))
    becomes(401, lambda: apps_status(service, *new))
    assert apps_status(service, *newest) == 200
    service.query("UPDATE credentials SET expires_at = now() WHERE access_key = %s RETURNING 1", old[0])
    becomes(401, lambda: apps_status(service, *old))


def test_a_static_token_is_listed_by_no_secret_and_ends_by_its_id_or_its_time(service: Instance) -> None:
    text = soloist(service, "credential", "create", "--project", "acme", "--token", "--expires", "90d")
    token, token_id = re.search(r"X-Auth-Token  (\S+)\nid +(\S+)", text).groups()  # type: ignore[union-attr]
    assert token_status(service, token) == 200
    listed = soloist(service, "token", "list", "--project", "acme")
    assert token_id in listed
    assert token not in listed
    soloist(service, "token", "revoke", token_id)
    becomes(401, lambda: token_status(service, token))


def test_a_disabled_project_asks_nothing_and_lets_nobody_in_but_loses_no_running_recording(
    service: Instance, clip: Path
) -> None:
    with take(service, clip, "disabled") as taken:
        taken.await_recording()
        soloist(service, "project", "disable", "dev")
        try:
            becomes(403, lambda: token_status(service, "devtoken"))
            becomes(403, lambda: apps_status(service, "devkey", "devsecret"))
            offer = {"Content_Type": "application/sdp"}
            becomes(403, lambda: ask(service, "POST", "/whip/demo/disabled/bob", SOUND_OFFER, **offer)[0])
            assert "dev " in soloist(service, "project", "list")
            assert taken.state[0] == "RUNNING"
            time.sleep(1)
        finally:
            soloist(service, "project", "enable", "dev")
        becomes(200, lambda: token_status(service, "devtoken"))
        taken.stop()
        (file,) = taken.finished()
    assert file.complaints == ()
    assert lost_pictures(file) == []


@pytest.mark.parametrize("by", ["command", "api"])
def test_two_join_keys_are_good_at_a_time_and_no_third(service: Instance, by: str) -> None:
    name = f"shop-{by}"
    app_id = re.search(r"^app +(\S+)", soloist(service, "app", "create", name, "--project", "dev"), re.MULTILINE)[1]  # type: ignore[index]

    def minted() -> str:
        arguments = ("--app", app_id, "--room", "r", "--user", "u")
        return soloist(service, "join-token", "create", *arguments).strip()

    def status(token: str) -> int:
        headers = {"Content_Type": "application/sdp", "Authorization": f"Bearer {token}"}
        return ask(service, "POST", f"/whip/{app_id}/r/u", SOUND_OFFER, **headers)[0]

    def rotate() -> None:
        if by == "command":
            soloist(service, "app", "rotate-join-key", app_id, "--keep-old", "1h")
        else:
            headers = {"X_Auth_Token": "devtoken", "Content_Type": "application/json"}
            path = f"/soloist/v1/apps/{app_id}/join-key"
            answered, text = ask(service, "POST", path, b'{"keep_old_seconds": 3600}', **headers)
            assert (answered, "join_key" in text) == (200, True), text

    first = minted()
    rotate()
    second = minted()
    time.sleep(1.2)
    assert [status(first), status(second)] == [201, 201]
    rotate()
    becomes(401, lambda: status(first))
    assert [status(second), status(minted())] == [201, 201]
