# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of the intent, read one by one: each is what the plan works with, or INVALID with a sentence.

This file is private to the collection.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

try:
    import netaddr
except ImportError:
    netaddr = None

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import interface_name
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Address, Network
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, label, show

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_NAME_ALLOWED = "A-Z, a-z, 0-9, '_', '.' and '-'"


def read_network(value: t.Any, where: str, problems: list[str], version: int | None = None) -> Network | t.Any:
    """A subnet in CIDR notation without host bits; INVALID and a sentence if it is none."""
    if not isinstance(value, str):
        return value
    try:
        if "/" not in value or "%" in value:
            raise ValueError
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        problems.append(f"{where} {show(value)} is no subnet; write it as 10.1.1.0/24 or 2001:db8:1::/64.")
        return INVALID
    if network.network_address != ipaddress.ip_address(value.partition("/")[0]):
        problems.append(f"{where} {value} has host bits set; the subnet is {network}.")
        return INVALID
    if network.is_multicast or network.is_loopback:
        problems.append(
            f"{where} {value} is a {'multicast' if network.is_multicast else 'loopback'} range; take a unicast subnet."
        )
        return INVALID
    if version and network.version != version:
        problems.append(
            f"{where} {value} must be IPv{version}; an IPv6 subnet stands alone in subnet, or in subnet6 beside an IPv4 one."
        )
        return INVALID
    return network


def read_address(value: t.Any, where: str, problems: list[str]) -> Address | t.Any:
    """An address without prefix length; INVALID and a sentence if it is none."""
    if not isinstance(value, str):
        return value
    try:
        if "%" in value:
            raise ValueError
        return ipaddress.ip_address(value)
    except ValueError:
        hint = (
            "leave out the prefix length, which is the segment's"
            if "/" in value
            else "write it as 10.1.1.2 or 2001:db8:1::2"
        )
        problems.append(f"{where} {show(value)} is no address; {hint}.")
        return INVALID


def read_interface(value: t.Any, where: str, problems: list[str]) -> str | t.Any:
    """A name that Linux and Open vSwitch take for an interface or a bridge; INVALID and a sentence if it is none."""
    if not isinstance(value, str):
        return value
    try:
        return interface_name(value, where)
    except FabricError as error:
        problems.append(f"{error}.")
        return INVALID


def read_mac(value: t.Any, where: str, problems: list[str]) -> str | None | t.Any:
    """A MAC address of a single interface in the hosts' notation; INVALID and a sentence if it is none."""
    if not isinstance(value, str):
        return value
    if netaddr is None:
        problems.append(
            f"{where} needs the Python library netaddr on the controller; install it with: pip install netaddr."
        )
        return INVALID
    if not (set(value) & set(":-.") and netaddr.valid_mac(value)):
        # Digits alone are a number that YAML has made of an address without quotes.
        problems.append(f"{where} {show(value)} is no MAC address; write it in quotes, as '02:00:00:00:00:01'.")
        return INVALID
    # However a vendor writes it (02-00-.., 0200.0000.0001), the hosts know one form.
    mac = str(netaddr.EUI(value, dialect=netaddr.mac_unix_expanded))
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        problems.append(
            f"{where} {mac} is no address of a single interface; its first byte must be even, and not all be zero."
        )
        return INVALID
    return mac


def read_routes(items: t.Any, where: str, problems: list[str]) -> list[dict[str, str]]:
    """The routes of an endpoint, those that are understood."""
    routes = []
    for route in items or ():
        if route is INVALID:
            continue
        to = route["to"]
        if isinstance(to, str) and to != "default":
            to = read_network(to, f"{where}.routes.to", problems)
        via = read_address(route["via"], f"{where}.routes.via", problems)
        if to and via:
            if to != "default" and to.version != via.version:
                problems.append(f"{where}.routes to {to} goes via {via}; both must be of the same address family.")
            routes.append({"to": str(to), "via": str(via)})
    # One that is stated twice is one route.
    return [route for number, route in enumerate(routes) if route not in routes[:number]]


def between(value: t.Any, low: int, high: int, where: str, problems: list[str]) -> int | None | t.Any:
    """A number within its limits."""
    if isinstance(value, int) and not low <= value <= high:
        problems.append(f"{where} must be {low} to {high}, not {value}.")
        return INVALID
    return value


def read_vlan(value: t.Any, where: str, problems: list[str]) -> int | None | t.Any:
    """The id of a VLAN (IEEE 802.1Q)."""
    if isinstance(value, int) and not 1 <= value <= 4094:
        problems.append(f"{where} must be 1 to 4094, not {value}; leave it out for untagged.")
        return INVALID
    return value


def matching(value: t.Any, pattern: re.Pattern[str], allowed: str, where: str, problems: list[str]) -> str | t.Any:
    """A text of a form; allowed: its characters, for the sentence."""
    if isinstance(value, str) and not pattern.fullmatch(value):
        problems.append(
            f"{where} {show(value)} is not a valid name; use at most 32 of {allowed}, the first a letter or digit."
        )
        return INVALID
    return value


def matching_name(value: t.Any, where: str, problems: list[str]) -> str | t.Any:
    """A name as segments and endpoints have; INVALID and a sentence if it is none."""
    return matching(value, _NAME, _NAME_ALLOWED, where, problems)


def unique(objects: list[t.Any], where: str, problems: list[str]) -> list[t.Any]:
    """Objects with different names; a second one of a name is told and left out."""
    seen: set[str] = set()
    result = []
    for item in objects:
        if item.name in seen:
            problems.append(f"{where} has the name {item.name} twice; give each its own.")
            continue
        seen.add(item.name)
        result.append(item)
    return result


def items_of(common: dict[str, t.Any], variable: str) -> list[tuple[int, dict[str, t.Any]]]:
    """The items of a list that are dictionaries, with their positions."""
    return [(i, item) for i, item in enumerate(common[variable] or ()) if isinstance(item, dict)]


def note(value: t.Any, where: str, given: set[str]) -> None:
    """Remember the places of all values that the user wrote."""
    if value is None:
        return
    given.add(where)
    if isinstance(value, dict):
        for key, item in value.items():
            note(item, f"{where}.{key}", given)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            if isinstance(item, dict):
                note(item, f"{where}[{label(item, i)}]", given)
