# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netns_veth on the namespaces of containers that others run, with the real Podman and the real Docker in a lab host."""

from __future__ import annotations

import time
import typing as t

import pytest
from containers import IMAGE, OTHER, bring_images, remove_containers, remove_docker, start_docker
from harness import wait
from netns import bridge, names

if t.TYPE_CHECKING:
    from harness import Host

SLEEP = ["sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"]
PORT: dict[str, t.Any] = {
    "name": "db",
    "container": "theirs",
    "bridge": "br0",
    "tag": 20,
    "addresses": ["10.0.0.1/24"],
    "mtu": 1400,
    "sysctls": {"net.ipv4.icmp_echo_ignore_broadcasts": "0"},
}


@pytest.fixture(params=["podman", "docker"])
def engine(request: pytest.FixtureRequest) -> str:
    """Whose container it is."""
    return str(request.param)


@pytest.fixture(name="port")
def declared(engine: str) -> dict[str, t.Any]:
    """The port of the container."""
    return {**PORT, "engine": engine}


@pytest.fixture(name="host")
def with_a_container(host: Host, engine: str) -> t.Iterator[Host]:
    """A host with a bridge, and a container of somebody else without a network."""
    if engine == "docker":
        start_docker(host)
    bring_images(host, engine)
    bridge(host, "br0")
    run_theirs(host, engine)
    yield host
    host.run(["systemctl", "stop", "overloom-follow-*"])
    if engine == "docker":
        remove_docker(host)
    else:
        remove_containers(host)


def run_theirs(host: Host, engine: str, image: str = IMAGE) -> None:
    """Run the container as its owner does."""
    host.run([engine, "run", "--detach", "--name=theirs", "--network=none", image, *SLEEP])


def sees_port(host: Host, engine: str) -> bool:
    """Whether the container sees its address and MTU, and the bridge has its port with a device."""
    shown = host.run([engine, "exec", "theirs", "ip", "address"], ok=None)
    device = host.run(["ovs-vsctl", "--if-exists", "get", "interface", "v-db", "ofport"]).strip()
    return "10.0.0.1/24" in shown and "mtu 1400" in shown and device.isdigit()


def until_plugged(host: Host, engine: str, timeout: float = 60) -> float:
    """Wait until the container has its port; the seconds that it took."""
    begin = time.monotonic()
    log = ["journalctl", "-u", "overloom-*", "-n", "30", "--no-pager"]
    wait(lambda: sees_port(host, engine), "the port", timeout, lambda: host.run(log))
    return time.monotonic() - begin


def until_nothing_is_to_do(host: Host, port: dict[str, t.Any], timeout: float = 60) -> None:
    """Wait until all is as declared, with a device that the bridge receives from: the unit ends a moment after the port is seen."""
    wait(
        lambda: not host.module("netns_veth", port, check=True)["changed"],
        "nothing left to do",
        timeout,
        lambda: host.run(["cat", "/proc/net/packet"]),
    )


def test_a_container_of_others_is_plugged_in_and_given_back(host: Host, engine: str, port: dict[str, t.Any]) -> None:
    before = host.run([engine, "inspect", "--format={{.Id}} {{.State.StartedAt}}", "theirs"])
    done = host.apply("netns_veth", port)
    assert sees_port(host, engine)
    [space] = done["namespaces"]
    assert space["foreign"] and space["interfaces"][0]["tag"] == 20 and space["processes"]
    changed = host.apply("netns_veth", {**port, "tag": 30, "addresses": ["10.0.0.1/24", "10.0.0.2/24"]})
    assert changed["namespaces"][0]["interfaces"][0]["tag"] == 30
    host.apply("netns_veth", {"name": "db", "state": "absent"})
    assert names(host) == set() and "eth0" not in host.run([engine, "exec", "theirs", "ip", "address"])
    assert not host.run(["find", "/etc/systemd/system", "/var/lib/overloom", "-name", "*db*"], ok=None)
    assert not host.run(["ovs-vsctl", "list-ports", "br0"])
    assert before == host.run([engine, "inspect", "--format={{.Id}} {{.State.StartedAt}}", "theirs"])


def test_whatever_its_owner_does_the_port_comes_back(host: Host, engine: str, port: dict[str, t.Any]) -> None:
    host.module("netns_veth", port)
    for _round in range(12):
        host.run([engine, "restart", "--time=0", "theirs"])
        until_plugged(host, engine)
    until_nothing_is_to_do(host, port)
    host.run([engine, "kill", "theirs"])
    # An address of a container that does not run answers nobody.
    wait(lambda: names(host) == set(), "the end of the namespace's name")
    host.run([engine, "start", "theirs"])
    until_plugged(host, engine)
    host.run([engine, "rm", "--force", "theirs"])
    run_theirs(host, engine, OTHER)
    until_plugged(host, engine)
    until_nothing_is_to_do(host, port)
    host.reboot()
    host.run([engine, "start", "theirs"])
    until_plugged(host, engine)
    until_nothing_is_to_do(host, port)


def test_drift_is_repaired(host: Host, engine: str, port: dict[str, t.Any]) -> None:
    host.module("netns_veth", port)
    for drift in (
        ["systemctl", "stop", "overloom-follow-db"],
        ["systemctl", "disable", "--quiet", "overloom-follow-db"],
        ["sh", "-c", "echo x >> /var/lib/overloom/follow/db.py"],
        ["sh", "-c", "systemctl stop overloom-follow-db && ip netns delete db"],
        ["ip", "-n", "db", "address", "flush", "dev", "eth0"],
    ):
        host.run(drift)
        assert host.apply("netns_veth", port)["changed"], drift
        assert sees_port(host, engine)


def test_while_it_does_not_run_nothing_is_changed(host: Host, engine: str, port: dict[str, t.Any]) -> None:
    host.run([engine, "stop", "--time=0", "theirs"])
    done = host.module("netns_veth", port)
    assert not done["changed"] and f"container theirs of {engine} does not run" in done["warnings"][0]
    assert not host.module("netns_veth", {**port, "container": "nobody"})["changed"]


def test_a_process_is_plugged_in_by_its_number(host: Host, engine: str, port: dict[str, t.Any]) -> None:
    pid = int(host.run([engine, "inspect", "--format={{.State.Pid}}", "theirs"]))
    item = {**port, "container": None, "pid": pid}
    host.apply("netns_veth", item)
    assert sees_port(host, engine)
    host.apply("netns_veth", {"namespaces": [], "purge": True})
    assert names(host) == set() and "eth0" not in host.run([engine, "exec", "theirs", "ip", "address"])


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"pid": 1}, "container and pid exclude each other"),
        ({"container": None, "pid": 1}, "namespace db: process 1 has the host's own network"),
        ({"container": "a b"}, "is no name for a container"),
    ],
)
def test_bad_input_is_one_sentence(host: Host, port: dict[str, t.Any], item: dict[str, t.Any], said: str) -> None:
    for check in (True, False):
        assert said in host.module("netns_veth", {**port, **item}, check=check, ok=False)["msg"]
    assert names(host) == set()


def test_an_engine_that_is_not_installed_is_one_sentence(host: Host, engine: str, port: dict[str, t.Any]) -> None:
    program = host.run(["sh", "-c", f"command -v {engine}"]).strip()
    host.run(["mv", program, f"{program}.away"])
    try:
        for check in (True, False):
            said = host.module("netns_veth", port, check=check, ok=False)["msg"]
            assert f"{engine} is not installed on this host" in said
    finally:
        host.run(["mv", f"{program}.away", program])
    assert names(host) == set()


def test_a_namespace_of_somebody_else_keeps_its_name(host: Host, engine: str, port: dict[str, t.Any]) -> None:
    host.run(["ip", "netns", "add", "db"])
    assert "namespace db is there already" in host.module("netns_veth", port, ok=False)["msg"]
    assert names(host) == {"db"} and not sees_port(host, engine)
