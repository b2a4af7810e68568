# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan makes on each host, by name, so that the first look at a host finds what is somebody else's.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Intent

Claim = t.Dict[str, str]
Plan = t.Dict[str, t.Any]


def claims(plan: Plan, intent: Intent) -> dict[str, Plan]:
    """For each host of the fabric its `claims`, as the module ownership_info takes them, and the names that it may `adopt`."""
    everyone = {**intent.routers, **intent.hosts}
    result = {}
    for name in sorted(everyone):
        found: list[Claim] = []
        if name in plan["hosts"]:
            bridges = {overlay.bridge: overlay.where for overlay in intent.overlays}
            found += _host(name, plan["hosts"][name], bridges, {edge["name"] for edge in plan["edges"]})
            if plan["hosts"][name]["ovn_chassis"]:
                found.append(_claim("chassis", name, "", f"leave {name} out of kvm_hosts"))
            cluster = (plan["hosts"][name]["ovn_central"] or {"cluster": {}})["cluster"]
            if cluster:
                found.append(_claim("cluster", "OVN's databases", ",".join(cluster["members"]), "start the others"))
        router = plan["routers"].get(name)
        if router and router["managed"]:
            found += _router(name, router, name in plan["hosts"])
        result[name] = {"claims": found, "adopt": everyone[name].adopt}
    return result


def _claim(kind: str, name: str, on: str, instead: str) -> Claim:
    return {"kind": kind, "name": name, "on": on, "instead": instead}


def _host(name: str, host: Plan, places: dict[str, str], edges: t.Collection[str]) -> list[Claim]:
    """The things of a KVM host. places: integration bridge to the overlay that names it. edges: their names."""
    found = _links(name, host, places)
    for tunnel in host["tunnels"]:
        found.append(
            _claim("port", tunnel["name"], tunnel["bridge"], "give the overlay another name in fabric_overlays")
        )
    for space in host["namespaces"]:
        other = f"give the endpoint {space['name']} another name in fabric_endpoints of {name}"
        if space["name"] in edges:
            other = f"give the edge {space['name']} another name in fabric_edges"
        if "container" not in space:
            found.append(_claim("namespace", space["name"], space["interface"], other))
        found.append(_claim("interface", space["outer"], space["bridge"], other))
    for container in host["containers"]:
        image = "" if container["image"] == host["lab_container_image"] else container["image"]
        other = f"give the endpoint {container['name']} another name in fabric_endpoints of {name}"
        found.append(_claim("container", container["name"], image, f"{other}, or set its container.managed: false"))
    for service in host["services"]:
        other = f"correct service.unit of the endpoint {service['namespace']} in fabric_endpoints of {name}"
        found.append(_claim("service", service["name"], "", other))
    for guest in host["guests"]:
        found.append(
            _claim(
                "guest",
                guest["name"],
                "",
                f"give the endpoint {guest['name']} another name in fabric_endpoints of {name}",
            )
        )
    found += [
        _claim("network", network["name"], "", "take another fabric_name, or rename that network")
        for network in host.get("networks", ())
    ]
    return found


def _links(name: str, host: Plan, places: dict[str, str]) -> list[Claim]:
    """The bridges of a host with their ports, and the interfaces of the kernel."""
    underlay = host["underlay"]
    found = [claim for item in host["host_network"] for claim in _of_kernel(name, item, underlay)]
    for bridge in host["bridges"]:
        place = (
            "fabric_underlay" if bridge["name"] == underlay["bridge"] else places.get(bridge["name"], "fabric_overlays")
        )
        found.append(_claim("bridge", bridge["name"], "", f"name another bridge in {place}.bridge"))
        found += [claim for port in bridge.get("ports", ()) for claim in _port(name, port, bridge["name"], underlay)]
        for port in bridge.get("ports", ()):
            found += [_address(name, address, port["name"]) for address in port.get("addresses", ())]
    return found


def _port(host: str, port: Plan, bridge: str, underlay: Plan) -> list[Claim]:
    """A port that is declared of a bridge: a NIC, a bond with its NICs, or one that is made."""
    if port.get("type"):
        return [_claim("interface", port["name"], bridge, "name another port in fabric_underlay.tep")]
    if "members" in port:
        where = f"fabric_underlay_bond of {host}"
        bond = _claim("port", port["name"], bridge, f"name another bond in {where}")
        return [bond, *(_nic(nic, bridge, where) for nic in port["members"])]
    where = "the ends of fabric_links" if underlay["links"] else f"fabric_underlay_interface of {host}"
    return [_nic(port["name"], bridge, where)]


def _of_kernel(host: str, item: Plan, underlay: Plan) -> list[Claim]:
    """An interface of the kernel, in the host's own network configuration, and the NICs that it takes."""
    name, where = item["name"], f"fabric_underlay_bond of {host}"
    found = [_address(host, address, name) for address in item["addresses"]]
    if item.get("members"):
        found.append(_claim("interface", name, "", f"name another bond in {where}"))
        return [*found, *(_nic(nic, name, where) for nic in item["members"])]
    where = f"fabric_underlay_interface of {host}"
    if item.get("parent"):
        below = [] if underlay["bond"] else [_nic(item["parent"], "", where)]
        return [*found, _claim("interface", name, "", "name another one in fabric_underlay.tep"), *below]
    return [*found, _nic(name, name, where)]


def _nic(nic: str, bridge: str, where: str) -> Claim:
    return _claim("nic", nic, bridge, f"name another one in {where}")


def _address(host: str, address: str, port: str) -> Claim:
    return _claim("address", address, port, f"take it off there, or give {host} another one")


def _router(name: str, router: Plan, kvm: bool) -> list[Claim]:
    """The routing processes of a router, and its NICs; those of a KVM host are among its ports."""
    other = f"leave FRR on {name} to others with fabric_router.managed: false"
    found = []
    for instance in (router["ospf"] or {}).get("instances", ()):
        version = instance["version"]
        found.append(
            _claim("router", "router ospf" if version == 2 else "router ospf6", f"OSPFv{version} default", other)
        )
    for instance in (router["bgp"] or {}).get("instances", ()):
        found.append(_claim("router", f"router bgp {instance['asn']}", f"BGP {instance['asn']} default", other))
    if not kvm:
        nics = dict.fromkeys(interface.get("parent") or interface["name"] for interface in router["interfaces"])
        found += [_nic(nic, "", "the ends of fabric_links") for nic in nics if nic != "lo"]
        found += [
            _address(name, address, item["name"])
            for item in router["interfaces"]
            for address in item.get("addresses", ())
        ]
    return found
