# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people may declare for the Open vSwitch modules, drawn at random; for the tests without and with a real switch.

Drawn from a seeded random.Random, which is some hundred times faster here than drawing each of the many options by a strategy.
"""

from __future__ import annotations

import random
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs import declaration as ovs_declaration
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import tunnel as _ovs_tunnel
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import Database
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    TUNNEL_TYPES,
    Flag,
    Integer,
    Mac,
    Option,
    Pairs,
    Structure,
    Text,
    Vlans,
    Words,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import STATUS

Item = t.Dict[str, t.Any]

BRIDGES = ("br0", "br1", "br2")
PORTS = ("p0", "p1", "p2", "p3", "p4")
TUNNELS = ("t0", "t1", "t2", "t3")
OWNERS = ("overloom.fabric", "else")
AWKWARD = [
    "a b",
    '"',
    "'",
    "=",
    "--",
    ",",
    "{}",
    "[]",
    "\n",
    "; x",
    "$(x)",
    "\\",
    "ü",
    "€😀",
    "",
    "true",
    "x:y",
    "a=b,c=d",
    "\t",
    "\x01",
    "@x",
    "-1",
    "0",
]

# Types and options that need a device, or a counterpart, are left to their own tests.
_ELSEWHERE = {
    "type",
    "peer",
    "mtu",
    "vlan_mode",
    "tag",
    "trunks",
    "stp",
    "remote_ip",
    "local_ip",
    "in_key",
    "out_key",
    "packet_type",
    "dpdk_devargs",
    "vhost_server_path",
    "n_rxq",
    "xdp_mode",
}

# What has options of its own: values that differ from each other in one thing or in all.
_COLLECTOR = {"targets": ["127.0.0.1:16343"]}
NESTED: dict[str, list[t.Any]] = {
    "controllers": [
        [{"target": "ptcp:16653:127.0.0.1"}],
        [
            {"target": "ptcp:16654:127.0.0.1", "max_backoff": 2000, "dscp": 5},
            {"target": "ptcp:16653:127.0.0.1", "enable_async_messages": False},
        ],
    ],
    "mirrors": [
        [{"name": "m", "select_all": True, "output_vlan": 9}],
        [
            {"name": "m 2", "select_vlans": ["5-7"], "output_vlan": 9},
            {"name": "m", "select_all": True, "output_vlan": 9, "snaplen": 64},
        ],
    ],
    "netflow": [_COLLECTOR, {**_COLLECTOR, "active_timeout": 60, "engine_id": 3, "add_id_to_interface": True}],
    "sflow": [_COLLECTOR, {**_COLLECTOR, "agent": "a b", "sampling": 64, "header": 128, "polling": 10}],
    "ipfix": [
        _COLLECTOR,
        {
            **_COLLECTOR,
            "obs_domain_id": 1,
            "virtual_obs_id": "x=y",
            "other_config": {"a": "b c"},
            "enable_input_sampling": False,
        },
    ],
    "collector_sets": [
        [{"id": 1, "ipfix": {**_COLLECTOR, "sampling": 7}}],
        [{"id": 0, "ipfix": _COLLECTOR}, {"id": 1}],
    ],
    "flow_tables": [
        [{"table": 0, "flow_limit": 1000}],
        [{"table": 1, "name": "a b", "overflow_policy": "evict", "prefixes": ["ip_dst", "ip_src"]}, {"table": 0}],
    ],
    # With mappings, Open vSwitch itself writes the trunks of ports.
    "auto_attach": [{"system_name": "a b"}, {"system_description": "x"}],
    "qos": [
        {"type": "linux-noop"},
        {
            "type": "linux-htb",
            "max_rate": 10**9,
            "queues": [{"queue_id": 0, "max_rate": 10**6}, {"queue_id": 7, "dscp": 5, "other_config": {"a": "b"}}],
        },
        {"type": "linux-htb", "max_rate": 10**9, "queues": [{"queue_id": 0, "max_rate": 10**6}]},
    ],
}


def text(rnd: random.Random) -> str:
    """A string that is easily taken for something else."""
    if rnd.random() < 0.5:
        return rnd.choice(AWKWARD)
    ranges = ((1, 0x7F), (0x80, 0x7FF), (0xE000, 0x10FFFF))
    return "".join(chr(rnd.randint(*rnd.choice(ranges))) for _index in range(rnd.randint(1, 4)))


def value(rnd: random.Random, option: Option) -> t.Any:
    """A value of an option, the empty one among them."""
    kind = option.kind
    if isinstance(kind, Flag):
        return rnd.random() < 0.5
    if rnd.random() < 0.2:
        return kind.empty
    if option.name in NESTED:
        return rnd.choice(NESTED[option.name])
    if option.name in WRITTEN:
        return rnd.choice(WRITTEN[option.name])
    draw = next((draw for of, draw in KINDS.items() if isinstance(kind, of)), None)
    assert draw is not None, option
    return draw(rnd, option)


# Texts that a pattern of their own holds together.
WRITTEN = {"datapath_id": ["0x1", "00000000000000aa"], "exts": ["gbp", "gpe,gbp"]}


def _vlans(rnd: random.Random, _option: Option) -> t.Any:
    return rnd.sample([0, 1, 7, 4094, "10-12", "11-20"], rnd.randint(1, 4))


def _structure(rnd: random.Random, option: Option) -> t.Any:
    simple = {
        key: inner
        for key, inner in option.kind.keys.items()
        if isinstance(inner, (Flag, Integer)) and rnd.random() < 0.3
    }
    return {key: value(rnd, option._replace(kind=inner, name=key)) for key, inner in simple.items()}


def _pairs(rnd: random.Random, _option: Option) -> t.Any:
    return {text(rnd): rnd.choice([text(rnd), 5, True]) for _index in range(rnd.randint(1, 3))}


def _words(rnd: random.Random, option: Option) -> t.Any:
    return rnd.sample(option.kind.spec["choices"], 2)


def _mac(rnd: random.Random, _option: Option) -> t.Any:
    return f"02:00:00:00:00:{rnd.randint(1, 255):02X}"


def _integer(rnd: random.Random, option: Option) -> t.Any:
    low, high, step = option.kind._low, option.kind._high, option.kind._step
    return max(rnd.randint(low, min(high, low + 40)) // step * step, low)


def _text(rnd: random.Random, option: Option) -> t.Any:
    return rnd.choice(option.kind.spec["choices"]) if "choices" in option.kind.spec else text(rnd)


KINDS: dict[type, t.Callable[[random.Random, Option], t.Any]] = {
    Vlans: _vlans,
    Structure: _structure,
    Pairs: _pairs,
    Words: _words,
    Mac: _mac,
    Integer: _integer,
    Text: _text,
}


def options(rnd: random.Random, table: t.Iterable[Option], share: float) -> Item:
    """Some options of a table with values."""
    return {o.name: value(rnd, o) for o in table if o.name not in _ELSEWHERE and rnd.random() < share}


def _vlan(rnd: random.Random) -> Item:
    return rnd.choice(
        [
            {},
            {"tag": rnd.randint(1, 4094), "trunks": []},
            {"tag": "", "trunks": rnd.sample([0, 1, 7, "10-12"], 2), "vlan_mode": rnd.choice(["", "trunk"])},
            {"tag": 9, "trunks": [8], "vlan_mode": "native-untagged"},
        ]
    )


def _state(rnd: random.Random) -> str:
    return rnd.choice(["present"] * 4 + ["absent"])


def bridges(rnd: random.Random) -> list[Item]:
    """Some bridges; no port is present twice."""
    ports = rnd.sample(PORTS, rnd.randint(0, len(PORTS)))
    items = []
    for name in rnd.sample(BRIDGES, rnd.randint(0, len(BRIDGES))):
        item = {
            **options(rnd, ovs_declaration.BRIDGE_OPTIONS, 0.2),
            "name": name,
            "datapath_type": "netdev",
            "state": _state(rnd),
            "ports": [],
        }
        for _index in range(rnd.randint(0, len(ports))):
            port = {
                **options(rnd, ovs_declaration.OPTIONS, 0.1),
                **_vlan(rnd),
                "name": ports.pop(),
                "type": "internal",
                "state": _state(rnd),
            }
            item["ports"].append(port)
        items.append(item)
    return items


def tunnels(rnd: random.Random) -> list[Item]:
    """Some tunnels."""
    items = []
    for name in rnd.sample(TUNNELS, rnd.randint(0, len(TUNNELS))):
        kind = rnd.choice(["gre", "vxlan", "geneve", "ip6gre"])
        table = [o for o in _ovs_tunnel.OPTIONS if not o.types or kind in o.types]
        net = "2001:db8::{}" if kind == "ip6gre" else "192.0.2.{}"
        fixed = {
            "name": name,
            "bridge": rnd.choice(BRIDGES),
            "type": kind,
            "remote_ip": net.format(rnd.randint(2, 6)),
            "state": _state(rnd),
        }
        items.append({**options(rnd, table, 0.1), **_vlan(rnd), **fixed, "key": rnd.choice(["", "flow", 0, 1, 2])})
    return items


# Columns that Open vSwitch itself writes, and identities that are its own.
EPHEMERAL = {
    "_uuid",
    "ports",
    "interfaces",
    "datapath_id",
    "ofport",
    "mac_in_use",
    "mtu",
    "error",
    "bfd_status",
    "status",
    "rstp_status",
    "statistics",
    "admin_state",
    "link_state",
    "lacp_current",
    "bond_active_slave",
    "cfm_fault",
}


def essence(database: Database) -> t.Any:
    """What is configured, comparable between the model and the switch."""

    def lasting(row: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
        return {column: _anonymous(value) for column, value in row.items() if column not in EPHEMERAL}

    tables = {name: {key: lasting(row) for key, row in rows.items()} for name, rows in database.tables.items()}
    del tables["Open_vSwitch"]
    return tables, database.bridge_of, database.members


def _anonymous(value: t.Any) -> t.Any:
    if not isinstance(value, dict):
        return value
    return {key: _anonymous(item) for key, item in value.items() if key not in STATUS}


def is_tunnel(database: Database, name: str) -> bool:
    """Whether a port is a tunnel."""
    return name in database.members and database.interface(name)["type"] in TUNNEL_TYPES
