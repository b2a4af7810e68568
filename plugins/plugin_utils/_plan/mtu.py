# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The largest IP packet that fits into a tunnel.

Sources: GRE RFC 2784 (4 bytes) with key and checksum RFC 2890 and 2784 (4 bytes each); VXLAN RFC 7348 (UDP 8, VXLAN
8); GENEVE RFC 8926 (UDP 8, GENEVE 8, no options, but for 8 bytes of OVN's, see ovn-architecture(7)); outer IPv4 RFC
791 (20) or IPv6 RFC 8200 (40); inner Ethernet (14) and inner IEEE 802.1Q tag (4), as all of these carry whole frames
here.

This file is private to the collection.
"""

from __future__ import annotations

_TUNNEL = {
    "gre": (("GRE", 4),),
    "vxlan": (("UDP", 8), ("VXLAN", 8)),
    "geneve": (("UDP", 8), ("GENEVE", 8)),
}


def overhead(
    encapsulation: str, version: int, key: bool, csum: bool, tagged: bool, ovn: bool = False
) -> list[tuple[str, int]]:
    """The bytes around an inner IP packet, outermost first, as (what, bytes).

    encapsulation: gre, vxlan or geneve. version: of the outer IP. key, csum: whether the tunnel has them; only GRE grows by it.
    tagged: whether the inner frame has a VLAN tag. ovn: whether the tunnel is OVN's, which tells ports by an option of GENEVE.
    """
    parts = [("outer IPv4", 20) if version == 4 else ("outer IPv6", 40), *_TUNNEL[encapsulation]]
    if encapsulation == "gre":
        parts += [("GRE key", 4)] * key + [("GRE checksum", 4)] * csum
    parts += [("OVN's option", 8)] * (ovn and encapsulation == "geneve")
    parts.append(("inner Ethernet", 14))
    parts += [("inner VLAN tag", 4)] * tagged
    return parts


def spelled(underlay: int, parts: list[tuple[str, int]]) -> str:
    """The arithmetic as a person would write it."""
    return " ".join([f"underlay {underlay}", *(f"- {what} {size}" for what, size in parts)])
