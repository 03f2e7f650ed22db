"""Ids that would lead out of their folder or their path are refused by every door, and leave nothing behind (R56)."""

import json
from urllib.parse import quote

import pytest

HOSTILE = ["..", ".", "../../etc", "a/b", "/etc/passwd", "a.b", "a%2Fb", "a\\b", "a\0b", "~", "x" * 65, "ünï"]
OFFER = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"


def everything(server):
    return {path for folder in (server.data / "spool", server.data / "storage") for path in folder.rglob("*")}


@pytest.mark.parametrize("name", ["room_id", "user_id"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_job_for_an_id_with_slashes_or_dots_is_400_and_names_the_field(server, http, *, name, hostile):
    before = everything(server)
    body = {"room_id": "room", "user_id": "user", "record_param": {"record_rule_id": "demo"}, name: hostile}
    headers = {"X-Auth-Token": "devtoken", "Content-Type": "application/json"}

    status, _, problem = http("POST", "/v2/apps/demo/individual-stream-jobs", json.dumps(body).encode(), headers)

    assert (status, name in problem["error_msg"]) == (400, True)
    assert everything(server) == before


@pytest.mark.parametrize("place", ["{}/room/user", "demo/{}/user", "demo/room/{}"])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_publisher_with_slashes_or_dots_in_an_id_is_turned_away(server, http, place, hostile):
    before = everything(server)
    path = "/whip/" + place.format(quote(hostile, safe=""))

    status, _, _ = http("POST", path, OFFER, {"Content-Type": "application/sdp"}, is_json=False)

    assert status in (400, 404, 405)
    assert everything(server) == before


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_job_id_with_slashes_or_dots_finds_nothing(http, hostile):
    path = f"/v2/apps/demo/individual-stream-jobs/{quote(hostile, safe='')}"

    assert {http(method, path, is_json=False)[0] for method in ("GET", "DELETE")} <= {400, 404}
