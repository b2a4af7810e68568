# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""netns_service against the real systemd of a lab host, with Python's web server as somebody's unit."""

from __future__ import annotations

import typing as t

import pytest
from harness import wait

if t.TYPE_CHECKING:
    from harness import Host

UNIT = "/etc/systemd/system/site.service"
TEXT = """[Unit]
After=network.target
[Service]
ExecStart=/usr/bin/python3 -m http.server --directory /etc/site 80
Restart=on-failure
RestartSec=0.2
[Install]
WantedBy=multi-user.target
"""
NAMESPACES = [
    {"name": name, "addresses": [f"10.0.{number}.1/24"], "tx_checksum": "on"}
    for number, name in ((1, "web"), (2, "www"))
]
SITE: dict[str, t.Any] = {"name": "site", "namespace": "web"}
NAMED = {**SITE, "dns": ["10.0.1.53", "fd00::53"], "search": ["example.org"]}
RESOLVER = "/etc/netns/web/resolv.conf"
DROPIN = "/etc/systemd/system/site.service.d/overloom-netns.conf"


@pytest.fixture(name="host")
def with_site(host: Host) -> t.Iterator[Host]:
    """A host with a web server in its own network, and two namespaces."""
    host.run(["mkdir", "-p", "/etc/site"])
    host.write("/etc/site/index.html", "A site.\n")
    host.write(UNIT, TEXT)
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "enable", "--now", "--quiet", "site"])
    host.module("netns_veth", {"namespaces": NAMESPACES})
    yield host
    host.run(["systemctl", "disable", "--now", "--quiet", "site"], ok=None)
    host.run(["rm", "-rf", UNIT, f"{UNIT}.d", "/etc/site", "/etc/netns"])
    host.run(["systemctl", "daemon-reload"])


def page(host: Host, space: str | None) -> bool:
    """Whether the site answers in a namespace, or in the host's own network; its first answer is waited for."""
    fetch = "import urllib.request as r; print(r.urlopen('http://127.0.0.1/', timeout=2).read().decode())"
    inside = ["ip", "netns", "exec", space] if space else []
    wait(lambda: "A site." in host.run([*inside, "python3", "-c", fetch], ok=None), f"the site in {space}")
    return True


def refused(host: Host, space: str | None) -> bool:
    """Whether nothing listens there."""
    fetch = "import socket; socket.create_connection(('127.0.0.1', 80), 2)"
    inside = ["ip", "netns", "exec", space] if space else []
    return "refused" in host.run(["sh", "-c", '"$@" 2>&1', "-", *inside, "python3", "-c", fetch], ok=None)


def forget_starts(host: Host) -> None:
    """systemd counts the starts, and so many in ten seconds are those of these tests on a fast machine."""
    host.run(["systemctl", "reset-failed", "site"], ok=None)


def row(host: Host) -> dict[str, t.Any]:
    """What the info module tells."""
    return t.cast("dict[str, t.Any]", host.module("netns_service_info", {"names": ["site"]})["services"][0])


def sees(host: Host) -> str:
    """The resolv.conf that the service sees."""
    return host.run(["cat", f"/proc/{row(host)['pid']}/root/etc/resolv.conf"])


def test_a_service_moves_into_a_namespace_and_back_without_a_trace(host: Host) -> None:
    before = host.run(["find", "/etc/systemd/system", "/etc/netns"], ok=None)
    assert page(host, None)
    done = host.apply("netns_service", SITE)
    assert page(host, "web") and refused(host, None)
    assert done["services"][0]["joined"] == "web" and done["services"][0]["owner"] == "overloom.fabric"
    assert host.run(["cat", UNIT]) == TEXT
    host.apply("netns_service", {"name": "site", "state": "absent"})
    assert page(host, None) and refused(host, "web")
    assert host.run(["find", "/etc/systemd/system", "/etc/netns"], ok=None) == before
    assert row(host)["owner"] is None


def test_each_option_is_set_changed_and_cleared(host: Host) -> None:
    own = host.run(["cat", "/etc/resolv.conf"], ok=None)
    for item in ({}, {"namespace": "www"}, NAMED, {**NAMED, "dns": ["10.0.1.54"]}, {"dns": []}):
        forget_starts(host)
        done = host.apply("netns_service", {**SITE, **item})["services"][0]
        assert page(host, done["namespace"]) and done["joined"] == {**SITE, **item}["namespace"], item
        assert done["dns"] == list(item.get("dns", []))
        text = sees(host)
        for server in done["dns"]:
            assert f"nameserver {server}\n" in text
        assert ("search example.org" in text) == bool(done["dns"])
        assert done["dns"] or text == own
    assert not host.exists("/etc/netns")


def test_one_that_does_not_run_is_placed_and_not_started(host: Host) -> None:
    host.run(["systemctl", "stop", "site"])
    host.apply("netns_service", SITE)
    assert not row(host)["running"]
    host.run(["systemctl", "start", "site"])
    assert page(host, "web") and refused(host, None)


def test_drift_is_repaired(host: Host) -> None:
    host.apply("netns_service", NAMED)
    drifts: list[list[list[str]]] = [
        [["rm", DROPIN]],
        [["rm", DROPIN], ["systemctl", "daemon-reload"], ["systemctl", "restart", "site"]],
        [["sed", "-i", "s/After=.*//", DROPIN]],
        [["sed", "-i", "s/53/55/", RESOLVER]],
        [["rm", RESOLVER]],
    ]
    for drift in drifts:
        forget_starts(host)
        for command in drift:
            host.run(command)
        assert host.apply("netns_service", NAMED)["changed"], drift
        assert page(host, "web") and "nameserver 10.0.1.53" in sees(host), drift


def test_it_follows_its_namespace(host: Host) -> None:
    host.apply("netns_service", SITE)
    first = row(host)["pid"]
    # Its unit is restarted, by somebody and after the namespace was deleted.
    host.run(["systemctl", "restart", "overloom-netns-web"])
    assert page(host, "web") and row(host)["pid"] != first
    host.run(["ip", "netns", "delete", "web"])
    host.run(["systemctl", "restart", "overloom-netns-web"])
    assert page(host, "web") and row(host)["joined"] == "web"
    assert not host.module("netns_service", SITE, check=True)["changed"]
    # The namespace is made anew by the module.
    forget_starts(host)
    host.run(["ip", "netns", "delete", "web"])
    host.module("netns_veth", {"namespaces": NAMESPACES})
    assert row(host)["joined"] is None
    assert host.apply("netns_service", SITE)["changed"] and page(host, "web")
    # It could not start while there was none.
    host.run(["ip", "netns", "delete", "web"])
    host.run(["systemctl", "restart", "site"], ok=None)
    host.run(["systemctl", "stop", "site"], ok=None)
    for _number in range(8):
        host.run(["systemctl", "start", "site"], ok=None)
    host.module("netns_veth", {"namespaces": NAMESPACES})
    host.module("netns_service", SITE)
    assert page(host, "web") and refused(host, None)


def test_after_a_reboot_it_is_there_again(host: Host) -> None:
    host.apply("netns_service", NAMED)
    host.reboot()
    assert page(host, "web") and refused(host, None) and "nameserver 10.0.1.53" in sees(host)
    assert not host.module("netns_service", NAMED, check=True)["changed"]


def test_a_unit_that_others_place_is_refused_and_stays(host: Host) -> None:
    theirs = f"{UNIT}.d/zz-theirs.conf"
    host.run(["mkdir", "-p", f"{UNIT}.d"])
    for line in ("NetworkNamespacePath=/run/netns/www", "PrivateNetwork=yes"):
        host.write(theirs, f"[Service]\n{line}\n")
        host.run(["systemctl", "daemon-reload"])
        for check in (True, False):
            message = host.module("netns_service", SITE, check=check, ok=False)["msg"]
            assert f"{theirs} gives it a network of its own already" in message
        assert not host.exists(DROPIN) and page(host, None)
    # One that says something else stands beside ours, and stays when ours goes.
    host.write(theirs, "[Service]\nEnvironment=A=b\nPrivateNetwork=no\n")
    host.run(["systemctl", "daemon-reload"])
    host.apply("netns_service", SITE)
    host.apply("netns_service", {"name": "site", "state": "absent"})
    assert host.exists(theirs) and not host.exists(DROPIN)


def test_names_of_others_are_seen_and_stay(host: Host) -> None:
    host.run(["mkdir", "-p", "/etc/netns/web"])
    host.write(RESOLVER, "nameserver 192.0.2.53\n")
    assert "is not ours, and its name servers would be replaced" in host.module("netns_service", NAMED, ok=False)["msg"]
    host.apply("netns_service", SITE)
    assert "192.0.2.53" in sees(host)
    host.apply("netns_service", {"name": "site", "state": "absent"})
    assert "192.0.2.53" in host.run(["cat", RESOLVER])


def test_owners_and_purge(host: Host) -> None:
    host.apply("netns_service", {"services": [NAMED], "purge": True, "owner": "f"})
    for state in ("present", "absent"):
        said = host.module("netns_service", {**SITE, "state": state}, ok=False)["msg"]
        assert "belongs to the owner f" in said
    host.apply("netns_service", {"services": [], "purge": True})
    assert page(host, "web")
    host.apply("netns_service", {"services": [], "purge": True, "owner": "f"})
    assert page(host, None) and not host.exists("/etc/netns") and not host.exists(f"{UNIT}.d")


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"name": "nothing"}, "service nothing.service: there is no such unit on this host"),
        ({"name": "site.socket"}, "is no service"),
        ({"namespace": "nowhere"}, "there is no network namespace nowhere"),
        ({"namespace": "by-hand"}, "nothing makes network namespace by-hand at boot"),
        ({"name": "dbus-org.freedesktop.login1"}, "it is an alias of systemd-logind.service"),
        ({"name": "systemd-journald"}, "listens for it, in the host's network"),
        ({"owner": "a\n[Service]"}, "is no mark for interfaces and units"),
        ({"dns": ["ns1"]}, "'ns1' is no address of a name server"),
        ({"search": ["example.org"]}, "search needs name servers"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(host: Host, item: dict[str, t.Any], said: str) -> None:
    host.run(["ip", "netns", "add", "by-hand"])
    done = host.module("netns_service", {**SITE, **item}, ok=False)
    assert said in done["msg"] and "\n" not in done["msg"] and not done["changed"]
    assert not host.run(["find", "/etc/systemd/system", "-name", "overloom-netns.conf"])
    host.run(["ip", "netns", "delete", "by-hand"])


def test_a_service_that_does_not_stay_up_is_an_error(host: Host) -> None:
    host.run(["mkdir", "-p", f"{UNIT}.d"])
    host.write(f"{UNIT}.d/own.conf", "[Service]\nExecStartPre=/bin/sh -c 'ip link show v-web'\nRestart=no\n")
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "restart", "site"])
    said = host.module("netns_service", SITE, ok=False)["msg"]
    assert said == "service site.service does not stay up in its namespace; see journalctl -u site.service"
