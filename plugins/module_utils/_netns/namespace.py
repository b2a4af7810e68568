# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named network namespaces (ip-netns(8)), seen without spawning a process for each question.

This file is private to the collection. A thread of its own enters a namespace (setns(2) changes only the thread that
calls it) and reads there what belongs to the namespace of the one who reads: /proc/sys/net, and offloads by ioctl.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import socket
import struct
import threading
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip.sysctl import in_force, sysctl_path, sysctl_value
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError

FOLDER = "/run/netns"
_CLONE_NEWNET = 0x40000000
# linux/sockios.h, linux/ethtool.h
_SIOCETHTOOL = 0x8946
_ETHTOOL_GTXCSUM = 0x16

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+@-]{0,63}", re.ASCII)
_SYSCTL = re.compile(r"net(/[A-Za-z0-9_.+@:-]+)+", re.ASCII)

T = t.TypeVar("T")


def check_name(name: str, what: str) -> str:
    """A namespace's name, usable as a file name, in a unit's name and as a word for ip(8)."""
    if not _NAME.fullmatch(name):
        raise FabricError(
            f"{what}: {name!r} is no name for a namespace; give 1 to 64 letters, digits, '_', '.', '+', '@' and '-', "
            "the first of them a letter, a digit or '_'"
        )
    return name


def existing() -> list[str]:
    """The names of all namespaces, sorted."""
    try:
        return sorted(os.listdir(FOLDER))
    except FileNotFoundError:
        return []


def namespace_of(pid: int) -> str | None:
    """The named network namespace that a process is in; None for one without a name, or without a process."""
    own = identity(f"/proc/{pid}/ns/net") if pid else None
    if own is None:
        return None
    return next((name for name in existing() if identity(os.path.join(FOLDER, name)) == own), None)


def identity(path: str) -> tuple[int, int] | None:
    """What tells a namespace from all others."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def visit(
    questions: t.Mapping[str, t.Callable[[], T]], paths: t.Mapping[str, str] | None = None
) -> dict[str, T | None]:
    """Ask each question inside the namespace that it is listed for.

    None answers for a namespace whose file is there but no longer, or not yet, the namespace (an interrupted
    `ip netns add` leaves such a file). paths: of namespaces without the name. Raises FabricError without the right to enter.
    """
    answers: dict[str, T | None] = {}

    def work() -> None:
        for name, question in questions.items():
            try:
                with open((paths or {}).get(name) or os.path.join(FOLDER, name), "rb") as stream:
                    _call("setns", stream.fileno(), _CLONE_NEWNET)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOENT):
                    raise
                answers[name] = None
                continue
            answers[name] = question()

    _in_thread(work)
    return answers


def in_new_namespace(question: t.Callable[[], T]) -> T:
    """Ask a question inside a namespace that is new, and is gone afterwards."""
    answers: list[T] = []

    def work() -> None:
        _call("unshare", _CLONE_NEWNET)
        answers.append(question())

    _in_thread(work)
    return answers[0]


def _call(function: str, *arguments: int) -> None:
    """A function of the C library that returns 0 or sets errno (Python has these only from 3.12 on)."""
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, function)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _in_thread(work: t.Callable[[], None]) -> None:
    """Run work in a thread that may change its namespace, because it ends afterwards."""
    raised: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # raised again by the caller
            raised.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if not raised:
        return
    if isinstance(raised[0], PermissionError):
        raise FabricError("network namespaces can be entered by root only; run the task with become: true") from raised[
            0
        ]
    raise raised[0]


def checksum_offloads() -> dict[str, bool]:
    """Which interfaces of this thread's namespace leave transmit checksums to their other end; without those that cannot tell."""
    found = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for _index, interface in socket.if_nameindex():
            answer = ctypes.create_string_buffer(struct.pack("II", _ETHTOOL_GTXCSUM, 0), 8)
            request = struct.pack("16sP16x", interface.encode(), ctypes.addressof(answer))
            try:
                fcntl.ioctl(control, _SIOCETHTOOL, request)
            except OSError:
                continue
            found[interface] = bool(struct.unpack("II", answer.raw)[1])
    return found


def processes_of(names: t.Iterable[str]) -> dict[str, list[int]]:
    """The process ids of those that run in each namespace, sorted."""
    by_file: dict[tuple[int, int], list[int]] = {}
    found: dict[str, list[int]] = {}
    for name in names:
        found[name] = []
        try:
            file = os.stat(os.path.join(FOLDER, name))
        except OSError:
            continue
        # Two names of one namespace share the list.
        found[name] = by_file.setdefault((file.st_dev, file.st_ino), found[name])
    for entry in os.listdir("/proc") if by_file else ():
        if not entry.isdigit():
            continue
        try:
            own = os.stat(f"/proc/{entry}/ns/net")
        except OSError:
            continue
        if (own.st_dev, own.st_ino) in by_file:
            by_file[own.st_dev, own.st_ino].append(int(entry))
    return {name: sorted(pids) for name, pids in found.items()}


# --- sysctl --------------------------------------------------------------------------------------------------------


class Sysctl(t.NamedTuple):
    """What a new namespace says about one sysctl.

    default: its value there; value: the wanted value as the kernel spells it.
    refused: why the kernel does not take it, or "".
    """

    default: str
    value: str
    refused: str = ""


def check_sysctl(key: str, value: t.Any, what: str) -> tuple[str, str]:
    """A sysctl below net as (key with slashes, value). Dots and slashes in the key are as in sysctl(8)."""
    path = sysctl_path(key)
    if not _SYSCTL.fullmatch(path) or any(part in (".", "..") for part in path.split("/")):
        raise FabricError(
            f"{what}: {key!r} is no sysctl of a network namespace; only keys like net.ipv4.ip_forward are"
        )
    return path, sysctl_value(key, value, what)


def sysctl_interface(path: str) -> str | None:
    """The interface that a sysctl belongs to; None for `all`, `default`, and what belongs to no interface."""
    match = re.match(r"net/ipv[46]/(?:conf|neigh)/([^/]+)/", path)
    return match.group(1) if match and match.group(1) not in ("all", "default") else None


def try_sysctls(wanted: t.Mapping[str, str]) -> dict[str, Sysctl]:
    """Try sysctls (key with slashes, value) in a new namespace, so that a refusal comes before any change."""

    def question() -> dict[str, Sysctl]:
        tables = {path: _template(path) for path in wanted}
        defaults = {path: in_force(table) for path, table in tables.items()}
        return {path: _try(tables[path], defaults[path] or "", value) for path, value in wanted.items()}

    return in_new_namespace(question) if wanted else {}


def _template(path: str) -> str:
    """The sysctl that gives an interface's its first value: a new namespace has no such interface."""
    interface = sysctl_interface(path)
    return path if interface is None else path.replace(f"/{interface}/", "/default/", 1)


def _try(path: str, default: str, value: str) -> Sysctl:
    try:
        with open("/proc/sys/" + path, "w", encoding="utf-8") as stream:
            stream.write(value + "\n")
    except OSError as error:
        if error.errno == errno.EROFS:
            # A container that sees sysctls without the right to change any: the write itself will tell.
            return Sysctl(default, value)
        reasons = {
            errno.ENOENT: "is not there in a network namespace; this kernel has it for the whole host, or not at all",
            errno.EACCES: "cannot be changed in a network namespace",
            errno.EPERM: "cannot be changed in a network namespace",
        }
        return Sysctl(default, value, reasons.get(error.errno or 0, f"does not take {value!r} ({error.strerror})"))
    spelled = in_force(path)
    if spelled is None:
        return Sysctl(default, value, "cannot be read back, so that it cannot be kept")
    return Sysctl(default, spelled)
