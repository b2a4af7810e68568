# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running BIRD says on its control socket, asked without a process.

This file is private to the collection. An answer is lines with a code of four digits, of which the last has a space behind the code; the lines of a
block that go on have a space instead of the code (BIRD's documentation, "Remote control").
"""

from __future__ import annotations

import re
import socket
import typing as t

TIMEOUT = 5.0
_LAST = re.compile(r"(?:^|\n)\d{4} [^\n]*\n\Z")
_CODE = re.compile(r"^(\d{4})[ -]|^[ +]")
_VIA = re.compile(r"\bvia (\S+) on (\S+)")


def ask(path: str, commands: t.Sequence[str]) -> list[list[str]]:
    """The lines of the answer to each command, without codes; none for all of them if nobody answers."""
    try:
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(TIMEOUT)
            link.connect(path)
            _answer(link)
            return [_told(link, command) for command in commands]
    except (OSError, ValueError):
        return [[] for _command in commands]


def _told(link: socket.socket, command: str) -> list[str]:
    link.sendall(f"{command}\n".encode())
    return [_CODE.sub("", line) for line in _answer(link).splitlines()]


def _answer(link: socket.socket) -> str:
    """One answer to its last line."""
    text = ""
    while not _LAST.search(text):
        data = link.recv(65536)
        if not data:
            raise ValueError("the connection was closed")
        text += data.decode(errors="replace")
    return text


def protocols(lines: t.Iterable[str]) -> dict[str, str]:
    """The state of each protocol by its name, from the answer to `show protocols`: the last word, as Established, or up."""
    found = {}
    for words in (line.split() for line in lines):
        if len(words) > 4 and words[1] in ("BGP", "OSPF"):
            found[words[0]] = words[5] if len(words) > 5 else words[3]
    return found


def next_hops(lines: t.Iterable[str]) -> list[dict[str, str]]:
    """The next hops of a route, from the answer to `show route NET primary`."""
    return [{"via": via, "interface": interface} for line in lines for via, interface in _VIA.findall(line)]
