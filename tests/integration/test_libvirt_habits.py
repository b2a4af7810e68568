# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users of other libvirt modules run into, each as a claim about these."""

from __future__ import annotations

import time
import typing as t
import xml.etree.ElementTree as ET

import guests
import harness
import pytest

NET = {"name": "lan", "mode": "isolated", "bridge": "lan0", "addresses": [{"address": "10.5.0.1/24"}]}
OFF = {"name": "vm1", "memory": "64MiB", "nics": [{"bridge": "br0", "vlan": 10}]}


@pytest.fixture
def kvm(machine: harness.Machine, host: harness.Host) -> t.Iterator[harness.Host]:
    """A host with libvirt running, a bridge, and nothing in libvirt."""
    guests.prepare(machine, host)
    guests.clean(host)
    guests.bridge(host)
    yield host
    guests.clean(host)


def test_check_mode_does_not_take_what_libvirt_adds_for_a_change(kvm: harness.Host) -> None:
    kvm.module("libvirt_domain", OFF)
    kvm.module("libvirt_network", NET)
    # libvirt has filled in controllers, addresses, a machine type, a MAC address of the bridge and more.
    assert "<controller" in kvm.run(["virsh", "dumpxml", "vm1"])
    assert not kvm.module("libvirt_domain", OFF, check=True)["changed"]
    assert not kvm.module("libvirt_network", NET, check=True)["changed"]


def test_a_network_that_exists_is_updated_and_the_difference_shown(kvm: harness.Host) -> None:
    kvm.module("libvirt_network", NET)
    hosts = [{"mac": "52:54:00:00:00:01", "name": "web1", "address": "10.5.0.9"}]
    ranges = [{"start": "10.5.0.10", "end": "10.5.0.20"}]
    more = {**NET, "addresses": [{"address": "10.5.0.1/24", "dhcp_ranges": ranges, "dhcp_hosts": hosts}]}
    done = kvm.apply("libvirt_network", more)
    assert "10.5.0.9" in done["diff"]["after"] and "10.5.0.9" not in done["diff"]["before"]
    for option in ("", "--inactive"):
        assert "10.5.0.9" in kvm.run(["virsh", "net-dumpxml", "lan", *filter(None, [option])]), (
            "live and persistent belong together"
        )


def test_check_mode_of_absent_undefines_nothing_even_when_the_network_is_off(kvm: harness.Host) -> None:
    kvm.module("libvirt_network", {**NET, "state": "inactive"})
    assert kvm.module("libvirt_network", {"name": "lan", "state": "absent"}, check=True)["changed"]
    assert kvm.run(["virsh", "net-list", "--all", "--name"]).split() == ["lan"]
    kvm.module("libvirt_domain", OFF)
    assert kvm.module("libvirt_domain", {"name": "vm1", "state": "absent"}, check=True)["changed"]
    assert kvm.run(["virsh", "list", "--all", "--name"]).split() == ["vm1"]


def test_mac_and_uuid_are_the_same_after_the_guest_was_made_again(kvm: harness.Host) -> None:
    seen = []
    for _again in range(2):
        made = kvm.module("libvirt_domain", OFF)["domains"]["vm1"]
        seen.append((made["uuid"], made["nics"][0]["mac"]))
        kvm.module("libvirt_domain", {"name": "vm1", "state": "absent"})
    assert seen[0] == seen[1]


def test_a_change_reaches_the_running_guest_and_its_definition_together(kvm: harness.Host) -> None:
    groups = [{"name": "blue", "vlan": 10}, {"name": "red", "vlan": 20}]
    kvm.module("libvirt_network", {"name": "fab", "mode": "openvswitch", "bridge": "br0", "portgroups": groups})
    wanted = guests.guest("vm1", nics=[{"network": "fab", "portgroup": "blue", "rom": False}])
    kvm.module("libvirt_domain", wanted)
    kvm.apply("libvirt_domain", {**wanted, "nics": [{"network": "fab", "portgroup": "red", "rom": False}]})
    for option in ("", "--inactive"):
        document = ET.fromstring(kvm.run(["virsh", "dumpxml", "vm1", *filter(None, [option])]))
        assert document.find("devices/interface/source").get("portgroup") == "red"


def test_a_wait_has_an_end_and_shows_where_the_guest_stands(kvm: harness.Host) -> None:
    kvm.module("libvirt_domain", guests.guest("vm1", nics=[]))
    wait = {"name": "vm1", "kind": "console"}
    kvm.module("guest_wait", {**wait, "text": "vm1 is up"})
    begun = time.monotonic()
    result = kvm.module("guest_wait", {**wait, "text": "never said", "timeout": 6}, ok=False)
    # A wait without an end would last for its default of minutes.
    assert time.monotonic() - begun < 60 and "vm1 is up" in result["msg"]


def test_what_no_option_says_reaches_a_guest_that_exists_already(kvm: harness.Host) -> None:
    kvm.module("libvirt_domain", OFF)
    kvm.apply(
        "libvirt_domain",
        {
            "name": "vm1",
            "metadata": {"role": "web"},
            "xml": "<domain><memoryBacking><nosharepages/></memoryBacking></domain>",
        },
    )
    text = kvm.run(["virsh", "dumpxml", "vm1"])
    assert "nosharepages" in text and "web" in text
