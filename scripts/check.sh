#!/usr/bin/env bash
# Everything that reads the code without running the product. Stops at the first finding.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
run() { printf 'check: %s\n' "$*"; "$@"; }
run ruff format --check .
run ruff check .
run mypy
run lint-imports --no-cache
run python -m mypy.stubtest soloist._core --ignore-missing-stub
run python scripts/check_structure.py
run cargo fmt --all --check
run cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
# Said plainly, because nothing above looks at it: known faults of dependencies are read from services on the internet.
echo "check: known faults of dependencies are not looked for here; make audit does, where their databases can be reached"
