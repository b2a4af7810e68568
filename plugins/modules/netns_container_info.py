#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_container_info
short_description: Show Podman containers with their network namespaces
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Returns the Podman containers of a host, whoever made them, each with its process and the named network namespace that it is in.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  names:
    description:
      - Only these containers, by their exact names. One that is not there is left out.
    type: list
    elements: str
  owner:
    description:
      - Only the containers with this owner mark.
    type: str
notes:
  - Needs root on the host. A host without Podman has no containers.
seealso:
  - module: overloom.fabric.netns_container
"""

EXAMPLES = r"""
- name: All containers of the host
  overloom.fabric.netns_container_info:
  register: found

- name: Only what one fabric owns
  overloom.fabric.netns_container_info:
    owner: my-fabric
"""

RETURN = r"""
containers:
  description: The containers, by name.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the container.
      type: str
      returned: success
      sample: web
    owner:
      description: Owner mark (the label C(overloom-owner)), or V(null).
      type: str
      returned: success
      sample: my-fabric
    id:
      description: Its ID; V(null) for a service without a container.
      type: str
      returned: success
      sample: 4bc9d8fc81189a45a1b7e938c3272b500baebc9c2fc8e5f09561a0c7bf660eff
    image:
      description: Name of the image that it was made from.
      type: str
      returned: success
      sample: localhost/web:1
    image_id:
      description: ID of the image that it was made from.
      type: str
      returned: success
      sample: 27ad56c31c84ab63bddfac8485bde64c4f43d895dedbb73c60956d92474d5064
    running:
      description: Whether it runs.
      type: bool
      returned: success
      sample: true
    pid:
      description: Its first process; V(0) while it does not run.
      type: int
      returned: success
      sample: 4711
    namespace:
      description: Named network namespace that it is in; V(null) for one without a name.
      type: str
      returned: success
      sample: web
    service:
      description: The service of M(overloom.fabric.netns_container) that runs it, or V(null).
      type: str
      returned: success
      sample: overloom-container-web.service
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 2
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._container.reconcile import run_info


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
