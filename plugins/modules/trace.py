#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: trace
short_description: Follow a packet through the fabric and say where it ends
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Runs on the controller, once for all hosts, in two steps. Without O(observed) it derives from the plan which hosts the packet crosses and what
    M(overloom.fabric.trace_info) is to read there.
  - With O(observed) it follows the packet through what was read, there and back, prints the path, and fails with the hop and the cause when it dies.
extends_documentation_fragment:
  - overloom.fabric.attributes.info
  - overloom.fabric.plan
  - overloom.fabric.plan.ends
options:
  protocol:
    description: The packet's protocol. Only V(icmp) is measured as it is traced; the others are measured by a ping of the same size.
    type: str
    choices: [icmp, tcp, udp]
    default: icmp
  port:
    description: The destination port, for O(protocol=tcp) and O(protocol=udp).
    type: int
  size:
    description: The length of the IP packet in bytes. It may not be fragmented.
    type: int
    default: 84
  observed:
    description: Names of the registered variables that hold what the hosts' tasks returned.
    type: dict
    suboptions:
      read:
        description: The variable with the result of M(overloom.fabric.trace_info).
        type: str
      routers:
        description: The variable with the result of M(overloom.fabric.frr_info).
        type: str
      probe:
        description: The variable with the result of M(overloom.fabric.probe).
        type: str
      again:
        description:
          - The variable with a second result of M(overloom.fabric.trace_info), read after the probe. Its counters decide what the first does not.
          - Where the packet ends by what was read first, the second decides.
        type: str
      routers_again:
        description: The variable with a second result of M(overloom.fabric.frr_info).
        type: str
      probe_again:
        description: The variable with the result of another M(overloom.fabric.probe), where the first one and what was read disagree. It outweighs the first.
        type: str
  report:
    description: Folder for C(trace.json), on the controller. It is made when it is missing. The first step removes an earlier report.
    type: path
seealso:
  - module: overloom.fabric.trace_info
"""

EXAMPLES = r"""
- name: Derive what is to be read
  overloom.fabric.trace:
    plan: "{{ fabric_plan }}"
    from: kvm1/web1
    to: kvm2/web2
  run_once: true
  register: asked
"""

RETURN = r"""
hosts:
  description: For each host on the way the options of M(overloom.fabric.trace_info); with RV(undecided) those for the second read.
  returned: without O(observed), or with RV(undecided) when O(observed) has no second read
  type: dict
routers:
  description: The hosts on the way that run FRR.
  returned: without O(observed)
  type: list
  elements: str
prefixes:
  description: The prefixes of routes that the hosts may need to each other.
  returned: without O(observed)
  type: list
  elements: str
  sample: [192.168.200.2/32]
sender:
  description: The host of the sender.
  returned: without O(observed)
  type: str
probe:
  description: The options of M(overloom.fabric.probe) for the sender's host, or null where the sender cannot measure.
  returned: without O(observed)
  type: dict
passed:
  description: Whether the packet arrives and its answer comes back.
  returned: with O(observed), once it is decided
  type: bool
undecided:
  description: Whether packets and what was read disagree, so that both are to be had once more.
  returned: with O(observed)
  type: bool
settle:
  description: For how many seconds the packets may then go unanswered before they count as lost.
  returned: with RV(undecided), when O(observed) has no second read
  type: int
died:
  description: Where the packet ends, or null. C(cause) is a word for programs, C(because) a sentence, C(planned) what the plan has there, C(mend) a command.
  returned: with O(observed), once it is decided
  type: dict
  sample:
    cause: tag
    because: port v-web1 on kvm1 has tag 77
    planned: tag 10
    mend: "on kvm1: ovs-vsctl set port v-web1 tag=10"
    direction: there
    hop: 1
    at: {host: kvm1, kind: port, name: v-web1, notes: []}
"""
