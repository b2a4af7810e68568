# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An underlay that is the kernel's: what host_network gets, what verify and trace make of what is read, and what is refused with which sentence."""

from __future__ import annotations

import copy
import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._host_network.compare import state_of
from ansible_collections.overloom.fabric.plugins.module_utils._host_network.declaration import INTERFACE, items, merged
from ansible_collections.overloom.fabric.plugins.module_utils._host_network.reader import Found
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import Died
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.underlay import Outer, Underlay, _carried
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import host_state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.state import judge
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

Item = t.Dict[str, t.Any]
BOND: Item = {"interfaces": ["eth1", "eth2"]}
RESET: Item = {"primary": "", "up_delay": 0, "down_delay": 0, "lacp_rate": "", "xmit_hash_policy": ""}


def fabric(underlay: Item, own: Item | None = None, **common: t.Any) -> dict[str, Item]:
    """Two hosts on one underlay, of which the second says something for itself."""
    base = {
        "fabric_name": "f",
        "fabric_segments": [{"name": "web", "vlan": 10, "subnet": "10.1.1.0/24"}],
        "fabric_underlay": {"engine": "kernel", **underlay},
        **common,
    }
    return {
        "kvm1": {**base, "fabric_endpoints": [{"name": "a", "segment": "web"}]},
        "kvm2": {**base, "fabric_endpoints": [{"name": "b", "segment": "web"}], **(own or {})},
    }


def planned(underlay: Item, own: Item | None = None, **common: t.Any) -> Item:
    return compile_plan(fabric(underlay, own, **common), SPEC)


def refused(underlay: Item, own: Item | None = None, **common: t.Any) -> list[str]:
    with pytest.raises(PlanError) as error:
        planned(underlay, own, **common)
    return error.value.problems


TEP = {"mtu": 1500, "addresses": ["192.168.200.1/24"]}


@pytest.mark.parametrize(
    ("underlay", "wanted", "tep"),
    [
        (
            {"bond": BOND, "vlan": 200},
            [
                {
                    "name": "bond0",
                    "members": ["eth1", "eth2"],
                    "mode": "active-backup",
                    **RESET,
                    **TEP,
                    "addresses": [],
                },
                {"name": "tep0", "parent": "bond0", "vlan": 200, **TEP},
            ],
            "tep0",
        ),
        (
            {"bond": {**BOND, "name": "up", "mode": "lacp", "lacp_rate": "fast", "up_delay": 200}},
            [
                {
                    "name": "up",
                    "members": ["eth1", "eth2"],
                    "mode": "802.3ad",
                    **RESET,
                    **TEP,
                    "lacp_rate": "fast",
                    "up_delay": 200,
                    "xmit_hash_policy": "layer3+4",
                }
            ],
            "up",
        ),
        ({"vlan": 7, "tep": "under"}, [{"name": "under", "parent": "eth1", "vlan": 7, **TEP}], "under"),
        ({"interface": "enp1s0"}, [{"name": "enp1s0", **TEP}], "enp1s0"),
    ],
)
def test_the_kernel_has_the_tunnel_endpoint_and_no_bridge_is_on_the_underlay(
    underlay: Item, wanted: list[Item], tep: str
) -> None:
    host = planned(underlay)["hosts"]["kvm1"]
    assert host["host_network"] == wanted and host["underlay"]["tep"]["name"] == tep
    assert host["underlay"]["bridge"] is None and [bridge["name"] for bridge in host["bridges"]] == ["br-int"]
    # The module takes each as it is.
    left_out = dict.fromkeys(INTERFACE)
    rows = [{**left_out, "state": "present", **item} for item in host["host_network"]]
    for item in items({"interfaces": rows, "name": None}):
        merged(item, None)


def test_a_host_says_for_itself_who_makes_its_underlay() -> None:
    plan = planned({"bond": BOND}, {"fabric_underlay_engine": "openvswitch", "fabric_underlay_interface": "eth7"})
    one, other = (plan["hosts"][name] for name in ("kvm1", "kvm2"))
    assert (one["underlay"]["engine"], other["underlay"]["engine"]) == ("kernel", "openvswitch")
    assert one["host_network"] and not other["host_network"]
    assert [bridge["name"] for bridge in other["bridges"]] == ["br-underlay", "br-int"]
    assert plan["sources"]["hosts.kvm1.underlay.engine"] == "given: fabric_underlay.engine"
    assert plan["sources"]["hosts.kvm2.underlay.engine"] == "given: kvm2: fabric_underlay_engine"


def test_the_first_look_at_a_host_is_for_the_bond_its_nics_and_the_address() -> None:
    plan = planned({"bond": BOND, "vlan": 200}, {"fabric_underlay_interface": "eth7"})
    found = {}
    for name in plan["hosts"]:
        found[name] = {(claim["kind"], claim["name"], claim["on"]) for claim in plan["claims"][name]["claims"]}
    bond = {("interface", "bond0", ""), ("nic", "eth1", "bond0"), ("nic", "eth2", "bond0")}
    assert {*bond, ("interface", "tep0", ""), ("address", "192.168.200.1/24", "tep0")} <= found["kvm1"]
    # A NIC that carries a VLAN may be used by others as well.
    assert ("nic", "eth7", "") in found["kvm2"]


def link(name: str, kind: str | None = None, data: Item | None = None, **more: t.Any) -> Item:
    info = {"linkinfo": {"info_kind": kind, "info_data": data or {}}} if kind else {}
    return {"ifname": name, "ifindex": 7, "flags": ["UP", "LOWER_UP"], "mtu": 1500, "addr_info": [], **info, **more}


def as_read() -> dict[str, Item]:
    """The links of a host whose bond and VLAN are as planned, as ip(8) tells them."""
    slaves = {"master": "bond0", "linkinfo": {"info_slave_kind": "bond", "info_slave_data": {"mii_status": "UP"}}}
    settings = {"mode": "active-backup", "miimon": 100, "updelay": 0, "downdelay": 0, "primary": "eth1"}
    tep = {"family": "inet", "local": "192.168.200.1", "prefixlen": 24, "scope": "global"}
    links = [
        link("eth1", **copy.deepcopy(slaves)),
        link("eth2", **copy.deepcopy(slaves)),
        link("bond0", "bond", {**settings, "active_slave": "eth1"}),
        link("tep0", "vlan", {"id": 200}, link="bond0", addr_info=[tep]),
    ]
    return {one["ifname"]: one for one in links}


def seen(links: dict[str, Item]) -> dict[str, str]:
    """What verify and status say of the interfaces, by name."""
    plan = planned({"bond": {**BOND, "primary": "eth1"}, "vlan": 200})
    wanted = host_state(plan["hosts"]["kvm1"])["host_network"]
    read = {"host_network": [state_of(name, Found(links, frozenset())) for name in wanted]}
    checks = judge("kvm1", {"host_network": wanted, "flows": {}}, read)
    assert [check["kind"] for check in checks] == ["interface", "interface"]
    return {check["thing"]: check["observed"] for check in checks}


def test_verify_holds_mode_members_active_member_vlan_and_address() -> None:
    assert seen(as_read()) == {"bond0": "as planned", "tep0": "as planned"}
    cases: list[tuple[str, t.Callable[[dict[str, Item]], t.Any], str]] = [
        ("bond0", lambda links: links["bond0"]["linkinfo"]["info_data"].update(mode="balance-rr"), "mode balance-rr"),
        (
            "bond0",
            lambda links: links["bond0"]["linkinfo"]["info_data"].update(active_slave="eth2"),
            "active_slave eth2",
        ),
        (
            "bond0",
            lambda links: links["eth2"]["linkinfo"]["info_slave_data"].update(mii_status="DOWN"),
            "members_up eth1",
        ),
        ("bond0", lambda links: links["eth2"].update(master=None), "members eth1, members_up eth1"),
        ("bond0", lambda links: links.pop("bond0"), "it is not there"),
        ("tep0", lambda links: links["tep0"]["linkinfo"]["info_data"].update(id=201), "vlan 201"),
        ("tep0", lambda links: links["tep0"].update(addr_info=[]), "addresses not set"),
        ("tep0", lambda links: links["tep0"].update(flags=["UP"]), "link_state down"),
        ("tep0", lambda links: links["tep0"].update(mtu=1400), "mtu 1400"),
    ]
    for name, change, said in cases:
        links = as_read()
        change(links)
        assert seen(links)[name] == said


class View:
    """What trace reads of a host, as far as the underlay asks."""

    def __init__(self, plan: Item) -> None:
        self.plan = plan


def traced(change: t.Callable[[Item], t.Any]) -> list[str]:
    """The notes of a packet that crosses the bond, or why it dies."""
    plan = planned({"bond": BOND, "vlan": 200})
    shown = {"mtu": 1500, "up": True, "carrier": True, "master": None, "vlan": None}
    links: Item = {name: {**shown, "name": name} for name in ("eth1", "eth2", "bond0", "tep0")}
    for nic in BOND["interfaces"]:
        links[nic]["master"] = "bond0"
    links["tep0"]["vlan"] = 200
    change(links)
    underlay = Underlay(t.cast("t.Any", View(plan)))
    try:
        return _carried(underlay, {"links": links}, "kvm1", "tep0", Outer("", "", 1500))
    except Died as died:
        return [died.cause, died.because]


def test_trace_follows_the_packet_through_the_kernels_bond() -> None:
    assert traced(lambda _links: None) == ["bond bond0 of eth1, eth2"]
    assert traced(lambda links: links["eth2"].update(carrier=False)) == [
        "bond bond0 of eth1",
        "eth2 on kvm1 has no carrier: the cable or its other end is down",
    ]
    both = traced(lambda links: [links[nic].update(master=None) for nic in BOND["interfaces"]])
    assert both[0] == "port-gone" and "bond bond0 on kvm1 has no member eth1" in both[1]
    assert traced(lambda links: links["tep0"].update(vlan=201)) == ["tag", "tep0 on kvm1 is VLAN 201"]
    assert traced(lambda links: links["bond0"].update(up=False)) == ["underlay-down", "bond0 on kvm1 is down"]


def test_what_the_engines_do_not_share_is_refused_in_a_sentence() -> None:
    assert refused({"bond": {**BOND, "mode": "balance-slb"}}) == [
        "fabric_underlay.bond.mode balance-slb is Open vSwitch's; take active-backup or lacp, or the engine openvswitch in fabric_underlay."
    ]
    assert refused({"engine": "openvswitch", "bond": {**BOND, "mode": "balance-xor"}}) == [
        "fabric_underlay.bond.mode balance-xor is the kernel's; take active-backup or lacp, or the engine kernel in fabric_underlay."
    ]
    # Each host by its own engine.
    assert refused({"bond": {**BOND, "mode": "balance-alb"}}, {"fabric_underlay_engine": "openvswitch"}) == [
        "fabric_underlay.bond.mode balance-alb is the kernel's; take active-backup or lacp, or the engine kernel in fabric_underlay."
    ]
    assert refused({"bond": {**BOND, "up_delay": 150}}) == [
        "fabric_underlay.bond.up_delay 150 is no multiple of 100, as the kernel looks at the links every 100 ms; round it."
    ]
    planned({"bond": {**BOND, "mode": "lacp", "up_delay": 200, "down_delay": 0}})
    assert refused({"engine": "linux"}) == ["fabric_underlay.engine must be one of openvswitch, kernel, not 'linux'."]


def test_what_the_kernel_has_no_place_for_is_refused_in_a_sentence() -> None:
    assert refused({"vlan": 200}, fabric_overlays=[{"name": "plain", "encapsulation": "vlan"}]) == [
        "fabric_overlays[plain] has the encapsulation vlan, but kvm1 has no underlay bridge to plug endpoints into, as"
        " fabric_underlay.engine is kernel; take a tunnel, as vxlan, or the engine openvswitch."
    ]
    assert refused({"bond": BOND}, fabric_links=[{"ends": ["kvm1:eth1", "kvm2:eth1"]}]) == [
        "fabric_underlay.bond is for a switched underlay, but fabric_links makes it routed, with a NIC for each link; leave one of them out.",
        "fabric_underlay.engine kernel is for a switched underlay, but fabric_links makes it routed; leave one of them out.",
    ]
    assert refused({"bridge": "br-x", "tep": "tep1"}) == [
        "fabric_underlay.bridge is Open vSwitch's, and the kernel has the underlay of each host; leave it out.",
        "fabric_underlay.tep names the interface of a VLAN, and fabric_underlay.vlan is not given; leave it out.",
    ]
    assert refused({"interface": "eth$1"}) == [
        f"{name}: the name eth$1 is none that systemd-networkd, NetworkManager and ifupdown take; use letters, digits and _.@+-."
        for name in ("kvm1", "kvm2")
    ]
    # A name that only Open vSwitch would need is free for others.
    planned({"bond": {**BOND, "name": "br-underlay"}, "vlan": 200})
