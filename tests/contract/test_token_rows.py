"""Tokens of one access key are bounded: who asks for ever more of them ends only its own oldest."""

from datetime import timedelta

import pytest
from support.database import connected

from soloist.clock import utc_now
from soloist.jobs import accounts as module
from soloist.jobs.accounts import Accounts, Credential
from soloist.model.ids import ProjectId

pytestmark = pytest.mark.anyio

ACME, OTHER = ProjectId("acme"), ProjectId("other")


async def test_a_key_has_so_many_tokens_and_the_oldest_ends_first(database_url, monkeypatch):
    monkeypatch.setattr(module, "TOKENS_MAX", 3)
    now = utc_now()
    async with connected(database_url) as database:
        accounts = Accounts(database)
        for project in (ACME, OTHER):
            await accounts.create_credential(Credential(f"{project}key", "secret", (project,), project), now)
        await accounts.create_token("operators", ACME)
        await accounts.create_token("others", OTHER, now + timedelta(days=1), access_key="otherkey")
        for number in range(5):
            await accounts.create_token(f"t{number}", ACME, now + timedelta(days=1), access_key="acmekey")

        good = [await accounts.project_of_token(f"t{number}", now) for number in range(5)]
        assert good == [None, None, ACME, ACME, ACME]
        assert await accounts.project_of_token("operators", now) == ACME
        assert await accounts.project_of_token("others", now) == OTHER
