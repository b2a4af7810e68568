# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What FRR's routers refer to by name: prefix lists, route-maps, community and AS path lists, key chains, BFD profiles;
and the checks of values that every FRR module shares.

This file is private to the collection, and pure.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import Found
from ansible_collections.overloom.fabric.plugins.module_utils._frr.wanted import Lines, Thing
from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import check_interface_name
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

Params = t.Mapping[str, t.Any]

_STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}
_ACTION = {"type": "str", "choices": ["permit", "deny"], "default": "permit"}


def _list(**options: t.Any) -> dict[str, t.Any]:
    return {"type": "list", "elements": "dict", "options": options}


def _named(**options: t.Any) -> dict[str, t.Any]:
    return _list(name={"type": "str", "required": True}, **options, state=_STATE)


_SEQ = {"type": "int"}
PREFIX_LISTS = _named(
    family={"type": "str", "choices": ["ipv4", "ipv6"], "default": "ipv4"},
    description={"type": "str"},
    entries=_list(
        seq=_SEQ, action=_ACTION, prefix={"type": "str", "required": True}, ge={"type": "int"}, le={"type": "int"}
    ),
)
ROUTE_MAPS = _named(
    entries=_list(
        seq=_SEQ,
        action=_ACTION,
        description={"type": "str"},
        match={"type": "list", "elements": "str", "default": []},
        set={"type": "list", "elements": "str", "default": []},
        call={"type": "str"},
        on_match={"type": "str"},
    ),
)
COMMUNITY_LISTS = _named(
    kind={"type": "str", "choices": ["community", "large-community", "extcommunity"], "default": "community"},
    type={"type": "str", "choices": ["standard", "expanded"], "default": "standard"},
    entries=_list(seq=_SEQ, action=_ACTION, communities={"type": "str", "required": True}),
)
AS_PATH_LISTS = _named(entries=_list(seq=_SEQ, action=_ACTION, regex={"type": "str", "required": True}))
KEY_CHAINS: dict[str, t.Any] = _named(
    keys={
        "type": "list",
        "elements": "dict",
        "no_log": False,
        "options": {
            "id": {"type": "int", "required": True},
            "algorithm": {
                "type": "str",
                "choices": ["md5", "hmac-sha-1", "hmac-sha-256", "hmac-sha-384", "hmac-sha-512"],
            },
            "string": {"type": "str", "required": True, "no_log": True},
        },
    },
)
KEY_CHAINS["no_log"] = False
BFD_PROFILES = _named(
    detect_multiplier={"type": "int"},
    receive_interval={"type": "int"},
    transmit_interval={"type": "int"},
    passive_mode={"type": "bool"},
    minimum_ttl={"type": "int"},
)


# --- checks ----------------------------------------------------------------------------------------------------------


def check_word(value: str, what: str) -> str:
    """A name of FRR's: one word that no line can be broken with."""
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.:@+-]{0,62}", value, re.ASCII):
        raise FabricError(
            f"{what}: {value!r} is no name for FRR; use 1 to 63 letters, digits and '_.:@+-', beginning with a letter, digit or '_'"
        )
    return value


def check_text(value: str, what: str, longest: int = 80) -> str:
    """Free text that stays on its line, with runs of spaces made one, as FRR does; empty text clears."""
    if not value.isprintable() or not value.isascii():
        raise FabricError(
            f"{what}: {value!r} has a line break or a character that is not printable ASCII; FRR's lines cannot hold it"
        )
    if " |" in value or "?" in value:
        raise FabricError(f"{what}: {value!r} has ' |' or '?', which vtysh would take for its own; leave it out")
    value = " ".join(value.split())
    if len(value) > longest:
        raise FabricError(f"{what}: {value!r} has {len(value)} characters; FRR takes {longest}")
    return value


def check_clause(value: str, what: str) -> str:
    """A part of a line in FRR's own terms: not empty, and still one line."""
    value = check_text(value, what, 512)
    if not value or value[0] in "!#":
        raise FabricError(f"{what}: {value!r} says nothing to FRR")
    return value


def check_secret(value: str, what: str, longest: int) -> str:
    """A password or key: one word of printable characters. The sentence does not show it."""
    printable = value.isascii() and value.isprintable() and " " not in value
    if not printable or "?" in value or value.startswith(("!", "#")) or len(value) > longest:
        raise FabricError(
            f"{what}: the secret has to be one word of at most {longest} printable ASCII characters, without '?' and not beginning with '!' or '#'"
        )
    return value


def check_number(value: int | None, low: int, high: int, what: str, unit: str = "") -> int | None:
    """A number within what FRR takes; None stays None."""
    if value is not None and not low <= value <= high:
        raise FabricError(f"{what}: {value} is out of range; FRR takes {low} to {high}{unit}")
    return value


def check_numbers(params: Params, ranges: t.Mapping[str, tuple[int, int]], what: str) -> None:
    """Check each given number of params against its range; 0 is left to the caller's range."""
    for name, (low, high) in ranges.items():
        check_number(params.get(name), low, high, f"{what}: {name}")


def check_prefix(value: str, what: str, version: int | None = None) -> str:
    """A prefix in canonical form, with its host bits cleared as FRR does."""
    try:
        if "/" not in value:
            raise ValueError
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        raise FabricError(f"{what}: {value!r} is no prefix such as 10.0.0.0/8 or 2001:db8::/32") from None
    if version and network.version != version:
        raise FabricError(f"{what}: {value!r} is no IPv{version} prefix")
    return str(network)


def check_host(value: str, what: str, version: int | None = None) -> str:
    """An address without a prefix length, in canonical form."""
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise FabricError(f"{what}: {value!r} is no IP address") from None
    if (version and address.version != version) or "%" in value:
        raise FabricError(f"{what}: {value!r} is no IPv{version or 4} address")
    return str(address)


def check_router_id(value: str, what: str) -> str:
    """A router id: four numbers with dots, not all zero; empty text clears."""
    if value and check_host(value, what, 4) == "0.0.0.0":
        raise FabricError(f"{what}: 0.0.0.0 is no router id")
    return value


def check_area(value: str, what: str) -> str:
    """An OSPF area as a dotted quad, from a number or a dotted quad."""
    try:
        return str(ipaddress.IPv4Address(int(value) if value.isascii() and value.isdigit() else value))
    except ValueError:
        raise FabricError(
            f"{what}: {value!r} is no area; write a number from 0 to 4294967295 or four numbers with dots"
        ) from None


def check_asn(value: str, what: str) -> str:
    """An AS number, plain or dotted (RFC 5396), as a plain number."""
    high, dot, low = value.partition(".")
    number = -1
    if value.isascii() and high.isdigit() and (not dot or low.isdigit()):
        number = int(high) if not dot else int(high) * 65536 + int(low) if max(int(high), int(low)) < 65536 else -1
    if not 1 <= number <= 4294967295:
        raise FabricError(
            f"{what}: {value!r} is no AS number; write 1 to 4294967295, or two numbers up to 65535 with a dot"
        )
    return str(number)


def check_vrf(value: str, what: str) -> str:
    """A VRF's name, which is an interface's name."""
    return check_interface_name(value, what)


def check_unique(values: t.Iterable[t.Any], what: str) -> None:
    """Refuse a thing that is declared twice."""
    seen = set()
    for value in values:
        if value in seen:
            raise FabricError(f"{what}: {value} is declared twice; once is enough")
        seen.add(value)


def redistribute_lines(
    rows: t.Iterable[Params], protocols: t.Container[str], what: str, metric_types: bool = True
) -> t.Iterator[str]:
    """The `redistribute` lines, in FRR's order of words."""
    for row in rows:
        if row["protocol"] not in protocols:
            raise FabricError(f"{what}: redistribute: protocol: FRR cannot redistribute {row['protocol']!r} here")
        where = f"{what}: redistribute {row['protocol']}"
        line = f"redistribute {row['protocol']}"
        if row.get("metric") is not None:
            line += f" metric {check_number(row['metric'], 0, 16777214, where + ': metric')}"
        if metric_types and row.get("metric_type") == 1:
            line += " metric-type 1"
        if row.get("route_map"):
            line += f" route-map {check_word(row['route_map'], where + ': route_map')}"
        yield line


# --- things ----------------------------------------------------------------------------------------------------------


def _sequence(entries: t.Sequence[Params], what: str, highest: int = 4294967295) -> list[int]:
    """The entries' sequence numbers; those without one follow the one before in steps of five (ten in a route-map)."""
    step = 10 if highest == 65535 else 5
    numbers: list[int] = []
    for entry in entries:
        numbers.append(
            check_number(entry["seq"], 1, highest, f"{what}: seq")
            or (numbers[-1] if numbers else 0) // step * step + step
        )
    check_unique(numbers, f"{what}: seq")
    return numbers


def _flat(name: str, begin: str, item: Params, found: Found, entry: t.Callable[[Params, str], str]) -> Thing:
    """A list of lines `BEGIN seq N ACTION ...` at the top level."""
    lines = Lines(found.running)
    if item["entries"] is not None and item["state"] == "present":
        numbers = _sequence(item["entries"], name)
        rules = [f"{row['action']} {entry(row, f'{name}: seq {n}')}" for n, row in zip(numbers, item["entries"])]
        # FRR ignores the second one without a word.
        check_unique(rules, f"{name}: entries")
        lines.exactly((), f"{begin} seq ", [f"{begin} seq {n} {rule}" for n, rule in zip(numbers, rules)])
        if not numbers:
            raise FabricError(
                f"{name}: entries is empty, and FRR keeps no empty list; declare an entry, or state absent"
            )
    return Thing(name, lines.wanted, (((), begin + " "),), ((), f"no {begin}"), item["state"] == "present")


def _prefix_list(item: Params, found: Found) -> Thing:
    family, name = item["family"], check_word(item["name"], "prefix_lists: name")
    version, width = (6, 128) if family == "ipv6" else (4, 32)

    def entry(row: Params, what: str) -> str:
        if row["prefix"] == "any":
            return "any"
        prefix = check_prefix(row["prefix"], f"{what}: prefix", version)
        length, line = int(prefix.partition("/")[2]), prefix
        if row["ge"] is not None:
            line += f" ge {check_number(row['ge'], length, width, what + ': ge')}"
        if row["le"] is not None:
            line += f" le {check_number(row['le'], max(length, row['ge'] or 0), width, what + ': le')}"
        return line

    begin = f"{'ipv6' if version == 6 else 'ip'} prefix-list {name}"
    thing = _flat(f"prefix list {family} {name}", begin, item, found, entry)
    if item["description"] is not None and thing.present:
        lines = Lines(found.running)
        lines.options(
            (),
            {"description": check_text(item["description"], f"{thing.name}: description")},
            [("description", begin + " description {}")],
        )
        thing.lines.update(lines.wanted)
    return thing


def _community_list(item: Params, found: Found) -> Thing:
    name = check_word(item["name"], "community_lists: name")
    if name.isdigit():
        raise FabricError(f"community_lists: name: {name} is a number; give the list a name")
    begin = f"bgp {item['kind']}-list {item['type']} {name}"
    return _flat(
        f"{item['kind']} list {name}",
        begin,
        item,
        found,
        lambda row, what: check_clause(row["communities"], f"{what}: communities"),
    )


def _as_path_list(item: Params, found: Found) -> Thing:
    name = check_word(item["name"], "as_path_lists: name")
    return _flat(
        f"AS path list {name}",
        f"bgp as-path access-list {name}",
        item,
        found,
        lambda row, what: check_clause(row["regex"], f"{what}: regex"),
    )


def _route_map(item: Params, found: Found) -> Thing:
    name = check_word(item["name"], "route_maps: name")
    what = f"route map {name}"
    lines = Lines(found.running)
    if item["entries"] is not None and item["state"] == "present":
        numbers = _sequence(item["entries"], what, 65535)
        if not numbers:
            raise FabricError(
                f"{what}: entries is empty, and FRR keeps no empty route-map; declare an entry, or state absent"
            )
        headers = [f"route-map {name} {row['action']} {n}" for n, row in zip(numbers, item["entries"])]
        for address in found.running:
            if address[0].startswith(f"route-map {name} ") and address[0] not in headers:
                lines.wanted[address] = None
        for header, row in zip(headers, item["entries"]):
            clauses = _clauses(row, f"{what} {header.rpartition(' ')[2]}")
            lines.put((), header)
            lines.exactly((header,), "", clauses)
    return Thing(
        what, lines.wanted, (((), f"route-map {name} "),), ((), f"no route-map {name}"), item["state"] == "present"
    )


def _clauses(row: Params, at: str) -> list[str]:
    """The lines of one entry of a route-map. Raises FabricError."""
    clauses = [f"match {check_clause(one, at + ': match')}" for one in row["match"]]
    clauses += [f"set {check_clause(one, at + ': set')}" for one in row["set"]]
    if row["description"]:
        clauses.append(f"description {check_text(row['description'], at + ': description')}")
    if row["call"]:
        clauses.append(f"call {check_word(row['call'], at + ': call')}")
    if not row["on_match"]:
        return clauses
    if not re.fullmatch(r"next|goto [1-9]\d{0,4}", row["on_match"], re.ASCII):
        raise FabricError(f"{at}: on_match: {row['on_match']!r} is neither 'next' nor 'goto' with an entry's number")
    if row["action"] == "deny":
        raise FabricError(f"{at}: on_match: an entry that denies is the end; use action permit, or leave on_match out")
    return [*clauses, f"on-match {row['on_match']}"]


def _key_chain(item: Params, found: Found) -> Thing:
    name = check_word(item["name"], "key_chains: name")
    header, what = f"key chain {name}", f"key chain {name}"
    lines = Lines(found.running)
    if item["state"] == "present":
        lines.put((), header)
        keys = item["keys"]
        if keys is not None:
            check_unique((key["id"] for key in keys), f"{what}: keys: id")
            wanted = {f"key {check_number(key['id'], 0, 2147483647, what + ': keys: id')}" for key in keys}
            for address in found.running:
                if address[0] == header and len(address) > 1 and address[1] not in wanted:
                    lines.wanted[address] = None
            for key in keys:
                path = (header, f"key {key['id']}")
                lines.put(path[:1], path[1])
                if key["algorithm"]:
                    lines.put(path, f"cryptographic-algorithm {key['algorithm']}")
                lines.put(path, f"key-string {check_secret(key['string'], what + ': keys: string', 64)}")
    return Thing(what, lines.wanted, (((header,), ""),), ((), f"no {header}"), item["state"] == "present")


def _bfd_profile(item: Params, found: Found) -> Thing:
    name = check_word(item["name"], "bfd_profiles: name")
    what = f"BFD profile {name}"
    header = f"profile {name}"
    lines = Lines(found.running)
    if item["state"] == "present":
        limits = {
            "detect_multiplier": (1, 255),
            "receive_interval": (10, 60000),
            "transmit_interval": (10, 60000),
            "minimum_ttl": (1, 254),
        }
        check_numbers(item, limits, what)
        lines.put(("bfd",), header)
        rows = [(option, option.replace("_", "-") + " {}") for option in limits] + [("passive_mode", "passive-mode")]
        lines.options(("bfd", header), item, rows)
    return Thing(what, lines.wanted, ((("bfd", header), ""),), (("bfd",), f"no {header}"), item["state"] == "present")


_KINDS: dict[str, tuple[str, t.Callable[[Params, Found], Thing]]] = {
    "key_chains": ("key chain ", _key_chain),
    "prefix_lists": ("prefix list ", _prefix_list),
    "community_lists": ("community list ", _community_list),
    "as_path_lists": ("AS path list ", _as_path_list),
    "route_maps": ("route map ", _route_map),
    "bfd_profiles": ("BFD profile ", _bfd_profile),
}


def list_things(params: Params, found: Found) -> tuple[list[Thing], list[str]]:
    """The things of the lists that a module was given, and the beginnings of the names of those that it was not given."""
    things: list[Thing] = []
    kept: list[str] = []
    for option, (begin, build) in _KINDS.items():
        items = params.get(option)
        if items is None:
            kept += (
                [begin]
                if option != "community_lists"
                else ["community list ", "large-community list ", "extcommunity list "]
            )
            continue
        made = [build(item, found) for item in items]
        check_unique((thing.name for thing in made), option)
        things += made
    return things, kept


def below(found: Found, owner: str, name: str) -> list[Thing]:
    """Everything that the notes hold as part of a thing, as things that are to go with it."""
    notes = found.notes.get(owner, {})
    things = []
    for other, note in notes.items():
        if other.startswith(name + " "):
            scope = tuple((tuple(path), begin) for path, begin in note["scope"])
            things.append(Thing(other, {}, scope, present=False))
    return things


def vrf_suffix(vrf: str) -> str:
    """What follows `router PROTOCOL` for a VRF."""
    return "" if vrf == "default" else f" vrf {vrf}"
