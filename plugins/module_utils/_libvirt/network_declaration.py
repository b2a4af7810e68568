# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user declares of a libvirt network: the options and their check. Pure.

After https://libvirt.org/formatnetwork.html. This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    NO_VLAN,
    check_address,
    check_bandwidth,
    check_mac,
    check_name,
    check_number,
    check_uuid,
    check_vlan,
    parse,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

MODULE = "libvirt_network"
# Option to libvirt's forward mode; an isolated network has none, and Open vSwitch is a bridge with a virtual port.
MODES = {"isolated": "", "nat": "nat", "routed": "route", "open": "open", "bridge": "bridge", "openvswitch": "bridge"}
MANAGED = ("isolated", "nat", "routed", "open")
STATES = ("present", "active", "inactive", "absent")

BANDWIDTH = {key: {"type": "int"} for key in ("average", "peak", "burst")}
PORTGROUP = {
    "name": {"type": "str", "required": True},
    "default": {"type": "bool", "default": False},
    "vlan": {"type": "int"},
    "trunks": {"type": "list", "elements": "str"},
    "native_vlan": {"type": "int"},
    "native_mode": {"type": "str", "choices": ["untagged", "tagged"]},
    "inbound": {"type": "dict", "options": BANDWIDTH},
    "outbound": {"type": "dict", "options": BANDWIDTH},
}
ADDRESS = {
    "address": {"type": "str", "required": True},
    "dhcp_ranges": {
        "type": "list",
        "elements": "dict",
        "options": {"start": {"type": "str", "required": True}, "end": {"type": "str", "required": True}},
    },
    "dhcp_hosts": {
        "type": "list",
        "elements": "dict",
        "options": {"mac": {"type": "str"}, "name": {"type": "str"}, "address": {"type": "str", "required": True}},
    },
}
ROUTE = {"to": {"type": "str", "required": True}, "via": {"type": "str", "required": True}, "metric": {"type": "int"}}
DNS_HOST = {
    "address": {"type": "str", "required": True},
    "hostnames": {"type": "list", "elements": "str", "required": True},
}
SPEC: dict[str, t.Any] = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": list(STATES), "default": "active"},
    "uuid": {"type": "str"},
    "mode": {"type": "str", "choices": list(MODES)},
    "bridge": {"type": "str"},
    "device": {"type": "str"},
    "stp": {"type": "bool"},
    "mtu": {"type": "int"},
    "domain": {"type": "str"},
    "vlan": {"type": "int"},
    "trunks": {"type": "list", "elements": "str"},
    "native_vlan": {"type": "int"},
    "native_mode": {"type": "str", "choices": ["untagged", "tagged"]},
    "addresses": {"type": "list", "elements": "dict", "options": ADDRESS},
    "routes": {"type": "list", "elements": "dict", "options": ROUTE},
    "dns": {"type": "bool"},
    "dns_forwarders": {"type": "list", "elements": "str"},
    "dns_hosts": {"type": "list", "elements": "dict", "options": DNS_HOST},
    "inbound": {"type": "dict", "options": BANDWIDTH},
    "outbound": {"type": "dict", "options": BANDWIDTH},
    "portgroups": {"type": "list", "elements": "dict", "options": PORTGROUP},
    "autostart": {"type": "bool"},
    "xml": {"type": "str"},
    "restart": {"type": "bool", "default": False},
    "keep_used": {"type": "bool", "default": False},
}
# Options that only a network of whose bridge libvirt is the master can have.
MANAGED_ONLY = (
    "addresses",
    "routes",
    "dns",
    "dns_forwarders",
    "dns_hosts",
    "domain",
    "mtu",
    "stp",
    "inbound",
    "outbound",
)


class Network(t.NamedTuple):
    """A wanted network, checked. options: the declared ones, in the shape of `view`."""

    name: str
    state: str
    options: dict[str, t.Any]
    raw: ET.Element | None
    autostart: bool | None
    restart: bool
    keep_used: bool


def want(item: t.Mapping[str, t.Any]) -> Network:
    """Check one item. Raises FabricError."""
    name = check_name(item["name"], "network name")
    if "/" in name:
        raise FabricError(f"network name {name!r} holds a slash: leave it out")
    what = f"network {name}:"
    options: dict[str, t.Any] = {}
    mode = item["mode"]
    if item["uuid"] is not None:
        options["uuid"] = check_uuid(item["uuid"], f"{what} uuid")
    if mode is not None:
        options["mode"] = mode
    options.update(_want_devices(item, what))
    _check_mode(item, mode, what)
    options.update(_want_link(item, what))
    options.update(check_vlan(item, what) or {})
    options.update(_want_reached(item, what))
    options.update(_want_names(item, what))
    for key in ("inbound", "outbound"):
        limits = check_bandwidth(item[key], f"{what} {key}")
        if limits is not None:
            options[key] = limits
    if item["portgroups"] is not None:
        options["portgroups"] = _want_portgroups(item["portgroups"], what, mode)
    return Network(
        name,
        item["state"],
        options,
        _want_raw(item["xml"], options, what),
        item["autostart"],
        item["restart"],
        item["keep_used"],
    )


def _want_devices(item: t.Mapping[str, t.Any], what: str) -> dict[str, t.Any]:
    """The network's bridge, and the device that it goes out by."""
    found = {key: item[key] for key in ("bridge", "device") if item[key] is not None}
    for key, value in found.items():
        if value and (not re.fullmatch(r"[!-.0-~]{1,15}", value) or value.startswith("-") or value in (".", "..")):
            raise FabricError(
                f"{what} {key} {value!r} is no interface name: use 1 to 15 characters without blank or slash"
            )
    return found


def _check_mode(item: t.Mapping[str, t.Any], mode: str | None, what: str) -> None:
    """What a mode needs, and what has no place in it."""
    if mode in ("bridge", "openvswitch"):
        if not item["bridge"]:
            raise FabricError(f"{what} mode {mode} needs bridge")
        alien = next((key for key in MANAGED_ONLY if item[key]), None)
        if alien == "mtu":
            raise FabricError(
                f"{what} mtu belongs to the bridge with mode {mode}: set it on the bridge, or on a guest's NIC"
            )
        if alien:
            raise FabricError(f"{what} {alien} needs a network whose bridge libvirt makes, not mode {mode}")
    if mode in ("bridge", "openvswitch", "isolated", "open") and item["device"]:
        raise FabricError(f"{what} device needs mode nat or routed, not {mode}")
    if mode is not None and mode != "openvswitch" and (item["vlan"] or item["trunks"]):
        raise FabricError(f"{what} vlan and trunks need mode openvswitch, not {mode}")


def _want_link(item: t.Mapping[str, t.Any], what: str) -> dict[str, t.Any]:
    """MTU and spanning tree of the bridge, whether names are served on it, and their domain."""
    found: dict[str, t.Any] = {}
    if item["mtu"] is not None:
        found["mtu"] = check_number(item["mtu"], f"{what} mtu", 0, 65535)
        if 0 < item["mtu"] < 68:
            raise FabricError(f"{what} mtu {item['mtu']} is below 68 bytes, IPv4's least")
    found.update({key: item[key] for key in ("stp", "dns") if item[key] is not None})
    if item["domain"] is not None:
        found["domain"] = _dns_name(item["domain"], f"{what} domain") if item["domain"] else ""
    return found


def _want_reached(item: t.Mapping[str, t.Any], what: str) -> dict[str, t.Any]:
    """The host's addresses in the network, and its routes there."""
    found: dict[str, t.Any] = {}
    if item["addresses"] is not None:
        found["addresses"] = _want_addresses(item["addresses"], what)
    if item["routes"] is not None:
        found["routes"] = [_want_route(route, what) for route in item["routes"]]
    return found


def _want_names(item: t.Mapping[str, t.Any], what: str) -> dict[str, t.Any]:
    """What its DNS server forwards to, and the hosts that it knows."""
    found: dict[str, t.Any] = {}
    if item["dns"] is False and (item["dns_forwarders"] or item["dns_hosts"]):
        raise FabricError(f"{what} dns is off, so nothing can be served: leave out dns_forwarders and dns_hosts")
    if item["dns_forwarders"] is not None:
        found["dns_forwarders"] = [check_address(value, f"{what} dns_forwarders") for value in item["dns_forwarders"]]
    if item["dns_hosts"] is not None:
        found["dns_hosts"] = [_want_dns_host(host, f"{what} dns_hosts") for host in item["dns_hosts"]]
    return found


def _want_dns_host(host: t.Mapping[str, t.Any], what: str) -> dict[str, t.Any]:
    """An address with its names."""
    if not host["hostnames"]:
        raise FabricError(f"{what} {host['address']} has no hostnames")
    names = [_dns_name(value, what) for value in host["hostnames"]]
    return {"address": check_address(host["address"], what), "hostnames": names}


def _dns_name(value: str, what: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?", value):
        raise FabricError(f"{what} {value!r} is no DNS name")
    return value


def _want_addresses(values: t.Sequence[t.Mapping[str, t.Any]], what: str) -> list[dict[str, t.Any]]:
    wanted: list[dict[str, t.Any]] = []
    for value in values:
        interface = _interface(value["address"], what)
        here = f"{what} address {interface}:"
        if any(_overlap(interface, ipaddress.ip_interface(other["address"])) for other in wanted):
            raise FabricError(f"{here} its subnet is declared twice")
        found: dict[str, t.Any] = {"address": str(interface)}
        if value["dhcp_ranges"] is not None:
            found["dhcp_ranges"] = [_want_dhcp_range(pair, interface, here) for pair in value["dhcp_ranges"]]
        if value["dhcp_hosts"] is not None:
            found["dhcp_hosts"] = _want_dhcp_hosts(value["dhcp_hosts"], interface, here)
        wanted.append(found)
    served = [entry for entry in wanted if entry.get("dhcp_ranges") or entry.get("dhcp_hosts")]
    if sum(ipaddress.ip_interface(entry["address"]).version == 4 for entry in served) > 1:
        raise FabricError(f"{what} addresses: libvirt serves DHCP in one IPv4 subnet of a network only")
    return wanted


_Interface = t.Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]


def _interface(address: str, what: str) -> _Interface:
    try:
        interface = ipaddress.ip_interface(address) if "/" in address else None
    except ValueError:
        interface = None
    if interface is None:
        raise FabricError(f"{what} address {address!r} is no address with its prefix: write it like 10.0.0.1/24")
    return interface


def _overlap(one: _Interface, other: _Interface) -> bool:
    return one.version == other.version and one.network.overlaps(other.network)


def _want_dhcp_range(pair: t.Mapping[str, str], interface: _Interface, here: str) -> dict[str, str]:
    start, end = (_inside(pair[key], interface, f"{here} dhcp_ranges {key}") for key in ("start", "end"))
    if int(ipaddress.ip_address(end)) < int(ipaddress.ip_address(start)):
        raise FabricError(f"{here} dhcp_ranges end {end} lies before start {start}")
    return {"start": start, "end": end}


def _want_dhcp_hosts(
    hosts: t.Sequence[t.Mapping[str, t.Any]], interface: _Interface, here: str
) -> list[dict[str, str]]:
    wanted: list[dict[str, str]] = []
    for host in hosts:
        address = _inside(host["address"], interface, f"{here} dhcp_hosts")
        mac = check_mac(host["mac"], f"{here} dhcp_hosts mac") if host["mac"] else ""
        if not mac and not host["name"]:
            raise FabricError(f"{here} dhcp_hosts {address} needs mac or name")
        if mac and interface.version == 6:
            raise FabricError(f"{here} dhcp_hosts {address}: DHCPv6 knows no MAC address: use name")
        name = _dns_name(host["name"], f"{here} dhcp_hosts name") if host["name"] else ""
        for other in wanted:
            if other["address"] == address or mac and other["mac"] == mac:
                raise FabricError(f"{here} dhcp_hosts names {address if other['address'] == address else mac} twice")
        wanted.append({"mac": mac, "name": name, "address": address})
    return wanted


def _family(entry: t.Mapping[str, t.Any]) -> int:
    return ipaddress.ip_interface(entry["address"]).version


def _inside(value: str, interface: _Interface, what: str) -> str:
    address = ipaddress.ip_address(check_address(value, what))
    if address not in interface.network or address == interface.ip:
        raise FabricError(f"{what} {value} is not free in {interface.network}")
    return str(address)


def _want_route(route: t.Mapping[str, t.Any], what: str) -> dict[str, t.Any]:
    try:
        network = ipaddress.ip_network(route["to"])
    except ValueError as error:
        raise FabricError(f"{what} routes to {route['to']!r} is no subnet: {error}") from None
    via = check_address(route["via"], f"{what} routes via")
    if ipaddress.ip_address(via).version != network.version:
        raise FabricError(f"{what} routes to {network} via {via}: the families differ")
    return {
        "to": str(network),
        "via": via,
        "metric": check_number(route["metric"] or 0, f"{what} routes metric", 0, 2**31),
    }


def _want_portgroups(values: t.Sequence[t.Mapping[str, t.Any]], what: str, mode: str | None) -> list[dict[str, t.Any]]:
    wanted: list[dict[str, t.Any]] = []
    for value in values:
        name = check_name(value["name"], f"{what} portgroup name")
        here = f"{what} portgroup {name}"
        if any(other["name"] == name for other in wanted):
            raise FabricError(f"{here} is declared twice: declare it once")
        if value["default"] and any(other["default"] for other in wanted):
            raise FabricError(f"{here}: only one portgroup can be the default")
        vlan = check_vlan(value, here) or NO_VLAN
        if mode is not None and mode != "openvswitch" and (vlan["vlan"] or vlan["trunks"]):
            raise FabricError(f"{here}: vlan and trunks need mode openvswitch, not {mode}")
        limits = {key: check_bandwidth(value[key] or {}, f"{here} {key}") for key in ("inbound", "outbound")}
        wanted.append({"name": name, "default": value["default"], **vlan, **limits})
    return wanted


def _want_raw(text: str | None, options: t.Mapping[str, t.Any], what: str) -> ET.Element | None:
    if not text:
        return None
    root = parse(text, f"{what} xml")
    if root.tag != "network":
        raise FabricError(f"{what} xml begins with {root.tag}: wrap it in <network>")
    for tag, option in (
        ("name", "name"),
        ("uuid", "uuid"),
        ("metadata", "owner"),
        ("portgroup", "portgroups"),
        ("ip", "addresses"),
        ("route", "routes"),
    ):
        if root.find(tag) is not None and (option in options or tag in ("name", "uuid", "metadata")):
            raise FabricError(f"{what} xml holds {tag}: say it with the option {option}")
    return root
