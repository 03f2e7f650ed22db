"""600 connections ask for health without a pause: every answer is honest, and about a second old at the most (S10)."""

import json
import time
from collections import Counter

from support.crowd import crowding, read_answer, request
from support.instance import Instance

SECONDS = 5
ASKING = 600
AGE_S_MAX = 3.5
"""A second between two looks, and two for a part that hangs on a busy machine."""


def test_a_crowd_that_asks_for_health_is_told_the_truth(service: Instance) -> None:
    said: Counter = Counter()
    ages = [0.0]

    async def ask(reader, writer, answers):
        while True:
            writer.write(request("GET", "/soloist/v1/health"))
            health = json.loads(await read_answer(reader, answers))
            said[health["status"]] += 1
            ages.append(health["age_s"])

    with crowding(service.port, ASKING, ask) as answers:
        time.sleep(SECONDS)

    assert said.total() > ASKING
    assert set(said) == {"ok"}
    assert set(answers) <= {200, 503}, "503 only for connections above the bound of one address"
    assert max(ages) < AGE_S_MAX
