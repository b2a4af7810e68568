# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests with FRR share: a fresh FRR in a host, and waiting for what routers agree on."""

from __future__ import annotations

import collections
import re
import typing as t

import harness
from harness import wait

DAEMONS = ("bgpd", "ospfd", "ospf6d", "ripd", "bfdd")
# By itself watchfrr gives FRR 20 s to read frr.conf, and then ends that half-way, which a busy machine needs for some hundred lines.
OPTIONS = 'vtysh_enable=yes\nzebra_options="-A 127.0.0.1"\nwatchfrr_options="-T 120"\n'


def settle(host: harness.Host) -> None:
    """FRR in a host with an empty configuration and every daemon that the modules know."""
    host.run(["rm", "-rf", "/etc/overloom/frr"])
    if set(DAEMONS) <= daemons(host):
        host.write("/etc/frr/frr.conf", "")
        host.run(["vtysh", "-f", "/dev/stdin"], ok=None, stdin=undo(running(host)))
        if not undo(running(host)):
            return
    host.run(["install", "-d", "-o", "frr", "-g", "frr", "-m", "0750", "/etc/frr", "/run/frr"])
    host.write("/etc/frr/daemons", "".join(f"{name}=yes\n" for name in DAEMONS) + OPTIONS)
    host.write("/etc/frr/vtysh.conf", "service integrated-vtysh-config\n")
    host.write("/etc/frr/frr.conf", "")
    host.run(["chown", "-R", "frr:frr", "/etc/frr"])
    restart(host)


def restart(host: harness.Host) -> None:
    """Restart FRR, and wait for its daemons."""
    # systemd counts the starts.
    host.run(["systemctl", "reset-failed", "frr"], ok=None)
    host.run(["systemctl", "restart", "frr"])
    wait(lambda: set(DAEMONS) <= daemons(host), "FRR's daemons")


def in_blocks(text: str) -> collections.Counter[tuple[str, ...]]:
    """The lines of a shown configuration, each with the blocks that it is in."""
    path: list[str] = []
    found: collections.Counter[tuple[str, ...]] = collections.Counter()
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        path = [*path[:depth], line.strip()]
        found[tuple(path)] += 1
    return found


def daemons(host: harness.Host) -> set[str]:
    """The daemons that run."""
    return set(host.run(["vtysh", "-c", "show daemons"], ok=None).split())


def loaded(host: harness.Host) -> bool:
    """Whether watchfrr has started all daemons and handed frr.conf on to them, as it says itself."""
    said = host.run(["vtysh", "-c", "show watchfrr"], ok=None)
    return "watchfrr global phase: Idle" in said and ", pid " not in said


def undo(text: str) -> str:
    """The lines that take a configuration away; much faster than a restart."""
    lines, header = [], ""
    for line in text.splitlines():
        if line.startswith("interface "):
            header = line
        elif line.startswith(" ") and header:
            lines += [header, " " + line.strip()[3:] if line.startswith(" no ") else " no " + line.strip(), "exit"]
        elif line[:1].isalpha() and not re.match(r"(?:frr|hostname|no ip|service|exit|end|vrf)\b", line):
            header = ""
            lines.append("no " + line)
        elif not line.startswith(" "):
            header = ""
    return "".join(line + "\n" for line in lines)


def running(host: harness.Host) -> str:
    """The running configuration without the blocks that only say that a thing exists."""
    text = host.run(["vtysh", "-c", "show running-config no-header"])
    # The last one is the pimd of FRR 10's, for each VRF.
    only = r"interface \S+\nexit|bfd\nexit|vrf \S+\nexit-vrf|router pim vrf \S+\n no autorp discovery\nexit"
    # The bgpd of FRR 10 may show these of VRFs after a start, empty.
    text = re.sub(r"^ (?:vrf-policy \S+\n exit-vrf-policy|vnc defaults\n exit-vnc)\n", "", text, flags=re.M)
    return re.sub(rf"^(?:{only})\n!\n", "", text, flags=re.M)


def deleted(host: harness.Host) -> collections.Counter[str] | None:
    """The lines that a reload of the file would take away from what runs; None where it gives up, as at a line that it does not know."""
    out = host.run(["/usr/lib/frr/frr-reload.py", "--test", "--stdout", "/etc/frr/frr.conf"], ok=None)
    if "exited with status" in out:
        return None
    # The pimd of FRR 10 shows this of each VRF, though nobody set it, and no file has it.
    out = re.sub(r"^router pim(?: vrf \S+)?\n autorp discovery\nexit\n", "", out, flags=re.M)
    part = re.search(r"Lines To Delete\n=+\n(.*?)(?:\n\nLines To Add|\Z)", out, re.S)
    return collections.Counter(line for line in (part.group(1).splitlines() if part else ()) if " INFO: " not in line)


def by_hand(host: harness.Host, *lines: str) -> None:
    """What a person types into vtysh's configuration mode."""
    host.run(["vtysh", "-c", "configure terminal", *(word for line in lines for word in ("-c", line))])


def full(host: harness.Host, interface: str = "eth1") -> dict[str, t.Any] | None:
    """The neighbor on an interface once its adjacency is Full."""
    found = host.module("frr_info", {"gather": ["ospf"]})["ospf_neighbors"]
    return next((one for one in found if one["interface"] == interface and one["state"] == "Full"), None)
