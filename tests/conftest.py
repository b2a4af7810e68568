# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets pytest import the collection by its full name from a checkout, wherever that lies."""
from __future__ import annotations

import pathlib
import sys

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent
if "ansible_collections" not in str(CHECKOUT):
    sys.path.insert(0, str(CHECKOUT / ".collections"))
