# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keywords that somebody wrote short in frr.conf, as `neigh 192.0.2.1 remote 65001`, written out.

FRR takes a beginning of a keyword that no other keyword of its place has. So when FRR takes a short line, and a line that
the modules manage begins so word by word, that is the line; FRR would have found two otherwise. A line that is none of
these stays as it is. This file is private to the collection, and pure.
"""

from __future__ import annotations

import functools
import re
import typing as t

Address = t.Tuple[str, ...]

# In these forms, `*` is one word, a last `**` any number of them, a|b a choice.
_PEER = """
activate; addpath-tx-all-paths; advertisement-interval *; allowas-in; allowas-in *; as-override; bfd; bfd profile *; capability extended-nexthop
default-originate; default-originate route-map *; description **; disable-connected-check; ebgp-multihop; ebgp-multihop *; filter-list * in|out
interface; interface peer-group *; interface remote-as *; interface v6only; interface v6only remote-as *; interface v6only peer-group *; local-as * **
maximum-prefix * **; next-hop-self; next-hop-self force|all; passive; password *; peer-group; peer-group *; prefix-list * in|out; remote-as *
remove-private-AS **; route-map * in|out; route-reflector-client; route-server-client; send-community; send-community *; shutdown
soft-reconfiguration inbound; timers * *; timers connect *; ttl-security hops *; update-source *; weight *
"""
_BGP = """
address-family ipv4|ipv6; address-family ipv4|ipv6 unicast; address-family l2vpn evpn; advertise ipv4|ipv6 unicast; advertise-all-vni
aggregate-address * **; bgp always-compare-med; bgp bestpath as-path multipath-relax; bgp bestpath compare-routerid; bgp cluster-id *
bgp default *; bgp deterministic-med; bgp ebgp-requires-policy; bgp graceful-restart; bgp graceful-restart restart-time *
bgp graceful-restart stalepath-time *; bgp graceful-restart-disable; bgp listen limit *; bgp listen range * peer-group *
bgp log-neighbor-changes; bgp network import-check; bgp router-id *; maximum-paths *; maximum-paths ibgp *; network * **; redistribute SOURCE **
timers bgp * *; vrf-policy *
"""
_OSPF = """
area * authentication; area * authentication message-digest; area * default-cost *; area * nssa; area * nssa no-summary; area * range * **
area * stub; area * stub no-summary; auto-cost reference-bandwidth *; default-information originate **; default-metric *; distance *
graceful-restart **; interface * area *; log-adjacency-changes; log-adjacency-changes detail; maximum-paths *; network * area *
ospf router-id *; ospf6 router-id *; passive-interface *; redistribute SOURCE **; router-id *; summary-address * **; timers throttle spf * * *
"""
_RIP = """
allow-ecmp; default-information originate; default-metric *; distance *; neighbor *; network *; passive-interface *; redistribute SOURCE **
timers basic * * *
"""
_LINK = """
ip ospf area * **; ip ospf authentication **; ip ospf authentication-key * **; ip ospf bfd; ip ospf bfd profile *; ip ospf cost * **
ip ospf dead-interval * **; ip ospf hello-interval * **; ip ospf message-digest-key * md5 * **; ip ospf mtu-ignore **
ip ospf network broadcast|non-broadcast|point-to-point|point-to-multipoint; ip ospf passive **; ip ospf priority * **
ip ospf retransmit-interval * **; ip ospf transmit-delay * **; ip rip authentication key-chain *; ip rip authentication mode md5|text
ip rip authentication string *; ip rip split-horizon; ip rip split-horizon poisoned-reverse; ipv6 ospf6 area *; ipv6 ospf6 bfd
ipv6 ospf6 bfd profile *; ipv6 ospf6 cost *; ipv6 ospf6 dead-interval *; ipv6 ospf6 hello-interval *; ipv6 ospf6 instance-id *
ipv6 ospf6 mtu-ignore; ipv6 ospf6 network broadcast|point-to-point; ipv6 ospf6 passive; ipv6 ospf6 priority *
ipv6 ospf6 retransmit-interval *; ipv6 ospf6 transmit-delay *
"""
_TOP = """
bfd; bgp as-path access-list * permit|deny **; bgp as-path access-list * seq * permit|deny **; interface *; interface * vrf *; ip|ipv6 route * **
bgp community-list|large-community-list|extcommunity-list standard|expanded * permit|deny **
bgp community-list|large-community-list|extcommunity-list standard|expanded * seq * permit|deny **
ip|ipv6 prefix-list * description **; ip|ipv6 prefix-list * permit|deny **; ip|ipv6 prefix-list * seq * permit|deny **; key chain *
route-map * permit|deny *; router bgp *; router bgp * vrf *; router ospf|ospf6|rip; router ospf|ospf6|rip vrf *; vrf *
"""
_SOURCES = "babel|bgp|connected|eigrp|isis|kernel|nhrp|ospf|ospf6|rip|ripng|static"
_FORMS = {
    "router bgp ": _BGP + "".join(f"neighbor * {form}\n" for form in re.split(r"[;\n]+ *", _PEER) if form),
    "router ospf": _OSPF,
    "router rip": _RIP,
    "interface ": _LINK,
    "vrf ": "ip|ipv6 route * **",
    "key chain ": "key *; key-string *; cryptographic-algorithm *",
    "bfd": "profile *; detect-multiplier *; receive-interval *; transmit-interval *; passive-mode; minimum-ttl *",
    "": _TOP,
}
# What may follow in any order.
_FURTHER = ("metric", "metric-type", "route-map", "always")


@functools.lru_cache(maxsize=None)
def _forms(begin: str) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """The forms of a block, each word with its choices."""
    text = _FORMS[begin].replace("SOURCE", _SOURCES)
    return tuple(tuple(tuple(word.split("|")) for word in form.split()) for form in re.split(r"[;\n]+ *", text) if form)


@functools.lru_cache(maxsize=1 << 12)
def _alike(begin: str, first: str, third: str) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """The forms of a block that begin like a line, by its first and, where it is given, its third word."""

    def may(choices: tuple[str, ...], word: str) -> bool:
        return choices in (("*",), ("**",)) or any(choice.startswith(word) for choice in choices)

    return tuple(
        form for form in _forms(begin) if may(form[0], first) and (not third or len(form) < 3 or may(form[2], third))
    )


def written_out(path: Address, line: str) -> str:
    """A line with its keywords in full. path: the blocks around it, in full."""
    begin = next((begin for begin in _FORMS if begin and path and path[0].startswith(begin)), "")
    if path and not begin:
        return line
    negative, line = (line[:3], line[3:]) if line.startswith("no ") else ("", line)
    words = tuple(line.split(" "))
    found = set()
    for match in _matches(begin, words):
        rest = words[len(match) :]
        in_any_order = match[0] in ("redistribute", "default-information")
        found.add(" ".join([*match, *(_further(rest) if in_any_order else rest)]))
    return negative + (found.pop() if len(found) == 1 else line)


def _matches(begin: str, words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The forms of a block that words may be short for, each as its words in full; a word that is one in full is no other."""
    # The word after a neighbor's name says the most of its many forms.
    third = words[2] if len(words) > 2 and "neighbor".startswith(words[0]) else ""
    matches = [match for match in (_match(form, words) for form in _alike(begin, words[0], third)) if match]
    for place, word in enumerate(words):
        exact = [match for match in matches if place < len(match) and match[place] == word]
        matches = exact or matches
    return matches


def _match(form: tuple[tuple[str, ...], ...], words: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a form that begin like these, as far as the form says; empty where they do not."""
    rest = form[-1] == ("**",)
    form = form[:-1] if rest else form
    if len(words) < len(form) or (len(words) > len(form) and not rest):
        return ()
    out = []
    for choices, word in zip(form, words):
        full = [choice for choice in choices if choice.startswith(word)]
        if choices == ("*",):
            out.append(word)
        elif word in choices or len(full) == 1:
            out.append(word if word in choices else full[0])
        else:
            return ()
    return tuple(out)


def _further(words: tuple[str, ...]) -> list[str]:
    """What follows a source of routes, in any order, in full."""
    out: list[str] = []
    for word in words:
        full = [one for one in _FURTHER if one.startswith(word)]
        # The word after one of these is its value.
        value = bool(out) and out[-1] in _FURTHER and out[-1] != "always"
        out.append(full[0] if len(full) == 1 and not value else word)
    return out
