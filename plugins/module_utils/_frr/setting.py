# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR's settings: each line has an address, and two lines with one address are two values of one setting.

This file is private to the collection, and pure. A configuration is a dictionary from the address of a setting to its line. The
address is the path of the blocks around the line and the line's key, which is the part of the line that says what is
set (`ip ospf cost`) without the value (`10`). So a difference is a comparison of two dictionaries.
"""

from __future__ import annotations

import functools
import ipaddress
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr import conf
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import MASK

Address = t.Tuple[str, ...]
Config = t.Dict[Address, str]


# How many words of a line are its key, by the words that it begins with (* is any word, # a number); the longest beginning
# counts. A line that is not listed is its own key: it is there or it is not.
_KEY_WORDS = {
    "access-list": 4,
    "aggregate-address": 2,
    "area * authentication": 3,
    "area * default-cost": 3,
    "area * range": 4,
    "auto-cost": 1,
    "bgp as-path access-list": 6,
    "bgp bestpath med": 3,
    "bgp cluster-id": 2,
    "bgp community-list": 6,
    "bgp extcommunity-list": 6,
    "bgp graceful-restart restart-time": 3,
    "bgp graceful-restart stalepath-time": 3,
    "bgp large-community-list": 6,
    "bgp listen limit": 3,
    "bgp listen range": 4,
    "bgp router-id": 2,
    "cryptographic-algorithm": 1,
    "default-information": 1,
    "default-metric": 1,
    "description": 1,
    "detect-multiplier": 1,
    "distance": 1,
    # Of kinds of routes, and of routes from somebody, beside that of all.
    "distance bgp *": 2,
    "distance ospf *": 2,
    "distance ospf6 *": 2,
    "distance * *": 3,
    "graceful-restart": 1,
    "graceful-restart helper *": 3,
    "graceful-restart helper enable *": 4,
    "ip ospf *": 3,
    "ip ospf bfd profile": 4,
    "ip ospf message-digest-key": 4,
    "ip prefix-list * description": 4,
    "ip prefix-list * seq": 5,
    "ip rip authentication key-chain": 4,
    "ip rip authentication mode": 4,
    "ip rip authentication string": 4,
    "ip rip receive": 3,
    "ip rip send": 3,
    "ip rip split-horizon": 3,
    "ipv6 ospf6 *": 3,
    "ipv6 ospf6 bfd profile": 4,
    "ipv6 prefix-list * description": 4,
    "ipv6 prefix-list * seq": 5,
    "key-string": 1,
    "accept-lifetime": 1,
    "send-lifetime": 1,
    "log-adjacency-changes": 1,
    "maximum-paths": 1,
    "maximum-paths ibgp": 2,
    "minimum-ttl": 1,
    # Of OSPF; all others are of BGP.
    "neighbor * poll-interval": 2,
    "neighbor * priority": 2,
    "neighbor * *": 3,
    "neighbor * bfd check-control-plane-failure": 4,
    "neighbor * bfd profile": 4,
    "neighbor * capability *": 4,
    "neighbor * send-community": 4,
    "neighbor * shutdown rtt": 4,
    "neighbor * timers connect": 4,
    "neighbor * timers delayopen": 4,
    "network": 2,
    "ospf router-id": 2,
    "ospf6 router-id": 2,
    "on-match": 1,
    "passive-interface default": 2,
    "receive-interval": 1,
    "redistribute": 2,
    # An instance of OSPF, or a table.
    "redistribute * #": 3,
    "summary-address": 2,
    "timers basic": 2,
    "timers bgp": 2,
    "timers throttle spf": 3,
    "transmit-interval": 1,
    "update-delay": 1,
    "version": 1,
}
_KEYS: dict[str, list[tuple[re.Pattern, int]]] = {}
_OPEN = {"*": r"\S+", "#": r"\d+"}
# The longest beginning counts, and of those the one with the fewest words left open.
for _begin in sorted(_KEY_WORDS, key=lambda begin: (-len(begin.split()), begin.split().count("*"))):
    _words = [_OPEN.get(word) or re.escape(word) for word in _begin.split()]
    _KEYS.setdefault(_begin.split()[0], []).append((re.compile(" ".join(_words) + r"(?= |$)"), _KEY_WORDS[_begin]))
# A neighbor has one filter of a kind in each direction, which is the line's last word.
_DIRECTED = re.compile(r"(neighbor \S+ (?:route-map|prefix-list|filter-list|distribute-list)) \S+ (in|out)$")
# Most settings of OSPF on an interface may be one address's.
_OF_ADDRESS = re.compile(
    r"ip ospf (?!area |authentication-key \S+$)\S.* (\d+\.\d+\.\d+\.\d+)$|ip ospf area \S+ (\d+\.\d+\.\d+\.\d+)$"
)
# A range of an NSSA, and what it makes of forwarding addresses, is no part of its type.
_AREA_TYPE = re.compile(r"(area \S+) (?:stub|nssa)(?! (?:range|suppress-fa)\b)\b")
_AREA = re.compile(r"^((?:no )?(?:area|ip ospf area|ipv6 ospf6 area|network \S+ area)) (\d+)(?= |$)")
_ASN = re.compile(
    r"^(router bgp|(?:no )?neighbor \S+ (?:interface )?(?:v6only )?(?:remote-as|local-as)) (\d+)\.(\d+)(?= |$)"
)
# A neighbor of OSPF on a network without multicast.
_NBMA = r"^neighbor \S+(?: (?:priority|poll-interval) \d+)+$"
_ROUTE = re.compile(r"^(ip|ipv6) route \S+ ")

# Settings that FRR 8 takes away by no line but the one that says the default.
_CLEARED_BY = {
    line.split()[0]: line for line in ("detect-multiplier 3", "receive-interval 300", "transmit-interval 300")
}
# Lines that say what FRR does anyway, and that it may or may not show.
_DEFAULTS = frozenset(
    (
        *_CLEARED_BY.values(),
        "area stub",
        "bgp graceful-restart restart-time 120",
        "bgp graceful-restart stalepath-time 360",
        "bgp listen limit 100",
        "no allow-ecmp",
        "default-metric 1",
        "ip ospf hello-interval 10",
        "ip ospf network broadcast",
        "ip ospf priority 1",
        "ip ospf retransmit-interval 5",
        "ip ospf transmit-delay 1",
        "ip rip split-horizon",
        "ipv6 ospf6 hello-interval 10",
        "ipv6 ospf6 dead-interval 40",
        "ipv6 ospf6 instance-id 0",
        "ipv6 ospf6 priority 1",
        "ipv6 ospf6 retransmit-interval 5",
        "ipv6 ospf6 transmit-delay 1",
        "timers basic 30 180 120",
        "timers throttle spf 0 50 5000",
    )
)

PASSIVE = "ip ospf passive"
ACTIVE = f"no {PASSIVE}"

BLOCK = re.compile(
    r"(?:router (?:ospf|ospf6|bgp|rip|ripng)\b.*|route-map \S+ (?:permit|deny) \d+|bfd|profile \S+|key chain \S+|key \d+"
    r"|vrf \S+|interface \S+|address-family \S.*|rpki|router .*|line vty)$"
)
# FRR shows these blocks because the thing exists or existed, not because somebody configured it.
SHOWN_ANYWAY = re.compile(r"(?:interface|address-family|vrf) |bfd$")
CLOSING = re.compile(r"(?:exit|end|exit-address-family|exit-vrf|exit-.*)$")

# The beginnings by which lines are taken away; with their values, FRR takes away less, or nothing.
_PLAIN = re.compile(
    r"^(area \S+ (?:stub|nssa)|area \S+ range \S+|summary-address \S+|auto-cost reference-bandwidth|maximum-paths(?: ibgp)?|neighbor \S+ maximum-prefix"
    r"|description|on-match goto|log-adjacency-changes|default-information originate|ip rip (?:send|receive) version"
    r"|neighbor \S+(?= (?:priority|poll-interval) )) .*"
)
_SECRET = re.compile(
    r"(?m)^(\s*(?:no )?(?:neighbor \S+ password|ip ospf message-digest-key \d+ md5|ip ospf authentication-key|key-string"
    r"|ip rip authentication string|ipv6 ospf6 authentication key-id \d+ hash-algo \S+ key|(?:enable )?password(?: 8)?"
    r"|area \S+ virtual-link \S+ (?:message-digest-key \d+ md5|authentication-key))) .*$"
)

# What lines need that not every FRR has.
_NEEDS = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"ip ospf authentication key-chain ", "a newer FRR than 8.4"),
        (
            r"cryptographic-algorithm |ipv6 ospf6 authentication .*hash-algo ",
            "an FRR built with OpenSSL, for all algorithms but md5 and hmac-sha-256",
        ),
        (
            r"rpki( |$)",
            "FRR's package for RPKI, and bgpd started with -M rpki, as bgpd_options in /etc/frr/daemons can say",
        ),
    )
)


def needs(line: str) -> str:
    """What a refused line needs, as the end of a sentence; empty where nothing special is known."""
    what = next((what for pattern, what in _NEEDS if pattern.match(line.strip())), "")
    return f"; it needs {what}" if what else ""


# The order in which lines of one block must come, in a file and in a change.
_RANKS = tuple(
    (re.compile(pattern), rank)
    for pattern, rank in (
        (r"(?:no )?bgp (?!listen range|\S*community-list|as-path)", 0),
        (r"neighbor \S+ peer-group$", 1),
        (r"neighbor \S+ (?:remote-as|interface)\b", 2),
        (r"neighbor \S+ peer-group ", 3),
        (r"(?:no )?neighbor \S+ activate$", 4),
        (r"address-family ", 8),
        (r"(?:ip ospf|ipv6 ospf6) area ", 9),
        (r"key chain ", 0),
        (r"ip(?:v6)? prefix-list |access-list |bgp \S+(?:access-list|community-list) ", 1),
        (r"route-map ", 2),
        (r"bfd$", 3),
        (r"interface ", 9),
        # Where files of old end.
        (r"line vty$", 10),
    )
)


def rank(line: str) -> int:
    """The place of a line among the lines of its block: what others depend on comes first."""
    return next((value for pattern, value in _RANKS if pattern.match(line)), 5)


def hide(text: str) -> str:
    """A configuration with its passwords and keys masked."""
    return _SECRET.sub(lambda found: f"{found.group(1)} {MASK}", text)


@functools.lru_cache(maxsize=1 << 16)
def key_of(line: str) -> str:
    """The part of a canonical line that says what it sets."""
    if line.startswith("no "):
        return key_of(line[3:])
    directed = _DIRECTED.match(line)
    if directed:
        return f"{directed.group(1)} {directed.group(2)}"
    area_type = _AREA_TYPE.match(line)
    if area_type:
        return f"{area_type.group(1)} type"
    if _ROUTE.match(line):
        return _route_key(line)
    of_address = _OF_ADDRESS.match(line)
    if of_address:
        return f"{key_of(line.rpartition(' ')[0])} {of_address.group(1) or of_address.group(2)}"
    words = line.split()
    for begin, count in _KEYS.get(words[0] if words else "", ()):
        if begin.match(line):
            return " ".join(words[:count])
    return line


def _route_key(line: str) -> str:
    """A static route's prefix, next hop, table and VRF: what FRR tells routes apart by, without tag, distance and onlink."""
    words = line.split()
    kept = words[:4]
    rest = iter(words[4:])
    for word in rest:
        if word == "tag":
            next(rest, None)
        elif word in ("table", "nexthop-vrf", "label", "segments", "color"):
            kept += [word, next(rest, "")]
        elif not word.isdigit() and word != "onlink":
            kept.append(word)
    # The ways to discard are one next hop.
    return " ".join("blackhole" if word in ("Null0", "reject") else word for word in kept)


def dotted_area(area: str) -> str:
    """An OSPF area as a dotted quad, which is one of the two ways that FRR takes and shows it."""
    return str(ipaddress.IPv4Address(int(area) if area.isdigit() else area))


@functools.lru_cache(maxsize=1 << 16)
def canonical(line: str) -> t.Tuple[str, ...]:
    """The one spelling of a line: as FRR shows it, with what differs between releases or with the input made equal.

    Nothing for a line that says what FRR does anyway; several lines for one that sets several settings.
    """
    return tuple(_spellings(line))


def _spellings(line: str) -> t.Iterator[str]:
    line = " ".join(line.split())
    line = _AREA.sub(lambda found: f"{found.group(1)} {dotted_area(found.group(2))}", line)
    line = _ASN.sub(lambda found: f"{found.group(1)} {int(found.group(2)) * 65536 + int(found.group(3))}", line)
    if line.startswith("no neighbor ") and " send-community" in line:
        yield from _send_community_kinds(line)
        return
    respell = next((respell for pattern, respell in _RESPELLED if pattern.search(line)), None)
    line = respell(line) if respell else line
    if line not in _DEFAULTS:
        yield line


def _send_community_kinds(line: str) -> t.Iterator[str]:
    begin, kind = line.split(" send-community")
    every = {"": ["standard"], "both": ["standard", "extended"], "all": ["standard", "extended", "large"]}
    for name in every.get(kind.strip(), [kind.strip()]):
        yield f"{begin} send-community {name}"


def _nbma_neighbor(line: str) -> str:
    """Without what is so anyway, and in one order."""
    begin, *said = re.split(r" (?=priority |poll-interval )", line)
    words = dict(pair.split() for pair in said)
    shown = [
        f" {word} {words[word]}"
        for word, usual in (("priority", "0"), ("poll-interval", "60"))
        if words.get(word, usual) != usual
    ]
    return begin + "".join(shown)


def _static_route(line: str) -> str:
    """Without the usual distance, and with onlink at the end."""
    line = re.sub(r" 1$", "", line) if line.split()[-2] not in ("tag", "table") else line
    return line.replace(" onlink ", " ") + " onlink" if " onlink " in line else line


# Lines that releases spell otherwise, or that say a default, with what makes them one. The first that fits counts.
_RESPELLED: tuple[tuple[re.Pattern[str], t.Callable[[str], str]], ...] = tuple(
    (re.compile(pattern), respell)
    for pattern, respell in (
        ("^router-id ", "ospf {}".format),
        (r" maximum-prefix ", lambda line: re.sub(r"( maximum-prefix \d+) 75(?= |$)", r"\1", line)),
        (r"^(redistribute|default-information) ", lambda line: line.replace(" metric-type 2", "")),
        (r" (allowas-in 3|ebgp-multihop 255)", lambda line: re.sub(r" (?:3|255)$", "", line)),
        (_NBMA, _nbma_neighbor),
        # Newer ones show how many; one alone is none.
        ("^allow-ecmp ", lambda line: "allow-ecmp" if line != "allow-ecmp 1" else "no allow-ecmp"),
        ("^graceful-restart grace-period 120$", lambda _line: "graceful-restart"),
        (_ROUTE.pattern, _static_route),
    )
)


def negation(line: str) -> str:
    """The line that takes a line away."""
    if line.startswith("no "):
        return line[3:]
    if line == "ip rip split-horizon poisoned-reverse":
        # With `no`, it would take the split horizon away as well.
        return "ip rip split-horizon"
    if line.split()[0] in _CLEARED_BY:
        return _CLEARED_BY[line.split()[0]]
    # The variants of a setting are taken away by its plain form.
    line = _PLAIN.sub(r"\1", line)
    return "no " + line


def parse(text: str) -> Config:
    """A configuration as FRR shows it, as settings by address. Blocks without a line of their own are left out."""
    return {entry[0]: entry[1] for line in shown(text) for entry in line.entries}


Words = t.Dict[Address, t.Tuple[conf.Said, ...]]


def in_words(text: str, idle: bool = False) -> Words:
    """The lines by which FRR shows each setting: for some there are two, as `area 0.0.0.1 nssa` and `area 0.0.0.1 nssa no-summary`.

    idle: also those that mean nothing now.
    """
    found: Words = {}
    for line in shown(text, idle):
        for address, _one in line.entries:
            found[address] = (*found.get(address, ()), line)
    return found


def shown(text: str, idle: bool = False) -> t.Iterator[conf.Said]:
    """The lines of a configuration as FRR shows it that set something. idle: also those that mean nothing now."""
    around: list[tuple[int, Address]] = []
    # Once set, this cannot be unset; it means something only where interfaces are passive by default.
    left_out = "" if idle or re.search("^ passive-interface default", text, re.M) else ACTIVE
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line[0] in "!#" or CLOSING.match(line) or line == left_out:
            continue
        depth = len(raw) - len(raw.lstrip())
        while around and around[-1][0] >= depth:
            around.pop()
        path = around[-1][1] if around else ()
        keyed = _keyed(line)
        entries = tuple((path + (key,), one) for one, key in keyed if key)
        if entries:
            yield conf.Said(" ".join(line.split()), entries)
        around += [(depth, path + (one,)) for one, _key in keyed]


@functools.lru_cache(maxsize=1 << 16)
def _keyed(line: str) -> t.Tuple[t.Tuple[str, str], ...]:
    """The spellings of a line, each with the last part of its address; none for a block that is shown anyway."""
    return tuple(
        (one, ("" if SHOWN_ANYWAY.match(one) else one) if BLOCK.match(one) else key_of(one)) for one in canonical(line)
    )


def render(changes: t.Iterable[tuple[Address, str]]) -> str:
    """Lines, each with the path of its blocks, as a file for `vtysh -f`; a line that opens a block may stand alone."""
    out: list[str] = []
    inside: Address = ()

    def leave(depth: int) -> None:
        nonlocal inside
        while len(inside) > depth:
            out.append(" " * (len(inside) - 1) + conf.closing(inside[-1]))
            inside = inside[:-1]

    for path, line in changes:
        common = 0
        while common < min(len(path), len(inside)) and path[common] == inside[common]:
            common += 1
        leave(common)
        for header in path[common:]:
            out.append(" " * len(inside) + header)
            inside += (header,)
        if BLOCK.match(line):
            out.append(" " * len(inside) + line)
            inside += (line,)
        else:
            out.append(" " * len(path) + line)
    leave(0)
    return "\n".join(out) + "\n" if out else ""


def show(config: t.Iterable[tuple[Address, str]]) -> str:
    """Settings as the running configuration would show them, with the secrets masked."""
    return hide(render((address[:-1], line) for address, line in config))


def release_of(text: str) -> int:
    """The first number of FRR's version in a configuration that it shows; 0 where there is none."""
    match = re.search(r"^frr version (\d+)", text, re.M)
    return int(match.group(1)) if match else 0
