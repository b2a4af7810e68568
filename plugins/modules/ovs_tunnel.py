#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_tunnel
short_description: Manage tunnels of Open vSwitch
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Creates, changes and removes tunnel ports of Open vSwitch bridges, hundreds in one transaction of C(ovs-vsctl).
  - Takes one tunnel as plain options, or any number of them as O(tunnels).
  - An option that is left out leaves things as they are; an empty value clears; a value makes it so. Whatever was
    changed by hand is repaired.
  - A tunnel that could not work is refused before anything changes, with one sentence that says why. What Open vSwitch
    reports only after the change is an error of the task, and a new tunnel that came to nothing is removed again.
  - Tunnels made here carry the mark of O(owner) in their C(external_ids). Others are never removed, and what others set on them is
    changed only with O(adopt=true), which remembers the former settings. O(state=absent) and O(purge) give them back.
  - All tunnels of a call are one transaction. Only beyond some four thousand new tunnels, where the kernel's limit for
    the arguments of a command comes near, they become several, each of which is done as a whole or not at all.
  - Each option's meaning is that of ovs-vswitchd.conf.db(5).
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
  - overloom.fabric.database
  - overloom.fabric.ovs
  - overloom.fabric.ovs_tunnel
options:
  check_route:
    description:
      - Refuse a tunnel to whose O(remote_ip) the host has no route in its main table. In check mode it is a warning.
      - Turn it off where the route comes up later, or where policy routing leads to it.
    type: bool
    default: true
seealso:
  - module: overloom.fabric.ovs_tunnel_info
  - module: overloom.fabric.ovs_bridge
"""

EXAMPLES = r"""
- name: A GRE tunnel that is a trunk of three VLANs
  overloom.fabric.ovs_tunnel:
    bridge: br2
    name: gre0
    type: gre
    remote_ip: 192.168.200.21
    trunks: [10, 20, 30]

- name: A mesh of VXLAN tunnels without loops, watched by BFD, and no other tunnel of ours
  overloom.fabric.ovs_tunnel:
    purge: true
    tunnels:
      - bridge: br-int
        name: vx-kvm2
        type: vxlan
        key: 100
        remote_ip: 192.168.200.21
        local_ip: 192.168.200.20
        protected: true
        bfd: {enable: true, min_rx: 300, min_tx: 300}
      - bridge: br-int
        name: vx-kvm3
        type: vxlan
        key: 100
        remote_ip: 192.168.200.22
        local_ip: 192.168.200.20
        protected: true
        bfd: {enable: true, min_rx: 300, min_tx: 300}

- name: One tunnel for all peers, set by OpenFlow
  overloom.fabric.ovs_tunnel:
    bridge: br-int
    name: gnv0
    type: geneve
    remote_ip: flow
    key: flow

- name: Remove a tunnel
  overloom.fabric.ovs_tunnel:
    name: gre0
    state: absent
"""

RETURN = r"""
tunnels:
  description:
    - The declared tunnels as they are now. In check mode, as they were found.
    - Each holds what is listed here, and the options that all ports share, typed.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The tunnel port's name.
      type: str
      sample: gre0
    bridge:
      description: The bridge that it hangs in.
      type: str
      sample: br2
    owner:
      description: Whose mark it carries.
      type: str
    type:
      description: The encapsulation.
      type: str
      sample: gre
    options:
      description: The tunnel's options as Open vSwitch holds them, with secrets masked.
      type: dict
      sample: {"remote_ip": "192.168.200.21", "key": "100"}
    ofport:
      description: The OpenFlow port number; -1 if Open vSwitch could not set it up.
      type: int
      sample: 1
    error:
      description: What Open vSwitch says is wrong with the tunnel, if so.
      type: str
    bfd_status:
      description: The state of BFD, empty when it is off.
      type: dict
      sample: {"state": "up", "forwarding": "true"}
    egress_interface:
      description: The interface by which packets to the other end leave, if Open vSwitch says so.
      type: str
      sample: tep0
commands:
  description: The commands that were executed, or would be in check mode, in order.
  returned: always
  type: list
  elements: str
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import ovs_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tunnel import run, tunnel_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    """Ansible's entry."""
    single = tunnel_argument_spec()
    item = dict(single, name={"type": "str", "required": True})
    module = AnsibleModule(
        argument_spec={
            "tunnels": {"type": "list", "elements": "dict", "options": item},
            "check_route": {"type": "bool", "default": True},
            **single,
            **ovs_argument_spec(),
            **owner_argument_spec(),
        },
        mutually_exclusive=[("tunnels", name) for name in single if name != "state"],
        required_one_of=[("tunnels", "name")],
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()
