#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_container_image
short_description: Import a small container image for labs, made of the host's BusyBox
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Imports an image of some two megabytes into Podman. It holds the statically linked BusyBox of the host and a page for its web server,
    which its command starts on port 80. Nothing is downloaded.
  - It gets no updates; it is for labs only.
requirements:
  - Podman, and a statically linked C(busybox) (on Debian the package busybox-static).
extends_documentation_fragment:
  - overloom.fabric.attributes
options:
  name:
    description: Name of the image with its tag.
    type: str
    required: true
  state:
    description: Whether the image is there. An image that is there is left as it is.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: overloom.fabric.netns_container
"""

EXAMPLES = r"""
- name: Make an image for labs
  overloom.fabric.lab_container_image:
    name: localhost/small:1
"""

RETURN = r"""
commands:
  description: The commands, in order. In check mode those that would be executed.
  returned: always
  type: list
  elements: str
  sample: ["podman import --quiet image.tar localhost/small:1"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._container.lab_image import run


def main() -> None:
    """Declare the options and hand over."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()
