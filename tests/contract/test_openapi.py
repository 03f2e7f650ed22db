"""Our OpenAPI document against the running server: generated requests, sound and broken, and answers as documented."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

COLLECTION = "/v2/apps/{app_id}/individual-stream-jobs"
ITEM = COLLECTION + "/{job_id}"
JOB_OPERATIONS = [("POST", COLLECTION), ("GET", ITEM), ("PUT", ITEM), ("DELETE", ITEM)]
TOKEN = {"X-Auth-Token": "devtoken"}

# A sound value may still name an app or a rule that the server must refuse. Wrong credentials have tests of their own,
# and sent by the hundred they are answered 429.
NOT_CHECKED = [positive_data_acceptance, ignored_auth]

FEW = settings(
    max_examples=60,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@pytest.fixture(scope="session")
def described(server):
    return schemathesis.openapi.from_url(f"{server.url}/soloist/v1/openapi.json")


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), JOB_OPERATIONS)
def test_whatever_is_asked_the_answer_is_a_documented_one(described, method, path, mode):
    @FEW
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    def holds(case):
        answer = case.call_and_validate(headers=TOKEN, excluded_checks=NOT_CHECKED)
        assert answer.status_code < 500

    holds()


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize(("method", "path"), [("POST", COLLECTION), ("PUT", ITEM)])
def test_whatever_is_sent_about_an_app_and_a_job_that_exist_is_answered_as_documented(
    described, http, job, *, method, path, mode
):
    @FEW
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    def holds(case):
        aim(case, job)
        answer = case.call_and_validate(headers=TOKEN, excluded_checks=[*NOT_CHECKED, negative_data_rejection])
        assert answer.status_code < 500
        if answer.status_code == 201:
            http("DELETE", f"{COLLECTION.format(app_id='demo')}/{answer.json()['job_id']}")

    holds()


@pytest.mark.parametrize("path", ["/soloist/v1/health", "/metrics"])
def test_what_operators_read_is_as_documented(described, path):
    described[path]["GET"].Case().call_and_validate()


def aim(case, job):
    """Point a generated request at what exists, so that it reaches past the first look-up."""
    case.path_parameters |= {"app_id": "demo", "job_id": job.job_id}
    if isinstance(case.body, dict) and isinstance(case.body.get("record_param"), dict):
        case.body["record_param"]["record_rule_id"] = "demo"
