#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: kernel_sysctl
short_description: Set kernel parameters now and at boot
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Writes one file in C(/etc/sysctl.d) and sets the values that differ in the running kernel, in one call for all parameters.
  - Another owner's file, or one that was made by hand, is not touched, unless O(adopt=true).
extends_documentation_fragment:
  - overloom.fabric.attributes
options:
  name:
    description: Part of the file's name, C(/etc/sysctl.d/90-overloom-NAME.conf).
    type: str
    required: true
  sysctls:
    description:
      - All parameters of the file, keys as in C(sysctl(8\)), such as C(net.ipv4.ip_forward) or, for an interface with a dot in its name,
        C(net/ipv4/conf/eth0.10/arp_ignore).
    type: dict
  optional:
    description: Accept parameters that the kernel does not have, such as those of an interface that is made later.
    type: bool
    default: false
  state:
    description:
      - With V(absent), the file is removed. The values in force stay until the next boot, as others may count on them by now.
      - A file that was taken over is given back as it was, and its values are in force again.
    type: str
    choices: [present, absent]
    default: present
  owner:
    description: The mark in the file's first line.
    type: str
    default: overloom.fabric
  adopt:
    description:
      - Take over a file of that name that another owner, or somebody by hand, has made. Ours keeps its lines, and gives them back.
      - With O(state=absent), what was there before goes, too.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: A router forwards
  overloom.fabric.kernel_sysctl:
    name: router
    sysctls: {net.ipv4.ip_forward: 1, net.ipv4.conf.all.rp_filter: 2}

- name: Remove the file
  overloom.fabric.kernel_sysctl:
    name: router
    state: absent
"""

RETURN = r"""
commands:
  description: The commands that were run, in order; in check mode those that would be run.
  returned: always
  type: list
  elements: str
  sample: ["sysctl -q -w net/ipv4/ip_forward=1"]
path:
  description: Path of the file.
  returned: success
  type: str
  sample: /etc/sysctl.d/90-overloom-router.conf
sysctls:
  description: The values in force, by their paths below C(/proc/sys); null for what the kernel does not have.
  returned: success
  type: dict
  sample: {net/ipv4/ip_forward: "1"}
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._ip.sysctl import run
from ansible_collections.overloom.fabric.plugins.module_utils._owner import DEFAULT_OWNER


def main() -> None:
    """Ansible's entry."""
    run(
        AnsibleModule(
            argument_spec={
                "name": {"type": "str", "required": True},
                "sysctls": {"type": "dict"},
                "optional": {"type": "bool", "default": False},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
                "owner": {"type": "str", "default": DEFAULT_OWNER},
                "adopt": {"type": "bool", "default": False},
            },
            supports_check_mode=True,
        )
    )


if __name__ == "__main__":
    main()
