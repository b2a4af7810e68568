# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first configuration of Arista vEOS and MikroTik CHR, as text. Pure.

vEOS reads startup-config from its flash and then asks nobody (EOS User Manual, Zero Touch Provisioning); CHR runs rw/autorun.scr once.
This file is private to the collection.
"""

from __future__ import annotations

import typing as t

Item = t.Dict[str, t.Any]


class Port(t.NamedTuple):
    """A NIC as a device sees it. vlan: of the access port, or None; addresses: with their prefix lengths."""

    addresses: list[str]
    mtu: int
    vlan: int | None
    trunks: list[int]
    native: int | None
    routes: list[dict[str, str]]


def startup_config(name: str, ports: t.Sequence[Port], options: Item, vlans: t.Mapping[int, str]) -> str:
    """EOS's startup-config. ports: Management1, then Ethernet1 and so on. vlans: name by id, of the VLANs that the switch carries."""
    blocks = [
        [f"hostname {name}"],
        _eos_user(options),
        *([f"vlan {vlan}", f"   name {title}"] for vlan, title in sorted(vlans.items())),
        *(_eos_interface(number, port, options["ospf"]) for number, port in enumerate(ports)),
        ["ip routing"],
        *([_eos_route(route)] for port in ports for route in port.routes),
        *_eos_routers(options["ospf"], options["bgp"]),
        ["management api http-commands", "   no shutdown"],
        *([line] for line in options["config"] or ()),
    ]
    return "\n!\n".join("\n".join(block) for block in blocks) + "\n!\nend\n"


def _eos_user(options: Item) -> list[str]:
    user = options["user"]
    secret = f"secret sha512 {options['password_hash']}" if options["password_hash"] else "nopassword"
    keys = [f"username {user} ssh-key {key}" for key in options["keys"] or ()]
    return [f"username {user} privilege 15 role network-admin {secret}", *keys]


def _eos_interface(number: int, port: Port, ospf: Item | None) -> list[str]:
    lines = [f"interface Ethernet{number}" if number else "interface Management1"]
    if port.trunks:
        lines += ["   switchport mode trunk", f"   switchport trunk allowed vlan {','.join(map(str, port.trunks))}"]
        return lines + ([f"   switchport trunk native vlan {port.native}"] if port.native else [])
    if number and not port.addresses:
        return lines + ([f"   switchport access vlan {port.vlan}"] if port.vlan else [])
    lines += ["   no switchport"] if number else []
    lines += [f"   mtu {port.mtu}"]
    lines += [f"   {'ipv6' if ':' in address else 'ip'} address {address}" for address in port.addresses]
    return lines + ([f"   ip ospf area {ospf['area']}"] if ospf and number else [])


def _eos_route(route: t.Mapping[str, str]) -> str:
    six = ":" in route["via"]
    default = "::/0" if six else "0.0.0.0/0"
    return f"{'ipv6' if six else 'ip'} route {default if route['to'] == 'default' else route['to']} {route['via']}"


def _eos_routers(ospf: Item | None, bgp: Item | None) -> t.Iterator[list[str]]:
    for kind, router in (("ospf 1", ospf), (f"bgp {bgp['asn']}" if bgp else "", bgp)):
        if router:
            own = [f"   router-id {router['router_id']}"] if router["router_id"] else []
            peers = [f"   neighbor {peer['address']} remote-as {peer['asn']}" for peer in router.get("neighbors") or ()]
            yield [f"router {kind}", *own, *peers]


def autorun(name: str, ports: t.Sequence[Port], options: Item) -> str:
    """RouterOS 7's commands. ports: ether1, ether2 and so on."""
    ospf = options["ospf"]
    lines = [f"/system identity set name={name}"]
    if ospf:
        router = f" router-id={ospf['router_id']}" if ospf["router_id"] else ""
        lines.append(f"/routing ospf instance add name=fabric version=2{router}")
        lines.append(f"/routing ospf area add name=fabric area-id={ospf['area']} instance=fabric")
    for number, port in enumerate(ports, 1):
        lines += _routeros_interface(f"ether{number}", port)
        if ospf and port.addresses:
            lines.append(f"/routing ospf interface-template add interfaces=ether{number} area=fabric")
    lines += ["/ip service enable www", *(options["config"] or ())]
    return "\n".join(lines) + "\n"


def _routeros_interface(ether: str, port: Port) -> t.Iterator[str]:
    yield f"/interface ethernet set [ find default-name={ether} ] mtu={port.mtu}"
    for address in port.addresses:
        yield f"/{'ipv6' if ':' in address else 'ip'} address add address={address} interface={ether}"
    for route in port.routes:
        if ":" not in route["via"]:
            to = "0.0.0.0/0" if route["to"] == "default" else route["to"]
            yield f"/ip route add dst-address={to} gateway={route['via']}"
    for vlan in port.trunks:
        if vlan != port.native:
            yield f"/interface vlan add name={ether}.{vlan} vlan-id={vlan} interface={ether}"
