"""What a customer is told of an event: the vendor's body, byte by byte, and the headers that prove it is ours.

The body is made of the event and its job when it is sent, so a repetition says the same (but for a download address
that has an expiry in it). Spec: API section 7.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from soloist.model.callback import Notice, RecordCallback
from soloist.model.event import Event, FileCompleted, FileStarted, ForwardChanged, JobEnded
from soloist.wire.callback import callback_signature, standard_signature

CONTENT_TYPE = "application/json;charset=utf-8"
EVENT_TYPES: dict[type[Event], str] = {
    FileStarted: "RECORD_NEW_FILE_START",
    FileCompleted: "RECORD_FILE_COMPLETE",
    JobEnded: "CLOUD_RECORD_SERVER_OVER",
    ForwardChanged: "FORWARD_STATE_CHANGED",
}
"""The vendor's names; the last one is ours, listed and never sent by itself."""
PROBE = "CALLBACK_PROBE"
"""The event type of what is sent to try out an address; its own, so that nobody takes it for a recording's."""


class ObjectUrls(Protocol):
    """Where a finished object is, for whoever downloads it."""

    def endpoint(self, location: str) -> str:
        """Return the URL of a location's store; empty if the location is not configured any more."""

    def download_url(self, location: str, bucket: str, key: str, now: datetime) -> str:
        """Return where the object can be read from `now` (aware) on; empty if its location is not configured."""


class Post(Protocol):
    """Sends a request."""

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        """Return once it is confirmed; raise DestinationError otherwise."""


@dataclass(frozen=True, slots=True)
class NoticeOptions:
    """What an operator may add to the vendor's notices."""

    with_user_id: bool = False
    with_standard_headers: bool = False
    """Standard Webhooks headers beside the vendor's."""


class Notices:
    """Renders and sends notices."""

    def __init__(self, urls: ObjectUrls, post: Post, options: NoticeOptions, *, clock: Callable[[], datetime]) -> None:
        self._urls = urls
        self._post = post
        self._options = options
        self._clock = clock

    async def tell(self, notice: Notice, callback: RecordCallback) -> None:
        """Send a notice and return when its receiver has confirmed it.

        Raises:
            DestinationError: it has not.
        """
        await self._send(callback.url, callback.auth_key, notice.event_id, self.fields(notice))

    async def probe(self, url: str, auth_key: str) -> None:
        """Send a notice of nothing.

        Raises:
            DestinationError: it was not confirmed.
        """
        await self._send(url, auth_key, f"probe-{secrets.token_hex(8)}", {"event_type": PROBE})

    def fields(self, notice: Notice) -> dict[str, Any]:
        """Return the body's fields; those without a value are left out. Spec: API section 7.2."""
        job, event = notice.job, notice.event
        fields = {
            "event_type": EVENT_TYPES[type(event)],
            "stream_name": job.stream_name,
            **self._event_fields(event),
            "app_id": job.app_id,
            "job_id": job.job_id,
            "room_id": job.room_id,
            "user_id": job.participant_id if self._options.with_user_id else None,
            "detail_message": _detail(event),
        }
        return {name: value for name, value in fields.items() if value not in (None, "")}

    def _event_fields(self, event: Event) -> dict[str, Any]:
        if isinstance(event, FileStarted):
            return {"record_format": event.record_format.value}
        if isinstance(event, ForwardChanged):
            return {"forward_url": event.url, "forward_state": event.state.value, "retries": event.retries}
        if not isinstance(event, FileCompleted):
            return {}
        return {
            "record_format": event.record_format.value,
            "download_url": self._urls.download_url(event.location, event.bucket, event.key, self._clock()),
            "file_size": event.size_bytes,
            "record_duration": round(event.duration / timedelta(seconds=1)),
            "start_time": _render_second(event.started_at),
            "end_time": _render_second(event.ended_at),
            "width": event.width or None,
            "height": event.height or None,
            "obs_location": self._urls.endpoint(event.location),
            "obs_bucket": event.bucket,
            "obs_object": event.key,
        }

    async def _send(self, url: str, auth_key: str, event_id: str, fields: Mapping[str, Any]) -> None:
        body = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
        await self._post(url, body, self._headers(auth_key, event_id, body))

    def _headers(self, auth_key: str, event_id: str, body: bytes) -> dict[str, str]:
        """Return the headers of one attempt; each attempt is signed anew. Spec: API section 7.3."""
        headers = {"Content-Type": CONTENT_TYPE, "X-Rtc-Event-Id": event_id}
        if not auth_key:
            return headers
        rand, timestamp = secrets.token_hex(16), str(int(self._clock().timestamp()))
        headers |= {
            "X-Rtc-Rand": rand,
            "X-Rtc-Timestamp": timestamp,
            "X-Rtc-Signature": callback_signature(auth_key, rand, timestamp, body),
        }
        if self._options.with_standard_headers:
            headers |= {
                "webhook-id": event_id,
                "webhook-timestamp": timestamp,
                "webhook-signature": standard_signature(auth_key, event_id, timestamp, body),
            }
        return headers


def _detail(event: Event) -> str:
    if isinstance(event, FileCompleted):
        return event.detail
    if isinstance(event, ForwardChanged):
        return event.error
    if isinstance(event, JobEnded):
        return ": ".join(text for text in (event.reason.value, event.description) if text)
    return ""


def _render_second(moment: datetime) -> str:
    """Return an aware moment as `2006-01-02T15:04:05Z`: UTC, cut to seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
