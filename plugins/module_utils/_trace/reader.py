# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a packet meets on one host, read and not judged: kernel, firewall, switch, guests.

One process a network namespace for the kernel, one for its firewall, one for the switch's database, one a question to the switch,
one for the guests. This file is private to the collection.
Sources: ip(8) with -json and -batch, libnftables-json(5), ovs-vswitchd(8) for ofproto/trace.
"""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import read_step
from ansible_collections.overloom.fabric.plugins.module_utils._json import documents
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.states import guest_states
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import checksum_offloads
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    Database,
    OvsRunner,
    ovs_vsctl,
    read_database,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tables import ROOT
from ansible_collections.overloom.fabric.plugins.module_utils._probe.sockets import inside
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.module_utils._trace import legacy
from ansible_collections.overloom.fabric.plugins.module_utils._trace.logical import LOOKUPS, read_logical

Item = t.Dict[str, t.Any]

QUESTIONS = {
    "links": "address show",
    "routes": "route show table all",
    "neighbors": "neighbor show",
    "rules": "rule show",
}
SYSCTLS = {
    "forwarding": "net/ipv4/ip_forward",
    "forwarding6": "net/ipv6/conf/all/forwarding",
    "echo_ignored": "net/ipv4/icmp_echo_ignore_all",
    "echo_ignored6": "net/ipv6/icmp/echo_ignore_all",
    "ttl": "net/ipv4/ip_default_ttl",
    "connections": "net/netfilter/nf_conntrack_count",
    "connections_most": "net/netfilter/nf_conntrack_max",
}
PER_INTERFACE = {
    "rp_filter": "net/ipv4/conf/{}/rp_filter",
    "forwards": "net/ipv4/conf/{}/forwarding",
    "arp_ignore": "net/ipv4/conf/{}/arp_ignore",
    "ipv6_off": "net/ipv6/conf/{}/disable_ipv6",
}
# Counters of packets that the kernel gave up, by the file below /proc/net; of a group all that begin so.
DISCARDS = {
    "snmp": ("IpInHdrErrors", "IpInAddrErrors", "IpInDiscards", "IpOutDiscards", "IpOutNoRoutes"),
    "netstat": ("TcpExtIPReversePathFilter", "IpExtInNoRoutes"),
    "snmp6": (
        "Ip6InHdrErrors",
        "Ip6InNoRoutes",
        "Ip6InAddrErrors",
        "Ip6InDiscards",
        "Ip6OutDiscards",
        "Ip6OutNoRoutes",
    ),
    "xfrm_stat": ("Xfrm",),
}
# Counters of which the file has a row a processor, in hexadecimal: the file, the column, and what it is called here.
BY_PROCESSOR = (
    ("stat/nf_conntrack", "drop", "ConntrackDrop"),
    ("stat/arp_cache", "table_fulls", "NeighborTableFull"),
    ("stat/ndisc_cache", "table_fulls", "NeighborTableFull6"),
)
# Sockets that wait for connections (TCP state LISTEN) or packets (UDP sockets without a peer), of both families.
SOCKETS = {"tcp": ("tcp", "tcp6"), "udp": ("udp", "udp6")}
WAITING = {"tcp": "0A", "udp": "07"}
# Interfaces that have no ARP by nature, besides those that are no Ethernet.
WITHOUT_ARP = ("dummy", "vrf")
# Queues that the kernel gives by itself.
QUIET = ("noqueue", "pfifo_fast", "fq_codel", "fq", "mq", "noop")
# The interfaces of a chain in the words of nft.
_AT = re.compile(r"\bdevices? (= \{[^}]*\}|\S+)")
_LIMIT = re.compile(r"(?:zone=(\d+),|default )limit=(\d+)(?:,count=(\d+))?")
_OWN_ROUTE = re.compile(r"User: (\S+).* dev (\S+).*")
LEGACY = {"ip": ("iptables-legacy-save", "ip_tables_names"), "ip6": ("ip6tables-legacy-save", "ip6_tables_names")}


# An action that looks for a packet's connection, in the words of ofproto/trace.
TRACKS = "ct("
# Columns that no other module reads.
COLUMNS = (("Port", "rstp_status"), ("Interface", "ingress_policing_rate"))


def read_kernel(runner: OvsRunner, namespace: str | None) -> Item:
    """Links with their addresses and counters, routes, neighbors, rules and sysctls of a namespace; None is the host's own."""
    said = runner(read_step(*QUESTIONS.values(), netns=namespace or None, statistics=True))
    found = dict(zip(QUESTIONS, documents(said)))
    if len(found) != len(QUESTIONS):
        raise FabricError(f"ip -batch in {namespace or 'the host'} answered {len(found)} of {len(QUESTIONS)} questions")
    links = [_link(link) for link in found["links"]]
    filters = _filters(runner, namespace)
    for link in links:
        link["filters"] = link["name"] in filters
    return {
        "links": {link["name"]: link for link in links},
        "routes": [_route(route) for route in found["routes"] if route.get("dst")],
        "neighbors": [_neighbor(one) for one in found["neighbors"] if one.get("dst")],
        # That of VRFs is about their interfaces alone, and leads each to its own table.
        "rules": [_rule(rule) for rule in found["rules"] if "l3mdev" not in rule],
        "rules6": _rules6(runner, namespace),
        **_sysctls(namespace, [link["name"] for link in links]),
    }


def _filters(runner: OvsRunner, namespace: str | None) -> set[str]:
    """The interfaces that have filters of tc(8), which may drop what comes in or goes out; none where that cannot be read."""
    enter = ["tc", *(["-n", namespace] if namespace else []), "-json"]

    def asked(*words: str) -> list[Item]:
        status, out, _err = runner.run([*enter, *words])
        rows = documents(out) if status == 0 else []
        return t.cast("list[Item]", rows[0] if rows else [])

    hooks = {"ingress": ("ingress",), "clsact": ("ingress", "egress")}
    places = [(one["dev"], side) for one in asked("qdisc", "show") for side in hooks.get(one.get("kind", ""), ())]
    return {dev for dev, side in places if asked("filter", "show", "dev", dev, side)}


def _link(link: Item) -> Item:
    counters, kind = link.get("stats64") or {}, link.get("linkinfo") or {}
    may_ask = link.get("link_type") == "ether" and kind.get("info_kind") not in WITHOUT_ARP
    return {
        "name": link["ifname"],
        "mac": link.get("address"),
        "mtu": link.get("mtu"),
        "up": "UP" in link.get("flags", ()),
        "carrier": "LOWER_UP" in link.get("flags", ()),
        "arp": not (may_ask and "NOARP" in link.get("flags", ())),
        "addresses": [f"{one['local']}/{one['prefixlen']}" for one in link.get("addr_info", ()) if "local" in one],
        "unusable": [one["local"] for one in link.get("addr_info", ()) if one.get("dadfailed") or one.get("tentative")],
        # A VRF takes nothing of what comes in away.
        "master": None if kind.get("info_slave_kind") == "vrf" else link.get("master"),
        "vlan": (kind.get("info_data") or {}).get("id") if kind.get("info_kind") == "vlan" else None,
        "queue": None if link.get("qdisc") in QUIET else link.get("qdisc"),
        "xdp": bool(link.get("xdp")),
        "received": (counters.get("rx") or {}).get("packets"),
        "sent": (counters.get("tx") or {}).get("packets"),
        "dropped": (counters.get("rx") or {}).get("dropped"),
    }


def _route(route: Item) -> Item:
    hops = [
        {"via": hop.get("gateway") or (hop.get("via") or {}).get("host"), "dev": hop.get("dev")}
        for hop in route.get("nexthops") or [route]
    ]
    return {
        "to": route["dst"],
        "type": route.get("type", "unicast"),
        "table": str(route.get("table", "main")),
        "protocol": route.get("protocol"),
        "source": route.get("prefsrc"),
        "metric": int(route.get("metric") or 0),
        "mtu": next((int(one["mtu"]) for one in route.get("metrics", ()) if "mtu" in one), None),
        "dead": any(flag in ("dead", "linkdown") for flag in route.get("flags", ())),
        "hops": hops,
    }


def _rule(rule: Item) -> Item:
    """A rule of policy routing. decided: a packet's addresses and interface alone decide whether it meets it."""
    prefixes = {
        end: f"{rule[end]}/{rule[end + 'len']}" if end + "len" in rule else rule.get(end) for end in ("src", "dst")
    }
    known = {"priority", "src", "srclen", "dst", "dstlen", "iif", "table", "action", "protocol"}
    return {
        **prefixes,
        "priority": rule.get("priority"),
        "iif": rule.get("iif"),
        "table": str(rule["table"]) if "table" in rule else None,
        "action": rule.get("action"),
        "decided": not set(rule) - known,
    }


def _rules6(runner: OvsRunner, namespace: str | None) -> list[Item]:
    """Rules for IPv6, which `ip -batch` does not ask for; none where the kernel has no IPv6."""
    enter = ["-n", namespace] if namespace else []
    status, out, _err = runner.run(["ip", *enter, "-json", "-6", "rule", "show"])
    rows = documents(out) if status == 0 else []
    return [_rule(rule) for rule in (rows[0] if rows else ()) if "l3mdev" not in rule]


def _neighbor(one: Item) -> Item:
    return {"to": one["dst"], "dev": one.get("dev"), "mac": one.get("lladdr"), "state": " ".join(one.get("state", ()))}


def _sysctls(namespace: str | None, interfaces: list[str]) -> Item:
    """Values below /proc/sys/net, which are those of the namespace that the reading process is in."""
    with inside(namespace):
        values: Item = {"tx_checksum": checksum_offloads()}
        values.update({name: _value(path) for name, path in SYSCTLS.items()})
        for name, path in PER_INTERFACE.items():
            values[name] = {interface: _value(path.format(interface)) for interface in ("all", *interfaces)}
        values["listening"] = {protocol: _listening(protocol) for protocol in SOCKETS}
        values["discards"] = _discards()
    return values


def _discards() -> Item:
    """How many packets the kernel gave up, by its counters; those that stand at 0 are left out."""
    found: Item = {}
    for name, wanted in DISCARDS.items():
        counters = counters_of(_text(name))
        found.update({key: value for key, value in counters.items() if value and key.startswith(wanted)})
    sums = {called: hexadecimal(_text(name), column) for name, column, called in BY_PROCESSOR}
    return {**found, **{called: count for called, count in sums.items() if count}}


def hexadecimal(text: str, column: str) -> int:
    """The sum of a column of a file below /proc/net/stat."""
    rows = [line.split() for line in text.splitlines()]
    return sum(int(row[rows[0].index(column)], 16) for row in rows[1:]) if rows and column in rows[0] else 0


def counters_of(text: str) -> dict[str, int]:
    """Counters of a file below /proc/net by name: a name and a number in each line, or names in one line and their numbers in the next."""
    lines = [line.split() for line in text.splitlines()]
    if lines and lines[0] and lines[0][0].endswith(":"):
        pairs = zip(lines[::2], lines[1::2])
        return {names[0][:-1] + name: int(value) for names, row in pairs for name, value in zip(names[1:], row[1:])}
    return {line[0]: int(line[1]) for line in lines if len(line) == 2}


def _text(name: str) -> str:
    """A file below /proc/net of the namespace that the reading thread is in; empty where the kernel has none."""
    try:
        with open("/proc/thread-self/net/" + name, encoding="ascii") as stream:
            return stream.read()
    except OSError:
        return ""


def _listening(protocol: str) -> list[int]:
    """The ports on which somebody waits, on whichever address but loopback's."""
    ports: set[int] = set()
    for name in SOCKETS[protocol]:
        try:
            with open("/proc/thread-self/net/" + name, encoding="ascii") as stream:
                rows = [line.split() for line in stream.readlines()[1:]]
        except OSError:
            continue
        ports.update(
            int(row[1].rpartition(":")[2], 16)
            for row in rows
            if row[3] == WAITING[protocol] and not _loopback(row[1].rpartition(":")[0])
        )
    return sorted(ports)


def _loopback(address: str) -> bool:
    """Whether an address as /proc/net writes it, in words of the machine's byte order, is loopback's."""
    return address.endswith("7F") if len(address) == 8 else address == "0" * 24 + "01000000"


def _value(path: str) -> int | None:
    try:
        with open("/proc/sys/" + path, encoding="ascii") as stream:
            return int(stream.read())
    except (OSError, ValueError):
        return None


def read_firewall(runner: OvsRunner, namespace: str | None) -> list[Item] | None:
    """The rules of nftables and of both kinds of iptables; None where they cannot be read."""
    enter = ["ip", "netns", "exec", namespace] if namespace else []
    status, out, _err = runner.run([*enter, "nft", "--json", "list", "ruleset"])
    try:
        found = json.loads(out)["nftables"] if status == 0 else None
    except (ValueError, KeyError):
        return None
    _place(runner, enter, found or [])
    for family, (program, names) in LEGACY.items():
        if found is None or not _tables(namespace, names):
            continue
        status, out, _err = runner.run([*enter, program, "--counters"])
        found += legacy.ruleset(out, family) if status == 0 else []
    return found


def _place(runner: OvsRunner, enter: t.Sequence[str], found: t.Sequence[Item]) -> None:
    """Add to chains at interfaces the interfaces, which older nft tell as text alone. One process, where there are such chains."""
    chains = [one["chain"] for one in found if "chain" in one]
    unplaced = [one for one in chains if one["family"] == "netdev" and one.get("hook") and not one.get("dev")]
    if not unplaced:
        return
    status, out, _err = runner.run([*enter, "nft", "list", "ruleset", "netdev"])
    known = devices_of(out) if status == 0 else {}
    for chain in unplaced:
        chain["dev"] = known.get((chain["table"], chain["name"]), [])


def devices_of(text: str) -> dict[tuple[str, str], list[str]]:
    """The interfaces of each chain at interfaces, by table and chain, from `nft list ruleset netdev`."""
    found: dict[tuple[str, str], list[str]] = {}
    table = chain = ""
    for line in text.splitlines():
        words = line.split()
        if words[:2] == ["table", "netdev"]:
            table = words[2]
        elif words[:1] == ["chain"]:
            chain = words[1]
        elif words[:1] == ["type"] and "hook" in words:
            said = _AT.search(line)
            if said:
                found[(table, chain)] = re.findall(r"[^\s,{}=\"]+", said[1])
    return found


def _tables(namespace: str | None, names: str) -> bool:
    """Whether a namespace has tables of iptables-legacy. Listing them by its programs would make them."""
    with inside(namespace):
        try:
            with open("/proc/thread-self/net/" + names, encoding="ascii") as stream:
                return bool(stream.read().strip())
        except OSError:
            return False


def read_units(runner: OvsRunner, units: t.Sequence[str]) -> Item:
    """The states of services of systemd by name; none where systemd does not answer."""
    if not units:
        return {}
    status, out, _err = runner.run(["systemctl", "show", "--property=Id,ActiveState", *units])
    found = [dict(line.partition("=")[::2] for line in part.splitlines()) for part in out.split("\n\n")]
    return {one["Id"]: one.get("ActiveState") for one in found if "Id" in one} if status == 0 else {}


def read_plugs(runner: OvsRunner, plugs: t.Sequence[Item]) -> Item:
    """Whether the NICs of guests are plugged in, as libvirt has it, by the names of their ports; None where it does not say."""
    found: Item = {}
    for plug in plugs:
        status, out, _err = runner.run(["virsh", "-q", "domif-getlink", plug["guest"], plug["port"]])
        found[plug["port"]] = out.split()[-1] if status == 0 and out.split() else None
    return found


def read_switch(runner: OvsRunner, traces: t.Sequence[Item]) -> Item:
    """Bridges and ports as the database has them, and what the switch says it would do with each packet."""
    try:
        database = read_database(runner, ovs_vsctl(None, 10), COLUMNS)
    except FabricError as error:
        return {"error": str(error), "bridges": {}, "traces": {}, "ids": {}}
    bridges = {name: _bridge(database, name) for name in database.tables["Bridge"]}
    root = database.tables["Open_vSwitch"][ROOT]
    ids = root.get("external_ids") or {}
    chassis = {key: value for key, value in ids.items() if key.startswith("ovn-") or key == "system-id"}
    answers = _traces(runner, traces)
    found: Item = {"error": None, "bridges": bridges, "traces": answers, "ids": chassis}
    if any(TRACKS in answer for answer in answers.values()):
        found["tracked"] = _tracked(runner)
        found["zones"] = limits_of(_said(runner, "dpctl/ct-get-limits"))
    found["paused"] = str((root.get("other_config") or {}).get("flow-restore-wait")) == "true"
    found["overridden"] = own_routes(_said(runner, "ovs/route/show"))
    return found


def _said(runner: OvsRunner, question: str) -> str:
    """What the switch answers; empty where it does not."""
    status, out, _err = runner.run(["ovs-appctl", "-T", "10", question])
    return out if status == 0 else ""


def limits_of(text: str) -> Item:
    """How many connections each zone may have, from `dpctl/ct-get-limits`: by zone the limit and the count, of the others the limit alone."""
    found: Item = {}
    for line in text.splitlines():
        said = _LIMIT.search(line)
        if said and int(said[2]):
            found[said[1] or "default"] = [int(said[2]), int(said[3]) if said[3] else None]
    return found


def own_routes(text: str) -> list[Item]:
    """Routes that somebody has given to the switch beside the kernel's, from `ovs/route/show`."""
    found = [_OWN_ROUTE.match(line) for line in text.splitlines()]
    return [{"to": one[1], "dev": one[2], "line": one[0]} for one in found if one]


def _tracked(runner: OvsRunner) -> list[int] | None:
    """How many connections the switch in user space tracks, and how many it can; None where the kernel does it."""
    asked = [runner.run(["ovs-appctl", "-T", "10", f"dpctl/ct-get-{what}"]) for what in ("nconns", "maxconns")]
    if any(status or not out.strip().isdigit() for status, out, _err in asked):
        return None
    return [int(out) for _status, out, _err in asked]


def _traces(runner: OvsRunner, traces: t.Sequence[Item]) -> Item:
    """The switch's answers. One that does not answer at all is not asked again, as each question waits for it."""
    found: Item = {}
    silent = ""
    for one in traces:
        found[one["name"]] = silent or _traced(runner, one)
        if found[one["name"]].startswith("error: ovs-appctl:") and "returned an error" not in found[one["name"]]:
            silent = found[one["name"]]
    return found


def _bridge(database: Database, name: str) -> Item:
    row = database.tables["Bridge"][name]
    return {
        "fail_mode": row.get("fail_mode") or "standalone",
        "datapath_type": row.get("datapath_type") or "system",
        "spanning_tree": next((name for name in ("stp", "rstp") if row.get(f"{name}_enable")), None),
        "ports": {port: _port(database, port) for port in database.ports_of(name)},
    }


def _port(database: Database, name: str) -> Item:
    row = database.tables["Port"][name]
    members = {member: database.tables["Interface"][member] for member in database.members[name]}
    # A bond works as long as one of its members does.
    interface = next((one for one in members.values() if not one.get("error")), database.interface(name))
    return {
        "tag": row.get("tag"),
        "trunks": row.get("trunks") or [],
        "vlan_mode": row.get("vlan_mode"),
        "protected": bool(row.get("protected")),
        "rstp": row.get("rstp_status") or {},
        "type": interface.get("type") or "",
        "options": interface.get("options") or {},
        "ofport": interface.get("ofport"),
        "error": interface.get("error"),
        "iface_id": (interface.get("external_ids") or {}).get("iface-id"),
        "attached_mac": (interface.get("external_ids") or {}).get("attached-mac"),
        "link_state": interface.get("link_state"),
        "mtu": interface.get("mtu"),
        "policing": interface.get("ingress_policing_rate") or 0,
        "members": {member: _member(one) for member, one in members.items()},
    }


def _member(interface: Item) -> Item:
    """The state of a bond's member."""
    return {key: interface.get(key) for key in ("link_state", "lacp_current")}


def _traced(runner: OvsRunner, question: Item) -> str:
    """What ofproto/trace says of a packet; without -generate it sends nothing and learns nothing."""
    # Without a word the switch takes a packet for the first one of a connection.
    state = ["--ct-next", "trk,est,rpl"] * LOOKUPS if question.get("answer") else []
    status, out, err = runner.run(
        ["ovs-appctl", "-T", "10", "ofproto/trace", "--names", question["bridge"], question["flow"], *state]
    )
    said = (err or out).strip()
    if "Alarm clock" in said:
        # The end of -T, in the words of a log.
        said = "ovs-appctl: no answer of ovs-vswitchd in 10 s"
    return out if status == 0 else "error: " + said


def read_controller(runner: OvsRunner) -> str | None:
    """Whether this host's ovn-controller is connected to the databases, in its own words; None where it does not answer."""
    status, out, _err = runner.run(["ovn-appctl", "-T", "10", "-t", "ovn-controller", "connection-status"])
    return out.strip() if status == 0 else None


def read(runner: OvsRunner, options: Item) -> Item:
    """All that was asked for. A namespace that is not there is left out."""
    spaces: dict[str, Item] = {"": {**read_kernel(runner, None), "firewall": read_firewall(runner, None)}}
    for name in options["namespaces"]:
        try:
            spaces[name] = {**read_kernel(runner, name), "firewall": read_firewall(runner, name)}
        except FabricError as error:
            if _exists(name):
                raise FabricError(f"namespace {name} cannot be read: {error}") from error
    found: Item = {"spaces": spaces}
    if options["switch"]:
        found["switch"] = read_switch(runner, options["traces"])
    if options["guests"]:
        found["guests"] = guest_states(runner)
    if options["chassis"]:
        found["controller"] = read_controller(runner)
    if options["logical_traces"]:
        names = {"Logical_Switch_Port": options["switch_ports"], "Logical_Router_Port": options["router_ports"]}
        found["logical"] = read_logical(runner, options["logical_traces"], names, options["logical_routers"])
    found["plugs"] = read_plugs(runner, options["plugs"])
    found["units"] = read_units(runner, options["units"])
    return found


def _exists(namespace: str) -> bool:
    try:
        with inside(namespace):
            return True
    except FabricError:
        return False
