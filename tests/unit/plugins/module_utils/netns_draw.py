# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random declarations of namespaces, and what a person may do to them by hand."""

from __future__ import annotations

import typing as t

from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import DelPort, MovePort, Op, apply
from ansible_collections.overloom.fabric.tests.unit.kernel import Link, World

NAMES = ["red", "blue", "red-test"]
INTERFACES = ["eth0", "eth1"]
SUBNETS = ["10.0.{}.0/24", "10.1.{}.0/24", "fd00:{}::/64"]
HOSTS = [10, 11, 12]


def item(name: str = "red", **options: t.Any) -> dict:
    """One item as the module gets it."""
    if "routes" in options:
        options["routes"] = [{"metric": None, "onlink": False, **route} for route in options["routes"]]
    return {"name": name, **options}


# --- declarations ------------------------------------------------------------------------------------------------------


def _address(subnet: str, number: int) -> str:
    base, length = subnet.split("/")
    return f"{base[:-1]}{number}/{length}" if "." in base else f"{base}{number}/{length}"


def _network(address: str) -> str:
    return address.rsplit(":" if ":" in address else ".", 1)[0]


@st.composite
def routes(draw: t.Callable, gateways: list[str], position: int) -> list[dict]:
    """Routes over some of the gateways, to targets that no other item has."""
    targets = {6: [f"fd99:{position + 1}::/64"], 4: [f"10.99.{position}.0/24", f"10.98.{position}.0/24"]}
    found: dict[str, dict] = {}
    for gateway in gateways:
        pool = targets[6 if ":" in gateway else 4]
        for to in draw(st.lists(st.sampled_from(pool), unique=True, max_size=2)):
            metric = draw(st.sampled_from([None, 7]))
            found.setdefault(to, {"to": to, "via": gateway, "metric": metric, "onlink": False})
    return list(found.values())


@st.composite
def layer3(draw: t.Callable, position: int, number: int, up: bool) -> dict[str, t.Any]:
    """Addresses in the subnets of one interface, and routes over gateways there."""
    subnets = [subnet.format(number) for subnet in SUBNETS]
    pool = [_address(subnet, host) for subnet in subnets for host in HOSTS]
    addresses = draw(st.lists(st.sampled_from(pool), unique=True, max_size=4))
    reached = {_network(address) for address in addresses}
    gateways = [_address(subnet, 1).partition("/")[0] for subnet in subnets]
    usable = [gateway for gateway in gateways if up and _network(gateway) in reached]
    return {"addresses": addresses, "routes": draw(routes(usable, position))}


@st.composite
def items(draw: t.Callable) -> list[dict]:
    """Valid items, of up to three namespaces."""
    key = st.tuples(st.sampled_from(NAMES), st.sampled_from(INTERFACES))
    found = []
    for position, (name, interface) in enumerate(draw(st.lists(key, unique=True, max_size=4))):
        # Each interface has subnets of its own, so that no two routes of a namespace have one key.
        number = NAMES.index(name) * 2 + INTERFACES.index(interface) + 1
        optional = {
            "mtu": st.sampled_from([1280, 1400, 9000]),
            "mac": st.integers(0, 3).map(f"02:00:00:00:0{{}}:0{number}".format),
            "sysctls": st.sampled_from([{}, {"net.ipv4.ip_forward": 1}]),
            "bridge": st.sampled_from(["", "br0", "br1"]),
        }
        always = {
            "up": st.sampled_from([True, True, True, False]),
            "tx_checksum": st.sampled_from(["auto", "on", "off"]),
        }
        options = draw(st.fixed_dictionaries(always, optional=optional))
        if draw(st.booleans()):
            options.update(draw(layer3(position, number, options["up"])))
        if options.get("bridge"):
            options["tag"] = draw(st.sampled_from([None, "", 10, 20]))
        found.append(item(name, interface=interface, **options))
    return found


# --- drift -------------------------------------------------------------------------------------------------------------


def _unit(name: str) -> str:
    return f"overloom-netns-{name}.service"


def _loopback_reset(host: World, name: str) -> None:
    if _unit(name) in host.units:
        host.spaces[name]["lo"].set("down")
        host.spaces[name]["lo"].set("alias", "")


def _unit_deleted(host: World, name: str) -> None:
    # Without both unit and alias it would be nobody's namespace, whose loopback is not the module's.
    if all(link.alias for link in host.spaces[name].values()):
        host.units.pop(_unit(name), None)


def _unit_disabled(host: World, name: str) -> None:
    if _unit(name) in host.units:
        host.units[_unit(name)] = host.units[_unit(name)]._replace(wanted_by=())


def _sysctls_set(host: World, name: str) -> None:
    host.sysctls[name] = dict.fromkeys(host.sysctls[name], "7")


def _veth_deleted(host: World, name: str, far: Link) -> None:
    host.delete(name, far.name)


def _address_added(_host: World, _name: str, far: Link) -> None:
    far.replace_address("192.0.2.1/24")


def _address_deleted(_host: World, _name: str, far: Link) -> None:
    if far.addresses:
        far.delete_address(far.addresses[0])


def _routes_deleted(_host: World, _name: str, far: Link) -> None:
    far.routes = []


def _aliases_deleted(host: World, name: str, far: Link) -> None:
    if _unit(name) in host.units:
        _set(far, "inside alias ", "outside alias ")


def _port_deleted(host: World, _name: str, far: Link) -> None:
    _replug(host, far, DelPort)


def _port_moved(host: World, _name: str, far: Link) -> None:
    other = {"br0": "br1", "br1": "br0"}
    _replug(host, far, lambda bridge, port, uuid: MovePort(port, uuid, bridge, other[bridge]))


def _replug(host: World, far: Link, op: t.Callable[[str, str, str], Op]) -> None:
    """Change where the port of the host's end is plugged; op: from bridge, name and UUID."""
    outer = far.peer.name if far.peer else ""
    bridge = host.database.bridge_of.get(outer)
    if bridge:
        host.database = apply(host.database, [op(bridge, outer, host.database.tables["Port"][outer]["_uuid"])])


def _set(far: Link, *lines: str) -> None:
    """`ip link set` at the ends of a veth pair: inside or outside, then what is set."""
    for line in lines:
        end, *words = line.split(" ")
        link = far if end == "inside" else far.peer
        assert link is not None
        link.set(*words)


def _ends_set(*lines: str) -> t.Callable[[World, str, Link], None]:
    return lambda _host, _name, far: _set(far, *lines)


NAMESPACE_DRIFTS: list[t.Callable[[World, str], None]] = [
    World.delete_space,
    _loopback_reset,
    _unit_deleted,
    _unit_disabled,
    _sysctls_set,
]
VETH_DRIFTS: list[t.Callable[[World, str, Link], None]] = [
    _veth_deleted,
    _address_added,
    _address_deleted,
    _routes_deleted,
    _aliases_deleted,
    _port_deleted,
    _port_moved,
    _ends_set("inside mtu 1300", "outside mtu 1301"),
    _ends_set("inside address 02:bb:bb:bb:bb:bb"),
    _ends_set("inside down", "outside down"),
    _ends_set("outside addrgenmode eui64", "outside up"),
]


def drift(host: World, draw: t.Callable) -> None:
    """Something that a person may do by hand, to a namespace or to a veth pair; nothing where there is none."""
    if not host.ids:
        return
    name = draw(st.sampled_from(sorted(host.ids)))
    far = host.spaces[name].get(draw(st.sampled_from(INTERFACES)))
    change = draw(st.integers(0, len(NAMESPACE_DRIFTS) + len(VETH_DRIFTS) - 1))
    if change < len(NAMESPACE_DRIFTS):
        NAMESPACE_DRIFTS[change](host, name)
    elif far is not None and far.peer is not None:
        VETH_DRIFTS[change - len(NAMESPACE_DRIFTS)](host, name, far)
