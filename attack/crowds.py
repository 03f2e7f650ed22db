"""Many connections at once from an attacker's address, for as long as they are let."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from attack.scene import STRANGER

HOST = "127.0.0.1"


@dataclass
class Crowd:
    """What became of many connections."""

    opened: int = 0
    refused: int = 0
    sent_bytes: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    """By status."""

    def __str__(self) -> str:
        told = ", ".join(f"{count} x {status}" for status, count in sorted(self.answers.items()))
        return f"{self.opened} connections, {self.sent_bytes / 1e6:.1f} MB; answers: {told or 'none'}"


Member = Callable[["Crowd", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What one does with its connection; it is closed afterwards."""


def crowd(port: int, size: int, seconds: float, member: Member, *, source: str = STRANGER) -> Crowd:
    """Keep so many connections busy for so many seconds: one that ends is followed by another."""
    seen = Crowd()

    async def one(until: float) -> None:
        while asyncio.get_running_loop().time() < until:
            try:
                reader, writer = await asyncio.open_connection(HOST, port, local_addr=(source, 0))
            except OSError:
                seen.refused += 1
                await asyncio.sleep(0.2)
                continue
            seen.opened += 1
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with asyncio.timeout_at(until):
                    await member(seen, reader, writer)
            writer.close()
            await asyncio.sleep(0.01)

    async def everybody() -> None:
        until = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(*(one(until) for _ in range(size)))

    asyncio.run(everybody())
    return seen


async def answer(seen: Crowd, reader: asyncio.StreamReader) -> int:
    """Read an answer to its end; return its status, 0 if there was none."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    seen.answers[status] += 1
    length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
    await reader.readexactly(int(length.partition(b":")[2]))
    return status


async def send(seen: Crowd, writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send all of it, however slowly it is taken."""
    writer.write(data)
    seen.sent_bytes += len(data)
    await writer.drain()


async def idle(seen: Crowd, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing and wait to be sent away."""
    del seen, writer
    await reader.read()
