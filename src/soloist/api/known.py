"""Who is known, remembered for a second: look-ups of keys, tokens and apps that floods of requests cannot multiply.

What the database answered is good for `FRESH_S`, which is also how long a revoked credential can still pass. Unknown
names are not remembered, so that what was just made works at once; only for a source that was refused too often they
are held against the list of all that exist, which is read at most once in `FRESH_S` whoever asks. So a flood of
invented keys costs the database one question a second, and the owner of a real key behind the same address passes.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from datetime import datetime
from typing import Any, Protocol

from soloist.jobs.accounts import token_digest
from soloist.jobs.known_names import APP, KEY, TOKEN, name_of
from soloist.model.errors import ProjectDisabledError, TokenExpiredError
from soloist.model.ids import AppId, ProjectId

FRESH_S = 1.0
RENEWED_S = 0.2
"""How old an answer must be before a signature that does not fit it has it looked up anew: the secret was replaced."""
REMEMBERED_MAX = 10_000
LIST = "names"
"""What the list of names is remembered as."""


class Accounts(Protocol):
    """Where names are looked up, a question to the database each."""

    async def credential(self, access_key: str) -> Any:
        """Return what belongs to an access key; None if it is unknown."""

    async def project_of_token(self, token: str, now: datetime) -> ProjectId | None:
        """Return the project of a token; None if it is unknown. Raises TokenExpiredError."""

    async def app_anywhere(self, app_id: AppId) -> Any:
        """Return an app; None if there is none."""

    async def known_names(self) -> Collection[str]:
        """Return the `name_of` every key, token and app there is."""


class Known:
    """Answers like `Accounts`, from memory where that is fresh; see the module."""

    def __init__(
        self,
        accounts: Accounts,
        *,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._accounts = accounts
        self._seconds = seconds
        self._answers: OrderedDict[str, tuple[float, asyncio.Task[Any]]] = OrderedDict()
        self._made: OrderedDict[str, None] = OrderedDict()
        """Names this process has made of late."""

    async def credential(self, access_key: str, *, is_suspect: bool = False, older_than_s: float = FRESH_S) -> Any:
        """Return what belongs to an access key, as it was at most `older_than_s` ago; None if it is unknown."""
        name = name_of(KEY, access_key)
        return await self._ask(name, lambda: self._accounts.credential(access_key), older_than_s, is_suspect=is_suspect)

    async def project_of_token(self, token: str, now: datetime, *, is_suspect: bool = False) -> ProjectId | None:
        """Return the project of a token; None if it is unknown.

        Raises:
            TokenExpiredError: it was good until lately.
            ProjectDisabledError: its project is disabled.
        """
        name = name_of(TOKEN, token_digest(token))
        answer: ProjectId | type[Exception] | None = await self._ask(
            name, lambda: self._project_or_fault(token, now), FRESH_S, is_suspect=is_suspect
        )
        if isinstance(answer, type):
            raise answer
        return answer

    async def app_anywhere(self, app_id: AppId, *, is_suspect: bool = False) -> Any:
        """Return an app; None if there is none."""
        name = name_of(APP, app_id)
        return await self._ask(name, lambda: self._accounts.app_anywhere(app_id), FRESH_S, is_suspect=is_suspect)

    async def _project_or_fault(self, token: str, now: datetime) -> ProjectId | type[Exception] | None:
        """Return the fault of a token that exists as an answer, because it is worth remembering as well."""
        try:
            return await self._accounts.project_of_token(token, now)
        except (TokenExpiredError, ProjectDisabledError) as error:
            return type(error)

    async def _ask(
        self, name: str, look_up: Callable[[], Awaitable[Any]], older_than_s: float, *, is_suspect: bool
    ) -> Any:
        """Return the fresh answer, or look it up; those who ask for the same at once share one look-up."""
        found = self._fresh(name, older_than_s)
        if found is None:
            if is_suspect and name not in self._made and name not in await self._all_names():
                return None
            found = self._look_up(name, look_up)
        try:
            answer = await asyncio.shield(found)
        except Exception:
            self._forget(name, found)
            raise
        if answer is None:
            self._forget(name, found)
        return answer

    def add_token(self, token: str) -> None:
        """Take a token that was just made for one that exists, though the list of names may be older."""
        self._made[name_of(TOKEN, token_digest(token))] = None
        while len(self._made) > REMEMBERED_MAX:
            self._made.popitem(last=False)

    async def _all_names(self) -> Collection[str]:
        names: Collection[str] = await self._ask(LIST, self._accounts.known_names, FRESH_S, is_suspect=False)
        return names

    def _fresh(self, name: str, older_than_s: float) -> "asyncio.Task[Any] | None":
        asked_at, answer = self._answers.get(name, (0.0, None))
        if answer is None or (answer.done() and self._seconds() - asked_at >= older_than_s):
            return None
        return answer

    def _look_up(self, name: str, look_up: Callable[[], Awaitable[Any]]) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.ensure_future(_await(look_up()))
        task.add_done_callback(_note_fault)
        self._answers[name] = (self._seconds(), task)
        self._answers.move_to_end(name)
        while len(self._answers) > REMEMBERED_MAX:
            self._answers.popitem(last=False)
        return task

    def _forget(self, name: str, answer: "asyncio.Task[Any]") -> None:
        if self._answers.get(name, (0.0, None))[1] is answer:
            del self._answers[name]


def _note_fault(task: "asyncio.Task[Any]") -> None:
    """Take a fault off the task even if whoever asked has hung up; the loop would complain of it otherwise."""
    if not task.cancelled():
        task.exception()


async def _await(answer: Awaitable[Any]) -> Any:
    return await answer
