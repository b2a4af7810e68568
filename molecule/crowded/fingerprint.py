#!/usr/bin/python3
# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fingerprint of what others have on a host: taken once, then compared, and what differs is said exactly. It only reads.

    fingerprint.py take
    fingerprint.py compare [--whole]

Each part is a set of lines. Parts of what the fabric shares with others (FRR's configuration) may have more lines than before,
but for --whole, and none less. The others' ping must go on, and may not have lost a packet.
"""

from __future__ import annotations

import collections
import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import time

TAKEN = "/var/tmp/others-fingerprint.json"
PING = "/var/tmp/others-ping.log"
SPACES = ("theirs1", "theirs2")
BRIDGES = ("br-int", "br-ex")
GUESTS = ("theirs-desktop", "theirs-server")
FILES = (
    "/etc/others/*",
    "/usr/local/sbin/others-*",
    "/etc/systemd/system/others.service",
    "/etc/nftables.conf",
    "/etc/sysctl.d/10-others.conf",
    "/etc/libvirt/qemu/theirs*.xml",
)
# What Open vSwitch itself changes from moment to moment, and the numbers that another order of a boot gives.
PASSING = {
    "statistics",
    "status",
    "rstp_status",
    "rstp_statistics",
    "link_resets",
    "ifindex",
    "ofport",
    "mac_in_use",
    "_uuid",
    "_version",
    "interfaces",
    "ports",
    "bridges",
    "controller",
    "admin_state",
    "link_state",
    "link_speed",
    "duplex",
    "mtu",
    "error",
    "datapath_id",
    "bond_active_slave",
    "cfm_health",
    "lldp",
}


def text(path: str) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def switch() -> list[str]:
    """The rows of the others' bridges, with all that somebody may have set."""
    ports = [port for bridge in BRIDGES for port in (bridge, *run("ovs-vsctl", "list-ports", bridge).split())]
    lines = [
        f"{bridge} has port {port}" for bridge in BRIDGES for port in run("ovs-vsctl", "list-ports", bridge).split()
    ]
    for table, names in (("Bridge", BRIDGES), ("Port", ports), ("Interface", ports)):
        found = json.loads(run("ovs-vsctl", "--format=json", "list", table, *names))
        for row in found["data"]:
            values = dict(zip(found["headings"], row))
            lines += [
                f"{table} {values['name']}: {column} = {json.dumps(value)}"
                for column, value in values.items()
                if column not in PASSING
            ]
    for column in ("other_config", "external_ids"):
        found = json.loads(run("ovs-vsctl", "--format=json", f"--columns={column}", "list", "Open_vSwitch"))
        _map, pairs = found["data"][0][0]
        lines += [f"{column}: {key} = {value}" for key, value in pairs if key.startswith(("dpdk", "ovn-"))]
    return lines


def openflow() -> list[str]:
    lines = []
    for bridge in BRIDGES:
        for command in ("dump-flows", "dump-groups"):
            text = (
                run("ovs-ofctl", "-O", "OpenFlow13", "--no-stats", "--names", command, bridge)
                if command == "dump-flows"
                else run("ovs-ofctl", "-O", "OpenFlow13", command, bridge)
            )
            lines += [f"{bridge}: {line.strip()}" for line in text.splitlines() if "xid=" not in line]
    return lines


def blocks(text: str) -> list[str]:
    """Each line of FRR's configuration below the lines that it stands in."""
    lines = []
    path: list[tuple[int, str]] = []
    for line in text.splitlines():
        depth, word = len(line) - len(line.lstrip()), line.strip()
        if not word or word.startswith(("!", "Building", "Current")):
            continue
        while path and path[-1][0] >= depth:
            path.pop()
        path.append((depth, word))
        lines.append(" > ".join(part for _depth, part in path))
    return lines


def interfaces(*inside: str) -> list[str]:
    lines = []
    for link in json.loads(run("ip", *inside, "-json", "address", "show")):
        name = link["ifname"]
        if inside or name in ("eth2", "podman0", "incusbr0", *(f"t-{space}" for space in SPACES)):
            addresses = sorted(
                f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["scope"] == "global"
            )
            lines.append(
                f"{name}: mtu {link['mtu']}, {'up' if 'UP' in link['flags'] else 'down'}, alias {link.get('ifalias')}, {addresses}"
            )
    return lines


def spaces() -> list[str]:
    lines = []
    for name in SPACES:
        lines += [
            f"{name}: {line}" for line in interfaces("-n", name) + run("ip", "-n", name, "route", "show").splitlines()
        ]
        lines += [
            f"{name}: {line}"
            for line in run(
                "ip", "netns", "exec", name, "sysctl", "-a", "--pattern", r"net.ipv4.(ip_forward|conf.eth0)"
            ).splitlines()
        ]
        running = [
            text(f"/proc/{pid}/comm").strip()
            for pid in run("ip", "netns", "pids", name).split()
            if os.path.exists(f"/proc/{pid}/comm")
        ]
        lines += [f"{name}: runs {comm}" for comm in running if comm != "ip"]
    return lines


def files() -> list[str]:
    lines = []
    for path in sorted(path for pattern in FILES for path in glob.glob(pattern)):
        with open(path, "rb") as stream:
            about = os.stat(path)
            lines.append(f"{path}: {about.st_mode:o} {about.st_uid} {hashlib.sha256(stream.read()).hexdigest()}")
    return lines


def kernel() -> list[str]:
    return [
        *("nftables: " + run("nft", "-s", "list", "table", "inet", table) for table in ("others", "firewalld")),
        *interfaces(),
        *run("ip", "rule", "show").splitlines(),
        *(f"table 77: {line}" for line in run("ip", "route", "show", "table", "77").splitlines()),
    ]


def guests() -> list[str]:
    """The others' guests: how they are defined, whether they run and start with the host, their snapshots, and the images of their disks."""
    lines = []
    for name in GUESTS:
        about = run("virsh", "dominfo", name)
        lines += [
            f"{name}: {line}" for line in about.splitlines() if line.startswith(("State:", "Autostart:", "Persistent:"))
        ]
        lines += [
            f"{name}: {line}" for line in run("virsh", "dumpxml", "--inactive", "--security-info", name).splitlines()
        ]
        for snapshot in run("virsh", "snapshot-list", name, "--name").split():
            document = run("virsh", "snapshot-dumpxml", name, snapshot)
            lines += [f"{name}: snapshot {snapshot}: {line}" for line in document.splitlines()]
        for disk in re.findall(r"(?m)^ *vd\w +(\S+)", run("virsh", "domblklist", "--inactive", name)):
            chain = json.loads(run("qemu-img", "info", "-U", "--backing-chain", "--output=json", disk))
            lines += [f"{name}: {image['filename']} on {image.get('backing-filename')}" for image in chain]
            lines += [
                f"{name}: {image['filename']} has {one['name']}"
                for image in chain
                for one in image.get("snapshots", ())
            ]
    return lines


def traffic() -> list[str]:
    """Lost packets, and whether the ping goes on. An answer that comes late, as on a busy machine, is no loss."""
    before = os.path.getsize(PING)
    deadline = time.monotonic() + 10
    lost = unanswered()
    while (lost or os.path.getsize(PING) == before) and time.monotonic() < deadline:
        time.sleep(0.2)
        lost = unanswered()
    return [f"lost packets: {len(lost)}", f"goes on: {os.path.getsize(PING) > before}"]


def unanswered() -> set[str]:
    """Packets of the others' ping that were missed and have had no answer until now."""
    with open(PING, encoding="utf-8") as stream:
        text = stream.read()
    missed = set(re.findall(r"no answer yet for icmp_seq=(\d+)", text))
    return missed - set(re.findall(r"bytes from .* icmp_seq=(\d+) ", text))


PARTS = {
    "Open vSwitch": switch,
    "OpenFlow": openflow,
    "namespaces": spaces,
    "files": files,
    "kernel": kernel,
    "guests": guests,
    "traffic": traffic,
}
SHARED = {
    "frr.conf": lambda: blocks(text("/etc/frr/frr.conf")),
    "FRR as it runs": lambda: blocks(run("vtysh", "-c", "show running-config")),
    "FRR's daemons": lambda: [line for line in text("/etc/frr/daemons").splitlines() if line],
}


def main() -> None:
    now = {name: sorted(read()) for name, read in {**PARTS, **SHARED}.items()}
    if sys.argv[1] == "take":
        with open(TAKEN, "w", encoding="utf-8") as stream:
            json.dump(now, stream)
        print(f"{sum(map(len, now.values()))} lines")
        return
    with open(TAKEN, encoding="utf-8") as stream:
        before = json.load(stream)
    wrong = []
    for name, lines in before.items():
        was, there = collections.Counter(lines), collections.Counter(now[name])
        wrong += [f"{name}: gone: {line}" for line in (was - there).elements()]
        # A daemon that was enabled stays, as others may count on it by now.
        if name in PARTS or (name != "FRR's daemons" and "--whole" in sys.argv):
            wrong += [f"{name}: new: {line}" for line in (there - was).elements()]
    print("\n".join(wrong) or "all is as it was")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
