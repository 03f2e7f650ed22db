"""Sessions kept alive by STUN alone: they count for nothing, end after ten seconds, and keep nobody out."""

import time
from typing import Any

from support.flood import TINY_OPUS, flood
from support.instance import Instance, until
from support.stun import Ghost

GHOSTS = 40
CONNECT_S = 10


def rooms(service: Instance) -> list[dict[str, Any]]:
    streams: list[dict[str, Any]] = service.ask_recorder("/streams")["streams"]
    return streams


def test_sessions_that_only_send_stun_end_after_ten_seconds_and_count_for_nothing(service: Instance) -> None:
    ghosts = [Ghost(service, f"ghost-{number}") for number in range(GHOSTS)]
    made_s = time.monotonic()
    assert all(ghost.knock() for ghost in ghosts)
    assert rooms(service) == []
    assert service.ask_recorder("/health")["publishers_pending"] == GHOSTS

    with flood(service.whip_url("haunted", "bob"), TINY_OPUS, per_s=50, seconds=20):
        until(lambda: len(rooms(service)) == 1, 5, "bob is not in his room")
        while time.monotonic() < made_s + CONNECT_S + 0.5:
            for ghost in ghosts:
                ghost.knock(patience_s=0)
            time.sleep(0.5)
        assert not any(ghost.is_there() for ghost in ghosts)
        health = service.ask_recorder("/health")
        assert (health["publishers_pending"], health["publishers"]) == (0, 1)
        assert health["core"]["connects_late"] == GHOSTS
    for ghost in ghosts:
        ghost.close()


def test_of_one_stream_only_two_sessions_wait_to_be_connected(service: Instance) -> None:
    ghosts = [Ghost(service, "greedy") for _ in range(6)]

    assert [ghost.is_there() for ghost in ghosts] == [False] * 4 + [True] * 2
    for ghost in ghosts:
        ghost.close()
