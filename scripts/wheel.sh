#!/usr/bin/env bash
# Builds the wheel strangers install: abi3 for CPython 3.11 and later, OpenSSL linked in, so that it needs neither Rust
# nor a compiler nor an OpenSSL of the right version. Prints the wheel's path. Perl and make build OpenSSL.
set -euo pipefail
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=target/wheel # its own, because its features differ from those of the development build
rm -rf build/wheels
# Stripped, it is a sixth as large; a panic still names its file and line.
.venv/bin/maturin build --release --locked --strip --features vendored --out build/wheels
wheels=(build/wheels/soloist-*-cp311-abi3-manylinux_*.whl)
if ((${#wheels[@]} != 1)) || [[ ! -f ${wheels[0]} ]]; then
  printf 'wheel: expected one abi3 wheel for manylinux, found: %s\n' "$(ls build/wheels)" >&2
  exit 1
fi
printf '%s\n' "${wheels[0]}"
