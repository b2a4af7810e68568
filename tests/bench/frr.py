# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a lab host with FRR: times the modules frr_ospf and frr_bgp without Ansible's start, and frr-reload.py, in turn.

python3 frr.py INTERFACES NEIGHBORS ROUNDS        prints the times in seconds as JSON
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import time

from standalone import Module, measured, run_to_end

from ansible_collections.overloom.fabric.plugins.module_utils._frr import bgp as _frr_bgp
from ansible_collections.overloom.fabric.plugins.module_utils._frr import ospf as _frr_ospf
from ansible_collections.overloom.fabric.plugins.module_utils._frr import run as frr_run

CONF = pathlib.Path("/etc/frr/frr.conf")
WANTED = pathlib.Path("/run/wanted.conf")
RELOAD = ["/usr/bin/python3", "/usr/lib/frr/frr-reload.py"]


def filled(spec, given):
    """Options with all that Ansible fills in for those that are left out."""
    made = {}
    for name, option in spec.items():
        value = given.get(name, option.get("default"))
        if value is not None and option.get("options"):
            value = (
                [filled(option["options"], one) for one in value]
                if option["type"] == "list"
                else filled(option["options"], value)
            )
        made[name] = value
    return made


def module(name, code, instances, things):
    spec = {**code.INSTANCE, "instances": {"type": "list", "options": code.INSTANCE}, **code.LISTS}
    params = {"owner": "bench", "adopt": False, "purge": True}
    params.update(filled(spec, {"instances": instances, **{key: [] for key in code.LISTS}}))
    return run_to_end(
        lambda one: frr_run.run(
            one, name, "instances", code.INSTANCE, lambda items, found: things(params, items, found), code.daemons
        ),
        Module(params),
    )


def ospf(instances):
    return module(
        "frr_ospf", _frr_ospf, instances, lambda params, items, found: _frr_ospf.things(params, items, found, "bench")
    )


def bgp(instances):
    return module(
        "frr_bgp",
        _frr_bgp,
        instances,
        lambda params, items, found: _frr_bgp.things(params, items, found, "bench", False),
    )


def reload(mode):
    return subprocess.run([*RELOAD, mode, str(WANTED)], capture_output=True, text=True, check=True)


def clear(empty):
    """Back to an empty configuration, by a restart."""
    CONF.write_text(empty, encoding="utf-8")
    subprocess.run(["rm", "-rf", "/etc/overloom/frr"], check=True)
    # Else systemd refuses, as this is often.
    subprocess.run(["systemctl", "reset-failed", "frr"], check=False, stderr=subprocess.DEVNULL)
    subprocess.run(["systemctl", "restart", "frr"], check=True)
    while not {"ospfd", "bgpd"} <= set(
        subprocess.run(["vtysh", "-c", "show daemons"], capture_output=True, text=True, check=False).stdout.split()
    ):
        time.sleep(0.1)


def main():
    interfaces, neighbors, rounds = (int(word) for word in sys.argv[1:])
    links = [
        {
            "name": f"eth{n}",
            "area": "0",
            "cost": 10 + n % 50,
            "network_type": "point-to-point",
            "hello_interval": 1,
            "dead_interval": 4,
        }
        for n in range(interfaces)
    ]
    one = [{"router_id": "10.0.0.1", "interfaces": links}]
    family = {
        "family": "ipv4_unicast",
        "activate": True,
        "soft_reconfiguration_inbound": True,
        "maximum_prefix": {"limit": 100},
    }
    peers = [
        {
            "neighbor": f"10.1.{n // 250}.{n % 250 + 1}",
            "remote_as": "64512",
            "description": f"peer {n}",
            "address_families": [family],
        }
        for n in range(neighbors)
    ]
    two = [{"asn": "64512", "router_id": "10.0.0.1", "neighbors": peers}]
    seen = {}
    for number in range(rounds):
        clear("")
        made = measured(seen, "make", lambda: (ospf(one), bgp(two)))
        assert all(result["changed"] for result in made)
        again = measured(seen, "again", lambda: (ospf(one), bgp(two)))
        assert not any(result["changed"] for result in again)
        if number == 0:
            shown = subprocess.run(
                ["vtysh", "-c", "show running-config no-header"], capture_output=True, text=True, check=True
            )
            WANTED.write_text(shown.stdout, encoding="utf-8")
        clear("")
        measured(seen, "reload", lambda: reload("--reload"))
        measured(seen, "reload_again", lambda: reload("--test"))
    print(
        json.dumps(
            {
                **seen,
                "spawned_make": max(result["spawned"] for result in made),
                "spawned_again": max(result["spawned"] for result in again),
            }
        )
    )


if __name__ == "__main__":
    main()
