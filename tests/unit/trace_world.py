# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What trace would read on a sound fabric of any plan: made from the plan, so that each way of each intent can be followed without a host.

What switches and OVN answer is made up: they hand a packet to every port and tunnel, or to the logical port that is asked for.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.unset import as_read
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace import logical
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.crossing import inside
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.packet import End
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Route

Item = t.Dict[str, t.Any]


def link(name: str, addresses: t.Iterable[str], mtu: int | None = None, mac: str | None = None) -> Item:
    """An interface that works."""
    known = {"name": name, "mac": mac or f"NIC {name}", "mtu": mtu, "addresses": list(addresses)}
    flags = {"up": True, "carrier": True, "arp": True, "unusable": [], "master": None, "queue": None}
    return {**known, **flags, "received": 9, "sent": 9, "dropped": 0}


def route(to: str, dev: str | None, via: str | None = None, kind: str = "unicast", table: str = "main") -> Item:
    """A route."""
    hops = [{"via": via, "dev": dev}]
    return {
        "to": to,
        "type": kind,
        "table": table,
        "protocol": "x",
        "metric": 0,
        "mtu": None,
        "dead": False,
        "hops": hops,
    }


def space(links: list[Item], routes: list[Item], forwarding: int = 1) -> Item:
    """A network namespace with what the kernel makes of its addresses."""
    made = list(routes)
    for one in links:
        for address in one["addresses"]:
            interface = ipaddress.ip_interface(address)
            made.append(route(str(interface.ip), one["name"], kind="local", table="local"))
            made.append(route(str(interface.network), one["name"]))
    own = {"forwarding": forwarding, "forwarding6": forwarding, "echo_ignored": 0, "echo_ignored6": 0, "ttl": 64}
    per = {name: {"all": 0} for name in ("rp_filter", "forwards", "arp_ignore", "ipv6_off")}
    per["forwards"] = {}
    rest = {"neighbors": [], "rules": [], "rules6": [], "firewall": None, "tx_checksum": {}, "listening": {}}
    return {
        "links": {one["name"]: one for one in links},
        "routes": made,
        **own,
        **per,
        **rest,
        "connections": 1,
        "connections_most": 9,
    }


def port(tag: t.Any = None, **more: t.Any) -> Item:
    """A port of a bridge that works."""
    row = {
        "tag": as_read(tag),
        "trunks": [],
        "vlan_mode": None,
        "protected": False,
        "rstp": {},
        "type": "",
        "options": {},
    }
    state = {
        "ofport": 1,
        "error": None,
        "iface_id": None,
        "link_state": "up",
        "mtu": None,
        "policing": 0,
        "members": {},
    }
    return {**row, **state, **more}


def _rule(one: Item) -> Item:
    """A rule of policy routing."""
    table = "main" if one["table"] == 254 else str(one["table"])
    ends = {"src": one.get("from", "all"), "dst": one.get("to"), "iif": None}
    return {"priority": one["priority"], **ends, "table": table, "action": None, "decided": True}


class World:
    """What would be read of each host of a plan."""

    def __init__(self, plan: Item) -> None:
        self.plan = plan
        self.points = {point["id"]: point for point in plan["endpoints"]}
        self.ends: dict[str, list[End]] = {host: [] for host in plan["hosts"]}
        # Any way knows the place of each endpoint; hosts alone have one, too.
        hosts = [*plan["hosts"], *plan["routers"]]
        self.way = Route.__new__(Route)
        self.way.plan, self.way.segments = plan, {one["name"]: one for one in plan["segments"]}
        for point in plan["endpoints"]:
            # The place of an endpoint alone: a whole route would need a packet, and refuses ways that this world has.
            end = self.way._endpoint(point)  # pylint: disable=protected-access
            self.ends[point["host"]].append(end)
        self.read = {host: self._host(host) for host in dict.fromkeys(hosts)}

    def _host(self, name: str) -> Item:
        host = self.plan["hosts"].get(name)
        spaces = {"": self._own(name, host)}
        if host is None:
            return {"spaces": spaces, "plugs": {}, "units": {}, "frr": {}}
        for namespace in {one["name"]: one for one in host["namespaces"]}:
            spaces[namespace] = self._inside(name, namespace)
        found = {"spaces": spaces, "switch": self._switch(name, host), "plugs": {}, "units": {}, "frr": {}}
        found["guests"] = {end.guest: "running" for end in self.ends[name] if end.guest}
        found["controller"] = "connected"
        if host["ovn_central"]:
            found["logical"] = self._logical(host["ovn_central"]["northbound"])
        return found

    def _own(self, name: str, host: Item | None) -> Item:
        """The host's own namespace."""
        router = self.plan["routers"].get(name) or {}
        routes = [
            route(row["prefix"], hop["interface"] or self._towards(name, hop["address"]), hop["address"])
            for row in router.get("routes", ())
            for hop in row["nexthops"][:1]
        ]
        links = {"lo": link("lo", ())}
        for one in router.get("interfaces", ()):
            links[one["name"]] = link(one["name"], one["addresses"], one.get("mtu"))
        for end in [end for one in self.plan["links"] for end in one["ends"] if end["host"] == name]:
            links.setdefault(end["interface"], link(end["interface"], ()))
        for one in self._ports(host) if host else ():
            links[one["name"]] = link(one["name"], one.get("addresses") or (), as_read(one.get("mtu")))
        for nic in host["underlay"]["nics"] if host else ():
            links.setdefault(nic, link(nic, ()))
        for end in self.ends.get(name, ()):
            links[end.port or ""] = link(end.port or "", ())
        tep = host["underlay"]["tep"] if host else None
        if tep and tep["address"]:
            links.setdefault(tep["name"], link(tep["name"], [tep["address"]]))
        return space(list(links.values()), routes)

    @staticmethod
    def _ports(host: Item) -> list[Item]:
        """The ports of a host's bridges that are interfaces of the kernel."""
        ports = [port for bridge in host["bridges"] for port in bridge.get("ports", ())]
        return [port for port in ports if port.get("type") != "patch"]

    def _towards(self, name: str, address: str) -> str | None:
        """The interface of a host that an address is behind."""
        for cable in self.plan["links"]:
            here = any(inside(address, cable[key]) for key in ("subnet", "subnet6") if cable[key])
            for end in cable["ends"] if here else ():
                if end["host"] == name:
                    return str(end["port"])
        return None

    def _inside(self, host: str, name: str) -> Item:
        """A namespace of endpoints."""
        links, routes, rules = [], [], []
        for one in self.plan["hosts"][host]["namespaces"]:
            if one["name"] != name:
                continue
            end = next(end for end in self.ends[host] if (end.space, end.interface) == (name, one["interface"]))
            point = self.points[end.id]
            addresses = list(one["addresses"])
            if point["dhcp"]:
                addresses.append(f"{point['address']}/{point['prefix']}")
                routes += [route("default", one["interface"], gateway) for gateway in self._gateways(end.segment or "")]
            edge = next((edge for edge in self.plan["edges"] if edge["name"] == point.get("edge")), None)
            if edge and edge["hosts"][0] == host:
                addresses += one["virtual_addresses"]
            links.append(link(one["interface"], addresses, as_read(one["mtu"]), as_read(one["mac"]) or point["mac"]))
            for row in one["routes"]:
                routes.append(route(row["to"], one["interface"], row.get("via"), table=str(row.get("table") or "main")))
            rules += one["rules"]
        found = space([link("lo", ()), *links], routes)
        for key, six in (("rules", False), ("rules6", True)):
            here = [_rule(one) for one in rules if (":" in one["from"]) == six]
            found[key] = [*here, *(_rule({"priority": 32766, "table": 254}) for _any in here[:1])]
        return found

    def _gateways(self, segment: str) -> list[str]:
        """The addresses of edges that are a segment's gateways."""
        legs = [leg for edge in self.plan["edges"] for leg in edge["legs"]]
        return [leg["address"] for leg in legs if leg["segment"] == segment and leg["gateway"]]

    def _switch(self, name: str, host: Item) -> Item:
        bridges: Item = {}
        rows = [*host["bridges"], *({"name": one["bridge"]} for one in host["tunnels"])]
        for bridge in rows:
            ports = {one["name"]: port(one.get("tag")) for one in bridge.get("ports", ())}
            known = {"fail_mode": "secure", "datapath_type": "netdev", "spanning_tree": None, "ports": ports}
            bridges.setdefault(bridge["name"], known)
        underlay = host["underlay"]
        if underlay["bond"]:
            members = {nic: {"link_state": "up", "lacp_current": True} for nic in underlay["nics"]}
            bond = bridges[underlay["bridge"]]["ports"].setdefault(underlay["bond"]["name"], port())
            bond["members"] = members
        for one in host["tunnels"]:
            options = {key: as_read(one.get(key)) for key in ("remote_ip", "local_ip", "key", "dst_port")}
            options = {key: value for key, value in options.items() if value}
            more = {"type": one["type"], "options": options, "protected": one["protected"]}
            bridges[one["bridge"]]["ports"][one["name"]] = port(one["tag"], **more)
        for end in self.ends[name]:
            bridges[end.bridge or ""]["ports"][end.port or ""] = port(
                end.tag, iface_id=self.points[end.id].get("logical_port")
            )
        ids = self._join_ovn(name, host["ovn_chassis"], bridges) if host["ovn_chassis"] else {}
        return {"error": None, "bridges": bridges, "traces": {}, "ids": ids}

    def _join_ovn(self, name: str, chassis: Item, bridges: Item) -> Item:
        """Give the bridges of a chassis the ports that ovn-controller makes; its external_ids."""
        ports = bridges[chassis["bridge"]]["ports"]
        for far, host in self.plan["hosts"].items():
            planned = host["ovn_chassis"]
            if planned and far != name:
                options = {"remote_ip": planned["encapsulation_ip"]}
                ports[f"ovn-{far}"] = port(type=planned["encapsulations"][0], options=options)
        ids = {
            "system-id": chassis["name"],
            "ovn-remote": ",".join(chassis["remotes"]),
            "ovn-encap-type": ",".join(chassis["encapsulations"]),
            "ovn-encap-ip": chassis["encapsulation_ip"],
            "ovn-bridge": chassis["bridge"],
            "ovn-set-local-ip": "true",
        }
        for network, bridge in chassis.get("bridge_mappings", {}).items():
            ids["ovn-bridge-mappings"] = f"{network}:{bridge}"
            for outside in self._outside(network):
                bridges[bridge]["ports"][f"patch-{outside}-to-{chassis['bridge']}"] = port(type="patch")
        return ids

    def _outside(self, network: str) -> list[str]:
        """The logical ports that lead to a provider network."""
        central = [host["ovn_central"] for host in self.plan["hosts"].values() if host["ovn_central"]]
        switches = [switch for one in central for switch in one["northbound"]["switches"]]
        rows = [row for switch in switches for row in switch["ports"]]
        return [row["name"] for row in rows if (row.get("options") or {}).get("network_name") == network]

    def _logical(self, north: Item) -> Item:
        chassis = [one["ovn_chassis"] for one in self.plan["hosts"].values() if one["ovn_chassis"]]
        groups = {one["name"]: one["chassis"][0]["chassis_name"] for one in north["ha_chassis_groups"]}
        ports = {}
        for one in [*north["switches"], *north["routers"]]:
            for row in one["ports"]:
                cells = ("type", "options", "tag", "addresses", "port_security", "mac", "networks")
                kept = {key: row[key] for key in cells if key in row}
                lists = {key: sorted(value) for key, value in kept.items() if isinstance(value, list)}
                ports[row["name"]] = {"name": row["name"], "enabled": None, **kept, **lists}
        return {
            "error": None,
            "northd": True,
            "traces": {},
            "ports": ports,
            "made": {},
            "translations": {one["name"]: one["nat"] for one in north["routers"]},
            "chassis": [{"name": one["name"], "address": one["encapsulation_ip"]} for one in chassis],
            "bindings": [
                {"name": point["logical_port"], "chassis": point["host"]}
                for point in self.plan["endpoints"]
                if point.get("logical_port")
            ]
            + [
                {"name": f"cr-{row['name']}", "chassis": groups[row["ha_chassis_group"]]}
                for one in north["routers"]
                for row in one["ports"]
                if row["ha_chassis_group"]
            ],
        }

    def seen(self, way: Route) -> dict[str, Item]:
        """What is read for a way: the hosts as they are, with answers to what they are asked."""
        found = {}
        for host, asked in way.questions().items():
            read = self.read[host]
            found[host] = dict(read)
            if asked["switch"]:
                found[host]["switch"] = {
                    **read["switch"],
                    "traces": {one["name"]: self._sent(host, one) for one in asked["traces"]},
                }
            if asked["logical_traces"]:
                found[host]["logical"] = {**read["logical"], "traces": self._delivered(way)}
        return found

    def _sent(self, host: str, question: Item) -> str:
        """An answer of the switch: out by every port and tunnel of the bridge."""
        bridges = self.read[host]["switch"]["bridges"]
        ports = {name: one for bridge in bridges.values() for name, one in bridge["ports"].items()}
        tunnels = [one["options"]["remote_ip"] for one in ports.values() if "remote_ip" in one["options"]]
        pushed = [f"set(tunnel(dst={remote},flags(df)))" for remote in tunnels]
        actions = ",".join([*pushed, *ports])
        head = f'bridge("{question["bridge"]}")\n---\n 0. priority 0\n    NORMAL\n\n'
        return f"{head}Final flow: unchanged\nMegaflow: x\nDatapath actions: {actions}\n"

    @staticmethod
    def _delivered(way: Route) -> Item:
        """Answers of OVN: to the port of the target."""
        found = {}
        for leg in [leg for one in way.alternatives() for leg in one.legs]:
            for one in (leg, leg.reversed()):
                if one.logical:
                    target = logical.goal(one)
                    step = 'ingress(dp="x", inport="y")\n---\n 0. ls_in_l2_lkup (x): 1, priority 50, uuid 00000000\n'
                    found[one.trace_name(None)] = f'{step}    /* output to "{target}", type "" */\n'
        if way.turn:
            into, target = way.inner(), logical.port_of(way.plan, way.turn.source.id)
            made = f"{into.packet.target}:{into.packet.port}" if into.packet.original else into.packet.target
            step = f'ingress(dp="x", inport="y")\n---\n 7. lr_in_dnat (x): 1, priority 50, uuid 00000000\n    {{}}({made});\n'
            step = step.format("ct_lb_mark" if into.packet.original else "ct_dnat_in_czone")
            step = step.replace("ct_lb_mark(", "ct_lb_mark(backends=")
            found[way.trace_name(None)] = f'{step}    /* output to "{target}", type "" */\n'
        return found
