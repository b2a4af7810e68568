# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""DHCP on segments of OVN: options, leases, names and advertisements of the northbound database, and no server beside them."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import PlanError
from ansible_collections.overloom.fabric.plugins.plugin_utils._verify.expectations import expectations
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils.test_plan_ovn import (
    EDGE,
    central,
    fabric,
    named,
    planned,
    ports,
)

Item = t.Dict[str, t.Any]


def served(dhcp: Item | None = None, client: str = "web2", **more: t.Any) -> Item:
    """The plan of a fabric whose segment web has DHCP, and one of whose endpoints asks."""
    hosts = fabric(**more)
    for host in hosts.values():
        host["fabric_segments"][0]["dhcp"] = dhcp or {}
        for endpoint in host["fabric_endpoints"]:
            if endpoint["name"] == client:
                endpoint["address"] = "dhcp"
    return planned(hosts)


def options(plan: Item, version: int) -> Item:
    """The options of the segment web for an address family."""
    return t.cast(Item, named(central(plan)["northbound"]["dhcp_options"])[f"test/web:v{version}"]["options"])


def test_a_segment_with_dhcp_has_options_and_no_server() -> None:
    plan = served(fabric_edges=[EDGE])
    given = options(plan, 4)
    assert given.pop("server_mac") == options(plan, 6)["server_id"]
    assert given == {
        "server_id": "10.1.1.1",
        "lease_time": "3600",
        "mtu": "1442",
        "domain_name": '"test.internal"',
        "router": "10.1.1.1",
        "dns_server": "{10.1.1.1}",
    }
    # Without a search domain, which OVN sends as one label.
    assert set(options(plan, 6)) == {"server_id", "dns_server"}
    assert options(plan, 6)["dns_server"] == "{2001:db8:1::1}"
    assert not any(host["dhcp_servers"] for host in plan["hosts"].values())
    assert len(plan["endpoints"]) == 3


def test_each_port_of_the_segment_refers_to_the_options_and_no_other() -> None:
    found = ports(served())
    assert found["test/kvm1/web1"]["dhcpv4_options"] == found["test/kvm2/web2"]["dhcpv4_options"] == "test/web:v4"
    assert found["test/kvm1/web1"]["dhcpv6_options"] == "test/web:v6"
    assert (found["test/kvm2/db2"]["dhcpv4_options"], found["test/kvm2/db2"]["dhcpv6_options"]) == ("", "")


def test_without_a_router_the_server_is_an_address_that_nobody_has_and_no_name_server_is_told() -> None:
    given = options(served(), 4)
    assert given["server_id"] == "169.254.0.1" and not {"router", "dns_server", "classless_static_route"} & set(given)


def test_routes_bring_the_default_one_with_them() -> None:
    routes = [{"to": "10.9.0.0/16", "via": "10.1.1.9"}]
    given = options(served({"routes": routes, "dns": ["192.0.2.53", "2001:db8::53"]}, fabric_edges=[EDGE]), 4)
    assert given["classless_static_route"] == "{10.9.0.0/16,10.1.1.9, 0.0.0.0/0,10.1.1.1}"
    assert given["dns_server"] == "{192.0.2.53}"


def test_the_names_of_a_segment_are_those_of_its_endpoints_both_ways() -> None:
    plan = served({"domain": "Web.example"})
    (rows,) = central(plan)["northbound"]["dns"]
    assert rows["records"]["web1.web.example"] == "10.1.1.65 2001:db8:1::1:1"
    assert rows["records"]["65.1.1.10.in-addr.arpa"] == "web1.web.example"
    switches = named(central(plan)["northbound"]["switches"])
    assert (switches["test/web"]["dns_records"], switches["test/db"]["dns_records"]) == ([rows["name"]], [])


def test_routers_advertise_to_segments_with_dhcp_alone() -> None:
    (router,) = central(served(fabric_edges=[EDGE]))["northbound"]["routers"]
    told = [port["ipv6_ra_configs"] for port in router["ports"]]
    assert told == [{"address_mode": "dhcpv6_stateful", "send_periodic": "true", "mtu": "1442"}, {}]
    (silent,) = central(planned(fabric_edges=[EDGE]))["northbound"]["routers"]
    assert [port["ipv6_ra_configs"] for port in silent["ports"]] == [{}, {}]


def test_routers_advertise_to_a_segment_of_ipv6_alone_too() -> None:
    hosts = fabric(fabric_edges=[{**EDGE, "legs": [{"segment": "web", "address": "2001:db8:1::1"}, EDGE["legs"][1]]}])
    for host in hosts.values():
        host["fabric_segments"][0] = {"name": "web", "subnet": "2001:db8:1::/64", "dhcp": {}}
    (router,) = central(planned(hosts))["northbound"]["routers"]
    assert [port["ipv6_ra_configs"].get("address_mode") for port in router["ports"]] == ["dhcpv6_stateful", None]


def test_verify_holds_what_a_client_was_given_against_the_plan() -> None:
    lease = expectations(served(fabric_edges=[EDGE]))["hosts"]["kvm2"]["dhcp"]["web2"]
    assert (lease["running"], lease["address"], lease["mtu"], lease["router"]) == (
        True,
        "10.1.1.66/24",
        1442,
        "10.1.1.1",
    )


@pytest.mark.parametrize(
    ("dhcp", "sentence"),
    [
        ({"hosts": ["kvm1"]}, r"dhcp.hosts is for segments with the engine openvswitch; leave it out, as OVN answers"),
        ({"ranges": ["10.1.1.100-10.1.1.199"]}, r"dhcp.ranges are for machines that the plan does not know, and OVN"),
        ({"router": "10.9.9.9"}, "router 10.9.9.9 is outside of the segment's 10.1.1.0/24"),
    ],
)
def test_what_ovn_does_not_serve_is_refused(dhcp: Item, sentence: str) -> None:
    with pytest.raises(PlanError, match=sentence):
        served(dhcp)
