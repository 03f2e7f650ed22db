"""docs/compatibility.md knows every operation and field of the official SDK, and proves each row by a test there is."""

import inspect
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import huaweicloudsdkcloudrtc.v2 as vendor
import pytest
from huaweicloudsdkcloudrtc.v2 import CloudRTCClient

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
OPERATIONS = [name for name, _ in inspect.getmembers(CloudRTCClient) if hasattr(CloudRTCClient, f"{name}_invoker")]
OFFERED = [name for name in OPERATIONS if "mix_job" not in name]
HEADERS = {"content_type", "authorization", "x_sdk_date", "x_project_id", "x_request_id"}
PATH_IDS = {"app_id", "job_id", "rule_id", "room_id"}
ROW = re.compile(r"^\| (.+?) \| (same|differs|ignored|refused) \|(.*)\|$", re.MULTILINE)


def model(name, suffix):
    return getattr(vendor, "".join(part.capitalize() for part in name.split("_")) + suffix)


def fields(of, prefix=""):
    """Yield the fields of an SDK model: dotted where one holds another; what a list holds stands by itself."""
    for name, kind in of.openapi_types.items():
        listed = re.fullmatch(r"list\[(\w+)\]", kind)
        inner = getattr(vendor, listed[1] if listed else kind, None)
        if name in HEADERS:
            continue
        if not hasattr(inner, "openapi_types"):
            yield prefix + name
        elif listed:
            yield from [prefix + name, *fields(inner)]
        else:
            yield from fields(inner, f"{prefix}{name}.")


def asked(operation):
    for name, kind in model(operation, "Request").openapi_types.items():
        if name == "body":
            yield from fields(getattr(vendor, kind))
        elif name not in HEADERS | PATH_IDS:
            yield name


def rows(side, operation):
    """Return what the first cells of the rows about one side of an operation name."""
    sections = re.findall(rf"^## {side} of (.*)\n((?:(?!## ).*\n?)*)", PAGE, re.MULTILINE)
    text = "".join(body for heading, body in sections if operation in heading.split(", "))
    return {name for cell, _, _ in ROW.findall(text) for name in cell.split(", ")}


@lru_cache(maxsize=1)
def collected():
    """Return every test that pytest collects from the files the page names, as path::name."""
    files = sorted({path for path, _ in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    return {line.partition("[")[0] for line in done.stdout.splitlines() if "::" in line}


def test_the_page_speaks_of_every_operation_of_the_sdk():
    table = re.search(r"^## Operations\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)[1]
    named = {name for cell, _, _ in ROW.findall(table) for name in cell.split(", ")}

    assert len(OPERATIONS) == 28
    assert set(OPERATIONS) <= named


@pytest.mark.parametrize("operation", OFFERED)
def test_every_field_that_the_sdk_sends_or_reads_has_a_row(operation):
    assert set(asked(operation)) - rows("Request", operation) == set()
    assert set(fields(model(operation, "Response"))) - rows("Response", operation) == set()


def test_every_row_names_tests_that_pytest_collects():
    proofs = [(cell, re.findall(r"`(tests/[\w/]+\.py::\w+)`", rest)) for cell, _, rest in ROW.findall(PAGE)]

    assert len(proofs) > 100
    assert [cell for cell, tests in proofs if not tests] == []
    assert {test for _, tests in proofs for test in tests} - collected() == set()


def test_every_line_of_a_table_is_a_row_or_a_head():
    lines = [
        line
        for line in PAGE.splitlines()
        if line.startswith("|") and not re.match(r"\| (operation|field|matter) ", line)
    ]

    assert [line for line in lines if set(line) - set("|-") and not ROW.match(line)] == []
