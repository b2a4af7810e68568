# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a session of BGP does not stand: what differs at either end from the plan. Pure.

This file is private to the collection. Source: RFC 4271, section 6.2.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.path import View

Item = t.Dict[str, t.Any]

# What is left where both ends are as planned.
ALIKE = "; both ends are as planned but for what FRR does not show: a password of one of them, its source address, or what lies between"
FAMILIES = {"ipv4_unicast": "ipv4Unicast", "ipv6_unicast": "ipv6Unicast"}


class Difference(t.NamedTuple):
    """What is not as planned at an end of a session, in words, what is planned, and what mends it."""

    host: str
    has: str
    planned: str
    mend: str


def difference(view: View, here: str, session: Item) -> Difference | None:
    """What of the two ends of a session is not as planned; None where nothing is, or where it was not read."""
    for host, peer, address in ((here, session["peer"], session["remote"]), (session["peer"], here, session["local"])):
        reasons = ((view.seen.get(host) or {}).get("frr") or {}).get("bgp_reasons")
        if reasons is None:
            continue
        row = next((one for one in reasons if one["neighbor"] == address), None)
        found = _of_end(view, host, peer, address, row)
        if found:
            return found
    return None


def _of_end(view: View, host: str, peer: str, address: str, row: Item | None) -> Difference | None:
    routers = view.plan["routers"]
    own, other = str(routers[host]["asn"]), str((routers.get(peer) or {}).get("asn"))

    def mend(*lines: str) -> str:
        words = " ".join(f"-c '{line}'" for line in ("configure terminal", f"router bgp {own}", *lines))
        return f"on {host}: vtysh {words}; ansible-playbook site.yml makes it last"

    if row is None:
        said = f"{host} has no neighbor {address}"
        return Difference(host, said, f"neighbor {address}", mend(f"neighbor {address} remote-as {other}"))
    if row["shut_down"]:
        gone = mend(f"no neighbor {address} shutdown")
        return Difference(host, f"{host} has it shut down", "not shut down", gone)
    if str(row["local_as"]) != own:
        return Difference(host, f"{host} is AS {row['local_as']}", f"AS {own}", "ansible-playbook site.yml")
    if str(row["remote_as"]) != other and other != "None":
        line = mend(f"neighbor {address} remote-as {other}")
        return Difference(host, f"{host} takes {peer} to be AS {row['remote_as']}", f"AS {other}", line)
    for family in _families(view, host, address):
        if FAMILIES.get(family) not in row["families"]:
            words = family.replace("_", " ")
            line = mend(f"address-family {words}", f"neighbor {address} activate")
            return Difference(host, f"{host} has {words} not activated for {peer}", f"{words} activated", line)
    return None


def _families(view: View, host: str, address: str) -> list[str]:
    """The planned address families of a neighbor."""
    instances = (view.plan["routers"][host].get("bgp") or {}).get("instances") or []
    neighbors = [one for instance in instances for one in instance["neighbors"] if one["neighbor"] == address]
    return [family["family"] for one in neighbors for family in one["address_families"] if family.get("activate")]
