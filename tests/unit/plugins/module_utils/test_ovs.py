# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pure parts of the Open vSwitch modules."""

from __future__ import annotations

import ipaddress
import json
import random
import types
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._ip.routes import parse_routes
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import compare as ovs_compare
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import declaration as ovs_declaration
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import tunnel as _ovs_tunnel
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    LONGEST,
    READABLE,
    AddBridge,
    AddPort,
    Database,
    DelBridge,
    DelPort,
    MovePort,
    Op,
    _units,
    apply,
    decode,
    empty_database,
    ovs_runner,
    read_or_foresee,
    transaction,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.diff import described
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.lost import lost, plugged, replugged
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import late_error, made_by
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import TABLES
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import Put, quote, runs
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.tests.unit.plugins.module_utils import ovs_draw as draw

BEGIN = ["ovs-vsctl"]
OWNER = draw.OWNERS[0]


def bridge_ops(found: Database, items: t.Any, **options: t.Any) -> tuple[list[Op], Database, list[str]]:
    return ovs_compare.compare(
        found, ovs_declaration.declared(items), ovs_compare.Settings(**{"owner": OWNER, **options}), None
    )


def tunnel_ops(found: Database, items: t.Any, **options: t.Any) -> tuple[list[Op], Database, list[str]]:
    return _ovs_tunnel.compare(
        found, _ovs_tunnel.declared(items), _ovs_tunnel.Settings(**{"owner": OWNER, **options}), None
    )


def database(rnd: random.Random) -> Database:
    """A database that came about by earlier runs, of this owner and another, and by hand."""
    found = empty_database()
    if rnd.random() < 0.8:
        found = bridge_ops(
            found, [{"name": name, "datapath_type": "netdev"} for name in draw.BRIDGES], owner=rnd.choice(draw.OWNERS)
        )[1]
    for _round in range(rnd.randint(0, 3)):
        owner = rnd.choice(draw.OWNERS)
        for make, items in ((bridge_ops, draw.bridges), (tunnel_ops, draw.tunnels)):
            try:
                found = make(found, items(rnd), owner=owner)[1]
            except FabricError:
                # What is drawn may not be allowed on what is there: another owner's, two tunnels alike.
                continue
    for table in ("Bridge", "Port"):
        for row in found.tables[table].values():
            if rnd.random() < 0.3:
                row["external_ids"] = {k: v for k, v in row["external_ids"].items() if not k.startswith("overloom")}
    return found


CASES = [
    (bridge_ops, draw.bridges, ovs_declaration.BRIDGE_OPTIONS + ovs_declaration.OPTIONS),
    (tunnel_ops, draw.tunnels, _ovs_tunnel.OPTIONS),
]
seeds = given(st.integers(0, 2**32))
many = settings(max_examples=300, deadline=None)


@pytest.mark.parametrize(("ops_of", "items", "options"), CASES, ids=["bridges", "tunnels"])
def test_after_the_changes_nothing_is_left_to_change(ops_of: t.Callable, items: t.Callable, options: t.Any) -> None:
    outcomes = []

    @many
    @seeds
    def claim(seed: int) -> None:
        rnd = random.Random(seed)
        found, wanted = database(rnd), items(rnd)
        how = {"purge": rnd.random() < 0.5, "adopt": rnd.random() < 0.5}
        untouched = json.dumps(draw.essence(found), sort_keys=True)
        try:
            ops, after, _warnings = ops_of(found, wanted, **how)
        except FabricError as error:
            assert "\n" not in str(error)
            outcomes.append("refused")
            return
        assert json.dumps(draw.essence(found), sort_keys=True) == untouched, "what was found is not written to"
        again, same, _warnings = ops_of(after, wanted, **how)
        assert again == [] and draw.essence(same) == draw.essence(after)
        before, later = described(found, after, ops, options, "port")
        assert (before == later) == (ops == [])
        assert all(isinstance(word, str) for step in transaction(BEGIN, ops) for word in step.argv)
        outcomes.append("changed" if ops else "same")

    claim()
    assert outcomes.count("changed") > len(outcomes) / 4, "most cases are no empty ones"


@many
@seeds
def test_purge_and_absent_never_remove_what_is_not_marked(seed: int) -> None:
    rnd = random.Random(seed)
    found, wanted = database(rnd), draw.bridges(rnd)
    try:
        ops, after, _warnings = bridge_ops(found, wanted, purge=True)
    except FabricError:
        return
    for name, row in found.tables["Bridge"].items():
        if row["external_ids"].get("overloom-owner") != OWNER:
            assert name in after.tables["Bridge"]
    for name, row in found.tables["Port"].items():
        own = row["external_ids"].get("overloom-owner") == OWNER
        if name not in found.tables["Bridge"] and not own:
            assert name in after.tables["Port"]
    declared = {item["name"] for item in wanted}
    for op in ops:
        if isinstance(op, DelBridge):
            assert op.bridge in declared or made_by(found.tables["Bridge"][op.bridge], OWNER, "ovs_bridge")


@many
@seeds
def test_purged_tunnels_are_own_tunnels(seed: int) -> None:
    rnd = random.Random(seed)
    found, wanted = database(rnd), draw.tunnels(rnd)
    try:
        ops, after, _warnings = tunnel_ops(found, wanted, purge=True)
    except FabricError:
        return
    declared = {item["name"] for item in wanted}
    for op in ops:
        if isinstance(op, DelPort):
            assert op.port in declared or made_by(found.tables["Port"][op.port], OWNER, "ovs_tunnel")
            assert draw.is_tunnel(found, op.port)
    assert set(found.tables["Bridge"]) == set(after.tables["Bridge"])


@many
@seeds
def test_what_is_left_out_stays_as_it_is(seed: int) -> None:
    rnd = random.Random(seed)
    found, wanted = database(rnd), draw.bridges(rnd)
    try:
        after = bridge_ops(found, wanted)[1]
    except FabricError:
        return
    named = {item["name"] for item in wanted} | {p["name"] for item in wanted for p in item["ports"]}
    gone = {item["name"] for item in wanted if item["state"] == "absent"}
    for table, rows in found.tables.items():
        for name, row in rows.items():
            if name not in named and found.bridge_of.get(name) not in gone:
                assert after.tables[table][name] == row
    bare = [{"name": item["name"]} for item in wanted if item["state"] == "present"]
    assert bridge_ops(after, bare)[0] == []


@seeds
@settings(deadline=None)
def test_a_transaction_in_parts_says_the_same_as_a_whole(seed: int) -> None:
    rnd = random.Random(seed)
    found, items = database(rnd), draw.bridges(rnd)
    try:
        ops, after, _warnings = bridge_ops(found, items, adopt=True, purge=True)
    except FabricError:
        return
    assert draw.essence(apply(found, [op for unit in _units(ops) for op in unit])) == draw.essence(after)
    in_parts = found
    for unit in _units(ops):
        in_parts = apply(in_parts, unit)
    assert draw.essence(in_parts) == draw.essence(after)


@given(st.text())
def test_quoted_values_are_json_strings_or_plain_words(text: str) -> None:
    quoted = quote(text)
    assert (json.loads(quoted) if quoted.startswith('"') else quoted) == text
    assert quoted.startswith('"') or (quoted and not set(quoted) & set(' "=:,{}[]!<>\\'))


@pytest.mark.parametrize("text", ["", "--", "a=b", "a,b", "0f9a6ff0-3aa7-4b1b-a2b6-9b1d3a3a7b11", "-x", "@x", "[]"])
def test_what_ovs_vsctl_could_read_otherwise_is_quoted(text: str) -> None:
    assert quote(text) == json.dumps(text)


@given(st.sets(st.integers(0, 4094)))
def test_runs_hold_all_numbers_once(numbers: set[int]) -> None:
    found = [n for low, high in runs(sorted(numbers)) for n in range(low, high + 1)]
    assert found == sorted(numbers)


def test_few_ports_are_made_as_a_person_would_and_many_row_by_row() -> None:
    def ops(count: int) -> list[Op]:
        made: list[Op] = [AddPort("br0", f"t{i}", (f"t{i}",)) for i in range(count)]
        cells = (("Interface", "type", "gre"), ("Port", "tag", 5))
        return made + [Put(table, f"t{i}", column, None, value) for i in range(count) for table, column, value in cells]

    (few,) = transaction(BEGIN, ops(1))
    assert few.argv[1:] == tuple(
        "-- --may-exist add-port br0 t0 -- set Interface t0 type=gre -- set Port t0 tag=5".split()
    )
    (many_of_them,) = transaction(BEGIN, ops(READABLE + 1))
    assert many_of_them.argv[1:17] == tuple(
        "-- --id=@i0.0 create Interface name=t0 type=gre -- --id=@p0 create Port name=t0 interfaces=@i0.0 tag=5 -- --id=@i1.0 create".split()
    )
    assert many_of_them.argv[-READABLE - 6 :] == (
        "--",
        "add",
        "Bridge",
        "br0",
        "ports",
        *(f"@p{i}" for i in range(READABLE + 1)),
    )


def test_transactions_stay_below_the_limit_of_the_kernel() -> None:
    items = [
        {
            "name": f"t{i:05}",
            "bridge": "br0",
            "type": "gre",
            "remote_ip": "192.0.2.1",
            "key": i + 1,
            "trunks": ["10-20"],
        }
        for i in range(10000)
    ]
    ops = tunnel_ops(empty_database(), items, lenient=True)[0]
    steps = transaction(BEGIN, ops)
    assert len(steps) == 3
    assert all(sum(len(word) + 9 for word in step.argv) < 1.1 * LONGEST for step in steps)
    assert sum(word.startswith("--id=@p") for step in steps for word in step.argv) == 10000
    assert len(transaction(BEGIN, tunnel_ops(empty_database(), items[:3500], lenient=True)[0])) == 1


def test_a_secret_does_not_reach_the_log_of_ovs_vsctl() -> None:
    found = bridge_ops(empty_database(), [{"name": "br0"}])[1]
    ops = tunnel_ops(
        found, [{"bridge": "br0", "name": "gre0", "type": "gre", "remote_ip": "192.0.2.1", "psk": "hush"}]
    )[0]
    (step,) = transaction(BEGIN, ops, ("hush",))
    assert "hush" in " ".join(step.argv) and "hush" not in step.shown()
    assert step.argv[1] == "--no-syslog"
    assert "--no-syslog" not in transaction(BEGIN, ops)[0].argv


class Module:
    """As much of AnsibleModule as reading takes. said: what every command complains about before it fails."""

    def __init__(self, check_mode: bool, said: t.Sequence[str] = ()) -> None:
        self.check_mode, self.said = check_mode, said
        self.warnings: list[str] = []

    def run_command(self, _argv: t.Sequence[str], **_options: t.Any) -> tuple[int, str, str]:
        return 1, "", self.said[0]

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def test_check_mode_takes_an_open_vswitch_that_is_not_there_yet_for_an_empty_one() -> None:
    said = ["ovs-vsctl: unix:db.sock: database connection failed (No such file or directory)"]
    runner = ovs_runner(Module(check_mode=True, said=said))
    module = Module(check_mode=True)
    assert read_or_foresee(module, runner, BEGIN) == empty_database()
    assert "database connection failed" in module.warnings[0]
    for module, here in ((Module(check_mode=False), True), (Module(check_mode=True), False)):
        with pytest.raises(FabricError, match="database connection failed"):
            read_or_foresee(module, runner, BEGIN, here=here)
    said[0] = "ovs-vsctl: unix:db.sock: database connection failed (Permission denied)"
    with pytest.raises(FabricError, match="Permission denied.*become: true"):
        read_or_foresee(Module(check_mode=True), runner, BEGIN)


def test_names_are_free_before_they_are_used() -> None:
    (step,) = transaction(
        BEGIN,
        [
            AddPort("x", "p1", ("p1",)),
            AddBridge("x"),
            DelPort("y", "p2", "v"),
            MovePort("p0", "u", "br0", "x"),
            DelBridge("br0"),
        ],
    )
    line = " ".join(step.argv)
    places = [
        line.index(part)
        for part in ("add-br x", "remove Bridge br0 ports u", "del-port y p2", "del-br br0", "add-port x p1")
    ]
    assert places == sorted(places)


EMPTY = {
    "set": ["set", []],
    "ports": ["set", []],
    "optional": ["set", []],
    "port": ["set", []],
    "row": ["set", []],
    "map": ["map", []],
}


def printed(rows: dict[str, dict[str, t.Any]]) -> str:
    """What ovs-vsctl prints of one row a table, the columns that are not given being empty."""
    documents = []
    for table, columns in TABLES.items():
        known = {c: spec for c, spec in columns.items() if not spec.back}
        whole = {
            c: EMPTY.get(spec.kind, spec.default if spec.kind == "scalar" else ["set" if spec.key else "map", []])
            for c, spec in known.items()
        }
        whole.update(rows.get(table, {}))
        documents.append(json.dumps({"headings": list(whole), "data": [list(whole.values())] if table in rows else []}))
    return "\n".join(documents) + "\n"


def test_decode_reads_what_ovs_vsctl_prints() -> None:
    uuid = "0f9a6ff0-3aa7-4b1b-a2b6-9b1d3a3a7b11"
    one = ["uuid", uuid]
    rows: dict[str, dict[str, t.Any]] = {
        "Open_vSwitch": {
            "bridges": one,
            "ovs_version": "3.1.0",
            "iface_types": ["set", ["gre", "internal"]],
            "cur_cfg": 2,
            "next_cfg": 3,
        },
        "Bridge": {
            "_uuid": ["uuid", uuid],
            "name": "br0",
            "ports": one,
            "mirrors": one,
            "netflow": one,
            "flow_tables": ["map", [[5, one]]],
            "external_ids": ["map", [["a", "b"]]],
            "protocols": "OpenFlow13",
        },
        "Port": {
            "_uuid": ["uuid", uuid],
            "name": "br0",
            "interfaces": ["uuid", uuid],
            "tag": 5,
            "trunks": ["set", [7, 6]],
            "qos": one,
        },
        "Interface": {"_uuid": ["uuid", uuid], "name": "br0", "type": "internal"},
        "Mirror": {"_uuid": one, "name": "m", "output_port": one, "select_src_port": ["set", [one]]},
        "NetFlow": {"_uuid": one, "targets": "192.0.2.1:2055"},
        "Flow_Table": {"_uuid": one, "flow_limit": 7},
        "QoS": {"_uuid": one, "type": "linux-htb", "queues": ["map", [[3, one]]]},
        "Queue": {"_uuid": one, "dscp": 5},
        "Flow_Sample_Collector_Set": {"_uuid": one, "id": 9, "bridge": one, "ipfix": one},
        "IPFIX": {"_uuid": one, "targets": "192.0.2.1:4739"},
    }
    found = decode(printed(rows))
    assert found.bridge_of == {"br0": "br0"} and found.members == {"br0": ("br0",)} and not found.answered
    assert found.tables["Bridge"]["br0"]["protocols"] == ("OpenFlow13",) and found.tables["Bridge"]["br0"][
        "external_ids"
    ] == {"a": "b"}
    assert (found.tables["Port"]["br0"]["tag"], found.tables["Port"]["br0"]["trunks"]) == (5, (6, 7))
    assert found.interface("br0")["ofport"] is None and found.types == ("gre", "internal")
    bridge, port = found.tables["Bridge"]["br0"], found.tables["Port"]["br0"]
    assert (bridge["mirrors"]["m"]["output_port"], bridge["mirrors"]["m"]["select_src_port"]) == ("br0", ("br0",))
    assert (
        bridge["netflow"]["targets"] == ("192.0.2.1:2055",)
        and bridge["flow_tables"][5]["flow_limit"] == 7
        and bridge["controller"] == {}
    )
    assert (
        bridge["collector_sets"][9]["ipfix"]["targets"] == ("192.0.2.1:4739",)
        and "bridge" not in bridge["collector_sets"][9]
    )
    assert port["qos"]["queues"][3]["dscp"] == 5 and port["qos"]["_uuid"] == uuid


def test_a_bridge_whose_row_only_a_collector_set_keeps_is_none() -> None:
    one = ["uuid", "0f9a6ff0-3aa7-4b1b-a2b6-9b1d3a3a7b11"]
    found = decode(
        printed(
            {
                "Bridge": {"_uuid": one, "name": "br0"},
                "Flow_Sample_Collector_Set": {"_uuid": one, "id": 1, "bridge": one},
            }
        )
    )
    assert not found.tables["Bridge"] and found.remains == {"br0": (one[1],)}


def test_a_database_that_is_empty_is_read() -> None:
    assert decode(printed({}))._replace(types=()) == empty_database()


def test_an_answer_that_lacks_tables_is_no_empty_database() -> None:
    with pytest.raises(FabricError, match="ovs-vsctl answered 0 of"):
        decode("")


ROUTE = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth0\t006433C6\t010200C0\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
*\t076433C6\t00000000\t0205\t0\t0\t0\tFFFFFFFF\t0\t0\t0
"""
NONE = "00000000000000000000000000000000"
ROUTE6 = f"""20010db8000000000000000000000000 40 {NONE} 00 {NONE} 00000100 00000001 00000000 00000001     eth0
{NONE} 00 {NONE} 00 {NONE} ffffffff 00000001 00000000 00200200       lo
"""
TRIE = """Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 192.0.2.2
        /32 host LOCAL
     |-- 192.0.2.255
        /32 link BROADCAST
"""


def test_the_longest_prefix_decides_whether_there_is_a_route() -> None:
    routes = parse_routes(TRIE, "20010db8000000000000000000000002 04 40 00 82     eth0\n", ROUTE, ROUTE6)
    assert {str(a) for a in routes.addresses} == {"192.0.2.2", "2001:db8::2"}
    expected = {
        "192.0.2.9": True,
        "198.51.100.6": True,
        "198.51.100.7": False,
        "203.0.113.1": False,
        "2001:db8::9": True,
        "2001:db8:1::9": False,
    }
    assert {text: routes.reach(ipaddress.ip_address(text)) for text in expected} == expected


def test_dpdk_is_passed_through_with_the_device_of_each_member() -> None:
    bond = {
        "name": "bond0",
        "type": "dpdk",
        "members": ["d0", "d1"],
        "n_rxq": 2,
        "interfaces": [
            {"name": "d0", "dpdk_devargs": "0000:06:00.0"},
            {"name": "d1", "dpdk_devargs": "0000:06:00.1", "n_rxq": 4},
        ],
    }
    guest = {"name": "vh0", "type": "dpdkvhostuserclient", "vhost_server_path": "/run/a b"}
    after = bridge_ops(empty_database(), [{"name": "br0", "datapath_type": "netdev", "ports": [bond, guest]}])[1]
    rows = after.tables["Interface"]
    assert rows["d0"]["options"] == {"dpdk-devargs": "0000:06:00.0", "n_rxq": "2"}
    assert rows["d1"]["options"] == {"dpdk-devargs": "0000:06:00.1", "n_rxq": "4"}
    assert (rows["vh0"]["type"], rows["vh0"]["options"]) == ("dpdkvhostuserclient", {"vhost-server-path": "/run/a b"})
    with pytest.raises(FabricError, match="dpdk_devargs applies only to type dpdk"):
        bridge_ops(
            empty_database(), [{"name": "br0", "ports": [{"name": "p0", "type": "internal", "dpdk_devargs": "x"}]}]
        )


def test_a_qos_goes_in_the_transaction_in_which_its_port_goes() -> None:
    found = bridge_ops(
        empty_database(),
        [{"name": "br0", "ports": [{"name": "p0", "type": "internal", "qos": {"type": "linux-noop"}}]}],
    )[1]
    port = found.tables["Port"]["p0"]
    port["_uuid"], port["qos"]["_uuid"] = "of-port", "of-qos"
    ops = bridge_ops(found, [{"name": "br0", "state": "absent"}])[0]
    (step,) = transaction(BEGIN, ops)
    line = " ".join(step.argv)
    places = [
        line.index(part)
        for part in ("clear Port of-port qos", "remove Bridge br0 ports of-port", "del-br br0", "destroy QoS of-qos")
    ]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("error", "hint"),
    [("(Address already in use)", "receives on this UDP port; give another dst_port"), ("(Odd)", "see the log of")],
)
def test_a_tunnel_that_the_kernel_refuses_is_told_with_what_to_do(error: str, hint: str) -> None:
    """As on a host whose container network has a VXLAN interface of the kernel on the same port."""
    rows = {
        "br0": {"ofport": 65534, "error": None, "type": "internal", "options": {}},
        "vx": {"ofport": -1, "error": f"could not add network device vx to ofproto {error}", "type": "vxlan", "options": {}},
    }  # fmt: skip
    database = types.SimpleNamespace(
        interface=rows.get, members={"vx": ("vx",)}, tables={"Interface": rows, "Bridge": {}}, bridge_of={"vx": "br0"}
    )
    assert hint in (late_error(t.cast("t.Any", database), "br0", "vx", "tunnel") or "")


SOCKETS = """sk               RefCnt Type Proto  Iface R Rmem   User   Inode
0000000086b1c49a 2      3    0003   {}     1 0      0      61152668
00000000f7240031 2      3    0000   0     0 0      0      61152848
"""


@pytest.mark.parametrize(
    ("datapath", "socket", "row", "gone"),
    [
        ("netdev", -1, {}, {"eth1"}),
        ("netdev", -1, {"type": "system"}, {"eth1"}),
        # The socket is the device's.
        ("netdev", 10, {}, set()),
        # Open vSwitch looks into another network namespace, so none of these sockets is its own.
        ("netdev", 3, {}, set()),
        ("system", -1, {}, set()),
        # It knows that the device is gone, and takes the next one by itself.
        ("netdev", -1, {"ofport": -1, "error": "could not open network device eth1 (No such device)"}, set()),
        ("netdev", -1, {"ofport": None}, set()),
        ("netdev", -1, {"type": "internal"}, set()),
        ("netdev", -1, {"type": "afxdp"}, set()),
    ],
)
def test_a_device_is_lost_where_no_socket_is_its_own(
    datapath: str, socket: int, row: dict[str, t.Any], gone: set[str]
) -> None:
    found = bridge_ops(
        empty_database(), [{"name": "br0", "datapath_type": datapath, "ports": [{"name": "eth1"}, {"name": "eth2"}]}]
    )[1]
    found.tables["Interface"]["eth1"].update({"ofport": 2, **row})
    # eth2 is not there, which Open vSwitch sees by itself.
    assert lost(found, {"lo": 1, "eth1": 10}, SOCKETS.format(socket)) == gone


def test_a_lost_device_is_let_go_and_taken_in_two_calls_and_its_port_keeps_what_was_set() -> None:
    found = bridge_ops(
        empty_database(), [{"name": "br0", "ports": [{"name": "eth1", "tag": 7}, {"name": "eth2", "type": "system"}]}]
    )[1]
    kinds = {name: found.tables["Interface"][name]["type"] for name in ("eth1", "eth2")}
    steps = replugged(BEGIN, found, {"eth1", "eth2"}, set())
    assert [" ".join(step.argv).count("type=patch") for step in steps] == [2, 0]
    assert draw.essence(plugged(found, ["eth1", "eth2"])) == draw.essence(found)
    found.tables["Interface"]["eth1"]["type"] = "patch"
    assert len(replugged(BEGIN, found, set(), {"eth1"})) == 1
    assert plugged(found, ["eth1"]).tables["Interface"]["eth1"]["type"] == kinds["eth1"] == ""
    assert replugged(BEGIN, found, set(), set()) == []
