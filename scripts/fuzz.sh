#!/usr/bin/env bash
# Long fuzzing of both languages: about ten million inputs, half an hour on two quiet cores. Goes on where an interrupted
# run stopped; `rm -r build/fuzz` begins anew, SOLOIST_FUZZ_SEED=n takes other inputs. Ends with the table of counts.
set -euo pipefail
cd "$(dirname "$0")/.."
export SOLOIST_FUZZ=long SOLOIST_FUZZ_SEED=${SOLOIST_FUZZ_SEED:-1}
ulimit -v 12000000 # a leak ends the run, not the machine
printf 'fuzz: the media core, with overflow checks and debug assertions on\n'
CARGO_TARGET_DIR=target/fuzz CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true \
  cargo test --release --locked --quiet -p soloist-core --test fuzz -- --test-threads 1
printf 'fuzz: the Python side\n'
.venv/bin/python -m pytest tests/fuzz -q
.venv/bin/python scripts/fuzz_report.py
