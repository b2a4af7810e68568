# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services: what endpoints of the kind service say of them checked, and each as the module netns_service takes it.

The endpoint itself is a network namespace like any other, and is planned as one; the service runs in it. With an outbound network
the namespace has a second interface, which is an endpoint of its own, and policy rules.

This file is private to the collection.
"""

from __future__ import annotations

import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.module_utils._service.dropin import check_dns, check_search, check_unit
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Endpoint, Segment
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.reading import between
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.values import Values

Item = t.Dict[str, t.Any]

MAIN_TABLE = 254
# Of the namespace alone, so they meet no others: the table for answers, and the two rules that lead there.
INBOUND_TABLE = 100
TO_NEIGHBORS, TO_INBOUND = 1000, 1001
# Each interface answers ARP for its own addresses alone, and asks with them.
ARP = {"net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2"}


class Services:
    """All services of the fabric, each checked once. What is wrong goes to the values' problems."""

    def __init__(self, values: Values) -> None:
        self.problems = values.problems
        self.endpoints = [endpoint for endpoint in values.endpoints if self._check(endpoint)]
        self._check_units()

    def part(self, host: str) -> Item:
        """What a host gets: its services."""
        return {"services": [self._item(endpoint) for endpoint in self.endpoints if endpoint.host == host]}

    def of_endpoint(self, endpoint: Endpoint) -> Item:
        """What the plan says of an endpoint besides, if it is a service, or the second interface of one."""
        if endpoint.inside:
            return {"of": f"{endpoint.host}/{endpoint.inside}", "namespace": endpoint.inside}
        return (
            {"service": {"unit": _unit(endpoint), "ports": _options(endpoint)["ports"] or []}}
            if endpoint.kind == "service"
            else {}
        )

    def _item(self, endpoint: Endpoint) -> Item:
        options = _options(endpoint)
        return {
            "name": _unit(endpoint),
            "namespace": endpoint.name,
            "dns": list(check_dns(options["dns"] or (), "dns")),
            "search": options["search"] or [],
        }

    def _check(self, endpoint: Endpoint) -> bool:
        """Check what an endpoint says of its service; whether it has one that is understood."""
        where, options = f"{endpoint.where}.service", endpoint.service
        if endpoint.kind != "service":
            if options:
                self.problems.append(f"{where} is for the kind service; set kind: service, or leave it out.")
            return False
        if options is None:
            self.problems.append(f"{where} is missing; the kind service needs it, with a unit at least.")
        if not options or INVALID in options.values():
            return False
        if options["search"] and not options["dns"]:
            self.problems.append(f"{where}.search needs name servers; give {where}.dns as well, or leave it out.")
        understood = self._told(check_unit, options["unit"], f"{where}.unit")
        self._told(check_dns, options["dns"] or (), f"{where}.dns")
        self._told(check_search, options["search"] or (), f"{where}.search")
        for port in options["ports"] or ():
            between(port, 1, 65535, f"{where}.ports", self.problems)
        if options["outbound"]:
            self._check_outbound(endpoint, f"{where}.outbound", options["outbound"])
        return understood

    def _check_outbound(self, endpoint: Endpoint, where: str, outbound: Item) -> None:
        """The second interface is another one, on another segment."""
        for option in ("segment", "interface"):
            if outbound[option] and outbound[option] == getattr(endpoint, option):
                self.problems.append(
                    f"{where}.{option} {outbound[option]} is that of the endpoint itself; name another."
                )

    def _told(self, check: t.Callable[[t.Any, str], t.Any], value: t.Any, where: str) -> bool:
        try:
            check(value, where)
        except FabricError as error:
            self.problems.append(f"{error}.")
            return False
        return True

    def _check_units(self) -> None:
        """A service runs once."""
        seen: dict[tuple[str, str], Endpoint] = {}
        for endpoint in self.endpoints:
            other = seen.setdefault((endpoint.host, _unit(endpoint)), endpoint)
            if other is not endpoint:
                self.problems.append(
                    f"{other.id} and {endpoint.id} are both the service {_unit(endpoint)}; leave one of them out."
                )


def _unit(endpoint: Endpoint) -> str:
    """The unit of its service."""
    return check_unit(_options(endpoint)["unit"], "unit")


def _options(endpoint: Endpoint) -> Item:
    """What an endpoint of this kind says of its service."""
    return t.cast(Item, endpoint.service)


def policy(endpoint: Endpoint, segment: Segment, addresses: t.Sequence[t.Any]) -> Item:
    """The routes, rules and sysctls of an endpoint's namespace, as the module netns_veth takes them.

    With an outbound network, answers leave by the interface whose address they carry: to its own subnet at once, and all others by
    routes in a table of their own. What the service asks by itself carries no address yet, and takes the main table.
    """
    if not (endpoint.service and endpoint.service["outbound"]):
        return {"routes": endpoint.routes, "rules": [], "sysctls": endpoint.sysctls}
    rules = []
    for address in filter(None, addresses):
        source = f"{address}/{address.max_prefixlen}"
        subnet = segment.subnet if address in segment.subnet else segment.subnet6
        rules.append({"priority": TO_NEIGHBORS, "from": source, "to": str(subnet), "table": MAIN_TABLE})
        rules.append({"priority": TO_INBOUND, "from": source, "table": INBOUND_TABLE})
    return {
        "routes": [{**route, "table": INBOUND_TABLE} for route in endpoint.routes],
        "rules": rules,
        "sysctls": {**ARP, **endpoint.sysctls},
    }
