# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a thing is that the plan names: ours, nobody's, or somebody's, and the sentence about it."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils import _network_files
from ansible_collections.overloom.fabric.plugins.module_utils._container.podman import Container
from ansible_collections.overloom.fabric.plugins.module_utils._host_network.reader import Noted
from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import Interface
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import Kept, Space
from ansible_collections.overloom.fabric.plugins.module_utils._network_files import Named, parse
from ansible_collections.overloom.fabric.plugins.module_utils._others import in_switch
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import Database, empty_database
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import ROOT, empty_row
from ansible_collections.overloom.fabric.plugins.module_utils._ownership import (
    Claim,
    Host,
    chassis_of,
    findings,
    may_adopt,
    shared_subnets,
)
from ansible_collections.overloom.fabric.plugins.module_utils._service.dropin import content_of
from ansible_collections.overloom.fabric.plugins.module_utils._service.reader import Found, State

NOTHING = Host({}, empty_database(), {}, {}, {}, {}, {}, {}, [], {})


def interface(name: str, **options: t.Any) -> Interface:
    return Interface(
        **{
            "name": name,
            "ifindex": 1,
            "mtu": 1500,
            "mac": "",
            "up": True,
            "alias": "",
            "kind": "",
            "addresses": (),
            **options,
        }
    )


def database(**bridges: dict[str, t.Any]) -> Database:
    """Bridges, each with columns of its row, and under `ports` each port with its mark."""
    found = empty_database()
    for name, columns in bridges.items():
        ports = columns.pop("ports", {})
        found.tables["Bridge"][name] = {**empty_row("Bridge", name), **columns}
        for port, mark in {name: None, **ports}.items():
            found.tables["Port"][port] = {
                **empty_row("Port", port),
                "external_ids": {"overloom-owner": mark} if mark else {},
            }
            found.tables["Interface"][port] = {
                **empty_row("Interface", port),
                "type": "internal" if port == name else "",
            }
            found.bridge_of[port], found.members[port] = name, (port,)
    return found


def told(host: Host, kind: str, name: str, on: str = "") -> list[str]:
    return [found["msg"] for found in findings([Claim(kind, name, on, "take another")], host, "us")]


OURS = {"external_ids": {"overloom-owner": "us", "overloom-module": "ovs_bridge"}}


@pytest.mark.parametrize(
    ("columns", "flows", "traces"),
    [
        ({"fail_mode": "secure"}, [], "fail_mode secure"),
        ({"controller": {"tcp:192.0.2.1": {}}}, [], "controller tcp:192.0.2.1"),
        ({}, ["2 flows with cookie 0x2a"], "2 flows with cookie 0x2a"),
        ({"external_ids": {"ct-zone-x": "1", "bridge-id": "br"}}, [], "external_ids ct-zone-x"),
        ({"rstp_enable": True}, [], "rstp_enable"),
        ({"ports": {f"p{i}": None for i in range(6)}}, [], "port p0, port p1, port p2, port p3, 2 more"),
    ],
)
def test_a_bridge_without_a_mark_that_somebody_uses_is_told_with_the_traces(columns, flows, traces) -> None:
    host = NOTHING._replace(database=database(**{"br-int": dict(columns)}), flows={"br-int": flows})
    assert told(host, "bridge", "br-int") == [
        f"bridge br-int was there before the fabric and is in use ({traces}); take another, or set fabric_adopt to let the fabric use this one"
    ]
    # With our mark it is ours, whatever is on it.
    ours = NOTHING._replace(database=database(**{"br-int": {**columns, **OURS}}), flows={"br-int": flows})
    assert told(ours, "bridge", "br-int") == []


def test_a_bridge_that_nobody_uses_is_free_and_another_owners_never_is() -> None:
    assert (
        told(NOTHING._replace(database=database(**{"br-int": {"datapath_type": "netdev"}})), "bridge", "br-int") == []
    )
    other = NOTHING._replace(database=database(**{"br-int": {"external_ids": {"overloom-owner": "blue"}}}))
    assert told(other, "bridge", "br-int")[0].startswith("bridge br-int belongs to the owner blue; take another")


def test_a_host_is_the_chassis_of_one_ovn() -> None:
    def chassis(**ids: str) -> list[str]:
        found = database()
        found.tables["Open_vSwitch"][ROOT]["external_ids"] = {key.replace("_", "-"): ids[key] for key in ids}
        return told(NOTHING._replace(database=found), "chassis", "kvm1")

    theirs = {"ovn_remote": "tcp:192.0.2.9:6642", "system_id": "x"}
    assert chassis(system_id="x") == [] == chassis(**theirs, overloom_ovn_chassis="us")
    (said,) = chassis(**theirs)
    assert said.startswith("chassis kvm1 was there before the fabric and is in use (ovn-remote tcp:192.0.2.9:6642)")
    assert said.endswith("or set fabric_adopt to let the fabric use this one")
    assert chassis(**theirs, overloom_ovn_chassis="blue")[0].startswith("chassis kvm1 belongs to the owner blue")


def test_whose_chassis_a_host_is_is_told_with_its_bridge() -> None:
    found = database()
    assert chassis_of(found) == {"owner": None, "bridge": None}
    found.tables["Open_vSwitch"][ROOT]["external_ids"] = {"overloom-ovn-chassis": "us", "ovn-bridge": "br-ovn"}
    assert chassis_of(found) == {"owner": "us", "bridge": "br-ovn"}


def test_a_port_is_anothers_on_anothers_bridge_only() -> None:
    assert (
        "a port of bridge theirs"
        in told(NOTHING._replace(database=database(theirs={"ports": {"gre0": None}})), "port", "gre0", "br-int")[0]
    )
    assert (
        told(
            NOTHING._replace(database=database(**{"br-int": {**OURS, "ports": {"gre0": None}}})),
            "port",
            "gre0",
            "br-int",
        )
        == []
    )
    assert told(NOTHING._replace(database=database(old={"ports": {"gre0": "us"}})), "port", "gre0", "br-int") == []
    assert (
        "belongs to the owner blue"
        in told(
            NOTHING._replace(database=database(**{"br-int": {**OURS, "ports": {"gre0": "blue"}}})),
            "port",
            "gre0",
            "br-int",
        )[0]
    )


def test_a_nic_must_be_there_and_be_nobodys() -> None:
    nics = {
        "lo": interface("lo"),
        "eth0": interface("eth0"),
        "eth1": interface("eth1", addresses=("192.0.2.1/24",)),
        "eth2": interface("eth2", master="bond0"),
    }
    host = NOTHING._replace(interfaces=nics)
    assert told(host, "nic", "eth9", "br-underlay") == [
        "there is no interface eth9; the host has eth0, eth1, eth2; take another"
    ]
    assert told(host, "nic", "eth0", "br-underlay") == []
    assert "(address 192.0.2.1/24)" in told(host, "nic", "eth1", "br-underlay")[0]
    assert "(a part of bond0)" in told(host, "nic", "eth2", "br-underlay")[0]
    # A router's NIC keeps what others gave it; and a NIC that is ours already is not looked at.
    assert told(host, "nic", "eth1") == []
    plugged = host._replace(database=database(**{"br-underlay": {**OURS, "ports": {"eth1": "us"}}}))
    assert told(plugged, "nic", "eth1", "br-underlay") == []


def test_a_member_of_a_bond_is_whose_the_bond_is() -> None:
    # The kernel's datapath is their master.
    nics = {name: interface(name, master="ovs-system") for name in ("eth1", "eth2")}
    for owner, bridge, said in (
        ("us", "br-underlay", []),
        (
            None,
            "br-other",
            ["nic eth2 was there before the fabric and is in use (a port of bridge br-other); take another"],
        ),
        ("blue", "br-other", ["nic eth2 belongs to the owner blue (a port of bridge br-other); take another"]),
    ):
        switch = database(**{bridge: {"ports": {"bond0": owner}}})
        bonded = switch._replace(members={**switch.members, "bond0": ("eth1", "eth2")})
        found = told(NOTHING._replace(interfaces=nics, database=bonded), "nic", "eth2", "br-underlay")
        assert [line.partition(", or ")[0] for line in found] == said


def test_bonds_and_vlans_of_the_kernel_are_whose_the_files_are() -> None:
    nics = {
        "eth1": interface("eth1", master="bond0"),
        "eth2": interface("eth2", addresses=("fe80::1/64",)),
        "eth3": interface("eth3", addresses=("192.168.200.1/24",)),
        "bond0": interface("bond0", kind="bond"),
        "tep0": interface("tep0", kind="vlan", parent="bond0", addresses=("192.168.200.1/24",)),
    }
    nobodys = NOTHING._replace(interfaces=nics)

    def of_owner(owner):
        return nobodys._replace(noted=[Noted(name, owner, "networkd") for name in ("bond0", "tep0", "eth3")])

    of_us, of_blue = of_owner("us"), of_owner("blue")
    claims = (("interface", "bond0", ""), ("interface", "tep0", ""), ("nic", "eth1", "bond0"), ("nic", "eth3", "eth3"))
    assert [told(of_us, *claim) for claim in claims] == [[], [], [], []]
    # The NICs go back to a bridge, too.
    assert told(of_us, "nic", "eth1", "br-underlay") == []
    for claim, traces in zip(claims, ("kind bond", "kind vlan", "a part of bond0", "address 192.168.200.1/24")):
        (theirs,), (somebodys,) = told(of_blue, *claim), told(nobodys, *claim)
        assert f"{claim[1]} belongs to the owner blue" in theirs
        assert "was there before the fabric and is in use" in somebodys and traces in somebodys
    # NetworkManager gives a NIC that nobody uses a link-local address.
    assert told(nobodys, "nic", "eth2", "bond0") == []
    assert "belongs to the owner blue" in told(of_blue, "address", "192.168.200.1/24", "br-x")[0]
    assert told(of_us, "address", "192.168.200.1/24", "br-x") == []


def test_a_namespace_is_in_use_by_what_is_in_it() -> None:
    lo = {"lo": interface("lo")}
    assert told(NOTHING._replace(inside={"red": lo}, processes={"red": []}), "namespace", "red", "eth0") == []
    assert (
        "(2 processes, interface x)"
        in told(
            NOTHING._replace(inside={"red": {**lo, "x": interface("x")}}, processes={"red": [1, 2]}), "namespace", "red"
        )[0]
    )
    space = Space("us", False, {"eth0": Kept("v-red")}, {})
    assert told(NOTHING._replace(spaces={"red": space}), "namespace", "red") == []
    assert (
        "belongs to the owner blue"
        in told(NOTHING._replace(spaces={"red": space._replace(owner="blue")}), "namespace", "red")[0]
    )
    end = {"v-red": interface("v-red", kind="veth")}
    assert told(NOTHING._replace(interfaces=end, spaces={"red": space}), "interface", "v-red") == []
    assert "an interface of the kind veth" in told(NOTHING._replace(interfaces=end), "interface", "v-red")[0]


def test_guests_networks_routers_and_addresses() -> None:
    host = NOTHING._replace(guests={"vm1": ("", True), "vm2": ("us", True)}, networks={"net": ("", False)})
    assert "(it runs)" in told(host, "guest", "vm1")[0] and "(it is defined)" in told(host, "network", "net")[0]
    assert told(host, "guest", "vm2") == told(host, "guest", "vm3") == []
    frr = NOTHING._replace(routers=["router ospf", "router bgp 65001", "router bgp 65002 vrf red"])
    assert "(frr.conf has router ospf)" in told(frr, "router", "router ospf", "OSPFv2 default")[0]
    assert "(frr.conf has router bgp 65001)" in told(frr, "router", "router bgp 64512", "BGP 64512 default")[0]
    # Of one's own process the number may be changed.
    bgp = "router", "router bgp 64512", "BGP 64512 default"
    assert told(frr._replace(notes={"us": {"BGP 65001 default"}}), *bgp) == []
    assert "owner them" in told(frr._replace(notes={"them": {"BGP 65001 default"}}), *bgp)[0]
    assert told(frr, "router", "router ospf6", "OSPFv3 default") == []
    assert told(frr._replace(notes={"us": {"OSPFv2 default"}}), "router", "router ospf", "OSPFv2 default") == []
    taken = NOTHING._replace(
        interfaces={
            "eth5": interface("eth5", addresses=("10.0.0.1/8",)),
            "tep0": interface("tep0", addresses=("10.0.0.2/24",)),
        }
    )
    assert told(taken, "address", "10.0.0.1/24", "tep0") == [
        "address 10.0.0.1/24 was there before the fabric and is in use (interface eth5 has it); take another"
    ]
    assert told(taken, "address", "10.0.0.2/24", "tep0") == []


def test_devices_of_a_switch_that_stopped_are_nobodys() -> None:
    stopped = NOTHING._replace(interfaces={"br-int": interface("br-int", kind="tun")}, switch=False)
    assert told(stopped, "bridge", "br-int") == []
    assert "an interface of the kind tun" in told(stopped._replace(switch=True), "bridge", "br-int")[0]


def test_a_container_needs_its_image_and_is_nobody_elses() -> None:
    there = NOTHING._replace(images=frozenset({"web:1"}))
    assert told(there, "container", "web", "web:1") == [] == told(NOTHING, "container", "web")
    [missing] = told(there, "container", "web", "web:2")
    assert missing.startswith(
        "container web needs the image web:2, which is not there; bring it with podman pull, load or build"
    )
    for owner, whose in ((None, "was there before the fabric and is in use"), ("them", "belongs to the owner them")):
        foreign = Container("web", "x", "theirs:1", "y", 7, True, owner)
        [sentence] = told(there._replace(containers={"web": foreign}), "container", "web", "web:1")
        assert sentence == f"container web {whose} (runs image theirs:1); take another"
    ours = there._replace(containers={"web": Container("web", "x", "web:1", "y", 7, True, "us")})
    assert told(ours, "container", "web", "web:1") == []


def test_a_service_needs_its_unit_and_is_nobody_elses() -> None:
    unit = "nginx.service"

    def host(state: State, owner: str | None = None) -> Host:
        dropins = {unit: content_of(unit, "web", owner, False)} if owner else {}
        return NOTHING._replace(placed=Found(dropins, {unit: state}, {}, frozenset(), {}))

    there = State(unit, "loaded")
    assert told(host(there), "service", unit) == [] == told(host(there, "us"), "service", unit)
    assert told(host(State(unit)), "service", unit) == [
        "service nginx.service: there is no such unit on this host; install it first, or correct its name"
    ]
    [placed] = told(host(there._replace(files=(("/x.conf", "PrivateNetwork=yes"),))), "service", unit)
    assert placed.startswith("service nginx.service: /x.conf gives it a network of its own already")
    [sentence] = told(host(there, "them"), "service", unit)
    assert sentence == "service nginx.service belongs to the owner them; take another"


def test_others_are_what_has_not_our_mark_but_for_what_a_bridge_or_our_guest_brings() -> None:
    ours = {"external_ids": {"overloom-owner": "us"}, "ports": {"v-a": "us", "tap0": None, "x0": None, "them0": "them"}}
    found = in_switch(database(**{"br-us": ours, "br-x": {"ports": {"y0": None}}}), "us", {"tap0"})
    assert [(one["kind"], one["name"], one["owner"]) for one in found] == [
        ("bridge", "br-x", None),
        ("port", "them0", "them"),
        ("port", "x0", None),
        ("port", "y0", None),
    ]


@pytest.mark.parametrize("key", ["ovn-chassis-id", "ovn-localnet-port"])
@pytest.mark.parametrize(("chassis", "others"), [("us", []), ("them", ["made"]), (None, ["made"])])
def test_what_ovn_controller_has_made_is_of_those_whose_chassis_the_host_is(
    key: str, chassis: str | None, others: list[str]
) -> None:
    ours = {"external_ids": {"overloom-owner": "us"}}
    # On the bridge of the underlay, which may be anybody's.
    found = database(**{"br-ovn": ours, "br-x": {"external_ids": {"overloom-owner": "us"}, "ports": {"made": None}}})
    found.tables["Port"]["made"]["external_ids"][key] = "x"
    found.tables["Open_vSwitch"][ROOT]["external_ids"].update({"overloom-ovn-chassis": chassis} if chassis else {})
    assert [one["name"] for one in in_switch(found, "us", set())] == others


@pytest.mark.parametrize(("mirrors", "others"), [({"us/gre:x:0": {}}, []), ({}, ["ovn-us/gre:x:0"])])
def test_the_tunnel_of_a_mirror_is_known_by_its_name(mirrors: dict[str, t.Any], others: list[str]) -> None:
    ours = {"external_ids": {"overloom-owner": "us"}, "ports": {"ovn-us/gre:x:0": None}}
    found = database(**{"br-ovn": ours})
    found.tables["Bridge"]["br-ovn"]["mirrors"] = mirrors
    found.tables["Open_vSwitch"][ROOT]["external_ids"]["overloom-ovn-chassis"] = "us"
    assert [one["name"] for one in in_switch(found, "us", set())] == others


SUBNETS = {
    "a NIC of the same subnet": ("eth0", {"addresses": ("192.168.200.7/24",)}, "192.168.200.7/24"),
    "one by DHCP": ("eth0", {"leased": ("192.168.200.7/24",)}, "192.168.200.7/24"),
    "a part of it": ("wg0", {"kind": "tun", "addresses": ("192.168.200.129/25",)}, "192.168.200.129/25"),
    "a wider network, which loses": ("eth0", {"addresses": ("192.168.0.9/16",)}, None),
    "another subnet": ("eth0", {"addresses": ("192.168.201.7/24", "fe80::1/64")}, None),
    "one that is down": ("eth0", {"addresses": ("192.168.200.7/24",), "up": False}, None),
    "the NIC whose address moves to the bridge": ("eth1", {"addresses": ("192.168.200.7/24",)}, None),
    "the bridge that has it since": ("br-underlay", {"addresses": ("192.168.200.7/24",)}, None),
    "a bridge of others": ("br-ex", {"addresses": ("192.168.200.7/24",)}, "192.168.200.7/24"),
    "what is ours": ("tep0", {"addresses": ("192.168.200.7/24",)}, None),
    "what has a mark": ("old", {"addresses": ("192.168.200.7/24",), "alias": "overloom:us"}, None),
}


@pytest.mark.parametrize(("name", "options", "told_of"), SUBNETS.values(), ids=SUBNETS)
def test_an_interface_in_the_subnet_of_a_tunnel_endpoint_is_told(name, options, told_of) -> None:
    claims = [
        Claim("nic", "eth1", "br-underlay", ""),
        Claim("interface", "tep0", "br-underlay", ""),
        Claim("address", "192.168.200.1/24", "tep0", ""),
    ]
    host = NOTHING._replace(
        interfaces={name: interface(name, **options)}, database=database(**{"br-underlay": {}, "br-ex": {}})
    )
    told_now = shared_subnets(claims, host)
    assert told_now == [
        f"{name} has {told_of} in the subnet of 192.168.200.1/24, which tep0 gets: packets may leave by either, and each of the two may answer "
        "for the other's address; take another subnet for one of them"
    ] * bool(told_of)


@pytest.mark.parametrize(
    ("wanted", "told_of"),
    [
        ("192.168.200.1/24", "interface tep0 has it"),
        ("192.168.200.9/24", "interface tep0 has 192.168.200.1/24 of the same subnet"),
        ("192.168.200.9/25", "interface tep0 has 192.168.200.1/24 of the same subnet"),
        ("192.168.201.1/24", None),
        ("fd00::1/64", None),
    ],
)
def test_a_subnet_of_another_fabric_is_refused_with_its_name(wanted, told_of) -> None:
    marked = interface("tep0", addresses=("192.168.200.1/24",), alias="overloom:stack")
    host = NOTHING._replace(interfaces={"tep0": marked})
    sentence = f"address {wanted} belongs to the owner stack ({told_of}); take another"
    assert told(host, "address", wanted, "tep2") == ([sentence] if told_of else [])
    # A network of the host itself may hold the fabric's: the more specific route wins.
    plain = NOTHING._replace(interfaces={"eth0": interface("eth0", addresses=("192.168.0.9/16",))})
    assert told(plain, "address", "192.168.200.1/24", "tep2") == []


def test_all_that_others_use_may_be_adopted_but_of_another_fabric_only_what_is_named() -> None:
    marks = {"theirs": {"fail_mode": "secure"}, "stack": {"external_ids": {"overloom-owner": "stack"}}}
    host = NOTHING._replace(database=database(**marks))
    theirs, stack = findings([Claim("bridge", name, "", "take another") for name in marks], host, "us")
    assert [may_adopt(one, ["*"]) for one in (theirs, stack)] == [True, False]
    assert may_adopt(stack, ["stack"]) and not may_adopt(theirs, ["stack"])
    assert "or name stack in fabric_adopt to take it over" in stack["msg"]


NETPLAN = """network:
  version: 2
  renderer: networkd
  ethernets:
    eth1:
      dhcp4: no
    "eth2":
      match: {macaddress: "02:00:00:00:00:01"}
      addresses: [192.0.2.1/24]
      nameservers:
        addresses: [192.0.2.53]
    eth3:
      addresses: []
      dhcp4-overrides:
        use-dns: true
      nameservers:
        addresses: [192.0.2.53]
    eth4:
      nameservers:
        addresses:
          - 192.0.2.53
      dhcp6: true
  bridges:
    br-int:
      interfaces: [eth2]
      # dhcp4: true
  openvswitch:
    protocols: [OpenFlow13]
"""


NETPLAN_PARTS = """network:
  bonds:
    bond0:
      interfaces:
      - eth1
      - "eth2"
      dhcp4: true
  vlans:
    v7:
      id: 7
      link: eth3
"""
# As Proxmox VE writes it, with its Open vSwitch and its own VXLANs.
PROXMOX = """auto lo
iface eno1 inet manual
allow-vmbr1 eno2
iface eno2 inet manual
\tovs_type OVSPort
\tovs_bridge vmbr1

auto vmbr0
iface vmbr0 inet static
\taddress 192.0.2.1/24
\tbridge-ports eno1
\tbridge-stp off

auto vmbr1
iface vmbr1 inet manual
\tovs_type OVSBridge
\tovs_ports \\
\t\teno2

auto storage
iface storage inet static
\taddress 198.51.100.1/24
\tovs_type OVSIntPort
\tovs_bridge vmbr1
auto vnet1
iface vnet1
\tbridge_ports vxlan_vnet1
auto vxlan_vnet1
iface vxlan_vnet1
\tvxlan-id 100
\tvxlan_remoteip 192.0.2.2
"""


@pytest.mark.parametrize(
    ("path", "text", "named"),
    [
        ("a.netdev", "[NetDev]\nName=br-int\nKind=bridge\n", [("br-int", True, False)]),
        (
            "a.network",
            "[Match]\nName=eth1 eth2\n# Name=eth3\n[Network]\nDHCP=yes\n",
            [("eth1", False, True), ("eth2", False, True)],
        ),
        ("a.network", "[Match]\nName = eth1\n[Network]\nDHCP=no\n", [("eth1", False, False)]),
        ("a.network", "[Match]\nName = eth1\n[Network]\nBridge=br0\nDHCP=no\n", [("eth1", False, True)]),
        (
            "a.nmconnection",
            "[connection]\nid=x\ntype=ovs-bridge\ninterface-name=br-int\n[ipv4]\nmethod=disabled\n",
            [("br-int", True, False)],
        ),
        (
            "a.nmconnection",
            "[connection]\ntype=ethernet\ninterface-name=eth1\n[ipv4]\nmethod=auto\n",
            [("eth1", False, True)],
        ),
        (
            "interfaces",
            "auto eth1\niface eth1 inet manual\n\nallow-ovs br-int\niface br-int inet static\n  address 192.0.2.1/24\n  ovs_type OVSBridge\n",
            [("eth1", False, False), ("br-int", True, True)],
        ),
        (
            "a.yaml",
            NETPLAN,
            [
                ("eth1", False, False),
                ("eth2", False, True),
                ("eth3", False, False),
                ("eth4", False, True),
                ("br-int", True, False),
                ("eth2", False, True),
            ],
        ),
        (
            "a.yaml",
            NETPLAN_PARTS,
            [
                ("bond0", True, True),
                ("eth1", False, True),
                ("eth2", False, True),
                ("v7", True, False),
                ("eth3", False, True),
            ],
        ),
        (
            "interfaces",
            PROXMOX,
            [
                ("eno1", False, False),
                ("eno2", False, True),
                ("vmbr0", True, True),
                ("eno1", False, True),
                ("vmbr1", True, False),
                ("eno2", False, True),
                ("storage", True, True),
                ("vnet1", True, False),
                ("vxlan_vnet1", False, True),
                ("vxlan_vnet1", True, False),
            ],
        ),
        (
            "a.nmconnection",
            "[connection]\ntype=ethernet\ninterface-name=eth1\nmaster=br-ex\nslave-type=ovs-port\n",
            [("eth1", False, True)],
        ),
        ("a.network", "[Match]\nName=eth1\n[Network]\nDHCP=none\n", [("eth1", False, False)]),
        # What images have for whichever NIC there is names none.
        ("a.network", "[Match]\nName=en*\n[Network]\nDHCP=yes\n", [("en*", False, True)]),
        (
            "a.nmconnection",
            "[connection]\ntype=ethernet\ninterface-name=eth1\nautoconnect=false\n[ipv4]\nmethod=auto\n",
            [("eth1", False, False)],
        ),
        (
            "interfaces",
            "auto lo eth1\niface lo inet loopback\niface eth1 inet dhcp\niface eth2 inet dhcp\nallow-hotplug eth3\niface eth3 inet6 auto\n",
            [("lo", False, False), ("eth1", False, True), ("eth2", False, False), ("eth3", False, True)],
        ),
        ("a.yaml", "network: {version: 2}\n", []),
        (
            "n.xml",
            "<!-- WARNING: made by libvirt -->\n<network><forward mode='nat'/><bridge name='br-int'/></network>",
            [("br-int", True, False)],
        ),
        ("n.xml", "<network><bridge name='br-int' stp='on'/></network>", [("br-int", True, False)]),
        ("n.xml", "<network><forward mode='bridge'/><bridge name='br-int'/></network>", []),
        ("n.xml", "<network><forward mode='nat'/></network>", []),
        ("n.xml", "<network>", []),
    ],
)
def test_a_hosts_own_files_name_interfaces(path, text, named) -> None:
    assert [(one.name, one.made, one.used) for one in parse(path, text)] == named


def test_files_of_a_manager_that_the_host_does_not_have_name_nothing_and_no_remark_stops_the_look(
    tmp_path, monkeypatch
) -> None:
    path = tmp_path / "interfaces"
    path.write_bytes("# für die Dose\nauto eth1\niface eth1 inet dhcp\n".encode("latin-1"))
    monkeypatch.setattr(_network_files, "FILES", ((str(path), "no-such-manager"),))
    assert _network_files.read() == []
    monkeypatch.setattr(_network_files, "FILES", ((str(path), "sh"),))
    assert _network_files.read() == [Named("eth1", str(path), False, True)]


def test_a_nic_of_a_switch_that_stands_still_is_not_taken_for_anothers() -> None:
    nics = {"eth1": interface("eth1", master="ovs-system"), "eth2": interface("eth2", master="br0")}
    still = NOTHING._replace(interfaces=nics, switch=False)
    assert told(still, "nic", "eth1", "br-underlay") == []
    assert "(a part of br0)" in told(still, "nic", "eth2", "br-underlay")[0]
    assert "(a part of ovs-system)" in told(still._replace(switch=True), "nic", "eth1", "br-underlay")[0]


def test_what_a_hosts_own_configuration_makes_or_addresses_is_in_use_before_it_is_there() -> None:
    nics = {name: interface(name) for name in ("eth1", "eth2", "eth3")}
    nics["eth1.7"] = interface("eth1.7", kind="vlan", parent="eth1", vlan=7)
    nics["v0"] = interface("v0", kind="veth", parent="eth3")
    files = [
        Named("br-int", "/f/br.netdev", True, False),
        Named("eth2", "/f/eth2", False, True),
        Named("eth3", "/f/eth3", False, False),
    ]
    host = NOTHING._replace(interfaces=nics, files=files, database=database(**{"br-own": {**OURS}}))
    assert (
        "bridge br-int was there before the fabric and is in use (configured in /f/br.netdev); take another"
        in told(host, "bridge", "br-int")[0]
    )
    assert "(configured in /f/br.netdev)" in told(host, "interface", "br-int", "br-own")[0]
    assert "(vlan eth1.7)" in told(host, "nic", "eth1", "br-own")[0]
    assert "(configured in /f/eth2)" in told(host, "nic", "eth2", "br-own")[0]
    assert told(host, "nic", "eth3", "br-own") == [] == told(host, "bridge", "br-own")
