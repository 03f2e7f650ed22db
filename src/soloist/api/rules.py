"""Operations 6 to 10: create or replace, list, show, update and delete a record rule.

Spec: API sections 2.5, 3.
"""

import secrets
from typing import Protocol

from fastapi import APIRouter, Request, Response

from soloist.api.body import parse_object
from soloist.api.routing import AppPath, PageNumber, PageSize, RulePath, answers, body_of, new_router, project_of
from soloist.api.rule_schema import RuleBody, RulesView, RuleView, parse_rule, view_rule
from soloist.jobs.accounts import StoredRule
from soloist.model.ids import AppId, ProjectId, RuleId
from soloist.model.rule import RecordRule

COLLECTION = "/v2/apps/{app_id}/record-rules"
ITEM = COLLECTION + "/{rule_id}"


class RuleCommands(Protocol):
    """What the edge asks about record rules; every call is within one project."""

    async def save(self, project_id: ProjectId, rule: RecordRule) -> tuple[StoredRule, bool]:
        """Store a rule for its location, in place of the one there; return it and whether it is new."""

    async def list_rules(self, project_id: ProjectId, app_id: AppId, *, offset: int, limit: int) -> list[StoredRule]:
        """Return some of an app's rules."""

    async def show(self, project_id: ProjectId, app_id: AppId, rule_id: RuleId) -> StoredRule:
        """Return a rule."""

    async def replace(self, project_id: ProjectId, rule: RecordRule) -> StoredRule:
        """Store a rule in place of the one of its id."""

    async def delete(self, project_id: ProjectId, app_id: AppId, rule_id: RuleId) -> None:
        """Delete a rule that is not in use."""


def rule_routes(rules: RuleCommands) -> APIRouter:
    """Return the five operations over `rules`."""
    router = new_router("record-rules")

    @router.post(
        COLLECTION,
        response_model_exclude_none=True,
        responses=answers(400, 404) | {201: {"model": RuleView, "description": "The rule is new"}},
        openapi_extra=body_of(RuleBody),
    )
    async def create_record_rule(app_id: AppPath, request: Request, response: Response) -> RuleView:
        """Make the app's rule for a location (201), or replace the one it has there (200)."""
        rule_id = RuleId(secrets.token_hex(12))
        rule = parse_rule(AppId(app_id), rule_id, parse_object(await request.body()))
        stored, is_new = await rules.save(project_of(request), rule)
        response.status_code = 201 if is_new else 200
        return view_rule(stored)

    @router.get(COLLECTION, response_model_exclude_none=True, responses=answers(400, 404))
    async def list_record_rules(
        app_id: AppPath, request: Request, offset: PageNumber = 0, limit: PageSize = 100
    ) -> RulesView:
        """List the app's rules by location, a page at a time."""
        found = await rules.list_rules(project_of(request), AppId(app_id), offset=offset * limit, limit=limit)
        return RulesView(rules=[view_rule(stored) for stored in found])

    @router.get(ITEM, response_model_exclude_none=True, responses=answers(404))
    async def show_record_rule(app_id: AppPath, rule_id: RulePath, request: Request) -> RuleView:
        """Show a rule."""
        return view_rule(await rules.show(project_of(request), AppId(app_id), RuleId(rule_id)))

    @router.put(ITEM, response_model_exclude_none=True, responses=answers(400, 404), openapi_extra=body_of(RuleBody))
    async def update_record_rule(app_id: AppPath, rule_id: RulePath, request: Request) -> RuleView:
        """Replace a rule; jobs that run keep the one they started with."""
        rule = parse_rule(AppId(app_id), RuleId(rule_id), parse_object(await request.body()))
        return view_rule(await rules.replace(project_of(request), rule))

    @router.delete(ITEM, status_code=204, responses=answers(400, 404))
    async def delete_record_rule(app_id: AppPath, rule_id: RulePath, request: Request) -> None:
        """Delete a rule that neither a live job nor automatic recording uses."""
        await rules.delete(project_of(request), AppId(app_id), RuleId(rule_id))

    return router
