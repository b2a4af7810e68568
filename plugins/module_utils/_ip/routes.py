# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own addresses and routes, read from /proc/net without spawning a process.

This file is private to the collection. Sources: proc(5) and the kernel's net/ipv4/fib_trie.c and
net/ipv6/route.c, which print these files. Only the main table is seen, not those of policy routing.
"""

from __future__ import annotations

import ipaddress
import re
import struct
import typing as t

Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_UP, _REJECT = 0x1, 0x200


class Routes(t.NamedTuple):
    """addresses: the host's own. prefixes: (version, prefix length) -> network as a number -> does it forward?"""

    addresses: frozenset[Address]
    prefixes: dict[tuple[int, int], dict[int, bool]]

    def reach(self, address: Address) -> bool:
        """Is there a route to the address? The longest prefix decides; it may be one that rejects."""
        width, number = address.max_prefixlen, int(address)
        for length in range(width, -1, -1):
            networks = self.prefixes.get((address.version, length))
            found = networks.get(number >> (width - length)) if networks else None
            if found is not None:
                return found
        return False


def parse_routes(fib_trie: str, if_inet6: str, route: str, ipv6_route: str) -> Routes:
    """From the text of the four files of /proc/net."""
    own: set[Address] = set()
    last = ""
    for line in fib_trie.splitlines():
        match = re.match(r"\s*\|--\s+(\S+)", line)
        if match:
            last = match.group(1)
        elif "/32 host LOCAL" in line:
            own.add(ipaddress.IPv4Address(last))
    for line in if_inet6.splitlines():
        own.add(ipaddress.IPv6Address(int(line.split()[0], 16)))
    prefixes: dict[tuple[int, int], dict[int, bool]] = {}

    def note(version: int, network: int, length: int, flags: int) -> None:
        width = 32 if version == 4 else 128
        if flags & _UP or flags & _REJECT:
            known = prefixes.setdefault((version, length), {})
            number = network >> (width - length)
            # Of several routes with one prefix any that forwards will do (their metrics decide, and links come and go).
            known[number] = known.get(number, False) or not flags & _REJECT

    for line in route.splitlines()[1:]:
        fields = line.split()
        # Numbers are in the host's byte order.
        network, mask = (struct.unpack(">I", struct.pack("=I", int(fields[i], 16)))[0] for i in (1, 7))
        note(4, network, bin(mask).count("1"), int(fields[3], 16))
    for line in ipv6_route.splitlines():
        fields = line.split()
        note(6, int(fields[0], 16), int(fields[1], 16), int(fields[8], 16))
    return Routes(frozenset(own), prefixes)


def host_routes() -> Routes:
    """The routes of the network namespace that this process is in; a file that is missing counts as empty."""
    return parse_routes(*(_text(f"/proc/net/{name}") for name in ("fib_trie", "if_inet6", "route", "ipv6_route")))


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read()
    except OSError:
        return ""
