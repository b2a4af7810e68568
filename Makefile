# Two commands matter: `make lab` runs the main job, `make test` runs every test. `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help lab lab-down shell console plan diagram verify packages test-packages test scenario test-platforms test-machines machine-packages check coverage lock bench docs picture build clean

INVENTORY ?= inventory/lab
PYTHON ?= python3
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
BIN := .venv/bin
# Another root for the lab's hosts than this machine's: see lab_root in roles/lab.
LAB_ROOT ?=
PLAYBOOK := ANSIBLE_CONFIG=$(CURDIR)/ansible.cfg $(BIN)/ansible-playbook -i $(INVENTORY) $(if $(LAB_ROOT),-e lab_root=$(LAB_ROOT))
ENTER = ANSIBLE_CONFIG=$(CURDIR)/ansible.cfg $(BIN)/python tools/enter.py $(INVENTORY)
PIP := $(BIN)/pip --quiet --disable-pip-version-check install

# $(call install,USES,PACKAGES): install the packages of packages.txt for these uses that are missing, and these packages.
define install
@missing=$$($(PYTHON) tests/packages.py $(1)); missing="$(strip $(2))$${missing:+ $$missing}"; [ -z "$$missing" ] || { \
  command -v apt-get >/dev/null || { echo "Install the packages that Debian calls $$missing, then run this again." >&2; exit 1; }; \
  echo "Installing with apt-get, which takes a minute or two: $$missing"; \
  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }
endef

help: ## List the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-15s %s\n' "$$name" "$$text"; done

lab: packages $(BIN)/.lab ## Boot the lab, build the fabric on it, prove it (INVENTORY=inventory/lab)
	@$(PLAYBOOK) playbooks/lab.yml
	@$(PLAYBOOK) site.yml
	@$(PLAYBOOK) playbooks/verify.yml
	@ANSIBLE_CONFIG=$(CURDIR)/ansible.cfg $(BIN)/python tools/hints.py $(INVENTORY)

lab-down: $(BIN)/.lab ## Remove the lab: every process, mount, namespace and file of it (INVENTORY=inventory/lab)
	@$(PLAYBOOK) playbooks/lab_down.yml

shell: $(BIN)/.lab ## Enter a host: make shell HOST=kvm1
	@$(ENTER) "$(HOST)"

console: $(BIN)/.lab ## Enter a guest by its serial console, left with Ctrl-]: make console HOST=kvm1 GUEST=vm1
	@$(ENTER) "$(HOST)" virsh console "$(GUEST)"

plan: $(BIN)/.lab ## Print the plan of an inventory
	@$(PLAYBOOK) playbooks/plan.yml

diagram: $(BIN)/.lab ## Draw an inventory into reports/fabric.svg and fabric.html; needs Graphviz
	@$(PLAYBOOK) playbooks/diagram.yml

verify: $(BIN)/.lab ## Measure the fabric against the plan
	@$(PLAYBOOK) playbooks/verify.yml

packages:
	$(call install,lab,$(shell $(PYTHON) -c 'import ensurepip' 2>/dev/null || echo python3-venv))

test-packages: packages
	$(call install,test)

machine-packages:
	$(call install,machines)

$(BIN)/.lab: requirements.txt | packages
	$(PYTHON) -m venv .venv
	$(PIP) -r requirements.txt
	@touch $@

$(BIN)/.test: requirements-test.lock | test-packages
	$(PYTHON) -m venv .venv
	$(PIP) --require-hashes -r requirements-test.lock
	@touch $@ $(BIN)/.lab

test: $(BIN)/.test ## Run the tests: gates, lint, units, sanity, integration, scenarios (SHORT=1 as CI does, JOBS=cores + 1)
	$(BIN)/python tests/run.py $(if $(JOBS),--jobs $(JOBS)) $(if $(SHORT),--short)

scenario: $(BIN)/.test ## Prove one scenario with Molecule, from nothing to green: make scenario NAME=gre
	$(BIN)/python tests/run.py molecule-$(NAME)

test-platforms: $(BIN)/.test ## Prove it on Debian 13, and with each ansible-core as controller
	$(BIN)/python tests/platforms.py

test-machines: $(BIN)/.lab machine-packages ## Prove it on two machines under QEMU, over SSH, with the kernel's own datapath
	$(BIN)/python -m tests.machines $(if $(SHORT),--short)

check: $(BIN)/.test ## Run the fast tests: gates, lint, units, sanity without pylint
	$(BIN)/python tests/run.py --short gates lint unit sanity

coverage: $(BIN)/.test ## Measure which lines the unit tests run
	$(BIN)/python -m coverage run -m pytest -q -p no:cacheprovider tests/unit
	$(BIN)/python -m coverage report

lock: $(BIN)/.test ## Renew the pinned tools in requirements-test.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --no-header \
	  requirements.txt requirements-test.txt --output-file requirements-test.lock

bench: $(BIN)/.test ## Measure speed as ratios
	$(BIN)/python -m tests.bench

docs: $(BIN)/.test ## Write the generated parts of the documentation anew, and wrap its prose
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/wrap.py

picture: $(BIN)/.test ## Draw the README's terminal: `make lab` on a lab made anew
	@$(MAKE) --no-print-directory lab-down >/dev/null
	$(BIN)/python tools/picture.py docs/images/lab.svg make lab

build: $(BIN)/.lab ## Build the collection's tarball
	$(BIN)/python tools/build.py

clean: ## Remove the virtual environment and what tests left in the checkout
	rm -rf .venv .ansible .cache .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache reports tests/output overloom-fabric-*.tar.gz
