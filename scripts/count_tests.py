"""Print how many tests of a JUnit file passed; fail if there are none or any did not run to its end."""

import sys
from xml.etree import ElementTree


def main(path: str) -> None:
    """Read `path` and judge it."""
    suites = list(ElementTree.parse(path).getroot().iter("testsuite"))  # noqa: S314 - written by our own pytest
    counts = {name: sum(int(suite.get(name, "0")) for suite in suites) for name in ("tests", "skipped")}
    bad = sum(int(suite.get(name, "0")) for suite in suites for name in ("failures", "errors"))
    if counts["tests"] == 0 or counts["skipped"] or bad:
        sys.exit(f"{path}: {counts['tests']} tests, {counts['skipped']} skipped or xfailed, {bad} failed")
    print(counts["tests"])


if __name__ == "__main__":
    main(sys.argv[1])
