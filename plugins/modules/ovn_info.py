#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_info
short_description: Read OVN's chassis, port bindings, progress, and northbound database
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Reads OVN's databases on this host, with one process for each of them that is asked for, and changes nothing.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  gather:
    description:
      - What to read. V(chassis), V(bindings) and V(progress) come from the southbound database, V(northbound) from the northbound one. V(cluster) is
        what the servers of both say of the cluster they are in, as M(overloom.fabric.ovn_database) returns it; of a
        stand-alone one, also how many C(rows) it has by somebody's intent.
    type: list
    elements: str
    choices: [chassis, bindings, progress, northbound, cluster]
    default: [chassis, bindings, progress]
  owner:
    description: Of the northbound database, only the rows of this owner; all rows if it is left out.
    type: str
  timeout:
    description: For how many seconds each call may take.
    type: int
    default: 60
requirements:
  - OVN 23.03 or newer with its commands C(ovn-nbctl) and C(ovn-sbctl)
seealso:
  - module: overloom.fabric.ovn_northbound
"""

EXAMPLES = r"""
- name: Which chassis has not taken up the last change?
  overloom.fabric.ovn_info:
    gather: [chassis, progress]
  register: ovn

- name: Say so
  ansible.builtin.debug:
    msg: "{{ ovn.chassis | selectattr('lag', 'gt', 0) | map(attribute='name') }}"
"""

RETURN = r"""
chassis:
  description: All chassis.
  returned: when asked for
  type: list
  elements: dict
  contains:
    name:
      description: Name.
      type: str
      sample: kvm1
    hostname:
      description: Name of the host, as it says itself.
      type: str
    encapsulations:
      description: Encapsulations that others may use towards it.
      type: list
      elements: str
      sample: [geneve]
    address:
      description: Address to which tunnel packets go.
      type: str
    nb_cfg:
      description: Number of the last change of the northbound database that it has taken up.
      type: int
    lag:
      description: How many changes it is behind.
      type: int
      sample: 0
bindings:
  description: All logical ports.
  returned: when asked for
  type: list
  elements: dict
  contains:
    name:
      description: Name of the logical port.
      type: str
      sample: web1
    type:
      description: Its type in the southbound database, such as V(patch) for what joins a switch and a router; empty for a guest, container or namespace.
      type: str
    chassis:
      description: Chassis that serves it, or null.
      type: str
    up:
      description: Whether its flows are in place.
      type: bool
progress:
  description: C(nb_cfg) is the number of the last change that C(ovn-northd) has brought into the southbound database; C(slow), the chassis that are behind.
  returned: when asked for
  type: dict
  sample: {nb_cfg: 7, slow: []}
northbound:
  description: The objects of the northbound database, by the options of M(overloom.fabric.ovn_northbound).
  returned: when asked for
  type: dict
cluster:
  description: What each database is, and as a member of a cluster, of what servers that is and which of them is the leader.
  returned: when asked for
  type: dict
  sample: {northbound: {model: standalone, rows: 7}, southbound: {model: standalone, rows: 0}}
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ovn.gather import info_argument_spec, run


def main() -> None:
    """Ansible's entry."""
    run(AnsibleModule(argument_spec=info_argument_spec(), supports_check_mode=True))


if __name__ == "__main__":
    main()
