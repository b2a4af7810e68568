# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people run into who bring up Arista vEOS and MikroTik CHR by hand or by console scripts, each as a claim."""

from __future__ import annotations

import re

import pytest

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

SEGMENTS = [
    {"name": "management", "vlan": 10, "subnet": "10.1.1.0/24"},
    {"name": "blue", "vlan": 20, "subnet": "10.1.2.0/24"},
]
VEOS = {"role": "veos", "image": "/srv/vEOS.qcow2"}
CHR = {"role": "chr", "image": "/srv/chr.img"}


def planned(guest, *more, name="leaf1", address="10.1.1.2"):
    """The one guest of a host with a namespace beside it."""
    point = {"name": name, "kind": "guest", "segment": "management", "address": address, "guest": guest}
    variables = {"fabric_name": "test", "fabric_segments": SEGMENTS, "fabric_endpoints": [point, *more]}
    return compile_plan({"kvm1": variables}, SPEC)["hosts"]["kvm1"]["guests"][0]


JUMP = {"name": "jump", "segment": "management"}


def test_veos_starts_from_the_aboot_disc_and_not_from_its_empty_boot_sector():
    domain = planned({**VEOS, "image": "/srv/vEOS.vmdk", "aboot": "/srv/Aboot.iso"})["domain"]
    assert domain["boot"] == ["cdrom", "hd"]
    assert [(disk["target"], disk["bus"], disk.get("device", "disk")) for disk in domain["disks"]] == [
        ("hda", "ide", "disk"),
        ("hdc", "ide", "cdrom"),
    ]


@pytest.mark.parametrize("image, more", [("vEOS.vmdk", []), ("vEOS.qcow2", []), ("vEOS.qcow2", ["/srv/second.qcow2"])])
def test_veos_finds_every_disk_of_every_release_on_ide(image, more):
    disks = planned({**VEOS, "image": f"/srv/{image}", "extra_disks": more})["domain"]["disks"]
    assert len(disks) == 1 + len(more) and {disk["bus"] for disk in disks} == {"ide"}
    assert disks[0]["target"] == "hda" and disks[0]["backing_format"] == image.rpartition(".")[2]


def test_veos_has_the_memory_and_processors_without_which_it_hangs_and_more_for_newer_releases():
    domain = planned(VEOS)["domain"]
    assert (domain["vcpus"], domain["memory"]) == (2, "2GiB") and planned({**VEOS, "memory": "4GiB"})["domain"][
        "memory"
    ] == "4GiB"


def test_veos_keeps_its_serial_number_when_it_is_made_again_otherwise():
    changed = {**VEOS, "image": "/srv/other.vmdk", "memory": "4GiB", "nics": [{"segment": "blue"}]}
    assert planned(VEOS)["domain"]["uuid"] == planned(changed, JUMP)["domain"]["uuid"]


@pytest.mark.parametrize("guest", [VEOS, CHR])
def test_the_management_nic_stays_the_first_whatever_is_added(guest):
    nics = planned({**guest, "nics": [{"segment": "blue"}, {"trunks": ["management", "blue"]}]})["domain"]["nics"]
    assert nics[0] == planned(guest)["domain"]["nics"][0] and nics[0]["portgroup"] == "management"
    assert len({nic["mac"] for nic in nics}) == 3 and all(nic["mac"] for nic in nics)


def test_veos_does_not_wait_for_zero_touch_provisioning():
    flash = planned(VEOS)["flash"]
    files = {entry["path"]: entry["content"] for entry in flash["files"]}
    assert flash["partition"] == 2 and files["/zerotouch-config"] == "DISABLE=True\n"
    assert "interface Management1\n   mtu 1446\n   ip address 10.1.1.2/24" in files["/startup-config"]


def test_a_dhcp_lease_is_not_taken_for_a_veos_that_is_ready():
    wait = planned(VEOS, JUMP)["wait"]
    assert (wait["kind"], wait["times"], wait["host"], wait["namespace"]) == ("ssh", 2, "10.1.1.2", "jump")


@pytest.mark.parametrize("guest", [VEOS, CHR])
def test_no_wait_is_without_an_end(guest):
    assert (
        planned(guest)["wait"]["timeout"] > 0 and planned({**guest, "ready_timeout": 33}, JUMP)["wait"]["timeout"] == 33
    )


@pytest.mark.parametrize("prompt", ["MikroTik Login: ", "RouterOS Login: ", "CHR Login: "])
def test_the_console_of_every_release_of_chr_is_recognized(prompt):
    wait = planned(CHR)["wait"]
    assert wait["kind"] == "console" and re.search(wait["text"], "\r\nMikroTik 7.16\r\n" + prompt)


def test_chr_is_ready_when_its_rest_answers_twice_in_a_row_even_if_it_wants_a_password():
    wait = planned(CHR, JUMP)["wait"]
    assert wait["url"] == "http://10.1.1.2/rest/system/resource" and (wait["kind"], wait["times"], wait["status"]) == (
        "http",
        2,
        [200, 401],
    )


def test_chr_has_its_commands_before_its_first_boot_wherever_its_partition_lies():
    guest = planned(CHR, name="router1")
    assert guest["flash"]["partition"] == 2 and guest["flash"]["files"][0]["path"] == "/rw/autorun.scr"
    assert "address=10.1.1.2/24 interface=ether1" in guest["flash"]["files"][0]["content"]
    assert len(guest["domain"]["disks"]) == 1 and guest["domain"]["memory"] == "256MiB"


@pytest.mark.parametrize("model", ["e1000", "virtio"])
def test_the_nic_model_of_chr_is_a_choice_since_each_breaks_something(model):
    assert planned({**CHR, "model": model})["domain"]["nics"][0]["model"] == model


def test_chr_keeps_its_nics_when_it_is_made_again():
    first, again = (planned({**CHR, "nics": [{"segment": "blue"}]}, *more)["domain"]["nics"] for more in ((), (JUMP,)))
    assert [nic["mac"] for nic in first] == [nic["mac"] for nic in again]
