# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The intent as typed objects, and the words that its files share. The files beside this one read them from variables.

This file is private to the collection.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import default_outer
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.port import PORT_OPTIONS

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]
Address = t.Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

# What a host says for itself; every other variable is stated once for all hosts.
ROUTER_VARIABLES = ("fabric_router", "fabric_bgp")
HOST_VARIABLES = (
    "fabric_adopt",
    "fabric_host_id",
    "fabric_tep_address",
    "fabric_underlay_interface",
    "fabric_underlay_bond",
    "fabric_underlay_engine",
    "fabric_guest_memory",
    "fabric_endpoints",
    "fabric_flows",
    *ROUTER_VARIABLES,
)

# Set by the role `plan` itself, so found among the variables of a host afterwards.
RESULTS = ("fabric_plan", "fabric_plan_result", "fabric_secrets_result")

# Options of an overlay that say how its tunnels are.
OF_TUNNELS = (
    "topology",
    "hubs",
    "links",
    "bridge",
    "key",
    "dst_port",
    "csum",
    "ttl",
    "tos",
    "df_default",
    "bfd",
    "loop_guard",
    "segments_by",
    "peers",
    "tunnel_names",
    "local_ip",
)
ENDPOINTS = "fabric_endpoints"
OPENVSWITCH, OVN, KERNEL = "openvswitch", "ovn", "kernel"
# What OVN carries segments by, and the bridge of its own where none is named.
OVN_ENCAPSULATIONS = ("geneve", "vxlan")
OVN_BRIDGE = "br-ovn"
KEY_BITS = {"gre": 32, "vxlan": 24, "geneve": 24}
DST_PORTS = {"vxlan": 4789, "geneve": 6081}
BFD = next(option.kind for option in PORT_OPTIONS if option.name == "bfd")
# Kinds of endpoints that are network namespaces of their host.
IN_NAMESPACE = ("namespace", "container", "service")
# Of an endpoint's address: it is asked for.
DHCP = "dhcp"
# Of an endpoint's rate: kbit/s, as many as OVN takes. Of DSCP: six bits (RFC 2474).
RATES = (1, 2**32 - 1)
DSCPS = (0, 63)
# Of a mirror: the key of GRE (RFC 2890), the session of ERSPAN.
MIRROR_KEYS = {"gre": 2**32 - 1, "erspan": 1023}
# Seconds; dnsmasq lets no lease be shorter. The longest is what a signed number of 32 bits holds.
LEASE_TIMES = (120, 2**31 - 1)
IPV4_MIN_MTU = 68  # RFC 791
IPV6_MIN_MTU = 1280  # RFC 8200, section 5
# Milliseconds: what a signed number of 32 bits holds.
LONGEST_DELAY = 2**31 - 1


@dataclasses.dataclass
class Bond:
    """Several NICs of a host that are one interface, a port of the underlay bridge or the kernel's; delays in milliseconds."""

    where: str
    name: str | t.Any
    interfaces: list[str]
    mode: str | t.Any
    primary: str | None | t.Any
    up_delay: int | None | t.Any
    down_delay: int | None | t.Any
    lacp_rate: str | None | t.Any

    @property
    def lacp(self) -> bool:
        """Whether it is negotiated with the switch (IEEE 802.1AX)."""
        return self.mode == "lacp"


@dataclasses.dataclass
class Underlay:
    """The network between the hosts; mtu in bytes of an IP packet. A host is on it by one interface, or by a bond.

    engine: whose bond and VLAN these are, Open vSwitch's on the underlay bridge, or the kernel's, which then has the tunnel endpoint as well.
    """

    engine: str | t.Any
    subnet: Network | t.Any
    mtu: int | t.Any
    bridge: str | t.Any
    interface: str | None | t.Any
    bond: Bond | None | t.Any
    tep: str | t.Any
    vlan: int | None | t.Any


@dataclasses.dataclass
class Peer:
    """A tunnel endpoint that the fabric does not manage; endpoints holds (segment, address) of what is known behind it."""

    where: str
    name: str | t.Any
    address: Address | t.Any
    endpoints: list[tuple[str | t.Any, Address | t.Any]]


@dataclasses.dataclass
class Overlay:
    """A mesh of tunnels, or with the encapsulation `vlan` none: its segments are VLANs of the underlay itself.

    options holds what goes to each tunnel as it is (csum, ttl and so on). tunnel_names: those that are given, by host and peer.

    local_ip: whether tunnels state the address that they send from.
    tls: files on each host by which OVN's databases and their clients know each other. rbac: whether a chassis may write its own rows alone.
    segments_by: what tells its segments apart inside a tunnel, `vlan` or `key`. policy: what becomes of connections that no rule takes, where
    flows judge; none where they do not.
    """

    where: str
    name: str | t.Any
    encapsulation: str | t.Any
    topology: str | t.Any
    hubs: list[str] | None | t.Any
    links: list[tuple[str, str]] | None | t.Any
    bridge: str | t.Any
    key: int | None | t.Any
    options: dict[str, t.Any]
    loop_guard: str | t.Any
    segments_by: str | t.Any
    peers: list[Peer]
    tunnel_names: dict[str, dict[str, str]]
    local_ip: bool
    policy: str | t.Any
    engine: str | t.Any = OPENVSWITCH
    tls: dict[str, str] | None = None
    rbac: bool = False

    @property
    def ovn(self) -> bool:
        """Whether its segments are OVN's logical switches, so that its tunnels and flows are OVN's, too."""
        return self.engine == OVN

    @property
    def keyed(self) -> bool:
        """Whether its segments are told apart by tunnel key."""
        return self.segments_by == "key"

    @property
    def bare(self) -> bool:
        """Whether its segments are VLANs of the underlay, without tunnels."""
        return self.encapsulation == "vlan"


@dataclasses.dataclass
class Dhcp:
    """What a segment says of its DHCP servers; None where it leaves a value to the plan.

    ranges: (first, last) of the addresses for machines that no plan knows. routes: (prefix, next hop).
    """

    where: str
    hosts: list[str] | None | t.Any
    ranges: list[tuple[Address, Address]] | None
    router: Address | None | t.Any
    dns: list[Address] | None
    domain: str | None | t.Any
    lease_time: int | t.Any
    routes: list[tuple[Network, Address]]


@dataclasses.dataclass
class Qos:
    """What becomes of an endpoint's packets. send_rate, receive_rate: the most that passes, in kbit/s. dscp: the mark of what it sends (RFC 2474)."""

    send_rate: int | None | t.Any
    receive_rate: int | None | t.Any
    dscp: int | None | t.Any


@dataclasses.dataclass
class Mirror:
    """A copy of what an endpoint sends or receives, by a tunnel. key: of GRE, or the session of ERSPAN."""

    where: str
    to: Address | t.Any
    direction: str | t.Any
    encapsulation: str | t.Any
    key: int | t.Any


@dataclasses.dataclass
class Segment:
    """A layer-2 network; overlay is None for one that is local to each host.

    key: its tunnel key, on an overlay whose segments are told apart by keys. tenant: whose it is; None is the fabric's own.
    learn: whether endpoints that the plan does not know may be on it. dhcp: its DHCP servers, or None for no such. policy: as of its overlay,
    which None leaves it to. multicast_snooping: whether multicast gets to those alone who asked for it.
    """

    where: str
    name: str | t.Any
    vlan: int | None | t.Any
    key: int | None | t.Any
    tenant: str | None | t.Any
    subnet: Network | t.Any
    subnet6: Network | None | t.Any
    mtu: int | None | t.Any
    overlay: str | None | t.Any
    learn: bool | t.Any = False
    dhcp: Dhcp | None = None
    policy: str | None | t.Any = None
    multicast_snooping: bool | t.Any = False

    @property
    def subnets(self) -> list[Network]:
        """Its subnets, of IPv4 and IPv6 or of one of them."""
        return [net for net in (self.subnet, self.subnet6) if net]


@dataclasses.dataclass
class Endpoint:
    """Anything with an address on a segment.

    inside: of a further interface of a service or an edge, the endpoint whose namespace it is in.
    dhcp: whether it asks a DHCP server for its IPv4 address. serves: whether it is its segment's DHCP server.
    edge: of an interface of an edge, the edge. further: addresses that it has besides, for NAT. labels: by which rules may name it.
    nic: of an interface of an edge on one host, what its MAC address comes from instead of the identity.
    router: whether it was said to forward packets of others.
    virtual: addresses that it has while its edge is active on its host, as VRRP decides.
    movable: it was stated for the whole fabric, with its host, so that its identity does not hang on that; nth: its place among those.
    stated: the host that the intent names, where a guest that may move is on another; moving: it is to be moved there.
    """

    where: str
    host: str
    name: str | t.Any
    kind: str | t.Any
    segment: str | t.Any
    address: Address | None | t.Any
    address6: Address | None | t.Any
    mac: str | None | t.Any
    interface: str | t.Any
    routes: list[dict[str, str]]
    sysctls: dict[str, str]
    guest: dict[str, t.Any] | None | t.Any = None
    container: dict[str, t.Any] | None | t.Any = None
    service: dict[str, t.Any] | None | t.Any = None
    given_outer: str | None | t.Any = None
    inside: str = ""
    dhcp: bool = False
    serves: bool = False
    edge: str = ""
    nic: str = ""
    further: list[Address] = dataclasses.field(default_factory=list)
    virtual: list[Address] = dataclasses.field(default_factory=list)
    labels: list[str] = dataclasses.field(default_factory=list)
    router: bool | t.Any = False
    movable: bool = False
    nth: int = 0
    qos: Qos | None = None
    stated: str = ""
    moving: bool = False
    mirrors: list[Mirror] = dataclasses.field(default_factory=list)

    @property
    def is_router(self) -> bool:
        """Whether packets of others come from it, so that their source says nothing about it."""
        return bool(self.router or self.edge or self.forwards(4) or self.forwards(6))

    @property
    def id(self) -> str:
        """Its name in the whole fabric, with the host that it is on."""
        return f"{self.host}/{self.name}"

    @property
    def identity(self) -> str:
        """What the intent calls it, and what its MAC address and UUID come from: it stays when a movable endpoint goes to another host."""
        return self.name if self.movable else self.id

    @property
    def space(self) -> str:
        """The namespace that it is, or is in."""
        return self.inside or self.name

    @property
    def outer(self) -> str:
        """The host's end of its veth pair."""
        return self.given_outer or default_outer(self.space, self.interface)

    def forwards(self, version: int) -> bool:
        """Whether its sysctls make it a router of an address family."""
        wanted = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}[version]
        return any(key.replace("/", ".") == wanted and value == "1" for key, value in self.sysctls.items())


@dataclasses.dataclass
class Host:
    """What a host says for itself; None where it leaves a value to the plan."""

    name: str
    id: int | None | t.Any
    tep_address: Address | None | t.Any
    tep_prefix: int | None
    interface: str | None | t.Any
    bond: Bond | None | t.Any
    engine: str | None | t.Any
    endpoints: list[Endpoint]
    guest_memory: str | None | t.Any = None
    flows: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    routing: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    adopt: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Denied:
    """A pair of endpoints of one segment, by their ids, between which flows drop what the probes send."""

    where: str
    source: str | t.Any
    target: str | t.Any
    probes: list[str] | t.Any


@dataclasses.dataclass
class Intent:
    """The whole intent.

    given holds the places of all values that the user wrote, such as `fabric_underlay.mtu`; refused the variables with
    an item that was left out, so that a name which is not found may well be that item's.
    routers: the hosts of the group routers, which have no tunnels. common: the variables of routing, as the specification has them.
    """

    name: str | t.Any
    underlay: Underlay
    overlays: list[Overlay]
    segments: list[Segment]
    max_hosts: int | None | t.Any
    hosts: dict[str, Host]
    denied: list[Denied]
    routers: dict[str, Host]
    common: dict[str, t.Any]
    given: set[str]
    refused: set[str]

    @property
    def movable(self) -> list[Endpoint]:
        """The endpoints that are stated with their host, in the order of their list, whichever host they are on."""
        return sorted(
            (one for host in self.hosts.values() for one in host.endpoints if one.movable), key=lambda one: one.nth
        )

    def on_ovn(self, segment: Segment) -> bool:
        """Whether a segment's overlay has the engine ovn."""
        overlay = self._overlay_of(segment)
        return overlay is not None and overlay.ovn

    def on_vlans(self, segment: Segment) -> bool:
        """Whether a segment is a VLAN of the underlay itself."""
        overlay = self._overlay_of(segment)
        return overlay is not None and overlay.bare

    def _overlay_of(self, segment: Segment) -> Overlay | None:
        """A segment's overlay, named or the only one."""
        only = self.overlays[0].name if len(self.overlays) == 1 else None
        named = only if segment.overlay is None else segment.overlay
        return next((overlay for overlay in self.overlays if overlay.name == named), None)

    def engine_of(self, host: Host) -> str | t.Any:
        """Who makes a host's bond and VLAN of the underlay."""
        return self.underlay.engine if host.engine is None else host.engine

    def by_kernel(self, host: Host) -> bool:
        """Whether that is the kernel, by the host's own network configuration."""
        return self.engine_of(host) == KERNEL

    def tep_of(self, host: Host) -> str | t.Any:
        """The interface that has a host's tunnel endpoint: without a VLAN, the kernel has it on the bond or the NIC itself."""
        if not self.by_kernel(host) or self.underlay.vlan:
            return self.underlay.tep
        bond = self.bond_of(host)
        return bond.name if bond else next(iter(self.nics_of(host)), None)

    def bond_of(self, host: Host) -> Bond | None | t.Any:
        """The bond of a host, its own or that of all hosts; None where it has a single NIC."""
        if host.bond is not None or host.interface is not None:
            return host.bond
        return self.underlay.bond

    def nics_of(self, host: Host) -> list[str]:
        """The NICs by which a host is on an underlay that is not routed."""
        bond = self.bond_of(host)
        if bond is not None:
            return bond.interfaces if bond else []
        return [nic for nic in [self.underlay.interface if host.interface is None else host.interface] if nic]
