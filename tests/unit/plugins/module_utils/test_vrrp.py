# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What netns_keepalived makes of what is declared and what was found, as pure functions."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import Interface
from ansible_collections.overloom.fabric.plugins.module_utils._netns import daemon
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Step, Write
from ansible_collections.overloom.fabric.plugins.module_utils._vrrp import router

Item = t.Dict[str, t.Any]
LEGS: list[Item] = [
    {"interface": "web", "addresses": ["10.1.1.1/32", "fd00:1::1/128"], "source": "10.1.1.2", "peers": ["10.1.1.3"]},
    {"interface": "db", "addresses": ["10.1.2.1/24"]},
]
ITEM: Item = {"name": "edge", "vrid": 7, "priority": 200, "interval": 200, "interfaces": LEGS}
UNIT = "overloom-keepalived-edge.service"


@pytest.fixture(autouse=True)
def on_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison is of a host that runs."""
    monkeypatch.setattr(daemon, "booted", lambda: True)


def configuration(**change: t.Any) -> list[str]:
    """The lines of the file, without their indentation."""
    text = daemon.declared({**ITEM, **change}, router.KIND, "me").reread[router.file("edge")]
    return [line.strip() for line in text.splitlines()]


def found_of(held: t.Mapping[str, t.Sequence[str]] | None = None, running: bool = True) -> daemon.Found:
    """A host that has the router, with these virtual addresses."""
    one = daemon.declared(ITEM, router.KIND, "me")
    assert one.unit
    inside = {
        name: Interface(name, 1, 1500, "", True, "", "veth", (*(held or {}).get(name, ()), "10.1.9.9/24"))
        for name in ("web", "db")
    }
    return daemon.Found(
        units={UNIT: one.unit},
        active={UNIT: daemon.Process(7, "edge")} if running else {},
        files=dict(one.every),
        spaces=frozenset({"edge"}),
        interfaces={"edge": inside} if running else {},
    )


def commands(**change: t.Any) -> list[str]:
    """The steps from the router as it is to a changed one."""
    wanted = daemon.declared({**ITEM, **change}, router.KIND, "me")
    steps = daemon.compare(found_of(), [wanted], router.KIND, daemon.Settings("me")).steps
    assert all(step.mode in (0o640, 0o644) for step in steps if isinstance(step, Write))
    return [" ".join(step.argv) for step in steps if isinstance(step, Step)]


def test_the_file_has_version_3_and_one_group() -> None:
    lines = configuration()
    assert "vrrp_version 3" in lines and "group { web db }" in lines and lines.count("nopreempt") == 2
    assert lines.count("advert_int 0.20") == 2 and lines.count("state BACKUP") == 2
    assert lines[lines.index("unicast_peer {") + 1] == "10.1.1.3" and "vrrp_check_unicast_src" in lines
    assert lines[lines.index("virtual_ipaddress_excluded {") + 1] == "fd00:1::1/128"
    assert "nopreempt" not in configuration(preempt=True)
    # A group of one, keepalived warns of.
    assert not [line for line in configuration(interfaces=LEGS[1:]) if "group" in line or "unicast" in line]


def test_routes_of_the_active_one_are_in_a_table() -> None:
    legs = [{**LEGS[0], "routes": ["10.1.1.0/24", "fd00:1::/64"]}, LEGS[1]]
    lines = configuration(interfaces=legs, table=100)
    at = lines.index("virtual_routes {")
    assert lines[at + 1 : at + 4] == ["10.1.1.0/24 dev web table 100", "fd00:1::/64 dev web table 100", "}"]
    # Whoever is killed leaves none.
    unit = daemon.declared({**ITEM, "table": 100}, router.KIND, "me").unit
    assert unit
    left = [line.partition("ip ")[2] for line in unit.content.splitlines() if line.startswith("ExecStopPost=-")]
    assert left == ["-4 route flush table 100", "-6 route flush table 100"]
    plain = daemon.declared(ITEM, router.KIND, "me").unit
    assert plain and "ExecStopPost" not in plain.content
    assert "virtual_routes {" not in configuration(table=100) and lines.count("virtual_routes {") == 1
    with pytest.raises(FabricError, match="^VRRP router edge: table is missing; give the routing table that routes"):
        configuration(interfaces=legs)


def test_a_change_is_read_again() -> None:
    assert commands() == []
    again = ["systemctl kill --kill-who=main --signal=HUP overloom-keepalived-edge.service"]
    assert commands(priority=100) == again and commands(interfaces=LEGS[:1]) == again


@pytest.mark.parametrize(
    ("held", "state"),
    [
        ({"web": ["10.1.1.1/32", "fd00:1::1/128"], "db": ["10.1.2.1/24"]}, "active"),
        ({"web": ["10.1.1.1/32", "fd00:1::1/128"]}, "partial"),
        ({"db": ["10.1.2.9/24"]}, "standby"),
        ({}, "standby"),
    ],
)
def test_who_has_all_addresses_is_active(held: t.Mapping[str, t.Sequence[str]], state: str) -> None:
    row = router.KIND.view(found_of(held), "edge")
    assert row["state"] == state and (row["vrid"], row["priority"], row["pid"]) == (7, 200, 7)
    assert len(row["addresses"]) == {"active": 3, "partial": 2, "standby": 0}[state]


def test_one_that_does_not_run_has_no_state() -> None:
    assert router.KIND.view(found_of(running=False), "edge")["state"] is None
    broken = found_of()._replace(files={router.file("edge"): "# Declared: {\n"})
    row = router.KIND.view(broken, "edge")
    assert row["vrid"] is None and row["state"] == "standby"
