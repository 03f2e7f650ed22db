"""Dismissing rooms and removing users where the room's recorder does not do as it is asked."""

from dataclasses import replace

import pytest
from support.asgi import call
from support.book import AccountBook, commands

from soloist.api.app import create_app

pytestmark = pytest.mark.anyio


class OneApp:
    """Knows an app of every id."""

    async def show(self, project_id, app_id):
        return app_id


async def test_a_recorder_that_is_away_is_504(tmp_path):
    accounts = AccountBook()
    known = replace(commands(accounts), apps=OneApp())
    app = create_app(commands=known, accounts=accounts, recorders={"slot": tmp_path / "no.sock"})

    async with app.router.lifespan_context(app):
        answer = await call(app, "POST", "/v2/apps/demo/rooms/room/dismiss", headers=[("X-Auth-Token", "devtoken")])

    assert (answer.status, answer.json()["error_code"]) == (504, "APIGW.0201")
