# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Endpoints that are stated with their host: their identity is their name's, wherever they are, and what is refused of them."""

from __future__ import annotations

import copy
import ipaddress
import typing as t

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, fabrics

Item = t.Dict[str, t.Any]

many = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
COMMON: Item = {
    "fabric_name": "test",
    "fabric_segments": [{"name": "blue", "vlan": 10, "subnet": "10.1.1.0/24", "subnet6": "2001:db8:1::/64"}],
}
IDENTITY = ("name", "kind", "segment", "address", "address6", "mac", "interface", "mtu")


def fabric(*endpoints: Item, count: int = 2, common: Item | None = None, **own: list[Item]) -> dict[str, Item]:
    """Hosts that all see one list of endpoints, as from group_vars/all.yml, but for those with a list of their own."""
    names = [f"kvm{number}" for number in range(1, count + 1)]
    hosts = {
        name: {**COMMON, **(common or {}), "fabric_endpoints": own.get(name, [*map(dict, endpoints)])} for name in names
    }
    return copy.deepcopy(hosts)


def plan_of(hosts: dict[str, Item], **more: t.Any) -> Item:
    return compile_plan(hosts, SPEC, **more)


def identities(plan: Item) -> dict[str, Item]:
    return {point["name"]: {key: point[key] for key in IDENTITY} for point in plan["endpoints"]}


def movable(hosts: dict[str, Item], place: t.Callable[[str, str], str]) -> dict[str, Item]:
    """The same fabric with all endpoints stated for the whole, each on the host that place names, with a name of its own."""
    items = [
        {**item, "name": f"{host}-{item['name']}"[:32], "host": place(host, item["name"])}
        for host in sorted(hosts)
        for item in hosts[host]["fabric_endpoints"]
    ]
    return {host: {**variables, "fabric_endpoints": copy.deepcopy(items)} for host, variables in hosts.items()}


@many
@given(fabrics(), st.data())
def test_a_move_changes_nothing_of_what_an_endpoint_is(hosts: dict[str, Item], data: st.DataObject) -> None:
    names = st.sampled_from(sorted(hosts))
    try:
        before = plan_of(movable(hosts, lambda host, _name: host))
        after = plan_of(movable(hosts, lambda _host, _name: data.draw(names)))
    except PlanError:
        # Such as two names that were cut to one.
        assume(False)
    assert identities(after) == identities(before)
    found = [
        (point["segment"], point[option]) for point in after["endpoints"] for option in ("address", "address6", "mac")
    ]
    assert len(set(found)) == len([one for one in found if one[1]]) + len({one for one in found if not one[1]})


@many
@given(fabrics(), st.data())
def test_one_more_at_the_end_changes_nothing_of_the_others(hosts: dict[str, Item], data: st.DataObject) -> None:
    stated = movable(hosts, lambda host, _name: host)
    segment = data.draw(st.sampled_from(hosts[min(hosts)]["fabric_segments"]))["name"]
    more = {"name": "one-more", "host": data.draw(st.sampled_from(sorted(hosts))), "segment": segment}
    try:
        before = plan_of(stated)
        after = plan_of(
            {name: {**one, "fabric_endpoints": [*one["fabric_endpoints"], more]} for name, one in stated.items()}
        )
    except PlanError:
        assume(False)
    others = identities(after)
    others.pop("one-more")
    assert others == identities(before)


def test_an_address_is_of_the_upper_half_and_two_names_never_get_one() -> None:
    plan = plan_of(fabric(*({"name": f"web{number}", "host": "kvm1", "segment": "blue"} for number in range(100))))
    found = [ipaddress.ip_address(point["address"]) for point in plan["endpoints"]]
    assert len(set(found)) == 100
    assert all(ipaddress.ip_address("10.1.1.128") <= one < ipaddress.ip_address("10.1.1.255") for one in found)
    assert plan["sources"]["endpoints.kvm1/web1.address"] == (
        "allocated: hash of the name in the upper half of fabric_segments[blue].subnet"
    )
    assert plan["sources"]["endpoints.kvm1/web1.mac"] == "derived: hash of the names of fabric and endpoint"


def test_an_endpoint_of_a_host_keeps_the_identity_that_it_had() -> None:
    own = {"kvm1": [{"name": "old", "segment": "blue"}]}
    alone = plan_of(fabric(**own, kvm2=[]))
    beside = plan_of(fabric({"name": "web", "host": "kvm2", "segment": "blue"}, **own))
    assert identities(beside)["old"] == identities(alone)["old"]
    assert identities(alone)["old"]["address"] == "10.1.1.65"


def test_a_hosts_own_list_hides_none_of_the_fabrics() -> None:
    plan = plan_of(fabric({"name": "web", "host": "kvm1", "segment": "blue"}, kvm1=[{"name": "a", "segment": "blue"}]))
    assert [point["id"] for point in plan["endpoints"]] == ["kvm1/a", "kvm1/web"]
    assert plan["movable"] == {"web": "kvm1"}


def test_hosts_outside_the_fabric_may_see_the_list() -> None:
    web = {"name": "web", "host": "kvm1", "segment": "blue"}
    plan = plan_of(
        fabric(web), others={"desk": {"fabric_endpoints": [web]}}, routers={"r1": {"fabric_endpoints": [web]}}
    )
    assert [point["id"] for point in plan["endpoints"]] == ["kvm1/web"]


def test_ovn_has_the_port_by_the_name_and_on_one_host() -> None:
    common = {
        "fabric_overlays": [{"name": "ov", "engine": "ovn", "encapsulation": "geneve"}],
        "fabric_segments": [{"name": "blue", "subnet": "10.1.1.0/24"}],
    }
    ports = []
    for host in ("kvm1", "kvm2"):
        plan = plan_of(
            fabric({"name": "web", "host": host, "segment": "blue"}, {"name": "old", "segment": "blue"}, common=common),
            central=["kvm1"],
        )
        assert [item["iface_id"] for item in plan["hosts"][host]["namespaces"]] == [f"test/{host}/old", "test/web"]
        ports.append(
            {one["name"]: one for one in plan["hosts"]["kvm1"]["ovn_central"]["northbound"]["switches"][0]["ports"]}
        )
        assert plan["hosts"]["kvm1"]["ovn_central"]["bindings"]["test/web"] == host
    assert [found["test/web"].pop("options") for found in ports] == [
        {"requested-chassis": "kvm1"},
        {"requested-chassis": "kvm2"},
    ]
    assert ports[0] == ports[1] and "options" not in ports[0]["test/kvm1/old"]


def test_rules_name_it_without_its_host() -> None:
    common = {
        "fabric_segments": [
            {"name": "blue", "vlan": 10, "subnet": "10.1.1.0/24"},
            {"name": "red", "vlan": 20, "subnet": "10.1.2.0/24"},
        ],
        "fabric_edges": [
            {
                "name": "gw",
                "hosts": ["kvm2"],
                "legs": [{"segment": "blue", "address": "10.1.1.1"}, {"segment": "red", "address": "10.1.2.1"}],
            }
        ],
        "fabric_policy": [{"name": "a", "from": ["web"], "to": ["db"], "protocol": "tcp", "ports": ["80"]}],
    }
    rules = []
    for host in ("kvm1", "kvm2"):
        web, db = {"name": "web", "host": host, "segment": "blue"}, {"name": "db", "host": "kvm1", "segment": "red"}
        rules.append(plan_of(fabric(web, db, common=common))["edges"][0]["rules"])
    assert rules[0] == rules[1] and rules[0]


REFUSED = [
    (
        "a host that there is not",
        fabric({"name": "web", "host": "kvm3", "segment": "blue"}),
        ["fabric_endpoints[web].host kvm3 is no KVM host of the fabric; did you mean kvm2?"],
    ),
    (
        "one name on two hosts",
        fabric({"name": "web", "host": "kvm1", "segment": "blue"}, {"name": "web", "host": "kvm2", "segment": "blue"}),
        ["fabric_endpoints[web] has a host and is stated twice; state it once for the fabric, in group_vars/all.yml."],
    ),
    (
        "hosts that disagree",
        fabric(
            kvm1=[{"name": "web", "host": "kvm1", "segment": "blue"}],
            kvm2=[{"name": "web", "host": "kvm2", "segment": "blue"}],
        ),
        ["fabric_endpoints[web] has a host and is stated twice; state it once for the fabric, in group_vars/all.yml."],
    ),
    (
        "a name that the host has",
        fabric({"name": "web", "host": "kvm1", "segment": "blue"}, kvm1=[{"name": "web", "segment": "blue"}]),
        ["kvm1: fabric_endpoints has the name web twice; give each its own."],
    ),
    (
        "an unknown option",
        fabric({"name": "web", "host": "kvm1", "segment": "blue", "adress": "10.1.1.5"}),
        ["fabric_endpoints[web] has no option 'adress'; did you mean address?"],
    ),
    (
        "a guest of a role that cannot be moved",
        fabric(
            {
                "name": "vm",
                "host": "kvm1",
                "segment": "blue",
                "kind": "guest",
                "guest": {"role": "veos", "image": "/srv/veos.qcow2"},
            }
        ),
        [
            "fabric_endpoints[vm].host is not for guests of the role veos, which cannot be moved yet; state it in the variables of its host."
        ],
    ),
    (
        "no room",
        fabric(
            *({"name": f"web{number}", "host": "kvm1", "segment": "blue"} for number in range(4)),
            common={"fabric_segments": [{"name": "blue", "vlan": 10, "subnet": "10.1.1.0/29"}]},
        ),
        [
            "fabric_endpoints[web3].address cannot be allocated: the upper half of fabric_segments[blue].subnet 10.1.1.0/29 is full;"
            " enlarge the subnet, or give the address."
        ],
    ),
]


@pytest.mark.parametrize(("hosts", "sentences"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_cannot_be_is_refused(hosts: dict[str, Item], sentences: list[str]) -> None:
    with pytest.raises(PlanError) as error:
        plan_of(hosts)
    assert error.value.problems == sentences


def test_a_name_that_is_also_a_segment_is_refused_in_a_rule() -> None:
    blue, red = (
        {"name": name, "vlan": vlan, "subnet": f"10.1.{vlan}.0/24"} for name, vlan in (("blue", 10), ("red", 20))
    )
    legs = [{"segment": "blue", "address": "10.1.10.1"}, {"segment": "red", "address": "10.1.20.1"}]
    common = {
        "fabric_segments": [blue, red],
        "fabric_edges": [{"name": "gw", "hosts": ["kvm2"], "legs": legs}],
        "fabric_policy": [{"name": "a", "from": ["blue"], "to": ["red"]}],
    }
    with pytest.raises(PlanError) as error:
        plan_of(fabric({"name": "blue", "host": "kvm1", "segment": "red"}, common=common))
    assert error.value.problems == [
        "fabric_policy[a].from has blue, which is both a segment and an endpoint; give one of them another name."
    ]


def test_its_namespace_looks_for_no_duplicate_of_its_addresses() -> None:
    plan = plan_of(fabric({"name": "web", "host": "kvm1", "segment": "blue"}, {"name": "old", "segment": "blue"}))
    sysctls = {item["name"]: item["sysctls"] for item in plan["hosts"]["kvm1"]["namespaces"]}
    assert sysctls == {"web": {"net/ipv6/conf/eth0/accept_dad": "0"}, "old": {}}
