# `make up` brings up the book's first cluster; `make help` lists the rest.

SCENARIO ?= guest-walkthrough
BIN := .venv/bin
STAGES := lint types unit real
# How many tests run at once. Real ones mostly wait for clusters, not for a processor.
WORKERS ?= 2
# Which benchmarks, and options of theirs: BENCH="walkthrough --rounds 3"; none: the usual ones.
BENCH ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:

.PHONY: up
up: setup  ## bring up SCENARIO (guest-walkthrough unless said otherwise)
	$(BIN)/lab up $(SCENARIO)

# Always asked, since only the script can tell; where all is there it ends at once.
.PHONY: setup
setup:  ## install the system packages and make .venv
	@./setup.sh

.PHONY: setup-vagrant
setup-vagrant:  ## setup, and what virtual machines need: Vagrant, libvirt, QEMU
	@./setup.sh vagrant

.PHONY: test
test: setup-vagrant  ## all of the below, one after the other, each with the time it took
	@for stage in $(STAGES); do \
	    echo "== $$stage"; start=$$(date +%s); \
	    $(MAKE) --no-print-directory run-$$stage || { echo "== $$stage failed" >&2; exit 1; }; \
	    echo "== $$stage: $$(($$(date +%s) - start)) s"; \
	done

.PHONY: lint
lint: setup run-lint  ## style and likely mistakes (ruff)

.PHONY: types
types: setup run-types  ## types (mypy, strict)

.PHONY: unit
unit: setup run-unit  ## tests that need neither root nor a cluster

.PHONY: real
real: setup-vagrant run-real  ## tests on real clusters; as root

.PHONY: test-vagrant
test-vagrant: setup-vagrant run-vagrant  ## chapters on virtual machines: two hours without KVM

.PHONY: nightly
nightly: setup run-nightly  ## tests that take too long for every change; then every scenario
	$(BIN)/lab matrix

.PHONY: bench
bench: setup  ## how long things take, beside the plain way (BENCH=--help lists all)
	$(BIN)/python -m bench $(BENCH)

.PHONY: run-lint run-types run-unit run-real run-nightly run-vagrant
run-lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

run-types:
	$(BIN)/mypy

run-unit:
	$(BIN)/pytest -n $(WORKERS)

run-vagrant:  # one after the other: their machines take all that there is
	$(BIN)/pytest -m vagrant --durations 0 --durations-min 5 tests/real

run-real run-nightly:
	$(BIN)/pytest -m $(@:run-%=%) -n $(WORKERS) --dist loadscope --no-loadscope-reorder --durations 0 \
	    --durations-min 5 tests/real

.PHONY: clean
clean:  ## remove .venv and what tools left; built images and labs stay
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
