#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: capture_info
short_description: Take the packets of two addresses at several interfaces at once
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Takes the packets between two addresses, also those inside of GRE, VXLAN, GENEVE and other tunnels that encrypt nothing, at interfaces of the
    host and of its network namespaces, for some seconds.
  - Changes nothing. No interface becomes promiscuous, no file is written, no program is needed but C(ping).
  - Sockets of the kernel take the packets (packet(7)). A port that Open vSwitch keeps to itself, such as a tunnel port, is no interface of the kernel.
    Take the packets at the physical interface instead, where they have their outer headers.
  - M(overloom.fabric.capture) merges what several hosts returned.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
options:
  addresses:
    description: The two addresses, of one family.
    type: list
    elements: str
    required: true
  points:
    description: The interfaces.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The name of the point in the result.
        type: str
        required: true
      namespace:
        description: The network namespace; empty for the host's own.
        type: str
        default: ""
      interface:
        description: The interface.
        type: str
        required: true
      addresses:
        description: Pairs of addresses that packets have at this point instead of O(addresses), as NAT changes them on their way.
        type: list
        elements: str
        default: []
  seconds:
    description: How long packets are taken. 1 to 600.
    type: int
    default: 10
  packets:
    description: The most packets of a point. 1 to 100000.
    type: int
    default: 1000
  snap:
    description: The most bytes of a packet. 64 to 65535.
    type: int
    default: 256
  ping:
    description: Send two pings a second meanwhile, but not in the last second.
    type: dict
    suboptions:
      namespace:
        description: The network namespace to send from; empty for the host's own.
        type: str
        default: ""
      source:
        description: The source address.
        type: str
        required: true
      target:
        description: The target address.
        type: str
        required: true
"""

EXAMPLES = r"""
- name: Take what passes between two endpoints at a port and at the NIC
  overloom.fabric.capture_info:
    addresses: [10.1.1.65, 10.1.1.66]
    points:
      - {name: port, interface: v-web1}
      - {name: nic, interface: eth1}
    seconds: 5
"""

RETURN = r"""
points:
  description: The points, with what was taken at each.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The point's name.
      type: str
    error:
      description: Why nothing could be taken there, or V(null).
      type: str
    full:
      description: Whether it had O(packets) packets, so that later ones were not taken.
      type: bool
    missed:
      description: How many packets of all kinds the kernel dropped as they came too fast.
      type: int
    packets:
      description: The packets.
      type: list
      elements: dict
      contains:
        time:
          description: When the kernel saw it, in nanoseconds since the epoch, by the host's clock.
          type: int
        out:
          description: Whether the interface sent it.
          type: bool
        back:
          description: Whether it goes from the second address to the first.
          type: bool
        at:
          description: Where in it the addresses are, in bytes.
          type: int
        length:
          description: Its length in bytes, on the wire.
          type: int
        data:
          description: Its first bytes, Base64.
          type: str
begun:
  description: When the first packet could be taken, in nanoseconds since the epoch.
  returned: success
  type: int
ended:
  description: When the last packet could be taken, likewise.
  returned: success
  type: int
ping:
  description: The last line of C(ping), or V(null).
  returned: success
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._capture.pinger import Pinger
from ansible_collections.overloom.fabric.plugins.module_utils._capture.sniffer import Point, capture, pair_of, pairs_of
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

RANGES = {"seconds": (1, 600), "packets": (1, 100000), "snap": (64, 65535)}


def main() -> None:
    """Ansible's entry."""
    text = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec={
            "addresses": {"type": "list", "elements": "str", "required": True},
            "points": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": text,
                    "namespace": {"type": "str", "default": ""},
                    "interface": text,
                    "addresses": {"type": "list", "elements": "str", "default": []},
                },
            },
            "seconds": {"type": "int", "default": 10},
            "packets": {"type": "int", "default": 1000},
            "snap": {"type": "int", "default": 256},
            "ping": {
                "type": "dict",
                "options": {"namespace": {"type": "str", "default": ""}, "source": text, "target": text},
            },
        },
        supports_check_mode=True,
    )
    options = module.params
    for name, (least, most) in RANGES.items():
        if not least <= options[name] <= most:
            module.fail_json(msg=f"{name}: {options[name]} is not between {least} and {most}; give a number of these")
    try:
        pair = pair_of(options["addresses"])
        points = [
            Point(row["name"], row["namespace"], row["interface"], pairs_of(row["addresses"]))
            for row in options["points"]
        ]
        with Pinger(options["ping"], options["seconds"]) as pinger:
            begun = time.time_ns()
            until = time.monotonic() + options["seconds"]
            found = capture(points, pair, until, options["packets"], options["snap"])
            ended = time.time_ns()
        module.exit_json(changed=False, points=found, begun=begun, ended=ended, ping=pinger.said)
    except FabricError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
