# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drift of a fabric: what the tasks of its roles found in check mode, and what others have on its hosts. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._drift.differences import differences
from ansible_collections.overloom.fabric.plugins.plugin_utils._outputs.entries import restart_sentence
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.ovn import expected_members, member_rows

Item = t.Dict[str, t.Any]

# The roles of site.yml keep the result of each task that changes a host under a name of this form; a unit test holds them to it.
KEPT = re.compile(r"(?:kvm_host|ovn_central|ovn_chassis|frr_router|linux_guest|veos_guest|chr_guest)_made_(\w+)")
# Concerns whose things have a name alone, and the word before it.
KINDS = {
    **dict.fromkeys(("namespaces", "moved_namespaces"), "namespace"),
    "tables": "nftables",
    **dict.fromkeys(("containers", "former_containers", "moved_containers"), "container"),
    **dict.fromkeys(("dhcp_servers", "former_dhcp_servers"), "DHCP server"),
    **dict.fromkeys(("dhcp_clients", "former_dhcp_clients"), "DHCP client"),
    **dict.fromkeys(("vrrp", "former_vrrp"), "VRRP router"),
    **dict.fromkeys(("uplinks", "former_uplinks"), "router of an edge"),
    **dict.fromkeys(("services", "former_services", "moved_services"), "service"),
    "guests": "guest",
    "started": "guest",
    "former_guests": "guest",
    "arriving_guests": "guest",
    "moved_guests": "guest",
    "networks": "network",
    "unused_portgroups": "network",
    "interfaces": "interface",
    "no_interfaces": "interface",
    "bridges": "bridge",
    "unused_bridges": "bridge",
    "tunnels": "tunnel",
    "kernel_parameters": "kernel parameters",
    "no_kernel_parameters": "kernel parameters",
    "flows": "flows",
    **dict.fromkeys(("northbound", "no_northbound"), "OVN"),
    **dict.fromkeys(("listeners", "no_listeners"), "OVN's database"),
    **dict.fromkeys(("chassis", "no_chassis"), "chassis"),
    **dict.fromkeys(("databases", "controller"), "service"),
    "bird": "service",
    "switch": "service",
    "libvirt": "service",
    **dict.fromkeys(("static", "ospf", "bgp", "rip", "no_static", "no_ospf", "no_bgp", "no_rip"), "FRR"),
}


def report(plan: Item, seen: t.Mapping[str, Item]) -> Item:
    """What differs, what is orphaned, and what is others', as plain data.

    seen: for each host `others` (what ownership_info returned), `failed` (tasks that could not compare), `made` (results by name), and `members` (what
    ovn_info returned of a cluster).
    """
    hosts = {name: _reached(found) for name, found in seen.items()}
    failed = [{"host": name, **entry} for name, found in seen.items() for entry in found["failed"]]
    found = _differences(plan, seen)
    orphaned = [one for one in found if one["kind"] == "orphaned"]
    differing = [one for one in found if one["kind"] != "orphaned"]
    foreign = [{"host": name, **thing} for name in seen for thing in seen[name]["others"].get("others", ())]
    restarts = [one for name in seen for one in _restarts(name, seen[name]["made"])]
    compared = all(state == "compared" for state in hosts.values())
    return {
        "fabric": plan["fabric"],
        "passed": compared and not (failed or differing or orphaned or restarts),
        "hosts": hosts,
        "failed": failed,
        "differing": differing,
        "orphaned": orphaned,
        "restarts": restarts,
        "foreign": foreign,
        "repairs": [repair for name in seen for repair in _repairs(name, seen[name]["made"])],
    }


def _reached(found: Item) -> str:
    """Whether a host was compared, in words."""
    others = found["others"]
    if others.get("unreachable"):
        return f"down: {others.get('msg', '')}".rstrip(": ")
    if found["failed"]:
        return "not compared as a whole"
    return f"not read: {others.get('msg', '')}" if "others" not in others else "compared"


def _differences(plan: Item, seen: t.Mapping[str, Item]) -> list[Item]:
    """What differs on all hosts: first what tasks would change, then what clusters miss."""
    found: list[Item] = []
    for name, host in seen.items():
        found += _of_host(name, host["made"])
    for name, host in seen.items():
        found += _cluster(plan, name, host["members"]) if host.get("members") else []
    return found


def _of_host(host: str, made: t.Mapping[str, Item]) -> list[Item]:
    """The differences of a host, each once: a role may look at a thing in two tasks."""
    found: list[Item] = []
    for name, result in made.items():
        concern = _concern(name)
        for one in differences(concern, result):
            entry = {"host": host, "concern": concern, **one, "thing": _called(concern, one["thing"])}
            if (entry["thing"], entry["details"]) not in [(other["thing"], other["details"]) for other in found]:
                found.append(entry)
    return found


def _cluster(plan: Item, host: str, read: Item) -> list[Item]:
    """What a host's servers miss of the cluster that they are members of, which no task mends. Those of a host that is none yet, the tasks tell."""
    wanted = expected_members(plan["hosts"].get(host) or {"ovn_central": None})
    found = []
    for name, row in member_rows(read, wanted).items():
        details = [
            {"option": option, "is": row[option], "planned": value}
            for option, value in wanted[name].items()
            if row[option] != value
        ]
        if details:
            found.append(
                {"host": host, "concern": "cluster", "thing": f"cluster {name}", "kind": "differs", "details": details}
            )
    return found


def _restarts(host: str, made: t.Mapping[str, Item]) -> list[Item]:
    """The guests that run as they were before a change, however long ago it was made."""
    waiting = {
        guest: options for result in made.values() for guest, options in result.get("restart_required", {}).items()
    }
    return [
        {
            "host": host,
            "guest": guest,
            "options": options,
            "msg": restart_sentence({"host": host, "name": f"{host}/{guest}", "restart_required": options}),
        }
        for guest, options in waiting.items()
    ]


def _concern(name: str) -> str:
    match = KEPT.fullmatch(name)
    return match[1] if match else name


def _called(concern: str, thing: str) -> str:
    """A thing as a person calls it."""
    kind = KINDS.get(concern, "")
    return thing if not kind or thing.split(" ", 1)[0] == kind.split(" ", 1)[0] else f"{kind} {thing}"


def _repairs(host: str, made: t.Mapping[str, Item]) -> list[Item]:
    """The commands by which site.yml would mend a host."""
    return [
        {"host": host, "concern": _concern(name), "commands": result["commands"]}
        for name, result in made.items()
        if result.get("changed") and result.get("commands")
    ]
