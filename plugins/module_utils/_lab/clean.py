# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hides the machine's own state from lab hosts, which lie over the machine's own root: a layer between the two.

This file is private to the collection.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import typing as t

# The layer's name among those of the hosts, none of which begins with a dot.
CLEAN = ".clean"

# Folders of the root that a lab host finds without files; the folders inside, with their owners, stay.
EMPTIED = (
    "etc/cron.d",
    "etc/frr",
    "etc/libvirt/qemu",
    "etc/libvirt/storage",
    "etc/NetworkManager/system-connections",
    "etc/netns",
    "etc/netplan",
    "etc/network/interfaces.d",
    "etc/openvswitch",
    "etc/ovn",
    "etc/rc0.d",
    "etc/rc1.d",
    "etc/rc2.d",
    "etc/rc3.d",
    "etc/rc4.d",
    "etc/rc5.d",
    "etc/rc6.d",
    "etc/rcS.d",
    "etc/sysctl.d",
    "etc/systemd/network",
    "etc/systemd/system",
    "var/lib/libvirt",
    "var/lib/openvswitch",
    "var/lib/ovn",
    "var/log",
    "var/spool/cron",
)
# Folders that it finds empty: they belong to the people of the machine, or are large.
HIDDEN = ("home", "root", "var/lib/containers", "var/tmp")
# Files that it does not find.
GONE = (".dockerenv", "etc/crypttab", "etc/sysctl.conf", "usr/sbin/policy-rc.d", "var/lib/dbus/machine-id")
# Files that it finds with this content, where the root has them.
REPLACED = {
    "etc/fstab": "",
    # A lab host may not write to its cgroups.
    "etc/libvirt/qemu.conf": "cgroup_controllers = []\n",
    "etc/network/interfaces": "auto lo\niface lo inet loopback\n",
}
# Files that it has besides, where the root has their folder.
ADDED = {
    # It may raise no limits and make no control groups, has no kernel keyrings, and stores its containers on an overlay.
    "etc/containers/containers.conf": """[containers]
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
keyring = false
""",
    "etc/containers/storage.conf": '[storage]\ndriver = "vfs"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n',
}
# Units that the distribution enables by itself and that a lab host has no use for: consoles and periodic cleaning.
MASKED = (
    "console-getty.service",
    "getty.target",
    "systemd-tmpfiles-clean.timer",
    "systemd-networkd-wait-online.service",
)


class Entry(t.NamedTuple):
    """One name in the layer that hides the machine's state: a folder (opaque or not), a file, a link, or a hole (whiteout)."""

    path: str
    kind: str
    mode: int = 0o755
    owner: tuple[int, int] = (0, 0)
    content: str = ""


def clean_layer(root: str) -> t.Iterator[Entry]:
    """What hides the machine's own state from the hosts, given what the root holds."""
    seen: set[str] = set()
    for path in EMPTIED + HIDDEN:
        if os.path.isdir(os.path.join(root, path)):
            yield from _parents(root, path, seen)
            yield _entry(root, path, "opaque")
            seen.add(path)
            if path in EMPTIED:
                yield from _folders_below(root, path)
    for path in GONE:
        if os.path.lexists(os.path.join(root, path)):
            yield from _parents(root, path, seen)
            yield Entry(path, "hole")
    for path, content in _files(root).items():
        yield from _parents(root, path, seen)
        yield Entry(path, "file", 0o644, content=content)
    yield from _parents(root, "etc/systemd/system/x", seen)
    for name in MASKED:
        yield Entry(f"etc/systemd/system/{name}", "link", content="/dev/null")


def _files(root: str) -> dict[str, str]:
    """The files that the hosts find with another content than the root's."""
    replaced = {path: text for path, text in REPLACED.items() if os.path.lexists(os.path.join(root, path))}
    added = {path: text for path, text in ADDED.items() if os.path.isdir(os.path.join(root, os.path.dirname(path)))}
    return {**replaced, **added}


def _entry(root: str, path: str, kind: str) -> Entry:
    """A name with the owner and the mode that it has in the root."""
    found = os.stat(os.path.join(root, path))
    return Entry(path, kind, stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid))


def _parents(root: str, path: str, seen: set[str]) -> t.Iterator[Entry]:
    """The folders above a name, each once. An overlaid folder shows the upper one's owner and mode, so they are the root's."""
    above = os.path.dirname(path)
    if above and above not in seen:
        yield from _parents(root, above, seen)
        seen.add(above)
        yield _entry(root, above, "folder")


def _folders_below(root: str, path: str) -> t.Iterator[Entry]:
    """The folders in an emptied one, which services expect."""
    for above, folders, _files_there in os.walk(os.path.join(root, path)):
        for folder in folders:
            inner = os.path.join(above, folder)
            if not os.path.islink(inner):
                yield _entry(root, os.path.relpath(inner, root), "folder")


class Layer(t.NamedTuple):
    """The layer that hides the machine's state: built aside and renamed, so that it is there as a whole or not at all."""

    path: str
    entries: tuple[Entry, ...]

    def shown(self) -> str:
        """The commands that do the same."""
        lines = []
        for entry in self.entries:
            path = shlex.quote(f"{self.path}/{entry.path}")
            if entry.kind in ("folder", "opaque"):
                lines.append(f"install -d -m {entry.mode:04o} -o {entry.owner[0]} -g {entry.owner[1]} {path}")
            if entry.kind == "opaque":
                lines.append(f"setfattr -n trusted.overlay.opaque -v y {path}")
            if entry.kind == "hole":
                lines.append(f"mknod {path} c 0 0")
            if entry.kind == "link":
                lines.append(f"ln -s {shlex.quote(entry.content)} {path}")
            if entry.kind == "file":
                lines.append(f"printf %s {shlex.quote(entry.content)} >{path}")
        return "\n".join(lines)

    def do(self) -> None:
        """Build it."""
        aside = self.path + ".new"
        shutil.rmtree(aside, ignore_errors=True)
        os.makedirs(aside)
        for entry in self.entries:
            path = os.path.join(aside, entry.path)
            if entry.kind in ("folder", "opaque"):
                os.makedirs(path, exist_ok=True)
                os.chown(path, *entry.owner)
                os.chmod(path, entry.mode)
            if entry.kind == "opaque":
                os.setxattr(path, "trusted.overlay.opaque", b"y")
            if entry.kind == "hole":
                os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
            if entry.kind == "link":
                os.symlink(entry.content, path)
            if entry.kind == "file":
                with open(path, "w", encoding="utf-8") as stream:
                    stream.write(entry.content)
        os.rename(aside, self.path)
