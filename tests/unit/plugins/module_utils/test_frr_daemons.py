# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What frr_daemons makes of the files and the state of a host, as pure functions; the shell of the machine is the judge of its files."""

from __future__ import annotations

import subprocess
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._frr import daemons as room
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Step

SOUND = room.Found(
    texts={
        room.CONF: "hostname r1\n",
        room.VTYSH_CONF: "service integrated-vtysh-config\n",
        room.DAEMONS: "ospfd=yes\nbgpd=no\n",
    },
    own_files=(),
    folders={"/etc/frr": True, "/run/frr": True},
    running=("ospfd", "staticd", "watchfrr", "zebra"),
    active=True,
    enabled=True,
    programs="/usr/lib/frr",
    installed=frozenset({"bgpd", "ospfd", "staticd", "watchfrr", "watchfrr.sh", "zebra"}),
)


def commands(found: room.Found, *wanted: str) -> list[str]:
    return [step.shown() for step in room.compare(wanted, found).steps]


def by_the_shell(text: str, name: str) -> bool:
    """Whether frrcommon.sh, which sources the file, takes a daemon as enabled."""
    script = f'{text}\n[ -n "${name}" ] && [ "${name}" != no ] && [ "${name}" != 0 ]'
    return subprocess.run(["sh", "-c", script], capture_output=True, check=False).returncode == 0


LINES = st.sampled_from(
    [
        "ospfd=no",
        "ospfd=yes",
        "ospfd=",
        "ospfd=0",
        'ospfd="no"',
        "ospfd='yes' # ours",
        "ospfd=1",
        "  ospfd=no",
        "#ospfd=yes",
        "bgpd=no",
        "ospf6d=yes",
        "",
        "# a comment",
        'ospfd_options="--daemon -A 127.0.0.1"',
    ]
)


@given(st.lists(LINES, max_size=6), st.booleans())
def test_a_daemon_is_enabled_as_the_shell_reads_the_file_and_other_lines_stay(lines: list[str], ends: bool) -> None:
    text = "\n".join(lines) + ("\n" if ends else "")
    assert room.is_enabled(text, "ospfd") == by_the_shell(text, "ospfd")
    changed = room.with_enabled(text, ["ospfd"])
    assert by_the_shell(changed, "ospfd") and room.with_enabled(changed, ["ospfd"]) == changed
    for name in ("bgpd", "ospf6d"):
        assert by_the_shell(changed, name) == by_the_shell(text, name)
    others = [line for line in text.splitlines() if "ospfd=" not in line]
    assert [line for line in changed.splitlines() if "ospfd=" not in line] == others


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hostname r1\n",
        "no service integrated-vtysh-config\n",
        "username a nopassword\nservice integrated-vtysh-config",
    ],
)
def test_one_file_for_all_daemons_is_said_once(text: str) -> None:
    changed = room.with_one_file(text)
    assert changed.splitlines().count("service integrated-vtysh-config") == 1
    assert "no service integrated" not in changed and room.with_one_file(changed) == changed
    assert [line for line in text.splitlines() if "integrated" not in line] == [
        line for line in changed.splitlines() if "integrated" not in line
    ]


def test_what_runs_as_declared_is_left_alone() -> None:
    assert commands(SOUND, "ospfd") == [] and commands(SOUND) == []
    assert commands(SOUND._replace(running=("ospfd-1", "zebra")), "ospfd") == [], "an instance of it runs"


def test_a_daemon_is_started_beside_a_routing_protocol_that_runs() -> None:
    steps = commands(SOUND, "ospfd", "bgpd")
    assert [step.split("\n")[0] for step in steps] == [
        "install -o frr -g frr -m 0640 /dev/stdin /etc/frr/daemons <<'EOF'",
        "/usr/lib/frr/watchfrr.sh start bgpd",
        "vtysh -c 'show daemons'  # until it shows bgpd",
    ]
    assert "ospfd=yes\nbgpd=yes\n" in steps[0]


def test_frr_is_restarted_where_no_routing_protocol_runs_and_started_where_it_does_not_run() -> None:
    idle = SOUND._replace(running=("staticd", "watchfrr", "zebra"))
    assert "systemctl restart frr.service" in commands(idle, "ospfd")
    assert "systemctl enable --now frr.service" in commands(SOUND._replace(running=(), active=False), "ospfd")
    assert commands(SOUND._replace(enabled=False), "ospfd") == ["systemctl enable frr.service"]


@pytest.mark.parametrize(
    "texts",
    [{room.CONF: None}, {room.VTYSH_CONF: "no service integrated-vtysh-config\n"}],
)
def test_the_files_of_single_daemons_are_not_put_out_of_use(texts: dict[str, t.Any]) -> None:
    found = SOUND._replace(texts={**SOUND.texts, **texts}, own_files=("/etc/frr/ospfd.conf",))
    with pytest.raises(FabricError, match=r"/etc/frr/ospfd\.conf.*write integrated"):
        room.compare(("ospfd",), found)
    # Where frr.conf counts already, they are out of use.
    assert room.compare(("ospfd",), SOUND._replace(own_files=("/etc/frr/ospfd.conf",))).steps == []
    # Where they say nothing, one file is taken.
    assert room.compare(("ospfd",), found._replace(own_files=())).steps


@pytest.mark.parametrize("name", ["ospf", "ospfd=yes", "", "OSPFD", "ospfd bgpd", "../x"])
def test_a_name_that_is_no_daemon_is_refused(name: str) -> None:
    with pytest.raises(FabricError, match="is no daemon of FRR"):
        room.checked([name])
    assert room.checked(["zebra", "ospf6d", "ospf6d"]) == ("ospf6d", "zebra")


def test_a_daemon_that_is_not_installed_is_refused() -> None:
    with pytest.raises(FabricError, match="FRR has no ripd in /usr/lib/frr here"):
        room.compare(("ripd",), SOUND)


def test_a_change_is_foretold_as_it_comes_out() -> None:
    change = room.compare(("bgpd",), SOUND)
    assert change.before != change.after
    assert isinstance(change.after, dict) and change.after["daemons"] == ["bgpd", *SOUND.running]
    assert any(isinstance(step, Step) for step in change.steps)
