#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: netns_container
short_description: Run Podman containers in network namespaces
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Runs Podman containers in named network namespaces, such as those of M(overloom.fabric.netns_veth), each as a systemd service
    C(overloom-container-NAME.service).
  - The namespace with its interfaces outlives the container. So a container that is restarted, killed, or removed by hand has its network
    from its first instruction on, each time, with nothing to plug in. After a reboot the service starts it again.
  - A container is made anew whenever its service starts. What it has to keep belongs into a volume.
  - A container whose options, image, or namespace have changed is made anew. That includes an image that was built anew under its old name.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  containers:
    description:
      - Many items, each with the options below, in one call.
      - With O(purge=true), containers of O(owner) that are not in the list are removed.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the container, 1 to 63 letters, digits and V(_.-).
        type: str
        required: true
      <<: &item
        state:
          description:
            - V(present) runs the container.
            - V(absent) stops and removes it with its service. Its image and its named volumes stay.
          type: str
          choices: [present, absent]
          default: present
        namespace:
          description:
            - Name of the network namespace, which has to exist; that of O(name) by default.
          type: str
        image:
          description:
            - Name or ID of an image that is on the host. It is never pulled.
          type: str
        command:
          description:
            - Command with its arguments; that of the image if left out.
          type: list
          elements: str
        options:
          description:
            - Further options of podman-run(1), each as one word, such as V(--volume=/srv/web:/srv:ro).
            - Options of networks, and those that the service sets itself, are refused.
            - They are readable in the service's unit file. A secret belongs into C(--secret) or C(--env-file).
          type: list
          elements: str
        stop_timeout:
          description:
            - Seconds between the stop signal and the kill, V(0) to V(3600).
          type: int
          default: 10
  <<: *item
  name:
    description:
      - Name of the container, 1 to 63 letters, digits and V(_.-). Needed, unless O(containers) is given.
    type: str
notes:
  - Needs root, Podman 4.0 or later, and systemd on the host.
  - A container without the owner mark (the label C(overloom-owner)) that has the name is refused. With O(adopt=true) it is removed,
    with all that it has written outside of volumes.
seealso:
  - module: overloom.fabric.netns_container_info
  - module: overloom.fabric.netns_veth
"""

EXAMPLES = r"""
- name: A web server on VLAN 20
  block:
    - name: Its network
      overloom.fabric.netns_veth:
        name: web
        bridge: br-int
        tag: 20
        addresses: [10.1.2.1/24]

    - name: The container
      overloom.fabric.netns_container:
        name: web
        image: localhost/web:1
        options: ["--volume=/srv/web:/srv:ro"]

- name: Exactly these containers, no others of this owner
  overloom.fabric.netns_container:
    owner: my-fabric
    purge: true
    containers:
      - {name: web, image: "localhost/web:1"}
      - {name: db, image: "localhost/db:7", command: [db, --listen, "::"], stop_timeout: 60}
"""

RETURN = r"""
commands:
  description: The commands, in order. In check mode those that would be executed.
  returned: always
  type: list
  elements: str
  sample: ["systemctl restart overloom-container-web.service"]
containers:
  description:
    - The declared containers that are there, as M(overloom.fabric.netns_container_info) returns them. In check mode as they are before the change.
  returned: success
  type: list
  elements: dict
  sample:
    - name: web
      owner: overloom.fabric
      id: 4bc9d8fc81189a45a1b7e938c3272b500baebc9c2fc8e5f09561a0c7bf660eff
      image: localhost/web:1
      image_id: 27ad56c31c84ab63bddfac8485bde64c4f43d895dedbb73c60956d92474d5064
      running: true
      pid: 4711
      namespace: web
      service: overloom-container-web.service
spawned:
  description: How many processes were started.
  returned: always
  type: int
  sample: 3
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._container.reconcile import argument_spec, exclusive, run


def main() -> None:
    """Declare the options and hand over."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=exclusive(),
        required_one_of=[("name", "containers")],
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()
