# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services in the plan: what the modules get, what verify expects, and what is refused with which sentence."""

from __future__ import annotations

import typing as t

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.overloom.fabric.plugins.module_utils._netns import declaration as _veth
from ansible_collections.overloom.fabric.plugins.module_utils._service import dropin as _dropin
from ansible_collections.overloom.fabric.plugins.module_utils._service.reconcile import argument_spec
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._outputs.entries import outputs
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._trace.way import Packet, Route
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import judge as _verify
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify import state as _state
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

Item = t.Dict[str, t.Any]
OUTBOUND: Item = {"segment": "back", "routes": [{"to": "default", "via": "10.1.2.254"}]}


def fabric(*endpoints: Item) -> Item:
    """Two hosts and two segments; the second host has a namespace on each."""
    base: Item = {
        "fabric_name": "test",
        "fabric_segments": [
            {"name": "front", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "fd01::/64"},
            {"name": "back", "vlan": 20, "subnet": "10.1.2.0/24"},
        ],
    }
    others = [{"name": f"to-{segment}", "segment": segment} for segment in ("front", "back")]
    return {"kvm1": {**base, "fabric_endpoints": list(endpoints)}, "kvm2": {**base, "fabric_endpoints": others}}


def endpoint(called: str = "web", more: Item | None = None, /, **service: t.Any) -> Item:
    """A service on the front segment."""
    return {
        "name": called,
        "segment": "front",
        "kind": "service",
        "service": {"unit": "nginx", **service},
        **(more or {}),
    }


def planned(*endpoints: Item) -> Item:
    """The plan."""
    return compile_plan(fabric(*endpoints), SPEC)


def problems(*endpoints: Item) -> list[str]:
    """What is refused."""
    with pytest.raises(PlanError) as refused:
        planned(*endpoints)
    return refused.value.problems


def test_a_service_is_a_namespace_with_a_unit_in_it() -> None:
    host = planned(endpoint(dns=["10.1.2.53"], search=["example.org"]))["hosts"]["kvm1"]
    assert host["services"] == [
        {"name": "nginx.service", "namespace": "web", "dns": ["10.1.2.53"], "search": ["example.org"]}
    ]
    same = planned({"name": "web", "segment": "front"})["hosts"]["kvm1"]
    assert same["namespaces"] == host["namespaces"] and same["services"] == []
    assert host["namespaces"][0]["rules"] == []


def test_answers_leave_by_the_inbound_interface_and_questions_by_the_outbound_one() -> None:
    routes = [{"to": "default", "via": "10.1.1.254"}, {"to": "10.9.0.0/16", "via": "10.1.1.253"}]
    inbound, outbound = planned(endpoint("web", {"routes": routes}, outbound=OUTBOUND))["hosts"]["kvm1"]["namespaces"]
    assert (inbound["name"], inbound["interface"], outbound["name"], outbound["interface"]) == (
        "web",
        "eth0",
        "web",
        "outbound",
    )
    assert (inbound["tag"], outbound["tag"]) == (10, 20) and inbound["outer"] != outbound["outer"]
    assert [route["table"] for route in inbound["routes"]] == [100, 100]
    assert outbound["routes"] == OUTBOUND["routes"] and outbound["rules"] == []
    assert inbound["rules"] == [
        {"priority": 1000, "from": "10.1.1.65/32", "to": "10.1.1.0/24", "table": 254},
        {"priority": 1001, "from": "10.1.1.65/32", "table": 100},
        {"priority": 1000, "from": "fd01::1:1/128", "to": "fd01::/64", "table": 254},
        {"priority": 1001, "from": "fd01::1:1/128", "table": 100},
    ]
    assert inbound["sysctls"]["net.ipv4.conf.all.arp_ignore"] == "1" and outbound["sysctls"] == {}


def test_the_modules_take_what_the_plan_says() -> None:
    host = planned(endpoint(outbound=OUTBOUND, dns=["10.1.2.53"]))["hosts"]["kvm1"]
    for spec, part, declared in (
        (argument_spec(), {"services": host["services"]}, _dropin.declared),
        (_veth.argument_spec(), {"namespaces": host["namespaces"]}, _veth.declared),
    ):
        checked = ArgumentSpecValidator(spec).validate(part)
        assert not checked.error_messages
        assert declared(checked.validated_parameters[next(iter(part))])


def test_an_endpoint_behind_a_service_keeps_its_address() -> None:
    after = {"name": "later", "segment": "back"}
    plain = planned(endpoint(outbound=OUTBOUND), after)["endpoints"]
    assert [point["id"] for point in plain][:3] == ["kvm1/web", "kvm1/web-outbound", "kvm1/later"]
    more = planned(endpoint(outbound=OUTBOUND), after, {"name": "last", "segment": "back"})["endpoints"]
    assert more[:3] == plain[:3]


def test_verify_measures_both_interfaces_and_holds_the_segments_apart() -> None:
    plan = planned(endpoint(outbound=OUTBOUND))
    expected = expectations(plan)
    pairs = {(pair["from"], pair["to"]) for pair in expected["pairs"]}
    assert {("kvm2/to-front", "kvm1/web"), ("kvm2/to-back", "kvm1/web-outbound")} <= pairs
    assert not {pair for pair in pairs if set(pair) == {"kvm1/web", "kvm1/web-outbound"}}
    # The namespace has both networks, and nobody else has.
    apart = {(pair["from"], pair["to"]) for pair in expected["isolated"]}
    assert ("kvm2/to-front", "kvm2/to-back") in apart and ("kvm2/to-front", "kvm1/web-outbound") not in apart
    assert not {pair for pair in apart if pair[0].startswith("kvm1/web")}
    # A third segment is apart from both of its interfaces.
    third = fabric(endpoint(outbound=OUTBOUND))
    for host in third.values():
        host["fabric_segments"] = [*host["fabric_segments"], {"name": "third", "vlan": 30, "subnet": "10.1.3.0/24"}]
    third["kvm2"]["fabric_endpoints"] = [*third["kvm2"]["fabric_endpoints"], {"name": "alone", "segment": "third"}]
    more = {(pair["from"], pair["to"]) for pair in expectations(compile_plan(third, SPEC))["isolated"]}
    assert {("kvm1/web", "kvm2/alone"), ("kvm1/web-outbound", "kvm2/alone"), ("kvm2/alone", "kvm1/web")} <= more
    ends = {end["id"]: end for end in _verify.options(plan, expected)["kvm1"]["endpoints"]}
    assert ends["kvm1/web-outbound"]["namespace"] == "web" and ends["kvm1/web-outbound"]["interface"] == "outbound"


def test_verify_connects_to_the_ports_from_another_host() -> None:
    near = {"name": "near", "segment": "front"}
    plan = planned(endpoint(ports=[80], outbound=OUTBOUND), near)
    expected = expectations(plan)
    links = [(link["from"], link["to"], link["address"], link["port"]) for link in expected["connections"]]
    assert links == [("kvm2/to-front", "kvm1/web", address, 80) for address in ("10.1.1.65", "fd01::1:1")]
    todo = _verify.options(plan, expected)["kvm2"]["transfers"]
    probes = [probe for probe in todo if probe["kind"] == "connect"]
    assert probes[0] == {"kind": "connect", "from": "kvm2/to-front", "to": "10.1.1.65", "protocol": "tcp", "port": 80}
    assert expectations(planned(endpoint(), near))["connections"] == []
    for outcome, passed, seen in (
        ({"connected": True}, True, "connected"),
        ({"error": "Connection refused"}, False, "Connection refused"),
    ):
        taken = {"observed": [outcome if probe["kind"] == "connect" else {} for probe in todo]}
        checks = _verify.judge(plan, expected, {"kvm2": {"transfers": taken}})
        mine = [check for check in checks if check["kind"] == "connect"]
        assert [(check["passed"], check["observed"]) for check in mine] == [(passed, seen)] * 2
        assert "unmeasured" not in mine[0] and "systemctl status nginx.service" in mine[0]["look"]


def observed(plan: Item, joined: str | None = "web") -> Item:
    """What the modules read of a host that is as planned."""
    spaces = plan["hosts"]["kvm1"]["namespaces"]
    links = [{"name": s["interface"], **{o: s[o] for o in ("addresses", "mtu", "mac", "routes")}} for s in spaces]
    space = {"name": "web", "interfaces": links, "sysctls": spaces[0]["sysctls"], "rules": list(spaces[0]["rules"])}
    service = {"name": "nginx.service", "namespace": "web", "joined": joined, "running": True, "dns": []}
    return {"namespaces": [space], "services": [service]}


def failed(plan: Item, seen: Item) -> list[tuple[str, str, str]]:
    """The kinds and things of checks that failed, with what was seen."""
    state = expectations(plan)["hosts"]["kvm1"]
    checks = _state.judge("kvm1", {**state, "bridges": {}, "ports": {}, "tunnels": {}}, seen)
    return [(check["kind"], check["thing"], check["observed"]) for check in checks if not check["passed"]]


def test_verify_holds_the_service_the_rules_and_the_tables_against_the_plan() -> None:
    plan = planned(endpoint("web", {"routes": [{"to": "default", "via": "10.1.1.254"}]}, outbound=OUTBOUND))
    assert failed(plan, observed(plan)) == []
    assert failed(plan, observed(plan, joined=None)) == [("service", "web", "joined not set")]
    seen = observed(plan)
    seen["namespaces"][0]["rules"].pop()
    assert [kind for kind, _thing, _seen in failed(plan, seen)] == ["namespace"]
    seen = observed(plan)
    seen["namespaces"][0]["interfaces"][0]["routes"] = [{"to": "default", "via": "10.1.1.254", "table": 254}]
    assert [thing for _kind, thing, _seen in failed(plan, seen)] == ["web"]
    seen["namespaces"][0]["interfaces"][1]["routes"] = []
    assert [thing for _kind, thing, _seen in failed(plan, seen)] == ["web", "web-outbound"]


def test_the_first_look_and_the_outputs_name_it() -> None:
    plan = planned(endpoint(outbound=OUTBOUND))
    claims = [claim for claim in plan["claims"]["kvm1"]["claims"] if claim["kind"] == "service"]
    assert [claim["name"] for claim in claims] == ["nginx.service"]
    consoles = {row["name"]: row["console"] for row in outputs(plan)}
    assert consoles["kvm1/web"] == consoles["kvm1/web-outbound"] == "ip netns exec web sh"
    way = Route(plan, "kvm2/to-back", "kvm1/web-outbound", Packet("icmp", None, 0))
    assert (way.target.space, way.target.interface, way.target.tag) == ("web", "outbound", 20)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        (
            [{"name": "web", "segment": "front", "kind": "service"}],
            ["service is missing; the kind service needs it, with a unit"],
        ),
        (
            [{**endpoint(), "kind": "namespace"}],
            ["service is for the kind service; set kind: service, or leave it out."],
        ),
        ([{**endpoint(), "service": {}}], ["service.unit is missing"]),
        ([endpoint(unit="web.socket")], ["service.unit: 'web.socket' is no service"]),
        ([endpoint(unit="a b")], ["service.unit: 'a b' is no name of a service"]),
        ([endpoint(unit="a@")], ["service.unit: 'a@' is a template"]),
        ([endpoint(ports=[0])], ["service.ports must be 1 to 65535, not 0"]),
        ([endpoint(dns=["ns1"])], ["service.dns: 'ns1' is no address of a name server"]),
        ([endpoint(search=["example.org"])], ["service.search needs name servers"]),
        ([endpoint(search=["-x"], dns=["10.1.1.1"])], ["service.search: '-x' is no domain"]),
        ([endpoint(), endpoint("www")], ["kvm1/web and kvm1/www are both the service nginx.service"]),
        ([endpoint(outbound={"segment": "front"})], ["service.outbound.segment front is that of the endpoint itself"]),
        ([endpoint(outbound={"segment": "bakc"})], ["did you mean back?"]),
        (
            [endpoint(outbound={**OUTBOUND, "interface": "eth0"})],
            ["the name v-web is both", "service.outbound.interface eth0 is that of"],
        ),
        ([endpoint(outbound={**OUTBOUND, "address": "10.1.1.9"})], ["service.outbound.address 10.1.1.9 is outside"]),
        (
            [endpoint(outbound=OUTBOUND), {"name": "web-outbound", "segment": "back"}],
            ["has the name web-outbound twice"],
        ),
        (
            [endpoint(outbound={"segment": "back", "routes": [{"to": "default", "via": "10.1.1.254"}]})],
            ["service.outbound.routes to default goes via 10.1.1.254, which is not on segment back"],
        ),
    ],
)
def test_bad_input_is_one_sentence(items: list[Item], said: list[str]) -> None:
    found = problems(*items)
    assert len(found) == len(said), found
    for sentence, part in zip(found, said):
        assert part in sentence and "\n" not in sentence
