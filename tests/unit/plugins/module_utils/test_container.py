# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import shlex
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._container.podman import Container, parse_list
from ansible_collections.overloom.fabric.plugins.module_utils._container.reconcile import Found, Settings, compare
from ansible_collections.overloom.fabric.plugins.module_utils._container.service import (
    Wanted,
    declared,
    noted,
    service_name,
    unit_of,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Change, FabricError, Step

IMAGES = {"web:1": "a" * 64, "web:2": "b" * 64}
NAMES = ("c1", "c2", "c3")
MINE = Settings("me", purge=True)


def found_of(
    containers: t.Iterable[Container] = (), wanted: t.Iterable[Wanted] = (), owner: str = "me", active: bool = True
) -> Found:
    """A host with these containers, and with the services of what is wanted."""
    units = [unit_of(one, owner)._replace(wanted_by=("multi-user.target",)) for one in wanted]
    return Found(
        units={unit.name: unit for unit in units},
        active=frozenset(unit.name for unit in units if active),
        containers={container.name: container for container in containers},
        images=IMAGES,
        places={one.name: one.namespace for one in wanted},
        spaces=frozenset(NAMES),
    )


def container(name: str, image: str = "web:1", owner: str | None = "me") -> Container:
    """A container that runs."""
    return Container(name, f"id-{name}", image, IMAGES[image], 7, True, owner)


def commands(change: Change) -> list[str]:
    """The commands of a change, without those that only tell systemd of files."""
    steps = [step.argv for step in change.steps if isinstance(step, Step)]
    return [shlex.join(argv) for argv in steps if argv[1] not in ("reenable", "daemon-reload")]


wanted_ones = st.lists(
    st.builds(
        Wanted,
        name=st.sampled_from(NAMES),
        present=st.just(True),
        options=st.just(()),
        namespace=st.sampled_from(NAMES),
        image=st.sampled_from(sorted(IMAGES)),
        command=st.lists(st.text(st.characters(categories=("L", "P", "S", "Zs")), max_size=5), max_size=2).map(
            lambda words: tuple(word for word in words if word.isprintable())
        ),
        stop_timeout=st.integers(0, 9),
    ),
    unique_by=lambda one: one.name,
)


@settings(deadline=None)
@given(wanted_ones, wanted_ones)
def test_from_any_state_the_wanted_one_is_reached_and_left_alone(before: list[Wanted], after: list[Wanted]) -> None:
    there = found_of([container(one.name, one.image) for one in before], before)
    words = [line.split() for line in commands(compare(there, after, MINE))]
    restarted = {word for line in words if "restart" in line for word in line if word.startswith("overloom-")}
    gone = {word for line in words if "disable" in line for word in line if word.startswith("overloom-")}
    same = {one.name for one in after if one in before}
    assert restarted == {service_name(one.name) for one in after} - {service_name(name) for name in same}
    names_before, names_after = ({one.name for one in some} for some in (before, after))
    assert gone == {service_name(name) for name in names_before - names_after}
    made = found_of([container(one.name, one.image) for one in after], after)
    settled = compare(made, after, MINE)
    assert settled.steps == [] and settled.before == settled.after


@settings(deadline=None)
@given(wanted_ones)
def test_a_unit_notes_what_it_was_made_of(wanted: list[Wanted]) -> None:
    for one in wanted:
        assert noted(unit_of(one, "me")) == one.shown()


@pytest.mark.parametrize(
    "found",
    [
        found_of([container("c1")], [Wanted("c1", namespace="c1", image="web:1")], active=False),
        found_of([container("c1", "web:2")], [Wanted("c1", namespace="c1", image="web:1")]),
        found_of([], [Wanted("c1", namespace="c1", image="web:1")]),
        found_of([container("c1")], [Wanted("c1", namespace="c1", image="web:1")])._replace(places={"c1": None}),
        found_of([container("c1")._replace(running=False)], [Wanted("c1", namespace="c1", image="web:1")]),
    ],
    ids=["service stopped", "image built anew", "removed", "another namespace", "stopped"],
)
def test_what_does_not_run_as_declared_is_made_anew(found: Found) -> None:
    change = compare(found, [Wanted("c1", namespace="c1", image="web:1")], MINE)
    assert commands(change)[-1] == "systemctl restart overloom-container-c1.service"
    assert change.before != change.after


@pytest.mark.parametrize("owner", [None, "other"])
def test_a_foreign_container_is_refused_and_with_adopt_replaced(owner: str | None) -> None:
    wanted, found = [Wanted("c1", namespace="c1", image="web:1")], found_of([container("c1", owner=owner)])
    with pytest.raises(FabricError, match="adopt: true"):
        compare(found, wanted, MINE)
    assert commands(compare(found, wanted, Settings("me", adopt=True)))[0] == "podman rm --force --time=0 c1"
    absent = compare(found, [], MINE)
    assert absent.steps == []


def test_what_is_nobodys_is_not_removed() -> None:
    with pytest.raises(FabricError, match="container c1 was not made by this collection and stays; leave it out"):
        compare(found_of([container("c1", owner=None)]), [Wanted("c1", present=False)], MINE)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({}, "container c1: image is missing"),
        ({"image": "-x"}, "is no image"),
        ({"image": "a b"}, "is no image"),
        ({"image": "x", "name": "-c"}, "is no name for a container"),
        ({"image": "x", "options": ["-v"]}, "is no long option"),
        ({"image": "x", "options": ["--rm"]}, "--rm is set by the service itself"),
        ({"image": "x", "options": ["--publish=80:80"]}, "--publish is for networks of Podman"),
        ({"image": "x", "command": ["a\nb"]}, "has control characters"),
        ({"image": "x", "stop_timeout": -1}, "stop_timeout must be 0 to 3600 seconds, not -1"),
        ({"image": "x", "namespace": "a/b"}, "is no name for a namespace"),
    ],
)
def test_bad_input_is_refused(item: dict[str, t.Any], said: str) -> None:
    with pytest.raises(FabricError, match=said):
        declared([{"name": "c1", **item}])


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(FabricError, match="container c1 is declared twice"):
        declared([{"name": "c1", "image": "x"}] * 2)


def test_a_host_without_podman_says_so() -> None:
    without = found_of()._replace(containers=None)
    assert compare(without, [], MINE).steps == []
    with pytest.raises(FabricError, match="install the package podman"):
        compare(without, [Wanted("c1", namespace="c1", image="web:1")], MINE)


def test_a_list_of_podman_is_read() -> None:
    row = {"Names": ["c1"], "Id": "x", "Image": "web:1", "ImageID": "a", "State": "exited", "Pid": 0, "Labels": None}
    running = {**row, "Names": ["c2"], "State": "running", "Pid": 9, "Labels": {"overloom-owner": "me"}}
    assert parse_list(json.dumps([row, running])) == {
        "c1": Container("c1", "x", "web:1", "a", 0, False, None),
        "c2": Container("c2", "x", "web:1", "a", 9, True, "me"),
    }
    assert parse_list("null") == {}
    with pytest.raises(FabricError, match="did not answer with JSON"):
        parse_list("nonsense")
