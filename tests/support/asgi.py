"""Calls an ASGI application in this task, without a socket: for tests of the edge that need no network."""

import json
from dataclasses import dataclass

import anyio


@dataclass(frozen=True)
class Answer:
    """What the application sent."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def json(self):
        return json.loads(self.body)

    def header(self, name):
        found = [value.decode() for key, value in self.headers if bytes(key).lower() == name.lower().encode()]
        return found[0] if found else None


async def call(app, method, target, *, headers=(), body=b"", client=("192.0.2.1", 1), hangs_up=False, stalls=False):
    """Send one request; `target` goes as raw bytes, the way an HTTP server hands it over."""
    path, _, query = target.partition("?")
    scope = _scope(method, path, query, headers=[*headers], client=client)
    sent, pending = [], [{"type": "http.request", "body": body, "more_body": hangs_up or stalls}]

    async def receive():
        if not pending and stalls:
            await anyio.sleep_forever()
        return pending.pop() if pending else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    start = sent[0]
    return Answer(start["status"], list(start["headers"]), b"".join(part.get("body", b"") for part in sent[1:]))


def _scope(method, path, query, *, headers, client):
    from urllib.parse import unquote  # noqa: PLC0415 - beside its only use

    named = [(name.lower().encode(), value.encode()) for name, value in headers]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": named,
        "client": client,
        "server": ("127.0.0.1", 80),
        "state": {},
    }
