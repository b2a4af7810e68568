#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: host_checkpoint
short_description: Change a host's own network with a way back
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Records how interfaces are configured before a change that may cut the host off, and has the host undo the change by itself unless it is
    confirmed in time, as only somebody who still reaches the host can do.
  - Recorded are the interfaces' addresses, routes and MTU, their ports in Open vSwitch with all settings, and this collection's units for them.
  - A systemd timer undoes the change when the time has run out. A host that reboots in between undoes it at boot.
  - An address by DHCP is put back with the time it was valid for, and is left to the host's DHCP client after a reboot.
  - Interfaces that are not named, and ports without any of them, are left alone. A bridge that was made meanwhile stays.
extends_documentation_fragment:
  - overloom.fabric.attributes
options:
  name:
    description: Name of the checkpoint. Several may be armed side by side, for different interfaces.
    type: str
    default: overloom
  interfaces:
    description:
      - The interfaces that the change touches, such as a NIC and the bridge that it is put on; one that does not exist yet may be named.
      - Needed with O(state=armed).
    type: list
    elements: str
  timeout:
    description: Seconds until the host undoes the change, from the moment on that the checkpoint is armed; 10 or more.
    type: int
    default: 120
  state:
    description:
      - With V(armed), the state is recorded and the time begins to run. A checkpoint that is armed keeps its record and its time.
      - With V(confirmed), the change stays, and the record is removed. It is an error if the change was undone.
      - With V(absent), the change is undone at once, if it was not confirmed, and nothing of the checkpoint is left.
    type: str
    choices: [armed, confirmed, absent]
    default: armed
  owner:
    description: Owner mark of the units.
    type: str
    default: overloom.fabric
notes:
  - Confirm over a new connection (C(meta) with V(reset_connection), then M(ansible.builtin.wait_for_connection)); an old one may go on by chance.
  - A task of this collection with C(OVERLOOM_CHECKPOINT) in its C(environment), the name of a checkpoint, changes nothing any more once the host
    has begun to undo the change, as a task may that came too late.
  - The host needs systemd, iproute2 and Python.
seealso:
  - module: overloom.fabric.ovs_takeover
"""

EXAMPLES = r"""
- name: Record how the NIC is configured
  overloom.fabric.host_checkpoint:
    interfaces: [eth1, br0]
    timeout: 60

- name: Put the NIC on a bridge
  overloom.fabric.ovs_bridge:
    name: br0
    ports:
      - {name: eth1}
  environment:
    OVERLOOM_CHECKPOINT: overloom

- name: Drop the connection
  ansible.builtin.meta: reset_connection

- name: Reach the host anew
  ansible.builtin.wait_for_connection:
    timeout: 50

- name: Confirm the change
  overloom.fabric.host_checkpoint:
    state: confirmed
"""

RETURN = r"""
checkpoint:
  description:
    - The checkpoint as it is now; in check mode, as it was found.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    armed:
      description: Whether the host will undo the change.
      type: bool
    undone:
      description: When and why the host undid the last change, with C(problems) it met; V(null) if it did not.
      type: dict
  sample: {name: overloom, armed: true, undone: null}
commands:
  description: What was executed, in order, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [systemctl start overloom-checkpoint-overloom.timer]
spawned:
  description: Number of processes that were started.
  returned: always
  type: int
  sample: 5
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._checkpoint.checkpoint import run
from ansible_collections.overloom.fabric.plugins.module_utils._owner import DEFAULT_OWNER


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "overloom"},
            "interfaces": {"type": "list", "elements": "str"},
            "timeout": {"type": "int", "default": 120},
            "state": {"type": "str", "choices": ["armed", "confirmed", "absent"], "default": "armed"},
            "owner": {"type": "str", "default": DEFAULT_OWNER},
        },
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()
