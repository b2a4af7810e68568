# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hangs from a bridge or a port in rows of its own, fake bridges, and bonds: ovs_bridge against a real Open vSwitch."""

from __future__ import annotations

import json
import re
import typing as t

import pytest
from harness import wait
from ovs import bridges, column, plain, ports, veth

if t.TYPE_CHECKING:
    from harness import Host

BR = {"name": "br0", "datapath_type": "netdev"}
INNER = {"name": "p0", "type": "internal"}


def rows(host: Host, table: str, *columns: str) -> list[dict[str, t.Any]]:
    """The rows of a table, without what is not set."""
    found = json.loads(host.run(["ovs-vsctl", "--format=json", f"--columns={','.join(columns)}", "list", table]))
    values = [{c: plain(v) for c, v in zip(found["headings"], row)} for row in found["data"]]
    return [{c: v for c, v in row.items() if v not in ([], {})} for row in values]


MARKS = {"overloom-owner": "overloom.fabric", "overloom-module": "ovs_bridge"}

# A key that is not there.
NONE: dict[str, t.Any] = {}
BRIDGE_PORTS = [INNER, {**INNER, "name": "p1"}]

# option -> (table, its columns, steps of (declared, what the table holds then)): each option within it is set, changed, left out, and
# then all of it is cleared.
PARTS: dict[str, tuple[str, tuple[str, ...], list[tuple[t.Any, list[dict[str, t.Any]]]]]] = {
    "controllers": (
        "Controller",
        (
            "target",
            "connection_mode",
            "inactivity_probe",
            "max_backoff",
            "other_config",
            "local_ip",
            "local_netmask",
            "local_gateway",
            "enable_async_messages",
            "controller_rate_limit",
            "controller_burst_limit",
            "controller_queue_size",
            "type",
        ),
        [
            (
                [
                    {
                        "target": "ptcp:16653:127.0.0.1",
                        "connection_mode": "out-of-band",
                        "inactivity_probe": 0,
                        "max_backoff": 1000,
                        "dscp": 5,
                        "local_ip": "192.0.2.1",
                        "local_netmask": "255.255.255.0",
                        "local_gateway": "192.0.2.9",
                        "enable_async_messages": True,
                        "rate_limit": 100,
                        "burst_limit": 25,
                        "queue_size": 10,
                        "type": "service",
                        "other_config": {"a": "b"},
                    }
                ],
                [
                    {
                        "target": "ptcp:16653:127.0.0.1",
                        "connection_mode": "out-of-band",
                        "inactivity_probe": 0,
                        "max_backoff": 1000,
                        "other_config": {"dscp": "5", "a": "b"},
                        "local_ip": "192.0.2.1",
                        "local_netmask": "255.255.255.0",
                        "local_gateway": "192.0.2.9",
                        "enable_async_messages": True,
                        "controller_rate_limit": 100,
                        "controller_burst_limit": 25,
                        "controller_queue_size": 10,
                        "type": "service",
                    }
                ],
            ),
            (
                [
                    {
                        "target": "ptcp:16654:127.0.0.1",
                        "connection_mode": "in-band",
                        "inactivity_probe": 5000,
                        "max_backoff": 2000,
                        "dscp": 6,
                        "local_ip": "192.0.2.2",
                        "local_netmask": "255.255.0.0",
                        "local_gateway": "192.0.2.8",
                        "enable_async_messages": False,
                        "rate_limit": 200,
                        "burst_limit": 50,
                        "queue_size": 20,
                        "type": "primary",
                        "other_config": {"c": "d"},
                    }
                ],
                [
                    {
                        "target": "ptcp:16654:127.0.0.1",
                        "connection_mode": "in-band",
                        "inactivity_probe": 5000,
                        "max_backoff": 2000,
                        "other_config": {"dscp": "6", "c": "d"},
                        "local_ip": "192.0.2.2",
                        "local_netmask": "255.255.0.0",
                        "local_gateway": "192.0.2.8",
                        "enable_async_messages": False,
                        "controller_rate_limit": 200,
                        "controller_burst_limit": 50,
                        "controller_queue_size": 20,
                        "type": "primary",
                    }
                ],
            ),
            ([{"target": "ptcp:16654:127.0.0.1"}], [{"target": "ptcp:16654:127.0.0.1"}]),
            ([], []),
        ],
    ),
    "mirrors": (
        "Mirror",
        ("name", "select_all", "select_vlan", "output_vlan", "snaplen"),
        [
            (
                [
                    {
                        "name": "rspan",
                        "select_all": True,
                        "select_vlans": [5, "7-8"],
                        "output_vlan": 99,
                        "snaplen": 64,
                        "select_src_ports": ["p0"],
                        "select_dst_ports": ["p0"],
                    }
                ],
                [{"name": "rspan", "select_all": True, "select_vlan": [5, 7, 8], "output_vlan": 99, "snaplen": 64}],
            ),
            (
                [
                    {
                        "name": "rspan",
                        "select_all": False,
                        "select_vlans": [6, "8-9"],
                        "output_vlan": 98,
                        "snaplen": 128,
                        "select_src_ports": ["p1"],
                        "select_dst_ports": ["p0", "p1"],
                    }
                ],
                [{"name": "rspan", "select_all": False, "select_vlan": [6, 8, 9], "output_vlan": 98, "snaplen": 128}],
            ),
            ([{"name": "span", "output_port": "p0"}], [{"name": "span", "select_all": False}]),
            ([{"name": "span", "output_port": "p1"}], [{"name": "span", "select_all": False}]),
            ([{"name": "span", "output_vlan": 98}], [{"name": "span", "select_all": False, "output_vlan": 98}]),
            ([], []),
        ],
    ),
    "netflow": (
        "NetFlow",
        ("targets", "active_timeout", "engine_type", "engine_id", "add_id_to_interface"),
        [
            (
                {
                    "targets": ["127.0.0.1:12055"],
                    "active_timeout": -1,
                    "engine_type": 1,
                    "engine_id": 2,
                    "add_id_to_interface": True,
                },
                [
                    {
                        "targets": "127.0.0.1:12055",
                        "active_timeout": -1,
                        "engine_type": 1,
                        "engine_id": 2,
                        "add_id_to_interface": True,
                    }
                ],
            ),
            (
                {
                    "targets": ["127.0.0.1:12056"],
                    "active_timeout": 60,
                    "engine_type": 3,
                    "engine_id": 4,
                    "add_id_to_interface": False,
                },
                [
                    {
                        "targets": "127.0.0.1:12056",
                        "active_timeout": 60,
                        "engine_type": 3,
                        "engine_id": 4,
                        "add_id_to_interface": False,
                    }
                ],
            ),
            (
                {"targets": ["127.0.0.1:12055"]},
                [{"targets": "127.0.0.1:12055", "active_timeout": 0, "add_id_to_interface": False}],
            ),
            ({}, []),
        ],
    ),
    "sflow": (
        "sFlow",
        ("targets", "agent", "sampling", "polling", "header"),
        [
            (
                {
                    "targets": ["127.0.0.1:16343", "127.0.0.2"],
                    "agent": "lo",
                    "sampling": 64,
                    "polling": 10,
                    "header": 128,
                },
                [
                    {
                        "targets": ["127.0.0.1:16343", "127.0.0.2"],
                        "agent": "lo",
                        "sampling": 64,
                        "polling": 10,
                        "header": 128,
                    }
                ],
            ),
            (
                {"targets": ["127.0.0.1:16344"], "agent": "eth1", "sampling": 32, "polling": 20, "header": 256},
                [{"targets": "127.0.0.1:16344", "agent": "eth1", "sampling": 32, "polling": 20, "header": 256}],
            ),
            ({"targets": ["127.0.0.1:16343"]}, [{"targets": "127.0.0.1:16343"}]),
            ({}, []),
        ],
    ),
    "ipfix": (
        "IPFIX",
        (
            "targets",
            "sampling",
            "obs_domain_id",
            "obs_point_id",
            "cache_active_timeout",
            "cache_max_flows",
            "other_config",
        ),
        [
            (
                {
                    "targets": ["127.0.0.1:14739"],
                    "sampling": 64,
                    "obs_domain_id": 1,
                    "obs_point_id": 2,
                    "cache_active_timeout": 60,
                    "cache_max_flows": 100,
                    "enable_tunnel_sampling": False,
                    "enable_input_sampling": True,
                    "enable_output_sampling": False,
                    "virtual_obs_id": "a b",
                    "other_config": {"c": "d"},
                },
                [
                    {
                        "targets": "127.0.0.1:14739",
                        "sampling": 64,
                        "obs_domain_id": 1,
                        "obs_point_id": 2,
                        "cache_active_timeout": 60,
                        "cache_max_flows": 100,
                        "other_config": {
                            "enable-tunnel-sampling": "false",
                            "enable-input-sampling": "true",
                            "enable-output-sampling": "false",
                            "virtual_obs_id": "a b",
                            "c": "d",
                        },
                    }
                ],
            ),
            (
                {
                    "targets": ["[::1]:14739"],
                    "sampling": 32,
                    "obs_domain_id": 3,
                    "obs_point_id": 4,
                    "cache_active_timeout": 70,
                    "cache_max_flows": 200,
                    "enable_tunnel_sampling": True,
                    "enable_input_sampling": False,
                    "enable_output_sampling": True,
                    "virtual_obs_id": "c",
                    "other_config": {"e": "f"},
                },
                [
                    {
                        "targets": "[::1]:14739",
                        "sampling": 32,
                        "obs_domain_id": 3,
                        "obs_point_id": 4,
                        "cache_active_timeout": 70,
                        "cache_max_flows": 200,
                        "other_config": {
                            "enable-tunnel-sampling": "true",
                            "enable-input-sampling": "false",
                            "enable-output-sampling": "true",
                            "virtual_obs_id": "c",
                            "e": "f",
                        },
                    }
                ],
            ),
            ({"targets": ["[::1]:14739"]}, [{"targets": "[::1]:14739"}]),
            ({}, []),
        ],
    ),
    "flow_tables": (
        "Flow_Table",
        ("name", "flow_limit", "overflow_policy", "groups", "prefixes"),
        [
            (
                [
                    {
                        "table": 5,
                        "name": "five",
                        "flow_limit": 10,
                        "overflow_policy": "evict",
                        "groups": ["NXM_OF_IN_PORT[]"],
                        "prefixes": ["ip_dst", "ip_src"],
                    }
                ],
                [
                    {
                        "name": "five",
                        "flow_limit": 10,
                        "overflow_policy": "evict",
                        "groups": "NXM_OF_IN_PORT[]",
                        "prefixes": ["ip_dst", "ip_src"],
                    }
                ],
            ),
            (
                [
                    {
                        "table": 6,
                        "name": "six",
                        "flow_limit": 20,
                        "overflow_policy": "refuse",
                        "groups": ["NXM_OF_ETH_DST[]"],
                        "prefixes": ["ip_dst"],
                    }
                ],
                [
                    {
                        "name": "six",
                        "flow_limit": 20,
                        "overflow_policy": "refuse",
                        "groups": "NXM_OF_ETH_DST[]",
                        "prefixes": "ip_dst",
                    }
                ],
            ),
            ([{"table": 6}], [NONE]),
            ([], []),
        ],
    ),
    "auto_attach": (
        "AutoAttach",
        ("system_name", "system_description", "mappings"),
        [
            (
                {"system_name": "a", "system_description": "b", "mappings": {"100": 5}},
                [{"system_name": "a", "system_description": "b", "mappings": {"100": 5}}],
            ),
            (
                {"system_name": "c", "system_description": "d", "mappings": {"200": 6}},
                [{"system_name": "c", "system_description": "d", "mappings": {"200": 6}}],
            ),
            ({"system_name": "c"}, [{"system_name": "c", "system_description": ""}]),
            ({"system_description": "d"}, [{"system_name": "", "system_description": "d"}]),
            ({}, []),
        ],
    ),
}


# The same in sets of collectors for single flows.
_TABLE, _COLUMNS, _STEPS = PARTS["ipfix"]
PARTS["collector_sets"] = (
    _TABLE,
    _COLUMNS,
    [
        *(([{"id": 1, "ipfix": declared}], held) for declared, held in _STEPS[:-1]),
        ([{"id": 1}, {"id": 2, "ipfix": _STEPS[0][0]}], _STEPS[0][1]),
        ([{"id": 1}], []),
        ([], []),
    ],
)


def with_text_keys(held: list[dict[str, t.Any]]) -> t.Any:
    """Rows, as JSON has them."""
    return sorted(json.loads(json.dumps(held)), key=str)


@pytest.mark.parametrize("option", PARTS)
def test_a_part_of_a_bridge_is_set_changed_and_cleared(host: Host, option: str) -> None:
    table, columns, steps = PARTS[option]
    host.module("ovs_bridge", {**BR, "ports": BRIDGE_PORTS})
    for declared, expected in steps:
        done = host.apply("ovs_bridge", {**BR, option: declared})
        # Before another controller, the flows, groups and meters that Open vSwitch drops with the last one are read.
        assert (
            done["changed"]
            and len(done["commands"]) == 1
            and done["spawned"] in ((3, 6) if option == "controllers" else (3,))
        )
        assert with_text_keys(rows(host, table, *columns)) == with_text_keys(expected)
        assert not host.module("ovs_bridge", BR)["changed"], "what is left out stays"
        returned = done["bridges"][0][option]
        for told, meant in zip(returned, declared) if isinstance(declared, list) else [(returned, declared)]:
            # What is as in a new row is not told.
            assert {key: str(told.get(key, value)) for key, value in meant.items()} == {
                key: str(value) for key, value in meant.items()
            }
        assert bool(returned) == bool(declared)


def test_the_collector_sets_of_others_stay_and_all_go_with_their_bridge(host: Host) -> None:
    host.module("ovs_bridge", {**BR, "collector_sets": [{"id": 1}]})
    host.run("ovs-vsctl --id=@b get Bridge br0 -- create Flow_Sample_Collector_Set id=9 bridge=@b".split())
    host.apply("ovs_bridge", {**BR, "collector_sets": []})
    assert rows(host, "Flow_Sample_Collector_Set", "id") == [{"id": 9}]
    host.apply("ovs_bridge", {"name": "br0", "state": "absent"})
    assert rows(host, "Flow_Sample_Collector_Set", "id") == rows(host, "Bridge", "name") == []
    host.apply("ovs_bridge", {**BR, "collector_sets": [{"id": 1}]})
    host.run("ovs-vsctl del-br br0".split())
    assert rows(host, "Bridge", "name") == [{"name": "br0"}], "it keeps the row of its bridge"
    host.apply("ovs_bridge", BR)


# Mirrors


def test_user_mirrors_a_port_to_another(host: Host) -> None:
    veth(host, "v0", "v1", "v2")
    mirror = {"name": "span", "select_src_ports": ["v0"], "select_dst_ports": ["v0"], "output_port": "v2"}
    done = host.apply(
        "ovs_bridge", {**BR, "ports": [{"name": "v0"}, {"name": "v1"}, {"name": "v2"}], "mirrors": [mirror]}
    )
    assert done["bridges"][0]["mirrors"] == [mirror]
    for name in ("v0", "v0p", "v1", "v1p", "v2", "v2p"):
        host.run(["ip", "link", "set", name, "up"])
    host.run("ip address add 10.1.1.1/24 dev v0p".split())

    def mirrored() -> int:
        # Nobody has the address, but the question for it is a frame too.
        host.run("ping -c 1 -W 1 10.1.1.2".split(), ok=False)
        return int(rows(host, "Mirror", "statistics")[0].get("statistics", {}).get("tx_packets", 0))

    wait(mirrored, "a copy")
    # A port that goes is no longer mirrored, and the mirror stays as it is declared.
    host.apply("ovs_bridge", {**BR, "ports": [{"name": "v0"}, {"name": "v1", "state": "absent"}], "mirrors": [mirror]})
    failed = host.module("ovs_bridge", {**BR, "mirrors": [{**mirror, "output_port": "v1"}]}, ok=False)
    assert "bridge br0: mirrors span: output_port names v1" in failed["msg"]
    assert (
        "give one of"
        in host.module("ovs_bridge", {**BR, "mirrors": [{"name": "span", "select_all": True}]}, ok=False)["msg"]
    )


def test_the_mirrors_of_others_stay(host: Host) -> None:
    host.module("ovs_bridge", BR)
    host.run(
        "ovs-vsctl --id=@m create Mirror name=ids select_all=true output_vlan=7 -- add Bridge br0 mirrors @m".split()
    )
    host.apply("ovs_bridge", {**BR, "mirrors": [{"name": "own", "select_all": True, "output_vlan": 9}]})
    assert sorted(row["name"] for row in rows(host, "Mirror", "name")) == ["ids", "own"]
    host.apply("ovs_bridge", {**BR, "mirrors": []})
    assert rows(host, "Mirror", "name", "external_ids") == [{"name": "ids"}]
    host.apply("ovs_bridge", {**BR, "mirrors": [{"name": "ids", "select_all": True, "output_vlan": 8}]})
    assert rows(host, "Mirror", "output_vlan", "external_ids") == [{"output_vlan": 8}], (
        "what is configured is not marked"
    )


# QoS

HTB = {
    "type": "linux-htb",
    "max_rate": 100_000_000,
    "queues": [
        {"queue_id": 0, "max_rate": 10_000_000, "min_rate": 1_000_000, "burst": 8000, "priority": 1},
        {"queue_id": 7, "dscp": 46, "max_rate": 5_000_000},
    ],
}


# (declared, what the tables QoS and Queue hold then)
QOS: list[tuple[dict[str, t.Any], list[dict[str, t.Any]], list[dict[str, t.Any]]]] = [
    (
        HTB,
        [{"type": "linux-htb", "other_config": {"max-rate": "100000000"}, "external_ids": MARKS}],
        [
            {"other_config": {"max-rate": "10000000", "min-rate": "1000000", "burst": "8000", "priority": "1"}},
            {"dscp": 46, "other_config": {"max-rate": "5000000"}},
        ],
    ),
    (
        {
            **HTB,
            "max_rate": 200_000_000,
            "other_config": {"c": "d"},
            "queues": [
                {
                    "queue_id": 7,
                    "dscp": 10,
                    "max_rate": 20_000_000,
                    "min_rate": 2_000_000,
                    "burst": 9000,
                    "priority": 2,
                    "other_config": {"a": "b"},
                }
            ],
        },
        [{"type": "linux-htb", "other_config": {"max-rate": "200000000", "c": "d"}, "external_ids": MARKS}],
        [
            {
                "dscp": 10,
                "other_config": {
                    "max-rate": "20000000",
                    "min-rate": "2000000",
                    "burst": "9000",
                    "priority": "2",
                    "a": "b",
                },
            }
        ],
    ),
    (
        {**HTB, "other_config": {"e": "f"}, "queues": [{"queue_id": 7, "other_config": {"g": "h"}}]},
        [{"type": "linux-htb", "other_config": {"max-rate": "100000000", "e": "f"}, "external_ids": MARKS}],
        [{"other_config": {"g": "h"}}],
    ),
    (
        {**HTB, "queues": [{"queue_id": 3}]},
        [{"type": "linux-htb", "other_config": {"max-rate": "100000000"}, "external_ids": MARKS}],
        [{}],
    ),
    (
        {"type": "trtcm-policer", "cir": 1000, "cbs": 2000, "eir": 10, "ebs": 20},
        [
            {
                "type": "trtcm-policer",
                "other_config": {"cir": "1000", "cbs": "2000", "eir": "10", "ebs": "20"},
                "external_ids": MARKS,
            }
        ],
        [],
    ),
    (
        {"type": "trtcm-policer", "cir": 2000, "cbs": 4000, "eir": 20, "ebs": 40},
        [
            {
                "type": "trtcm-policer",
                "other_config": {"cir": "2000", "cbs": "4000", "eir": "20", "ebs": "40"},
                "external_ids": MARKS,
            }
        ],
        [],
    ),
    ({"type": "linux-noop"}, [{"type": "linux-noop", "external_ids": MARKS}], []),
    ({}, [], []),
]


def test_the_qos_of_a_port_is_set_changed_and_cleared(host: Host) -> None:
    host.module("ovs_bridge", {**BR, "ports": [INNER]})
    host.module(
        "ovs_tunnel", {"bridge": "br0", "name": "gre0", "type": "gre", "remote_ip": "192.0.2.1", "check_route": False}
    )
    for declared, held, queues in QOS:
        done = host.apply("ovs_bridge", {**BR, "ports": [{"name": "p0", "qos": declared}]})
        assert done["bridges"][0]["ports"][-1]["qos"] == (declared or None) and len(done["commands"]) == 1
        assert rows(host, "QoS", "type", "other_config", "external_ids") == held, "and the old row is gone"
        assert with_text_keys(rows(host, "Queue", "dscp", "other_config")) == with_text_keys(queues)
        assert not host.module("ovs_bridge", {**BR, "ports": [{"name": "p0"}]})["changed"], "what is left out stays"
    for declared, held, queues in QOS:
        host.apply("ovs_tunnel", {"bridge": "br0", "name": "gre0", "check_route": False, "qos": declared})
        assert [row["type"] for row in rows(host, "QoS", "type")] == [row["type"] for row in held]
        assert with_text_keys(rows(host, "Queue", "dscp", "other_config")) == with_text_keys(queues)


def test_user_shapes_what_leaves_a_port_and_the_kernel_does_it(host: Host) -> None:
    veth(host, "v0")
    host.module("ovs_bridge", {**BR, "ports": [{"name": "v0", "qos": HTB}]})
    wait(lambda: "htb" in host.run("tc qdisc show dev v0".split()), "the queueing discipline")


def test_the_qos_of_a_port_goes_with_the_port_and_with_the_bridge(host: Host) -> None:
    for gone in (
        {**BR, "ports": [{**INNER, "state": "absent"}]},
        {**BR, "state": "absent"},
        {"bridges": [], "purge": True},
    ):
        host.module("ovs_bridge", {**BR, "ports": [{**INNER, "qos": HTB}]})
        host.apply("ovs_bridge", gone)
        assert rows(host, "QoS", "type") == rows(host, "Queue", "dscp") == []
    host.module("ovs_bridge", BR)
    args = {"bridge": "br0", "name": "gre0", "type": "gre", "remote_ip": "192.0.2.1", "check_route": False}
    host.apply("ovs_tunnel", {**args, "qos": {"type": "linux-noop"}})
    host.apply("ovs_tunnel", {"name": "gre0", "state": "absent"})
    assert rows(host, "QoS", "type") == []


def test_a_qos_that_serves_other_ports_too_is_left_to_them(host: Host) -> None:
    host.module("ovs_bridge", {**BR, "ports": [INNER, {**INNER, "name": "p1"}]})
    host.run("ovs-vsctl --id=@q create QoS type=linux-noop -- set Port p0 qos=@q -- set Port p1 qos=@q".split())
    host.apply("ovs_bridge", {**BR, "ports": [{"name": "p0", "qos": HTB}]})
    assert sorted(row["type"] for row in rows(host, "QoS", "type")) == ["linux-htb", "linux-noop"]
    host.apply("ovs_bridge", {**BR, "ports": [{"name": "p0", "qos": {}}, {"name": "p1", "state": "absent"}]})
    assert [row["type"] for row in rows(host, "QoS", "type")] == ["linux-noop"]


def test_ingress_policing_reaches_the_kernel(host: Host) -> None:
    veth(host, "v0")
    host.apply(
        "ovs_bridge", {**BR, "ports": [{"name": "v0", "ingress_policing_rate": 10000, "ingress_policing_burst": 8000}]}
    )
    wait(
        lambda: "ingress" in host.run("tc qdisc show dev v0".split()),
        "the policing",
        look=lambda: host.run("ovs-vsctl list Interface v0".split()),
    )
    host.apply(
        "ovs_bridge", {**BR, "ports": [{"name": "v0", "ingress_policing_rate": "", "ingress_policing_burst": ""}]}
    )


# Fake bridges


def test_a_fake_bridge_is_a_vlan_of_its_parent(host: Host) -> None:
    fake = {"name": "vlan10", "parent": "br0", "vlan": 10, "ports": [{"name": "p10", "type": "internal"}]}
    done = host.apply("ovs_bridge", {"bridges": [BR, fake]})
    assert len(done["commands"]) == 1
    assert bridges(host) == ["br0", "vlan10"] and ports(host, "vlan10") == ["p10"]
    assert (
        host.run("ovs-vsctl br-to-parent vlan10".split()) == "br0\n"
        and host.run("ovs-vsctl br-to-vlan vlan10".split()) == "10\n"
    )
    state = done["bridges"][1]
    assert (state["name"], state["parent"], state["vlan"], [p["name"] for p in state["ports"]]) == (
        "vlan10",
        "br0",
        10,
        ["vlan10", "p10"],
    )
    assert host.module("ovs_bridge_info", {"name": "vlan10"})["bridges"][0]["vlan"] == 10
    host.apply("ovs_bridge", {**fake, "vlan": 11})
    assert column(host, "Port", "p10", "tag") == 11
    host.apply("ovs_bridge", {**fake, "vlan": 11, "ports": [{"name": "vlan10", "addresses": ["10.0.0.1/24"]}]})
    host.run("ovs-vsctl add-port vlan10 byhand -- set Interface byhand type=internal".split())
    failed = host.module("ovs_bridge", {"name": "vlan10", "state": "absent"}, ok=False)
    assert "port byhand of bridge vlan10" in failed["msg"] and "adopt" in failed["msg"]
    host.run("ovs-vsctl del-port byhand".split())
    host.apply("ovs_bridge", {"name": "vlan10", "state": "absent"})
    assert bridges(host) == ["br0"] and ports(host, "br0") == []
    host.apply("ovs_bridge", {"bridges": [BR, fake], "purge": True})
    host.apply("ovs_bridge", {"bridges": [BR], "purge": True})
    assert bridges(host) == ["br0"]


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"name": "f", "parent": "br9", "vlan": 5}, "bridge f: there is no bridge br9"),
        ({"name": "f", "parent": "br0"}, "bridge f: vlan is None"),
        ({"name": "f", "parent": "br0", "vlan": 4095}, "vlan is 4095"),
        ({"name": "f", "parent": "f", "vlan": 5}, "parent is the bridge itself"),
        ({"name": "f", "vlan": 5}, "name its parent"),
        ({"name": "f", "parent": "br0", "vlan": 5, "stp": True}, "stp does not apply to a fake bridge"),
        ({"name": "f", "parent": "br0", "vlan": 5, "ports": [{"name": "p", "tag": 6}]}, "leave tag out"),
        ({"name": "br0", "parent": "br1", "vlan": 5}, "bridge br0 is a bridge of its own already"),
    ],
)
def test_a_fake_bridge_that_cannot_be_is_refused(host: Host, item: dict[str, t.Any], said: str) -> None:
    host.module("ovs_bridge", BR)
    assert said in host.module("ovs_bridge", item, ok=False)["msg"]
    assert bridges(host) == ["br0"]


# Bonds and patch ports


def units(host: Host) -> list[str]:
    """The ports whose device a unit brings up at boot."""
    return sorted(re.findall(r"overloom-port-(\S+)\.service", host.run(["ls", "/etc/systemd/system"])))


@pytest.mark.parametrize("mode", ["active-backup", "balance-slb", "balance-tcp"])
def test_the_members_of_a_bond_change_without_the_bond_going_down(host: Host, mode: str) -> None:
    veth(host, "v0", "v1", "v2")
    for name in ("v0", "v1", "v2"):
        host.run(["ip", "link", "set", name + "p", "up"])
    bond = {"name": "bond0", "members": ["v0", "v1"], "bond_mode": mode, "bond_updelay": 10, "bond_downdelay": 20}
    bond["up"] = True
    if mode == "balance-tcp":
        bond.update(lacp="active", lacp_time="fast", lacp_fallback_ab=True)
    done = host.apply("ovs_bridge", {**BR, "ports": [bond]})
    state = done["bridges"][0]["ports"][1]
    assert (state["members"], state["up"]) == (["v0", "v1"], True)
    assert [(x["name"], x["link_state"]) for x in state["interfaces"]] == [("v0", "up"), ("v1", "up")]
    assert units(host) == ["v0", "v1"]
    shown = host.run("ovs-appctl bond/show bond0".split())
    assert "updelay: 10 ms" in shown and "downdelay: 20 ms" in shown and (mode in shown or "fallback" in shown.lower())
    number = column(host, "Interface", "v0", "ofport")
    bond["members"] = ["v0", "v2"]
    bond["interfaces"] = [{"name": "v0", "lacp_port_id": 7}, {"name": "v2", "lacp_port_id": 8, "mtu": 1400}]
    done = host.apply("ovs_bridge", {**BR, "ports": [bond]})
    assert column(host, "Interface", "v0", "ofport") == number, "the member that stays is not touched"
    assert [column(host, "Interface", name, "other_config")["lacp-port-id"] for name in ("v0", "v2")] == ["7", "8"]
    assert (column(host, "Interface", "v0", "mtu_request"), column(host, "Interface", "v2", "mtu_request")) == (
        [],
        1400,
    )
    assert [x["lacp_port_id"] for x in done["bridges"][0]["ports"][1]["interfaces"]] == [7, 8]
    wrong = {**bond, "interfaces": [{"name": "v1"}]}
    assert "interfaces holds v1" in host.module("ovs_bridge", {**BR, "ports": [wrong]}, ok=False)["msg"]
    assert units(host) == ["v0", "v2"]
    said = host.module("ovs_bridge", {**BR, "ports": [{"name": "bond0", "up": False}]}, ok=False)["msg"]
    assert said.endswith("is a bond, and up is for its members; declare members too, or leave up out")
    host.apply("ovs_bridge", {**BR, "ports": [{"name": "bond0", "members": ["v0"]}]})
    host.apply("ovs_bridge", {"bridges": [], "purge": True})
    assert units(host) == []


# What is declared of one member of a bond, and what its row holds then: type, mtu_request, options, other_config.
MEMBER: list[tuple[dict[str, t.Any], tuple[t.Any, ...]]] = [
    (
        {
            "lacp_port_id": 7,
            "lacp_port_priority": 8,
            "lacp_aggregation_key": 9,
            "mtu": 1400,
            "options": {"a": "1"},
            "type": "tap",
        },
        ("tap", 1400, {"a": "1"}, {"lacp-port-id": "7", "lacp-port-priority": "8", "lacp-aggregation-key": "9"}),
    ),
    (
        {
            "lacp_port_id": 17,
            "lacp_port_priority": 18,
            "lacp_aggregation_key": 19,
            "mtu": 1300,
            "options": {"b": "2"},
            "type": "internal",
        },
        (
            "internal",
            1300,
            {"b": "2"},
            {"lacp-port-id": "17", "lacp-port-priority": "18", "lacp-aggregation-key": "19"},
        ),
    ),
    (
        {"lacp_port_id": "", "lacp_port_priority": "", "lacp_aggregation_key": "", "mtu": "", "options": {}},
        ("internal", [], {}, {}),
    ),
]


def test_each_option_of_a_member_is_set_changed_and_cleared(host: Host) -> None:
    host.module("ovs_bridge", {**BR, "ports": [{"name": "bond0", "members": ["i0", "i1"], "type": "internal"}]})
    for declared, held in MEMBER:
        host.apply("ovs_bridge", {**BR, "ports": [{"name": "bond0", "interfaces": [{"name": "i1", **declared}]}]})
        assert (
            tuple(column(host, "Interface", "i1", name) for name in ("type", "mtu_request", "options", "other_config"))
            == held
        )
        assert column(host, "Interface", "i0", "type") == "internal", "the other member is as it was"


def test_lacp_is_negotiated_between_two_bonds(host: Host) -> None:
    veth(host, "v0", "v1")
    for name in ("v0", "v1", "v0p", "v1p"):
        host.run(["ip", "link", "set", name, "up"])
    bond = {"bond_mode": "balance-tcp", "lacp_time": "fast"}
    first = {"name": "bond0", "members": ["v0", "v1"], "lacp": "active", **bond}
    second = {"name": "bond1", "members": ["v0p", "v1p"], "lacp": "passive", **bond}
    host.module("ovs_bridge", {"bridges": [{**BR, "ports": [first]}, {**BR, "name": "br1", "ports": [second]}]})
    wait(
        lambda: "lacp_status: negotiated" in host.run("ovs-appctl bond/show bond0".split()),
        "LACP's agreement",
        look=lambda: host.run("ovs-appctl lacp/show".split()),
    )


def test_user_joins_two_bridges_by_patch_ports_in_one_call(host: Host) -> None:
    ends = [
        {**BR, "name": f"br{n}", "ports": [{"name": f"to{1 - n}", "type": "patch", "peer": f"to{n}"}]} for n in (0, 1)
    ]
    done = host.apply("ovs_bridge", {"bridges": ends})
    assert len(done["commands"]) == 1 and all(bridge["ports"][1]["ofport"] > 0 for bridge in done["bridges"])
    assert "missing" in host.module("ovs_bridge", {**BR, "ports": [{"name": "to1", "peer": ""}]}, ok=False)["msg"]


def test_a_type_that_the_installed_open_vswitch_has_not_is_refused_by_name(host: Host) -> None:
    known = column(host, "Open_vSwitch", ".", "iface_types")
    refused = 0
    for kind in ("dpdk", "dpdkvhostuserclient", "afxdp"):
        if kind in known:
            continue
        refused += 1
        failed = host.module("ovs_bridge", {**BR, "ports": [{"name": "p0", "type": kind}]}, ok=False)
        assert f"does not support the type {kind}" in failed["msg"] and bridges(host) == []
    assert refused


# What users of other modules run into


def test_user_changes_the_mode_the_lacp_and_the_members_of_a_bond_that_was_made_by_hand(host: Host) -> None:
    veth(host, "v0", "v1", "v2")
    host.module("ovs_bridge", BR)
    host.run("ovs-vsctl add-bond br0 bond0 v0 v1 bond_mode=active-backup lacp=off".split())
    bond = {"name": "bond0", "members": ["v1", "v2"], "bond_mode": "balance-tcp", "lacp": "active"}
    refused = host.module("ovs_bridge", {**BR, "ports": [bond]}, ok=False)["msg"]
    assert (
        refused
        == "port bond0 of bridge br0 is not ours, and its members would change; choose another name, or give adopt: true to take it over"
    )
    assert column(host, "Port", "bond0", "bond_mode") == "active-backup"
    done = host.apply("ovs_bridge", {**BR, "ports": [bond], "adopt": True})
    assert done["changed"] and len(done["commands"]) == 1
    assert (column(host, "Port", "bond0", "bond_mode"), column(host, "Port", "bond0", "lacp")) == (
        "balance-tcp",
        "active",
    )
    assert {"v1", "v2"} <= set(host.run("ovs-vsctl list-ifaces br0".split()).split())


def test_user_sets_several_properties_of_a_bridge_and_its_ports_in_one_transaction(host: Host) -> None:
    veth(host, "v0")
    args = {
        **BR,
        "fail_mode": "secure",
        "stp": True,
        "mac": "02:00:00:00:00:01",
        "external_ids": {"a": "b=c"},
        "netflow": {"targets": ["127.0.0.1:2055"]},
        "ports": [
            {"name": "v0", "tag": 5, "qos": {"type": "linux-noop"}},
            {**INNER, "mtu": 1400, "mac": "02:00:00:00:00:02", "ofport_request": 77},
        ],
    }
    done = host.apply("ovs_bridge", args)
    assert len(done["commands"]) == 1 and done["spawned"] == 3
    again = host.module("ovs_bridge", args)
    assert again["spawned"] == 1 and not again["changed"], "nothing to do is one process"
    (bridge,) = again["bridges"]
    assert [port["ofport"] for port in bridge["ports"] if port["name"] == "p0"] == [77]
    shown = host.run("ip link show p0".split())
    assert "mtu 1400" in shown and "02:00:00:00:00:02" in shown


def test_user_gives_one_wrong_port_among_good_ones_and_nothing_of_the_change_happens(host: Host) -> None:
    host.module("ovs_bridge", {**BR, "fail_mode": "standalone"})
    wrong = {**BR, "fail_mode": "secure", "ports": [{**INNER, "tag": 5}, {"name": "missing0"}]}
    assert "there is no interface missing0" in host.module("ovs_bridge", wrong, ok=False)["msg"]
    assert column(host, "Bridge", "br0", "fail_mode") == "standalone" and ports(host, "br0") == []


def test_user_gives_trunks_as_ranges_and_sees_them_as_ranges(host: Host) -> None:
    done = host.apply("ovs_bridge", {**BR, "ports": [{**INNER, "trunks": ["10-19", 30, "15-25"]}]})
    assert column(host, "Port", "p0", "trunks") == [*range(10, 26), 30] and done["bridges"][0]["ports"][1][
        "trunks"
    ] == ["10-25", 30]
    assert "10-25" in done["commands"][0] or "10-25" in str(done["diff"]), "in the difference and the command too"


def test_user_leaves_a_bridge_out_and_it_goes_with_purge(host: Host) -> None:
    host.module("ovs_bridge", {"bridges": [BR, {**BR, "name": "br1"}]})
    host.apply("ovs_bridge", {"bridges": [BR], "purge": True})
    assert bridges(host) == ["br0"]


@pytest.mark.parametrize("kind", ["afxdp", "afxdp-nonpmd"])
def test_af_xdp_is_passed_through_or_its_refusal_is_an_error_that_leaves_nothing(host: Host, kind: str) -> None:
    veth(host, "v0")
    host.run("ip link set v0 up".split())
    host.module("ovs_bridge", BR)
    port = {"name": "v0", "type": kind, "n_rxq": 1, "xdp_mode": "generic", "interface_other_config": {"a": "b"}}
    foretold = host.module("ovs_bridge", {**BR, "ports": [port]}, check=True)
    assert f"type={kind}" in foretold["commands"][0] and "options:xdp-mode=generic" in foretold["commands"][0]
    done = host.module("ovs_bridge", {**BR, "ports": [port]}, ok=None)
    if done.get("failed"):
        # A kernel or a container may not let it.
        assert "port v0 of bridge br0 was refused by ovs-vswitchd" in done["msg"] and ports(host, "br0") == []
    else:
        held = column(host, "Interface", "v0", "options")
        assert held == {"n_rxq": "1", "xdp-mode": "generic"}
        host.apply("ovs_bridge", {**BR, "ports": [{**port, "n_rxq": "", "xdp_mode": ""}]})
        assert column(host, "Interface", "v0", "options") == {}
