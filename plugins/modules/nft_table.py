#!/usr/bin/python
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: nft_table
short_description: Manage tables of nftables
version_added: 0.1.0
author: The overloom.fabric authors (@overloom)
description:
  - Makes a table of nftables what is declared, as a whole and in one transaction, on the host or in a network namespace. Other tables are not touched.
  - The table is there again after a boot, after its namespace was made anew, and after C(nftables.service) was started, reloaded or restarted,
    which drops all tables.
  - What C(nft) lists of the table is kept after each load. A later run sees by it what was changed by hand since, and loads the table again.
  - A load replaces the table. Its counters begin anew, and what its sets have learned is gone; connections that are tracked stay tracked.
requirements:
  - nftables 0.9.8 or newer
extends_documentation_fragment:
  - overloom.fabric.attributes
  - overloom.fabric.owner
options:
  name:
    description: Name of the table.
    type: str
  family:
    description: Address family of the table.
    type: str
    choices: [inet, ip, ip6, arp, bridge, netdev]
    default: inet
  netns:
    description: Named network namespace of the table. The host's own when left out.
    type: str
  content:
    description:
      - What is between the table's braces, in the language of C(nft(8\)).
      - Name interfaces by C(iifname) and C(oifname), as they may not be there yet at boot.
    type: str
  state:
    description: Whether the table is there.
    type: str
    choices: [present, absent]
    default: present
  tables:
    description: Several tables, in one call. The options above are those of each.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the table.
        type: str
        required: true
      family:
        description: Address family of the table.
        type: str
        choices: [inet, ip, ip6, arp, bridge, netdev]
        default: inet
      netns:
        description: Named network namespace of the table. The host's own when left out.
        type: str
      content:
        description: What is between the table's braces.
        type: str
      state:
        description: Whether the table is there.
        type: str
        choices: [present, absent]
        default: present
"""

EXAMPLES = r"""
- name: Let in SSH and answers, count all else
  overloom.fabric.nft_table:
    name: guard
    content: |
      chain input {
        type filter hook input priority filter; policy accept;
        ct state established,related accept
        iifname "lo" accept
        tcp dport 22 accept
        counter comment "all else"
      }

- name: Masquerade what leaves a namespace
  overloom.fabric.nft_table:
    name: nat
    family: ip
    netns: router
    content: |
      chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "out" masquerade
      }

- name: Remove a table
  overloom.fabric.nft_table:
    name: guard
    state: absent
"""

RETURN = r"""
tables:
  description: The declared tables as C(nft) lists them, without counters.
  returned: success
  type: list
  elements: dict
  sample: [{netns: "", family: inet, name: guard, listing: "table inet guard {\n}"}]
commands:
  description: The commands that were run, in order; in check mode those that would be run.
  returned: always
  type: list
  elements: str
  sample: ["systemctl restart overloom-nft-inet-guard.service"]
spawned:
  description: How many processes the module started.
  returned: always
  type: int
  sample: 3
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.overloom.fabric.plugins.module_utils._nft.reconcile import argument_spec, run


def main() -> None:
    """Ansible's entry."""
    run(
        AnsibleModule(
            argument_spec=argument_spec(),
            required_one_of=[("name", "tables")],
            mutually_exclusive=[("name", "tables")],
            supports_check_mode=True,
        )
    )


if __name__ == "__main__":
    main()
