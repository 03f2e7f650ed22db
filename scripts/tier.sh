#!/usr/bin/env bash
# Runs test tiers by folder name. A skip, an xfail, a deselected test or an empty tier fails the run: nothing is
# silently left out.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
mkdir -p build
total=0
for tier in "$@"; do
  printf '\n=== %s\n' "$tier"
  if [[ $tier == unit ]]; then cargo test --workspace --locked --quiet; fi
  # Unit tests share nothing and run on all cores; the other tiers measure time and want the machine for themselves.
  workers=0
  if [[ $tier == unit ]]; then workers=auto; fi
  python -m pytest "tests/$tier" -n "$workers" --junit-xml "build/$tier.xml" -q --durations=5
  count=$(python scripts/count_tests.py "build/$tier.xml")
  total=$((total + count))
done
printf '\n%s passed, 0 failed\n' "$total"
