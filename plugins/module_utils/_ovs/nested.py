# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hangs from a bridge, a port or the switch in rows of its own, as options of options.

This file is private to the collection. Source for each row: ovs-vswitchd.conf.db(5), the table of the same name.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    Address,
    Flag,
    Integer,
    Item,
    Kind,
    Option,
    Pairs,
    Strings,
    Text,
    Vlans,
    argument_spec,
    checked_text,
    own_keys,
    parse,
    port_name,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import empty_row
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import CLEAR
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

_MANY = 2**31 - 1
_WORD = 2**32 - 1


class PortName(Kind):
    """The name of a port of the bridge."""

    def parse(self, value: t.Any, where: str) -> str:
        return port_name(value, f"{where}:")


class PortNames(Kind):
    """The names of ports of the bridge."""

    spec = {"type": "list", "elements": "str"}
    empty: t.Any = ()

    def parse(self, value: t.Any, where: str) -> tuple[str, ...]:
        return tuple(sorted({port_name(name, f"{where}:") for name in value}))

    def shown(self, value: t.Any) -> t.Any:
        return list(value)


class Numbers(Kind):
    """A map to numbers within limits."""

    spec = {"type": "dict"}
    empty: t.Any = {}

    def __init__(self, keys: Kind, values: Integer) -> None:
        self._keys, self._values = keys, values

    def parse(self, value: t.Any, where: str) -> dict[t.Any, int]:
        return {
            self._keys.parse(key, f"{where}: a key"): self._values.parse(item, f"{where}: the value of {key}")
            for key, item in value.items()
        }

    def shown(self, value: t.Any) -> t.Any:
        return dict(sorted(value.items()))


class Single(Kind):
    """One row of a table by its only option."""

    def __init__(self, table: str, option: Option) -> None:
        self._table, self._option = table, option
        self.spec, self.empty = option.kind.spec, option.kind.empty

    def parse(self, value: t.Any, where: str) -> Item:
        return {**empty_row(self._table), self._option.column: self._option.kind.parse(value, where)}

    def shown(self, value: t.Any) -> t.Any:
        return self._option.kind.shown(self._option.value(value))


class Record(Kind):
    """One row of a table, as a dictionary of options; what is not given is as in a new row.

    needs: options that must be given, where the dictionary is not empty.
    """

    empty: t.Any = {}

    def __init__(self, table: str, options: t.Sequence[Option], needs: t.Sequence[str] = ()) -> None:
        self.table, self.options, self._needs = table, options, needs
        self.spec = {"type": "dict", "options": argument_spec(options)}
        self._owned = own_keys(options)

    def is_empty(self, value: t.Any) -> bool:
        # Ansible fills in the options that are not given.
        return not any(item is not None for item in value.values())

    def parse(self, value: t.Any, where: str) -> Item:
        for name in self._needs:
            if not value.get(name):
                raise FabricError(f"{where}: {name} is missing; give it, or an empty dictionary for none")
        row = empty_row(self.table)
        for option, item in parse(self.options, value, where):
            if option.key is not None:
                if item is not CLEAR:
                    row[option.column][option.key] = item
            elif isinstance(row[option.column], dict):
                row[option.column].update(item)
            else:
                row[option.column] = item
        return row

    def shown(self, value: t.Any) -> t.Any:
        new = empty_row(self.table)
        fields = {}
        for option in self.options:
            item = option.value(value)
            if isinstance(option.kind, Pairs):
                item = {
                    key: text for key, text in item.items() if (option.table, option.column, key) not in self._owned
                }
            if item != option.value(new):
                fields[option.name] = option.kind.shown(item)
        return fields


class Records(Kind):
    """Rows of a table, as a list of dictionaries.

    key: the option that tells them apart; known: its kind, where it is not a string that is a column of the row, but the number or
    word by which the parent knows it. others_stay: are rows without the owner's mark left, though they are not declared?
    """

    empty: t.Any = ()

    def __init__(self, record: Record, key: str, known: Kind | None = None, others_stay: bool = False) -> None:
        self._record, self._key, self._known, self.others_stay = record, key, known, others_stay
        named = {key: dict(known.spec if known else {"type": "str"}, required=True)}
        self.spec = {"type": "list", "elements": "dict", "options": {**record.spec["options"], **named}}

    def parse(self, value: t.Any, where: str) -> dict[t.Any, Item]:
        rows: dict[t.Any, Item] = {}
        for item in value:
            name = checked_text(str(item[self._key]), f"{where}: {self._key}")
            key = self._known.parse(item[self._key], f"{where}: {self._key}") if self._known else name
            if key in rows or not name:
                raise FabricError(
                    f"{where}: {self._key} {name!r} is {'declared twice; declare it once' if name else 'empty; give it'}"
                )
            rows[key] = self._record.parse(item, f"{where} {name}")
        return rows

    def shown(self, value: t.Any) -> t.Any:
        return [{self._key: key, **self._record.shown(row)} for key, row in sorted(value.items())]

    def entry(self, value: t.Any) -> t.Any:
        return self._record.shown(value)


# Targets -----------------------------------------------------------------------------------------------------------

_ADDRESS = r"(?:[0-9.]+|\[[0-9A-Fa-f:.%a-z0-9]+\])"
_COLLECTORS = Strings(
    (rf"{_ADDRESS}:[0-9]{{1,5}}", "collectors as ADDRESS:PORT, such as 192.0.2.9:2055 or [2001:db8::9]:2055")
)
_AGENTS = Strings((rf"{_ADDRESS}(:[0-9]{{1,5}})?", "collectors as ADDRESS or ADDRESS:PORT, such as 192.0.2.9:6343"))
_REMOTE = (
    r"(tcp|ssl|ptcp|pssl|unix|punix):[!-~]+",
    "a target such as tcp:192.0.2.1:6653, ssl:192.0.2.1:6653 or ptcp:6653",
)


def _remote(table: str) -> list[Option]:
    """What controllers and managers have in common."""
    return [
        Option("target", table, "target", Text(pattern=_REMOTE, clears=False)),
        Option("connection_mode", table, "connection_mode", Text("in-band", "out-of-band")),
        Option("inactivity_probe", table, "inactivity_probe", Integer(0, _MANY)),
        Option("max_backoff", table, "max_backoff", Integer(1000, _MANY)),
        Option("dscp", table, "other_config", Integer(0, 63), "dscp"),
        Option("other_config", table, "other_config", Pairs()),
    ]


CONTROLLERS = Records(
    Record(
        "Controller",
        [
            *_remote("Controller"),
            Option("local_ip", "Controller", "local_ip", Address(version=4)),
            Option(
                "local_netmask",
                "Controller",
                "local_netmask",
                Text(pattern=(r"[0-9]+(\.[0-9]+){3}", "a netmask such as 255.255.255.0")),
            ),
            Option("local_gateway", "Controller", "local_gateway", Address(version=4)),
            Option("enable_async_messages", "Controller", "enable_async_messages", Flag(True)),
            Option("rate_limit", "Controller", "controller_rate_limit", Integer(100, _MANY)),
            Option("burst_limit", "Controller", "controller_burst_limit", Integer(25, _MANY)),
            Option("queue_size", "Controller", "controller_queue_size", Integer(1, 512)),
            Option("type", "Controller", "type", Text("primary", "service")),
        ],
    ),
    "target",
)
MANAGERS = Records(Record("Manager", _remote("Manager")), "target", others_stay=True)
SSL = Record(
    "SSL",
    [
        Option("private_key", "SSL", "private_key", Text()),
        Option("certificate", "SSL", "certificate", Text()),
        Option("ca_cert", "SSL", "ca_cert", Text()),
        Option("bootstrap_ca_cert", "SSL", "bootstrap_ca_cert", Flag()),
    ],
    ("private_key", "certificate", "ca_cert"),
)

# Of a datapath -----------------------------------------------------------------------------------------------------

_STATES = (
    "tcp_syn_sent tcp_syn_recv tcp_established tcp_fin_wait tcp_close_wait tcp_last_ack tcp_time_wait tcp_close tcp_syn_sent2 "
    "tcp_retransmit tcp_unack udp_first udp_single udp_multiple icmp_first icmp_reply"
).split()
_TIMEOUTS = Numbers(Text(pattern=("|".join(_STATES), f"one of {', '.join(_STATES)}")), Integer(0, _WORD))
_ZONES = Records(
    Record(
        "CT_Zone",
        [
            Option(
                "timeouts",
                "CT_Zone",
                "timeout_policy",
                Single("CT_Timeout_Policy", Option("timeouts", "CT_Timeout_Policy", "timeouts", _TIMEOUTS)),
            )
        ],
    ),
    "zone",
    Integer(0, 65535),
)
DATAPATHS = Records(
    Record("Datapath", [Option("zones", "Datapath", "ct_zones", _ZONES)]),
    "type",
    Text("system", "netdev", clears=False),
    others_stay=True,
)

# Of a bridge -------------------------------------------------------------------------------------------------------

MIRRORS = Records(
    Record(
        "Mirror",
        [
            Option("name", "Mirror", "name", Text(clears=False)),
            Option("select_all", "Mirror", "select_all", Flag()),
            Option("select_src_ports", "Mirror", "select_src_port", PortNames()),
            Option("select_dst_ports", "Mirror", "select_dst_port", PortNames()),
            Option("select_vlans", "Mirror", "select_vlan", Vlans()),
            Option("output_port", "Mirror", "output_port", PortName()),
            Option("output_vlan", "Mirror", "output_vlan", Integer(1, 4094)),
            Option("snaplen", "Mirror", "snaplen", Integer(14, 65535)),
        ],
    ),
    "name",
    others_stay=True,
)
NETFLOW = Record(
    "NetFlow",
    [
        Option("targets", "NetFlow", "targets", _COLLECTORS),
        Option("active_timeout", "NetFlow", "active_timeout", Integer(-1, _MANY)),
        Option("engine_type", "NetFlow", "engine_type", Integer(0, 255)),
        Option("engine_id", "NetFlow", "engine_id", Integer(0, 255)),
        Option("add_id_to_interface", "NetFlow", "add_id_to_interface", Flag()),
    ],
    ("targets",),
)
SFLOW = Record(
    "sFlow",
    [
        Option("targets", "sFlow", "targets", _AGENTS),
        Option("agent", "sFlow", "agent", Text()),
        Option("sampling", "sFlow", "sampling", Integer(1, _MANY)),
        Option("polling", "sFlow", "polling", Integer(0, _MANY)),
        Option("header", "sFlow", "header", Integer(1, 65535)),
    ],
    ("targets",),
)
IPFIX = Record(
    "IPFIX",
    [
        Option("targets", "IPFIX", "targets", _COLLECTORS),
        Option("sampling", "IPFIX", "sampling", Integer(1, _WORD)),
        Option("obs_domain_id", "IPFIX", "obs_domain_id", Integer(0, _WORD)),
        Option("obs_point_id", "IPFIX", "obs_point_id", Integer(0, _WORD)),
        Option("cache_active_timeout", "IPFIX", "cache_active_timeout", Integer(0, 4200)),
        Option("cache_max_flows", "IPFIX", "cache_max_flows", Integer(0, _WORD)),
        Option("enable_tunnel_sampling", "IPFIX", "other_config", Flag(True), "enable-tunnel-sampling"),
        Option("enable_input_sampling", "IPFIX", "other_config", Flag(True), "enable-input-sampling"),
        Option("enable_output_sampling", "IPFIX", "other_config", Flag(True), "enable-output-sampling"),
        Option("virtual_obs_id", "IPFIX", "other_config", Text(), "virtual_obs_id"),
        Option("other_config", "IPFIX", "other_config", Pairs()),
    ],
    ("targets",),
)
COLLECTOR_SETS = Records(
    Record(
        "Flow_Sample_Collector_Set",
        [
            Option("id", "Flow_Sample_Collector_Set", "id", Integer(0, _WORD)),
            Option("ipfix", "Flow_Sample_Collector_Set", "ipfix", IPFIX),
        ],
    ),
    "id",
    Integer(0, _WORD),
    others_stay=True,
)
FLOW_TABLES = Records(
    Record(
        "Flow_Table",
        [
            Option("name", "Flow_Table", "name", Text()),
            Option("flow_limit", "Flow_Table", "flow_limit", Integer(0, _MANY)),
            Option("overflow_policy", "Flow_Table", "overflow_policy", Text("refuse", "evict")),
            Option("groups", "Flow_Table", "groups", Strings((r"\S*", "fields of OpenFlow such as NXM_OF_IN_PORT[]"))),
            Option("prefixes", "Flow_Table", "prefixes", Strings((r"[a-z0-9_]+", "fields of OpenFlow such as ip_dst"))),
        ],
    ),
    "table",
    Integer(0, 254),
)
AUTO_ATTACH = Record(
    "AutoAttach",
    [
        Option("system_name", "AutoAttach", "system_name", Text()),
        Option("system_description", "AutoAttach", "system_description", Text()),
        Option("mappings", "AutoAttach", "mappings", Numbers(Integer(0, 2**24 - 1), Integer(1, 4094))),
    ],
)

# Of a port ---------------------------------------------------------------------------------------------------------

_RATE = Integer(0, 2**63 - 1)
_QUEUES = Records(
    Record(
        "Queue",
        [
            Option("dscp", "Queue", "dscp", Integer(0, 63)),
            Option("min_rate", "Queue", "other_config", Integer(1, 2**63 - 1), "min-rate"),
            Option("max_rate", "Queue", "other_config", Integer(1, 2**63 - 1), "max-rate"),
            Option("burst", "Queue", "other_config", Integer(1, 2**63 - 1), "burst"),
            Option("priority", "Queue", "other_config", Integer(0, _WORD), "priority"),
            Option("other_config", "Queue", "other_config", Pairs()),
        ],
    ),
    "queue_id",
    Integer(0, _WORD),
)
QOS = Record(
    "QoS",
    [
        Option("type", "QoS", "type", Text(clears=False)),
        Option("max_rate", "QoS", "other_config", _RATE, "max-rate"),
        Option("cir", "QoS", "other_config", _RATE, "cir"),
        Option("cbs", "QoS", "other_config", _RATE, "cbs"),
        Option("eir", "QoS", "other_config", _RATE, "eir"),
        Option("ebs", "QoS", "other_config", _RATE, "ebs"),
        Option("queues", "QoS", "queues", _QUEUES),
        Option("other_config", "QoS", "other_config", Pairs()),
    ],
    ("type",),
)


def check_mirrors(bridge: str, declared: t.Mapping[str, Item], ports: t.Container[str]) -> None:
    """Refuse a mirror that Open vSwitch would take and not follow.

    declared: by name, as rows. ports: of the bridge, its local port among them, as they will be.
    """
    for name, mirror in declared.items():
        what = f"bridge {bridge}: mirrors {name}"
        if (mirror["output_port"] is None) == (mirror["output_vlan"] is None):
            raise FabricError(f"{what}: give one of output_port (SPAN) and output_vlan (RSPAN)")
        for option, column in (
            ("select_src_ports", "select_src_port"),
            ("select_dst_ports", "select_dst_port"),
            ("output_port", "output_port"),
        ):
            names = (mirror[column],) if column == "output_port" else mirror[column]
            for port in names:
                if port is not None and port not in ports:
                    raise FabricError(
                        f"{what}: {option} names {port}, which is no port of the bridge; declare it there, or name another"
                    )
