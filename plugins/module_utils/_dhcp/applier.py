# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apply what a DHCP server has said to an interface, and note it: the program that udhcpc calls at each event.

    FILE deconfig|bound|renew|nak|leasefail      with OVERLOOM_STATE and udhcpc's own variables in the environment

This file is private to the collection, and a program of its own: netns_udhcpc writes it to the host. The address has the lifetime of the
lease, so the kernel removes it should the client die; routes carry the protocol dhcp. By both, other tools know them from what people set.
"""

# A program of its own has no AnsibleModule to run commands.
# pylint: disable=ansible-bad-function
from __future__ import annotations

import json
import os
import subprocess
import sys
import typing as t

State = t.Dict[str, t.Any]
# In rtnetlink(7); its name in /etc/iproute2/rt_protos is dhcp.
PROTOCOL = "16"
LEAST_MTU = 68  # RFC 791


def lease_of(said: t.Mapping[str, str]) -> State:
    """What a server has said, from udhcpc's variables."""
    classless = said.get("staticroutes", "").split()
    routes = [{"to": to, "via": via} for to, via in zip(classless[::2], classless[1::2])]
    routers = said.get("router", "").split()
    # With classless routes the router is ignored (RFC 3442).
    if not routes and routers:
        routes = [{"to": "0.0.0.0/0", "via": routers[0]}]
    return {
        "address": f"{said['ip']}/{said.get('mask') or '32'}",
        "mtu": int(said["mtu"]) if said.get("mtu", "").isdigit() else None,
        "router": routers[0] if routers else None,
        "dns": said.get("dns", "").split(),
        "domain": said.get("domain") or None,
        "routes": routes,
        "seconds": int(said.get("lease") or 0) or None,
        "server": said.get("serverid"),
    }


def commands(interface: str, before: State, after: State) -> list[list[str]]:
    """The commands for ip(8) from one lease to another; an empty one is none."""
    found = []
    gone = [route for route in before.get("routes", ()) if route not in after.get("routes", ())]
    found += [["-4", "route", "delete", *_route(route, interface)] for route in gone]
    if before.get("address") not in (None, after.get("address")):
        found.append(["-4", "address", "delete", before["address"], "dev", interface])
    if not after:
        return found
    if (after["mtu"] or 0) >= LEAST_MTU:
        found.append(["link", "set", "dev", interface, "mtu", str(after["mtu"])])
    seconds = str(after["seconds"] or "forever")
    lifetime = ["valid_lft", seconds, "preferred_lft", seconds]
    found.append(["-4", "address", "replace", after["address"], "dev", interface, *lifetime])
    found += [["-4", "route", "replace", *_route(route, interface)] for route in after["routes"]]
    return found


def _route(route: State, interface: str) -> list[str]:
    """A route; without a next hop it is on the link."""
    via = [] if route["via"] == "0.0.0.0" else ["via", route["via"]]
    return [route["to"], *via, "dev", interface, "proto", PROTOCOL]


def read(path: str) -> State:
    """The lease that was noted; an empty one where there is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            return parse(stream.read())
    except OSError:
        return {}


def parse(text: str) -> State:
    """A lease from its text; an empty one from what is none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def main(event: str, said: t.Mapping[str, str]) -> None:
    """Do what an event asks for."""
    path, interface = said["OVERLOOM_STATE"], said["interface"]
    if event not in ("deconfig", "bound", "renew"):
        return
    before, after = read(path), {} if event == "deconfig" else lease_of(said)
    for command in commands(interface, before, after):
        # What is gone already needs no removal.
        quiet = subprocess.DEVNULL if "delete" in command else None
        subprocess.run(["ip", *command], stderr=quiet, check=False)
    if after:
        with open(f"{path}.new", "w", encoding="utf-8") as stream:
            json.dump(after, stream)
        os.replace(f"{path}.new", path)
    elif os.path.exists(path):
        os.unlink(path)


if __name__ == "__main__":
    main(sys.argv[1], os.environ)
