#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_keepalived_info
short_description: Show VRRP routers in network namespaces
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Returns the routers of M(overloom.fabric.netns_keepalived), and whether they are active.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  owner:
    description:
      - Only what carries this owner mark.
    type: str
seealso:
  - module: overloom.fabric.netns_keepalived
"""

EXAMPLES = r"""
- name: All VRRP routers of the host
  overloom.fabric.netns_keepalived_info:
  register: found
"""

RETURN = r"""
routers:
  description:
    - The routers, by name. C(state) is V(active) for one that has all its virtual addresses, which are then in C(addresses), V(standby) for one that has none,
      V(partial) for one that has some, and V(null) for one that does not run.
  returned: success
  type: list
  elements: dict
  sample:
    - name: edge
      owner: overloom.fabric
      running: true
      pid: 4711
      namespace: edge
      service: overloom-keepalived-edge.service
      vrid: 1
      priority: 200
      state: active
      addresses: [10.1.1.1/32]
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 2
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._netns.daemon import run_info
from ansible_collections.overloom.fabric.plugins.module_utils._vrrp.info import KINDS


def main() -> None:
    """Declare the options and hand over."""
    module = AnsibleModule(argument_spec={"owner": {"type": "str"}}, supports_check_mode=True)
    run_info(module, KINDS)


if __name__ == "__main__":
    main()
