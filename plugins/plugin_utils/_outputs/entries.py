# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fabric gives its user: endpoints and routers, where they are, and how to get into them. Pure: plan in, data out.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.tables import table

Item = t.Dict[str, t.Any]

# Guests that are managed over the network, by their first NIC.
DEVICES = ("veos", "chr")


def outputs(plan: Item) -> list[Item]:
    """The endpoints and routers of a plan. console: the command that leads into one on its host, or None."""
    roles = {
        f"{host}/{guest['name']}": guest["role"] for host, here in plan["hosts"].items() for guest in here["guests"]
    }
    found = []
    for point in plan["endpoints"]:
        space = point.get("namespace", point["name"])
        console = f"virsh console {point['name']}" if point["kind"] == "guest" else f"ip netns exec {space} sh"
        if point.get("container"):
            console = f"{point['container']['engine']} exec -it {point['container']['name']} sh"
        role = roles.get(point["id"])
        found.append(
            {
                "name": point["id"],
                "kind": point["kind"],
                "role": role,
                "host": point["host"],
                "segment": point["segment"],
                "mac": point["mac"],
                "addresses": [address for end in (point, *point.get("nics", ())) for address in _addresses(end)],
                "management": point["address"] or point["address6"] if role in DEVICES else None,
                "console": console,
            }
        )
    return found + [_router(name, router) for name, router in plan.get("routers", {}).items()]


def _addresses(end: Item) -> list[str]:
    """Addresses of a NIC with their prefix lengths."""
    return [f"{end[name]}/{end[name.replace('address', 'prefix')]}" for name in ("address", "address6") if end[name]]


def _router(name: str, router: Item) -> Item:
    return {
        "name": name,
        "kind": "router",
        "role": None,
        "host": name,
        "segment": None,
        "mac": None,
        "addresses": [router[key] for key in ("loopback", "loopback6") if router[key]],
        "management": None,
        "console": "vtysh" if router["managed"] else None,
    }


def told(found: list[Item], restarts: dict[str, dict[str, list[str]]]) -> list[Item]:
    """The outputs of the hosts that were reached. restarts: each of them with its guests that need a restart, and the options that wait for it."""
    return [
        {
            **output,
            "restart_required": restarts[output["host"]].get(output["name"].partition("/")[2], [])
            if output["kind"] == "guest"
            else [],
        }
        for output in found
        if output["host"] in restarts
    ]


def restart_sentence(output: Item) -> str:
    """What a person is told of a guest that does not run yet as it is declared."""
    name = output["name"].partition("/")[2]
    return (
        f"{output['host']}: guest {name} still runs as it was before a change of {', '.join(output['restart_required'])}, which needs a restart;"
        f" set guest.restart: true for {name} in fabric_endpoints and run this again, or restart it by hand"
    )


def render(found: list[Item], width: int = 100, most: int = 50) -> str:
    """The outputs as a table, of at most so many rows."""
    rows = [
        (
            e["name"],
            e["kind"] + ", restart needed" * bool(e.get("restart_required")),
            e.get("segment") or "-",
            ", ".join(e["addresses"]) or "-",
            f"on {e['host']}: {e['console']}" if e["console"] else "-",
        )
        for e in found
    ]
    more = f"  and {len(rows) - most} more: playbooks/plan.yml -e plan_query=outputs\n" if len(rows) > most else ""
    return table("Outputs", ("What", "Kind", "Segment", "Addresses", "Console"), rows[:most], width) + more
