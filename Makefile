# Two commands matter: `make lab` runs the main job, `make test` runs every test. `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help lab lab-down plan verify packages test-packages test test-machines machine-packages check bench docs build clean

INVENTORY ?= inventory/lab
PYTHON ?= python3
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
BIN := .venv/bin
PLAYBOOK := ANSIBLE_CONFIG=$(CURDIR)/ansible.cfg $(BIN)/ansible-playbook -i $(INVENTORY)

# Debian and Ubuntu package that brings each command which the lab needs on the machine that carries it.
LAB_COMMANDS := ovs-vsctl:openvswitch-switch vtysh:frr systemd-nspawn:systemd-container ip:iproute2 ethtool:ethtool \
  virsh:libvirt-clients libvirtd:libvirt-daemon-system qemu-system-x86_64:qemu-system-x86 qemu-img:qemu-utils
TEST_COMMANDS := git:git ping:iputils-ping birdc:bird2 /usr/lib/frr/frr-reload.py:frr-pythontools dnsmasq:dnsmasq-base mmdebstrap:mmdebstrap \
  mkfs.vfat:dosfstools mcopy:mtools isoinfo:genisoimage swtpm:swtpm swtpm_setup:swtpm-tools
MACHINE_COMMANDS := mmdebstrap:mmdebstrap qemu-system-x86_64:qemu-system-x86 mke2fs:e2fsprogs debugfs:e2fsprogs ssh:openssh-client

# $(call install,PAIRS,PACKAGES): install the packages of the commands that are missing, and these packages.
define install
@missing="$(strip $(2))"; for pair in $(1); do \
  PATH="$$PATH:/usr/sbin:/sbin" command -v "$${pair%%:*}" >/dev/null 2>&1 || missing="$$missing $${pair#*:}"; \
done; \
[ -z "$$missing" ] || { echo "Installing: $$missing"; \
  $(SUDO) apt-get update -qq && $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }
endef

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | awk -F: '{printf "  make %-15s%s\n", $$1, $$2}'

lab: packages $(BIN)/.lab ## Boot the lab, build the fabric on it, prove it (INVENTORY=inventory/lab)
	$(PLAYBOOK) playbooks/lab.yml
	$(PLAYBOOK) site.yml
	$(PLAYBOOK) playbooks/verify.yml
	@echo
	@echo "The fabric of $(INVENTORY) stands and is proved. Next, with '. .venv/bin/activate':"
	@echo "  ansible-playbook site.yml                      again: nothing changes"
	@echo "  ansible-playbook playbooks/plan.yml            what was decided, and why"
	@echo "  ansible kvm1 -m ovs_tunnel_info                the tunnels of a host, typed"
	@echo "  ansible kvm1 -a 'ovs-vsctl show'               or look by hand; change something,"
	@echo "  ansible-playbook site.yml --check --diff       and see it found and repaired"
	@echo "  make lab-down                                  leave nothing behind"

lab-down: $(BIN)/.lab ## Remove the lab: every process, mount, namespace and file of it
	$(PLAYBOOK) playbooks/lab_down.yml

plan: $(BIN)/.lab ## Print the plan of an inventory
	$(PLAYBOOK) playbooks/plan.yml

verify: $(BIN)/.lab ## Measure the fabric against the plan
	$(PLAYBOOK) playbooks/verify.yml

packages:
	$(call install,$(LAB_COMMANDS),$(shell $(PYTHON) -c 'import ensurepip' 2>/dev/null || echo python3-venv) \
	  $(shell /usr/bin/python3 -c 'import libvirt' 2>/dev/null || echo python3-libvirt))

test-packages: packages
	$(call install,$(TEST_COMMANDS),$(if $(wildcard /usr/lib/*/frr/modules/bgpd_rpki.so),,frr-rpki-rtrlib))

machine-packages:
	$(call install,$(MACHINE_COMMANDS))

$(BIN)/.lab: requirements.txt | packages
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(BIN)/.test: requirements.txt requirements-test.txt | test-packages
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-test.txt
	@touch $@ $(BIN)/.lab

test: $(BIN)/.test ## Run every test: lint, units, sanity, integration, scenarios
	$(BIN)/python tests/run.py

test-machines: $(BIN)/.lab machine-packages ## Prove it on two machines under QEMU, over SSH, with the kernel's own datapath
	$(BIN)/python -m tests.machines

check: $(BIN)/.test ## Run the fast tests: lint, units, sanity
	$(BIN)/python tests/run.py lint unit sanity

bench: $(BIN)/.test ## Measure speed as ratios
	$(BIN)/python -m tests.bench

docs: $(BIN)/.test ## Write the generated parts of the documentation anew
	$(BIN)/python docs/generate.py

build: $(BIN)/.lab ## Build the collection's tarball
	$(BIN)/ansible-galaxy collection build --force

clean: ## Remove the virtual environment and what tests left in the checkout
	rm -rf .venv .ansible .cache .hypothesis .pytest_cache reports tests/output overloom-fabric-*.tar.gz
