# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lines use what other lines define by name: lists, route-maps, key chains, BFD profiles, peer groups; and who needs the default BGP.

FRR takes a definition away whoever uses it: a filter then lets everything or nothing through, and with a peer group its
members go. This file is private to the collection, and pure.
"""

from __future__ import annotations

import re
import typing as t

Address = t.Tuple[str, ...]
Config = t.Mapping[Address, str]
# A kind, and the name with what it is valid in.
Definition = t.Tuple[str, str]

_DEFINED = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"route-map (\S+) (?:permit|deny) \d+$", "route map"),
        (r"ip prefix-list (\S+) seq ", "prefix list ipv4"),
        (r"ipv6 prefix-list (\S+) seq ", "prefix list ipv6"),
        (r"bgp community-list (?:standard |expanded )?(\S+) seq ", "community list"),
        (r"bgp large-community-list (?:standard |expanded )?(\S+) seq ", "large-community list"),
        (r"bgp extcommunity-list (?:standard |expanded )?(\S+) seq ", "extcommunity list"),
        (r"bgp as-path access-list (\S+) seq ", "AS path list"),
        (r"key chain (\S+)$", "key chain"),
    )
)
# A line in a block is looked at with a space before it, so that the header of a route map is none of these.
_USED = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (
            r"(?<= )(?:route|table|suppress|unsuppress|advertise|exist|non-exist)-map (?:vpn (?:import|export) )?(\S+)"
            r"|^ call (\S+)",
            "route map",
        ),
        (
            r"(?<= )(?<!orf )(?:prefix-list|(?:distribute|filter)-list prefix|rp-list|group-list|register-accept-list"
            r"|boundary oil|neighbor-filter) (\S+)",
            "prefix list",
        ),
        (r"^ match community (\S+)|^ set comm-list (?:(?:add|delete|replace) )?(\S+)", "community list"),
        (r"^ match large-community (\S+)|^ set large-comm-list (?:delete )?(\S+)", "large-community list"),
        (r"^ match extcommunity (\S+)|^ set extended-comm-list (?:delete )?(\S+)", "extcommunity list"),
        (r"^ match as-path (\S+)|^ neighbor \S+ filter-list (\S+)|(?<= )as-path-access-list (\S+)", "AS path list"),
        (r"(?<= )(?:key-chain (?:eigrp \d+ )?|keychain )(\S+)", "key chain"),
        (r"(?<= )bfd (?:.*[ -])?profile (\S+)|^ profile (\S+)$", "BFD profile"),
        (r"(?<= )peer-group (\S+)", "peer group"),
    )
)
# What takes something away, defines something, or holds words that are nobody's name.
_USES_NOTHING = re.compile(
    r"no |(?:ip|ipv6) prefix-list |(?:ipv6 )?access-list |bgp (?:as-path access|\S+)-list "
    r"|(?:neighbor \S+ )?(?:description|password) |key-string |banner "
)
# A prefix list is one of IPv6 in these.
_IPV6_ROUTERS = ("router ospf6", "router ripng", "router pim6")


def defined(config: Config) -> set[Definition]:
    """What a configuration defines."""
    found: set[Definition] = set()
    for address, line in config.items():
        if len(address) == 1:
            found.update(
                (kind, match.group(1)) for pattern, kind in _DEFINED for match in [pattern.match(line)] if match
            )
        elif address[0] == "bfd" and len(address) == 2 and line.startswith("profile "):
            found.add(("BFD profile", line.partition(" ")[2]))
        elif len(address) == 2 and address[0].startswith("router bgp ") and re.match(r"neighbor \S+ peer-group$", line):
            found.add(("peer group", f"{line.split()[1]} of {address[0]}"))
    return found


def used(address: Address, line: str) -> t.Iterator[Definition]:
    """What a line uses."""
    if _USES_NOTHING.match(line) or (address[0] == "bfd" and len(address) == 2):
        return
    said = f" {line}" if len(address) > 1 else line
    for pattern, kind in _USED:
        for match in pattern.finditer(said):
            name = next(filter(None, match.groups()), "")
            if kind == "prefix list":
                yield f"{kind} ipv{6 if _of_ipv6(address, line) else 4}", name
            else:
                yield kind, f"{name} of {address[0]}" if kind == "peer group" else name


# What leaks routes by way of the default VRF's BGP, in the BGP of another VRF.
_LEAKS = re.compile(r"(?:import|export) vpn$|import vrf (?!default$)|advertise ipv[46] unicast( |$)")
_OF_VRF = re.compile(r"router bgp \d+ vrf (\S+)$")
_OF_DEFAULT_VRF = re.compile(r"router bgp \d+$")


def _leaking(config: Config) -> str | None:
    """The BGP of a VRF that leaks routes, or has a VNI: FRR does not take the BGP of the default VRF away beside it (`no router bgp`, bgpd)."""
    for address, line in config.items():
        vrf = _OF_VRF.match(address[0])
        if vrf and (_LEAKS.match(line) or _has_vni(config, vrf[1])):
            return address[0]
    return None


def _has_vni(config: Config, vrf: str) -> bool:
    return any(address[0] == f"vrf {vrf}" and line.startswith("vni ") for address, line in config.items())


def _of_ipv6(address: Address, line: str) -> bool:
    """Whether the prefix lists of a line are those of IPv6."""
    around = (part for header in address[1:-1] for part in header.split())
    return "ipv6" in (*line.split(), *around) or address[0].startswith(_IPV6_ROUTERS)


def orphans(before: Config, after: Config) -> t.Iterator[tuple[Definition, Address]]:
    """Definitions that a change takes away, each with a line that goes on using it."""
    gone = defined(before) - defined(after)
    if not gone:
        return
    for address, line in after.items():
        for definition in used(address, line):
            if definition in gone:
                yield definition, address


def dangling(config: Config) -> t.Iterator[tuple[Definition, Address]]:
    """What nothing defines though a line names it, which FRR takes, each with that line."""
    known = defined(config)
    for address, line in config.items():
        for definition in used(address, line):
            if definition not in known:
                yield definition, address


def needed_blocks(before: Config, after: Config) -> dict[Address, str]:
    """Blocks that a change takes away and FRR does not, each with the block that goes on needing it."""
    user = _leaking(after)
    gone = [address for address in before if address not in after and _OF_DEFAULT_VRF.match(address[-1])]
    return dict.fromkeys(gone, user) if user else {}
