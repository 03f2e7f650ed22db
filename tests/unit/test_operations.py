"""What `docs/operations.md` promises is tested, and the clock can be set while media is recorded."""

import re
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text().partition("## Media")[2].partition("## What is left")[0]
METRICS = (ROOT / "docs" / "metrics.md").read_text()
WHIP_MUSTS = (ROOT / "docs" / "whip.md").read_text().partition("MUST by MUST")[2]

WALL_CLOCK_READERS = {
    "src/soloist/clock.py": "times of commands and events",
    "src/soloist/sources/receiver.py": "once, for the offset of the steady clock",
    "crates/py/src/lib.rs": "once, for the offset of the steady clock",
    "crates/py/src/run_loop/udp.rs": "beside the kernel's own time of arrival, for the time between the two",
}
"""Every file that reads the wall clock, and what for."""


def promises(page: str) -> list[list[str]]:
    """Return the cells of every row of every table."""
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0].strip() not in ("what", "section") and set(row[0]) != {"-"}]


@lru_cache(maxsize=1)
def names_of_tests() -> set[str]:
    """Return the name of every test function in both languages."""
    python = (path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    rust = (path.read_text() for path in (ROOT / "crates").rglob("*.rs"))
    found = {name for text in python for name in re.findall(r"def (test_\w+)\(", text)}
    return found | {name for text in rust for name in re.findall(r"#\[test\]\s+fn (\w+)\(", text)}


@pytest.mark.parametrize("promise", [*promises(OPERATIONS), *promises(WHIP_MUSTS)], ids=lambda row: row[1].strip()[:60])
def test_each_promise_to_operators_and_publishers_names_tests_that_exist(promise: list[str]) -> None:
    named = re.findall(r"`(\w+)`", promise[2])
    assert named
    assert set(named) <= names_of_tests()


@pytest.mark.parametrize(
    "threat", [row for row in promises(SECURITY) if row[-1].strip() != "test"], ids=lambda row: row[0].strip()[:60]
)
def test_each_threat_names_tests_and_metrics_that_exist(threat: list[str]) -> None:
    named = re.findall(r"`(\w+)`", threat[-1])
    assert named
    assert set(named) <= names_of_tests()
    shown = {name.partition("{")[0] for name in re.findall(r"`(soloist_[\w{}=\"]+)`", " ".join(threat))}
    assert {name for name in shown if f"`{name}`" not in METRICS} == set()


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))], ids=lambda page: page.name)
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    assert set(re.findall(r"`(test_\w+)`", page.read_text())) <= names_of_tests()


def test_a_step_of_the_wall_clock_cannot_reach_media() -> None:
    reads = re.compile(r"\btime\.time(_ns)?\(\)|datetime\.now\(|SystemTime::now\(")
    files = [*(ROOT / "src" / "soloist").rglob("*.py"), *(ROOT / "crates").glob("*/src/**/*.rs")]
    readers = {str(path.relative_to(ROOT)) for path in files if reads.search(path.read_text())}
    assert readers == set(WALL_CLOCK_READERS)


def test_every_decision_has_a_number_of_its_own_and_is_listed():
    folder = ROOT / "docs" / "adr"
    listed = re.findall(r"^(\d+)\. \[(.+)\]\((.+)\)$", (folder / "README.md").read_text(), re.MULTILINE)
    titles = {path.name: path.read_text().splitlines()[0] for path in folder.glob("[0-9]*.md")}

    assert [int(number) for number, _, _ in listed] == sorted({int(file[:4]) for file in titles})
    assert len(listed) == len(titles)
    assert {file for _, _, file in listed} == set(titles)
    for number, title, file in listed:
        assert file.startswith(f"{int(number):04}-")
        assert re.fullmatch(rf"# 0*{number}[.:] {re.escape(title)}", titles[file])
