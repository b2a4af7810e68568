# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was read of hosts that were built by hand to the intent that gives just that. Pure: plain data in, plain data out.

This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._import.endpoints import endpoints
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.leftovers import leftovers
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.overlays import Overlay, overlays
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.reading import Host, Note
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.segments import Segment, passing, segments
from ansible_collections.overloom.fabric.plugins.plugin_utils._import.underlay import Underlay, underlay
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import Plan, compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import host_state

Item = t.Dict[str, t.Any]

# Of a port: what it is found in, and no plan sets.
STATES = ("link_state", "members_up", "lacp_partners")


class Imported(t.NamedTuple):
    """What was made of the hosts.

    common: the variables of all hosts. hosts: of each host of the fabric its own. unknown: what was not understood.
    changes: what the plan has otherwise than the hosts, as (host, thing, what is there, what is planned). refused: why there is no plan.
    """

    common: Item
    hosts: dict[str, Item]
    unknown: list[Note]
    changes: list[tuple[str, str, str, str]]
    refused: list[str]


def imported(reads: t.Mapping[str, Item], fabric: str, spec: dict[str, t.Any]) -> Imported:
    """The intent of hosts that were built by hand.

    reads: of each host what the role importer read. fabric: the name of the fabric to be.
    spec: the options of roles/plan/meta/argument_specs.yml.
    """
    notes: list[Note] = []
    hosts = {name: Host(name, reads[name]) for name in sorted(reads)}
    places = underlay(hosts, notes)
    common: Item = {"fabric_name": fabric}
    own: dict[str, Item] = {}
    if places.places:
        meshes = overlays(hosts, places, notes)
        points = [point for name in places.places for point in endpoints(hosts[name], notes)]
        found = segments(points, meshes, places, notes)
        passing(found, meshes, [hosts[name] for name in places.places], notes)
        common.update(_common(places, meshes, found))
        own = {name: _own(name, places, found) for name in places.places}
        own = {name: {**number, **own[name]} for name, number in _numbers(own).items()}
    variables = {name: {**common, **each} for name, each in own.items()}
    plan, refused = _compiled(variables, spec)
    for name, host in plan["hosts"].items() if plan else ():
        notes += leftovers(hosts[name], *_planned(host))
    changes = _changes(plan, reads) if plan else []
    return Imported(common, own, notes, changes, refused)


def _common(places: Underlay, meshes: list[Overlay], found: list[Segment]) -> Item:
    """The variables of all hosts."""
    listed = [overlay.item for overlay in meshes]
    if any(each.item.get("overlay") == "vlan" for each in found):
        listed.append({"name": "vlan", "encapsulation": "vlan"})
    return {
        "fabric_underlay": places.variables(),
        "fabric_overlays": listed,
        "fabric_segments": [each.item for each in found],
    }


def _own(host: str, places: Underlay, found: list[Segment]) -> Item:
    """The variables of a host."""
    listed = []
    for each in found:
        listed += [point.item(each.item["name"]) for point in each.endpoints if point.host == host]
    variables = places.of_host(host)
    return {**variables, "fabric_endpoints": listed} if listed else variables


def _numbers(names: t.Iterable[str]) -> dict[str, Item]:
    """Host ids, where the names' digits tell no two hosts apart; see docs/intent.md, Addresses."""
    listed = sorted(names)
    digits = [re.search(r"[0-9]+$", name.partition(".")[0]) for name in listed]
    ids = {int(found[0]) for found in digits if found and 0 < int(found[0]) < 64}
    if len(ids) == len(listed):
        return {name: {} for name in listed}
    return {name: {"fabric_host_id": number} for number, name in enumerate(listed, 1)}


def _compiled(variables: dict[str, Item], spec: dict[str, t.Any]) -> tuple[Plan | None, list[str]]:
    """The plan of the intent, or why there is none."""
    if not variables:
        return None, []
    try:
        return compile_plan(variables, spec), []
    except PlanError as error:
        return None, error.problems


def _planned(host: Item) -> tuple[set[str], set[str]]:
    """The names of the bridges and ports that the plan has on a host."""
    ports = {port["name"] for bridge in host["bridges"] for port in bridge.get("ports", ())}
    return {bridge["name"] for bridge in host["bridges"]}, ports


def _changes(plan: Plan, reads: t.Mapping[str, Item]) -> list[tuple[str, str, str, str]]:
    """What the plan has otherwise than the hosts, by the judgement of verify."""
    found = []
    for name, host in plan["hosts"].items():
        wanted = host_state(host)
        ports = {port: _without(want, STATES) for port, want in wanted["ports"].items()}
        for check in state.judge(name, {**wanted, "ports": ports, "flows": {}}, reads[name]):
            if not check["passed"]:
                found.append((name, f"{check['kind']} {check['thing']}", check["observed"], check["expected"]))
    return found


def _without(item: Item, names: t.Container[str]) -> Item:
    return {name: value for name, value in item.items() if name not in names}
