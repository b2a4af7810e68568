# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Open vSwitch dies, or is restarted, while a module changes it: one clear sentence or success, and the next run converges."""

from __future__ import annotations

import subprocess
import time
import typing as t

import harness
import pytest

if t.TYPE_CHECKING:
    from harness import Host

TUNNELS = 120
ROUNDS = 5
BRIDGES = [
    {
        "name": "br0",
        "datapath_type": "netdev",
        "ports": [{"name": "p0", "type": "internal", "tag": 5, "addresses": ["10.0.0.1/24"]}],
    }
]


def killed(daemon: str) -> t.Callable[[Host], None]:
    """What kills a daemon by the number in its file, as a crash would."""

    def kill(host: Host) -> None:
        pid = host.run(["cat", f"/run/openvswitch/{daemon}.pid"], ok=None).split()
        if pid and pid[0].isdigit():
            host.run(["kill", "-KILL", pid[0]], ok=None)

    return kill


def restarted(host: Host) -> None:
    """What an administrator does meanwhile."""
    host.run(["systemctl", "reset-failed"], ok=None)
    host.run(["systemctl", "restart", "openvswitch-switch"], ok=None)


DISTURBANCES = {
    "vswitchd-killed": killed("ovs-vswitchd"),
    "database-killed": killed("ovsdb-server"),
    "restarted": restarted,
}


def disturbed(
    host: Host, name: str, args: dict[str, t.Any], after: float, disturb: t.Callable[[Host], None]
) -> dict[str, t.Any]:
    """The result of a module during whose run, so many seconds from its start, something happens."""
    command = host.command(["env", f"PYTHONPATH={host.library}", harness.PYTHON, "-c", harness.DRIVER, name])
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(harness.module_input(args, check=False, diff=False))
    process.stdin.close()
    process.stdin = None
    time.sleep(after)
    disturb(host)
    out, err = process.communicate(timeout=100)
    return harness.result_of(subprocess.CompletedProcess(command, process.returncode, out, err), name, None)


def back_again(host: Host) -> None:
    """Wait until Open vSwitch runs, as a person would before the next run."""
    host.run(["systemctl", "reset-failed"], ok=None)
    host.run(["systemctl", "start", "openvswitch-switch", "ovsdb-server", "ovs-vswitchd"], ok=None)
    harness.wait(
        lambda: "ovs-vswitchd" in host.run(["ovs-appctl", "version"], ok=None),
        "Open vSwitch",
        120,
        lambda: host.run(["systemctl", "status", "ovsdb-server", "ovs-vswitchd"], ok=None),
    )


@pytest.mark.parametrize("what", DISTURBANCES)
def test_open_vswitch_dies_in_the_middle_of_a_change_and_the_next_run_converges(host: Host, what: str) -> None:
    host.module("ovs_bridge", {"bridges": BRIDGES})
    first = [
        {
            "bridge": "br0",
            "name": f"gre{i}",
            "type": "gre",
            "remote_ip": f"192.0.2.{i + 1}",
            "key": i,
            "trunks": [10, 20],
            "protected": True,
        }
        for i in range(TUNNELS)
    ]
    second = [
        {**tunnel, "key": tunnel["key"] + 1000, "name": tunnel["name"] + "x", "type": "geneve"} for tunnel in first
    ]
    begun = time.monotonic()
    host.module("ovs_tunnel", {"tunnels": first, "purge": True, "check_route": False})
    whole = time.monotonic() - begun
    outcomes = []
    for number in range(ROUNDS):
        wanted = (second, first)[number % 2]
        args = {"tunnels": wanted, "purge": True, "check_route": False, "timeout": 40}
        result = disturbed(host, "ovs_tunnel", args, whole * (0.35 + 0.15 * number), DISTURBANCES[what])
        if result.get("failed"):
            assert "\n" not in result["msg"] and ("Open vSwitch" in result["msg"] or "ovs-vswitchd" in result["msg"]), (
                result["msg"]
            )
        outcomes.append(result.get("msg", "success"))
        back_again(host)
        done = host.module("ovs_tunnel", args)
        assert {tunnel["name"] for tunnel in done["tunnels"]} == {tunnel["name"] for tunnel in wanted}, outcomes
        assert all(tunnel["ofport"] > 0 and tunnel["error"] is None for tunnel in done["tunnels"]), outcomes
        assert not host.module("ovs_tunnel", args)["changed"], outcomes
    host.module("ovs_bridge", {"bridges": BRIDGES})
    assert "10.0.0.1/24" in host.run("ip address show dev p0".split())


def test_the_switch_dies_in_the_middle_of_a_bundle_of_flows_and_the_next_run_converges(host: Host) -> None:
    host.module("ovs_bridge", {"bridges": BRIDGES})
    flows = [f"table=3,priority={i + 1},ip,nw_dst=10.0.{i // 250}.{i % 250},actions=normal" for i in range(1500)]
    begun = time.monotonic()
    host.module("ovs_flow", {"bridge": "br0", "flows": [{"flow": flow} for flow in flows], "purge": True})
    whole = time.monotonic() - begun
    for number in range(ROUNDS):
        args = {
            "bridge": "br0",
            "flows": [{"flow": flow} for flow in flows[number :: number + 2]],
            "purge": True,
            "timeout": 40,
        }
        result = disturbed(host, "ovs_flow", args, whole * (0.35 + 0.15 * number), killed("ovs-vswitchd"))
        if result.get("failed"):
            assert "Traceback" not in result["msg"], result["msg"]
        back_again(host)
        assert len(host.module("ovs_flow", args)["flows"]) == len(args["flows"])
        assert not host.module("ovs_flow", args)["changed"]
