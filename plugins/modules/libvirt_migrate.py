#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: libvirt_migrate
short_description: Migrate libvirt guests to another host while they run
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Migrates guests live from this host to another, and removes here what is left of them. Their NICs come along with VLANs and C(iface-id),
    for which the networks and portgroups that they name have to be on the other host.
  - Define the guest there first, with M(overloom.fabric.libvirt_domain) and its O(overloom.fabric.libvirt_domain#module:state=present), which
    makes the disks that are then filled.
  - A guest that is shut off is removed here if it runs there, or is defined there and has no disks to be copied. One that is not here changes nothing.
  - A migration that fails leaves the guest running here.
requirements:
  - libvirt-python (the package C(python3-libvirt)), libvirt 6.0 or newer, on both hosts
extends_documentation_fragment:
  - overloom.fabric.attributes
options:
  name: &name
    description: Name of the guest.
    type: str
  destination: &destination
    description:
      - URI by which this host connects to libvirt on the other one, as C(qemu+ssh://root@192.0.2.2/system?no_tty=1). For one with SSH, root of this
        host needs a key there, and knows the other host's.
    type: str
  data: &data
    description: URI at which QEMU on the other host takes the guest, as C(tcp://192.0.2.2); libvirt's choice by the host's name if left out.
    type: str
  storage: &storage
    description:
      - V(copy) copies the disks, but for the images beneath them, and removes here those that were made for the guest. V(shared) leaves them, as
        both hosts have the same under the same paths.
      - Disks on the network or on a file system of the network, as NFS, are not copied.
    type: str
    choices: [copy, shared]
    default: copy
  timeout: &timeout
    description: Seconds until a migration is given up. The guest then runs on here.
    type: int
    default: 600
  domains:
    description: The guests, instead of the options of one.
    type: list
    elements: dict
    suboptions:
      name:
        <<: *name
        required: true
      destination: *destination
      data: *data
      storage: *storage
      timeout: *timeout
  owner:
    description: The owner whose mark the guests carry; one without it is refused.
    type: str
    default: overloom.fabric
  uri:
    description: The URI that libvirt of this host is connected to by.
    type: str
    default: qemu:///system
seealso:
  - module: overloom.fabric.libvirt_domain
  - module: overloom.fabric.libvirt_info
"""

EXAMPLES = r"""
- name: Migrate a guest by SSH, with its disks
  overloom.fabric.libvirt_migrate:
    name: web1
    destination: qemu+ssh://root@192.0.2.2/system?no_tty=1
    data: tcp://192.0.2.2

- name: Migrate two guests whose disks lie on NFS
  overloom.fabric.libvirt_migrate:
    domains:
      - {name: web1, destination: "qemu+ssh://root@192.0.2.2/system?no_tty=1", storage: shared}
      - {name: web2, destination: "qemu+ssh://root@192.0.2.3/system?no_tty=1", storage: shared}
"""

RETURN = r"""
commands:
  description: The virsh commands that do the same, in order; in check mode those that would be done.
  returned: always
  type: list
  elements: str
  sample: ["virsh migrate --live --persistent --auto-converge --copy-storage-inc web1 qemu+ssh://root@192.0.2.2/system?no_tty=1"]
domains:
  description: Those of the guests that are still here, with their state here and there.
  returned: always
  type: dict
  sample: {}
spawned:
  description: The number of processes that the module started.
  returned: always
  type: int
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.connection import one_or_many
from ansible_collections.overloom.fabric.plugins.module_utils._libvirt.migrate import SPEC, run
from ansible_collections.overloom.fabric.plugins.module_utils._owner import DEFAULT_OWNER


def main() -> None:
    run(AnsibleModule(**one_or_many(SPEC, "domains", owner={"type": "str", "default": DEFAULT_OWNER})))


if __name__ == "__main__":
    main()
