# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs in a lab host with OVN's databases: some of a plan's chassis, simulated, take up what the northbound database holds.

Each is an ovn-controller with an Open vSwitch of its own, whose datapath is a dummy: all is computed, and no packet is carried.

python3 chassis.py FILE COUNT       FILE: {"northbound": the options of ovn_northbound, "bindings": host by logical port}
"""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import subprocess
import sys
import time

import northbound

RUN = pathlib.Path("/run/simulated")
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
# Seconds until all chassis have taken up what there is, at the most.
PATIENCE = 1800


class Chassis:
    """A simulated one."""

    def __init__(self, number, name, ports):
        self.folder = RUN / name
        self.folder.mkdir(parents=True)
        self.environment = {**os.environ, "OVS_RUNDIR": str(self.folder), "OVN_RUNDIR": str(self.folder)}
        server = f"unix:{self.folder}/db.sock"
        self.vsctl = ["ovs-vsctl", f"--db={server}", "--no-wait"]
        self.run("ovsdb-tool", "create", f"{self.folder}/conf.db", SCHEMA)
        self.run("ovsdb-server", "--detach", "--pidfile", f"--remote=p{server}", f"{self.folder}/conf.db")
        told = {
            "system-id": name,
            "ovn-remote": "unix:/run/ovn/ovnsb_db.sock",
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": f"192.168.{number // 250}.{number % 250 + 1}",
        }
        self.run(
            *self.vsctl,
            "--",
            "init",
            "--",
            "set",
            "Open_vSwitch",
            ".",
            *(f'external_ids:{k}="{v}"' for k, v in told.items()),
        )
        self.run(
            *self.vsctl, "add-br", "br-int", "--", "set", "bridge", "br-int", "fail_mode=secure", "datapath_type=dummy"
        )
        words = [
            (
                "--",
                "add-port",
                "br-int",
                f"p{i}",
                "--",
                "set",
                "interface",
                f"p{i}",
                "type=dummy",
                f'external_ids:iface-id="{port}"',
            )
            for i, port in enumerate(ports)
        ]
        self.run(*self.vsctl, *itertools.chain.from_iterable(words))
        self.run("ovs-vswitchd", "--enable-dummy=override", "--disable-system", "--detach", "--pidfile", server)
        self.run("ovn-controller", "--detach", "--pidfile", server)

    def run(self, *argv):
        return subprocess.run(argv, env=self.environment, check=True, capture_output=True, text=True).stdout

    def resident(self):
        """The memory of its ovn-controller in MB."""
        pid = (self.folder / "ovn-controller.pid").read_text(encoding="utf-8").strip()
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        return int(status.partition("VmRSS:")[2].split()[0]) // 1024

    def flows(self):
        """How many flows it has made."""
        return self.run("ovs-ofctl", "dump-flows", f"unix:{self.folder}/br-int.mgmt").count("cookie=")


def taken_up():
    """Wait until each chassis has taken up the last change."""
    subprocess.run(["ovn-nbctl", f"--timeout={PATIENCE}", "--wait=hv", "sync"], check=True)


def bound():
    """How many logical ports are up."""
    asked = ["ovn-sbctl", "--bare", "--columns=_uuid", "find", "Port_Binding", "up=true", 'type=""']
    return len(subprocess.run(asked, check=True, capture_output=True, text=True).stdout.split())


def timed(call):
    """Seconds by the clock."""
    begun = time.monotonic()
    call()
    return round(time.monotonic() - begun, 2)


def main():
    plan = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    hosts: dict[str, list[str]] = {}
    for port, host in plan["bindings"].items():
        hosts.setdefault(host, []).append(port)
    chosen = list(hosts.items())[: int(sys.argv[2])]
    northbound.module(plan["northbound"])
    northbound.sync()
    chassis = []

    def join():
        chassis.extend(Chassis(number, name, ports) for number, (name, ports) in enumerate(chosen))
        until = time.monotonic() + PATIENCE
        while bound() < sum(len(ports) for _name, ports in chosen):
            assert time.monotonic() < until, f"{bound()} ports are bound"
            time.sleep(0.2)
        taken_up()

    seen = {"seconds_join": timed(join), "ports": bound()}
    seen["seconds_nothing"] = timed(taken_up)
    switch = plan["northbound"]["switches"][0]
    mac = "02:00:00:00:00:01 10.0.254.1"
    switch["ports"].append({**switch["ports"][0], "name": "one more", "addresses": [mac], "port_security": [mac]})
    seen["seconds_one"] = timed(lambda: (northbound.module(plan["northbound"]), taken_up()))
    seen["flows"] = max(one.flows() for one in chassis)
    seen["mb_controller"] = max(one.resident() for one in chassis)
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
