# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables and columns of Open vSwitch's database that the modules know, and how a value of each is stored.

This file is private to the collection. Source: ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

import typing as t


class Column(t.NamedTuple):
    """How a column is stored.

    kind: "scalar" (always one value), "optional" (one value or None), "set" (a sorted tuple), "map" (a dict of strings),
        "numbers" (a dict from strings to numbers), "ports" (a sorted tuple of names of ports), "port" (one of them or None), and
        what belongs to the row alone and is
        a part of it in the model: "row" (a dict of columns or None), "rows" (a dict of such by their key).
    default: the value in a new row.
    table: of "row" and "rows": where these are. key: of "rows": the column that tells them apart; without one the column is
        a map, and its keys do. back: of "rows" that are in no column here: the column there that says whose they are.
    """

    kind: str
    default: t.Any = None
    table: str = ""
    key: str = ""
    back: str = ""


TEXT = Column("scalar", "")
NUMBER = Column("scalar", 0)
FLAG = Column("scalar", False)
MAYBE = Column("optional")
SET = Column("set", ())
MAP = Column("map", {})

# The columns that the modules know. Those of EXTRA are read only when an option needs them, because an older
# Open vSwitch has not all of them and ovs-vsctl refuses to list a column that is not there; those of STATE change all the time.
TABLES: dict[str, dict[str, Column]] = {
    "Queue": {"_uuid": TEXT, "dscp": MAYBE, "other_config": MAP, "external_ids": MAP},
    "QoS": {
        "_uuid": TEXT,
        "type": TEXT,
        "queues": Column("rows", {}, "Queue"),
        "other_config": MAP,
        "external_ids": MAP,
    },
    "Mirror": {
        "_uuid": TEXT,
        "name": TEXT,
        "select_all": FLAG,
        "select_src_port": Column("ports", ()),
        "select_dst_port": Column("ports", ()),
        "select_vlan": SET,
        "output_port": Column("port"),
        "output_vlan": MAYBE,
        "snaplen": MAYBE,
        "external_ids": MAP,
    },
    "NetFlow": {
        "_uuid": TEXT,
        "targets": SET,
        "engine_type": MAYBE,
        "engine_id": MAYBE,
        "add_id_to_interface": FLAG,
        "active_timeout": NUMBER,
        "external_ids": MAP,
    },
    "sFlow": {
        "_uuid": TEXT,
        "targets": SET,
        "sampling": MAYBE,
        "polling": MAYBE,
        "header": MAYBE,
        "agent": MAYBE,
        "external_ids": MAP,
    },
    "IPFIX": {
        "_uuid": TEXT,
        "targets": SET,
        "sampling": MAYBE,
        "obs_domain_id": MAYBE,
        "obs_point_id": MAYBE,
        "cache_active_timeout": MAYBE,
        "cache_max_flows": MAYBE,
        "other_config": MAP,
        "external_ids": MAP,
    },
    "Flow_Sample_Collector_Set": {
        "_uuid": TEXT,
        "id": NUMBER,
        "ipfix": Column("row", None, "IPFIX"),
        "external_ids": MAP,
    },
    "Flow_Table": {
        "_uuid": TEXT,
        "name": MAYBE,
        "flow_limit": MAYBE,
        "overflow_policy": MAYBE,
        "groups": SET,
        "prefixes": SET,
        "external_ids": MAP,
    },
    "AutoAttach": {"_uuid": TEXT, "system_name": TEXT, "system_description": TEXT, "mappings": MAP},
    "Controller": {
        "_uuid": TEXT,
        "target": TEXT,
        "max_backoff": MAYBE,
        "inactivity_probe": MAYBE,
        "connection_mode": MAYBE,
        "local_ip": MAYBE,
        "local_netmask": MAYBE,
        "local_gateway": MAYBE,
        "enable_async_messages": MAYBE,
        "controller_rate_limit": MAYBE,
        "controller_burst_limit": MAYBE,
        "controller_queue_size": MAYBE,
        "type": MAYBE,
        "other_config": MAP,
        "external_ids": MAP,
        "is_connected": FLAG,
        "role": MAYBE,
    },
    "Manager": {
        "_uuid": TEXT,
        "target": TEXT,
        "max_backoff": MAYBE,
        "inactivity_probe": MAYBE,
        "connection_mode": MAYBE,
        "other_config": MAP,
        "external_ids": MAP,
        "is_connected": FLAG,
    },
    "SSL": {
        "_uuid": TEXT,
        "private_key": TEXT,
        "certificate": TEXT,
        "ca_cert": TEXT,
        "bootstrap_ca_cert": FLAG,
        "external_ids": MAP,
    },
    "CT_Timeout_Policy": {"_uuid": TEXT, "timeouts": Column("numbers", {}), "external_ids": MAP},
    "CT_Zone": {"_uuid": TEXT, "timeout_policy": Column("row", None, "CT_Timeout_Policy"), "external_ids": MAP},
    "Datapath": {"_uuid": TEXT, "ct_zones": Column("rows", {}, "CT_Zone"), "external_ids": MAP},
    "Open_vSwitch": {
        "bridges": SET,
        "ovs_version": MAYBE,
        "iface_types": SET,
        "cur_cfg": NUMBER,
        "next_cfg": NUMBER,
        "other_config": MAP,
        "external_ids": MAP,
        "manager_options": Column("rows", {}, "Manager", "target"),
        "ssl": Column("row", None, "SSL"),
        "datapaths": Column("rows", {}, "Datapath"),
    },
    "Bridge": {
        "_uuid": TEXT,
        "name": TEXT,
        "ports": SET,
        "datapath_type": TEXT,
        "datapath_id": MAYBE,
        "fail_mode": MAYBE,
        "stp_enable": FLAG,
        "rstp_enable": FLAG,
        "mcast_snooping_enable": FLAG,
        "protocols": SET,
        "flood_vlans": SET,
        "external_ids": MAP,
        "other_config": MAP,
        "status": MAP,
        "rstp_status": MAP,
        "controller": Column("rows", {}, "Controller", "target"),
        "mirrors": Column("rows", {}, "Mirror", "name"),
        "netflow": Column("row", None, "NetFlow"),
        "sflow": Column("row", None, "sFlow"),
        "ipfix": Column("row", None, "IPFIX"),
        "flow_tables": Column("rows", {}, "Flow_Table"),
        "auto_attach": Column("row", None, "AutoAttach"),
        "collector_sets": Column("rows", {}, "Flow_Sample_Collector_Set", "id", "bridge"),
    },
    "Port": {
        "_uuid": TEXT,
        "name": TEXT,
        "interfaces": SET,
        "tag": MAYBE,
        "trunks": SET,
        "cvlans": SET,
        "vlan_mode": MAYBE,
        "protected": FLAG,
        "bond_mode": MAYBE,
        "lacp": MAYBE,
        "bond_updelay": NUMBER,
        "bond_downdelay": NUMBER,
        "bond_fake_iface": FLAG,
        "bond_active_slave": MAYBE,
        "fake_bridge": FLAG,
        "mac": MAYBE,
        "qos": Column("row", None, "QoS"),
        "external_ids": MAP,
        "other_config": MAP,
        "status": MAP,
        "rstp_status": MAP,
    },
    "Interface": {
        "_uuid": TEXT,
        "name": TEXT,
        "type": TEXT,
        "options": MAP,
        "ofport": MAYBE,
        "ofport_request": MAYBE,
        "error": MAYBE,
        "mac": MAYBE,
        "mac_in_use": MAYBE,
        "mtu": MAYBE,
        "mtu_request": MAYBE,
        "bfd": MAP,
        "bfd_status": MAP,
        "cfm_mpid": MAYBE,
        "cfm_fault": MAYBE,
        "ingress_policing_rate": NUMBER,
        "ingress_policing_burst": NUMBER,
        "ingress_policing_kpkts_rate": NUMBER,
        "ingress_policing_kpkts_burst": NUMBER,
        "admin_state": MAYBE,
        "link_state": MAYBE,
        "lacp_current": MAYBE,
        "lldp": MAP,
        "status": MAP,
        "statistics": MAP,
        "external_ids": MAP,
        "other_config": MAP,
    },
}
STATE = {
    ("Bridge", "status"),
    ("Bridge", "rstp_status"),
    ("Port", "status"),
    ("Port", "rstp_status"),
    ("Interface", "statistics"),
}
EXTRA = {
    ("Interface", "ingress_policing_kpkts_rate"),
    ("Interface", "ingress_policing_kpkts_burst"),
    ("Open_vSwitch", "datapaths"),
    *STATE,
}


def _referring(columns: t.Mapping[str, Column]) -> list[tuple[str, Column]]:
    """The columns that name rows of another table."""
    return [(name, spec) for name, spec in columns.items() if spec.table or spec.kind in ("port", "ports")]


_REFERRING = {table: _referring(columns) for table, columns in TABLES.items()}

# What Open vSwitch itself writes into rows that belong to others.
STATUS = frozenset({"_uuid", "is_connected", "role"})

# The one row of the table Open_vSwitch.
ROOT = "."


def empty_row(table: str, name: str = "") -> dict[str, t.Any]:
    """A new row as Open vSwitch would make it."""
    row = {
        column: dict(spec.default) if isinstance(spec.default, dict) else spec.default
        for column, spec in TABLES[table].items()
    }
    if name:
        row["name"] = name
    return row


def value_of(kind: str, value: t.Any) -> t.Any:
    """A value of RFC 7047, 5.1, as a column of this kind holds it; what refers to a row is its UUID."""
    if isinstance(value, list):
        tag, content = value
        if tag == "uuid":
            value = content
        elif tag == "map":
            return {key: item[1] if isinstance(item, list) else item for key, item in content}
        else:
            items = [item[1] if isinstance(item, list) else item for item in content]
            return tuple(sorted(items)) if kind in ("set", "ports", "rows") else (items[0] if items else None)
    return (value,) if kind in ("set", "ports", "rows") else value


Row = t.Dict[str, t.Any]


def whole_rows(rows: dict[str, dict[str, Row]]) -> dict[str, dict[str, Row]]:
    """The rows of every table by UUID, with the rows that belong to them in the place of UUIDs, and ports by name."""
    names = {uuid: port["name"] for uuid, port in rows["Port"].items()}

    def referring(spec: Column, parent: str) -> list[str]:
        return [uuid for uuid, there in rows[spec.table].items() if there[spec.back] == parent]

    def whole(table: str, row: Row) -> Row:
        result = (
            {column: value for column, value in row.items() if column in TABLES[table]} if _REFERRING[table] else row
        )
        for column, spec in _REFERRING[table]:
            if spec.back:
                held = {**row, column: referring(spec, row["_uuid"])}
            elif column in row:
                held = row
            else:
                continue
            value = held[column]
            if spec.kind == "ports":
                result[column] = tuple(sorted(names[uuid] for uuid in value if uuid in names))
            elif spec.kind == "port":
                result[column] = names.get(value)
            elif spec.kind == "row":
                result[column] = whole(spec.table, rows[spec.table][value]) if value else None
            else:
                keyed = (
                    value.items()
                    if isinstance(value, dict)
                    else ((rows[spec.table][uuid][spec.key], uuid) for uuid in value)
                )
                result[column] = {key: whole(spec.table, rows[spec.table][uuid]) for key, uuid in keyed}
        return result

    found = {}
    for table in ("Open_vSwitch", "Bridge", "Port", "Interface"):
        found[table] = {uuid: whole(table, row) for uuid, row in rows[table].items()}
    return found


def queries(extra: t.Container[tuple[str, str]]) -> dict[str, list[str]]:
    """The columns to read of each table, where of EXTRA only these are wanted, and what only the rest of it refers to is left out."""
    referred = {
        spec.table: (table, column)
        for table, columns in TABLES.items()
        for column, spec in columns.items()
        if spec.table
    }
    asked: dict[str, list[str]] = {}

    def wanted(place: tuple[str, str] | None) -> bool:
        return place is None or ((place not in EXTRA or place in extra) and wanted(referred.get(place[0])))

    for table, columns in TABLES.items():
        if wanted(referred.get(table)):
            backward = [
                spec.back for others in TABLES.values() for spec in others.values() if spec.table == table and spec.back
            ]
            asked[table] = [
                c for c, spec in columns.items() if not spec.back and ((table, c) not in EXTRA or (table, c) in extra)
            ] + backward
    return asked
