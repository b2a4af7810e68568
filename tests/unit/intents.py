# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Intents for tests of the plan: the specification, and random valid ones."""

from __future__ import annotations

import ipaddress
import pathlib

import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent.parent
SPEC = yaml.safe_load((CHECKOUT / "roles/plan/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"][
    "intent"
]["options"]

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=20).filter(
    lambda name: name[0] not in "-" and name[-1] not in "-"
)

INVENTORIES = sorted(path.parent.name for path in CHECKOUT.glob("inventory/*/hosts.yml"))


def one_each(number, segments):
    """The endpoints of a host with one on each segment, such as web1 on web."""
    return [{"name": f"{segment}{number}", "segment": segment} for segment in segments]


def inventory(name):
    """The fabric's variables of the KVM hosts and of the routers of an inventory below inventory/, and its groups with their hosts."""
    loader = DataLoader()
    found = InventoryManager(loader, sources=[str(CHECKOUT / "inventory" / name / "hosts.yml")])
    variables, groups = VariableManager(loader, found), found.get_groups_dict()

    def fabric_variables(host):
        given = variables.get_vars(host=found.get_host(host))
        stated = {key: value for key, value in given.items() if key.startswith("fabric_")}
        return Templar(loader, variables=given).template(stated)

    hosts = {host: fabric_variables(host) for host in groups.get("kvm_hosts", ())}
    routers = {host: fabric_variables(host) for host in groups.get("routers", ())}
    return hosts, routers, groups


def inventory_plan(name):
    """The plan of an inventory below inventory/, and its groups with their hosts."""
    hosts, routers, groups = inventory(name)
    return compile_plan(hosts, SPEC, routers=routers, central=groups.get("ovn_central", ())), groups


@st.composite
def fabrics(draw, most=6):
    """The variables of the hosts of a random fabric that is valid: one to `most` hosts, overlays of all kinds, segments, endpoints."""
    count = draw(st.integers(1, most))
    hosts = draw(st.lists(NAMES, min_size=count, max_size=count, unique=True))
    numbers = draw(st.lists(st.integers(1, 63), min_size=count, max_size=count, unique=True))
    six = draw(st.booleans())
    common = {
        "fabric_name": draw(NAMES),
        "fabric_underlay": {
            "subnet": "fd00:99::/64" if six else "192.168.200.0/24",
            "mtu": draw(st.integers(1500, 9216)),
            **draw(
                st.fixed_dictionaries(
                    {}, optional={"vlan": st.integers(1, 4094), "bridge": st.just("br-phys"), "tep": st.just("vtep")}
                )
            ),
        },
    }
    overlays = [draw(_overlay(number, hosts)) for number in range(draw(st.integers(1, 3)))]
    if not draw(st.booleans()):
        common["fabric_overlays"] = overlays
    else:
        overlays = [{"name": "vxlan"}]
    segments = [
        draw(_segment(number, overlays, six_only=draw(st.booleans()))) for number in range(draw(st.integers(1, 8)))
    ]
    bridge_of = {overlay["name"]: overlay.get("bridge", "br-int") for overlay in overlays}
    for bridge in set(bridge_of.values()):
        inside = [segment for segment in segments if bridge_of.get(segment.get("overlay", "vxlan")) == bridge]
        if inside and draw(st.booleans()):
            del draw(st.sampled_from(inside))["vlan"]
    common["fabric_segments"] = segments
    variables = {}
    for number, host in zip(numbers, hosts):
        own = {"fabric_host_id": number, "fabric_endpoints": draw(_endpoints(number, segments))}
        own.update(
            draw(
                st.one_of(
                    st.just({}),
                    st.fixed_dictionaries({"fabric_underlay_interface": st.sampled_from(["enp1s0", "eth7"])}),
                    st.fixed_dictionaries({"fabric_underlay_bond": _bond()}),
                )
            )
        )
        variables[host] = {**common, **own}
    return variables


def _bond():
    """A valid bond."""
    common = {"interfaces": st.lists(st.sampled_from(["eth1", "eth2", "enp3s0"]), min_size=2, max_size=3, unique=True)}
    delays = {"up_delay": st.integers(0, 1000), "down_delay": st.integers(0, 1000)}
    return st.one_of(
        st.fixed_dictionaries(common, optional={"name": st.just("bond-x"), **delays}),
        st.fixed_dictionaries({**common, "mode": st.just("balance-slb")}, optional=delays),
        st.fixed_dictionaries(
            {**common, "mode": st.just("lacp")}, optional={"lacp_rate": st.sampled_from(["fast", "slow"])}
        ),
    )


@st.composite
def _overlay(draw, number, hosts):
    topology = draw(st.sampled_from(["full_mesh", "hub_and_spoke", "ring", "links"]))
    if topology == "links" and len(hosts) < 2:
        topology = "full_mesh"
    encapsulation = draw(st.sampled_from(["gre", "vxlan", "geneve"]))
    overlay = {
        "name": f"o{number}",
        "bridge": f"br-o{number}",
        "encapsulation": encapsulation,
        "topology": topology,
        "key": number + draw(st.sampled_from([1, 1000, 16777200])),
        **draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "csum": st.booleans(),
                    "ttl": st.integers(1, 255),
                    "bfd": st.booleans(),
                    "df_default": st.booleans(),
                    "local_ip": st.booleans(),
                },
            )
        ),
    }
    if number == 0 and draw(st.booleans()):
        del overlay["key"]
    if topology == "hub_and_spoke":
        overlay["hubs"] = [draw(st.sampled_from(hosts))]
    if topology == "links":
        order = draw(st.permutations(hosts))
        overlay["links"] = [[order[i], order[draw(st.integers(0, i - 1))]] for i in range(1, len(order))]
    return overlay


@st.composite
def _segment(draw, number, overlays, six_only):
    segment = {
        "name": f"s{number}",
        "vlan": number * 17 + 1,
        "subnet": f"2001:db8:{number + 1}::/64" if six_only else f"10.{number}.0.0/20",
    }
    if not six_only and draw(st.booleans()):
        segment["subnet6"] = f"2001:db8:ff{number}::/64"
    if len(overlays) > 1 or draw(st.booleans()):
        segment["overlay"] = draw(st.sampled_from(overlays))["name"]
    if draw(st.booleans()):
        segment["mtu"] = draw(st.integers(1280, 1400))
    return segment


@st.composite
def _endpoints(draw, number, segments):
    endpoints = []
    for segment in segments:
        for nth in range(draw(st.integers(0, 3))):
            endpoint = {"name": f"{segment['name']}-{nth}", "segment": segment["name"]}
            if draw(st.booleans()):
                first = ipaddress.ip_network(segment["subnet"]).network_address
                endpoint["address"] = str(first + 1 + number * 3 + nth)
            if draw(st.booleans()):
                endpoint["mac"] = f"52:54:00:{number:02x}:{segments.index(segment):02x}:{nth:02x}"
            endpoints.append(endpoint)
    return draw(st.permutations(endpoints))


def scale(segments, hosts=10):
    """Segments with an endpoint on each of two of the hosts."""
    common = {
        "fabric_name": "scale",
        "fabric_overlays": [{"segments_by": "key"}],
        "fabric_segments": [
            {"name": f"s{i}", "tenant": f"t{i}", "key": i + 1, "subnet": "10.0.0.0/24"} for i in range(segments)
        ],
    }
    points = {f"kvm{n}": [] for n in range(1, hosts + 1)}
    for i in range(segments):
        for n in (i % hosts, (i + 1 + i // hosts % (hosts - 1)) % hosts):
            points[f"kvm{n + 1}"].append({"name": f"e{i}", "segment": f"s{i}"})
    return {name: {**common, "fabric_endpoints": endpoints} for name, endpoints in points.items()}


def scale_ovn(hosts, segments, endpoints):
    """An overlay of OVN with tenants of ten segments and a router each; the endpoints are spread over hosts and segments."""
    legs = [{"segment": f"s{i}", "address": f"10.{i % 10}.255.1"} for i in range(segments)]
    common = {
        "fabric_name": "scale",
        "fabric_underlay": {"subnet": "192.168.0.0/16"},
        "fabric_overlays": [{"name": "ov", "engine": "ovn", "encapsulation": "geneve"}],
        "fabric_segments": [
            {"name": f"s{i}", "tenant": f"t{i // 10}", "subnet": f"10.{i % 10}.0.0/16"} for i in range(segments)
        ],
        "fabric_edges": [{"name": f"r{i // 10}", "legs": legs[i : i + 10]} for i in range(0, segments, 10)],
    }
    variables = {}
    for n in range(hosts):
        points = [{"name": f"e{i}", "segment": f"s{i % segments}"} for i in range(n, endpoints, hosts)]
        variables[f"kvm{n + 1}"] = {**common, "fabric_endpoints": points}
    return variables


def sentences(printed: str) -> str:
    """What a playbook printed, on one line: before ansible-core 2.19 a failure's sentence is wrapped, and quotes in it are doubled, as YAML."""
    return " ".join(printed.replace("''", "'").split())
