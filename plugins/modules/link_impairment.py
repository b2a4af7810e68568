#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: link_impairment
short_description: Delay, lose, slow down or cut what leaves an interface, for a time
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Impairs packets that leave an interface, all of them or those with certain outer addresses, until its time is over.
    For both directions of a cable, impair both of its ends.
  - Each impairment is a systemd unit of this boot, which ends by itself, without a controller, and takes all back. So it does when
    it is stopped, and when the host goes down.
  - Delay, jitter, duplication and reordering need C(netem) of the kernel. Loss is done by C(netem), or without it by C(nftables); a rate
    by C(netem) or HTB; a cut by C(nftables).
  - The very commands are tried beforehand, in a network namespace that is gone again, in check mode, too.
  - Another one's queueing discipline is never replaced.
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  impairments:
    description: Several impairments, each with the options below, instead of the plain options.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the impairment.
        type: str
        required: true
      <<: &item
        interface:
          description: The interface whose outgoing packets are impaired.
          type: str
        netns:
          description: The network namespace that the interface is in. Left out, it is the host's own.
          type: str
        matches:
          description: Impair these packets alone, by their outer headers. Left out, it is all of them.
          type: list
          elements: dict
          suboptions:
            source:
              description: The address that they come from.
              type: str
              required: true
            destination:
              description: The address that they go to.
              type: str
              required: true
            protocol:
              description: The number of their IP protocol, such as 47 for GRE. Left out, it is any.
              type: int
            port:
              description: The UDP or TCP port that they go to.
              type: int
        delay:
          description: Delay of each packet, such as V(50ms). A number is in milliseconds.
          type: str
        jitter:
          description: By how much the delay differs from packet to packet, likewise.
          type: str
        loss:
          description: Part of the packets that is dropped at random, in percent.
          type: str
        duplicate:
          description: Part of the packets that is sent twice, in percent.
          type: str
        reorder:
          description: Part of the packets that is sent at once, before those that are delayed, in percent.
          type: str
        rate:
          description: The most that is sent, such as V(10mbit).
          type: str
        cut:
          description: Whether every packet is dropped.
          type: bool
          default: false
        for:
          description: How long, V(1s) to V(24h). A number is in seconds.
          type: str
          default: 30s
  name:
    description: Name of the impairment, for one as plain options.
    type: str
  <<: *item
  state:
    description:
      - With V(present), it begins. One that runs as declared goes on, and keeps its end; one that differs, or does not run, begins anew.
      - With V(absent), it ends at once.
    type: str
    choices: [present, absent]
    default: present
notes:
  - Packets that Open vSwitch sends by DPDK or AF_XDP pass by the kernel, and are not impaired.
  - The host needs systemd, iproute2, nftables 1.0.1 and Linux 5.16 for a cut.
seealso:
  - module: overloom.fabric.impair
"""

EXAMPLES = r"""
- name: Make the loop device slow for a moment
  overloom.fabric.link_impairment:
    name: slow
    interface: lo
    rate: 100mbit
    for: 5s

- name: Cut a GRE tunnel in one direction
  overloom.fabric.link_impairment:
    impairments:
      - name: tunnel-kvm1-kvm2
        interface: lo
        matches:
          - {source: 192.168.200.1, destination: 192.168.200.2, protocol: 47}
        cut: true
        for: 10s

- name: End all of them
  overloom.fabric.link_impairment:
    purge: true
"""

RETURN = r"""
impairments:
  description: The owner's impairments on this host, with the seconds that are left of each.
  returned: success
  type: list
  elements: dict
  sample: [{name: tunnel-kvm1-kvm2, owner: myfabric, interface: eth1, netns: null, effect: cut, seconds: 10, left: 10}]
commands:
  description: What was executed, in order, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [systemctl start overloom-impair-slow.service]
spawned:
  description: Number of processes that were started.
  returned: always
  type: int
  sample: 5
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._impair.impairment import run
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec


def one_spec() -> dict:
    """The options of one impairment, but for its name."""
    match = {
        "source": {"type": "str", "required": True},
        "destination": {"type": "str", "required": True},
        "protocol": {"type": "int"},
        "port": {"type": "int"},
    }
    texts = ("interface", "netns", "delay", "jitter", "loss", "duplicate", "reorder", "rate")
    return {
        **{name: {"type": "str"} for name in texts},
        "matches": {"type": "list", "elements": "dict", "options": match},
        "cut": {"type": "bool", "default": False},
        "for": {"type": "str", "default": "30s"},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str"},
            **one_spec(),
            "impairments": {
                "type": "list",
                "elements": "dict",
                "options": {"name": {"type": "str", "required": True}, **one_spec()},
            },
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            **owner_argument_spec(),
        },
        supports_check_mode=True,
    )
    run(module)


if __name__ == "__main__":
    main()
