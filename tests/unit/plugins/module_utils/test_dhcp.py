# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._dhcp import applier, server
from ansible_collections.overloom.fabric.plugins.module_utils._netns import daemon
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Step, Write

Item = t.Dict[str, t.Any]
ITEM: Item = {
    "name": "d",
    "subnets": ["10.1.1.0/24", "fd00:1::/64"],
    "leases": [{"mac": "02:00:00:00:00:05", "addresses": ["10.1.1.5", "fd00:1::5"], "name": "web"}],
    "router": "10.1.1.1",
    "dns": ["10.1.1.2", "fd00:1::2"],
    "domain": "lab.example",
    "mtu": 1400,
    "routes": [{"to": "10.9.0.0/16", "via": "10.1.1.1"}],
}
MINE = daemon.Settings("me", purge=True)


@pytest.fixture(autouse=True)
def on_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison is of a host that runs."""
    monkeypatch.setattr(daemon, "booted", lambda: True)


def service(**change: t.Any) -> daemon.Service:
    """A declared server."""
    return daemon.declared({**ITEM, **change}, server.KIND, "me")


def found_of(*services: daemon.Service, namespace: str = "d", active: bool = True) -> daemon.Found:
    """A host that has them."""
    units = {one.unit.name: one.unit for one in services if one.unit}
    return daemon.Found(
        units=units,
        active={name: daemon.Process(7, namespace) for name in units} if active else {},
        files={path: text for one in services for path, text in one.every.items()},
        spaces=frozenset({"d", "e"}),
    )


def steps(found: daemon.Found, *services: daemon.Service) -> tuple[list[str], list[str]]:
    """The files that are written, and the commands."""
    change = daemon.compare(found, services, server.KIND, MINE)
    # Equal sides if and only if there is nothing to do.
    assert bool(change.steps) == (change.before != change.after)
    written = [step.path.rpartition("/")[2] for step in change.steps if isinstance(step, Write)]
    return written, [" ".join(step.argv) for step in change.steps if isinstance(step, Step)]


def test_files_say_what_is_declared_and_nothing_of_the_host() -> None:
    one = service()
    conf = one.files[server.file("d", "dnsmasq.conf")].splitlines()
    for line in ("interface=eth0", "except-interface=lo", "no-hosts", "no-resolv", "dhcp-authoritative", "enable-ra"):
        assert line in conf
    assert "ra-param=eth0,mtu:1400,0,0" in conf and "dhcp-range=10.1.1.0,static,255.255.255.0,3600" in conf
    assert "dhcp-range=fd00:1::,static,64,3600" in conf and not [line for line in conf if line.startswith("server=")]
    assert "02:00:00:00:00:05,10.1.1.5,[fd00:1::5],web\n" in one.reread[server.file("d", "leases")]
    assert "10.1.1.5 web.lab.example web\n" in one.reread[server.file("d", "names")]
    options = one.reread[server.file("d", "options")].splitlines()
    assert "option:classless-static-route,10.9.0.0/16,10.1.1.1,0.0.0.0/0,10.1.1.1" in options
    assert "option:dns-server,10.1.1.2" in options and "option6:dns-server,[fd00:1::2]" in options


def test_what_is_left_out_is_not_announced() -> None:
    bare = daemon.declared(
        {"name": "d", "subnets": ["10.1.1.0/24"], "ranges": ["10.1.1.9-10.1.1.20"]}, server.KIND, "me"
    )
    # An empty option keeps dnsmasq from naming itself.
    assert bare.reread[server.file("d", "options")].splitlines()[1:] == ["option:router", "option:dns-server"]
    conf = bare.files[server.file("d", "dnsmasq.conf")]
    assert (
        "dhcp-range=10.1.1.9,10.1.1.20,255.255.255.0,3600" in conf and "static" not in conf and "enable-ra" not in conf
    )


def test_what_is_as_declared_is_left_alone() -> None:
    one = service()
    assert steps(found_of(one), one) == ([], [])


@pytest.mark.parametrize(
    ("change", "files", "restarts"),
    [
        ({"leases": []}, {"leases", "names"}, False),
        ({"router": None, "routes": []}, {"options"}, False),
        ({"domain": "other"}, {"dnsmasq.conf", "names"}, True),
        ({"namespace": "e"}, {"overloom-dnsmasq-d.service"}, True),
    ],
)
def test_only_what_is_read_at_the_start_needs_a_restart(change: Item, files: set[str], restarts: bool) -> None:
    written, commands = steps(found_of(service()), service(**change))
    assert set(written) == files
    assert any("restart" in line for line in commands) == restarts
    assert any("--signal=HUP" in line for line in commands) != restarts


def test_a_server_in_a_namespace_that_is_gone_and_one_that_is_stopped_are_started() -> None:
    one = service()
    for there in (found_of(one, namespace=""), found_of(one, active=False)):
        assert steps(there, one)[1] == ["systemctl restart overloom-dnsmasq-d.service"]


def test_purge_takes_only_what_is_of_the_owner() -> None:
    theirs = daemon.declared({**ITEM, "name": "t"}, server.KIND, "them")
    written, commands = steps(found_of(service(), theirs))
    assert written == [] and commands == ["systemctl disable --now overloom-dnsmasq-d.service"]


SAID = {"ip": "10.1.1.5", "mask": "24", "mtu": "1400", "router": "10.1.1.1", "lease": "600", "serverid": "10.1.1.2"}
LEASE = applier.lease_of({**SAID, "staticroutes": "10.9.0.0/16 10.1.1.1 192.0.2.1/32 0.0.0.0"})


def test_a_client_takes_classless_routes_before_the_router() -> None:
    assert applier.lease_of(SAID)["routes"] == [{"to": "0.0.0.0/0", "via": "10.1.1.1"}]
    assert [route["to"] for route in LEASE["routes"]] == ["10.9.0.0/16", "192.0.2.1/32"]


def test_a_lease_becomes_commands_and_goes_without_a_trace() -> None:
    lines = [" ".join(command) for command in applier.commands("eth0", {}, LEASE)]
    assert lines == [
        "link set dev eth0 mtu 1400",
        "-4 address replace 10.1.1.5/24 dev eth0 valid_lft 600 preferred_lft 600",
        "-4 route replace 10.9.0.0/16 via 10.1.1.1 dev eth0 proto 16",
        "-4 route replace 192.0.2.1/32 dev eth0 proto 16",
    ]
    gone = [" ".join(command) for command in applier.commands("eth0", LEASE, {})]
    assert gone[-1] == "-4 address delete 10.1.1.5/24 dev eth0" and len(gone) == 3


def test_a_renewed_lease_removes_only_what_is_gone() -> None:
    lines = [" ".join(command) for command in applier.commands("eth0", LEASE, applier.lease_of(SAID))]
    assert [line for line in lines if "delete" in line] == [
        "-4 route delete 10.9.0.0/16 via 10.1.1.1 dev eth0 proto 16",
        "-4 route delete 192.0.2.1/32 dev eth0 proto 16",
    ]


def test_a_lease_that_cannot_be_read_is_none() -> None:
    assert applier.parse("{") == {} and applier.parse("[]") == {} and applier.read("/nowhere") == {}


def test_what_was_given_out_is_read() -> None:
    text = "1790000000 02:00:00:00:00:05 10.1.1.5 web 01:02\n1790000001 123 fd00:1::5 * 00:01\nduid 00:01\n"
    assert server.parse_leases(text) == [
        {"expires": 1790000000, "mac": "02:00:00:00:00:05", "address": "10.1.1.5", "name": "web"},
        {"expires": 1790000001, "mac": None, "address": "fd00:1::5", "name": None},
    ]
