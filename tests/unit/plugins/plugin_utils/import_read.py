# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role importer would read of a host that is as a plan says."""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]

PORT = {
    "type": "",
    "tag": None,
    "trunks": [],
    "vlan_mode": None,
    "link_state": "up",
    "mtu": None,
    "protected": False,
    "lacp": None,
    "lacp_time": None,
    "bond_mode": None,
    "bond_primary": None,
    "bond_updelay": 0,
    "bond_downdelay": 0,
    "interfaces": [],
}
BRIDGE = {
    "controllers": [],
    "mirrors": [],
    "netflow": None,
    "sflow": None,
    "ipfix": None,
    "stp": False,
    "mcast_snooping": False,
    "flood_vlans": [],
    "fail_mode": None,
    "auto_attach": None,
    "rstp": False,
    "flow_count": 1,
}
OPTIONS = ("local_ip", "remote_ip", "key", "dst_port", "csum", "ttl", "tos", "df_default")


def as_read(host: Item) -> Item:
    """A host of a plan. Of its guests, containers and services nothing is read."""
    bridges = {
        bridge["name"]: {**BRIDGE, "name": bridge["name"], "rstp": bridge.get("rstp", False), "ports": []}
        for bridge in host["bridges"]
    }
    links = {}
    for bridge in host["bridges"]:
        for port in bridge.get("ports", ()):
            bridges[bridge["name"]]["ports"].append(_port(port))
            links[port["name"]] = {"addresses": port.get("addresses", []), "mtu": port["mtu"]}
    for tunnel in host["tunnels"]:
        bridges[tunnel["bridge"]]["ports"].append(_port({**tunnel, "options": {}}))
    for space in host["namespaces"]:
        bridges[space["bridge"]]["ports"].append(_port({**space, "name": space["outer"], "mtu": ""}))
    names = [space["name"] for space in host["namespaces"]]
    inside = {name: {"forwarding": 0, "forwarding6": 0} for name in names}
    return {
        "bridges": list(bridges.values()),
        "tunnels": [_tunnel(tunnel) for tunnel in host["tunnels"]],
        "namespaces": [_namespace(space) for space in host["namespaces"]],
        "spaces": {"": {"links": links}, **inside},
        "domains": {},
    }


def _set(item: Item) -> Item:
    """The values of an item of a module as an info module returns them: what is empty is not set."""
    return {name: value for name, value in item.items() if value != ""}


def _port(item: Item) -> Item:
    known = {name: value for name, value in _set(item).items() if name in PORT}
    return {**PORT, **known, "name": item["name"], "members": item.get("members", [item["name"]])}


def _tunnel(item: Item) -> Item:
    texts = {name: str(value).lower() for name, value in _set(item).items() if name in OPTIONS}
    return {
        **_port(item),
        "bridge": item["bridge"],
        "owner": None,
        "options": texts,
        "bfd": {name: str(value).lower() for name, value in item["bfd"].items()},
    }


def _namespace(item: Item) -> Item:
    link = {
        **_port({**item, "mtu": item["mtu"]}),
        "name": item["interface"],
        "kind": "veth",
        "up": True,
        **{name: item[name] for name in ("outer", "bridge", "addresses", "mtu", "mac")},
        "routes": [{"metric": 0, "onlink": False, "table": 254, **route} for route in item["routes"]],
    }
    return {"name": item["name"], "owner": None, "rules": [], "sysctls": {}, "interfaces": [link]}
