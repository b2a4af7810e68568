# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for the plan of any valid intent."""

from __future__ import annotations

import collections
import copy
import ipaddress
import json
import time

import pytest
import yaml
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import interface_name
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations, host_state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.judge import judge
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.state import judge as judge_state
from ansible_collections.overloom.fabric.tests.unit.acceptance import refusals
from ansible_collections.overloom.fabric.tests.unit.intents import CHECKOUT, SPEC, fabrics

many = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def plan_of(hosts, **more):
    return compile_plan(hosts, SPEC, **more)


@many
@given(fabrics())
def test_a_valid_intent_compiles_to_json_and_back(hosts):
    before = copy.deepcopy(hosts)
    plan = plan_of(hosts)
    assert json.loads(json.dumps(plan)) == plan
    assert hosts == before, "the intent was changed"
    assert plan_of(hosts) == plan


@many
@given(fabrics())
def test_addresses_are_unique_and_inside_and_never_network_or_broadcast(hosts):
    plan = plan_of(hosts)
    nets = {segment["name"]: segment for segment in plan["segments"]}
    seen = collections.Counter()
    for point in plan["endpoints"]:
        for field, subnet in (("address", "subnet"), ("address6", "subnet6")):
            if nets[point["segment"]][subnet] is None:
                assert point[field] is None
                continue
            net, address = ipaddress.ip_network(nets[point["segment"]][subnet]), ipaddress.ip_address(point[field])
            assert address in net and address != net.network_address
            assert net.version == 6 or address != net.broadcast_address
            assert point[field.replace("address", "prefix")] == net.prefixlen
            seen[address] += 1
    underlay = ipaddress.ip_network(plan["underlay"]["subnet"])
    for tep in plan["teps"]:
        address = ipaddress.ip_address(tep["address"])
        assert address in underlay and address not in (underlay.network_address, underlay.broadcast_address)
        seen[address] += 1
    macs = [point["mac"] for point in plan["endpoints"]]
    assert len(set(macs)) == len(macs) and not any(int(mac[:2], 16) & 1 for mac in macs)
    assert set(seen.values()) <= {1}


@many
@given(fabrics())
def test_what_is_given_is_taken(hosts):
    plan = plan_of(hosts)
    points = {point["id"]: point for point in plan["endpoints"]}
    for name, variables in hosts.items():
        assert plan["hosts"][name]["id"] == variables["fabric_host_id"]
        bond, underlay = variables.get("fabric_underlay_bond"), plan["hosts"][name]["underlay"]
        nics = [variables.get("fabric_underlay_interface", "eth1")] if bond is None else bond["interfaces"]
        assert underlay["nics"] == nics and {**(bond or {}), **(underlay["bond"] or {})} == (underlay["bond"] or {})
        for endpoint in variables["fabric_endpoints"]:
            for option, value in endpoint.items():
                assert points[f"{name}/{endpoint['name']}"][option] == value
    for given_segment, segment in zip(variables["fabric_segments"], plan["segments"]):
        assert {option: segment[option] for option in given_segment} == given_segment
    for given_overlay, overlay in zip(variables.get("fabric_overlays", ()), plan["overlays"]):
        for option, value in given_overlay.items():
            if option not in ("hubs", "links", "bfd"):
                assert overlay[option] == value
    for option, value in variables["fabric_underlay"].items():
        assert plan["underlay"][option] == value


def without_host(plan, gone):
    """What the plan gives to each host, but for the tunnels to one that is gone."""
    address = {tep["host"]: tep["address"] for tep in plan["teps"]}[gone]
    result = {}
    for name, host in plan["hosts"].items():
        if name != gone:
            result[name] = {**host, "tunnels": [t for t in host["tunnels"] if t["remote_ip"] != address]}
    return result


@many
@given(fabrics(), st.data())
def test_adding_a_host_moves_nothing_of_the_others(hosts, data):
    assume(len(hosts) > 1)
    overlays = next(iter(hosts.values())).get("fabric_overlays", [{"topology": "full_mesh"}])
    assume(all(overlay["topology"] == "full_mesh" for overlay in overlays))
    new = data.draw(st.sampled_from(sorted(hosts)))
    larger = plan_of(hosts)
    smaller = plan_of({name: variables for name, variables in hosts.items() if name != new})
    after, before = without_host(larger, new), {name: smaller["hosts"][name] for name in smaller["hosts"]}
    for name in before:
        for tunnels in (after[name]["tunnels"], before[name]["tunnels"]):
            for tunnel in tunnels:
                # A third host is what makes a split horizon necessary.
                del tunnel["protected"]
        # The first tunnel of a host brings the bridge with it.
        # Its endpoints are neighbors of those that were there.
        assert after[name].pop("neighbor_limit") >= before[name].pop("neighbor_limit")
        for host in (after[name], before[name]):
            host["bridges"] = sorted(
                (b for b in host["bridges"] if b in before[name]["bridges"]), key=lambda bridge: bridge["name"]
            )
    assert after == before


@many
@given(fabrics())
def test_the_order_of_hosts_means_nothing(hosts):
    assert plan_of(dict(reversed(hosts.items()))) == plan_of(hosts)


@many
@given(fabrics())
def test_an_appended_endpoint_moves_nothing(hosts):
    name = sorted(hosts)[0]
    segment = hosts[name]["fabric_segments"][0]["name"]
    more = copy.deepcopy(hosts)
    more[name]["fabric_endpoints"].append({"name": "one-more", "segment": segment, "mac": "52:54:00:ff:ff:ff"})
    try:
        after = plan_of(more)
    except PlanError:
        assume(False)
    before = plan_of(hosts)
    assert [p for p in after["endpoints"] if p["name"] != "one-more"] == before["endpoints"]
    assert after["teps"] == before["teps"]


@many
@given(fabrics())
def test_a_tunnel_has_two_ends_that_mirror_each_other(hosts):
    plan = plan_of(hosts)
    ends = {}
    own = {tep["host"]: tep["address"] for tep in plan["teps"]}
    for name, host in plan["hosts"].items():
        names = [tunnel["name"] for tunnel in host["tunnels"]]
        assert len(set(names)) == len(names)
        for tunnel in host["tunnels"]:
            interface_name(tunnel["name"], "a tunnel")
            assert tunnel.get("local_ip", own[name]) == own[name]
            key = (tunnel["bridge"], own[name], tunnel["remote_ip"])
            assert key not in ends
            ends[key] = {k: v for k, v in tunnel.items() if k not in ("name", "local_ip", "remote_ip")}
    for (bridge, local, remote), tunnel in ends.items():
        assert local != remote
        assert ends[bridge, remote, local] == tunnel


def flood(plan, overlay, start):
    """How many copies of a frame each host gets that one host floods into an overlay, or None if it never ends."""
    address = {tep["address"]: tep["host"] for tep in plan["teps"]}
    ports = {}
    for name, host in plan["hosts"].items():
        tunnels = [tunnel for tunnel in host["tunnels"] if tunnel["bridge"] == overlay["bridge"]]
        ports[name] = [(address[tunnel["remote_ip"]], tunnel["protected"]) for tunnel in tunnels]
    if overlay["loop_guard"] == "rstp":
        ports = spanning_tree(ports)
    copies, queue = collections.Counter(), [(start, None)]
    while queue:
        here, source = queue.pop()
        copies[here] += 1
        if copies[here] > 50:
            return None
        from_protected = any(protected for peer, protected in ports[here] if peer == source)
        queue += [
            (peer, here) for peer, protected in ports[here] if peer != source and not (protected and from_protected)
        ]
    return copies


def spanning_tree(ports):
    tree, seen = {name: [] for name in ports}, set()
    for root in sorted(ports):
        queue = [] if root in seen else [root]
        seen.add(root)
        while queue:
            here = queue.pop(0)
            for peer, protected in ports[here]:
                if peer not in seen:
                    seen.add(peer)
                    queue.append(peer)
                    tree[here].append((peer, protected))
                    tree[peer].append((here, protected))
    return tree


@many
@given(fabrics())
def test_a_flooded_frame_reaches_every_host_exactly_once(hosts):
    plan = plan_of(hosts)
    for overlay in plan["overlays"]:
        for bridge in (b for host in plan["hosts"].values() for b in host["bridges"] if b["name"] == overlay["bridge"]):
            assert bridge["rstp"] == (overlay["loop_guard"] == "rstp")
        for start in plan["hosts"]:
            assert flood(plan, overlay, start) == dict.fromkeys(plan["hosts"], 1)


@many
@given(fabrics())
def test_a_tunnel_carries_exactly_the_vlans_of_its_overlay(hosts):
    plan = plan_of(hosts)
    for overlay in plan["overlays"]:
        vlans = sorted(s["vlan"] or 0 for s in plan["segments"] if s["overlay"] == overlay["name"])
        for host in plan["hosts"].values():
            for tunnel in host["tunnels"]:
                if tunnel["bridge"] == overlay["bridge"]:
                    assert tunnel["trunks"] == ([] if vlans == [0] else vlans)
                    assert tunnel["tag"] == ""


@many
@given(fabrics())
def test_a_tunnel_is_of_its_overlays_type_and_gre_over_ipv6_has_its_own(hosts):
    plan = plan_of(hosts)
    six = ":" in plan["underlay"]["subnet"]
    for overlay in plan["overlays"]:
        kind = "ip6gre" if six and overlay["encapsulation"] == "gre" else overlay["encapsulation"]
        assert {
            t["type"] for h in plan["hosts"].values() for t in h["tunnels"] if t["bridge"] == overlay["bridge"]
        } <= {kind}


@many
@given(fabrics())
def test_an_endpoint_is_on_its_segments_vlan_and_no_other(hosts):
    plan = plan_of(hosts)
    segments = {segment["name"]: segment for segment in plan["segments"]}
    ports = {(name, s["name"]): s for name, host in plan["hosts"].items() for s in host["namespaces"]}
    for point in plan["endpoints"]:
        port, segment = ports[point["host"], point["name"]], segments[point["segment"]]
        assert port["bridge"] == segment["bridge"]
        alone = sum(s["bridge"] == segment["bridge"] for s in plan["segments"]) == 1
        if segment["vlan"] is None:
            assert (port["tag"], port["trunks"]) == ("", [] if alone else [0])
        else:
            assert (port["tag"], port["trunks"]) == (segment["vlan"], [])


def wire_packet(encapsulation, version, inner, vlan, key, csum):
    """A tunnel's packet around an inner IP packet, built from the RFCs' header formats."""
    frame = bytes(12) + (b"\x81\x00" + vlan.to_bytes(2, "big") if vlan else b"") + b"\x08\x00" + inner
    if encapsulation == "gre":  # RFC 2784 section 2.1, RFC 2890 section 2
        flags = (0x8000 if csum else 0) | (0x2000 if key else 0)
        header = (
            flags.to_bytes(2, "big")
            + b"\x65\x58"
            + (bytes(4) if csum else b"")
            + (key.to_bytes(4, "big") if key else b"")
        )
    else:  # RFC 7348 section 5 and RFC 8926 section 3.4: UDP, then flags, protocol and VNI in eight bytes
        header = bytes(8) + b"\x08\x00\x00\x00" + (key or 0).to_bytes(3, "big") + b"\x00"
    return bytes(20 if version == 4 else 40) + header + frame


@many
@given(fabrics())
def test_the_largest_inner_packet_fills_the_underlays_mtu_exactly(hosts):
    plan = plan_of(hosts)
    overlays = {overlay["name"]: overlay for overlay in plan["overlays"]}
    given_mtu = {s["name"]: s.get("mtu") for s in next(iter(hosts.values()))["fabric_segments"]}
    for segment in plan["segments"]:
        overlay = overlays[segment["overlay"]]
        version = ipaddress.ip_network(plan["underlay"]["subnet"]).version
        packet = wire_packet(
            overlay["encapsulation"],
            version,
            bytes(segment["mtu"]),
            segment["vlan"],
            overlay["key"],
            overlay.get("csum"),
        )
        if given_mtu[segment["name"]] is None:
            assert len(packet) == plan["underlay"]["mtu"]
        else:
            assert segment["mtu"] == given_mtu[segment["name"]] and len(packet) <= plan["underlay"]["mtu"]
    for point in plan["endpoints"]:
        assert point["mtu"] == next(s["mtu"] for s in plan["segments"] if s["name"] == point["segment"])


@pytest.mark.parametrize(
    "encapsulation, underlay, options, vlan, expected",
    [
        ("gre", "192.168.200.0/24", {}, None, 1462),
        ("gre", "192.168.200.0/24", {}, 10, 1458),
        ("gre", "192.168.200.0/24", {"key": 5}, 10, 1454),
        ("gre", "192.168.200.0/24", {"key": 5, "csum": True}, 10, 1450),
        ("vxlan", "192.168.200.0/24", {}, None, 1450),
        ("vxlan", "192.168.200.0/24", {"key": 5, "csum": True}, None, 1450),
        ("vxlan", "fd00::/64", {}, None, 1430),
        ("geneve", "192.168.200.0/24", {}, 10, 1446),
        ("geneve", "fd00::/64", {}, 10, 1426),
    ],
)
def test_the_mtu_of_well_known_cases(encapsulation, underlay, options, vlan, expected):
    hosts = {
        "kvm1": {
            "fabric_name": "test",
            "fabric_underlay": {"subnet": underlay},
            "fabric_overlays": [{"encapsulation": encapsulation, **options}],
            "fabric_segments": [{"name": "s", "vlan": vlan, "subnet": "10.1.1.0/24"}],
        }
    }
    assert plan_of(hosts)["segments"][0]["mtu"] == expected


@settings(parent=many, max_examples=30)
@given(fabrics())
def test_every_item_is_what_its_module_takes(hosts):
    assert [refusals(host) for host in plan_of(hosts)["hosts"].values()] == [[]] * len(hosts)


BOND = {"interfaces": ["eth1", "eth2"]}


@pytest.mark.parametrize(
    ("bond", "options"),
    [
        (BOND, {"bond_mode": "active-backup"}),
        (
            {**BOND, "primary": "eth2", "up_delay": 100, "down_delay": 0},
            {
                "bond_mode": "active-backup",
                "bond_primary": "eth2",
                "bond_updelay": 100,
                "bond_downdelay": 0,
            },
        ),
        ({**BOND, "name": "uplink", "mode": "balance-slb"}, {"name": "uplink", "bond_mode": "balance-slb"}),
        (
            {**BOND, "mode": "lacp", "lacp_rate": "fast"},
            {"bond_mode": "balance-tcp", "lacp": "active", "lacp_time": "fast"},
        ),
    ],
)
def test_a_bond_is_a_port_of_the_underlay_bridge_and_the_tunnel_endpoint_stays_beside_it(bond, options):
    common = {"fabric_name": "f", "fabric_segments": [], "fabric_underlay": {"vlan": 200, "bond": bond}}
    own = {"kvm1": {}, "kvm2": {"fabric_underlay_interface": "eth7"}, "kvm3": {"fabric_underlay_bond": BOND}}
    plan = plan_of({name: {**common, **variables} for name, variables in own.items()})
    port, tep = plan["hosts"]["kvm1"]["bridges"][0]["ports"]
    unset = ("bond_primary", "bond_updelay", "bond_downdelay", "lacp", "lacp_time", "tag", "vlan_mode")
    said = {"name": "bond0", "members": ["eth1", "eth2"], "up": True, "trunks": [], "mtu": 1500}
    assert port == {**dict.fromkeys(unset, ""), **said, **options}
    assert (tep["name"], tep["tag"], tep["addresses"]) == ("tep0", 200, ["192.168.200.1/24"])
    claimed = [(claim["kind"], claim["name"], claim["on"]) for claim in plan["claims"]["kvm1"]["claims"]]
    on = "br-underlay"
    assert {("port", port["name"], on), ("nic", "eth1", on), ("nic", "eth2", on)} <= set(claimed)
    # What a host says for itself is the whole of it.
    assert [port["name"] for port in plan["hosts"]["kvm2"]["bridges"][0]["ports"]] == ["eth7", "tep0"]
    assert plan["hosts"]["kvm3"]["underlay"]["bond"]["mode"] == "active-backup"
    expected = host_state(plan["hosts"]["kvm1"])["ports"][port["name"]]
    # Open vSwitch says nothing of partners where it asks for none.
    good = {"link_state": "up", "lacp_current": True if port["lacp"] else None}
    members = [{"name": nic, **good} for nic in BOND["interfaces"]]
    row = {**{name: value or None for name, value in port.items()}, "interfaces": members}
    read = {"bridges": [{"name": on, "ports": [row]}]}
    state = {"ports": {port["name"]: expected}, "flows": {}}
    assert [check["passed"] for check in judge_state("kvm1", state, read)] == [True]
    for name, lacking in (("members_up", {"link_state": "down"}), ("lacp_partners", {"lacp_current": False})):
        members[1].update(lacking)
        (check,) = judge_state("kvm1", state, read)
        seen = "as planned" if name == "lacp_partners" and not port["lacp"] else f"{name} eth1"
        assert check["observed"] == seen
        members[1].update(good)


@many
@given(fabrics())
def test_every_derived_value_says_where_it_came_from(hosts):
    plan = plan_of(hosts)
    sources = plan["sources"]
    for name in plan["hosts"]:
        assert {
            f"hosts.{name}.id",
            f"hosts.{name}.underlay.tep.address",
            f"hosts.{name}.underlay.nics",
        } <= sources.keys()
    for segment in plan["segments"]:
        assert {
            f"segments.{segment['name']}.{option}" for option in ("vlan", "subnet", "mtu", "overlay")
        } <= sources.keys()
    for overlay in plan["overlays"]:
        assert {
            f"overlays.{overlay['name']}.{option}"
            for option in ("encapsulation", "topology", "bridge", "key", "loop_guard")
        } <= sources.keys()
    for point in plan["endpoints"]:
        assert {
            f"endpoints.{point['id']}.{option}" for option in ("address", "mac", "interface", "mtu")
        } <= sources.keys()
    assert {value.partition(":")[0] for value in sources.values()} <= {"given", "default", "allocated", "derived"}


class TestAllocation:
    """The rules of docs/intent.md, one by one."""

    BASE = {
        "fabric_name": "test",
        "fabric_segments": [{"name": "s", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8::/64"}],
    }

    def plan(self, names, endpoints=1, **common):
        points = [{"name": f"e{i}", "segment": "s"} for i in range(endpoints)]
        return plan_of({name: {**self.BASE, "fabric_endpoints": points, **common} for name in names})

    def test_the_trailing_digits_of_a_name_are_the_hosts_id(self):
        plan = self.plan(["kvm07", "rack1-node12", "web3.example.com", "192.0.2.9"])
        assert {name: host["id"] for name, host in plan["hosts"].items()} == {
            "kvm07": 7,
            "rack1-node12": 12,
            "web3.example.com": 3,
            "192.0.2.9": 9,
        }

    def test_a_name_without_digits_has_an_id_of_its_own_that_stays(self):
        assert self.plan(["alpha"])["hosts"]["alpha"]["id"] == 32
        assert self.plan(["alpha", "kvm1", "kvm2"])["hosts"]["alpha"]["id"] == 32

    def test_digits_beyond_the_block_count_as_none(self):
        assert 1 <= self.plan(["kvm64"])["hosts"]["kvm64"]["id"] <= 63

    def test_a_tunnel_endpoint_has_the_hosts_id_in_the_first_block(self):
        assert [tep["address"] for tep in self.plan(["kvm1", "kvm63"])["teps"]] == ["192.168.200.1", "192.168.200.63"]

    def test_the_nth_endpoint_of_a_host_has_the_hosts_id_in_block_n(self):
        points = self.plan(["kvm5"], endpoints=3)["endpoints"]
        assert [point["address"] for point in points] == ["10.1.1.69", "10.1.1.133", "10.1.1.197"]
        assert [point["address6"] for point in points] == ["2001:db8::1:5", "2001:db8::2:5", "2001:db8::3:5"]

    def test_in_a_large_subnet_a_host_has_room_for_many_endpoints_and_their_addresses_are_readable(self):
        segment = {"name": "s", "vlan": 10, "subnet": "10.2.0.0/16", "subnet6": "2001:db8::/64"}
        points = self.plan(["kvm5"], endpoints=255, fabric_segments=[segment])["endpoints"]
        assert [point["address"] for point in points] == [f"10.2.{n}.5" for n in range(1, 256)]
        assert points[254]["address6"] == "2001:db8::ff:5"

    def test_the_neighbor_tables_of_a_host_have_room_for_its_segments(self):
        """Each endpoint has all others of its segment as neighbors, in both address families: 100 * 299 * 2, and twice that."""
        segment = {"name": "s", "vlan": 10, "subnet": "10.2.0.0/16", "subnet6": "2001:db8::/64"}
        hosts = ["kvm1", "kvm2", "kvm3"]
        for endpoints, limit in ((2, 1024), (100, 2**17)):
            plan = self.plan(hosts, endpoints=endpoints, fabric_segments=[segment])
            assert [plan["hosts"][name]["neighbor_limit"] for name in hosts] == [limit] * 3

    def test_max_hosts_makes_smaller_blocks(self):
        points = self.plan(["kvm5"], endpoints=15, fabric_max_hosts=12)["endpoints"]
        assert [point["address"] for point in points][:2] == ["10.1.1.21", "10.1.1.37"]
        assert points[-1]["address"] == "10.1.1.245"

    def test_the_broadcast_address_is_never_allocated(self):
        with pytest.raises(PlanError, match="has room for 2 endpoints of host id 63"):
            self.plan(["kvm63"], endpoints=3)

    def test_two_hosts_on_a_point_to_point_underlay_say_their_addresses(self):
        hosts = {
            f"kvm{n}": {
                **self.BASE,
                "fabric_underlay": {"subnet": "192.168.200.0/31"},
                "fabric_tep_address": f"192.168.200.{n}/31",
            }
            for n in (0, 1)
        }
        assert [host["underlay"]["tep"]["address"] for host in plan_of(hosts)["hosts"].values()] == [
            "192.168.200.1/31",
            "192.168.200.0/31",
        ]


class TestScenarios:
    """The inventories of the checkout."""

    @staticmethod
    def plan(name):
        folder = CHECKOUT / "inventory" / name
        everyone = yaml.safe_load((folder / "group_vars/all.yml").read_text(encoding="utf-8"))
        groups = yaml.safe_load((folder / "hosts.yml").read_text(encoding="utf-8"))["all"]["children"]

        def members(group, inherited):
            group = group or {}
            inherited = {**inherited, **(group.get("vars") or {})}
            found = {name: {**inherited, **(own or {})} for name, own in (group.get("hosts") or {}).items()}
            for child in (group.get("children") or {}).values():
                found.update(members(child, inherited))
            return found

        hosts, routers = (members(groups.get(group), everyone) for group in ("kvm_hosts", "routers"))
        return plan_of(hosts, routers=routers)

    @pytest.mark.parametrize("name", ["lab", "gre", "gre_vlan", "example"])
    def test_compiles(self, name):
        plan = self.plan(name)
        assert list(plan["hosts"]) == ["kvm1", "kvm2"] and plan["endpoints"]

    @pytest.mark.parametrize("name", ["ospf", "ospf_interop", "bgp_k8s"])
    def test_routers_compile(self, name):
        plan = self.plan(name)
        assert plan["links"] and all(router["routes"] for name, router in plan["routers"].items() if router["managed"])

    def test_gre_is_the_article_by_article(self):
        plan = self.plan("gre")
        for host, local, remote in (
            ("kvm1", "192.168.200.20", "192.168.200.21"),
            ("kvm2", "192.168.200.21", "192.168.200.20"),
        ):
            tunnel = plan["hosts"][host]["tunnels"][0]
            assert (tunnel["bridge"], tunnel["type"], tunnel["local_ip"], tunnel["remote_ip"]) == (
                "br2",
                "gre",
                local,
                remote,
            )
            assert plan["hosts"][host]["underlay"]["tep"] == {"name": "tep0", "address": f"{local}/24", "vlan": None}
        assert [(p["id"], p["address"], p["mtu"]) for p in plan["endpoints"]] == [
            ("kvm1/vm1", "10.10.10.1", 1462),
            ("kvm2/vm2", "10.10.10.2", 1462),
        ]

    def test_gre_vlan_is_a_mirror_image(self):
        plan = self.plan("gre_vlan")
        assert {(p["id"], p["segment"], p["address"]) for p in plan["endpoints"]} == {
            ("kvm1/vm1", "blue", "10.1.1.2"),
            ("kvm1/red", "red", "10.1.2.1"),
            ("kvm2/vm2", "red", "10.1.2.2"),
            ("kvm2/blue", "blue", "10.1.1.1"),
        }
        assert {s["name"]: s["vlan"] for s in plan["segments"]} == {"blue": 10, "red": 20, "green": 30}
        assert [t["trunks"] for host in plan["hosts"].values() for t in host["tunnels"]] == [[10, 20, 30]] * 2


def test_two_hundred_hosts_and_five_thousand_segments_take_seconds():
    common = {
        "fabric_name": "big",
        "fabric_max_hosts": 250,
        "fabric_overlays": [{"name": "a", "bridge": "br-a"}, {"name": "b", "bridge": "br-b", "key": 7}],
        "fabric_segments": [
            {
                "name": f"s{i}",
                "vlan": 1 + i % 4000,
                "overlay": "ab"[i // 4000],
                "subnet": f"10.{i // 64}.{i % 64 * 4}.0/22",
            }
            for i in range(5000)
        ],
    }
    hosts = {}
    for n in range(1, 201):
        points = [{"name": f"e{k}", "segment": f"s{(n * 25 + k) % 5000}"} for k in range(25)]
        hosts[f"kvm{n}"] = {**common, "fabric_endpoints": points}
    start = time.process_time()
    plan = plan_of(hosts)
    assert time.process_time() - start < 8
    assert len(plan["endpoints"]) == 5000 and len(plan["hosts"]["kvm1"]["tunnels"]) == 398


@pytest.mark.parametrize("written", ["02:00:00:00:0a:01", "02-00-00-00-0A-01", "0200.0000.0a01"])
def test_a_mac_address_in_any_vendors_notation_reaches_the_host_in_one_form(written):
    segment, point = {"name": "s", "subnet": "10.0.0.0/24"}, {"name": "a", "segment": "s", "mac": written}
    hosts = {"kvm1": {"fabric_name": "f", "fabric_segments": [segment], "fabric_endpoints": [point]}}
    assert compile_plan(hosts, SPEC)["hosts"]["kvm1"]["namespaces"][0]["mac"] == "02:00:00:00:0a:01"


class TestNetworksWithoutTunnels:
    """An overlay with the encapsulation vlan: VLANs of the underlay itself."""

    HOSTS = {
        f"kvm{n}": {
            "fabric_name": "test",
            "fabric_overlays": [{"name": "office", "encapsulation": "vlan"}, {"name": "vx", "encapsulation": "vxlan"}],
            "fabric_segments": [
                {"name": "desk", "vlan": 10, "subnet": "10.1.1.0/24", "overlay": "office"},
                {"name": "web", "vlan": 10, "subnet": "10.1.2.0/24", "overlay": "vx"},
            ],
            "fabric_endpoints": [{"name": "desk", "segment": "desk"}, {"name": "web", "segment": "web"}],
        }
        for n in (1, 2)
    }

    def test_endpoints_are_on_the_underlays_bridge_with_the_underlays_mtu(self):
        plan = plan_of(self.HOSTS)
        host = plan["hosts"]["kvm1"]
        assert [bridge["name"] for bridge in host["bridges"]] == ["br-underlay", "br-int"]
        assert [(space["name"], space["bridge"], space["tag"], space["mtu"]) for space in host["namespaces"]] == [
            ("desk", "br-underlay", 10, 1500),
            ("web", "br-int", 10, 1446),
        ]
        assert [tunnel["name"] for tunnel in host["tunnels"]] == ["vx-kvm2"]

    def test_where_to_look_is_the_nic(self):
        plan = plan_of(self.HOSTS)
        looks = {
            check["from"]: check["look"] for check in judge(plan, expectations(plan), {}) if check["kind"] == "ping"
        }
        assert "list interface eth1" in looks["kvm1/desk"] and "list interface vx-kvm2" in looks["kvm1/web"]


class TestPeers:
    """Tunnel endpoints that the fabric does not manage."""

    def plan(self, hosts=2):
        peers = [
            {
                "name": "switch1",
                "address": "192.168.200.101",
                "endpoints": [{"segment": "web", "address": "10.1.2.101"}],
            }
        ]
        common = {
            "fabric_name": "test",
            "fabric_overlays": [{"name": "vx", "encapsulation": "vxlan", "key": 5, "peers": peers}],
            "fabric_segments": [
                {"name": "web", "subnet": "10.1.2.0/24"},
                {"name": "db", "vlan": 9, "subnet": "10.1.3.0/24"},
            ],
            "fabric_endpoints": [{"name": "web", "segment": "web"}, {"name": "db", "segment": "db"}],
        }
        return plan_of({f"kvm{n}": common for n in range(1, hosts + 1)})

    def test_every_host_has_a_tunnel_to_each_and_none_forwards_to_another(self):
        for count, tunnels in ((2, 2), (3, 3)):
            for host in self.plan(count)["hosts"].values():
                assert len(host["tunnels"]) == tunnels and all(tunnel["protected"] for tunnel in host["tunnels"])
                assert [t["remote_ip"] for t in host["tunnels"] if t["name"] == "vx-switch1"] == ["192.168.200.101"]

    def test_a_lonely_tunnel_needs_no_guard(self):
        hosts = self.plan(1)["hosts"]
        assert list(hosts) == ["kvm1"]
        assert [(tunnel["name"], tunnel["protected"]) for tunnel in hosts["kvm1"]["tunnels"]] == [("vx-switch1", False)]

    def test_what_is_behind_a_peer_is_measured_and_so_is_that_others_do_not_reach_it(self):
        plan = self.plan()
        checks = [check for check in judge(plan, expectations(plan), {}) if check["to"] == "switch1"]
        seen = sorted((check["kind"], check["from"]) for check in checks)
        assert seen == sorted(
            [(kind, f"kvm{n}") for kind in ("tep-ping", "tep-mtu") for n in (1, 2)]
            + [(kind, f"kvm{n}/web") for kind in ("ping", "mtu") for n in (1, 2)]
            + [("isolation", f"kvm{n}/db") for n in (1, 2)]
        )
        assert all("vx-switch1" in check["look"] for check in checks if check["kind"] in ("ping", "mtu"))
