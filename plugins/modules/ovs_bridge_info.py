#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_bridge_info
short_description: Read Open vSwitch bridges and their ports
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Returns the bridges of Open vSwitch with their ports, typed, by one call of C(ovs-vsctl).
extends_documentation_fragment:
  - overloom.fabric.attributes.info
  - overloom.fabric.database
  - overloom.fabric.ovs
options:
  name:
    description:
      - Only the bridge of exactly this name.
    type: str
  owner:
    description:
      - Only the bridges that carry this owner's mark.
    type: str
seealso:
  - module: overloom.fabric.ovs_bridge
"""

EXAMPLES = r"""
- name: Read all bridges
  overloom.fabric.ovs_bridge_info:
  register: found

- name: Ports that Open vSwitch could not set up
  ansible.builtin.debug:
    msg: "{{ found.bridges | map(attribute='ports') | flatten | rejectattr('error', 'none') }}"
"""

RETURN = r"""
bridges:
  description:
    - The bridges, sorted by name.
    - Each holds the options of M(overloom.fabric.ovs_bridge), typed, and what is listed here.
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
    users:
      description:
        - Users of the bridge besides this collection, in words. Empty for a bridge that nobody else uses.
        - M(overloom.fabric.ovs_bridge) changes a bridge without a mark of the owner only where this is empty,
          or with O(overloom.fabric.ovs_bridge#module:adopt=true).
      type: list
      elements: str
      sample: [fail_mode secure, external_ids ovn-nb_cfg, port tap1, 2 flows with cookie 0xc0ffee]
    flow_count:
      description: Number of its OpenFlow flows, or null if ovs-vswitchd does not answer. A bridge without a flow drops every packet.
      type: int
      sample: 1
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
      description: Its ports, the local one first, with the options that ports have and what is listed here.
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
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.bridge import run_info
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import ovs_argument_spec


def main() -> None:
    """Ansible's entry."""
    module = AnsibleModule(
        argument_spec={"name": {"type": "str"}, "owner": {"type": "str"}, **ovs_argument_spec()},
        supports_check_mode=True,
    )
    run_info(module)


if __name__ == "__main__":
    main()
