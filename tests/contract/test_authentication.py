"""Who may call: the official SDK signing for real, tokens, and what the gateway answers to everybody else."""

import socket
from datetime import timedelta

import pytest
from huaweicloudsdkcloudrtc.v2 import ShowIndividualStreamJobRequest
from support.sdk import Sdk
from support.signer import signed_headers

from soloist.clock import utc_now

JOB = "/v2/apps/demo/individual-stream-jobs/none"


def test_a_key_without_a_project_acts_for_its_own(server, job):
    assert Sdk(server.url, project=None).show(job.job_id).job_id == job.job_id


def test_a_token_alone_passes(http, job):
    status, _, shown = http("GET", f"/v2/apps/demo/individual-stream-jobs/{job.job_id}")

    assert (status, shown["job_id"]) == (200, job.job_id)


def test_a_token_beside_the_sdks_signature_wins(server, job):
    unknown_key = Sdk(server.url, access="nobody", token="devtoken")

    assert unknown_key.show(job.job_id).job_id == job.job_id


def test_a_wrong_token_is_401_even_beside_a_good_signature(server, refused):
    error = refused(Sdk(server.url, token="guess").show, "none")

    assert (error.status_code, error.error_code) == (401, "APIGW.0301")


def test_an_unknown_key_and_a_wrong_secret_are_told_the_same(server, refused):
    errors = [
        refused(Sdk(server.url, access="nobody").show, "none"),
        refused(Sdk(server.url, secret="guess").show, "none"),
    ]

    assert {(error.status_code, error.error_code, error.error_msg) for error in errors} == {
        (401, "APIGW.0301", errors[0].error_msg)
    }
    assert errors[0].error_msg.startswith("Incorrect IAM authentication information")
    assert len(errors[0].request_id) == 32


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_skewed_clock_is_401(sdk, refused, minutes):
    date = (utc_now() + timedelta(minutes=minutes)).strftime("%Y%m%dT%H%M%SZ")
    request = ShowIndividualStreamJobRequest(app_id="demo", job_id="none", x_sdk_date=date)

    error = refused(sdk.client.show_individual_stream_job, request)

    assert (error.status_code, error.error_code) == (401, "APIGW.0301")


def test_a_foreign_project_is_403(server, refused):
    error = refused(Sdk(server.url, project="other").show, "none")

    assert (error.status_code, error.error_code) == (403, "APIGW.0302")


def test_an_id_with_a_slash_still_verifies_and_names_nothing(sdk, refused):
    assert refused(sdk.show, "a/b c").status_code == 404


def test_neither_token_nor_signature_is_401_with_the_request_id_in_the_body(http):
    status, headers, body = http("GET", JOB, headers=())

    assert (status, body["error_code"]) == (401, "APIGW.0301")
    assert body["request_id"] == headers["X-request-Id"]


def test_a_changed_body_is_401(http):
    headers = signed_headers("PUT", JOB, b"{}", host="")

    status, _, _ = http("PUT", JOB, b'{"a":1}', headers={name: value for name, value in headers.items() if value})

    assert status == 401


def test_the_host_header_is_verified_as_it_was_sent(server):
    host, port = server.url.removeprefix("http://").split(":")
    headers = signed_headers("GET", JOB, host=f"LocalHost:{port}")

    answer = raw_answer(host, int(port), "GET", JOB, headers=headers)

    assert answer.startswith(b"HTTP/1.1 404 "), (
        "signed for that spelling of the host, so it passes and finds no such job"
    )


def test_repeated_failures_are_throttled_and_a_good_key_is_not(server, refused, sdk):
    guessing = Sdk(server.url, access="throttled-key")

    statuses = [refused(guessing.show, "none").status_code for _ in range(22)]

    assert statuses == [401] * 20 + [429] * 2
    assert refused(sdk.show, "none").status_code == 404


def test_the_request_id_header_is_spelled_exactly_even_on_a_refusal(server):
    host, port = server.url.removeprefix("http://").split(":")

    answer = raw_answer(host, int(port), "GET", JOB, headers={"Host": "h"})

    assert b"\r\nX-request-Id: " in answer


def raw_answer(host, port, method, target, *, headers):
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    return answer
