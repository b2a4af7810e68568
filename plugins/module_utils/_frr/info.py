# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What FRR knows: neighbors, sessions, routes, interfaces, from its JSON.

This file is private to the collection. FRR's keys differ between its commands and releases; here each fact has one name
and one type. Everything but `gather`, `refused` and `facts` is pure.
"""

from __future__ import annotations

import ipaddress
import json
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.runner import check_allowed
from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import hide
from ansible_collections.overloom.fabric.plugins.module_utils._frr.subsets import DETAILS, SUBSETS
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner

Json = t.Any
Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

# What each subset asks, and the daemon that answers.
QUESTIONS = {
    "ospf": ("ospfd", "show ip ospf vrf all neighbor detail json"),
    "ospf6": ("ospf6d", "show ipv6 ospf6 vrf all neighbor detail json"),
    "bgp": ("bgpd", "show bgp vrf all summary json"),
    "routes": ("zebra", "show ip route vrf all json"),
    "routes6": ("zebra", "show ipv6 route vrf all json"),
    "interfaces": ("zebra", "show interface vrf all json"),
    "bfd": ("bfdd", "show bfd peers json"),
    "ospf_interfaces": ("ospfd", "show ip ospf vrf all interface json"),
    "bgp_reasons": ("bgpd", "show bgp vrf all neighbors json"),
    "running_config": ("zebra", "show running-config no-header"),
}
# What is answered in words.
TEXTS = ("running_config",)


NETWORK_TYPES = {
    "POINTOPOINT": "point-to-point",
    "BROADCAST": "broadcast",
    "NBMA": "non-broadcast",
    "POINTOMULTIPOINT": "point-to-multipoint",
    "LOOPBACK": "loopback",
}
AUTHENTICATIONS = {
    "authenticationNone": "",
    "authenticationSimplePassword": "password",
    "authenticationMessageDigest": "message-digest",
}
FAMILY_WORDS = {"ipv4_unicast": "ipv4 unicast", "ipv6_unicast": "ipv6 unicast"}


def gather(runner: Runner, subsets: t.Iterable[str]) -> tuple[tuple[str, ...], dict[str, Json]]:
    """The daemons that run, and FRR's answer for each subset whose daemon runs. Spawns at most two processes."""
    status, out, err = runner.run(("vtysh", "-c", "show daemons"))
    if status == 127:
        raise FabricError("vtysh is not installed; the role frr_router installs FRR")
    check_allowed(status, out + err)
    daemons = tuple(out.split()) if status == 0 else ()
    asked = [name for name in subsets if QUESTIONS[name][0] in daemons]
    if not asked:
        return daemons, {}
    # Each answer is followed by this one, which is no JSON, so that an empty answer does not shift the others.
    argv = ["vtysh"]
    for name in asked:
        argv += ["-c", QUESTIONS[name][1], "-c", "show daemons"]
    status, out, err = runner.run(argv)
    if status:
        raise FabricError(f"FRR did not answer: {(err or out).strip()[:300]}")
    mark = " " + " ".join(daemons)
    answers = [part.strip() for part in out.split(mark + "\n")] if daemons else []
    return daemons, {name: hide(answer) if name in TEXTS else document(answer) for name, answer in zip(asked, answers)}


def facts(runner: Runner, wanted: t.Container[str], within: t.Sequence[str] = ()) -> dict[str, Json]:
    """What is wanted, with the daemons that run. wanted: of CHOICES and DETAILS. within: only routes inside of these prefixes."""
    asked = [name for name in (*SUBSETS, *DETAILS) if name in wanted]
    if "bgp_refused" in wanted and "bgp" not in asked:
        asked.append("bgp")
    if "routes" in asked:
        asked.append("routes6")
    daemons, found = gather(runner, asked)
    sessions = bgp_neighbors(found.get("bgp"))
    if "bgp_refused" in wanted:
        refused(runner, daemons, sessions)
    known: dict[str, dict[str, Json]] = {
        "ospf": {"ospf_neighbors": ospf_neighbors(found.get("ospf"))},
        "ospf6": {"ospf6_neighbors": ospf6_neighbors(found.get("ospf6"))},
        "bgp": {"bgp_neighbors": sessions},
        "routes": {"routes": routes(found.get("routes"), within) + routes(found.get("routes6"), within)},
        "interfaces": {"interfaces": interfaces(found.get("interfaces"))},
        "bfd": {"bfd_peers": bfd_peers(found.get("bfd"))},
        "ospf_interfaces": {"ospf_interfaces": ospf_interfaces(found.get("ospf_interfaces"))},
        "bgp_reasons": {"bgp_reasons": bgp_reasons(found.get("bgp_reasons"))},
        "running_config": {"running_config": found.get("running_config", "")},
    }
    told: dict[str, Json] = {"daemons": list(daemons)}
    for name in asked:
        told.update(known.get(name, {}))
    return told


def refused(runner: Runner, daemons: tuple[str, ...], neighbors: list[dict[str, Json]]) -> None:
    """Set `prefixes_refused` of sessions that keep what they received: how much of it no filter let through. Spawns one process at most."""
    asked = [
        row
        for row in neighbors
        if row["state"] == "Established" and row["vrf"] == "default" and row["family"] in FAMILY_WORDS
    ]
    if not asked:
        return
    argv = ["vtysh"]
    for row in asked:
        argv += [
            "-c",
            f"show bgp {FAMILY_WORDS[row['family']]} neighbors {row['neighbor']} prefix-counts json",
            "-c",
            "show daemons",
        ]
    status, out, _err = runner.run(argv)
    answers = out.split(" " + " ".join(daemons) + "\n") if status == 0 else []
    for row, answer in zip(asked, answers):
        counts = document(answer)
        received = _number((counts.get("ribTableWalkCounters") or {}).get("Adj-in"))
        if received:
            row["prefixes_refused"] = received - (_number(counts.get("pfxCounter")) or 0)


def document(text: str) -> Json:
    """FRR's JSON, or an empty dictionary where it says in words that there is nothing."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    # With `vrf all`, some commands give one document after the other.
    found: dict[str, Json] = {}
    decoder = json.JSONDecoder()
    at = text.find("{")
    while at >= 0:
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError:
            break
        if isinstance(value, dict):
            found.update(value)
        at = text.find("{", at)
    return found


def _number(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def ospf_neighbors(answer: Json) -> list[dict[str, Json]]:
    """Neighbors of OSPFv2, from `show ip ospf vrf all neighbor detail json`."""
    made = []
    for vrf, process in sorted(answer.items() if isinstance(answer, dict) else ()):
        neighbors = process.get("neighbors", process) if isinstance(process, dict) else {}
        for router, rows in sorted(neighbors.items()):
            for row in rows if isinstance(rows, list) else []:
                state = row.get("nbrState", "")
                made.append(
                    {
                        "vrf": row.get("vrf", process.get("vrfName", vrf)),
                        "router_id": router,
                        "address": row.get("ifaceAddress", ""),
                        "interface": str(row.get("ifaceName", "")).partition(":")[0],
                        "state": state.partition("/")[0].strip(),
                        "role": row.get("role") or state.partition("/")[2].strip(),
                        "area": str(row.get("areaId", "")).partition(" ")[0],
                        "priority": _number(row.get("nbrPriority")),
                        "state_changes": _number(row.get("stateChangeCounter")),
                        "uptime_seconds": _milliseconds(row.get("lastPrgrsvChangeMsec")),
                        "dropped_seconds": _milliseconds(row.get("lastRegressiveChangeMsec")),
                        "dropped_reason": row.get("lastRegressiveChangeReason", ""),
                    }
                )
    return made


def ospf_interfaces(answer: Json) -> list[dict[str, Json]]:
    """Interfaces of OSPFv2, from `show ip ospf vrf all interface json`."""
    made = []
    for vrf, process in sorted(answer.items() if isinstance(answer, dict) else ()):
        interfaces = process.get("interfaces", process) if isinstance(process, dict) else {}
        for name, row in sorted(interfaces.items()):
            if not isinstance(row, dict) or not row.get("ospfEnabled"):
                continue
            hello = _number(row.get("timerMsecs"))
            made.append(
                {
                    "vrf": process.get("vrfName", vrf),
                    "interface": str(name).partition(":")[0],
                    "address": row.get("ipAddress", ""),
                    "area": str(row.get("area", "")).partition(" ")[0],
                    "router_id": row.get("routerId", ""),
                    "network_type": NETWORK_TYPES.get(row.get("networkType", ""), ""),
                    "hello_interval": hello // 1000 if hello else None,
                    "dead_interval": _number(row.get("timerDeadSecs")),
                    "mtu": _number(row.get("mtuBytes")),
                    "passive": bool(row.get("timerPassiveIface", False)),
                    "authentication": AUTHENTICATIONS.get(row.get("authentication", ""), row.get("authentication", "")),
                }
            )
    return made


def bgp_reasons(answer: Json) -> list[dict[str, Json]]:
    """Why sessions of BGP do not stand, or last fell, from `show bgp vrf all neighbors json`."""
    made = []
    for vrf, process in sorted(answer.items() if isinstance(answer, dict) else ()):
        rows = process if isinstance(process, dict) else {}
        for peer, row in sorted(rows.items()):
            if not isinstance(row, dict) or "bgpState" not in row:
                continue
            made.append(
                {
                    "vrf": rows.get("vrfName", vrf),
                    "neighbor": peer,
                    "remote_as": row.get("remoteAs"),
                    "local_as": row.get("localAs"),
                    "shut_down": bool(row.get("adminShutDown", False)),
                    "families": sorted(row.get("addressFamilyInfo") or ()),
                    "reset": row.get("lastResetDueTo", ""),
                    "notification": row.get("lastNotificationReason", ""),
                }
            )
    return made


def ospf6_neighbors(answer: Json) -> list[dict[str, Json]]:
    """Neighbors of OSPFv3, from `show ipv6 ospf6 vrf all neighbor detail json`."""
    made = []
    for vrf, process in sorted(answer.items() if isinstance(answer, dict) else ()):
        if not isinstance(process, dict):
            continue
        # The detailed form is a dictionary by name, the other one a list.
        rows = process.get("neighbors")
        if not isinstance(rows, list):
            rows = (
                [row for row in process.values() if isinstance(row, dict)]
                if "neighborState" not in process and "interface" not in process
                else [process]
            )
        for row in rows:
            made.append(
                {
                    "vrf": process.get("vrfName", vrf if "neighbors" in process else "default"),
                    "router_id": str(row.get("neighborId") or vrf).partition("%")[0],
                    "address": row.get("linkLocalAddress", ""),
                    "interface": row.get("interface") or row.get("interfaceName", ""),
                    "state": str(row.get("neighborState") or row.get("state", "")),
                    "area": str(row.get("area", "")),
                    "priority": _number(row.get("neighborPriority", row.get("priority"))),
                    "uptime_seconds": _clock(row.get("neighborStateDuration") or row.get("duration")),
                }
            )
    return made


def bgp_neighbors(answer: Json) -> list[dict[str, Json]]:
    """Sessions of BGP by address family, from `show bgp vrf all summary json`."""
    made = []
    families = {"ipv4Unicast": "ipv4_unicast", "ipv6Unicast": "ipv6_unicast", "l2VpnEvpn": "l2vpn_evpn"}
    for vrf, process in sorted(answer.items() if isinstance(answer, dict) else ()):
        if vrf in families:
            # One VRF alone is not named.
            process, vrf = {vrf: process}, "default"
        for key, family in families.items():
            summary = (process.get(key) if isinstance(process, dict) else None) or {}
            for peer, row in sorted(summary.get("peers", {}).items()):
                made.append(
                    {
                        "vrf": summary.get("vrfName", vrf),
                        "family": family,
                        "neighbor": peer,
                        "remote_as": row.get("remoteAs"),
                        "local_as": row.get("localAs", summary.get("as")),
                        "state": row.get("state", ""),
                        "dynamic": bool(row.get("dynamicPeer", False)),
                        "prefixes_received": _number(row.get("pfxRcd")),
                        "prefixes_refused": None,
                        "prefixes_sent": _number(row.get("pfxSnt")),
                        "established_count": _number(row.get("connectionsEstablished")),
                        "dropped_count": _number(row.get("connectionsDropped")),
                        "uptime_seconds": _milliseconds(row.get("peerUptimeMsec")),
                    }
                )
    return made


def _inside(network: Network, other: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and network.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and network.subnet_of(other)


def routes(answer: Json, prefixes: t.Sequence[str]) -> list[dict[str, Json]]:
    """The routes of one address family, from `show ip route vrf all json`; only those inside one of the prefixes, if any is given."""
    made = []
    within = [ipaddress.ip_network(prefix) for prefix in prefixes]
    by_vrf = answer if isinstance(answer, dict) else {}
    if any("/" in key for key in by_vrf):
        by_vrf = {"default": by_vrf}
    for _vrf, table in sorted(by_vrf.items()):
        for prefix, rows in table.items():
            network = ipaddress.ip_network(prefix)
            if within and not any(_inside(network, other) for other in within):
                continue
            for row in rows:
                made.append(
                    {
                        "vrf": row.get("vrfName", "default"),
                        "prefix": prefix,
                        "protocol": row.get("protocol", ""),
                        "selected": bool(row.get("selected", False)),
                        "distance": _number(row.get("distance")) or 0,
                        "metric": _number(row.get("metric")) or 0,
                        "table": _number(row.get("table")),
                        "uptime_seconds": _clock(row.get("uptime")),
                        "nexthops": [
                            {
                                "address": hop.get("ip", ""),
                                "interface": hop.get("interfaceName", ""),
                                "active": bool(hop.get("active", False)),
                                "installed": bool(hop.get("fib", False)),
                                "discard": bool(
                                    hop.get("blackhole", False)
                                    or hop.get("reject", False)
                                    or hop.get("unreachable", False)
                                ),
                            }
                            for hop in row.get("nexthops", [])
                        ],
                    }
                )
    return made


def interfaces(answer: Json) -> dict[str, dict[str, Json]]:
    """The interfaces by name, from `show interface vrf all json`."""
    made = {}
    for name, row in sorted(answer.items() if isinstance(answer, dict) else ()):
        made[name] = {
            "vrf": row.get("vrfName", "default"),
            "up": row.get("administrativeStatus") == "up",
            "running": row.get("operationalStatus") == "up",
            "mtu": _number(row.get("mtu")),
            "addresses": sorted({str(one["address"]) for one in row.get("ipAddresses", []) if "address" in one}),
        }
    return made


def bfd_peers(answer: Json) -> list[dict[str, Json]]:
    """The BFD sessions, from `show bfd peers json`."""
    made = []
    for row in answer if isinstance(answer, list) else []:
        made.append(
            {
                "vrf": row.get("vrf", "default"),
                "peer": row.get("peer", ""),
                "local": row.get("local", ""),
                "interface": row.get("interface", ""),
                "state": row.get("status", ""),
                "uptime_seconds": _number(row.get("uptime")),
                "diagnostic": row.get("diagnostic", ""),
                "receive_interval": _number(row.get("receive-interval")),
                "transmit_interval": _number(row.get("transmit-interval")),
                "detect_multiplier": _number(row.get("detect-multiplier")),
            }
        )
    return made


def _milliseconds(value: Json) -> int | None:
    number = _number(value)
    return None if number is None else number // 1000


def _clock(value: Json) -> int | None:
    """Seconds from FRR's `HH:MM:SS`, `1d02h03m` or `1w2d03h`."""
    if not isinstance(value, str) or not value:
        return None
    parts = value.split(":")
    if len(parts) == 3 and all(part.isdigit() for part in parts):
        return int(parts[0]) * 3600 + int(parts[1]) * 60 + int(parts[2])
    units = {"y": 31536000, "w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
    total, digits = 0, ""
    for character in value:
        if character.isdigit():
            digits += character
        elif character in units and digits:
            total += int(digits) * units[character]
            digits = ""
        else:
            return None
    return total
