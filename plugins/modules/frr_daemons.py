#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: frr_daemons
short_description: Enable and start the daemons of FRR
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Enables daemons in C(/etc/frr/daemons), has FRR keep the configuration of all daemons in C(/etc/frr/frr.conf), enables and starts C(frr.service), and waits
    until the daemons answer.
  - Other lines of these files, their owners and rights, and other daemons are left as they are. A daemon is never disabled.
  - Where a routing protocol runs already, a daemon is started beside it. Else FRR is restarted.
  - Is refused where files of single daemons, such as C(/etc/frr/ospfd.conf), hold a configuration that FRR would no longer read.
requirements:
  - FRR 8.4 or newer, and systemd
extends_documentation_fragment:
  - overloom.fabric.attributes
options:
  daemons:
    description: The daemons that are to run, besides C(zebra) and those that always do.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: OSPF and BFD
  overloom.fabric.frr_daemons:
    daemons: [ospfd, bfdd]
"""

RETURN = r"""
active:
  description: Whether C(frr.service) is active.
  returned: success
  type: bool
  sample: true
enabled:
  description: Whether C(frr.service) starts at boot.
  returned: success
  type: bool
  sample: true
daemons:
  description: The daemons that answer.
  returned: success
  type: list
  elements: str
  sample: [bfdd, ospfd, staticd, watchfrr, zebra]
commands:
  description: The commands that were run, in order; in check mode those that would be run.
  returned: always
  type: list
  elements: str
  sample: ["systemctl enable --now frr.service"]
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._frr.daemons import run


def main() -> None:
    """Ansible's entry."""
    run(
        AnsibleModule(
            argument_spec={"daemons": {"type": "list", "elements": "str", "default": []}},
            supports_check_mode=True,
        )
    )


if __name__ == "__main__":
    main()
