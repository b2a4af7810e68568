# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a lab host: times the module ovn_northbound with a plan's northbound database, and ovn-nbctl by hand, in turn.

python3 northbound.py FILE ROUNDS        FILE: the module's options as JSON; prints the times in seconds and counts as JSON
"""

from __future__ import annotations

import copy
import json
import pathlib
import resource
import subprocess
import sys

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from standalone import Module, measured, run_to_end

from ansible_collections.overloom.fabric.plugins.module_utils._ovn.northbound import argument_spec, run

# Words of one command by hand, of which the kernel takes 2 MiB in all.
WORDS = 20000


def module(options):
    """The module's result; Ansible's check of the options is included."""
    checked = ArgumentSpecValidator(argument_spec()).validate({**options, "owner": "bench", "purge": True})
    assert not checked.error_messages, checked.error_messages
    return run_to_end(run, Module(checked.validated_parameters))


def by_hand(options):
    """The same switches, routers and ports by ovn-nbctl, in as few calls as the kernel takes."""
    calls, words = [], []

    def add(*argv):
        words.extend(["--", *argv])
        if len(words) > WORDS:
            calls.append(words[:])
            words.clear()

    for router in options["routers"]:
        add("lr-add", router["name"])
        for port in router["ports"]:
            add("lrp-add", router["name"], port["name"], port["mac"], *port["networks"])
    for switch in options["switches"]:
        add("ls-add", switch["name"])
        for port in switch["ports"]:
            add("lsp-add", switch["name"], port["name"])
            add("lsp-set-addresses", port["name"], *port["addresses"])
            if port["type"] == "router":
                add("lsp-set-type", port["name"], "router")
                add("lsp-set-options", port["name"], f"router-port={port['options']['router-port']}")
            else:
                add("lsp-set-port-security", port["name"], *port["port_security"])
    for words_of_call in [*calls, words]:
        subprocess.run(["ovn-nbctl", *words_of_call], check=True)


def remove(options):
    """All of it, by hand."""
    gone = [word for switch in options["switches"] for word in ("--", "ls-del", switch["name"])]
    gone += [word for router in options["routers"] for word in ("--", "lr-del", router["name"])]
    subprocess.run(["ovn-nbctl", "--wait=sb", *gone], check=True)


def sync():
    """Wait until northd has written the southbound database."""
    subprocess.run(["ovn-nbctl", "--wait=sb", "sync"], check=True)


def resident(name):
    """The memory of a daemon in MB."""
    pid = pathlib.Path(f"/run/ovn/{name}.pid").read_text(encoding="utf-8").strip()
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


def counted(database):
    """The rows of a database, and of its logical flows."""
    name = {"nb": "OVN_Northbound", "sb": "OVN_Southbound"}[database]
    done = subprocess.run(
        ["ovsdb-client", "--format=csv", "--no-headings", "dump", f"unix:/run/ovn/ovn{database}_db.sock", name],
        capture_output=True,
        text=True,
        check=True,
    )
    return sum(len(line) > 37 and line[8] == "-" for line in done.stdout.splitlines())


def main():
    options = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    more = copy.deepcopy(options)
    switch = more["switches"][0]
    mac = "02:00:00:00:00:01 10.0.254.1"
    switch["ports"].append({**switch["ports"][0], "name": "one more", "addresses": [mac], "port_security": [mac]})
    seen = {}
    for _round in range(int(sys.argv[2])):
        measured(seen, "hand", lambda: by_hand(options))
        sync()
        remove(options)
        made = measured(seen, "make", lambda: module(options))
        measured(seen, "northd", sync)
        again = measured(seen, "again", lambda: module(options))
        one = measured(seen, "one", lambda: module(more))
        measured(seen, "northd_one", sync)
        assert made["changed"] and not again["changed"] and one["changed"]
        # With what a database keeps in its file only.
        counts = {"rows_nb": counted("nb"), "rows_sb": counted("sb")}
        counts.update({f"mb_{name}": resident(name) for name in ("ovnnb_db", "ovnsb_db", "ovn-northd")})
        gone = measured(seen, "gone", lambda: module({"switches": [], "routers": []}))
        assert gone["changed"]
        sync()
    counts["mb_module"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    calls = {"calls_make": len(made["commands"]), "calls_one": len(one["commands"]), "spawned_again": again["spawned"]}
    print(json.dumps({**seen, **counts, **calls}))


if __name__ == "__main__":
    main()
