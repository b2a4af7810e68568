# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ovs_flow and ovs_flow_info against a real Open vSwitch."""

from __future__ import annotations

import contextlib
import random
import typing as t

import pytest
from harness import Failed, wait
from ovs import exit_switch

if t.TYPE_CHECKING:
    from harness import Host

UNIT = "overloom-flows-br0:overloom.fabric.service"
FILE = "/etc/overloom/flows/br0:overloom.fabric.flows"


@pytest.fixture
def br0(host: Host) -> Host:
    """A host with the bridge br0, which drops what no flow speaks of, and its ports p1, p-2.x and p3."""
    host.run("ovs-vsctl add-br br0 -- set Bridge br0 datapath_type=netdev fail_mode=secure".split())
    for name in ("p1", "p-2.x", "p3"):
        host.run(["ovs-vsctl", "add-port", "br0", name, "--", "set", "Interface", name, "type=internal"])
    return host


def ofctl(host: Host, command: str, *arguments: str) -> list[str]:
    """What a dump command of ovs-ofctl prints, line by line without its heading."""
    lines = host.run(["ovs-ofctl", "-O", "OpenFlow15", "--names", command, "br0", *arguments]).splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("OFPST_")]


def flows(host: Host) -> list[str]:
    """The bridge's flows without their cookies."""
    lines = ofctl(host, "dump-flows", "--no-stats")
    return sorted(line.partition(", ")[2] if line.startswith("cookie=") else line for line in lines)


def info(host: Host, **options: t.Any) -> dict[str, t.Any]:
    """What ovs_flow_info returns."""
    return host.module("ovs_flow_info", {"bridge": "br0", **options})


# One flow


# What is declared in three steps (a value, another, the clearing one), and how the flow is printed after each.
STEPS = [
    (
        {
            "actions": ["output:p1"],
            "idle_timeout": 1000,
            "hard_timeout": 3000,
            "importance": 7,
            "send_flow_rem": True,
            "check_overlap": True,
            "reset_counts": True,
            "no_packet_counts": True,
            "no_byte_counts": True,
        },
        "idle_timeout=1000, hard_timeout=3000, send_flow_rem check_overlap reset_counts no_packet_counts no_byte_counts importance=7, arp actions=output:p1",
    ),
    (
        {"actions": ["output:p-2.x", "p3"], "idle_timeout": 2000, "hard_timeout": 4000, "importance": 8},
        "idle_timeout=2000, hard_timeout=4000, send_flow_rem check_overlap reset_counts no_packet_counts no_byte_counts importance=8, "
        'arp actions=output:"p-2.x",output:p3',
    ),
    (
        {
            "actions": [],
            "idle_timeout": 0,
            "hard_timeout": 0,
            "importance": 0,
            "send_flow_rem": False,
            "check_overlap": False,
            "reset_counts": False,
            "no_packet_counts": False,
            "no_byte_counts": False,
        },
        "arp actions=drop",
    ),
]


def test_each_option_is_set_changed_left_and_cleared(br0: Host) -> None:
    plain = {"bridge": "br0", "match": {"arp": True}}
    for options, line in STEPS:
        assert br0.apply("ovs_flow", {**plain, **options})["changed"]
        assert flows(br0) == [line]
        assert not br0.module("ovs_flow", plain)["changed"], "what is left out stays"
    for option, value in STEPS[0][0].items():
        assert br0.module("ovs_flow", {**plain, option: value}, check=True)["changed"], f"{option} alone is a change"


def test_one_flow_is_made_changed_and_removed_as_plain_options(br0: Host) -> None:
    flow = {
        "bridge": "br0",
        "table": 3,
        "priority": 7,
        "match": {"in_port": "p-2.x", "ip": True, "nw_dst": "10.1.2.3/24"},
        "actions": [{"output": "p1"}],
    }
    done = br0.apply("ovs_flow", flow)
    assert flows(br0) == ['table=3, priority=7,ip,in_port="p-2.x",nw_dst=10.1.2.0/24 actions=output:p1']
    assert done["flows"] == [
        {
            "table": 3,
            "priority": 7,
            "match": {"ip": True, "in_port": "p-2.x", "nw_dst": "10.1.2.0/24"},
            "actions": ["output:p1"],
            "cookie": "0x6f761202711c0000",
        }
    ]
    assert br0.apply("ovs_flow", {**flow, "actions": ["drop"]})["diff"] == {
        "before": 'table=3,cookie=0x6f761202711c0000,priority=7,ip,in_port="p-2.x",nw_dst=10.1.2.0/24,actions=output:p1\n',
        "after": 'table=3,cookie=0x6f761202711c0000,priority=7,ip,in_port="p-2.x",nw_dst=10.1.2.0/24,actions=drop\n',
    }
    br0.apply("ovs_flow", {**flow, "state": "absent"})
    assert not flows(br0) and not br0.exists(FILE) and not br0.exists(f"/etc/systemd/system/{UNIT}")
    assert not br0.module("ovs_flow", {**flow, "state": "absent"})["changed"]


def test_the_commands_can_be_repeated_by_hand(br0: Host) -> None:
    done = br0.apply("ovs_flow", {"bridge": "br0", "flow": 'in_port="p-2.x",actions=p1,resubmit(p3,4)'})
    before = flows(br0)
    br0.run(["ovs-ofctl", "del-flows", "br0"])
    br0.run(["sh", "-c", done["commands"][0]])
    assert flows(br0) == before == ['in_port="p-2.x" actions=output:p1,resubmit(p3,4)']


# What Open vSwitch prints otherwise than a person writes it

SPELLINGS = [
    "actions=",
    "priority=32768,dl_type=0x0800,nw_src=10.0.0.1/255.255.0.0,actions=normal",
    " tcp , tp_dst=0x50/0xfff0 ,reg0=5, dl_vlan=0x0a, dl_src=AA:BB:cc:00:00:01 actions=mod_dl_dst:02:00:00:00:00:09,strip_vlan,LOCAL",
    "table=1,vlan_tci=0x1005/0x1fff,actions=mod_vlan_vid:7,enqueue:p1:3,controller",
    "table=1,vlan_tci=0xf123,actions=load:0x5->NXM_NX_REG0[0..7],move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
    "table=2,ipv6,ipv6_src=2001:DB8:0::1/32,actions=set_tunnel:5,dec_ttl,output:p-2.x",
    "table=2,icmp6,icmp_type=135,nd_target=fe80::1,actions=in_port",
    "table=3,ct_state=+trk+new,tcp,actions=ct(commit,zone=1,exec(set_field:1->ct_mark)),resubmit(,4),resubmit:p3",
    "table=4,actions=learn(table=10,idle_timeout=9,NXM_OF_VLAN_TCI[0..11],NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
    "table=5,udp,actions=note:01.02,clone(output:p1,set_field:1->reg1)",
    "table=5,conj_id=5,ip,actions=bundle(eth_src,0,hrw,ofport,members:p1,p3)",
    "table=6,tcp,tcp_flags=+syn-ack,in_port=local,actions=output(port=p1,max_len=100),fin_timeout(idle_timeout=5)",
    "table=6,arp,arp_spa=10.0.0.1,arp_op=2,dl_vlan=5,dl_vlan_pcp=3,actions=multipath(eth_src,50,modulo_n,1,0,NXM_NX_REG0[]),output:reg0",
    "table=7,tun_id=0x5,mpls,mpls_label=3,actions=pop_mpls:0x0800,write_metadata:7,goto_table:9",
    "table=7,pkt_mark=0x0005,actions=check_pkt_larger(100)->reg0[0],write_actions(set_field:1->reg2,output:p1)",
    "table=8,ip,nw_frag=later,nw_tos=4,nw_ttl=5,actions=mod_nw_src:10.0.0.1,mod_nw_tos:8,sample(probability=3,collector_set_id=1)",
]


def test_another_spelling_is_no_change(br0: Host) -> None:
    args = {"bridge": "br0", "flows": [{"flow": text} for text in SPELLINGS]}
    assert br0.apply("ovs_flow", args)["changed"]
    dumped = ofctl(br0, "dump-flows")
    assert len(dumped) == len(SPELLINGS)
    assert not br0.module("ovs_flow", {"bridge": "br0", "flows": [{"flow": line} for line in dumped]})["changed"], (
        "the switch's own lines are the same flows"
    )


def random_match(rand: random.Random) -> dict[str, t.Any]:
    """The fields of a protocol, or of none, with some of the frame's."""
    match: dict[str, t.Any] = {}
    if rand.random() < 0.5:
        match["in_port"] = rand.choice(["p1", "p-2.x", 3, "LOCAL"])
    kind = rand.choice([None, "ip", "tcp", "udp6", "arp", "ipv6", "icmp"])
    if kind:
        match[kind] = True
    if kind in ("ip", "tcp", "icmp"):
        field = rand.choice(["nw_src", "nw_dst", "ip_dst"])
        match[field] = f"10.{rand.randrange(4)}.{rand.randrange(256)}.1/{rand.randrange(1, 33)}"
    if kind in ("tcp", "udp6"):
        match["tp_dst"] = rand.randrange(1, 99)
    if kind in ("udp6", "ipv6"):
        match["ipv6_dst"] = f"2001:DB8::{rand.randrange(99):04x}/{rand.randrange(32, 129)}"
    if rand.random() < 0.3:
        match["dl_vlan"] = rand.randrange(1, 99)
    if rand.random() < 0.3:
        match["dl_src"] = f"02:00:00:00:0A:{rand.randrange(99):02d}"
    return match


def random_flows(seed: int, count: int) -> list[dict[str, t.Any]]:
    """Flows in one of two forms, with different keys."""
    rand = random.Random(seed)
    made: dict[tuple, dict[str, t.Any]] = {}
    while len(made) < count:
        match = random_match(rand)
        actions = rand.sample(
            [
                "output:p1",
                "p3",
                "set_field:5->reg3",
                "load:0x7->NXM_NX_REG1[0..3]",
                {"resubmit": ["", 9]},
                "push_vlan:0x8100",
                "mod_dl_dst:02:00:00:00:00:01",
                "group:1",
            ],
            rand.randrange(0, 5),
        )
        flow = {"table": rand.randrange(3), "priority": rand.randrange(1, 60000), "match": match, "actions": actions}
        if rand.random() < 0.2:
            flow["idle_timeout"] = 3000
        if rand.random() < 0.3:
            head = ",".join(key if value is True else f"{key}={value}" for key, value in match.items())
            flow = {"flow": f"table={flow['table']},priority={flow['priority']},{head} actions=drop"}
        made[(str(flow.get("table", flow.get("flow"))), str(flow.get("priority")))] = flow
    return list(made.values())


@pytest.mark.parametrize("seed", range(5))
def test_random_flows_are_unchanged_the_second_time_and_replace_each_other(br0: Host, seed: int) -> None:
    group = {"group_id": 1, "type": "all", "buckets": [{"actions": ["output:p1"]}]}
    for part in (0, 1):
        wanted = random_flows(2 * seed + part, 200)
        br0.apply("ovs_flow", {"bridge": "br0", "purge": True, "flows": wanted, "groups": [group]})
        assert len(flows(br0)) == 200


# Whose flows they are


def test_purge_removes_only_what_is_ours_and_not_declared(br0: Host) -> None:
    br0.run(["ovs-ofctl", "-O", "OpenFlow15", "add-flow", "br0", "cookie=0x7,priority=1,arp,actions=normal"])
    br0.run(["ovs-ofctl", "-O", "OpenFlow15", "add-flow", "br0", "priority=2,arp,actions=normal"])
    br0.apply("ovs_flow", {"bridge": "br0", "owner": "other", "flow": "priority=3,arp,actions=normal"})
    br0.apply("ovs_flow", {"bridge": "br0", "flows": [{"flow": f"priority={n},arp,actions=normal"} for n in (4, 5, 6)]})
    br0.apply("ovs_flow", {"bridge": "br0", "purge": True, "flows": [{"flow": "priority=4,arp,actions=normal"}]})
    assert sorted(line.split("priority=")[1][0] for line in flows(br0)) == ["1", "2", "3", "4"]
    br0.apply("ovs_flow", {"bridge": "br0", "purge": True, "flows": []})
    assert sorted(line.split("priority=")[1][0] for line in flows(br0)) == ["1", "2", "3"]
    assert not br0.exists(FILE) and br0.exists("/etc/overloom/flows/br0:other.flows")
    br0.apply("ovs_flow", {"bridge": "br0", "owner": "other", "purge": True, "flows": []})
    assert not br0.exists("/etc/overloom"), "the last one leaves no folder"


def test_purge_keeps_to_the_tables(br0: Host) -> None:
    br0.module(
        "ovs_flow", {"bridge": "br0", "flows": [{"table": n, "match": {"arp": True}, "actions": []} for n in (0, 1, 2)]}
    )
    br0.apply(
        "ovs_flow",
        {
            "bridge": "br0",
            "purge": True,
            "tables": [1, 2],
            "flows": [{"table": 2, "match": {"ip": True}, "actions": []}],
        },
    )
    assert flows(br0) == ["arp actions=drop", "table=2, ip actions=drop"]
    assert "table=1,flow" not in br0.run(["cat", FILE]) and "table=0," in br0.run(["cat", FILE])


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"cookie": "0/0"}, ["ip"]),
        ({"cookie": "0/0", "tables": [0]}, ["ip", "table=1, arp"]),
        ({"cookie": "0x5/0xf"}, ["arp", "ip"]),
    ],
)
def test_user_declares_all_flows_of_a_bridge_a_table_or_a_cookie(
    br0: Host, options: dict[str, t.Any], left: list[str]
) -> None:
    br0.run(["ovs-ofctl", "-O", "OpenFlow15", "add-flow", "br0", "cookie=0x7,arp,actions=drop"])
    br0.run(["ovs-ofctl", "-O", "OpenFlow15", "add-flow", "br0", "table=1,cookie=0x15,arp,actions=drop"])
    done = br0.apply(
        "ovs_flow", {"bridge": "br0", "purge": True, "flows": [{"match": {"ip": True}, "actions": []}], **options}
    )
    assert flows(br0) == [f"{line} actions=drop" for line in left]
    assert done["flows"][0]["cookie"] == hex(int(options["cookie"].split("/")[0], 0))


def test_a_foreign_flow_is_configured_but_never_removed_unless_adopted(br0: Host) -> None:
    br0.run(["ovs-ofctl", "-O", "OpenFlow15", "add-flow", "br0", "cookie=0x7,arp,actions=drop"])
    flow = {"bridge": "br0", "match": {"arp": True}, "actions": ["normal"]}
    assert not br0.apply("ovs_flow", {**flow, "actions": [], "persist": False})["changed"]
    for check in (True, False):
        said = br0.module("ovs_flow", flow, check=check, ok=False)["msg"]
        assert (
            "(arp)" in said
            and "cookie 0x7: it is not ours, and it would be changed; give yours another priority or table, or give adopt"
            in said
        )
    assert flows(br0) == ["arp actions=drop"]
    failed = br0.module("ovs_flow", {**flow, "state": "absent"}, ok=False)
    assert "(arp)" in failed["msg"] and "cookie 0x7" in failed["msg"] and "adopt" in failed["msg"]
    br0.apply("ovs_flow", {"bridge": "br0", "purge": True, "flows": []})
    assert flows(br0) == ["arp actions=drop"]
    assert br0.apply("ovs_flow", {**flow, "adopt": True})["flows"][0]["cookie"] == "0x6f761202711c0000"
    assert "another owner" in br0.module("ovs_flow", {**flow, "owner": "other"}, ok=False)["msg"]
    br0.apply("ovs_flow", {**flow, "state": "absent"})
    assert not flows(br0)


def test_a_group_that_a_foreign_flow_uses_is_changed_only_when_adopted(br0: Host) -> None:
    br0.run(["ovs-ofctl", "-O", "OpenFlow15", "add-group", "br0", "group_id=7,type=all,bucket=output:LOCAL"])
    br0.run(["ovs-ofctl", "-O", "OpenFlow15", "add-flow", "br0", "cookie=0x7,arp,actions=group:7"])
    group = {"bridge": "br0", "groups": [{"group_id": 7, "type": "all", "buckets": [{"actions": ["p1"]}]}]}
    said = br0.module("ovs_flow", group, ok=False)["msg"]
    assert (
        "group 7 is not ours and is in use (the flow table=0,priority=32768,arp with cookie 0x7)" in said
        and "choose another number" in said
    )
    br0.apply("ovs_flow", {**group, "adopt": True})


def test_learned_flows_with_a_cookie_of_their_own_are_left_alone(br0: Host) -> None:
    learn = (
        "table=0,actions=learn(table=10,cookie=0x99,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]),normal"
    )
    args = {"bridge": "br0", "purge": True, "flows": [{"flow": learn}]}
    br0.apply("ovs_flow", args)
    br0.run(["ip", "address", "add", "10.9.0.1/24", "dev", "p1"])
    br0.run(["ip", "link", "set", "p1", "up"])
    br0.run("ping -c1 -W1 10.9.0.2".split(), ok=None)
    wait(lambda: any(line.startswith("table=10") for line in flows(br0)), "a flow that is learned")
    assert not br0.module("ovs_flow", args)["changed"]
    assert any(line.startswith("table=10") for line in flows(br0))


# Counters


def test_counters_outlive_changes_of_other_flows_and_of_the_flow_itself(br0: Host) -> None:
    br0.run(["ip", "address", "add", "10.9.0.1/24", "dev", "p1"])
    br0.run(["ip", "link", "set", "p1", "up"])
    count = {"priority": 9, "match": {"in_port": "p1", "arp": True}}
    other = {"priority": 8, "match": {"ip": True}}
    br0.apply("ovs_flow", {"bridge": "br0", "flows": [{**count, "actions": []}, {**other, "actions": []}]})
    br0.run("ping -c2 -i0.2 -W1 10.9.0.2".split(), ok=None)

    def packets() -> int:
        # What the datapath has counted is with the flows only after its next round.
        br0.run(["ovs-appctl", "revalidator/wait"])
        return next(flow["n_packets"] for flow in info(br0, gather=["flows"])["flows"] if flow["priority"] == 9)

    seen = wait(packets, "a packet that is counted")
    br0.run(["ip", "link", "set", "p1", "down"])
    seen = max(seen, packets())
    done = br0.apply(
        "ovs_flow", {"bridge": "br0", "flows": [{**count, "actions": []}, {**other, "actions": ["normal"]}]}
    )
    assert done["commands"][0].count("flow add") == 1, "only what differs is sent"
    assert packets() >= seen
    br0.apply("ovs_flow", {"bridge": "br0", "flows": [{**count, "actions": ["normal"], "idle_timeout": 500}]})
    assert packets() >= seen, "a changed flow keeps its counters"
    br0.apply("ovs_flow", {"bridge": "br0", "flows": [{**count, "actions": ["local"], "reset_counts": True}]})
    assert packets() == 0


# Groups and meters


def test_groups_and_meters_come_before_their_users_and_go_after_them(br0: Host) -> None:
    wanted: dict[str, t.Any] = {
        "bridge": "br0",
        "purge": True,
        "meters": [{"meter_id": "1", "unit": "kbps", "bands": [{"rate": 1000, "burst_size": 50}]}],
        "groups": [
            {
                "group_id": 1,
                "type": "ff",
                "buckets": [
                    {"watch_port": "p1", "actions": ["p1"]},
                    {"watch_port": "p-2.x", "actions": [{"output": "p-2.x"}]},
                ],
            },
            {
                "group": "group_id=2,type=select,selection_method=hash,fields(nw_src,nw_dst),bucket=weight:3,set_field:10.0.0.1->ip_dst,group:1,bucket=p3"
            },
        ],
        "flows": [{"match": {"ip": True}, "actions": ["meter:1", "group:2"]}],
    }
    br0.apply("ovs_flow", wanted)
    assert sorted(ofctl(br0, "dump-groups")) == [
        'group_id=1,type=ff,bucket=bucket_id:0,watch_port:p1,actions=output:p1,bucket=bucket_id:1,watch_port:"p-2.x",actions=output:"p-2.x"',
        "group_id=2,type=select,selection_method=hash,fields(ip_src,ip_dst),"
        "bucket=bucket_id:0,weight:3,actions=set_field:10.0.0.1->ip_dst,group:1,bucket=bucket_id:1,actions=output:p3",
    ]
    wanted["groups"][0]["buckets"].pop()
    wanted["meters"][0]["bands"][0]["rate"] = 2000
    done = br0.apply("ovs_flow", wanted)
    assert [command.split()[4] for command in done["commands"] if command.startswith("ovs-ofctl")] == [
        "mod-meter",
        "bundle",
    ]
    read = info(br0)
    assert [band["rate"] for band in read["meters"][0]["bands"]] == [2000] and "packet_in_count" in read["meters"][0][
        "statistics"
    ]
    assert next(g for g in read["groups"] if g["group_id"] == 1)["buckets"][0]["actions"] == ["output:p1"]
    failed = br0.module("ovs_flow", {"bridge": "br0", "purge": True, "groups": []}, ok=False)
    assert "group 2 is still used by the flow table=0,priority=32768,ip" in failed["msg"]
    assert flows(br0), "nothing was removed"
    br0.apply("ovs_flow", {"bridge": "br0", "purge": True, "flows": [], "groups": [], "meters": []})
    assert (
        not flows(br0)
        and not ofctl(br0, "dump-groups")
        and "meter=1" not in br0.run(["ovs-ofctl", "-O", "OpenFlow15", "dump-meters", "br0"])
    )


# kind, steps of (what is declared, what is printed of it)
GROUPS: list[tuple[str, list[tuple[dict[str, t.Any], str]]]] = [
    ("all", [({"type": "all"}, "type=all"), ({"type": "indirect"}, "type=indirect")]),
    (
        "select",
        [
            (
                {"selection_method": "hash", "selection_method_param": 3, "fields": ["eth_src", "ip_src"]},
                "selection_method=hash,selection_method_param=3,fields(eth_src,ip_src)",
            ),
            (
                {"selection_method": "dp_hash", "selection_method_param": 4, "fields": []},
                "selection_method=dp_hash,selection_method_param=4,bucket",
            ),
            (
                {"selection_method": "hash", "selection_method_param": 0, "fields": ["ip_dst", "ip_src"]},
                "selection_method=hash,fields(ip_src,ip_dst)",
            ),
            ({"selection_method": "", "selection_method_param": 0, "fields": []}, "type=select,bucket"),
        ],
    ),
    (
        "select",
        [
            (
                {"buckets": [{"actions": ["p1"], "bucket_id": 8, "weight": 5, "watch_port": "p1", "watch_group": 7}]},
                "bucket_id:8,weight:5,watch_port:p1,watch_group:7,actions=output:p1",
            ),
            (
                {"buckets": [{"actions": ["p3"], "bucket_id": 9, "weight": 6, "watch_port": "p3", "watch_group": 6}]},
                "bucket_id:9,weight:6,watch_port:p3,watch_group:6,actions=output:p3",
            ),
            ({"buckets": [{}]}, "bucket_id:0,actions=drop"),
            ({"buckets": []}, "type=select"),
        ],
    ),
]


@pytest.mark.parametrize(("kind", "steps"), GROUPS)
def test_each_option_of_a_group_is_set_changed_and_cleared(
    br0: Host, kind: str, steps: list[tuple[dict[str, t.Any], str]]
) -> None:
    plain = {"group_id": 5, "type": kind, **({} if "buckets" in steps[0][0] else {"buckets": [{"actions": ["p1"]}]})}
    for declared, part in steps:
        br0.apply("ovs_flow", {"bridge": "br0", "groups": [{**plain, **declared}]})
        (line,) = ofctl(br0, "dump-groups")
        assert part in line
        assert not br0.module("ovs_flow", {"bridge": "br0", "groups": [{"group_id": 5}]})["changed"], (
            "an option that is left out stays"
        )


# steps of (what is declared, what is printed of it)
METERS: list[tuple[dict[str, t.Any], str]] = [
    (
        {"unit": "kbps", "stats": True, "bands": [{"type": "drop", "rate": 5, "burst_size": 9}]},
        "kbps burst stats bands=\ntype=drop rate=5 burst_size=9",
    ),
    (
        {"unit": "pktps", "stats": False, "bands": [{"rate": 6, "burst_size": 10}]},
        "pktps burst bands=\ntype=drop rate=6 burst_size=10",
    ),
    ({"bands": [{"type": "drop", "rate": 7}, {"rate": 8}]}, "pktps bands=\ntype=drop rate=7\ntype=drop rate=8"),
]


def test_each_option_of_a_meter_is_set_changed_and_cleared(br0: Host) -> None:
    for declared, part in METERS:
        br0.apply("ovs_flow", {"bridge": "br0", "meters": [{"meter_id": 3, **declared}]})
        printed = br0.run(["ovs-ofctl", "-O", "OpenFlow15", "dump-meters", "br0"])
        assert part in "\n".join(" ".join(line.split()) for line in printed.splitlines())
        assert not br0.module("ovs_flow", {"bridge": "br0", "meters": [{"meter_id": 3}]})["changed"], (
            "an option that is left out stays"
        )
    br0.apply("ovs_flow", {"bridge": "br0", "meters": [{"meter_id": 3, "state": "absent"}]})
    assert "meter=3" not in br0.run(["ovs-ofctl", "-O", "OpenFlow15", "dump-meters", "br0"])


def test_a_band_that_the_switch_cannot_do_is_refused_in_its_own_words(br0: Host) -> None:
    meter = {"meter_id": 3, "unit": "kbps", "bands": [{"type": "dscp_remark", "rate": 5, "prec_level": 1}]}
    assert (
        "type=dscp_remark,rate=5,prec_level=1"
        in br0.module("ovs_flow", {"bridge": "br0", "meters": [meter]}, check=True)["commands"][0]
    )
    failed = br0.module("ovs_flow", {"bridge": "br0", "meters": [meter]}, ok=False)
    assert "OFPMMFC_BAD_BAND" in failed["msg"] and "meter=3" not in br0.run(
        ["ovs-ofctl", "-O", "OpenFlow15", "dump-meters", "br0"]
    )


def test_a_group_of_somebody_else_stays(br0: Host) -> None:
    br0.run(["ovs-ofctl", "-O", "OpenFlow15", "add-group", "br0", "group_id=5,type=all,bucket=drop"])
    br0.apply("ovs_flow", {"bridge": "br0", "owner": "other", "groups": [{"group_id": 6, "type": "all"}]})
    br0.apply(
        "ovs_flow",
        {
            "bridge": "br0",
            "purge": True,
            "groups": [{"group_id": 5, "type": "indirect", "buckets": [{"actions": ["p1"]}]}],
        },
    )
    assert (
        "not ours, and stays; leave it out of the task, or give adopt"
        in br0.module("ovs_flow", {"bridge": "br0", "groups": [{"group_id": 5, "state": "absent"}]}, ok=False)["msg"]
    )
    assert (
        "owner other; set adopt"
        in br0.module("ovs_flow", {"bridge": "br0", "groups": [{"group_id": 6, "state": "absent"}]}, ok=False)["msg"]
    )
    br0.apply("ovs_flow", {"bridge": "br0", "purge": True, "groups": []})
    assert len(ofctl(br0, "dump-groups")) == 2


# Bad input


BAD = [
    (
        {"flows": [{"flow": "arp,actions=normal"}, {"flow": "ip,actions=foo"}]},
        "flow 2 (ip,actions=foo) is refused by ovs-ofctl: unknown action foo",
    ),
    (
        {"flows": [{"match": {"ip": True}, "actions": []}, {"match": {"tp_dst": 80}, "actions": []}]},
        "flow 2 (tp_dst=80) is refused by ovs-ofctl: the match 'tp_dst=80' is not in normal form",
    ),
    ({"flow": "in_port=nix,actions=drop"}, "names nix, which is no port of bridge br0"),
    ({"flow": "actions=output:p11"}, "names p11, which is no port of bridge br0"),
    ({"flow": "actions=group:9"}, "refused 'ADD cookie:0x6f761202711c0000 actions=group:9' with OFPBAC_BAD_OUT_GROUP"),
    (
        {"flows": [{"flow": "ip,actions=drop"}, {"match": {"eth_type": 2048}, "actions": ["normal"]}]},
        "flow 2 (eth_type=2048) and flow 1 (ip,actions=drop) are the same flow",
    ),
    ({"flow": "actions=drop", "cookie": "five"}, "cookie is 'five'; give a 64-bit number"),
    ({"flow": "cookie=5,actions=drop"}, "has the cookie 0x5, which is not in"),
    ({"flow": "arp,actions=drop\nip,actions=drop"}, "must be one line"),
    ({"flow": "arp"}, "has no actions="),
    (
        {"flow": "arp,actions=strip_vlan"},
        "flow (arp,actions=strip_vlan) is refused by ovs-ofctl: OpenFlow15 has no such flow",
    ),
    ({"flow": "delete arp,actions=drop"}, "is refused by ovs-ofctl"),
    ({"flow": "arp,actions=drop", "table": 3}, "has both flow and table"),
    ({"match": {"dl_vlan": "5 actions=normal"}, "actions": []}, "option match, field dl_vlan"),
    ({"table": 255, "actions": []}, "table is 255; give a whole number from 0 to 254"),
    ({"priority": 65536, "actions": []}, "priority is 65536"),
    ({"tables": [1], "flow": "actions=drop"}, "is in table 0, but tables has only 1"),
    (
        {"groups": [{"group_id": 1, "type": "all", "buckets": [{"actions": ["foo:1"]}]}]},
        "group 1 is refused by ovs-ofctl",
    ),
    ({"groups": [{"group_id": 1}]}, "group 1 is not on the bridge, and has no type"),
    (
        {"groups": [{"group_id": 1, "type": "ff", "buckets": [{"watch_port": "nix"}]}]},
        "group 1 names nix, which is no port",
    ),
    ({"meters": [{"meter_id": "1", "unit": "kbps"}]}, "meter 1 has no bands"),
    ({"bridge": "br1", "flow": "actions=drop"}, "bridge br1 is not there; make it with ovs_bridge"),
    ({"bridge": "a bridge", "flow": "actions=drop"}, "'a bridge' is not a name"),
    ({"match": {"ip": True}}, "flow (ip) is not on the bridge, and has no actions"),
]


def test_bad_input_is_one_sentence_and_changes_nothing(br0: Host) -> None:
    for args, said in BAD:
        failed = br0.module("ovs_flow", {"bridge": "br0", **args}, ok=False)
        assert said in failed["msg"] and "\n" not in failed["msg"]
    assert not flows(br0) and not ofctl(br0, "dump-groups") and not br0.exists(FILE)


def test_hostile_words_are_never_run(br0: Host) -> None:
    for word in ("$(touch /tmp/pwned)", "; touch /tmp/pwned #", '--help a "b=c`touch /tmp/pwned`'):
        for args in (
            {"flow": word},
            {"flow": f"{word},actions=drop"},
            {"match": {"in_port": word}, "actions": []},
            {"actions": [word]},
            {"flow": "actions=drop", "cookie": word},
        ):
            br0.module("ovs_flow", {"bridge": "br0", **args}, ok=False)
    assert not br0.exists("/tmp/pwned") and not flows(br0)


def test_in_check_mode_what_an_earlier_task_makes_is_a_warning(br0: Host) -> None:
    flow = {"bridge": "br0", "flow": "in_port=later,actions=output:p1,later"}
    foretold = br0.module("ovs_flow", flow, check=True)
    assert foretold["changed"] and "later" in str(foretold["warnings"])
    br0.run("ovs-vsctl add-port br0 later -- set Interface later type=internal".split())
    assert br0.module("ovs_flow", flow)["commands"] == foretold["commands"]
    missing = br0.module("ovs_flow", {**flow, "bridge": "br1"}, check=True)
    assert missing["changed"] and "br1" in str(missing["warnings"])


def test_a_bridge_without_bundles_is_told_what_it_lacks(br0: Host) -> None:
    br0.run("ovs-vsctl set Bridge br0 protocols=OpenFlow10,OpenFlow12".split())
    said = br0.module("ovs_flow", {"bridge": "br0", "flow": "actions=drop"}, ok=False)["msg"]
    assert "speaks nothing newer than OpenFlow12" in said and "add OpenFlow15 to its protocols" in said
    br0.run("ovs-vsctl set Bridge br0 protocols=OpenFlow13,OpenFlow14".split())
    br0.apply(
        "ovs_flow",
        {
            "bridge": "br0",
            "flow": "actions=drop",
            "groups": [{"group_id": 1, "type": "all", "buckets": [{"actions": ["p1"]}]}],
        },
    )


# Reading


def test_flows_are_read_by_table_cookie_and_match(br0: Host) -> None:
    br0.run(["ovs-ofctl", "-O", "OpenFlow15", "add-flow", "br0", "cookie=0x7,arp,actions=drop"])
    br0.module(
        "ovs_flow",
        {
            "bridge": "br0",
            "flows": [
                {"table": 1, "match": {"in_port": "p-2.x", "ip": True}, "actions": ["p1"]},
                {"match": {"ip": True}, "actions": []},
            ],
        },
    )

    def matches(**options: t.Any) -> list[tuple]:
        return sorted(
            (flow["table"], str(flow["match"]), flow["ours"])
            for flow in info(br0, gather=["flows"], **options)["flows"]
        )

    inside = (1, "{'ip': True, 'in_port': 'p-2.x'}", True)
    assert matches(table=1) == [inside] == matches(match={"in_port": "p-2.x"})
    assert matches(cookie="7") == [(0, "{'arp': True}", False)]
    assert len(matches(match={"ip": True})) == 2 == len(matches(cookie="0x6f76000000000000/0xffff000000000000"))
    assert info(br0, gather=["tables"])["tables"] == [
        {"table": 0, "active": 2, "lookup": 0, "matched": 0},
        {"table": 1, "active": 1, "lookup": 0, "matched": 0},
    ]
    assert (
        "no port of bridge br0"
        in br0.module("ovs_flow_info", {"bridge": "br0", "match": {"in_port": "nix"}}, ok=False)["msg"]
    )
    assert "br9 is not there" in br0.module("ovs_flow_info", {"bridge": "br9"}, ok=False)["msg"]


# Traffic


def test_flows_let_traffic_through_and_stop_it(br0: Host) -> None:
    for number, name in enumerate(("red", "blue"), 1):
        br0.run(["ip", "netns", "add", name])
        br0.run(["ovs-vsctl", "add-port", "br0", name, "--", "set", "Interface", name, "type=internal"])
        br0.run(["ip", "link", "set", name, "netns", name])
        for line in (f"address add 10.9.0.{number}/24 dev {name}", f"link set {name} up"):
            br0.run(["ip", "-n", name, *line.split()])

    def ping() -> bool:
        return " 0% packet loss" in br0.run("ip netns exec red ping -c3 -i0.2 -W1 10.9.0.2".split(), ok=None)

    arp = {"priority": 9, "match": {"arp": True}, "actions": ["normal"]}
    both = [
        {"priority": 5, "match": {"ip": True, "in_port": a}, "actions": [{"output": b}]}
        for a, b in (("red", "blue"), ("blue", "red"))
    ]
    br0.apply("ovs_flow", {"bridge": "br0", "purge": True, "flows": [arp, *both]})
    wait(ping, "an answer to each ping")
    br0.apply("ovs_flow", {"bridge": "br0", "purge": True, "flows": [arp, {**both[0], "actions": []}, both[1]]})
    assert not ping()
    br0.run(["ovs-appctl", "revalidator/wait"])
    dropped = next(flow for flow in info(br0, match={"in_port": "red", "ip": True})["flows"] if not flow["actions"])
    assert dropped["n_packets"] >= 3 and dropped["n_bytes"] >= 3 * 98
    br0.apply("ovs_flow", {"bridge": "br0", "purge": True, "flows": [arp, *both]})
    wait(ping, "an answer to each ping")


# Restarts

EVERYTHING = {
    "bridge": "br0",
    "flows": [{"flow": 'in_port="p-2.x",ip,actions=meter:1,group:1'}, {"table": 1, "actions": ["p1"]}],
    "groups": [{"group_id": 1, "type": "all", "buckets": [{"actions": ["p1"]}, {"actions": ["p3"]}]}],
    "meters": [{"meter_id": "1", "unit": "kbps", "bands": [{"rate": 100}]}],
}


def held(host: Host) -> tuple[list[str], list[str], list[str]]:
    """Flows, groups, meters."""
    return flows(host), sorted(ofctl(host, "dump-groups")), ofctl(host, "dump-meters")


def wait_for_unit(host: Host) -> None:
    """Until the service that restores has ended."""
    ended = ("active", "failed")
    wait(lambda: host.run(["systemctl", "is-active", UNIT], ok=None).split()[0] in ended, f"the end of {UNIT}")


def test_everything_is_there_again_after_a_reboot(br0: Host) -> None:
    br0.apply("ovs_flow", EVERYTHING)
    before = held(br0)
    br0.reboot()
    wait_for_unit(br0)
    assert held(br0) == before
    assert not br0.module("ovs_flow", EVERYTHING)["changed"]


@pytest.mark.parametrize(
    "how",
    ["systemctl restart ovs-vswitchd", "systemctl restart openvswitch-switch", "systemctl kill -s KILL ovs-vswitchd"],
)
def test_everything_is_there_again_after_a_restart_of_the_daemon(br0: Host, how: str) -> None:
    br0.apply("ovs_flow", EVERYTHING)
    before = held(br0)
    first = br0.run("systemctl show -p MainPID ovs-vswitchd".split())
    br0.run(how.split())

    def back() -> bool:
        # While it starts, it answers nobody.
        with contextlib.suppress(Failed):
            return (
                br0.run("systemctl show -p MainPID ovs-vswitchd".split()) not in (first, "MainPID=0\n")
                and br0.run(["systemctl", "is-active", UNIT], ok=None).strip() == "active"
                and held(br0) == before
            )
        return False

    wait(back, "all that was there")


def test_a_daemon_that_is_gone_is_a_clear_error_and_the_next_run_converges(br0: Host) -> None:
    forgetful = {**EVERYTHING, "persist": False}
    br0.apply("ovs_flow", forgetful)
    before = held(br0)
    assert not br0.exists(FILE)
    exit_switch(br0)
    failed = br0.module("ovs_flow", forgetful, ok=False)
    assert "the bridge br0 does not answer" in failed["msg"] and "ovs-vswitchd" in failed["msg"]
    br0.run("systemctl restart openvswitch-switch".split())
    assert not flows(br0), "the daemon forgot them"
    assert br0.apply("ovs_flow", forgetful)["changed"]
    assert held(br0) == before


def test_a_daemon_that_hangs_is_a_clear_error_and_the_next_run_converges(br0: Host) -> None:
    pid = br0.run("systemctl show --value -p MainPID ovs-vswitchd".split()).strip()
    br0.run(["kill", "-STOP", pid])
    try:
        failed = br0.module("ovs_flow", {**EVERYTHING, "timeout": 3}, ok=False)
    finally:
        br0.run(["kill", "-CONT", pid])
    assert "did not answer for the bridge br0 in time" in failed["msg"]
    br0.apply("ovs_flow", EVERYTHING)


def test_persist_can_be_turned_off_and_on(br0: Host) -> None:
    br0.apply("ovs_flow", EVERYTHING)
    assert br0.exists(FILE) and br0.exists(f"/etc/systemd/system/{UNIT}")
    br0.apply("ovs_flow", {**EVERYTHING, "persist": False})
    assert not br0.exists(FILE) and not br0.exists(f"/etc/systemd/system/{UNIT}")
    assert len(flows(br0)) == 2
    br0.apply("ovs_flow", EVERYTHING)
    assert br0.run(["systemctl", "is-enabled", UNIT]).strip() == "enabled"


def test_the_file_is_repaired(br0: Host) -> None:
    br0.apply("ovs_flow", EVERYTHING)
    before = br0.run(["cat", FILE])
    br0.write(FILE, before.replace("flow add table=1", "flow add table=2"))
    assert br0.apply("ovs_flow", {**EVERYTHING, "purge": True})["changed"]
    assert br0.run(["cat", FILE]) == before


# Many


def test_thousands_of_flows_in_one_call_take_three_processes_to_read(br0: Host) -> None:
    wanted = [
        {
            "flow": f"table={n % 4},priority=9,ip,in_port=p1,nw_dst=10.{n >> 8}.{n & 255}.0/24,actions=set_field:{n}->reg0,output:p-2.x"
        }
        for n in range(5000)
    ]
    args = {"bridge": "br0", "purge": True, "flows": wanted}
    assert br0.module("ovs_flow", args)["changed"]
    assert len(flows(br0)) == 5000
    again = br0.module("ovs_flow", args)
    assert not again["changed"] and again["spawned"] <= 3
    wanted[7] = {"flow": wanted[7]["flow"].replace("output:p-2.x", "drop").replace("set_field:7->reg0,", "")}
    changed = br0.module("ovs_flow", args)
    assert changed["commands"][0].count("\n") == 2, "one line between the heading and the end"
    few = br0.module("ovs_flow", {**args, "flows": wanted[:1], "purge": False})
    assert few["spawned"] == again["spawned"]
