# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ovs_switch against a real Open vSwitch, and the modules over a database that is reached by TCP and by TLS."""

from __future__ import annotations

import typing as t

import pytest
from harness import wait
from ovs import bridges, column

if t.TYPE_CHECKING:
    from harness import Host

BR = {"name": "br0", "datapath_type": "netdev"}
KEYS = "/etc/openvswitch/overloom-test"

# option -> its key, (value, another value, the clearing value), what other_config holds after the first two
CASES: list[tuple[str, str, tuple[t.Any, t.Any, t.Any], tuple[str, str]]] = [
    ("ipsec_private_key", "private_key", ("/a b", "/c", ""), ("/a b", "/c")),
    ("ipsec_certificate", "certificate", ("/a b", "/c", ""), ("/a b", "/c")),
    ("ipsec_ca_cert", "ca_cert", ("/a b", "/c", ""), ("/a b", "/c")),
    ("hw_offload", "hw-offload", (True, False, None), ("true", "false")),
    ("tc_policy", "tc-policy", ("none", "skip_hw", ""), ("none", "skip_hw")),
    ("flow_limit", "flow-limit", (1000, 2000, ""), ("1000", "2000")),
    ("max_idle", "max-idle", (500, 600, ""), ("500", "600")),
    ("max_revalidator", "max-revalidator", (100, 200, ""), ("100", "200")),
    ("n_handler_threads", "n-handler-threads", (1, 2, ""), ("1", "2")),
    ("n_revalidator_threads", "n-revalidator-threads", (1, 2, ""), ("1", "2")),
    ("vlan_limit", "vlan-limit", (0, 2, ""), ("0", "2")),
    ("stats_update_interval", "stats-update-interval", (5000, 6000, ""), ("5000", "6000")),
    ("userspace_tso", "userspace-tso-enable", (True, False, None), ("true", "false")),
    ("dpdk_init", "dpdk-init", ("false", "try", ""), ("false", "try")),
    ("dpdk_lcore_mask", "dpdk-lcore-mask", ("0x1", "0x2", ""), ("0x1", "0x2")),
    ("dpdk_socket_mem", "dpdk-socket-mem", ("1024", "1024,0", ""), ("1024", "1024,0")),
    ("dpdk_extra", "dpdk-extra", ("-a b", "--c=d", ""), ("-a b", "--c=d")),
    ("pmd_cpu_mask", "pmd-cpu-mask", ("0x1", "0x2", ""), ("0x1", "0x2")),
]


@pytest.fixture
def switch(host: Host) -> t.Iterator[Host]:
    """A host whose switch has no settings left from another test."""
    yield host
    host.run(
        "ovs-vsctl clear Open_vSwitch . other_config -- clear Open_vSwitch . datapaths -- del-manager -- del-ssl".split()
    )
    # Some settings, such as hw-offload, stay in force in a switch that has once seen them.
    # systemd counts restarts, and tests make many.
    host.run("systemctl reset-failed openvswitch-switch ovsdb-server ovs-vswitchd".split(), ok=None)
    host.run("systemctl restart openvswitch-switch".split())


def test_every_setting_is_set_changed_and_cleared(switch: Host) -> None:
    switch.run("ovs-vsctl set Open_vSwitch . other_config:others=kept".split())
    for step in range(3):
        declared = {case[0]: case[2][step] for case in CASES if case[2][step] is not None}
        assert len(switch.apply("ovs_switch", declared)["commands"]) == 1
        held = column(switch, "Open_vSwitch", ".", "other_config")
        for name, key, values, expected in CASES:
            assert held.get(key) == (expected[step] if step < 2 else expected[1] if values[2] is None else None), name
        assert held["others"] == "kept"


MAPS: list[dict[str, t.Any]] = [
    {"other_config": {"a": "b c", "d": 5}, "external_ids": {"site": "x=y"}},
    {"other_config": {"a": "e", "d": 5}, "external_ids": {"site": "z"}},
    {"other_config": {"a": "", "d": 5}, "external_ids": {"site": ""}},
]


def test_other_settings_are_set_changed_and_removed_one_by_one(switch: Host) -> None:
    def ids() -> dict[str, str]:
        # What this owner found before its first change is noted there too.
        held = column(switch, "Open_vSwitch", ".", "external_ids")
        return {key: value for key, value in held.items() if not key.startswith("overloom-before:")}

    before = ids()
    for declared in MAPS:
        switch.apply("ovs_switch", declared)
        held = {key: str(value) for key, value in declared["other_config"].items() if value != ""}
        assert column(switch, "Open_vSwitch", ".", "other_config") == held
        assert ids() == {**before, **{k: v for k, v in declared["external_ids"].items() if v}}
    switch.apply("ovs_switch", {"other_config": {"a": ""}})
    assert column(switch, "Open_vSwitch", ".", "other_config") == {"d": "5"}
    assert "use vlan_limit" in switch.module("ovs_switch", {"other_config": {"vlan-limit": "1"}}, ok=False)["msg"]


# What is declared, and of Manager what it holds then.
MANAGERS: list[tuple[list[dict[str, t.Any]], dict[str, t.Any]]] = [
    (
        [
            {
                "target": "ptcp:16640:127.0.0.1",
                "connection_mode": "out-of-band",
                "inactivity_probe": 0,
                "max_backoff": 1000,
                "dscp": 5,
                "other_config": {"a": "b"},
            }
        ],
        {
            "connection_mode": "out-of-band",
            "inactivity_probe": 0,
            "max_backoff": 1000,
            "other_config": {"dscp": "5", "a": "b"},
        },
    ),
    (
        [
            {
                "target": "ptcp:16642:127.0.0.1",
                "connection_mode": "in-band",
                "inactivity_probe": 5000,
                "max_backoff": 2000,
                "dscp": 6,
                "other_config": {"c": "d"},
            }
        ],
        {
            "connection_mode": "in-band",
            "inactivity_probe": 5000,
            "max_backoff": 2000,
            "other_config": {"dscp": "6", "c": "d"},
        },
    ),
    (
        [{"target": "ptcp:16642:127.0.0.1"}],
        {"connection_mode": [], "inactivity_probe": [], "max_backoff": [], "other_config": {}},
    ),
    ([], {}),
]


def test_managers_are_set_changed_and_cleared_and_those_of_others_stay(switch: Host) -> None:
    switch.run("ovs-vsctl set-manager ptcp:16641:127.0.0.1".split())
    for declared, held in MANAGERS:
        done = switch.apply("ovs_switch", {"managers": declared})
        assert sorted(row["target"] for row in done["switch"]["managers"]) == sorted(
            ["ptcp:16641:127.0.0.1", *(row["target"] for row in declared)]
        )
        for name, value in held.items():
            assert column(switch, "Manager", declared[0]["target"], name) == value
    assert switch.run("ovs-vsctl get-manager".split()) == "ptcp:16641:127.0.0.1\n"
    assert "target is 'x'" in switch.module("ovs_switch", {"managers": [{"target": "x"}]}, ok=False)["msg"]


# What is declared, and what `ovs-vsctl list-zone-tp` says then.
DATAPATHS: list[tuple[list[dict[str, t.Any]], str | None]] = [
    (
        [{"type": "netdev", "zones": [{"zone": 5, "timeouts": {"tcp_established": 60, "icmp_reply": 3}}]}],
        "Zone:5, Timeout Policies: icmp_reply=3 tcp_established=60",
    ),
    (
        [{"type": "netdev", "zones": [{"zone": 6, "timeouts": {"tcp_established": 90}}]}],
        "Zone:6, Timeout Policies: tcp_established=90",
    ),
    ([{"type": "netdev", "zones": [{"zone": 6, "timeouts": {}}]}], "Zone:6, Timeout Policies: system default"),
    ([{"type": "netdev"}], ""),
    ([{"type": "system"}], None),
    ([], None),
]


def test_timeouts_of_connection_tracking_are_set_changed_and_cleared(switch: Host) -> None:
    for declared, said in DATAPATHS:
        done = switch.apply("ovs_switch", {"datapaths": declared})
        assert [row["type"] for row in done["switch"]["datapaths"]] == [row["type"] for row in declared]
        if said is not None:
            assert switch.run("ovs-vsctl list-zone-tp netdev".split()).strip() == said
        assert not switch.module("ovs_switch", {"vlan_limit": ""})["changed"], "what is left out stays"
    failed = switch.module(
        "ovs_switch", {"datapaths": [{"type": "netdev", "zones": [{"zone": 1, "timeouts": {"tcp": 5}}]}]}, ok=False
    )
    assert "timeouts: a key is 'tcp'; give one of tcp_syn_sent" in failed["msg"]


def test_user_forgets_idle_connections_of_a_zone_sooner(switch: Host) -> None:
    """Open vSwitch in user space does with the timeouts what they say."""
    switch.module("ovs_bridge", {**BR, "ports": [{"name": "p0", "type": "internal", "addresses": ["10.9.0.1/24"]}]})
    # Open vSwitch takes settings for a datapath that has a bridge already.
    switch.module(
        "ovs_switch",
        {"datapaths": [{"type": "netdev", "zones": [{"zone": 7, "timeouts": {"icmp_first": 1, "icmp_reply": 1}}]}]},
    )
    switch.module(
        "ovs_flow",
        {"bridge": "br0", "flows": [{"flow": "priority=9,icmp,actions=ct(commit,zone=7),ct(commit,zone=8)"}]},
    )
    switch.run("ip neighbor add 10.9.0.2 lladdr 02:00:00:00:00:02 dev p0".split())
    switch.run("ping -c 1 -W 1 10.9.0.2".split(), ok=False)

    def known() -> str:
        return switch.run("ovs-appctl dpctl/dump-conntrack".split())

    def forgotten() -> bool:
        found = known()
        return "zone=8" in found and "zone=7" not in found

    # Without the policy it would be there for 30 seconds.
    wait(forgotten, "the end of the connection of zone 7", 15, known)


def test_user_asks_for_another_database_by_tcp(switch: Host) -> None:
    switch.module("ovs_switch", {"managers": [{"target": "ptcp:16640:127.0.0.1"}]})
    there = {"database": "tcp:127.0.0.1:16640"}
    switch.apply("ovs_bridge", {**BR, **there, "ports": [{"name": "p0", "type": "internal", "tag": 5}]})
    switch.apply("ovs_tunnel", {"bridge": "br0", "name": "gre0", "type": "gre", "remote_ip": "192.0.2.1", **there})
    assert [b["name"] for b in switch.module("ovs_bridge_info", there)["bridges"]] == ["br0"]
    failed = switch.module("ovs_bridge", {**BR, "database": "tcp:127.0.0.1:16649"}, ok=False)
    assert "cannot be reached" in failed["msg"] and "16649" in failed["msg"]


@pytest.fixture
def keys(switch: Host) -> Host:
    """A switch with a certificate authority of its own in KEYS, and with two keys that it has signed."""
    switch.run(["rm", "-rf", KEYS])
    switch.run(["mkdir", "-p", KEYS])

    def openssl(*words: str) -> None:
        switch.run(["openssl", *words])

    openssl(
        *f"req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=ca -keyout {KEYS}/ca.key -out {KEYS}/ca.pem".split()
    )
    for name in ("switch", "client"):
        openssl(
            *f"req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {KEYS}/{name}.key -out {KEYS}/{name}.csr".split()
        )
        openssl(
            *f"x509 -req -days 30 -in {KEYS}/{name}.csr -CA {KEYS}/ca.pem -CAkey {KEYS}/ca.key -CAcreateserial -out {KEYS}/{name}.pem".split()
        )
    return switch


def tls(name: str) -> dict[str, str]:
    return {"private_key": f"{KEYS}/{name}.key", "certificate": f"{KEYS}/{name}.pem", "ca_cert": f"{KEYS}/ca.pem"}


SSL: list[dict[str, t.Any]] = [
    {**tls("switch"), "bootstrap_ca_cert": True},
    {**tls("client"), "bootstrap_ca_cert": False, "ca_cert": f"{KEYS}/switch.pem"},
    {},
]


def test_tls_is_set_changed_and_cleared(keys: Host) -> None:
    for declared in SSL:
        keys.apply("ovs_switch", {"ssl": declared})
        for name, value in declared.items():
            assert column(keys, "SSL", ".", name) == value
        assert not keys.module("ovs_switch", {})["changed"], "what is left out stays"
    assert column(keys, "Open_vSwitch", ".", "ssl") == []
    failed = keys.module("ovs_switch", {"ssl": {**tls("switch"), "certificate": "/nowhere"}}, ok=False)
    assert "ssl: certificate: there is no file /nowhere" in failed["msg"]
    assert (
        "ssl: ca_cert is missing"
        in keys.module("ovs_switch", {"ssl": {"private_key": "a", "certificate": "b"}}, ok=False)["msg"]
    )


def test_user_asks_for_another_database_by_tls_and_controls_a_bridge_by_tls(keys: Host) -> None:
    keys.module("ovs_switch", {"ssl": tls("switch"), "managers": [{"target": "pssl:16640:127.0.0.1"}]})
    there = {"database": "ssl:127.0.0.1:16640", **{f"database_{name}": path for name, path in tls("client").items()}}
    controlled = {**BR, "controllers": [{"target": "pssl:16653:127.0.0.1", "connection_mode": "out-of-band"}]}
    keys.apply("ovs_bridge", {**controlled, **there})
    assert bridges(keys) == ["br0"]
    options = [f"--{name.replace('_', '-')}={path}" for name, path in tls("client").items()]
    show = ["ovs-ofctl", *options, "show", "ssl:127.0.0.1:16653"]
    wait(lambda: "OFPT_FEATURES_REPLY" in keys.run(show, ok=None), "an answer of the bridge")
    failed = keys.module("ovs_bridge", {**BR, "database": "ssl:127.0.0.1:16640", "timeout": 3}, ok=False)
    assert "database_private_key" in failed["msg"] or "cannot be reached" in failed["msg"], failed["msg"]
