# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a tunnel, a link or an endpoint is impaired."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given

from ansible_collections.overloom.fabric.plugins.module_utils._impair.effects import declared
from ansible_collections.overloom.fabric.plugins.plugin_utils._impair import places
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC, fabrics, inventory_plan

OSPF = inventory_plan("ospf")[0]
GRE = inventory_plan("gre_vlan")[0]


def at(plan, kind, name, cables=()):
    return places.places(plan, places.cables_of(plan, cables), kind, name)


def test_a_tunnel_is_impaired_on_every_nic_of_both_hosts_by_its_outer_header():
    found = at(OSPF, "tunnel", "kvm1/kvm2")
    assert [one["interface"] for one in found["kvm1"]] == ["eth1", "eth2"] and set(found) == {"kvm1", "kvm2"}
    there = {"source": "192.168.200.1", "destination": "192.168.200.2", "protocol": 17, "port": 4789}
    assert found["kvm1"][0] == {"name": "tunnel-kvm1-kvm2-eth1", "interface": "eth1", "matches": [there]}
    back = found["kvm2"][0]["matches"][0]
    assert (back["source"], back["destination"]) == ("192.168.200.2", "192.168.200.1")
    assert at(GRE, "tunnel", "kvm2/kvm1")["kvm1"][0]["matches"][0]["protocol"] == 47


def test_a_link_is_impaired_at_both_ends():
    assert at(OSPF, "link", "kvm1/r2") == {
        "kvm1": [{"name": "link-kvm1-r2-eth2", "interface": "eth2"}],
        "r2": [{"name": "link-kvm1-r2-eth1", "interface": "eth1"}],
    }
    assert at(OSPF, "link", "kvm1/eth2") == at(OSPF, "link", "kvm1/eth2", [["r2:eth1", "kvm1:eth2"]])
    assert {host: one[0]["interface"] for host, one in at(OSPF, "link", "kvm1/eth2").items()} == {
        "kvm1": "eth2",
        "r2": "eth1",
    }
    assert set(at(GRE, "link", "kvm1/kvm2", [["kvm1:eth1", "kvm2:eth1"]])) == {"kvm1", "kvm2"}


def test_an_endpoint_is_impaired_at_both_ends_of_its_veth():
    assert at(GRE, "endpoint", "kvm1/red") == {
        "kvm1": [
            {"name": "endpoint-kvm1-red-v-red", "interface": "v-red"},
            {"name": "endpoint-kvm1-red-eth0", "interface": "eth0", "netns": "red"},
        ]
    }


THREE = [["kvm1:eth1", "kvm2:eth1", "kvm3:eth1"]]


@pytest.mark.parametrize(
    ("plan", "kind", "name", "cables", "said"),
    [
        (OSPF, "tunnel", "kvm1", (), "tunnel=kvm1: write it like tunnel=kvm1/kvm2."),
        (OSPF, "tunnel", "kvn1/kvm2", (), "tunnel=kvn1/kvm2: the plan has no host kvn1; did you mean kvm"),
        (OSPF, "link", "kvm1/r3", (), "link=kvm1/r3: there is no cable between kvm1 and r3, and no NIC r3 of kvm1 that has one"),
        (GRE, "link", "kvm1/kvm2", THREE, "both are plugged into a switch with others; name a NIC, as in link=kvm1/eth1, or a tunnel."),
        (OSPF, "tunnel", "kvm1/kvm3", (), "the plan has no tunnel between kvm1 and kvm3; it has kvm1/kvm2."),
        (GRE, "endpoint", "kvm1/read", (), "endpoint=kvm1/read: the plan has no such endpoint; did you mean kvm1/red."),
        (GRE, "endpoint", "kvm1/vm1", (), "endpoint=kvm1/vm1: it is a guest"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused_in_a_sentence(plan, kind, name, cables, said):
    with pytest.raises(places.ImpairError) as refused:
        at(plan, kind, name, cables)
    assert said in str(refused.value)


def test_a_tunnel_below_a_vlan_tag_is_refused():
    plan = copy.deepcopy(GRE)
    plan["underlay"]["vlan"] = 20
    with pytest.raises(places.ImpairError, match="have the VLAN tag 20 on their NICs"):
        at(plan, "tunnel", "kvm1/kvm2")


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("cut", {"cut": True}),
        ("delay=50ms,jitter=5ms loss 1%", {"delay": "50ms", "jitter": "5ms", "loss": "1%"}),
        ("rate=10mbit", {"rate": "10mbit"}),
    ],
)
def test_an_effect_in_words(text, options):
    assert places.effect(text) == options


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "impair is empty"),
        ("slow 5", "'slow' is none of delay, jitter, loss, duplicate, reorder, rate, cut; or give off"),
        ("delay", "delay has no value"),
    ],
)
def test_no_effect_in_words(text, said):
    with pytest.raises(places.ImpairError) as refused:
        places.effect(text)
    assert said in str(refused.value)


def test_a_wrong_value_is_refused_before_any_host():
    with pytest.raises(places.ImpairError, match="loss: '200%' is no part of the packets"):
        places.with_effect(at(GRE, "tunnel", "kvm1/kvm2"), {"loss": "200%"}, "30s")


@given(fabrics())
def test_every_tunnel_of_any_fabric_can_be_impaired(hosts):
    """What is said to the hosts is what their module takes, and names every planned tunnel of the pair by its remote end."""
    plan = compile_plan(hosts, SPEC)
    for one, other in places.pairs_with_tunnels(plan) if plan["underlay"]["vlan"] is None else ():
        found = at(plan, "tunnel", f"{one}/{other}")
        assert set(found) == {one, other}
        for host, items in found.items():
            remotes = {match["destination"] for item in items for match in item["matches"]}
            assert len(remotes) == 1 and remotes <= {tunnel["remote_ip"] for tunnel in plan["hosts"][host]["tunnels"]}
            for item in items:
                declared({**item, "cut": True})
