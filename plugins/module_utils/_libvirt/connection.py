# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection to libvirt a call, and steps that are calls of its API, shown as the virsh commands that do the same.

This file is private to the collection.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import shlex
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    FabricError,
    Module,
    Remove,
    Runner,
    Step,
    Write,
    mask,
    module_runner,
)

try:
    import libvirt
except ImportError:
    libvirt = None

DEFAULT_URI = "qemu:///system"
# Distributions start libvirt and Open vSwitch side by side; a guest that starts with the host may then find no bridge, and stays off.
ORDER_FILE = "/etc/systemd/system/{}.d/overloom.conf"
ORDER = """# Written by overloom.fabric: guests that start with the host need their Open vSwitch bridges.
[Unit]
After=openvswitch-switch.service openvswitch.service ovs-vswitchd.service
"""
UNITS = ("libvirtd.service", "virtqemud.service")
UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")


def one_or_many(
    spec: t.Mapping[str, t.Any], many: str, required: t.Iterable[str] = ("name",), **more: t.Any
) -> dict[str, t.Any]:
    """What AnsibleModule is given for a module that takes one item by plain options, or several in a list.

    many: the list's name. required: what each of its items has to say. more: further options of the call.
    """
    item = {**spec, **{key: {**spec[key], "required": True} for key in required}}
    return {
        "argument_spec": {
            **spec,
            **more,
            many: {"type": "list", "elements": "dict", "options": item},
            "uri": {"type": "str", "default": DEFAULT_URI},
        },
        "mutually_exclusive": [["name", many]],
        "supports_check_mode": True,
    }


WantedT = t.TypeVar("WantedT")


def begin(module: Module, want: t.Callable[[], list[WantedT]], **nothing: t.Any) -> tuple[list[WantedT], t.Any, Runner]:
    """What is declared, checked, the connection, and what runs commands. It ends the module with the one sentence when something is wrong.

    want: checks what is declared. nothing: as for `connect_or_foresee`.
    """
    runner = module_runner(module)
    try:
        wanted = want()
        return wanted, connect_or_foresee(module, wanted, **nothing), runner
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[], spawned=runner.spawned)


def connect(uri: str) -> t.Any:
    """The connection that the whole call uses. Raises FabricError."""
    if libvirt is None:
        raise FabricError(
            "libvirt-python is missing for this Python: install python3-libvirt (Debian, Fedora) "
            "and let ansible_python_interpreter be the distribution's /usr/bin/python3"
        )
    # libvirt-python prints each error besides raising it; what is raised is enough.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    try:
        return libvirt.open(uri)
    except libvirt.libvirtError as error:
        raise FabricError(
            f"uri {uri} cannot be connected to ({said(error)}): start libvirtd or virtqemud, or correct uri"
        ) from error


def connect_or_foresee(module: t.Any, wanted: t.Iterable[t.Any], **nothing: t.Any) -> t.Any:
    """The connection that a module uses. In check mode, where an earlier task may only have foretold libvirt, it ends the module when there is none.

    wanted: each with a state. nothing: what the module then returns as found. Raises FabricError.
    """
    try:
        return connect(module.params["uri"])
    except FabricError as error:
        if not module.check_mode or not re.search(
            "No such file|Connection refused|is missing for this Python", str(error)
        ):
            raise
        module.warn(f"{error}; only libvirt can tell more of what would change")
        states = [item["state"] if isinstance(item, dict) else item.state for item in wanted]
        module.exit_json(changed=any(state != "absent" for state in states), commands=[], spawned=0, **nothing)


def said(error: Exception) -> str:
    """What libvirt says, without its repetition of the call's name."""
    return str(error).strip().replace("\n", " ")


def asked(what: str, call: t.Callable[..., t.Any], *args: t.Any) -> t.Any:
    """Call libvirt; its error becomes one sentence that begins with what. Raises FabricError."""
    try:
        return call(*args)
    except libvirt.libvirtError as error:
        raise FabricError(f"{what}: {said(error)}") from error


class Call:
    """One call of libvirt's API, or one thing done around it, as a step.

    argv: the virsh command that does the same. stdin: the document that it reads, with secrets masked already.
    act: does it; libvirt's errors and FabricError pass with what in front of them.
    """

    def __init__(
        self,
        what: str,
        argv: t.Sequence[str],
        act: t.Callable[[], t.Any],
        stdin: str = "",
        secrets: t.Sequence[str] = (),
        note: str = "",
    ) -> None:
        self.what, self.argv, self.act, self.stdin, self.secrets, self.note = (
            what,
            tuple(argv),
            act,
            stdin,
            tuple(secrets),
            note,
        )

    def shown(self) -> str:
        """The command as a person would type it."""
        line = shlex.join(self.argv)
        if self.note:
            line += f"  # {self.note}"
        if self.stdin:
            line += " <<'EOF'\n" + self.stdin.rstrip("\n") + "\nEOF"
        return mask(line, self.secrets)

    def do(self) -> None:
        """Take the step. Raises FabricError."""
        asked(self.what, self.act)


class Together(Call):
    """A call that is taken side by side with the others of its group, when the first of them is due."""

    def __init__(self, group: Group, call: Call) -> None:
        super().__init__(call.what, call.argv, call.act, call.stdin, call.secrets, call.note)
        self.group = group

    def do(self) -> None:
        """Take the whole group's steps, once. Raises FabricError with all that failed."""
        self.group.do()


class Group:
    """Calls that do not wait for each other: guests are started and shut down side by side."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.done = False

    def add(self, call: Call) -> Together:
        """The call as a member of the group."""
        self.calls.append(call)
        return Together(self, call)

    def do(self) -> None:
        """Take all calls, wait for all of them, then tell of those that failed."""
        if self.done:
            return
        self.done = True
        errors = []
        # libvirt's connection may be used by several threads, and lets go of Python's lock while it waits.
        with concurrent.futures.ThreadPoolExecutor(max_workers=min(32, len(self.calls))) as pool:
            for future in [pool.submit(call.do) for call in self.calls]:
                try:
                    future.result()
                except FabricError as error:
                    errors.append(str(error))
        if errors:
            raise FabricError("; ".join(errors))


def virsh(uri: str, *argv: str) -> list[str]:
    """The argument list of a virsh command."""
    return ["virsh", *([] if uri == DEFAULT_URI else ["-c", uri]), *argv]


def items_of(
    params: t.Mapping[str, t.Any], spec: t.Mapping[str, t.Any], many: str, what: str, beside: t.Container[str] = ()
) -> list[dict[str, t.Any]]:
    """The declared items: the list, or the plain options as one item. Raises FabricError on a name declared twice.

    beside: the options that may stand beside a list, since they also say how to purge.
    """
    if params[many] is not None:
        given = sorted(
            key
            for key, value in params.items()
            if key in spec and key not in beside and value not in (None, spec[key].get("default"))
        )
        if given:
            raise FabricError(f"{given[0]} is given beside {many}: write it into the items of {many}")
        items = params[many]
    else:
        items = [{key: params[key] for key in spec}] if params["name"] else []
    if not items and not params.get("purge"):
        raise FabricError(f"name or {many} is missing: say which {what} is meant")
    names = [item["name"] for item in items]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise FabricError(f"{what} {twice} is declared twice: declare it once")
    return items


def read_order(uri: str) -> dict[str, bool]:
    """Whether each of libvirt's services on this host waits for Open vSwitch at boot."""
    if uri != DEFAULT_URI:
        return {}
    found = {}
    for unit in UNITS:
        if any(os.path.exists(f"{folder}/{unit}") for folder in UNIT_FOLDERS):
            try:
                with open(ORDER_FILE.format(unit), encoding="utf-8") as stream:
                    found[unit] = stream.read() == ORDER
            except OSError:
                found[unit] = False
    return found


def order_steps(found: t.Mapping[str, bool], wanted: bool) -> list[t.Any]:
    """The steps after which libvirt's services wait for Open vSwitch at boot, or do not any more."""
    steps: list[t.Any] = [
        Write(ORDER_FILE.format(unit), ORDER) if wanted else Remove(ORDER_FILE.format(unit))
        for unit, waits in found.items()
        if waits != wanted
    ]
    return [*steps, Step(("systemctl", "daemon-reload"))] if steps else []


def read_ports(runner: Runner) -> dict[str, dict[str, t.Any]]:
    """tag, trunks and vlan_mode of each Open vSwitch port; empty where Open vSwitch does not run."""
    try:
        text = runner(["ovs-vsctl", "--format=json", "--columns=name,tag,trunks,vlan_mode", "list", "Port"])
    except FabricError:
        return {}
    table = json.loads(text)

    def plain(value: t.Any) -> t.Any:
        return plain_set(value[1]) if isinstance(value, list) and value[0] == "set" else value

    def plain_set(values: list[t.Any]) -> t.Any:
        return sorted(values)

    ports = {}
    for row in table["data"]:
        values = dict(zip(table["headings"], (plain(value) for value in row)))
        trunks = values["trunks"] if isinstance(values["trunks"], list) else [values["trunks"]]
        ports[values["name"]] = {
            "tag": None if values["tag"] == [] else values["tag"],
            "trunks": trunks,
            "vlan_mode": None if values["vlan_mode"] == [] else values["vlan_mode"],
        }
    return ports


def read_user_space(runner: Runner) -> frozenset[str]:
    """The Open vSwitch bridges whose datapath is in user space; none where Open vSwitch does not run."""
    try:
        text = runner(["ovs-vsctl", "--format=json", "--columns=name,datapath_type", "list", "Bridge"])
    except FabricError:
        return frozenset()
    return frozenset(name for name, kind in json.loads(text)["data"] if kind == "netdev")


def port_command(name: str, wanted: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """The ovs-vsctl command that gives a port its VLANs."""
    argv = ["ovs-vsctl", "--", "clear", "Port", name, "tag", "trunks", "vlan_mode"]
    values = []
    if wanted["tag"]:
        values.append(f"tag={wanted['tag']}")
    if wanted["trunks"]:
        values.append("trunks=" + ",".join(str(n) for n in wanted["trunks"]))
    if wanted["vlan_mode"]:
        values.append(f"vlan_mode={wanted['vlan_mode']}")
    return (*argv, *(["--", "set", "Port", name, *values] if values else []))
