# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netns_container against the real Podman in a lab host."""

from __future__ import annotations

import json
import re
import typing as t

import pytest
from containers import IMAGE, OTHER, bring_images, remove_containers
from harness import wait

if t.TYPE_CHECKING:
    from harness import Host

SLEEP = ["sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"]
C1: dict[str, t.Any] = {"name": "c1", "image": IMAGE, "command": SLEEP}


@pytest.fixture(name="host")
def with_podman(host: Host) -> t.Iterator[Host]:
    """A host with two images and the namespaces c1 and c2, without containers."""
    bring_images(host)
    for name in ("c1", "c2"):
        host.module("netns_veth", {"name": name, "addresses": ["10.0.0.1/24"], "tx_checksum": "on"})
    yield host
    remove_containers(host)


def ps(host: Host) -> dict[str, t.Any]:
    """The containers by name, as Podman tells them."""
    return {row["Names"][0]: row for row in json.loads(host.run(["podman", "ps", "--all", "--format", "json"])) or []}


def wait_for(host: Host, name: str, other_than: str = "") -> dict[str, t.Any]:
    """The running container of a name, another one than that of an id."""

    def found() -> dict[str, t.Any] | None:
        row = ps(host).get(name)
        return row if row and row["State"] == "running" and row["Id"] != other_than else None

    return t.cast("dict[str, t.Any]", wait(found, f"a container {name}", look=lambda: ps(host)))


def has_port(host: Host, name: str = "c1") -> bool:
    """Whether the container sees the interface of the namespace."""
    return "10.0.0.1" in host.run(["podman", "exec", name, "ip", "address", "show", "dev", "eth0"])


def test_a_container_runs_in_its_namespace_and_is_removed_without_a_trace(host: Host) -> None:
    done = host.apply("netns_container", C1)
    assert [row["name"] for row in done["containers"]] == ["c1"] and has_port(host)
    row = host.module("netns_container_info", {"names": ["c1"]})["containers"][0]
    assert row["running"] and row["namespace"] == "c1" and row["owner"] == "overloom.fabric" and row["image"] == IMAGE
    host.apply("netns_container", {"name": "c1", "state": "absent"})
    assert ps(host) == {}
    assert not host.run(["find", "/etc/systemd/system", "/var/lib/overloom", "-name", "*container*c1*"], ok=None)
    assert not host.run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "overloom-container*"])


def test_each_option_is_changed_in_place(host: Host) -> None:
    for item in (
        {},
        {"image": OTHER, "stop_timeout": 0},
        {"command": ["sleep", "1000"], "options": ["--hostname=web", '--env=A=b "c" $d %n \\e'], "stop_timeout": 0},
        {"namespace": "c2"},
    ):
        before = ps(host).get("c1", {}).get("Id", "")
        done = host.apply("netns_container", {**C1, **item})
        assert done["changed"] and ps(host)["c1"]["Id"] != before, item
        assert done["containers"][0]["namespace"] == item.get("namespace", "c1")
        if "options" in item:
            assert 'b "c" $d %n \\e' in host.run(["podman", "exec", "c1", "env"])


def test_an_image_that_was_built_anew_under_its_name_is_taken(host: Host) -> None:
    host.apply("netns_container", C1)
    host.run(["podman", "tag", OTHER, IMAGE])
    assert host.apply("netns_container", C1)["changed"]
    assert host.run(["podman", "exec", "c1", "cat", "/version"]).strip() == "2"


def test_restarted_and_killed_fifty_times_it_has_its_port_each_time(host: Host) -> None:
    host.apply("netns_container", C1)
    again = "systemctl restart overloom-container-c1 && podman exec c1 ip address show dev eth0 | grep -q 10.0.0.1 || exit 1"
    host.run(["sh", "-c", f"for round in $(seq 45); do {again}; done"], timeout=600)
    last = ps(host)["c1"]["Id"]
    for command in (["kill"], ["rm", "--force", "--time=0"], ["stop", "--time=0"], ["kill"], ["kill"]):
        host.run(["podman", *command, "c1"])
        last = wait_for(host, "c1", other_than=last)["Id"]
        assert has_port(host)
    # Its service takes a moment to be told.
    wait(lambda: not host.module("netns_container", C1, check=True)["changed"], "nothing left to do")


def test_its_owner_removes_it_and_runs_it_by_hand_in_the_same_network(host: Host) -> None:
    host.apply("netns_container", C1)
    host.run(["systemctl", "stop", "overloom-container-c1"])
    assert "c1" not in ps(host)
    run = ["podman", "run", "--detach", "--name=c1", "--network=ns:/run/netns/c1", OTHER, *SLEEP]
    host.run(run)
    assert has_port(host)
    # It is another's now.
    refused = host.module("netns_container", C1, ok=False)["msg"]
    assert "container c1 is not ours" in refused and "adopt: true" in refused and f"runs image {OTHER}" in refused
    # A restart of the service, as at a boot, leaves it alone, too.
    host.run(["systemctl", "start", "overloom-container-c1"], ok=False)
    assert ps(host)["c1"]["Image"] == OTHER
    host.run(["systemctl", "stop", "overloom-container-c1"])
    assert ps(host)["c1"]["State"] == "running"
    assert host.module("netns_container", {**C1, "adopt": True})["changed"]
    assert ps(host)["c1"]["Image"] == IMAGE and has_port(host)


def test_a_container_of_others_is_neither_taken_nor_removed(host: Host) -> None:
    host.run(["podman", "run", "--detach", "--name=c1", "--network=none", IMAGE, *SLEEP])
    mine = ps(host)["c1"]["Id"]
    for check in (True, False):
        assert "is not ours" in host.module("netns_container", C1, check=check, ok=False)["msg"]
    absent = host.module("netns_container", {"name": "c1", "state": "absent"}, ok=False)
    assert "container c1 was not made by this collection and stays; leave it out of the task" in absent["msg"]
    host.module("netns_container", {"containers": [], "purge": True})
    assert ps(host)["c1"]["Id"] == mine and ps(host)["c1"]["State"] == "running"
    host.module("netns_container", {"name": "c2", "image": IMAGE, "command": SLEEP, "owner": "a"})
    assert "belongs to the owner a" in host.module("netns_container", {**C1, "name": "c2"}, ok=False)["msg"]


def test_drift_is_repaired(host: Host) -> None:
    host.apply("netns_container", C1)
    drifts: list[list[str]] = [
        ["systemctl", "stop", "overloom-container-c1"],
        ["systemctl", "disable", "--quiet", "overloom-container-c1"],
        ["sed", "-i", "s/RestartSec=1/RestartSec=9/", "/etc/systemd/system/overloom-container-c1.service"],
    ]
    for drift in drifts:
        host.run(drift)
        assert host.apply("netns_container", C1)["changed"], drift
        wait_for(host, "c1")
    # Its namespace was deleted and made anew: it has to move there.
    host.run(["ip", "netns", "delete", "c1"])
    host.module("netns_veth", {"name": "c1", "addresses": ["10.0.0.1/24"], "tx_checksum": "on"})
    assert host.apply("netns_container", C1)["changed"] and has_port(host)


def test_after_a_reboot_it_is_there_again(host: Host) -> None:
    host.apply("netns_container", C1)
    host.reboot()
    wait_for(host, "c1")
    assert has_port(host)
    wait(lambda: not host.module("netns_container", C1, check=True)["changed"], "nothing left to do")


def test_purge_removes_what_is_no_longer_declared(host: Host) -> None:
    both = [{**C1, "name": name} for name in ("c1", "c2")]
    host.apply("netns_container", {"containers": both, "purge": True, "owner": "f"})
    host.apply("netns_container", {"containers": both[1:], "purge": True, "owner": "f"})
    assert set(ps(host)) == {"c2"}
    host.apply("netns_container", {"containers": [], "purge": True, "owner": "f"})
    assert ps(host) == {}


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"image": "localhost/none:1"}, "there is no image localhost/none:1 on this host"),
        ({"image": ""}, "is no image"),
        ({"namespace": "nowhere"}, "there is no network namespace nowhere"),
        ({"command": ["no-such-program"]}, "does not stay up: Error: .*no-such-program"),
        ({"command": ["false"]}, "does not stay up: its command ended"),
        ({"options": ["--no-such-option"]}, "does not stay up: Error: unknown flag: --no-such-option"),
        ({"options": ["--network=host"]}, "--network is for networks of Podman"),
    ],
)
def test_bad_input_is_one_sentence(host: Host, item: dict[str, t.Any], said: str) -> None:
    message = host.module("netns_container", {**C1, **item}, ok=False)["msg"]
    assert re.search(said, message), message
    assert "\n" not in message
    host.module("netns_container", {"name": "c1", "state": "absent"})
