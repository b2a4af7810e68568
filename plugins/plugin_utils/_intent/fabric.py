# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The intent: the variables of all hosts, checked one by one and turned into typed objects.

What needs a look at more than one object (overlaps, meshes, addresses) is the concern of the _plan files.

This file is private to the collection.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

try:
    import netaddr
except ImportError:
    netaddr = None

from ansible_collections.overloom.fabric.plugins.module_utils._netns.declaration import default_outer
from ansible_collections.overloom.fabric.plugins.module_utils._netns.namespace import check_sysctl
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import interface_name
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.port import PORT_OPTIONS
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import FabricError
from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.spec import (
    INVALID,
    conform,
    label,
    show,
    suggest,
    word,
)

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
    "fabric_guest_memory",
    "fabric_endpoints",
    "fabric_flows",
    *ROUTER_VARIABLES,
)

# Set by the role `plan` itself, so found among the variables of a host afterwards.
RESULTS = ("fabric_plan", "fabric_plan_result", "fabric_secrets_result")
# What may stand in group_vars/all.yml, where hosts outside the fabric have it as well.
_ANYWHERE = ("fabric_adopt",)

_SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")

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
OPENVSWITCH, OVN = "openvswitch", "ovn"
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
# Seconds; dnsmasq lets no lease be shorter. The longest is what a signed number of 32 bits holds.
LEASE_TIMES = (120, 2**31 - 1)
IPV4_MIN_MTU = 68  # RFC 791
IPV6_MIN_MTU = 1280  # RFC 8200, section 5
# Milliseconds: what a signed number of 32 bits holds.
LONGEST_DELAY = 2**31 - 1


@dataclasses.dataclass
class Bond:
    """Several NICs of a host that are one port of the underlay bridge; delays in milliseconds."""

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
    """The network between the hosts; mtu in bytes of an IP packet. A host is on it by one interface, or by a bond."""

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
class Segment:
    """A layer-2 network; overlay is None for one that is local to each host.

    key: its tunnel key, on an overlay whose segments are told apart by keys. tenant: whose it is; None is the fabric's own.
    learn: whether endpoints that the plan does not know may be on it. dhcp: its DHCP servers, or None for no such. policy: as of its overlay,
    which None leaves it to.
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


@dataclasses.dataclass
class Endpoint:
    """Anything with an address on a segment.

    inside: of a further interface of a service or an edge, the endpoint whose namespace it is in.
    dhcp: whether it asks a DHCP server for its IPv4 address. serves: whether it is its segment's DHCP server.
    edge: of an interface of an edge, the edge. further: addresses that it has besides, for NAT. labels: by which rules may name it.
    router: whether it was said to forward packets of others.
    virtual: addresses that it has while its edge is active on its host, as VRRP decides.
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
    further: list[Address] = dataclasses.field(default_factory=list)
    virtual: list[Address] = dataclasses.field(default_factory=list)
    labels: list[str] = dataclasses.field(default_factory=list)
    router: bool | t.Any = False

    @property
    def is_router(self) -> bool:
        """Whether packets of others come from it, so that their source says nothing about it."""
        return bool(self.router or self.edge or self.forwards(4) or self.forwards(6))

    @property
    def id(self) -> str:
        """Its name in the whole fabric."""
        return f"{self.host}/{self.name}"

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

    def on_ovn(self, segment: Segment) -> bool:
        """Whether a segment's overlay, named or the only one, has the engine ovn."""
        only = self.overlays[0].name if len(self.overlays) == 1 else None
        named = only if segment.overlay is None else segment.overlay
        return any(overlay.ovn for overlay in self.overlays if overlay.name == named)

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


def load(
    hosts: dict[str, dict[str, t.Any]],
    spec: dict[str, t.Any],
    problems: list[str],
    routers: dict[str, dict[str, t.Any]] | None = None,
) -> Intent:
    """The intent from the variables of the fabric's hosts; what is wrong with them is appended to problems.

    hosts: name to variables (plain data, templates resolved; variables of another prefix are ignored).
    routers: likewise of the hosts that are routers only.
    spec: the options of roles/plan/meta/argument_specs.yml.
    A value that was refused is INVALID in the result.
    """
    given: set[str] = set()
    routers = routers or {}
    common = _common({**hosts, **routers}, spec, problems, given)
    overlays, segments = "fabric_overlays", "fabric_segments"
    underlay = _underlay(common["fabric_underlay"], given, problems)
    named_overlays = [_overlay(item, i, underlay, given, problems) for i, item in _items(common, overlays)]
    named_segments = [_segment(item, i, problems) for i, item in _items(common, segments)]
    refused = {
        variable
        for variable, found in ((overlays, named_overlays), (segments, named_segments))
        if common[variable] is INVALID or INVALID in common[variable] or any(item.name is INVALID for item in found)
    }
    max_hosts = _between(common["fabric_max_hosts"], 1, 65535, "fabric_max_hosts", problems)
    if max_hosts and max_hosts < len(hosts):
        problems.append(f"fabric_max_hosts is {max_hosts}, but the fabric has {len(hosts)} hosts; raise it.")
        max_hosts = INVALID
    return Intent(
        name=_fabric_name(common["fabric_name"], problems),
        underlay=underlay,
        overlays=unique([item for item in named_overlays if item.name is not INVALID], overlays, problems),
        segments=unique([item for item in named_segments if item.name is not INVALID], segments, problems),
        max_hosts=max_hosts,
        hosts={name: _host(name, hosts[name], spec, problems, given) for name in sorted(hosts)},
        denied=[
            Denied(f"fabric_denied[{i}]", item["from"], item["to"], item["probes"])
            for i, item in _items(common, "fabric_denied")
        ],
        routers={name: _host(name, routers[name], spec, problems, given) for name in sorted(routers)},
        common=common,
        given=given,
        refused=refused,
    )


def read_network(value: t.Any, where: str, problems: list[str], version: int | None = None) -> Network | t.Any:
    """A subnet in CIDR notation without host bits; INVALID and a sentence if it is none."""
    if not isinstance(value, str):
        return value
    try:
        if "/" not in value or "%" in value:
            raise ValueError
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        problems.append(f"{where} {show(value)} is no subnet; write it as 10.1.1.0/24 or 2001:db8:1::/64.")
        return INVALID
    if network.network_address != ipaddress.ip_address(value.partition("/")[0]):
        problems.append(f"{where} {value} has host bits set; the subnet is {network}.")
        return INVALID
    if network.is_multicast or network.is_loopback:
        problems.append(
            f"{where} {value} is a {'multicast' if network.is_multicast else 'loopback'} range; take a unicast subnet."
        )
        return INVALID
    if version and network.version != version:
        problems.append(
            f"{where} {value} must be IPv{version}; an IPv6 subnet stands alone in subnet, or in subnet6 beside an IPv4 one."
        )
        return INVALID
    return network


def read_address(value: t.Any, where: str, problems: list[str]) -> Address | t.Any:
    """An address without prefix length; INVALID and a sentence if it is none."""
    if not isinstance(value, str):
        return value
    try:
        if "%" in value:
            raise ValueError
        return ipaddress.ip_address(value)
    except ValueError:
        hint = (
            "leave out the prefix length, which is the segment's"
            if "/" in value
            else "write it as 10.1.1.2 or 2001:db8:1::2"
        )
        problems.append(f"{where} {show(value)} is no address; {hint}.")
        return INVALID


def read_interface(value: t.Any, where: str, problems: list[str]) -> str | t.Any:
    """A name that Linux and Open vSwitch take for an interface or a bridge; INVALID and a sentence if it is none."""
    if not isinstance(value, str):
        return value
    try:
        return interface_name(value, where)
    except FabricError as error:
        problems.append(f"{error}.")
        return INVALID


def read_mac(value: t.Any, where: str, problems: list[str]) -> str | None | t.Any:
    """A MAC address of a single interface in the hosts' notation; INVALID and a sentence if it is none."""
    if not isinstance(value, str):
        return value
    if netaddr is None:
        problems.append(
            f"{where} needs the Python library netaddr on the controller; install it with: pip install netaddr."
        )
        return INVALID
    if not (set(value) & set(":-.") and netaddr.valid_mac(value)):
        # Digits alone are a number that YAML has made of an address without quotes.
        problems.append(f"{where} {show(value)} is no MAC address; write it in quotes, as '02:00:00:00:00:01'.")
        return INVALID
    # However a vendor writes it (02-00-.., 0200.0000.0001), the hosts know one form.
    mac = str(netaddr.EUI(value, dialect=netaddr.mac_unix_expanded))
    if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00":
        problems.append(
            f"{where} {mac} is no address of a single interface; its first byte must be even, and not all be zero."
        )
        return INVALID
    return mac


def check_names(hosts: dict[str, dict[str, t.Any]], prefix: str, known: t.Collection[str], problems: list[str]) -> None:
    """Tell each variable with the prefix that does not exist, with the nearest one that does."""
    unknown: dict[str, list[str]] = {}
    for name in sorted(hosts):
        for variable in hosts[name]:
            if variable.startswith(prefix) and variable not in known:
                unknown.setdefault(variable, []).append(name)
    for variable, names in sorted(unknown.items()):
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        problems.append(f"{variable} (of {shown}) is no variable of the {prefix[:-1]}{suggest(variable, known)}")


def check_others(others: dict[str, dict[str, t.Any]], problems: list[str]) -> None:
    """Tell endpoints and ids of hosts that are not in the fabric, where nobody would read them."""
    for name, variables in sorted(others.items()):
        for variable in HOST_VARIABLES:
            if variables.get(variable) and variable not in _ANYWHERE:
                group = "routers" if variable in ROUTER_VARIABLES else "kvm_hosts"
                problems.append(
                    f"{name}: {variable} is set, but the host is not in the fabric; put it into the group {group}."
                )


def _common(
    hosts: dict[str, dict[str, t.Any]], spec: dict[str, t.Any], problems: list[str], given: set[str]
) -> dict[str, t.Any]:
    """The variables that are stated once for all hosts."""
    result = {}
    for variable, option in spec.items():
        if variable in HOST_VARIABLES:
            continue
        value, source = None, ""
        for name in sorted(hosts):
            other = hosts[name].get(variable)
            if other is None or other is value:
                continue
            if value is None:
                value, source = other, name
            elif other != value:
                problems.append(
                    f"{variable} differs between {source} and {name}; it holds for the whole fabric, so state it once, in group_vars/all.yml."
                )
                break
        _note(value, variable, given)
        result[variable] = conform(value, option, variable, problems)
    return result


def _note(value: t.Any, where: str, given: set[str]) -> None:
    """Remember the places of all values that the user wrote."""
    if value is None:
        return
    given.add(where)
    if isinstance(value, dict):
        for key, item in value.items():
            _note(item, f"{where}.{key}", given)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            if isinstance(item, dict):
                _note(item, f"{where}[{label(item, i)}]", given)


def _items(common: dict[str, t.Any], variable: str) -> list[tuple[int, dict[str, t.Any]]]:
    """The items of a list that are dictionaries, with their positions."""
    return [(i, item) for i, item in enumerate(common[variable] or ()) if isinstance(item, dict)]


def unique(objects: list[t.Any], where: str, problems: list[str]) -> list[t.Any]:
    """Objects with different names; a second one of a name is told and left out."""
    seen: set[str] = set()
    result = []
    for item in objects:
        if item.name in seen:
            problems.append(f"{where} has the name {item.name} twice; give each its own.")
            continue
        seen.add(item.name)
        result.append(item)
    return result


def _between(value: t.Any, low: int, high: int, where: str, problems: list[str]) -> int | None | t.Any:
    """A number within its limits."""
    if isinstance(value, int) and not low <= value <= high:
        problems.append(f"{where} must be {low} to {high}, not {value}.")
        return INVALID
    return value


between = _between  # for the files beside this one


def _vlan(value: t.Any, where: str, problems: list[str]) -> int | None | t.Any:
    if isinstance(value, int) and not 1 <= value <= 4094:
        problems.append(f"{where} must be 1 to 4094, not {value}; leave it out for untagged.")
        return INVALID
    return value


def _matching(value: t.Any, pattern: re.Pattern[str], allowed: str, where: str, problems: list[str]) -> str | t.Any:
    if isinstance(value, str) and not pattern.fullmatch(value):
        problems.append(
            f"{where} {show(value)} is not a valid name; use at most 32 of {allowed}, the first a letter or digit."
        )
        return INVALID
    return value


def matching_name(value: t.Any, where: str, problems: list[str]) -> str | t.Any:
    """A name as segments and endpoints have; INVALID and a sentence if it is none."""
    return _matching(value, _NAME, _NAME_ALLOWED, where, problems)


_SLUG_ALLOWED = "a-z, 0-9, '_' and '-'"
_NAME_ALLOWED = "A-Z, a-z, 0-9, '_', '.' and '-'"


def _fabric_name(value: t.Any, problems: list[str]) -> str | t.Any:
    return _matching(value, re.compile("[a-z0-9][a-z0-9-]{0,31}"), "a-z, 0-9 and '-'", "fabric_name", problems)


def _underlay(item: t.Any, given: set[str], problems: list[str]) -> Underlay:
    if item is INVALID:
        return Underlay(*[INVALID] * 7)
    where = "fabric_underlay"
    bond = _bond(item["bond"], f"{where}.bond", problems)
    if bond is not None and f"{where}.interface" in given:
        problems.append(f"{where}.interface and {where}.bond exclude each other; leave one of them out.")
    subnet = read_network(item["subnet"], f"{where}.subnet", problems)
    low = IPV6_MIN_MTU if subnet and subnet.version == 6 else IPV4_MIN_MTU
    return Underlay(
        subnet=subnet,
        mtu=_between(item["mtu"], low, 65535, f"{where}.mtu", problems),
        bridge=read_interface(item["bridge"], f"{where}.bridge", problems),
        interface=read_interface(item["interface"], f"{where}.interface", problems) if bond is None else None,
        bond=bond,
        tep=read_interface(item["tep"], f"{where}.tep", problems),
        vlan=_vlan(item["vlan"], f"{where}.vlan", problems),
    )


def _bond(item: t.Any, where: str, problems: list[str]) -> Bond | None | t.Any:
    """A bond; of its NICs those that are understood."""
    if not isinstance(item, dict):
        return item
    mode, nics = item["mode"], item["interfaces"] or ()
    found = [nic for text in nics for nic in [read_interface(text, f"{where}.interfaces", problems)] if nic]
    for nic in dict.fromkeys(nic for nic in found if found.count(nic) > 1):
        problems.append(f"{where}.interfaces names {nic} twice; name each NIC once.")
    if item["interfaces"] is not INVALID and len(nics) < 2:
        few = f"names {found[0]} alone" if found else "names no NIC"
        problems.append(f"{where}.interfaces {few}; a bond needs two or more, and a single NIC is an interface.")
    for option, fits, modes in (
        ("primary", mode == "active-backup", "the mode active-backup"),
        ("lacp_rate", mode == "lacp", "the mode lacp"),
        ("up_delay", mode != "lacp", "the modes without LACP, which has timers of its own"),
        ("down_delay", mode != "lacp", "the modes without LACP, which has timers of its own"),
    ):
        if mode is not INVALID and item[option] is not None and not fits:
            problems.append(f"{where}.{option} is for {modes}; leave it out with {mode}.")
    if isinstance(item["primary"], str) and found and item["primary"] not in found:
        problems.append(
            f"{where}.primary {word(item['primary'])} is not among its NICs{suggest(item['primary'], found)}"
        )
    return Bond(
        where=where,
        name=read_interface(item["name"], f"{where}.name", problems),
        interfaces=found,
        mode=mode,
        primary=item["primary"],
        up_delay=_between(item["up_delay"], 0, LONGEST_DELAY, f"{where}.up_delay", problems),
        down_delay=_between(item["down_delay"], 0, LONGEST_DELAY, f"{where}.down_delay", problems),
        lacp_rate=item["lacp_rate"],
    )


def _overlay(item: dict[str, t.Any], index: int, underlay: Underlay, given: set[str], problems: list[str]) -> Overlay:
    name = item["name"] if item["name"] is not None else item["encapsulation"]
    where = f"fabric_overlays[{label(item, index)}]"
    encapsulation = item["encapsulation"]
    if encapsulation == "vlan":
        for option in [option for option in OF_TUNNELS if f"{where}.{option}" in given]:
            problems.append(
                f"{where}.{option} is for tunnels; leave it out with the encapsulation vlan, which has none."
            )
            item[option] = None
        item.update(topology="full_mesh", bridge=underlay.bridge)
    if item["engine"] == OVN:
        _check_ovn(item, where, given, problems)
    if item["dst_port"] is not None and encapsulation and encapsulation not in DST_PORTS:
        problems.append(f"{where}.dst_port is for vxlan and geneve; leave it out with {encapsulation}.")
    key = item["key"]
    if encapsulation in KEY_BITS and isinstance(key, int) and not 1 <= key < 2 ** KEY_BITS[encapsulation]:
        problems.append(
            f"{where}.key must be 1 to {2 ** KEY_BITS[encapsulation] - 1} ({KEY_BITS[encapsulation]} bits with {encapsulation}),"
            f" not {key}; leave it out for none."
        )
        key = INVALID
    _check_topology(item, where, problems)
    links = item["links"]
    if links:
        links = [_link(link, where, problems) for link in links]
    options = {
        "dst_port": _between(item["dst_port"], 1, 65535, f"{where}.dst_port", problems),
        "csum": item["csum"],
        "ttl": _between(item["ttl"], 1, 255, f"{where}.ttl", problems),
        "tos": _tos(item["tos"], f"{where}.tos", problems),
        "df_default": item["df_default"],
        "bfd": _bfd(item["bfd"], f"{where}.bfd", problems),
    }
    return Overlay(
        where=where,
        name=_matching(name, _SLUG, _SLUG_ALLOWED, f"{where}.name", problems),
        encapsulation=encapsulation,
        topology=item["topology"],
        hubs=item["hubs"],
        links=links,
        bridge=read_interface(item["bridge"], f"{where}.bridge", problems),
        key=key,
        options=options,
        loop_guard=item["loop_guard"],
        segments_by=item["segments_by"],
        peers=unique(
            [peer for peer in _peers(item["peers"], where, problems) if peer.name is not INVALID],
            f"{where}.peers",
            problems,
        ),
        tunnel_names=_tunnel_names(item["tunnel_names"], f"{where}.tunnel_names", problems),
        local_ip=item["local_ip"] is not False,
        policy=item["policy"],
        engine=item["engine"],
    )


def _check_ovn(item: dict[str, t.Any], where: str, given: set[str], problems: list[str]) -> None:
    """An overlay of OVN says how its tunnels are wrapped, and nothing else of them; its bridge is its own."""
    if item["encapsulation"] and item["encapsulation"] not in OVN_ENCAPSULATIONS:
        problems.append(
            f"{where}.encapsulation {item['encapsulation']} is for the engine openvswitch; with ovn it is {' or '.join(OVN_ENCAPSULATIONS)}."
        )
        item["encapsulation"] = INVALID
    for option in [option for option in OF_TUNNELS if option != "bridge" and f"{where}.{option}" in given]:
        problems.append(
            f"{where}.{option} is for the engine openvswitch; leave it out with ovn, whose tunnels are a full mesh of its own making."
        )
        item[option] = None
    item.update(topology="full_mesh", segments_by=OVN)
    if f"{where}.bridge" not in given:
        item["bridge"] = OVN_BRIDGE


def _tunnel_names(value: t.Any, where: str, problems: list[str]) -> dict[str, dict[str, str]]:
    """The given names of tunnels by host and peer, those that are understood."""
    found: dict[str, dict[str, str]] = {}
    for host, names in (value or {}).items():
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            problems.append(f"{where}.{host} must be names by peer, as {{kvm2: gre0}}, not {show(names)}.")
            continue
        for peer, text in names.items():
            name = read_interface(text, f"{where}.{host}.{peer}", problems)
            if name:
                found.setdefault(str(host), {})[str(peer)] = name
    return found


def _check_topology(item: dict[str, t.Any], where: str, problems: list[str]) -> None:
    """The topology of an overlay comes with its own option, and with no other's."""
    topology = item["topology"]
    for option, needed in (("hubs", "hub_and_spoke"), ("links", "links")):
        if topology is INVALID or item[option] is INVALID:
            continue
        if topology == needed and not item[option]:
            problems.append(f"{where}.{option} is missing; topology {needed} needs it.")
            item[option] = INVALID
        elif topology != needed and item[option] is not None:
            problems.append(f"{where}.{option} is for topology {needed}; leave it out with {topology}.")
            item[option] = INVALID


def _peers(items: t.Any, where: str, problems: list[str]) -> list[Peer]:
    """The tunnel endpoints that others manage."""
    found = []
    for index, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict):
            place = f"{where}.peers[{label(item, index)}]"
            behind = [(i, end) for i, end in enumerate(item["endpoints"] or []) if isinstance(end, dict)]
            found.append(
                Peer(
                    where=place,
                    name=matching_name(item["name"], f"{place}.name", problems),
                    address=read_address(item["address"], f"{place}.address", problems),
                    endpoints=[
                        (end["segment"], read_address(end["address"], f"{place}.endpoints[{i}].address", problems))
                        for i, end in behind
                    ],
                )
            )
    return found


def _link(link: t.Any, where: str, problems: list[str]) -> tuple[str, str] | t.Any:
    if link is INVALID:
        return INVALID
    if len(link) != 2 or not all(isinstance(end, str) for end in link):
        problems.append(f"{where}.links has {show(link)}; write each link as the names of two hosts, [kvm1, kvm2].")
        return INVALID
    return tuple(link)


def _bfd(value: t.Any, where: str, problems: list[str]) -> dict[str, t.Any] | None | t.Any:
    """BFD as the module takes it: a dictionary."""
    if value is None:
        return None
    if not isinstance(value, dict):
        enable = conform(value, {"type": "bool"}, where, problems)
        return INVALID if enable is INVALID else {"enable": enable}
    spec = {"type": "dict", "options": BFD.spec["options"]}
    result = {key: item for key, item in conform(value, spec, where, problems).items() if item is not None}
    try:
        BFD.parse({key: item for key, item in result.items() if item is not INVALID}, where)
    except FabricError as error:
        problems.append(f"{error}.")
    return result


def _tos(value: t.Any, where: str, problems: list[str]) -> int | None | t.Any:
    if isinstance(value, int) and (not 0 <= value <= 252 or value % 4):
        problems.append(
            f"{where} must be 0 to 252 in steps of 4, not {value}; its two lowest bits are ECN, which is not settable."
        )
        return INVALID
    return value


def _segment(item: dict[str, t.Any], index: int, problems: list[str]) -> Segment:
    where = f"fabric_segments[{label(item, index)}]"
    subnet = read_network(item["subnet"], f"{where}.subnet", problems)
    subnet6 = read_network(item["subnet6"], f"{where}.subnet6", problems, version=6)
    if subnet and subnet6 and subnet.version == 6:
        problems.append(
            f"{where}.subnet6 stands beside an IPv4 subnet only, and subnet {subnet} is IPv6; leave one of them out."
        )
        subnet6 = INVALID
    six = (subnet and subnet.version == 6) or subnet6
    mtu = _between(item["mtu"], IPV4_MIN_MTU, 65535, f"{where}.mtu", problems)
    if mtu and six and mtu < IPV6_MIN_MTU:
        problems.append(
            f"{where}.mtu {mtu} is too small for IPv6, which needs {IPV6_MIN_MTU} (RFC 8200); raise it or leave it out."
        )
        mtu = INVALID
    return Segment(
        where=where,
        name=_matching(item["name"], _NAME, _NAME_ALLOWED, f"{where}.name", problems),
        vlan=_vlan(item["vlan"], f"{where}.vlan", problems),
        key=_between(item["key"], 1, 2**32 - 1, f"{where}.key", problems),
        tenant=_matching(item["tenant"], _NAME, _NAME_ALLOWED, f"{where}.tenant", problems),
        subnet=subnet,
        subnet6=subnet6,
        mtu=mtu,
        overlay=item["overlay"],
        learn=item["learn"],
        policy=item["policy"],
        dhcp=_dhcp(item["dhcp"], f"{where}.dhcp", problems) if isinstance(item["dhcp"], dict) else None,
    )


def _dhcp(item: dict[str, t.Any], where: str, problems: list[str]) -> Dhcp:
    """The DHCP servers of a segment; items of lists that were refused are left out."""
    ranges, dns = ([] if item[option] is INVALID else item[option] for option in ("ranges", "dns"))
    if ranges is not None:
        ranges = [found for text in ranges for found in [_range(text, f"{where}.ranges", problems)] if found]
    if dns is not None:
        dns = [found for text in dns for found in [read_address(text, f"{where}.dns", problems)] if found]
    routes = []
    for route in item["routes"] or ():
        if route:
            to = read_network(route["to"], f"{where}.routes.to", problems, version=4)
            via = read_address(route["via"], f"{where}.routes.via", problems)
            routes += [(to, via)] if to and via else []
    return Dhcp(
        where=where,
        hosts=item["hosts"],
        ranges=ranges,
        router=read_address(item["router"], f"{where}.router", problems),
        dns=dns,
        domain=_domain(item["domain"], f"{where}.domain", problems),
        lease_time=_between(item["lease_time"], *LEASE_TIMES, f"{where}.lease_time", problems),
        routes=routes,
    )


def _range(text: t.Any, where: str, problems: list[str]) -> tuple[Address, Address] | None:
    """The first and the last address of a range, or None if it is none."""
    if not isinstance(text, str):
        return None
    try:
        first, last = (ipaddress.ip_address(word.strip()) for word in text.split("-"))
    except ValueError:
        problems.append(f"{where} {show(text)} is no range; write it as 10.1.1.100-10.1.1.199.")
        return None
    if first.version != last.version or first > last:  # type: ignore[operator]
        problems.append(f"{where} {text} ends before it begins; write the lower address first.")
        return None
    return first, last


def _domain(value: t.Any, where: str, problems: list[str]) -> str | None | t.Any:
    """A domain name (RFC 1123)."""
    if isinstance(value, str) and (len(value) > 200 or not _DOMAIN.fullmatch(value)):
        problems.append(f"{where} {show(value)} is no domain; write it as lab.example, of letters, digits and '-'.")
        return INVALID
    return value


def _host(name: str, variables: dict[str, t.Any], spec: dict[str, t.Any], problems: list[str], given: set[str]) -> Host:
    values = {}
    for variable in HOST_VARIABLES:
        _note(variables.get(variable), f"{name}: {variable}", given)
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
    bond = _bond(values["fabric_underlay_bond"], f"{name}: fabric_underlay_bond", problems)
    if bond is not None and values["fabric_underlay_interface"] is not None:
        both = "fabric_underlay_interface and fabric_underlay_bond"
        problems.append(f"{name}: {both} exclude each other; leave one of them out.")
    endpoints: list[Endpoint] = []
    for i, item in _items(values, "fabric_endpoints"):
        endpoint = _endpoint(item, i, name, problems)
        endpoints += [endpoint, *_outbound(endpoint, problems)]
    return Host(
        name=name,
        id=_between(values["fabric_host_id"], 1, 65535, f"{name}: fabric_host_id", problems),
        tep_address=read_address(tep, where, problems),
        tep_prefix=prefix,
        interface=read_interface(values["fabric_underlay_interface"], f"{name}: fabric_underlay_interface", problems),
        bond=bond,
        endpoints=unique(
            [item for item in endpoints if item.name is not INVALID], f"{name}: fabric_endpoints", problems
        ),
        guest_memory=values["fabric_guest_memory"],
        flows=[item for _i, item in _items(values, "fabric_flows")],
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


def _endpoint(item: dict[str, t.Any], index: int, host: str, problems: list[str]) -> Endpoint:
    where = f"{host}: fabric_endpoints[{label(item, index)}]"
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
        name=_matching(item["name"], _NAME, _NAME_ALLOWED, f"{where}.name", problems),
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
    )


def _labels(values: t.Any, where: str, problems: list[str]) -> list[str]:
    """The labels of an endpoint, each once."""
    found = [_matching(value, _NAME, _NAME_ALLOWED, where, problems) for value in values or ()]
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


def read_routes(items: t.Any, where: str, problems: list[str]) -> list[dict[str, str]]:
    """The routes of an endpoint, those that are understood."""
    routes = []
    for route in items or ():
        if route is INVALID:
            continue
        to = route["to"]
        if isinstance(to, str) and to != "default":
            to = read_network(to, f"{where}.routes.to", problems)
        via = read_address(route["via"], f"{where}.routes.via", problems)
        if to and via:
            if to != "default" and to.version != via.version:
                problems.append(f"{where}.routes to {to} goes via {via}; both must be of the same address family.")
            routes.append({"to": str(to), "via": str(via)})
    return routes
