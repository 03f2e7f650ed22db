#!/usr/bin/env bash
# Hold every locked dependency against the advisories there are. Needs the Internet: OSV for Python, RustSec's repository
# for Rust. What could not be asked fails: nothing is called clean that was not looked at.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PWD/build/tools/bin:$PATH"
failed=0
audit() {
    printf 'audit: %s\n' "$*"
    "$@" || { printf 'audit: FAILED or not to be had: %s\n' "$1" >&2; failed=1; }
}
locked=$(mktemp)
trap 'rm -f "$locked"' EXIT
uv export --quiet --locked --all-groups --no-emit-project --format requirements-txt >"$locked"
audit uvx pip-audit --strict --disable-pip --require-hashes --vulnerability-service osv --requirement "$locked"
audit cargo audit --deny warnings
exit $failed
