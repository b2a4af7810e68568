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
    """Why FRR keeps its route to an address from the kernel; None where it does not, has none, or was not read."""
    row = _route(view, host, target)
    if row is None or _installed(row):
        return None
    line, hop = _mapped(view, host, row), _hop(row)
    said = f"FRR on {host} knows a route to {target} by {row['protocol']}, and keeps it from the kernel"
    if line:
        gone = f"vtysh -c 'configure terminal' -c 'no {line}'"
        because = f"{said}: it has the line '{line}'"
        return Died("no-route", because, _in_words(row), f"on {host}: {gone}; {SITE} makes it last")
    reached = any(one["active"] for one in row["nexthops"])
    why = "" if reached else f": its next hop {hop.get('address')} is not reachable"
    look = f"on {host}: vtysh -c 'show ip route {target}'"
    return Died("no-route", f"{said}{why}", _in_words(row), look, settles=True)


def deleted(view: View, host: str, target: str) -> Died | None:
    """A route to an address that FRR has given to the kernel, which has none; None where FRR has none, or was not read."""
    row = _route(view, host, target)
    if row is None or not _installed(row):
        return None
    said = f"the kernel of {host} has no route to {target}, though FRR has given it one by {row['protocol']}: somebody has deleted it there"
    again = f"ip route add {_in_words(row)} proto {row['protocol']} metric 20"
    # FRR and the kernel are not read at the same moment.
    return Died("no-route", said, _in_words(row), f"on {host}: {again}", settles=True)


def _route(view: View, host: str, target: str) -> Item | None:
    """FRR's own route to an address."""
    known = [
        row
        for row in view.frr(host).get("routes") or ()
        if row["vrf"] == "default" and row["protocol"] not in KERNELS and inside(target, row["prefix"])
    ]
    return max(known, key=_length, default=None)


def _installed(row: Item) -> bool:
    return bool(row["selected"]) and any(one["installed"] for one in row["nexthops"])


def _hop(row: Item) -> Item:
    return next(iter(row["nexthops"]), {})


def _in_words(row: Item) -> str:
    return f"{row['prefix']} via {_hop(row).get('address')} dev {_hop(row).get('interface')}"


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
