# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether KVM executes instructions here. The device may be there, and take a virtual CPU, and still run nothing (nested, in a container).

This file is private to the collection.
"""

from __future__ import annotations

import json
import os
import tempfile
import typing as t

DEVICE = "/dev/kvm"
# Gone with the boot whose kernel was asked.
CACHE = "/run/overloom/kvm.json"
SECONDS = 20
PORT = 0xF4
# QEMU's device isa-debug-exit ends it with twice the value that is written to its port, plus one.
VALUE = 0x10
ENDED = VALUE << 1 | 1

Run = t.Callable[[t.Sequence[str]], int]


def boot_sector() -> bytes:
    """A disk of one sector that a BIOS starts: mov al, VALUE; out PORT, al; then hlt for ever."""
    code = bytes([0xB0, VALUE, 0xE6, PORT, 0xF4, 0xEB, 0xFD])
    return code.ljust(510, b"\0") + b"\x55\xaa"


def command(emulator: str, disk: str, accelerator: str = "kvm", seconds: int = SECONDS) -> list[str]:
    """Start a machine from the disk, for so many seconds at the most. It ends with ENDED when it has executed the sector."""
    processor = "host" if accelerator == "kvm" else "qemu64"
    machine = [
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        "-machine",
        f"pc,accel={accelerator}",
        "-cpu",
        processor,
        "-m",
        "16",
    ]
    devices = [
        "-device",
        f"isa-debug-exit,iobase={PORT:#x},iosize=1",
        "-drive",
        f"file={disk},format=raw,if=floppy,readonly=on",
        "-boot",
        "a",
    ]
    return ["timeout", "--signal=KILL", str(seconds), emulator, *machine, *devices]


def executes(emulator: str, run: Run, accelerator: str = "kvm", seconds: int = SECONDS) -> bool:
    """Whether a machine executes the boot sector. run: starts a command and returns its exit status."""
    with tempfile.NamedTemporaryFile(prefix="overloom-kvm-") as disk:
        disk.write(boot_sector())
        disk.flush()
        return run(command(emulator, disk.name, accelerator, seconds)) == ENDED


def choose(emulator: str, run: Run, device: str = DEVICE, cache: str = CACHE) -> str:
    """kvm or tcg. The answer is kept until the next boot, or until the emulator or the device is another."""
    try:
        state = os.stat(device)
        key = [emulator, os.stat(emulator).st_mtime, state.st_rdev, state.st_ino]
    except OSError:
        return "tcg"
    try:
        with open(cache, encoding="utf-8") as stream:
            kept = json.load(stream)
        if kept["key"] == key:
            return str(kept["accelerator"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    accelerator = "kvm" if executes(emulator, run) else "tcg"
    _keep(cache, {"key": key, "accelerator": accelerator})
    return accelerator


def _keep(cache: str, answer: dict[str, t.Any]) -> None:
    """Keep the answer where the caller may write; else it is found anew each time."""
    try:
        os.makedirs(os.path.dirname(cache), exist_ok=True)
        with open(cache, "w", encoding="utf-8") as stream:
            json.dump(answer, stream)
    except OSError:
        pass
