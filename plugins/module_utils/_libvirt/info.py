# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What libvirt has, typed. This file is private to the collection."""

from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ET

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt import domain_plan, network_plan
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import asked, connect
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.devices import view_nic
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.pools import pool_state, read_pools
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.xml import attribute, parse_vlan, shown_size
from ansible_collections.overloom.fabric.plugins.module_utils._owner import DEFAULT_OWNER
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Module, module_runner

GATHER = ("domains", "host", "networks", "pools")


def interfaces(live: ET.Element | None) -> list[dict[str, t.Any]]:
    """The NICs of a running guest as they are: the host's end, the bridge, the VLANs."""
    found = []
    for nic in [] if live is None else live.findall("devices/interface"):
        seen = view_nic(nic)
        entry = {key: seen[key] for key in ("mac", "dev", "network", "portgroup", "link", "mtu")}
        found.append({**entry, "bridge": attribute(nic, "source", "bridge") or "", **parse_vlan(nic)})
    return found


def run(module: Module) -> t.NoReturn:
    """The whole of libvirt_info."""
    params, runner = module.params, module_runner(module)
    owner = params["owner"]
    result: dict[str, dict[str, t.Any]] = {}
    try:
        connection = connect(params["uri"])
        if "domains" in params["gather"]:
            domains = domain_plan.read_domains(connection)
            typed = domain_plan.state_of(domains, domains, {})
            result["domains"] = {
                name: {**entry, "interfaces": interfaces(domains[name].live)}
                for name, entry in sorted(typed.items())
                if owner in (None, entry["owner"])
            }
        if "networks" in params["gather"]:
            networks = network_plan.read_networks(connection)
            typed = network_plan.state_of(networks, networks, {})
            result["networks"] = {
                name: entry for name, entry in sorted(typed.items()) if owner in (None, entry["owner"])
            }
        if "pools" in params["gather"]:
            pools = pool_state(read_pools(connection), owner or DEFAULT_OWNER)
            result["pools"] = {name: entry for name, entry in sorted(pools.items()) if owner is None or entry["owned"]}
        if "host" in params["gather"]:
            number = asked("libvirt's version cannot be read", connection.getLibVersion)
            info = asked("the host cannot be read", connection.getInfo)
            result["host"] = {
                "libvirt": f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}",
                "memory": shown_size(info[1] * 2**20),
                "cpus": info[2],
                "accelerator": domain_plan.try_kvm(connection, runner),
            }
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    module.exit_json(changed=False, spawned=runner.spawned, **result)
