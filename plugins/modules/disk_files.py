#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: disk_files
short_description: Write files into a disk image before a guest boots from it
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Writes files into a partition of a disk image without mounting it and without booting it, so that an appliance starts configured.
  - Knows master boot records and GPT, the file systems ext2, ext3, ext4 and FAT, and all image formats that C(qemu-img) writes.
  - The image must not be in use by a running guest; QEMU's lock refuses that.
requirements:
  - C(qemu-img), C(debugfs) (the package e2fsprogs) for ext, C(mcopy) (the package mtools) for FAT
extends_documentation_fragment:
  - overloom.fabric.attributes
options:
  image:
    description: The image's absolute path.
    type: path
    required: true
  partition:
    description: The number of the partition, from 1.
    type: int
    default: 2
  files:
    description: The files, whose folders must exist.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: The absolute path in the partition's file system.
        type: str
        required: true
      content:
        description: The content.
        type: str
        required: true
  keep:
    description: Whether nothing is written once any of the files is there, as after a guest's first boot the files are the guest's own.
    type: bool
    default: false
  secrets:
    description: Words of the contents that no output shows.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: A switch that starts with a configuration, and without zero touch provisioning
  overloom.fabric.disk_files:
    image: /var/lib/libvirt/images/leaf1-hda.qcow2
    partition: 2
    files:
      - {path: /zerotouch-config, content: "DISABLE=True\n"}
      - {path: /startup-config, content: "hostname leaf1\n"}
    keep: true
"""

RETURN = r"""
commands:
  description: The commands that were run, in order; in check mode those that would be run.
  returned: always
  type: list
  elements: str
  sample: ["qemu-img convert -O raw --image-opts ..."]
filesystem:
  description: The kind of file system, V(ext) or V(fat).
  returned: when the image exists
  type: str
  sample: ext
files:
  description: Which of the files are there.
  returned: success
  type: list
  elements: str
  sample: [/startup-config]
spawned:
  description: The number of processes that the module started.
  returned: always
  type: int
  sample: 4
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._guest.disk_files import (
    check_files,
    compare,
    judge,
    leftovers,
    read,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    FabricError,
    mask,
    module_runner,
    reconcile,
)

FILE = {"path": {"type": "str", "required": True}, "content": {"type": "str", "required": True}}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "image": {"type": "path", "required": True},
            "partition": {"type": "int", "default": 2},
            "files": {"type": "list", "elements": "dict", "required": True, "options": FILE},
            "keep": {"type": "bool", "default": False},
            "secrets": {"type": "list", "elements": "str", "default": [], "no_log": True},
        },
        supports_check_mode=True,
    )
    runner = module_runner(module)
    image, keep, secrets = module.params["image"], module.params["keep"], module.params["secrets"]
    try:
        wanted = check_files(module.params["files"], image)
    except FabricError as error:
        module.fail_json(msg=mask(str(error), secrets))
    reconcile(
        module,
        lambda: read(runner, image, module.params["partition"], wanted),
        lambda found: compare(wanted, found, image, keep, secrets, module.check_mode),
        runner,
        lambda found: {
            "filesystem": found.kind,
            "files": [path for path, text in found.files.items() if text is not None],
        },
        lambda found: judge(wanted, found, image, keep),
        lambda _found: leftovers(image),
    )


if __name__ == "__main__":
    main()
