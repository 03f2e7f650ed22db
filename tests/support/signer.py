"""Signs requests with the official SDK's own signer, for tests that speak HTTP without the SDK's client."""

import json
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from requests.auth import AuthBase

from soloist.clock import utc_now


def signed_headers(method, path, body=b"", *, access="devkey", secret=None, project="dev", at=None, host="h:1"):
    """Return the headers of a signed request; `at` is the moment it claims, default now."""
    headers = {"Content-Type": "application/json", "X-Sdk-Date": (at or utc_now()).strftime("%Y%m%dT%H%M%SZ")}
    if project:
        headers["X-Project-Id"] = project
    request = SdkRequest(method, "http", host, path, None, [], headers, body)
    return dict(Signer(BasicCredentials(access, secret or "devsecret", project)).sign(request).header_params)


class SignedBySdk(AuthBase):
    """Signs what `requests` is about to send."""

    def __init__(self, access, secret, project):
        self._credentials = BasicCredentials(access, secret, project)

    def __call__(self, prepared):
        parts = urlsplit(prepared.url)
        body = prepared.body or b""
        kept = {name: value for name, value in prepared.headers.items() if name.lower() == "content-type"}
        headers = {**kept, "X-Project-Id": self._credentials.project_id}
        query = parse_qsl(parts.query, keep_blank_values=True)
        # As the SDK writes a query: a space is %20, where `requests` may write a plus sign.
        prepared.url = parts._replace(query=urlencode(query, quote_via=quote, safe="~")).geturl()
        body = body if isinstance(body, bytes) else body.encode()
        request = SdkRequest(prepared.method, parts.scheme, parts.netloc, parts.path, None, query, headers, body)
        prepared.headers.update(Signer(self._credentials).sign(request).header_params)
        return prepared


def start_body(**fields):
    """Return the bytes of a create body with everything it needs; a field given as None is left out."""
    least = {"room_id": "room", "user_id": "user", "record_param": {"record_rule_id": "demo"}}
    return json.dumps({key: value for key, value in {**least, **fields}.items() if value is not None}).encode()
