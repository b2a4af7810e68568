# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How modules reach a database of Open vSwitch or OVN; where it listens is said by the fragments ovs and ovn."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  database_private_key:
    description:
      - File of the private key with which the module presents itself, for a O(database) that is reached by C(ssl).
    type: path
  database_certificate:
    description:
      - File of the certificate that goes with O(database_private_key).
    type: path
  database_ca_cert:
    description:
      - File of the certificate by which the database's own is verified.
    type: path
  timeout:
    description:
      - Seconds that each call may take, with Open vSwitch including the wait for C(ovs-vswitchd).
    type: int
    default: 60
"""
