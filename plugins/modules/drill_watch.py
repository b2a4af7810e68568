#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: drill_watch
short_description: Cut something of a host for a time, and see what is lost and who notices
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Pings from network namespaces all the while, begins a cut that ends by itself, and notes the states of BFD, RSTP, OSPF, BGP and VRRP as they change,
    until all is as it was before.
  - Judges nothing. M(overloom.fabric.drill) holds it against the plan.
  - The host is as before when the cut has ended, so nothing counts as changed.
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - In check mode nothing is cut; it watches all the same.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
    support: none
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
options:
  probes:
    description: The pings.
    type: list
    elements: dict
    default: []
    suboptions:
      pair:
        description: What RV(observed) calls it.
        type: str
        required: true
      namespace:
        description: The network namespace that it is sent from.
        type: str
        required: true
      to:
        description: The address that it is sent to.
        type: str
        required: true
  impairments:
    description: The interfaces that are cut, with O(overloom.fabric.link_impairment#module:impairments[].matches) if not all packets are.
    type: list
    elements: dict
    default: []
  router:
    description: Whether FRR is stopped, and started again. It has to run.
    type: bool
    default: false
  reboot:
    description: Whether the host reboots. Then it does not watch.
    type: bool
    default: false
  seconds:
    description: How long the cut lasts.
    type: int
    required: true
  lead:
    description: Seconds from the start of the module to the cut, 1 to 600.
    type: int
    default: 5
  recovery:
    description: Seconds after the cut at most, until all is as before; 3600 at most.
    type: int
    default: 30
  routing:
    description: Whether to ask FRR.
    type: bool
    default: false
  vrrp:
    description: Whether to ask for VRRP routers.
    type: bool
    default: false
  switch:
    description: Whether to ask Open vSwitch.
    type: bool
    default: true
  owner:
    description: Owner mark of the units.
    type: str
    default: overloom.fabric
seealso:
  - module: overloom.fabric.drill
  - module: overloom.fabric.link_impairment
"""

EXAMPLES = r"""
- name: Watch for a while what is lost
  overloom.fabric.drill_watch:
    probes:
      - {pair: web1 web2, namespace: web1, to: 10.1.1.2}
    impairments:
      - {name: cut, interface: eth1}
    seconds: 10
  register: seen
"""

RETURN = r"""
observed:
  description: For each pair the packets C(sent) and C(lost), C(outages), and whether it was C(alive) before the cut.
  returned: success
  type: dict
  sample: {web1 web2: {sent: 90, lost: 12, alive: true, outages: [{at: 1794000000.2, seconds: 2.4, lost: 12}]}}
events:
  description: Which states changed, when, and how.
  returned: success
  type: list
  elements: dict
  sample: [{at: 1794000000.9, what: BFD session 10.254.0.11, was: up, is: down}]
started:
  description: When the first packet was sent, in seconds since the epoch; V(null) with O(reboot).
  returned: success
  type: float
began:
  description: When the cut began on this host, in seconds since the epoch; V(null) where nothing was cut.
  returned: success
  type: float
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._drill.watch import Watch, check_times, prepare, states_of
from ansible_collections.overloom.fabric.plugins.module_utils._frr.runner import frr_runner
from ansible_collections.overloom.fabric.plugins.module_utils._frr.vtysh import LOOK
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import ovs_runner
from ansible_collections.overloom.fabric.plugins.module_utils._owner import DEFAULT_OWNER
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, module_runner
from ansible_collections.overloom.fabric.plugins.module_utils._status.reader import read

PROBE = {name: {"type": "str", "required": True} for name in ("pair", "namespace", "to")}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "probes": {"type": "list", "elements": "dict", "default": [], "options": PROBE},
            "impairments": {"type": "list", "elements": "dict", "default": []},
            **{name: {"type": "bool", "default": False} for name in ("router", "reboot", "routing", "vrrp")},
            "switch": {"type": "bool", "default": True},
            "seconds": {"type": "int", "required": True},
            "lead": {"type": "int", "default": 5},
            "recovery": {"type": "int", "default": 30},
            "owner": {"type": "str", "default": DEFAULT_OWNER},
        },
        supports_check_mode=True,
    )
    params = module.params
    runner, frr = ovs_runner(module), frr_runner(module, LOOK)
    asked = {
        "switch": params["switch"],
        "vrrp": params["vrrp"],
        "routing": ["ospf", "ospf6", "bgp", "bfd"] if params["routing"] else [],
    }
    cuts = not module.check_mode and (params["impairments"] or params["router"])
    try:
        check_times(params)
        if params["reboot"] and not module.check_mode:
            # It ends this module's connection, too, so it comes after the answer.
            timer = ["systemd-run", f"--on-active={params['lead']}", "--timer-property=AccuracySec=100ms"]
            runner([*timer, "systemctl", "reboot"])
            module.exit_json(changed=False, observed={}, events=[], started=None, began=time.time() + params["lead"])
        units = prepare(module_runner(module), params) if cuts else []
        watch = Watch(params, lambda: states_of(read(runner, frr, asked)[0]))
        watch.run(units)
    except FabricError as error:
        module.fail_json(msg=str(error))
    seen = {"observed": watch.observed(), "events": watch.events, "started": watch.started, "began": watch.began}
    module.exit_json(changed=False, **seen)


if __name__ == "__main__":
    main()
