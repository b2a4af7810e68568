#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lab_guest_image
short_description: Build a small guest for labs from Debian's own kernel package
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Builds a kernel and an initramfs that a guest boots directly, in some ten seconds, and keeps them in a cache.
    Nothing is installed; the packages come from the machine's own package sources.
  - The guest is up in about two seconds without KVM. It takes its addresses from the kernel command line, answers pings and the
    protocol of the QEMU guest agent (V(guest-ping), V(guest-exec)), and has a root shell on its serial console.
  - "Its kernel command line knows V(overloom.hostname=NAME), V(overloom.eth0=10.1.1.2/24,mtu=1450,gateway=10.1.1.1) or
    V(overloom.eth0=dhcp) and the like for each NIC, V(overloom.http=PORT), and V(overloom.modules=NAME,NAME)."
  - It has no password and no update; it is for labs only.
requirements:
  - Debian's C(apt-get) with its package lists fetched.
extends_documentation_fragment:
  - overloom.fabric.attributes
options:
  cache:
    description: The folder that holds built images.
    type: path
    default: ~/.cache/overloom
  kernel_package:
    description:
      - The metapackage of the kernel. It must not be a C(cloud) flavour, which lacks drivers.
      - By default the one of the machine's architecture.
    type: str
  stand_in:
    description:
      - Also make a disc that the guest boots from by its BIOS, and an empty flash disk. With them it stands in, in tests, for a
        vendor's image that configures itself from a flash partition. It is nothing of any vendor's software.
      - Needs C(mke2fs) and C(qemu-img).
    type: bool
    default: false
  modules:
    description: Kernel modules that the image carries, besides the drivers of QEMU's devices.
    type: list
    elements: str
    default: [8021q, bonding, bridge, dummy, geneve, gre, ip_gre, macvlan, openvswitch, sch_netem, veth, vrf, vxlan, wireguard]
"""

EXAMPLES = r"""
- name: Build the lab's guest once, on the controller
  overloom.fabric.lab_guest_image:
  register: image
  delegate_to: localhost
  run_once: true
"""

RETURN = r"""
kernel:
  description: Path of the kernel.
  returned: success
  type: str
  sample: /home/me/.cache/overloom/guest-0123456789ab/vmlinux
initrd:
  description: Path of the initramfs.
  returned: success
  type: str
  sample: /home/me/.cache/overloom/guest-0123456789ab/initrd
iso:
  description: Path of the boot disc.
  returned: with O(stand_in)
  type: str
  sample: /home/me/.cache/overloom/stand-in-0123456789ab/boot.iso
flash:
  description: Path of the flash disk.
  returned: with O(stand_in)
  type: str
  sample: /home/me/.cache/overloom/stand-in-0123456789ab/flash.qcow2
spawned:
  description: The number of processes that the module started.
  returned: always
  type: int
  sample: 0
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._lab.guest_image import (
    KERNELS,
    NETWORK_MODULES,
    build,
    locate,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, module_runner


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "cache": {"type": "path", "default": "~/.cache/overloom"},
            "kernel_package": {"type": "str"},
            "stand_in": {"type": "bool", "default": False},
            "modules": {"type": "list", "elements": "str", "default": list(NETWORK_MODULES)},
        },
        supports_check_mode=True,
    )
    runner = module_runner(module)
    cache, names = module.params["cache"], [name.replace("-", "_") for name in module.params["modules"]]
    package = module.params["kernel_package"] or KERNELS.get(os.uname().machine, "linux-image-" + os.uname().machine)
    image = locate(cache, package, names, module.params["stand_in"])
    missing = not image.complete
    try:
        if missing and not module.check_mode:
            image = build(runner, cache, package, names, module.params["stand_in"])
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    diff = (
        {"before": "", "after": f"kernel: {image.kernel}\ninitrd: {image.initrd}\n"}
        if missing
        else {"before": "", "after": ""}
    )
    more = {"iso": image.iso, "flash": image.flash} if module.params["stand_in"] else {}
    module.exit_json(
        changed=missing, kernel=image.kernel, initrd=image.initrd, spawned=runner.spawned, diff=diff, **more
    )


if __name__ == "__main__":
    main()
