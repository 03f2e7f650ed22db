"""WHIP as RFC 9725 has it: one test per MUST that applies to a server, and the (state, input) table walked whole."""

import json
from itertools import product

import pytest
from support.offers import AUDIO, HEAD, OFFER, RESTART, TRICKLE, VIDEO

from soloist.wire.whip import (
    SDP,
    SDPFRAG,
    SESSION_MOVES,
    IceRestart,
    IceServer,
    SessionInput,
    SessionState,
    WhipError,
    WhipRequest,
    WhipResponse,
    WhipSession,
    created,
    endpoint_get,
    endpoint_options,
    parse_offer,
    refused,
)


def post(body: str = OFFER, content_type: str = SDP, method: str = "POST") -> WhipRequest:
    return WhipRequest(method, {"content-type": content_type}, body.encode())


def patch(body: str = TRICKLE, if_match: str | None = '"xyzzy"', content_type: str = SDPFRAG) -> WhipRequest:
    headers = {"content-type": content_type} | ({"if-match": if_match} if if_match is not None else {})
    return WhipRequest("PATCH", headers, body.encode())


def session() -> WhipSession:
    return WhipSession("xyzzy", "EsAw")


def answered(whip: WhipSession, request: WhipRequest) -> WhipResponse:
    """Return the answer to what is no restart of ICE."""
    answer = whip.answer(request)
    assert isinstance(answer, WhipResponse)
    return answer


def restarted() -> WhipSession:
    """A session whose publisher has restarted ICE: its ufrag is now ysXw, its tag "second"."""
    whip = session()
    restart = whip.answer(patch(RESTART, if_match="*"))
    assert isinstance(restart, IceRestart)
    whip.restarted(restart, "second", "a=ice-ufrag:ours\r\n")
    return whip


def status_of(call: object, *arguments: object) -> int:
    with pytest.raises(WhipError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.status


# RFC 9725 section 4.2: the endpoint


def test_4_2_post_is_answered_201_with_answer_location_and_type() -> None:
    response = created("/whip/demo/r/u/id", "xyzzy", "v=0\r\n")

    assert (response.status, response.body) == (201, b"v=0\r\n")
    assert {("Content-Type", SDP), ("Location", "/whip/demo/r/u/id")} <= set(response.headers)


@pytest.mark.parametrize("content_type", ["", "text/plain", "application/json", "application/sdp+x"])
def test_4_2_another_content_type_is_415(content_type: str) -> None:
    assert status_of(parse_offer, post(content_type=content_type)) == 415


def test_4_2_the_content_type_may_carry_parameters_and_any_case() -> None:
    assert parse_offer(post(content_type="Application/SDP; charset=utf-8")).ufrag == "EsAw"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "v=0\r\nnot sdp\r\n",
        "v=1\r\n" + OFFER,
        HEAD,
        HEAD + "m=audio\r\n",
        OFFER.replace("a=ice-pwd", "a=x"),
    ],
)
def test_4_2_malformed_sdp_is_400(body: str) -> None:
    assert status_of(parse_offer, post(body)) == 400


def test_4_2_sdp_that_is_not_utf8_is_400() -> None:
    assert status_of(parse_offer, WhipRequest("POST", {"content-type": SDP}, b"v=0\r\ns=\xff\xfe\r\n")) == 400


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
def test_4_2_other_methods_on_the_endpoint_are_405_with_allow(method: str) -> None:
    with pytest.raises(WhipError) as caught:
        parse_offer(post(method=method))

    assert caught.value.status == 405
    assert ("Allow", "GET, HEAD, OPTIONS, POST") in caught.value.headers


def test_4_2_options_names_what_may_be_posted_and_answers_a_preflight() -> None:
    response = endpoint_options()

    assert response.status == 200
    assert {
        ("Accept-Post", SDP),
        ("Access-Control-Allow-Origin", "*"),
        ("Access-Control-Allow-Methods", "POST"),
    } <= set(response.headers)
    assert "Authorization" in dict(response.headers)["Access-Control-Allow-Headers"]


def test_4_2_a_browser_may_read_location_and_etag() -> None:
    exposed = dict(created("/x", "e", "v=0").headers)["Access-Control-Expose-Headers"]

    assert {"Location", "ETag", "Link"} <= {name.strip() for name in exposed.split(",")}


def test_an_offer_that_sends_nothing_is_422_and_says_what_to_do() -> None:
    with pytest.raises(WhipError, match="sendonly") as caught:
        parse_offer(post(OFFER.replace("a=sendonly", "a=recvonly")))

    assert caught.value.status == 422


def test_an_offer_of_unknown_codecs_only_is_422_and_names_the_known_ones() -> None:
    with pytest.raises(WhipError, match="Opus and H264, VP8, VP9 or AV1") as caught:
        parse_offer(post(HEAD + AUDIO.replace("opus/48000/2", "PCMU/8000")))

    assert caught.value.status == 422


def test_an_offer_beyond_the_limit_is_413() -> None:
    assert status_of(parse_offer, post(OFFER + "a=x\r\n" * 20_000)) == 413


def test_a_rejected_section_with_port_zero_is_not_counted() -> None:
    offer = parse_offer(post(OFFER + VIDEO.replace("m=video 9", "m=video 0")))

    assert offer.count("video") == 1


# RFC 9725 section 4.2 and 4.3: the session


def test_4_2_delete_ends_the_session_and_its_url_is_gone() -> None:
    whip = session()

    assert answered(whip, WhipRequest("DELETE")).status == 200
    assert whip.state is SessionState.ENDED
    assert status_of(whip.answer, WhipRequest("DELETE")) == 404


def test_4_3_1_delete_ignores_any_entity_tag() -> None:
    assert answered(session(), WhipRequest("DELETE", {"if-match": '"other"'})).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_4_1_get_is_answered_without_content(method: str) -> None:
    for response in (endpoint_get(), answered(session(), WhipRequest(method))):
        assert (response.status, response.body) == (204, b"")


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_4_2_other_methods_on_the_session_are_405(method: str) -> None:
    assert status_of(session().answer, WhipRequest(method)) == 405


def test_4_2_options_on_the_session_answers_a_preflight() -> None:
    assert ("Access-Control-Allow-Methods", "DELETE, PATCH") in answered(session(), WhipRequest("OPTIONS")).headers


def test_4_3_1_the_201_carries_a_strong_entity_tag() -> None:
    assert ("ETag", '"xyzzy"') in created("/x", "xyzzy", "v=0").headers


def test_4_3_1_a_patch_of_another_type_is_415_and_names_the_right_one() -> None:
    with pytest.raises(WhipError) as caught:
        session().answer(patch(content_type="application/sdp"))

    assert caught.value.status == 415
    assert ("Accept-Patch", SDPFRAG) in caught.value.headers


@pytest.mark.parametrize("body", ["", "garbage", "a=ice-ufrag:EsAw\r\n", "a=mid:0\r\n"])
def test_4_3_1_a_malformed_fragment_is_400(body: str) -> None:
    assert status_of(session().answer, patch(body)) == 400


def test_4_3_2_trickled_candidates_are_204_without_body_or_etag() -> None:
    response = answered(session(), patch())

    assert (response.status, response.body) == (204, b"")
    assert "ETag" not in dict(response.headers)


def test_4_3_2_unknown_candidates_are_silently_discarded() -> None:
    body = "a=ice-ufrag:EsAw\r\na=ice-pwd:x\r\na=candidate:1 1 sctp x y.invalid z typ what\r\na=end-of-candidates\r\n"

    assert answered(session(), patch(body)).status == 204


def test_4_3_2_another_entity_tag_is_412() -> None:
    assert status_of(session().answer, patch(if_match='"stale"')) == 412


def test_r55_an_old_client_without_if_match_is_served() -> None:
    assert answered(session(), patch(if_match=None)).status == 204


@pytest.mark.parametrize("if_match", ["*", '"*"', '"a", "xyzzy"'])
def test_4_3_2_if_match_may_be_a_star_or_a_list(if_match: str) -> None:
    assert answered(session(), patch(if_match=if_match)).status == 204


def test_4_3_1_candidates_without_a_tag_are_428_once_there_has_been_a_second_ice_session() -> None:
    nameless = TRICKLE.replace("a=ice-ufrag:EsAw\r\na=ice-pwd:x\r\n", "")

    assert answered(session(), patch(nameless, if_match=None)).status == 204
    assert status_of(restarted().answer, patch(nameless, if_match=None)) == 428
    assert answered(restarted(), patch(RESTART, if_match=None)).status == 204, "its ufrag says which session is meant"


def test_4_3_3_new_credentials_are_a_restart_answered_200_with_the_servers_fragment_and_a_new_tag() -> None:
    whip = session()

    restart = whip.answer(patch(RESTART, if_match="*"))
    assert restart == IceRestart("ysXw", "vw5LmwG4y/e6dPP/zAP9Gp5k")
    response = whip.restarted(restart, "second", "a=ice-ufrag:ours\r\n")

    assert (response.status, response.body) == (200, b"a=ice-ufrag:ours\r\n")
    assert {("Content-Type", SDPFRAG), ("ETag", '"second"')} <= set(response.headers)


def test_4_3_3_after_a_restart_only_the_new_tag_and_ufrag_hold() -> None:
    assert answered(restarted(), patch(RESTART, if_match='"second"')).status == 204
    assert status_of(restarted().answer, patch(RESTART, if_match='"xyzzy"')) == 412


@pytest.mark.parametrize("if_match", ["*", '"second"', None])
def test_4_3_3_a_request_of_the_former_ice_session_that_comes_late_is_412_and_no_restart(if_match: str | None) -> None:
    assert status_of(restarted().answer, patch(TRICKLE, if_match=if_match)) == 412


def test_4_3_3_a_restart_without_a_tag_is_428_and_with_a_stale_one_412() -> None:
    assert status_of(session().answer, patch(RESTART, if_match=None)) == 428
    assert status_of(session().answer, patch(RESTART, if_match='"stale"')) == 412
    assert isinstance(session().answer(patch(RESTART)), IceRestart), "the latest tag matches as well as a star"


def test_4_3_3_a_restart_that_cannot_be_satisfied_leaves_the_session_as_it_was() -> None:
    whip = session()
    whip.answer(patch(RESTART, if_match="*"))

    assert (whip.state, whip.etag) == (SessionState.OPEN, "xyzzy")
    assert answered(whip, patch()).status == 204


def test_a_restart_that_comes_true_after_the_session_has_ended_is_404() -> None:
    whip = session()
    restart = whip.answer(patch(RESTART, if_match="*"))
    assert isinstance(restart, IceRestart)
    whip.end()

    assert status_of(whip.restarted, restart, "second", "") == 404


def test_a_session_whose_media_ended_answers_404_to_everything() -> None:
    whip = session()
    whip.end()

    for request in (patch(), WhipRequest("DELETE"), WhipRequest("OPTIONS"), WhipRequest("GET")):
        assert status_of(whip.answer, request) == 404


def test_every_state_and_input_has_a_row_and_ended_is_final() -> None:
    assert set(SESSION_MOVES) == set(product(SessionState, SessionInput))
    assert {SESSION_MOVES[SessionState.ENDED, i][0] for i in SessionInput} == {SessionState.ENDED}


# RFC 9725 section 4.4.2 and 4.6


def test_4_4_2_two_tracks_of_a_kind_are_422() -> None:
    assert status_of(parse_offer, post(OFFER + VIDEO)) == 422


def test_4_4_3_an_offer_is_taken_whole_or_not_at_all() -> None:
    assert status_of(parse_offer, post(OFFER.replace("VP8/90000", "H261/90000"))) == 422


@pytest.mark.parametrize(
    ("accept", "fits"), [("text/html", False), ("application/sdp;q=0.5", True), ("*/*", True), ("", True)]
)
def test_a_client_that_cannot_take_sdp_is_406(accept: str, *, fits: bool) -> None:
    request = WhipRequest("POST", {"content-type": SDP, "accept": accept}, OFFER.encode())

    if fits:
        assert parse_offer(request).count("audio") == 1
    else:
        assert status_of(parse_offer, request) == 406


def test_4_6_ice_servers_are_links_with_their_credentials() -> None:
    servers = [IceServer("stun:stun.example.net"), IceServer("turn:t.example.net?transport=udp", "user", 'p"w')]

    links = [value for name, value in created("/x", "e", "v=0", servers).headers if name == "Link"]

    assert links == [
        '<stun:stun.example.net>; rel="ice-server"',
        '<turn:t.example.net?transport=udp>; rel="ice-server"; username="user"; credential="p\\"w"; '
        'credential-type="password"',
    ]


def test_an_error_is_problem_details_whatever_its_text() -> None:
    response = refused(WhipError(400, 'line "1"\n\\ is odd'))

    assert dict(response.headers)["Content-Type"] == "application/problem+json"
    assert json.loads(response.body) == {"status": 400, "title": "Bad Request", "detail": 'line "1"\n\\ is odd'}
