"""Attacks by a tenant with what he may do: idle jobs, ghosts, side processes, foreign buckets. S2, S6, S7, S12, S14."""

import http.client
import time
import urllib.error
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from support.instance import descendants

from attack.ghosts import Ghost, haunt, keep
from attack.media import publish, write_ivf
from attack.plan import Cost
from attack.relay import Relay
from attack.scene import BUCKET, STRANGER, Scene
from attack.watch import command_of
from fidelity.pattern import Sound

AT_ONCE = 8
LATE = 0
IDLE_JOBS = 1000
GHOSTS, ROOMS = 500, 1000
FORWARDS = 200


def idle_jobs(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S2: a thousand jobs for rooms in which nobody is."""
    del relay
    return Cost(_start_idle_jobs(scene, "more", time.monotonic() + seconds))


def idle_jobs_before(scene: Scene) -> str:
    """S2: as many of them before the victim's job."""
    return _start_idle_jobs(scene, "idle", time.monotonic() + 300)


def _start_idle_jobs(scene: Scene, name: str, until: float) -> str:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = Counter(pool.map(lambda number: _started(scene, f"{name}-{number}", until), range(IDLE_JOBS)))
    return f"{IDLE_JOBS - answers[LATE]} requests; answers: {_told(answers)}"


def _told(answers: Counter[int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(answers.items()) if status != LATE)


def _started(scene: Scene, room: str, until: float, **fields: Any) -> int:
    """Start a job; return the answer's status, or `LATE` once the time is over."""
    if time.monotonic() > until:
        return LATE
    try:
        scene.start_job(room, **fields)
    except urllib.error.HTTPError as error:
        return error.code
    return 201


def ghosts(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S6: five hundred sessions of one user who never shakes hands; then somebody else wants to publish there."""
    del relay
    told = _haunted(scene, ["haunted"] * GHOSTS, seconds)
    said = publish(scene, "haunted", 2, audio=str(Sound(2).path()))
    return Cost(told, (f"bob cannot publish: {said}",) if said else ())


def _haunted(scene: Scene, rooms: list[str], seconds: float) -> str:
    """Post an offer to each room and keep what was answered for the rest of the time; return what became of them."""
    until = time.monotonic() + seconds
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answered = list(pool.map(lambda room: haunt(scene, room) if time.monotonic() < until else LATE, rooms))
    kept = [one for one in answered if isinstance(one, Ghost)]
    keep(kept, max(1.0, until - time.monotonic()))
    return f"{len(kept)} offers answered; refused: {_told(Counter(one for one in answered if isinstance(one, int)))}"


def empty_rooms(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S6: a thousand rooms of ghosts by one key; meanwhile the victim publishes in a room of its own."""
    del relay
    return Cost(_haunted(scene, [f"empty-{number}" for number in range(ROOMS)], seconds))


def forwarders(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S12: jobs that forward and have no media, to places that take none."""
    del relay
    until = time.monotonic() + seconds

    def start(number: int) -> int:
        urls = [f"rtmp://127.0.0.1:1/live/{number}"]
        return _started(scene, f"forward-{number}", until, publish_param={"rtmp_urls": urls})

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = Counter(pool.map(start, range(FORWARDS)))
    time.sleep(max(1.0, until - time.monotonic()))
    process = scene.service.instance.process
    assert process is not None  # noqa: S101 - it runs
    running = [pid for pid in descendants(process.pid) if "soloist forwarder" in command_of(pid)]
    complaints = (f"{len(running)} forwarders run without media",) if running else ()
    return Cost(f"{FORWARDS - answers[LATE]} requests; answers: {_told(answers)}", complaints)


def huge_picture(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S12: a VP8 keyframe that says it is 16,200 x 16,200, where VP8 is made H.264."""
    del relay
    app = scene.call("POST", "/v2/apps", {"app_name": "huge"})["app_id"]
    scene.command("app", "set", app, "--vp8", "h264")
    address = {"location": "cn-north-4", "project_id": "mallory", "bucket": BUCKET, "object": "huge/"}
    body = {"obs_addr": address, "record_formats": ["MP4"], "mp4_config": {"record_cycle": 3600}}
    rule = scene.call("POST", f"/v2/apps/{app}/record-rules", body)["rule_id"]
    # A frame tag with the keyframe bit clear, the start code, both sizes, and noise. Spec: RFC 6386 section 9.1.
    frame = bytes((0x10, 0x02, 0x00, 0x9D, 0x01, 0x2A)) + (16_200).to_bytes(2, "little") * 2 + bytes(range(256)) * 4
    folder = scene.service.instance.folder
    video = write_ivf(folder / "huge.ivf", b"VP80", 10, [frame] * round(10 * seconds))
    job = {"room_id": "huge", "user_id": "mallory", "record_param": {"record_rule_id": rule}}
    scene.call("POST", f"/v2/apps/{app}/individual-stream-jobs", job)
    said = publish(scene, "huge", seconds, app=app, layers=[str(video)], codec="VP8")
    return Cost("80 kbit/s", said=said)


def foreign_bucket(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S7: rules for the victim's bucket and for one of the operator's, and a look at what buckets there are."""
    del relay
    complaints = []
    until = time.monotonic() + seconds
    tries = 0
    while time.monotonic() < until:
        tries += 1
        for bucket in ("recordings", "prod-database", "Recordings", "recordings/../recordings"):
            address = {"location": "cn-north-4", "project_id": "mallory", "bucket": bucket, "object": "x/"}
            rule = {"obs_addr": address, "record_formats": ["MP4"], "mp4_config": {"record_cycle": 3600}}
            try:
                scene.call("POST", f"/v2/apps/{scene.app[0]}/record-rules", rule)
                complaints.append(f"bucket {bucket} was given to a stranger")
            except urllib.error.HTTPError as error:
                if error.code >= 500:
                    complaints.append(f"bucket {bucket}: {error.code}")
        time.sleep(0.2)
    return Cost(f"{tries * 4} rules", tuple(dict.fromkeys(complaints)))


def side_doors(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S14: spellings of a closed path, a foreign host name, and pages that would run foreign code."""
    del relay
    complaints = []
    until = time.monotonic() + seconds
    tries = 0
    while time.monotonic() < until:
        tries += 1
        for path in ("/%6detrics", "/%2e/metrics", "//metrics", "/./metrics", "/console/%2e%2e/metrics"):
            if _get(scene, path)[0] == 200:
                complaints.append(f"{path} is answered")
        if _get(scene, "/v2/apps", Host="evil.example", **{"X-Auth-Token": "devtoken"})[0] == 200:
            complaints.append("a foreign host name is answered in development mode")
        status, headers, body = _get(scene, "/soloist/v1/docs")
        if status == 200 and ("Content-Security-Policy".lower() not in headers or "https://" in body):
            complaints.append("the docs page may run foreign code")
        time.sleep(0.5)
    return Cost(f"{tries * 7} requests", tuple(dict.fromkeys(complaints)))


def _get(scene: Scene, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=10, source_address=(STRANGER, 0))
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body
