"""What the documents say of the API is what the code does: codes and fields."""

import re
from pathlib import Path

import pytest

from soloist.api.app_schema import AppBody, AutoRecordBody
from soloist.api.errors import FAULTS
from soloist.api.fields import ErrorView
from soloist.api.rule_schema import HlsConfigBody, Mp4ConfigBody, ObsAddress, RuleBody
from soloist.api.schema import JobView, StartBody, UpdateBody

ROOT = Path(__file__).parents[3]
ERRORS, API, COMPATIBILITY = (
    (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("errors", "api", "compatibility")
)


@pytest.mark.parametrize(
    "fault", sorted(set(FAULTS.values()), key=str), ids=lambda fault: f"{fault.status}-{fault.code}"
)
def test_every_error_is_in_the_table_with_status_code_and_text(fault):
    assert f"| {fault.status} | {fault.code} | {fault.text} |" in ERRORS


def test_the_table_has_no_error_that_is_never_sent():
    listed = set(re.findall(r"^\| (\d{3}) \| ((?:RTC|APIGW)\.\d+) \|", ERRORS, re.MULTILINE))

    assert listed == {(str(fault.status), fault.code) for fault in FAULTS.values()}


DESCRIBED = (
    StartBody,
    UpdateBody,
    JobView,
    RuleBody,
    ObsAddress,
    Mp4ConfigBody,
    HlsConfigBody,
    AppBody,
    AutoRecordBody,
)


@pytest.mark.parametrize("field", sorted({field for model in DESCRIBED for field in model.model_fields}))
def test_every_field_is_described_and_compared(field):
    assert f"`{field}`" in API
    assert field in COMPATIBILITY


@pytest.mark.parametrize("field", sorted(ErrorView.model_fields))
def test_every_error_field_is_described(field):
    assert field in ERRORS
