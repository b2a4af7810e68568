# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a database of OVN listens."""

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
"""
