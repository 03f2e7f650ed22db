"""Attacks by requests: costly offers, slow bodies, long heads, crowds, refusals, downloads. S3, S10, S11, S13."""

import asyncio
import threading
import time
import urllib.error
from itertools import count

from support.sdk import Sdk

from attack.crowds import Crowd, Member, answer, crowd, idle, send
from attack.media import publish
from attack.plan import Cost
from attack.relay import Relay
from attack.scene import BUCKET, Scene
from fidelity.pattern import Sound

MIB = 1 << 20
LOG_BYTES_PER_S_MAX = 20_000
"""1.7 GB a day; it was 67."""
TOKEN = b"X-Auth-Token: devtoken\r\n"


def _head(method: str, path: str, length: int, more: bytes = b"") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n".encode() + more + b"\r\n"


def costly_offers(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S3: offers of 63 kB that name one payload type 15,500 times."""
    del relay
    offer = (
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"
        f"a=fingerprint:sha-256 {':'.join(['AB'] * 32)}\r\na=setup:actpass\r\na=group:BUNDLE 0\r\n"
        f"m=video 9 UDP/TLS/RTP/SAVPF{' 102' * 15_500}\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\n"
        "a=rtpmap:102 H264/90000\r\n"
    ).encode()
    numbers = count()
    token = scene.join_token("offers", "mallory")
    head = b"Content-Type: application/sdp\r\nAuthorization: Bearer " + token.encode() + b"\r\n"

    async def post(seen: Crowd, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = f"/whip/{scene.app[0]}/offers/mallory?n={next(numbers)}"
        await send(seen, writer, _head("POST", path, len(offer), head) + offer)
        await answer(seen, reader)

    return Cost(str(crowd(scene.port, 4, seconds, post)))


def slow_bodies(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S10: bodies of 1 MiB under any token, whose last byte does not come."""
    del relay
    head = _head("POST", "/v2/apps", MIB, b"X-Auth-Token: nobody\r\nContent-Type: application/json\r\n")

    async def dawdle(seen: Crowd, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await send(seen, writer, head + bytes(MIB - 1))
        await answer(seen, reader)

    return Cost(str(crowd(scene.port, 1069, seconds, dawdle)))


def long_head(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S10: heads of 69 MB."""
    del relay
    piece = b"X-Long: " + b"a" * 60_000 + b"\r\n"

    async def talk(seen: Crowd, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await send(seen, writer, b"GET /v2/apps HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        for _ in range(69_000_000 // len(piece)):
            await send(seen, writer, piece)
        await send(seen, writer, b"\r\n")
        await answer(seen, reader)

    return Cost(str(crowd(scene.port, 2, seconds, talk)))


def health_crowd(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S10: 600 connections that ask for health without a pause."""
    del relay
    return Cost(str(crowd(scene.port, 600, seconds, _asking(_head("GET", "/soloist/v1/health", 0)))))


def idle_crowd(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S10: 1,500 connections that say nothing, while the owner makes requests."""
    del relay
    faults: list[str] = []
    is_over = threading.Event()
    owner = threading.Thread(target=_ask_as_owner, args=(scene, is_over, faults))
    owner.start()
    seen = crowd(scene.port, 1500, seconds, idle)
    is_over.set()
    owner.join()
    return Cost(str(seen), tuple(faults[:3]))


def refusals(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S13: requests without a valid credential, as many as are answered."""
    del relay
    log, before, began = scene.service.instance.log, scene.service.instance.log.stat().st_size, time.monotonic()
    seen = crowd(scene.port, 50, seconds, _asking(_head("GET", "/v2/apps", 0, b"X-Auth-Token: nobody\r\n")))
    per_s = (log.stat().st_size - before) / (time.monotonic() - began)
    faults = (f"the log grew by {per_s / 1000:.0f} kB/s",) if per_s > LOG_BYTES_PER_S_MAX else ()
    return Cost(str(seen), faults)


def bad_signatures(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S11: wrong signatures with the owner's access key, from the owner's address, while he makes requests."""
    del relay
    faults: list[str] = []
    is_over = threading.Event()
    owner = threading.Thread(target=_ask_as_owner, args=(scene, is_over, faults))
    owner.start()
    signed = (
        b"Authorization: SDK-HMAC-SHA256 Access=devkey, SignedHeaders=host;x-sdk-date, Signature=" + b"0" * 64 + b"\r\n"
        b"X-Sdk-Date: " + time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()).encode() + b"\r\n"
    )
    seen = crowd(scene.port, 5, seconds, _asking(_head("GET", "/v2/apps", 0, signed)), source="127.0.0.1")
    is_over.set()
    owner.join()
    return Cost(str(seen), tuple(faults[:3]))


def _ask_as_owner(scene: Scene, is_over: threading.Event, faults: list[str]) -> None:
    sdk = Sdk(scene.service.instance.url)
    while not is_over.wait(0.25):
        try:
            sdk.call("list_apps")
        except Exception as error:  # noqa: BLE001 - whatever it is, the owner was kept out
            faults.append(f"the owner was refused: {str(error)[:120]}")


def _asking(request: bytes) -> Member:
    async def ask(seen: Crowd, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await send(seen, writer, request)
            await answer(seen, reader)

    return ask


def idle_ice_tcp(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S13: 512 connections to the media port that say nothing; meanwhile somebody publishes by TCP."""
    del relay
    said: list[str] = []

    def publish_by_tcp() -> None:
        time.sleep(seconds / 2)
        said.append(publish(scene, "by-tcp", 3, audio=str(Sound(3).path()), transport="tcp"))

    honest = threading.Thread(target=publish_by_tcp)
    honest.start()
    seen = crowd(scene.media_port, 512, seconds, idle)
    honest.join()
    return Cost(str(seen), tuple(f"nobody can publish by TCP: {text}" for text in said if text))


def slow_downloads(scene: Scene, seconds: float, relay: Relay) -> Cost:
    """S13: 400 downloads of which nothing is read."""
    del relay
    address = _downloadable(scene)
    path = "/" + address.split("/", 3)[3]

    async def hold(seen: Crowd, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        await send(seen, writer, _head("GET", path, 0))
        await asyncio.sleep(seconds)

    return Cost(str(crowd(scene.port, 400, seconds, hold)))


def _downloadable(scene: Scene) -> str:
    """Return the address of a recording of the attacker's own."""
    job = scene.start_job("downloads")["job_id"]
    publish(scene, "downloads", 4, audio=str(Sound(4).path()))
    scene.call("DELETE", f"/v2/apps/{scene.app[0]}/individual-stream-jobs/{job}")
    for _ in range(100):
        jobs = scene.call("GET", f"/soloist/v1/jobs?app_id={scene.app[0]}")["jobs"]
        files = [file for one in jobs if one["job_id"] == job for file in one["files"]]
        if files and files[0].get("download_url"):
            # More than what sockets hold, so that a reader who stops is waited for.
            with (scene.service.instance.data / "storage" / BUCKET / files[0]["key"]).open("ab") as out:
                out.write(bytes(50 * MIB))
            return str(files[0]["download_url"])
        time.sleep(0.2)
    raise urllib.error.URLError("there is nothing to download")
