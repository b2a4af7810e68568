# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cookies of flows: which are the collection's, and whose.

This file is private to the collection and pure.
"""

from __future__ import annotations

import hashlib
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._openflow.text import whole
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

# Bits 63 to 48 say that the collection made a flow ("ov" in ASCII), bits 47 to 16 for which owner, bits 15 to 0 are free.
COOKIE_PREFIX = 0x6F76
COOKIE_MASK = 0xFFFFFFFFFFFF0000
ALL_BITS = 0xFFFFFFFFFFFFFFFF


def owner_cookie(owner: str) -> int:
    """The cookie of an owner's flows: the collection's prefix and the first 32 bits of the owner's SHA-256."""
    digest = hashlib.sha256(owner.encode()).digest()
    return COOKIE_PREFIX << 48 | int.from_bytes(digest[:4], "big") << 16


class Cookie(t.NamedTuple):
    """A set of cookies: those that equal value in the bits of mask."""

    value: int
    mask: int = ALL_BITS

    def holds(self, cookie: int) -> bool:
        """Whether a cookie is in the set."""
        return cookie & self.mask == self.value & self.mask

    def __str__(self) -> str:
        return f"{self.value:#x}" + ("" if self.mask == ALL_BITS else f"/{self.mask:#x}")


def parse_cookie(value: t.Any, where: str) -> Cookie:
    """A cookie, or cookie/mask, as decimal or 0x... numbers of 64 bits; a mask of -1 has all bits."""
    match = re.fullmatch(r"\s*(0[xX][0-9a-fA-F]+|[0-9]+)(?:/(0[xX][0-9a-fA-F]+|[0-9]+|-1))?\s*", str(value))
    numbers = (
        [int(n, 16 if n[:2] in ("0x", "0X") else 10) & ALL_BITS if n == "-1" else whole(n) for n in match.groups() if n]
        if match
        else []
    )
    if not numbers or max(numbers) > ALL_BITS:
        raise FabricError(
            f"{where} is {value!r}; give a 64-bit number such as 0x6f760000 or 5, if need be with a mask: 0x5/0xff"
        )
    return Cookie(*numbers)
