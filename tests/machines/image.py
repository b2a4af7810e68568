# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Debian image that the machines boot: made once, kept outside the checkout.

An image is a folder of the cache named after the hash of its recipe, with three files: disk.raw (an ext4 file system without a
partition table), vmlinuz and initrd.img. It holds no key and no name: those are made anew for each machine (machine.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "overloom/machines"
USER = "overloom"
DISK_SIZE = "3G"
BUILD_TIMEOUT = 900

SUITE = "bookworm"
# The machines have no way out, so the packages that the kvm_host role would install are here already.
PACKAGES = [
    "dbus",
    "ethtool",
    # The other way in which Debian configures a network; the last drill takes it.
    "ifenslave",
    "ifupdown",
    "iproute2",
    "iputils-ping",
    "linux-image-amd64",
    "openssh-server",
    "openvswitch-switch",
    "python3",
    "sudo",
    "systemd-sysv",
    "udev",
]
# Before the packages, so that the initramfs is made once and holds only what finds the disk.
EARLY_FILES = {
    "/etc/initramfs-tools/conf.d/machine": "MODULES=list\n",
    "/etc/initramfs-tools/modules": "virtio_pci\nvirtio_blk\next4\n",
}
FILES = {
    f"/etc/sudoers.d/{USER}": f"{USER} ALL=(ALL) NOPASSWD: ALL\n",
    # QEMU's own network. A default route, as on a machine in a rack, though it leads nowhere.
    "/etc/systemd/network/eth0.network": "[Match]\nName=eth0\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\nLinkLocalAddressing=no\n",
}
COMMANDS = [
    ["useradd", "--create-home", "--shell", "/bin/bash", USER],
    ["install", "-d", "-o", USER, "-g", USER, "-m", "700", f"/home/{USER}/.ssh"],
    ["systemctl", "enable", "systemd-networkd.service"],
    ["systemctl", "disable", "networking.service"],
    # A wait for every interface to be online would wait for eth1, and timers would only take the processor away.
    [
        "systemctl",
        "mask",
        "systemd-networkd-wait-online.service",
        "apt-daily.timer",
        "apt-daily-upgrade.timer",
        "e2scrub_all.timer",
        "e2scrub_reap.service",
        "fstrim.timer",
    ],
    [
        "sh",
        "-c",
        "rm /etc/ssh/ssh_host_* /etc/hostname /etc/hosts; : >/etc/resolv.conf; apt-get clean; rm -r /var/lib/apt/lists; : >/etc/machine-id",
    ],
]
# Drivers and texts that such a machine never loads are half of the disk.
LEFT_OUT = [
    *(
        f"/lib/modules/*/kernel/drivers/{name}/*"
        for name in ("gpu", "media", "infiniband", "iio", "isdn", "scsi", "staging", "usb", "hid", "input")
    ),
    *(f"/lib/modules/*/kernel/drivers/net/{name}/*" for name in ("ethernet", "wireless", "usb", "can")),
    "/lib/modules/*/kernel/sound/*",
    "/usr/share/doc/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
]


class BuildError(Exception):
    """The image cannot be made; the text ends with what the tool said."""


def _as_root(argv: list[str]) -> list[str]:
    return argv if os.geteuid() == 0 else ["sudo", "-n", *argv]


def _run(argv: list[str]) -> None:
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"{argv[0]} failed with {done.returncode}:\n{done.stdout[-3000:]}")


def _hash() -> str:
    """The recipe is this file."""
    return hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest()[:16]


def _build(work: pathlib.Path) -> None:
    """Make the three files in the empty folder `work`."""
    hooks = []
    for stage, files in (("essential", EARLY_FILES), ("customize", FILES)):
        for number, (path, text) in enumerate(files.items()):
            source = work / f"{stage}{number}"
            source.write_text(text, encoding="utf-8")
            hooks.append(f'--{stage}-hook=mkdir -p "$1{os.path.dirname(path)}"')
            hooks.append(f"--{stage}-hook=upload {source} {path}")
    for command in COMMANDS:
        hooks.append(f'--customize-hook=chroot "$1" {shlex.join(command)}')
    tree = work / "tree"
    try:
        _run(
            _as_root(
                [
                    "mmdebstrap",
                    "--quiet",
                    "--mode=root",
                    "--variant=minbase",
                    "--format=directory",
                    f"--include={','.join(PACKAGES)}",
                    *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
                    *hooks,
                    SUITE,
                    str(tree),
                ]
            )
        )
        for name in ("vmlinuz", "initrd.img"):
            _run(_as_root(["install", "-m", "644", str(tree / name), str(work / name)]))
        _run(_as_root(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", str(tree), str(work / "disk.raw"), DISK_SIZE]))
        _run(_as_root(["chmod", "644", str(work / "disk.raw")]))
    finally:
        _run(_as_root(["rm", "-rf", "--one-file-system", str(tree)]))
    for source in work.glob("*[0-9]"):
        source.unlink()


@contextlib.contextmanager
def _lock() -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="ascii") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def image() -> pathlib.Path:
    """The folder of the image; made first when it is missing, which takes about a minute. Images of older recipes are removed.

    It appears under its name complete or not at all. Raises BuildError.
    """
    wanted = CACHE / _hash()
    with _lock():
        if wanted.is_dir():
            return wanted
        for path in CACHE.iterdir():
            if path.is_dir():
                # A killed build may have left root's files.
                _run(_as_root(["rm", "-rf", "--one-file-system", str(path)]))
        print(f"making the Debian image in {wanted}, once, about a minute", flush=True)
        work = pathlib.Path(tempfile.mkdtemp(prefix="half-made-", dir=CACHE))
        try:
            work.chmod(0o755)
            _build(work)
            work.rename(wanted)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return wanted
