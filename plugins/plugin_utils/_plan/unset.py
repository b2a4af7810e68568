# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that the intent leaves out.

The intent and what the *_info modules read say None. A module that gets None leaves an option as it is; its empty value takes the option
off the host. The plan's items say the empty value, so that what is taken out of the intent is taken off the hosts.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

UNSET = ""


def or_unset(value: t.Any) -> t.Any:
    """A value of the intent as an item has it."""
    return UNSET if value is None else value


def as_read(value: t.Any) -> t.Any:
    """A value of an item as an *_info module reads it from a host."""
    return None if value == UNSET else value
