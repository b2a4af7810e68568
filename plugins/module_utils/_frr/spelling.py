# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Other spellings that FRR takes for the lines that the modules manage: of older releases, of other routers, of people in a hurry.

This file is private to the collection, and pure. `respelled` gives a line of frr.conf the place and the words with which FRR
shows it. That it does is tried on a real FRR, spelling by spelling.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.words import written_out

Address = t.Tuple[str, ...]
Placed = t.Tuple[Address, str]

_UNICAST = "address-family ipv4 unicast"
# What Quagga and older releases wrote right under `router bgp`; it belongs to IPv4 unicast.
_OF_IPV4 = re.compile(
    r"(?:no )?(?:neighbor \S+ (?:activate|addpath-\S+|advertise-map|allowas-in|as-override|attribute-unchanged|capability orf|default-originate"
    r"|distribute-list|filter-list|maximum-prefix(?:-out)?|next-hop-self|prefix-list|remove-private-AS|route-map|route-reflector-client"
    r"|route-server-client|send-community|soft-reconfiguration|unsuppress-map|weight)(?: |$)"
    r"|(?:network|aggregate-address|redistribute|distance|maximum-paths|bgp dampening|table-map) ?)"
)
_GROUP_IN_FAMILY = re.compile(r"(?:no )?neighbor \S+ peer-group \S+$")
_MASK = re.compile(
    r"^((?:no )?(?:ip route|network|aggregate-address)) (\d+\.\d+\.\d+\.\d+) (?:mask )?(\d+\.\d+\.\d+\.\d+)(?= |$)"
)
_PREFIX = re.compile(r"(?<= )(?:\d+\.\d+\.\d+\.\d+|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)/\d+(?= |$)")
_WITH_PREFIX = re.compile(
    r"(?:no )?(?:ip route|ipv6 route|ip prefix-list|ipv6 prefix-list|network|aggregate-address|area \S+ range"
    r"|summary-address|bgp listen range) "
)
_NEIGHBOR = re.compile(r"((?:no )?neighbor) ([0-9A-Fa-f]*:[0-9A-Fa-f:.]*)(?= )")
_OSPF_INTERFACE = re.compile(
    r"^(?:no )?ospf (?=(?:authentication|authentication-key|cost|dead-interval|hello-interval|message-digest-key"
    r"|network|priority|retransmit-interval|transmit-delay)\b)"
)
_PASSIVE = re.compile(r"(no )?passive-interface (\S+)( \d+\.\d+\.\d+\.\d+)?$")
_ROUTE_WORDS = ("tag", "table", "label", "vrf", "nexthop-vrf", "color", "segments")
_LIST = r"((?:ip|ipv6) prefix-list \S+|bgp as-path access-list \S+|bgp (?:large-|ext)?community-list (?:standard |expanded )?\S+)"
_UNNUMBERED = re.compile(_LIST + " ((?:permit|deny) .*)$")
_NUMBERED = re.compile(_LIST + r" seq (\d+) ")
# Numbers that tell one thing from another, written with zeros before them.
_ZEROS = re.compile(
    r"^((?:no )?(?:router bgp|route-map \S+ (?:permit|deny)|(?:ip|ipv6|bgp)(?: (?!description )\S+){2,4}? seq) )0+(?=\d)"
)


class Speller:
    """Respells the lines of one file from its first to its last, as some depend on those before."""

    def __init__(self) -> None:
        # The highest sequence number of a list so far.
        self.highest: dict[str, int] = {}
        # The neighbors that are interfaces, each with its router and name, and the words that say so.
        self.unnumbered: dict[tuple[str, str], str] = {}

    def respelled(self, path: Address, line: str) -> list[Placed]:
        """A line of a block as FRR shows it. path: the block, as FRR shows it."""
        line = written_out(path, line)
        if not path:
            return [self.top(line)]
        if path[0].startswith("router bgp "):
            return self.bgp(path, line)
        if path[0].startswith("router ospf"):
            return self.ospf(path, line)
        if path[0].startswith("router rip"):
            line = _redistribution(line)
            return [(path, _PREFIX.sub(lambda found: _network(found.group(0)), line) if "network " in line else line)]
        if path[0].startswith("key chain "):
            return [(path, re.sub(r"^((?:no )?key) 0+(?=\d)", r"\1 ", line))]
        if path[0].startswith("interface "):
            return [(path, _OSPF_INTERFACE.sub(lambda found: found.group(0).replace("ospf ", "ip ospf "), line))]
        if path[0].startswith("vrf "):
            return [_route(path, line)]
        if path[0].startswith("route-map "):
            line = re.sub(r"^continue$", "on-match next", line)
            return [(path, re.sub(r"^continue(?= \d)", "on-match goto", line))]
        return [(path, line)]

    def top(self, line: str) -> Placed:
        """A line outside all blocks."""
        line = re.sub(r"^((?:no )?router \S+(?: \d+)?) vrf default$", r"\1", line)
        line = re.sub(r"^((?:no )?)ip (as-path access-list|(?:large-|ext)?community-list) ", r"\1bgp \2 ", line)
        line = _ZEROS.sub(r"\1", line)
        found = _NUMBERED.match(line)
        if found:
            self.highest[found.group(1)] = max(self.highest.get(found.group(1), 0), int(found.group(2)))
        bare = _UNNUMBERED.match(line)
        if bare:
            number = self.highest.get(bare.group(1), 0) // 5 * 5 + 5
            self.highest[bare.group(1)] = number
            line = f"{bare.group(1)} seq {number} {bare.group(2)}"
        if "prefix-list " in line:
            line = re.sub(r"( le \d+)( ge \d+)$", r"\2\1", _masked(line))
        return _route((), line)

    def bgp(self, path: Address, line: str) -> list[Placed]:
        """A line of BGP."""
        line = _NEIGHBOR.sub(lambda found: f"{found.group(1)} {_host(found.group(2))}", _masked(_redistribution(line)))
        line = re.sub(r" next-hop-self all$", " next-hop-self force", line)
        line = re.sub(r"^((?:no )?bgp network import-check) exact$", r"\1", line)
        if len(path) == 1 and line.startswith("address-family "):
            line = re.sub(r"^address-family (ipv[46])$", r"address-family \1 unicast", line)
            return [(path, re.sub(r"^address-family vpn(v[46])(?: unicast)?$", r"address-family ip\1 vpn", line))]
        if len(path) == 1 and _OF_IPV4.match(line):
            return [(path + (_UNICAST,), line)]
        if len(path) == 2 and path[1].startswith("address-family ") and _GROUP_IN_FAMILY.match(line):
            return [(path[:1], self.of_interface(path[0], line))]
        return [(path, self.of_interface(path[0], line) if len(path) == 1 else line)]

    def of_interface(self, router: str, line: str) -> str:
        """What makes a neighbor without an address, in the one line in which FRR shows it."""
        made = re.match(r"neighbor (\S+) (interface(?: v6only)?|(?:remote-as|peer-group)(?= ))", line)
        if not made:
            return line
        if made.group(2).startswith("interface"):
            self.unnumbered[router, made.group(1)] = made.group(2)
        said = self.unnumbered.get((router, made.group(1)), "")
        return line if made.group(2) == said or not said else f"{line[: made.start(2)]}{said} {line[made.start(2) :]}"

    def ospf(self, path: Address, line: str) -> list[Placed]:
        """A line of OSPF."""
        line = _masked(_redistribution(line))
        if path[0].startswith("router ospf6"):
            line = re.sub(r"^((?:no )?)router-id ", r"\1ospf6 router-id ", line)
            inside = re.match(r"(no )?interface (\S+) area (\S+)$", line)
            return (
                [((f"interface {inside.group(2)}",), f"{inside.group(1) or ''}ipv6 ospf6 area {inside.group(3)}")]
                if inside
                else [(path, line)]
            )
        line = re.sub(r"^((?:no )?)router-id ", r"\1ospf router-id ", line)
        line = re.sub(r"^((?:no )?)ospf rfc1583compatibility$", r"\1compatible rfc1583", line)
        line = re.sub(r"^((?:no )?area \S+ range \S+) advertise(?= cost|$)", r"\1", line)
        passive = _PASSIVE.match(line)
        if passive and passive.group(2) != "default":
            return [
                ((f"interface {passive.group(2)}",), f"{passive.group(1) or ''}ip ospf passive{passive.group(3) or ''}")
            ]
        return [(path, line)]


def _host(value: str) -> str:
    """An address in its canonical form; what is none stays."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        return value


def _masked(line: str) -> str:
    """A line with its prefixes as FRR shows them: a length for a mask, no host bits, IPv6 in small letters."""
    if not _WITH_PREFIX.match(line):
        return line
    mask = _MASK.match(line)
    if mask:
        try:
            line = f"{mask.group(1)} {ipaddress.IPv4Network(f'{mask.group(2)}/{mask.group(3)}', strict=False)}{line[mask.end() :]}"
        except ValueError:
            return line
    line = re.sub(
        r"^((?:no )?network) (\d+\.\d+\.\d+\.\d+)(?= |$)",
        lambda found: f"{found.group(1)} {_classful(found.group(2))}",
        line,
    )
    return _PREFIX.sub(lambda found: _network(found.group(0)), line)


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        return value


def _classful(value: str) -> str:
    """A network of the times before CIDR (RFC 791)."""
    first = int(value.partition(".")[0])
    return _network(f"{value}/{8 if first < 128 else 16 if first < 192 else 24}")


def _redistribution(line: str) -> str:
    """The words after a source of routes, which come in any order, in FRR's."""
    found = re.match(
        r"((?:no )?(?:redistribute \S+|default-information originate))((?: (?:always|(?:metric|metric-type|route-map) \S+))+)$",
        line,
    )
    if not found:
        return line
    parts = re.findall(r"always|(?:metric|metric-type|route-map) \S+", found.group(2))
    order = ("always", "metric ", "metric-type ", "route-map ")
    parts.sort(key=lambda part: next(place for place, begin in enumerate(order) if part.startswith(begin)))
    return " ".join([found.group(1), *parts])


def _route(path: Address, line: str) -> Placed:
    """A static route with what may come in any order in FRR's, and in its VRF."""
    if not re.match(r"(?:no )?ip(?:v6)? route \S+ \S", line):
        return path, line
    words = _masked(line).split()
    begin = 4 if words[0] == "no" else 3
    hops: list[str] = []
    said: dict[str, str] = {}
    rest = iter(words[begin:])
    for word in rest:
        if word in _ROUTE_WORDS:
            said[word] = next(rest, "")
        elif word == "onlink":
            said[word] = ""
        elif word.isdigit() and hops:
            said["distance"] = word
        else:
            hops.append("Null0" if word.lower() in ("null0", "null") else _host(word))
    vrf = said.pop("vrf", "")
    path = path or ((f"vrf {vrf}",) if vrf else ())
    path = path if path != ("vrf default",) else ()
    if said.get("nexthop-vrf") == (path[0][len("vrf ") :] if path else "default"):
        del said["nexthop-vrf"]
    ordered = [
        said["distance"] if key == "distance" else f"{key} {said[key]}".strip() for key in _ROUTE_ORDER if key in said
    ]
    return path, " ".join([*words[:begin], *hops, *ordered])


_ROUTE_ORDER = ("tag", "distance", "label", "segments", "table", "nexthop-vrf", "color", "onlink")
