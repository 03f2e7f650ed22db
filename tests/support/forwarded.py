"""Pictures told apart by their bytes: in a clip, in the MP4 it was recorded to, in the FLV it was forwarded to.

A picture is the hash of its NAL units without parameter sets and delimiters, which containers keep elsewhere.
"""

import hashlib
import json
import urllib.error
import urllib.request
from pathlib import Path

import av

from soloist.wire.flv import nal_units
from support.flv import pictures
from support.instance import Instance, descendants, is_running

NOT_KEPT = (7, 8, 9)


def _hash(units):
    kept = [unit.rstrip(b"\0") for unit in units if unit and unit[0] & 0x1F not in NOT_KEPT]
    return hashlib.sha256(b"\0".join(kept)).hexdigest()[:16]


def _packets(path: Path):
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        return bytes(video.codec_context.extradata or b""), [
            (bytes(packet), float(packet.pts * packet.time_base)) for packet in container.demux(video) if packet.size
        ]


def _lengths(data: bytes):
    at = 0
    while at + 4 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 4 + size]
        at += 4 + size


def clip_pictures(path: Path) -> list[str]:
    """Return the pictures of an H.264 file, whichever way it keeps its NAL units."""
    config, packets = _packets(path)
    split = _lengths if config[:1] == b"\1" else nal_units
    return [_hash(split(data)) for data, _ in packets]


mp4_pictures = clip_pictures


def packet_hashes(path: Path) -> list[str]:
    """Return the SHA-256 of each picture of a file as it is there."""
    return [hashlib.sha256(data).hexdigest() for data, _ in _packets(path)[1]]


def mp4_times_s(path: Path) -> list[float]:
    """Return when each picture is shown."""
    return [at_s for _, at_s in _packets(path)[1]]


def flv_pictures(path: Path) -> list[str]:
    """Return the pictures of an FLV file."""
    return [_hash(tag.nal_units) for tag in pictures(path)]


def is_unbroken(found: list[str], clip: list[str]) -> bool:
    """Return whether pictures follow each other as in a clip that is shown over and over."""
    start = clip.index(found[0])
    return all(picture == clip[(start + n) % len(clip)] for n, picture in enumerate(found))


def call(url: str, method: str, path: str, body: object = None):
    """Send a request with the dev token; return status and JSON."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url + path, data, {"X-Auth-Token": "devtoken"}, method=method)  # noqa: S310 - our own
    try:
        answer = urllib.request.urlopen(request, timeout=10)  # noqa: S310 - our own
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        text = answer.read()
        return answer.status, json.loads(text) if text else None


class ForwardJob:
    """A job that forwards, by raw requests: the current SDK has no publish_param any more."""

    def __init__(self, url: str, room: str, user: str, targets, *, app="demo", rule="demo", **fields):
        self.url = url
        self._jobs = f"/v2/apps/{app}/individual-stream-jobs"
        body = {"room_id": room, "user_id": user, "publish_param": {"rtmp_urls": list(targets)}, **fields}
        if rule:
            body["record_param"] = {"record_rule_id": rule}
        status, self.created = call(url, "POST", self._jobs, body)
        assert status == 201, self.created
        self.job_id = self.created["job_id"]

    @property
    def view(self):
        return call(self.url, "GET", f"{self._jobs}/{self.job_id}")[1]

    @property
    def targets(self):
        """Where each target stands, in order."""
        return self.view.get("ext", {}).get("forward", [])

    @property
    def states(self):
        return [target["state"] for target in self.targets]

    def aim(self, *targets):
        status, view = call(
            self.url, "PUT", f"{self._jobs}/{self.job_id}", {"publish_param": {"rtmp_urls": list(targets)}}
        )
        assert status == 200, view
        return view

    def control(self, action):
        assert call(self.url, "PUT", f"{self._jobs}/{self.job_id}/control?action={action}")[0] == 200

    def stop(self):
        assert call(self.url, "DELETE", f"{self._jobs}/{self.job_id}")[0] == 204

    def events(self):
        """What the events list says of it, oldest first: type and body."""
        found = call(self.url, "GET", f"/soloist/v1/events?job_id={self.job_id}")[1]["events"]
        return [(event["event_type"], event["body"]) for event in reversed(found)]


def forwarders(service: Instance) -> list[int]:
    """Return the forwarder processes of a service."""
    assert service.process is not None
    found = []
    for pid in descendants(service.process.pid):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"\0forwarder\0" in command and is_running(pid):
            found.append(pid)
    return found
