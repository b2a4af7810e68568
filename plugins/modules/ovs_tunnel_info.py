#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_tunnel_info
short_description: Read tunnels of Open vSwitch
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Returns the tunnel ports of Open vSwitch with their options, errors and BFD state, typed, by one call of C(ovs-vsctl).
extends_documentation_fragment:
  - overloom.fabric.attributes.info
  - overloom.fabric.database
  - overloom.fabric.ovs
options:
  name:
    description:
      - Only the tunnel of exactly this name.
    type: str
  bridge:
    description:
      - Only the tunnels of exactly this bridge.
    type: str
  type:
    description:
      - Only the tunnels of this type, for example V(gre).
    type: str
  owner:
    description:
      - Only the tunnels that carry this owner's mark.
    type: str
seealso:
  - module: overloom.fabric.ovs_tunnel
"""

EXAMPLES = r"""
- name: Read all tunnels of a bridge
  overloom.fabric.ovs_tunnel_info:
    bridge: br2
  register: found

- name: Tunnels whose other end BFD cannot see
  ansible.builtin.debug:
    msg: "{{ found.tunnels | selectattr('bfd_status') | rejectattr('bfd_status.state', 'eq', 'up') | map(attribute='name') }}"
"""

RETURN = r"""
tunnels:
  description:
    - The tunnels, sorted by name.
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
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import ovs_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.tunnel import run_info


def main() -> None:
    """Ansible's entry."""
    filters = {name: {"type": "str"} for name in ("name", "bridge", "type", "owner")}
    module = AnsibleModule(argument_spec={**filters, **ovs_argument_spec()}, supports_check_mode=True)
    run_info(module)


if __name__ == "__main__":
    main()
