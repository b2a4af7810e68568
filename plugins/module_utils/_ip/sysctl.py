# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's parameters of a host, now and at boot: one file in /etc/sysctl.d for each caller, and the values in force.

This file is private to the collection. Sources: sysctl(8), sysctl.d(5).
"""

from __future__ import annotations

import glob
import json
import os
import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._owner import returned
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Remove,
    Step,
    Write,
    module_runner,
    reconcile,
)

FOLDER = "/etc/sysctl.d"
# Of two files of one name, the first counts; of all, the one whose name sorts last.
_FOLDERS = (FOLDER, "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_PART = re.compile(r"[A-Za-z0-9_:.@-]+")
_HEAD = "# Made by overloom.fabric for {owner}."
# Of files that the roles wrote before there was this module.
_FORMER_HEAD = "# Written by overloom.fabric (role frr_router)."
# Each line of a file that was taken over, as JSON, so that it can be given back to the letter.
_TAKEN = "#| "


class Wanted(t.NamedTuple):
    """What is declared. sysctls: from the path below /proc/sys to the value; none: the file goes. adopt: whether another's may be taken over."""

    owner: str
    path: str
    sysctls: dict[str, str]
    optional: bool
    adopt: bool = False


class Found(t.NamedTuple):
    """The file's text, or None, and the values in force of what is declared; None for what the kernel does not have.

    later: of what is declared, the file that is read after ours at boot and states it, with its value.
    """

    text: str | None
    values: dict[str, str | None]
    later: t.Mapping[str, tuple[str, str]] = {}


def sysctl_path(key: str) -> str:
    """A key with slashes. The first separator says whether dots or slashes separate its parts: sysctl(8)."""
    first = re.search(r"[./]", key)
    return key.translate(str.maketrans("./", "/.")) if first and first.group() == "." else key


def checked(key: str, value: t.Any) -> tuple[str, str]:
    """A declared parameter as (path, value)."""
    path = sysctl_path(key)
    parts = path.split("/")
    if len(parts) < 2 or not all(_PART.fullmatch(part) and part not in (".", "..") for part in parts):
        raise FabricError(f"sysctls: {key!r} is no key; write it like net.ipv4.ip_forward")
    return path, sysctl_value(key, value, "sysctls")


def sysctl_value(key: str, value: t.Any, what: str) -> str:
    """A declared value as text, white space made one space. Raises FabricError."""
    if isinstance(value, bool):
        value = int(value)
    if not isinstance(value, (int, str)) or not str(value).strip() or not str(value).replace("\t", " ").isprintable():
        raise FabricError(f"{what}: the value {value!r} of {key} is no number or single line of text")
    return " ".join(str(value).split())


def declaration(params: t.Mapping[str, t.Any]) -> Wanted:
    """The module's options, checked."""
    if not _NAME.fullmatch(params["name"]):
        raise FabricError(
            f"name: {params['name']!r} is no part of a file's name; take letters, digits, dots, dashes and underscores"
        )
    present = params["state"] == "present"
    if present and not params["sysctls"]:
        raise FabricError("sysctls: there is none; name some, or take state=absent")
    sysctls: dict[str, str] = {}
    for key, value in (params["sysctls"] or {}).items() if present else ():
        path, text = checked(key, value)
        if sysctls.setdefault(path, text) != text:
            raise FabricError(f"sysctls: {key} is declared twice, as {sysctls[path]} and as {text}; leave one out")
    return Wanted(
        params["owner"], f"{FOLDER}/90-overloom-{params['name']}.conf", sysctls, params["optional"], params["adopt"]
    )


def read(wanted: Wanted) -> Found:
    """The file and the values in force."""
    try:
        with open(wanted.path, encoding="utf-8", errors="surrogateescape") as stream:
            text: str | None = stream.read()
    except FileNotFoundError:
        text = None
    return Found(text, {path: in_force(path) for path in {**wanted.sysctls, **stated(taken(text))}}, _later(wanted))


def _later(wanted: Wanted) -> dict[str, tuple[str, str]]:
    files: dict[str, str] = {}
    for folder in _FOLDERS:
        for path in glob.glob(f"{folder}/*.conf"):
            files.setdefault(os.path.basename(path), path)
    found = {}
    for name in sorted(name for name in files if name > os.path.basename(wanted.path)):
        try:
            with open(files[name], encoding="utf-8", errors="surrogateescape") as stream:
                text = stream.read()
        except OSError:
            continue
        found.update({path: (files[name], value) for path, value in stated(text).items() if path in wanted.sysctls})
    return found


def taken(text: str | None) -> str | None:
    """The file that ours was taken over from, or None."""
    lines = [line[len(_TAKEN) :] for line in (text or "").splitlines() if line.startswith(_TAKEN)]
    try:
        return "".join(map(json.loads, lines)) if lines else None
    except (ValueError, TypeError):
        return None


def stated(text: str | None) -> dict[str, str]:
    """The parameters that a file states and that are one each (no patterns), by their paths; sysctl.d(5)."""
    found = {}
    for line in (text or "").splitlines():
        key, equals, value = line.strip().lstrip("-").partition("=")
        path = sysctl_path(key.strip())
        if equals and key[:1] not in ("#", ";") and all(_PART.fullmatch(part) for part in path.split("/")):
            found[path] = " ".join(value.split())
    return found


def in_force(path: str) -> str | None:
    """A value in force in this thread's namespace, white space made one space; None if it cannot be read."""
    try:
        with open(os.path.join("/proc/sys", path), encoding="utf-8") as stream:
            return " ".join(stream.read().split())
    except OSError:
        return None


def compare(wanted: Wanted, found: Found) -> Change:
    """The steps from what was found to what is declared. Values in force stay when the file goes, but for those of a file that is given back."""
    head = _HEAD.format(owner=wanted.owner)
    ours = found.text is None or found.text.startswith((head, _FORMER_HEAD))
    if not ours and not wanted.adopt:
        raise FabricError(
            f"{wanted.path} was not made for owner {wanted.owner}; take another name, remove the file, or give adopt: true to take it over"
        )
    missing = sorted(path for path in wanted.sysctls if found.values[path] is None)
    if missing and not wanted.optional:
        raise FabricError(
            f"sysctls: this kernel has no {missing[0]}; leave it out, load its module, or take optional=true"
        )
    former = taken(found.text) if ours else found.text
    text = _text(wanted, head, former)
    values = wanted.sysctls or (stated(text) if found.text != text else {})
    differing = {path: value for path, value in values.items() if found.values.get(path) not in (None, value)}
    steps: list[Step | Write | Remove] = []
    if found.text != text:
        steps.append(Remove(wanted.path) if text is None else Write(wanted.path, text))
    if differing:
        steps.append(Step(("sysctl", "-q", "-w", *(f"{path}={value}" for path, value in sorted(differing.items())))))
    after = {"file": text, "in force": {**found.values, **differing}}
    return Change(
        list(steps), {"file": found.text, "in force": found.values}, after, _told(wanted, found, ours, former)
    )


def _text(wanted: Wanted, head: str, former: str | None) -> str | None:
    """The file as it will be, None for none. head: its first line; former: the file that ours was taken over from."""
    if not wanted.sysctls:
        # With adopt, what was there before goes, too.
        return None if wanted.adopt else former
    kept = [f"{_TAKEN}{json.dumps(line)}\n" for line in (former or "").splitlines(keepends=True)]
    lines = [f"{path} = {value}\n" for path, value in sorted(wanted.sysctls.items())]
    return "".join([f"{head}\n", *kept, *lines])


def _told(wanted: Wanted, found: Found, ours: bool, former: str | None) -> tuple[str, ...]:
    """What does not last, and that a file that was taken over is given back."""
    overruled = [
        f"sysctls: {path} is {wanted.sysctls[path]} until the next boot only: {file}, which is read after {wanted.path}, states {value}; correct that file"
        for path, (file, value) in sorted(found.later.items())
        if wanted.sysctls.get(path, value) != value
    ]
    if overruled:
        return tuple(overruled)
    if wanted.sysctls or wanted.adopt or not ours or former is None:
        return ()
    return (returned(wanted.path),)


def late_errors(wanted: Wanted, found: Found) -> list[str]:
    """What the kernel took otherwise than it was declared."""
    return [
        f"sysctls: {path} is {found.values[path]} after it was set to {value}; the kernel does not take that value"
        for path, value in wanted.sysctls.items()
        if found.values[path] not in (None, value)
    ]


def run(module: t.Any) -> None:
    """The module kernel_sysctl."""
    runner = module_runner(module)
    try:
        wanted = declaration(module.params)
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=0)
    reconcile(
        module,
        lambda: read(wanted),
        lambda found: compare(wanted, found),
        runner,
        lambda found: {"path": wanted.path, "sysctls": {path: found.values[path] for path in wanted.sysctls}},
        lambda found: late_errors(wanted, found),
    )
