#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Read what the roles need to know of a host
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Reads a host's distribution, missing commands, services, interfaces, and whether its kernel has Open vSwitch's datapath.
  - Takes a few milliseconds and starts one process at the most, where the full set of facts takes a second.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  commands:
    description: Commands that should be there; those that are not are returned in RV(missing_commands).
    type: list
    elements: str
    default: []
  services:
    description: systemd units whose state is wanted.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: See what the host has
  overloom.fabric.host_info:
    commands: [ovs-vsctl, ip]
    services: [openvswitch-switch.service]
  register: host
"""

RETURN = r"""
distribution:
  description: The distribution, after os-release(5).
  returned: always
  type: dict
  sample: {id: ubuntu, like: [debian], version: "24.04"}
datapath_type:
  description:
    - V(system) when the kernel has Open vSwitch's datapath, else V(netdev), the one in user space.
  returned: always
  type: str
  sample: system
missing_commands:
  description: Those of O(commands) that are not installed.
  returned: always
  type: list
  elements: str
  sample: [ovs-vsctl]
services:
  description: For each of O(services), whether it exists, is active, and is enabled.
  returned: always
  type: dict
  sample: {openvswitch-switch.service: {exists: true, active: true, enabled: true}}
interfaces:
  description: The host's interfaces by name. C(arp_ignore) is the kernel's setting of that name; V(0) answers for every address of the host.
  returned: always
  type: dict
  sample: {eth0: {mtu: 1500, up: true, physical: true, arp_ignore: 0}}
memory:
  description: The host's memory in bytes.
  returned: always
  type: int
  sample: 16777216000
default_routes:
  description: Interface and gateway of each IPv4 and IPv6 default route.
  returned: always
  type: list
  elements: dict
  sample: [{interface: eth0, gateway: 192.0.2.1}]
reached_by:
  description: The interface with the address at which SSH reached the host, or V(null) when that is not known or the connection is another.
  returned: always
  type: str
  sample: eth0
ovs_database:
  description: Whether there is a database of Open vSwitch, running or not.
  returned: always
  type: bool
  sample: true
ovs_running:
  description:
    - Whether Open vSwitch's database and its daemon answer. systemd does not know when they were started by C(ovs-ctl).
  returned: always
  type: bool
  sample: true
ovs_contained:
  description:
    - A process of C(ovs-vswitchd) that works in the host's network and has a run folder of its own, as a container of a Kubernetes network.
    - V(null) when there is none.
  returned: always
  type: int
  sample: 4711
neighbor_limits:
  description:
    - How many entries the kernel's neighbor table of each address family holds, all network namespaces together. When it is full, packets are dropped.
    - Empty where that cannot be read, as in a container.
  returned: always
  type: dict
  sample: {ipv4: 1024, ipv6: 1024}
flows:
  description: Bridges on which M(overloom.fabric.ovs_flow) keeps something for an owner.
  returned: always
  type: list
  elements: dict
  sample: [{bridge: br-int, owner: myfabric}]
containers:
  description: Containers that M(overloom.fabric.netns_container) runs for an owner.
  returned: always
  type: list
  elements: dict
  sample: [{name: web, owner: myfabric}]
frr:
  description: Modules such as M(overloom.fabric.frr_ospf) that keep something in FRR's configuration for an owner.
  returned: always
  type: list
  elements: dict
  sample: [{module: frr_ospf, owner: myfabric}]
placed:
  description: Services that M(overloom.fabric.netns_service) has placed in network namespaces for an owner.
  returned: always
  type: list
  elements: dict
  sample: [{name: nginx.service, owner: myfabric, namespace: web}]
dhcp:
  description: DHCP servers and clients that M(overloom.fabric.netns_dnsmasq) and M(overloom.fabric.netns_udhcpc) run for an owner.
  returned: always
  type: list
  elements: dict
  sample: [{kind: client, name: web, owner: myfabric}]
vrrp:
  description: VRRP routers that M(overloom.fabric.netns_keepalived) runs for an owner.
  returned: always
  type: list
  elements: dict
  sample: [{name: edge, owner: myfabric}]
uplinks:
  description: Routers that M(overloom.fabric.netns_bird) runs for an owner.
  returned: always
  type: list
  elements: dict
  sample: [{name: edge, owner: myfabric}]
takeovers:
  description: NICs whose addresses M(overloom.fabric.ovs_takeover) has moved to a bridge for an owner.
  returned: always
  type: list
  elements: dict
  sample: [{name: eth0, owner: myfabric, bridge: br-underlay}]
host_network:
  description: Bonds, VLANs and NICs that M(overloom.fabric.host_network) keeps in the host's own configuration for an owner.
  returned: always
  type: list
  elements: dict
  sample: [{name: bond0, owner: myfabric, manager: networkd}]
tables:
  description: Tables of nftables that M(overloom.fabric.nft_table) keeps for an owner.
  returned: always
  type: list
  elements: dict
  sample: [{netns: edge, family: inet, name: edge, owner: myfabric}]
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._host import (
    OVS_DATABASES,
    contained_switch,
    content,
    frr_notes,
    interface_of,
    kernel_has_module,
    missing_commands,
    neighbor_limits,
    parent_environments,
    parse_memory,
    parse_os_release,
    parse_routes,
    parse_routes6,
    parse_units,
    read_interfaces,
    ssh_address,
    switch_runs,
)
from ansible_collections.overloom.fabric.plugins.module_utils._host_network.reader import read_notes
from ansible_collections.overloom.fabric.plugins.module_utils._nft.table import noted_tables
from ansible_collections.overloom.fabric.plugins.module_utils._service.dropin import noted
from ansible_collections.overloom.fabric.plugins.module_utils._service.reader import read_dropins
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import read_units


def _notes(kind: str) -> list[dict[str, str]]:
    return [unit.notes() for unit in read_units(kind).values()]


def _named(kind: str) -> list[dict[str, str]]:
    """The units of a kind, by name and owner."""
    return [{"name": notes["Name"], "owner": notes["Owner"]} for notes in _notes(kind)]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "commands": {"type": "list", "elements": "str", "default": []},
            "services": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    services = {}
    if module.params["services"]:
        command = [
            "systemctl",
            "show",
            "--property=Id,LoadState,ActiveState,UnitFileState",
            "--",
            *module.params["services"],
        ]
        services = parse_units(module.run_command(command)[1])
    with open("/etc/os-release", encoding="utf-8") as stream:
        distribution = parse_os_release(stream.read())
    default_routes = parse_routes(content("/proc/net/route")) + parse_routes6(content("/proc/net/ipv6_route"))
    interfaces = read_interfaces()
    reached_at = ssh_address(parent_environments())
    module.exit_json(
        changed=False,
        distribution=distribution,
        datapath_type="system" if kernel_has_module("openvswitch") else "netdev",
        missing_commands=missing_commands(module.params["commands"]),
        services=services,
        interfaces=interfaces,
        memory=parse_memory(content("/proc/meminfo")),
        default_routes=default_routes,
        reached_by=interface_of(reached_at, interfaces, content("/proc/net/if_inet6")) if reached_at else None,
        ovs_database=any(os.path.exists(path) for path in OVS_DATABASES),
        ovs_running=switch_runs(),
        ovs_contained=contained_switch(),
        neighbor_limits=neighbor_limits(),
        flows=[{"bridge": notes["Bridge"], "owner": notes["Owner"]} for notes in _notes("flows")],
        placed=[{"name": name, **noted(text)._asdict()} for name, text in read_dropins().items()],
        containers=_named("container"),
        frr=frr_notes(),
        dhcp=[
            {"kind": kind, "name": notes["Name"], "owner": notes["Owner"]}
            for kind, unit_kind in (("server", "dnsmasq"), ("client", "udhcpc"))
            for notes in _notes(unit_kind)
        ],
        vrrp=_named("keepalived"),
        uplinks=_named("bird"),
        takeovers=[
            {"name": notes["Name"], "owner": notes["Owner"], "bridge": notes["Bridge"]}
            for notes in _notes("takeover")
            if "Owner" in notes
        ],
        host_network=[one._asdict() for one in read_notes()],
        tables=noted_tables(read_units("nft").values()),
    )


if __name__ == "__main__":
    main()
