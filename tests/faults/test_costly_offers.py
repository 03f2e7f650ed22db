"""Offers made to be dear, one after another and many at once: others join, and a recording goes on."""

import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from support.crash_verdict import lost_pictures
from support.flood import TINY_OPUS, flood
from support.instance import Instance
from support.offers import SOUND_OFFER
from support.takes import take

ATTACK_S = 6
SENDERS = 8


def costly_offers() -> list[bytes]:
    """Return offers of 63 kB: the same payload type again and again, and all of them with everything about each."""
    offer = SOUND_OFFER.decode()
    repeated = offer.replace("SAVPF 111", "SAVPF " + " ".join(["111"] * 15_500))
    everything = offer.replace("SAVPF 111", "SAVPF " + " ".join(str(pt) for pt in range(128)))
    lines = [f"a=rtpmap:{pt} opus/48000/2\r\na=fmtp:{pt} apt={(pt + 1) % 128}\r\n" for pt in range(128)]
    while len(everything) < 63_000:
        everything += lines[len(everything) % 128]
    layers = offer + "a=simulcast:send " + ";".join(["a"] * 30_000) + "\r\n"
    return [repeated.encode(), everything.encode(), layers.encode()]


def send(url: str, offer: bytes) -> tuple[int, float]:
    """Return how an offer was answered, and after how many seconds."""
    began = time.monotonic()
    request = urllib.request.Request(url, offer, {"Content-Type": "application/sdp"}, method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    return status, time.monotonic() - began


def test_offers_made_to_be_dear_keep_nobody_waiting(service: Instance, clip: Path) -> None:
    answers: list[tuple[int, float]] = []
    over = threading.Event()

    def attack(number: int) -> None:
        offers = costly_offers()
        while not over.is_set():
            answers.append(send(service.whip_url("attack", f"m{number % 3}"), offers[len(answers) % len(offers)]))

    with take(service, clip, "victim") as taken:
        taken.await_recording()
        attackers = [threading.Thread(target=attack, args=(number,)) for number in range(SENDERS)]
        for attacker in attackers:
            attacker.start()
        joins, end = [], time.monotonic() + ATTACK_S
        while time.monotonic() < end:
            began = time.monotonic()
            with flood(service.whip_url("friends", "bob"), TINY_OPUS, per_s=50, seconds=0.2):
                joins.append(time.monotonic() - began)
        over.set()
        for attacker in attackers:
            attacker.join()
        taken.publisher.process.terminate()
        taken.publisher.process.wait(10)
        time.sleep(0.5)
        taken.stop()
        (file,) = taken.finished()
    assert len(answers) > 50
    assert {status for status, _ in answers} <= {201, 400, 503}
    assert max(seconds for _, seconds in answers) < 5
    assert max(joins) < 3, joins
    assert lost_pictures(file) == []
    assert file.pictures >= taken.publisher.frames_count
