# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as tables for a terminal. Pure: plan in, text out.

This file is private to the collection.
"""

from __future__ import annotations

import textwrap
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import KERNEL, OVN
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.mesh import planned_tunnel, tep_address

Row = t.Sequence[t.Any]
# Puts the mark of its origin behind a value; its second argument is the value's path in the plan.
Marked = t.Callable[[t.Any, str], str]

LEGEND = "Where a value came from: g given, d default, a allocated, c computed. In full, with each rule: -e plan_query=sources"


def ranges(numbers: t.Sequence[int]) -> str:
    """Ascending numbers as a person writes them: 10,20-29."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def table(title: str, header: t.Sequence[str], rows: t.Sequence[t.Sequence[t.Any]], width: int) -> str:
    """Aligned columns under a title; the widest columns wrap until the table fits into width."""
    cells = [[[*str(cell).split("\n")] for cell in row] for row in rows]
    widths = [_widest([name], *(row[column] for row in cells)) for column, name in enumerate(header)]
    while sum(widths) + 2 * len(widths) > width and max(widths) > 12:
        widths[widths.index(max(widths))] -= 1
    lines = [title, _line(header, widths), _line(["─" * size for size in widths], widths)]
    for row in cells:
        wrapped = [_wrap(cell, size) for cell, size in zip(row, widths)]
        for i in range(max(map(len, wrapped))):
            lines.append(_line([cell[i] if i < len(cell) else "" for cell in wrapped], widths))
    return "\n".join(lines) + "\n"


def _widest(*cells: t.Sequence[str]) -> int:
    return max(len(line) for cell in cells for line in cell)


def _wrap(lines: t.Sequence[str], width: int) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, width) or [""]]


def _line(cells: t.Sequence[str], widths: t.Sequence[int]) -> str:
    return ("  " + "  ".join(cell.ljust(size) for cell, size in zip(cells, widths))).rstrip()


def render(plan: dict[str, t.Any], width: int = 100) -> str:
    """All tables of a plan, at most width columns wide."""
    source = plan["sources"]

    def marked(value: t.Any, key: str) -> str:
        kind = source.get(key, "")
        if value is None:
            return "-"
        mark = {"given": "g", "default": "d", "allocated": "a", "derived": "c"}.get(kind.partition(":")[0], "")
        return f"{value} {mark}".rstrip()

    underlay = plan["underlay"]
    columns = ("subnet", "mtu", "bridge", "tep", "vlan")
    parts = [
        _counts(plan),
        table(
            "Underlay",
            ("Subnet", "MTU", "Bridge", "Tunnel endpoint port", "VLAN"),
            [[marked(underlay[name], f"underlay.{name}") for name in columns]],
            width,
        ),
        table(
            "Hosts",
            ("Host", "Id", "Tunnel endpoint", "NIC", "Bridges", "Tunnels", "Endpoints"),
            [_host(plan, name, marked) for name in plan["hosts"]],
            width,
        ),
        *_routing(plan, marked, width),
    ]
    if plan["segments"]:
        parts.append(_segments(plan, marked, width))
    if any(overlay["tunnels"] for overlay in plan["overlays"]):
        parts.append(_tunnels(plan, marked, width))
    if plan["endpoints"]:
        parts.append(
            table(
                "Endpoints",
                ("Endpoint", "Kind", "Segment", "Address", "MAC", "Interface", "MTU"),
                [_endpoint(point, marked) for point in plan["endpoints"]],
                width,
            )
        )
    return "\n".join(parts) + "\n" + textwrap.fill(LEGEND, width) + "\n"


def _counts(plan: dict[str, t.Any]) -> str:
    """The first line: how many of each kind the fabric has."""
    counts = [
        (len(plan["hosts"]), "host"),
        (len(plan["segments"]), "segment"),
        (len(plan["endpoints"]), "endpoint"),
        (sum(len(overlay["tunnels"]) for overlay in plan["overlays"]), "tunnel"),
    ]
    told = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)
    return f"Fabric {plan['fabric']}: {told}\n"


def _segments(plan: dict[str, t.Any], marked: Marked, width: int) -> str:
    """One row a segment; a column for tenants where there are any."""
    segments = plan["segments"]
    tenants = any(segment["tenant"] for segment in segments)
    keys = any(segment["key"] for segment in segments)
    rows = []
    for segment in segments:
        where = f"segments.{segment['name']}"
        rows.append(
            (
                segment["name"],
                *[marked(segment["tenant"], f"{where}.tenant")] * tenants,
                _separation(segment, marked),
                "\n".join(filter(None, (segment["subnet"], segment["subnet6"]))),
                marked(segment["overlay"] or "local", f"{where}.overlay"),
                marked(segment["mtu"], f"{where}.mtu"),
                plan["sources"][f"{where}.mtu"].partition(": ")[2],
            )
        )
    separation = "VLAN or key" if keys else "VLAN"
    header = ("Segment", *["Tenant"] * tenants, separation, "Subnet", "Overlay", "MTU", "How the MTU came about")
    return table("Segments", header, rows, width)


def _host(plan: dict[str, t.Any], name: str, marked: Marked) -> Row:
    host = plan["hosts"][name]
    return (
        name,
        marked(host["id"], f"hosts.{name}.id"),
        marked(host["underlay"]["tep"]["address"], f"hosts.{name}.underlay.tep.address"),
        marked(_nics(host["underlay"]), f"hosts.{name}.underlay.nics"),
        " ".join(bridge["name"] for bridge in host["bridges"]),
        len(host["tunnels"]),
        sum(point["host"] == name for point in plan["endpoints"]),
    )


def _endpoint(point: dict[str, t.Any], marked: Marked) -> Row:
    key = f"endpoints.{point['id']}"
    found = [
        marked(f"{point[address]}/{point[prefix]}", f"{key}.{address}")
        for address, prefix in (("address", "prefix"), ("address6", "prefix6"))
        if point[address]
    ]
    return (
        point["id"],
        marked(point["kind"], f"{key}.kind"),
        point["segment"],
        "\n".join(found),
        marked(point["mac"], f"{key}.mac"),
        marked(point["interface"], f"{key}.interface"),
        point["mtu"],
    )


def _separation(segment: dict[str, t.Any], marked: Marked) -> str:
    """What tells a segment from the others of its bridge."""
    if segment["key"]:
        return marked(f"key {segment['key']}{', learns' * segment['learn']}", f"segments.{segment['name']}.key")
    if segment["engine"] == OVN:
        return "OVN's"
    return "untagged" if segment["vlan"] is None else marked(segment["vlan"], f"segments.{segment['name']}.vlan")


def _nics(underlay: dict[str, t.Any]) -> str:
    """A host's NICs, with the bond that they are, and whose that is unless it is Open vSwitch's."""
    bond, nics = underlay["bond"], " ".join(underlay["nics"])
    named = f"{bond['name']} ({nics}, {bond['mode']})" if bond else nics
    return f"{named}, the kernel's" if underlay["engine"] == KERNEL else named


def _link(link: dict[str, t.Any]) -> Row:
    return (
        link["name"],
        "\n".join(f"{end['host']}:{end['interface']}" for end in link["ends"]),
        "\n".join(end["address"] or end["address6"] for end in link["ends"]),
        link["subnet"] or link["subnet6"],
        link["area"] or "no OSPF",
        "\n".join(str(end["cost"]) for end in link["ends"]) if link["ospf"] else "-",
        link["ends"][0]["mtu"],
        "key" if link["key_id"] else "-",
    )


def _routing(plan: dict[str, t.Any], marked: Marked, width: int) -> list[str]:
    """Routers and links, where there are any."""
    if not plan.get("routers"):
        return []
    routers = [
        (
            name,
            marked(router["router_id"], f"routers.{name}.router_id"),
            "\n".join(filter(None, (router["loopback"], router["loopback6"]))) or "-",
            " ".join(router["areas"]) or "-",
            router["asn"] or "-",
            len(router["sessions"]),
            len(router["routes"]),
            "the fabric" if router["managed"] else "others",
        )
        for name, router in plan["routers"].items()
    ]
    links = [_link(link) for link in plan["links"]]
    return [
        table(
            "Routers",
            ("Router", "Router id", "Loopback", "Areas", "AS", "Sessions", "Routes", "Configured by"),
            routers,
            width,
        ),
        table("Links", ("Link", "Ends", "Addresses", "Subnet", "Area", "Cost", "MTU", "Secret"), links, width),
    ]


def _tunnels(plan: dict[str, t.Any], marked: Marked, width: int) -> str:
    """One row a tunnel, with both its ends."""
    ends = {(name, tunnel["name"]): tunnel for name, host in plan["hosts"].items() for tunnel in host["tunnels"]}
    rows = []
    for overlay in plan["overlays"]:
        key = f"overlays.{overlay['name']}"
        for one, other in overlay["tunnels"]:
            found = [ends[here, planned_tunnel(overlay, here, there)] for here, there in ((one, other), (other, one))]
            rows.append(
                (
                    f"{one}:{found[0]['name']}\n{other}:{found[1]['name']}",
                    f"{tep_address(plan, one)}\n{found[0]['remote_ip']}",
                    marked(overlay["encapsulation"], f"{key}.encapsulation"),
                    "the segment's" if overlay["segments_by"] == "key" else marked(overlay["key"], f"{key}.key"),
                    "none" if overlay["segments_by"] == "key" else ranges(found[0]["trunks"]) or "all",
                    marked(overlay["loop_guard"], f"{key}.loop_guard"),
                )
            )
    return table("Tunnels", ("Ends", "From, to", "Type", "Key", "VLANs (0: untagged)", "Loop guard"), rows, width)
