"""Every access key, token and app there is, by name: what a flood of invented ones is held against.

Tokens are listed by digest. One read, tens of milliseconds for a hundred thousand names.
"""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from soloist.jobs import schema

KEY, TOKEN, APP = "key", "token", "app"


def name_of(kind: str, text: str) -> str:
    """Return what a key, a token's digest or an app is listed as."""
    return f"{kind} {text}"


async def list_names(connection: AsyncConnection) -> frozenset[str]:
    """Return the `name_of` everything that exists at this moment."""
    columns = {KEY: schema.credentials.c.access_key, TOKEN: schema.tokens.c.token_sha256, APP: schema.apps.c.app_id}
    names: set[str] = set()
    for kind, column in columns.items():
        names.update(name_of(kind, text) for text in await connection.scalars(select(column)))
    return frozenset(names)
