# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run of the module netns_veth: what it has to read, and what it finds after the change.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import (
    Settings,
    Veth,
    check_owner,
    declared,
    joined_sysctls,
    sources_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._netns.port import (
    late_ports,
)
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import (
    OVS_BEGIN,
    Found,
    Space,
    describe,
    read_host,
)
from ansible_collections.overloom.fabric.plugins.module_utils._netns.veth import compare
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    ovs_runner,
    read_or_foresee,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    FabricError,
    Runner,
    reconcile,
)


def run(module: t.Any) -> None:
    """Do what the module's parameters say."""
    params = module.params
    settings = Settings(params["owner"], params["adopt"], params["purge"], module.check_mode, frozenset(params["keep"]))
    runner = ovs_runner(module)
    try:
        check_owner(settings.owner)
        veths = declared([params] if params["namespaces"] is None else params["namespaces"])
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=0)
    reconcile(
        module,
        read=lambda: read_host(
            runner,
            lambda spaces, _there: _interests(veths, settings, spaces),
            lambda spaces: _wants_ovs(veths, settings, spaces),
            lambda: read_or_foresee(module, runner, OVS_BEGIN),
            sources_of(veths),
        ),
        compare=lambda found: compare(found, veths, settings),
        runner=runner,
        state=lambda found: {**_state(found, veths), "kept": _kept(found, veths, settings)},
        judge=lambda found: [*_duplicate_addresses(found, veths), *_refused_ports(runner, found, veths)],
    )


def _concerned(veths: t.Sequence[Veth], settings: Settings, spaces: t.Mapping[str, Space]) -> list[str]:
    """The declared namespaces, and those that purge removes."""
    names = sorted({veth.name for veth in veths})
    if not settings.purge:
        return names
    return names + [name for name, space in spaces.items() if space.owner == settings.owner and name not in names]


def _interests(veths: t.Sequence[Veth], settings: Settings, spaces: t.Mapping[str, Space]) -> dict[str, dict[str, str]]:
    """The namespaces to look into, each with the sysctls that are noted or declared of it."""
    wanted: dict[str, dict[str, str]] = {name: {} for name in _concerned(veths, settings, spaces)}
    for name in {veth.name for veth in veths}:
        noted = spaces[name].sysctls if name in spaces else {}
        wanted[name] = {**noted, **(joined_sysctls(veths, name) or {})}
    return wanted


def _wants_ovs(veths: t.Sequence[Veth], settings: Settings, spaces: t.Mapping[str, Space]) -> bool:
    """Whether a port is declared, or was declared of what is removed."""
    if any(veth.bridge is not None or veth.port for veth in veths):
        return True
    noted = [spaces[name].veths for name in _concerned(veths, settings, spaces) if name in spaces]
    return any(kept.bridge for pairs in noted for kept in pairs.values())


def _duplicate_addresses(found: Found, veths: t.Sequence[Veth]) -> list[str]:
    """What the kernel says late: another node has an address."""
    errors = []
    for veth in veths:
        far = found.look(veth.name).interfaces.get(veth.interface or "") if veth.present else None
        if far is not None and far.broken:
            errors.append(f"{veth.what}: another node on the link has the address {', '.join(far.broken)} (RFC 4862)")
    return errors


def _refused_ports(runner: Runner, found: Found, veths: t.Sequence[Veth]) -> list[str]:
    """What ovs-vswitchd says late: a port without its device."""
    outers = [found.outer_of(veth.name, veth.interface) for veth in veths if veth.present and veth.interface]
    return late_ports(runner, found.database, [outer for outer in outers if outer])


def _kept(found: Found, veths: t.Sequence[Veth], settings: Settings) -> list[str]:
    """The namespaces that purge would remove, but for keep."""
    names = {veth.name for veth in veths}
    there = {name for name, space in found.spaces.items() if space.owner == settings.owner}
    return sorted((there & settings.keep) - names) if settings.purge else []


def _state(found: Found, veths: t.Sequence[Veth]) -> dict[str, t.Any]:
    """The declared namespaces that there are."""
    names = dict.fromkeys(veth.name for veth in veths)
    return {"namespaces": [describe(found, name) for name in names if name in found.inside]}
