# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a lab host: times the module ovs_flow with a host's part of a large plan, and ovs-ofctl by hand, in turn.

    python3 flows.py FILE ROUNDS        FILE: the ports and flows as JSON; prints the times in seconds as JSON
"""
from __future__ import annotations

import json
import subprocess
import sys
import time

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.overloom.fabric.plugins.module_utils import _ovs_flow
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec
from tunnels import Done, timed

SPEC = {**_ovs_flow.argument_spec(), **owner_argument_spec()}


class Module:
    """What the module sees of Ansible, without Ansible's start; its check of the options is included."""

    check_mode = _diff = False

    def __init__(self, **options):
        checked = ArgumentSpecValidator(SPEC).validate(options)
        assert not checked.error_messages, checked.error_messages
        self.params = checked.validated_parameters
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


def module(flows):
    one = Module(bridge="br", owner="bench", purge=True, flows=flows)
    try:
        _ovs_flow.run(one)
    except Done:
        return one.result


def main():
    with open(sys.argv[1], encoding="utf-8") as stream:
        given = json.load(stream)
    new = ["ovs-vsctl", "--", "--if-exists", "del-br", "br", "--", "add-br", "br", "--", "set", "bridge", "br", "datapath_type=netdev", "fail_mode=secure"]
    subprocess.run(new, check=True)
    # Patch ports without a peer have a number, which is all that flows need, and no device.
    for start in range(0, len(given["ports"]), 500):
        words = [["--", "add-port", "br", port, "--", "set", "interface", port, "type=patch", f"options:peer=p-{port}"] for port in given["ports"][start:start + 500]]
        subprocess.run(["ovs-vsctl", *(word for part in words for word in part)], check=True)
    flows = given["flows"]
    by_hand = "".join(f"flow add {flow['flow']}\n" for flow in flows)
    changed = [*flows[:-1], {"flow": flows[-1]["flow"].partition("actions=")[0] + "actions=drop"}]
    seen = {"make": [], "again": [], "change": [], "hand": []}
    for _round in range(int(sys.argv[2])):
        subprocess.run(["ovs-ofctl", "-O", "OpenFlow15", "del-flows", "br"], check=True)
        seen["hand"].append(timed(lambda: subprocess.run(["ovs-ofctl", "-O", "OpenFlow15", "bundle", "br", "-"], input=by_hand, text=True, check=True))[0])
        subprocess.run(["ovs-ofctl", "-O", "OpenFlow15", "del-flows", "br"], check=True)
        seconds, made = timed(lambda: module(flows))
        seen["make"].append(seconds)
        seconds, again = timed(lambda: module(flows))
        seen["again"].append(seconds)
        seconds, one = timed(lambda: module(changed))
        seen["change"].append(seconds)
        assert made["changed"] and len(made["flows"]) == len(flows) and not again["changed"]
        assert one["changed"] and sum("flow" in line for command in one["commands"] if " bundle " in command for line in command.splitlines()[1:-1]) == 1
    module([])
    subprocess.run(["ovs-vsctl", "del-br", "br"], check=True)
    spawned = {"spawned_make": made["spawned"], "spawned_again": again["spawned"]}
    print(json.dumps({**seen, **spawned}))


if __name__ == "__main__":
    begun = time.monotonic()
    main()
    print(f"{time.monotonic() - begun:.1f} s", file=sys.stderr)
