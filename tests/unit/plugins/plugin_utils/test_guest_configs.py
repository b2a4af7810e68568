# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first configurations of devices, from whole intents."""

from __future__ import annotations

import pytest

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

HASH = "$6$salt$hash"
NICS = [{"trunks": ["blue", "red"], "native": "red"}, {"segment": "blue", "address": "10.1.2.2"}, {"segment": "red"}]


def flash(role, **options):
    guest = {"role": role, "image": "stand-in", **options}
    segments = [
        {"name": name, "vlan": 10 * n, "subnet": f"10.1.{n}.0/24"} for n, name in enumerate(("mgmt", "blue", "red"), 1)
    ]
    routes = [{"to": "default", "via": "10.1.1.254"}]
    point = {
        "name": "leaf1",
        "kind": "guest",
        "segment": "mgmt",
        "address": "10.1.1.2",
        "routes": routes,
        "guest": guest,
    }
    plan = compile_plan({"kvm1": {"fabric_name": "t", "fabric_segments": segments, "fabric_endpoints": [point]}}, SPEC)
    return plan["hosts"]["kvm1"]["guests"][0]["flash"]


def test_veos_starts_with_everything_the_intent_says_and_asks_nobody():
    bgp = {"asn": 65001, "neighbors": [{"address": "10.1.2.1", "asn": 65002}]}
    made = flash(
        "veos",
        nics=NICS,
        password_hash=HASH,
        keys=["ssh-ed25519 AAAA me"],
        ospf={},
        bgp=bgp,
        config=["ntp server 10.1.1.1"],
    )
    files = {item["path"]: item["content"] for item in made["files"]}
    assert files["/zerotouch-config"] == "DISABLE=True\n" and made["secrets"] == [HASH]
    blocks = files["/startup-config"].split("\n!\n")
    assert blocks[0] == "hostname leaf1" and blocks[-1] == "end\n"
    assert (
        f"username admin privilege 15 role network-admin secret sha512 {HASH}\nusername admin ssh-key ssh-ed25519 AAAA me"
        in blocks
    )
    assert "interface Management1\n   mtu 1446\n   ip address 10.1.1.2/24" in blocks, (
        "OSPF does not belong on the management"
    )
    assert (
        "interface Ethernet1\n   switchport mode trunk\n   switchport trunk allowed vlan 20,30\n   switchport trunk native vlan 30"
        in blocks
    )
    assert (
        "interface Ethernet2\n   no switchport\n   mtu 1446\n   ip address 10.1.2.2/24\n   ip ospf area 0.0.0.0"
        in blocks
    )
    assert "interface Ethernet3\n   switchport access vlan 30" in blocks
    for block in ("vlan 20\n   name blue", "ip route 0.0.0.0/0 10.1.1.254", "router ospf 1", "router bgp 65001\n   neighbor 10.1.2.1 remote-as 65002",
                  "management api http-commands\n   no shutdown", "ntp server 10.1.1.1"):  # fmt: skip
        assert block in blocks


def test_chr_runs_its_first_commands_from_the_disk():
    made = flash("chr", nics=NICS, ospf={"router_id": "10.1.1.2"}, config=["/ip dns set servers=10.1.1.1"])
    lines = made["files"][0]["content"].splitlines()
    assert made["files"][0]["path"] == "/rw/autorun.scr" and lines[0] == "/system identity set name=leaf1"
    for line in ("/ip address add address=10.1.1.2/24 interface=ether1", "/ip address add address=10.1.2.2/24 interface=ether3",
                 "/interface vlan add name=ether2.20 vlan-id=20 interface=ether2", "/ip route add dst-address=0.0.0.0/0 gateway=10.1.1.254",
                 "/routing ospf instance add name=fabric version=2 router-id=10.1.1.2", "/ip dns set servers=10.1.1.1"):  # fmt: skip
        assert line in lines
    assert not any("ether2.30" in line for line in lines), "the native VLAN is untagged"


@pytest.mark.parametrize(
    "role, options, part",
    [
        ("veos", {"password_hash": "secret"}, "password_hash is no hash of crypt(5)"),
        ("chr", {"password_hash": HASH}, "give the role's variable chr_guest_password"),
        ("veos", {"keys": ["ssh-ed25519 AAAA\nreload"]}, "is no single line"),
        ("veos", {"user": "a b"}, "is no name of a user"),
        ("chr", {"bgp": {"asn": 1}}, "bgp is for the role veos"),
        ("veos", {"extra_disks": ["/srv/a.iso"]}, "must be the absolute path of an image"),
    ],
)
def test_what_a_configuration_cannot_hold_is_refused(role, options, part):
    with pytest.raises(PlanError, match=part.replace("(", r"\(").replace(")", r"\)")):
        flash(role, **options)
