# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a checkpoint records and how that is put back, with random addresses, routes and ports."""

from __future__ import annotations

import copy
import os
import sys
import time
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils import _host_lock, _reconcile
from ansible_collections.overloom.fabric.plugins.module_utils._checkpoint import checkpoint, undo
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Write

DEVICES = ("eth0", "eth1", "br0")
ADDRESSES = ["10.0.0.1/24 broadcast 10.0.0.255", "10.0.1.1/24", "2001:db8::1/64"]
ROUTES = [
    "198.51.100.0/24 proto static",
    "0.0.0.0/0 via 10.0.0.9 proto static metric 5",
    "::/0 via 2001:db8::9 metric 1024",
]
HOST = st.fixed_dictionaries(
    {
        name: st.fixed_dictionaries(
            {
                "there": st.just(True),
                "up": st.booleans(),
                "mtu": st.sampled_from([1400, 1500]),
                "leased": st.just({}),
                "addresses": st.lists(st.sampled_from(ADDRESSES), unique=True),
                "routes": st.lists(st.sampled_from(ROUTES), unique=True),
            }
        )
        for name in DEVICES
    }
)


def done(lines: t.Iterable[str], host: dict[str, t.Any]) -> dict[str, t.Any]:
    """The host after lines for ip(8)."""
    host = copy.deepcopy(host)
    for line in lines:
        kind, verb, *rest = line.split(" ")
        name = rest[rest.index("dev") + 1]
        if kind == "link":
            host[name].update({"mtu": int(rest[-1])} if "mtu" in rest else {"up": True})
            continue
        words = " ".join(rest[: rest.index("dev")]).replace(" nodad", "")
        held = host[name]["routes" if kind == "route" else "addresses"]
        if verb == "delete":
            held.remove(words)
        elif words not in held:
            held.append(words)
    return host


@settings(deadline=None)
@given(HOST, HOST)
def test_what_is_recorded_comes_back_and_all_else_stays(recorded, found):
    wanted = {name: recorded[name] for name in ("eth0", "br0")}
    # In the record, an address is on one interface.
    wanted["br0"] = dict(wanted["br0"])
    for key in ("addresses", "routes"):
        wanted["br0"][key] = [one for one in wanted["br0"][key] if one not in wanted["eth0"][key]]
    after = done(undo.lines_back(wanted, found), found)
    for key in ("addresses", "routes"):
        ours = {words for state in wanted.values() for words in state[key]}
        for name, state in after.items():
            kept = set(wanted.get(name, {key: []})[key])
            assert kept <= set(state[key])
            assert set(state[key]) - ours == set(found[name][key]) - ours
            assert not (set(state[key]) & ours) - kept
            assert state["mtu"] == wanted.get(name, found[name])["mtu"]
    assert not undo.lines_back(wanted, after)


def test_an_interface_that_is_gone_is_left_out():
    assert undo.lines_back({"br0": undo.interface_state([], [], "br0")}, {}) == []


def test_a_lease_comes_back_as_one_and_after_a_boot_not_at_all():
    lease = {"family": "inet", "local": "192.0.2.7", "prefixlen": 24, "scope": "global", "dynamic": True}
    times = {"valid_life_time": 600, "preferred_life_time": 500}
    fixed = {"family": "inet", "local": "192.0.2.1", "prefixlen": 24, "scope": "global"}
    row = {"ifname": "eth0", "flags": [], "mtu": 1500, "addr_info": [fixed, {**lease, **times}]}
    route = {"dst": "default", "gateway": "192.0.2.9", "dev": "eth0", "protocol": "dhcp"}
    recorded = {"eth0": undo.interface_state([row], [route], "eth0")}
    now = {"eth0": {**recorded["eth0"], "addresses": [], "routes": []}}
    fixed_line = "address replace 192.0.2.1/24 dev eth0"
    lease_line = "address replace 192.0.2.7/24 valid_lft 600 preferred_lft 500 dev eth0"
    route_line = "route replace 0.0.0.0/0 via 192.0.2.9 proto dhcp dev eth0"
    assert undo.lines_back(recorded, now) == [fixed_line, lease_line, route_line]
    assert undo.lines_back(undo.after_a_boot(recorded), now) == [fixed_line]
    # Its time goes on, which is no difference.
    later = {**row, "addr_info": [fixed, {**lease, "valid_life_time": 5, "preferred_life_time": 1}]}
    assert not undo.lines_back(recorded, {"eth0": undo.interface_state([later], [route], "eth0")})


@pytest.mark.parametrize(("kind", "mtu"), [(None, 1500), ("veth", 1500), ("openvswitch", None), ("tun", None)])
def test_the_mtu_of_a_port_that_open_vswitch_makes_is_its_own_matter(kind, mtu):
    row = {"ifname": "eth0", "flags": [], "mtu": 1500, **({"linkinfo": {"info_kind": kind}} if kind else {})}
    assert undo.interface_state([row], [], "eth0")["mtu"] == mtu


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {"dst": "default", "gateway": "10.0.0.1", "protocol": "static", "metric": 5},
            "0.0.0.0/0 via 10.0.0.1 proto static metric 5",
        ),
        (
            {"dst": "default", "gateway": "fe80::1", "protocol": "static", "pref": "medium"},
            "::/0 via fe80::1 proto static",
        ),
        (
            {"dst": "10.1.0.0/16", "via": {"family": "inet6", "host": "fe80::1"}, "table": "77"},
            "10.1.0.0/16 via inet6 fe80::1 table 77",
        ),
        (
            {"dst": "10.1.0.0/16", "gateway": "192.0.2.1", "flags": ["onlink"], "metrics": [{"mtu": 1400}]},
            "10.1.0.0/16 via 192.0.2.1 mtu 1400 onlink",
        ),
        ({"dst": "10.1.0.0/16", "scope": "link", "protocol": "kernel"}, ""),
        ({"dst": "10.1.0.0/16", "gateway": "10.0.0.1", "protocol": "ospf"}, ""),
        ({"dst": "default", "gateway": "fe80::1", "protocol": "ra", "expires": 100}, ""),
    ],
)
def test_a_route_in_words(row, words):
    assert undo.route_words(row) == words


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            {"family": "inet", "local": "10.0.0.1", "prefixlen": 24, "broadcast": "10.0.0.255", "scope": "global"},
            "10.0.0.1/24 broadcast 10.0.0.255",
        ),
        (
            {"family": "inet", "local": "10.0.0.1", "address": "10.0.0.2", "prefixlen": 32, "scope": "link"},
            "10.0.0.1 peer 10.0.0.2/32 scope link",
        ),
        (
            {"family": "inet6", "local": "2001:db8::1", "prefixlen": 64, "scope": "global", "noprefixroute": True},
            "2001:db8::1/64 noprefixroute",
        ),
        ({"family": "inet6", "local": "fe80::1", "prefixlen": 64, "scope": "link"}, ""),
        ({"family": "inet", "local": "10.0.0.1", "prefixlen": 24, "scope": "global", "dynamic": True}, "10.0.0.1/24"),
        ({"family": "inet6", "local": "2001:db8::1", "prefixlen": 64, "scope": "global", "dynamic": True}, ""),
    ],
)
def test_an_address_in_words(entry, words):
    assert undo.address_words(entry) == words


def test_the_announcements_are_what_the_standards_say():
    """A neighbor advertisement's checksum makes the sum over it and its pseudo-header all ones (RFC 1071)."""
    mac = bytes.fromhex("020000000a01")
    arp = undo.announcement(mac, "192.0.2.1")
    assert arp.hex() == "ffffffffffff020000000a0108060001080006040001020000000a01c0000201000000000000c0000201"
    frame = undo.announcement(mac, "2001:db8::1")
    packet = frame[14:]
    body = packet[40:]
    assert int.from_bytes(packet[4:6], "big") == len(body) and body[0] == 136
    summed = packet[8:40] + len(body).to_bytes(4, "big") + b"\0\0\0\x3a" + body
    total = sum(int.from_bytes(summed[i : i + 2], "big") for i in range(0, len(summed), 2))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF


class Switch:
    """A model of Open vSwitch's database: three tables, and rows that go when nothing refers to them."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, dict[str, t.Any]]] = {"Bridge": {}, "Port": {}, "Interface": {}}
        self.count = 0

    def add(self, table: str, **columns: t.Any) -> str:
        self.count += 1
        uuid = f"{table}-{self.count}"
        self.tables[table][uuid] = columns
        return uuid

    def rows(self) -> dict[str, list[dict[str, t.Any]]]:
        found = {}
        for table, rows in self.tables.items():
            found[table] = [{**row, "_uuid": ["uuid", uuid]} for uuid, row in rows.items()]
        return found

    def port(self, bridge: str, name: str, *interfaces: str, tag: int = 0) -> str:
        inside = [["uuid", self.add("Interface", name=one, type="", ofport=1)] for one in interfaces or (name,)]
        uuid = self.add("Port", name=name, tag=tag, interfaces=["set", inside], status=["map", []])
        self.tables["Bridge"][bridge]["ports"][1].append(["uuid", uuid])
        return uuid

    def bridge(self, name: str) -> str:
        return self.add("Bridge", name=name, ports=["set", []], other_config=["map", []])

    def do(self, operations: list[dict[str, t.Any]]) -> None:
        named: dict[str, str] = {}

        def real(value: t.Any) -> t.Any:
            if isinstance(value, list):
                return ["uuid", named[value[1]]] if value[:1] == ["named-uuid"] else [real(one) for one in value]
            return value

        for one in operations:
            if one["op"] == "insert":
                named[one["uuid-name"]] = self.add(one["table"])
        for one in operations:
            if one["op"] == "insert":
                self.tables[one["table"]][named[one["uuid-name"]]] = {
                    key: real(value) for key, value in one["row"].items()
                }
            elif one["op"] == "update":
                assert "name" not in one["row"]
                self.tables[one["table"]][one["where"][0][2][1]].update(
                    {key: real(value) for key, value in one["row"].items()}
                )
            elif one["table"] == "Bridge":
                ports = self.tables["Bridge"][one["where"][0][2][1]]["ports"][1]
                for port in real(one["mutations"][0][2])[1]:
                    (ports.append if one["mutations"][0][1] == "insert" else ports.remove)(port)
        self.collect()

    def collect(self) -> None:
        for table, column, inside in (("Bridge", "ports", "Port"), ("Port", "interfaces", "Interface")):
            used = {uuid for row in self.tables[table].values() for uuid in undo.members(row[column])}
            self.tables[inside] = {uuid: row for uuid, row in self.tables[inside].items() if uuid in used}

    def seen(self) -> dict[str, t.Any]:
        """All of it by names."""
        found = {}
        for bridge in self.tables["Bridge"].values():
            for uuid in undo.members(bridge["ports"]):
                port = self.tables["Port"][uuid]
                assert f"{bridge['name']}/{port['name']}" not in found
                inside = sorted(self.tables["Interface"][one]["name"] for one in undo.members(port["interfaces"]))
                found[f"{bridge['name']}/{port['name']}"] = (port["tag"], inside)
        return found


CHANGES = st.lists(
    st.sampled_from(["tag", "gone", "bond", "moved", "bridge gone", "bridge anew", "foreign"]), max_size=4
)


@settings(deadline=None)
@given(st.sampled_from(["free", "port", "bond"]), CHANGES)
def test_ports_come_back_and_those_of_others_stay(place, changes):
    switch = Switch()
    bridge = switch.bridge("br0")
    switch.bridge("br1")
    switch.port(bridge, "br0")
    switch.port(bridge, "theirs", tag=5)
    if place != "free":
        switch.port(bridge, *(["eth0"] if place == "port" else ["bond0", "eth0", "eth1"]), tag=7)
    before = switch.seen()
    record = undo.places(switch.rows(), ["eth0", "br0"])
    for number, change in enumerate(changes):
        _change(switch, change, number)
    # What others have added, and what they took with a bridge.
    expected = {name: value for name, value in switch.seen().items() if "foreign" in name}
    expected.update(before)
    if "br0/theirs" not in switch.seen():
        expected.pop("br0/theirs")
    switch.do(undo.operations_back(record, switch.rows(), ["eth0", "br0"]))
    assert switch.seen() == expected
    again = undo.places(switch.rows(), ["eth0", "br0"])
    assert not undo.operations_back(again, switch.rows(), ["eth0", "br0"])


@settings(deadline=None)
@given(st.lists(st.sampled_from(["bond", "foreign"]), max_size=2))
def test_a_bridge_that_came_since_keeps_its_own_port(changes):
    switch = Switch()
    switch.bridge("br1")
    record = undo.places(switch.rows(), ["eth0", "br0"])
    switch.port(switch.bridge("br0"), "br0")
    for number, change in enumerate(changes):
        _change(switch, change, number)
    switch.do(undo.operations_back(record, switch.rows(), ["eth0", "br0"]))
    foreign = [f"br0/foreign{number}" for number, change in enumerate(changes) if change == "foreign"]
    assert sorted(switch.seen()) == ["br0/br0", *foreign]


def _change(switch: Switch, change: str, number: int) -> None:
    """What somebody does to the bridge or to the NIC's port."""
    named = {row["name"]: uuid for uuid, row in switch.tables["Bridge"].items()}
    bridge, held = named.get("br0"), _holding(switch)
    if change == "tag" and held:
        switch.tables["Port"][held[0][1]]["tag"] = 99
    elif change in ("gone", "bond", "moved"):
        for one, port in held:
            switch.tables["Bridge"][one]["ports"][1].remove(["uuid", port])
        if change == "moved" and held:
            switch.tables["Bridge"][named["br1"]]["ports"][1].append(["uuid", held[0][1]])
        switch.collect()
        if change == "bond":
            switch.port(bridge or named["br1"], f"new{number}", "eth0", "eth2")
    elif change.startswith("bridge") and bridge:
        switch.tables["Bridge"].pop(bridge)
        switch.collect()
        if change == "bridge anew":
            switch.port(switch.bridge("br0"), "br0")
    elif change == "foreign":
        switch.port(bridge or named["br1"], f"foreign{number}")


def _holding(switch: Switch) -> list[tuple[str, str]]:
    """The bridge and the port that eth0 is in."""
    names = {uuid: row["name"] for uuid, row in switch.tables["Interface"].items()}
    members = {uuid: undo.members(row["interfaces"]) for uuid, row in switch.tables["Port"].items()}
    holding = [uuid for uuid, inside in members.items() if "eth0" in [names[one] for one in inside]]
    bridges = switch.tables["Bridge"].items()
    return [(bridge, port) for bridge, row in bridges for port in undo.members(row["ports"]) if port in holding]


def parameters(**given: t.Any) -> dict[str, t.Any]:
    return {"name": "test", "interfaces": ["eth0", "br0"], "timeout": 60, "state": "armed", "owner": "us", **given}


def found(record=None, note=None, there=True, undoing=False) -> checkpoint.Found:
    now = {"interfaces": {"eth0": {"there": there}, "br0": {"there": False}}}
    return checkpoint.Found(record, undoing, note, now, True)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": "a/b"}, "no name of a checkpoint"),
        ({"interfaces": []}, "interfaces is empty"),
        ({"timeout": 9}, "too short"),
        ({"interfaces": ["eth 0"]}, "no interface name"),
    ],
)
def test_wrong_input_is_one_sentence(given, sentence):
    with pytest.raises(FabricError, match=sentence):
        checkpoint.declared(parameters(**given))


def test_the_record_is_written_last_and_kept_when_it_is_armed_already():
    wanted = checkpoint.declared(parameters())
    steps = checkpoint.compare(found(), wanted).steps
    assert isinstance(steps[-1], Write) and steps[-1].path.endswith("test.json")
    assert [step.shown() for step in steps[-3:-1]] == [
        "systemctl reenable overloom-checkpoint-test.service",
        "systemctl restart overloom-checkpoint-test.timer",
    ]
    # Ansible's interpreter may not be in the PATH of systemd.
    assert (
        f"\nExecStart={sys.executable} {checkpoint.paths('test')['program']} " in checkpoint.undo_unit(wanted).content
    )
    assert not checkpoint.compare(found({"interfaces": {"eth0": {}, "br0": {}}}), wanted).steps
    with pytest.raises(FabricError, match="is armed for eth0; confirm it first"):
        checkpoint.compare(found({"interfaces": {"eth0": {}}}), wanted)
    with pytest.raises(FabricError, match="none of the interfaces eth0, br0 exists"):
        checkpoint.compare(found(there=False), wanted)


@pytest.mark.parametrize(
    ("why", "sentence"), [("rebooted", "it was rebooted before"), ("not confirmed", "nobody did within 60 s")]
)
def test_what_was_undone_cannot_be_confirmed(why, sentence):
    wanted = checkpoint.declared(parameters(state="confirmed"))
    note = {"why": why, "at": "2026-01-01 00:00:00", "timeout": 60, "problems": ["x"]}
    with pytest.raises(FabricError, match=f"{sentence}; not undone: x"):
        checkpoint.compare(found(note=note), wanted)
    assert not checkpoint.compare(found(), wanted).steps
    assert checkpoint.compare(found({"interfaces": {}}), wanted).steps


@pytest.mark.parametrize("state", ["armed", "confirmed"])
def test_while_the_host_undoes_nothing_is_armed_or_confirmed(state):
    with pytest.raises(FabricError, match="the host has begun to undo the change"):
        checkpoint.compare(found(undoing=True), checkpoint.declared(parameters(state=state)))


@pytest.mark.parametrize("undoing", [False, True])
def test_absent_undoes_what_is_armed_and_ends_what_was_cut_short(undoing):
    """It has the host's lock, and so puts the record aside, for which the undoing does not wait."""
    held = found(undoing=True) if undoing else found({"interfaces": {}})
    steps = checkpoint.compare(held, checkpoint.declared(parameters(state="absent"))).steps
    files = checkpoint.paths("test")
    claim = [] if undoing else [f"mv {files['record']} {files['undoing']}"]
    assert [step.shown() for step in steps][: len(claim) + 1] == [
        *claim,
        "systemctl start overloom-checkpoint-test.service",
    ]


def test_an_undoing_waits_for_a_module_and_a_module_for_it():
    assert _host_lock._LOCK.format("network") == undo.LOCK
    name = f"test-{os.getpid()}"
    lock = _host_lock._LOCK.format(name)
    with _host_lock.host_lock(name, "a module"):
        begun = time.monotonic()
        with undo.alone(0.3, lock):
            assert time.monotonic() - begun >= 0.3
    with undo.alone(5, lock), pytest.raises(TimeoutError), _host_lock.host_lock(name, "a module", 0.2):
        pass
    with _host_lock.host_lock(name, "a module", 0.2):
        pass


def test_a_task_that_comes_after_the_host_has_begun_to_undo_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(_reconcile, "CHECKPOINTS", str(tmp_path))
    assert _reconcile.undone_meanwhile() is None
    monkeypatch.setenv(_reconcile.CHECKPOINT, "test")
    record = tmp_path / "test.json"
    record.write_text("{}")
    assert _reconcile.undone_meanwhile() is None
    undo.claimed(str(record))
    assert "checkpoint test is not armed any more" in str(_reconcile.undone_meanwhile())


def test_whoever_takes_the_record_first_has_it(tmp_path):
    path = tmp_path / "test.json"
    path.write_text('{"timeout": 1}')
    confirmed = str(tmp_path / "test.confirmed")
    checkpoint.Claim(str(path), confirmed, "test").do()
    assert undo.claimed(str(path)) is None
    path.write_text('{"timeout": 1}')
    assert undo.claimed(str(path)) == {"timeout": 1}
    with pytest.raises(FabricError, match="its time ran out meanwhile"):
        checkpoint.Claim(str(path), confirmed, "test").do()
    # An undoing that was cut short goes on.
    assert undo.claimed(str(path)) == {"timeout": 1}


def test_files_and_links_come_back(tmp_path):
    kept, link, new = tmp_path / "kept", tmp_path / "wants" / "link", tmp_path / "new"
    kept.write_text("one\n")
    link.parent.mkdir()
    link.symlink_to("../kept")
    record = {str(path): undo.read_file(str(path)) for path in (kept, link, new)}
    assert not undo.files_back(record)
    kept.write_text("two\n")
    link.unlink()
    new.write_text("three\n")
    assert undo.files_back(record)
    assert kept.read_text() == "one\n" and link.is_symlink() and not new.exists()
