# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random valid options for the FRR modules: every documented option, in combinations that FRR takes."""

from __future__ import annotations

import random
import typing as t

Options = t.Dict[str, t.Any]
INTERFACES = ("eth1", "eth2", "eth3", "lo", "nowhere0")
# How many are drawn: together, they have every documented option, which a unit test makes sure of.
SEEDS = 20


class Draw:
    """Draws options: a thing may be left out, and nothing that is left out appears."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        # Few options together, or nearly all of them.
        self.share = rng.choice((0.35, 0.35, 0.9))

    def some(self, **options: t.Callable[[], t.Any]) -> Options:
        """Some of the options, each drawn."""
        return {name: draw() for name, draw in options.items() if self.rng.random() < self.share}

    def number(self, low: int, high: int) -> t.Callable[[], int]:
        """A number, often at an edge of its range."""
        return lambda: self.rng.choice((low, high, self.rng.randint(low, high)))

    def flag(self) -> bool:
        """True or false."""
        return self.rng.random() < 0.5

    def one(self, *values: t.Any) -> t.Callable[[], t.Any]:
        """One of the values."""
        return lambda: self.rng.choice(values)

    def subset(self, values: t.Sequence[t.Any]) -> list[t.Any]:
        """Some of the values, in any order."""
        return self.rng.sample(list(values), self.rng.randint(0, len(values)))

    def rows(self, values: t.Sequence[t.Any], make: t.Callable[[t.Any], t.Any]) -> t.Callable[[], list[t.Any]]:
        """A list with a row for some of the values."""
        return lambda: [make(value) for value in self.subset(values)]

    def prefix(self) -> str:
        """An IPv4 prefix that may have host bits."""
        return f"10.{self.rng.randint(0, 255)}.{self.rng.randint(0, 255)}.0/{self.rng.randint(9, 24)}"


def present(d: Draw) -> Options:
    """A thing's state, said or not."""
    return d.some(state=d.one("present"))


def _lists(d: Draw) -> Options:
    def entries(make: t.Callable[[], Options]) -> t.Callable[[], list[Options]]:
        def draw() -> list[Options]:
            rules = [{"action": d.one("permit", "deny")(), **make()} for _n in range(d.rng.randint(1, 4))]
            unique = [rule for n, rule in enumerate(rules) if rule not in rules[:n]]
            return [{"seq": (n + 1) * 5, **rule} for n, rule in enumerate(unique)]

        return draw

    def prefix(version: int) -> Options:
        if d.rng.random() < 0.2:
            return {"prefix": "any"}
        length = d.rng.randint(16, 24) if version == 4 else d.rng.randint(48, 64)
        bounds = sorted((d.rng.randint(length, 32 if version == 4 else 128), 32 if version == 4 else 128))
        base = f"10.{d.rng.randint(0, 255)}.0.0" if version == 4 else f"2001:DB8:{d.rng.randint(1, 999)}::"
        return {"prefix": f"{base}/{length}", **d.some(ge=lambda: bounds[0], le=lambda: bounds[1])}

    def entry(seq: int) -> Options:
        action = d.one("permit", "deny")()
        made = {"seq": seq, "action": action, "match": d.one(*clauses["match"])(), "set": d.one(*clauses["set"])()}
        made.update(d.some(description=d.one("some words"), call=d.one("SUB", "")))
        if action == "permit":
            made.update(d.some(on_match=d.one("next", "goto 90", "")))
        return made

    clauses = {
        "match": [["ip address prefix-list P1"], ["interface eth1"], ["tag 7"], ["metric 5"], []],
        "set": [["metric 100"], ["metric 20", "tag 9"], ["tag 3"], []],
    }
    return {
        "prefix_lists": [
            {
                "name": "P1",
                "entries": entries(lambda: prefix(4))(),
                **d.some(description=d.one("what we take", ""), family=d.one("ipv4")),
                **present(d),
            },
            *d.rows(
                ["P1", "P2"], lambda name: {"name": name, "family": "ipv6", "entries": entries(lambda: prefix(6))()}
            )(),
        ],
        "route_maps": [
            {"name": "SUB", "entries": [{"match": ["interface eth1"]}], **present(d)},
            {"name": "RM", "entries": [entry(10 * (n + 1)) for n in range(d.rng.randint(1, 3))], **present(d)},
        ],
    }


def _bfd(d: Draw) -> Options:
    return {
        "bfd_profiles": [
            {
                "name": "FAST",
                **d.some(
                    detect_multiplier=d.number(2, 50),
                    receive_interval=d.number(10, 5000),
                    transmit_interval=d.number(10, 5000),
                    passive_mode=d.flag,
                    minimum_ttl=d.number(1, 253),
                ),
                **present(d),
            }
        ]
    }


def _redistribute(d: Draw, protocols: t.Sequence[str], types: bool, highest: int) -> t.Callable[[], list[t.Any]]:
    def row(protocol: str) -> Options:
        drawn = d.some(metric=d.number(0, highest), route_map=d.one("RM"))
        if types:
            drawn.update(d.some(metric_type=d.one(1, 2)))
        return {"protocol": protocol, **drawn}

    return d.rows(protocols, row)


def ospf(rng: random.Random) -> Options:
    """Options for frr_ospf: a process of each version, or of one."""
    d = Draw(rng)
    versions = d.one((2, 3), (2,), (3,))()
    instances = [_ospf_instance(d, version) for version in versions]
    instances += [
        {"version": version, "vrf": "RED", **d.some(router_id=d.one("10.0.0.9"))} for version in d.subset(versions)
    ]
    return {"instances": instances, **_chains(d), **_lists(d), **_bfd(d), "purge": True}


def _chains(d: Draw) -> Options:
    # FRR's own build knows these two algorithms; the others need one with OpenSSL.
    keys = [
        {"id": n, "string": f"word{d.rng.randint(1, 99)}", **d.some(algorithm=d.one("md5", "hmac-sha-256"))}
        for n in (1, 2)
    ]
    return {"key_chains": [{"name": "KC", "keys": keys, **present(d)}]}


AREAS = ["0", "1", "0.0.0.2", "77"]


def _base(version: int) -> str:
    return "10.{}.0.0/16" if version == 2 else "2001:db8:{}::/48"


def _area(d: Draw, version: int, name: str) -> Options:
    made: Options = {"area": name}
    kinds = ["normal"] if name == "0" else ["normal", "stub", "totally_stubby", "nssa", "totally_nssa"]
    made.update(d.some(type=d.one(*kinds)))
    if version == 2:
        made.update(d.some(authentication=d.one("none", "simple", "message_digest")))
        if made.get("type", "normal") != "normal":
            made.update(d.some(default_cost=d.number(2, 1000)))

    def span(number: int) -> Options:
        forms = [{}, {"advertise": False}, {"cost": d.rng.randint(1, 1000)}]
        if version == 2:
            forms.append({"substitute": "10.99.0.0/16"})
        return {"prefix": _base(version).format(number), **d.one(*forms)()}

    made.update(d.some(ranges=d.rows([11, 12, 13], span)))
    return {**made, **present(d)}


def _hello_timers(d: Draw, version: int, hello: int) -> Options:
    kind = d.rng.random()
    if kind < 0.4:
        return {"hello_interval": hello, "dead_interval": d.rng.randint(hello + 1, 60)}
    return {"hello_multiplier": d.rng.randint(2, 10)} if kind < 0.6 and version == 2 else {}


def _authentication(d: Draw, version: int) -> Options:
    if version == 2:
        return d.some(
            authentication=d.one("", "none", "simple", "message_digest"),
            authentication_key=d.one("", "pass1", "pass2"),
            message_digest_keys=d.rows([1, 2, 255], lambda number: {"id": number, "key": f"word{number}"}),
        )
    key = {
        "authentication": "key",
        "authentication_key": "w0rd",
        "authentication_key_id": 3,
        "authentication_algorithm": d.one("md5", "hmac-sha-256")(),
    }
    return d.one({}, {"authentication": ""}, {"authentication": "key_chain", "key_chain": "KC"}, key)()


def _interface(d: Draw, version: int, name: str, area: t.Callable[[], str]) -> Options:
    hello = d.rng.randint(1, 20)
    made: Options = {
        "name": name,
        **d.some(
            cost=d.number(1, 65535),
            retransmit_interval=d.number(5, 100),
            transmit_delay=d.number(1, 100),
            priority=d.number(0, 255),
            passive=d.flag,
            mtu_ignore=d.flag,
        ),
    }
    if name == "nowhere0":
        # FRR 8.4 does not always take it on an interface that is not there, and the module then says so.
        made.pop("passive", None)
    if name != "lo":
        kinds = ("non-broadcast", "point-to-multipoint") if version == 2 else ()
        made.update(d.some(network_type=d.one("broadcast", "point-to-point", "", *kinds)))
    made.update(_hello_timers(d, version, hello))
    made.update(d.one({}, {"bfd": True}, {"bfd": False}, {"bfd_profile": "FAST"})())
    made["area"] = area()
    made.update(_authentication(d, version))
    return {**made, **present(d)}


def _version_2(d: Draw, by_network: bool) -> Options:
    """What OSPFv3 does not have. by_network: networks name the interfaces, not the other way round."""
    made = d.some(default_metric=d.number(0, 16777214), passive_default=d.flag)
    numbers = {"priority": d.number(0, 255), "poll_interval": d.number(1, 65535)}
    made.update(
        d.some(neighbors=d.rows(["10.0.1.2", "10.0.1.3"], lambda address: {"address": address, **d.some(**numbers)}))
    )
    prefixes = [f"10.{n}.0.0/16" for n in range(5)]
    networks = d.rows(prefixes, lambda prefix: {"prefix": prefix, "area": d.one(*AREAS)()})
    return {**made, "networks": networks() if by_network else []}


def _ospf_instance(d: Draw, version: int) -> Options:
    by_network = version == 2 and d.rng.random() < 0.4
    area = (lambda: "") if by_network else d.one(*AREAS)
    made = d.some(
        router_id=d.one("10.0.0.1", "10.0.0.2"),
        reference_bandwidth=d.number(1, 4294967),
        maximum_paths=d.number(1, 64),
        log_adjacency_changes=d.one("none", "changes", "detail"),
        distance=d.number(1, 255),
        spf_timers=lambda: {
            "delay": d.rng.randint(0, 500),
            "initial_hold": d.rng.randint(0, 1000),
            "maximum_hold": d.rng.randint(1000, 60000),
        },
        graceful_restart=lambda: d.some(enabled=d.flag, period=d.one(60, 120, 1800), helper=d.flag),
        default_information=lambda: {
            "originate": d.rng.random() < 0.8,
            **d.some(always=d.flag, metric=d.number(0, 16777214), metric_type=d.one(1, 2), route_map=d.one("RM")),
        },
        redistribute=_redistribute(d, ["kernel", "connected", "static", "bgp"], True, 16777214),
        summaries=d.rows(
            [21, 22, 23],
            lambda number: {
                "prefix": _base(version).format(number),
                **d.one({}, {"tag": d.rng.randint(1, 100)}, {"advertise": version == 3})(),
            },
        ),
        areas=d.rows(AREAS, lambda name: _area(d, version, name)),
        interfaces=d.rows(INTERFACES, lambda name: _interface(d, version, name, area)),
    )
    if version == 2:
        made.update(_version_2(d, by_network))
        # An interface keeps FRR from taking networks, and the other way round, so both are always said.
        made.setdefault("interfaces", [])
    return {"version": version, **made, **present(d)}


def _own_as(d: Draw, number: str) -> Options:
    made = d.some(local_as=d.one(number, ""))
    words = [{}, {"local_as_no_prepend": True}, {"local_as_no_prepend": False}, {"local_as_replace_as": True}]
    words.append({"local_as_no_prepend": True, "local_as_replace_as": False})
    return {**made, **d.one(*words)()} if made.get("local_as") else made


def _timers(d: Draw) -> Options:
    hold = d.rng.randint(3, 300)
    return {"keepalive": d.rng.randint(1, hold // 3), "hold": hold}


def _peer_family(d: Draw, name: str) -> Options:
    return {
        "family": name,
        **d.some(
            activate=d.flag,
            route_reflector_client=d.one(False),
            route_server_client=d.flag,
            next_hop_self=d.one("none", "plain", "force"),
            send_community=lambda: d.subset(["standard", "extended", "large"]),
            soft_reconfiguration_inbound=d.flag,
            route_map_in=d.one("RM", ""),
            route_map_out=d.one("RM", ""),
            prefix_list_in=d.one("P1", ""),
            prefix_list_out=d.one("P1", ""),
            as_path_list_in=d.one("AP", ""),
            as_path_list_out=d.one("AP", ""),
            maximum_prefix=lambda: {
                "limit": d.rng.randint(1, 9999),
                **d.some(threshold=d.number(1, 100)),
                **d.one({}, {"restart": 5}, {"warning_only": True})(),
            },
            weight=d.number(0, 65535),
            allowas_in=d.number(0, 10),
            as_override=d.flag,
            remove_private_as=d.one("none", "plain", "all", "replace", "all_replace"),
            addpath_tx_all_paths=d.flag,
        ),
        **d.one({}, {"default_originate": True}, {"default_originate": False}, {"default_originate_route_map": "RM"})(),
    }


def _peer(d: Draw) -> Options:
    """What a neighbor and a peer group both have."""
    return {
        **d.some(
            description=d.one("two words", "x", ""),
            password=d.one("s3cret", "0ther", ""),
            shutdown=d.flag,
            timers=lambda: _timers(d),
            connect_timer=d.number(1, 65535),
            advertisement_interval=d.number(0, 600),
            passive=d.flag,
            address_families=lambda: [
                *d.rows(["ipv4_unicast", "ipv6_unicast"], lambda name: _peer_family(d, name))(),
                *d.rows(["l2vpn_evpn"], lambda name: {"family": name, **d.some(activate=d.flag)})(),
            ],
        ),
        **d.one({}, {"bfd": True}, {"bfd": False}, {"bfd_profile": "FAST"})(),
        **present(d),
    }


def _peer_groups(d: Draw) -> tuple[list[Options], Options]:
    """Two groups, and the distance of the neighbors that are no members."""
    groups = [{"name": "OPEN", **_peer(d)}, {"name": "CLOSED", "remote_as": "65001", **_peer(d)}]
    # Both ways to reach a distant neighbor exclude each other, also through the group, and one on the link needs neither.
    distance = {
        "ebgp_multihop": 0,
        "ttl_security_hops": 0,
        **d.one({}, {"ebgp_multihop": d.number(2, 255)()}, {"ttl_security_hops": d.number(1, 254)()})(),
    }
    groups[0].update(distance)
    # Without members, so that what a session on a link must not have is here.
    groups[0].update(
        d.some(
            extended_nexthop=d.flag,
            disable_connected_check=d.flag,
            update_source=d.one("lo", "10.0.1.1", ""),
            local_as=d.one(""),
        )
    )
    groups[1].update(_own_as(d, "65009"))
    return groups, distance


def _neighbor(d: Draw, address: str, distance: Options) -> Options:
    on_link = address[0] == "e"
    named: Options = {"neighbor": address}
    if d.rng.random() < 0.6:
        named["remote_as"] = d.one("65002", "1.10", "external")()
        named.update({} if on_link else {"peer_group": ""})
        named.update(_own_as(d, "65008"))
    else:
        named["peer_group"] = "CLOSED"
    if not on_link:
        source = d.one("lo", "10.0.1.1", "")
        named.update(d.some(extended_nexthop=d.flag, disable_connected_check=d.flag, update_source=source))
    settings = _peer(d)
    if "peer_group" in named:
        # A member shows only in part what it has besides its group's limit.
        for row in settings.get("address_families", ()):
            row.pop("maximum_prefix", None)
    return {**named, **settings, **(distance if not on_link and "remote_as" in named else {})}


def bgp(rng: random.Random) -> Options:
    """Options for frr_bgp."""
    d = Draw(rng)
    groups, distance = _peer_groups(d)
    addresses = ["10.0.1.2", "10.0.1.3", "2001:DB8:1::2", "eth2", "eth3"]
    neighbors = [_neighbor(d, address, distance) for address in d.subset(addresses)]

    def own(name: str) -> Options:
        base = "10.{}.0.0/16" if name == "ipv4_unicast" else "2001:db8:{}::/48"
        return {
            "family": name,
            **d.some(
                networks=d.rows([1, 2, 3], lambda n: {"prefix": base.format(n), **d.some(route_map=d.one("RM"))}),
                aggregates=d.rows(
                    [4, 5, 6], lambda n: {"prefix": base.format(n), **d.some(as_set=d.flag, summary_only=d.flag)}
                ),
                redistribute=_redistribute(d, ["kernel", "connected", "static"], False, 4294967),
                maximum_paths=d.number(1, 64),
                maximum_paths_ibgp=d.number(1, 64),
            ),
        }

    instance = {
        "asn": "65000",
        **d.some(
            router_id=d.one("10.0.0.1", "10.0.0.2"),
            cluster_id=d.one("10.0.0.3", ""),
            log_neighbor_changes=d.flag,
            default_ipv4_unicast=d.one(False),
            ebgp_requires_policy=d.flag,
            network_import_check=d.flag,
            multipath_relax=d.flag,
            compare_router_id=d.flag,
            deterministic_med=d.flag,
            always_compare_med=d.flag,
            listen_limit=d.number(1, 5000),
            timers=lambda: _timers(d),
            graceful_restart=lambda: {
                "mode": d.one("helper", "enabled", "disabled")(),
                **d.some(restart_time=d.number(1, 3600), stalepath_time=d.number(1, 4095)),
            },
            listen_ranges=d.rows(["10.7.0.0/16", "2001:db8:7::/64"], lambda p: {"prefix": p, "peer_group": "CLOSED"}),
            address_families=lambda: [
                *d.rows(["ipv4_unicast", "ipv6_unicast"], own)(),
                *d.one(
                    [],
                    [
                        {
                            "family": "l2vpn_evpn",
                            **d.some(
                                advertise_all_vni=d.flag, advertise_ipv4_unicast=d.flag, advertise_ipv6_unicast=d.flag
                            ),
                        }
                    ],
                )(),
            ],
        ),
        "peer_groups": groups,
        "neighbors": neighbors,
        **present(d),
    }
    instances = [
        instance,
        *d.rows(["RED"], lambda vrf: {"asn": "65000", "vrf": vrf, **d.some(router_id=d.one("10.0.0.9"))})(),
    ]

    def entry(**values: str) -> list[Options]:
        return [{"seq": 5, "action": d.one("permit", "deny")(), **values}]

    return {
        "instances": instances,
        "community_lists": [
            {
                "name": "CL",
                "entries": entry(communities=d.one("65000:1", "65000:1 no-export")()),
                **d.some(kind=d.one("community"), type=d.one("standard")),
                **present(d),
            },
            {"name": "CE", "type": "expanded", "entries": entry(communities="65000:.*")},
            {"name": "LC", "kind": "large-community", "entries": entry(communities="1:2:3")},
            {"name": "EC", "kind": "extcommunity", "entries": entry(communities="rt 65000:1")},
        ],
        "as_path_lists": [{"name": "AP", "entries": entry(regex=d.one("^65000_", "^$", "^(1|2)$")()), **present(d)}],
        **_lists(d),
        **_bfd(d),
        "purge": True,
    }


def rip(rng: random.Random) -> Options:
    """Options for frr_rip."""
    d = Draw(rng)

    def interface(name: str) -> Options:
        made = d.some(
            split_horizon=d.one("plain", "poisoned_reverse", "none"), authentication=d.one("none", "text", "md5")
        )
        return {"name": name, **made, **d.one({}, {"authentication_key": "word"}, {"key_chain": "KC"})(), **present(d)}

    instance = d.some(
        networks=d.rows(["eth1", "10.0.1.0/24", "10.7.0.0/16"], str),
        neighbors=d.rows(["10.0.1.2", "10.0.1.3"], str),
        passive_interfaces=d.rows(["eth2", "eth3"], str),
        default_metric=d.number(1, 16),
        distance=d.number(1, 255),
        default_information=d.flag,
        allow_ecmp=d.flag,
        timers=lambda: {
            "update": d.rng.randint(5, 99),
            "timeout": d.rng.randint(5, 99),
            "garbage": d.rng.randint(5, 99),
        },
        redistribute=_redistribute(d, ["kernel", "connected", "static"], False, 16),
        interfaces=d.rows(INTERFACES, interface),
    )
    instances = [
        {**instance, **present(d)},
        *d.rows(["RED"], lambda vrf: {"vrf": vrf, **d.some(default_metric=d.number(1, 16))})(),
    ]
    return {"instances": instances, **_chains(d), **_lists(d), "purge": True}


def static(rng: random.Random) -> Options:
    """Options for frr_static."""
    d = Draw(rng)

    def route(number: int) -> Options:
        version = d.one(4, 6)()
        prefix = f"10.{number}.0.0/16" if version == 4 else f"2001:db8:{number}::/48"
        via = f"10.0.1.{rng.randint(2, 9)}" if version == 4 else "2001:db8:1::9"
        hop = d.one(
            {"via": via},
            {"interface": "eth1"},
            {"via": via, "interface": "eth2"},
            {"discard": "blackhole"},
            {"discard": "reject"},
        )()
        if len(hop) == 2 and hop.get("via"):
            hop = {**hop, **d.some(onlink=d.flag)}
        more = d.some(distance=d.number(1, 255), tag=d.number(1, 4294967295), table=d.number(1, 252))
        if "table" not in more:
            more.update(
                d.some(vrf=d.one("RED")) if "discard" in hop else d.some(vrf=d.one("RED"), nexthop_vrf=d.one("BLUE"))
            )
        return {"prefix": prefix, **hop, **more, **present(d)}

    return {"routes": [route(n) for n in d.subset(range(20, 30))], "purge": True}


MODULES: dict[str, t.Callable[[random.Random], Options]] = {
    "frr_ospf": ospf,
    "frr_bgp": bgp,
    "frr_rip": rip,
    "frr_static": static,
}


def empty(module: str) -> Options:
    """Options that declare nothing, so that purge removes all that was made."""
    if module == "frr_static":
        return {"routes": [], "purge": True}
    lists = {
        "frr_ospf": ["key_chains", "bfd_profiles"],
        "frr_rip": ["key_chains"],
        "frr_bgp": ["bfd_profiles", "community_lists", "as_path_lists"],
    }
    return {
        "instances": [],
        "purge": True,
        "prefix_lists": [],
        "route_maps": [],
        **{name: [] for name in lists[module]},
    }
