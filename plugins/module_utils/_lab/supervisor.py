# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power supply of one lab host: boots it, and boots it again when it reboots.

This file is private to the collection. The lab module writes it into the lab's folder and runs it there as a program of its own,
`python3 supervisor.py FOLDER`, because it outlives the task (so it imports nothing but the standard library).

systemd-nspawn(1) with --keep-unit ends with 133 when the host inside reboots, and expects its caller to start it again. That
is the chance to give the host what a real reboot gives: a network namespace without any setting, address, route or firewall
rule of the time before, in which only the NICs are.

In FOLDER it reads `host.json` (argv: the systemd-nspawn command) and `cables.json` (a list of interface, address, mtu), and keeps,
while the host is up, `leader` (pid of the host's process 1, and the seconds that it took to boot).
"""

# A program of its own has no AnsibleModule to run commands.
# pylint: disable=ansible-bad-function
from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time

# systemd-nspawn(1): the exit status that asks for a restart.
REBOOT = 133


def write(path: str, text: str) -> None:
    """Put a file in place as a whole, so that no reader sees half of it."""
    with open(path + ".new", "w", encoding="utf-8") as stream:
        stream.write(text)
    os.replace(path + ".new", path)


def renew_network(folder: str) -> None:
    """Put a new network namespace at FOLDER/net and move the NICs (only them) into it, down and with no setting."""
    net = os.path.join(folder, "net")
    with open(os.path.join(folder, "cables.json"), encoding="utf-8") as stream:
        cables = json.load(stream)
    old = os.open(net, os.O_RDONLY)
    # Lazily: the descriptor keeps it busy, and is what keeps the NICs alive on their way.
    subprocess.run(["umount", "--lazy", net], check=True)
    subprocess.run(["unshare", "--net=" + net, "true"], check=True)
    moves = "".join(
        f"link set dev {cable['interface']} netns {net} address {cable['address']} mtu {cable['mtu']}\n"
        for cable in cables
    )
    # -force: a cable that was pulled meanwhile is no reason to leave the others behind.
    command = ["nsenter", f"--net=/proc/self/fd/{old}", "ip", "-force", "-batch", "-"]
    subprocess.run(command, input=moves.encode(), pass_fds=[old], check=False)
    os.close(old)


class Power:
    """One host and its boots."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.started = 0.0
        self.leader = ""
        # An abstract address: there is no file to leave behind. Only the lab's own processes know it.
        address = "\0overloom-lab/" + folder
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.environment = dict(os.environ, NOTIFY_SOCKET="@" + address[1:], SYSTEMD_NSPAWN_API_VFS_WRITABLE="network")

    def listen(self) -> None:
        """Take what systemd-nspawn tells by sd_notify(3): the pid of the leader, then that the host is up."""
        while True:
            for line in self.socket.recv(4096).decode("utf-8", "replace").splitlines():
                if line.startswith("X_NSPAWN_LEADER_PID="):
                    self.leader = line.partition("=")[2]
                elif line == "READY=1" and self.leader:
                    seconds = time.monotonic() - self.started
                    write(os.path.join(self.folder, "leader"), f"{self.leader} {seconds:.2f}\n")

    def down(self) -> None:
        """Say that the host is not up."""
        self.leader = ""
        try:
            os.unlink(os.path.join(self.folder, "leader"))
        except FileNotFoundError:
            pass

    def run(self) -> int:
        """Boot the host until it ends otherwise than by a reboot; the exit status of its last systemd-nspawn."""
        with open(os.path.join(self.folder, "host.json"), encoding="utf-8") as stream:
            argv = json.load(stream)["argv"]
        self.down()
        threading.Thread(target=self.listen, daemon=True).start()
        while True:
            self.started = time.monotonic()
            renew_network(self.folder)
            status = subprocess.run(argv, env=self.environment, check=False).returncode
            self.down()
            if status != REBOOT:
                return status


if __name__ == "__main__":
    raise SystemExit(Power(sys.argv[1]).run())
