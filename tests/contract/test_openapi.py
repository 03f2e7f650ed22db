"""Our OpenAPI document against the running server: generated requests, sound and broken, and answers as documented.

Everything happens in a project of its own, because sound requests make and delete what they name.
"""

import asyncio
import json
import urllib.parse
from dataclasses import replace

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance
from support.book import AccountBook, commands
from support.database import connected
from support.signer import SignedBySdk

from soloist.api.app import create_app
from soloist.clock import utc_now
from soloist.jobs.accounts import Accounts, Credential
from soloist.model.ids import AppId, ProjectId, RuleId

PROJECT, APP, RULE, TOKEN = ProjectId("generated"), AppId("generated"), RuleId("generated"), "generatedtoken"
DOCUMENT = create_app(commands=commands(AccountBook()), accounts=AccountBook(), recorders={}).openapi()
OPERATIONS = [(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item]
OF_AN_APP = [(method, path) for method, path in OPERATIONS if "{app_id}" in path]
BREAKABLE = [
    (method, path)
    for method, path in OPERATIONS
    if {"parameters", "requestBody"} & set(DOCUMENT["paths"][path][method.lower()])
]
"""What there is something to break about; the others take nothing."""
GENERATED = [
    *((*operation, GenerationMode.POSITIVE) for operation in OPERATIONS),
    *((*operation, GenerationMode.NEGATIVE) for operation in BREAKABLE),
]

# A sound value may still name an app or a rule that the server must refuse. Wrong credentials have tests of their own,
# and sent by the hundred they are answered 429.
NOT_CHECKED = [positive_data_acceptance, ignored_auth]


def few(examples):
    return settings(
        max_examples=examples,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
        deadline=None,
    )


@pytest.fixture(scope="session")
def described(server):
    asyncio.run(_arrange(server.database_url))
    return schemathesis.openapi.from_url(f"{server.url}/soloist/v1/openapi.json")


async def _arrange(database_url):
    now = utc_now()
    async with connected(database_url) as database:
        accounts = Accounts(database)
        await accounts.create_credential(Credential("generated", "generatedsecret", (PROJECT,), PROJECT), now)
        await accounts.create_token(TOKEN, PROJECT)
        demo = await accounts.app_anywhere(AppId("demo"))
        await accounts.create_app(replace(demo, app_id=APP, project_id=PROJECT, app_name="generated"))
        rule = await accounts.rule(AppId("demo"), RuleId("demo"))
        await accounts.save_rule(replace(rule, app_id=APP, rule_id=RULE), now)


@pytest.mark.parametrize(("method", "path", "mode"), GENERATED)
def test_whatever_is_asked_the_answer_is_a_documented_one(described, method, path, mode):
    @few(20)
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    def holds(case):
        answer = case.call_and_validate(headers={"X-Auth-Token": TOKEN}, excluded_checks=NOT_CHECKED)
        assert answer.status_code < 500

    holds()


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), OF_AN_APP)
def test_whatever_is_signed_about_an_app_that_exists_is_answered_as_documented(described, method, path, mode):
    signed = SignedBySdk("generated", "generatedsecret", PROJECT)

    @few(20)
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    def holds(case):
        aim(case)
        answer = case.call_and_validate(auth=signed, excluded_checks=[*NOT_CHECKED, negative_data_rejection])
        assert answer.status_code < 500
        assert answer.status_code not in {401, 429}

    holds()


def aim(case):
    """Point a generated request at what exists, so that it reaches past the first look-up."""
    for name in [name for name in case.headers or {} if name.lower() in {"x-auth-token", "authorization"}]:
        del case.headers[name]
    ids = {"app_id": APP, "rule_id": RULE, "job_id": "none", "room_id": "room", "user_id": "user"}
    case.path_parameters = {name: ids[name] for name in case.path_parameters}
    if isinstance(case.body, dict) and isinstance(case.body.get("record_param"), dict):
        case.body["record_param"]["record_rule_id"] = RULE


VALUES = {
    "location": "cn-north-4",
    "bucket": "recordings",
    "url": "https://shop.example/",
    "auth_key": "k" * 32,
    "event_id": "generated-1",
}
"""Sound values of the fields that not any word fits."""


@pytest.mark.usefixtures("described")
@pytest.mark.parametrize(("method", "path"), BREAKABLE)
def test_a_nul_in_any_text_of_a_body_or_a_query_is_not_a_failure_of_ours(http, method, path):
    described_here = DOCUMENT["paths"][path][method.lower()]
    of_query = {one["name"]: one["schema"] for one in described_here.get("parameters", ()) if one["in"] == "query"}
    body = described_here.get("requestBody", {"content": {"application/json": {"schema": {}}}})
    body_schema = body["content"]["application/json"]["schema"]
    target = path.format(app_id=APP, rule_id=RULE, job_id="none", room_id="room", user_id="user")
    headers = {"X-Auth-Token": TOKEN} if "/auth/tokens" not in path else {}

    for place in [*_texts(body_schema), *_texts({"properties": of_query}, ("?",))]:
        query = _sound({"properties": of_query}, place[1:] if place[0] == "?" else None)
        sent = json.dumps(_sound(body_schema, place)).encode() if body_schema else None
        asked = f"{target}?{urllib.parse.urlencode(query)}" if query else target
        status, _, answer = http(method, asked, sent, headers)
        assert status < 500, (place, answer)


def _resolved(schema):
    """Return a schema itself: what it refers to, or the first it lets choose."""
    if "$ref" in schema:
        return _resolved(DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    return _resolved(schema["anyOf"][0]) if "anyOf" in schema else schema


def _texts(schema, place=()):
    """Yield where the texts of a schema are, as names from the outermost in."""
    schema = _resolved(schema)
    for name, inner in schema.get("properties", {}).items():
        yield from _texts(inner, (*place, name))
    if "items" in schema:
        yield from _texts(schema["items"], (*place, "items"))
    if schema.get("type") == "string":
        yield place


def _sound(schema, nul_at=None, name=""):
    """Return a value of a schema, sound but for a NUL in the text at `nul_at`."""
    schema = _resolved(schema)
    inside = nul_at[1:] if nul_at else None
    if "properties" in schema:
        return {
            key: _sound(inner, inside if nul_at and nul_at[0] == key else None, key)
            for key, inner in schema["properties"].items()
        }
    if "items" in schema:
        return [_sound(schema["items"], inside, name)]
    if schema.get("type") == "string":
        sound = VALUES.get(name) or schema.get("const") or schema.get("enum", ["generated"])[0]
        return f"{sound}\0/more" if nul_at == () else sound
    return schema.get("const", schema.get("default", schema.get("minimum", True)))
