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
import time

from ansible_collections.overloom.fabric.plugins.module_utils import _ovs_tunnel
from ansible_collections.overloom.fabric.plugins.module_utils._ovs import ovs_argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec

BRIDGE = ["ovs-vsctl", "--", "--if-exists", "del-br", "br", "--", "add-br", "br", "--", "set", "bridge", "br", "datapath_type=netdev"]
LOOP_LIMIT = 500


class Done(Exception):
    """The module has ended."""


class Module:
    """What the module sees of Ansible, without Ansible."""

    check_mode = _diff = False

    def __init__(self, **options):
        spec = {**_ovs_tunnel.tunnel_argument_spec(), **ovs_argument_spec(), **owner_argument_spec(), "tunnels": {}, "check_route": {}}
        self.params = {**{name: option.get("default") for name, option in spec.items()}, **options}
        self.result = None

    def run_command(self, argv, data=None, **_options):
        done = subprocess.run(argv, input=data, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def warn(self, text):
        raise AssertionError(text)

    def exit_json(self, **result):
        self.result = result
        raise Done

    def fail_json(self, **result):
        raise AssertionError(result["msg"])


def timed(action):
    begun = time.monotonic()
    result = action()
    return time.monotonic() - begun, result


def module(items):
    one = Module(tunnels=items, check_route=False)
    try:
        _ovs_tunnel.run(one)
    except Done:
        return one.result


def main():
    count, rounds = int(sys.argv[1]), int(sys.argv[2])
    remotes = [f"10.{i // 62500}.{i // 250 % 250}.{i % 250 + 1}" for i in range(count)]
    empty = {name: None for name in _ovs_tunnel.tunnel_argument_spec()}
    items = [
        {**empty, "bridge": "br", "name": f"gre{i}", "type": "gre", "remote_ip": remote, "key": "7", "state": "present"}
        for i, remote in enumerate(remotes)
    ]
    single = [
        ["--", "add-port", "br", f"gre{i}", "--", "set", "interface", f"gre{i}", "type=gre", f"options:remote_ip={remote}", "options:key=7"]
        for i, remote in enumerate(remotes)
    ]
    together = ["ovs-vsctl", *(word for words in single for word in words)]
    seen = {"make": [], "again": [], "hand": [], "loop": []}
    for number in range(rounds):
        subprocess.run(BRIDGE, check=True)
        seen["hand"].append(timed(lambda: subprocess.run(together, check=True))[0])
        subprocess.run(BRIDGE, check=True)
        seconds, made = timed(lambda: module(items))
        seen["make"].append(seconds)
        seconds, again = timed(lambda: module(items))
        seen["again"].append(seconds)
        assert made["changed"] and len(made["tunnels"]) == count and not again["changed"]
        if number == 0 and count <= LOOP_LIMIT:
            subprocess.run(BRIDGE, check=True)
            seen["loop"].append(timed(lambda: [subprocess.run(["ovs-vsctl", *words], check=True) for words in single])[0])
    subprocess.run(["ovs-vsctl", "del-br", "br"], check=True)
    print(json.dumps({**seen, "spawned_make": made["spawned"], "spawned_again": again["spawned"]}))


if __name__ == "__main__":
    main()
