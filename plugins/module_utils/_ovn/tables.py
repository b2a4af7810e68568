# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of OVN's northbound database that the modules know: what tells their rows apart, their options, and what hangs below them.

This file is private to the collection. Widening `ovn_northbound` is adding rows here: the argument spec, the check of a value, the
comparison, the change and the state that is returned all follow. Source for each row: ovn-nb(5).
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    Flag,
    Integer,
    Item,
    Kind,
    Mac,
    Pairs,
    Text,
    checked_text,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import (
    FLAG,
    MAP,
    MAYBE,
    NUMBER,
    SET,
    TEXT,
    Column,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

# Of a row without a name column: the key of external_ids that has its name.
NAME_KEY = "overloom-name"
# A map from strings to numbers.
NUMBERS = Column("numbers", {})


# Kinds of values ---------------------------------------------------------------------------------------------------


class Number(Integer):
    """A whole number, which Ansible checks to be one."""

    spec = {"type": "int"}  # noqa: RUF012


class Lines(Kind):
    """A set of strings; check: raises FabricError for one that will not do."""

    empty: t.Any = ()

    def __init__(self, check: t.Callable[[str, str], None] | None = None, *choices: str) -> None:
        self._check = check
        self.spec = {"type": "list", "elements": "str", **({"choices": list(choices)} if choices else {})}

    def parse(self, value: t.Any, where: str) -> tuple[str, ...]:
        for line in value:
            checked_text(line, where)
            if self._check:
                self._check(line, where)
        return tuple(sorted(set(value)))

    def shown(self, value: t.Any) -> t.Any:
        return list(value)


class Numbers(Pairs):
    """A map whose keys are options of their own, and numbers."""

    def __init__(self, **keys: Integer) -> None:
        self._keys = keys
        self.spec = {"type": "dict", "options": {name: dict(kind.spec) for name, kind in keys.items()}}

    def parse(self, value: t.Any, where: str) -> dict[str, t.Any]:
        return {
            key: self._keys[key].parse(number, f"{where}.{key}") for key, number in value.items() if number is not None
        }


class Usual(Text):
    """A string, or one of some choices. usual: what a column that is not set means."""

    def __init__(self, usual: str | None, *choices: str) -> None:
        super().__init__(*choices)
        self._usual = usual

    def canonical(self, value: t.Any) -> t.Any:
        return value or self._usual


class Checked(Text):
    """A string that a function looks at, which raises FabricError."""

    def __init__(self, check: t.Callable[[str, str], None]) -> None:
        super().__init__()
        self._check = check

    def parse(self, value: t.Any, where: str) -> str:
        text = super().parse(value, where)
        if text:
            self._check(text, where)
        return text


def is_address(text: str, where: str) -> None:
    """An IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise FabricError(f"{where} is {text!r}; give an IPv4 or IPv6 address") from None


def is_prefix(text: str, where: str) -> None:
    """An address or a network."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise FabricError(f"{where} is {text!r}; give an IPv4 or IPv6 network such as 192.0.2.0/24") from None


def is_interface(text: str, where: str) -> None:
    """An address with its prefix length."""
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        text, good = repr(text), False
    else:
        text, good = repr(text), "/" in text
    if not good:
        raise FabricError(f"{where} holds {text}; give addresses with their prefix length, such as 192.0.2.1/24")


def is_nexthop(text: str, where: str) -> None:
    """An address, or the word that drops."""
    if text != "discard":
        is_address(text, where)


def is_set_member(text: str, where: str) -> None:
    """An IP address or network, or a MAC address."""
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        try:
            Mac().parse(text, where)
        except FabricError:
            raise FabricError(f"{where} holds {text!r}; give IP addresses, networks or MAC addresses") from None


def is_port_address(text: str, where: str) -> None:
    """A port's address as ovn-nb(5) has it: a word, or a MAC address with IP addresses, either of them dynamic."""
    first, *rest = text.split() or [""]
    if text in ("unknown", "router", "dynamic"):
        return
    try:
        if first != "dynamic":
            Mac().parse(first, where)
        for word in rest:
            if word != "dynamic":
                ipaddress.ip_address(word)
    except (FabricError, ValueError):
        raise FabricError(
            f"{where} holds {text!r}; give a MAC address with IP addresses behind it, or unknown, router or dynamic"
        ) from None


def is_secured(text: str, where: str) -> None:
    """What port security lets through: a MAC address, with IP addresses or networks behind it."""
    first, *rest = text.split() or [""]
    try:
        Mac().parse(first, where)
        for word in rest:
            ipaddress.ip_interface(word)
    except (FabricError, ValueError):
        raise FabricError(f"{where} holds {text!r}; give a MAC address with IP addresses behind it") from None


# Tables ------------------------------------------------------------------------------------------------------------


class Field(t.NamedTuple):
    """One option of a row: how its value lives in a column.

    name: of the option, and of the column unless that is given. key: of the column's map, or None for the whole column.
    refers: the table of the rows that the column holds and the option names.
    exact: of such a set, whether what others put into it goes, too. strong: whether the database refuses to remove such a row.
    by: the options of the row itself whose values tell that row apart; the option then only says whether it is referred to.
    """

    name: str
    kind: Kind
    stored: Column
    column_name: str = ""
    key: str | None = None
    refers: str = ""
    exact: bool = False
    strong: bool = False
    by: tuple[str, ...] = ()

    @property
    def column(self) -> str:
        """The column."""
        return self.column_name or self.name

    def value(self, row: Item) -> t.Any:
        """What the row holds for it."""
        held = row.get(self.column, self.stored.default)
        return held if self.key is None else held.get(self.key)

    def default(self) -> t.Any:
        """What a new row holds for it."""
        return None if self.key is not None else self.stored.default


class Child(t.NamedTuple):
    """A list of rows that hang below a row. needed: a row without one is none."""

    option: str
    column: str
    table: Table
    needed: bool = False


class Table(t.NamedTuple):
    """A kind of row.

    what: its word in sentences. keys: the options that tell rows apart. required: what a new row needs besides.
    whole: an option that is left out is as in a new row; else it stays as it is.
    unique: no two rows of the database have the same keys, wherever they hang.
    optional: keys that may be left out. fixed: what every new row has in columns that are no options.
    label: the column that needs a unique text, made of the keys of the row above and of this one.
    instead: pairs of options of which OVN makes the first out of the second.
    """

    name: str
    what: str
    keys: tuple[str, ...]
    fields: tuple[Field, ...]
    children: tuple[Child, ...] = ()
    required: tuple[str, ...] = ()
    whole: bool = False
    unique: bool = False
    optional: tuple[str, ...] = ()
    fixed: tuple[tuple[str, str], ...] = ()
    label: str = ""
    instead: tuple[tuple[str, str], ...] = ()

    def field(self, name: str) -> Field:
        """An option by its name."""
        return next(field for field in self.fields if field.name == name)

    def key_of(self, row: Item) -> tuple[t.Any, ...]:
        """What tells a row of the database apart."""
        return tuple(field.kind.canonical(field.value(row)) for field in map(self.field, self.keys))


class Root(t.NamedTuple):
    """A list of rows of the module. option: the list's name."""

    option: str
    table: Table


def _text(name: str, stored: Column = TEXT, kind: Kind | None = None, **more: t.Any) -> Field:
    return Field(name, kind or Text(), stored, **more)


def _map(name: str) -> Field:
    return Field(name, Pairs(), MAP)


def _names(name: str, refers: str, column: str = "", exact: bool = False) -> Field:
    return Field(name, Lines(), SET, column, refers=refers, exact=exact)


def _name(name: str, refers: str, strong: bool = False) -> Field:
    return Field(name, Text(), MAYBE, refers=refers, strong=strong)


_IDS = _map("external_ids")
_OWN_NAME = Field("name", Text(), MAP, "external_ids", NAME_KEY)
_PRIORITY = Number(0, 32767)
_MANY = 2**32 - 1
_DIRECTION = _text("direction", kind=Text("from-lport", "to-lport", clears=False))
_ADDRESS = Checked(is_address)

ACL = Table(
    "ACL",
    "ACL",
    ("direction", "priority", "match"),
    (
        _DIRECTION,
        Field("priority", _PRIORITY, NUMBER),
        _text("match"),
        _text("action", kind=Text("allow", "allow-related", "allow-stateless", "drop", "reject", clears=False)),
        _text("name", MAYBE, Text(pattern=(".{0,63}", "up to 63 characters"))),
        Field("log", Flag(), FLAG),
        _text("severity", MAYBE, Text("alert", "warning", "notice", "info", "debug")),
        _text("meter", MAYBE),
        Field("label", Number(0, _MANY), NUMBER),
        _map("options"),
        _IDS,
    ),
    required=("action",),
    whole=True,
)
QOS = Table(
    "QoS",
    "QoS rule",
    ("direction", "priority", "match"),
    (
        _DIRECTION,
        Field("priority", _PRIORITY, NUMBER),
        _text("match"),
        Field("action", Numbers(dscp=Number(0, 63)), NUMBERS),
        Field("bandwidth", Numbers(rate=Number(1, _MANY), burst=Number(1, _MANY)), NUMBERS),
        _IDS,
    ),
    whole=True,
)
SWITCH_PORT = Table(
    "Logical_Switch_Port",
    "port",
    ("name",),
    (
        _text("name"),
        _text(
            "type", kind=Text("router", "localnet", "localport", "l2gateway", "vtep", "external", "virtual", "remote")
        ),
        Field("addresses", Lines(is_port_address), SET),
        Field("port_security", Lines(is_secured), SET),
        _map("options"),
        _text("parent_name", MAYBE),
        Field("tag_request", Integer(0, 4095), MAYBE),
        Field("tag", Integer(1, 4095), MAYBE),
        Field("enabled", Flag(True), MAYBE),
        _name("dhcpv4_options", "DHCP_Options"),
        _name("dhcpv6_options", "DHCP_Options"),
        _names("mirror_rules", "Mirror"),
        _name("ha_chassis_group", "HA_Chassis_Group", strong=True),
        _IDS,
    ),
    unique=True,
    instead=(("tag", "tag_request"),),
)
FORWARDING_GROUP = Table(
    "Forwarding_Group",
    "forwarding group",
    ("name",),
    (
        _text("name"),
        _text("vip", kind=_ADDRESS),
        _text("vmac", kind=Mac()),
        Field("liveness", Flag(), FLAG),
        Field("child_port", Lines(), SET),
        _IDS,
    ),
    required=("vip", "vmac", "child_port"),
    whole=True,
)
SWITCH = Table(
    "Logical_Switch",
    "switch",
    ("name",),
    (
        _text("name"),
        _map("other_config"),
        _names("dns_records", "DNS"),
        _names("load_balancers", "Load_Balancer", "load_balancer"),
        _name("copp", "Copp"),
        _IDS,
    ),
    (
        Child("ports", "ports", SWITCH_PORT),
        Child("acls", "acls", ACL),
        Child("qos_rules", "qos_rules", QOS),
        Child("forwarding_groups", "forwarding_groups", FORWARDING_GROUP),
    ),
)
GATEWAY_CHASSIS = Table(
    "Gateway_Chassis",
    "gateway chassis",
    ("chassis_name",),
    (_text("chassis_name"), Field("priority", _PRIORITY, NUMBER), _map("options"), _IDS),
    whole=True,
    label="name",
)
ROUTER_PORT = Table(
    "Logical_Router_Port",
    "port",
    ("name",),
    (
        _text("name"),
        _text("mac", kind=Mac()),
        Field("networks", Lines(is_interface), SET),
        _text("peer", MAYBE),
        Field("enabled", Flag(True), MAYBE),
        _name("ha_chassis_group", "HA_Chassis_Group", strong=True),
        _map("ipv6_ra_configs"),
        _map("options"),
        _IDS,
    ),
    (Child("gateway_chassis", "gateway_chassis", GATEWAY_CHASSIS),),
    required=("mac", "networks"),
    unique=True,
)
STATIC_ROUTE = Table(
    "Logical_Router_Static_Route",
    "static route",
    ("route_table", "policy", "ip_prefix", "nexthop", "output_port"),
    (
        _text("route_table"),
        _text("policy", MAYBE, Usual("dst-ip", "dst-ip", "src-ip")),
        _text("ip_prefix", kind=Checked(is_prefix)),
        _text("nexthop", kind=Checked(is_nexthop)),
        _text("output_port", MAYBE, Usual(None)),
        Field("bfd", Flag(), MAYBE, refers="BFD", by=("output_port", "nexthop")),
        _map("options"),
        _IDS,
    ),
    whole=True,
    optional=("route_table", "policy", "output_port"),
)
ROUTER_POLICY = Table(
    "Logical_Router_Policy",
    "policy",
    ("priority", "match"),
    (
        Field("priority", _PRIORITY, NUMBER),
        _text("match"),
        _text("action", kind=Text("allow", "drop", "reroute", clears=False)),
        Field("nexthops", Lines(is_address), SET),
        _map("options"),
        _IDS,
    ),
    required=("action",),
    whole=True,
)
NAT = Table(
    "NAT",
    "NAT",
    ("type", "external_ip", "logical_ip", "external_port_range"),
    (
        _text("type", kind=Text("dnat", "snat", "dnat_and_snat", clears=False)),
        _text("external_ip", kind=_ADDRESS),
        _text("logical_ip", kind=Checked(is_prefix)),
        _text("external_port_range"),
        _text("external_mac", MAYBE, Mac()),
        _text("logical_port", MAYBE),
        _name("gateway_port", "Logical_Router_Port"),
        _name("allowed_ext_ips", "Address_Set", strong=True),
        _name("exempted_ext_ips", "Address_Set", strong=True),
        _map("options"),
        _IDS,
    ),
    whole=True,
    optional=("external_port_range",),
)
ROUTER = Table(
    "Logical_Router",
    "router",
    ("name",),
    (
        _text("name"),
        Field("enabled", Flag(True), MAYBE),
        _map("options"),
        _names("load_balancers", "Load_Balancer", "load_balancer"),
        _name("copp", "Copp"),
        _IDS,
    ),
    (
        Child("ports", "ports", ROUTER_PORT),
        Child("static_routes", "static_routes", STATIC_ROUTE),
        Child("policies", "policies", ROUTER_POLICY),
        Child("nat", "nat", NAT),
    ),
)
DHCP_OPTIONS = Table(
    "DHCP_Options",
    "DHCP options",
    ("name",),
    (_OWN_NAME, _text("cidr", kind=Checked(is_prefix)), _map("options"), _IDS),
    required=("cidr",),
)
PORT_GROUP = Table(
    "Port_Group",
    "port group",
    ("name",),
    (
        _text("name", kind=Text(pattern=(r"[A-Za-z_.][A-Za-z0-9_.]*", "letters, digits, _ and ., and no digit first"))),
        _names("ports", "Logical_Switch_Port", exact=True),
        _IDS,
    ),
    (Child("acls", "acls", ACL),),
    unique=True,
)
ADDRESS_SET = Table(
    "Address_Set",
    "address set",
    ("name",),
    (
        _text("name", kind=Text(pattern=(r"[A-Za-z_.][A-Za-z0-9_.]*", "letters, digits, _ and ., and no digit first"))),
        Field("addresses", Lines(is_set_member), SET),
        _IDS,
    ),
    unique=True,
)
DNS = Table("DNS", "DNS records", ("name",), (_OWN_NAME, _map("records"), _IDS))
HEALTH_CHECK = Table(
    "Load_Balancer_Health_Check",
    "health check",
    ("vip",),
    (_text("vip"), _map("options"), _IDS),
    whole=True,
)
LOAD_BALANCER = Table(
    "Load_Balancer",
    "load balancer",
    ("name",),
    (
        _text("name"),
        _map("vips"),
        _text("protocol", MAYBE, Usual("tcp", "tcp", "udp", "sctp")),
        _map("ip_port_mappings"),
        Field("selection_fields", Lines(None, "eth_src", "eth_dst", "ip_src", "ip_dst", "tp_src", "tp_dst"), SET),
        _map("options"),
        _IDS,
    ),
    (Child("health_checks", "health_check", HEALTH_CHECK),),
)
HA_CHASSIS = Table(
    "HA_Chassis",
    "chassis",
    ("chassis_name",),
    (_text("chassis_name"), Field("priority", _PRIORITY, NUMBER), _IDS),
    whole=True,
)
HA_CHASSIS_GROUP = Table(
    "HA_Chassis_Group",
    "HA chassis group",
    ("name",),
    (_text("name"), _IDS),
    (Child("chassis", "ha_chassis", HA_CHASSIS),),
    unique=True,
)
METER_BAND = Table(
    "Meter_Band",
    "band",
    ("rate", "burst_size"),
    (
        Field("rate", Number(1, _MANY), NUMBER),
        Field("burst_size", Number(0, _MANY), NUMBER),
        _IDS,
    ),
    whole=True,
    optional=("burst_size",),
    fixed=(("action", "drop"),),
)
METER = Table(
    "Meter",
    "meter",
    ("name",),
    (_text("name"), _text("unit", kind=Text("kbps", "pktps", clears=False)), Field("fair", Flag(), MAYBE), _IDS),
    (Child("bands", "bands", METER_BAND, needed=True),),
    required=("unit", "bands"),
    unique=True,
)
COPP = Table("Copp", "control plane protection", ("name",), (_text("name"), _map("meters"), _IDS), unique=True)
MIRROR = Table(
    "Mirror",
    "mirror",
    ("name",),
    (
        _text("name"),
        _text("filter", kind=Text("from-lport", "to-lport", clears=False)),
        _text("sink", kind=_ADDRESS),
        _text("type", kind=Text("gre", "erspan", clears=False)),
        Field("index", Number(0, _MANY), NUMBER),
        _IDS,
    ),
    required=("filter", "sink", "type"),
    unique=True,
)
BFD = Table(
    "BFD",
    "BFD session",
    ("logical_port", "dst_ip"),
    (
        _text("logical_port"),
        _text("dst_ip", kind=_ADDRESS),
        Field("min_tx", Integer(1, _MANY), MAYBE),
        Field("min_rx", Integer(0, _MANY), MAYBE),
        Field("detect_mult", Integer(1, 255), MAYBE),
        _map("options"),
        _IDS,
    ),
    unique=True,
)
TEMPLATE_VARIABLES = Table(
    "Chassis_Template_Var",
    "template variables of chassis",
    ("chassis",),
    (_text("chassis"), _map("variables"), _IDS),
    unique=True,
)

ROOTS = (
    Root("switches", SWITCH),
    Root("routers", ROUTER),
    Root("dhcp_options", DHCP_OPTIONS),
    Root("port_groups", PORT_GROUP),
    Root("address_sets", ADDRESS_SET),
    Root("dns", DNS),
    Root("load_balancers", LOAD_BALANCER),
    Root("ha_chassis_groups", HA_CHASSIS_GROUP),
    Root("meters", METER),
    Root("copp", COPP),
    Root("mirrors", MIRROR),
    Root("bfd", BFD),
    Root("template_variables", TEMPLATE_VARIABLES),
)


def _by_depth() -> dict[str, Table]:
    """Every table by its name, those whose rows hang in no list first, then those below them."""
    found: dict[str, Table] = {}
    level = [root.table for root in ROOTS]
    while level:
        found.update((table.name, table) for table in level)
        level = [child.table for table in level for child in table.children]
    return found


TABLES = _by_depth()
# What is in a table that hangs below others: (table above, the list) for each.
PLACES = [(table, child) for table in TABLES.values() for child in table.children]


def stored(table: str) -> dict[str, Column]:
    """How each column of a table that an option knows is stored."""
    known = TABLES[table]
    columns = {field.column: field.stored for field in known.fields}
    return {"_uuid": TEXT, **columns, **{child.column: SET for child in known.children}}
