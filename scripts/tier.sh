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
  # Faults mostly wait for what they broke: two files at a time, each with services of its own.
  workers=0
  if [[ $tier == unit ]]; then workers=auto; fi
  if [[ $tier == faults ]]; then workers=2; fi
  python -m pytest "tests/$tier" -n "$workers" --dist loadfile --junit-xml "build/$tier.xml" -q --durations=5
  count=$(python scripts/count_tests.py "build/$tier.xml")
  total=$((total + count))
done
printf '\n%s passed, 0 failed\n' "$total"
