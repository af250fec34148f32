# `make demo` and `make test` each set up all that they need: Python packages in .venv and, for root, a Docker Engine.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# What the demo needs, and beside that the developers' tools. Scripts in an environment name its path, so that of a copied
# checkout is made again.
VENV := .venv/made-in$(subst /,-,$(CURDIR))
TOOLS := .venv/tools-in$(subst /,-,$(CURDIR))
comma := ,
install = .venv/bin/python -m pip install -q -e '.[$(1)]'

# The output of a command only if it fails.
quietly = out=$$($(1) 2>&1) || { echo "$$out" >&2; exit 1; }
apt_get = DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=120

# Several processes share these tests, one more than there are cores, for many tests wait. What they compile is kept:
# else each of them, and each process that a test starts, compiles all of it again.
unexport PYTHONDONTWRITEBYTECODE
run_shared = .venv/bin/python -m pytest -n $$(($$(nproc) + 1)) --dist worksteal
# Federations wait most of their time; those of one file share what it has set up.
run_two = .venv/bin/python -m pytest -n 2 --dist loadfile
run_most_tests = FLCORE_TRY=more $(run_shared) tests/unit tests/lives tests/processes

.PHONY: help demo test test-compat test-deploy test-engines test-libraries test-lowest test-quota test-web docs check unit bench faults sweep fuzz ways-out engine-stop clean release

help: ## list these targets
	@sed -nE 's/^([a-z-]+):[^#]*## /make \1\t/p' Makefile | expand -t 18

demo: $(VENV) ## run a federated job on a server and two sites: in Docker containers, or as processes where that cannot be
	@if host=$$(.ci/engine start "so the demo's jobs run as processes, not in containers"); then \
		export DOCKER_HOST=$$host; \
		.venv/bin/python configs/docker/prepare.py; \
		kind=docker; \
	else \
		kind=process; \
	fi; \
	sites=$$(printf -- "--site configs/$$kind/%s.json " server site-1 site-2); \
	.venv/bin/flcore run configs/jobs/digits $$sites; \
	job=$$(.venv/bin/flcore ps --site configs/$$kind/server.json --last 1 --json | sed -nE '1s/.*"job_id": "([^"]+)".*/\1/p'); \
	printf '%s\n' "" "to try next:" "  .venv/bin/flcore ps --all" "  .venv/bin/flcore logs site-1/$$job" \
		"  .venv/bin/flcore inspect site-1/$$job"; \
	printf '%s\n' "" "README.md has a job of your own$${host:+; this engine is at DOCKER_HOST=$$host}"

test: check ## check the code and run all tests; without a Docker Engine, those that need none
	@if host=$$(.ci/engine start); then \
		export DOCKER_HOST=$$host; \
		.venv/bin/python configs/docker/prepare.py; \
		$(run_most_tests) --cov --cov-report= --cov-fail-under=0; \
		exec .venv/bin/python -m pytest tests/packaging tests/integration --cov --cov-append; \
	else \
		$(run_most_tests); \
		.venv/bin/python -m pytest tests/packaging; \
		echo "NOT RUN: tests/integration and the check of coverage, for want of a Docker Engine (see above)"; \
		[[ $${CI:-} != true ]]; \
	fi

test-compat: $(TOOLS) ## run jobs in real NVIDIA FLARE federations: of its newest 2.9, or NVFLARE="2.6.2 release pre-release", or =all
	@flares=$$(.venv/bin/python -m tests.compat.environments); \
	while read -ru 3 version python; do \
		$$python -m pytest -o filterwarnings=default tests/compat/adapter; \
		DOCKER_HOST=$$(.ci/engine start) NVFLARE=$$version $(run_two) tests/compat $(COMPAT); \
	done 3<<< "$$flares"

test-libraries: $(TOOLS) ## run jobs of libraries that keep something at home: matplotlib, huggingface_hub
	@export DOCKER_HOST=$$(.ci/engine start); \
	.venv/bin/python configs/docker/prepare.py; \
	exec .venv/bin/python -m pytest -m libraries tests/integration/test_libraries.py

test-lowest: $(TOOLS) ## test what asks the engine, by ssh too, fires events or makes pages with the lowest versions allowed
	@$$(.venv/bin/python -m tests.lowest) -m pytest -W "ignore:The anyio.abc:DeprecationWarning" \
		tests/unit/launchers/runtime tests/unit/launchers/report tests/unit/flcore/test_event_bus.py

test-web: $(TOOLS) ## look at the report and the live page in a real browser (root gets Chromium installed)
	@.ci/browser install
	@exec .venv/bin/python -m pytest tests/web

test-deploy: $(TOOLS) ## try units, alerts, images and Compose files (root gets systemd and promtool installed)
	@.ci/deploy install
	@export DOCKER_HOST=$$(.ci/engine start); \
	.venv/bin/python configs/docker/prepare.py; \
	exec .venv/bin/python -m pytest tests/deploy

test-quota: $(TOOLS) ## hold jobs to their disks by the quotas of ext4 and XFS, in an emulated machine (root gets QEMU installed)
	@.ci/machine install build/machine
	@exec .venv/bin/python -m tests.quota $(QUOTA)

docs: $(TOOLS) ## build the site of the pages and the reference, strictly: no dead link, nothing without a docstring
	@exec .venv/bin/python -m tests.docs_site

check: $(TOOLS) ## check style, types, imports, and the sizes of files, classes and functions
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@$(call quietly,.venv/bin/lint-imports)
	@$(call quietly,.venv/bin/python -m pytest -q -n0 tests/house)

unit: $(TOOLS) ## run the quick tests, which need no Docker Engine
	@$(run_shared) tests/unit

release: check ## build dist/, and try it on each Python here, or PYTHONS="python3.12 …"; URL=https://… where its files are shown
	@exec .venv/bin/python -m tests.release $(if $(URL),--url=$(URL)) $(PYTHONS)

bench: $(TOOLS) ## measure; all, or ONLY="fire_event launch_job"; with PEERS=1 beside NVIDIA FLARE's packages
	@export DOCKER_HOST=$$(.ci/engine start); \
	.venv/bin/python configs/docker/prepare.py; \
	exec .venv/bin/python -m tests.bench --json build/bench.json $(if $(PEERS),--peers) $(ONLY)

faults: $(TOOLS) ## play every fault ten times on private Docker Engines, as root, in about half an hour (FAULTS='--only WORD')
	@((EUID != 0)) || .ci/engine install
	@exec .venv/bin/python -m tests.faults $(FAULTS)

ways-out: $(TOOLS) ## have a hostile job try thirty ways out of its container (as root ENGINES="26.1 podman" on private engines)
	@((EUID != 0)) || .ci/engine install
	@export DOCKER_HOST=$$(.ci/engine start); \
	.venv/bin/python configs/docker/prepare.py; \
	exec .venv/bin/python -m tests.hostile.ways $(ENGINES)

test-engines: $(TOOLS) ## try it all on each engine that sites have, as root, in an hour (ENGINES="28.5 podman" for some)
	@((EUID != 0)) || .ci/engine install
	@exec .venv/bin/python -m tests.engines $(ENGINES)

sweep: $(TOOLS) ## fail each call of a disk, an engine or for a thread in a site's lives, and play 2,000 made-up lives, in ten minutes
	@FLCORE_TRY=all exec .venv/bin/python -m pytest tests/lives -n $$(nproc)

fuzz: $(TOOLS) ## make up hostile metadata for ten minutes, or MINUTES=1
	@exec .venv/bin/python -m tests.hostile.fuzz --minutes $(or $(MINUTES),10)

engine-stop: ## stop the private Docker Engine, if one runs (`.ci/engine stop --purge` deletes its images and logs too)
	@.ci/engine stop

clean: ## remove all that was made in this folder: .venv, caches, the demo's results
	@rm -rf .venv build dist *.egg-info .coverage .*_cache .hypothesis workspace
	@find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "flcore needs Python 3.11 or newer, $(PYTHON) is not: name one, as in 'make PYTHON=python3.12 demo'" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		package=$$($(PYTHON) -c 'import sys; print("python{}.{}-venv".format(*sys.version_info))'); \
		((EUID == 0)) && command -v apt-get >/dev/null || \
			{ echo "$(PYTHON) cannot make virtual environments; mend it: sudo apt-get install $$package" >&2; exit 1; }; \
		echo "$(PYTHON) cannot make virtual environments: installing $$package"; \
		$(apt_get) install $$package >/dev/null 2>&1 || \
			{ $(call quietly,$(apt_get) update && $(apt_get) install $$package); }; \
	}
	@[[ -e $@ ]] || $(call quietly,$(PYTHON) -m venv --clear .venv)
	@echo "installing flcore in .venv"
	@$(call quietly,$(call install,cli))
	@touch $@

$(TOOLS): $(VENV)
	@echo "installing the developers' tools in .venv"
	@$(call quietly,$(call install,cli$(comma)dev))
	@touch $@
