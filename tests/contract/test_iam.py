"""The facade of the vendor's identity service: SDK clients built by region, and token users, work unchanged."""

import json
import uuid
from datetime import timedelta

import psycopg
import pytest
from huaweicloudsdkcloudrtc.v2 import CloudRTCClient, ListAppsRequest
from huaweicloudsdkcloudrtc.v2.region.cloudrtc_region import CloudRTCRegion
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import SdkException
from support.sdk import Sdk

from soloist.clock import utc_now
from soloist.jobs.accounts import token_digest


def credentials(server, access="devkey"):
    return BasicCredentials(access, "devsecret").with_iam_endpoint(server.url)


def password(name="devkey", word=None, scope=None):
    user = {"name": name, "password": word or "devsecret", "domain": {"name": "any"}}
    scope = scope or {"domain": {"name": "any"}}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}


@pytest.fixture
def ask_token(http):
    """Ask for a token by a body; return status, headers and answer."""

    def run(body):
        return http("POST", "/v3/auth/tokens", json.dumps(body).encode(), {"Content-Type": "application/json"})

    return run


def test_a_client_built_by_region_without_a_project_finds_its_project(server, monkeypatch):
    region = f"soloist-{uuid.uuid4().hex[:8]}"
    monkeypatch.setenv(f"HUAWEICLOUD_SDK_REGION_CLOUDRTC_{region.upper().replace('-', '_')}", server.url)

    client = (
        CloudRTCClient.new_builder()
        .with_credentials(credentials(server))
        .with_region(CloudRTCRegion.value_of(region))
        .build()
    )

    assert "demo" in {app.app_id for app in client.list_apps(ListAppsRequest()).apps}


def test_a_client_built_by_region_with_an_unknown_key_fails_when_it_is_built(server, monkeypatch):
    monkeypatch.setenv("HUAWEICLOUD_SDK_REGION_CLOUDRTC_SOLOIST_STRANGER", server.url)
    builder = CloudRTCClient.new_builder().with_credentials(credentials(server, access="stranger"))

    with pytest.raises(SdkException, match="Incorrect IAM authentication information"):
        builder.with_region(CloudRTCRegion.value_of("soloist-stranger")).build()


def test_the_projects_of_a_name_are_the_one_of_the_credential(http):
    status, _, answer = http("GET", "/v3/projects?name=cn-north-4")

    assert status == 200
    assert answer == {"projects": [{"id": "dev", "name": "cn-north-4", "domain_id": "dev", "enabled": True}]}


def test_projects_are_told_to_nobody_without_a_credential(http):
    assert http("GET", "/v3/projects?name=cn-north-4", headers=())[0] == 401


def test_a_token_is_made_for_a_key_and_its_secret_and_lets_its_bearer_in(server, ask_token):
    status, headers, answer = ask_token(password())

    assert status == 201
    token = headers["X-Subject-Token"]
    facts = answer["token"]
    assert (facts["methods"], facts["project"], facts["user"]) == (
        ["password"],
        {"id": "dev", "name": "dev"},
        {"id": "devkey", "name": "devkey"},
    )
    assert facts["issued_at"] < facts["expires_at"]
    assert Sdk(server.url, access="nobody", token=token).call("show_app", app_id="demo").app_id == "demo"


def test_a_token_for_a_region_is_the_credentials_projects(ask_token):
    _, _, answer = ask_token(password(scope={"project": {"name": "cn-north-4"}}))

    assert answer["token"]["project"] == {"id": "dev", "name": "cn-north-4"}


def test_a_token_for_a_foreign_project_is_refused(ask_token):
    status, _, answer = ask_token(password(scope={"project": {"id": "other"}}))

    assert (status, answer["error_code"]) == (403, "APIGW.0302")


def test_an_expired_token_is_told_to_be_renewed(server, ask_token, http):
    token = ask_token(password())[1]["X-Subject-Token"]
    with psycopg.connect(server.database_url) as connection:
        values = (utc_now() - timedelta(seconds=1), token_digest(token))
        connection.execute("UPDATE tokens SET expires_at = %s WHERE token_sha256 = %s", values)

    status, _, answer = http("GET", "/v2/apps/demo", headers={"X-Auth-Token": token})

    assert (status, answer["error_code"]) == (401, "APIGW.0307")


def test_tokens_are_stored_as_digests_and_forgotten_when_they_have_long_expired(server, ask_token):
    old, new = (ask_token(password())[1]["X-Subject-Token"] for _ in range(2))
    with psycopg.connect(server.database_url) as connection:
        long_ago = utc_now() - timedelta(days=2)
        query = "UPDATE tokens SET expires_at = %s WHERE token_sha256 = %s"
        connection.execute(query, (long_ago, token_digest(old)))

    ask_token(password())

    with psycopg.connect(server.database_url) as connection:
        stored = {digest for (digest,) in connection.execute("SELECT token_sha256 FROM tokens")}
    assert token_digest(new) in stored
    assert stored.isdisjoint({old, new, token_digest(old)})


@pytest.mark.parametrize(("name", "secret"), [("nobody", "devsecret"), ("devkey", "guess")])
def test_a_wrong_name_and_a_wrong_password_are_told_the_same(ask_token, name, secret):
    status, _, answer = ask_token(password(name, secret))

    assert (status, answer["error_code"]) == (401, "APIGW.0301")
    assert answer["error_msg"].endswith("the name or the password is wrong")


def test_guessing_a_password_is_throttled(ask_token):
    statuses = [ask_token(password("guessed-key", f"guess {number}"))[0] for number in range(22)]

    assert statuses == [401] * 20 + [429] * 2


@pytest.mark.parametrize(
    ("body", "code", "names"),
    [
        ({}, "RTC.00001005", "auth"),
        ([], "RTC.00001002", ""),
        (password(name=""), "RTC.00001003", "auth.identity.password.user.name"),
        ({"auth": {"identity": {"methods": ["token"], "password": {"user": {}}}}}, "RTC.00001005", "user.name"),
        (
            {"auth": {"identity": {"methods": ["hw_ak_sk"], "password": password()["auth"]["identity"]["password"]}}},
            "RTC.00001003",
            "methods",
        ),
    ],
)
def test_a_request_for_a_token_that_cannot_be_is_refused_by_name(ask_token, body, code, names):
    status, _, answer = ask_token(body)

    assert (status, answer["error_code"]) == (400, code)
    assert names in answer["error_msg"]
