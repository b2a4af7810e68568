#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_northbound
short_description: Manage switches, routers, ACLs, NAT, DHCP and load balancers in OVN's northbound database
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Makes rows of OVN's northbound database what is declared, in one transaction of C(ovn-nbctl).
  - Options and columns have the names of ovn-nb(5), which says what each means.
  - An option that is left out leaves things as they are; an empty value clears; a value makes it so.
    Of a list below a switch or router, rows of this owner that are not listed are removed.
  - Rows of others, as of OpenStack or Kubernetes, are not touched. They may be in the same database, and may hang below rows of ours.
    A row of others that is declared with nothing but lists below it is only their place, and is not touched either.
  - Where an option names a row, as O(switches[].ports[].dhcpv4_options), that may be one of this call or one of the database.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.database
  - overloom.fabric.ovn
  - overloom.fabric.ovn_northbound
options:
  owner:
    description:
      - The mark that every row made by this module carries, in its C(external_ids). Rows that carry another mark, or none, are never removed.
      - The roles use the fabric's name, so that several fabrics, and other controllers, can share a database.
    type: str
    default: overloom.fabric
  adopt:
    description:
      - Put the mark of O(owner) on declared rows that exist already without it, or with another owner's, and change them.
      - What was there before is given back instead of removed, with its former columns, and a warning. Only O(adopt=true) removes it when it is
        declared as absent.
    type: bool
    default: false
  purge:
    description:
      - Remove rows that carry the mark of O(owner) and are not declared in this call, in all lists, also in those that are left out.
    type: bool
    default: false
  nb_global_options:
    description:
      - Options of the whole database (ovn-nb(5), table NB_Global), such as V(bfd-min-tx) or V(northd_probe_interval). Keys that are not declared are
        left alone, an empty value removes a key.
      - What a key had before is put back as soon as it is declared no longer.
    type: dict
  wait_for:
    description:
      - Whom to wait for after a change, for O(timeout) seconds at the most.
      - V(sb) waits for C(ovn-northd), V(hv) for every chassis. If a chassis is late, the error names it, and the change stays.
    type: str
    choices: [none, sb, hv]
    default: none
requirements:
  - OVN 23.03 or newer with its command C(ovn-nbctl)
notes:
  - A change of some ten thousand new rows becomes several transactions, as one is larger than the kernel takes as arguments.
  - Whether a match is a valid expression only C(ovn-northd) and C(ovn-controller) find out; they say so in their logs.
seealso:
  - module: overloom.fabric.ovn_chassis
  - module: overloom.fabric.ovn_database
"""

EXAMPLES = r"""
- name: A switch with two ports, of which each may use its own addresses alone
  overloom.fabric.ovn_northbound:
    switches:
      - name: blue
        ports:
          - name: web1
            addresses: ["02:00:00:00:00:01 10.0.0.1"]
            port_security: ["02:00:00:00:00:01 10.0.0.1"]
            dhcpv4_options: blue
          - name: web2
            addresses: ["02:00:00:00:00:02 10.0.0.2"]
            port_security: ["02:00:00:00:00:02 10.0.0.2"]
    dhcp_options:
      - name: blue
        cidr: 10.0.0.0/24
        options: {server_id: 10.0.0.254, server_mac: "02:00:00:00:00:fe", lease_time: "3600", mtu: "1442"}

- name: A router between two switches, with a gateway on two chassis and one address for all
  overloom.fabric.ovn_northbound:
    routers:
      - name: r1
        ports:
          - name: r1-blue
            mac: "02:00:00:00:00:fe"
            networks: [10.0.0.254/24]
          - name: r1-outside
            mac: "02:00:00:00:01:fe"
            networks: [192.0.2.2/24]
            gateway_chassis:
              - {chassis_name: kvm1, priority: 20}
              - {chassis_name: kvm2, priority: 10}
        static_routes:
          - {ip_prefix: 0.0.0.0/0, nexthop: 192.0.2.1}
        nat:
          - {type: snat, external_ip: 192.0.2.2, logical_ip: 10.0.0.0/24}
    wait_for: sb

- name: Nothing but HTTP gets to the web servers
  overloom.fabric.ovn_northbound:
    port_groups:
      - name: web
        ports: [web1, web2]
        acls:
          - {direction: to-lport, priority: 1001, match: "outport == @web && ip4 && tcp.dst == 80", action: allow-related}
          - {direction: to-lport, priority: 1000, match: "outport == @web && ip", action: drop}

- name: Remove all that this owner has made
  overloom.fabric.ovn_northbound:
    purge: true
"""

RETURN = r"""
northbound:
  description:
    - The declared objects as they are now, by the options above; each row with its owner. In check mode, as they were found.
    - C(nb_global_options) are all options of the database.
  returned: success
  type: dict
  sample: {switches: [{name: blue, owner: overloom.fabric, ports: [{name: web1, addresses: ["02:00:00:00:00:01 10.0.0.1"]}]}]}
commands:
  description: The commands that were executed, or would be in check mode, in order.
  returned: always
  type: list
  elements: str
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 3
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ovn.northbound import argument_spec, run


def main() -> None:
    """Ansible's entry."""
    run(AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True))


if __name__ == "__main__":
    main()
