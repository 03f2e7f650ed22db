# One verb each; `make` alone lists them. CI calls `make test` and nothing else.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: bench-transcode help setup demo serve check unit contract e2e faults fidelity attack crash interop bench soak fuzz audit wheel screenshot test

VENV := .venv/bin
PYTEST := $(VENV)/python -W error::pytest.PytestWarning -m pytest

help: ## List the verbs
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what is missing: uv, Debian packages, Chromium, and build the native module
	@scripts/setup.sh tests

demo: ## Record ten seconds of a test participant through the REST API and print what is in the file
	@scripts/setup.sh base
	@$(VENV)/python demo/demo.py

serve: ## Start the service in development mode on http://127.0.0.1:8080
	@scripts/setup.sh base
	@$(VENV)/soloist serve --dev

check: ## Format, lint, strict types, import contracts, stub check, clippy
	@scripts/setup.sh tests
	@scripts/check.sh

audit: ## Hold locked dependencies against known advisories (OSV, RustSec); needs the Internet, fails without it
	@scripts/setup.sh base
	@scripts/audit.sh

unit: ## Unit tests of both languages
	@scripts/setup.sh tests
	@scripts/tier.sh unit

contract: ## The official SDK, signing for real, against a running service
	@scripts/setup.sh tests
	@scripts/tier.sh contract

e2e: ## Real Chromium publishing to a real service; asserts on the recorded files
	@scripts/setup.sh tests
	@scripts/tier.sh e2e

interop: ## Every publisher, from browsers to encoders, against a real service; prints the table of them
	@scripts/setup.sh interop
	@scripts/tier.sh interop

fidelity: ## Every codec, network, mute and crash: what was sent is in the files, in sync, and what is missing is declared
	@scripts/setup.sh fidelity
	@PYTHONPATH=tests:. $(VENV)/python -m fidelity $(OPTIONS)

attack: ## What strangers, tenants and overload may try, each at full rate beside a victim; prints what it cost whom
	@scripts/setup.sh fidelity
	@PYTHONPATH=tests:.:benchmarks $(VENV)/python -m attack $(OPTIONS)

bench: ## CPU, memory and frames kept beside a pion receiver and aiortc, at 1, 10 and 50 streams; 11 minutes
	@scripts/setup.sh bench
	@PYTHONPATH=tests:benchmarks $(VENV)/python benchmarks/bench.py $(OPTIONS)

soak: ## Half an hour of twenty streams, looking at memory (OPTIONS="--minutes 5" for less)
	@scripts/setup.sh bench
	@PYTHONPATH=tests:benchmarks $(VENV)/python benchmarks/soak.py $(OPTIONS)

bench-transcode: ## CPU of making H.264 of VP8 beside keeping it, and of sound alone; two minutes
	@scripts/setup.sh base
	@PYTHONPATH=tests $(VENV)/python benchmarks/transcode.py $(OPTIONS)

faults: ## Full disks, killed processes, an absent database, garbage: what operations.md promises, on real parts
	@scripts/setup.sh tests
	@scripts/tier.sh faults

crash: ## kill -9 at 100 random instants (N=10 for fewer) and a table of what each cost
	@scripts/setup.sh tests
	@$(VENV)/python scripts/crash.py $(or $(N),100)

fuzz: ## Ten million mutated inputs into every parser of both languages; resumable, about half an hour
	@scripts/setup.sh tests
	@scripts/fuzz.sh

wheel: ## Build the wheel strangers install, OpenSSL linked in, into build/wheels, and record with it; six minutes once
	@scripts/setup.sh tests
	@scripts/wheel.sh
	@scripts/tier.sh wheel

screenshot: ## Photograph the console with a live job and a played-back recording: docs/console.png
	@scripts/setup.sh tests
	@$(VENV)/python scripts/screenshot.py

test: ## check, unit, contract, e2e, faults and a short fuzz; a skip, an xfail or an empty tier fails it
	@scripts/setup.sh tests
	@scripts/check.sh
	@scripts/tier.sh unit contract e2e faults fuzz
