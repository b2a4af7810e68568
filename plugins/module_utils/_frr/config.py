# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR's configuration: read once through vtysh, compared as settings, written in one `vtysh -f`, saved in frr.conf.

This file is private to the collection. A configuration is a dictionary from the address of a setting to its line. The
address is the path of the blocks around the line and the line's key, which is the part of the line that says what is
set (`ip ospf cost`) without the value (`10`). Two lines with one address are two values of one setting, so a difference
is a comparison of two dictionaries, and only lines that differ are sent. Everything but `Apply` and `read` is pure.
"""

from __future__ import annotations

import bisect
import functools
import glob
import ipaddress
import json
import os
import re
import time
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr import conf, vtysh
from ansible_collections.overloom.fabric.plugins.module_utils._frr import profile as profiles
from ansible_collections.overloom.fabric.plugins.module_utils._frr.refused import File, mark_unread
from ansible_collections.overloom.fabric.plugins.module_utils._frr.spelling import Speller
from ansible_collections.overloom.fabric.plugins.module_utils._frr.uses import orphans
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller, may_remove, returned
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    MASK,
    Change,
    FabricError,
    Remove,
    Runner,
    Step,
    Write,
    reconcile,
)

CONF = "/etc/frr/frr.conf"
DAEMONS = "/etc/frr/daemons"
NOTES = "/etc/overloom/frr"

READ = ("vtysh", "-c", "show running-config no-header", "-c", "show daemons")
LOAD = ("vtysh", "-f", vtysh.STDIN)
# How often, and how many seconds apart, lines are looked for that a daemon takes late.
LATE_TRIES, LATE_PAUSE = 5, 0.2
VALIDATE = ("vtysh", "-C", "-f", vtysh.STDIN)

Address = t.Tuple[str, ...]
Config = t.Dict[Address, str]

# --- the spelling of FRR ---------------------------------------------------------------------------------------------

# How many words of a line are its key, by the words that it begins with; the longest beginning counts. A line that is
# not listed is its own key: it is there or it is not.
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
    "graceful-restart": 1,
    "graceful-restart helper": 2,
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
    "neighbor * bfd profile": 4,
    "neighbor * capability extended-nexthop": 4,
    "neighbor * send-community": 4,
    "neighbor * timers connect": 4,
    "network": 2,
    "ospf router-id": 2,
    "ospf6 router-id": 2,
    "on-match": 1,
    "passive-interface default": 2,
    "receive-interval": 1,
    "redistribute": 2,
    "summary-address": 2,
    "timers basic": 2,
    "timers bgp": 2,
    "timers throttle spf": 3,
    "transmit-interval": 1,
    "update-delay": 1,
    "version": 1,
}
_KEYS: dict[str, list[tuple[re.Pattern, int]]] = {}
for _begin in sorted(_KEY_WORDS, key=lambda begin: (-len(begin.split()), "*" in begin)):
    _words = [r"\S+" if word == "*" else re.escape(word) for word in _begin.split()]
    _KEYS.setdefault(_begin.split()[0], []).append((re.compile(" ".join(_words) + r"(?= |$)"), _KEY_WORDS[_begin]))
# A neighbor has one filter of a kind in each direction, which is the line's last word.
_DIRECTED = re.compile(r"(neighbor \S+ (?:route-map|prefix-list|filter-list|distribute-list)) \S+ (in|out)$")
# Most settings of OSPF on an interface may be one address's.
_OF_ADDRESS = re.compile(
    r"ip ospf (?!area |authentication-key \S+$)\S.* (\d+\.\d+\.\d+\.\d+)$|ip ospf area \S+ (\d+\.\d+\.\d+\.\d+)$"
)
_AREA_TYPE = re.compile(r"(area \S+) (?:stub|nssa)\b")
_AREA = re.compile(r"^((?:no )?(?:area|ip ospf area|ipv6 ospf6 area|network \S+ area)) (\d+)(?= |$)")
_ASN = re.compile(
    r"^(router bgp|(?:no )?neighbor \S+ (?:interface )?(?:v6only )?(?:remote-as|local-as)) (\d+)\.(\d+)(?= |$)"
)
# A neighbor of OSPF on a network without multicast.
_NBMA = r"^neighbor \S+(?: (?:priority|poll-interval) \d+)+$"
_ROUTE = re.compile(r"^(ip|ipv6) route \S+ ")

# Lines that say what FRR does anyway, and that it may or may not show.
_DEFAULTS = frozenset(
    (
        "area stub",
        "bgp graceful-restart restart-time 120",
        "bgp graceful-restart stalepath-time 360",
        "bgp listen limit 100",
        "no allow-ecmp",
        "default-metric 1",
        "detect-multiplier 3",
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
        "receive-interval 300",
        "timers basic 30 180 120",
        "timers throttle spf 0 50 5000",
        "transmit-interval 300",
    )
)

_PASSIVE = "ip ospf passive"
_ACTIVE = f"no {_PASSIVE}"

_BLOCK = re.compile(
    r"(?:router (?:ospf|ospf6|bgp|rip|ripng)\b.*|route-map \S+ (?:permit|deny) \d+|bfd|profile \S+|key chain \S+|key \d+"
    r"|vrf \S+|interface \S+|address-family \S.*|rpki|router .*)$"
)
# FRR shows these blocks because the thing exists or existed, not because somebody configured it.
_SHOWN_ANYWAY = re.compile(r"(?:interface|address-family|vrf) |bfd$")
_ENTRY = re.compile(r"(route-map \S+) (permit|deny) (\d+)$")
_CLOSING = re.compile(r"(?:exit|end|exit-address-family|exit-vrf|exit-.*)$")

# Definitions that routers refer to: added before the routers change, and removed after.
_DEFINITION = re.compile(
    r"(?:key chain|ip prefix-list|ipv6 prefix-list|access-list|bgp [a-z-]*(?:access|community)-list|bgp as-path|route-map|bfd)\b"
)
# Settings where a second line is refused, or merged with the first, unless the first is taken away before.
_REMOVE_FIRST = re.compile(
    r"(?:neighbor \S+$|ip ospf area|ip ospf bfd profile|ipv6 ospf6 (?:area|authentication)|ip ospf dead-interval|redistribute|network"
    r"|aggregate-address|area \S+ (?:type|authentication|range)|default-information|summary-address|bgp listen range|graceful-restart"
    r"|neighbor \S+ (?:peer-group|next-hop-self|remove-private-AS|allowas-in|default-originate|maximum-prefix|local-as)"
    r"|ip ospf authentication|ip rip authentication string|distance|log-adjacency-changes)(?: |$)"
)
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


# The address of the line that makes a neighbor or a peer group of BGP.
_PEER = re.compile(r"neighbor (\S+) (?:remote-as|peer-group|interface)$")


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
    # The variants of a setting are taken away by its plain form.
    line = _PLAIN.sub(r"\1", line)
    return "no " + line


def parse(text: str) -> Config:
    """A configuration as FRR shows it, as settings by address. Blocks without a line of their own are left out."""
    config: Config = {}
    around: list[tuple[int, Address]] = []
    # Once set, this cannot be unset; it means something only where interfaces are passive by default.
    idle = "" if re.search("^ passive-interface default", text, re.M) else _ACTIVE
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line[0] in "!#" or _CLOSING.match(line) or line == idle:
            continue
        depth = len(raw) - len(raw.lstrip())
        while around and around[-1][0] >= depth:
            around.pop()
        path = around[-1][1] if around else ()
        for one, key in _keyed(line):
            if key:
                config[path + (key,)] = one
            around.append((depth, path + (one,)))
    return config


@functools.lru_cache(maxsize=1 << 16)
def _keyed(line: str) -> t.Tuple[t.Tuple[str, str], ...]:
    """The spellings of a line, each with the last part of its address; none for a block that is shown anyway."""
    return tuple(
        (one, ("" if _SHOWN_ANYWAY.match(one) else one) if _BLOCK.match(one) else key_of(one))
        for one in canonical(line)
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
        if _BLOCK.match(line):
            out.append(" " * len(inside) + line)
            inside += (line,)
        else:
            out.append(" " * len(path) + line)
    leave(0)
    return "\n".join(out) + "\n" if out else ""


def show(config: t.Iterable[tuple[Address, str]]) -> str:
    """Settings as the running configuration would show them, with the secrets masked."""
    return hide(render((address[:-1], line) for address, line in config))


# --- frr.conf --------------------------------------------------------------------------------------------------------


def meanings(lines: t.Iterable[conf.Line]) -> list[conf.Entries]:
    """What each line of the file sets, by the addresses of the running configuration."""
    paths: dict[conf.Path, Address] = {(): ()}
    speller = Speller()
    return [_meaning(line, paths, speller) for line in lines]


def _meaning(line: conf.Line, paths: dict[conf.Path, Address], speller: Speller) -> conf.Entries:
    """What one line sets. paths: the addresses of the blocks so far."""
    if not line.text:
        return ()
    placed = speller.respelled(paths.get(line.path, line.path), line.text)
    if line.opens:
        path, said = placed[0]
        # A block that says what FRR does anyway is a block all the same.
        header = next(iter(canonical(said)), said)
        paths[line.path + (line.text,)] = path + (header,)
        return ((path + (header,), header),)
    return tuple((path + (key_of(one),), one) for path, said in placed for one in canonical(said))


def settings(lines: t.Sequence[conf.Line], meant: t.Sequence[conf.Entries]) -> Config:
    """The configuration that a file makes, as `parse` reads it from what runs."""
    config: Config = {}
    for line, entries in zip(lines, meant):
        for address, one in () if line.dead else entries:
            if not (line.opens and _SHOWN_ANYWAY.match(one)):
                # The last one counts.
                config.pop(address, None)
                config[address] = one
    if not any(address[-1] == "passive-interface default" for address in config):
        config = {address: line for address, line in config.items() if line != _ACTIVE}
    return config


def _needed(address: Address) -> list[Address]:
    """The settings that have to stand before one in the file: what makes its neighbor."""
    peer = re.match(r"(neighbor \S+) ", address[-1])
    if not peer or not address[0].startswith("router bgp "):
        return []
    return [(address[0], f"{peer.group(1)} {made}") for made in ("remote-as", "peer-group", "interface")]


GRAMMAR = conf.Grammar(
    lambda line: bool(_BLOCK.match(line)), rank, lambda line: bool(_SHOWN_ANYWAY.match(line)), _needed
)


def edit(text: str, changes: t.Mapping[Address, t.Optional[str]], lines: t.Sequence[conf.Line] = ()) -> str:
    """A configuration file with settings changed, and every other byte of it kept. lines: the file as FRR reads it."""
    lines = lines or conf.by_indentation(text, _BLOCK.match)
    return conf.Editor(lines, meanings(lines), GRAMMAR).change(changes).text


def saved_lines(runner: Runner, saved: str, text: str) -> list[conf.Line]:
    """The lines of frr.conf in their blocks. vtysh is asked only where the file is not what FRR shows of itself."""
    lines = conf.by_indentation(saved, _BLOCK.match)
    if conf.closed(lines):
        shown = {(line.path, line.text) for line in conf.by_indentation(text, _BLOCK.match)}
        if all((line.path, line.text) in shown for line in lines if line.text):
            return lines

    def read_again(refused: int | None = None) -> list[conf.Line]:
        return conf.read(saved, lambda argv, asked: runner.run(Step(argv, asked))[1:], _BLOCK.match, refused)

    lines = read_again()
    if not text:
        return lines
    runs = meanings(conf.by_indentation(text, _BLOCK.match))
    running = frozenset(setting for entries in runs for setting in entries)
    return mark_unread(File(lines, meanings(lines), running), read_again, _release(text) >= 10)


def edited(
    runner: Runner, found: Found, lines: t.Sequence[conf.Line], changes: t.Mapping[Address, t.Optional[str]]
) -> str:
    """frr.conf with settings changed, and read again as FRR would. Raises FabricError when another line would mean something else."""
    made = conf.Editor(lines, meanings(lines), GRAMMAR).change(changes)
    again = saved_lines(runner, made.text, found.text)
    now = conf.counted(again, meanings(again))
    lost = [(path, line) for path, line in made.lines if now[path, line] != made.lines[path, line]]
    if lost:
        path, line = lost[0]
        raise FabricError(
            f"{CONF}: '{hide(line)}' in '{' / '.join(path) or 'no block'}' would not be read as before; close the blocks of the file with 'exit'"
        )
    return made.text


# --- what is wanted --------------------------------------------------------------------------------------------------


class Thing(t.NamedTuple):
    """One thing that a module can make and remove: a process, an interface's settings, a neighbor, a list.

    name: what it is called, unique within the module.
    lines: its settings by address in the order of their dependence; None clears one.
    scope: where its lines are: pairs of a path and the beginning of a key; an empty beginning is the block itself.
    drop: a line that takes all of it away at once, with its path; None when its lines go one by one.
    renew: the change needs it to be made anew; what it has besides the wanted lines is kept.
    """

    name: str
    lines: dict[Address, t.Optional[str]]
    scope: tuple[tuple[Address, str], ...]
    drop: tuple[Address, str] | None = None
    present: bool = True
    renew: bool = False

    def holds(self, address: Address) -> bool:
        """Whether a setting belongs to this thing."""
        return within(self.scope, address)


def within(scope: t.Iterable[t.Sequence[t.Any]], address: Address) -> bool:
    """Whether an address lies in one of the pairs of a path and the beginning of a key; a line break ends a whole key."""
    for path, begin in scope:
        if address[: len(path)] == tuple(path):
            if len(address) == len(path):
                if not begin:
                    return True
            elif (address[len(path)] + "\n").startswith(begin):
                return True
    return False


class Index:
    """Settings in the order of their addresses, so that a thing finds its own among thousands by two bisections."""

    def __init__(self, config: Config) -> None:
        self.addresses = list(config)

    @functools.cached_property
    def sorted(self) -> list[tuple[Address, int]]:
        """The addresses with a line break after each part, as in scopes, where it ends a whole key; each with its place."""
        return sorted((_ended(address), place) for place, address in enumerate(self.addresses))

    def inside(self, scope: t.Iterable[t.Sequence[t.Any]]) -> list[Address]:
        """The settings in a scope, in their order."""
        places: set[int] = set()
        for path, begin in scope:
            around = _ended(path)
            low, high = (around + (begin,) if begin else around), around + (begin + _LAST,)
            places.update(
                place
                for _address, place in self.sorted[
                    bisect.bisect_left(self.sorted, (low, -1)) : bisect.bisect_left(self.sorted, (high, -1))
                ]
            )
        return [self.addresses[place] for place in sorted(places)]


# Sorts after every character that FRR takes.
_LAST = "\x7f"


def _ended(path: t.Iterable[str]) -> Address:
    return tuple(part + "\n" for part in path)


class Lines:
    """Collects the settings of a thing.

    found: the running configuration, for options whose value is the whole list.
    """

    def __init__(self, found: Config) -> None:
        self.found = found
        self.wanted: dict[Address, t.Optional[str]] = {}

    def put(self, path: Address, line: str, present: bool = True) -> None:
        """Want a line, or want its setting cleared."""
        if _BLOCK.match(line):
            self.wanted[path + (line,)] = line if present else None
            return
        lines = canonical(line)
        if profiles.depends(path + (key_of(line),)):
            # Said in either case, as what FRR does unsaid depends.
            self.wanted[path + (key_of(line),)] = line if present else negation(line)
            return
        if not lines:
            self.wanted[path + (key_of(line),)] = None
        for one in lines:
            self.wanted[path + (key_of(one),)] = one if present else None

    def options(self, path: Address, params: t.Mapping[str, t.Any], rows: t.Iterable[tuple[str, str]]) -> None:
        """Want each given option of params, by rows of an option's name and its line.

        {} in a line takes the value. A line with `no ` in front belongs to an option that FRR has on by itself. None leaves a
        setting, and false, 0 and the empty text clear it.
        """
        for name, line in rows:
            value = params.get(name)
            if value is None:
                continue
            if line.startswith("no ") and "{}" not in line:
                value = not value
            # A word in the place of an empty value, so that the key is found where the value is not the last word.
            self.put(path, line.format(value or "-"), present=bool(value))

    def exactly(self, path: Address, begin: str, lines: t.Iterable[str]) -> None:
        """Want these lines, and no other whose key begins so."""
        wanted = [one for line in lines for one in canonical(line)]
        keys = {key_of(line) for line in wanted}
        for address in self.found:
            if address[:-1] == path and address[-1].startswith(begin) and address[-1] not in keys:
                self.wanted[address] = None
        for line in wanted:
            self.put(path, line)


# --- reading ---------------------------------------------------------------------------------------------------------

Notes = t.Dict[str, t.Dict[str, t.Any]]


class Found(t.NamedTuple):
    """What one read saw.

    running: the running configuration; text: the same as FRR shows it; daemons: those that vtysh is connected to.
    saved: the text of frr.conf; lines: the same as FRR reads it; profile: what FRR starts with where the file states none.
    notes: for each owner what a module made: by a thing's name `lines` (addresses), `scope` and `drop`.
    """

    running: Config
    text: str
    daemons: tuple[str, ...]
    saved: str
    notes: dict[str, Notes]
    lines: t.Sequence[conf.Line] = ()
    profile: str = "traditional"


def release(found: Found) -> int:
    """The first number of FRR's version; 0 where it does not run."""
    return _release(found.text)


def _release(text: str) -> int:
    match = re.search(r"^frr version (\d+)", text, re.M)
    return int(match.group(1)) if match else 0


def notes_path(owner: str, module: str) -> str:
    """The file that remembers what a module made for an owner, as FRR keeps no comment that could."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", owner, re.ASCII):
        raise FabricError(
            f"owner {owner!r} cannot be part of a file name; use letters, digits, dots, hyphens and underscores"
        )
    return f"{NOTES}/{owner}-{module}.json"


def read(runner: Runner, module: str) -> Found:
    """Read the running configuration, frr.conf and the notes of a module. Spawns one process.

    Raises FabricError when this user may not, or FRR keeps its configuration in several files. That FRR does not run is left to `compare`.
    """
    status, out, err = runner.run(READ)
    check_allowed(status, out + err)
    text, _end, rest = out.rpartition("\nend") if status == 0 else ("", "", "")
    daemons = tuple(rest.split())
    if "no service integrated-vtysh-config" in text:
        raise FabricError(
            "FRR keeps a file for each daemon; put 'service integrated-vtysh-config' into /etc/frr/vtysh.conf, as the role frr_router does"
        )
    notes: dict[str, Notes] = {}
    for path in glob.glob(f"{glob.escape(NOTES)}/*-{module}.json"):
        content = _read(path)
        try:
            notes[os.path.basename(path)[: -len(f"-{module}.json")]] = json.loads(content)
        except ValueError as error:
            raise FabricError(f"{path} is not JSON ({error}); mend it, or remove it to forget what was made") from error
    saved = _read(CONF)
    profile = re.search(r"""^\s*frr_profile=["']?(\w+)""", _read(DAEMONS), re.M)
    lines = saved_lines(runner, saved, text)
    return Found(parse(text), text, daemons, saved, notes, lines, profile.group(1) if profile else "traditional")


def frr_runner(module: t.Any) -> Runner:
    """A Runner whose commands end, also when a daemon hangs, and read their lines from a file."""

    def run(argv: t.Sequence[str], stdin: str | None) -> tuple[int, str, str]:
        status, out, err = vtysh.execute(module, argv, stdin)
        if status in (124, 137):
            raise FabricError(
                f"{argv[0]} had no answer of FRR in {vtysh.LONGEST} s; see with systemctl status frr which daemon hangs, then run this again"
            )
        return status, out, err

    return Runner(run)


def check_allowed(status: int, said: str) -> None:
    """Tell a user without rights, to whom FRR looks as if it did not run. Raises FabricError."""
    if status and "Permission denied" in said:
        raise FabricError("FRR answers only root and the group frrvty; run the task with become: true")


def _read(path: str) -> str:
    try:
        # A carriage return at the end of a line is a byte of somebody's as well.
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise FabricError(f"{path} cannot be read: {error.strerror}") from error


# --- writing ---------------------------------------------------------------------------------------------------------


class Save(Write):
    """frr.conf with the change in it; nothing else in the file is touched."""

    def shown(self) -> str:
        """A comment: the file may hold a thousand lines that are not ours."""
        return f"# {self.path} takes the same lines (by hand: vtysh -c 'write memory')"


class Note(Write):
    """The file that remembers what was made."""

    def shown(self) -> str:
        """A comment, as no command does this."""
        return f"# {self.path} remembers what was made"


class Apply:
    """One `vtysh -f` with all changed lines. When FRR refuses one, what had changed is taken back.

    ahead: notes of what comes, written before it comes, so that a run that is killed leaves no line that nobody knows; back: what undoes them.
    late: FRR answers before its daemons have taken the lines, as it does with mgmtd, so that a refusal shows in what runs alone.
    """

    path = "vtysh"

    def __init__(
        self,
        runner: Runner,
        text: str,
        config: Config,
        changes: t.Mapping[Address, t.Optional[str]],
        ahead: t.Sequence[Note | Remove] = (),
        back: t.Sequence[Note | Remove] = (),
        late: bool = False,
    ) -> None:
        self.runner, self.text, self.config, self.changes = runner, text, config, changes
        self.ahead, self.back, self.late = ahead, back, late

    def shown(self) -> str:
        """The command as a person would type it, with the secrets masked."""
        return hide(vtysh.shown(self.text))

    def validate(self) -> None:
        """Have vtysh check the lines without applying them. Raises FabricError that names the first unknown line."""
        status, out, err = self.runner.run(Step(VALIDATE, self.text))
        refused = refusals(self.text, out, err)
        if status or refused:
            raise FabricError("FRR does not know " + (refused[0] if refused else f"a line: {hide(out + err).strip()}"))

    def do(self) -> None:
        """Apply the lines. Raises FabricError that names the lines that FRR refused."""
        for note in self.ahead:
            note.do()
        status, out, err = self.runner.run(Step(LOAD, self.text))
        refused = refusals(self.text, out, err)
        if not refused and (status == 0 or not re.search(r"^%", out, re.M)):
            refused = self.not_taken() if self.late else []
            if not refused:
                return
        self.take_back(self.running())
        for step in self.back:
            step.do()
        said = "; ".join(refused) or " ".join(hide(out).split())
        raise FabricError(f"FRR refused {said}; what it had taken of this change was taken back")

    def running(self) -> Config:
        """What FRR has now."""
        return parse(self.runner(READ).rpartition("\nend")[0])

    def not_taken(self) -> list[str]:
        """The lines that do not run, although nothing was said against them."""
        for _attempt in range(LATE_TRIES):
            left = untaken(self.running(), self.changes)
            if not left:
                break
            time.sleep(LATE_PAUSE)
        return left

    def take_back(self, now: Config) -> None:
        """Bring what FRR has now of the change back to what it had before, wherever a line went."""
        new = [
            address
            for address in self.changes
            if address not in self.config and address in now and _BLOCK.match(now[address])
        ]
        inside = [address for address in now if any(address[: len(block)] == block for block in new)]
        # When FRR refuses a line late, the header after it may fail as well, and what stands below that goes into another block, as into the default VRF.
        sent = {one for line in self.text.splitlines() for one in canonical(line)}
        astray = [address for address, line in now.items() if line in sent and self.config.get(address) != line]
        back = difference(now, {address: self.config.get(address) for address in [*self.changes, *inside, *astray]}, ())
        if back:
            self.runner.run(Step(LOAD, render(back)))


def refusals(text: str, out: str, err: str) -> list[str]:
    """The lines of a change that vtysh refused, each with its blocks and what FRR said of it."""
    late = _refused_late(out)
    if late:
        # The lines that vtysh numbers are those after them.
        return [late]
    lines = text.splitlines()
    found = []
    said = [line.strip("% ").strip() for line in out.splitlines() if line.strip()]
    for number in sorted({int(n) for n in re.findall(r"^line (\d+): ", err, re.M)}):
        if 0 < number <= len(lines) and not _CLOSING.match(lines[number - 1].strip()):
            found.append(_refused(lines, number))
    if found and said:
        found[-1] += ": " + hide("; ".join(dict.fromkeys(said)))
    return found


def _refused(lines: t.Sequence[str], number: int) -> str:
    """The line of a number, counted from 1, with the blocks around it."""
    line = lines[number - 1]
    around: list[str] = []
    depth = len(line) - len(line.lstrip())
    for earlier in reversed(lines[: number - 1]):
        if len(earlier) - len(earlier.lstrip()) < depth and not _CLOSING.match(earlier.strip()):
            depth = len(earlier) - len(earlier.lstrip())
            around.insert(0, earlier.strip())
    return f"the line '{hide(line.strip())}'" + (f" in '{' / '.join(around)}'" if around else "") + needs(line)


def _refused_late(out: str) -> str:
    """The lines that a daemon refused together, after it had taken each, and why; empty if there are none."""
    rejected = [line[1:].strip() for line in out.splitlines() if line.startswith("- ")]
    if "Configuration failed" not in out or not rejected:
        return ""
    why = re.search(r"^Error description: (.*)", out, re.M)
    named = ", ".join(f"'{hide(line)}'" for line in dict.fromkeys(rejected))
    return f"the line{'s' * (len(rejected) > 1)} {named}" + (f": {why.group(1).strip('% ')}" if why else "")


# --- comparing -------------------------------------------------------------------------------------------------------

Drop = t.Tuple[Address, str, t.Tuple[t.Sequence[t.Any], ...]]


class _Difference:
    """The lines that bring a configuration to the wanted settings, collected in three stages and sorted in each.

    before: what goes; during: what comes; after: definitions (lists, route-maps) that go once no router uses them.
    gone: the settings that go; covered: those of them that a line takes away which stands for several.
    """

    def __init__(self, config: Config, changes: t.Mapping[Address, str | None]) -> None:
        self.config, self.changes = config, changes
        self.before: list[Row] = []
        self.during: list[Row] = []
        self.after: list[Row] = []
        self.gone = {address for address, line in changes.items() if line is None and address in config}
        self.covered: set[Address] = set()
        self._order_of: dict[Address, int] = {}

    def lines(self) -> list[tuple[Address, str]]:
        """All of them in their order."""
        # Address families after the lines of their router, so that each block is entered once.
        self.before.sort(key=lambda row: (rank(row.path[0]), row.path) if row.path else (-1, ()))
        self.during.sort(key=lambda row: row.place)
        return [(row.path, row.line) for row in self.before + self.during + self.after]

    def drop_wholes(self, drops: t.Iterable[Drop]) -> None:
        """Take away what goes as a whole: blocks in which nothing stays, then things by the line that drops them."""
        blocks = [address for address in self.gone if _BLOCK.match(self.config[address]) and not self._holds(address)]
        for block in blocks:
            self.covered |= {a for a in self.gone if a[: len(block)] == block and a != block}
        index = Index(self.config)
        for path, line, scope in drops:
            hit = set(index.inside(scope))
            if hit and hit <= self.gone and not hit <= self.covered | set(blocks):
                self.covered |= hit
                stage = self.after if _DEFINITION.match(line[3:]) else self.before
                stage.append(Row((0, path), path, line))

    def move_entries(self) -> set[Address]:
        """FRR ignores an entry of a list that says what another one says, so the old one goes before the new one comes."""
        changed = {a: line for a, line in self.changes.items() if self.config.get(a) != line and not a[1:]}
        coming = {_rule(address, line) for address, line in changed.items() if line is not None}
        moved = {
            address
            for address in changed
            if " seq " in address[0] and address in self.config and _rule(address, self.config[address]) in coming
        }
        for address in (address for address in self.config if address in moved):
            self.during.append(Row((rank(address[0]), -1), (), negation(self.config[address])))
        return moved

    def clear(self, address: Address) -> None:
        """Take a setting away."""
        old = self.config.get(address)
        if old is None or address in self.covered or (_BLOCK.match(old) and self._holds(address)):
            return
        path = address[:-1]
        twin = self._entry_in_its_place(old)
        if twin:
            # The entry that takes its number comes right after.
            place = self._place((), twin)[:1] + (self._order_of[(twin,)] - 0.5,)
            self.during.append(Row(place, path, negation(old)))
        elif not _DEFINITION.match(path[0] if path else old):
            self.before.append(Row((len(self.before),), path, negation(old)))
        else:
            stage = self.during if path else self.after
            stage.append(Row(self._place(path, ""), path, negation(old)))

    def set(self, address: Address, line: str) -> None:
        """Bring a line, after the former value of its setting has gone where FRR wants that."""
        path, old = address[:-1], self.config.get(address)
        if old is not None and _REMOVE_FIRST.match(address[-1]):
            self.before.append(Row((len(self.before),), path, negation(old)))
        row = Row(self._place(path, line), path, line)
        # Where an interface still says that it is not passive, which means nothing, the first one only takes that away.
        self.during += [row, row] if line == _PASSIVE else [row]

    def _holds(self, block: Address) -> bool:
        """Whether something in a block stays."""
        return any(a[: len(block)] == block and a not in self.gone for a in self.config if a != block)

    def _entry_in_its_place(self, old: str) -> str | None:
        """The entry of a route-map that permits where this one denies, or the other way round, if it comes."""
        entry = _ENTRY.match(old)
        if not entry:
            return None
        twin = f"{entry.group(1)} {'deny' if entry.group(2) == 'permit' else 'permit'} {entry.group(3)}"
        return twin if self.changes.get((twin,)) is not None else None

    def _place(self, path: Address, line: str) -> tuple[float, ...]:
        """Where a line belongs: its blocks in their rank and order, then its own rank and order."""
        order: list[float] = []
        for depth, part in enumerate(path + (line,)):
            spot = path[:depth] + (part,)
            order += [rank(part), self._order_of.setdefault(spot, len(self._order_of))]
        return tuple(order)


class Row(t.NamedTuple):
    """A line with its blocks, and its place among the lines of its stage."""

    place: tuple[t.Any, ...]
    path: Address
    line: str


def difference(
    config: Config, changes: t.Mapping[Address, str | None], drops: t.Iterable[Drop]
) -> list[tuple[Address, str]]:
    """The lines, each with its path, that bring a configuration to the wanted settings, in an order that FRR takes.

    Lines go before lines come, but definitions (lists, route-maps) come before the routers that use them, and go after.
    A block goes only when everything in it does.
    """
    plan = _Difference(config, changes)
    plan.drop_wholes(drops)
    moved = plan.move_entries()
    defaults = {a: line for a, line in changes.items() if a[-1] == "passive-interface default"}
    # Without the default, an interface is active by itself; the line's negation would make it passive.
    active = None in defaults.values()
    # Changing the default makes FRR forget what the interfaces say.
    forgotten = any(config.get(a) != line for a, line in defaults.items())
    for address, line in changes.items():
        if line is None:
            if address not in moved and not (active and config.get(address) == _ACTIVE):
                plan.clear(address)
        elif config.get(address) != line or (forgotten and address[-1] == _PASSIVE):
            plan.set(address, line)
    return plan.lines()


def _turned(config: Config, changes: t.Mapping[Address, t.Optional[str]]) -> Config:
    """The configuration as FRR has it once the changes turn the default that activates BGP's neighbors for IPv4.

    Those that are there stay as active as they were, and are shown with what was unsaid before. Told only of those that change.
    """
    turned = dict(config)
    for address, line in changes.items():
        if address[1:] != ("bgp default ipv4-unicast",) or config.get(address) == line:
            continue
        for made, first in config.items():
            peer = made[:1] == address[:1] and _PEER.match(made[-1])
            if not peer or len(made) != 2:
                continue
            name = peer.group(1)
            group = re.search(r" peer-group (\S+)$", first)
            at, of_group = (
                address[:1] + ("address-family ipv4 unicast", f"neighbor {who} activate")
                for who in (name, group.group(1) if group else name)
            )
            said = config.get(at, config.get(of_group))
            active = not said.startswith("no ") if said else address not in config
            turned.pop(at, None)
            if at in changes and active != (line is None):
                turned[at] = f"{'' if active else 'no '}neighbor {name} activate"
    return turned


def _rule(address: Address, line: str) -> tuple[str, str]:
    """What an entry of a list says, without its sequence number: the list, and the rest of the line."""
    return address[0].partition(" seq ")[0], line[len(address[0]) :]


class Options(t.NamedTuple):
    """The options that every FRR module has.

    module: its name; kept: beginnings of names of things that an omitted list leaves alone; daemons: those it needs.
    """

    module: str
    owner: str
    adopt: bool = False
    purge: bool = False
    check: bool = False
    kept: tuple[str, ...] = ()
    daemons: tuple[str, ...] = ()


def _not_running(
    lines: t.Sequence[conf.Line],
    things: t.Sequence[Thing],
    running: Config,
    profile: profiles.Profile,
    to_save: t.Collection[Address],
) -> list[str]:
    """A warning about lines of frr.conf that stand where ours do, do not run, and are not changed here."""
    scopes = [pair for thing in things if thing.present for pair in thing.scope]
    found = []
    for number, (line, entries) in enumerate(zip(lines, meanings(lines)), 1):
        for address, one in entries:
            if (
                profiles.effective(address, running, profile) != one
                and address not in to_save
                and not line.opens
                and not line.dead
                and one != _ACTIVE
                and within(scopes, address)
            ):
                found.append(f"line {number}, '{hide(one)}'")
    if not found:
        return []
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    advice = "mend the file, or write what runs with vtysh -c 'write memory'"
    return [f"{CONF}: {'; '.join(found[:3])}{more}: not what runs, so FRR's next start changes it; {advice}"]


def made_by(owner: str) -> set[Address]:
    """The settings that an owner's modules have made."""
    made: set[Address] = set()
    for path in glob.glob(f"{glob.escape(NOTES)}/{glob.escape(owner)}-frr_*.json"):
        try:
            notes = json.loads(_read(path))
        except ValueError:
            # The module whose notes these are says so.
            continue
        made.update(tuple(address) for note in notes.values() for address in note["lines"])
    return made


def _check_used(
    config: Config, changes: t.Mapping[Address, t.Optional[str]], ours: t.Container[Address], where: str = ""
) -> None:
    """Refuse to take away what lines of others use, which run or are saved. Raises FabricError."""
    after = {address: line for address, line in {**config, **changes}.items() if line is not None}
    for (kind, name), address in orphans(config, after):
        if address in ours or address in changes:
            continue
        inside = f" in '{' / '.join(address[:-1])}'" if address[:-1] else ""
        name = name.partition(" of ")[0]
        line = hide(after[address])
        raise FabricError(
            f"{kind} {name} is used by '{line}'{inside}{where}, which somebody else configured; take that away first, or keep the {kind}"
        )


def _unsaid(found: Found, things: t.Sequence[Thing]) -> list[Thing]:
    """The things without what FRR does anyway, by what its configuration states."""
    profile = profiles.stated(found.text.splitlines())
    coming = dict(found.running)
    for thing in things:
        coming.update(t.cast(Config, thing.lines))
    return [thing._replace(lines=profiles.unsaid(thing.lines, coming, profile)) for thing in things]


class _Comparison:
    """What one call changes, thing by thing: wanted settings, lines that take things away at once, and notes.

    changes: settings to reach; drops: lines that take away all of a thing; renewed: those of things that are made anew; base: what
    runs without these; notes: by owner, of which mine is ours.
    """

    def __init__(self, found: Found, saved: Config, options: Options) -> None:
        self.found, self.saved, self.options = found, saved, options
        self.notes: dict[str, Notes] = _copied(found.notes)
        self.mine = self.notes.setdefault(options.owner, {})
        self.changes: dict[Address, str | None] = {}
        self.drops: list[Drop] = []
        self.renewed: list[tuple[Address, str]] = []
        self.base = dict(found.running)
        self.warnings: list[str] = []
        self.index, self.saved_index = Index(found.running), Index(saved)

    def check_daemons(self) -> None:
        """Raises FabricError for a daemon that does not run; in check mode, an earlier task of the same play may start it."""
        missing = [daemon for daemon in self.options.daemons if daemon not in self.found.daemons]
        if not missing:
            return
        said = f"the FRR daemon {missing[0]} does not run; enable it in /etc/frr/daemons, as frr_router_daemons of the role frr_router does"
        if not self.options.check:
            raise FabricError(said)
        self.warnings.append(said)

    def take(self, thing: Thing) -> None:
        """Plan one thing. Raises FabricError for one of another owner."""
        self._claim(thing.name)
        there = self.index.inside(thing.scope)
        if thing.present:
            self._want(thing, there)
        else:
            self._leave(thing, there)

    def purge(self, declared: t.Container[str]) -> None:
        """Take away our things that are not declared."""
        for name in list(self.mine):
            if name not in declared and not name.startswith(self.options.kept or ("\n",)):
                self._forget(name)

    def _claim(self, name: str) -> None:
        rivals = [owner for owner in self.notes if owner != self.options.owner and name in self.notes[owner]]
        if rivals and not self.options.adopt:
            raise FabricError(f"{name} belongs to owner {rivals[0]}; set adopt to take it over")
        for rival in rivals:
            self.notes[rival].pop(name)

    def _leave(self, thing: Thing, there: list[Address]) -> None:
        if self.options.adopt and there:
            self.mine[thing.name] = {"lines": there, "scope": thing.scope, "drop": thing.drop}
        if thing.name not in self.mine:
            if there:
                may_remove(thing.name, None, Caller(self.options.owner))
            return
        self._forget(thing.name)
        if any(self.changes.get(address, "") is not None for address in there):
            self.warnings.append(returned(thing.name))

    def _forget(self, name: str) -> None:
        """Take away what the notes say that we made of a thing."""
        note = self.mine.pop(name)
        addresses = [tuple(address) for address in note["lines"]]
        if note.get("drop"):
            where, line = note["drop"]
            self.drops.append((tuple(where), line, tuple(note["scope"])))
            addresses += self.index.inside(note["scope"]) + self.saved_index.inside(note["scope"])
        self.changes.update({address: None for address in addresses if address not in self.changes})

    def _want(self, thing: Thing, there: list[Address]) -> None:
        note = self.mine.get(thing.name)
        lines = _with_blocks(thing)
        made = {tuple(address) for address in note["lines"]} if note else set()
        if self.options.adopt:
            made |= set(there)
        made |= {address for address, line in lines.items() if line is not None and address not in self.found.running}
        made -= {address for address, line in lines.items() if line is None}
        self.changes.update(lines)
        if thing.renew and thing.drop:
            self._renew(thing.drop, there)
        if made:
            whole = bool(note and note.get("drop")) or self.options.adopt or not there
            drop = thing.drop if whole else None
            self.mine[thing.name] = {"lines": sorted(made), "scope": thing.scope, "drop": drop}
        elif note:
            del self.mine[thing.name]

    def _renew(self, drop: tuple[Address, str], there: list[Address]) -> None:
        """Make a thing anew with whatever else it has."""
        self.renewed.append(drop)
        for address in there:
            self.base.pop(address)
            self.changes.setdefault(address, self.found.running[address])


def _with_blocks(thing: Thing) -> dict[Address, str | None]:
    """The lines of a thing with the blocks around them, which are made with them."""
    lines = dict(thing.lines)
    for address, line in thing.lines.items():
        for depth in range(1, len(address) if line is not None else 1):
            header = address[:depth]
            if thing.holds(header) and not _SHOWN_ANYWAY.match(header[-1]):
                lines.setdefault(header, header[-1])
    return lines


def _copied(notes: t.Any) -> t.Any:
    """Notes as a file holds them, which knows no tuples."""
    return json.loads(json.dumps(notes))


def _others_inside(block: Address, config: Config, changes: t.Mapping[Address, str | None]) -> Address | None:
    """A setting in a block that stays when the changes are made, or None."""
    depth = len(block)
    return next(
        (a for a in config if a[:depth] == block and a != block and changes.get(a, "") is not None),
        None,
    )


def _leaving_blocks(config: Config, changes: t.Mapping[Address, str | None]) -> dict[Address, Address | None]:
    """The blocks that the changes take away, each with a setting of somebody else's in it, if there is one."""
    blocks = [a for a, line in changes.items() if line is None and _BLOCK.match(config.get(a, ""))]
    return {block: _others_inside(block, config, changes) for block in blocks}


def _unsaved(saved: Config, to_save: t.Mapping[Address, str | None]) -> dict[Address, str | None]:
    """The settings in which frr.conf differs; a block stays that somebody else's line is in."""
    kept = {block for block, foreign in _leaving_blocks(saved, to_save).items() if foreign}
    return {a: line for a, line in to_save.items() if saved.get(a) != line and a not in kept}


def _apply(
    runner: Runner, found: Found, lines: list[tuple[Address, str]], plan: _Comparison, notes: dict[str, Notes]
) -> Apply:
    """The step that brings the lines to FRR, which were tried by vtysh where FRR runs. Raises FabricError."""
    module = plan.options.module
    ahead = {owner: _joined(found.notes.get(owner, {}), note) for owner, note in notes.items()}
    ahead = {owner: note for owner, note in ahead.items() if note != found.notes.get(owner, {})}
    back = [_noting(owner, module, found.notes.get(owner, {})) for owner in ahead]
    before = [_noting(owner, module, note) for owner, note in ahead.items()]
    late = "mgmtd" in found.daemons
    apply = Apply(runner, render(lines), found.running, plan.changes, before, back, late)
    if found.daemons:
        apply.validate()
    return apply


def compare(runner: Runner, found: Found, things: t.Sequence[Thing], options: Options) -> Change:
    """What must change so that the things are as wanted, live, in frr.conf and in the notes.

    Raises FabricError for a thing of another owner.
    """
    saved_as = found.lines or conf.by_indentation(found.saved, _BLOCK.match)
    starts_as = profiles.stated((line.text for line in saved_as), found.profile)
    runs_as = profiles.stated(found.text.splitlines())
    saved = profiles.said(settings(saved_as, meanings(saved_as)), starts_as)
    found = found._replace(running=profiles.said(found.running, runs_as))
    explicit = _explicit(things)
    things = _unsaid(found, things)

    plan = _Comparison(found, saved, options)
    plan.check_daemons()
    for thing in things:
        plan.take(thing)
    if options.purge:
        plan.purge({thing.name for thing in things})
    changes = plan.changes
    to_save = {**changes, **profiles.unsaid(explicit, {**saved, **changes}, starts_as)}
    _check_used(found.running, changes, made_by(options.owner))
    # What is saved runs after the next restart.
    _check_used(saved, to_save, made_by(options.owner), f" of {CONF}")
    warnings = plan.warnings + _staying(found.running, changes)
    if found.daemons:
        warnings += _not_running(saved_as, things, found.running, runs_as, to_save)

    # A router that is new has the defaults of the file that FRR started with, which may have been written for another release.
    of_new = {address: line for address, line in explicit.items() if address[:1] not in plan.base}
    lines = plan.renewed + difference(_turned(plan.base, changes), {**changes, **of_new}, plan.drops)
    unsaved = _unsaved(saved, to_save)
    notes: dict[str, Notes] = _copied(plan.notes)
    steps: list[t.Any] = [_apply(runner, found, lines, plan, notes)] if lines else []
    if unsaved:
        steps.append(Save(CONF, edited(runner, found, saved_as, unsaved), 0o640))
    renoted = {owner: note for owner, note in notes.items() if note != found.notes.get(owner, {})}
    steps += [_noting(owner, options.module, note) for owner, note in renoted.items()]
    before, after = _views(found, saved, changes, lines, unsaved)
    if steps and before == after:
        path = notes_path(options.owner, options.module)
        before, after = before + "! not yet noted as ours\n", after + f"! noted as {options.owner}'s in {path}\n"
    return Change(steps, before, after, tuple(warnings))


def _explicit(things: t.Sequence[Thing]) -> dict[Address, str | None]:
    """The wanted lines whose default depends on something."""
    lines = (item for thing in things if thing.present for item in thing.lines.items())
    return {address: line for address, line in lines if profiles.depends(address)}


def _staying(config: Config, changes: t.Mapping[Address, str | None]) -> list[str]:
    """A warning for each block that stays, as lines of others are in it."""
    return [
        f"'{' / '.join(block)}' stays, as somebody else configured '{hide(config[foreign])}' in it"
        for block, foreign in _leaving_blocks(config, changes).items()
        if foreign
    ]


def _noting(owner: str, module: str, note: Notes) -> Note | Remove:
    """The step that remembers this for an owner; nothing is no file."""
    place = notes_path(owner, module)
    return Note(place, json.dumps(note, indent=1, sort_keys=True) + "\n", 0o600) if note else Remove(place)


def _joined(old: Notes, new: Notes) -> Notes:
    """What an owner has before a change and after it."""
    both = {**old, **new}
    lines = {
        name: {tuple(line) for side in (old, new) for line in side.get(name, {}).get("lines", ())} for name in both
    }
    return {name: {**both[name], "lines": [list(line) for line in sorted(lines[name])]} for name in both}


def _views(
    found: Found,
    saved: Config,
    changes: dict[Address, t.Optional[str]],
    lines: t.Sequence[t.Any],
    unsaved: t.Collection[Address],
) -> tuple[str, str]:
    """The declared settings before and after, as the running configuration shows them, and frr.conf's where it differs."""

    def view(config: Config) -> str:
        return show((address, config[address]) for address in changes if address in config)

    wanted = {address: line for address, line in changes.items() if line is not None}
    before, after = view(found.running), view(wanted)
    if not lines and unsaved:
        before, after = f"! {CONF}\n" + view(saved), f"! {CONF}\n" + after
    return before, after


def untaken(running: Config, changes: t.Mapping[Address, t.Optional[str]]) -> list[str]:
    """Each line of a change that FRR does not have, with its blocks and what it has instead."""
    left = []
    for address, line in changes.items():
        now = running.get(address)
        if now in (line, _ACTIVE) or (line is None and _BLOCK.match(now or "")):
            continue
        inside = f" in '{' / '.join(address[:-1])}'" if address[:-1] else ""
        kept = f" (it shows '{hide(now)}')" if now else ""
        left.append(f"the line '{hide(line or negation(now or ''))}'{inside}{kept}")
    return left


def judge(found: Found, changes: t.Mapping[Address, t.Optional[str]]) -> list[str]:
    """After a write: each line that FRR did not take, named."""
    return [f"FRR did not take {line}" for line in untaken(found.running, changes)]


def run(
    module: t.Any,
    name: str,
    option: str,
    plain: t.Mapping[str, t.Any],
    things: t.Callable[[t.Sequence[t.Mapping[str, t.Any]], Found], tuple[list[Thing], tuple[str, ...]]],
    daemons: t.Callable[[t.Sequence[t.Mapping[str, t.Any]]], tuple[str, ...]],
) -> None:
    """What `main` of each FRR module does.

    name: the module's; option: its list of items; plain: the argument spec of one item, which are plain options too.
    things: from the items and what was found to the things wanted and the beginnings of names to leave alone;
    daemons: those that the items need.
    """
    runner = frr_runner(module)
    params = module.params
    wanted: list[Thing] = []
    changes: dict[Address, t.Optional[str]] = {}

    def change(found: Found) -> Change:
        items = params[option]
        if items is None:
            items = [{key: params[key] for key in plain}]
        else:
            extra = [key for key, spec in plain.items() if params[key] != spec.get("default")]
            if extra:
                raise FabricError(
                    f"{extra[0]} and {option} exclude each other; put {extra[0]} into an item of {option}"
                )
        wanted[:], kept = things(items, found)
        needed = daemons([item for item in items if item.get("state") != "absent"])
        options = Options(name, params["owner"], params["adopt"], params["purge"], module.check_mode, kept, needed)
        planned = compare(runner, found, wanted, options)
        for step in planned.steps:
            if isinstance(step, Apply):
                changes.update(step.changes)
        return planned

    def state(found: Found) -> dict[str, t.Any]:
        index = Index(found.running)
        ours = {address for thing in wanted for address in index.inside(thing.scope)}
        return {
            "running": show((address, line) for address, line in found.running.items() if address in ours).splitlines()
        }

    reconcile(module, lambda: read(runner, name), change, runner, state, lambda found: judge(found, changes))
