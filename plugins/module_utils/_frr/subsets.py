# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be asked of FRR, by name.

This file is private to the collection.
"""

from __future__ import annotations

SUBSETS = ["ospf", "ospf6", "bgp", "routes", "interfaces", "bfd"]
CHOICES = [*SUBSETS[:3], "bgp_refused", *SUBSETS[3:]]
# Why there is no adjacency, session or route.
DETAILS = ["ospf_interfaces", "bgp_reasons", "running_config"]
