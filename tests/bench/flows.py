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
from standalone import Module, measured, run_to_end

from ansible_collections.overloom.fabric.plugins.module_utils._openflow import bundle, declaration
from ansible_collections.overloom.fabric.plugins.module_utils._owner import owner_argument_spec

SPEC = {**declaration.argument_spec(), **owner_argument_spec()}


def module(flows):
    """The module's result; Ansible's check of the options is included."""
    checked = ArgumentSpecValidator(SPEC).validate({"bridge": "br", "owner": "bench", "purge": True, "flows": flows})
    assert not checked.error_messages, checked.error_messages
    return run_to_end(bundle.run, Module(checked.validated_parameters))


def main():
    with open(sys.argv[1], encoding="utf-8") as stream:
        given = json.load(stream)
    new = [
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
        "fail_mode=secure",
    ]
    subprocess.run(new, check=True)
    # Patch ports without a peer have a number, which is all that flows need, and no device.
    for start in range(0, len(given["ports"]), 500):
        some = given["ports"][start : start + 500]
        words = [
            ["--", "add-port", "br", port, "--", "set", "interface", port, "type=patch", f"options:peer=p-{port}"]
            for port in some
        ]
        subprocess.run(["ovs-vsctl", *(word for part in words for word in part)], check=True)
    flows = given["flows"]
    by_hand = "".join(f"flow add {flow['flow']}\n" for flow in flows)
    changed = [*flows[:-1], {"flow": flows[-1]["flow"].partition("actions=")[0] + "actions=drop"}]
    seen = {}
    for _round in range(int(sys.argv[2])):
        subprocess.run(["ovs-ofctl", "-O", "OpenFlow15", "del-flows", "br"], check=True)
        measured(
            seen,
            "hand",
            lambda: subprocess.run(
                ["ovs-ofctl", "-O", "OpenFlow15", "bundle", "br", "-"], input=by_hand, text=True, check=True
            ),
        )
        subprocess.run(["ovs-ofctl", "-O", "OpenFlow15", "del-flows", "br"], check=True)
        made = measured(seen, "make", lambda: module(flows))
        again = measured(seen, "again", lambda: module(flows))
        one = measured(seen, "change", lambda: module(changed))
        assert made["changed"] and len(made["flows"]) == len(flows) and not again["changed"]
        assert (
            one["changed"]
            and sum(
                "flow" in line
                for command in one["commands"]
                if " bundle " in command
                for line in command.splitlines()[1:-1]
            )
            == 1
        )
    module([])
    subprocess.run(["ovs-vsctl", "del-br", "br"], check=True)
    spawned = {"spawned_make": made["spawned"], "spawned_again": again["spawned"]}
    print(json.dumps({**seen, **spawned}))


if __name__ == "__main__":
    begun = time.monotonic()
    main()
    print(f"{time.monotonic() - begun:.1f} s", file=sys.stderr)
