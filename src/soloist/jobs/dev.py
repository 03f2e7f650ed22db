"""The account of development mode: fixed, public credentials, so only a service on loopback may have it.

Spec: design section 7.
"""

import secrets
from collections.abc import Iterable
from datetime import datetime

from soloist.jobs.accounts import VIDEO_CODECS, Accounts, App, Credential
from soloist.model.ids import AppId, ProjectId, RuleId
from soloist.model.rule import HlsConfig, Mp4Config, RecordFormat, RecordRule, StorageAddress
from soloist.wire.granted import EVERY_BUCKET, Grant

PROJECT = ProjectId("dev")
APP = AppId("demo")
RULE = RuleId("demo")
LOCATION, BUCKET = "cn-north-4", "recordings"


async def seed_dev_account(accounts: Accounts, now: datetime, locations: Iterable[str] = ()) -> None:
    """Make sure project, credential, token, app and rule of development mode exist; an edited app stays as it is.

    The project is granted every bucket of these `locations`, and its rule's by name.
    """
    await accounts.create_credential(Credential("devkey", "devsecret", (PROJECT,), PROJECT), now)
    await accounts.create_token("devtoken", PROJECT)
    await accounts.create_app(App(APP, PROJECT, "demo", True, secrets.token_hex(32), VIDEO_CODECS, now))  # noqa: FBT003 - a row
    buckets = [Grant(location, EVERY_BUCKET) for location in locations]
    await accounts.grant(PROJECT, [*buckets, Grant(LOCATION, BUCKET)])
    if await accounts.rule(APP, RULE) is None:
        await accounts.save_rule(_demo_rule(), now)


def _demo_rule() -> RecordRule:
    return RecordRule(
        rule_id=RULE,
        app_id=APP,
        address=StorageAddress(location=LOCATION, project_id=PROJECT, bucket=BUCKET),
        formats=(RecordFormat.MP4,),
        mp4=Mp4Config(record_cycle_s=3600, merge_gap_s=300),
        hls=HlsConfig(record_cycle_s=0, merge_gap_s=-1),
    )
