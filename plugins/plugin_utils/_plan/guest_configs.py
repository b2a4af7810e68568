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
    user = options["user"]
    secret = f"secret sha512 {options['password_hash']}" if options["password_hash"] else "nopassword"
    blocks = [[f"hostname {name}"], [f"username {user} privilege 15 role network-admin {secret}"]]
    blocks[-1] += [f"username {user} ssh-key {key}" for key in options["keys"] or ()]
    blocks += [[f"vlan {vlan}", f"   name {title}"] for vlan, title in sorted(vlans.items())]
    ospf, bgp = options["ospf"], options["bgp"]
    for number, port in enumerate(ports):
        lines = [f"interface Ethernet{number}" if number else "interface Management1"]
        if port.trunks:
            lines += ["   switchport mode trunk", f"   switchport trunk allowed vlan {','.join(map(str, port.trunks))}"]
            lines += [f"   switchport trunk native vlan {port.native}"] if port.native else []
        elif number and not port.addresses:
            lines += [f"   switchport access vlan {port.vlan}"] if port.vlan else []
        else:
            lines += ["   no switchport"] if number else []
            lines += [f"   mtu {port.mtu}"]
            lines += [f"   {'ipv6' if ':' in address else 'ip'} address {address}" for address in port.addresses]
            lines += [f"   ip ospf area {ospf['area']}"] if ospf and number else []
        blocks.append(lines)
    blocks.append(["ip routing"])
    for route in (route for port in ports for route in port.routes):
        six = ":" in route["via"]
        to = route["to"] if route["to"] != "default" else "::/0" if six else "0.0.0.0/0"
        blocks.append([f"{'ipv6' if six else 'ip'} route {to} {route['via']}"])
    if ospf:
        blocks.append(["router ospf 1", *([f"   router-id {ospf['router_id']}"] if ospf["router_id"] else [])])
    if bgp:
        lines = [f"router bgp {bgp['asn']}", *([f"   router-id {bgp['router_id']}"] if bgp["router_id"] else [])]
        blocks.append(
            [*lines, *(f"   neighbor {peer['address']} remote-as {peer['asn']}" for peer in bgp["neighbors"] or ())]
        )
    blocks.append(["management api http-commands", "   no shutdown"])
    blocks += [[line] for line in options["config"] or ()]
    return "\n!\n".join("\n".join(block) for block in blocks) + "\n!\nend\n"


def autorun(name: str, ports: t.Sequence[Port], options: Item) -> str:
    """RouterOS 7's commands. ports: ether1, ether2 and so on."""
    lines = [f"/system identity set name={name}"]
    ospf = options["ospf"]
    if ospf:
        router = f" router-id={ospf['router_id']}" if ospf["router_id"] else ""
        lines.append(f"/routing ospf instance add name=fabric version=2{router}")
        lines.append(f"/routing ospf area add name=fabric area-id={ospf['area']} instance=fabric")
    for number, port in enumerate(ports, 1):
        lines.append(f"/interface ethernet set [ find default-name=ether{number} ] mtu={port.mtu}")
        lines += [
            f"/{'ipv6' if ':' in address else 'ip'} address add address={address} interface=ether{number}"
            for address in port.addresses
        ]
        routes = [(route["to"], route["via"]) for route in port.routes if ":" not in route["via"]]
        lines += [
            f"/ip route add dst-address={to if to != 'default' else '0.0.0.0/0'} gateway={via}" for to, via in routes
        ]
        lines += [
            f"/interface vlan add name=ether{number}.{vlan} vlan-id={vlan} interface=ether{number}"
            for vlan in port.trunks
            if vlan != port.native
        ]
        if ospf and port.addresses:
            lines.append(f"/routing ospf interface-template add interfaces=ether{number} area=fabric")
    lines += ["/ip service enable www", *(options["config"] or ())]
    return "\n".join(lines) + "\n"
