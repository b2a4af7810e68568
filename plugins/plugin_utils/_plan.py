# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan: from the intent of all hosts to what each host gets. Pure: plain data in, plain data out.

This file is private to the collection.
"""
from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns_veth import default_outer
from ansible_collections.overloom.fabric.plugins.plugin_utils import _plan_addresses as addresses
from ansible_collections.overloom.fabric.plugins.plugin_utils import _plan_mesh as mesh
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent import (
    DST_PORTS,
    IPV6_MIN_MTU,
    RESULTS,
    Endpoint,
    Intent,
    Overlay,
    Segment,
    check_names,
    check_others,
    load,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan_mtu import overhead, spelled
from ansible_collections.overloom.fabric.plugins.plugin_utils._spec import INVALID, PlanError, suggest, word

# The bridge of segments that no overlay carries.
LOCAL_BRIDGE = "br-int"

Plan = t.Dict[str, t.Any]


def compile_plan(
    hosts: dict[str, dict[str, t.Any]],
    spec: dict[str, t.Any],
    others: dict[str, dict[str, t.Any]] | None = None,
    lab: t.Collection[str] = (),
) -> Plan:
    """The plan of the whole fabric.

    hosts: the hosts of the fabric, name to variables: plain data, templates resolved.
    spec: the options of roles/plan/meta/argument_specs.yml.
    others: the hosts of the inventory that are not in the fabric, likewise, to find misplaced variables.
    lab: the variables of the lab, which are the role lab's concern; here only their names are checked.
    Raises PlanError with all that is wrong, one sentence each. The order of the hosts means nothing.
    """
    problems: list[str] = []
    if not hosts:
        raise PlanError(["The group kvm_hosts has no host; put the fabric's hosts into it."])
    others = others or {}
    check_names({**others, **hosts}, "fabric_", {*spec, *RESULTS}, problems)
    if lab:
        check_names({**others, **hosts}, "lab_", lab, problems)
    check_others(others, problems)
    compiler = _Compiler(load(hosts, spec, problems), problems)
    if problems:
        raise PlanError(problems)
    return compiler.plan()


class _Compiler:
    """All derived values, each settled once; what is wrong goes to problems, and no value hangs on a refused one."""

    def __init__(self, intent: Intent, problems: list[str]) -> None:
        self.intent = intent
        self.problems = problems
        self.overlays = {overlay.name: overlay for overlay in intent.overlays}
        self.segments = {segment.name: segment for segment in intent.segments}
        self.ids = addresses.host_ids(intent, problems)
        self.order = sorted(intent.hosts, key=lambda name: (self.ids[name].value or 0, name))
        self.teps = addresses.teps(intent, self.ids, problems)
        self._resolve_overlays()
        self.edges = {name: mesh.edges(o, self.order, problems) for name, o in self.overlays.items() if o.topology}
        self.guards = {name: mesh.guard(self.overlays[name], pairs, problems) for name, pairs in self.edges.items()}
        self.mtus = {name: self._mtu(segment) for name, segment in self.segments.items()}
        self._check_endpoints()
        self.addressed = addresses.endpoints(intent, self.segments, self.ids, problems)
        self._check_networks()
        self._check_vlans()
        self._check_bridges()
        self._check_keys()
        self._check_reach()
        self._check_interfaces()

    # What segments and overlays are to each other

    def _resolve_overlays(self) -> None:
        """The overlay of each segment that does not name one."""
        sure = "fabric_overlays" not in self.intent.refused
        for segment in self.segments.values():
            where, named = f"{segment.where}.overlay", segment.overlay
            if named is INVALID or named in self.overlays:
                continue
            if named is None and not self.overlays and sure:
                continue
            segment.overlay = INVALID
            if not sure:
                continue
            if named is not None:
                ending = suggest(named, self.overlays) if self.overlays else "; fabric_overlays is empty."
                self.problems.append(f"{where} {word(named)} is no overlay{ending}")
            elif len(self.overlays) == 1:
                segment.overlay = next(iter(self.overlays))
            else:
                self.problems.append(f"{where} is missing; there are several overlays, so name one: {', '.join(self.overlays)}.")

    def _bridge(self, segment: Segment) -> str | t.Any:
        """The bridge that a segment's endpoints are plugged into."""
        if segment.overlay is None:
            return LOCAL_BRIDGE
        return self.overlays[segment.overlay].bridge if segment.overlay else INVALID

    def _carried(self) -> dict[str, list[Segment]]:
        """The segments of each overlay."""
        result: dict[str, list[Segment]] = {name: [] for name in self.overlays}
        for segment in self.segments.values():
            if segment.overlay:
                result[segment.overlay].append(segment)
        return result

    def _mtu(self, segment: Segment) -> addresses.Value:
        """The segment's MTU: as given, else the largest that fits."""
        underlay = self.intent.underlay
        unknown = addresses.Value(INVALID, "")
        if not (underlay.mtu and segment.subnet) or segment.mtu is INVALID or segment.vlan is INVALID:
            return unknown
        if segment.overlay is None:
            largest, how = underlay.mtu, f"underlay {underlay.mtu}, as the segment is local"
            if segment.mtu:
                return addresses.Value(segment.mtu, f"given: {segment.where}.mtu")
        else:
            overlay = self.overlays[segment.overlay] if segment.overlay else None
            if not (overlay and overlay.encapsulation and underlay.subnet) or overlay.key is INVALID:
                return unknown
            parts = overhead(
                overlay.encapsulation,
                underlay.subnet.version,
                overlay.key is not None,
                bool(overlay.options["csum"]),
                segment.vlan is not None,
            )
            largest, how = underlay.mtu - sum(size for _what, size in parts), spelled(underlay.mtu, parts)
        six = segment.subnet.version == 6 or segment.subnet6
        if segment.mtu and segment.mtu > largest:
            self.problems.append(
                f"{segment.where}.mtu {segment.mtu} does not fit; at most {largest} = {how}: lower it, leave it out, or raise fabric_underlay.mtu."
            )
            return unknown
        if segment.mtu:
            return addresses.Value(segment.mtu, f"given: {segment.where}.mtu")
        least = IPV6_MIN_MTU if six else 68
        if largest < least:
            self.problems.append(
                f"{segment.where} gets the MTU {largest} = {how}, but IPv{6 if six else 4} needs {least}; raise fabric_underlay.mtu."
            )
            return unknown
        return addresses.Value(largest, f"derived: {how}")

    # What must not be

    def _check_endpoints(self) -> None:
        """Each endpoint's segment exists, and its routes leave through it."""
        for endpoint in self._endpoints():
            if endpoint.segment is INVALID:
                continue
            segment = self.segments.get(endpoint.segment)
            if segment is None:
                if "fabric_segments" not in self.intent.refused:
                    self.problems.append(
                        f"{endpoint.where}.segment {word(endpoint.segment)} is no segment{suggest(endpoint.segment, self.segments)}"
                    )
                continue
            nets = [net for net in (segment.subnet, segment.subnet6) if net]
            if segment.subnet is INVALID or segment.subnet6 is INVALID:
                continue
            for route in endpoint.routes:
                if not any(addresses.contains(net, route["via"]) for net in nets):
                    self.problems.append(
                        f"{endpoint.where}.routes to {route['to']} goes via {route['via']}, which is not on segment {segment.name}"
                        f" ({', '.join(map(str, nets))}); give a next hop there."
                    )

    def _check_networks(self) -> None:
        """No two networks share an address."""
        networks = []
        for segment in self.segments.values():
            networks += [(net, f"{segment.where}.{option}") for option in ("subnet", "subnet6") if (net := getattr(segment, option))]
        if self.intent.underlay.subnet:
            networks.append((self.intent.underlay.subnet, "fabric_underlay.subnet"))
        addresses.overlaps(networks, self.problems)

    def _check_vlans(self) -> None:
        """A VLAN of a bridge is one segment, and so is the untagged traffic."""
        seen: dict[tuple[str, int | None], Segment] = {}
        for segment in self.segments.values():
            bridge = self._bridge(segment)
            if not bridge or segment.vlan is INVALID:
                continue
            other = seen.setdefault((bridge, segment.vlan), segment)
            if other is not segment:
                what = "are both untagged" if segment.vlan is None else f"both have VLAN {segment.vlan}"
                self.problems.append(f"{other.where} and {segment.where} {what} on bridge {bridge}; give one of them another vlan.")

    def _check_bridges(self) -> None:
        """Overlays that share a bridge stay apart by their VLANs, which RSTP does not know."""
        carried = self._carried()
        by_bridge: dict[str, list[Overlay]] = {}
        for overlay in self.overlays.values():
            if overlay.bridge:
                by_bridge.setdefault(overlay.bridge, []).append(overlay)
        for bridge, sharing in by_bridge.items():
            if bridge == self.intent.underlay.bridge:
                self.problems.append(f"{sharing[0].where}.bridge {bridge} is the underlay's bridge too; give the overlay its own.")
            if len(sharing) < 2:
                continue
            for overlay in sharing:
                others = ", ".join(o.name for o in sharing if o is not overlay)
                if self.guards.get(overlay.name, ("", ""))[0] == "rstp":
                    self.problems.append(
                        f"{overlay.where}.bridge {bridge} is shared with {others}, but RSTP needs a bridge of its own; give it another bridge."
                    )
                if not carried[overlay.name] and all(s.overlay is not INVALID for s in self.segments.values()):
                    self.problems.append(
                        f"{overlay.where} has no segment, but shares bridge {bridge} with {others};"
                        " give it a segment or another bridge, or leave it out."
                    )

    def _check_keys(self) -> None:
        """Open vSwitch tells tunnels between the same two endpoints apart by protocol, key and port alone."""
        seen: dict[tuple[t.Any, ...], Overlay] = {}
        told = set()
        for name, pairs in self.edges.items():
            overlay = self.overlays[name]
            port = overlay.options["dst_port"] or DST_PORTS.get(overlay.encapsulation)
            if INVALID in (overlay.encapsulation, overlay.key, port):
                continue
            for pair in pairs:
                other = seen.setdefault((frozenset(pair), overlay.encapsulation, overlay.key, port), overlay)
                if other is not overlay and (other.name, name) not in told:
                    told.add((other.name, name))
                    what = "no key" if overlay.key is None else f"the key {overlay.key}"
                    self.problems.append(
                        f"{other.where} and {overlay.where} are both {overlay.encapsulation} with {what} between {pair[0]} and {pair[1]};"
                        " give one of them another key."
                    )

    def _check_reach(self) -> None:
        """All hosts with endpoints of a segment are joined by its overlay."""
        users: dict[str, dict[str, None]] = {}
        for endpoint in self._endpoints():
            if endpoint.segment in self.segments:
                users.setdefault(endpoint.segment, {})[endpoint.host] = None
        joined = {name: mesh.components(self.order, pairs) for name, pairs in self.edges.items()}
        for name, hosts in users.items():
            segment = self.segments[name]
            first = next(iter(hosts))
            if segment.overlay is None and len(hosts) > 1:
                self.problems.append(
                    f"{segment.where} has endpoints on {', '.join(hosts)}, but fabric_overlays is empty, so nothing joins them; add an overlay."
                )
            elif segment.overlay in joined and INVALID not in (self.overlays[segment.overlay].hubs, self.overlays[segment.overlay].links):
                part = joined[segment.overlay]
                for host in hosts:
                    if part[host] != part[first]:
                        self.problems.append(
                            f"{segment.where} has endpoints on {first} and {host}, but overlay {segment.overlay} does not join"
                            " these hosts; add a tunnel, or take another topology."
                        )
                        break

    def _check_interfaces(self) -> None:
        """Each name on a host, and in a namespace, is one thing."""
        underlay = self.intent.underlay
        bridges = {o.bridge: f"{o.where}.bridge" for o in self.overlays.values() if o.bridge}
        told = set()
        for name, host in self.intent.hosts.items():
            taken: dict[str, str] = {}
            nic = host.interface if host.interface is not None else underlay.interface
            things = [(underlay.bridge, "fabric_underlay.bridge"), (nic, "the underlay's NIC"), (underlay.tep, "fabric_underlay.tep")]
            things += [item for item in bridges.items() if item[0] != underlay.bridge]
            for overlay, pairs in self.edges.items():
                for pair in pairs:
                    if name in pair:
                        peer = pair[1] if pair[0] == name else pair[0]
                        things.append((mesh.tunnel_name(overlay, peer), f"the tunnel of {overlay} to {peer}"))
            things += [(default_outer(e.name, e.interface), f"the outer end of {e.id}") for e in host.endpoints if e.interface]
            for thing, what in things:
                clash = taken.setdefault(thing, what) if thing else what
                if clash != what and (clash, what) not in told:
                    told.add((clash, what))
                    self.problems.append(f"{name}: the name {thing} is both {clash} and {what}; rename one of them.")
        for endpoint in self._endpoints():
            if endpoint.interface == "lo":
                self.problems.append(f"{endpoint.where}.interface lo is the loopback; take another name.")

    # The plan

    def _endpoints(self) -> list[Endpoint]:
        return [endpoint for host in self.intent.hosts.values() for endpoint in host.endpoints]

    def plan(self) -> Plan:
        """All values as plain data; only when there are no problems."""
        intent, underlay = self.intent, self.intent.underlay
        self.sources: dict[str, str] = {}
        self._state("fabric", "fabric_name")
        for option in ("subnet", "mtu", "bridge", "interface", "tep", "vlan"):
            self._state(f"underlay.{option}", f"fabric_underlay.{option}")
        overlays = [self._overlay(overlay) for overlay in self.overlays.values()]
        segments = [self._segment(segment) for segment in self.segments.values()]
        hosts = {name: self._host(name) for name in self.order}
        endpoints = [self._endpoint(e) for name in self.order for e in intent.hosts[name].endpoints]
        self._fill(hosts)
        return {
            "fabric": intent.name,
            "underlay": {
                "subnet": str(underlay.subnet),
                "mtu": underlay.mtu,
                "bridge": underlay.bridge,
                "interface": underlay.interface,
                "tep": underlay.tep,
                "vlan": underlay.vlan,
            },
            "hosts": hosts,
            "overlays": overlays,
            "segments": segments,
            "endpoints": endpoints,
            "teps": [{"host": name, "address": str(self.teps[name].value), "mtu": underlay.mtu} for name in self.order],
            "sources": self.sources,
        }

    def _state(self, key: str, *places: str) -> None:
        """Note whether the value at key was given, at one of the places, or is the default."""
        place = next((place for place in places if place in self.intent.given), None)
        self.sources[key] = f"given: {place}" if place else "default"

    def _overlay(self, overlay: Overlay) -> Plan:
        guard, why = self.guards[overlay.name]
        for option in ("name", "encapsulation", "topology", "bridge", "key"):
            self._state(f"overlays.{overlay.name}.{option}", f"{overlay.where}.{option}")
        self.sources[f"overlays.{overlay.name}.loop_guard"] = why
        return {
            "name": overlay.name,
            "encapsulation": overlay.encapsulation,
            "topology": overlay.topology,
            "bridge": overlay.bridge,
            "key": overlay.key,
            "loop_guard": guard,
            "tunnels": [list(pair) for pair in self.edges[overlay.name]],
            **{name: value for name, value in overlay.options.items() if value is not None},
        }

    def _segment(self, segment: Segment) -> Plan:
        key = f"segments.{segment.name}"
        for option in ("vlan", "subnet", "subnet6"):
            self._state(f"{key}.{option}", f"{segment.where}.{option}")
        self._state(f"{key}.overlay", f"{segment.where}.overlay")
        if self.sources[f"{key}.overlay"] == "default":
            self.sources[f"{key}.overlay"] = "derived: the only overlay" if segment.overlay else "derived: no overlay"
        self.sources[f"{key}.mtu"] = self.mtus[segment.name].source
        return {
            "name": segment.name,
            "vlan": segment.vlan,
            "subnet": str(segment.subnet),
            "subnet6": str(segment.subnet6) if segment.subnet6 else None,
            "mtu": self.mtus[segment.name].value,
            "overlay": segment.overlay,
            "bridge": self._bridge(segment),
            "encapsulation": self.overlays[segment.overlay].encapsulation if segment.overlay else None,
        }

    def _endpoint(self, endpoint: Endpoint) -> Plan:
        segment, addressed = self.segments[endpoint.segment], self.addressed[endpoint.id]
        key = f"endpoints.{endpoint.id}"
        self._state(f"{key}.kind", f"{endpoint.where}.kind")
        self._state(f"{key}.interface", f"{endpoint.where}.interface")
        self.sources[f"{key}.mtu"] = f"derived: MTU of segment {segment.name}"
        for option in ("address", "address6", "mac"):
            value = getattr(addressed, option)
            if value.value is not None:
                self.sources[f"{key}.{option}"] = value.source
        six = addressed.address6.value
        return {
            "id": endpoint.id,
            "name": endpoint.name,
            "host": endpoint.host,
            "kind": endpoint.kind,
            "segment": segment.name,
            "address": str(addressed.address.value),
            "prefix": segment.subnet.prefixlen,
            "address6": str(six) if six else None,
            "prefix6": segment.subnet6.prefixlen if six else None,
            "mac": addressed.mac.value,
            "interface": endpoint.interface,
            "mtu": self.mtus[segment.name].value,
        }

    def _host(self, name: str) -> Plan:
        """A host without bridges, tunnels and endpoints."""
        host, underlay = self.intent.hosts[name], self.intent.underlay
        key = f"hosts.{name}"
        self.sources[f"{key}.id"] = self.ids[name].source
        self.sources[f"{key}.underlay.tep.address"] = self.teps[name].source
        self._state(f"{key}.underlay.interface", f"{name}: fabric_underlay_interface", "fabric_underlay.interface")
        return {
            "id": self.ids[name].value,
            "owner": self.intent.name,
            "underlay": {
                "bridge": underlay.bridge,
                "interface": underlay.interface if host.interface is None else host.interface,
                "mtu": underlay.mtu,
                "tep": {
                    "name": underlay.tep,
                    "address": addresses.with_prefix(self.teps[name].value, underlay.subnet),
                    "vlan": underlay.vlan,
                },
            },
            "bridges": [],
            "tunnels": [],
            "namespaces": [],
        }

    def _fill(self, hosts: dict[str, Plan]) -> None:
        """The items for the modules."""
        carried = self._carried()
        self.carried_by: dict[str, list[int]] = {overlay.bridge: [] for overlay in self.overlays.values()}
        for segment in self.segments.values():
            self.carried_by.setdefault(self._bridge(segment), []).append(segment.vlan or 0)
        users: dict[str, dict[str, bool]] = {name: {} for name in hosts}
        for overlay in self.overlays.values():
            rstp = self.guards[overlay.name][0] == "rstp"
            common = self._tunnel_options(overlay, carried)
            for pair in self.edges[overlay.name]:
                for name, peer in (pair, pair[::-1]):
                    users[name][overlay.bridge] = rstp
                    hosts[name]["tunnels"].append({
                        "bridge": overlay.bridge,
                        "name": mesh.tunnel_name(overlay.name, peer),
                        "type": overlay.encapsulation,
                        "local_ip": str(self.teps[name].value),
                        "remote_ip": str(self.teps[peer].value),
                        **common,
                    })
        for endpoint in self._endpoints():
            segment, host = self.segments[endpoint.segment], hosts[endpoint.host]
            users[endpoint.host].setdefault(self._bridge(segment), False)
            host["namespaces"].append(self._namespace(endpoint, segment))
        for name, host in hosts.items():
            host["bridges"].append(self._underlay_bridge(host["underlay"]))
            host["bridges"] += [{"name": bridge, "rstp": rstp} for bridge, rstp in users[name].items()]

    def _trunks(self, bridge: str, vlans: list[int]) -> list[int]:
        """The trunk list of a port; empty on a bridge that has just the one untagged segment, where all may pass."""
        return [] if self.carried_by[bridge] == [0] else vlans

    def _tunnel_options(self, overlay: Overlay, carried: dict[str, list[Segment]]) -> Plan:
        """What all tunnels of an overlay have in common."""
        options = overlay.options
        # All that the intent governs is stated, with an empty value where it says nothing: what is taken out of the
        # intent is then taken off the tunnels.
        return {
            "key": _or_clear(overlay.key),
            "dst_port": _or_clear(options["dst_port"]),
            "csum": bool(options["csum"]),
            "ttl": _or_clear(options["ttl"]),
            "tos": _or_clear(options["tos"]),
            "df_default": options["df_default"] is not False,
            "bfd": options["bfd"] or {},
            "tag": "",
            "vlan_mode": "",
            "trunks": self._trunks(overlay.bridge, sorted(segment.vlan or 0 for segment in carried[overlay.name])),
            "protected": self.guards[overlay.name][0] == "split_horizon",
        }

    def _namespace(self, endpoint: Endpoint, segment: Segment) -> Plan:
        addressed = self.addressed[endpoint.id]
        pairs = ((addressed.address.value, segment.subnet), (addressed.address6.value, segment.subnet6))
        return {
            "name": endpoint.name,
            "interface": endpoint.interface,
            "outer": default_outer(endpoint.name, endpoint.interface),
            "bridge": self._bridge(segment),
            "tag": _or_clear(segment.vlan),
            # An access port needs none; a port of untagged frames would otherwise carry all VLANs of its bridge.
            "trunks": self._trunks(self._bridge(segment), [0]) if segment.vlan is None else [],
            "vlan_mode": "",
            "mtu": self.mtus[segment.name].value,
            "mac": addressed.mac.value,
            "addresses": [addresses.with_prefix(address, subnet) for address, subnet in pairs if address],
            "routes": endpoint.routes,
            "sysctls": endpoint.sysctls,
        }

    def _underlay_bridge(self, underlay: Plan) -> Plan:
        tep = underlay["tep"]
        return {
            "name": underlay["bridge"],
            "ports": [
                {"name": underlay["interface"], "tag": "", "trunks": [], "vlan_mode": "", "mtu": underlay["mtu"]},
                {
                    "name": tep["name"],
                    "type": "internal",
                    "tag": _or_clear(tep["vlan"]),
                    "trunks": [],
                    "vlan_mode": "",
                    "mtu": underlay["mtu"],
                    "addresses": [tep["address"]],
                },
            ],
        }


def _or_clear(value: t.Any) -> t.Any:
    """A value, or the empty one, which clears the option on the host."""
    return "" if value is None else value
