"""Wrong signatures with the owner's key, and invented tokens, from the owner's address: the owner is let in (S11)."""

import time

from support.crowd import HOST, crowding, read_answer, request
from support.instance import Instance
from support.sdk import Sdk

SECONDS = 5
LOG_BYTES_PER_S_MAX = 20_000
"""1.7 GB a day; at 3,000 requests a second it was 67."""


def wrong_signature() -> bytes:
    more = f"X-Sdk-Date: {time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}\r\nAuthorization: SDK-HMAC-SHA256 "
    return request(
        "GET", "/v2/apps", more=f"{more}Access=devkey, SignedHeaders=host;x-sdk-date, Signature={'0' * 64}\r\n"
    )


async def guess(reader, writer, answers):
    asked = wrong_signature()
    while True:
        writer.write(asked)
        await read_answer(reader, answers)


async def invent(reader, writer, answers):
    number = 0
    while True:
        number += 1
        writer.write(request("GET", "/v2/apps", more=f"X-Auth-Token: invented-{id(reader)}-{number}\r\n"))
        await read_answer(reader, answers)


def test_a_correct_signature_passes_while_thousands_of_wrong_ones_come_from_its_address(service: Instance) -> None:
    owner, tokened, refused, passed = Sdk(service.url), Sdk(service.url, token="devtoken"), [], 0
    log_before = service.log.stat().st_size
    with (
        crowding(service.port, 5, guess, source=HOST) as guessed,
        crowding(service.port, 5, invent, source=HOST) as invented,
    ):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            for caller in (owner, tokened):
                try:
                    caller.call("list_apps")
                    passed += 1
                except Exception as error:  # noqa: BLE001 - whatever it is, the owner was kept out
                    refused.append(str(error)[:200])
            time.sleep(0.05)
    grown = (service.log.stat().st_size - log_before) / SECONDS

    assert refused == []
    assert passed > 10
    assert set(guessed) | set(invented) <= {401, 429}
    assert guessed[401] <= 20, "after twenty they are told to wait"
    assert guessed[429] > 100
    assert invented[429] > 100
    assert grown < LOG_BYTES_PER_S_MAX
