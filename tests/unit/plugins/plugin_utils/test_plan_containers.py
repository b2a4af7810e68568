# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers in the plan: what the modules get, and what is refused with which sentence."""

from __future__ import annotations

import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.overloom.fabric.plugins.module_utils._container.reconcile import argument_spec
from ansible_collections.overloom.fabric.plugins.module_utils._container.service import declared
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._outputs.entries import outputs
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import judge as _verify
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

Item = t.Dict[str, t.Any]


def fabric(*endpoints: Item, key: int | None = None) -> Item:
    """Two hosts; the first has these endpoints, the second a namespace on the same segment."""
    segment: Item = {"name": "web", "subnet": "10.1.1.0/24"}
    base: Item = {"fabric_name": "test", "fabric_segments": [segment]}
    if key is not None:
        segment["key"] = key
        base["fabric_overlays"] = [{"encapsulation": "geneve", "segments_by": "key"}]
    return {
        "kvm1": {**base, "fabric_endpoints": list(endpoints)},
        "kvm2": {**base, "fabric_endpoints": [{"name": "other", "segment": "web"}]},
    }


def endpoint(called: str = "c1", /, **container: t.Any) -> Item:
    """A container on the segment."""
    return {"name": called, "segment": "web", "kind": "container", "container": container}


def planned(*endpoints: Item, key: int | None = None) -> Item:
    """The plan."""
    return compile_plan(fabric(*endpoints, key=key), SPEC)


def problems(*endpoints: Item) -> list[str]:
    """What is refused."""
    with pytest.raises(PlanError) as refused:
        planned(*endpoints)
    return refused.value.problems


@pytest.mark.parametrize("key", [None, 7])
def test_a_container_is_a_namespace_with_a_service_in_it(key: int | None) -> None:
    plan = planned(endpoint(image="localhost/web:1", command=["serve"], options=["--env=A=b"]), key=key)
    host = plan["hosts"]["kvm1"]
    assert host["containers"] == [
        {
            "name": "c1",
            "namespace": "c1",
            "image": "localhost/web:1",
            "command": ["serve"],
            "options": ["--env=A=b"],
            "stop_timeout": 10,
        }
    ]
    assert [space["name"] for space in host["namespaces"]] == ["c1"]
    assert plan["hosts"]["kvm2"]["containers"] == [] and host["lab_container_image"] is None
    same = compile_plan(fabric({"name": "c1", "segment": "web"}, key=key), SPEC)
    assert same["hosts"]["kvm1"]["namespaces"] == host["namespaces"]
    assert same["hosts"]["kvm1"]["flows"] == host["flows"] and same["hosts"]["kvm2"] == plan["hosts"]["kvm2"]


def test_the_module_takes_what_the_plan_says() -> None:
    containers = planned(endpoint(image="lab"))["hosts"]["kvm1"]["containers"]
    checked = ArgumentSpecValidator(argument_spec()).validate({"containers": containers})
    assert not checked.error_messages
    assert [one.image for one in declared(checked.validated_parameters["containers"])] == [
        "localhost/overloom-test:lab"
    ]


def test_the_image_lab_is_built_and_no_other_is() -> None:
    host = planned(endpoint(image="lab"), endpoint("c2", image="mine:1"))["hosts"]["kvm1"]
    assert host["lab_container_image"] == "localhost/overloom-test:lab"


def test_the_first_look_asks_for_the_name_and_for_images_of_the_users() -> None:
    plan = planned(endpoint(image="lab"), endpoint("c2", image="mine:1"))
    asked = {claim["name"]: claim["on"] for claim in plan["claims"]["kvm1"]["claims"] if claim["kind"] == "container"}
    assert asked == {"c1": "", "c2": "mine:1"}


def test_a_container_is_measured_and_its_state_is_held() -> None:
    plan = planned(endpoint(image="mine:1"))
    expected = expectations(plan, None)
    measured = _verify.options(plan, expected)["kvm1"]
    assert {"id": "kvm1/c1", "namespace": "c1"}.items() <= next(
        point for point in measured["endpoints"] if point["id"] == "kvm1/c1"
    ).items()
    assert {probe["kind"] for probe in measured["pings"] if probe["from"] == "kvm1/c1"} >= {"ping", "mtu"}
    good = {"name": "c1", "image": "mine:1", "running": True, "namespace": "c1"}
    for row, passed in ((good, True), ({**good, "running": False}, False), ({**good, "namespace": None}, False)):
        checks = _verify.judge(plan, expected, {"kvm1": {"read": {"containers": [row]}}})
        [check] = [check for check in checks if check["kind"] == "container"]
        assert check["passed"] is passed, check
    gone = _verify.judge(plan, expected, {"kvm1": {"read": {"containers": []}}})
    assert "it is not there" in [check["observed"] for check in gone if check["kind"] == "container"]


def test_the_way_in_is_told() -> None:
    [told] = [row for row in outputs(planned(endpoint(image="mine:1"))) if row["name"] == "kvm1/c1"]
    assert told["console"] == "podman exec -it c1 sh" and told["kind"] == "container"


def test_a_container_of_others_is_followed_and_not_run() -> None:
    plan = planned(endpoint("c1", managed=False, name="theirs", engine="docker"))
    host = plan["hosts"]["kvm1"]
    [space] = host["namespaces"]
    assert host["containers"] == [] and {"container": "theirs", "engine": "docker"}.items() <= space.items()
    assert not [claim for claim in plan["claims"]["kvm1"]["claims"] if claim["kind"] in ("namespace", "container")]
    assert expectations(plan, None)["hosts"]["kvm1"]["containers"] == {}
    [told] = [row for row in outputs(plan) if row["name"] == "kvm1/c1"]
    assert told["console"] == "docker exec -it theirs sh"
    same = planned({"name": "c1", "segment": "web"})["hosts"]["kvm1"]["namespaces"][0]
    assert {key: value for key, value in space.items() if key not in ("container", "engine")} == same


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (
            {"name": "c1", "segment": "web", "kind": "container"},
            "container is missing; the kind container needs it, with an image at least",
        ),
        (endpoint(), "container.image is missing; give an image that is on the host, or managed: false"),
        (
            {"name": "c1", "segment": "web", "container": {"image": "x"}},
            "container is for the kind container; set kind: container, or leave it out",
        ),
        (endpoint(image="a b"), "container.image: 'a b' is no image; give its name with the tag"),
        (endpoint(image="x", options=["-v", "/a:/b"]), "container.options: '-v' is no long option"),
        (endpoint(image="x", options=["--network=host"]), "--network is for networks of Podman"),
        (endpoint(image="x", options=["--name=y"]), "--name is set by the service itself"),
        (endpoint(image="x", command=["a\nb"]), "container.command: 'a\\nb' has control characters"),
        (endpoint(image="x", stop_timeout=4000), "container.stop_timeout must be 0 to 3600, not 4000"),
        (endpoint(image="x", name="y"), "container.name is for containers that others run"),
        (endpoint(image="x", engine="docker"), "container.engine is for containers that others run"),
        (endpoint(image="x", managed=False), "container.image is for containers that the fabric runs"),
        (endpoint(managed=False, name="a b"), "container.name: 'a b' is no name for a container"),
        (endpoint(image="x", imag="y"), "imag"),
    ],
)
def test_bad_input_is_one_sentence(item: Item, said: str) -> None:
    found = problems(item)
    assert len(found) == 1 and said in found[0] and "kvm1: fabric_endpoints[c1]" in found[0], found


def test_a_container_is_plugged_in_once() -> None:
    found = problems(endpoint("c1", managed=False, name="web"), endpoint("c2", managed=False, name="web"))
    assert found == ["kvm1/c1 and kvm1/c2 are both the container web; give one of them another container.name."]
    planned(endpoint("c1", managed=False, name="web"), endpoint("c2", managed=False, name="web", engine="docker"))
