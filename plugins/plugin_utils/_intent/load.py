# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The intent as a whole: the variables of all hosts, checked one by one and turned into typed objects.

What needs a look at more than one object (overlaps, meshes, addresses) is the concern of the _plan files.

This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    HOST_VARIABLES,
    ROUTER_VARIABLES,
    Denied,
    Intent,
    Overlay,
    Segment,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.hosts import read_host
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.movable import read_movable, without_movable
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.overlays import read_overlay
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.reading import (
    between,
    items_of,
    matching,
    note,
    unique,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.segments import read_segment
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, conform, suggest
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.underlay import read_underlay

# What may stand in group_vars/all.yml, where hosts outside the fabric have it as well.
_ANYWHERE = ("fabric_adopt",)


def load(
    hosts: dict[str, dict[str, t.Any]],
    spec: dict[str, t.Any],
    problems: list[str],
    routers: dict[str, dict[str, t.Any]] | None = None,
    others: dict[str, dict[str, t.Any]] | None = None,
    places: t.Mapping[str, tuple[str, bool]] | None = None,
) -> Intent:
    """The intent from the variables of the fabric's hosts; what is wrong with them is appended to problems.

    hosts: name to variables (plain data, templates resolved; variables of another prefix are ignored).
    routers: likewise of the hosts that are routers only. others: likewise of all others, which have what is stated for the whole fabric, too.
    spec: the options of roles/plan/meta/argument_specs.yml. places: see read_movable().
    A value that was refused is INVALID in the result.
    """
    given: set[str] = set()
    routers = routers or {}
    common = _common({**hosts, **routers}, spec, problems, given)
    overlays, segments = "fabric_overlays", "fabric_segments"
    underlay = read_underlay(common["fabric_underlay"], given, problems)
    named_overlays = [read_overlay(item, i, underlay, given, problems) for i, item in items_of(common, overlays)]
    named_segments = [read_segment(item, i, problems) for i, item in items_of(common, segments)]
    named = ((overlays, named_overlays), (segments, named_segments))
    refused = {variable for variable, found in named if _is_refused(common[variable], found)}
    max_hosts = between(common["fabric_max_hosts"], 1, 65535, "fabric_max_hosts", problems)
    if max_hosts and max_hosts < len(hosts):
        problems.append(f"fabric_max_hosts is {max_hosts}, but the fabric has {len(hosts)} hosts; raise it.")
        max_hosts = INVALID
    movable = read_movable({**(others or {}), **routers, **hosts}, hosts, spec, problems, given, places or {})
    hosts, routers = ({name: without_movable(found[name]) for name in found} for found in (hosts, routers))
    return Intent(
        name=_fabric_name(common["fabric_name"], problems),
        underlay=underlay,
        overlays=unique([item for item in named_overlays if item.name is not INVALID], overlays, problems),
        segments=unique([item for item in named_segments if item.name is not INVALID], segments, problems),
        max_hosts=max_hosts,
        hosts={name: read_host(name, hosts[name], spec, problems, given, movable) for name in sorted(hosts)},
        denied=[
            Denied(f"fabric_denied[{i}]", item["from"], item["to"], item["probes"])
            for i, item in items_of(common, "fabric_denied")
        ],
        routers={name: read_host(name, routers[name], spec, problems, given) for name in sorted(routers)},
        common=common,
        given=given,
        refused=refused,
    )


def _is_refused(given: t.Any, found: t.Iterable[Overlay | Segment]) -> bool:
    """Whether a list, an item of it or the name of one was refused."""
    return given is INVALID or INVALID in given or any(item.name is INVALID for item in found)


def check_names(hosts: dict[str, dict[str, t.Any]], prefix: str, known: t.Collection[str], problems: list[str]) -> None:
    """Tell each variable with the prefix that does not exist, with the nearest one that does."""
    unknown: dict[str, list[str]] = {}
    for name in sorted(hosts):
        for variable in hosts[name]:
            if variable.startswith(prefix) and variable not in known:
                unknown.setdefault(variable, []).append(name)
    for variable, names in sorted(unknown.items()):
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        problems.append(f"{variable} (of {shown}) is no variable of the {prefix[:-1]}{suggest(variable, known)}")


def check_others(others: dict[str, dict[str, t.Any]], problems: list[str]) -> None:
    """Tell endpoints and ids of hosts that are not in the fabric, where nobody would read them."""
    for name, found in sorted(others.items()):
        variables = without_movable(found)
        for variable in HOST_VARIABLES:
            if variables.get(variable) and variable not in _ANYWHERE:
                group = "routers" if variable in ROUTER_VARIABLES else "kvm_hosts"
                problems.append(
                    f"{name}: {variable} is set, but the host is not in the fabric; put it into the group {group}."
                )


def _common(
    hosts: dict[str, dict[str, t.Any]], spec: dict[str, t.Any], problems: list[str], given: set[str]
) -> dict[str, t.Any]:
    """The variables that are stated once for all hosts."""
    result = {}
    for variable, option in spec.items():
        if variable in HOST_VARIABLES:
            continue
        value, source = None, ""
        for name in sorted(hosts):
            other = hosts[name].get(variable)
            if other is None or other is value:
                continue
            if value is None:
                value, source = other, name
            elif other != value:
                problems.append(
                    f"{variable} differs between {source} and {name}; it holds for the whole fabric, so state it once, in group_vars/all.yml."
                )
                break
        note(value, variable, given)
        result[variable] = conform(value, option, variable, problems)
    return result


def _fabric_name(value: t.Any, problems: list[str]) -> str | t.Any:
    return matching(value, re.compile("[a-z0-9][a-z0-9-]{0,31}"), "a-z, 0-9 and '-'", "fabric_name", problems)
