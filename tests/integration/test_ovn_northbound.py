# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ovn_northbound against a real northbound database, with ovn-northd behind it."""

from __future__ import annotations

import copy
import os
import random
import typing as t

import ovn
import pytest
from harness import Host

from ansible_collections.overloom.fabric.plugins.module_utils._ovn import compare as ovn_compare
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.database import applied, read_tables, transaction
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Settings
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner, differing
from ansible_collections.overloom.fabric.tests.unit.plugins.module_utils import ovn_draw as draw

BLUE: dict[str, t.Any] = {
    "switches": [
        {
            "name": "blue",
            "other_config": {"mcast_snoop": "true"},
            "dns_records": ["names"],
            "load_balancers": ["web"],
            "ports": [
                {
                    "name": "web1",
                    "addresses": ["02:00:00:00:00:01 10.0.0.1"],
                    "port_security": ["02:00:00:00:00:01 10.0.0.1"],
                    "dhcpv4_options": "blue",
                },
                {"name": "blue-r1", "type": "router", "addresses": ["router"], "options": {"router-port": "r1-blue"}},
            ],
            "qos_rules": [
                {
                    "direction": "from-lport",
                    "priority": 7,
                    "match": "ip4",
                    "action": {"dscp": 10},
                    "bandwidth": {"rate": 1000},
                }
            ],
        }
    ],
    "routers": [
        {
            "name": "r1",
            "ports": [
                {
                    "name": "r1-blue",
                    "mac": "02:00:00:00:00:FE",
                    "networks": ["10.0.0.254/24"],
                    "gateway_chassis": [{"chassis_name": "kvm1", "priority": 20}],
                }
            ],
            "static_routes": [{"ip_prefix": "0.0.0.0/0", "nexthop": "10.0.0.7"}],
            "nat": [
                {"type": "snat", "external_ip": "10.0.0.3", "logical_ip": "10.1.0.0/24", "gateway_port": "r1-blue"}
            ],
            "policies": [{"priority": 10, "match": "ip4", "action": "reroute", "nexthops": ["10.0.0.9"]}],
        }
    ],
    "dns": [{"name": "names", "records": {"web1.example": "10.0.0.1"}}],
    "load_balancers": [
        {
            "name": "web",
            "vips": {"192.0.2.10:80": "10.0.0.1:80"},
            "health_checks": [{"vip": "192.0.2.10:80", "options": {"interval": "5"}}],
        }
    ],
    "dhcp_options": [
        {
            "name": "blue",
            "cidr": "10.0.0.0/24",
            "options": {"server_id": "10.0.0.254", "server_mac": "02:00:00:00:00:fe", "lease_time": "3600"},
        }
    ],
    "meters": [{"name": "slow", "unit": "pktps", "bands": [{"rate": 10}]}],
    "port_groups": [
        {
            "name": "web",
            "ports": ["web1"],
            "acls": [
                {
                    "direction": "to-lport",
                    "priority": 1000,
                    "match": "outport == @web && ip",
                    "action": "drop",
                    "log": True,
                    "meter": "slow",
                    "severity": "info",
                    "name": "web-drop",
                }
            ],
        }
    ],
    "address_sets": [{"name": "trusted", "addresses": ["192.0.2.0/24", "192.0.2.7"]}],
    "ha_chassis_groups": [{"name": "gateways", "chassis": [{"chassis_name": "kvm1", "priority": 3}]}],
    "bfd": [{"logical_port": "r1-blue", "dst_ip": "10.0.0.7", "min_tx": 100}],
    "nb_global_options": {"bfd-min-tx": "100"},
}
# What another controller has in the same database, some of it with the same matches.
THEIRS = (
    "ls-add theirs -- lsp-add theirs their-port -- lsp-set-addresses their-port dynamic -- acl-add theirs to-lport 1 ip4 drop "
    "-- lr-add their-router -- lrp-add their-router their-lrp 00:00:00:00:00:01 10.9.9.1/24 -- lr-nat-add their-router snat 10.9.9.9 10.8.0.0/16 "
    "-- pg-add their_group their-port -- create Address_Set name=their_set addresses=10.9.9.0/24 -- create DHCP_Options cidr=10.0.0.0/24 "
    "-- lb-add their-lb 192.0.2.99:80 10.9.9.9:80 -- ls-lb-add theirs their-lb -- meter-add their-meter drop 10 kbps"
)
GONE = {"purge": True}


@pytest.fixture(name="host")
def with_databases(session_lab: t.Any) -> t.Iterator[Host]:
    """A host with empty databases and what another controller has in them."""
    host = session_lab.host("a")
    if host.run(["systemctl", "is-active", "ovn-central"], ok=None).strip() != "active":
        ovn.start(host)
        host.run(["ovn-nbctl", "--wait=sb", *THEIRS.split()])
    yield host
    host.module("ovn_northbound", GONE)


@pytest.fixture(scope="module", autouse=True)
def stopped_afterwards(session_lab: t.Any) -> t.Iterator[None]:
    yield
    ovn.stop(session_lab.host("a"))


def changed(**lists: t.Any) -> dict[str, t.Any]:
    """The declaration above with some lists instead of its own."""
    return {**copy.deepcopy(BLUE), **lists}


def test_all_of_it_comes_is_there_once_and_goes_without_a_trace(host: Host) -> None:
    before = ovn.dump(host)
    done = host.apply("ovn_northbound", {**BLUE, "wait_for": "sb"})
    assert done["spawned"] == 3 and len(done["commands"]) == 1
    shown = done["northbound"]["switches"][0]
    assert shown["owner"] == "overloom.fabric" and [port["name"] for port in shown["ports"]] == ["blue-r1", "web1"]
    [port] = ovn.find(host, "Logical_Switch_Port", "name=web1")
    assert port["port_security"] == "02:00:00:00:00:01 10.0.0.1" and port["dhcpv4_options"]
    # northd has understood it.
    assert "blue" in host.run(["ovn-sbctl", "--columns=external_ids", "list", "Datapath_Binding"])
    again = host.module("ovn_northbound", BLUE)
    assert not again["changed"] and again["spawned"] == 1
    during = ovn.dump(host)
    for table, rows in before.items():
        for uuid, row in rows.items():
            assert table == "NB_Global" or during[table][uuid] == row, "a row of others was touched"
    host.apply("ovn_northbound", GONE)
    assert ovn.dump(host) == before


def test_what_was_changed_by_hand_is_repaired(host: Host) -> None:
    # ovn-northd writes into rows, too, such as what became of BFD.
    settled = {**BLUE, "wait_for": "sb"}
    host.module("ovn_northbound", settled)
    wanted = ovn.dump(host)
    for by_hand in (
        "lsp-set-port-security web1",
        "lsp-set-addresses web1 unknown",
        "acl-del web",
        "lr-nat-del r1",
        "lr-route-del r1",
        "lr-policy-del r1",
        "pg-set-ports web blue-r1",
        "clear Logical_Switch blue dns_records",
        "set Load_Balancer web vips:192.0.2.11=10.0.0.1",
        "remove NB_Global . options bfd-min-tx",
        "set Logical_Router_Port r1-blue networks=10.0.0.253/24",
        "lrp-del-gateway-chassis r1-blue kvm1",
    ):
        host.run(["ovn-nbctl", *by_hand.split()])
        assert ovn.dump(host) != wanted, by_hand
        assert host.apply("ovn_northbound", settled)["changed"], by_hand
        assert _said(ovn.dump(host)) == _said(wanted), by_hand


def _said(tables: dict[str, t.Any]) -> dict[str, list[str]]:
    """What rows say, without what tells which row is which."""
    columns = ("ports", "acls", "nat", "static_routes", "policies", "gateway_chassis", "dns_records", "qos_rules")

    def said(row: dict[str, t.Any]) -> str:
        return str({name: value for name, value in row.items() if name not in columns})

    return {table: sorted(map(said, rows.values())) for table, rows in tables.items()}


def test_what_is_listed_no_longer_goes_and_what_is_left_out_stays(host: Host) -> None:
    host.module("ovn_northbound", BLUE)
    host.run(
        [
            "ovn-nbctl",
            "lsp-add",
            "blue",
            "foreign-port",
            "--",
            "lb-add",
            "their-second-lb",
            "192.0.2.98:80",
            "10.9.9.9:80",
        ]
    )
    host.run(["ovn-nbctl", "ls-lb-add", "blue", "their-second-lb"])
    few = {"switches": [{"name": "blue", "ports": [{"name": "blue-r1"}], "load_balancers": []}]}
    host.apply("ovn_northbound", few)
    names = {row["name"] for row in ovn.find(host, "Logical_Switch_Port")}
    assert {"blue-r1", "foreign-port"} <= names and "web1" not in names
    [switch] = ovn.find(host, "Logical_Switch", "name=blue")
    [foreign] = ovn.find(host, "Load_Balancer", "name=their-second-lb")
    assert switch["load_balancer"] == foreign["_uuid"] and switch["other_config"] == {"mcast_snoop": "true"}
    [port] = ovn.find(host, "Logical_Switch_Port", "name=blue-r1")
    assert port["options"] == {"router-port": "r1-blue"}, "an option that is left out"
    refused = host.module("ovn_northbound", {"switches": [{"name": "blue", "state": "absent"}]}, ok=False)
    assert "still has rows that this owner did not make (port foreign-port)" in refused["msg"]
    kept = host.module("ovn_northbound", GONE)
    assert "switch blue is kept" in kept["warnings"][0]
    host.run(["ovn-nbctl", "lsp-del", "foreign-port", "--", "lb-del", "their-second-lb"])


def test_a_port_moves_with_its_row(host: Host) -> None:
    host.module("ovn_northbound", {"switches": [{"name": "one", "ports": [{"name": "p"}]}]})
    [before] = ovn.find(host, "Logical_Switch_Port", "name=p")
    both = {"switches": [{"name": "one", "ports": []}, {"name": "two", "ports": [{"name": "p"}]}]}
    host.apply("ovn_northbound", both)
    assert host.run(["ovn-nbctl", "lsp-list", "two"]).split()[0] == before["_uuid"]
    assert not host.run(["ovn-nbctl", "lsp-list", "one"]).split()
    # The switch that it leaves goes in the same call.
    host.apply("ovn_northbound", {"switches": [{"name": "three", "ports": [{"name": "p"}]}], "purge": True})
    assert [row["name"] for row in ovn.find(host, "Logical_Switch")] != [] and before["_uuid"] in str(
        host.run(["ovn-nbctl", "lsp-list", "three"])
    )


def test_rows_of_others_are_refused_used_as_a_place_or_adopted_and_given_back(host: Host) -> None:
    before = ovn.dump(host)
    theirs = {"switches": [{"name": "theirs", "other_config": {"mcast_snoop": "true"}}]}
    refused = host.module("ovn_northbound", theirs, ok=False)
    assert "switch theirs is not ours, and it would be changed" in refused["msg"] and "adopt: true" in refused["msg"]
    refused = host.module("ovn_northbound", {"switches": [{"name": "theirs", "state": "absent"}]}, ok=False)
    assert "was not made by this collection and stays" in refused["msg"]
    other = {"owner": "b", "switches": [{"name": "x"}]}
    host.module("ovn_northbound", {**other, "owner": "a"})
    assert (
        "belongs to the owner a"
        in host.module("ovn_northbound", {**other, "switches": [{"name": "x", "external_ids": {"k": "v"}}]}, ok=False)[
            "msg"
        ]
    )
    host.module("ovn_northbound", {"owner": "a", **GONE})
    assert ovn.dump(host) == before
    host.apply("ovn_northbound", {"switches": [{"name": "theirs", "ports": [{"name": "mine"}]}]})
    assert len(host.run(["ovn-nbctl", "lsp-list", "theirs"]).splitlines()) == 2
    host.apply("ovn_northbound", {"switches": [{"name": "theirs", "ports": []}]})
    assert ovn.dump(host) == before, "a place is not touched"
    host.apply("ovn_northbound", {**theirs, "adopt": True})
    assert ovn.find(host, "Logical_Switch", "name=theirs")[0]["other_config"] == {"mcast_snoop": "true"}
    given = host.module("ovn_northbound", {"switches": [{"name": "theirs", "state": "absent"}]})
    assert "given back, not removed" in given["warnings"][0]
    assert ovn.dump(host) == before


REFUSED: list[tuple[dict[str, t.Any], str]] = [
    (
        {"switches": [{"name": "s", "ports": [{"name": "p", "dhcpv4_options": "none"}]}]},
        "switch s: port p: dhcpv4_options names the DHCP options none, which is neither declared nor in the database",
    ),
    ({"switches": [{"name": "s"}, {"name": "s"}]}, "switch s is declared twice"),
    (
        {"switches": [{"name": "s", "ports": [{"name": "p", "addresses": ["02:00:00:00:00:01 10.0.0"]}]}]},
        "switch s: port p: addresses holds '02:00:00:00:00:01 10.0.0'",
    ),
    (
        {"routers": [{"name": "r", "ports": [{"name": "p", "mac": "02:00:00:00:00:01"}]}]},
        "router r: port p is not there yet and needs networks",
    ),
    (
        {"routers": [{"name": "r", "static_routes": [{"ip_prefix": "10.0.0.0/8", "nexthop": "there"}]}]},
        "nexthop is 'there'; give an IPv4 or IPv6 address",
    ),
    ({"port_groups": [{"name": "a-b"}]}, "port group a-b: name is 'a-b'; give letters, digits"),
    ({"port_groups": [{"name": "g", "ports": ["none"]}]}, "port group g: ports names the port none"),
    (
        {"switches": [{"name": "s", "ports": [{"name": "p", "tag": 1, "tag_request": 2}]}]},
        "switch s: port p: OVN makes tag out of tag_request; give one of them",
    ),
    (
        {
            "switches": [{"name": "s", "ports": [{"name": "p"}]}],
            "routers": [
                {"name": "r", "ports": [{"name": "p", "mac": "02:00:00:00:00:01", "networks": ["10.0.0.1/8"]}]}
            ],
        },
        "port p is to be one of a switch and one of a router",
    ),
    ({"meters": [{"name": "m", "unit": "kbps"}]}, "meter m is not there yet and needs bands"),
    (
        {"switches": [{"name": "s", "external_ids": {"overloom-owner": "x"}}]},
        "the key overloom-owner is the collection's own",
    ),
]


@pytest.mark.parametrize(("declared", "sentence"), REFUSED)
def test_wrong_input_is_one_sentence_and_changes_nothing(host: Host, declared: dict[str, t.Any], sentence: str) -> None:
    before = ovn.dump(host)
    for check in (True, False):
        assert sentence in host.module("ovn_northbound", declared, check=check, ok=False)["msg"]
    assert ovn.dump(host) == before


def test_a_northd_that_is_gone_and_a_server_that_is_gone_are_told(host: Host) -> None:
    # Its stop would stop both databases, too (ovn-ctl(8), stop_northd).
    northd = host.run(["cat", "/run/ovn/ovn-northd.pid"]).strip()
    host.run(["kill", "-STOP", northd])
    try:
        late = host.module("ovn_northbound", {"switches": [{"name": "s"}], "wait_for": "sb", "timeout": 2}, ok=False)
    finally:
        host.run(["kill", "-CONT", northd])
    assert "ovn-northd did not take up the northbound database's change" in late["msg"] and late["changed"]
    assert ovn.find(host, "Logical_Switch", "name=s")
    assert not host.module("ovn_northbound", {"switches": [{"name": "s"}], "wait_for": "sb"})["changed"]
    gone = host.module("ovn_northbound", {"database": "unix:/run/nothing.sock", **GONE}, ok=False)
    assert (
        "OVN's northbound database cannot be reached" in gone["msg"] and "start the service ovn-central" in gone["msg"]
    )


def test_a_chassis_that_is_gone_is_named_and_nobody_waits_for_ever(host: Host) -> None:
    host.run(
        ["ovn-sbctl", "chassis-add", "dead", "geneve", "192.0.2.77", "--", "create", "Chassis_Private", "name=dead"]
    )
    try:
        declared = {"switches": [{"name": "s"}], "wait_for": "hv", "timeout": 2}
        late = host.module("ovn_northbound", declared, ok=False)
        assert "chassis dead did not take up the northbound database's change" in late["msg"] and late["changed"]
        assert "chassis dead" in host.module("ovn_northbound", declared, ok=False)["msg"]
    finally:
        host.run(["ovn-sbctl", "--all", "destroy", "Chassis_Private", "--", "chassis-del", "dead"])


def _stated(objects: dict[str, t.Any]) -> dict[str, t.Any]:
    """The objects without the tags that northd makes of what is asked for."""
    for switch in objects["switches"].values():
        for port in switch["ports"].values():
            if port["tag_request"] is not None:
                port["tag"] = None
    return objects


BEGIN = ["ovn-nbctl", "--timeout=30"]


# In the long form some that nobody has tried; the test's name tells the seed of one that falls.
SEEDS = [random.randrange(2**32) for _number in range(20)] if os.environ.get("OVERLOOM_LONG") else range(3)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_intents_are_in_the_database_as_foretold_once_and_leave_it_as_it_was(host: Host, seed: int) -> None:
    rnd, how = random.Random(seed), Settings("overloom.fabric", purge=True)
    before = ovn.dump(host)
    runner = Runner(lambda argv, stdin: (0, host.run(argv, stdin=stdin), ""))
    done = 0
    for _round in range(12):
        wanted = ovn_compare.Wanted(draw.nodes(draw.intent(rnd)), {"bfd-min-tx": str(rnd.randint(100, 200))})
        found = read_tables(runner, BEGIN)
        try:
            comparison = ovn_compare.compared(found, wanted, how)
            ovn_compare.compare(found, wanted, how, BEGIN)
        except FabricError as error:
            # An option that is left out stays, and names what goes.
            assert " is still the " in str(error)
            continue
        for step in transaction([*BEGIN, "--wait=sb"], comparison.ops, how.owner):
            runner(step)
        held = read_tables(runner, BEGIN)
        foretold, real = (_stated(ovn_compare.whole(tables)) for tables in (applied(found, comparison.ops), held))
        differences = differing(foretold, real)
        assert differences == ({}, {}), differences
        assert not ovn_compare.compare(held, wanted, how, BEGIN).steps
        done += 1
    assert done > 5
    lists = draw.intent(rnd)
    host.module("ovn_northbound", {**GONE, "wait_for": "sb"})
    assert ovn.dump(host) == before
    assert host.apply("ovn_northbound", {**lists, "wait_for": "sb"})["changed"]
    assert host.apply("ovn_northbound", {**GONE, "wait_for": "sb"})["changed"]
    assert ovn.dump(host) == before


def test_a_backup_is_restored_with_all_rows_and_what_would_be_lost_is_refused(host: Host) -> None:
    path = "/var/backups/overloom-test/nb.db"
    back = {"restore": path}
    assert f"restore: there is no file {path}" in host.module("ovn_database", back, ok=False)["msg"]
    host.module("ovn_northbound", BLUE)
    done = host.apply("ovn_database", {"backup": path})
    assert done["snapshot"]["rows"] > 30 and host.run(["stat", "-c", "%a", path]).strip() == "600"
    # What OVN notes of its progress is no change.
    host.run(["ovn-nbctl", "--timeout=60", "--wait=sb", "sync"])
    assert not host.module("ovn_database", {"backup": path})["changed"]
    host.run(["chmod", "0644", path])
    assert host.apply("ovn_database", {"backup": path})["changed"]
    assert not host.module("ovn_database", back)["changed"]
    wanted = _held(host)

    host.module("ovn_northbound", GONE)
    host.run(["ovn-nbctl", "ls-add", "later"])
    refused = host.module("ovn_database", back, ok=False)
    assert "rows, which would be replaced by the" in refused["msg"] and "later" in host.run(["ovn-nbctl", "ls-list"])
    done = host.apply("ovn_database", {**back, "force": True})
    assert _held(host) == wanted and "< /var/backups/overloom-test/nb.db" in done["commands"][0]
    assert not host.module("ovn_northbound", BLUE, check=True)["changed"]
    # northd takes them for new ones, and knows all of them.
    host.run(["ovn-nbctl", "--timeout=60", "--wait=sb", "sync"])
    assert "later" not in host.run(["ovn-sbctl", "--columns=external_ids", "list", "Datapath_Binding"])
    assert "blue" in host.run(["ovn-sbctl", "--columns=external_ids", "list", "Datapath_Binding"])

    host.write("/var/backups/overloom-test/text", "not mine\n")
    for option, file, said in (
        ("restore", "/var/lib/ovn/ovnsb_db.db", "is the database OVN_Southbound, and not a backup of OVN_Northbound"),
        ("restore", "/var/backups/overloom-test/text", "is no database, and not a backup of OVN_Northbound"),
        ("backup", "/var/backups/overloom-test/text", "is no database, and not a backup of OVN_Northbound"),
        ("backup", "nb.db", "nb.db is a relative path"),
    ):
        assert said in host.module("ovn_database", {option: file}, ok=False)["msg"]
    assert host.run(["cat", "/var/backups/overloom-test/text"]) == "not mine\n"
    schema = host.run(["cat", "/usr/share/ovn/ovn-nb.ovsschema"])
    host.write("/tmp/old.ovsschema", schema.replace('"version": "7.0.0"', '"version": "6.9.9"'))
    host.run(["ovsdb-tool", "create", "/var/backups/overloom-test/old", "/tmp/old.ovsschema"])
    old = {"restore": "/var/backups/overloom-test/old", "force": True}
    told = host.module("ovn_database", old, ok=False)["msg"]
    assert "has the schema 6.9.9, and the database 7.0.0; convert a copy" in told and _held(host) == wanted
    both = host.module("ovn_database", {"backup": path, "southbound": []}, ok=False)
    assert "backup and southbound are given in one task" in both["msg"]
    host.run(["rm", "-r", "/var/backups/overloom-test", "/tmp/old.ovsschema"])


def _held(host: Host) -> dict[str, t.Any]:
    """The objects of all owners."""
    return t.cast("dict[str, t.Any]", host.module("ovn_info", {"gather": ["northbound"]})["northbound"])
