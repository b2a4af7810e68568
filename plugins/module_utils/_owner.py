# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner mark: what a module makes carries it, and nothing without it is ever removed.

This file is private to the collection.
"""
from __future__ import annotations

DEFAULT_OWNER = "overloom.fabric"

# Keys of external_ids in Open vSwitch (Bridge and Port).
OVS_OWNER = "overloom-owner"
OVS_MODULE = "overloom-module"


def owner_argument_spec() -> dict:
    """The options that every module which removes things shares (doc fragment `owner`)."""
    return {
        "owner": {"type": "str", "default": DEFAULT_OWNER},
        "adopt": {"type": "bool", "default": False},
        "purge": {"type": "bool", "default": False},
    }


def interface_alias(owner: str) -> str:
    """The alias (`ip link set dev X alias ...`) of an interface that belongs to owner."""
    return "overloom:" + owner
