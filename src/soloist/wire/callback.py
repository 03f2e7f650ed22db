"""How a notice to a customer is signed, and when it is sent again.

Spec: API sections 7.3, 7.4; Standard Webhooks 1.0.
"""

import base64
import hashlib
import hmac
from datetime import timedelta


def callback_signature(auth_key: str, rand: str, timestamp: str, body: bytes) -> str:
    """Return the vendor's signature of the exact bytes sent: 64 lower-case hex digits.

    Spec: API section 7.3 (X-Rtc-Signature): HMAC-SHA256 over rand, timestamp and body, nothing between them.
    """
    return hmac.new(auth_key.encode(), (rand + timestamp).encode() + body, hashlib.sha256).hexdigest()


def standard_signature(auth_key: str, message_id: str, timestamp: str, body: bytes) -> str:
    """Return the `webhook-signature` of the exact bytes sent; receivers know the key as whsec_ and its Base64.

    Spec: Standard Webhooks 1.0, "Signature scheme", version v1.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(auth_key.encode(), signed, "sha256")).decode()


def retry_delay(failures: int, fraction: float, *, first: timedelta, most: timedelta) -> timedelta:
    """Return how long to wait after so many failures in a row: twice as long each time, from `first` up to `most`.

    `fraction`, 0 to 1 and drawn at random, takes up to half of it away, so that what failed together is not sent
    together again; never below `first`.
    """
    doublings = min(failures - 1, 30)
    return max(first, min(first * (1 << doublings), most) * (1 - fraction / 2))
