"""Request signatures: the recorded vectors, agreement with the official SDK's own signer, and what must not verify."""

import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from hypothesis import given
from hypothesis import strategies as st

from soloist.wire.signing import (
    EMPTY_SHA256,
    Authorization,
    RawRequest,
    SignatureExpiredError,
    SignatureMalformedError,
    SignatureMismatchError,
    SignatureMissingError,
    canonical_request,
    parse_authorization,
    sign,
    verify_signature,
)

ACCESS, SECRET = "AKTEST0000000000001", "sk-secret-0123456789abcdef"
PROJECT, DATE, HOST = "0123456789abcdef0123456789abcdef", "20261122T120000Z", "rtc.example.test:8080"
NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SIGNED = ("content-type", "host", "x-project-id", "x-sdk-date")
JOBS = "/v2/apps/5ff9701f2346968bb306cb43/individual-stream-jobs"
OBJECTS = (
    "/v2/rtc-ops/buckets/objects?bucket=b-1&location=cn-north-4&prefix=%E5%BD%95%E5%88%B6%2Fa%20b%2Bc~d%2A&type=folders"
)

VECTORS = {
    "sorted and encoded query": (
        ("GET", OBJECTS, b"", "application/json"),
        "f617a3630d81402e84375976ac0a004e255b46e4a9e0bf18cd7f9368ef1a6187",
        "b84d578cf97c74057d85c0e4b8cc0d96e9d865625151d55ff71121b962cf4437",
    ),
    "unicode body": (
        ("POST", JOBS, '{"room_id":"房间é","user_id":"u1"}'.encode(), "application/json;charset=utf-8"),
        "b6c94853babf58e359cf12fe109675ce389d005e608a618257ecaed681e36ee4",
        "ae2afc2f2c536ba6fbf18f4025ce6038edeedeedaa1849fc3aa1bbba27623068",
    ),
    "encoded slash in an id": (
        ("DELETE", f"{JOBS}/a%2Fb%20c", b"", "application/json"),
        None,
        "25af4434fce8c06bb0e53fe690dc35ff1f82c6164130ef1ccadb9d7f0844055d",
    ),
}


def raw(method="POST", target=JOBS, body=b"{}", *, content_type="application/json", headers=()):
    named = {"Content-Type": content_type, "Host": HOST, "X-Project-Id": PROJECT, "X-Sdk-Date": DATE}
    pairs = [(name.encode(), value.encode()) for name, value in named.items()]
    return RawRequest(method, target.encode(), [*pairs, *headers], hashlib.sha256(body).hexdigest())


def signed(request, names=SIGNED, secret=SECRET):
    return Authorization(ACCESS, names, sign(canonical_request(request, names, request.body_sha256), DATE, secret))


def verify(request, authorization, now=NOW, secret=SECRET, **options):
    verify_signature(request, authorization, secret, now, **options)


@pytest.mark.parametrize("name", VECTORS)
def test_golden_vector_has_this_canonical_hash_and_signature(name):
    (method, target, body, content_type), canonical_hash, signature = VECTORS[name]
    request = raw(method, target, body, content_type=content_type)

    canonical = canonical_request(request, SIGNED, request.body_sha256)

    assert canonical_hash in (None, hashlib.sha256(canonical).hexdigest())
    assert sign(canonical, DATE, SECRET) == signature
    verify(request, Authorization(ACCESS, SIGNED, signature))


def test_the_body_hash_of_the_unicode_vector_is_the_recorded_one():
    body = VECTORS["unicode body"][0][2]

    assert hashlib.sha256(body).hexdigest() == "e8aaa37fed06ed73292d0483cf4892d71c4b11a1b61f611a061d623dd4276959"


def test_an_encoded_slash_is_a_separator_in_the_canonical_path():
    canonical = canonical_request(raw("DELETE", f"{JOBS}/a%2Fb%20c", b""), SIGNED, EMPTY_SHA256)

    assert canonical.split(b"\n")[1] == f"{JOBS}/a/b%20c/".encode()


header_text = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=20)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
paths = st.lists(any_text, max_size=5).map(lambda parts: "/" + "/".join(quote(part, safe="~") for part in parts))
queries = st.dictionaries(any_text.filter(bool), any_text | st.booleans() | st.integers(), max_size=4)


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE"]),
    path=paths,
    query=queries,
    extra=st.dictionaries(st.from_regex(r"X-[A-Z][a-z]{1,8}", fullmatch=True), header_text, max_size=3),
    body=st.binary(max_size=50),
)
def test_whatever_the_official_signer_signs_verifies(*, method, path, query, extra, body):
    headers = {**extra, "Content-Type": "application/json", "X-Project-Id": PROJECT, "X-Sdk-Date": DATE}
    sent = SdkRequest(method, "http", HOST, path, None, list(query.items()), headers, body)
    sent = Signer(BasicCredentials(ACCESS, SECRET, PROJECT)).sign(sent)
    on_the_wire = [(name.encode(), value.encode("latin-1")) for name, value in sent.header_params.items()]

    request = RawRequest(method, sent.uri.encode(), on_the_wire, hashlib.sha256(body).hexdigest())

    authorization = parse_authorization(request)
    assert authorization.access_key == ACCESS
    verify(request, authorization)


@given(st.data())
def test_any_one_byte_change_fails(data):
    parts = {"path": b"/v2/apps/demo", "query": b"limit=10", "content-type": b"application/json", "host": b"h:1"}
    parts |= {"x-project-id": b"dev", "body": b'{"room_id": "r"}'}
    original = _request_of(parts)
    authorization = signed(original)
    part = data.draw(st.sampled_from(sorted(parts)))
    position = data.draw(st.integers(0, len(parts[part]) - 1))
    byte = data.draw(
        st.sampled_from(b"abcdefghijklmnopqrstuvwxyz0123456789~").filter(lambda b: b != parts[part][position])
    )

    changed = {**parts, part: parts[part][:position] + bytes([byte]) + parts[part][position + 1 :]}

    verify(original, authorization)
    with pytest.raises(SignatureMismatchError):
        verify(_request_of(changed), authorization)


def _request_of(parts):
    headers = [(name.encode(), parts[name]) for name in ("content-type", "host", "x-project-id")]
    target = parts["path"] + b"?" + parts["query"]
    headers.append((b"x-sdk-date", DATE.encode()))
    return RawRequest("PUT", target, headers, hashlib.sha256(parts["body"]).hexdigest())


@given(st.integers(0, 63), st.sampled_from("0123456789abcdefABCDEF-"))
def test_any_other_signature_fails(position, digit):
    request = raw()
    good = signed(request)
    forged = good.signature[:position] + digit + good.signature[position + 1 :]

    if forged != good.signature:
        with pytest.raises(SignatureMismatchError):
            verify(request, Authorization(ACCESS, SIGNED, forged))


def test_another_method_fails():
    with pytest.raises(SignatureMismatchError):
        verify(raw("PUT"), signed(raw("POST")))


def test_another_secret_fails():
    with pytest.raises(SignatureMismatchError):
        verify(raw(), signed(raw()), secret="sk-other")


@pytest.mark.parametrize("minutes", [-15, 0, 15])
def test_a_date_within_fifteen_minutes_is_accepted(minutes):
    verify(raw(), signed(raw()), now=NOW + timedelta(minutes=minutes))


@pytest.mark.parametrize("seconds", [-901, 901])
def test_a_date_beyond_fifteen_minutes_is_refused(seconds):
    with pytest.raises(SignatureExpiredError):
        verify(raw(), signed(raw()), now=NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "date", ["", "20261122", "20261322T120000Z", "2026-11-22T12:00:00Z", "\u0662\u0660\u0662\u06661122T120000Z"]
)
def test_an_unreadable_date_is_refused(date):
    headers = [(b"host", b"h"), (b"x-sdk-date", date.encode())]

    with pytest.raises(SignatureExpiredError):
        verify(RawRequest("GET", b"/", headers, EMPTY_SHA256), Authorization(ACCESS, ("host", "x-sdk-date"), "0" * 64))


def test_an_unsigned_date_is_refused():
    with pytest.raises(SignatureExpiredError):
        verify(raw(), signed(raw(), names=("content-type", "host")))


def test_two_dates_are_refused():
    with pytest.raises(SignatureExpiredError):
        verify(raw(headers=[(b"x-sdk-date", b"20261122T120001Z")]), signed(raw()))


def test_host_and_user_agent_need_not_be_signed():
    verify(raw(), signed(raw(), names=("x-sdk-date",)))


def test_a_signed_header_that_is_absent_is_refused():
    with pytest.raises(SignatureMismatchError):
        verify(raw(), Authorization(ACCESS, ("x-sdk-date", "x-trace"), "0" * 64))


def test_each_value_of_a_repeated_header_is_signed():
    twice = raw(headers=[(b"X-Trace", b"one"), (b"X-Trace", b" two ")])
    names = (*SIGNED, "x-trace")

    verify(twice, signed(twice, names))
    with pytest.raises(SignatureMismatchError):
        verify(raw(headers=[(b"X-Trace", b"one")]), signed(twice, names))


def test_a_hex_body_hash_must_be_the_bodys():
    lie = raw(headers=[(b"X-Sdk-Content-Sha256", b"0" * 64)])
    claimed = canonical_request(lie, SIGNED, "0" * 64)

    with pytest.raises(SignatureMismatchError):
        verify(lie, Authorization(ACCESS, SIGNED, sign(claimed, DATE, SECRET)))


def test_a_true_body_hash_header_is_accepted():
    request = raw(headers=[(b"X-Sdk-Content-Sha256", hashlib.sha256(b"{}").hexdigest().encode())])

    verify(request, signed(request))


def test_an_unsigned_payload_is_refused_unless_allowed():
    request = raw(headers=[(b"X-Sdk-Content-Sha256", b"UNSIGNED-PAYLOAD")])
    signature = sign(canonical_request(request, SIGNED, "UNSIGNED-PAYLOAD"), DATE, SECRET)

    verify(request, Authorization(ACCESS, SIGNED, signature), with_unsigned_payload=True)
    with pytest.raises(SignatureMismatchError):
        verify(request, Authorization(ACCESS, SIGNED, signature))


@pytest.mark.parametrize("value", [(), (b"",), (b"  ",)])
def test_no_authorization_is_missing(value):
    with pytest.raises(SignatureMissingError):
        parse_authorization(raw(headers=[(b"Authorization", part) for part in value]))


@pytest.mark.parametrize(
    "value",
    [
        "Bearer devtoken",
        "SDK-HMAC-SHA256",
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=host",
        "SDK-HMAC-SHA256 Access=, SignedHeaders=host, Signature=0",
        "SDK-HMAC-SM3 Access=a, SignedHeaders=host, Signature=0",
        "V11-HMAC-SHA256 Access=a, SignedHeaders=host, Signature=0",
        "\udcff",
    ],
)
def test_an_authorization_of_another_kind_is_malformed(value):
    with pytest.raises(SignatureMalformedError):
        parse_authorization(raw(headers=[(b"Authorization", value.encode("utf-8", "surrogateescape"))]))


@pytest.mark.parametrize("spacing", [",", ", ", " ,  "])
def test_spaces_between_the_parts_are_optional(spacing):
    value = spacing.join(["SDK-HMAC-SHA256  Access=a", "SignedHeaders=Host;x-sdk-date", "Signature=00"])

    parsed = parse_authorization(raw(headers=[(b"authorization", value.encode())]))

    assert parsed == Authorization("a", ("host", "x-sdk-date"), "00")
