SHELL := /bin/bash
PY := .venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(PATH)
.DEFAULT_GOAL := help

.PHONY: help up down forget setup test test-machines check lint types imports dependencies schema docs sdk-check proven sdk requirements bench fuzz soak clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-15s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: setup ## set up what is missing, make a load balancer, show requests being balanced
	@scripts/quickstart up

down: setup ## take the stack of `make up` away again, and nothing else
	@scripts/quickstart down

forget: ## forget the stack of `make up` where its installation is gone for good; deletes nothing else
	@scripts/quickstart forget

.PHONY: install uninstall
install: ## octaviactl, the plugin and the SDK for use, without developers' tools: make install [PREFIX=/usr/local]
	@PREFIX="$(PREFIX)" scripts/install

uninstall: ## take away what make install has made
	@PREFIX="$(PREFIX)" scripts/install uninstall

setup: ## install what is missing: Debian packages, a virtual environment (.venv)
	@MAKECMDGOALS="$(MAKECMDGOALS)" scripts/setup

test: check ## all checks and tests (about ten minutes, as root)
	@scripts/setup tests
	@scripts/test

test-machines: ## make up and the tests on Debian 13, and with haproxy from Debian's unstable (trees in build/machines)
	@scripts/test-machines

.PHONY: test-openstack
test-openstack: setup ## tests/openstack against Keystone, Glance, Placement, Nova, Neutron, Barbican, Heat and Horizon, brought up on this machine (as root)
	@scripts/test-openstack

.PHONY: test-octavia
test-octavia: setup ## the tests of `driver: octavia` against Octavia itself, brought up on this machine (as root)
	@scripts/test-openstack octavia

.PHONY: test-libvirt
test-libvirt: setup ## the amphora image in machines that Nova boots by libvirt and QEMU, brought up on this machine (as root; some ten minutes)
	@scripts/test-openstack libvirt

.PHONY: test-container
test-container: setup ## build the container file on a base that debootstrap makes, and serve load balancers on OpenStack by it (as root; some five minutes)
	@scripts/test-openstack container

.PHONY: openstack-up openstack-down bench-openstack
openstack-up: setup ## bring those services up and leave them up: make test-openstack then uses them
	@scripts/test-openstack up

openstack-down: ## end them
	@scripts/test-openstack down

bench-openstack: setup ## what balancers cost these services, with fake guests: calls of each, and the time until the first answer
	@scripts/test-openstack bench $(foreach n,$(BALANCERS),--balancers $(n))

.PHONY: test-clients
test-clients: setup ## tests/clients: OpenStack's clients in Go, built from their modules, against a control plane on a simulated cloud (needs go)
	@scripts/test-clients

.PHONY: image test-image
image: setup ## the amphora image for OpenStack, build/amphora-image/amphora.qcow2: make image [SSH=1] [SUITE=trixie] (as root)
	@scripts/setup image
	@SSH="$(SSH)" $(if $(SUITE),SUITE=$(SUITE)) amphora/image/build

test-image: setup ## build the amphora image twice (the same bytes), boot it under QEMU with BIOS and UEFI (as root; some minutes)
	@scripts/setup image
	@scripts/test-image

check: setup lint types imports dependencies ## style, types, import contracts, dependencies; generated files in step with the model
	@$(PY) -m octavia_provider.plugin.schema --check
	@$(PY) scripts/sdk.py --check
	@$(PY) scripts/reference.py --check
	@$(PY) scripts/proven.py --check

lint: setup
	@ruff check . && ruff format --check .

types: setup
	@mypy

imports: setup
	@lint-imports --no-cache | tail -n 3

dependencies: setup # what each distribution declares is what it imports; tests may use all of it, and developers' tools
	@scripts/dependencies

schema: setup ## write schema.json from the model
	@$(PY) -m octavia_provider.plugin.schema > schema.json.new && mv schema.json.new schema.json

docs: setup ## write docs/reference/resources.md, replacements.md, events.md and octaviactl.md from the code
	@$(PY) scripts/reference.py

proven: setup ## run the tests that show what each input does, and write docs/reference/proven.md (about six minutes)
	@rm -f build/input_coverage.json
	@.venv/bin/pytest tests -n 2 -q -m covers || echo "some failed; the page says which" >&2
	@$(PY) scripts/proven.py

sdk: schema ## make the SDKs from schema.json (needs the pulumi CLI, and go)
	@$(PY) scripts/sdk.py

sdk-check: ## compile the SDKs for TypeScript and Go, and the examples that use them; makes the package for npm
	@scripts/sdk-check

requirements: ## resolve requirements/*.txt anew, with hashes
	@scripts/requirements

bench: setup ## measure: a table, and build/bench.json
	@command -v wrk >/dev/null || apt-get install -y -qq wrk >/dev/null
	@$(PY) tests/bench/run.py

fuzz: setup ## property tests with many more examples
	@HYPOTHESIS_PROFILE=fuzz .venv/bin/pytest tests/unit tests/fuzz -n 2 -m "not netns" -q --timeout=3600

soak: setup ## simulate 100,000 lives; change a balancer under load for ten minutes; kill and pause three control planes with 200 balancers
	@SIMULATION_SEEDS=0-99999 .venv/bin/pytest -n 2 tests/simulation/test_seeds.py -q
	@SOAK_SECONDS=600 .venv/bin/pytest tests/netns/test_soak.py tests/distributed -q -s --timeout=1200

clean: ## remove what was built (not the installation's state)
	@rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
