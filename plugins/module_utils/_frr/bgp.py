# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""BGP (RFC 4271) in FRR: from options to settings.

This file is private to the collection, and pure.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.lists import (
    AS_PATH_LISTS,
    BFD_PROFILES,
    COMMUNITY_LISTS,
    PREFIX_LISTS,
    ROUTE_MAPS,
    Params,
    below,
    check_asn,
    check_clause,
    check_host,
    check_numbers,
    check_prefix,
    check_router_id,
    check_secret,
    check_text,
    check_unique,
    check_vrf,
    check_word,
    list_things,
    redistribute_lines,
    vrf_suffix,
)
from ansible_collections.overloom.fabric.plugins.module_utils._frr.reader import Found, release
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import Address, Config, key_of
from ansible_collections.overloom.fabric.plugins.module_utils._frr.wanted import Lines, Thing, within
from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import check_interface_name
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

_STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}
FAMILIES = {"ipv4_unicast": "ipv4 unicast", "ipv6_unicast": "ipv6 unicast", "l2vpn_evpn": "l2vpn evpn"}
_FAMILY = {"type": "str", "choices": list(FAMILIES), "required": True}

_PEER_FAMILY: dict[str, t.Any] = {
    "family": _FAMILY,
    "activate": {"type": "bool"},
    "route_reflector_client": {"type": "bool"},
    "route_server_client": {"type": "bool"},
    "next_hop_self": {"type": "str", "choices": ["none", "plain", "force"]},
    "send_community": {"type": "list", "elements": "str", "choices": ["standard", "extended", "large"]},
    "soft_reconfiguration_inbound": {"type": "bool"},
    "default_originate": {"type": "bool"},
    "default_originate_route_map": {"type": "str"},
    "route_map_in": {"type": "str"},
    "route_map_out": {"type": "str"},
    "prefix_list_in": {"type": "str"},
    "prefix_list_out": {"type": "str"},
    "as_path_list_in": {"type": "str"},
    "as_path_list_out": {"type": "str"},
    "maximum_prefix": {
        "type": "dict",
        "options": {
            "limit": {"type": "int", "required": True},
            "threshold": {"type": "int", "default": 75},
            "restart": {"type": "int"},
            "warning_only": {"type": "bool", "default": False},
        },
    },
    "weight": {"type": "int"},
    "allowas_in": {"type": "int"},
    "as_override": {"type": "bool"},
    "remove_private_as": {"type": "str", "choices": ["none", "plain", "all", "replace", "all_replace"]},
    "addpath_tx_all_paths": {"type": "bool"},
}
_TIMERS = {
    "type": "dict",
    "options": {"keepalive": {"type": "int", "required": True}, "hold": {"type": "int", "required": True}},
}
_PEER: dict[str, t.Any] = {
    "remote_as": {"type": "str"},
    "description": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "shutdown": {"type": "bool"},
    "timers": _TIMERS,
    "connect_timer": {"type": "int"},
    "advertisement_interval": {"type": "int"},
    "update_source": {"type": "str"},
    "ebgp_multihop": {"type": "int"},
    "ttl_security_hops": {"type": "int"},
    "disable_connected_check": {"type": "bool"},
    "passive": {"type": "bool"},
    "local_as": {"type": "str"},
    "local_as_no_prepend": {"type": "bool"},
    "local_as_replace_as": {"type": "bool"},
    "extended_nexthop": {"type": "bool"},
    "bfd": {"type": "bool"},
    "bfd_profile": {"type": "str"},
    "address_families": {"type": "list", "elements": "dict", "options": _PEER_FAMILY},
    "state": _STATE,
}

INSTANCE: dict[str, t.Any] = {
    "asn": {"type": "str"},
    "vrf": {"type": "str", "default": "default"},
    "router_id": {"type": "str"},
    "cluster_id": {"type": "str"},
    "log_neighbor_changes": {"type": "bool"},
    "default_ipv4_unicast": {"type": "bool"},
    "ebgp_requires_policy": {"type": "bool"},
    "network_import_check": {"type": "bool"},
    "multipath_relax": {"type": "bool"},
    "compare_router_id": {"type": "bool"},
    "deterministic_med": {"type": "bool"},
    "always_compare_med": {"type": "bool"},
    "listen_limit": {"type": "int"},
    "timers": _TIMERS,
    "graceful_restart": {
        "type": "dict",
        "options": {
            "mode": {"type": "str", "choices": ["helper", "enabled", "disabled"]},
            "restart_time": {"type": "int"},
            "stalepath_time": {"type": "int"},
        },
    },
    "listen_ranges": {
        "type": "list",
        "elements": "dict",
        "options": {"prefix": {"type": "str", "required": True}, "peer_group": {"type": "str", "required": True}},
    },
    "peer_groups": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, **_PEER},
    },
    "neighbors": {
        "type": "list",
        "elements": "dict",
        "options": {"neighbor": {"type": "str", "required": True}, "peer_group": {"type": "str"}, **_PEER},
    },
    "address_families": {
        "type": "list",
        "elements": "dict",
        "options": {
            "family": _FAMILY,
            "networks": {
                "type": "list",
                "elements": "dict",
                "options": {"prefix": {"type": "str", "required": True}, "route_map": {"type": "str"}},
            },
            "aggregates": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "prefix": {"type": "str", "required": True},
                    "as_set": {"type": "bool", "default": False},
                    "summary_only": {"type": "bool", "default": False},
                },
            },
            "redistribute": {
                "type": "list",
                "elements": "dict",
                "options": {
                    "protocol": {"type": "str", "required": True},
                    "metric": {"type": "int"},
                    "route_map": {"type": "str"},
                },
            },
            "maximum_paths": {"type": "int"},
            "maximum_paths_ibgp": {"type": "int"},
            "advertise_all_vni": {"type": "bool"},
            "advertise_ipv4_unicast": {"type": "bool"},
            "advertise_ipv6_unicast": {"type": "bool"},
        },
    },
    "state": _STATE,
}

LISTS = {
    "prefix_lists": PREFIX_LISTS,
    "route_maps": ROUTE_MAPS,
    "community_lists": COMMUNITY_LISTS,
    "as_path_lists": AS_PATH_LISTS,
    "bfd_profiles": BFD_PROFILES,
    "rpki": {"type": "list", "elements": "str"},
}

_PROTOCOLS = {
    "ipv4_unicast": ("kernel", "connected", "static", "rip", "ospf", "isis", "eigrp", "nhrp", "babel"),
    "ipv6_unicast": ("kernel", "connected", "static", "ripng", "ospf6", "isis", "nhrp", "babel"),
    "l2vpn_evpn": (),
}
_PEER_RANGES = {
    "connect_timer": (0, 65535),
    "advertisement_interval": (0, 600),
    "ebgp_multihop": (0, 255),
    "ttl_security_hops": (0, 254),
}
# A cache over TCP.
_CACHE = re.compile(r"rpki cache (?:tcp )?(\S+ \d+(?: source \S+)? preference \d+)")
_REMOVE_PRIVATE = {"none": "", "plain": "", "all": " all", "replace": " replace-AS", "all_replace": " all replace-AS"}


def things(
    params: Params, items: t.Sequence[Params], found: Found, owner: str, adopt: bool
) -> tuple[list[Thing], tuple[str, ...]]:
    """The things that the options declare, and the beginnings of names that an omitted list leaves alone.

    Raises FabricError with the first wrong input.
    """
    made, kept = list_things(params, found)
    if params.get("rpki") is None:
        kept.append("RPKI")
    elif params["rpki"]:
        made.append(_rpki(params["rpki"], found))
    check_unique((item["vrf"] for item in items), "instances: vrf")
    for item in items:
        made += _instance(item, found, owner, adopt, kept)
    return made, tuple(kept)


def _rpki(wanted: t.Sequence[str], found: Found) -> Thing:
    """The block with its caches in the spelling of this FRR; a file from before an upgrade may have the other one."""
    lines = Lines(found.running)
    lines.put((), "rpki")
    given = [check_clause(line, "rpki") for line in wanted]
    spellings = ("rpki cache {}", "rpki cache tcp {}")
    spelling, other = spellings[::-1] if release(found) >= 10 else spellings
    caches = [match.group(1) for match in map(_CACHE.fullmatch, given) if match]
    for cache in caches:
        lines.put(("rpki",), other.format(cache), False)
    lines.exactly(("rpki",), "", [_CACHE.sub(lambda match: spelling.format(match.group(1)), line) for line in given])
    return Thing("RPKI", lines.wanted, ((("rpki",), ""),))


def daemons(items: t.Iterable[Params]) -> tuple[str, ...]:
    """The daemons that the instances need."""
    return ("bgpd",) if list(items) else ()


def _instance(item: Params, found: Found, owner: str, adopt: bool, kept: list[str]) -> list[Thing]:
    vrf = check_vrf(item["vrf"], "vrf")
    if not item["asn"]:
        raise FabricError(f"BGP in vrf {vrf}: asn is missing; give the AS number")
    asn = check_asn(item["asn"], f"BGP in vrf {vrf}: asn")
    name = f"BGP {asn} {vrf}"
    header = f"router bgp {asn}{vrf_suffix(vrf)}"
    path = (header,)
    lines = Lines(found.running)
    process = Thing(name, lines.wanted, (((header,), ""),), None, item["state"] == "present")
    if item["state"] == "absent":
        return [process, *below(found, owner, name)]
    made = [*_other_asn(header, vrf, found, owner, adopt), process]
    lines.put((), header)
    _settings(item, lines, path, name)
    if item["listen_ranges"] is not None:
        lines.wanted.update(_listen_ranges(item["listen_ranges"], found, path, name))
    if item["address_families"] is not None:
        check_unique((row["family"] for row in item["address_families"]), f"{name}: address_families")
        for row in item["address_families"]:
            _family(row, path, lines, name)
    ipv4 = item["default_ipv4_unicast"]
    if ipv4 is None:
        ipv4 = path + ("bgp default ipv4-unicast",) not in found.running
    process_of = _Process(name, header, ipv4, found)
    groups: dict[str, Config] = {}
    if item["peer_groups"] is None:
        kept.append(f"{name} peer group ")
    else:
        made += _peer_groups(item["peer_groups"], process_of, groups)
    if item["neighbors"] is None:
        kept.append(f"{name} neighbor ")
    else:
        peers = [(_peer_name(row["neighbor"], f"{name}: neighbors: neighbor"), row) for row in item["neighbors"]]
        check_unique((peer for peer, _row in peers), f"{name}: neighbors")
        made += [_Peer(row, peer, "neighbor", process_of, groups).thing() for peer, row in peers]
    return made


def _settings(item: Params, lines: Lines, path: Address, name: str) -> None:
    """The settings of the process itself."""
    check_numbers(item, {"listen_limit": (0, 65535)}, name)
    for option in ("router_id", "cluster_id"):
        if item[option] is not None:
            check_router_id(item[option], f"{name}: {option}")
    lines.options(
        path,
        item,
        [
            ("router_id", "bgp router-id {}"),
            ("log_neighbor_changes", "bgp log-neighbor-changes"),
            ("always_compare_med", "bgp always-compare-med"),
            ("ebgp_requires_policy", "no bgp ebgp-requires-policy"),
            ("default_ipv4_unicast", "no bgp default ipv4-unicast"),
            ("cluster_id", "bgp cluster-id {}"),
            ("deterministic_med", "bgp deterministic-med"),
            ("multipath_relax", "bgp bestpath as-path multipath-relax"),
            ("compare_router_id", "bgp bestpath compare-routerid"),
            ("network_import_check", "no bgp network import-check"),
            ("listen_limit", "bgp listen limit {}"),
        ],
    )
    if item["timers"]:
        lines.put(path, "timers bgp " + _timers(item["timers"], name))
    if item["graceful_restart"] is not None:
        _graceful_restart(item["graceful_restart"], lines, path, name)


class _Process(t.NamedTuple):
    """The process that neighbors belong to.

    name: for messages; header: its line; ipv4: whether it activates neighbors for IPv4 by itself; found: what runs.
    """

    name: str
    header: str
    ipv4: bool
    found: Found


def _graceful_restart(item: Params, lines: Lines, path: Address, name: str) -> None:
    check_numbers(item, {"restart_time": (0, 3600), "stalepath_time": (0, 4095)}, f"{name}: graceful_restart")
    rows = [
        ("stalepath_time", "bgp graceful-restart stalepath-time {}"),
        ("restart_time", "bgp graceful-restart restart-time {}"),
    ]
    lines.options(path, item, rows)
    if item["mode"] is not None:
        lines.put(path, "bgp graceful-restart", item["mode"] == "enabled")
        lines.put(path, "bgp graceful-restart-disable", item["mode"] == "disabled")


def _peer_groups(items: t.Sequence[Params], process: _Process, groups: dict[str, Config]) -> list[Thing]:
    """The peer groups. groups: gets the settings that each will have, for its members."""
    check_unique((item["name"] for item in items), f"{process.name}: peer_groups")
    made = []
    for item in items:
        name = check_word(item["name"], f"{process.name}: peer_groups: name")
        thing = _Peer(item, name, "peer group", process, {}).thing()
        groups[name] = {a: line for a, line in {**process.found.running, **thing.lines}.items() if line}
        made.append(thing)
    return made


def _listen_ranges(rows: t.Sequence[Params], found: Found, path: Address, name: str) -> dict[Address, str | None]:
    check_unique((row["prefix"] for row in rows), f"{name}: listen_ranges")
    ranges = Lines(found.running)
    wanted = []
    for row in rows:
        prefix = check_prefix(row["prefix"], f"{name}: listen_ranges")
        group = check_word(row["peer_group"], f"{name}: listen_ranges: peer_group")
        wanted.append(f"bgp listen range {prefix} peer-group {group}")
    ranges.exactly(path, "bgp listen range ", wanted)
    return ranges.wanted


def _other_asn(header: str, vrf: str, found: Found, owner: str, adopt: bool) -> list[Thing]:
    """What must go because the VRF has another AS number: FRR runs one BGP in a VRF."""
    made = []
    suffix = vrf_suffix(vrf)
    for address in found.running:
        other = address[0]
        words = other.split()
        if (
            len(address) == 1
            and words[:2] == ["router", "bgp"]
            and other != header
            and other == f"router bgp {words[2]}{suffix}"
        ):
            name = f"BGP {words[2]} {vrf}"
            if name not in found.notes.get(owner, {}) and not adopt:
                raise FabricError(
                    f"{name} runs already and was not made by owner {owner}; set adopt to have its AS number changed, which drops every session"
                )
            made.append(Thing(name, {}, (((other,), ""),), present=False))
            made += below(found, owner, name)
    return made


def _timers(row: Params, what: str) -> str:
    keepalive, hold = row["keepalive"], row["hold"]
    check_numbers(row, {"keepalive": (0, 65535), "hold": (0, 65535)}, f"{what}: timers")
    if hold and (hold < 3 or keepalive > hold // 3):
        raise FabricError(
            f"{what}: timers: keepalive {keepalive} has to be at most a third of hold {hold}, and hold 0 or at least 3; FRR lowers it else"
        )
    return f"{keepalive} {hold}"


def _peer_name(value: str, what: str) -> str:
    """A neighbor: an address in canonical form, or an interface's name for a session without addresses."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        if value[:1].isdigit() or ":" in value:
            raise FabricError(f"{what}: {value!r} is neither an address nor an interface's name") from None
        return check_interface_name(value, what)


def _remote_as(value: str, what: str) -> str:
    return value if value in ("internal", "external") else check_asn(value, what)


class _Peer:
    """A neighbor or a peer group.

    groups: the settings that each declared peer group will have; of others, it is what runs.
    """

    def __init__(self, item: Params, peer: str, kind: str, process: _Process, groups: t.Mapping[str, Config]) -> None:
        self.item, self.kind, self.process, self.found = item, kind, process, process.found
        self.what, self.begin = f"{process.name} {kind} {peer}", f"neighbor {peer}"
        self.path: Address = (process.header,)
        self.lines = Lines(self.found.running)
        self.unnumbered = kind == "neighbor" and not peer[:1].isdigit() and ":" not in peer
        self.group: str | None = item.get("peer_group")
        self.of_group = groups.get(self.group or "", self.found.running)
        families = [self.path + (f"address-family {family}",) for family in FAMILIES.values()]
        self.scope = tuple((place, self.begin + " ") for place in (self.path, *families))

    def thing(self) -> Thing:
        """Its settings. Raises FabricError."""
        ending = " interface" if self.unnumbered else " peer-group" if self.kind == "peer group" else ""
        drop = (self.path, f"no {self.begin}{ending}")
        if self.item["state"] == "absent":
            return Thing(self.what, {}, self.scope, drop, False)
        self._identity()
        self._session()
        self._families()
        renew = self._changes_group()
        if self.group:
            self._leave_to_group(renew)
        return Thing(self.what, self.lines.wanted, self.scope, drop, renew=renew)

    def _identity(self) -> None:
        """The lines that make it."""
        remote_as = self.item["remote_as"] and _remote_as(self.item["remote_as"], f"{self.what}: remote_as")
        group, begin = self.group, self.begin
        self._check_identity(remote_as)
        if self.kind == "peer group":
            self.lines.put(self.path, f"{begin} peer-group")
        if group:
            check_word(group, f"{self.what}: peer_group")
        if self.unnumbered and (remote_as or group):
            made_by = f"peer-group {group}" if group else f"remote-as {remote_as}"
            self.lines.put(self.path, f"{begin} interface {made_by}")
            return
        if remote_as:
            self.lines.put(self.path, f"{begin} remote-as {remote_as}")
        if group is not None:
            self.lines.put(self.path, f"{begin} peer-group {group or '-'}", bool(group))
        if group and self._group_brings_as():
            # FRR takes its own away.
            self.lines.put(self.path, f"{begin} remote-as -", False)

    def _group_brings_as(self) -> bool:
        return self.unnumbered or self.path + (f"neighbor {self.group} remote-as",) in self.of_group

    def _check_identity(self, remote_as: str | None) -> None:
        group = self.group
        if group and remote_as and self._group_brings_as():
            raise FabricError(
                f"{self.what}: remote_as and peer_group: the peer group {group} brings the AS number; give it in one place"
            )
        nameless = self.kind == "neighbor" and not group and not remote_as
        if nameless and not any(a[:1] == self.path and within_neighbor(a, self.begin) for a in self.found.running):
            raise FabricError(f"{self.what}: a new neighbor needs remote_as or peer_group")
        if self.unnumbered and self.item["extended_nexthop"] is False:
            raise FabricError(
                f"{self.what}: extended_nexthop: a session without addresses cannot do without it; leave it out"
            )

    def _session(self) -> None:
        inherited = self.of_group.get(self.path + (f"neighbor {self.group} local-as",), "") if self.group else ""
        now = self.found.running.get(self.path + (f"{self.begin} local-as",), inherited)
        values = {**self.item, "local_as": _local_as(self.item, now, self.what)}
        if self.unnumbered:
            values["extended_nexthop"] = None
        _session(values, self.lines, self.path, self.begin, self.what)

    def _families(self) -> None:
        rows = self.item["address_families"]
        if rows is None:
            return
        check_unique((row["family"] for row in rows), f"{self.what}: address_families")
        for row in rows:
            path = self.path + (f"address-family {FAMILIES[row['family']]}",)
            _peer_family(row, self.lines, path, self.begin, self.what, self.process.ipv4)

    def _changes_group(self) -> bool:
        """Whether it goes from a peer group, or into one. It is made anew with all it has, as FRR takes a neighbor away with its group,
        and in a group it is another one than that which FRR makes of the same lines when it starts."""
        member = self.path + (f"{self.begin} interface" if self.unnumbered else f"{self.begin} peer-group",)
        if self.kind != "neighbor" or member not in self.lines.wanted:
            return False
        maker = self.path + (f"{self.begin} remote-as",)
        now, wanted = self.found.running.get(member, self.found.running.get(maker)), self.lines.wanted[member]
        return now not in (None, wanted) and " peer-group " in f"{now} {wanted}"

    def _leave_to_group(self, renew: bool) -> None:
        """FRR does not show of a member what its group says as well, neither what is wanted nor what a new member brings along."""
        wanted, running = self.lines.wanted, self.found.running
        brought = {a: running[a] for a in running if renew and within(self.scope, a) and a not in wanted}
        # With a profile of its own, a member's BFD is shown all the same.
        shown = self.path + (f"{self.begin} bfd",) if wanted.get(self.path + (f"{self.begin} bfd profile",)) else None
        for address, line in [*wanted.items(), *brought.items()]:
            if address == shown or not self._said_by_group(address, line):
                continue
            if address in brought or running.get(address, line) != line:
                wanted[address] = None
            elif address not in running:
                del wanted[address]

    def _said_by_group(self, address: Address, line: str | None) -> bool:
        other = (line or "").replace(self.begin, f"neighbor {self.group}", 1)
        return bool(other) and self.of_group.get(address[:-1] + (key_of(other),)) == other


def within_neighbor(address: Address, begin: str) -> bool:
    """Whether a setting makes a neighbor: its first line."""
    return address[-1] in (f"{begin} remote-as", f"{begin} peer-group", f"{begin} interface")


def _local_as(item: Params, now: str, what: str) -> str | None:
    """The AS number to appear as, with its words.

    now: the line that is there, whose words stay where they are not given.
    """
    hidden, replaced = item["local_as_no_prepend"], item["local_as_replace_as"]
    if item["local_as"] is None and hidden is None and replaced is None:
        return None
    number, *words = now.split()[3:] or [""]
    number = number if item["local_as"] is None else item["local_as"]
    if not number:
        if hidden or replaced:
            raise FabricError(
                f"{what}: local_as_no_prepend and local_as_replace_as need local_as, the AS number to appear as"
            )
        return ""
    if replaced and hidden is False:
        raise FabricError(f"{what}: local_as_replace_as needs local_as_no_prepend in FRR; leave that out, or set it")
    if replaced is None:
        replaced = "replace-as" in words and hidden is not False
    if hidden is None:
        hidden = "no-prepend" in words
    value = check_asn(number, f"{what}: local_as")
    if hidden or replaced:
        value += " no-prepend"
    if replaced:
        # Newer releases have one word more.
        value += " replace-as dual-as" if "dual-as" in words else " replace-as"
    return value


def _session(item: Params, lines: Lines, path: Address, begin: str, what: str) -> None:
    check_numbers(item, _PEER_RANGES, what)
    values = dict(item)
    if item["description"] is not None:
        values["description"] = check_text(item["description"], f"{what}: description")
    if item["password"] is not None:
        check_secret(item["password"], f"{what}: password", 80)
    if item["update_source"]:
        source = item["update_source"]
        check = check_host if ":" in source or source[0].isdigit() else check_interface_name
        values["update_source"] = check(source, f"{what}: update_source")
    if item["ebgp_multihop"] and item["ttl_security_hops"]:
        raise FabricError(f"{what}: ebgp_multihop and ttl_security_hops exclude each other; use one")
    # What excludes the other takes its place.
    if item["ebgp_multihop"]:
        values["ttl_security_hops"] = 0
    elif item["ttl_security_hops"]:
        values["ebgp_multihop"] = 0
    rows = [
        ("local_as", "local-as {}"),
        ("description", "description {}"),
        ("shutdown", "shutdown"),
        ("password", "password {}"),
        ("ebgp_multihop", "ebgp-multihop {}"),
        ("ttl_security_hops", "ttl-security hops {}"),
        ("disable_connected_check", "disable-connected-check"),
        ("extended_nexthop", "capability extended-nexthop"),
        ("passive", "passive"),
        ("update_source", "update-source {}"),
        ("connect_timer", "timers connect {}"),
    ]
    lines.options(path, values, [(option, f"{begin} {line}") for option, line in rows])
    if item["advertisement_interval"] is not None:
        lines.put(path, f"{begin} advertisement-interval {item['advertisement_interval']}")
    if item["timers"]:
        lines.put(path, f"{begin} timers {_timers(item['timers'], what)}")
    _bfd(item, lines, path, begin, what)


def _bfd(item: Params, lines: Lines, path: Address, begin: str, what: str) -> None:
    profile = item["bfd_profile"]
    if profile and item["bfd"] is False:
        raise FabricError(f"{what}: bfd_profile {profile} needs bfd; leave bfd out, or set it")
    if profile is not None or item["bfd"] is False:
        lines.put(path, f"{begin} bfd profile {check_word(profile or 'none', what + ': bfd_profile')}", bool(profile))
    if item["bfd"] is False:
        # It turns BFD on again where it goes, or stays, after BFD.
        lines.put(path, f"{begin} bfd check-control-plane-failure", False)
    if profile or item["bfd"] is not None:
        lines.put(path, f"{begin} bfd", bool(profile or item["bfd"]))


def _peer_family(row: Params, lines: Lines, path: Address, begin: str, what: str, ipv4: bool) -> None:
    what = f"{what}: {row['family']}"
    if row["activate"] is not None:
        by_default = ipv4 and row["family"] == "ipv4_unicast"
        lines.put(path, f"no {begin} activate" if by_default else f"{begin} activate", row["activate"] != by_default)
    check_numbers(row, {"weight": (0, 65535), "allowas_in": (0, 10)}, what)
    filters = (
        "route_map_in",
        "route_map_out",
        "prefix_list_in",
        "prefix_list_out",
        "as_path_list_in",
        "as_path_list_out",
    )
    for option in (*filters, "default_originate_route_map"):
        if row[option]:
            check_word(row[option], f"{what}: {option}")
    rows = [
        ("addpath_tx_all_paths", "addpath-tx-all-paths"),
        ("route_reflector_client", "route-reflector-client"),
        ("route_server_client", "route-server-client"),
        ("as_override", "as-override"),
        ("soft_reconfiguration_inbound", "soft-reconfiguration inbound"),
        ("weight", "weight {}"),
        ("allowas_in", "allowas-in {}"),
    ]
    words = {"route_map": "route-map", "prefix_list": "prefix-list", "as_path_list": "filter-list"}
    for option in filters:
        name, _underscore, way = option.rpartition("_")
        rows.append((option, f"{words[name]} {{}} {way}"))
    lines.options(path, row, [(option, f"{begin} {line}") for option, line in rows])
    for option, line, endings in (
        ("next_hop_self", "next-hop-self", {"force": " force"}),
        ("remove_private_as", "remove-private-AS", _REMOVE_PRIVATE),
    ):
        if row[option] is not None:
            lines.put(path, f"{begin} {line}{endings.get(row[option], '')}", row[option] != "none")
    _default_originate(row, lines, path, begin, what)
    if row["send_community"] is not None:
        for kind in ("standard", "extended", "large"):
            lines.put(path, f"no {begin} send-community {kind}", kind not in row["send_community"])
    if row["maximum_prefix"] is not None:
        _maximum_prefix(row["maximum_prefix"], lines, path, begin, f"{what}: maximum_prefix")


def _default_originate(row: Params, lines: Lines, path: Address, begin: str, what: str) -> None:
    originate, route_map = row["default_originate"], row["default_originate_route_map"]
    if route_map and originate is False:
        raise FabricError(f"{what}: default_originate_route_map needs default_originate; set it, or leave both out")
    if originate is not None or route_map:
        filtered = f" route-map {route_map}" if route_map else ""
        lines.put(path, f"{begin} default-originate{filtered}", bool(originate or route_map))


def _maximum_prefix(item: Params, lines: Lines, path: Address, begin: str, what: str) -> None:
    check_numbers(item, {"limit": (0, 4294967295), "threshold": (1, 100), "restart": (1, 65535)}, what)
    if item["warning_only"] and item["restart"]:
        raise FabricError(f"{what}: restart and warning_only exclude each other; use one")
    line = f"{begin} maximum-prefix {item['limit']} {item['threshold']}"
    line += " warning-only" if item["warning_only"] else f" restart {item['restart']}" if item["restart"] else ""
    lines.put(path, line, bool(item["limit"]))


def _family(row: Params, around: Address, lines: Lines, process: str) -> None:
    family = row["family"]
    path = around + (f"address-family {FAMILIES[family]}",)
    what = f"{process}: {family}"
    version = {"ipv4_unicast": 4, "ipv6_unicast": 6}.get(family)
    only_unicast = ("networks", "aggregates", "redistribute", "maximum_paths", "maximum_paths_ibgp")
    only_evpn = ("advertise_all_vni", "advertise_ipv4_unicast", "advertise_ipv6_unicast")
    for option in only_evpn if version else only_unicast:
        if row[option]:
            raise FabricError(
                f"{what}: {option} is for {'l2vpn_evpn' if version else 'ipv4_unicast and ipv6_unicast'} only"
            )
    if row["networks"] is not None:
        networks = [
            f"network {check_prefix(one['prefix'], what + ': networks', version)}"
            + (f" route-map {check_word(one['route_map'], what + ': networks: route_map')}" if one["route_map"] else "")
            for one in row["networks"]
        ]
        check_unique((line.split()[1] for line in networks), f"{what}: networks")
        lines.exactly(path, "network ", networks)
    if row["aggregates"] is not None:
        aggregates = [
            f"aggregate-address {check_prefix(one['prefix'], what + ': aggregates', version)}"
            + (" as-set" if one["as_set"] else "")
            + (" summary-only" if one["summary_only"] else "")
            for one in row["aggregates"]
        ]
        check_unique((line.split()[1] for line in aggregates), f"{what}: aggregates")
        lines.exactly(path, "aggregate-address ", aggregates)
    if row["redistribute"] is not None:
        check_unique((one["protocol"] for one in row["redistribute"]), f"{what}: redistribute")
        lines.exactly(
            path, "redistribute ", redistribute_lines(row["redistribute"], _PROTOCOLS[family], what, metric_types=False)
        )
    check_numbers(row, {"maximum_paths": (0, 256), "maximum_paths_ibgp": (0, 256)}, what)
    lines.options(
        path,
        row,
        [
            ("maximum_paths", "maximum-paths {}"),
            ("maximum_paths_ibgp", "maximum-paths ibgp {}"),
            ("advertise_all_vni", "advertise-all-vni"),
            ("advertise_ipv4_unicast", "advertise ipv4 unicast"),
            ("advertise_ipv6_unicast", "advertise ipv6 unicast"),
        ],
    )
