# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict of nftables on a packet, from `nft -json list ruleset`. Pure.

A condition that a list of rules does not decide (connection tracking, marks, several fields at once) is neither true nor false: a rule with
one is passed over, and only measured loss makes it a suspect. This file is private to the collection. Source: libnftables-json(5).
"""

from __future__ import annotations

import ipaddress
import typing as t

Item = t.Dict[str, t.Any]

# What nft may write as a number.
NUMBERS = {"icmp": 1, "tcp": 6, "udp": 17, "gre": 47, "icmpv6": 58, "ospf": 89, "vrrp": 112}
NAMES = {"icmpv6": "ipv6-icmp", "ospf": "ospfigp"}
# What asks for a neighbor of IPv6, and what answers: the protocol `nd` here.
SOLICITED = {"nd-neighbor-solicit": 135, "nd-neighbor-advert": 136}
TYPES = {"icmp": {"echo-request": 8, "echo-reply": 0}, "icmpv6": {"echo-request": 128, "echo-reply": 129, **SOLICITED}}
DROPS = ("drop", "reject")
# Statements by which a packet may go elsewhere: to another interface, to a program that may not be there.
DIVERTS = ("fwd", "queue", "tproxy")
# Fields without which a packet does not arrive, or not at its target.
REWRITTEN = ("ttl", "hoplimit", "daddr", "saddr")
NAT = ("dnat", "snat", "masquerade", "redirect")
# Statements that decide, or that change nothing of what is decided.
KNOWN = {"match", "counter", "log", "accept", "return", "jump", "goto", *DROPS, *NAT}
# Statements by which a packet may pass.
PASSING = {"accept", "vmap", "jump", "goto"}
ICMP = {4: "icmp", 6: "icmpv6"}
FLAGS = {"payload": {"protocol": "tcp", "field": "flags"}}


class Met(t.NamedTuple):
    """The packet as a chain sees it. iif, oif: interface names, empty where there is none; reply: it is an answer.

    original: target and port before they were translated, or None. later: it is not the first packet of its connection.
    untracked: connection tracking has left it out.
    """

    source: str
    target: str
    protocol: str
    port: int | None
    iif: str
    oif: str
    reply: bool = False
    original: tuple[str, int | None] | None = None
    later: bool = False
    untracked: bool = False

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.target else 4


class Ruling(t.NamedTuple):
    """The rule or policy that drops a packet: in words, with its counter (None without one).

    look: the command that shows it. mend: the one that lets the packet through.
    certain: no rule before it might have let the packet through. table: family and name; counter: the name of a counter, where it has one.
    policy: it is the chain's policy, which takes what no rule has taken.
    """

    rule: str
    packets: int | None
    look: str
    mend: str
    certain: bool = True
    table: tuple[str, str] = ("", "")
    counter: str | None = None
    policy: bool = False


class Translation(t.NamedTuple):
    """A rule of NAT that takes a packet. kind: as nft calls it; address, port: what is written, None where it is the interface's or stays.

    mend: the command that takes the rule away.
    """

    kind: str
    address: str | None
    port: int | None
    rule: str
    mend: str


def verdict(ruleset: list[Item] | None, hook: str, met: Met) -> Ruling | None:
    """What drops the packet at a hook, or None. ruleset: None where it was not read."""
    rules = _rules(ruleset, met)
    for chain in _based(ruleset, hook, met):
        found = _chain(chain, rules, met, 0)
        if found is None and chain.get("policy") == "drop":
            table = (chain["family"], chain["table"])
            said = f"{_named(chain)} has the policy drop"
            found = Ruling(said, None, _look(chain), _mend(chain), table=table, policy=True)
        if isinstance(found, Ruling):
            return _counted(found, ruleset)._replace(
                certain=found.certain and _placed(chain) and not any(_undecided(rule, chain, met) for rule in rules)
            )
    return None


def translation(ruleset: list[Item] | None, hook: str, met: Met) -> Translation | None:
    """The rule of NAT that takes the first packet of a connection at a hook, or None."""
    for chain in _based(ruleset, hook, met):
        found = _chain(chain, _rules(ruleset, met), met, 0) if chain.get("type") == "nat" else None
        if isinstance(found, Translation):
            return found
    return None


def untracked(ruleset: list[Item] | None, hook: str, met: Met) -> Ruling | None:
    """The rule by which connection tracking leaves a packet out, so that it is not translated and no answer of a connection; or None."""
    rules = _rules(ruleset, met)
    for chain in _based(ruleset, hook, met):
        for rule in rules:
            here = (rule["family"], rule["table"], rule["chain"]) == (chain["family"], chain["table"], chain["name"])
            answers = _answers([one for one in rule.get("expr", ()) if "notrack" not in one], met)
            if here and any("notrack" in one for one in rule.get("expr", ())) and False not in answers:
                return _ruling(rule, None not in answers)
    return None


def _rules(ruleset: list[Item] | None, met: Met) -> list[Item]:
    """The rules, with the elements of named sets and maps in the place of their names, and what maps of verdicts say of the packet."""
    named = {
        (one[kind]["family"], one[kind]["table"], "@" + one[kind]["name"]): one[kind].get("elem") or []
        for one in ruleset or ()
        for kind in ("set", "map")
        if kind in one
    }
    return [_resolved(one["rule"], named, met) for one in ruleset or () if "rule" in one]


def _resolved(rule: Item, named: t.Mapping[tuple[str, str, str], list[t.Any]], met: Met) -> Item:
    def listed(value: t.Any) -> t.Any:
        known = named.get((rule["family"], rule["table"], value)) if isinstance(value, str) else None
        return value if known is None else {"set": known}

    made: list[Item] = []
    for one in rule.get("expr", ()):
        if "match" in one:
            right = one["match"]["right"]
            known = {"right": listed(right), "named": right} if listed(right) is not right else {}
            made.append({"match": {**one["match"], **known}})
        elif "vmap" in one:
            made += _mapped(one["vmap"], listed(one["vmap"]["data"]), met)
        else:
            made.append(one)
    return {**rule, "expr": made}


def _mapped(vmap: Item, data: t.Any, met: Met) -> list[Item]:
    """A map of verdicts as the condition that the packet is one of its keys, and the verdict. As it is where that is not known."""
    key, seen = vmap["key"], _seen(vmap["key"], met)
    pairs = data.get("set") if isinstance(data, dict) else None
    pairs = [pair for pair in pairs or () if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], dict)]
    answers = [(one, says, False if seen == "" else None if seen is None else _among(one, seen)) for one, says in pairs]
    for one, says, answer in answers:
        if answer:
            return [{"match": {"op": "==", "left": key, "right": one}}, says]
    if pairs and all(answer is False for _one, _says, answer in answers):
        # None of its keys: the rule is passed over.
        return [{"match": {"op": "==", "left": key, "right": {"set": [one for one, _says in pairs]}}}]
    drops = next((says for _one, says, answer in answers if answer is None and set(says) & set(DROPS)), None)
    return [{"vmap": vmap}, drops] if drops else [{"vmap": vmap}]


def _based(ruleset: list[Item] | None, hook: str, met: Met) -> list[Item]:
    """The base chains of a hook that see the packet, in their order."""
    chains = [one["chain"] for one in ruleset or () if "chain" in one]
    based = [chain for chain in chains if chain.get("hook") == hook and _sees(chain, met)]
    return sorted(based, key=lambda one: one.get("prio") or 0)


def _counted(ruling: Ruling, ruleset: list[Item] | None) -> Ruling:
    """A ruling with the packets of its named counter."""
    for one in ruleset or ():
        found = one.get("counter") or {}
        if ruling.counter and (found.get("family"), found.get("table"), found.get("name")) == (
            *ruling.table,
            ruling.counter,
        ):
            return ruling._replace(packets=found.get("packets"))
    return ruling


def _undecided(rule: Item, chain: Item, met: Met) -> bool:
    """Whether a rule of the chain's table might let the packet through, by a condition that cannot be told."""
    if (rule["family"], rule["table"]) != (chain["family"], chain["table"]):
        return False
    answers = _answers(rule.get("expr", ()), met)
    onward = any(PASSING.intersection(one) for one in rule.get("expr", ()))
    return onward and None in answers and False not in answers


def _placed(chain: Item) -> bool:
    """Whether it is told which packets come to a base chain."""
    return chain["family"] != "netdev" or bool(chain.get("dev"))


def _sees(chain: Item, met: Met) -> bool:
    """Whether a base chain sees the packet: one of the family netdev belongs to interfaces, which older nft do not tell in JSON."""
    devices = chain.get("dev") or []
    if chain["family"] == "netdev":
        at = met.oif if chain.get("hook") == "egress" else met.iif
        return not devices or at in ([devices] if isinstance(devices, str) else devices)
    return chain["family"] in (("arp",) if met.protocol == "arp" else _families(met))


def _families(met: Met) -> tuple[str, ...]:
    return ("inet", "ip" if met.version == 4 else "ip6")


def _named(chain: Item) -> str:
    return f"nftables chain {chain['family']} {chain['table']} {chain.get('chain') or chain['name']}"


def _look(one: Item) -> str:
    """The command that shows a chain, or the one that a rule is in."""
    name = one.get("chain") or one["name"]
    if one["table"].startswith("legacy-"):
        program = "iptables-legacy" if one["family"] == "ip" else "ip6tables-legacy"
        return f"{program} -t {one['table'][7:]} -L {name} -nv --line-numbers"
    return f"nft -a list chain {one['family']} {one['table']} {name}"


def _mend(one: Item) -> str:
    """The command that takes a rule away, or has a chain accept what no rule takes; where it is not known, the one that shows it."""
    place = f"{one['family']} {one['table']} {one.get('chain') or one['name']}"
    if one["table"].startswith("legacy-"):
        return _look(one)
    if "expr" in one and "handle" in one:
        return f"nft delete rule {place} handle {one['handle']}"
    return f"nft add chain {place} '{{ policy accept; }}'" if one.get("policy") == "drop" else _look(one)


def _chain(chain: Item, rules: list[Item], met: Met, depth: int) -> Ruling | Translation | str | None:
    """The end of a packet in a chain: a Ruling, a Translation, "accept", or None when it runs out of rules."""
    maybe = None
    mine = [
        rule
        for rule in rules
        if (rule["family"], rule["table"], rule["chain"]) == (chain["family"], chain["table"], chain["name"])
    ]
    for rule in mine:
        ending = _rule(rule, rules, met, depth)
        if isinstance(ending, Ruling) and not ending.certain:
            maybe = maybe or ending
        elif ending == "return":
            return maybe
        elif ending is not None:
            return ending if isinstance(ending, (Ruling, Translation)) else maybe or ending
    return maybe


def _rule(rule: Item, rules: list[Item], met: Met, depth: int) -> Ruling | Translation | str | None:
    statements = rule.get("expr", ())
    answers = _answers(statements, met)
    if False in answers or (None in answers and not any(map(_takes, statements))):
        return None
    for one in statements:
        (kind,) = one
        if _takes(one):
            return _ruling(rule, None not in answers)
        if kind in NAT:
            to = one[kind] or {}
            return Translation(kind, to.get("addr"), to.get("port"), f"{_named(rule)}: {_text(rule)}", _mend(rule))
        if kind in ("accept", "return"):
            return kind
        if kind in ("jump", "goto") and depth < 16:
            target = {"family": rule["family"], "table": rule["table"], "name": one[kind]["target"]}
            ending = _chain(target, rules, met, depth + 1)
            if ending is not None or kind == "goto":
                return ending or "return"
    return None


def _takes(statement: Item) -> bool:
    """Whether a statement drops a packet, or makes it another one that may not arrive."""
    (kind,) = statement
    key = (statement[kind] or {}).get("key") if kind == "mangle" else None
    payload = key.get("payload") if isinstance(key, dict) else None
    return kind in (*DROPS, *DIVERTS) or bool(payload and payload.get("field") in REWRITTEN)


def _ruling(rule: Item, certain: bool) -> Ruling:
    """A rule that drops the packet."""
    counters = [one["counter"] for one in rule["expr"] if one.get("counter")]
    counted = [one.get("packets") for one in counters if isinstance(one, dict)]
    named = [one for one in counters if isinstance(one, str)]
    table = (rule["family"], rule["table"])
    said = f"{_named(rule)}: {_text(rule)}"
    return Ruling(said, next(iter(counted), None), _look(rule), _mend(rule), certain, table, next(iter(named), None))


def _answers(statements: t.Iterable[Item], met: Met) -> list[bool | None]:
    """Which conditions of a rule hold; None for what cannot be told, as an extension of iptables or a limit."""
    found = [_holds(one["match"], met) for one in statements if "match" in one]
    return found + [None for one in statements if not KNOWN.intersection(one)]


def _holds(match: Item, met: Met) -> bool | None:
    """Whether a condition holds, or None where that cannot be told."""
    masked = match["left"].get("&") if isinstance(match["left"], dict) else None
    field, mask = masked if masked and len(masked) == 2 else (match["left"], None)
    if field == FLAGS:
        return _flagged(match, mask, met)
    seen = _seen(match["left"], met)
    if seen is None:
        return None
    if seen == "":
        # A packet without such a field matches no condition on it, not even that it is another.
        return False
    wanted = _among(match["right"], seen)
    if wanted is None:
        return None
    return wanted if match.get("op", "==") in ("==", "in") else not wanted if match["op"] == "!=" else None


def _flagged(match: Item, mask: t.Any, met: Met) -> bool | None:
    """Whether a condition on TCP's flags holds: a connection begins with SYN, and is answered with SYN and ACK."""
    if met.protocol != "tcp":
        return False
    has = {"ack"} if met.later else {"syn", "ack"} if met.reply else {"syn"}
    wanted, of = (_listed(one) for one in (match["right"], mask or ["fin", "syn", "rst", "psh", "ack", "urg"]))
    if wanted is None or of is None:
        return None
    here = has & of
    return {"in": bool(here & wanted), "==": here == wanted, "!=": here != wanted}.get(match.get("op", "=="))


def _listed(value: t.Any) -> set[str] | None:
    """Names of flags, as libnftables writes one or several; None for something else."""
    several = value.get("|") if isinstance(value, dict) else value if isinstance(value, list) else [value]
    return set(several) if several and all(isinstance(one, str) for one in several) else None


def _seen(left: t.Any, met: Met) -> t.Any:
    """The packet's value of an expression; None where it has none that is known."""
    if not isinstance(left, dict):
        return None
    if "concat" in left:
        parts = [_seen(one, met) for one in left["concat"]]
        return None if None in parts else "" if "" in parts else tuple(parts)
    if "meta" in left:
        return _meta(left["meta"].get("key"), met)
    if "ct" in left:
        return _tracked(left["ct"], met)
    payload = left.get("payload") or {}
    return _payload(payload.get("protocol"), payload.get("field"), met)


def _tracked(ct: Item, met: Met) -> t.Any:
    """What connection tracking knows of the packet."""
    key = ct.get("key") or ""
    if key == "state":
        return "untracked" if met.untracked else "established" if met.reply or met.later else "new"
    if key == "status":
        return "dnat" if met.original else "confirmed"
    if ct.get("dir") == "original" and not met.reply:
        target, port = met.original or (met.target, met.port)
        return {"ip daddr": target, "ip6 daddr": target, "proto-dst": port, "ip saddr": met.source}.get(key)
    return None


def _meta(key: str | None, met: Met) -> t.Any:
    icmp = ICMP[met.version]
    values = {
        "iifname": met.iif,
        "iif": met.iif,
        "oifname": met.oif,
        "oif": met.oif,
        "l4proto": icmp if met.protocol in ("icmp", "nd") else met.protocol,
        "nfproto": "ipv4" if met.version == 4 else "ipv6",
        "protocol": "ip" if met.version == 4 else "ip6",
    }
    return values.get(key or "")


def _payload(protocol: str | None, field: str | None, met: Met) -> t.Any:
    family = "ip" if met.version == 4 else "ip6"
    if protocol == family:
        icmp = ICMP[met.version]
        named = icmp if met.protocol in ("icmp", "nd") else met.protocol
        return {"saddr": met.source, "daddr": met.target, "protocol": named, "nexthdr": named}.get(field or "")
    if protocol in ("tcp", "udp", "th"):
        if field == ("sport" if met.reply else "dport") and protocol in (met.protocol, "th") and met.port:
            return met.port
        # Another protocol's field never matches.
        return "" if protocol not in ("th", met.protocol) or met.protocol == "icmp" else None
    if protocol in ("icmp", "icmpv6"):
        if (met.protocol, protocol, field) == ("nd", "icmpv6", "type"):
            return [*SOLICITED][met.reply]
        named = "echo-reply" if met.reply else "echo-request"
        return named if field == "type" and (met.protocol, protocol) == ("icmp", ICMP[met.version]) else ""
    return "" if protocol in ("ip", "ip6") else None


def _among(right: t.Any, seen: t.Any) -> bool | None:
    """Whether a value is the one on the right side, or one of its set, range or prefix."""
    if isinstance(right, list):
        return _any(right, seen)
    if isinstance(right, dict):
        if "set" in right:
            return _any(right["set"] if isinstance(right["set"], list) else [right["set"]], seen)
        if "range" in right:
            low, high = (_comparable(bound, seen) for bound in right["range"])
            value = _comparable(seen, seen)
            return None if None in (low, high, value) else bool(low <= value <= high)
        if "prefix" in right:
            return _inside(right["prefix"], seen)
        if "elem" in right:
            # With a counter, a comment or a timeout.
            return _among(right["elem"].get("val"), seen)
        if "concat" in right and isinstance(seen, tuple) and len(right["concat"]) == len(seen):
            return _every([_among(one, part) for one, part in zip(right["concat"], seen)])
        return None
    if isinstance(right, str) and right.startswith("@"):
        return None
    if isinstance(right, str) and right.endswith("*"):
        return str(seen).startswith(right[:-1])
    return str(right) in _spellings(seen) or _same_address(right, seen)


def _spellings(seen: t.Any) -> set[str]:
    """A value by its name, and by the numbers that stand for it."""
    numbers = [names[seen] for names in (NUMBERS, *TYPES.values()) if isinstance(seen, str) and seen in names]
    return {str(seen), NAMES.get(str(seen), str(seen)), *map(str, numbers)}


def _any(items: list[t.Any], seen: t.Any) -> bool | None:
    answers = [_among(item, seen) for item in items]
    return True if True in answers else None if None in answers else False


def _every(answers: list[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True


def _same_address(one: t.Any, other: t.Any) -> bool:
    try:
        return ipaddress.ip_address(str(one)) == ipaddress.ip_address(str(other))
    except ValueError:
        return False


def _inside(prefix: Item, seen: t.Any) -> bool:
    try:
        return ipaddress.ip_address(str(seen)) in ipaddress.ip_network(
            f"{prefix['addr']}/{prefix['len']}", strict=False
        )
    except ValueError:
        return False


def _comparable(value: t.Any, like: t.Any) -> t.Any:
    """A bound of a range in the form in which it can be compared: a number or an address."""
    if isinstance(like, int):
        return value if isinstance(value, int) else None
    try:
        return ipaddress.ip_address(str(value))
    except ValueError:
        return None


def _text(rule: Item) -> str:
    """A rule about as a person wrote it."""
    return " ".join(filter(None, (_statement(one) for one in rule.get("expr", ()))))


def _statement(one: Item) -> str:
    if "match" in one:
        match = one["match"]
        name = _named_field(match["left"])
        operator = "" if match.get("op", "==") in ("==", "in") else f"{match['op']} "
        return f"{name} {operator}{match.get('named') or _right(match['right'])}"
    (kind,) = one
    if kind in ("vmap", "mangle"):
        words = "vmap" if kind == "vmap" else f"set {_right(one[kind].get('value'))}"
        return f"{_named_field(one[kind].get('key'))} {words}"
    if kind == "limit" and isinstance(one[kind], dict):
        return _limit(one[kind])
    if kind == "counter":
        return f"counter {one[kind]}" if isinstance(one[kind], str) else ""
    return kind if one[kind] is None or kind == "reject" else f"{kind} {_right(one[kind])}"


def _named_field(left: t.Any) -> str:
    """What a condition is about, as a person writes it."""
    if not isinstance(left, dict):
        return "condition"
    if "concat" in left:
        return " . ".join(_named_field(one) for one in left["concat"])
    if "&" in left:
        return _named_field(left["&"][0])
    if "payload" in left:
        return (
            " ".join(str(left["payload"][key]) for key in ("protocol", "field") if key in left["payload"])
            or "condition"
        )
    if "meta" in left:
        return str(left["meta"]["key"])
    if "ct" in left:
        return " ".join(["ct", *(str(left["ct"][key]) for key in ("dir", "key") if key in left["ct"])])
    return _words(left)


def _limit(limit: Item) -> str:
    """A rate as nft(8) writes it."""
    over, unit = "over " if limit.get("inv") else "", limit.get("rate_unit", "packets")
    rate = f"rate {over}{limit.get('rate')}" + ("" if unit == "packets" else f" {unit}") + f"/{limit.get('per')}"
    return f"limit {rate}" + (
        f" burst {limit['burst']} {limit.get('burst_unit', 'packets')}" if limit.get("burst") else ""
    )


def _words(value: Item) -> str:
    """What libnftables has in an object, one word after the other."""
    return " ".join(f"{name} {_right(one)}" for name, one in value.items() if one is not None)


def _right(value: t.Any) -> str:
    if isinstance(value, list):
        return ", ".join(_right(item) for item in value)
    if not isinstance(value, dict):
        return str(value)
    if "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    if "range" in value:
        return f"{value['range'][0]}-{value['range'][1]}"
    if "set" in value:
        members = value["set"] if isinstance(value["set"], list) else [value["set"]]
        return "{ " + ", ".join(_right(item) for item in members) + " }"
    if "concat" in value:
        return " . ".join(_right(item) for item in value["concat"])
    if "elem" in value:
        return _right(value["elem"].get("val"))
    if "addr" in value:
        return f"to {value['addr']}" + (f" port {value['port']}" if value.get("port") else "")
    if "target" in value:
        return str(value["target"])
    return _words(value)
