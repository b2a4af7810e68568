# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the switch as a whole."""

from __future__ import annotations

from ansible_collections.overloom.fabric.plugins.doc_fragments.ovs_bridge import REMOTE
from ansible_collections.overloom.fabric.plugins.doc_fragments.ovs_port import nested

SWITCH = r"""
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
      @REMOTE
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
  datapaths:
    description:
      - Settings of connection tracking in each datapath. Make a bridge in the datapath first, without which Open vSwitch does not take them up.
      - Datapaths that carry the mark of O(owner) and are not in the list lose their settings; those that others made keep them.
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - Which datapath, the kernel's or the one in user space.
        type: str
        required: true
        choices: [system, netdev]
      zones:
        description:
          - The zones with settings, all of them.
        type: list
        elements: dict
        suboptions:
          zone:
            description:
              - The zone's number, from 0 to 65535.
            type: raw
            required: true
          timeouts:
            description:
              - From the name of a state, such as C(tcp_established), C(udp_first) or C(icmp_reply), to the seconds after which an idle connection is forgotten.
              - An empty dictionary leaves the zone with the defaults.
            type: dict
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
      - Whether flows are handed to the NIC. Turned off, it is off when C(ovs-vswitchd) starts again.
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
      - The mark that managers made by this module carry, and by which it knows the settings that it made.
    type: str
    default: overloom.fabric
  adopt:
    description:
      - Change settings that others made. The former values are kept in C(external_ids), and an empty value brings them back.
      - Without it, such a setting is not changed, and an empty value leaves it.
    type: bool
    default: false
"""


class ModuleDocFragment:
    """All of it. Annotated, because the linter of YAML takes every plain assignment here for a document as it stands."""

    DOCUMENTATION: str = SWITCH.replace("      @REMOTE\n", nested(REMOTE, 3))
