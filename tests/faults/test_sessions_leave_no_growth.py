"""A hundred sessions are opened and dropped, politely or not; the recorder is then as large as before."""

import re
import urllib.request
from pathlib import Path

from support.instance import Instance, until

OFFER = (Path(__file__).parents[1] / "unit" / "wire" / "vectors" / "chromium_h264.sdp").read_bytes()
GROWTH_BYTES_MAX = 2 * 1024 * 1024


def test_a_hundred_sessions_opened_and_dropped_leave_no_growth(service: Instance) -> None:
    _open_and_drop(service, 100)  # The first ones fill caches and pools that stay.
    before = _measure(service)
    _open_and_drop(service, 100)
    # What was asked a moment ago may still hold a connection; what leaks stays.
    until(lambda: _has_not_grown(before, _measure(service)), 10, f"it was {before} and is {_measure(service)}")


def _has_not_grown(before: dict[str, int], after: dict[str, int]) -> bool:
    return (
        after["descriptors"] <= before["descriptors"]
        and after["rss"] - before["rss"] < GROWTH_BYTES_MAX
        and after["threads"] == before["threads"]
    )


def _open_and_drop(service: Instance, count: int) -> None:
    """Open sessions that never connect; delete every other one, and leave the rest to their timeout."""
    for number in range(count):
        location = _request(service, "POST", f"/whip/demo/r{number % 10}/u{number}", OFFER)
        if number % 2:
            _request(service, "DELETE", location)
    until(lambda: service.ask_recorder("/health")["core"]["sessions"] == 0, 40, "sessions are still there")


def _request(service: Instance, method: str, path: str, body: bytes | None = None) -> str:
    headers = {"Content-Type": "application/sdp", "Authorization": "Bearer devtoken"}
    request = urllib.request.Request(service.url + path, body, headers, method=method)  # noqa: S310 - our own
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own
        return answer.headers.get("Location", "")


def _measure(service: Instance) -> dict[str, int]:
    process = Path(f"/proc/{service.pid('recorder')}")
    status = (process / "status").read_text()
    return {
        "descriptors": len(list((process / "fd").iterdir())),
        "rss": int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024,
        "threads": int(re.search(r"Threads:\s+(\d+)", status)[1]),
    }
