# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flows, groups and meters: text and data, and the comparison, without a switch."""

from __future__ import annotations

import re
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.compare import (
    Scope,
    Wanted,
    WantedFlow,
    WantedGroup,
    WantedMeter,
    apply,
    bundle_lines,
    compare,
    kept,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.cookie import (
    ALL_BITS,
    COOKIE_MASK,
    Cookie,
    owner_cookie,
    parse_cookie,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.flow import (
    DEFAULT_FLOW,
    FLAGS,
    Flow,
    actions_text,
    match_data,
    match_text,
    parse_dump,
    parse_flow,
    parse_parsed,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.group import (
    Bucket,
    Group,
    bucket_line,
    parse_group,
    parse_group_stats,
    parse_groups,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.meter import (
    Band,
    Meter,
    parse_meter,
    parse_meter_stats,
    parse_meters,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.record import (
    Seen,
    parse_record,
    record_text,
    restore_unit,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.switch import (
    Switch,
    Tlv,
    parse_tables,
    parse_tlvs,
    restore_lines,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import (
    quoted,
    speakable,
    split_top,
    unquoted,
    with_names,
    with_numbers,
)
from ansible_collections.overloom.fabric.plugins.module_utils._openflow.tlv import WantedTlv, compare_tlvs, wanted_tlvs
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

PORTS = {"p1": 1, "p-2.x": 2, "gre0": 3, "br0": 65534, "a,b(c": 4, "normal": 5, "7": 6}
NAMES = {number: name for name, number in PORTS.items()}
OURS = Cookie(owner_cookie("me"), COOKIE_MASK)


def unknown(name: str) -> int:
    raise FabricError(f"unknown {name}")


# Cookies


def test_an_owners_cookie_has_the_prefix_and_leaves_sixteen_bits_free() -> None:
    assert owner_cookie("me") >> 48 == 0x6F76
    assert owner_cookie("me") & 0xFFFF == 0
    assert owner_cookie("me") != owner_cookie("you")
    assert OURS.holds(owner_cookie("me") + 77) and not OURS.holds(owner_cookie("you"))


@pytest.mark.parametrize(
    ("text", "cookie"),
    [
        ("5", Cookie(5)),
        (5, Cookie(5)),
        ("0x5/0xff", Cookie(5, 255)),
        ("0/0", Cookie(0, 0)),
        ("7/-1", Cookie(7)),
        ("0x" + "f" * 16, Cookie(ALL_BITS)),
    ],
)
def test_cookies_are_read(text: t.Any, cookie: Cookie) -> None:
    assert parse_cookie(text, "cookie") == cookie
    assert parse_cookie(str(cookie), "cookie") == cookie


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "5/", "/5", "0x1" + "0" * 16, "5 6", "1/2/3", True, "0b1", "5\n"[:1] + "\n6"]
)
def test_bad_cookies_are_refused(text: t.Any) -> None:
    with pytest.raises(FabricError, match="cookie is"):
        parse_cookie(text, "cookie")


# Ports


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("in_port=p1,ip,actions=output:gre0", "in_port=1,ip,actions=output:3"),
        ("in_port=p-2.x actions=p1,gre0,normal", "in_port=2,actions=output:1,output:3,normal"),
        ('in_port="a,b(c",actions=output:"a,b(c",output:"normal"', "in_port=4,actions=output:4,output:5"),
        ("actions=resubmit(p1,3),resubmit(,4),resubmit:gre0", "actions=resubmit(1,3),resubmit(,4),resubmit:3"),
        ("actions=enqueue:p1:2,enqueue(p1,2)", "actions=enqueue:1:2,enqueue(1,2)"),
        ("actions=output(port=gre0,max_len=9)", "actions=output(port=3,max_len=9)"),
        ("actions=output(max_len=9,port=gre0)", "actions=output(max_len=9,port=3)"),
        ("actions=bundle(eth_src,0,hrw,ofport,members:p1,gre0)", "actions=bundle(eth_src,0,hrw,ofport,members:1,3)"),
        (
            "actions=learn(table=1,in_port=p1,output:NXM_OF_IN_PORT[]),output:NXM_NX_REG0[0..15],output:reg0[]",
            "actions=learn(table=1,in_port=1,output:NXM_OF_IN_PORT[]),output:NXM_NX_REG0[0..15],output:reg0[]",
        ),
        ("actions=clone(output:p1,resubmit(gre0,5)),drop", "actions=clone(output:1,resubmit(3,5)),drop"),
        (
            "group_id=1,type=ff,bucket=watch_port:p1,actions=output:p1",
            "group_id=1,type=ff,bucket=watch_port:1,actions=output:1",
        ),
        (
            "in_port=LOCAL,actions=output:in_port,LOCAL,controller,flood",
            "in_port=LOCAL,actions=output:in_port,LOCAL,controller,flood",
        ),
        ("in_port=br0,actions=br0", "in_port=65534,actions=output:65534"),
        ("in_port=7,actions=output:0x3", "in_port=7,actions=output:0x3"),
        ("actions=strip_vlan,dec_ttl,set_field:p1->reg0", "actions=strip_vlan,dec_ttl,set_field:p1->reg0"),
    ],
)
def test_names_of_ports_become_numbers_only_where_a_port_stands(text: str, numbers: str) -> None:
    assert with_numbers(text, PORTS, unknown) == numbers


@pytest.mark.parametrize(
    "text", ["in_port=p", "actions=output:p11", "actions=resubmit(gre,1)", 'actions="p2"', "actions=enqueue:x:1"]
)
def test_a_name_is_matched_as_a_whole_or_is_unknown(text: str) -> None:
    with pytest.raises(FabricError, match="unknown"):
        with_numbers(text, PORTS, unknown)


PORT_NAMES = st.text('abz019.,()"\\ :[]=-_é', min_size=1, max_size=12)


@given(PORT_NAMES)
@settings(max_examples=200, deadline=None)
def test_any_name_survives_quoting(name: str) -> None:
    assert unquoted(quoted(name)) == name


@given(st.dictionaries(PORT_NAMES, st.integers(1, 60000), min_size=1, max_size=4), st.data())
@settings(max_examples=200, deadline=None)
def test_numbers_become_names_and_come_back(ports: dict[str, int], data: st.DataObject) -> None:
    names = {number: name for name, number in ports.items()}
    ports = {name: number for number, name in names.items()}
    number = data.draw(st.sampled_from(sorted(names)))
    for text in (
        f"in_port={number},ip,actions=output:{number},resubmit({number},3)",
        f"ip,actions=output(port={number},max_len=5),bundle(eth_src,0,hrw,ofport,members:{number},{number}),clone(output:{number})",
        f"actions=set_field:{number}->reg0,ct(table={number}),group:{number}",
    ):
        head, _equals, actions = text.partition("actions=")
        shown = with_names(head, names) + "actions=" + with_names(actions, names)
        assert with_numbers(shown, ports, unknown) == text


# Flows

FIELDS = st.lists(
    st.sampled_from(
        [
            "ip",
            "in_port=2",
            "dl_vlan=10",
            "nw_dst=10.0.0.0/8",
            "tp_dst=80",
            "dl_src=02:00:00:00:00:01",
            "ipv6_dst=2001:db8::/32",
            "reg0=0x5/0xff",
            "ct_state=+new+trk",
        ]
    ),
    unique=True,
    max_size=4,
).map(",".join)
ACTIONS = st.one_of(
    st.just("drop"),
    st.lists(
        st.sampled_from(
            [
                "output:1",
                "output:3",
                "NORMAL",
                "group:5",
                "resubmit(,3)",
                "set_field:0x5->reg0",
                "ct(commit,zone=1,exec(set_field:0x1->ct_mark))",
                "meter:2",
                "learn(table=1,in_port=3,output:NXM_OF_IN_PORT[])",
                "note:01.02.00.00.00.00",
            ]
        ),
        min_size=1,
        max_size=4,
    ).map(",".join),
)
COOKIES = st.one_of(
    st.just(0), st.just(OURS.value), st.integers(0, 20), st.integers(0, 0xFFFF).map(lambda n: OURS.value + n)
)
FLOWS = st.builds(
    Flow,
    st.integers(0, 3),
    st.sampled_from([0, 1, 32768, 65535]),
    FIELDS,
    COOKIES,
    st.sampled_from([0, 5]),
    st.sampled_from([0, 7]),
    st.sampled_from([0, 9]),
    st.lists(st.sampled_from(FLAGS), unique=True).map(sorted).map(tuple),
    ACTIONS,
)


def as_dumped(flow: Flow) -> str:
    """A line of dump-flows --no-stats (lib/ofp-flow.c of Open vSwitch, ofputil_flow_stats_format)."""
    head = f" cookie={flow.cookie:#x}, " if flow.cookie else " "
    head += f"table={flow.table}, " if flow.table else ""
    head += "".join(f"{name}={value}, " for name, value in zip(Flow._fields[4:6], flow[4:6]) if value)
    head += "".join(flag + " " for flag in flow.flags)
    head += f"importance={flow.importance}, " if flow.importance else ""
    priority = [] if flow.priority == 32768 else [f"priority={flow.priority}"]
    match = ",".join(priority + ([flow.match] if flow.match else []))
    return head + (match + " " if match else "") + "actions=" + flow.actions


def as_parsed(flow: Flow) -> str:
    """A line of parse-flows (ofputil_flow_mod_format)."""
    priority = [] if flow.priority == 32768 else [f"priority={flow.priority}"]
    words = [f"table:{flow.table}"] if flow.table else []
    words.append(",".join(priority + ([flow.match] if flow.match else [])))
    words += [f"cookie:{flow.cookie:#x}"] if flow.cookie else []
    words += [f"{name}:{value}" for name, value in zip(("idle", "hard", "importance"), flow[4:7]) if value] + list(
        flow.flags
    )
    return (
        "OFPT_FLOW_MOD (OF1.5) (xid=0x1f): ADD "
        + " ".join(word for word in words if word)
        + (" " if any(words) else "")
        + f"actions={flow.actions}"
    )


@given(st.lists(FLOWS, max_size=5))
@settings(max_examples=200, deadline=None)
def test_what_open_vswitch_prints_reads_the_same_from_either_command(flows: list[Flow]) -> None:
    dump = "OFPST_FLOW reply (OF1.5) (xid=0x2):\n" + "".join(as_dumped(flow) + "\n" for flow in flows)
    parsed = "usable protocols: any\nchosen protocol: OXM-OpenFlow15\n" + "".join(
        as_parsed(flow) + "\n" for flow in flows
    )
    assert [flow for flow, _counters in parse_dump(dump)] == flows == parse_parsed(parsed)


@given(FLOWS)
@settings(max_examples=200, deadline=None)
def test_a_flows_own_text_is_that_flow(flow: Flow) -> None:
    text = with_numbers(flow.text(NAMES), PORTS, unknown)
    head, actions = text.split(",actions=")
    words = head.split(",")
    match = ",".join(
        word
        for word in words
        if word.split("=")[0]
        not in ("table", "cookie", "priority", "idle_timeout", "hard_timeout", "importance", *FLAGS)
    )
    assert (match, actions) == (flow.match, flow.actions)
    assert flow.data(NAMES)["match"] == match_data(with_names(flow.match, NAMES))


def test_counters_are_typed() -> None:
    line = " cookie=0x7, duration=1.424s, table=2, n_packets=4, n_bytes=308, idle_timeout=9, send_flow_rem idle_age=0, hard_age=1, priority=5,arp actions=drop"
    flow, counters = parse_flow(line)
    assert flow == Flow(2, 5, "arp", 7, 9, flags=("send_flow_rem",))
    assert counters == {"duration": 1.424, "n_packets": 4, "n_bytes": 308, "idle_age": 0, "hard_age": 1}


def test_a_flow_that_ovs_ofctl_cannot_encode_is_told_by_its_place() -> None:
    text = "OFPT_FLOW_MOD (OF1.5) (xid=0x1): ADD actions=drop\nOFPT_FLOW_MOD (OF1.5) (xid=0x2): ***decode error: OFPBAC_BAD_ARGUMENT***\n00000000  06\n"
    assert parse_parsed(text) == [Flow(), "decode error: OFPBAC_BAD_ARGUMENT"]


def test_matches_from_data() -> None:
    assert (
        match_text({"ip": True, "in_port": "p-2.x", "nw_dst": "10.0.0.0/8", "dl_vlan": 0}, "flow 1")
        == "ip,in_port=p-2.x,nw_dst=10.0.0.0/8,dl_vlan=0"
    )
    assert match_text({"in_port": "a,b"}, "flow 1") == 'in_port="a,b"'
    assert match_text({"packet_type": "(1,0x800)"}, "flow 1") == "packet_type=(1,0x800)"
    assert match_data('ip,in_port="p-2.x",nw_dst=10.0.0.0/8,packet_type=(1,0x800)') == {
        "ip": True,
        "in_port": "p-2.x",
        "nw_dst": "10.0.0.0/8",
        "packet_type": "(1,0x800)",
    }


@pytest.mark.parametrize(
    "match",
    [
        {"priority": 5},
        {"cookie": 1},
        {"actions": "drop"},
        {"Ip": True},
        {"nw_dst": "1.2.3.4,tp_dst=5"},
        {"nw_dst": "1 2"},
        {"nw_dst": ""},
        {"nw_dst": None},
        {"ip": False},
        {"x=y,z": 1},
        {"nw_dst": "1\n2"},
        {"nw_dst": "1#"},
        {"out_port": 1},
        {"send_flow_rem": True},
    ],
)
def test_a_match_cannot_smuggle_another_field(match: dict[str, t.Any]) -> None:
    with pytest.raises(FabricError, match="^flow 1, option match"):
        match_text(match, "flow 1")


@pytest.mark.parametrize(
    ("actions", "text"),
    [
        ([], "drop"),
        (["normal"], "normal"),
        ([{"output": "gre0"}, {"output": 3}, {"normal": True}], "output:gre0,output:3,normal"),
        ([{"resubmit": ["", 3]}, {"conjunction": [1, "1/2"]}], "resubmit(,3),conjunction(1,1/2)"),
        (
            [{"ct": {"commit": True, "zone": 1, "exec": ["set_field:1->ct_mark", {"move": "a->b"}]}}],
            "ct(commit,zone=1,exec(set_field:1->ct_mark,move:a->b))",
        ),
        ([{"ct": {"nat": {"src": "10.0.0.1"}}}, {"clone": [{"output": 1}]}], "ct(nat(src=10.0.0.1)),clone(output:1)"),
    ],
)
def test_actions_from_data(actions: list, text: str) -> None:
    assert actions_text(actions, "flow 1") == text


@pytest.mark.parametrize(
    "action", [{}, {"a": 1, "b": 2}, "a\nb", {"output": "1\nflow delete"}, "drop # not", {"ct": {"zone\n": 1}}]
)
def test_an_action_is_one_line_and_one_thing(action: t.Any) -> None:
    with pytest.raises(FabricError, match="flow 1, option actions"):
        actions_text([action], "flow 1")


def test_splitting_heeds_parentheses_and_quotes() -> None:
    assert split_top('a(b,c),"d,e\\",f",g[h,i], ,j') == ["a(b,c)", '"d,e\\",f"', "g[h,i]", "j"]
    assert split_top("a, b,,c") == ["a", "b", "c"]


# Groups and meters

BUCKETS = st.builds(
    lambda weight, port, group, actions: (weight, port, group, actions),
    st.integers(0, 9),
    st.one_of(st.none(), st.sampled_from(["1", "3"])),
    st.one_of(st.none(), st.integers(0, 9)),
    ACTIONS,
)


@st.composite
def groups(draw: st.DrawFn) -> Group:
    kind = draw(st.sampled_from(["all", "select", "indirect", "ff"]))
    method = draw(st.sampled_from(["", "hash", "dp_hash"])) if kind == "select" else ""
    fields = draw(st.sampled_from([(), ("ip_src",), ("ip_dst", "ip_src")])) if method == "hash" else ()
    drawn = draw(st.lists(BUCKETS, max_size=3))
    ids = draw(st.lists(st.integers(0, 50), min_size=len(drawn), max_size=len(drawn), unique=True))
    buckets = tuple(
        Bucket(i, weight if kind == "select" else 0, port, group, actions)
        for i, (weight, port, group, actions) in zip(ids, drawn)
    )
    return Group(draw(st.integers(0, 9)), kind, method, draw(st.integers(0, 9)) if method else 0, fields, buckets)


@given(groups())
@settings(max_examples=200, deadline=None)
def test_a_groups_own_text_is_that_group(group: Group) -> None:
    assert parse_group(group.text({}), "group") == group
    assert parse_group(with_numbers(group.text(NAMES), PORTS, unknown), "group") == group


def test_groups_as_dumped() -> None:
    text = (
        "OFPST_GROUP_DESC reply (OF1.5) (xid=0x2):\n"
        " group_id=1,type=select,selection_method=hash,fields=ip_src,bucket=bucket_id:0,weight:3,"
        "watch_port:2,actions=output:2,bucket=bucket_id:7,actions=drop\n"
        " group_id=2,type=indirect\n"
    )
    assert parse_groups(text) == {
        1: Group(
            1, "select", "hash", 0, ("ip_src",), (Bucket(0, 3, "2", None, "output:2"), Bucket(7, 1, None, None, "drop"))
        ),
        2: Group(2, "indirect", "", 0, (), ()),
    }


def test_a_group_as_a_person_writes_it() -> None:
    written = (
        "group_id=5, type=select selection_method=hash,fields(nw_src,nw_dst),"
        "bucket=weight=2,output:1,bucket=bucket_id=0,actions=set_field:1->reg0,output:2"
    )
    assert parse_group(written, "group") == Group(
        5,
        "select",
        "hash",
        0,
        ("ip_dst", "ip_src"),
        (Bucket(1, 2, None, None, "output:1"), Bucket(0, 1, None, None, "set_field:1->reg0,output:2")),
    )


@pytest.mark.parametrize(
    "text",
    [
        "type=all",
        "group_id=1",
        "group_id=x,type=all",
        "group_id=1,type=some",
        "group_id=1,type=all,weight=5",
        "group_id=1,type=all,fields(ip_src)",
        "group_id=1,type=all,bucket=bucket_id:1,drop,bucket=bucket_id:1,drop",
        "group_id=1,type=select,bucket=weight:99999,drop",
        "group_id=1,type=select,selection_method=a-b",
    ],
)
def test_bad_groups_are_refused(text: str) -> None:
    with pytest.raises(FabricError, match="^group 1"):
        parse_group(text, "group 1")


METERS = st.builds(
    lambda i, unit, stats, bands, burst: Meter(
        i,
        unit,
        stats,
        tuple(
            Band(kind, rate, size if burst else None, 1 if kind == "dscp_remark" else None)
            for kind, rate, size in bands
        ),
    ),
    st.sampled_from(["1", "2", "controller", "slowpath"]),
    st.sampled_from(["kbps", "pktps"]),
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from(["drop", "dscp_remark"]), st.integers(0, 9), st.integers(0, 9)),
        min_size=1,
        max_size=3,
    ),
    st.booleans(),
)


@given(METERS)
@settings(max_examples=200, deadline=None)
def test_a_meters_own_text_is_that_meter(meter: Meter) -> None:
    assert parse_meter(meter.text(), "meter") == meter


def test_meters_as_dumped() -> None:
    text = (
        "OFPST_METER_CONFIG reply (OF1.5) (xid=0x2):\nmeter=1 kbps burst stats bands=\ntype=drop rate=100 burst_size=10\n"
        "type=drop rate=200 burst_size=0\n\nmeter=controller pktps bands=\ntype=drop rate=5\n"
    )
    assert parse_meters(text) == {
        "1": Meter("1", "kbps", True, (Band("drop", 100, 10), Band("drop", 200, 0))),
        "controller": Meter("controller", "pktps", False, (Band("drop", 5),)),
    }


@pytest.mark.parametrize(
    "text",
    [
        "kbps,bands=type=drop,rate=1",
        "meter=1,bands=type=drop,rate=1",
        "meter=1,kbps",
        "meter=0,kbps,bands=type=drop,rate=1",
        "meter=1,kbps,bands=rate=1",
        "meter=1,kbps,bands=type=drop",
        "meter=1,kbps,x,bands=type=drop,rate=1",
    ],
)
def test_bad_meters_are_refused(text: str) -> None:
    with pytest.raises(FabricError, match="^meter 1"):
        parse_meter(text, "meter 1")


def test_counters_of_groups_meters_and_tables() -> None:
    assert parse_group_stats(
        " group_id=6,duration=0.062s,ref_count=1,packet_count=2,byte_count=3,bucket0:packet_count=4,byte_count=5\n"
    ) == {
        6: {
            "duration": 0.062,
            "ref_count": 1,
            "packet_count": 2,
            "byte_count": 3,
            "buckets": [{"packet_count": 4, "byte_count": 5}],
        }
    }
    assert parse_meter_stats(
        "OFPST_METER reply (OF1.5) (xid=0x2):\nmeter:2 flow_count:1 packet_in_count:3 byte_in_count:4 duration:0.014s bands:\n0: packet_count:5 byte_count:6\n"
    ) == {
        "2": {
            "flow_count": 1,
            "packet_in_count": 3,
            "byte_in_count": 4,
            "duration": 0.014,
            "bands": [{"packet_count": 5, "byte_count": 6}],
        }
    }
    assert parse_tables(
        "OFPST_TABLE reply (OF1.5) (xid=0x2):\n  table 0:\n    active=1, lookup=9, matched=8\n\n"
        '  table 1 ("x"):\n    active=0, lookup=0, matched=0\n\n  tables 2...253: ditto\n'
    ) == [{"table": 0, "active": 1, "lookup": 9, "matched": 8}]


# Comparing

EMPTY = Switch({}, {}, {})
ALL = frozenset(Flow._fields[4:7]) | {"actions", *FLAGS}


def switch(flows: t.Iterable[Flow] = (), things: t.Iterable[Group] = (), meters: t.Iterable[Meter] = ()) -> Switch:
    return Switch({f.key: f for f in flows}, {g.group_id: g for g in things}, {m.meter_id: m for m in meters})


def want(*flows: Flow, declared: t.FrozenSet[str] = ALL, present: bool = True) -> Wanted:
    return Wanted([WantedFlow(f"flow {n}", flow, declared, present) for n, flow in enumerate(flows, 1)], None, None)


def unique(flows: t.Iterable[Flow]) -> list[Flow]:
    return list({flow.key: flow for flow in flows}.values())


@given(
    st.lists(FLOWS, max_size=8).map(unique),
    st.lists(FLOWS, max_size=8).map(unique),
    st.booleans(),
    st.booleans(),
    st.sets(st.sampled_from(sorted(ALL))),
)
@settings(max_examples=400, deadline=None)
def test_after_the_plan_nothing_is_left_to_do_and_nothing_foreign_was_touched(
    wanted: list[Flow], found: list[Flow], purge: bool, adopt: bool, declared: set[str]
) -> None:
    before = switch(found)
    scope = Scope(OURS, None, purge, adopt)
    declaration = want(*wanted, declared=frozenset(declared | {"actions"}))
    try:
        plan = compare(declaration, before, scope, {})
    except FabricError as error:
        theirs = [flow for flow in found if flow.key in {flow.key for flow in wanted} and not OURS.holds(flow.cookie)]
        assert (
            theirs
            and not adopt
            and "it is not ours, and it would be changed; give yours another priority or table" in str(error)
        )
        return
    after = apply(before, plan)
    assert not compare(declaration, after, scope, {})
    keys = {flow.key for flow in wanted}
    for key, flow in before.flows.items():
        if key not in keys:
            assert after.flows.get(key) == (None if purge and OURS.holds(flow.cookie) else flow)
        elif not OURS.holds(flow.cookie) and not adopt and flow != DEFAULT_FLOW:
            assert after.flows[key] == flow
    for flow in wanted:
        assert after.flows[flow.key].actions == flow.actions
        assert flow.key in before.flows or after.flows[flow.key].cookie == OURS.value
    # What the file holds is what brings the declared flows back.
    restored = kept(EMPTY, declaration, plan, scope)
    assert restored.flows == {flow.key: after.flows[flow.key] for flow in wanted}


@given(
    st.lists(FLOWS, max_size=8).map(unique),
    st.lists(FLOWS, max_size=8).map(unique),
    st.sampled_from([None, frozenset([1]), frozenset([0, 1, 2, 3])]),
)
@settings(max_examples=200, deadline=None)
def test_every_cookie_with_purge_makes_the_tables_exactly_what_is_declared(
    wanted: list[Flow], found: list[Flow], tables: t.FrozenSet[int] | None
) -> None:
    wanted = [flow for flow in wanted if tables is None or flow.table in tables]
    after = apply(
        switch(found),
        compare(want(*wanted, declared=ALL | {"cookie"}), switch(found), Scope(Cookie(0, 0), tables, True), {}),
    )
    inside = {key: flow for key, flow in after.flows.items() if tables is None or flow.table in tables}
    assert inside == switch(wanted).flows
    assert {k: f for k, f in after.flows.items() if k not in inside} == {
        f.key: f for f in found if tables is not None and f.table not in tables
    }


@given(st.lists(groups(), max_size=4), st.lists(groups(), max_size=4), st.sets(st.integers(0, 9)), st.booleans())
@settings(max_examples=200, deadline=None)
def test_groups_converge_and_only_ours_go(wanted: list[Group], found: list[Group], own: set[int], purge: bool) -> None:
    before = switch((), found)
    scope = Scope(OURS, None, purge, False, frozenset(own))
    items = []
    for group_id, group in {group.group_id: group for group in wanted}.items():
        values = {**group._asdict(), "buckets": [bucket._asdict() for bucket in group.buckets]}
        values.pop("group_id")
        items.append(WantedGroup(f"group {group_id}", group_id, values))
    try:
        plan = compare(Wanted(None, items, None), before, scope, {})
    except FabricError as error:
        assert "is still used by" in str(error)
        return
    after = apply(before, plan)
    again = scope._replace(own_groups=plan.own_groups)
    assert not compare(Wanted(None, items, None), after, again, {})
    declared = {item.group_id for item in items}
    assert set(before.groups) - set(after.groups) == (
        {g for g in own if g in before.groups} - declared if purge else set()
    )
    assert {g.group_id: g for g in wanted}.items() <= after.groups.items()


def test_a_flow_of_others_that_says_the_same_is_no_change() -> None:
    theirs = Flow(0, 3, "ip", 5, flags=("reset_counts",))
    assert not compare(want(Flow(0, 3, "ip")), switch([theirs]), Scope(OURS), {})
    with pytest.raises(FabricError, match="it is not ours"):
        compare(want(Flow(0, 3, "ip")), switch([theirs._replace(idle_timeout=7)]), Scope(OURS), {})


def test_the_flow_that_open_vswitch_puts_by_itself_is_nobodys() -> None:
    declared = want(DEFAULT_FLOW._replace(actions="drop"))
    plan = compare(declared, switch([DEFAULT_FLOW]), Scope(OURS), {})
    assert plan.put_flows == [DEFAULT_FLOW._replace(actions="drop", cookie=OURS.value)]
    assert not compare(want(DEFAULT_FLOW), switch([DEFAULT_FLOW]), Scope(OURS), {})


def test_a_bridge_that_switches_by_itself_gets_its_own_flow_back() -> None:
    pipeline = Flow(0, 0, "", OURS.value, actions="drop")
    purge = Scope(OURS, purge=True)
    for scope, put, drop in ((purge._replace(standalone=True), [DEFAULT_FLOW], []), (purge, [], [pipeline])):
        plan = compare(want(), switch([pipeline]), scope, {})
        assert (plan.put_flows, plan.del_flows) == (put, drop)
    assert not compare(want(), switch([DEFAULT_FLOW]), purge._replace(standalone=True), {})


LONG_NAMES = {
    1: "p1",
    2: "patch-br-int-to-br-ex",
    3: "vxlan-to-compute-rack12",
    4: "vxlan-to-comput",
    5: "ünï",
    6: "a b",
}


def test_ports_that_ovs_ofctl_does_not_find_by_name_go_by_number() -> None:
    assert speakable(LONG_NAMES) == {1: "p1"} and speakable({2: "p-2.x", 3: "a,b", 4: "7", 5: 'a"b'}) == {2: "p-2.x"}
    assert speakable({3: LONG_NAMES[3]}) == {} and speakable({4: LONG_NAMES[4]}) == {4: LONG_NAMES[4]}


def test_the_file_of_an_owner_names_the_ports_behind_its_numbers() -> None:
    flow = Flow(0, 5, "in_port=1", OURS.value, actions="output:2,output:6")
    tlvs = [Tlv(0xFFFF, 1, 8, 0), Tlv(0x102, 128, 4, 63)]
    names = Seen(LONG_NAMES)
    text = record_text("br0", "me", switch([flow]), [], [], tlvs, names)
    record = parse_record(text)
    assert names.used == {"p1"} and record.ports == {2: "patch-br-int-to-br-ex", 6: "a b"} and list(record.tlvs) == tlvs
    (line,) = record.flows
    assert line.endswith("in_port=p1,actions=output:2,output:6")
    moved = {name: number + 10 for number, name in LONG_NAMES.items()}
    assert with_numbers(with_names(line, record.ports), moved, len).endswith("in_port=11,actions=output:12,output:16")
    unit = restore_unit("br0", "me", "OpenFlow15", [], tlvs, names).content
    assert "ExecStart=-" in unit and "wait-until Interface patch-br-int-to-br-ex ofport=2" in unit
    assert "{class=0x102,type=0x80,len=4}->tun_metadata63" in unit
    assert record_text("br0", "me", EMPTY, [], [], [], Seen({})) == ""


TLVS = st.builds(Tlv, st.sampled_from([1, 0xFFFF]), st.integers(0, 2), st.sampled_from([4, 8]), st.integers(0, 3))


def one_map(tlvs: t.Iterable[Tlv]) -> list[Tlv]:
    """Entries that can be in a bridge at one time."""
    by_option = {(tlv.option_class, tlv.type): tlv for tlv in tlvs}
    return sorted({tlv.number: tlv for tlv in by_option.values()}.values())


@given(
    st.lists(TLVS).map(one_map),
    st.lists(TLVS).map(one_map),
    st.sets(TLVS),
    st.booleans(),
    st.booleans(),
    st.sets(st.integers(0, 5)),
)
@settings(max_examples=400, deadline=None)
def test_geneve_options_converge_and_those_of_others_stay(
    wanted: list[Tlv], found: list[Tlv], mine: set[Tlv], purge: bool, adopt: bool, absent: set[int]
) -> None:
    own = mine & set(found)
    items = [WantedTlv(f"option {n}", tlv, n not in absent) for n, tlv in enumerate(wanted)]
    scope = Scope(OURS, None, purge, adopt)
    try:
        plan = compare_tlvs(items, found, own, scope, [], ())
    except FabricError as error:
        assert "which is not ours" in str(error) and not adopt
        return
    after = sorted((set(found) - set(plan.clear) - set(plan.drop)) | set(plan.put))
    assert one_map(after) == after, "no option and no field twice"
    assert not compare_tlvs(items, after, plan.own, scope, [], ())
    assert {item.tlv for item in items if item.present} <= set(after) and set(plan.own) <= set(after)
    if not adopt:
        assert set(found) - own <= set(after)
    if purge:
        assert set(plan.own) <= {item.tlv for item in items if item.present}


def test_geneve_options_read_back_as_they_are_written() -> None:
    dump = " mapping table:\n  class  type  length  match field\n ------  ----  ------  --------------\n 0xffff     0       4  tun_metadata0\n"
    dump += "  0x102  0x80       8  tun_metadata63\n      0   0x1     124  tun_metadata9\n"
    found = parse_tlvs(dump)
    assert found == [Tlv(0xFFFF, 0, 4, 0), Tlv(0x102, 0x80, 8, 63), Tlv(0, 1, 124, 9)]
    assert [item.tlv for item in wanted_tlvs({**tlv.data(), "state": "present"} for tlv in found)] == found


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([{"class": "0x10000"}], "class is '0x10000'"),
        ([{"type": 256}], "type is 256"),
        ([{"length": 5}], "GENEVE option 0xffff/1: length is 5; give its bytes, from 4 to 124 in steps of 4"),
        ([{"field": "tun_metadata64"}], "field is 'tun_metadata64'"),
        ([{"field": None}], "field is None"),
        ([{}, {}], "declared twice"),
        ([{}, {"type": 2}], "have the same field tun_metadata0"),
    ],
)
def test_geneve_options_that_cannot_be_meant_are_refused(items: list[dict[str, t.Any]], said: str) -> None:
    base = {"class": "0xffff", "type": 1, "length": 4, "field": "tun_metadata0", "state": "present"}
    with pytest.raises(FabricError, match=re.escape(said)):
        wanted_tlvs({**base, **item} for item in items)


def test_a_geneve_option_in_use_is_not_taken_away() -> None:
    tlv = Tlv(0xFFFF, 1, 4, 7)
    flow = Flow(0, 1, "tun_metadata7=0x5", OURS.value)
    gone = [WantedTlv("option", tlv, False)]
    with pytest.raises(FabricError, match="field tun_metadata7 is still used by the flow table=0,priority=1"):
        compare_tlvs(gone, [tlv], [tlv], Scope(OURS), [flow], ())
    assert compare_tlvs(gone, [tlv], [tlv], Scope(OURS), [flow], {flow.key}).drop == [tlv]
    assert compare_tlvs(gone, [tlv], [tlv], Scope(OURS), [flow._replace(match="tun_metadata70=1")], ()).drop == [tlv]


def test_what_is_left_out_stays() -> None:
    there = Flow(0, 5, "ip", OURS.value + 3, 10, 20, 1, ("send_flow_rem",), "output:1")
    bare = Flow(0, 5, "ip")
    assert not compare(want(bare, declared=frozenset()), switch([there]), Scope(OURS), {})
    plan = compare(want(bare, declared=frozenset({"idle_timeout", "send_flow_rem"})), switch([there]), Scope(OURS), {})
    assert plan.put_flows == [there._replace(idle_timeout=0, flags=())]
    meter = Meter("1", "kbps", True, (Band("drop", 5),))
    assert not compare(Wanted(None, None, [WantedMeter("meter 1", "1", {})]), switch(meters=[meter]), Scope(OURS), {})


@pytest.mark.parametrize(
    ("wanted", "found", "scope", "said"),
    [
        (want(Flow(), Flow()), EMPTY, Scope(OURS), "flow 2 and flow 1 are the same flow: table=0,priority=32768"),
        (want(Flow(), declared=frozenset()), EMPTY, Scope(OURS), "flow 1 is not on the bridge, and has no actions"),
        (want(Flow(3)), EMPTY, Scope(OURS, frozenset([1, 2])), "flow 1 is in table 3, but tables has only 1, 2"),
        (
            want(Flow(cookie=5), declared=ALL | {"cookie"}),
            EMPTY,
            Scope(OURS),
            "flow 1 has the cookie 0x5, which is not in",
        ),
        (
            want(Flow(), present=False),
            switch([Flow(cookie=5)]),
            Scope(OURS),
            "flow 1 .* not ours, and stays; leave it out",
        ),
        (want(Flow()), switch([Flow(cookie=owner_cookie("you"))]), Scope(OURS), "flow 1 .* another owner; set adopt"),
        (
            want(Flow(actions="output:1")),
            switch([Flow(cookie=5)]),
            Scope(OURS),
            "flow 1 .* cookie 0x5: it is not ours, and it would be changed",
        ),
        (
            Wanted(None, [WantedGroup("group 1", 1, {"type": "select"})], None),
            switch([Flow(cookie=9, actions="group:1")], [Group(1, "all", "", 0, (), ())]),
            Scope(OURS),
            "group 1 is not ours and is in use .the flow .* cookie 0x9., and it would be changed; choose another number",
        ),
        (
            Wanted(None, [WantedGroup("group 1", 1, {})], None),
            EMPTY,
            Scope(OURS),
            "group 1 is not on the bridge, and has no type",
        ),
        (Wanted(None, None, [WantedMeter("meter 1", "1", {})]), EMPTY, Scope(OURS), "meter 1, unit is ''"),
        (
            Wanted(None, [WantedGroup("group 1", 1, {}, False)], None),
            switch((), [Group(1, "all", "", 0, (), ())]),
            Scope(OURS),
            "group 1 .* not ours, and stays; leave it out",
        ),
        (
            Wanted(None, [WantedGroup("group 1", 1, {}, False)], None),
            EMPTY,
            Scope(OURS, others={("group", 1): "you"}),
            "group 1 belongs to the owner you; set adopt",
        ),
        (
            Wanted([], [], None),
            switch([Flow(cookie=9, actions="group:1")], [Group(1, "all", "", 0, (), ())]),
            Scope(OURS, None, True, False, frozenset([1])),
            "group 1 is still used by the flow table=0",
        ),
        (
            Wanted(None, None, []),
            switch([Flow(cookie=9, actions="meter:1,NORMAL")], (), [Meter("1", "kbps", False, ())]),
            Scope(OURS, None, True, False, frozenset(), frozenset(["1"])),
            "meter 1 is still used by the flow table=0",
        ),
    ],
)
def test_what_must_not_be_done_is_refused(wanted: Wanted, found: Switch, scope: Scope, said: str) -> None:
    with pytest.raises(FabricError, match=said):
        compare(wanted, found, scope, {})


def test_a_longer_number_is_not_the_group_that_goes() -> None:
    found = switch([Flow(actions="group:11")], [Group(1, "all", "", 0, (), ()), Group(11, "all", "", 0, (), ())])
    plan = compare(
        Wanted(None, [WantedGroup("group 1", 1, {}, False)], None), found, Scope(OURS, own_groups=frozenset([1])), {}
    )
    assert plan.del_groups == [1]


def test_the_bundle_makes_groups_first_and_takes_them_away_last() -> None:
    found = switch([Flow(priority=1, cookie=OURS.value, actions="group:2")], [Group(2, "all", "", 0, (), ())])
    wanted = Wanted(
        [WantedFlow("flow 1", Flow(priority=2, match="in_port=2", actions="group:1"), ALL)],
        [WantedGroup("group 1", 1, {"type": "all"})],
        None,
    )
    plan = compare(wanted, found, Scope(OURS, None, True, False, frozenset([2])), {})
    assert bundle_lines(plan, NAMES) == [
        "group add group_id=1,type=all",
        f"flow delete_strict cookie={OURS.value:#x}/-1,table=0,priority=1",
        f'flow add table=0,cookie={OURS.value:#x},priority=2,in_port="p-2.x",actions=group:1',
        "group delete group_id=2",
    ]
    assert restore_lines(apply(found, plan), NAMES) == [
        "group add_or_mod group_id=1,type=all",
        f'flow add table=0,cookie={OURS.value:#x},priority=2,in_port="p-2.x",actions=group:1',
    ]


def test_a_bucket_is_shown_to_the_parser_with_what_its_fields_need() -> None:
    assert bucket_line("output:1") == "actions=output:1"
    assert bucket_line("set_field:10.0.0.1->ip_dst,output:1") == "ip,actions=set_field:10.0.0.1->ip_dst,output:1"
    assert bucket_line("set_field:80->tcp_dst") == "tcp,actions=set_field:80->tcp_dst"


HEADS = [
    "",
    "table=3, ",
    "idle_timeout=5, ",
    "table=1, hard_timeout=7, ",
    "importance=9, ",
    "send_flow_rem ",
    "send_flow_rem no_byte_counts importance=2, ",
]
MATCHES = [
    "",
    "priority=5",
    "priority=5,ip,nw_dst=10.0.0.0/24",
    "ip",
    "in_port=3",
    "ipv6,ipv6_src=2001:db8::/32",
    "dl_src=02:00:00:00:00:01,dl_vlan=5",
]
ACTIONS = [
    "drop",
    "output:3",
    "resubmit(,4)",
    "set_field:0x5->reg0,output:1,NORMAL",
    "learn(table=1,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[])",
]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("match", MATCHES)
@pytest.mark.parametrize("actions", ACTIONS)
def test_the_short_way_through_plain_lines_ends_where_the_long_one_does(head: str, match: str, actions: str) -> None:
    dumped = f" cookie=0x5, {head}{match}{' ' * bool(match)}actions={actions}"
    assert parse_dump(dumped) == [parse_flow(dumped)]
    settings = head.replace("=", ":").replace(",", "").replace("send_flow_rem ", "").replace("no_byte_counts ", "")
    table, rest = (
        (settings.split(" ", 1)[0] + " ", settings.split(" ", 1)[1]) if settings.startswith("table") else ("", settings)
    )
    added = f"{table}{match}{' ' * bool(match)}cookie:0x5 {rest}actions={actions}"
    line = f"OFPT_FLOW_MOD (OF1.5) (xid=0x2): ADD {added}"
    assert parse_parsed(line) == [parse_flow(added)[0]]
    assert parse_parsed(line)[0].cookie == 5 and parse_parsed(line)[0].actions == actions


PLACES = [
    "p1",
    "gre0,drop",
    "output:gre0",
    "clone(p1,drop)",
    "resubmit(p1,4)",
    "enqueue:p1:3",
    "bundle(eth_src,0,hrw,ofport,members:p1,gre0)",
]


@pytest.mark.parametrize("actions", [*ACTIONS, *PLACES])
def test_names_are_found_wherever_they_stand(actions: str) -> None:
    numbered = with_numbers(f"ip,actions={actions}", PORTS, pytest.fail)
    expected = actions.replace("output:p1", "output:1").replace("gre0", "3").replace("p1", "1")
    expected = {"1": "output:1", "3,drop": "output:3,drop", "clone(1,drop)": "clone(p1,drop)"}.get(expected, expected)
    assert numbered == f"ip,actions={expected}"
