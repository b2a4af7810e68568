# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Through OVN. trace_ovn_seen.json is what was read on a sound lab with a routed underlay; each test changes one thing in it."""

from __future__ import annotations

import copy
import json
import pathlib
import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._trace import logical as reader
from ansible_collections.overloom.fabric.plugins.plugin_utils._capture.points import points
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import draw, logical, walk
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Packet, Route
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, one_each

Item = t.Dict[str, t.Any]

SOUND = json.loads((pathlib.Path(__file__).parent / "trace_ovn_seen.json").read_text(encoding="utf-8"))
COMMON = {
    "fabric_name": "hunt-o",
    "fabric_links": [{"ends": ["kvm1:eth1", "r1:eth1"]}, {"ends": ["kvm2:eth1", "r1:eth2"]}],
    "fabric_routing": {"hello_interval": 1, "dead_interval": 3},
    "fabric_overlays": [
        {"name": "gre", "encapsulation": "gre"},
        {"name": "keyed", "encapsulation": "vxlan", "segments_by": "key", "bridge": "br-key"},
        {"name": "ov", "engine": "ovn", "encapsulation": "geneve"},
    ],
    "fabric_segments": [
        {"name": "web", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8:1::/64", "overlay": "gre"},
        {"name": "acme", "key": 5001, "subnet": "10.2.1.0/24", "subnet6": "2001:db8:2::/64", "overlay": "keyed"},
        {"name": "ow", "overlay": "ov", "subnet": "10.3.1.0/24", "subnet6": "2001:db8:3::/64"},
        {"name": "od", "overlay": "ov", "subnet": "10.3.2.0/24", "subnet6": "2001:db8:4::/64"},
    ],
    "fabric_edges": [
        {
            "name": "dist",
            "legs": [
                {"segment": "ow", "address": "10.3.1.1", "address6": "2001:db8:3::1"},
                {"segment": "od", "address": "10.3.2.1", "address6": "2001:db8:4::1"},
            ],
        }
    ],
    "fabric_policy": [
        {"name": "no-od1", "action": "deny", "from": ["kvm2/ow2"], "to": ["kvm1/od1"]},
        {"name": "pings", "from": ["ow", "od"], "to": ["ow", "od"], "protocol": "icmp"},
        {"name": "sql", "from": ["ow"], "to": ["od"], "protocol": "tcp", "ports": ["5432"]},
    ],
}
PLAN = compile_plan(
    {f"kvm{n}": {**COMMON, "fabric_endpoints": one_each(n, ("web", "acme", "ow", "od"))} for n in (1, 2)},
    SPEC,
    routers={"r1": dict(COMMON)},
    central=["kvm1"],
)
CROSS, DENIED = ("kvm1/ow1", "kvm2/od2"), ("kvm2/ow2", "kvm1/od1")
NAME = "kvm1/ow1 to kvm2/od2"
SILENT = {"sent": 5, "received": 0}


def test_the_way_of_ipv6_alone_is_by_the_router_too() -> None:
    common = copy.deepcopy(COMMON)
    for segment in t.cast(t.List[Item], common["fabric_segments"])[2:]:
        segment["subnet"] = segment.pop("subnet6")
    for leg in t.cast(t.List[Item], common["fabric_edges"])[0]["legs"]:
        leg["address"] = leg.pop("address6")
    hosts = {f"kvm{n}": {**common, "fabric_endpoints": one_each(n, ("ow", "od"))} for n in (1, 2)}
    plan = compile_plan(hosts, SPEC, routers={"r1": dict(common)}, central=["kvm1"])
    (way,) = Route(plan, *CROSS, Packet()).legs
    assert [gateway and gateway.address for gateway in way.gateways] == ["2001:db8:3::1", "2001:db8:4::1"]


def verdict(seen: Item, ends: tuple[str, str] = CROSS, measured: Item | None = None) -> Item:
    return walk.judge(Route(PLAN, *ends, Packet()), seen, measured)


def told(report: Item) -> str:
    return "\n".join(draw.lines(report))


def said(seen: Item) -> Item:
    found: Item = seen["kvm1"]["logical"]
    return found


def test_a_sound_way_is_followed_through_the_databases_the_chassis_and_the_tunnel():
    report = verdict(SOUND)
    assert report["passed"] and not report["remark"], told(report)
    hops = [(hop["host"], hop["kind"]) for hop in report["there"]["hops"]]
    for hop in (("kvm1", "logical"), ("kvm1", "switch"), ("kvm1", "tunnel"), ("r1", "router"), ("kvm2", "tunnel")):
        assert hop in hops, told(report)
    assert hops[-1] == ("kvm2", "endpoint")
    notes = [note for hop in report["there"]["hops"] for note in hop["notes"]]
    assert "passes by fabric_policy[pings]" in notes
    assert "geneve 192.168.200.1 → 192.168.200.2, outer packet 142 bytes" in notes


def test_the_databases_are_asked_on_their_host_about_both_directions_and_all_ports_between():
    asked = Route(PLAN, *CROSS, Packet("tcp", 5432)).questions()
    there, back = asked["kvm1"]["logical_traces"]
    router = next(port for port in PLAN["hosts"]["kvm1"]["ovn_central"]["northbound"]["routers"][0]["ports"])
    assert there["switch"] == "hunt-o/ow" and not there["answer"] and f"eth.dst == {router['mac']}" in there["flow"]
    assert "tcp.dst == 5432" in there["flow"] and "tcp.src == 5432" in back["flow"] and back["answer"]
    assert asked["kvm1"]["router_ports"] == ["hunt-o/dist:od", "hunt-o/dist:ow"]
    assert "hunt-o/ow@dist" in asked["kvm1"]["switch_ports"]
    assert asked["kvm1"]["chassis"] and asked["kvm2"]["chassis"] and not asked["kvm2"]["logical_traces"]
    assert "nw_ttl=64" in asked["kvm1"]["traces"][0]["flow"]
    names = [point["name"] for point in points(Route(PLAN, *CROSS, Packet()))]
    assert names[:3] == ["kvm1/ow1:eth0", "kvm1:v-ow1", "kvm1:eth1"] and names[-1] == "kvm2/od2:eth0"


def test_what_the_intent_denies_is_told_by_its_rule():
    """The databases alone say it, so what was not read of the chassis is of no account."""
    seen = copy.deepcopy(SOUND)
    seen["kvm2"]["switch"]["traces"]["kvm2/ow2 to kvm1/od1"] = ""
    died = verdict(seen, DENIED)["died"]
    assert died["cause"] == "policy" and died["mend"] == "fabric_policy[no-od1]", died
    assert died["planned"] == "the same: the intent denies it"


def changed_port(name: str, **values: t.Any) -> t.Callable[[Item], None]:
    return lambda seen: said(seen)["ports"][name].update(values)


def binding(name: str, **values: t.Any) -> t.Callable[[Item], None]:
    return lambda seen: next(row for row in said(seen)["bindings"] if row["name"] == name).update(values)


def unbound(name: str) -> t.Callable[[Item], None]:
    return lambda seen: said(seen).update(bindings=[row for row in said(seen)["bindings"] if row["name"] != name])


def lost(seen: Item) -> None:
    """OVN does not bring the packet to its target."""
    said(seen)["traces"][NAME] = said(seen)["traces"][NAME].replace('output to "hunt-o/kvm2/od2"', "gone")


def both(*changes: t.Callable[[Item], t.Any]) -> t.Callable[[Item], None]:
    return lambda seen: [change(seen) for change in changes] and None


def text(seen: Item, old: str, new: str) -> None:
    """The last part of OVN's answer is another one."""
    whole = said(seen)["traces"][NAME]
    assert old in whole
    said(seen)["traces"][NAME] = whole[: whole.rindex(old)] + new


def acl(row: Item | None, stage: str = "ls_out_acl", action: str = "drop;") -> t.Callable[[Item], None]:
    def change(seen: Item) -> None:
        text(
            seen,
            " 4. ls_out_acl (",
            f" 4. {stage} (northd.c:1): match, priority 2001, uuid 0badf00d\n    {action}\n",
        )
        if row:
            said(seen)["made"]["0badf00d"] = row

    return change


FAR = (
    'Flow: icmp,tun_id=0x2,in_port="ovn-kvm1-0",vlan_tci=0x0000\n\nbridge("br-ovn")\n----------------\n'
    " 0. %s\n    %s\n\nFinal flow: unchanged\nMegaflow: recirc_id=0\nDatapath actions: %s\n"
)
BY_HAND = 'ip,in_port="ovn-kvm1-0", priority 65000, cookie 0xbad'


@pytest.mark.parametrize(
    "answer,cause,says,mends",
    [
        (FAR % (BY_HAND, "drop", "drop"), "foreign-flow", "cookie 0xbad", "del-flows br-ovn cookie=0xbad/-1"),
        (FAR % ("priority 0", "drop", "drop"), "flow", "drops it in table 0", "restart ovn-controller"),
        (FAR % ("priority 0", 'output:"v-ow2"', "v-ow2"), "wrong-port", "sends it to v-ow2", "restart ovn-controller"),
        (FAR % ("priority 0", 'output:"v-od2"', "v-od2"), None, "", ""),
    ],
)
def test_a_loss_at_the_chassis_of_the_target_is_found_by_what_the_first_answers_tell_how_to_ask(
    answer, cause, says, mends
):
    """The keys of the tunnel are those that the sender's chassis wrote; behind the router the frame has its address, and a TTL less."""
    way = Route(PLAN, *CROSS, Packet())
    asked = {one["name"]: one for one in way.questions_again(SOUND)["kvm2"]["traces"]}
    question = asked[way.far_name()]
    router = next(one for one in PLAN["hosts"]["kvm1"]["ovn_central"]["northbound"]["routers"])
    leaving = next(port["mac"] for port in router["ports"] if port["name"] == "hunt-o/dist:od")
    for part in ('in_port="ovn-kvm1-0",tun_id=0x2,tun_metadata0=0x30001,icmp,', f"dl_src={leaving},", "nw_ttl=63"):
        assert part in question["flow"], question
    assert way.far_name() not in {one["name"] for one in way.questions()["kvm2"]["traces"]}
    after = copy.deepcopy(SOUND)
    after["kvm2"]["switch"]["traces"][way.far_name()] = answer
    report = walk.judge_again(way, SOUND, after, SILENT)
    if cause is None:
        assert report["died"] is None or report["died"]["cause"] in ("lost", "unsent"), report["died"]
        return
    died = report["died"]
    assert (died["cause"], died["at"]["host"], died["at"]["name"]) == (cause, "kvm2", "br-ovn"), died
    assert says in died["because"] and mends in died["mend"], died


def test_a_loss_of_the_question_for_an_address_is_found_at_the_chassis_that_answers_it():
    way = Route(PLAN, *CROSS, Packet())
    asked = {one["name"]: one["flow"] for one in way.questions_again(SOUND)["kvm1"]["traces"]}
    assert "arp_tpa=10.3.1.1," in asked[way.arp_name()], "the router's, who has the next MAC address"
    after = copy.deepcopy(SOUND)
    traces = after["kvm1"]["switch"]["traces"]
    traces[way.arp_name()] = FAR % ('arp,in_port="v-ow1", priority 65000, cookie 0xbad', "drop", "drop")
    died = walk.judge_again(way, SOUND, after, SILENT)["died"]
    assert (died["cause"], died["at"]["name"]) == ("flow", "br-ovn") and "cookie 0xbad" in died["because"], died
    assert walk.judge(way, after, {"sent": 5, "received": 5})["passed"], "who has learned the address does not ask"
    traces[way.arp_name()] = FAR % ("arp", "IN_PORT", "v-ow1")
    answered = walk.judge_again(way, SOUND, after, SILENT)["died"]
    assert answered is None or answered["cause"] == "unsent", answered


def test_a_flow_of_others_on_the_sender_s_chassis_is_told_by_its_cookie():
    seen = copy.deepcopy(SOUND)
    seen["kvm1"]["switch"]["traces"][NAME] = FAR % ('in_port="v-ow1", priority 65000, cookie 0xbad', "drop", "drop")
    died = verdict(seen)["died"]
    assert (died["cause"], died["at"]["host"]) == ("foreign-flow", "kvm1") and "0xbad" in died["mend"], died
    known = next(step.uuid for step in logical.parse(said(seen)["traces"][NAME]).steps if step.uuid)
    text = f"reg15=0x2, priority 1, cookie 0x{known.lstrip('0')}"
    seen["kvm1"]["switch"]["traces"][NAME] = FAR % (text, "drop", "drop")
    assert verdict(seen)["died"]["cause"] == "flow", "a flow of OVN's that is old"


def test_a_router_that_is_off_is_told_as_such():
    seen = copy.deepcopy(SOUND)
    lost(seen)
    said(seen)["disabled"] = ["hunt-o/dist"]
    died = verdict(seen)["died"]
    assert died["cause"] == "northbound" and died["because"].startswith("logical router hunt-o/dist is disabled"), died
    assert died["mend"] == "on kvm1: ovn-nbctl set Logical_Router hunt-o/dist enabled=true"


def test_what_the_intent_allows_and_an_acl_of_ours_drops_is_told_as_an_acl_that_is_gone():
    """An ACL of a rule deleted in the northbound database: then that of the end drops what no other one took."""
    (denied,) = {
        acl["name"]: acl
        for group in PLAN["hosts"]["kvm1"]["ovn_central"]["northbound"]["port_groups"]
        for acl in group["acls"]
        if acl["name"] == "denied" and "@pg_hunt_o_dist_od" in acl["match"]
    }.values()
    seen = copy.deepcopy(SOUND)
    acl({**OTHERS, **{key: denied[key] for key in ("name", "match", "action", "priority")}})(seen)
    died = verdict(seen)["died"]
    assert died["cause"] == "acl" and "though fabric_policy[pings] allows it" in died["because"], died
    assert died["planned"] == "fabric_policy[pings] allows it" and died["mend"].startswith("ansible-playbook site.yml")
    way = Route(PLAN, *CROSS, Packet("udp", 53))
    name = "kvm1/ow1 to kvm2/od2"
    assert seen["kvm1"]["logical"]["traces"][name]
    died = walk.judge(way, seen, None)["died"]
    assert died["cause"] == "policy" and died["planned"] == "the same: the intent denies it", died


OTHERS = {"uuid": "ab-cd", "name": "byhand", "action": "drop", "priority": 1001, "match": "ip4", "external_ids": {}}
BREAKS = {
    "iface-id": (
        lambda seen: seen["kvm2"]["switch"]["bridges"]["br-ovn"]["ports"]["v-od2"].update(iface_id="other"),
        ("binding", "kvm2", "v-od2", "iface-id other", "external_ids:iface-id=hunt-o/kvm2/od2"),
    ),
    "bound nowhere": (
        binding("hunt-o/kvm2/od2", chassis=None, up=False),
        ("binding", "kvm2", "v-od2", "bound nowhere", "restart ovn-controller"),
    ),
    "bound elsewhere": (
        binding("hunt-o/kvm2/od2", chassis="kvm1"),
        ("binding", "kvm2", "v-od2", "bound on kvm1", "restart ovn-controller"),
    ),
    "controller stopped": (
        both(
            lambda seen: seen["kvm2"].update(controller=None),
            lambda seen: said(seen)["chassis"].pop(),
        ),
        ("chassis", "kvm2", "v-od2", "ovn-controller on kvm2 does not run", "systemctl start ovn-controller"),
    ),
    "chassis gone": (
        lambda seen: said(seen)["chassis"].pop(),
        ("chassis", "kvm2", "v-od2", "knows no chassis kvm2", "restart ovn-controller"),
    ),
    "encapsulation address": (
        lambda seen: seen["kvm2"]["switch"]["ids"].update({"ovn-encap-ip": "192.168.200.77"}),
        ("chassis", "kvm2", "v-od2", "ovn-encap-ip 192.168.200.77", "ovn-encap-ip=192.168.200.2"),
    ),
    "address in the databases": (
        lambda seen: said(seen)["chassis"][1].update(address="192.168.200.77"),
        ("chassis", "kvm2", "v-od2", "at 192.168.200.77", "restart ovn-controller"),
    ),
    "no local address": (
        lambda seen: seen["kvm1"]["switch"]["ids"].pop("ovn-set-local-ip"),
        ("chassis", "kvm1", "v-ow1", "ovn-set-local-ip not set", "ovn-set-local-ip=true"),
    ),
    "port disabled": (
        both(lost, changed_port("hunt-o/kvm2/od2", enabled=False)),
        ("northbound", "kvm1", "ow", "is disabled", "lsp-set-enabled hunt-o/kvm2/od2 enabled"),
    ),
    "router's port disabled": (
        both(lost, changed_port("hunt-o/dist:od", enabled=False)),
        ("northbound", "kvm1", "ow", "is disabled", "lrp-set-enabled hunt-o/dist:od enabled"),
    ),
    "port gone": (
        both(lost, lambda seen: said(seen)["ports"].pop("hunt-o/kvm2/od2")),
        ("northbound", "kvm1", "ow", "has no port hunt-o/kvm2/od2", "site.yml"),
    ),
    "port deleted": (
        both(lost, lambda seen: said(seen)["ports"].pop("hunt-o/kvm2/od2"), unbound("hunt-o/kvm2/od2")),
        ("northbound", "kvm1", "ow", "has no port hunt-o/kvm2/od2", "site.yml"),
    ),
    "sender's port deleted": (
        both(lost, lambda seen: said(seen)["ports"].pop("hunt-o/kvm1/ow1"), unbound("hunt-o/kvm1/ow1")),
        ("northbound", "kvm1", "ow", "has no port hunt-o/kvm1/ow1", "site.yml"),
    ),
    "address of the databases": (
        lambda seen: seen["kvm2"]["switch"]["ids"].update({"ovn-remote": "tcp:192.168.200.77:6642"}),
        ("chassis", "kvm2", "v-od2", "ovn-remote tcp:192.168.200.77:6642", "ovn-remote=tcp:192.168.200.1:6642"),
    ),
    "TTL": (
        lambda seen: seen["kvm1"]["spaces"]["ow1"].update(ttl=1),
        ("ttl", "kvm1", "ow", "kvm1/ow1 sends with the TTL 1", "ip_default_ttl=64"),
    ),
    "addresses": (
        both(lost, changed_port("hunt-o/kvm2/od2", addresses=["02:00:00:00:00:88 10.3.2.66"])),
        ("northbound", "kvm1", "ow", "has addresses 02:00:00:00:00:88 10.3.2.66", "site.yml"),
    ),
    "port security": (
        both(lost, changed_port("hunt-o/kvm1/ow1", port_security=["02:00:00:00:00:88"])),
        ("northbound", "kvm1", "ow", "has port_security 02:00:00:00:00:88", "site.yml"),
    ),
    "router's MAC address": (
        both(lost, changed_port("hunt-o/dist:ow", mac="02:00:00:00:00:55")),
        ("northbound", "kvm1", "ow", "has mac 02:00:00:00:00:55", "site.yml"),
    ),
    "ACL of others": (acl(OTHERS), ("acl", "kvm1", "ow", "ACL byhand of others", "acls ab-cd")),
    "ACL of others that rejects": (
        acl(
            OTHERS, "ls_out_acl_eval", 'reject { outport <-> inport; };\n    /* output to "hunt-o/kvm1/ow1", type "" */'
        ),
        ("acl", "kvm1", "ow", "ACL byhand of others", "acls ab-cd"),
    ),
    "policy of a router": (
        lambda seen: text(
            seen,
            "15. lr_in_policy (",
            "15. lr_in_policy (northd.c:1): ip4.dst == 10.3.2.66, priority 10, uuid 0badf00d\n    drop;\n",
        ),
        ("logical", "kvm1", "ow", "lr_in_policy of hunt-o/dist", "lr-policy-list hunt-o/dist"),
    ),
    "northd down": (
        both(lost, lambda seen: said(seen).update(northd=False)),
        ("northd", "kvm1", "ow", "ovn-northd does not run", "restart ovn-northd"),
    ),
    "flows gone": (
        lambda seen: seen["kvm1"]["switch"]["traces"].update(
            {
                NAME: 'Flow: icmp,in_port="v-ow1"\n\nbridge("br-ovn")\n---\n 0. No match.\n    drop\n\nFinal flow: unchanged\nDatapath actions: drop\n'
            }
        ),
        ("no-flow", "kvm1", "br-ovn", "no flow matches in table 0", "restart ovn-controller"),
    ),
    "tunnel gone": (
        lambda seen: seen["kvm1"]["switch"]["bridges"]["br-ovn"]["ports"].pop("ovn-kvm2-0"),
        ("tunnel-gone", "kvm1", "to kvm2", "no tunnel to kvm2", "restart ovn-controller"),
    ),
    "forwarding": (
        lambda seen: seen["r1"]["spaces"][""].update(forwarding=0),
        ("forwarding", "r1", "r1", "does not forward", "ip_forward=1"),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_in_ovn_is_named(name):
    change, (cause, host, hop, says, mends) = BREAKS[name]
    seen = copy.deepcopy(SOUND)
    change(seen)
    died = verdict(seen)["died"]
    assert died, name
    assert (died["cause"], died["at"]["host"], died["at"]["name"]) == (cause, host, hop), died
    assert says in died["because"] and mends in died["mend"], died


def test_northd_that_does_not_run_stops_no_packet_and_is_told():
    seen = copy.deepcopy(SOUND)
    said(seen).update(northd=False)
    report = verdict(seen, measured={"sent": 5, "received": 5, "rtt_ms": 1.0})
    assert report["passed"] and report["remark"]["cause"] == "northd", told(report)
    assert verdict(seen)["passed"], "it is a doubt, and nothing was measured"
    died = verdict(seen, measured=SILENT)["died"]
    assert died["cause"] == "northd" and "systemctl restart ovn-northd" in died["mend"]


def test_databases_that_do_not_answer_stop_no_packet_and_are_told():
    seen = copy.deepcopy(SOUND)
    said(seen).update(error="connection failed")
    report = verdict(seen, measured={"sent": 5, "received": 5, "rtt_ms": 1.0})
    assert report["passed"] and report["remark"]["cause"] == "ovn-down"
    assert verdict(seen, measured=SILENT)["died"]["cause"] == "ovn-down"


def test_an_answer_of_ovn_trace_is_read_step_by_step():
    answer = logical.parse(said(SOUND)["traces"][NAME])
    assert answer.error is None and answer.outputs == ("hunt-o/kvm2/od2",)
    assert [step.datapath for step in answer.steps][:: len(answer.steps) - 1] == ["hunt-o/ow", "hunt-o/od"]
    assert answer.steps[-1].stage == "ls_out_apply_port_sec" and answer.steps[-1].actions[0] == "output;"
    assert logical.parse("error: no such switch").error == "no such switch"
    lost_ = logical.parse('ingress(dp="a", inport="p")\n---\n 0. ls_in_check_port_sec: no match (implicit drop)\n')
    assert [(step.stage, step.match, step.uuid) for step in lost_.steps] == [
        ("ls_in_check_port_sec", "no match (implicit drop)", None)
    ]


def test_cells_of_the_northbound_database_are_plain():
    assert reader._plain("networks", ["set", ["b", "a"]]) == ["a", "b"]
    assert reader._plain("networks", "a") == ["a"] and reader._plain("addresses", ["set", []]) == []
    assert reader._plain("enabled", ["set", []]) is None and reader._plain("enabled", False) is False
