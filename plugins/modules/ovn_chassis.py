#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_chassis
short_description: Make a host a chassis of OVN
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Sets what C(ovn-controller) reads from the database of the host's Open vSwitch, in one transaction of C(ovs-vsctl), and the chassis' name in
    C(/etc/openvswitch/system-id.conf), from which it is set at each boot.
  - C(ovn-controller) need not be installed yet. With O(name) and O(datapath_type) set beforehand, its first start is right.
  - An option that is left out leaves things as they are; an empty value takes back what this owner has set; a value makes it so.
  - If O(name) changes while C(ovn-controller) runs, it is stopped before and started afterwards, so that no chassis of the old name stays in the
    southbound database.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.database
  - overloom.fabric.ovs
options:
  name:
    description: Name of the chassis (C(system-id)), unique among all chassis.
    type: str
  remotes:
    description: Addresses of the southbound database, such as V(tcp:192.0.2.1:6642); all servers of a cluster.
    type: list
    elements: str
  encapsulations:
    description: Encapsulations that other chassis may use towards this one, the preferred one first.
    type: list
    elements: str
    choices: [geneve, vxlan]
  encapsulation_ip:
    description: Address of this host to which others send tunnel packets.
    type: str
  encapsulation_csum:
    description: Whether tunnel packets have checksums.
    type: bool
  set_local_ip:
    description:
      - Whether tunnel packets are sent from O(encapsulation_ip), whatever interface they leave by. Without it the route decides, and on a routed underlay
        other chassis drop what comes from the address of a link.
    type: bool
  encapsulation_tos:
    description: TOS of tunnel packets, or V(inherit).
    type: str
  bridge:
    description: The integration bridge. V(br-int) if it was never set.
    type: str
  datapath_type:
    description: Datapath of the integration bridge; V(netdev) is that in user space.
    type: str
    choices: ["", system, netdev]
  bridge_mappings:
    description: Bridge of this host for each provider network.
    type: dict
  gateway:
    description: Whether this chassis is a gateway, on which gateway ports without a chassis of their own may be placed.
    type: bool
  monitor_all:
    description: Whether C(ovn-controller) reads the whole southbound database, which spares the server work.
    type: bool
  match_northd_version:
    description: Whether C(ovn-controller) takes up changes only of an C(ovn-northd) of its own version, as an upgrade needs it.
    type: bool
  remote_probe_interval:
    description: Milliseconds between two probes of the southbound database; 0 turns them off.
    type: raw
  openflow_probe_interval:
    description: Seconds between two probes of the integration bridge; 0 turns them off.
    type: raw
  enable_lflow_cache:
    description: Whether C(ovn-controller) keeps a cache of logical flows.
    type: bool
  limit_lflow_cache:
    description: Most entries of that cache.
    type: raw
  memlimit_lflow_cache_kb:
    description: Most memory of that cache, in KB.
    type: raw
  ssl:
    description: Files with which C(ovn-controller), and Open vSwitch itself, present themselves and verify others. Clear it with an empty map.
    type: dict
    suboptions:
      private_key:
        description: File of the private key.
        type: str
      certificate:
        description: File of the certificate.
        type: str
      ca_cert:
        description: File of the certificate of the CA that others are verified by.
        type: str
      bootstrap_ca_cert:
        description: >-
          Trust on first use: the certificate of the CA comes from the first peer, which allows a man-in-the-middle attack.
        type: bool
  state:
    description:
      - With V(absent), C(ovn-controller) is stopped and disabled, which takes the chassis out of the southbound database,
        and what this owner has set gets its former value.
      - Nothing happens on a host that is no chassis of this owner.
    type: str
    choices: [present, absent]
    default: present
  owner:
    description: Whose chassis it is, as C(external_ids:overloom-ovn-chassis) tells.
    type: str
    default: overloom.fabric
  adopt:
    description: Take over a chassis of another owner, and settings that others have made. O(state=absent) gives them back.
    type: bool
    default: false
seealso:
  - module: overloom.fabric.ovn_northbound
"""

EXAMPLES = r"""
- name: A chassis in user space, which serves a provider network and is a gateway
  overloom.fabric.ovn_chassis:
    name: kvm1
    remotes: ["tcp:192.0.2.1:6642"]
    encapsulations: [geneve]
    encapsulation_ip: 192.0.2.11
    datapath_type: netdev
    bridge_mappings: {outside: br-ex}
    gateway: true

- name: No chassis any longer
  overloom.fabric.ovn_chassis:
    state: absent
"""

RETURN = r"""
chassis:
  description:
    - The options above as they are now, typed, and the owner. In check mode, as they were found.
    - C(vlan_limit) is that of the whole switch. C(ovn-controller) sets it to 0, which reads any number of VLAN headers, and so it is set here,
      too; then it is known what it was before, and O(state=absent) gives that back.
  returned: success
  type: dict
  sample: {name: kvm1, remotes: ["tcp:192.0.2.1:6642"], encapsulations: [geneve], encapsulation_ip: 192.0.2.11, gateway: false, owner: overloom.fabric}
commands:
  description: The commands that were executed, or would be in check mode, in order.
  returned: always
  type: list
  elements: str
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 2
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ovn.chassis import chassis_argument_spec, run
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import ovs_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    """Ansible's entry."""
    module = AnsibleModule(
        argument_spec={
            **chassis_argument_spec(),
            **{name: owner_argument_spec()[name] for name in ("owner", "adopt")},
            **ovs_argument_spec(),
        },
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()
