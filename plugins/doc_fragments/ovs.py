# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the database of Open vSwitch listens."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  database:
    description:
      - Where Open vSwitch's database listens, as C(ovs-vsctl --db) takes it, for example V(unix:/run/openvswitch/db.sock),
        V(tcp:192.0.2.1:6640) or V(ssl:192.0.2.1:6640).
      - If it is left out, the socket of the host's own Open vSwitch is used.
      - With a database on another machine, devices, addresses and routes are not checked beforehand.
    type: str
requirements:
  - Open vSwitch with its command C(ovs-vsctl)
"""
