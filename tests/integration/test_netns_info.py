# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netns_info against real namespaces."""

from __future__ import annotations

import typing as t

from netns import bridge

if t.TYPE_CHECKING:
    from harness import Host


def test_a_host_without_namespaces(host: Host) -> None:
    assert host.module("netns_info")["namespaces"] == []


def test_all_namespaces_are_shown_with_their_owners(host: Host) -> None:
    bridge(host, "br0")
    host.module(
        "netns_veth",
        {
            "name": "red",
            "owner": "one",
            "bridge": "br0",
            "trunks": [5, "7-9"],
            "vlan_mode": "trunk",
            "addresses": ["10.0.0.1/24"],
        },
    )
    host.module("netns_veth", {"name": "red-test", "owner": "two", "sysctls": {"net.ipv4.ip_forward": 1}})
    host.run(["ip", "netns", "add", "theirs"])
    host.run(["ip", "-n", "theirs", "link", "add", "dev", "x0", "type", "veth", "peer", "name", "x1"])
    host.module("netns_veth", {"name": "theirs"})
    found = host.module("netns_info")
    assert not found["changed"] and found["spawned"] == 1 + 3 + 1
    spaces = {space["name"]: space for space in found["namespaces"]}
    assert list(spaces) == ["red", "red-test", "theirs"]
    red = spaces["red"]["interfaces"][0]
    assert (red["outer"], red["bridge"], red["tag"], red["trunks"], red["vlan_mode"]) == (
        "v-red",
        "br0",
        None,
        [5, "7-9"],
        "trunk",
    )
    assert (
        red["addresses"] == ["10.0.0.1/24"] and red["tx_checksum"] is False and red["mtu"] == 1500 and red["up"] is True
    )
    assert spaces["red"]["owner"] == "one" and not spaces["red"]["foreign"]
    assert spaces["red-test"]["sysctls"] == {"net/ipv4/ip_forward": "1"}
    assert spaces["theirs"]["foreign"]
    assert {i["name"]: (i["kind"], i["outer"], i["up"]) for i in spaces["theirs"]["interfaces"]} == {
        "x0": ("veth", None, False),
        "x1": ("veth", None, False),
        "eth0": ("veth", "v-theirs", True),
    }


def test_namespaces_are_chosen_by_exact_name_and_by_owner(host: Host) -> None:
    for name, owner in (("red", "one"), ("red-test", "two")):
        host.module("netns_veth", {"name": name, "owner": owner})
    for options, chosen in (
        ({"names": ["red"]}, ["red"]),
        ({"names": ["re", "red-test"]}, ["red-test"]),
        ({"names": []}, []),
        ({"owner": "two"}, ["red-test"]),
        ({"owner": "nobody"}, []),
    ):
        assert [space["name"] for space in host.module("netns_info", options)["namespaces"]] == chosen, options
    assert "is no name for a namespace" in host.module("netns_info", {"names": ["a b"]}, ok=False)["msg"]


def test_the_live_mark_is_enough_when_the_unit_is_gone(host: Host) -> None:
    host.module("netns_veth", {"name": "red", "owner": "one"})
    host.run(["rm", "/etc/systemd/system/overloom-netns-red.service"])
    space = host.module("netns_info")["namespaces"][0]
    assert (space["owner"], space["foreign"]) == ("one", False)


def test_without_open_vswitch_the_rest_is_shown(host: Host) -> None:
    host.module("netns_veth", {"name": "red"})
    host.run(["systemctl", "stop", "openvswitch-switch", "ovs-vswitchd", "ovsdb-server"])
    try:
        found = host.module("netns_info")
    finally:
        host.run(["systemctl", "start", "openvswitch-switch"])
    assert found["namespaces"][0]["interfaces"][0]["outer"] == "v-red"
    assert "bridges and VLANs of the interfaces are not known" in str(found["warnings"])


def test_an_unfinished_namespace_is_left_out(host: Host) -> None:
    host.module("netns_veth", {"name": "red"})
    host.run(["touch", "/run/netns/unfinished"])
    assert [space["name"] for space in host.module("netns_info")["namespaces"]] == ["red"]
