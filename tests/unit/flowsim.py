# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small pure switch: what becomes of a frame in the flows of a plan, on all of its hosts.

It knows just what the pipeline uses, and raises KeyError or ValueError for anything else. That it agrees with Open vSwitch is what
tests/integration/test_flows.py is for.
"""

from __future__ import annotations

import ipaddress
import re

MOST_TUNNELS = 10

# Names that Open vSwitch has for one field.
FIELDS = {
    "NXM_OF_ETH_SRC[]": "dl_src",
    "NXM_OF_ETH_DST[]": "dl_dst",
    "OXM_OF_PKT_REG1[0..47]": "xreg1",
    "NXM_NX_REG1[]": "reg1",
    "NXM_NX_ARP_SHA[]": "arp_sha",
    "NXM_NX_ARP_THA[]": "arp_tha",
    "NXM_OF_ARP_SPA[]": "arp_spa",
    "NXM_OF_ARP_TPA[]": "arp_tpa",
    "NXM_NX_IPV6_SRC[]": "ipv6_src",
    "NXM_NX_IPV6_DST[]": "ipv6_dst",
    "NXM_NX_ND_TARGET[]": "nd_target",
    "NXM_NX_ND_TLL[]": "nd_tll",
    "icmpv6_type": "icmp_type",
    "OXM_OF_METADATA[]": "metadata",
    "NXM_NX_TUN_ID[]": "tun_id",
}
LEARNED = (
    r"learn\(table=51,idle_timeout=300,cookie=(0x[0-9a-f]+),delete_learned,limit=2048,OXM_OF_METADATA\[\],NXM_OF_ETH_DST\[\]=NXM_OF_ETH_SRC\[\],"
    r"load:NXM_OF_IN_PORT\[\]->NXM_NX_REG2\[0..15\],load:(0x[12])->NXM_NX_REG3\[\]\)"
)
# What a protocol is besides: a match of ip takes each that is IPv4.
PROTOCOLS = {
    "arp": set(),
    "ip": set(),
    "ipv6": set(),
    **{name: {"ip"} for name in ("icmp", "tcp", "udp")},
    **{f"{name}6": {"ipv6"} for name in ("icmp", "tcp", "udp")},
}
PREFIXES = {"nw_src": 32, "nw_dst": 32, "ipv6_src": 128, "ipv6_dst": 128, "nd_target": 128}


def number(text):
    """A value as ovs-ofctl writes it, as a number; other text, a port's name, as it is."""
    text = text.strip('"')
    if re.fullmatch("([0-9a-f]{2}:){5}[0-9a-f]{2}", text):
        return int(text.replace(":", ""), 16)
    if re.fullmatch(r"[0-9.]+\.[0-9.]+|[0-9a-f]*:[0-9a-f:]*", text):
        return int(ipaddress.ip_address(text))
    return int(text, 0) if re.fullmatch("0x[0-9a-f]+|[0-9]+", text) else text


def mask_of(field, text):
    if "/" not in text:
        return None
    value, bits = text.partition("/")[2], PREFIXES.get(field)
    return (2**bits - 1) ^ (2 ** (bits - int(value)) - 1) if bits else number(value)


def state_of(text):
    """The wanted flags of ct_state, each with whether it must be set: +new+trk."""
    return {name: sign == "+" for sign, name in re.findall(r"([+-])([a-z]+)", text)}


class Flow:
    """One flow, parsed."""

    def __init__(self, text):
        head, _sign, actions = text.partition(",actions=")
        self.text, self.table, self.priority, self.protocol, self.match = text, 0, 32768, None, []
        self.state, self.conj_id, self.cookie = {}, None, 0
        for part in head.split(","):
            field, equals, value = part.partition("=")
            if field in ("table", "priority", "conj_id", "cookie"):
                setattr(self, field, int(value, 0))
            elif field == "ct_state":
                self.state = state_of(value)
            elif not equals:
                assert field in PROTOCOLS, field
                self.protocol = field
            else:
                self.match.append((field, number(value.partition("/")[0]), mask_of(field, value)))
        self.actions = re.findall(r"(?:[^,(]|\([^)]*\))+", actions)
        # The rules that it is a part of: number, part of how many.
        self.parts = [tuple(map(int, found)) for found in re.findall(r"conjunction\((\d+),(\d+)/(\d+)\)", actions)]

    def holds(self, frame):
        sent = frame.get("protocol")
        if self.protocol and sent != self.protocol and self.protocol not in PROTOCOLS.get(sent, ()):
            return False
        if any((name in frame.get("ct_state", ())) != wanted for name, wanted in self.state.items()):
            return False
        for field, value, mask in self.match:
            seen = frame.get(field, 0)
            if seen != value if mask is None else seen & mask != value & mask:
                return False
        return True


class Bridge:
    """One bridge's tables."""

    def __init__(self, flows):
        self.tables = {}
        for flow in map(Flow, flows):
            self.tables.setdefault(flow.table, []).append(flow)
        for table in self.tables.values():
            table.sort(key=lambda flow: -flow.priority)
        self.learned = {}
        # Connections: zone, protocol, and (address, port) of both ends. decided: the cookies of flows that a frame met last.
        self.connections = set()
        self.decided = []

    def _found(self, table, frame):
        """The flow of a table that takes a frame: a rule of several parts stands at the priority of its parts (ovs-fields(7))."""
        holding = [flow for flow in self.tables.get(table, ()) if flow.holds(frame)]
        for priority in sorted({flow.priority for flow in holding}, reverse=True):
            here = [flow for flow in holding if flow.priority == priority]
            parts = {}
            for number_, part, count in [one for flow in here for one in flow.parts]:
                parts.setdefault((number_, count), set()).add(part)
            whole = {number_ for (number_, count), met in parts.items() if len(met) == count}
            whole_flows = [flow for flow in here if flow.conj_id in whole]
            found = [flow for flow in here if flow.conj_id is None and not flow.parts] + whole_flows
            assert len(found) < 2, f"two flows of one priority hold: {found[0].text} and {found[1].text}"
            if found:
                return found[0]
        return None

    def run(self, frame):
        """What leaves the bridge: (port, frame) of each copy."""
        frame, table, out = dict(frame), 0, []
        self.decided = []
        while table is not None:
            flow = self._found(table, frame)
            if flow is None:
                return out
            self.decided.append(flow.cookie)
            following = None
            for action in flow.actions:
                if action.startswith("ct("):
                    following = self._track(action, frame)
                elif action.startswith("goto_table:"):
                    following = int(action.partition(":")[2])
                    assert following > table
                else:
                    out += self._sent(action, frame)
            table = following
        return out

    def _sent(self, action, frame):
        """Do one action; the copies that it sends."""
        word, _colon, argument = action.partition(":")
        if word == "output":
            port = frame["reg2"] if argument == "NXM_NX_REG2[0..15]" else argument.strip('"')
            return [(port, dict(frame))] if port != frame["in_port"] else []
        if word == "in_port":
            return [(frame["in_port"], dict(frame))]
        if word.startswith("learn("):
            self._learn(action, frame)
        elif action == "resubmit(,51)":
            frame.update(self.learned.get((frame["metadata"], frame["dl_dst"]), {}))
        elif word == "set_field":
            value, _arrow, field = argument.partition("->")
            frame[FIELDS.get(field, field)] = number(value)
        elif word == "move":
            source, _arrow, target = argument.partition("->")
            frame[FIELDS[target]] = frame.get(FIELDS[source], 0)
        else:
            assert word == "drop", action
        return []

    def _track(self, action, frame):
        """Look a packet's connection up, and go on in a table; or remember the connection."""
        commit, zone, table = re.fullmatch(r"ct\((commit,)?zone=(\d+)(?:,table=(\d+))?\)", action).groups()
        source, target = (
            (frame.get(f"nw_{end}", frame.get(f"ipv6_{end}")), frame.get(f"tp_{end}", 0)) for end in ("src", "dst")
        )
        tuple_ = (zone, frame["protocol"], source, target)
        answer = (zone, frame["protocol"], target, source)
        if commit:
            self.connections.add(tuple_)
            return None
        known = "est" if tuple_ in self.connections else None
        frame["ct_state"] = {"trk", *(("est", "rpl") if answer in self.connections else (known or "new",))}
        return int(table)

    def _learn(self, action, frame):
        cookie, where = re.fullmatch(LEARNED, action).groups()
        assert number(cookie) == frame["metadata"]
        self.learned[frame["metadata"], frame["dl_src"]] = {"reg2": frame["in_port"], "reg3": number(where)}


class Fabric:
    """All bridges by key of a plan, and the tunnels between them."""

    def __init__(self, plan):
        host_of = {tep["address"]: tep["host"] for tep in plan["teps"]}
        self.bridges = {}
        for name, host in plan["hosts"].items():
            for entry in host["flows"]:
                self.bridges[name, entry["bridge"]] = Bridge([flow["flow"] for flow in entry["flows"]])
        ends = {
            (name, tunnel["bridge"], host_of[tunnel["remote_ip"]]): tunnel["name"]
            for name, host in plan["hosts"].items()
            for tunnel in host["tunnels"]
        }
        self.far = {
            (name, port): (peer, bridge, ends[peer, bridge, name]) for (name, bridge, peer), port in ends.items()
        }
        self.port = {
            (name, space["name"]): (space["bridge"], space["outer"])
            for name, host in plan["hosts"].items()
            for space in host["namespaces"]
        }
        # An edge is one namespace with several interfaces, each an endpoint.
        for point in (point for point in plan["endpoints"] if point.get("edge")):
            spaces = plan["hosts"][point["host"]]["namespaces"]
            outer = next(s for s in spaces if (s["name"], s["interface"]) == (point["edge"], point["interface"]))
            self.port[point["host"], point["name"]] = (outer["bridge"], outer["outer"])
        self.wires = {}
        for name, host in plan["hosts"].items():
            self._cables(name, host)
        self.endpoint = {(name, port): f"{name}/{space}" for (name, space), (_bridge, port) in self.port.items()}
        self.endpoint.update({(name, port): f"{name}//{vlan}" for (name, vlan), (_bridge, port) in self.wires.items()})

    def _cables(self, name, host):
        """Where what is plugged in at the other end of a cable comes in: guests by name, all else by the VLAN of its plug bridge."""
        ends = {
            port["name"]: (bridge["name"], port)
            for bridge in host["bridges"]
            for port in bridge.get("ports", ())
            if port.get("type") == "patch"
        }
        wires = {(bridge, port["tag"]): ends[port["peer"]] for bridge, port in ends.values() if port["tag"]}
        assert 2 * len(wires) == len(ends) and all(
            ends[port["peer"]][1]["peer"] == end for end, (_bridge, port) in ends.items()
        )
        plugs = {bridge for bridge, _vlan in wires}
        for guest in host["guests"]:
            for number_, nic in enumerate(guest["domain"]["nics"]):
                network = next(network for network in host["networks"] if network["name"] == nic["network"])
                if network["bridge"] in plugs:
                    vlan = next(group["vlan"] for group in network["portgroups"] if group["name"] == nic["portgroup"])
                    bridge, port = wires.pop((network["bridge"], vlan))
                    self.port[name, guest["name"] + f"#{number_}" * bool(number_)] = (bridge, port["name"])
        self.wires.update({(name, vlan): (bridge, port["name"]) for (_plug, vlan), (bridge, port) in wires.items()})

    def forget(self):
        """Forget all connections."""
        for bridge in self.bridges.values():
            bridge.connections.clear()
            bridge.decided = []

    def send(self, point, **frame):
        """What arrives of a frame that an endpoint sends: [(endpoint, frame)], and the hosts that saw it."""
        bridge, port = self.port[point["host"], point["name"]]
        return self.put(point["host"], bridge, port, {"dl_src": point["mac"], **frame})

    def plug(self, host, vlan, **frame):
        """Likewise of a frame that somebody sends into the wire of a segment that learns."""
        return self.put(host, *self.wires[host, vlan], frame)

    def put(self, host, bridge, port, frame):
        """Likewise of a frame that comes in by a port."""
        frame = {
            key: number(value) if isinstance(value, str) and key != "protocol" else value
            for key, value in frame.items()
        }
        queue = [(host, bridge, {**frame, "in_port": port}, 0)]
        arrived, hosts = [], set()
        while queue:
            host, bridge, frame, crossed = queue.pop()
            assert crossed <= MOST_TUNNELS, "the frame circles"
            hosts.add(host)
            for out, copy in self.bridges[host, bridge].run(frame):
                if (host, out) in self.far:
                    peer, there, into = self.far[host, out]
                    # Only the packet and its key travel: registers and metadata do not.
                    kept = {
                        key: value
                        for key, value in copy.items()
                        if not key.startswith(("reg", "xreg", "metadata", "ct_"))
                    }
                    queue.append((peer, there, {**kept, "in_port": into}, crossed + 1))
                else:
                    arrived.append((self.endpoint[host, out], copy))
        return arrived, hosts
