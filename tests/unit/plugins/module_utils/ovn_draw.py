# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people may declare for ovn_northbound, drawn at random; for the tests without and with a real database."""

from __future__ import annotations

import random
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovn.database import GLOBAL, Tables
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.declaration import Node, declared
from ansible_collections.overloom.fabric.plugins.module_utils._ovn.tables import PLACES, ROOTS, TABLES, Field, Table
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import Flag, Pairs
from ansible_collections.overloom.fabric.plugins.module_utils._owner import OVS_OWNER

Item = t.Dict[str, t.Any]

AWKWARD = ("a b", '"', "'", "a=b", "a,b", "[x]", "@new1", "é", "true", "[]", "{}", "5", "a:b", "\\", "1234-5678")
# Names that rows of a table may have; few, so that they meet.
NAMES = {
    "Logical_Switch": ("s0", "s1", "s/2 b"),
    "Logical_Switch_Port": ("p0", "p1", "p2", "kvm1/p:3"),
    "Logical_Router": ("r0", "r1"),
    "Logical_Router_Port": ("l0", "l1", "l2"),
    "DHCP_Options": ("d0", "d1"),
    "DNS": ("n0", "n1"),
    "Port_Group": ("g0", "g_1.x"),
    "Address_Set": ("a0", "a1"),
    "Load_Balancer": ("b0", "b1"),
    "HA_Chassis_Group": ("h0", "h1"),
    "Meter": ("m0", "m1"),
    "Copp": ("c0", "c1"),
    "Mirror": ("i0", "i1"),
    "Forwarding_Group": ("f0", "f1"),
}
ADDRESSES = ("192.0.2.1", "192.0.2.2", "2001:db8::1")
PREFIXES = ("10.0.0.0/24", "10.1.0.0/16", "2001:db8::/64", "0.0.0.0/0")
MATCHES = ("ip4", "ip6 && tcp.dst == 80", 'outport == "p0"', "1")
# Options of which the kind does not say what is valid.
VALUES: dict[tuple[str, str], t.Sequence[t.Any]] = {
    ("", "match"): MATCHES,
    ("", "chassis_name"): ("kvm1", "kvm2"),
    ("", "mac"): ("02:00:00:00:00:01", "02:00:00:00:00:FE"),
    ("", "vmac"): ("02:00:00:00:00:01", "02:00:00:00:00:02"),
    ("", "external_mac"): ("02:00:00:00:00:01", "02:00:00:00:00:02"),
    ("", "external_ip"): ADDRESSES,
    ("", "logical_ip"): (*ADDRESSES, *PREFIXES),
    ("", "external_port_range"): ("1000-2000", "1"),
    ("", "vip"): ADDRESSES,
    ("", "sink"): ADDRESSES,
    ("", "dst_ip"): ADDRESSES,
    ("", "nexthop"): (*ADDRESSES, "discard"),
    ("", "ip_prefix"): PREFIXES,
    ("", "cidr"): PREFIXES,
    ("", "logical_port"): ("l0", "l1", "p0"),
    ("", "output_port"): ("l0", "l1"),
    ("", "peer"): ("l0", "l1"),
    ("", "parent_name"): ("p0", "p1"),
    ("", "chassis"): ("kvm1", "kvm2"),
    ("", "route_table"): ("t1", "t2"),
    ("", "meter"): ("m0", "m1"),
    ("", "networks"): ("10.0.0.1/24", "10.1.0.1/16", "2001:db8::1/64"),
    ("", "nexthops"): ADDRESSES,
    ("", "child_port"): ("p0", "p1"),
    ("Logical_Switch_Port", "addresses"): (
        "unknown",
        "router",
        "dynamic",
        "02:00:00:00:00:01 10.0.0.1 2001:db8::5",
        "02:00:00:00:00:02",
    ),
    ("Logical_Switch_Port", "port_security"): ("02:00:00:00:00:01 10.0.0.1/24", "02:00:00:00:00:02"),
    ("Address_Set", "addresses"): (*PREFIXES, *ADDRESSES, "02:00:00:00:00:01"),
    ("Load_Balancer_Health_Check", "vip"): ("192.0.2.1:80", "[2001:db8::1]:80"),
}
NUMBERS = {
    "priority": (0, 1, 1000, 32767),
    "tag": (1, 4095),
    "tag_request": (0, 1, 4095),
    "label": (0, 1, 2**32 - 1),
    "index": (0, 1, 7),
    "rate": (1, 1000),
    "burst_size": (0, 5),
    "min_tx": (1, 100),
    "min_rx": (0, 100),
    "detect_mult": (1, 5),
}
MAPS: dict[str, dict[str, t.Sequence[int]]] = {
    "action": {"dscp": (0, 63)},
    "bandwidth": {"rate": (1, 100), "burst": (1, 100)},
}


class _Drawing:
    """One intent. names: what is declared of each table, for the options that name rows."""

    def __init__(self, rnd: random.Random) -> None:
        self.rnd = rnd
        self.names: dict[str, list[str]] = {}
        self.taken: set[tuple[str, str]] = set()
        for table, names in NAMES.items():
            self.names[table] = [name for name in names if rnd.random() < 0.6]

    def some(self, values: t.Sequence[t.Any]) -> list[t.Any]:
        return self.rnd.sample(list(values), self.rnd.randint(0, len(values)))

    def value(self, table: Table, field: Field) -> t.Any:
        """A value of an option, which its kind or the list above allows; sometimes the one that clears."""
        if field.by:
            return False
        if field.refers:
            names = self.names[field.refers] if field.refers != "Logical_Switch_Port" else []
            return self.some(names) if field.stored.kind == "set" else self.rnd.choice([*names, ""])
        if isinstance(field.kind, Flag):
            return self.rnd.random() < 0.5
        if field.name in MAPS and field.stored.kind == "numbers":
            chosen = self.some(list(MAPS[field.name]))
            return {key: self.rnd.choice(list(MAPS[field.name][key])) for key in chosen}
        if isinstance(field.kind, Pairs):
            names = (self.rnd.choice((f"k{n}", *AWKWARD)) for n in range(self.rnd.randint(0, 3)))
            return {name: self.rnd.choice(AWKWARD) for name in names}
        if field.name in NUMBERS:
            return self.rnd.choice(NUMBERS[field.name])
        choices = field.kind.spec.get("choices")
        known = VALUES.get((table.name, field.name)) or VALUES.get(("", field.name)) or choices or AWKWARD
        if field.stored.kind == "set":
            return self.some(known)
        return self.rnd.choice([*(value for value in known if value), *([] if choices and "" not in choices else [""])])

    def row(self, table: Table) -> Item | None:
        """A row; None if its name is taken wherever one is left."""
        item: Item = {}
        for field in map(table.field, table.keys):
            value = self.key(table, field)
            if value is None:
                return None
            item[field.name] = value
        for field in table.fields:
            if field.name not in table.keys and (field.name in table.required or self.rnd.random() < 0.5):
                item[field.name] = (
                    self.given(table, field) if field.name in table.required else self.value(table, field)
                )
        for made, asked in table.instead:
            if item.get(made) and item.get(asked) not in (None, ""):
                item[self.rnd.choice((made, asked))] = ""
        for child in table.children:
            if child.needed or self.rnd.random() < 0.7:
                item[child.option] = self.rows(child.table, at_least=int(child.needed))
        return item

    def key(self, table: Table, field: Field) -> t.Any:
        """A value of what tells rows apart. A name is there once in a list, or once in the database."""
        if field.name == "name" and table.name in NAMES:
            free = [one for one in self.names[table.name] if (table.name, one) not in self.taken]
            if not free:
                return None
            self.taken.add((table.name, self.rnd.choice(free)))
            return next(one for one in free if (table.name, one) in self.taken)
        return self.value(table, field) if field.name in table.optional else self.given(table, field)

    def given(self, table: Table, field: Field) -> t.Any:
        """A value that does not clear."""
        value = self.value(table, field)
        while value in ("", [], None):
            value = self.value(table, field)
        return value

    def rows(self, table: Table, at_least: int = 0) -> list[Item]:
        keys: dict[str, Item] = {}
        for _number in range(max(at_least, self.rnd.randint(0, 3))):
            item = self.row(table)
            if item is not None:
                keys[str([str(item.get(name) or _usual(table, name)) for name in table.keys])] = item
        return list(keys.values())


def _usual(table: Table, name: str) -> t.Any:
    return table.field(name).kind.canonical(table.field(name).default())


def intent(rnd: random.Random) -> Item:
    """The lists of a valid call: whatever it names is declared in it."""
    drawing = _Drawing(rnd)
    lists: Item = {}
    for root in ROOTS:
        names = NAMES.get(root.table.name)
        if names is None:
            lists[root.option] = drawing.rows(root.table)
            continue
        items = []
        for _name in list(drawing.names[root.table.name]):
            items.append(drawing.row(root.table))
        lists[root.option] = [item for item in items if item]
    ports = [port["name"] for switch in lists["switches"] for port in switch.get("ports") or ()]
    for group in lists["port_groups"]:
        group["ports"] = drawing.some(ports)
    _correct(lists)
    return lists


def _correct(lists: Item) -> None:
    """Take out what names rows that are not declared after all, and what not every ovn-northd takes."""
    for switch in lists["switches"]:
        # More than one is refused where ovn-northd cannot take them.
        if "forwarding_groups" in switch:
            switch["forwarding_groups"] = switch["forwarding_groups"][:1]
    there = {port["name"] for router in lists["routers"] for port in router.get("ports") or ()}
    for router in lists["routers"]:
        for nat in router.get("nat") or ():
            if nat.get("gateway_port") not in there:
                nat.pop("gateway_port", None)


def nodes(lists: Item) -> list[Node]:
    """The lists as the module takes them up."""
    return declared(lists)


# A database in memory ----------------------------------------------------------------------------------------------


def empty() -> Tables:
    """A database with nothing but the row that holds for all of it."""
    tables: Tables = {GLOBAL: {}, **{name: {} for name in TABLES}}
    tables[GLOBAL]["global"] = {
        "_uuid": "global",
        "nb_cfg": 0,
        "sb_cfg": 0,
        "hv_cfg": 0,
        "options": {"mine": "1"},
        "external_ids": {},
    }
    return tables


def stored(tables: Tables, count: t.Iterator[int]) -> Tables:
    """The database as it is read again after a change: new rows have UUIDs."""
    ids = {ref: f"uuid{next(count)}" for rows in tables.values() for ref in rows if ref.startswith("@")}

    def known(value: t.Any) -> t.Any:
        if isinstance(value, tuple):
            return tuple(sorted(known(item) for item in value))
        return ids.get(value, value) if isinstance(value, str) and value.startswith("@new") else value

    columns = {name: {child.column for child in table.children} for name, table in TABLES.items()}
    for name, table in TABLES.items():
        columns[name] |= {"_uuid", *(field.column for field in table.fields if field.refers)}
    result: Tables = {}
    for name, rows in tables.items():
        refer, stored_rows = columns.get(name, ()), result.setdefault(name, {})
        for ref, row in rows.items():
            stored_rows[ids.get(ref, ref)] = {c: known(value) if c in refer else value for c, value in row.items()}
    return result


def foreign(tables: Tables, rnd: random.Random) -> Tables:
    """The database as if others had made some of its rows."""
    rows = {name: {ref: dict(row) for ref, row in held.items()} for name, held in tables.items()}
    for name in TABLES:
        for row in rows[name].values():
            if rnd.random() < 0.3:
                row["external_ids"] = {key: value for key, value in row["external_ids"].items() if key != OVS_OWNER}
    return rows


def of_others(tables: Tables) -> Tables:
    """The rows without our mark, and without the lists in which ours may hang."""
    lists = {above.name: set() for above, _child in PLACES}
    for above, child in PLACES:
        lists[above.name].add(child.column)
    result: Tables = {}
    for name, rows in tables.items():
        theirs = {ref: row for ref, row in rows.items() if OVS_OWNER not in row["external_ids"]}
        hung = lists.get(name, ())
        if name != GLOBAL:
            result[name] = {ref: {c: v for c, v in row.items() if c not in hung} for ref, row in theirs.items()}
    return result
