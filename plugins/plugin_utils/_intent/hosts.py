# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host says for itself: its place on the underlay, its endpoints, and what it lets the fabric adopt.

This file is private to the collection.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import check_sysctl
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import (
    DHCP,
    DSCPS,
    ENDPOINTS,
    HOST_VARIABLES,
    MIRROR_KEYS,
    RATES,
    ROUTER_VARIABLES,
    Endpoint,
    Host,
    Mirror,
    Qos,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.reading import (
    between,
    items_of,
    matching_name,
    note,
    read_address,
    read_interface,
    read_mac,
    read_routes,
    unique,
)
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import INVALID, conform, label, show
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.underlay import read_bond


def read_host(
    name: str,
    variables: dict[str, t.Any],
    spec: dict[str, t.Any],
    problems: list[str],
    given: set[str],
    movable: t.Sequence[Endpoint] = (),
) -> Host:
    """What a host says for itself, as far as it is understood. movable: the endpoints that the fabric says for it."""
    values = {}
    for variable in HOST_VARIABLES:
        note(variables.get(variable), f"{name}: {variable}", given)
        values[variable] = conform(variables.get(variable), spec[variable], f"{name}: {variable}", problems)
    where = f"{name}: fabric_tep_address"
    tep, prefix = values["fabric_tep_address"], None
    if isinstance(tep, str) and "/" in tep:
        tep, _slash, length = tep.partition("/")
        if re.fullmatch("[0-9]{1,3}", length):
            prefix = int(length)
        else:
            problems.append(
                f"{where} {show(values['fabric_tep_address'])} has no prefix length after the slash; write it as 192.168.200.1/24."
            )
            tep = INVALID
    bond = read_bond(values["fabric_underlay_bond"], f"{name}: fabric_underlay_bond", problems)
    if bond is not None and values["fabric_underlay_interface"] is not None:
        both = "fabric_underlay_interface and fabric_underlay_bond"
        problems.append(f"{name}: {both} exclude each other; leave one of them out.")
    endpoints: list[Endpoint] = []
    for i, item in items_of(values, ENDPOINTS):
        endpoints += read_endpoint(item, f"{name}: {ENDPOINTS}[{label(item, i)}]", name, problems)
    endpoints += [endpoint for endpoint in movable if endpoint.host == name]
    return Host(
        name=name,
        id=between(values["fabric_host_id"], 1, 65535, f"{name}: fabric_host_id", problems),
        tep_address=read_address(tep, where, problems),
        tep_prefix=prefix,
        interface=read_interface(values["fabric_underlay_interface"], f"{name}: fabric_underlay_interface", problems),
        bond=bond,
        engine=values["fabric_underlay_engine"],
        endpoints=unique([item for item in endpoints if item.name is not INVALID], f"{name}: {ENDPOINTS}", problems),
        guest_memory=values["fabric_guest_memory"],
        flows=[item for _i, item in items_of(values, "fabric_flows")],
        routing={variable: values[variable] for variable in ROUTER_VARIABLES},
        adopt=_adopted(values["fabric_adopt"], f"{name}: fabric_adopt", problems),
    )


def _adopted(value: t.Any, where: str, problems: list[str]) -> list[str]:
    """The names of things of others that the fabric may use; `*` for all."""
    if isinstance(value, list) and all(isinstance(name, str) and name and name != "*" for name in value):
        return value
    truth = conform(value, {"type": "bool"}, where, [])
    if truth is INVALID:
        problems.append(
            f"{where} must be true, false, or a list of names of bridges, ports, namespaces, guests or networks, not {show(value)}."
        )
    return ["*"] if truth else []


def read_endpoint(item: dict[str, t.Any], where: str, host: str, problems: list[str]) -> list[Endpoint]:
    """An endpoint, and the further one that a service has."""
    endpoint = _endpoint(item, where, host, problems)
    return [endpoint, *_outbound(endpoint, problems)]


def _endpoint(item: dict[str, t.Any], where: str, host: str, problems: list[str]) -> Endpoint:
    sysctls = {}
    for key, value in (item["sysctls"] or {}).items():
        try:
            check_sysctl(key, value, f"{where}.sysctls")
            sysctls[key] = str(int(value)) if isinstance(value, bool) else str(value)
        except FabricError as error:
            problems.append(f"{error}.")
    return Endpoint(
        where=where,
        host=host,
        name=matching_name(item["name"], f"{where}.name", problems),
        kind=item["kind"],
        segment=item["segment"],
        address=None if item["address"] == DHCP else read_address(item["address"], f"{where}.address", problems),
        address6=read_address(item["address6"], f"{where}.address6", problems),
        mac=read_mac(item["mac"], f"{where}.mac", problems),
        interface=read_interface(item["interface"], f"{where}.interface", problems),
        routes=read_routes(item["routes"], where, problems),
        sysctls=sysctls,
        guest=item["guest"],
        container=item["container"],
        service=item["service"],
        given_outer=read_interface(item["outer"], f"{where}.outer", problems),
        dhcp=item["address"] == DHCP,
        labels=_labels(item["labels"], f"{where}.labels", problems),
        router=item["router"],
        mirrors=[_mirror(one, f"{where}.mirrors[{i}]", problems) for i, one in items_of(item, "mirrors")],
        qos=_qos(item["qos"], f"{where}.qos", problems) if isinstance(item["qos"], dict) else None,
    )


def _qos(item: dict[str, t.Any], where: str, problems: list[str]) -> Qos:
    """The rates and the mark of an endpoint."""
    return Qos(
        send_rate=between(item["send_rate"], *RATES, f"{where}.send_rate", problems),
        receive_rate=between(item["receive_rate"], *RATES, f"{where}.receive_rate", problems),
        dscp=between(item["dscp"], *DSCPS, f"{where}.dscp", problems),
    )


def _mirror(item: dict[str, t.Any], where: str, problems: list[str]) -> Mirror:
    """A mirror of an endpoint."""
    most = MIRROR_KEYS.get(item["encapsulation"], 0)
    return Mirror(
        where=where,
        to=read_address(item["to"], f"{where}.to", problems),
        direction=item["direction"],
        encapsulation=item["encapsulation"],
        key=between(item["key"], 0, most, f"{where}.key", problems) if most else item["key"],
    )


def _labels(values: t.Any, where: str, problems: list[str]) -> list[str]:
    """The labels of an endpoint, each once."""
    found = [matching_name(value, where, problems) for value in values or ()]
    return list(dict.fromkeys(label for label in found if isinstance(label, str)))


def _outbound(endpoint: Endpoint, problems: list[str]) -> list[Endpoint]:
    """The second interface of a service, as an endpoint of its own; right behind it, so that later ones do not move its address."""
    item = endpoint.service.get("outbound") if isinstance(endpoint.service, dict) else None
    if not isinstance(item, dict) or endpoint.name is INVALID:
        return []
    where = f"{endpoint.where}.service.outbound"
    interface = read_interface(item["interface"], f"{where}.interface", problems)
    return [
        Endpoint(
            where=where,
            host=endpoint.host,
            name=f"{endpoint.name}-{interface}" if interface else INVALID,
            kind="namespace",
            segment=item["segment"],
            address=read_address(item["address"], f"{where}.address", problems),
            address6=read_address(item["address6"], f"{where}.address6", problems),
            mac=read_mac(item["mac"], f"{where}.mac", problems),
            interface=interface,
            routes=read_routes(item["routes"], where, problems),
            sysctls={},
            inside=endpoint.name,
        )
    ]
