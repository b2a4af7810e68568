# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a lab host: times the module ovs_tunnel without Ansible's start, and ovs-vsctl by hand, in turn.

python3 tunnels.py TUNNELS ROUNDS        prints the times in seconds as JSON
"""

from __future__ import annotations

import json
import subprocess
import sys

from standalone import Module, measured, run_to_end

from ansible_collections.overloom.fabric.plugins.module_utils._ovs import tunnel as _ovs_tunnel
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import ovs_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec

BRIDGE = [
    "ovs-vsctl",
    "--",
    "--if-exists",
    "del-br",
    "br",
    "--",
    "add-br",
    "br",
    "--",
    "set",
    "bridge",
    "br",
    "datapath_type=netdev",
]
SPEC = {
    **_ovs_tunnel.tunnel_argument_spec(),
    **ovs_argument_spec(),
    **owner_argument_spec(),
    "tunnels": {},
    "check_route": {},
}
DEFAULTS = {name: option.get("default") for name, option in SPEC.items()}
LOOP_LIMIT = 500


def tunnels(items):
    return run_to_end(_ovs_tunnel.run, Module({**DEFAULTS, "tunnels": items, "check_route": False}))


def main():
    count, rounds = int(sys.argv[1]), int(sys.argv[2])
    remotes = [f"10.{i // 62500}.{i // 250 % 250}.{i % 250 + 1}" for i in range(count)]
    empty = dict.fromkeys(_ovs_tunnel.tunnel_argument_spec())
    items = [
        {**empty, "bridge": "br", "name": f"gre{i}", "type": "gre", "remote_ip": remote, "key": "7", "state": "present"}
        for i, remote in enumerate(remotes)
    ]
    changed = [{**items[0], "key": "8"}, *items[1:]]
    single = [
        [
            "--",
            "add-port",
            "br",
            f"gre{i}",
            "--",
            "set",
            "interface",
            f"gre{i}",
            "type=gre",
            f"options:remote_ip={remote}",
            "options:key=7",
        ]
        for i, remote in enumerate(remotes)
    ]
    together = ["ovs-vsctl", *(word for words in single for word in words)]
    seen = {"loop": []}
    for number in range(rounds):
        subprocess.run(BRIDGE, check=True)
        measured(seen, "hand", lambda: subprocess.run(together, check=True))
        subprocess.run(BRIDGE, check=True)
        made = measured(seen, "make", lambda: tunnels(items))
        again = measured(seen, "again", lambda: tunnels(items))
        one = measured(seen, "change", lambda: tunnels(changed))
        assert made["changed"] and len(made["tunnels"]) == count and not again["changed"]
        assert len(one["commands"]) == 1 and "gre0" in one["commands"][0] and "gre1" not in one["commands"][0]
        if number == 0 and count <= LOOP_LIMIT:
            subprocess.run(BRIDGE, check=True)
            measured(seen, "loop", lambda: [subprocess.run(["ovs-vsctl", *words], check=True) for words in single])
    subprocess.run(["ovs-vsctl", "del-br", "br"], check=True)
    print(
        json.dumps(
            {
                **seen,
                **{
                    f"spawned_{name}": result["spawned"]
                    for name, result in (("make", made), ("again", again), ("change", one))
                },
            }
        )
    )


if __name__ == "__main__":
    main()
