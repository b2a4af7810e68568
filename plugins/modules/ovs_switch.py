#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovs_switch
short_description: Manage global settings of Open vSwitch, such as managers, TLS and datapaths
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Sets managers, the key and certificates for TLS, and settings of the whole switch, in one transaction of C(ovs-vsctl).
  - An option that is left out leaves things as they are; an empty value clears; a value makes it so.
  - Each option's meaning is that of ovs-vswitchd.conf.db(5), table Open_vSwitch.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.database
  - overloom.fabric.ovs
  - overloom.fabric.ovs_switch
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

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import ovs_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.switch import run, switch_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    """Ansible's entry."""
    module = AnsibleModule(
        argument_spec={
            **switch_argument_spec(),
            **{name: owner_argument_spec()[name] for name in ("owner", "adopt")},
            **ovs_argument_spec(),
        },
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()
