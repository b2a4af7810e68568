# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No option without a test on a real switch, no column of its database without an option: what the tables of the other tests hold. Needs no host."""

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import typing as t

import harness
import pytest
import test_netns_veth
import test_ovs_bridge
import test_ovs_bridge_parts
import test_ovs_flow
import test_ovs_switch
import test_ovs_tunnel

from ansible_collections.overloom.fabric.plugins.module_utils._ovs import declaration as ovs_declaration
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import switch as _ovs_switch
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import tunnel as _ovs_tunnel
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import Option

MODULES = (
    "ovs_bridge",
    "ovs_switch",
    "ovs_tunnel",
    "ovs_flow",
    "netns_veth",
    "ovs_info",
    "ovs_bridge_info",
    "ovs_tunnel_info",
    "ovs_flow_info",
    "netns_info",
)
# The lists whose items have the options that a module has for one item.
ITEMS = {"ovs_bridge": "bridges", "ovs_tunnel": "tunnels", "ovs_flow": "flows", "netns_veth": "namespaces"}
# Lists of which what is left out of an item stays as it is; anywhere else it is as in a new one.
KEPT = ("ports", "groups", "meters", "interfaces")

Step = t.Dict[str, t.Any]


def by_steps(cases: t.Iterable[tuple[str, t.Sequence[t.Any]]]) -> list[list[Step]]:
    """For each (option, values) the steps that declare it."""
    return [[{option: value} for value in values] for option, values in cases]


def of_port(steps: list[list[Step]]) -> list[list[Step]]:
    return [[{"ports": [step]} for step in some] for some in steps]


PORT_STEPS = by_steps((case[0], case[1:4]) for case in test_ovs_bridge.PORT_CASES)
QOS_STEPS = [declared for declared, _held, _queues in test_ovs_bridge_parts.QOS]
# What tests declare in each module, step by step.
TABLES: dict[str, list[list[Step]]] = {
    "ovs_bridge": [
        *by_steps((case[0], case[1:4]) for case in test_ovs_bridge.BRIDGE_CASES),
        *by_steps((option, [step[0] for step in part[2]]) for option, part in test_ovs_bridge_parts.PARTS.items()),
        *of_port(PORT_STEPS),
        *of_port(by_steps([("qos", QOS_STEPS)])),
        *of_port([[{"interfaces": [declared]} for declared, _held in test_ovs_bridge_parts.MEMBER]]),
    ],
    "ovs_switch": [
        *by_steps((name, values) for name, _key, values, _held in test_ovs_switch.CASES),
        *by_steps([("managers", [declared for declared, _held in test_ovs_switch.MANAGERS])]),
        *by_steps([("datapaths", [declared for declared, _said in test_ovs_switch.DATAPATHS])]),
        *by_steps([("ssl", test_ovs_switch.SSL)]),
        *by_steps((name, [step[name] for step in test_ovs_switch.MAPS]) for name in ("other_config", "external_ids")),
    ],
    "ovs_tunnel": [
        *by_steps((option, values) for _types, option, values, _held in test_ovs_tunnel.CASES),
        *PORT_STEPS,
        *by_steps([("qos", QOS_STEPS)]),
    ],
    "ovs_flow": [
        [declared for declared, _printed in test_ovs_flow.STEPS],
        *([{"groups": [declared]} for declared, _printed in steps] for _kind, steps in test_ovs_flow.GROUPS),
        [{"meters": [declared]} for declared, _printed in test_ovs_flow.METERS],
    ],
    "netns_veth": [
        *(list(case) for case in test_netns_veth.CASES),
        *by_steps([("rules", test_netns_veth.RULES)]),
    ],
}

OWNERS = "test_what_others_made_is_configured_but_not_removed_unless_adopted"
PURGE = "test_purge_removes_own_bridges_and_ports_and_nothing_else"
TLS = "test_user_asks_for_another_database_by_tls_and_controls_a_bridge_by_tls"
COMES = "test_a_bridge_comes_and_goes"
FAKE = "test_a_fake_bridge_is_a_vlan_of_its_parent"
STOPPED = "test_a_stopped_switch_is_one_sentence_and_the_next_run_converges"
DATABASE = {
    "database": "test_user_asks_for_another_database_by_tcp",
    "timeout": STOPPED,
    **{f"database_{name}": TLS for name in ("private_key", "certificate", "ca_cert")},
}
# No machine of these tests has a NIC for it.
DPDK = "test_dpdk_is_passed_through_with_the_device_of_each_member"
XDP = "test_af_xdp_is_passed_through_or_its_refusal_is_an_error_that_leaves_nothing"
PASSED = {
    f"ports.{prefix}{name}": test
    for prefix in ("", "interfaces.")
    for name, test in (("dpdk_devargs", DPDK), ("vhost_server_path", DPDK), ("n_rxq", XDP), ("xdp_mode", XDP))
}
WHOLE = "test_groups_and_meters_come_before_their_users_and_go_after_them"
NETNS = "test_each_option_is_set_changed_and_cleared"
FLOWS = "test_one_flow_is_made_changed_and_removed_as_plain_options"
TUNNEL_FILTERS = "test_the_state_is_typed_and_filtered"
FLOW_FILTERS = "test_flows_are_read_by_table_cookie_and_match"
# Options whose values are not set, changed and cleared one after the other, because they say which thing, how, or what kind it is and stays,
# and the test that says what each does.
ELSEWHERE: dict[str, dict[str, str]] = {
    "ovs_bridge": {
        **DATABASE,
        **PASSED,
        "owner": OWNERS,
        "adopt": OWNERS,
        "purge": PURGE,
        "name": COMES,
        "state": COMES,
        "parent": FAKE,
        "vlan": FAKE,
        "datapath_type": "test_a_bridge_without_the_kernel_datapath_fails_clearly_and_leaves_nothing",
        "external_ids": "test_user_clears_external_ids_and_the_marks_of_others_stay",
        "ports": COMES,
        "ports.name": COMES,
        "ports.state": "test_the_qos_of_a_port_goes_with_the_port_and_with_the_bridge",
        "ports.type": "test_a_port_changes_its_type",
        "ports.peer": "test_a_patch_cable_between_two_bridges",
        "ports.members": "test_a_bond_and_its_members",
        "ports.addresses": "test_addresses_of_an_internal_port_are_set_changed_and_cleared",
        "ports.up": "test_addresses_of_an_internal_port_are_set_changed_and_cleared",
        "ports.external_ids": "test_user_clears_external_ids_and_the_marks_of_others_stay",
        "ports.interfaces": "test_each_option_of_a_member_is_set_changed_and_cleared",
        "ports.interfaces.name": "test_each_option_of_a_member_is_set_changed_and_cleared",
        "ports.interfaces.type": "test_each_option_of_a_member_is_set_changed_and_cleared",
    },
    "ovs_switch": {
        **DATABASE,
        "owner": "test_managers_are_set_changed_and_cleared_and_those_of_others_stay",
        "adopt": "test_a_setting_of_the_switch_that_others_made_is_changed_only_when_adopted_and_comes_back",
        "other_config": "test_other_settings_are_set_changed_and_removed_one_by_one",
        "external_ids": "test_other_settings_are_set_changed_and_removed_one_by_one",
    },
    "ovs_tunnel": {
        **DATABASE,
        "owner": "test_purge_removes_own_tunnels_and_nothing_else",
        "purge": "test_purge_removes_own_tunnels_and_nothing_else",
        "adopt": "test_user_gives_a_gre_port_made_by_hand_another_remote_ip",
        "name": "test_a_tunnel_comes_and_goes_over_both_families",
        "state": "test_a_tunnel_comes_and_goes_over_both_families",
        "bridge": "test_a_tunnel_on_another_bridge_moves",
        "type": "test_a_changed_type_makes_the_tunnel_anew_in_one_transaction",
        "check_route": "test_a_route_that_comes_up_later",
        "external_ids": "test_vlans_and_bfd_of_a_tunnel",
        "payload_type": "test_every_option_is_set_changed_and_cleared",
        "remote_ip": "test_every_option_is_set_changed_and_cleared",
        **dict.fromkeys(("srv6_segs", "srv6_flowlabel"), "test_srv6_is_passed_through_or_refused_by_name"),
    },
    "ovs_flow": {
        "bridge": FLOWS,
        "table": FLOWS,
        "priority": FLOWS,
        "match": FLOWS,
        "state": FLOWS,
        "flow": "test_another_spelling_is_no_change",
        "cookie": "test_user_declares_all_flows_of_a_bridge_a_table_or_a_cookie",
        "tables": "test_purge_keeps_to_the_tables",
        "purge": "test_purge_removes_only_what_is_ours_and_not_declared",
        "owner": "test_purge_removes_only_what_is_ours_and_not_declared",
        "adopt": "test_a_foreign_flow_is_configured_but_never_removed_unless_adopted",
        "persist": "test_persist_can_be_turned_off_and_on",
        "timeout": "test_a_daemon_that_hangs_is_a_clear_error_and_the_next_run_converges",
        **dict.fromkeys(
            ("groups", "groups.group", "groups.group_id", "meters", "meters.meter", "meters.meter_id"), WHOLE
        ),
        **{
            f"tlvs.{name}": "test_geneve_options_of_others_are_left_alone"
            for name in ("class", "type", "length", "field")
        },
        "tlvs": "test_flows_on_geneve_options_come_back_after_a_restart_and_a_reboot",
        "tlvs.state": "test_a_geneve_option_goes_with_its_flow_and_not_before",
        "groups.state": "test_a_group_of_somebody_else_stays",
        "groups.type": "test_each_option_of_a_group_is_set_changed_and_cleared",
        **{
            f"meters.{name}": "test_each_option_of_a_meter_is_set_changed_and_cleared"
            for name in ("state", "unit", "bands", "bands.rate")
        },
        **{
            f"meters.bands.{name}": "test_a_band_that_the_switch_cannot_do_is_refused_in_its_own_words"
            for name in ("type", "prec_level")
        },
    },
    "netns_veth": {
        "name": "test_a_namespace_is_made_as_declared_and_removed_without_a_trace",
        "state": "test_a_namespace_is_made_as_declared_and_removed_without_a_trace",
        "interface": "test_several_interfaces_make_a_router",
        "owner": "test_two_owners_share_a_host",
        "adopt": "test_a_foreign_veth_is_configured_and_removed_only_when_adopted",
        "purge": "test_purge_removes_what_is_no_longer_declared_and_nothing_else",
        "keep": "test_purge_leaves_what_is_kept_for_now",
        **dict.fromkeys(("mac", "mtu", "outer", "tx_checksum"), NETNS),
        **dict.fromkeys(("container", "engine"), "test_a_container_of_others_is_plugged_in_and_given_back"),
        "pid": "test_a_process_is_plugged_in_by_its_number",
        "virtual_addresses": "test_virtual_addresses_are_not_the_namespaces",
    },
    "ovs_info": {
        **DATABASE,
        **dict.fromkeys(("gather", "bridges", "owned", "owner"), "test_only_what_is_asked_for_is_read"),
    },
    "ovs_bridge_info": {**DATABASE, "name": TUNNEL_FILTERS, "owner": TUNNEL_FILTERS},
    "ovs_tunnel_info": {**DATABASE, **dict.fromkeys(("name", "bridge", "type", "owner"), TUNNEL_FILTERS)},
    "ovs_flow_info": {
        **dict.fromkeys(("bridge", "cookie", "gather", "match", "table"), FLOW_FILTERS),
        "owner": FLOW_FILTERS,
        "timeout": FLOW_FILTERS,
    },
    "netns_info": dict.fromkeys(("names", "owner"), "test_namespaces_are_chosen_by_exact_name_and_by_owner"),
}


# What users of other modules for Open vSwitch run into or ask for, each as a test.
HABITS = {
    "a failure leaves half a change": "test_user_gives_one_wrong_port_among_good_ones_and_nothing_of_the_change_happens",
    "a process for each attribute, and some when there is nothing to do": "test_user_sets_several_properties_of_a_bridge_and_its_ports_in_one_transaction",
    "fail_mode left out where there is one": "test_user_leaves_fail_mode_out_on_a_bridge_that_has_one",
    "external_ids where there are none": "test_user_adds_external_ids_to_a_bridge_without_any",
    "external_ids that are to be cleared": "test_user_clears_external_ids_and_the_marks_of_others_stay",
    "tag left out on a tagged port": "test_user_leaves_the_tag_out_on_a_tagged_port",
    "values with quotes, equals signs and spaces": "test_user_gives_values_with_quotes_equals_signs_and_spaces_and_finds_them_as_they_are",
    "another remote_ip of a port that was made by hand": "test_user_gives_a_gre_port_made_by_hand_another_remote_ip",
    "another type, key, or trunks": "test_user_changes_a_tunnel_by_hand_and_the_next_run_repairs_it",
    "another mode, LACP, or members of a bond": "test_user_changes_the_mode_the_lacp_and_the_members_of_a_bond_that_was_made_by_hand",
    "a port on another bridge": "test_user_names_a_port_that_sits_on_another_bridge_and_it_moves_with_its_attributes",
    "absent where there is no bridge": "test_user_removes_a_bridge_that_is_not_there",
    "mirrors": "test_user_mirrors_a_port_to_another",
    "QoS": "test_user_shapes_what_leaves_a_port_and_the_kernel_does_it",
    "a difference": "test_user_asks_what_would_change_and_reads_it_in_the_words_of_the_options",
    "what is no longer declared": "test_user_leaves_a_bridge_out_and_it_goes_with_purge",
    "ranges of VLANs": "test_user_gives_trunks_as_ranges_and_sees_them_as_ranges",
    "patch ports": "test_user_joins_two_bridges_by_patch_ports_in_one_call",
    "another socket of the database": "test_user_asks_for_another_database_by_tcp",
    "whole tables of flows": "test_user_declares_all_flows_of_a_bridge_a_table_or_a_cookie",
}


@pytest.fixture(scope="module")
def documents() -> dict[str, t.Any]:
    """The documentation of all modules, with what they share."""
    names = [f"overloom.fabric.{module}" for module in MODULES]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(harness.REPOSITORY / ".collections")}
    command = [str(pathlib.Path(sys.executable).parent / "ansible-doc"), "--json", "--type", "module", *names]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment).stdout)


def documented(documents: dict[str, t.Any], module: str) -> dict[str, Step]:
    """All options of a module by their paths, suboptions after a dot; those of a list of items once."""
    options = dict(documents[f"overloom.fabric.{module}"]["doc"]["options"])
    item = options.pop(ITEMS.get(module, ""), {}).get("suboptions", {})
    paths = flat(options)
    # What one item has and the module has not: of ovs_flow, the cookie of a flow is not that of the call.
    paths.update({path: option for path, option in flat(item).items() if path not in paths})
    return paths


def flat(options: dict[str, Step], prefix: str = "") -> dict[str, Step]:
    found = {}
    for name, option in options.items():
        found[prefix + name] = option
        found.update(flat(option.get("suboptions") or {}, f"{prefix}{name}."))
    return found


EMPTY = "empty"
UNDECLARED = "undeclared"


def value_at(step: t.Any, path: list[str], kept: bool = True) -> t.Any:
    """What a step declares at a path; several items of a list together."""
    if not path:
        return step
    name, rest = path[0], path[1:]
    if isinstance(step, list):
        found = [value_at(item, path, kept) for item in step]
        if rest:
            # Lists within lists are one.
            found = [inner for value in found for inner in (value if isinstance(value, list) else [value])]
        said = [value for value in found if value not in (EMPTY, UNDECLARED)]
        return said or (EMPTY if EMPTY in found or not kept else UNDECLARED)
    if step is None or step.get(name) is None:
        return UNDECLARED if kept else EMPTY
    return value_at(step[name], rest, kept and name in KEPT)


def proven(path: str, option: Step, tables: list[list[Step]]) -> bool:
    """Whether a table sets the option, then changes it, then clears it; a flag is cleared by being false."""
    for steps in tables:
        values = [value for value in (value_at(step, path.split(".")) for step in steps) if value != UNDECLARED]
        if option["type"] == "bool" and {"True", "False"} <= set(re.findall("True|False", str(values))):
            return True
        held = [value not in (EMPTY, None, "", [], {}, [""], [[]], [{}]) for value in values]
        # Of some numbers, 0 is the value that clears.
        cleared = [not told or value in (0, [0]) for told, value in zip(held, values)]
        for first, value in enumerate(values):
            if held[first] and any(
                held[n] and values[n] != value and any(cleared[n + 1 :]) for n in range(first + 1, len(values))
            ):
                return True
    return False


@pytest.mark.parametrize("module", MODULES)
def test_every_documented_option_is_set_changed_and_cleared_on_a_real_switch(
    documents: dict[str, t.Any], module: str
) -> None:
    paths, elsewhere = documented(documents, module), ELSEWHERE.get(module, {})
    assert not set(elsewhere) - set(paths), "options that are no more"
    missing = sorted(
        path
        for path, option in paths.items()
        if path not in elsewhere and not proven(path, option, TABLES.get(module, []))
    )
    assert not missing
    assert not [path for path in elsewhere if proven(path, paths[path], TABLES.get(module, []))], "the table does it"


def test_the_tests_that_are_named_here_are_there() -> None:
    files = [
        *(harness.REPOSITORY / "tests/integration").glob("test_*.py"),
        *(harness.REPOSITORY / "tests/unit/plugins/module_utils").glob("test_ovs*.py"),
    ]
    there = {name for file in files for name in re.findall(r"(?m)^def (test_\w+)", file.read_text(encoding="utf-8"))}
    assert not {name for tests in (*ELSEWHERE.values(), HABITS) for name in tests.values()} - there


# Columns that no option sets, and why.
STATUS = "Open vSwitch writes it"
PARTS = "what hangs here is declared as such"
MARK = "holds the owner mark"
WITHOUT: dict[str, dict[str, str]] = {
    "Open_vSwitch": {
        "bridges": PARTS,
        **dict.fromkeys(
            "cur_cfg next_cfg datapath_types dpdk_initialized dpdk_version iface_types statistics db_version ovs_version system_type system_version".split(),
            STATUS,
        ),
    },
    "Bridge": {
        "name": PARTS,
        "ports": PARTS,
        **dict.fromkeys("datapath_id datapath_version rstp_status status".split(), STATUS),
    },
    "Port": {
        "name": PARTS,
        "interfaces": PARTS,
        "fake_bridge": "the options parent and vlan of a bridge",
        **dict.fromkeys("bond_active_slave rstp_statistics rstp_status statistics status".split(), STATUS),
    },
    "Interface": {
        "name": PARTS,
        **dict.fromkeys(
            "admin_state bfd_status cfm_fault cfm_fault_status cfm_flap_count cfm_health cfm_remote_mpids cfm_remote_opstate duplex error ifindex "
            "lacp_current link_resets link_speed link_state mac_in_use mtu ofport statistics status".split(),
            STATUS,
        ),
    },
    "Flow_Sample_Collector_Set": {"bridge": PARTS, "external_ids": MARK},
    "Controller": {"external_ids": MARK, **dict.fromkeys("is_connected role status".split(), STATUS)},
    "Manager": {"external_ids": MARK, **dict.fromkeys("is_connected status".split(), STATUS)},
    "Mirror": {"external_ids": MARK, "statistics": STATUS},
    "Datapath": {"external_ids": MARK, **dict.fromkeys("capabilities datapath_version".split(), STATUS)},
    **{
        table: {"external_ids": MARK}
        for table in "Flow_Table QoS Queue NetFlow sFlow IPFIX SSL CT_Zone CT_Timeout_Policy".split()
    },
}


def reached(options: t.Iterable[Option]) -> set[tuple[str, str]]:
    """The columns that options set, and those that options within them set."""
    found = set()
    for option in options:
        found.add((option.table, option.column))
        for kind in (option.kind, getattr(option.kind, "_record", None)):
            within = [*getattr(kind, "options", ()), *filter(None, [getattr(kind, "_option", None)])]
            found |= reached(within)
    return found


def test_every_column_of_the_installed_database_is_reached_by_an_option_or_is_not_for_people_to_set() -> None:
    schema = json.loads(pathlib.Path("/usr/share/openvswitch/vswitch.ovsschema").read_text(encoding="utf-8"))
    columns = {(table, column) for table, row in schema["tables"].items() for column in row["columns"]}
    options = reached(
        [*ovs_declaration.BRIDGE_OPTIONS, *ovs_declaration.OPTIONS, *_ovs_tunnel.OPTIONS, *_ovs_switch.OPTIONS]
    )
    without = {(table, column) for table, reasons in WITHOUT.items() for column in reasons}
    assert sorted(columns - options - without) == [], "columns that nobody has thought of"
    assert sorted(without & options) == [] and sorted(without - columns) == []
