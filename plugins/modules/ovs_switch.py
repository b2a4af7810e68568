#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_switch
short_description: Make what belongs to a host's Open vSwitch as a whole what is declared
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Sets managers, the key and certificates for TLS, and settings of the whole switch, in one transaction of C(ovs-vsctl).
  - An option that is left out leaves things as they are; an empty value clears; a value makes it so.
  - Each option's meaning is that of ovs-vswitchd.conf.db(5), table Open_vSwitch.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.ovs
options:
  managers:
    description:
      - Who may configure Open vSwitch over the network by OVSDB.
      - Managers that carry the mark of O(owner) and are not in the list are removed; those that others made stay. An empty list removes all own ones.
    type: list
    elements: dict
    suboptions:
      target:
        description:
          - Where the manager is, or where to listen for it, such as V(ssl:192.0.2.1:6640) or V(ptcp:6640:127.0.0.1).
        type: str
        required: true
      connection_mode:
        description:
          - Whether the manager is reached by a bridge itself or by another network.
        type: str
        choices: ["", in-band, out-of-band]
      inactivity_probe:
        description:
          - After how many idle milliseconds the connection is probed; 0 turns that off.
        type: raw
      max_backoff:
        description:
          - How many milliseconds lie between two attempts to connect at the most, at least 1000.
        type: raw
      dscp:
        description:
          - The DSCP of the packets of the connection, from 0 to 63.
        type: raw
      other_config:
        description:
          - Its other settings.
        type: dict
  ssl:
    description:
      - The files for TLS with managers and controllers. All of it, so what is not given is as Open vSwitch has it. An empty dictionary removes it.
    type: dict
    suboptions:
      private_key:
        description:
          - The file of the private key.
        type: str
      certificate:
        description:
          - The file of the certificate.
        type: str
      ca_cert:
        description:
          - The file of the certificate by which the others' are verified.
        type: str
      bootstrap_ca_cert:
        description:
          - Whether O(ssl.ca_cert) is got from the first peer and kept. That peer could be anybody.
        type: bool
  ipsec_private_key:
    description:
      - The file of the private key with which tunnels over IPsec present themselves. An empty value clears it.
    type: str
  ipsec_certificate:
    description:
      - The file of the certificate with which tunnels over IPsec present themselves. An empty value clears it.
    type: str
  ipsec_ca_cert:
    description:
      - The file of the certificate by which the other ends' are verified. An empty value clears it.
    type: str
  hw_offload:
    description:
      - Whether flows are handed to the network card. Turned off, it is off when C(ovs-vswitchd) starts again.
    type: bool
  tc_policy:
    description:
      - Where such flows may be. An empty value clears it.
    type: str
    choices: ["", none, skip_sw, skip_hw]
  flow_limit:
    description:
      - How many flows the datapath holds at the most. An empty value clears it.
    type: raw
  max_idle:
    description:
      - After how many milliseconds an idle flow leaves the datapath, at least 500. An empty value clears it.
    type: raw
  max_revalidator:
    description:
      - After how many milliseconds flows are validated again at the latest, at least 100. An empty value clears it.
    type: raw
  n_handler_threads:
    description:
      - How many threads set up flows. An empty value clears it.
    type: raw
  n_revalidator_threads:
    description:
      - How many threads validate flows. An empty value clears it.
    type: raw
  vlan_limit:
    description:
      - How many VLAN tags of a frame are looked at, two at the most, 0 for that. An empty value clears it.
    type: raw
  stats_update_interval:
    description:
      - After how many milliseconds statistics are written to the database, at least 5000. An empty value clears it.
    type: raw
  userspace_tso:
    description:
      - Whether the datapath in user space leaves TCP's segmentation to the devices. It takes effect when Open vSwitch starts.
    type: bool
  dpdk_init:
    description:
      - Whether DPDK is started. An empty value clears it.
    type: str
    choices: ["", "false", "true", try]
  dpdk_lcore_mask:
    description:
      - The cores of DPDK's own threads, hexadecimal. An empty value clears it.
    type: str
  dpdk_socket_mem:
    description:
      - DPDK's memory on each socket in MiB, separated by commas. An empty value clears it.
    type: str
  dpdk_extra:
    description:
      - More arguments for DPDK. An empty value clears it.
    type: str
  pmd_cpu_mask:
    description:
      - The cores of the threads that poll devices, hexadecimal. An empty value clears it.
    type: str
  other_config:
    description:
      - >-
        Other settings: keys that are given are set, or removed if the value is empty; others stay, because others set them too.
    type: dict
  external_ids:
    description:
      - The switch's external identifiers, with the same rule.
    type: dict
  owner:
    description:
      - The mark that managers made by this module carry.
    type: str
    default: overloom.fabric
seealso:
  - module: overloom.fabric.ovs_bridge
"""

EXAMPLES = r"""
- name: Controllers and managers over TLS, and OVSDB for this host alone
  overloom.fabric.ovs_switch:
    ssl:
      private_key: /etc/openvswitch/sc-privkey.pem
      certificate: /etc/openvswitch/sc-cert.pem
      ca_cert: /etc/openvswitch/cacert.pem
    managers:
      - target: ptcp:6640:127.0.0.1

- name: Frames with two VLAN tags
  overloom.fabric.ovs_switch:
    vlan_limit: 0
"""

RETURN = r"""
switch:
  description:
    - The switch as it is now, with the options above, typed. In check mode, as it was found.
  returned: success
  type: dict
  contains:
    ovs_version:
      description: The version of Open vSwitch.
      type: str
      sample: 3.1.0
    iface_types:
      description: The types of interfaces that it supports.
      type: list
      elements: str
    managers_connected:
      description: Which managers are connected.
      type: dict
      sample: {"ptcp:6640:127.0.0.1": true}
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

from ansible_collections.overloom.fabric.plugins.module_utils._ovs import ovs_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._ovs_switch import run, switch_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    """Ansible's entry."""
    module = AnsibleModule(
        argument_spec={**switch_argument_spec(), "owner": owner_argument_spec()["owner"], **ovs_argument_spec()},
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()
