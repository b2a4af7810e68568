#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_network
short_description: Manage libvirt's networks by typed options
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Makes, changes, starts, stops and removes networks of libvirt, one by plain options or many by O(networks).
    Networks over Open vSwitch bridges with portgroups, over bridges, and isolated, routed or translated networks with DHCP and DNS.
  - A change reaches the definition and the running network together, where libvirt can (portgroups, entries of DHCP and DNS).
    Where it cannot, RV(restart_required) says so, and O(restart) does it.
  - A definition is patched. An option changes its own element, and all that it does not state stays.
  - A network without a mark of O(owner) is not changed where that would replace what others set, unless O(adopt=true).
  - A portgroup's VLANs also reach the ports of guests that run, which libvirt alone would look at only when a guest starts.
  - Distributions start libvirt and Open vSwitch side by side, so a guest that starts with the host may find no bridge. With O(mode=openvswitch)
    the module lets libvirt's services wait for Open vSwitch (a C(systemd) drop-in, taken away when nothing needs it any more).
requirements:
  - libvirt-python (the package C(python3-libvirt)), libvirt 6.0 or newer
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  networks:
    description: Several networks in one call; each item takes the options of a single one.
    type: list
    elements: dict
    suboptions:
      name:
        description: The network's name, an exact match.
        type: str
        required: true
      state: &state
        description:
          - V(active) and V(inactive) define the network and bring it there; V(present) leaves it active or not.
          - V(absent) removes it. A network that was there before it was adopted is given back instead, also by O(purge); O(adopt=true) removes it.
        type: str
        choices: [present, active, inactive, absent]
        default: active
      uuid: &uuid
        description: The network's UUID. By default it follows from O(owner) and the name.
        type: str
      mode: &mode
        description:
          - How guests reach other networks. V(openvswitch) and V(bridge) plug them into an existing bridge; with the others libvirt makes the bridge.
          - A new network needs it.
        type: str
        choices: [isolated, nat, routed, open, bridge, openvswitch]
      bridge: &bridge
        description: The bridge's name. With O(mode=openvswitch) and O(mode=bridge) an existing bridge; else libvirt chooses one.
        type: str
      device: &device
        description: The interface by which traffic leaves, with O(mode=nat) and O(mode=routed). Empty removes it.
        type: str
      stp: &stp
        description: Whether the bridge that libvirt makes speaks the spanning tree protocol.
        type: bool
      mtu: &mtu
        description: The MTU of the bridge that libvirt makes. 0 removes it.
        type: int
      domain: &domain
        description: The DNS domain. Empty removes it.
        type: str
      vlan: &vlan
        description: The VLAN of ports without a portgroup. 0 removes it.
        type: int
      trunks: &trunks
        description: The VLANs of ports without a portgroup, ids and ranges such as V(20-29). Empty removes them.
        type: list
        elements: str
      native_vlan: &native_vlan
        description: The native VLAN of C(trunks).
        type: int
      native_mode: &native_mode
        description: Whether frames of C(native_vlan) leave untagged, as they do by default, or tagged.
        type: str
        choices: [untagged, tagged]
      addresses: &addresses
        description: All addresses of the host in the network, and what is served there. Empty removes them.
        type: list
        elements: dict
        suboptions:
          address:
            description: The address with its prefix, such as V(10.0.0.1/24).
            type: str
            required: true
          dhcp_ranges:
            description: All ranges of addresses that DHCP gives out.
            type: list
            elements: dict
            suboptions:
              start:
                description: The first address.
                type: str
                required: true
              end:
                description: The last address.
                type: str
                required: true
          dhcp_hosts:
            description: All hosts that DHCP gives a fixed address.
            type: list
            elements: dict
            suboptions:
              mac:
                description: The host's MAC address.
                type: str
              name:
                description: The host's name.
                type: str
              address:
                description: The host's address.
                type: str
                required: true
      routes: &routes
        description: All routes that the host gets to subnets behind the network. Empty removes them.
        type: list
        elements: dict
        suboptions:
          to:
            description: The subnet.
            type: str
            required: true
          via:
            description: The gateway in the network.
            type: str
            required: true
          metric:
            description: The metric.
            type: int
      dns: &dns
        description: Whether the host serves DNS in the network.
        type: bool
      dns_forwarders: &dns_forwarders
        description: All servers that DNS requests are forwarded to. Empty removes them.
        type: list
        elements: str
      dns_hosts: &dns_hosts
        description: All names that DNS answers itself. Empty removes them.
        type: list
        elements: dict
        suboptions:
          address:
            description: The address.
            type: str
            required: true
          hostnames:
            description: Its names.
            type: list
            elements: str
            required: true
      inbound: &inbound
        description: The limits of traffic towards the guests, of the whole network. Empty removes them.
        type: dict
        suboptions: &limits
          average:
            description: The average rate, in KiB a second.
            type: int
          peak:
            description: The peak rate, in KiB a second.
            type: int
          burst:
            description: The amount that may go at the peak rate, in KiB.
            type: int
      outbound: &outbound
        description: The limits of traffic from the guests, of the whole network. Empty removes them.
        type: dict
        suboptions: *limits
      portgroups: &portgroups
        description: All portgroups. One that a guest uses is not removed; see O(keep_used).
        type: list
        elements: dict
        suboptions:
          name:
            description: The portgroup's name.
            type: str
            required: true
          default:
            description: Whether NICs that name no portgroup are in this one.
            type: bool
            default: false
          vlan:
            description: The VLAN of an access port.
            type: int
          trunks:
            description: The VLANs of a trunk port, ids and ranges such as V(20-29).
            type: list
            elements: str
          native_vlan:
            description: The native VLAN of C(trunks).
            type: int
          native_mode:
            description: Whether frames of C(native_vlan) leave untagged, as they do by default, or tagged.
            type: str
            choices: [untagged, tagged]
          inbound:
            description: The limits of traffic towards each guest.
            type: dict
            suboptions: *limits
          outbound:
            description: The limits of traffic from each guest.
            type: dict
            suboptions: *limits
      autostart: &autostart
        description: Whether the network starts with the host. By default a new network does when its state is V(active).
        type: bool
      xml: &xml
        description: What no option says, as a C(<network>) document with only these elements. They are compared element by element.
        type: str
      restart: &restart
        description: Whether a running network is restarted when a declared change needs it. Refused while guests run on a bridge that libvirt made.
        type: bool
        default: false
      keep_used: &keep_used
        description:
          - Whether a portgroup that is not declared stays while a guest uses it, instead of being an error.
            For runs that move guests to other portgroups afterwards.
        type: bool
        default: false
  name:
    description: The network's name, an exact match.
    type: str
  uri:
    description: The URI that libvirt is connected to by.
    type: str
    default: qemu:///system
  state: *state
  uuid: *uuid
  mode: *mode
  bridge: *bridge
  device: *device
  stp: *stp
  mtu: *mtu
  domain: *domain
  vlan: *vlan
  trunks: *trunks
  native_vlan: *native_vlan
  native_mode: *native_mode
  addresses: *addresses
  routes: *routes
  dns: *dns
  dns_forwarders: *dns_forwarders
  dns_hosts: *dns_hosts
  inbound: *inbound
  outbound: *outbound
  portgroups: *portgroups
  autostart: *autostart
  xml: *xml
  restart: *restart
  keep_used: *keep_used
"""

EXAMPLES = r"""
- name: The fabric's bridge as a network with a portgroup for each segment
  overloom.fabric.libvirt_network:
    name: fabric
    mode: openvswitch
    bridge: br-int
    portgroups:
      - {name: blue, vlan: 10}
      - {name: red, vlan: 20}
      - {name: trunk, trunks: [10, 20, 30-39], native_vlan: 10}

- name: A network behind address translation
  overloom.fabric.libvirt_network:
    name: lan
    mode: nat
    domain: lan.example
    mtu: 1450
    addresses:
      - address: 10.20.0.1/24
        dhcp_ranges: [{start: 10.20.0.100, end: 10.20.0.199}]
        dhcp_hosts: [{mac: "52:54:00:00:00:01", name: web1, address: 10.20.0.10}]

- name: Remove all networks that were made for a fabric
  overloom.fabric.libvirt_network:
    networks: []
    owner: gre-vlan
    purge: true
"""

RETURN = r"""
commands:
  description: The virsh commands that do the same, in order; in check mode those that would be done.
  returned: always
  type: list
  elements: str
  sample: ["virsh net-start fabric"]
networks:
  description: The declared networks as they are, typed.
  returned: success
  type: dict
  sample: {fabric: {mode: openvswitch, bridge: br-int, state: active}}
restart_required:
  description: For each running network that is not yet as declared, the options that wait for its restart.
  returned: success
  type: dict
  sample: {lan: [mtu]}
spawned:
  description: The number of processes that the module started.
  returned: always
  type: int
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import one_or_many
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.network_declaration import SPEC
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.network_plan import run
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    run(AnsibleModule(**one_or_many(SPEC, "networks", **owner_argument_spec())))


if __name__ == "__main__":
    main()
