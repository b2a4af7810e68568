#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_service_info
short_description: Show systemd services with their network namespaces
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Returns the services that M(overloom.fabric.netns_service) has placed in network namespaces, each with its process and the namespace that it is in.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  names:
    description:
      - Only these services, placed or not.
    type: list
    elements: str
  owner:
    description:
      - Only the services with this owner mark.
    type: str
notes:
  - Needs root on the host.
seealso:
  - module: overloom.fabric.netns_service
"""

EXAMPLES = r"""
- name: All services in namespaces
  overloom.fabric.netns_service_info:
  register: found

- name: The place of one service
  overloom.fabric.netns_service_info:
    names: [nginx]
"""

RETURN = r"""
services:
  description: The services, by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the unit.
      type: str
      returned: success
      sample: nginx.service
    owner:
      description: Owner mark in the drop-in; V(null) without one.
      type: str
      returned: success
      sample: my-fabric
    namespace:
      description: Network namespace that the drop-in says; V(null) without one.
      type: str
      returned: success
      sample: web
    running:
      description: Whether it runs.
      type: bool
      returned: success
      sample: true
    pid:
      description: Its main process; V(0) without one.
      type: int
      returned: success
      sample: 4711
    joined:
      description: Named network namespace that its main process is in; V(null) for the host's, or one without a name.
      type: str
      returned: success
      sample: web
    dns:
      description: Name servers of the namespace.
      type: list
      elements: str
      returned: success
      sample: [10.1.2.53]
    resolv_conf:
      description: File that its main process sees as C(/etc/resolv.conf); V(null) for the host's own, and for one that was replaced since.
      type: str
      returned: success
      sample: /etc/netns/web/resolv.conf
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._service.reconcile import run_info


def main() -> None:
    """Declare the options and hand over."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str"},
            "owner": {"type": "str"},
        },
        supports_check_mode=True,
    )
    run_info(module)


if __name__ == "__main__":
    main()
