# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's networks: what a document says of the typed options, and how it is patched. Pure.

After https://libvirt.org/formatnetwork.html. This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.network_declaration import (
    MANAGED,
    MODES,
    MODULE,
    Network,
)
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import (
    Mark,
    attribute,
    contains,
    derived_uuid,
    document_lines,
    drop,
    element,
    make,
    merge,
    parse_bandwidth,
    parse_vlan,
    set_attribute,
    set_bandwidth,
    set_vlan,
    write_mark,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

BEHIND_METADATA = ("forward", "bridge", "mac", "domain", "dns", "ip", "route", "virtualport", "vlan", "portgroup")


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
