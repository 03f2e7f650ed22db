"""Signs requests with the official SDK's own signer, for tests that speak HTTP without the SDK's client."""

import json

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer

from soloist.jobs.clock import utc_now


def signed_headers(method, path, body=b"", *, access="devkey", secret=None, project="dev", at=None, host="h:1"):
    """Return the headers of a signed request; `at` is the moment it claims, default now."""
    headers = {"Content-Type": "application/json", "X-Sdk-Date": (at or utc_now()).strftime("%Y%m%dT%H%M%SZ")}
    if project:
        headers["X-Project-Id"] = project
    request = SdkRequest(method, "http", host, path, None, [], headers, body)
    return dict(Signer(BasicCredentials(access, secret or "devsecret", project)).sign(request).header_params)


def start_body(**fields):
    """Return the bytes of a create body with everything it needs; a field given as None is left out."""
    least = {"room_id": "room", "user_id": "user", "record_param": {"record_rule_id": "demo"}}
    return json.dumps({key: value for key, value in {**least, **fields}.items() if value is not None}).encode()
