# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Namespaces of containers and processes: what is declared of them, and the program that follows a container."""

from __future__ import annotations

import os
import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.module_utils._netns import follower, source
from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import declared, sources_of
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import Kept, Space, notes_of, space_of
from ansible_collections.overloom.fabric.plugins.module_utils._netns.veth import units_of
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError, Runner

THEIRS = source.Source("theirs", "docker")


def test_a_source_is_declared_once_a_namespace() -> None:
    items = [{"name": "a", "container": "theirs", "engine": "docker"}, {"name": "b", "pid": 7}, {"name": "c"}]
    assert sources_of(declared(items)) == {"a": THEIRS, "b": source.Source(pid=7)}
    for items, said in (
        ([{"name": "a", "container": "x", "pid": 7}], "exclude each other"),
        ([{"name": "a", "pid": 0}], "pid must be the number of a process, not 0"),
        ([{"name": "a", "container": "-x"}], "is no name for a container"),
        ([{"name": "a", "container": "x"}, {"name": "b", "container": "x"}], "namespaces a and b are both that of"),
        ([{"name": "a", "container": "x"}, {"name": "a", "interface": "eth1"}], "must be the same in all items"),
    ):
        with pytest.raises(FabricError, match=said):
            declared(items)


def test_the_notes_and_units_of_a_followed_namespace() -> None:
    space = Space("me", False, {"eth0": Kept("v-a")}, {}, THEIRS)
    plug, follow = units_of("a", space)
    assert space_of(plug) == ("a", space) and notes_of(space._replace(source=None)).keys() == {
        "Owner",
        "Namespace",
        "Interfaces",
        "Sysctls",
    }
    assert plug.wanted_by == () and follow.wanted_by == ("multi-user.target",)
    # It starts as often as the container, and a pair that is about to go is in nobody's way.
    assert "StartLimitIntervalSec=0" in plug.content and "link delete dev v-a" in plug.content
    assert (
        f"follow/a.py docker theirs a {plug.name}" in follow.content
        and "After=network-pre.target docker.service" in follow.content
    )
    [alone] = units_of("a", space._replace(source=source.Source(pid=7)))
    assert alone.name == plug.name


def test_where_a_container_is_found() -> None:
    answers = {"theirs": (0, f"{os.getppid()}\n"), "gone": (125, ""), "stopped": (0, "0\n"), "none": (127, "")}

    def run(argv: t.Sequence[str], _stdin: str | None) -> tuple[int, str, str]:
        status, out = answers[argv[-1]]
        return status, out, ""

    runner = Runner(run)
    assert (
        source.find(runner, "a", source.Source("gone")).pid
        == source.find(runner, "a", source.Source("stopped")).pid
        == 0
    )
    with pytest.raises(FabricError, match="docker is not installed on this host"):
        source.find(runner, "a", source.Source("none", "docker"))
    with pytest.raises(FabricError, match="container theirs of podman has the host's own network"):
        source.find(runner, "a", source.Source("theirs"))


class Engine:
    """A container that runs as a list of processes says, and what the follower did about it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, pids: list[int], fail: int = 0) -> None:
        self.done: list[str] = []
        self.named, self.pid, self.fail = 0, 0, fail
        self.pids = iter(pids)
        monkeypatch.setattr(follower, "first_process", self.first_process)
        monkeypatch.setattr(follower, "identity", self.identity)
        monkeypatch.setattr(follower.time, "sleep", self.sleep)
        monkeypatch.setattr(follower.os.path, "exists", lambda _path: bool(self.named))
        monkeypatch.setattr(follower.subprocess, "run", self.run)

    def first_process(self, _engine: str, _container: str) -> int:
        self.pid = next(self.pids)
        return self.pid

    def identity(self, path: str) -> tuple[int, int] | None:
        number = self.named if path.startswith(follower.FOLDER) else self.pid
        return (4, number) if number else None

    def sleep(self, _seconds: float) -> None:
        """While it is slept, the process ends."""
        self.pid = 0

    def run(self, argv: list[str], **_options: t.Any) -> t.Any:
        self.done.append(" ".join(argv[1:3]))
        if argv[2] == "delete":
            self.named = 0
        elif argv[2] == "attach":
            self.named = int(argv[4])
        else:
            self.fail -= 1
        return follower.subprocess.CompletedProcess(argv, int(argv[0] == "systemctl" and self.fail >= 0))


def test_each_process_is_plugged_in_once_and_let_go_when_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch, [5, 0, 0, 6, 7])
    follower.follow("podman", "theirs", "a", "plug.service", range(5))
    plug = ["netns attach", "restart plug.service"]
    assert engine.done == [*plug, "netns delete", *plug, "netns delete", *plug]


def test_what_could_not_be_plugged_in_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(monkeypatch, [5, 5], fail=1)
    follower.follow("podman", "theirs", "a", "plug.service", range(2))
    plug = ["netns attach", "restart plug.service"]
    assert engine.done == [*plug, "netns delete", *plug]
