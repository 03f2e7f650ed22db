"""Many HTTP connections at once, from an address of their own, for as long as a test wants."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

STRANGER = "127.0.0.2"
HOST = "127.0.0.1"

Member = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Counter], Awaitable[None]]
"""What each does with its connection; it adds the statuses it is answered to the counter."""


@contextlib.contextmanager
def crowding(port: int, size: int, member: Member, *, source: str = STRANGER) -> Iterator[Counter]:
    """Keep so many connections busy while this lasts, one after the other; yield what they are answered."""
    answers: Counter = Counter()
    is_over = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_crowd(port, size, member, answers, is_over, source)))
    thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        thread.join()


async def _crowd(port, size, member, answers, is_over, source):  # noqa: PLR0917 - one caller, just above
    tasks = [asyncio.create_task(_one(port, member, answers, source)) for _ in range(size)]
    await asyncio.to_thread(is_over.wait)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _one(port, member, answers, source):
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(HOST, port, local_addr=(source, 0))
            try:
                await member(reader, writer, answers)
            finally:
                writer.transport.abort()
        await asyncio.sleep(0.05)


async def read_answer(reader: asyncio.StreamReader, answers: Counter) -> bytes:
    """Read one answer, count its status and return its body."""
    head = await reader.readuntil(b"\r\n\r\n")
    answers[int(head.split(b" ", 2)[1])] += 1
    length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
    return await reader.readexactly(int(length.partition(b":")[2]))


def request(method: str, path: str, *, length: int = 0, more: str = "") -> bytes:
    """Return the head of a request."""
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {length}\r\n{more}\r\n".encode()
