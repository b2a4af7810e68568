# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FRR's configuration and routes on a host: a route that FRR knows and that the kernel does not have. Pure.

This file is private to the collection. Source: FRR's manual, zebra.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._frr.setting import Config, parse
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.crossing import inside
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import SITE, Died, View

Item = t.Dict[str, t.Any]

# What zebra has from the kernel itself.
KERNELS = ("connected", "kernel", "local")


def config(view: View, host: str) -> Config | None:
    """FRR's running configuration on a host; None where it was not read."""
    text = view.frr(host).get("running_config")
    return parse(text) if text else None


def withheld(view: View, host: str, target: str) -> Died | None:
    """Why the kernel has no route to an address that FRR has one to; None where FRR has none, or was not read."""
    rows = view.frr(host).get("routes") or ()
    known = [
        row
        for row in rows
        if row["vrf"] == "default" and row["protocol"] not in KERNELS and inside(target, row["prefix"])
    ]
    row = max(known, key=_length, default=None)
    if row is None:
        return None
    hop: Item = next(iter(row["nexthops"]), {})
    via = f"via {hop.get('address')} dev {hop.get('interface')}"
    planned = f"{row['prefix']} {via}"
    if row["selected"] and any(one["installed"] for one in row["nexthops"]):
        said = f"the kernel of {host} has no route to {target}, though FRR has given it one by {row['protocol']}: somebody has deleted it there"
        again = f"ip route add {row['prefix']} {via} proto {row['protocol']} metric 20"
        return Died("no-route", said, planned, f"on {host}: {again}")
    line = _mapped(view, host, row)
    said = f"FRR on {host} knows a route to {target} by {row['protocol']}, and keeps it from the kernel"
    if line:
        gone = f"vtysh -c 'configure terminal' -c 'no {line}'"
        return Died(
            "no-route", f"{said}: it has the line '{line}'", planned, f"on {host}: {gone}; {SITE} makes it last"
        )
    why = (
        "" if any(one["active"] for one in row["nexthops"]) else f": its next hop {hop.get('address')} is not reachable"
    )
    return Died("no-route", f"{said}{why}", planned, f"on {host}: vtysh -c 'show ip route {target}'")


def static(view: View, host: str, to: str) -> str | None:
    """The line of FRR's configuration that a route of the kernel to a prefix is of; to: as the kernel writes it."""
    prefix = ("::/0" if ":" in to else "0.0.0.0/0") if to == "default" else to
    prefix = prefix if "/" in prefix else f"{prefix}/{128 if ':' in prefix else 32}"
    begins = (f"ip route {prefix} ", f"ipv6 route {prefix} ")
    return next((line for line in (config(view, host) or {}).values() if line.startswith(begins)), None)


def _length(row: Item) -> int:
    return int(row["prefix"].partition("/")[2])


def _mapped(view: View, host: str, row: Item) -> str | None:
    """The line by which zebra filters the routes of a protocol."""
    word = "ipv6" if ":" in row["prefix"] else "ip"
    begins = tuple(f"{word} protocol {protocol} route-map " for protocol in (row["protocol"], "any"))
    return next((line for line in (config(view, host) or {}).values() if line.startswith(begins)), None)
