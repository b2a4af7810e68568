# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A DHCP client of a network namespace: BusyBox's udhcpc as a systemd service.

This file is private to the collection. udhcpc is one process without files of its own, and leaves it to a program of ours what becomes of
an answer. (dhclient has had no releases since 2022; systemd-networkd sees to the host's namespace alone.)
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._dhcp import applier as _applier
from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._netns.daemon import Found, Kind, Process, Service
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import FOLDER as NAMESPACES
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import check_name
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import UNIT_KIND as NETNS
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import Command, Unit, service, unit_name

Item = t.Dict[str, t.Any]

PROGRAMS = "/var/lib/overloom/udhcpc"
# udhcpc starts it by its name alone.
_SHEBANG = "#!/usr/bin/env python3\n"


def _options() -> Item:
    """The options of one item, but for those that all kinds have."""
    return {
        "interface": {"type": "str", "default": "eth0"},
    }


def _declared(name: str, item: Item, owner: str) -> Service:
    """The service of an item that is present."""
    namespace = check_name(item.get("namespace") or name, f"DHCP client {name}: namespace")
    interface = _ip.check_interface_name(item.get("interface") or "eth0", f"DHCP client {name}: interface")
    if interface == "lo":
        raise FabricError(f"DHCP client {name}: interface lo is the loopback of every namespace; give another name")
    # It runs after the task, so it cannot stay in the task's archive.
    source = _SHEBANG + t.cast(t.Any, _applier.__loader__).get_source(_applier.__name__)
    return Service(name, _unit(name, namespace, interface, owner), namespace, files={program(name): source})


def program(name: str) -> str:
    """The program that applies what a server says."""
    return f"{PROGRAMS}/{name}.py"


def state_file(name: str) -> str:
    """Where that program notes the lease, which is gone with a reboot."""
    return f"/run/overloom-udhcpc-{name}.json"


def left(name: str) -> list[str]:
    """The files of a client."""
    return [program(name), state_file(name)]


def _unit(name: str, namespace: str, interface: str, owner: str) -> Unit:
    made = unit_name(NETNS, namespace)
    run = (
        *("busybox", "udhcpc", "-f", "-R", "-i", interface, "-s", program(name)),
        # Ask for MTU and classless routes besides, again and again until somebody answers.
        *("-O", "mtu", "-O", "staticroutes", "-t", "4", "-T", "1", "-A", "2"),
    )
    return service(
        KIND.unit,
        name,
        f"DHCP client in network namespace {namespace}",
        {"Owner": owner, "Interface": interface},
        unit={"Wants": made, "After": made, "PartOf": made, "StartLimitIntervalSec": "0"},
        settings={
            "Type": "simple",
            # At its end it calls the program once more, which must not be stopped with it.
            "KillMode": "mixed",
            "Environment": f"OVERLOOM_STATE={state_file(name)}",
            "NetworkNamespacePath": f"{NAMESPACES}/{namespace}",
            "Restart": "always",
            "RestartSec": "1",
        },
        commands=[("ExecStart", Command(run))],
        wanted_by=["multi-user.target"],
    )


def describe(found: Found, name: str, process: Process | None) -> Item:
    """The interface of a client, and what it was given."""
    text = found.files.get(state_file(name))
    lease = _applier.parse(text) if process and text else {}
    return {"interface": found.units[KIND.service_name(name)].notes().get("Interface"), "lease": lease or None}


KIND = Kind(
    unit="udhcpc",
    what="DHCP client",
    program="busybox",
    package="busybox-static",
    left=left,
    items="clients",
    options=_options(),
    declared=_declared,
    describe=describe,
    folders=lambda _name: [PROGRAMS],
)
