# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nft_table against the real nftables of a lab host."""

from __future__ import annotations

import re
import typing as t

import pytest
from harness import wait

if t.TYPE_CHECKING:
    from harness import Host

GUARD = """
chain input {
    type filter hook input priority filter; policy accept;
    ct state established,related accept
    tcp dport { 22, 443 } counter accept comment "ways in"
}
"""
THEIRS = "table inet theirs { set known { type ipv4_addr; elements = { 192.0.2.1 } }; chain c { ip saddr @known counter drop; }; }"
ROUTER = {
    "name": "nat",
    "family": "ip",
    "netns": "router",
    "content": 'chain post { type nat hook postrouting priority srcnat; oifname "out" masquerade; }',
}


@pytest.fixture(name="host")
def with_a_table_of_others(host: Host) -> t.Iterator[Host]:
    """A host with a table of somebody else, and none of ours."""
    host.run(["nft", "--file", "-"], stdin=THEIRS)
    yield host
    host.module("nft_table", {"tables": [], "purge": True})
    host.run(["nft", "flush", "ruleset"])


def listed(host: Host, *words: str) -> str:
    """What nft lists, without counters."""
    return host.run(["nft", "--stateless", "list", *words], ok=None)


def rows(host: Host) -> list[dict[str, t.Any]]:
    """The tables of ours, as verify and status read them."""
    return t.cast("list[dict[str, t.Any]]", host.module("status_info", {"switch": False, "tables": True})["tables"])


def traces(host: Host) -> str:
    """Files of the module that are on the host."""
    return host.run(["find", "/etc", "/var/lib", "-path", "*overloom*", "-name", "*inet-guard*"])


def test_a_table_is_loaded_changed_and_removed_without_a_trace(host: Host) -> None:
    theirs = listed(host, "table", "inet", "theirs")
    done = host.apply("nft_table", {"name": "guard", "content": GUARD})
    assert "ways in" in done["tables"][0]["listing"] and done["tables"][0]["listing"] in listed(host, "ruleset")
    again = host.module("nft_table", {"name": "guard", "content": GUARD})
    assert not again["changed"] and again["spawned"] == 3
    changed = host.apply("nft_table", {"name": "guard", "content": GUARD.replace("443", "8443")})
    assert "8443" in changed["tables"][0]["listing"]
    host.apply("nft_table", {"name": "guard", "state": "absent"})
    assert "guard" not in listed(host, "tables") and not traces(host)
    assert listed(host, "table", "inet", "theirs") == theirs


def test_what_was_changed_by_hand_is_shown_and_repaired(host: Host) -> None:
    host.apply("nft_table", {"name": "guard", "content": GUARD})
    for by_hand in (
        ["nft", "add", "rule", "inet", "guard", "input", "tcp", "dport", "23", "accept"],
        ["nft", "flush", "chain", "inet", "guard", "input"],
        ["nft", "delete", "table", "inet", "guard"],
        ["nft", "flush", "ruleset"],
    ):
        host.run(by_hand)
        shown = host.module("nft_table", {"name": "guard", "content": GUARD}, check=True, diff=True)
        assert shown["changed"] and shown["diff"], by_hand
        assert [row["as_loaded"] for row in rows(host)] == [False], by_hand
        assert "ways in" in host.apply("nft_table", {"name": "guard", "content": GUARD})["tables"][0]["listing"]
        assert [(row["name"], row["running"], row["as_loaded"]) for row in rows(host)] == [("guard", True, True)]
    # Counters are no difference.
    host.run(["nft", "reset", "counters"], ok=None)
    assert not host.module("nft_table", {"name": "guard", "content": GUARD})["changed"]


def test_it_is_there_after_a_reboot_and_after_the_distributions_service_has_dropped_all(host: Host) -> None:
    host.apply("nft_table", {"name": "guard", "content": GUARD})
    for verb in ("restart", "reload", "restart"):
        host.run(["systemctl", verb, "nftables"])
        wait(lambda: "ways in" in listed(host, "table", "inet", "guard"), f"the table after a {verb}")
        assert not host.module("nft_table", {"name": "guard", "content": GUARD})["changed"]
    host.reboot()
    wait(lambda: "ways in" in listed(host, "table", "inet", "guard"), "the table after a reboot")
    assert not host.module("nft_table", {"name": "guard", "content": GUARD})["changed"]


def test_a_table_of_a_namespace_follows_it(host: Host) -> None:
    host.apply("netns_veth", {"name": "router", "addresses": ["10.9.0.1/24"], "tx_checksum": "on"})
    host.apply("nft_table", ROUTER)
    inside = ["ip", "netns", "exec", "router", "nft", "list", "ruleset"]
    assert "masquerade" in host.run(inside) and "masquerade" not in listed(host, "ruleset")
    host.run(["ip", "netns", "delete", "router"])
    refused = host.module("nft_table", ROUTER, ok=False)
    assert "there is no network namespace router" in refused["msg"]
    host.apply("netns_veth", {"name": "router", "addresses": ["10.9.0.1/24"], "tx_checksum": "on"})
    host.apply("nft_table", ROUTER)
    host.reboot()
    wait(lambda: "masquerade" in host.run(inside, ok=None), "the table of the namespace")
    host.apply("nft_table", {**{key: ROUTER[key] for key in ("name", "family", "netns")}, "state": "absent"})
    assert not host.run(inside)
    host.apply("netns_veth", {"name": "router", "state": "absent"})


def test_an_established_connection_outlives_a_changed_table(host: Host) -> None:
    """Two namespaces, a connection through a filter that lets in what is established; the table is loaded anew under it."""
    server = ["ip", "netns", "exec", "srv"]
    for line in (
        "netns add srv",
        "link add s0 type veth peer name s1 netns srv",
        "address add 10.8.0.1/24 dev s0",
        "link set s0 up",
    ):
        host.run(["ip", *line.split()])
    host.run(["ip", "-n", "srv", "address", "add", "10.8.0.2/24", "dev", "s1"])
    host.run(["ip", "-n", "srv", "link", "set", "s1", "up"])
    rules = (
        "chain input { type filter hook input priority filter; policy accept; ct state established accept; "
        "tcp dport 7000 ct state new accept; iifname s1 tcp dport 1-65535 drop; }"
    )
    host.apply("nft_table", {"name": "guard", "netns": "srv", "content": rules})
    program = (
        "import socket, sys, threading, time\n"
        "l = socket.create_server(('10.8.0.2', 7000)); c, _ = l.accept(); n = 0\n"
        "while True:\n"
        "    d = c.recv(100)\n"
        "    if not d: break\n"
        "    n += len(d); c.sendall(d)\n"
        "print(n)\n"
    )
    # Until it is told that the tables have been changed.
    client = (
        "import os, socket, time\n"
        "s = socket.create_connection(('10.8.0.2', 7000), 5); s.settimeout(30)\n"
        "while not os.path.exists('/run/nft-changed'): s.sendall(b'x'); assert s.recv(1) == b'x'; time.sleep(0.05)\n"
        "s.sendall(b'x'); assert s.recv(1) == b'x'\n"
        "print('all answered')\n"
    )
    host.run(["rm", "-f", "/run/nft-changed"])
    host.run(["systemd-run", "--unit=srv-test", "--collect", *server, "python3", "-c", program])
    wait(lambda: ":7000" in host.run([*server, "ss", "-ltn"]), "a listener")
    host.run(["systemd-run", "--unit=cli-test", "--property=RemainAfterExit=yes", "python3", "-c", client])
    wait(lambda: "ESTAB" in host.run([*server, "ss", "-tn"]), "the connection")
    for port in (7001, 7002, 7003):
        # The way in for new connections is closed; the one that is there stays.
        host.apply("nft_table", {"name": "guard", "netns": "srv", "content": rules.replace("7000", str(port))})
    host.run(["touch", "/run/nft-changed"])
    said = ["journalctl", "-u", "cli-test", "--output=cat", "--no-pager"]
    wait(lambda: "all answered" in host.run(said), "the last answer")
    # The control: a new connection is not let in.
    host.run(["timeout", "1", "bash", "-c", "exec 3<>/dev/tcp/10.8.0.2/7000"], ok=False)
    host.run(["systemctl", "stop", "cli-test"])
    host.apply("nft_table", {"name": "guard", "netns": "srv", "state": "absent"})
    host.run(["ip", "netns", "delete", "srv"])


def test_a_table_of_somebody_else_is_not_taken_and_is_given_back_when_it_was_adopted(host: Host) -> None:
    before = listed(host, "table", "inet", "theirs")
    refused = host.module("nft_table", {"name": "theirs", "content": GUARD}, ok=False)
    assert "table inet theirs is not ours" in refused["msg"] and "adopt: true" in refused["msg"]
    refused = host.module("nft_table", {"name": "theirs", "state": "absent"}, ok=False)
    assert "was not made by this collection and stays" in refused["msg"]
    assert listed(host, "table", "inet", "theirs") == before
    host.apply("nft_table", {"name": "theirs", "content": GUARD, "adopt": True})
    assert "ways in" in listed(host, "table", "inet", "theirs")
    other = host.module("nft_table", {"name": "theirs", "content": GUARD, "owner": "another"}, ok=False)
    assert "belongs to the owner overloom.fabric" in other["msg"]
    given = host.module("nft_table", {"name": "theirs", "state": "absent"})
    assert given["changed"] and "it is given back" in str(given["warnings"])
    assert listed(host, "table", "inet", "theirs") == before


def test_purge_removes_what_is_ours_and_no_longer_declared(host: Host) -> None:
    tables = [{"name": name, "content": GUARD} for name in ("one", "two")]
    host.apply("nft_table", {"tables": tables, "purge": True})
    host.module("nft_table", {"name": "other", "content": GUARD, "owner": "another"})
    host.apply("nft_table", {"tables": tables[:1], "purge": True})
    assert re.findall(r"table inet (\w+)", listed(host, "tables")) == ["theirs", "one", "other"]
    host.module("nft_table", {"tables": [], "purge": True, "owner": "another"})


@pytest.mark.parametrize(
    "item, said",
    [
        ({"name": "guard"}, "content is missing"),
        ({"name": "a b", "content": ""}, "is no name of a table"),
        ({"name": "guard", "content": "chain c {"}, "closes more braces than it opens, or fewer"),
        ({"name": "guard", "content": "}\nflush ruleset\ntable inet x {"}, "content closes more braces than it opens"),
        ({"name": "guard", "content": 'chain c { iifname "x }'}, "has a quotation mark without its second one"),
        ({"name": "guard", "content": "chain c {\n  tcp dport 80 acccept\n}"}, "nft does not take line 2 of content"),
        ({"name": "guard", "netns": "nowhere", "content": ""}, "there is no network namespace nowhere"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(host: Host, item: dict[str, t.Any], said: str) -> None:
    before = listed(host, "ruleset")
    for check in (True, False):
        if "netns" in item and check:
            continue
        refused = host.module("nft_table", item, check=check, ok=False)
        assert said in refused["msg"] and not refused["changed"]
    assert listed(host, "ruleset") == before and not traces(host)
