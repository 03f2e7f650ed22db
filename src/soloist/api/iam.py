"""A small facade of the vendor's identity service: which project a key is for, and tokens for a key and its secret.

Our access keys play the users, their secrets the passwords; domain names are not looked at. Tokens are random, stored
as SHA-256, and expire. Failures are throttled with those of signatures. Spec: API sections 9.1, 10.
"""

import hmac
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Literal, Protocol

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from soloist.api.body import parse_object
from soloist.api.errors import ForbiddenError, UnauthorizedError
from soloist.api.fields import Body, PlainText, parse_body, render_time
from soloist.api.gate import read_body
from soloist.api.known import RENEWED_S, Known
from soloist.api.routing import answers, body_of, new_router, project_of
from soloist.api.threshold import limited_source
from soloist.api.throttle import FailureThrottle
from soloist.model.errors import ProjectDisabledError
from soloist.model.ids import ProjectId

TOKEN_LIFETIME = timedelta(hours=24)
"""As the vendor's."""
REGION_PATTERN = "^[A-Za-z0-9_-]{1,64}$"
BODY_BYTES_MAX = 16 * 1024


class TokenKeys(Protocol):
    """Where tokens are kept."""

    async def create_token(
        self, token: str, project_id: ProjectId, expires_at: datetime | None = None, *, access_key: str | None = None
    ) -> None:
        """Keep a token, as long as the access key it was asked for with."""


class NamedBody(Body):
    """A project by id or by name; names are the vendor's regions, and any will do."""

    id: PlainText | None = None
    name: PlainText | None = None


class UserBody(Body):
    """Whose token is asked for: an access key as the name, its secret as the password."""

    name: PlainText = Field(min_length=1, max_length=128)
    password: str = Field(min_length=1, max_length=256)


class PasswordBody(Body):
    """The password method's part."""

    user: UserBody


class IdentityBody(Body):
    """How the caller identifies itself."""

    methods: Annotated[list[Literal["password"]], Field(min_length=1, max_length=1)]
    password: PasswordBody


class ScopeBody(Body):
    """What the token is to be for; without a project, the credential's own."""

    project: NamedBody | None = None


class AuthBody(Body):
    """Identity and scope."""

    identity: IdentityBody
    scope: ScopeBody | None = None


class TokenBody(Body):
    """The body of POST /v3/auth/tokens."""

    auth: AuthBody


class NamedView(BaseModel):
    """A project or user."""

    id: str
    name: str


class ProjectView(NamedView):
    """A project."""

    domain_id: str
    enabled: Literal[True] = True


class ProjectsView(BaseModel):
    """The projects of a name."""

    projects: list[ProjectView]


class TokenFacts(BaseModel):
    """What a token is good for, and until when."""

    methods: list[Literal["password"]]
    issued_at: str
    expires_at: str
    project: NamedView
    user: NamedView


class TokenView(BaseModel):
    """The answer beside the token, which is in the header X-Subject-Token."""

    token: TokenFacts


def iam_routes(keys: TokenKeys, known: Known, throttle: FailureThrottle, clock: Callable[[], datetime]) -> APIRouter:
    """Return the two operations; tokens are made in `keys`, credentials looked up in `known`."""
    router = new_router("iam")

    @router.get("/v3/projects", responses=answers(400))
    async def list_projects(
        request: Request,
        name: Annotated[str | None, Query(pattern=REGION_PATTERN, description="A region id; any will do")] = None,
    ) -> ProjectsView:
        """Show the caller's project, under the name it was asked by: SDK clients built by region ask this."""
        project_id = project_of(request)
        return ProjectsView(projects=[ProjectView(id=project_id, name=name or project_id, domain_id=project_id)])

    @router.post("/v3/auth/tokens", status_code=201, responses=answers(400), openapi_extra=body_of(TokenBody))
    async def create_token(request: Request, response: Response) -> TokenView:
        """Make a token for an access key and its secret; it is in the header X-Subject-Token."""
        asked = parse_body(TokenBody, parse_object(await read_body(request.scope, request.receive, BODY_BYTES_MAX)))
        now = clock()
        user = asked.auth.identity.password.user
        allowed, default = await _identified(user, limited_source(request.scope), now)
        project = asked.auth.scope.project if asked.auth.scope else None
        project_id = ProjectId(project.id) if project and project.id else default
        if project_id not in allowed:
            raise ForbiddenError("auth.scope.project.id names a project that is not the credential's")
        token, expires_at = secrets.token_urlsafe(32), now + TOKEN_LIFETIME
        await keys.create_token(token, project_id, expires_at, access_key=user.name)
        known.add_token(token)
        response.headers["X-Subject-Token"] = token
        facts = TokenFacts(
            methods=["password"],
            issued_at=render_time(now),
            expires_at=render_time(expires_at),
            project=NamedView(id=project_id, name=(project and project.name) or project_id),
            user=NamedView(id=user.name, name=user.name),
        )
        return TokenView(token=facts)

    async def _identified(user: UserBody, source: str, now: datetime) -> tuple[tuple[ProjectId, ...], ProjectId]:
        """Return the projects of a key and its own one; an unknown key takes as long as a wrong secret."""
        is_suspect = throttle.is_suspect(source, now)
        credential = await known.credential(user.name, is_suspect=is_suspect, older_than_s=RENEWED_S)
        secret = credential.secret_key if credential else secrets.token_hex(20)
        is_right = hmac.compare_digest(secret.encode(), user.password.encode())
        if credential is None or not is_right:
            throttle.failed(user.name, source, now)
            raise UnauthorizedError("the name or the password is wrong")
        if not credential.is_enabled:
            raise ProjectDisabledError
        return tuple(credential.project_ids), credential.default_project

    return router
