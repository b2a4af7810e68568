# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options that every Open vSwitch module shares."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  database:
    description:
      - Where Open vSwitch's database listens, as C(ovs-vsctl --db) takes it, for example V(unix:/run/openvswitch/db.sock)
        V(tcp:192.0.2.1:6640) or V(ssl:192.0.2.1:6640).
      - If it is left out, the socket of the host's own Open vSwitch is used.
      - With a database on another machine, devices, addresses and routes are not checked beforehand.
    type: str
  database_private_key:
    description:
      - With a O(database) that is reached by C(ssl), the file of the private key with which the module presents itself.
    type: path
  database_certificate:
    description:
      - The file of the certificate that goes with O(database_private_key).
    type: path
  database_ca_cert:
    description:
      - The file of the certificate by which the database's own is verified.
    type: path
  timeout:
    description:
      - For how many seconds each call of C(ovs-vsctl) may wait for C(ovs-vswitchd).
    type: int
    default: 60
requirements:
  - Open vSwitch with its command C(ovs-vsctl)
"""
