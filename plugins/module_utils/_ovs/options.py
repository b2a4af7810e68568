# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Open vSwitch modules share: options as rows of a table, and the comparison that they drive.

This file is private to the collection. An `Option` says where its value lives (table, column, key of a map) and of
which `Kind` it is; the argument spec, the check of the value, the comparison with what was found, the change and the
state that is returned all follow from it. Widening a module is adding rows. Source for each row:
ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

import ipaddress
import re
import socket
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Database,
    Op,
    ovs_vsctl,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.rows import row_differences
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import EXTRA, TABLES
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import CLEAR, Put, checked_text, runs
from ansible_collections.overloom.fabric.plugins.module_utils._owner import (
    OVS_MODULE,
    OVS_OWNER,
    Caller,
    is_ovs_mark,
    may_declare,
    may_remove,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

Item = t.Dict[str, t.Any]

TUNNEL_TYPES = ("gre", "ip6gre", "vxlan", "geneve", "stt", "lisp", "erspan", "ip6erspan", "gtpu", "bareudp", "srv6")
# Options of an interface that nothing shows.
SECRET_OPTIONS = ("psk",)

# Keys of external_ids that hypervisors, Open vSwitch itself and other agents own (ovs-vswitchd.conf.db(5), "Virtual
# Machine Identifiers"; libvirt, OVN and NetworkManager): a declared map leaves them alone unless it names them.
RESERVED = re.compile(
    r"attached-mac|iface-id|iface-status|vm-id|vm-uuid|bridge-id|fake-bridge-.*|xs-.*|ovn-.*|ct-zone-.*|NM\..*"
)


def ovs_argument_spec() -> dict:
    """The options that every Open vSwitch module shares (doc fragment `ovs`)."""
    files = {
        f"database_{name}": {"type": "path", "no_log": False} for name in ("private_key", "certificate", "ca_cert")
    }
    return {"database": {"type": "str"}, **files, "timeout": {"type": "int", "default": 60}}


def vsctl(params: t.Mapping[str, t.Any]) -> list[str]:
    """The beginning of every call of ovs-vsctl, from the options that ovs_argument_spec names."""
    names = ("private_key", "certificate", "ca_cert")
    files = [f"--{name.replace('_', '-')}={params[f'database_{name}']}" for name in names if params[f"database_{name}"]]
    return [*ovs_vsctl(params["database"], params["timeout"]), *files]


# Kinds of values ---------------------------------------------------------------------------------------------------


class Kind:
    """How a value is declared, checked and compared. empty: the declared value that clears."""

    spec: dict = {"type": "str"}
    empty: t.Any = ""

    def is_empty(self, value: t.Any) -> bool:
        """Does the declared value clear?"""
        return value == self.empty or value in ("", [], {})

    def parse(self, value: t.Any, where: str) -> t.Any:
        """The value for the database. Raises FabricError with one sentence that begins with where."""
        raise NotImplementedError

    def canonical(self, value: t.Any) -> t.Any:
        """Two database values with the same canonical form mean the same."""
        return value

    def shown(self, value: t.Any) -> t.Any:
        """A database value, typed as it would be declared; None when it is not set."""
        return value

    def entry(self, value: t.Any) -> t.Any:
        """As shown, for the value of one key of a map or of a column of rows."""
        return value


class Text(Kind):
    """A string; choices are the only values it may have, if given.

    clears: may it be empty? pattern: (regular expression, what to give). same: values that mean the same as another.
    """

    def __init__(
        self,
        *choices: str,
        clears: bool = True,
        pattern: tuple[str, str] | None = None,
        same: dict[str, str] | None = None,
    ) -> None:
        self.spec = {"type": "str", "choices": [""] * clears + list(choices)} if choices else {"type": "str"}
        self._pattern = pattern
        self._same = same or {}

    def parse(self, value: t.Any, where: str) -> str:
        text = checked_text(str(value), where)
        if self._pattern and not re.fullmatch(self._pattern[0], text):
            raise FabricError(f"{where} is {text!r}; give {self._pattern[1]}")
        return text

    def canonical(self, value: t.Any) -> t.Any:
        return self._same.get(value, value)


class Mac(Kind):
    """An Ethernet address of one station, in the form xx:xx:xx:xx:xx:xx."""

    def parse(self, value: t.Any, where: str) -> str:
        text = str(value).lower()
        if (
            not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", text)
            or int(text[:2], 16) & 1
            or text == "00:00:00:00:00:00"
        ):
            raise FabricError(f"{where} is {value!r}; give a unicast MAC address such as 02:00:00:00:00:01")
        return text

    def canonical(self, value: t.Any) -> t.Any:
        return value.lower() if value else value


class Integer(Kind):
    """A whole number from low to high, or one of some words. step: what it must be a multiple of."""

    spec = {"type": "raw"}

    def __init__(self, low: int, high: int, *words: str, step: int = 1) -> None:
        self._low, self._high, self._words, self._step = low, high, words, step

    def parse(self, value: t.Any, where: str) -> t.Any:
        if isinstance(value, str) and value in self._words:
            return value
        number = _integer(value)
        if number is None or not self._low <= number <= self._high or number % self._step:
            choice = f"a whole number from {self._low} to {self._high}"
            if self._step > 1:
                choice += f" in steps of {self._step}"
            raise FabricError(f"{where} is {value!r}; give {' or '.join((choice, *self._words))}")
        return number

    def canonical(self, value: t.Any) -> t.Any:
        number = _integer(value)
        return value if number is None else number

    def shown(self, value: t.Any) -> t.Any:
        return self.canonical(value)


def _integer(value: t.Any) -> int | None:
    """An int, or the number that a string spells as Open vSwitch reads it (decimal, or hexadecimal with 0x)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]+|0[xX][0-9a-fA-F]+", value):
        return int(value, 16) if value[:2] in ("0x", "0X") else int(value)
    return None


class Flag(Kind):
    """A truth value. default: what Open vSwitch takes when it is not set."""

    spec = {"type": "bool"}
    empty = CLEAR

    def __init__(self, default: bool = False) -> None:
        self.default = default

    def parse(self, value: t.Any, _where: str) -> bool:
        return bool(value)

    def canonical(self, value: t.Any) -> t.Any:
        return self.default if value is CLEAR else value in (True, "true")

    def shown(self, value: t.Any) -> t.Any:
        return self.canonical(value)


class Vlans(Kind):
    """A list of VLANs and ranges of VLANs such as 10-20. VLAN 0 stands for untagged frames."""

    spec = {"type": "list", "elements": "raw"}
    empty: t.Any = ()

    def parse(self, value: t.Any, where: str) -> tuple[int, ...]:
        numbers: set[int] = set()
        for item in value:
            match = (
                re.fullmatch(r"\s*([0-9]{1,4})(?:\s*-\s*([0-9]{1,4}))?\s*", str(item))
                if not isinstance(item, bool)
                else None
            )
            low, high = (int(match.group(1)), int(match.group(2) or match.group(1))) if match else (0, -1)
            if not 0 <= low <= high <= 4094:
                raise FabricError(
                    f"{where} holds {item!r}; give VLANs from 0 (untagged) to 4094, and ranges such as 10-20"
                )
            numbers.update(range(low, high + 1))
        return tuple(sorted(numbers))

    def shown(self, value: t.Any) -> t.Any:
        return [low if low == high else f"{low}-{high}" for low, high in runs(value)]


class Words(Kind):
    """A set of words from a choice."""

    empty: t.Any = ()

    def __init__(self, *choices: str) -> None:
        self.spec = {"type": "list", "elements": "str", "choices": list(choices)}

    def parse(self, value: t.Any, _where: str) -> tuple[str, ...]:
        return tuple(sorted(set(value)))

    def shown(self, value: t.Any) -> t.Any:
        return list(value)


class Strings(Kind):
    """A set of strings. pattern: (regular expression, what to give)."""

    spec = {"type": "list", "elements": "str"}
    empty: t.Any = ()

    def __init__(self, pattern: tuple[str, str]) -> None:
        self._pattern = pattern

    def parse(self, value: t.Any, where: str) -> tuple[str, ...]:
        for item in value:
            if not re.fullmatch(self._pattern[0], item):
                raise FabricError(f"{where} holds {item!r}; give {self._pattern[1]}")
        return tuple(sorted(set(value)))

    def shown(self, value: t.Any) -> t.Any:
        return list(value)


class Address(Kind):
    """An IPv4 or IPv6 address, or one of some words. version: 4 or 6 if only that one fits."""

    def __init__(self, *words: str, version: int | None = None) -> None:
        self._words, self._version = words, version

    def parse(self, value: t.Any, where: str) -> str:
        if value in self._words:
            return value
        try:
            address = ipaddress.ip_address(str(value))
        except ValueError:
            address = None
        if address is None or self._version not in (None, address.version) or "%" in str(value):
            kind = f"IPv{self._version}" if self._version else "IPv4 or IPv6"
            raise FabricError(f"{where} is {value!r}; give {' or '.join((f'an {kind} address', *self._words))}")
        if address.is_multicast or address.is_unspecified or str(address) == "255.255.255.255":
            raise FabricError(f"{where} is {value!r}; give a unicast address, the only kind that Open vSwitch supports")
        return str(address)

    def canonical(self, value: t.Any) -> t.Any:
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            return value


class Pairs(Kind):
    """A map of strings. keys with a type of their own are converted; words of truth become true and false."""

    spec = {"type": "dict"}
    empty: t.Any = {}
    # Is what is declared the whole map, so that other keys go?
    whole = True

    def parse(self, value: t.Any, where: str) -> dict[str, str]:
        pairs = {}
        for key, item in value.items():
            if isinstance(item, bool):
                item = "true" if item else "false"
            if item is None or isinstance(item, (list, tuple, dict)):
                raise FabricError(f"{where}: the value of {key!r} is not a string; quote it")
            pairs[checked_text(str(key), f"{where}: a key")] = checked_text(str(item), f"{where}: the value of {key!r}")
        return pairs

    def shown(self, value: t.Any) -> t.Any:
        return dict(sorted(value.items()))


class SomePairs(Pairs):
    """Some keys of a map that others write to as well: an empty value removes a key, other keys stay."""

    whole = False

    def parse(self, value: t.Any, where: str) -> dict[str, t.Any]:
        return {key: CLEAR if item == "" else item for key, item in super().parse(value, where).items()}


class Structure(Pairs):
    """A map of strings whose keys are options of their own."""

    def __init__(self, **keys: Kind) -> None:
        self.keys = keys
        self.spec = {"type": "dict", "options": {name: dict(kind.spec) for name, kind in keys.items()}}

    def parse(self, value: t.Any, where: str) -> dict[str, str]:
        pairs = {}
        for key, item in value.items():
            if item is not None and item != self.keys[key].empty:
                pairs[key] = as_text(self.keys[key].parse(item, f"{where}.{key}"))
        return pairs

    def shown(self, value: t.Any) -> t.Any:
        return {key: self.keys[key].shown(item) if key in self.keys else item for key, item in sorted(value.items())}


def as_text(value: t.Any) -> str:
    """A value as Open vSwitch writes it into a map of strings."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


# Options -----------------------------------------------------------------------------------------------------------


class Option(t.NamedTuple):
    """One option of a module: where its value lives and of which kind it is.

    key: of the column's map, or None for the whole column. secret: never shown.
    types: the interface types that know it; empty for all.
    """

    name: str
    table: str
    column: str
    kind: Kind
    key: str | None = None
    secret: bool = False
    types: tuple[str, ...] = ()

    def value(self, row: Item) -> t.Any:
        """What the row holds for it."""
        return row[self.column] if self.key is None else row[self.column].get(self.key, CLEAR)


class Wanted(t.NamedTuple):
    """One option's declared value, checked and ready for the database."""

    option: Option
    value: t.Any


def argument_spec(options: t.Iterable[Option]) -> dict:
    """The argument spec of a table of options."""
    # A tunnel's key is no secret: say so where Ansible would guess from the name.
    hidden = {o.name: {"no_log": o.secret} for o in options if o.secret or o.name.endswith("key")}
    return {o.name: dict(o.kind.spec, **hidden.get(o.name, {})) for o in options}


def parse(options: t.Sequence[Option], item: Item, what: str) -> list[Wanted]:
    """The declared values of an item; what names the item in errors."""
    owned = own_keys(options)
    wanted = []
    for option in options:
        value = item.get(option.name)
        if value is None:
            continue
        where = f"{what}: {option.name}"
        value = _cleared(option) if option.kind.is_empty(value) else option.kind.parse(value, where)
        if option.key is not None and value is not CLEAR:
            value = as_text(value)
        if isinstance(option.kind, Pairs) and option.key is None:
            for key in value:
                if is_ovs_mark(key):
                    raise FabricError(f"{where}: the key {key} is the owner mark; use the option owner")
                if (option.table, option.column, key) in owned:
                    raise FabricError(
                        f"{where}: the key {key} has an option of its own; use {owned[option.table, option.column, key]}"
                    )
        wanted.append(Wanted(option, value))
    return wanted


def extra_columns(options: t.Iterable[Option], items: t.Iterable[Item]) -> set[tuple[str, str]]:
    """The columns that must be read besides the usual ones, because an item declares an option that lives there."""
    declared = {name for item in items for name, value in item.items() if value is not None}
    return {(o.table, o.column) for o in options if o.name in declared and (o.table, o.column) in EXTRA}


def own_keys(options: t.Iterable[Option]) -> dict[tuple[str, str, str], str]:
    """(table, column, key) -> option, for the keys of maps that have an option of their own."""
    return {(o.table, o.column, o.key): o.name for o in options if o.key is not None}


def _cleared(option: Option) -> t.Any:
    if option.key is not None:
        return CLEAR
    default = TABLES[option.table][option.column].default
    return {} if isinstance(option.kind, Pairs) else default


def differences(
    row: Item,
    record: str,
    wanted: t.Iterable[Wanted],
    owned: t.Container[tuple[str, str, str]],
    marks: t.Mapping[str, str] | None = None,
) -> list[Op]:
    """The changes that make the row hold what is wanted, and touch nothing else.

    owned: the keys of maps that have an option of their own; a map that is declared as a whole leaves them alone.
    marks: what rows that belong to this one get into their external_ids.
    """
    ops: list[Op] = []
    for option, value in wanted:
        table, column = option.table, option.column
        if TABLES[table][column].table:
            ops += row_differences(row, record, option, value, marks or {})
        elif option.key is None and isinstance(option.kind, Pairs):
            held = row[column]
            ops += [Put(table, record, column, key, item) for key, item in value.items() if held.get(key) != item]
            for key in held:
                kept = (
                    is_ovs_mark(key)
                    or (column == "external_ids" and RESERVED.fullmatch(key))
                    or (table, column, key) in owned
                )
                if option.kind.whole and key not in value and not kept:
                    ops.append(Put(table, record, column, key, CLEAR))
        elif option.kind.canonical(option.value(row)) != option.kind.canonical(value):
            ops.append(Put(table, record, column, option.key, value))
    return ops


def marks_of(owner: str, module: str) -> dict[str, str]:
    """The owner mark, as a row's external_ids hold it."""
    return {OVS_OWNER: owner, OVS_MODULE: module}


def mark(table: str, record: str, row: Item, owner: str, module: str) -> list[Op]:
    """The changes that put the owner mark on a row."""
    ids = row["external_ids"]
    return [
        Put(table, record, "external_ids", key, value)
        for key, value in marks_of(owner, module).items()
        if ids.get(key) != value
    ]


def owner_of(row: Item) -> str | None:
    """Whose mark a row carries."""
    return row["external_ids"].get(OVS_OWNER)


def made_by(row: Item, owner: str, module: str) -> bool:
    """Does the row carry this owner's and this module's mark?"""
    return owner_of(row) == owner and row["external_ids"].get(OVS_MODULE) == module


def configurable(row: Item, what: str, owner: str, adopt: bool) -> None:
    """Refuse to declare another owner's object, unless it is adopted."""
    may_declare(what, owner_of(row), Caller(owner, adopt))


def removable(row: Item, what: str, owner: str, adopt: bool) -> None:
    """Refuse to remove what this owner did not make, unless it is adopted."""
    may_remove(what, owner_of(row), Caller(owner, adopt))


def view(database: Database, table: str, record: str, options: t.Iterable[Option]) -> Item:
    """The typed values that a row holds for the options of its table."""
    row = database.tables[table][record]
    result = {}
    for option in options:
        if option.table != table or option.column not in row:
            continue
        value = option.value(row)
        if option.secret:
            value = value and "********"
        elif value is not None or isinstance(option.kind, Flag):
            value = option.kind.shown(value)
        result[option.name] = value
    return result


# Names and the host ------------------------------------------------------------------------------------------------


def interface_name(value: t.Any, what: str) -> str:
    """A name that Linux takes for a network device. Raises FabricError with one sentence that begins with what."""
    text = str(value)
    if (
        not re.fullmatch(r"[!-~]{1,15}", text)
        or any(character in text for character in "/\\:%")
        or text[0] == "-"
        or text in (".", "..")
    ):
        raise FabricError(
            f"{what} {text!r} is not a name for a network device; give 1 to 15 printable ASCII characters "
            "without spaces, slashes, ':' and '%', and no leading hyphen"
        )
    return text


def port_name(value: t.Any, what: str) -> str:
    """A name that Open vSwitch takes for a port, which may be no device of the kernel's. Raises FabricError with one sentence that begins with what."""
    text = str(value)
    if not text or not text.isprintable() or text[0] == "-" or text != text.strip():
        raise FabricError(
            f"{what} {text!r} is not a name for a port; give printable characters, without a leading hyphen and without blanks at the ends"
        )
    return text


def is_remote(database: str | None) -> bool:
    """Is the database on another machine, so that this one's devices and routes say nothing?"""
    return database is not None and database.split(":")[0] in ("tcp", "ssl")


def network_devices() -> frozenset[str]:
    """The names of the network devices in this process's network namespace (/sys shows that of whoever mounted it)."""
    return frozenset(name for _index, name in socket.if_nameindex())


def late_error(database: Database, bridge: str, port: str, kind: str = "port") -> str | None:
    """What ovs-vswitchd said about a port that it could not set up, as one sentence; None if it works."""
    if database.interface(bridge)["ofport"] is None and database.interface(bridge)["error"] is None:
        return None
    for member in database.members.get(port, ()):
        row = database.tables["Interface"][member]
        if (row["error"] and not _patched(database, member)) or row["ofport"] in (-1, None):
            said = (row["error"] or "nothing was said").strip()
            hints = {
                "File exists": "another tunnel has the same type, local_ip, remote_ip, key and dst_port; change one of them",
                "No such device": "create the interface first",
                "No usable peer": "declare both patch ports in the same call, each as the other's peer",
                "Address already in use": "an interface of the kernel, as a container network's, or a program receives on this UDP port; give another dst_port",
                "busy": "the interface is in use, take it out of the other bridge or bond first",
            }
            hint = next((h for sign, h in hints.items() if sign in said), "see the log of ovs-vswitchd")
            name = port if member == port else f"{port}, interface {member},"
            return f"{kind} {name} of bridge {bridge} was refused by ovs-vswitchd: {said}; {hint}"
    return None


def _patched(database: Database, name: str) -> bool:
    """Whether an interface and another are each other's patch peers: that a peer was not there at first, ovs-vswitchd takes back only seconds later."""

    def told(interface: str) -> tuple[t.Any, ...]:
        row = database.tables["Interface"].get(interface, {"type": "", "ofport": None, "options": {}})
        port = next((port for port, members in database.members.items() if interface in members), "")
        bridge = database.tables["Bridge"].get(database.bridge_of.get(port, ""), {})
        return (
            row["options"].get("peer"),
            row["type"] == "patch" and (row["ofport"] or 0) > 0,
            bridge.get("datapath_type"),
        )

    peer, works, datapath = told(name)
    return works and told(peer) == (name, True, datapath)


def failed_bridge(database: Database, bridge: str) -> str | None:
    """Why ovs-vswitchd could not set up a bridge, as one sentence; None if it works."""
    if bridge not in database.tables["Bridge"]:
        return None
    row = database.interface(bridge)
    if row["error"] or row["ofport"] == -1:
        return (
            f"bridge {bridge} could not be created by ovs-vswitchd: {row['error'] or 'nothing was said'}; see its log"
        )
    if row["ofport"] is None:
        if not database.answered:
            return f"bridge {bridge} is not set up, because ovs-vswitchd has not taken up the last change; check that its service runs"
        if database.tables["Bridge"][bridge]["datapath_type"] in ("", "system"):
            return (
                f"bridge {bridge} could not be created by ovs-vswitchd: "
                "the kernel has no openvswitch datapath; set datapath_type: netdev"
            )
        return f"bridge {bridge} could not be created by ovs-vswitchd; see its log"
    return None


# The difference as a person reads it -------------------------------------------------------------------------------


def words_for(options: t.Sequence[Option]) -> t.Callable[[Put], str]:
    """How errors call the option behind a change."""
    names = {(o.table, o.column, o.key): o.name for o in options}

    def words(put: Put) -> str:
        own = names.get((put.table, put.column, put.key))
        whole = names.get((put.table, put.column, None), put.column)
        return own or (whole if put.key is None else f"{whole} {put.key}")

    return words
