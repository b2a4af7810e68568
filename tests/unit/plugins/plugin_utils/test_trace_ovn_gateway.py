# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Out of OVN by a gateway: each test changes one thing of what would be read of the sound inventory `ovn`."""

from __future__ import annotations

import copy
import json
import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._trace import logical as reader
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import draw, walk
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Packet, Route
from ansible_collections.overloom.fabric.tests.unit.intents import inventory_plan
from ansible_collections.overloom.fabric.tests.unit.trace_world import World

Item = t.Dict[str, t.Any]

WORLD = World(inventory_plan("ovn")[0])
FLOATING, SHARED, OWN_GATEWAY = ("kvm1/web1", "kvm3/isp"), ("kvm3/app3", "kvm3/isp"), ("kvm3/db3", "kvm3/isp")
CR, OUTSIDE, ROUTER = "cr-ovn/acme:wan", "ovn/wan@@outside", "ovn/acme"
STEP = 'ingress(dp="ovn/acme", inport="ovn/acme:web")\n---\n'


def verdict(ends: tuple[str, str], change: t.Callable[[Item], t.Any] | None = None) -> Item:
    way = Route(WORLD.plan, *ends, Packet())
    seen = copy.deepcopy(WORLD.seen(way))
    if change:
        change(seen)
    return walk.judge(way, seen, None)


def said(seen: Item) -> Item:
    found: Item = seen["kvm1"]["logical"]
    return found


def answer(step: str, delivered: bool = True) -> t.Callable[[Item], None]:
    """OVN says another step on its way, and delivers it or not."""

    def change(seen: Item) -> None:
        ((name, text),) = said(seen)["traces"].items()
        said(seen)["traces"][name] = STEP + step + (text if delivered else "")

    return change


def cell(name: str, **values: t.Any) -> t.Callable[[Item], None]:
    return lambda seen: said(seen)["ports"][name].update(values)


def gateway(host: str | None) -> t.Callable[[Item], None]:
    return lambda seen: next(row for row in said(seen)["bindings"] if row["name"] == CR).update(chassis=host)


def untranslated(seen: Item) -> None:
    said(seen)["translations"][ROUTER] = []


def stopped_gateways(seen: Item) -> None:
    gateway(None)(seen)
    seen["kvm2"]["controller"] = None


def routed(actions: str, match: str = "ip4.dst == 10.9.0.0/24") -> str:
    return f"13. lr_in_ip_routing (northd.c:1): {match}, priority 74, uuid 0badf00d\n    {actions}\n"


BREAKS: dict[str, tuple[t.Callable[[Item], t.Any], tuple[str, str, str, str]]] = {
    "translation gone": (untranslated, ("nat", "kvm3", "does not translate the source", "lr-nat-list ovn/acme")),
    "another translation": (
        lambda seen: said(seen)["translations"][ROUTER].append(
            {"type": "snat", "external_ip": "10.9.0.99", "logical_ip": "10.1.1.64/27"}
        ),
        ("nat", "kvm3", "makes the source 10.9.0.99", "site.yml"),
    ),
    "no gateway": (gateway(None), ("binding", "kvm3", "gateway of edge acme is on no host", f"logical_port={CR}")),
    "a gateway elsewhere": (gateway("kvm3"), ("binding", "kvm3", "gateway of edge acme is kvm3", "site.yml")),
    "the gateway's controller stopped": (
        stopped_gateways,
        ("chassis", "kvm2", "ovn-controller on kvm2 does not run", "systemctl start ovn-controller"),
    ),
    "bridge mapping": (
        lambda seen: seen["kvm2"]["switch"]["ids"].update({"ovn-bridge-mappings": "ofice:br-underlay"}),
        ("chassis", "kvm2", "ovn-bridge-mappings ofice:br-underlay", "ovn-bridge-mappings=office:br-underlay"),
    ),
    "patch port": (
        lambda seen: seen["kvm2"]["switch"]["bridges"]["br-underlay"]["ports"].pop(f"patch-{OUTSIDE}-to-br-ovn"),
        ("port-gone", "kvm2", f"no port patch-{OUTSIDE}-to-br-ovn", ""),
    ),
    "tag outside": (cell(OUTSIDE, tag=31), ("northbound", "kvm3", "has tag 31", "site.yml")),
    "network outside": (
        cell(OUTSIDE, options={"network_name": "ofice"}),
        ("northbound", "kvm3", "has options network_name=ofice", "site.yml"),
    ),
    "router's port": (
        cell("ovn/wan@acme", options={"router-port": "ovn/gone", "nat-addresses": "router"}),
        ("northbound", "kvm3", "router-port=ovn/gone", "site.yml"),
    ),
    "next hop by hand": (
        answer(routed("reg0 = 10.9.0.77;", "ip4.dst == 10.9.0.2/32")),
        ("wrong-route", "kvm3", "to 10.9.0.77, by its route of ip4.dst == 10.9.0.2/32", "lr-route-list ovn/acme"),
    ),
    "discarded": (
        answer(routed("drop;", "ip4.dst == 10.9.0.2/32"), delivered=False),
        ("route-refuses", "kvm3", "by its route of ip4.dst == 10.9.0.2/32", "lr-route-list"),
    ),
    "no route": (
        answer("13. lr_in_ip_routing: No match. Drop.\n", delivered=False),
        ("no-route", "kvm3", "OVN's router ovn/acme has no route to 10.9.0.2", "lr-route-list"),
    ),
    "static neighbor": (
        answer("17. lr_in_arp_resolve (x): 1, priority 1, uuid 0\n    /* MAC binding to 02:00:00:00:00:77. */\n"),
        ("neighbor", "kvm3", "to be at 02:00:00:00:00:77", "static-mac-binding-del ovn/acme:wan 10.9.0.2"),
    ),
    "neighbor set by hand": (
        lambda seen: said(seen).update(
            neighbors=[{"logical_port": "ovn/acme:wan", "ip": "10.9.0.2", "mac": "02:00:00:00:00:78"}]
        ),
        ("neighbor", "kvm3", "to be at 02:00:00:00:00:78", "static-mac-binding-del ovn/acme:wan 10.9.0.2"),
    ),
    "ACL of others": (
        answer(" 8. ls_in_acl (x): ip4, priority 9, uuid 0badf00d\n    drop;\n", delivered=False),
        ("acl", "kvm3", "ls_in_acl of ovn/acme", "list ACL"),
    ),
    "tunnel to the gateway": (
        lambda seen: seen["kvm3"]["switch"]["bridges"]["br-ovn"]["ports"].pop("ovn-kvm2"),
        ("tunnel-gone", "kvm3", "no tunnel to kvm2", "restart ovn-controller"),
    ),
    "NIC of the gateway": (
        lambda seen: seen["kvm2"]["switch"]["bridges"]["br-underlay"]["ports"]["eth1"].update(trunks=[10]),
        ("trunks", "kvm2", "carries only the VLANs", "clear port eth1 trunks"),
    ),
    "somebody outside": (
        lambda seen: seen["kvm3"]["spaces"]["isp"]["links"]["eth0"].update(addresses=[]),
        ("address", "kvm3", "eth0 of kvm3/isp has no address", "site.yml"),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_on_the_way_out_of_ovn_is_named(name):
    change, (cause, host, says, mends) = BREAKS[name]
    report = verdict(SHARED, change)
    told, died = "\n".join(draw.lines(report)), report["died"]
    assert died and (died["cause"], died["at"]["host"]) == (cause, host), told
    assert says in died["because"] and mends in died["mend"], died


@pytest.mark.parametrize("ends,source", [(FLOATING, "10.9.0.20"), (SHARED, "10.9.0.1"), (OWN_GATEWAY, "10.9.0.21")])
def test_a_sound_way_out_is_followed_to_whom_it_is_for(ends, source):
    report = verdict(ends)
    told = "\n".join(draw.lines(report))
    assert report["passed"] and not report["remark"], told
    assert f"becomes {source}" in told and "gateway   acme" in told and "endpoint  kvm3/isp" in told, told
    # A floating address of its own leaves by the endpoint's host.
    assert any(hop["kind"] == "tunnel" for hop in report["there"]["hops"]) == (ends != OWN_GATEWAY), told


def test_a_next_hop_that_ovn_has_yet_to_ask_for_is_a_doubt_alone():
    asks = answer("21. lr_in_arp_request (x): ip4, priority 9, uuid 0\n    arp { output; };\n")
    report = verdict(SHARED, asks)
    assert report["passed"], report["died"]
    assert [one["cause"] for one in report["there"]["doubts"]] == ["arp-unanswered"]


def test_a_guest_whose_port_ovn_calls_by_its_name_for_people_is_reached():
    def change(seen: Item) -> None:
        traces = said(seen)["traces"]
        name = next(name for name in traces if name.endswith("to kvm2/bolt-vm2"))
        port = next(point["logical_port"] for point in WORLD.plan["endpoints"] if point["id"] == "kvm2/bolt-vm2")
        assert port in traces[name]
        traces[name] = traces[name].replace(port, "ovn/kvm2/bolt-vm2")

    report = verdict(("kvm1/bolt-web1", "kvm2/bolt-vm2"), change)
    assert report["passed"] and not report["remark"], report["died"] or report["remark"]


def test_a_rate_of_ovn_is_a_doubt_alone():
    step = "24. ls_in_qos_meter (x): icmp4, priority 500, uuid 0badf00d\n    set_meter(1, 1);\n"
    report = verdict(SHARED, answer(step))
    assert report["passed"], report["died"]
    assert [(one["cause"], "ls_in_qos_meter" in one["because"]) for one in report["there"]["doubts"]] == [
        ("policing", True)
    ]


def test_a_port_that_is_requested_elsewhere_is_told_with_the_option():
    name = "ovn/kvm2/web2"

    def change(seen: Item) -> None:
        next(row for row in said(seen)["bindings"] if row["name"] == name).update(chassis=None)
        cell(name, options={"requested-chassis": "kvm3"})(seen)

    died = verdict(("kvm1/web1", "kvm2/web2"), change)["died"]
    assert died["cause"] == "binding" and "requests the chassis kvm3" in died["because"], died
    assert f"remove Logical_Switch_Port {name} options requested-chassis" in died["mend"]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_what_a_router_translates_is_read_by_its_rows(count):
    uuids = [["uuid", f"id{number}"] for number in range(count)]
    rows = [[uuid, "snat", "192.0.2.1", "10.0.0.0/24"] for uuid in uuids]
    asked = []

    def runner(argv: t.Sequence[str]) -> str:
        asked.append(argv)
        found = rows if "NAT" in argv else [["r", uuids[0] if count == 1 else ["set", uuids], count > 0]]
        return json.dumps({"data": found})

    found, disabled = reader._routers(runner, ["r"])
    assert found == {"r": [{"type": "snat", "external_ip": "192.0.2.1", "logical_ip": "10.0.0.0/24"}] * count}
    assert disabled == ([] if count else ["r"])
    assert len(asked) == (2 if count else 1)
    assert reader._routers(runner, []) == ({}, [])


# Into OVN, from a provider network.
INTO, INTO_DISTRIBUTED = ("kvm3/isp", "10.9.0.20"), ("kvm3/isp", "10.9.0.21")
FORWARDED = ("kvm3/isp", "10.9.0.1")
ISP, HTTP = "kvm3/isp to 10.9.0.20", Packet("tcp", 80)
DENIED = "4. ls_out_acl (northd.c:1): reg0[9] == 1 && ip, priority 1001, uuid {}\n    drop;\n"


def into(ends: tuple[str, str], packet: Packet, change: t.Callable[[Item], t.Any] | None = None, got: int = 5) -> Item:
    way = Route(WORLD.plan, *ends, packet)
    seen = copy.deepcopy(WORLD.seen(way))
    for host in seen.values():
        for space in host["spaces"].values():
            space["listening"] = {"tcp": [80, 8080]}
    if change:
        change(seen)
    return walk.judge(way, seen, {"sent": 5, "received": got} if packet.protocol == "icmp" else None)


@pytest.mark.parametrize(
    "ends,packet,hosts,becomes",
    [
        (INTO, HTTP, ["kvm3", "kvm2", "kvm1"], "target 10.9.0.20 becomes 10.1.1.65"),
        (INTO_DISTRIBUTED, HTTP, ["kvm3"], "target 10.9.0.21 becomes 10.1.2.67"),
        (FORWARDED, HTTP, ["kvm3", "kvm2"], "target 10.9.0.1:80 becomes 10.1.1.66:8080"),
        (INTO, Packet(), ["kvm3", "kvm2", "kvm1"], "target 10.9.0.20 becomes 10.1.1.65"),
    ],
)
def test_a_packet_from_outside_is_followed_to_its_endpoint_behind_the_router(ends, packet, hosts, becomes):
    report = into(ends, packet)
    shown = "\n".join(draw.lines(report))
    assert report["passed"] and not report["remark"], shown
    assert list(dict.fromkeys(hop["host"] for hop in report["there"]["hops"])) == hosts, shown
    assert becomes in shown and report["there"]["hops"][-1]["kind"] == "endpoint", shown


def otherwise(text: str) -> t.Callable[[Item], None]:
    """OVN answers otherwise about what comes from outside."""

    def change(seen: Item) -> None:
        for name in said(seen)["traces"]:
            if name.startswith("kvm3/isp to"):
                said(seen)["traces"][name] = STEP + text

    return change


def listens(ports: list[int]) -> t.Callable[[Item], None]:
    return lambda seen: [space.update(listening={"tcp": ports}) for space in seen["kvm2"]["spaces"].values()]


MADE = "7. lr_in_dnat (northd.c:1): ip, priority 100, uuid 0badf00d\n    "
ADMITTED = "0. lr_in_admission (northd.c:1): 1, priority 50, uuid 0badf00d\n    next;\n"


@pytest.mark.parametrize(
    "ends,packet,change,expected",
    [
        (INTO, HTTP, otherwise(ADMITTED), ("nat", "kvm2", "does not translate the target 10.9.0.20", "lr-nat-list")),
        (
            FORWARDED,
            HTTP,
            otherwise(ADMITTED),
            ("nat", "kvm2", "does not translate the target 10.9.0.1:80", "lr-lb-list"),
        ),
        (
            FORWARDED,
            HTTP,
            otherwise(MADE + "ct_lb_mark(backends=10.1.1.66:9090);\n"),
            ("nat", "kvm2", "makes 10.9.0.1:80 the target 10.1.1.66:9090", "site.yml"),
        ),
        (
            INTO,
            HTTP,
            otherwise(MADE + "ct_dnat_in_czone(10.1.1.99);\n"),
            ("nat", "kvm2", "makes 10.9.0.20 the target 10.1.1.99", "site.yml"),
        ),
        (
            INTO,
            Packet(),
            otherwise(MADE + "ct_dnat_in_czone(10.1.1.65);\n" + DENIED.format("0badf00d")),
            ("acl", "kvm2", "OVN drops it in ls_out_acl", "ovn-nbctl list ACL"),
        ),
        (FORWARDED, HTTP, listens([22]), ("no-listener", "kvm2", "TCP port 8080 in kvm2/web2", "ss -lnt")),
        (INTO, HTTP, gateway(None), ("binding", "kvm3", "the gateway of edge acme is on no host", "Port_Binding")),
        (
            INTO,
            HTTP,
            lambda seen: said(seen).update(northd=False) or otherwise(ADMITTED)(seen),
            ("northd", "kvm2", "is not in force", "systemctl restart ovn-northd"),
        ),
        (
            INTO,
            HTTP,
            lambda seen: seen["kvm1"]["switch"]["bridges"]["br-ovn"]["ports"]["v-web1"].update(iface_id="x"),
            ("binding", "kvm1", "has the iface-id x", "iface-id=ovn/kvm1/web1"),
        ),
    ],
)
def test_where_a_packet_from_outside_ends_is_named(ends, packet, change, expected):
    died = into(ends, packet, change, 0)["died"]
    cause, host, says, mends = expected
    assert died and (died["cause"], died["at"]["host"]) == (cause, host), died
    assert says in died["because"] and mends in died["mend"], died


def test_a_ping_that_the_policy_denies_says_nothing_of_what_it_allows():
    """From outside TCP alone is let in."""
    way = Route(WORLD.plan, *INTO, HTTP)
    seen = copy.deepcopy(WORLD.seen(way))
    for space in seen["kvm1"]["spaces"].values():
        space["listening"] = {"tcp": [80]}
    assert walk.judge(way, seen, {"sent": 5, "received": 0})["passed"]


@pytest.mark.parametrize("bound", ["kvm1", "kvm3"])
def test_a_second_port_that_claims_a_logical_port_is_named(bound):
    def claims(seen: Item) -> None:
        ports = seen["kvm3"]["switch"]["bridges"]["br-ovn"]["ports"]
        ports["byhand0"] = {**ports["v-app3"], "iface_id": "ovn/kvm1/web1"}
        next(row for row in said(seen)["bindings"] if row["name"] == "ovn/kvm1/web1").update(chassis=bound)

    report = verdict(("kvm1/web1", "kvm3/app3"), claims)
    told = report["remark"] if bound == "kvm1" else report["died"]
    assert report["passed"] == (bound == "kvm1") and told["cause"] == "binding", report
    assert "port byhand0 on kvm3 has the iface-id ovn/kvm1/web1, too" in told["because"], told
    assert told["mend"].startswith("on kvm3: ovs-vsctl remove interface byhand0 external_ids iface-id; on kvm1: ")


def test_a_second_port_on_the_same_host_explains_that_the_first_one_has_no_flows():
    def claims(seen: Item) -> None:
        switch = seen["kvm1"]["switch"]
        ports = switch["bridges"]["br-ovn"]["ports"]
        ports["byhand0"] = {**ports["v-web1"]}
        head = 'bridge("br-ovn")\n---\n 0. priority 0\n    drop\n\n'
        for name in switch["traces"]:
            switch["traces"][name] = f"{head}Final flow: unchanged\nMegaflow: x\nDatapath actions: drop\n"

    died = verdict(("kvm1/web1", "kvm3/app3"), claims)["died"]
    assert died["cause"] == "binding" and "port byhand0 on kvm1 has the iface-id ovn/kvm1/web1, too" in died["because"]
