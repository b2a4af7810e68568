#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_pool
short_description: Manage libvirt's storage pools
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Makes, changes, starts, stops and removes storage pools, one by plain options or many by O(pools). The files in a pool are never touched.
  - libvirt keeps no metadata with a pool. Its UUID, which follows from O(owner) and the name, is the owner's mark.
  - A pool that was there before it was adopted is given back as it was, by O(purge) and by O(state=absent) without O(adopt). Its former definition
    is kept in C(/var/lib/overloom/libvirt-pools.json) on the host.
requirements:
  - libvirt-python (the package C(python3-libvirt)), libvirt 6.0 or newer
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  pools:
    description: Several pools in one call; each item takes the options of a single one.
    type: list
    elements: dict
    suboptions:
      name:
        description: The pool's name, an exact match.
        type: str
        required: true
      state: &state
        description:
          - V(active) and V(inactive) define the pool and bring it there; V(present) leaves it active or not.
          - V(absent) forgets it. Its files stay.
        type: str
        choices: [present, active, inactive, absent]
        default: active
      type: &type
        description: The kind of storage. A new pool needs it. An option that another type has is refused.
        type: str
        choices: [dir, fs, netfs, logical]
      path: &path
        description: The folder, which is made when missing.
        type: str
      source_device: &source_device
        description: The block device of O(type=fs).
        type: str
      source_host: &source_host
        description: The server of O(type=netfs).
        type: str
      source_dir: &source_dir
        description: The server's folder of O(type=netfs).
        type: str
      source_name: &source_name
        description: The volume group of O(type=logical).
        type: str
      autostart: &autostart
        description: Whether the pool starts with the host. By default a new pool does when its state is V(active).
        type: bool
  name:
    description: The pool's name, an exact match.
    type: str
  state: *state
  type: *type
  path: *path
  source_device: *source_device
  source_host: *source_host
  source_dir: *source_dir
  source_name: *source_name
  autostart: *autostart
  uri:
    description: The URI that libvirt is connected to by.
    type: str
    default: qemu:///system
"""

EXAMPLES = r"""
- name: A pool for the fabric's guests
  overloom.fabric.libvirt_pool:
    name: fabric
    type: dir
    path: /var/lib/libvirt/fabric
"""

RETURN = r"""
commands:
  description: The virsh commands that do the same, in order; in check mode those that would be done.
  returned: always
  type: list
  elements: str
  sample: ["virsh pool-start fabric"]
pools:
  description: The declared pools as they are, typed.
  returned: success
  type: dict
  sample: {fabric: {type: dir, path: /var/lib/libvirt/fabric, state: active, owned: true}}
spawned:
  description: The number of processes that the module started.
  returned: always
  type: int
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import one_or_many
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.pools import POOL_SPEC, run_pools
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def main() -> None:
    run_pools(AnsibleModule(**one_or_many(POOL_SPEC, "pools", **owner_argument_spec())))


if __name__ == "__main__":
    main()
