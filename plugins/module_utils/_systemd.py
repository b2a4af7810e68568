# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Units that make at boot what no database of a tool keeps: rendered, read without a process, compared.

This file is private to the collection. A unit is a oneshot service `overloom-<kind>-<name>.service`, whose owner mark and
other notes stand in [Unit] as `X-Overloom-...`: systemd ignores such keys (systemd.unit(5)).
"""

from __future__ import annotations

import os
import shlex
import shutil
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Remove, Step, Write

FOLDER = "/etc/systemd/system"
_HEAD = "# Made by overloom.fabric; the next run of it replaces what is changed here."
_NOTE = "X-Overloom-"
# A fixed search order, so that the same unit comes out whatever the PATH of the one who runs Ansible is.
_TOOLS = "/usr/sbin:/usr/bin:/sbin:/bin"


class Unit(t.NamedTuple):
    """One unit file. wanted_by: the units which start it when they start, that is, for which it is enabled."""

    name: str
    content: str
    wanted_by: tuple[str, ...]

    def notes(self) -> dict[str, str]:
        """The `X-Overloom-` keys: Owner, Name, and what the module noted besides."""
        lines = (line.partition("=") for line in self.content.splitlines() if line.startswith(_NOTE))
        return {key[len(_NOTE) :]: value.replace("%%", "%") for key, _equals, value in lines}


class Command(t.NamedTuple):
    """One command of a unit. may_fail: a failure is no error of the unit (the thing is there already)."""

    argv: tuple[str, ...]
    may_fail: bool = False


class UnitSteps(t.NamedTuple):
    """The steps for a set of units: `put` writes and enables, `drop` disables and removes. Either may be empty."""

    put: list[t.Any]
    drop: list[t.Any]


# unit_name_is_valid() of systemd.
_LONGEST = 255


def unit_name(kind: str, name: str, suffix: str = "service") -> str:
    """The unit's file name; characters that such a name cannot have become `\\xNN` (systemd.unit(5), systemd-escape(1)). Raises FabricError."""
    safe = _escaped(name, ":_.-")
    unit = f"overloom-{kind}-{safe}.{suffix}"
    if len(unit) > _LONGEST:
        raise FabricError(
            f"{name!r} makes a name of {len(unit)} characters for systemd's unit, which takes {_LONGEST}: each but letters, "
            "digits, '_', '.' and '-' counts as four there; take a shorter name"
        )
    return unit


def device_unit(interface: str) -> str:
    """The unit that is there as soon as udev has found a network interface (systemd.device(5), systemd-escape(1))."""
    return f"sys-subsystem-net-devices-{_escaped(interface)}.device"


def ifup_unit(interface: str) -> str:
    """The unit by which ifupdown configures a network interface that udev has found."""
    return f"ifup@{_escaped(interface)}.service"


def _escaped(word: str, kept: str = ":_.") -> str:
    """A word for the name of a unit. kept: the characters that stay, besides letters and digits."""
    return "".join(c if c.isascii() and (c.isalnum() or c in kept) else _hexadecimal(c) for c in word)


def _hexadecimal(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


def devices_told() -> bool:
    """Does udev tell systemd of this host's devices? In containers it does not, and one would wait in vain."""
    return os.path.exists("/run/udev/control")


def tool(name: str) -> str:
    """The path of a tool for a unit: older systemd takes no bare names."""
    return shutil.which(name, path=_TOOLS) or name


def exec_word(value: str) -> str:
    """One word of an ExecStart= line, which systemd hands to the command exactly as value (systemd.service(5))."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    escaped = "".join(c if c.isprintable() else _hexadecimal(c) for c in escaped)
    return escaped if escaped and not set(escaped) & set(" ';\"\\") else f'"{escaped}"'


def oneshot(
    kind: str,
    name: str,
    description: str,
    notes: t.Mapping[str, str],
    commands: t.Iterable[Command],
    wanted_by: t.Sequence[str],
    after: t.Sequence[str] = (),
    before: t.Sequence[str] = (),
    part_of: t.Sequence[str] = (),
    wants: t.Sequence[str] = (),
    unit: t.Sequence[str] = (),
    reload: Command | None = None,
    again_after: int | None = None,
) -> Unit:
    """A service that runs commands once, one after the other, and then counts as active.

    notes: what stands in the `X-Overloom-` keys; `Owner` is the owner mark.
    wants: units that are started with this one, and without which it is tried all the same.
    unit: further lines of [Unit].
    part_of: units with whose stop and restart this one is stopped and restarted.
    reload: what a reload runs.
    again_after: seconds after which a failed run is tried again, for ever; None for not at all. systemd takes this of a oneshot since 244.
    """
    lines = [_HEAD, "[Unit]"]
    lines.append(_setting("Description", description))
    lines += [_setting(_NOTE + key, value) for key, value in {**notes, "Name": name}.items()]
    for key, units in (("Wants", wants), ("After", after), ("Before", before), ("PartOf", part_of)):
        if units:
            lines.append(_setting(key, " ".join(units)))
    lines += unit
    lines += ["", "[Service]", "Type=oneshot", "RemainAfterExit=yes"]
    lines += [_exec_line("ExecStart", command) for command in commands]
    lines += [_exec_line("ExecReload", reload)] if reload else []
    lines += ["Restart=on-failure", f"RestartSec={again_after}"] if again_after is not None else []
    return _unit(unit_name(kind, name), lines, wanted_by)


def service(
    kind: str,
    name: str,
    description: str,
    notes: t.Mapping[str, str],
    unit: t.Mapping[str, str],
    settings: t.Mapping[str, str],
    commands: t.Iterable[tuple[str, Command]],
    wanted_by: t.Sequence[str],
) -> Unit:
    """A service that goes on running.

    unit, settings: further settings of [Unit] and [Service]. commands: each with its setting, as ExecStart.
    """
    lines = [_HEAD, "[Unit]", _setting("Description", description)]
    lines += [_setting(_NOTE + key, value) for key, value in {**notes, "Name": name}.items()]
    lines += [_setting(key, value) for key, value in unit.items()]
    lines += ["", "[Service]", *(_setting(key, value) for key, value in settings.items())]
    lines += [_exec_line(setting, command) for setting, command in commands]
    return _unit(unit_name(kind, name), lines, wanted_by)


def _exec_line(setting: str, command: Command) -> str:
    path, *arguments = command.argv
    return f"{setting}={'-' if command.may_fail else ''}{' '.join([tool(path), *map(exec_word, arguments)])}"


def path_unit(kind: str, name: str, description: str, path: str) -> Unit:
    """What starts `oneshot(kind, name, ...)` as soon as a path is there (systemd.path(5))."""
    lines = [_HEAD, "[Unit]", _setting("Description", description), "", "[Path]", _setting("PathExists", path)]
    return _unit(unit_name(kind, name, "path"), lines, ["multi-user.target"])


def _unit(name: str, lines: list[str], wanted_by: t.Sequence[str]) -> Unit:
    if wanted_by:
        lines += ["", "[Install]", _setting("WantedBy", " ".join(wanted_by))]
    return Unit(name, "\n".join(lines) + "\n", tuple(wanted_by))


def ovs_port_unit(name: str, notes: t.Mapping[str, str], lines: t.Iterable[str]) -> Unit:
    """The service that gives an internal port of Open vSwitch its addresses whenever ovs-vswitchd has made the port.

    lines: lines for ip(8), as `_ip.interface_batch` gives them for a new interface.
    There is no waiting for a device unit: containers have no udev.
    """
    ready = Command(("ovs-vsctl", "--timeout=30", "wait-until", "Interface", name, "ofport>0"))
    return oneshot(
        "port",
        name,
        f"Addresses of the Open vSwitch port {name}",
        notes,
        [ready, *ip_commands(lines)],
        # Wanted by the daemon itself, so that it also starts after a restart that finds this unit stopped.
        wanted_by=["multi-user.target", "ovs-vswitchd.service"],
        after=["ovs-vswitchd.service"],
        part_of=["ovs-vswitchd.service"],
        # On a busy host, Open vSwitch may take longer than that to come up.
        again_after=5,
    )


def ip_commands(lines: t.Iterable[str], netns: str | None = None) -> list[Command]:
    """Lines for `ip -batch -` as commands of a unit, in the host or in a named network namespace."""
    inside = ("-n", netns) if netns is not None else ()
    return [Command(("ip", *inside, *shlex.split(line))) for line in lines]


def _setting(key: str, value: str) -> str:
    """A line `key=value`. Raises FabricError for what would begin another setting, or go on with the next line."""
    if not value.isprintable() or value.endswith("\\"):
        raise FabricError(
            f"{value!r} cannot stand in a systemd unit: it has control characters or ends with a backslash."
        )
    return f"{key}={value.replace('%', '%%')}"


def read_units(kind: str, folder: str = FOLDER) -> dict[str, Unit]:
    """All units of a kind that are there, by file name. Spawns nothing."""
    found = {}
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return {}
    wants = [name[: -len(".wants")] for name in names if name.endswith(".wants")]
    for name in names:
        if not name.startswith(f"overloom-{kind}-"):
            continue
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as stream:
                content = stream.read()
        except (OSError, UnicodeDecodeError):
            # A dangling link, a folder: not a unit of ours, and replaced if ours is wanted there.
            content = ""
        enabled = [unit for unit in wants if os.path.lexists(os.path.join(folder, f"{unit}.wants", name))]
        found[name] = Unit(name, content, tuple(enabled))
    return found


def property_blocks(shown: str) -> list[dict[str, str]]:
    """The properties of each unit, from `systemctl show --property=... UNIT ...`."""
    blocks = shown.strip().split("\n\n")
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]


def booted() -> bool:
    """Whether systemd runs this host (sd_booted(3)); without it, units are only prepared for the next boot."""
    return os.path.isdir("/run/systemd/system")


def unit_steps(
    found: t.Mapping[str, Unit],
    wanted: t.Mapping[str, Unit | None],
    running: bool = True,
    folder: str = FOLDER,
) -> UnitSteps:
    """The steps that make units what is wanted (None: away); one process for `put` and one for `drop` at the most.

    running: `booted()`.
    """
    put: list[t.Any] = []
    enable = []
    gone = sorted(name for name, unit in wanted.items() if unit is None and name in found)
    for name, unit in sorted(wanted.items()):
        if unit is None:
            continue
        present = found.get(name)
        if present is None or present.content != unit.content:
            put.append(Write(os.path.join(folder, name), unit.content))
        if set(present.wanted_by if present else ()) != set(unit.wanted_by):
            enable.append(name)
    if enable:
        # Enables for exactly the units of [Install], and makes systemd read all changed files.
        put.append(Step(("systemctl", "reenable", *enable)))
    elif put and running:
        put.append(Step(("systemctl", "daemon-reload")))
    drop: list[t.Any] = []
    if gone:
        # Stopping a unit runs nothing: it has no ExecStop. It only makes systemd forget it.
        drop.append(Step(("systemctl", "disable", *(["--now"] if running else []), *gone)))
        drop += [Remove(os.path.join(folder, name)) for name in gone]
    return UnitSteps(put, drop)
