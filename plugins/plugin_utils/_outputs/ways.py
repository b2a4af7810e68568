# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways from the controller into hosts and guests: commands, an SSH configuration, an inventory. Pure: plan and variables in, text out.

This file is private to the collection. Sources: ssh_config(5), nsenter(1), ansible.builtin.yaml (inventory plugin).
"""

from __future__ import annotations

import json
import re
import shlex
import typing as t

import yaml

Item = t.Dict[str, t.Any]

LAB = "overloom.fabric.lab"
LABS = "/run/overloom/labs"
# Of a host: the variables that say how Ansible reaches it.
VARIABLES = (
    "ansible_connection",
    "ansible_host",
    "ansible_port",
    "ansible_user",
    "ansible_ssh_private_key_file",
    "ansible_ssh_common_args",
    "ansible_ssh_extra_args",
    "lab_name",
    "fabric_name",
)
# A host has no address on a segment, and a program of its own in a namespace has. It needs Python alone, as Ansible does, and ends with either side.
RELAY = (
    "import os,socket,sys,threading as t;sys.tracebacklimit=0;"
    "s=socket.create_connection(sys.argv[1:]);"
    "t.Thread(target=lambda:([s.sendall(b) for b in iter(lambda:os.read(0,65536),bytes())],os._exit(0)),daemon=True).start();"
    "[os.write(1,b) for b in iter(lambda:s.recv(65536),bytes())]"
)
# Stands for the port, which ssh(1) puts in, while the rest of a command is quoted. No name has it.
_PORT = "\0"


def enter(name: str, variables: Item, argv: t.Sequence[str], terminal: bool, root: bool) -> str | None:
    """The command line that runs argv as root on a host; None where Ansible reaches it by a connection that has no such command.

    terminal: whether a person types there. root: whether the command is given by root, which enters the hosts of a lab without sudo.
    """
    connection = variables.get("ansible_connection") or "ssh"
    if connection == LAB:
        leader = f"{LABS}/{variables.get('lab_name') or variables['fabric_name']}/hosts/{name}/leader"
        spaces = "--mount --uts --ipc --net --pid --cgroup"
        words = ["env", "--chdir=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *argv]
        return f"{'' if root else 'sudo '}nsenter --target=$(cut -d' ' -f1 {shlex.quote(leader)}) {spaces} -- {shlex.join(words)}"
    user = variables.get("ansible_user")
    sudo = [] if user == "root" else ["sudo"] if terminal else ["sudo", "-n"]
    if connection in ("local", "ansible.builtin.local"):
        return shlex.join([*([] if root else sudo), *argv])
    if connection not in ("ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh"):
        return None
    return shlex.join(
        ["ssh", *_ssh_options(variables), *["-t"] * terminal, _target(name, variables), shlex.join([*sudo, *argv])]
    )


def _target(name: str, variables: Item) -> str:
    return str(variables.get("ansible_host") or name)


def _ssh_options(variables: Item) -> list[str]:
    """What ssh(1) is told, as Ansible tells it."""
    options = []
    for option, variable in (
        ("-l", "ansible_user"),
        ("-p", "ansible_port"),
        ("-i", "ansible_ssh_private_key_file"),
    ):
        if variables.get(variable):
            options += [option, str(variables[variable])]
    for variable in ("ansible_ssh_common_args", "ansible_ssh_extra_args"):
        options += shlex.split(str(variables.get(variable) or ""))
    return options


def document(plan: Item, hosts: t.Mapping[str, Item], root: bool) -> Item:
    """The outputs in full: what the plan has, and the commands that lead in from the controller. hosts: variables of each host."""
    found = [{**output, "command": _console(output, hosts[output["host"]], root)} for output in plan["outputs"]]
    return {
        "fabric": plan["fabric"],
        "hosts": [_host(name, host, hosts[name], root) for name, host in plan["hosts"].items()],
        "endpoints": [output for output in found if output["kind"] != "router"],
        "routers": [output for output in found if output["kind"] == "router"],
    }


def _host(name: str, host: Item, variables: Item, root: bool) -> Item:
    return {
        "name": name,
        "tunnel_endpoint": host["underlay"]["tep"]["address"],
        "nics": host["underlay"]["nics"],
        "bridges": [bridge["name"] for bridge in host["bridges"]],
        "command": enter(name, variables, ["bash", "-l"], True, root),
    }


def _console(output: Item, variables: Item, root: bool) -> str | None:
    return output["console"] and enter(output["host"], variables, shlex.split(output["console"]), True, root)


class Guest(t.NamedTuple):
    """A guest with an address.

    label: its name in the files, of which there is one. short: its own name, where no other has it. facts: what a next play may want of it.
    way: the command that connects to its port, or None.
    """

    label: str
    short: str | None
    address: str
    user: str
    facts: dict[str, str]
    way: str | None


def guests(plan: Item, hosts: t.Mapping[str, Item], root: bool) -> list[Guest]:
    """The guests that have an address, each with its way from the controller, if there is one."""
    known = {f"{host}/{guest['name']}": guest for host, here in plan["hosts"].items() for guest in here["guests"]}
    points = [point for point in plan["endpoints"] if point["kind"] == "guest" and _ends(point)]
    labels = [re.sub(r"[^\w.-]", "_", f"{point['name']}.{point['host']}") for point in points]
    names = [point["name"] for point in points]
    found = []
    for point, label in zip(points, labels):
        guest = known[point["id"]]
        # Two that would be called alike, such as a.b on c and a on b.c, are called by their ids.
        alone = labels.count(label) == 1
        short = point["name"] if names.count(point["name"]) == 1 and point["name"] not in labels else None
        address, way = _way(point, plan, hosts, root)
        facts = {"segment": point["segment"], "host": point["host"], "role": guest["role"], "address": address}
        facts["mac"] = point["mac"]
        found.append(Guest(label if alone else point["id"], short, address, guest["user"], facts, way))
    return found


def _ends(point: Item) -> list[Item]:
    """The NICs of an endpoint that have an address."""
    return [end for end in (point, *point.get("nics", ())) if end["address"] or end["address6"]]


def _way(guest: Item, plan: Item, hosts: t.Mapping[str, Item], root: bool) -> tuple[str, str | None]:
    """The address of a guest, and the command that connects to its port, through a namespace on the same segment: one of its host, if there is."""
    for end in _ends(guest):
        doors = [
            point for point in plan["endpoints"] if point["kind"] != "guest" and point["segment"] == end["segment"]
        ]
        for door in sorted(doors, key=lambda point: point["host"] != guest["host"]):
            # Of one address family, so that the namespace has a route.
            family = next((name for name in ("address", "address6") if end[name] and door[name]), None)
            if family is None:
                continue
            space = door.get("namespace", door["name"])
            line = enter(
                door["host"],
                hosts[door["host"]],
                ["ip", "netns", "exec", space, "python3", "-c", RELAY, end[family], _PORT],
                False,
                root,
            )
            if line:
                return end[family], line.replace("%", "%%").replace(_PORT, "%p")
    [end, *_others] = _ends(guest)
    return end["address"] or end["address6"], None


def ssh_config(fabric: str, found: t.Sequence[Guest]) -> str:
    """A file for ssh -F, with an entry for each guest that has a way."""
    lines = [f"# Guests of the fabric {fabric}, through a namespace on their segment: ssh -F THIS_FILE NAME"]
    for guest in found:
        lines.append("")
        if guest.way is None:
            lines.append(f"# {guest.label} has no entry: no namespace or container of the fabric is on its segment.")
            continue
        lines += [
            f"Host {guest.label}{' ' + guest.short if guest.short else ''}",
            f"  HostName {guest.address}",
            # Two fabrics, or two tenants, may have one address.
            f"  HostKeyAlias {guest.label}.{fabric}",
            f"  User {guest.user}",
            f"  ProxyCommand {guest.way}",
        ]
    return "\n".join(lines) + "\n"


def inventory(fabric: str, found: t.Sequence[Guest], config: str) -> str:
    """An inventory of the guests for a next play, grouped by segment, host and role. config: absolute path of the SSH configuration."""
    groups: dict[str, Item] = {"guests": {"hosts": {}}}
    names = {kind: group_names(kind, {guest.facts[kind] for guest in found}) for kind in ("segment", "host", "role")}
    for guest in found:
        variables = {
            "ansible_connection": "ssh",
            "ansible_host": guest.label if guest.way else guest.address,
            "ansible_user": guest.user,
            **{f"guest_{name}": value for name, value in guest.facts.items()},
        }
        if guest.way:
            variables["ansible_ssh_common_args"] = shlex.join(["-F", config])
        groups["guests"]["hosts"][guest.label] = variables
        for kind, known in names.items():
            groups.setdefault(known[guest.facts[kind]], {"hosts": {}})["hosts"][guest.label] = {}
    head = f"# Guests of the fabric {fabric}, for a next play: ansible-playbook -i THIS_FILE PLAYBOOK\n"
    # Before ansible-core 2.19 texts of an inventory are of a class that YAML does not know.
    children = json.loads(json.dumps(groups))
    return head + yaml.safe_dump({"all": {"children": children}}, sort_keys=False, width=1000)


def group_names(kind: str, names: t.Collection[str]) -> dict[str, str]:
    """The groups of segments, hosts or roles, as Ansible takes them without a word: letters, digits and underscores. Two that would be alike have codes."""
    plain = {name: re.sub(r"\W", "_", name, flags=re.ASCII) for name in names}
    alike = list(plain.values())
    return {
        name: f"{kind}_{short if alike.count(short) == 1 else name.encode('utf-8').hex()}"
        for name, short in plain.items()
    }
