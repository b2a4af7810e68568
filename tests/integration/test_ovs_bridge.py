# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ovs_bridge against a real Open vSwitch."""

from __future__ import annotations

import json
import time
import typing as t

import harness
import pytest
from harness import wait
from netns import ping
from ovs import bridges, column, exit_switch, ports, unseen, veth

if t.TYPE_CHECKING:
    from harness import Host

BR = {"name": "br0", "datapath_type": "netdev"}

# option -> (value, another value, the clearing value), (table, column, key), what the table holds after each of the three
BRIDGE_CASES = [
    ("fail_mode", "secure", "standalone", "", "fail_mode", None, "secure", "standalone", []),
    (
        "mac",
        "02:00:00:00:00:01",
        "02:00:00:00:00:AB",
        "",
        "other_config",
        "hwaddr",
        "02:00:00:00:00:01",
        "02:00:00:00:00:ab",
        None,
    ),
    ("datapath_id", "0x1", "00000000000000ff", "", "other_config", "datapath-id", "0x1", "00000000000000ff", None),
    ("description", "a b", "x=y", "", "other_config", "dp-desc", "a b", "x=y", None),
    ("serial_number", "1", "2", "", "other_config", "dp-sn", "1", "2", None),
    ("in_band_queue", 1, 2, "", "other_config", "in-band-queue", "1", "2", None),
    ("controller_queue_size", 10, 20, "", "other_config", "controller-queue-size", "10", "20", None),
    (
        "protocols",
        ["OpenFlow13"],
        ["OpenFlow15", "OpenFlow10"],
        [],
        "protocols",
        None,
        "OpenFlow13",
        ["OpenFlow10", "OpenFlow15"],
        [],
    ),
    ("disable_in_band", True, False, None, "other_config", "disable-in-band", "true", "false", None),
    ("flood_vlans", [5], [5, "7-9"], [], "flood_vlans", None, 5, [5, 7, 8, 9], []),
    ("forward_bpdu", True, False, None, "other_config", "forward-bpdu", "true", "false", None),
    ("mac_aging_time", 30, 300, "", "other_config", "mac-aging-time", "30", "300", None),
    ("mac_table_size", 100, 200, "", "other_config", "mac-table-size", "100", "200", None),
    ("stp", True, False, None, "stp_enable", None, True, False, None),
    (
        "stp_system_id",
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
        "",
        "other_config",
        "stp-system-id",
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
        None,
    ),
    ("stp_priority", 0, 4096, "", "other_config", "stp-priority", "0", "4096", None),
    ("stp_hello_time", 1, 2, "", "other_config", "stp-hello-time", "1", "2", None),
    ("stp_max_age", 6, 40, "", "other_config", "stp-max-age", "6", "40", None),
    ("stp_forward_delay", 4, 30, "", "other_config", "stp-forward-delay", "4", "30", None),
    ("rstp", True, False, None, "rstp_enable", None, True, False, None),
    (
        "rstp_address",
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
        "",
        "other_config",
        "rstp-address",
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
        None,
    ),
    ("rstp_priority", 4096, "8192", "", "other_config", "rstp-priority", "4096", "8192", None),
    ("rstp_max_age", 6, 40, "", "other_config", "rstp-max-age", "6", "40", None),
    ("rstp_forward_delay", 4, 30, "", "other_config", "rstp-forward-delay", "4", "30", None),
    ("rstp_force_protocol_version", 0, 2, "", "other_config", "rstp-force-protocol-version", "0", "2", None),
    ("rstp_transmit_hold_count", 1, 10, "", "other_config", "rstp-transmit-hold-count", "1", "10", None),
    ("mcast_snooping", True, False, None, "mcast_snooping_enable", None, True, False, None),
    ("mcast_snooping_aging_time", 30, 300, "", "other_config", "mcast-snooping-aging-time", "30", "300", None),
    ("mcast_snooping_table_size", 10, 20, "", "other_config", "mcast-snooping-table-size", "10", "20", None),
    (
        "mcast_snooping_disable_flood_unregistered",
        True,
        False,
        None,
        "other_config",
        "mcast-snooping-disable-flood-unregistered",
        "true",
        "false",
        None,
    ),
    ("other_config", {"a": "1"}, {"b": "x y"}, {}, "other_config", None, {"a": "1"}, {"b": "x y"}, {}),
]

BFD = (
    {
        "enable": True,
        "min_rx": 500,
        "min_tx": 600,
        "mult": 4,
        "decay_min_rx": 1000,
        "forwarding_if_rx": True,
        "cpath_down": True,
        "check_tnl_key": True,
        "oam": True,
        "bfd_local_src_mac": "02:00:00:00:00:01",
        "bfd_local_dst_mac": "02:00:00:00:00:02",
        "bfd_remote_dst_mac": "02:00:00:00:00:03",
        "bfd_src_ip": "192.0.2.1",
        "bfd_dst_ip": "192.0.2.2",
    },
    {
        "enable": False,
        "min_rx": 100,
        "min_tx": 200,
        "mult": 5,
        "decay_min_rx": 300,
        "forwarding_if_rx": False,
        "cpath_down": False,
        "check_tnl_key": False,
        "oam": False,
        "bfd_local_src_mac": "02:00:00:00:00:04",
        "bfd_local_dst_mac": "02:00:00:00:00:05",
        "bfd_remote_dst_mac": "02:00:00:00:00:06",
        "bfd_src_ip": "192.0.2.3",
        "bfd_dst_ip": "192.0.2.4",
    },
)


def as_text(declared: dict[str, t.Any]) -> dict[str, str]:
    """A map as the database holds it."""
    return {key: str(value).lower() for key, value in declared.items()}


PORT_CASES = [
    ("tag", 10, "20", "", "Port", "tag", None, 10, 20, []),
    ("trunks", [10, "20-22"], ["5"], [], "Port", "trunks", None, [10, 20, 21, 22], 5, []),
    ("vlan_mode", "trunk", "native-tagged", "", "Port", "vlan_mode", None, "trunk", "native-tagged", []),
    ("cvlans", [1, 2], ["3-4"], [], "Port", "cvlans", None, [1, 2], [3, 4], []),
    ("qinq_ethtype", "802.1q", "802.1ad", "", "Port", "other_config", "qinq-ethtype", "802.1q", "802.1ad", None),
    ("priority_tags", "always", "never", "", "Port", "other_config", "priority-tags", "always", "never", None),
    ("protected", True, False, None, "Port", "protected", None, True, False, None),
    ("stp", False, True, None, "Port", "other_config", "stp-enable", "false", "true", None),
    ("stp_port_num", 1, 2, "", "Port", "other_config", "stp-port-num", "1", "2", None),
    ("stp_port_priority", 1, 2, "", "Port", "other_config", "stp-port-priority", "1", "2", None),
    ("stp_path_cost", 1, 2, "", "Port", "other_config", "stp-path-cost", "1", "2", None),
    ("rstp", False, True, None, "Port", "other_config", "rstp-enable", "false", "true", None),
    ("rstp_port_num", 1, 2, "", "Port", "other_config", "rstp-port-num", "1", "2", None),
    ("rstp_mcheck", True, False, None, "Port", "other_config", "rstp-port-mcheck", "true", "false", None),
    ("rstp_port_priority", 16, 32, "", "Port", "other_config", "rstp-port-priority", "16", "32", None),
    ("rstp_path_cost", 1, 2, "", "Port", "other_config", "rstp-path-cost", "1", "2", None),
    ("rstp_admin_edge", True, False, None, "Port", "other_config", "rstp-port-admin-edge", "true", "false", None),
    ("rstp_auto_edge", False, True, None, "Port", "other_config", "rstp-port-auto-edge", "false", "true", None),
    ("mcast_snooping_flood", True, False, None, "Port", "other_config", "mcast-snooping-flood", "true", "false", None),
    (
        "mcast_snooping_flood_reports",
        True,
        False,
        None,
        "Port",
        "other_config",
        "mcast-snooping-flood-reports",
        "true",
        "false",
        None,
    ),
    ("bond_mode", "balance-slb", "active-backup", "", "Port", "bond_mode", None, "balance-slb", "active-backup", []),
    ("bond_updelay", 100, 200, "", "Port", "bond_updelay", None, 100, 200, 0),
    ("bond_downdelay", 100, 200, "", "Port", "bond_downdelay", None, 100, 200, 0),
    ("bond_primary", "p0", "p1", "", "Port", "other_config", "bond-primary", "p0", "p1", None),
    (
        "bond_detect_mode",
        "miimon",
        "carrier",
        "",
        "Port",
        "other_config",
        "bond-detect-mode",
        "miimon",
        "carrier",
        None,
    ),
    ("bond_miimon_interval", 100, 200, "", "Port", "other_config", "bond-miimon-interval", "100", "200", None),
    ("bond_rebalance_interval", 0, 2000, "", "Port", "other_config", "bond-rebalance-interval", "0", "2000", None),
    ("bond_hash_basis", 1, 2, "", "Port", "other_config", "bond-hash-basis", "1", "2", None),
    ("bond_lb_output_action", True, False, None, "Port", "other_config", "lb-output-action", "true", "false", None),
    ("bond_all_members_active", True, False, None, "Port", "other_config", "all-members-active", "true", "false", None),
    ("bond_fake_iface", True, False, None, "Port", "bond_fake_iface", None, True, False, None),
    (
        "bridge_mac",
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
        "",
        "Port",
        "mac",
        None,
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
        [],
    ),
    ("transient", True, False, None, "Port", "other_config", "transient", "true", "false", None),
    ("lacp", "active", "passive", "", "Port", "lacp", None, "active", "passive", []),
    ("lacp_time", "fast", "slow", "", "Port", "other_config", "lacp-time", "fast", "slow", None),
    ("lacp_fallback_ab", True, False, None, "Port", "other_config", "lacp-fallback-ab", "true", "false", None),
    (
        "lacp_system_id",
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
        "",
        "Port",
        "other_config",
        "lacp-system-id",
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
        None,
    ),
    ("lacp_system_priority", 1, 2, "", "Port", "other_config", "lacp-system-priority", "1", "2", None),
    ("lacp_port_id", 1, 2, "", "Interface", "other_config", "lacp-port-id", "1", "2", None),
    ("lacp_port_priority", 1, 2, "", "Interface", "other_config", "lacp-port-priority", "1", "2", None),
    ("lacp_aggregation_key", 1, 2, "", "Interface", "other_config", "lacp-aggregation-key", "1", "2", None),
    ("cfm_ccm_vlan", 1, 2, "", "Interface", "other_config", "cfm_ccm_vlan", "1", "2", None),
    ("cfm_ccm_pcp", 1, 2, "", "Interface", "other_config", "cfm_ccm_pcp", "1", "2", None),
    ("mtu", 1400, 1300, "", "Interface", "mtu_request", None, 1400, 1300, []),
    (
        "mac",
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
        "",
        "Interface",
        "mac",
        None,
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
        [],
    ),
    ("ofport_request", 100, 200, "", "Interface", "ofport_request", None, 100, 200, []),
    ("ingress_policing_rate", 1000, 2000, "", "Interface", "ingress_policing_rate", None, 1000, 2000, 0),
    ("ingress_policing_burst", 100, 200, "", "Interface", "ingress_policing_burst", None, 100, 200, 0),
    ("ingress_policing_kpkts_rate", 10, 20, "", "Interface", "ingress_policing_kpkts_rate", None, 10, 20, 0),
    ("ingress_policing_kpkts_burst", 1, 2, "", "Interface", "ingress_policing_kpkts_burst", None, 1, 2, 0),
    ("lldp", True, False, None, "Interface", "lldp", "enable", "true", "false", None),
    ("bfd", *BFD, {}, "Interface", "bfd", None, *map(as_text, BFD), {}),
    ("cfm_mpid", 1, 2, "", "Interface", "cfm_mpid", None, 1, 2, []),
    ("cfm_interval", 100, 1000, "", "Interface", "other_config", "cfm_interval", "100", "1000", None),
    ("cfm_extended", True, False, None, "Interface", "other_config", "cfm_extended", "true", "false", None),
    ("cfm_demand", True, False, None, "Interface", "other_config", "cfm_demand", "true", "false", None),
    ("cfm_opstate", "down", "up", "", "Interface", "other_config", "cfm_opstate", "down", "up", None),
    ("options", {"a": "1"}, {"b": "2"}, {}, "Interface", "options", None, {"a": "1"}, {"b": "2"}, {}),
    ("other_config", {"a": "1"}, {"b": "2"}, {}, "Port", "other_config", None, {"a": "1"}, {"b": "2"}, {}),
    ("interface_other_config", {"a": "1"}, {"b": 2}, {}, "Interface", "other_config", None, {"a": "1"}, {"b": "2"}, {}),
    (
        "interface_external_ids",
        {"a": True},
        {"b": "2"},
        {},
        "Interface",
        "external_ids",
        None,
        {"a": "true"},
        {"b": "2"},
        {},
    ),
]


def holds(host: Host, table: str, record: str, name: str, key: str | None) -> t.Any:
    """A column, or a key of its map; None if that is not there."""
    value = column(host, table, record, name)
    return value if key is None else value.get(key)


def run_cases(
    host: Host,
    cases: list[tuple[t.Any, ...]],
    declare: t.Callable[[dict[str, t.Any]], dict[str, t.Any]],
    skip: t.Container[str],
    module: str = "ovs_bridge",
) -> None:
    """Set all options in one call, change all, clear all; after each the database holds what was said."""
    for step in range(3):
        chosen = [case for case in cases if case[0] not in skip and case[1 + step] is not None]
        if not chosen:
            continue
        done = host.apply(module, declare({case[0]: case[1 + step] for case in chosen}))
        # What fail_mode and datapath_type would drop of a bridge's flows, groups and meters is read before.
        assert done["changed"] and len(done["commands"]) == 1 and done["spawned"] in (3, 6)
        for case in chosen:
            table, record, name, key = case[4:8]
            assert holds(host, table, record, name, key) == case[8 + step], case[0]
        assert not host.module(module, declare({}))["changed"], "what is left out stays"


def test_every_option_of_a_bridge_is_set_changed_and_cleared(host: Host) -> None:
    cases = [(*case[:4], "Bridge", "br0", *case[4:]) for case in BRIDGE_CASES]
    host.module("ovs_bridge", BR)
    # The two spanning trees exclude each other, so one of them waits for a second round.
    run_cases(host, cases, lambda options: {"name": "br0", **options}, ("rstp", "other_config"))
    run_cases(host, [case for case in cases if case[0] == "rstp"], lambda options: {"name": "br0", **options}, ())
    host.module("ovs_bridge", {"name": "br0", "state": "absent"})
    host.module("ovs_bridge", BR)
    run_cases(
        host, [case for case in cases if case[0] == "other_config"], lambda options: {"name": "br0", **options}, ()
    )


def test_every_option_of_a_port_is_set_changed_and_cleared(host: Host) -> None:
    cases = [(*case[:5], "p0", *case[5:]) for case in PORT_CASES]
    maps = ("other_config", "interface_other_config")

    def declare(options: dict[str, t.Any]) -> dict[str, t.Any]:
        return {"name": "br0", "ports": [{"name": "p0", **options}]}

    host.module("ovs_bridge", {**BR, "ports": [{"name": "p0", "type": "internal"}]})
    run_cases(host, cases, declare, (*maps, "trunks"))
    run_cases(host, [case for case in cases if case[0] == "trunks"], declare, ())
    host.module("ovs_bridge", {**BR, "ports": [{"name": "p0", "state": "absent"}]})
    host.module("ovs_bridge", {**BR, "ports": [{"name": "p0", "type": "internal"}]})
    run_cases(host, [case for case in cases if case[0] in maps], declare, ())


def test_a_bridge_comes_and_goes(host: Host) -> None:
    done = host.apply("ovs_bridge", BR)
    assert done["changed"] and done["bridges"][0]["owner"] == "overloom.fabric"
    assert bridges(host) == ["br0"]
    host.apply("ovs_bridge", {"name": "br0", "state": "absent"})
    assert bridges(host) == []


def test_user_removes_a_bridge_that_is_not_there(host: Host) -> None:
    assert not host.apply("ovs_bridge", {"name": "br0", "state": "absent"})["changed"]


def test_user_leaves_fail_mode_out_on_a_bridge_that_has_one(host: Host) -> None:
    host.apply("ovs_bridge", {**BR, "fail_mode": "secure"})
    assert not host.apply("ovs_bridge", BR)["changed"]
    assert column(host, "Bridge", "br0", "fail_mode") == "secure"


def test_user_adds_external_ids_to_a_bridge_without_any(host: Host) -> None:
    host.run("ovs-vsctl add-br br0 -- set Bridge br0 datapath_type=netdev".split())
    assert host.apply("ovs_bridge", {"name": "br0", "external_ids": {"a": "b"}})["changed"]
    assert column(host, "Bridge", "br0", "external_ids").pop("a") == "b"


def test_user_clears_external_ids_and_the_marks_of_others_stay(host: Host) -> None:
    host.apply("ovs_bridge", {**BR, "external_ids": {"a": "b", "c": "d"}})
    host.run(["ovs-vsctl", "set", "Bridge", "br0", "external_ids:bridge-id=x"])
    host.apply("ovs_bridge", {"name": "br0", "external_ids": {"c": "e"}})
    marks = {"overloom-owner": "overloom.fabric", "overloom-module": "ovs_bridge", "bridge-id": "x"}
    assert column(host, "Bridge", "br0", "external_ids") == {"c": "e", **marks}
    host.apply("ovs_bridge", {"name": "br0", "external_ids": {}})
    assert column(host, "Bridge", "br0", "external_ids") == marks
    del marks["bridge-id"]
    for declared in ({"a": "b", "c": "d"}, {"c": "e"}, {}):
        host.apply(
            "ovs_bridge", {"name": "br0", "ports": [{"name": "p0", "type": "internal", "external_ids": declared}]}
        )
        assert column(host, "Port", "p0", "external_ids") == {**declared, **marks}


def test_user_leaves_the_tag_out_on_a_tagged_port(host: Host) -> None:
    veth(host, "v0")
    host.apply("ovs_bridge", {**BR, "ports": [{"name": "v0", "tag": 10}]})
    assert not host.apply("ovs_bridge", {**BR, "ports": [{"name": "v0"}]})["changed"]
    assert column(host, "Port", "v0", "tag") == 10


def test_user_changes_an_access_port_to_a_trunk(host: Host) -> None:
    veth(host, "v0")
    host.apply("ovs_bridge", {**BR, "ports": [{"name": "v0", "tag": 10}]})
    refused = host.module("ovs_bridge", {**BR, "ports": [{"name": "v0", "trunks": [10, 20]}]}, ok=False)
    assert "clear tag" in refused["msg"] and "port v0 of bridge br0" in refused["msg"]
    host.apply("ovs_bridge", {**BR, "ports": [{"name": "v0", "tag": "", "trunks": [10, 20]}]})
    assert column(host, "Port", "v0", "trunks") == [10, 20]


def test_user_names_a_port_that_sits_on_another_bridge_and_it_moves_with_its_attributes(host: Host) -> None:
    veth(host, "v0")
    both = [{"name": "br0", "datapath_type": "netdev"}, {"name": "br1", "datapath_type": "netdev"}]
    host.apply("ovs_bridge", {"bridges": both})
    host.apply("ovs_bridge", {"name": "br0", "ports": [{"name": "v0", "tag": 10, "external_ids": {"a": "b"}}]})
    done = host.apply(
        "ovs_bridge", {"name": "br1", "ports": [{"name": "v0", "trunks": [3], "vlan_mode": "native-tagged"}]}
    )
    assert len(done["commands"]) == 1
    assert ports(host, "br0") == [] and ports(host, "br1") == ["v0"]
    assert (column(host, "Port", "v0", "tag"), column(host, "Port", "v0", "trunks")) == (10, 3)
    assert column(host, "Port", "v0", "external_ids")["a"] == "b"
    assert column(host, "Interface", "v0", "ofport") > 0
    # Said as absent here and present there, it is the same move.
    items = [{"name": "br1", "ports": [{"name": "v0", "state": "absent"}]}, {"name": "br0", "ports": [{"name": "v0"}]}]
    host.apply("ovs_bridge", {"bridges": items})
    assert ports(host, "br0") == ["v0"] and ports(host, "br1") == []


def test_a_port_that_moves_away_survives_the_removal_of_its_bridge(host: Host) -> None:
    veth(host, "v0")
    host.apply("ovs_bridge", {**BR, "ports": [{"name": "v0", "tag": 10}]})
    host.apply(
        "ovs_bridge",
        {"bridges": [{"name": "br0", "state": "absent"}, {**BR, "name": "br1", "ports": [{"name": "v0"}]}]},
    )
    assert bridges(host) == ["br1"] and column(host, "Port", "v0", "tag") == 10


AWKWARD = [
    "a b",
    '"',
    "'",
    "=",
    "--",
    ",",
    "{}",
    "[]",
    "a\nb",
    "; rm -rf /",
    "$(reboot)",
    "`id`",
    "\\",
    "ü€😀",
    "",
    "true",
    "x:y",
    "a=b,c=d",
    "\t",
    "\x01",
    "@x",
    "*",
    "%s",
    "-1",
]


def test_user_gives_values_with_quotes_equals_signs_and_spaces_and_finds_them_as_they_are(host: Host) -> None:
    wanted = {text: text for text in AWKWARD}
    port = {"name": "p0", "type": "internal", "external_ids": wanted, "options": wanted}
    host.apply("ovs_bridge", {**BR, "external_ids": wanted, "other_config": wanted, "ports": [port]})
    held = column(host, "Bridge", "br0", "external_ids")
    assert {key: held.get(key) for key in wanted} == wanted
    assert column(host, "Bridge", "br0", "other_config") == wanted
    assert column(host, "Interface", "p0", "options") == wanted
    host.apply("ovs_bridge", {**BR, "external_ids": {}, "other_config": {}})
    assert column(host, "Bridge", "br0", "other_config") == {}


@pytest.mark.parametrize(
    ("value", "said"), [("a\0b", "null byte"), ("\ud800", "UTF-8"), ([1], "not a string"), (None, "not a string")]
)
def test_what_the_database_cannot_hold_is_refused(host: Host, value: t.Any, said: str) -> None:
    failed = host.module("ovs_bridge", {**BR, "external_ids": {"k": value}}, ok=False)
    assert said in failed["msg"] and "bridge br0" in failed["msg"] and "external_ids" in failed["msg"]
    assert bridges(host) == []


def test_a_bridge_without_the_kernel_datapath_fails_clearly_and_leaves_nothing(host: Host) -> None:
    failed = host.module("ovs_bridge", {"name": "br0", "ports": [{"name": "p0", "type": "internal"}]}, ok=False)
    assert (
        "bridge br0 could not be created by ovs-vswitchd: the kernel has no openvswitch datapath; set datapath_type: netdev"
        in failed["msg"]
    )
    assert bridges(host) == []


def test_a_port_that_moved_to_a_bridge_that_failed_moves_back(host: Host) -> None:
    host.apply("ovs_bridge", {**BR, "ports": [{"name": "p0", "type": "internal", "tag": 5}]})
    host.module("ovs_bridge", {"name": "br1", "ports": [{"name": "p0"}]}, ok=False)
    assert bridges(host) == ["br0"] and ports(host, "br0") == ["p0"] and column(host, "Port", "p0", "tag") == 5


def test_a_missing_interface_is_an_error_and_in_check_mode_a_warning(host: Host) -> None:
    args = {**BR, "ports": [{"name": "eth9"}]}
    foretold = host.module("ovs_bridge", args, check=True)
    assert foretold["changed"] and "no interface eth9" in str(foretold["warnings"])
    failed = host.module("ovs_bridge", args, ok=False)
    assert "port eth9 of bridge br0: there is no interface eth9 on this host" in failed["msg"]
    assert bridges(host) == [], "nothing has changed"


def test_an_interface_that_vanished_later_is_an_error(host: Host) -> None:
    veth(host, "v0")
    host.apply("ovs_bridge", {**BR, "ports": [{"name": "v0"}]})
    host.run(["ip", "link", "delete", "v0"])
    assert "v0" in host.module("ovs_bridge", {**BR, "ports": [{"name": "v0"}]}, ok=False)["msg"]


def test_a_patch_cable_between_two_bridges(host: Host) -> None:
    cable = [
        {**BR, "ports": [{"name": "to-br1", "type": "patch", "peer": "to-br0"}]},
        {**BR, "name": "br1", "ports": [{"name": "to-br0", "type": "patch", "peer": "to-br1"}]},
    ]
    host.apply("ovs_bridge", {"bridges": cable})
    assert column(host, "Interface", "to-br1", "options") == {"peer": "to-br0"}
    cable[0]["ports"][0]["peer"] = "other"
    cable[1]["ports"] = [{"name": "to-br0", "state": "absent"}, {"name": "other", "type": "patch", "peer": "to-br1"}]
    host.apply("ovs_bridge", {"bridges": cable})
    assert column(host, "Interface", "to-br1", "options") == {"peer": "other"} and ports(host, "br1") == ["other"]
    wait(
        lambda: column(host, "Interface", "to-br1", "error") == [],
        "a cable without an error",
        look=lambda: host.run(["ovs-vsctl", "list", "Interface"]),
    )


def test_a_port_changes_its_type(host: Host) -> None:
    for port in ({"type": "internal"}, {"type": "tap"}, {"type": "internal", "addresses": ["192.0.2.1/24"]}):
        host.apply("ovs_bridge", {**BR, "ports": [{"name": "p0", **port}]})
        assert column(host, "Interface", "p0", "type") == port["type"] and column(host, "Interface", "p0", "ofport") > 0
    veth(host, "v0")
    host.apply("ovs_bridge", {**BR, "ports": [{"name": "v0", "type": "system"}]})
    assert not host.apply("ovs_bridge", {**BR, "ports": [{"name": "v0", "type": ""}]})["changed"], "which is the same"


def test_a_patch_port_whose_peer_is_missing_fails_and_is_taken_back(host: Host) -> None:
    host.apply("ovs_bridge", BR)
    failed = host.module("ovs_bridge", {**BR, "ports": [{"name": "p1", "type": "patch", "peer": "p2"}]}, ok=False)
    assert "port p1 of bridge br0" in failed["msg"] and "both patch ports in the same call" in failed["msg"]
    assert ports(host, "br0") == []
    assert (
        "peer is missing"
        in host.module("ovs_bridge", {**BR, "ports": [{"name": "p1", "type": "patch"}]}, ok=False)["msg"]
    )


def test_a_bond_and_its_members(host: Host) -> None:
    veth(host, "v0", "v1", "v2")
    bond = {
        "name": "bond0",
        "members": ["v1", "v0"],
        "bond_mode": "active-backup",
        "lacp": "active",
        "lacp_time": "fast",
    }
    host.apply("ovs_bridge", {**BR, "ports": [bond]})
    assert host.run(["ovs-vsctl", "list-ifaces", "br0"]).split() == ["v0", "v1"]
    number = column(host, "Interface", "v0", "ofport")
    done = host.apply("ovs_bridge", {**BR, "ports": [{**bond, "members": ["v0", "v2"]}]})
    assert done["bridges"][0]["ports"][1]["members"] == ["v0", "v2"]
    assert column(host, "Interface", "v0", "ofport") == number, "the member that stays was not touched"
    failed = host.module("ovs_bridge", {**BR, "ports": [bond, {"name": "v0"}]}, ok=False)
    assert "v0" in failed["msg"]


def test_the_local_port_of_a_bridge_is_named_like_the_bridge(host: Host) -> None:
    host.apply("ovs_bridge", {**BR, "ports": [{"name": "br0", "tag": 10, "mtu": 1400}]})
    assert column(host, "Port", "br0", "tag") == 10
    assert "1400" in host.run(["ip", "link", "show", "br0"])
    assert (
        "cannot be absent"
        in host.module("ovs_bridge", {**BR, "ports": [{"name": "br0", "state": "absent"}]}, ok=False)["msg"]
    )


def test_controllers_are_made_so(host: Host) -> None:
    for targets in (["tcp:127.0.0.1:6653"], ["ptcp:6654", "tcp:127.0.0.1:6653"], []):
        declared = [{"target": target} for target in targets]
        done = host.apply("ovs_bridge", {**BR, "controllers": declared})
        assert sorted(host.run(["ovs-vsctl", "get-controller", "br0"]).split()) == targets
        assert done["bridges"][0]["controllers"] == declared


def test_purge_removes_own_bridges_and_ports_and_nothing_else(host: Host) -> None:
    veth(host, "v0", "v1", "v2")
    host.apply(
        "ovs_bridge",
        {"bridges": [{**BR, "ports": [{"name": "v0"}, {"name": "v1"}]}, {**BR, "name": "br1"}, {**BR, "name": "br2"}]},
    )
    host.run(
        "ovs-vsctl add-br foreign -- set Bridge foreign datapath_type=netdev -- add-port br0 v2 -- add-port br2 v2p".split()
    )
    host.apply(
        "ovs_tunnel", {"bridge": "br0", "name": "gre0", "type": "gre", "remote_ip": "192.0.2.1", "check_route": False}
    )
    host.apply("ovs_bridge", {**BR, "name": "other", "owner": "else"})
    args = {"bridges": [{**BR, "ports": [{"name": "v0"}]}], "purge": True}
    done = host.module("ovs_bridge", args)
    assert "bridge br2 is kept" in str(done["warnings"]) and "v2p" in str(done["warnings"])
    assert bridges(host) == ["br0", "br2", "foreign", "other"]
    assert ports(host, "br0") == ["gre0", "v0", "v2"]
    assert not host.module("ovs_bridge", args)["changed"]
    host.run(["ovs-vsctl", "del-port", "v2p", "--", "del-port", "v2"])
    host.apply("ovs_bridge", {"bridges": [], "purge": True})
    assert bridges(host) == ["foreign", "other"]


def test_what_others_made_is_configured_but_not_removed_unless_adopted(host: Host) -> None:
    host.run("ovs-vsctl add-br br0 -- set Bridge br0 datapath_type=netdev".split())
    done = host.apply("ovs_bridge", {"name": "br0", "fail_mode": "secure"})
    assert done["bridges"][0]["owner"] is None
    # Our own setting is taken back, the bridge stays.
    left = host.module("ovs_bridge", {"name": "br0", "state": "absent"})
    assert left["changed"] and "bridge br0 was there before it was adopted: it is given back" in left["warnings"][0]
    for check in (True, False):
        refused = host.module("ovs_bridge", {"name": "br0", "state": "absent"}, check=check, ok=False)
        assert refused["msg"].startswith(
            "bridge br0 was not made by this collection and stays; leave it out of the task"
        )
    assert not host.apply("ovs_bridge", {"bridges": [], "purge": True})["changed"]
    assert bridges(host) == ["br0"] and column(host, "Bridge", "br0", "fail_mode") == []
    host.apply("ovs_bridge", {"name": "br0", "adopt": True})
    failed = host.module("ovs_bridge", {"name": "br0", "owner": "else"}, ok=False)
    assert "belongs to the owner overloom.fabric" in failed["msg"]
    host.module("ovs_bridge", {"name": "br0", "state": "absent"})
    assert bridges(host) == ["br0"] and column(host, "Bridge", "br0", "external_ids") == {}
    host.apply("ovs_bridge", {"name": "br0", "state": "absent", "adopt": True})
    assert bridges(host) == []


def test_a_bridge_with_foreign_ports_is_not_removed_unless_adopted(host: Host) -> None:
    veth(host, "v0")
    host.apply("ovs_bridge", BR)
    host.run(["ovs-vsctl", "add-port", "br0", "v0"])
    assert "(v0)" in host.module("ovs_bridge", {"name": "br0", "state": "absent"}, ok=False)["msg"]
    host.apply("ovs_bridge", {"name": "br0", "state": "absent", "adopt": True})


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({"name": "a-name-over-15-b"}, "bridge: name 'a-name-over-15-b'"),
        ({"name": "a/b"}, "name 'a/b'"),
        ({"name": "a b"}, "name 'a b'"),
        ({"name": "-x"}, "name '-x'"),
        ({"name": "$(id)/"}, "name"),
        ({"name": "br0", "ports": [{"name": "p\n"}]}, "bridge br0: ports: name"),
        ({"name": "br0", "ports": [{"name": "p", "tag": 0}]}, "port p of bridge br0: tag is 0"),
        ({"name": "br0", "ports": [{"name": "p", "tag": 4095}]}, "port p of bridge br0: tag is 4095"),
        ({"name": "br0", "ports": [{"name": "p", "tag": "ten"}]}, "tag is 'ten'"),
        ({"name": "br0", "ports": [{"name": "p", "tag": True}]}, "tag is True"),
        ({"name": "br0", "ports": [{"name": "p", "trunks": ["20-10"]}]}, "trunks holds '20-10'"),
        ({"name": "br0", "ports": [{"name": "p", "trunks": [4095]}]}, "trunks holds 4095"),
        ({"name": "br0", "ports": [{"name": "p", "type": "internal", "vlan_mode": "access"}]}, "needs a VLAN"),
        ({"name": "br0", "ports": [{"name": "p", "type": "internal", "mac": "01:00:00:00:00:01"}]}, "mac is"),
        ({"name": "br0", "ports": [{"name": "p", "mtu": 10}]}, "mtu is 10"),
        ({"name": "br0", "ports": [{"name": "p", "type": "internal", "peer": "q"}]}, "peer applies only to type patch"),
        ({"name": "br0", "ports": [{"name": "p"}, {"name": "p"}]}, "declare it once"),
        ({"name": "br0", "other_config": {"hwaddr": "x"}}, "use mac"),
        ({"name": "br0", "external_ids": {"overloom-owner": "x"}}, "owner"),
        ({"name": "br0", "stp": True, "rstp": True}, "exclude each other"),
        ({"name": "br0", "mac": "x"}, "bridge br0: mac is 'x'"),
        ({"name": "br0", "datapath_id": "x"}, "datapath_id"),
        ({"name": "br0", "controllers": [{"target": "; reboot"}]}, "controllers ; reboot: target is '; reboot'"),
        ({"bridges": [{"name": "br0"}, {"name": "br0"}]}, "declared twice"),
        ({"name": "br0", "fail_mode": "none"}, "fail_mode"),
        ({"bridges": [], "fail_mode": "secure"}, "mutually exclusive"),
    ],
)
def test_a_wrong_input_is_one_sentence_and_changes_nothing(host: Host, args: dict[str, t.Any], said: str) -> None:
    failed = host.module("ovs_bridge", {**args} if "bridges" in args else {"datapath_type": "netdev", **args}, ok=False)
    assert said in failed["msg"], failed["msg"]
    assert "\n" not in failed["msg"]
    assert bridges(host) == []


def test_a_tunnel_is_not_turned_into_another_port(host: Host) -> None:
    host.apply("ovs_bridge", BR)
    host.apply(
        "ovs_tunnel", {"bridge": "br0", "name": "gre0", "type": "gre", "remote_ip": "192.0.2.1", "check_route": False}
    )
    failed = host.module("ovs_bridge", {**BR, "ports": [{"name": "gre0", "type": "internal"}]}, ok=False)
    assert "gre0" in failed["msg"] and "ovs_tunnel" in failed["msg"]


def test_a_stopped_database_is_one_sentence_that_names_the_service(host: Host) -> None:
    host.run(["systemctl", "stop", "openvswitch-switch", "ovs-vswitchd", "ovsdb-server"])
    try:
        failed = host.module("ovs_bridge", BR, ok=False)
    finally:
        host.run(["systemctl", "start", "openvswitch-switch"])
    assert "start the service openvswitch-switch" in failed["msg"] and "\n" not in failed["msg"]


def test_a_stopped_switch_is_one_sentence_and_the_next_run_converges(host: Host) -> None:
    exit_switch(host)
    try:
        failed = host.module("ovs_bridge", {**BR, "timeout": 3}, ok=False)
        again = host.module("ovs_bridge", {**BR, "timeout": 3}, ok=False)
    finally:
        host.run(["systemctl", "restart", "ovs-vswitchd"])
    assert "ovs-vswitchd has not taken up the last change" in again["msg"]
    assert "ovs-vswitchd did not answer in time (3 s)" in failed["msg"] and "\n" not in failed["msg"]
    host.module("ovs_bridge", BR)
    assert not host.apply("ovs_bridge", BR)["changed"]


def test_a_host_without_open_vswitch_is_one_sentence_that_names_the_package(host: Host) -> None:
    host.run(["mv", "/usr/bin/ovs-vsctl", "/usr/bin/ovs-vsctl.away"])
    try:
        failed = host.module("ovs_bridge", BR, ok=False)
    finally:
        host.run(["mv", "/usr/bin/ovs-vsctl.away", "/usr/bin/ovs-vsctl"])
    assert "install the package openvswitch-switch" in failed["msg"]


def test_user_asks_what_would_change_and_reads_it_in_the_words_of_the_options(host: Host) -> None:
    host.apply("ovs_bridge", {**BR, "ports": [{"name": "p0", "type": "internal", "tag": 10}]})
    diff = host.module("ovs_bridge", {**BR, "ports": [{"name": "p0", "tag": 20}]}, check=True, diff=True)["diff"]
    assert (diff["before"], diff["after"]) == ("port p0:\n  tag: 10\n", "port p0:\n  tag: 20\n")
    assert diff["data"] == {"before": {"port p0": {"tag": 10}}, "after": {"port p0": {"tag": 20}}}


def test_bridges_and_ports_are_there_after_a_reboot(host: Host) -> None:
    args = {**BR, "fail_mode": "secure", "ports": [{"name": "p0", "type": "internal", "tag": 10}]}
    host.apply("ovs_bridge", args)
    host.reboot()
    host.run(["systemctl", "is-system-running", "--wait"], ok=None)
    assert not host.module("ovs_bridge", args)["changed"]


def test_a_database_on_another_socket(host: Host) -> None:
    host.apply("ovs_bridge", {**BR, "database": "unix:/run/openvswitch/db.sock"})
    failed = host.module("ovs_bridge", {**BR, "database": "unix:/run/nowhere.sock"}, ok=False)
    assert "/run/nowhere.sock" in failed["msg"] and "cannot be reached" in failed["msg"]


def addresses(host: Host, name: str) -> list[str]:
    """The addresses of an interface, without those that the kernel made."""
    rows = json.loads(host.run(["ip", "-json", "address", "show", "dev", name]))
    return [
        f"{info['local']}/{info['prefixlen']}" for row in rows for info in row["addr_info"] if info["scope"] == "global"
    ]


TEP = {"name": "tep0", "type": "internal", "addresses": ["192.0.2.1/24", "2001:db8::1/64"]}


def test_addresses_of_an_internal_port_are_set_changed_and_cleared(host: Host) -> None:
    done = host.apply("ovs_bridge", {**BR, "ports": [TEP]})
    assert addresses(host, "tep0") == TEP["addresses"] == done["bridges"][0]["ports"][1]["addresses"]
    assert done["bridges"][0]["ports"][1]["up"] is True
    assert not host.module("ovs_bridge", {**BR, "ports": [{"name": "tep0"}]})["changed"], "what is left out stays"
    host.apply("ovs_bridge", {**BR, "ports": [{**TEP, "addresses": ["192.0.2.2/24"]}]})
    assert addresses(host, "tep0") == ["192.0.2.2/24"]
    host.run("ip address add 192.0.2.9/24 dev tep0".split())
    host.run("ip link set tep0 down".split())
    host.apply("ovs_bridge", {**BR, "ports": [{**TEP, "addresses": ["192.0.2.2/24"]}]})
    assert addresses(host, "tep0") == ["192.0.2.2/24"]
    for up in (False, True):
        done = host.apply("ovs_bridge", {**BR, "ports": [{**TEP, "addresses": ["192.0.2.2/24"], "up": up}]})
        assert done["bridges"][0]["ports"][1]["up"] is up
    host.apply("ovs_bridge", {**BR, "ports": [{**TEP, "addresses": [], "up": False}]})
    assert addresses(host, "tep0") == [] and not host.exists("/etc/systemd/system/overloom-port-tep0.service")


def test_a_new_mac_address_takes_no_address_along_and_none_stays_that_goes(host: Host) -> None:
    # Open vSwitch in user space takes the device down for a moment, and with it go its addresses of IPv6.
    two = [*TEP["addresses"], "2001:db8::2/64"]
    host.apply("ovs_bridge", {**BR, "ports": [{**TEP, "addresses": two}]})
    for mac, kept in (("02:00:00:00:00:0a", two), ("02:00:00:00:00:0b", two[:2]), ("02:00:00:00:00:0c", two[:1])):
        host.apply("ovs_bridge", {**BR, "ports": [{**TEP, "mac": mac, "addresses": kept}]})
        assert sorted(addresses(host, "tep0")) == sorted(kept)
        assert mac in host.run(["ip", "link", "show", "tep0"])


def test_a_nic_that_came_back_under_its_name_is_taken_anew(host: Host) -> None:
    nic = "ip link add nic type veth peer name eth0 netns far; ip link set nic up; ip -n far link set eth0 up; ip -n far address add 192.0.2.2/24 dev eth0"
    # Else the NIC answers for the address, too, with its own MAC address.
    host.run(["sh", "-ec", "ip netns add far; sysctl -qw net.ipv4.conf.all.arp_ignore=1; " + nic])
    args = {**BR, "ports": [{"name": "tep0", "type": "internal", "addresses": ["192.0.2.1/24"]}]}
    args["ports"].append({"name": "nic", "up": True, "external_ids": {"rack": "7"}})
    host.apply("ovs_bridge", args)
    ping(host, "far", "192.0.2.1")
    unseen(host, "ip link delete nic", nic)
    ping(host, "far", "192.0.2.1", ok=False)
    assert column(host, "Interface", "nic", "error") == [] and column(host, "Interface", "nic", "link_state") == "up"
    taken = host.apply("ovs_bridge", args)
    assert taken["diff"]["before"] == "port nic:\n  plugged: false\n"
    ping(host, "far", "192.0.2.1")
    assert column(host, "Port", "nic", "external_ids")["rack"] == "7"
    # So it is after a run that was interrupted in between.
    host.run(["ovs-vsctl", "set", "interface", "nic", "type=patch"])
    assert host.apply("ovs_bridge", args)["changed"]
    ping(host, "far", "192.0.2.1")
    host.run(["sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0"])


def unit_of_tep(host: Host) -> str:
    """What systemd says of the unit that gives the port its addresses."""
    return host.run(["systemctl", "status", "overloom-port-tep0"], ok=None)


def test_addresses_are_there_after_a_reboot_and_a_restart_of_the_switch(host: Host) -> None:
    args = {**BR, "ports": [TEP, {"name": "br0", "addresses": ["198.51.100.1/24"]}, {"name": "eth1", "up": True}]}
    host.apply("ovs_bridge", args)

    def settled() -> bool:
        return not host.module("ovs_bridge", args, check=True)["changed"]

    for disturb in (lambda: host.run(["systemctl", "restart", "ovs-vswitchd"]), host.reboot):
        disturb()
        wait(settled, "nothing left to do", look=lambda: unit_of_tep(host))
        assert addresses(host, "tep0") == TEP["addresses"] and addresses(host, "br0") == ["198.51.100.1/24"]


def test_a_port_that_comes_late_gets_its_addresses(host: Host) -> None:
    host.apply("ovs_bridge", {**BR, "ports": [TEP]})
    host.run("ip link set tep0 down".split())
    host.run("ip link set tep0 name late".split())
    host.run("ip address flush dev late".split())
    host.run(["systemctl", "restart", "overloom-port-tep0"], ok=None)
    assert addresses(host, "late") == []
    host.run("ip link set late name tep0".split())
    wait(lambda: addresses(host, "tep0") == TEP["addresses"], "its addresses", look=lambda: unit_of_tep(host))


def test_an_adopted_port_gets_its_addresses_back_and_loses_its_unit(host: Host) -> None:
    host.run("ovs-vsctl add-br br0 -- set Bridge br0 datapath_type=netdev".split())
    host.run("ovs-vsctl add-port br0 tep0 -- set Interface tep0 type=internal".split())
    host.run("ip link set tep0 up".split())
    host.run("ip address add 198.51.100.1/24 dev tep0".split())
    for restart in (False, True):
        host.apply("ovs_bridge", {**BR, "adopt": True, "ports": [TEP]})
        host.apply("ovs_bridge", {**BR, "ports": [{**TEP, "addresses": ["192.0.2.7/24"]}]})
        assert addresses(host, "tep0") == ["192.0.2.7/24"]
        if restart:
            host.run(["systemctl", "restart", "ovs-vswitchd"])
        host.apply("ovs_bridge", {"bridges": [], "purge": True})
        assert addresses(host, "tep0") == ["198.51.100.1/24"] and bridges(host) == ["br0"]
        assert "overloom" not in host.run(["ls", "-R", "/etc/systemd/system"])
    # Cleared, it gets its address back; not declared, it keeps what its owner gives it meanwhile.
    host.apply("ovs_bridge", {**BR, "adopt": True, "ports": [{"name": "tep0", "addresses": []}]})
    assert addresses(host, "tep0") == []
    host.apply("ovs_bridge", {"bridges": [], "purge": True})
    assert addresses(host, "tep0") == ["198.51.100.1/24"]
    host.apply("ovs_bridge", {**BR, "adopt": True, "ports": [{"name": "tep0", "up": True}]})
    host.run("ip address add 198.51.100.2/24 dev tep0".split())
    host.apply("ovs_bridge", {"bridges": [], "purge": True})
    assert addresses(host, "tep0") == ["198.51.100.1/24", "198.51.100.2/24"]


def test_a_port_that_moves_keeps_its_addresses(host: Host) -> None:
    host.module("ovs_bridge", {**BR, "ports": [TEP]})
    host.apply("ovs_bridge", {**BR, "name": "br1", "ports": [{"name": "tep0"}]})
    assert addresses(host, "tep0") == TEP["addresses"]


def test_the_unit_of_a_port_goes_with_the_port(host: Host) -> None:
    unit = "/etc/systemd/system/overloom-port-tep0.service"
    for gone in (
        {**BR, "ports": [{"name": "tep0", "state": "absent"}]},
        {"name": "br0", "state": "absent"},
        {"bridges": [], "purge": True},
    ):
        host.module("ovs_bridge", {**BR, "ports": [TEP]})
        assert host.exists(unit)
        host.apply("ovs_bridge", gone)
        assert not host.exists(unit)


def test_addresses_on_a_bridge_that_could_not_be_made_name_the_cause(host: Host) -> None:
    failed = host.module("ovs_bridge", {"name": "br0", "ports": [TEP]}, ok=False)
    assert "set datapath_type: netdev" in failed["msg"] and bridges(host) == []


@pytest.mark.parametrize(
    ("port", "said"),
    [
        ({**TEP, "addresses": ["192.0.2.1"]}, "port tep0 of bridge br0: addresses: '192.0.2.1'"),
        ({**TEP, "addresses": ["192.0.2.0/24"]}, "addresses"),
        ({**TEP, "addresses": ["x; reboot"]}, "addresses"),
        (
            {"name": "eth1", "addresses": ["192.0.2.1/24"]},
            "port eth1 of bridge br0: addresses applies only to type internal",
        ),
        ({"name": "p0", "type": "patch", "peer": "p1", "up": True}, "up does not apply to type patch"),
        ({**TEP, "mtu": 1000}, "IPv6"),
    ],
)
def test_addresses_that_cannot_be_are_refused(host: Host, port: dict[str, t.Any], said: str) -> None:
    failed = host.module("ovs_bridge", {**BR, "ports": [port]}, ok=False)
    assert said in failed["msg"] and bridges(host) == []


def test_a_run_that_is_killed_at_any_moment_is_made_good_by_the_next(host: Host) -> None:
    args = {"bridges": [{**BR, "ports": [TEP, {"name": "eth1", "up": True}]}], "purge": True}
    empty = {"bridges": [], "purge": True}
    started = time.monotonic()
    host.module("ovs_bridge", args)
    whole = time.monotonic() - started
    for step in range(8):
        for wanted in (empty, args):
            python = ["env", f"PYTHONPATH={host.library}", harness.PYTHON, "-c", harness.DRIVER, "ovs_bridge"]
            kill = ["timeout", "--signal=KILL", f"{whole * (0.3 + 0.1 * step):.3f}"]
            host.run([*kill, *python], ok=None, stdin=harness.module_input(wanted, check=False, diff=False))
        host.module("ovs_bridge", args)
        assert not host.apply("ovs_bridge", args)["changed"]
        assert addresses(host, "tep0") == TEP["addresses"]
    host.module("ovs_bridge", empty)
    assert bridges(host) == [] and not host.exists("/etc/systemd/system/overloom-port-tep0.service")
