#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_bridge
short_description: Manage Open vSwitch bridges and their ports
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Creates, changes and removes bridges of Open vSwitch with their ports, in one transaction of C(ovs-vsctl).
  - Takes one bridge as plain options, or any number of them as O(bridges).
  - An option that is left out leaves things as they are; an empty value clears; a value makes it so.
  - What Open vSwitch reports only after the change, such as an interface that it cannot open, is an error of the task,
    and what was newly made and came to nothing is removed again.
  - Bridges and ports made here carry the mark of O(owner) in their C(external_ids). Others are never removed.
  - A bridge without that mark which somebody uses (a controller, C(fail_mode) C(secure), flows with other cookies, ports or
    C(external_ids) of others, a mirror, a collector, a spanning tree) is not changed, and neither are its ports, unless O(adopt=true).
    Own ports, tunnels and mirrors can be made on it; a bridge that is declared with O(ports) alone is only their place.
  - A bridge that nobody uses is configured without O(adopt).
  - The former value of each setting that is changed on a bridge or port of others is kept in its C(external_ids). An empty value
    takes the own setting back and leaves what others set. O(state=absent) and O(purge) give the thing back as it was.
  - Open vSwitch drops all flows, groups and meters of a bridge when C(fail_mode) turns to or from C(secure), the first controller comes
    or the last one goes, or the datapath changes. They are put back after such a change.
  - Each option's meaning is that of ovs-vswitchd.conf.db(5).
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
  - overloom.fabric.database
  - overloom.fabric.ovs
  - overloom.fabric.ovs_bridge
seealso:
  - module: overloom.fabric.ovs_bridge_info
  - module: overloom.fabric.ovs_tunnel
"""

EXAMPLES = r"""
- name: An integration bridge in user space
  overloom.fabric.ovs_bridge:
    name: br-int
    datapath_type: netdev
    fail_mode: standalone

- name: An access port, a trunk port and an internal port
  overloom.fabric.ovs_bridge:
    name: br-int
    ports:
      - name: veth-red
        tag: 20
      - name: eth1
        trunks: [10, 20-29]
      - name: tep0
        type: internal
        mtu: 1500
        addresses: [192.168.200.20/24]

- name: Two bridges with a patch cable between them, and nothing else of ours
  overloom.fabric.ovs_bridge:
    purge: true
    bridges:
      - name: br-ex
        ports:
          - {name: to-int, type: patch, peer: to-ex}
      - name: br-int
        ports:
          - {name: to-ex, type: patch, peer: to-int}

- name: A bond with LACP
  overloom.fabric.ovs_bridge:
    name: br-ex
    ports:
      - name: bond0
        members: [eth1, eth2]
        up: true
        bond_mode: balance-tcp
        lacp: active

- name: A port of our own on the bridge of a controller, which stays as it is
  overloom.fabric.ovs_bridge:
    name: br-ovn
    ports:
      - {name: probe0, type: internal, tag: 30}

- name: Take over a bridge made by hand, with its settings remembered
  overloom.fabric.ovs_bridge:
    name: br-ex
    fail_mode: standalone
    adopt: true

- name: Remove a bridge
  overloom.fabric.ovs_bridge:
    name: br-int
    state: absent
"""

RETURN = r"""
bridges:
  description:
    - The declared bridges as they are now. In check mode, as they were found.
    - Each holds the options of this module, typed, and what is listed here.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The bridge's name.
      type: str
      sample: br-int
    owner:
      description: Owner recorded in external_ids, or null.
      type: str
    adopted:
      description: Whether the bridge was there before its owner, so that it is given back and not removed.
      type: bool
    mac_in_use:
      description: The MAC address of its local port.
      type: str
    datapath_id_in_use:
      description: Its OpenFlow datapath identifier.
      type: str
    error:
      description: Why it does not work, if so.
      type: str
    ports:
      description: Its ports, the local one first, with the options of O(ports) and what is listed here.
      type: list
      elements: dict
      contains:
        ofport:
          description: The OpenFlow port number.
          type: int
        error:
          description: What Open vSwitch says is wrong with the port, if so.
          type: str
        mac_in_use:
          description: The interface's MAC address.
          type: str
        mtu_in_use:
          description: The interface's MTU.
          type: int
        link_state:
          description: Whether the link is V(up) or V(down).
          type: str
        interfaces:
          description: Of a bond, its members with their settings, their C(link_state), and C(lacp_current), whether a partner in LACP answers.
          type: list
          elements: dict
commands:
  description: The commands that were executed, or would be in check mode, in order.
  returned: always
  type: list
  elements: str
  sample: ["ovs-vsctl --timeout=60 -- --may-exist add-br br-int -- set Bridge br-int datapath_type=netdev"]
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.bridge import run
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.declaration import bridge_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import ovs_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    """Ansible's entry."""
    single = bridge_argument_spec()
    item = dict(single, name={"type": "str", "required": True})
    module = AnsibleModule(
        argument_spec={
            "bridges": {"type": "list", "elements": "dict", "options": item},
            **single,
            **ovs_argument_spec(),
            **owner_argument_spec(),
        },
        mutually_exclusive=[("bridges", name) for name in single if name != "state"],
        required_one_of=[("bridges", "name")],
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()
