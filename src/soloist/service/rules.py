"""The operator's commands about record rules: checked as the API would, stored, shown.

Spec: API sections 2.5 (one rule per app and location) and 3 (ranges).
"""

import secrets
from dataclasses import dataclass

from soloist.clock import utc_now
from soloist.model.errors import InvalidValueError
from soloist.model.ids import AppId, ProjectId, RuleId, parse_id
from soloist.model.rule import (
    DEFAULT_PREFIX,
    MP4_CYCLE_S,
    MP4_MERGE_GAP_S,
    PREFIX_LENGTH_MAX,
    AudioMode,
    Mp4Config,
    RecordFormat,
    RecordRule,
    StorageAddress,
)
from soloist.service.admin import Office, find_app, new_table
from soloist.service.buckets import name_of
from soloist.storage.bucket import check_bucket_name, check_key
from soloist.wire.keys import check_length, check_prefix

LOCATION_LENGTH_MAX = 64


@dataclass(frozen=True, slots=True)
class RuleChoice:
    """What an operator typed of a rule, unchecked."""

    app_id: str
    location: str
    bucket: str
    folder: str = ""
    cycle_s: int = 3600
    merge_gap_s: int = 300
    prefix: str | None = None
    audio: str = "aac"
    keep_damaged: bool = False


def check_rule(choice: RuleChoice, project_id: ProjectId) -> RecordRule:
    """Return the rule of an operator's choice, under a new id.

    Raises:
        InvalidValueError: an option is outside its range or alphabet; the message names it.
    """
    prefix = DEFAULT_PREFIX if choice.prefix is None else choice.prefix
    if not 1 <= len(prefix) <= PREFIX_LENGTH_MAX:
        raise InvalidValueError(f"--prefix is 1 to {PREFIX_LENGTH_MAX} characters")
    if choice.audio not in list(AudioMode):
        raise InvalidValueError(f"--audio is one of {', '.join(AudioMode)}")
    _check_range("--cycle", choice.cycle_s, MP4_CYCLE_S)
    _check_range("--merge-gap", choice.merge_gap_s, MP4_MERGE_GAP_S)
    folder = choice.folder.removesuffix("/")
    address = StorageAddress(
        location=parse_id(choice.location, "--location", LOCATION_LENGTH_MAX),
        project_id=project_id,
        bucket=check_bucket_name(choice.bucket),
        object=check_key(folder) if folder or choice.folder else "",
    )
    check_length(address.object, check_prefix(prefix, "--prefix"), choice.app_id, "--prefix")
    return RecordRule(
        rule_id=RuleId(secrets.token_hex(12)),
        app_id=AppId(choice.app_id),
        address=address,
        formats=(RecordFormat.MP4,),
        mp4=Mp4Config(choice.cycle_s, prefix, choice.merge_gap_s),
        audio=AudioMode(choice.audio),
        keep_damaged=choice.keep_damaged,
    )


async def rule_created(office: Office, choice: RuleChoice) -> None:
    """Make or replace and print the rule of an app and location."""
    app = await find_app(office, choice.app_id)
    rule = check_rule(choice, app.project_id)
    async with office.accounts() as accounts:
        stored = await accounts.set_rule(rule, utc_now())
        granted = await accounts.grant_rule(rule)
    _print_rules(office, [stored.rule])
    for grant in granted:
        office.out.print(f"Granted to project {app.project_id} besides: {name_of(grant)}.")
    location = stored.rule.address.location
    if location not in office.locations:
        office.out.print(
            f"Location {location} is not in this command's SOLOIST_STORAGE. The server needs it there, "
            "or jobs with this rule are refused (RTC.00001012)."
        )


async def rules_listed(office: Office, app_id: str) -> None:
    """Print the rules of an app."""
    await find_app(office, app_id)
    async with office.accounts() as accounts:
        _print_rules(office, await accounts.rules(AppId(app_id)))


def _print_rules(office: Office, rules: list[RecordRule]) -> None:
    table = new_table("rule", "location", "bucket", "folder", "cycle", "merge gap", "audio", "damaged", "prefix")
    for rule in rules:
        address, mp4 = rule.address, rule.mp4
        cuts = (f"{mp4.record_cycle_s} s", f"{mp4.merge_gap_s} s") if mp4 else ("", "")
        prefix = mp4.prefix if mp4 else ""
        kept = (rule.audio.value, "kept" if rule.keep_damaged else "cut")
        table.add_row(rule.rule_id, address.location, address.bucket, address.object, *cuts, *kept, prefix)
    office.out.print(table)


def _check_range(option: str, value: int, allowed: range) -> None:
    if value not in allowed:
        raise InvalidValueError(f"{option} is {allowed.start} to {allowed.stop - 1} seconds")
