.DEFAULT_GOAL := help
EXHIBIT ?= bfa_snn
python = $(shell ./setup.sh --dev)
version = $(shell "$(python)" -c 'import sys; print("%d.%d" % sys.version_info[:2])')

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## an environment with everything that exhibits and tests need
	@./setup.sh --dev >/dev/null

test: setup ## the quick tests
	@"$(python)" -m pytest

test-all: setup ## the quick tests and the slow ones
	@"$(python)" -m pytest -m ''

test-browser: setup ## the live exhibits in Chromium, which has to be on this machine
	@"$(python)" -c 'import playwright' 2>/dev/null || "$(python)" -m pip install --quiet $(if $(UNLOCKED),,$(addprefix -c ,$(wildcard locks/$(version).txt))) playwright
	@"$(python)" -m pytest tests/browser -n 0

lint: setup ## style and types of the code
	@"$(python)" -m ruff check .
	@"$(python)" -m ruff format --check .
	@"$(python)" -m pyright --pythonpath "$(python)"

docs: ## the documentation site, in docs/_build/html; executes its notebooks (minutes)
	@site=$$(./setup.sh --docs) && "$$site" -m sphinx -M html docs docs/_build -W --keep-going -q

bench: setup ## how fast training is, beside what a user would run instead (half an hour; let nothing else run)
	@"$(python)" benchmarks/bench_bfasnn.py
	@"$(python)" benchmarks/bench_glsnn.py
	@"$(python)" benchmarks/bench_growth.py
	@"$(python)" benchmarks/bench_checkpoints.py
	@"$(python)" benchmarks/bench_accuracy.py
	@"$(python)" benchmarks/readme.py

bench-peers: setup ## the same network in snnTorch and SpikingJelly, in an environment of their own (gigabytes)
	@[ -x .venv-peers/bin/python ] || "$(python)" -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet -r benchmarks/peers.txt
	@"$(python)" data/prepare.py mnist
	@.venv-peers/bin/python benchmarks/bench_peers.py
	@.venv-peers/bin/python benchmarks/bench_accuracy.py --limit 300
	@"$(python)" benchmarks/readme.py

faults: setup ## tries what a training run survives: kills, full disks, damaged files (half an hour)
	@"$(python)" tests/faults.py

fuzz: setup ## throws damaged and made-up files at everything that loads one (an hour)
	@"$(python)" tests/fuzz.py

doctor: setup ## versions, hardware, data, a self-test of every exhibit: what to paste into a bug report
	@"$(python)" exhibits/common/scripts/doctor.py

locks: setup ## notes the versions that are installed, for everyone's setup: after UNLOCKED=1 make setup, and the tests
	@{ echo "# Tested with Python $(version); setup.sh installs these versions, \`make locks\` notes them."; \
	   "$(python)" -m pip freeze --exclude-editable; } >locks/new.tmp && mv locks/new.tmp "locks/$(version).txt"

results: setup ## trains an EXHIBIT for every row of its results table (hours): make results EXHIBIT=bfa_snn
	@[ -f "exhibits/$(EXHIBIT)/results.py" ] || { echo "error: EXHIBIT=$(EXHIBIT): no exhibit, or it has no results.py" >&2; exit 2; }
	@"$(python)" "exhibits/$(EXHIBIT)/results.py"

.PHONY: help setup test test-all test-browser lint docs bench bench-peers faults fuzz doctor locks results
