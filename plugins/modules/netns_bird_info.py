#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_bird_info
short_description: Show routers in network namespaces, and their default routes
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Returns the routers of M(overloom.fabric.netns_bird), with their sessions and default routes.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  owner:
    description:
      - Only what carries this owner mark.
    type: str
seealso:
  - module: overloom.fabric.netns_bird
"""

EXAMPLES = r"""
- name: All routers in namespaces of the host
  overloom.fabric.netns_bird_info:
  register: found
"""

RETURN = r"""
routers:
  description:
    - The routers, by name. C(sessions) has the state of each session of BGP by the neighbor's address. C(awaited) are the families of which a default route
      is to come, and C(defaults) the next hops of those that have come.
  returned: success
  type: list
  elements: dict
  sample:
    - name: edge
      owner: overloom.fabric
      running: true
      pid: 4711
      namespace: edge
      service: overloom-bird-edge.service
      sessions: {10.9.0.254: Established}
      awaited: [ipv4]
      defaults: {ipv4: [{via: 10.9.0.254, interface: outside}]}
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._bird.info import KINDS
from ansible_collections.overloom.fabric.plugins.module_utils._netns.daemon import run_info


def main() -> None:
    """Declare the options and hand over."""
    module = AnsibleModule(argument_spec={"owner": {"type": "str"}}, supports_check_mode=True)
    run_info(module, KINDS)


if __name__ == "__main__":
    main()
