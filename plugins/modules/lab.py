#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: lab
short_description: Boot real systemd hosts on one machine and wire them with cables
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Makes, changes and removes a lab on the machine that it runs on.
    Each host of a lab is a systemd host of its own (C(systemd-nspawn)), over the machine's own root file system with a
    throw-away layer, so no image and no download is needed. It has its own processes, network, services and logs, can be rebooted, and keeps
    its files until the lab is removed.
  - A host starts with nothing of the machine's state, only with its software. No unit is enabled in it but what systemd needs,
    and the machine's logs, databases of Open vSwitch, libvirt definitions, scheduled jobs and home folders are hidden from it.
  - NICs are down and have no address until something in the host changes that, and a reboot takes all network settings away,
    as on a real machine.
  - What is there is compared with what is declared, and only what differs is changed. A host that is off is booted, a
    cable that is gone is plugged again.
  - Nothing is made in the machine's own network namespace, and nothing of another lab is touched.
extends_documentation_fragment:
  - overloom.fabric.attributes
options:
  name:
    description:
      - The name of the lab. Labs with other names are never touched, also when their hosts have the same names.
      - One to 32 lower-case letters, digits and C(-), beginning with a letter or digit.
    type: str
    required: true
  hosts:
    description:
      - The names of the hosts. A host that is not listed is removed, with its files.
    type: list
    elements: str
  links:
    description:
      - The cables. Each is a list of at least two ends, written as V(host:interface).
      - Two ends are one cable, which passes every frame. More ends are plugged into a switch.
    type: list
    elements: list
  root:
    description:
      - The folder with the root file system that the hosts are booted from; it is only read.
      - Another one than the machine's own can be made by C(mmdebstrap), for example. It needs systemd and D-Bus, kmod, iproute2 and Python for Ansible,
        and the software that the hosts are to run, because they have no way to the Internet.
    type: path
    default: /
  storage:
    description:
      - A folder to keep the hosts' files in, in a folder of the lab's own that is removed with the lab.
        It must be on another filesystem than O(root), or outside of it.
      - Without it they are kept in memory.
    type: path
  binds:
    description:
      - Folders of the machine that all hosts see, read-only, each as V(folder) or V(folder:where).
      - A change of it restarts the hosts.
    type: list
    elements: str
  mtu:
    description:
      - The MTU that a NIC has when its host is switched on. The default is that of a real NIC.
      - A host may raise it, and cables and switches carry at least 9216 bytes, so the MTU of a fabric is for the fabric to set.
      - A change of it makes all cables anew.
    type: int
    default: 1500
  inventory:
    description:
      - The folder of the inventory whose lab this is. It is remembered, and a lab of another inventory is neither changed nor removed,
        as long as that folder exists.
    type: path
  boot_timeout:
    description:
      - How many seconds a host may take until it is up. All hosts are booted side by side.
    type: int
    default: 60
  state:
    description:
      - V(present) makes the lab as declared.
      - V(absent) removes the lab, whatever there is of it, and needs no other option than O(name).
        It leaves no process, mount, namespace, interface, control group or file behind.
    type: str
    choices: [present, absent]
    default: present
notes:
  - It must run as root.
  - It raises kernel settings that all hosts of a machine share (C(fs.inotify.max_user_instances), and the size of the neighbor tables,
    C(net.ipv4.neigh.default.gc_thresh3) and its kin) as far as so many hosts need, shows that with C(--diff), and sets them back as the last lab is removed.
    It changes no other setting of the machine.
seealso:
  - plugin: overloom.fabric.lab
    plugin_type: connection
    description: Runs tasks in a lab host.
"""

EXAMPLES = r"""
- name: Two hosts with a cable between them
  overloom.fabric.lab:
    name: demo
    hosts: [kvm1, kvm2]
    links:
      - ["kvm1:eth1", "kvm2:eth1"]

- name: A third one, all on a switch
  overloom.fabric.lab:
    name: demo
    hosts: [kvm1, kvm2, kvm3]
    links:
      - ["kvm1:eth1", "kvm2:eth1", "kvm3:eth1"]

# Made before by: mmdebstrap --include=systemd-sysv,dbus,kmod,iproute2,python3,openvswitch-switch trixie /srv/trixie
- name: Hosts of another distribution than the machine's
  overloom.fabric.lab:
    name: other
    hosts: [kvm1, kvm2]
    root: /srv/trixie

- name: Remove the lab
  overloom.fabric.lab:
    name: demo
    state: absent
"""

RETURN = r"""
commands:
  description: The commands that were executed (or would be, in check mode), in order.
  returned: always
  type: list
  elements: str
  sample: [unshare --net=/run/overloom/labs/demo/hosts/kvm1/net true]
hosts:
  description: The hosts of the lab as they are at the end.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: The name of the host.
      type: str
      sample: kvm1
    state:
      description: Whether the host is V(running), V(booting) or V(off).
      type: str
      sample: running
    leader:
      description: The process, as the machine sees it, that is process 1 of the host; null if it is off.
      type: int
      sample: 4711
    boot_seconds:
      description: How long the last boot took; null if it is not up.
      type: float
      sample: 0.8
spawned:
  description: How many processes the module has run.
  returned: always
  type: int
  sample: 12
"""

import os
import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._lab import lab as _lab
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, module_runner, reconcile

ARGUMENT_SPEC: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "hosts": {"type": "list", "elements": "str"},
    "links": {"type": "list", "elements": "list"},
    "root": {"type": "path", "default": "/"},
    "storage": {"type": "path"},
    "binds": {"type": "list", "elements": "str"},
    "mtu": {"type": "int", "default": 1500},
    "inventory": {"type": "path"},
    "boot_timeout": {"type": "int", "default": 60},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    # Not every way to become root brings the folders of root's tools along.
    os.environ["PATH"] = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    # The hosts' root folders must be readable for their services, whatever the person's mask.
    os.umask(0o022)
    try:
        wanted = _lab.wanted_lab(module.params)
        _lab.check_machine(
            wanted, {tool: module.get_bin_path(tool) for tool in ("systemd-nspawn", "ip", "nsenter", "ethtool")}
        )
        lab = _lab.Lab(wanted, module_runner(module), module.params["boot_timeout"], module.check_mode)
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], hosts=[], spawned=0)
    reconcile(module, lab.read, lab.compare, lab.runner, lab.state, lab.judge)


if __name__ == "__main__":
    main()
