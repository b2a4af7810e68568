#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_volume
short_description: Manage volumes in libvirt's storage pools
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Makes, grows and removes volumes, one by plain options or many by O(volumes). A volume is never shrunk or converted.
  - libvirt keeps no metadata with a volume. The owner's mark is a line in C(/var/lib/overloom/libvirt-volumes.json) on the host.
  - A volume that was there before it was adopted is given back, and not removed, by O(purge) and by O(state=absent) without O(adopt).
requirements:
  - libvirt-python (the package C(python3-libvirt)), libvirt 6.0 or newer
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  volumes:
    description: Several volumes in one call; each item takes the options of a single one.
    type: list
    elements: dict
    suboptions:
      name:
        description: The volume's name in its pool.
        type: str
        required: true
      pool:
        description: The pool, which must be active.
        type: str
        required: true
      state: &state
        description: Whether the volume is there.
        type: str
        choices: [present, absent]
        default: present
      size: &size
        description: The size that a guest sees, with its unit, such as V(10GiB). A new volume needs it, or a backing file.
        type: str
      format: &format
        description: The format; V(qcow2) for a new volume.
        type: str
        choices: [raw, qcow2, vmdk, vdi]
      backing_path: &backing_path
        description: The image that a new volume lies upon.
        type: str
      backing_format: &backing_format
        description: The format of O(backing_path).
        type: str
        choices: [raw, qcow2, vmdk]
        default: qcow2
  name:
    description: The volume's name in its pool.
    type: str
  pool:
    description: The pool, which must be active.
    type: str
  state: *state
  size: *size
  format: *format
  backing_path: *backing_path
  backing_format: *backing_format
  uri:
    description: The URI that libvirt is connected to by.
    type: str
    default: qemu:///system
"""

EXAMPLES = r"""
- name: A disk of 10 GiB
  overloom.fabric.libvirt_volume:
    pool: fabric
    name: web1.qcow2
    size: 10GiB
"""

RETURN = r"""
commands:
  description: The virsh commands that do the same, in order; in check mode those that would be done.
  returned: always
  type: list
  elements: str
  sample: ["virsh vol-delete web1.qcow2 --pool fabric"]
volumes:
  description: The declared volumes as they are, by pool and name.
  returned: success
  type: dict
  sample: {fabric/web1.qcow2: {size: 10GiB, format: qcow2, owner: overloom.fabric}}
spawned:
  description: The number of processes that the module started.
  returned: always
  type: int
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import one_or_many
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.volumes import VOLUME_SPEC, run_volumes
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    run_volumes(AnsibleModule(**one_or_many(VOLUME_SPEC, "volumes", ("name", "pool"), **owner_argument_spec())))


if __name__ == "__main__":
    main()
