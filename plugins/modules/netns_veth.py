#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_veth
short_description: Manage network namespaces that a veth pair connects to the host
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Makes network namespaces, and veth pairs with one end inside and the other end in the host or in an Open vSwitch bridge.
  - One item is one veth pair. Several items may name the same namespace with different O(interface), for a namespace with
    several networks.
  - What is set by hand on a declared thing is set back; what the kernel makes by itself (connected routes, link-local addresses)
    and what a routing daemon, DHCP or router advertisements make is never touched.
  - A systemd unit C(overloom-netns-NAME.service) makes the namespace with all its declared interfaces again at each boot. The port
    in the Open vSwitch bridge is in Open vSwitch's own database.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  namespaces:
    description:
      - Many items, each with the options below, in one call.
      - With O(purge=true), namespaces and interfaces of O(owner) that are not in the list are removed.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the namespace, 1 to 64 letters, digits and V(_.+@-).
        type: str
        required: true
      <<: &item
        state:
          description:
            - V(present) makes the namespace and the veth pair what the options say.
            - V(absent) removes the veth pair of O(interface) and its port. Without O(interface) it removes the namespace with all its interfaces.
            - Processes in a removed namespace go on in it, without its interfaces; a warning names their process ids.
            - A namespace that was there before this module came is only removed with O(adopt=true). Without it, say which O(interface) to remove;
              O(purge) also removes only the interfaces that this module gave it. One that was adopted is given back, with its veth pairs as they were.
          type: str
          choices: [present, absent]
          default: present
        container:
          description:
            - Name of a container that others run, with a network namespace of its own (C(--network=none) at best). O(name) becomes the name of that namespace,
              as with C(ip netns attach), and is otherwise a namespace of others, which gets the interface and is never removed.
            - A service C(overloom-follow-NAME.service) follows the container. Whenever the container has started, its namespace has the name and the interface
              again, after a fraction of a second; that includes a container of the same name that its owner has made anew, and a reboot.
            - While the container does not run, nothing is changed, with a warning.
          type: str
        engine:
          description:
            - Engine of O(container).
          type: str
          choices: [podman, docker]
          default: podman
        pid:
          description:
            - A process whose network namespace O(name) names, instead of O(container). It is plugged in once, as nobody knows its next process.
          type: int
        interface:
          description:
            - Name of the end inside the namespace. V(eth0) by default.
          type: str
        outer:
          description:
            - Name of the end in the host.
            - By default C(v-NAME), and C(v-NAME-INTERFACE) for an O(interface) other than V(eth0); what is longer than
              15 bytes is cut and ends with five characters of a hash.
          type: str
        addresses:
          description:
            - IPv4 and IPv6 addresses of O(interface) with their prefix lengths.
            - V([]) removes all, except link-local addresses that the kernel made.
          type: list
          elements: str
        virtual_addresses:
          description:
            - Addresses that another program, such as keepalived, adds to O(interface) and removes. This module does neither.
            - V([]) forgets them, so that O(addresses) is all that stays.
          type: list
          elements: str
        routes:
          description:
            - Routes through O(interface), all of them. V([]) removes all.
          type: list
          elements: dict
          suboptions:
            to:
              description: Destination, V(default) or a prefix.
              type: str
              required: true
            via:
              description: Gateway. It must be in a subnet of O(addresses), or link-local, or O(routes[].onlink) must be V(true).
              type: str
              required: true
            metric:
              description: The lower, the more preferred. The kernel's default is 0 for IPv4 and 1024 for IPv6.
              type: int
            onlink:
              description: The gateway is on the link although no address says so.
              type: bool
              default: false
            table:
              description: Number of the routing table, V(1) to V(4294967295) except V(255). The main table, V(254), if left out.
              type: int
        rules:
          description:
            - Policy rules of the namespace, see L(ip-rule(8\),https://man7.org/linux/man-pages/man8/ip-rule.8.html). They hold for the whole namespace;
              when several items name the namespace, their rules are joined.
            - They are then all rules of the namespace, except those of the kernel and of routing daemons.
            - In a namespace that was there before, rules of others stay.
            - V([]) removes those of the item.
          type: list
          elements: dict
          suboptions:
            priority:
              description: Priority, V(1) to V(32765). The lowest is asked first. In a namespace it stands for one rule of each address family.
              type: int
              required: true
            from:
              description: Address or prefix that packets come from. It or O(rules[].to) is needed; V(0.0.0.0/0) and V(::/0) stand for all.
              type: str
            to:
              description: Address or prefix that packets go to.
              type: str
            iif:
              description: Interface by which packets come in, V(lo) for those of the namespace itself.
              type: str
            oif:
              description: Interface that the socket of packets is bound to.
              type: str
            table:
              description: Number of the routing table that is looked into.
              type: int
              required: true
        mtu:
          description:
            - MTU of both ends in bytes, V(68) to V(65535); with IPv6 addresses at least V(1280).
          type: int
        mac:
          description:
            - MAC address of O(interface).
          type: str
        up:
          description:
            - Whether O(interface) is up. The end in the host always is.
          type: bool
          default: true
        sysctls:
          description:
            - Kernel parameters of the namespace, such as V(net.ipv4.ip_forward), with their values. They hold for the whole namespace;
              when several items name the namespace, their parameters are joined.
            - They are tried in a throw-away namespace before anything is changed.
            - A parameter that an earlier run set and that is no longer given gets back the value that it has in a new namespace; V({}) does this for all.
          type: dict
        tx_checksum:
          description:
            - Whether O(interface) leaves transmit checksums to its other end.
            - V(auto) turns it off if the bridge's datapath is in user space (C(datapath_type=netdev)), where TCP would carry
              nothing otherwise, and leaves it as it is with any other bridge.
          type: str
          choices: [auto, 'on', 'off']
          default: auto
        bridge:
          description:
            - Open vSwitch bridge that gets O(outer) as a port; a port that is in another bridge moves. V("") takes it out of its bridge.
            - The kernel then gives O(outer) no link-local address, at which the namespace could reach the host.
          type: str
        tag:
          description:
            - VLAN of the port, V(1) to V(4094). V("") clears it.
          type: raw
        trunks:
          description:
            - VLANs and ranges of VLANs such as V(10-20) that the port carries tagged. V(0) stands for untagged frames.
            - V([]) clears them, so that all are carried.
          type: list
          elements: raw
        vlan_mode:
          description:
            - How the port uses O(tag) and O(trunks), see L(ovs-vswitchd.conf.db,https://man7.org/linux/man-pages/man5/ovs-vswitchd.conf.db.5.html).
              V("") clears it.
          type: str
          choices: ['', access, trunk, native-tagged, native-untagged, dot1q-tunnel]
        iface_id:
          description:
            - Name by which a controller knows the interface, such as OVN its logical port (C(external_ids:iface-id)). V("") clears it.
          type: str
  keep:
    description:
      - Names of namespaces that O(purge) leaves, such as those that are to go once they are there on another host. RV(kept) tells which there are.
    type: list
    elements: str
    default: []
  <<: *item
  name:
    description:
      - Name of the namespace, 1 to 64 letters, digits and V(_.+@-). Needed, unless O(namespaces) is given.
    type: str
notes:
  - Needs root, iproute2, systemd, and for O(bridge) Open vSwitch on the host; for O(tx_checksum) other than "as it is" also C(ethtool), for O(sysctls)
    also C(sysctl).
  - A namespace that exists without this module's mark is used as it is found, gets the interface, and is never removed. After a
    reboot its interface is made as soon as the namespace is there.
  - A veth pair that exists without the mark is configured, but neither removed nor made at boot, until O(adopt=true). That also makes the namespace
    this module's, if it has no interface that is not declared.
  - An interface with the name of O(outer) which is not the other end of O(interface) is never touched; that is an error.
  - O(container) needs the command of its engine, and C(python3) on the host.
seealso:
  - module: overloom.fabric.netns_container
  - module: overloom.fabric.netns_info
  - module: overloom.fabric.ovs_bridge
"""

EXAMPLES = r"""
- name: A namespace on VLAN 20 of the integration bridge
  overloom.fabric.netns_veth:
    name: red
    bridge: br-int
    tag: 20
    addresses: [10.1.2.1/24, "fd00:2::1/64"]
    mtu: 1458

- name: A router between two networks
  overloom.fabric.netns_veth:
    namespaces:
      - name: gateway
        interface: inbound
        bridge: br-int
        tag: 10
        addresses: [10.1.1.254/24]
        sysctls: {net.ipv4.ip_forward: 1}
      - name: gateway
        interface: outbound
        bridge: br-ext
        addresses: [192.0.2.2/24]
        routes:
          - {to: default, via: 192.0.2.1}

- name: A server that answers by the network on which it was asked, and has its own connections by another
  overloom.fabric.netns_veth:
    namespaces:
      - name: proxy
        interface: inbound
        bridge: br-int
        tag: 10
        addresses: [10.1.1.7/24]
        routes:
          - {to: default, via: 10.1.1.254, table: 100}
        rules:
          - {priority: 1000, from: 10.1.1.7, to: 10.1.1.0/24, table: 254}
          - {priority: 1001, from: 10.1.1.7, table: 100}
      - name: proxy
        interface: outbound
        bridge: br-ext
        addresses: [192.0.2.7/24]
        routes:
          - {to: default, via: 192.0.2.1}

- name: Exactly these namespaces, no others of this owner
  overloom.fabric.netns_veth:
    owner: my-fabric
    purge: true
    namespaces:
      - {name: red, bridge: br-int, tag: 20, addresses: [10.1.2.1/24]}
      - {name: blue, bridge: br-int, tag: 10, addresses: [10.1.1.1/24]}

- name: A container that somebody runs with --network=none, on VLAN 20
  overloom.fabric.netns_veth:
    name: db
    container: postgres
    bridge: br-int
    tag: 20
    addresses: [10.1.2.3/24]
    mtu: 1446

- name: Remove a namespace with all its interfaces
  overloom.fabric.netns_veth:
    name: red
    state: absent
"""

RETURN = r"""
commands:
  description: The commands, in order. In check mode those that would be executed.
  returned: always
  type: list
  elements: str
  sample: ["ip netns exec red ethtool -K eth0 tx off"]
namespaces:
  description: The declared namespaces that are there, as M(overloom.fabric.netns_info) returns them. In check mode as they are before the change.
  returned: success
  type: list
  elements: dict
  sample:
    - name: red
      owner: overloom.fabric
      foreign: false
      processes: []
      sysctls: {}
      rules: []
      interfaces:
        - name: eth0
          outer: v-red
          bridge: br-int
          tag: 20
          trunks: []
          vlan_mode:
          iface_id:
          addresses: [10.1.2.1/24]
          routes: []
          mtu: 1458
          mac: "02:00:00:00:00:01"
          up: true
          kind: veth
          tx_checksum: false
kept:
  description: Namespaces that O(purge) would have removed, but for O(keep).
  returned: success
  type: list
  elements: str
  sample: [red]
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 3
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import argument_spec, exclusive
from ansible_collections.overloom.fabric.plugins.module_utils._netns.run import run


def main() -> None:
    """Declare the options and hand over."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=exclusive(),
        required_one_of=[("name", "namespaces")],
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()
