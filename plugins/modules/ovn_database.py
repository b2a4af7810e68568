#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: ovn_database
short_description: Manage where OVN's databases listen, and their TLS
version_added: 0.1.0
author:
  - The overloom.fabric authors (@overloom)
description:
  - Makes the servers of OVN's northbound and southbound databases on this host listen where it is declared.
  - The servers have to run, as the service C(ovn-central) starts them. They always listen on their local sockets.
  - The settings are rows of the databases themselves, so they are there after a reboot. An address that comes later than the server is
    listened on as soon as it is there.
  - An option that is left out leaves things as they are; an empty list or map clears; a value makes it so. Listeners of others stay.
extends_documentation_fragment:
  - overloom.fabric.attributes
options:
  northbound:
    description: Where the northbound database listens besides, such as V(ptcp:6641:192.0.2.1) or V(pssl:6641). Whoever reaches it may write to it.
    type: list
    elements: str
  southbound:
    description: Where the southbound database listens besides, such as V(ptcp:6642:192.0.2.1) or V(pssl:6642).
    type: list
    elements: str
  inactivity_probe:
    description: Milliseconds after which a silent client is probed; 0 turns it off.
    type: int
  ssl:
    description: Files on this host with which both servers present themselves and verify clients. Clear it with an empty map.
    type: dict
    suboptions:
      private_key:
        description: File of the private key.
        type: path
      certificate:
        description: File of the certificate.
        type: path
      ca_cert:
        description: File of the certificate of the CA that clients are verified by.
        type: path
  state:
    description: With V(absent), listeners and TLS settings of this owner go. Databases and services stay.
    type: str
    choices: [present, absent]
    default: present
  owner:
    description: The mark that each listener carries.
    type: str
    default: overloom.fabric
  adopt:
    description: Put the mark of O(owner) on declared listeners that others have made. O(state=absent) then removes them.
    type: bool
    default: false
  timeout:
    description: For how many seconds each call may take.
    type: int
    default: 60
requirements:
  - OVN 23.03 or newer with its commands C(ovn-nbctl) and C(ovn-sbctl)
seealso:
  - module: overloom.fabric.ovn_northbound
  - module: overloom.fabric.ovn_chassis
"""

EXAMPLES = r"""
- name: The southbound database listens for chassis
  overloom.fabric.ovn_database:
    southbound: ["ptcp:6642:192.0.2.1"]

- name: Both by TLS
  overloom.fabric.ovn_database:
    northbound: ["pssl:6641"]
    southbound: ["pssl:6642"]
    ssl:
      private_key: /etc/ovn/central-privkey.pem
      certificate: /etc/ovn/central-cert.pem
      ca_cert: /etc/ovn/cacert.pem

- name: The local sockets alone
  overloom.fabric.ovn_database:
    state: absent
"""

RETURN = r"""
databases:
  description: The listeners of each database of which something is declared, by target, and its TLS. In check mode, as they were found.
  returned: success
  type: dict
  sample: {southbound: {listeners: {"ptcp:6642:192.0.2.1": {inactivity_probe: null, owner: overloom.fabric}}, ssl: null}}
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

from ansible_collections.overloom.fabric.plugins.module_utils._ovn.listeners import listeners_argument_spec, run
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    """Ansible's entry."""
    module = AnsibleModule(
        argument_spec={
            **listeners_argument_spec(),
            **{name: owner_argument_spec()[name] for name in ("owner", "adopt")},
            "timeout": {"type": "int", "default": 60},
        },
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()
