# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's networks: typed options, what a document says of them, and how a document is patched. Pure.

After https://libvirt.org/formatnetwork.html. This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    NO_VLAN,
    Mark,
    attribute,
    check_address,
    check_bandwidth,
    check_mac,
    check_name,
    check_number,
    check_uuid,
    check_vlan,
    contains,
    derived_uuid,
    document_lines,
    drop,
    element,
    make,
    merge,
    parse,
    parse_bandwidth,
    parse_vlan,
    set_attribute,
    set_bandwidth,
    set_vlan,
    write_mark,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

MODULE = "libvirt_network"
# Option to libvirt's forward mode; an isolated network has none, and Open vSwitch is a bridge with a virtual port.
MODES = {"isolated": "", "nat": "nat", "routed": "route", "open": "open", "bridge": "bridge", "openvswitch": "bridge"}
MANAGED = ("isolated", "nat", "routed", "open")
STATES = ("present", "active", "inactive", "absent")
BEHIND_METADATA = ("forward", "bridge", "mac", "domain", "dns", "ip", "route", "virtualport", "vlan", "portgroup")

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


# ---- from a document


def view(root: ET.Element) -> dict[str, t.Any]:
    """All typed options that a document states."""
    forward = root.find("forward")
    mode = "" if forward is None else forward.get("mode", "nat")
    names = {value: key for key, value in MODES.items() if key != "openvswitch"}
    typed = names.get(mode, mode)
    if typed == "bridge" and attribute(root, "virtualport", "type") == "openvswitch":
        typed = "openvswitch"
    dns = root.find("dns")
    dns = ET.Element("dns") if dns is None else dns
    return {
        "uuid": root.findtext("uuid", ""),
        "mode": typed,
        "bridge": attribute(root, "bridge", "name") or "",
        "device": "" if forward is None else forward.get("dev", ""),
        "stp": attribute(root, "bridge", "stp") != "off",
        "mtu": int(attribute(root, "mtu", "size") or 0),
        "domain": attribute(root, "domain", "name") or "",
        **parse_vlan(root),
        "addresses": [_view_address(found) for found in root.findall("ip")],
        "routes": [_view_route(found) for found in root.findall("route")],
        "dns": dns.get("enable") != "no",
        "dns_forwarders": [found.get("addr", "") for found in dns.findall("forwarder") if is_forwarder(found)],
        "dns_hosts": [_view_dns_host(found) for found in dns.findall("host")],
        "inbound": parse_bandwidth(root, "inbound"),
        "outbound": parse_bandwidth(root, "outbound"),
        "portgroups": [_view_portgroup(found) for found in root.findall("portgroup")],
    }


def _view_address(found: ET.Element) -> dict[str, t.Any]:
    address = found.get("address", "")
    prefix = found.get("prefix") or found.get("netmask") or ("128" if ":" in address else "32")
    return {
        "address": str(ipaddress.ip_interface(f"{address}/{prefix}")),
        "dhcp_ranges": [view_range(pair) for pair in found.findall("dhcp/range")],
        "dhcp_hosts": [view_host(host) for host in found.findall("dhcp/host")],
    }


def view_range(found: ET.Element) -> dict[str, str]:
    """The typed options of a <range> of DHCP."""
    return {"start": found.get("start", ""), "end": found.get("end", "")}


def view_host(found: ET.Element) -> dict[str, str]:
    """The typed options of a <host> of DHCP."""
    return {"mac": found.get("mac", "").lower(), "name": found.get("name", ""), "address": found.get("ip", "")}


def _view_dns_host(found: ET.Element) -> dict[str, t.Any]:
    return {"address": found.get("ip", ""), "hostnames": [name.text or "" for name in found.findall("hostname")]}


def _view_route(found: ET.Element) -> dict[str, t.Any]:
    address = found.get("address", "")
    prefix = found.get("prefix") or found.get("netmask") or ("128" if ":" in address else "32")
    return {
        "to": str(ipaddress.ip_network(f"{address}/{prefix}", strict=False)),
        "via": found.get("gateway", ""),
        "metric": int(found.get("metric") or 0),
    }


def _view_portgroup(found: ET.Element) -> dict[str, t.Any]:
    limits = {key: parse_bandwidth(found, key) for key in ("inbound", "outbound")}
    return {"name": found.get("name", ""), "default": found.get("default") == "yes", **parse_vlan(found), **limits}


# ---- comparison


def restrict(options: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What a document says of the declared options, in their shape; lists in the declared order, then what is not declared."""
    result: dict[str, t.Any] = {}
    for key, wanted in options.items():
        found = seen[key]
        if key in ("portgroups", "addresses", "dns_hosts"):
            by = "name" if key == "portgroups" else "address"
            declared = [item[by] for item in wanted]
            found = sorted(found, key=lambda item: declared.index(item[by]) if item[by] in declared else len(declared))
            if key == "addresses":
                shape = {item["address"]: item for item in wanted}
                found = [_shaped(item, shape.get(item["address"], item)) for item in found]
        elif key == "bridge" and wanted == "":
            found = ""
        result[key] = found
    return result


def _shaped(found: t.Mapping[str, t.Any], wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    result = {}
    for key in wanted:
        entries = found[key]
        if key != "address":
            entries = restrict_entries(entries, wanted[key])
        result[key] = entries
    return result


def restrict_entries(found: t.Sequence[t.Any], wanted: t.Sequence[t.Any]) -> list[t.Any]:
    """Entries in the declared order, then those that are not declared."""
    return sorted(found, key=lambda entry: wanted.index(entry) if entry in wanted else len(wanted))


def name_of(part: ET.Element) -> str:
    """A part's tag, with what tells portgroups and addresses from others."""
    key = {"portgroup": "name", "ip": "address"}.get(part.tag, "")
    return f"{part.tag}[{part.get(key)}]" if key else part.tag


def differences(options: t.Mapping[str, t.Any], seen: t.Mapping[str, t.Any]) -> list[str]:
    """The declared options that a document states otherwise."""
    found = restrict(options, seen)
    return [key for key in found if found[key] != options[key]]


def patch(root: ET.Element, network: Network, mark: Mark) -> None:
    """Make a document say what is wanted; all that no option says stays. root is changed in place."""
    options, seen = network.options, view(root)
    changed = set(differences(options, seen))
    write_mark(root, mark, BEHIND_METADATA)
    if "mode" in changed:
        _patch_mode(root, options["mode"], seen["mode"])
    _patch_bridge(root, options)
    if "domain" in changed:
        _patch_domain(root, options["domain"])
    if "vlan" in options:
        set_vlan(root, options)
    if "addresses" in changed or "mode" in changed and "addresses" in options:
        _patch_addresses(root, options["addresses"])
    if "routes" in changed or "mode" in changed and "routes" in options:
        _patch_entries(root, "route", options["routes"], _view_route, _route)
    _patch_dns(root, options, changed)
    for key in ("inbound", "outbound"):
        if key in options:
            set_bandwidth(root, key, options[key])
    if "portgroups" in changed:
        _patch_portgroups(root, options["portgroups"])
    if network.raw is not None and not contains(root, network.raw):
        merge(root, network.raw)


def _patch_mode(root: ET.Element, wanted: str, seen: str) -> None:
    """Another way to other networks; what belongs to the old way only goes with it."""
    if wanted != "openvswitch":
        drop(root, "virtualport", "vlan")
    elif attribute(root, "virtualport", "type") not in (None, "openvswitch"):
        drop(root, "virtualport")
    if not {seen, wanted} <= {"nat", "routed"}:
        drop(root, "forward")
    if (seen in MANAGED) != (wanted in MANAGED):
        drop(root, "bridge", "mac", "ip", "dns", "domain", "mtu", "route", "bandwidth")
    if MODES[wanted]:
        forward = make(root, "forward", BEHIND_METADATA[1:])
        drop(forward, "nat")
        forward.set("mode", MODES[wanted])
    if wanted == "openvswitch" and attribute(root, "virtualport", "type") != "openvswitch":
        make(root, "virtualport", ("vlan", "portgroup")).set("type", "openvswitch")


def _patch_domain(root: ET.Element, name: str) -> None:
    if name:
        make(root, "domain", ("dns", "ip", "route", "portgroup")).set("name", name)
    else:
        drop(root, "domain")


def _patch_bridge(root: ET.Element, options: t.Mapping[str, t.Any]) -> None:
    seen = view(root)
    if options.get("bridge") and seen["bridge"] != options["bridge"]:
        make(root, "bridge", BEHIND_METADATA[2:]).set("name", options["bridge"])
    if "device" in options and seen["device"] != options["device"]:
        forward = make(root, "forward", BEHIND_METADATA[1:])
        forward.attrib.pop("dev", None)
        drop(forward, "interface")
        if options["device"]:
            forward.set("dev", options["device"])
    if options.get("stp", seen["stp"]) != seen["stp"]:
        make(root, "bridge", BEHIND_METADATA[2:]).set("stp", "on" if options["stp"] else "off")
    if options.get("mtu", seen["mtu"]) != seen["mtu"]:
        set_attribute(root, "mtu", "size", options["mtu"] or None)


def _patch_dns(root: ET.Element, options: t.Mapping[str, t.Any], changed: set[str]) -> None:
    before = ("ip", "route", "portgroup")
    if "dns" in changed:
        if options["dns"]:
            make(root, "dns", before).attrib.pop("enable", None)
        else:
            # libvirt refuses whatever else a disabled server shall know.
            drop(root, "dns")
            make(root, "dns", before).set("enable", "no")
    seen = view(root)
    if options.get("dns_forwarders", seen["dns_forwarders"]) != seen["dns_forwarders"]:
        dns = make(root, "dns", before)
        # A forwarder of one domain is none of the option's.
        for found in dns.findall("forwarder"):
            if is_forwarder(found):
                dns.remove(found)
        dns.extend([element("forwarder", {"addr": value}) for value in options["dns_forwarders"]])
    if (
        "dns_hosts" in options
        and restrict({"dns_hosts": options["dns_hosts"]}, seen)["dns_hosts"] != options["dns_hosts"]
    ):
        _patch_entries(make(root, "dns", before), "host", options["dns_hosts"], _view_dns_host, dns_host)


def is_forwarder(found: ET.Element) -> bool:
    """Whether a <forwarder> is one that the option can say: it serves all domains."""
    return "domain" not in found.attrib


def _patch_entries(
    parent: ET.Element,
    tag: str,
    wanted: t.Sequence[t.Mapping[str, t.Any]],
    seen: t.Callable[[ET.Element], t.Mapping[str, t.Any]],
    made: t.Callable[[t.Mapping[str, t.Any]], ET.Element],
) -> None:
    """Remove the entries that are not wanted and add those that are missing; the others stay as they are, with all that they hold."""
    here = []
    for found in parent.findall(tag):
        if seen(found) in wanted:
            here.append(seen(found))
        else:
            parent.remove(found)
    parent.extend([made(entry) for entry in wanted if entry not in here])


def _patch_addresses(root: ET.Element, wanted: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    here = {_view_address(found)["address"]: found for found in root.findall("ip")}
    for address, stale in here.items():
        if address not in [item["address"] for item in wanted]:
            root.remove(stale)
    for item in wanted:
        interface = ipaddress.ip_interface(item["address"])
        found = here.get(item["address"])
        if found is None:
            family = "ipv6" if interface.version == 6 else None
            found = element("ip", {"family": family, "address": interface.ip, "prefix": interface.network.prefixlen})
            root.append(found)
        for key, tag, seen, made in (
            ("dhcp_ranges", "range", view_range, dhcp_range),
            ("dhcp_hosts", "host", view_host, dhcp_host),
        ):
            if key in item and restrict_entries(_view_address(found)[key], item[key]) != item[key]:
                dhcp = make(found, "dhcp")
                _patch_entries(dhcp, tag, item[key], seen, made)
                if not len(dhcp):
                    found.remove(dhcp)


def dhcp_range(entry: t.Mapping[str, str]) -> ET.Element:
    """A <range> of addresses."""
    return element("range", {"start": entry["start"], "end": entry["end"]})


def dhcp_host(entry: t.Mapping[str, str]) -> ET.Element:
    """A <host> of DHCP."""
    return element("host", {"mac": entry["mac"] or None, "name": entry["name"] or None, "ip": entry["address"]})


def dns_host(entry: t.Mapping[str, t.Any]) -> ET.Element:
    """A <host> of DNS."""
    return element("host", {"ip": entry["address"]}, *[element("hostname", text=name) for name in entry["hostnames"]])


def portgroup(entry: t.Mapping[str, t.Any], found: ET.Element | None = None) -> ET.Element:
    """A <portgroup>; of one that is there, what no option says stays."""
    made = element("portgroup", {"name": entry["name"]}) if found is None else found
    if entry["default"] != (made.get("default") == "yes"):
        made.attrib.pop("default", None)
        if entry["default"]:
            made.set("default", "yes")
    set_vlan(made, entry)
    for key in ("inbound", "outbound"):
        set_bandwidth(made, key, entry[key])
    return made


def _route(route: t.Mapping[str, t.Any]) -> ET.Element:
    network = ipaddress.ip_network(route["to"])
    family = "ipv6" if network.version == 6 else None
    values = {
        "family": family,
        "address": network.network_address,
        "prefix": network.prefixlen,
        "gateway": route["via"],
        "metric": route["metric"] or None,
    }
    return element("route", values)


def _patch_portgroups(root: ET.Element, wanted: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    here = {found.get("name"): found for found in root.findall("portgroup")}
    for name, found in here.items():
        if name not in [item["name"] for item in wanted]:
            root.remove(found)
    for item in wanted:
        made = portgroup(item, here.get(item["name"]))
        if item["name"] not in here:
            root.append(made)


# The lines of a document that an option says, by their paths.
_SAYS = {
    "uuid": "uuid",
    "mode": "forward/@mode|virtualport/@type",
    "bridge": "bridge/@name",
    "device": "forward/(@dev|interface/@dev)",
    "stp": "bridge/@stp",
    "mtu": "mtu/@size",
    "domain": "domain/@name",
    "vlan": "vlan/.*",
    "addresses": r"ip\[[^]]*\]/(@.*|dhcp/(range|host)/@.*)",
    "routes": "route/@.*",
    "dns": "dns/@enable",
    "dns_forwarders": "dns/forwarder/@addr",
    "dns_hosts": "dns/host/(@ip|hostname)",
    "inbound": "bandwidth/inbound/@.*",
    "outbound": "bandwidth/outbound/@.*",
    "portgroups": r"portgroup\[[^]]*\]/(@(name|default)|vlan/.*|bandwidth/.*)",
}


def _name_of(found: ET.Element) -> str:
    key = {"ip": "address", "portgroup": "name"}.get(found.tag)
    return f"{found.tag}[{found.get(key)}]" if key else found.tag


def besides(before: ET.Element, after: ET.Element, network: Network) -> tuple[dict[str, str], dict[str, str]]:
    """The lines of two documents that differ and that no declared option shows: each path with what is there before, and after."""
    old, new = document_lines(before, _name_of), document_lines(after, _name_of)
    raw = {path for path, _value in document_lines(network.raw, _name_of)} if network.raw is not None else set()
    says = [pattern for key, pattern in _SAYS.items() if key in network.options]
    sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for side, gone in zip(sides, (old - new, new - old)):
        for path, value in sorted(gone.elements()):
            if path in raw or path == "metadata" or any(re.fullmatch(pattern, path) for pattern in says):
                continue
            side[path] = value if path not in side else f"{side[path]}, {value}"
    return sides


def skeleton(network: Network, owner: str) -> ET.Element:
    """The document that a new network begins with."""
    root = element("network", None, element("name", text=network.name))
    root.append(element("uuid", text=network.options.get("uuid") or derived_uuid(MODULE, owner, network.name)))
    return root


def check_whole(root: ET.Element, name: str) -> None:
    """What options alone do not show, since some of them may be there already. Raises FabricError."""
    seen = view(root)
    if seen["mode"] in ("nat", "routed") and not seen["addresses"]:
        raise FabricError(f"network {name}: mode {seen['mode']} needs addresses, by which the host routes: declare one")


def check_new(network: Network) -> None:
    """What a network that is to be made must say. Raises FabricError."""
    if "mode" not in network.options and network.raw is None:
        raise FabricError(
            f"network {network.name} does not exist and mode is missing: choose one of {', '.join(MODES)}"
        )
