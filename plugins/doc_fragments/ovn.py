# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the modules for OVN reach a database."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  database:
    description:
      - Where the database listens, as C(ovn-nbctl --db) takes it, for example V(unix:/run/ovn/ovnnb_db.sock), V(tcp:192.0.2.1:6641) or
        V(ssl:192.0.2.1:6641). Give all servers of a cluster, separated by commas.
      - If it is left out, the socket of this host's own server is used, also of one that follows another in a cluster.
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
      - For how many seconds each call may take.
    type: int
    default: 60
"""
