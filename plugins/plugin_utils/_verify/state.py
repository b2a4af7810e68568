# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What status_info reads of a host, held against the plan: bridges, ports, tunnels, interfaces, namespaces, containers, services and so on, and flows. Pure.

This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import MAIN_TABLE
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import check_sysctl
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import Vlans
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.containers import LOOK as CONTAINER_LOOK
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.dhcp import LOOK as DHCP_LOOK
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.edges import LOOK as TABLE_LOOK
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.host_network import LOOK as INTERFACE_LOOK
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.host_network import interface_rows
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.ovn import (
    BINDING_LOOK,
    CHASSIS_LOOK,
    GATEWAY_LOOK,
    HOP_LOOK,
    MEMBER_LOOK,
    NORTHD_LOOK,
    binding_rows,
    chassis_rows,
    hop_rows,
    member_rows,
    northd_rows,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.services import LOOK as SERVICE_LOOK
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.uplinks import LOOK as UPLINK_LOOK
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.uplinks import uplink_rows
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.vrrp import LOOK as VRRP_LOOK

Item = t.Dict[str, t.Any]

# Of a count: that it is not none.
SOME = "at least 1"


# How Ansible begins what it says of a failure, from inside out.
_FAILED = re.compile(r"^((Task|Action|Module) failed: )+")


def why(result: Item) -> str:
    """The first line of what a task says of its failure, without Ansible's words that it is one."""
    line = str(result.get("msg") or "no answer from the host").strip().splitlines()[0]
    return _FAILED.sub("", line) or line


# The things of a kind by name, from the rows that were read and what the plan wants of them.
Rows = t.Callable[[t.Any, t.Dict[str, Item]], t.Dict[str, Item]]


class Kind(t.NamedTuple):
    """A kind of thing. planned, read: where the plan's state and status_info have it. look: what a person would type on the host."""

    name: str
    planned: str
    read: str
    rows: Rows
    look: str


def _named(rows: t.Iterable[Item], _wanted: dict[str, Item]) -> dict[str, Item]:
    return {row["name"]: row for row in rows}


def _ports(bridges: t.Iterable[Item], _wanted: dict[str, Item]) -> dict[str, Item]:
    return {
        port["name"]: {**port, "bridge": bridge["name"], **_members(port)}
        for bridge in bridges
        for port in bridge.get("ports", ())
    }


def _members(port: Item) -> Item:
    """Of a bond, those members that have a link, and those whose partner in LACP answers."""
    members = port.get("interfaces") or ()
    return {
        "members_up": [member["name"] for member in members if member["link_state"] == "up"],
        "lacp_partners": [member["name"] for member in members if member["lacp_current"]],
    }


def _tunnels(rows: t.Iterable[Item], _wanted: dict[str, Item]) -> dict[str, Item]:
    # Open vSwitch keeps most of what makes a tunnel in one map of texts.
    return {row["name"]: {**row, **row.get("options", {})} for row in rows}


def _by_endpoint(rows: t.Iterable[Item], wanted: dict[str, Item]) -> dict[str, Item]:
    found = {row["name"]: row for row in rows}
    return {endpoint: found[want["name"]] for endpoint, want in wanted.items() if want["name"] in found}


def _dhcp(found: Item, _wanted: dict[str, Item]) -> dict[str, Item]:
    # A client together with what it was given.
    return {row["name"]: {**row, **(row.get("lease") or {})} for row in (*found["servers"], *found["clients"])}


def _tables(rows: t.Iterable[Item], _wanted: dict[str, Item]) -> dict[str, Item]:
    # An edge's namespace has one of ours.
    return {row["netns"]: {**row, "name": row["netns"], "table": row["name"]} for row in rows}


KINDS = (
    Kind("bridge", "bridges", "bridges", _named, "ovs-vsctl list bridge {name}"),
    Kind("port", "ports", "bridges", _ports, "ovs-vsctl list port {name}"),
    Kind("tunnel", "tunnels", "tunnels", _tunnels, "ovs-vsctl list interface {name}"),
    Kind("namespace", "namespaces", "namespaces", _by_endpoint, "ip -n {name} addr; ip -n {name} route"),
    Kind("interface", "host_network", "host_network", interface_rows, INTERFACE_LOOK),
    Kind("container", "containers", "containers", _by_endpoint, CONTAINER_LOOK),
    Kind("service", "services", "services", _by_endpoint, SERVICE_LOOK),
    Kind("dhcp", "dhcp", "dhcp", _dhcp, DHCP_LOOK),
    Kind("vrrp", "vrrp", "vrrp", _named, VRRP_LOOK),
    Kind("uplink", "uplinks", "uplinks", uplink_rows, UPLINK_LOOK),
    Kind("table", "tables", "tables", _tables, TABLE_LOOK),
    Kind("northd", "northd", "ovn", northd_rows, NORTHD_LOOK),
    Kind("member", "members", "ovn", member_rows, MEMBER_LOOK),
    Kind("chassis", "chassis", "ovn", chassis_rows, CHASSIS_LOOK),
    Kind("binding", "bindings", "ovn", binding_rows, BINDING_LOOK),
    Kind("gateway", "gateways", "ovn", binding_rows, GATEWAY_LOOK),
    Kind("hop", "hops", "ovn", hop_rows, HOP_LOOK),
)


def judge(host: str, state: Item, read: Item | None, flows: Item | None = None) -> list[Item]:
    """The things of a host that the plan wants, each as one check, and the flows of a bridge as one.

    read: what status_info returned. flows: what the tasks that compare the flows returned.
    """
    checks = []
    for kind in KINDS:
        checks += _of_kind(host, kind, state.get(kind.planned, {}), read or {})
    return checks + [_flows(host, bridge, count, flows or {}) for bridge, count in state["flows"].items()]


def _of_kind(host: str, kind: Kind, wanted: dict[str, Item], read: Item) -> list[Item]:
    """The checks of one kind."""
    unread = bool(read.get("failed") or read.get("unreachable") or kind.read not in read)
    found = {} if unread else kind.rows(read[kind.read], wanted)
    checks = []
    for name, want in wanted.items():
        check = {
            "kind": kind.name,
            "host": host,
            "thing": name,
            "from": f"{host}:{name}",
            "to": "",
            "look": f"on {host}: {kind.look.format_map(_places(name, want))}",
        }
        if unread:
            reason = (read.get("unread") or {}).get(kind.read) or why(read)
            seen = f"{host} was not read: {reason}"
            checks.append({**check, "expected": "as planned", "observed": seen, "passed": False, "unread": True})
            continue
        row = found.get(name)
        checks.append({**check, **_compared(kind.name, _declared(want) if (row or {}).get("adopted") else want, row)})
    return checks


def _places(name: str, want: Item) -> Item:
    """What the command to look at a thing may name."""
    options = ("table", "router", "flow")
    return {"name": name, "unit": want.get("name"), **{option: want.get(option) for option in options}}


def _declared(want: Item) -> Item:
    """What the intent declares of an adopted thing, which keeps what others set in all else."""
    return {name: value for name, value in want.items() if value not in (None, "", False)}


def _flows(host: str, bridge: str, count: int, observed: Item) -> Item:
    """The flows of a bridge against what its switch makes of the planned ones: what a run would change is what differs."""
    check = {
        "kind": "flows",
        "host": host,
        "thing": bridge,
        "from": f"{host}:{bridge}",
        "to": "",
        "expected": f"the {count} planned flows",
        "look": f"on {host}: ovs-ofctl -O OpenFlow15 --names --no-stats dump-flows {bridge}",
    }
    result = next(
        (item for item in observed.get("results") or () if (item.get("item") or {}).get("bridge") == bridge), observed
    )
    if result.get("failed") or "commands" not in result:
        return {**check, "observed": f"{host} was not read: {why(result)}", "passed": False, "unread": True}
    if not result["commands"]:
        return {**check, "observed": "as planned", "passed": True}
    wrong = [line for command in result["commands"] for line in command.splitlines() if line.startswith("flow ")]
    if not wrong:
        return {
            **check,
            "observed": "as planned, but the file or the service that brings them back after a restart is not",
            "passed": False,
        }
    what, flow = wrong[0].split(" ", 2)[1:]
    return {
        **check,
        "observed": f"{len(wrong)} differ; the first is {'missing or changed' if what == 'add' else 'one too many'}: {flow}",
        "passed": False,
    }


def _compared(kind: str, want: Item, found: Item | None) -> Item:
    """One thing against the plan: only what differs is told."""
    if found is None:
        return {"expected": f"a {kind} as planned", "observed": "it is not there", "passed": False}
    if kind == "namespace":
        found = _inside(want, found)
    differing = {}
    for option, value in want.items():
        seen = _canonical(option, found.get(option))
        if seen != _canonical(option, value):
            differing[option] = (value, found.get(option))
    if not differing:
        return {"expected": "as planned", "observed": "as planned", "passed": True}
    return {
        "expected": ", ".join(f"{option} {_shown(wanted)}" for option, (wanted, _seen) in differing.items()),
        "observed": ", ".join(f"{option} {_shown(seen)}" for option, (_wanted, seen) in differing.items()),
        "passed": False,
    }


def _inside(want: Item, space: Item) -> Item:
    """One interface of a namespace together with its sysctls and rules, in the form of the plan's items.

    Virtual addresses come and go with the active host.
    """
    link: Item = next((link for link in space.get("interfaces", ()) if link["name"] == want["interface"]), {})
    virtual = want.get("virtual_addresses") or ()
    own = [address for address in link.get("addresses") or () if address not in virtual]
    whole = {option: space.get(option) for option in ("name", "sysctls", "rules")}
    return {**link, "addresses": own, "virtual_addresses": virtual, "interface": link.get("name"), **whole}


def _canonical(option: str, value: t.Any) -> t.Any:
    """A value in a form in which equal means equal: what is not set, off and empty are one."""
    if option == "df_default":
        return str(value).lower() != "false"
    if value in (None, "", False, "false") or (isinstance(value, (list, dict)) and not value):
        return None
    if option == "flow_count":
        return SOME
    if option == "trunks":
        return Vlans().parse(value, option)
    if option == "routes":
        return sorted((item.get("to"), item.get("via"), item.get("table") or MAIN_TABLE) for item in value)
    if option == "rules":
        return sorted(sorted((key, str(part)) for key, part in item.items()) for item in value)
    if option == "sysctls":
        # net.ipv4.ip_forward and net/ipv4/ip_forward are one: see sysctl(8).
        return sorted(check_sysctl(str(key), item, option) for key, item in value.items())
    if isinstance(value, dict):
        return sorted((key, str(item).lower()) for key, item in value.items())
    if isinstance(value, list):
        return sorted(str(item).lower() for item in value)
    return str(value).lower()


def _shown(value: t.Any) -> str:
    if value is None or value == "" or (isinstance(value, (list, dict)) and not value):
        return "not set"
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    return str(value)
