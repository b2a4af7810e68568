# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and routes of a NIC that becomes a port of a bridge, which are then the bridge's: now, at boot, and given back.

This file is private to the collection. One systemd unit moves them as soon as Open vSwitch has the NIC: right after the change that puts it
there, which may well end the connection that the change came by, and at each boot in the same way.
"""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._checkpoint import undo as _state
from ansible_collections.overloom.fabric.plugins.module_utils._checkpoint.checkpoint import (
    FLAGS,
    PLACE,
    networkd_file,
)
from ansible_collections.overloom.fabric.plugins.module_utils._host import content
from ansible_collections.overloom.fabric.plugins.module_utils._ip.iproute import (
    batch_steps,
    check_interface_name,
    check_mac,
    check_once,
    listed,
)
from ansible_collections.overloom.fabric.plugins.module_utils._json import documents
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Settings, may_declare, may_remove
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    AnyStep,
    Change,
    FabricError,
    Remove,
    Runner,
    Step,
    Write,
    module_runner,
    reconcile,
)
from ansible_collections.overloom.fabric.plugins.module_utils._systemd import (
    Command,
    Unit,
    booted,
    ifup_unit,
    ip_commands,
    oneshot,
    read_units,
    unit_name,
    unit_steps,
)

KIND = "takeover"
# How long the unit waits for Open vSwitch to have the NIC, in seconds.
PATIENCE = 90
TAKEOVER: dict[str, dict[str, t.Any]] = {
    "name": {"type": "str"},
    "bridge": {"type": "str"},
    "mac": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}
# What systemd-networkd stacks upon a NIC stays upon it.
_STACKED = {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "vxlan", "tunnel", "bridge", "bond", "vrf"}
_HEAD = "# Made by overloom.fabric; the next run of it replaces what is changed here.\n"


class Item(t.NamedTuple):
    """One declared takeover. mac: of the bridge's port; None takes that of the NIC."""

    name: str
    bridge: str
    mac: str | None
    present: bool


class Kept(t.NamedTuple):
    """What a unit notes: addresses and routes as words for ip(8). hwaddr: what others had set as the bridge's `other_config:hwaddr`, or empty."""

    owner: str
    bridge: str
    mac: str
    addresses: tuple[str, ...]
    routes: tuple[str, ...]
    hwaddr: str = ""


class Found(t.NamedTuple):
    """What is on the host.

    on: the bridge that each NIC is on; files, networks: what systemd-networkd has of each NIC, of ours and of the host, as text; manager: the
    NICs that are NetworkManager's; hwaddr: `other_config:hwaddr` of bridges.
    """

    links: dict[str, dict[str, t.Any]]
    routes: list[dict[str, t.Any]]
    units: dict[str, Unit]
    on: dict[str, str]
    files: dict[str, str]
    networks: dict[str, str]
    manager: frozenset[str]
    hwaddr: t.Mapping[str, str] = {}


def items(params: t.Mapping[str, t.Any]) -> list[Item]:
    """The declared takeovers. Raises FabricError with the first wrong input."""
    made = [_item(row) for row in listed(params, "takeovers", "NIC")]
    check_once([item.name for item in made], "NIC")
    return made


def _item(row: t.Mapping[str, t.Any]) -> Item:
    if not row["name"]:
        raise FabricError("name is missing; give the NIC, such as eth0")
    name, present = check_interface_name(row["name"], "name"), row["state"] == "present"
    what = f"NIC {name}"
    if present and not row["bridge"]:
        raise FabricError(f"{what}: bridge is missing; give the bridge that takes its addresses")
    bridge = check_interface_name(row["bridge"], f"{what}: bridge") if row["bridge"] else ""
    if bridge == name:
        raise FabricError(f"{what}: bridge is the NIC itself; give a bridge of Open vSwitch")
    mac = check_mac(row["mac"], f"{what}: mac") if row["mac"] else None
    return Item(name, bridge, mac, present)


# --- reading ------------------------------------------------------------------------------------------------------------


def read(runner: Runner, declared: t.Sequence[Item]) -> Found:
    """Read the host: four processes, one for each NIC, and one for each bridge that is to take over a NIC for the first time."""
    links = documents(runner(("ip", "-json", "-details", "address", "show")))[0]
    by_name = {link["ifname"]: link for link in links if link.get("ifname")}
    routes = [row for six in ("-4", "-6") for row in json.loads(runner(("ip", six, *_state.ROUTES), (0, 1, 2)) or "[]")]
    units = read_units(KIND)
    noted = [unit.notes() for unit in units.values()]
    nics = {item.name for item in declared} | {notes.get("Name", "") for notes in noted}
    bridges = {item.bridge for item in declared} | {notes.get("Bridge", "") for notes in noted}
    there = sorted(nics & by_name.keys())
    first = {item.bridge for item in declared if item.present and unit_name(KIND, item.name) not in units}
    return Found(
        links=by_name,
        routes=routes,
        units=units,
        on=_bridges_of(runner, there),
        files=_texts(map(networkd_file, filter(None, nics | bridges))),
        networks={name: _network(by_name[name]["ifindex"]) for name in there},
        manager=frozenset(name for name in there if _by_network_manager(by_name[name]["ifindex"])),
        hwaddr={bridge: _hwaddr(runner, bridge) for bridge in sorted(first)},
    )


def _texts(paths: t.Iterable[str]) -> dict[str, str]:
    """The files that have anything in them."""
    return {path: text for path in paths for text in [content(path)] if text}


def _bridges_of(runner: Runner, names: t.Iterable[str]) -> dict[str, str]:
    """The bridge that each NIC is on, of those that are on one."""
    told = {name: runner.run(("ovs-vsctl", "--timeout=10", "iface-to-br", name)) for name in names}
    return {name: out.strip() for name, (status, out, _error) in told.items() if status == 0}


def _hwaddr(runner: Runner, bridge: str) -> str:
    """The MAC address that a bridge's own port is given; empty where none is, and before there is the bridge."""
    _status, out, _error = runner.run(
        ("ovs-vsctl", "--timeout=10", "--if-exists", "get", "Bridge", bridge, "other_config:hwaddr")
    )
    return out.strip().strip('"')


def _network(index: int) -> str:
    """The text of the file of systemd-networkd that an interface is configured by, with its drop-ins; empty without one."""
    state = dict(line.partition("=")[::2] for line in content(f"/run/systemd/netif/links/{index}").splitlines())
    path = state.get("NETWORK_FILE", "")
    if not path or os.path.basename(path).startswith("00-overloom-"):
        return ""
    return "\n".join(
        content(one) for one in [path, *state.get("NETWORK_FILE_DROPINS", "").strip('"').split(":")] if one
    )


def _by_network_manager(index: int) -> bool:
    return "connection-uuid=" in content(f"/run/NetworkManager/devices/{index}")


# --- units and files ------------------------------------------------------------------------------------------------------


def kept(unit: Unit | None) -> Kept | None:
    """What a unit notes, or None if there is none of ours."""
    notes = unit.notes() if unit else {}
    if "Owner" not in notes or "Former" not in notes:
        return None
    former = json.loads(notes["Former"])
    addresses, routes = (tuple(former[key]) for key in ("addresses", "routes"))
    return Kept(notes["Owner"], notes["Bridge"], notes["Mac"], addresses, routes, former.get("hwaddr", ""))


def takeover_unit(name: str, what: Kept, own_mac: bool = False) -> Unit:
    """The unit that moves addresses and routes as soon as Open vSwitch has the NIC.

    own_mac: the bridge's port has another MAC address than the NIC, as in user space. There Open vSwitch sends a tunnel's packets to whoever
    answers ARP for its end, so this port must not answer for the tunnel endpoint beside it (arp_ignore).
    The port goes down and up, so that the kernel tells the neighbors its MAC address (arp_notify, ndisc_notify). At a boot with a checkpoint
    armed the unit does nothing.
    """
    bridge = what.bridge
    former = {"addresses": what.addresses, "routes": what.routes, **({"hwaddr": what.hwaddr} if what.hwaddr else {})}
    notes = {
        "Owner": what.owner,
        "Bridge": bridge,
        "Mac": what.mac,
        "Former": json.dumps(former, separators=(",", ":")),
    }
    wait = ("ovs-vsctl", f"--timeout={PATIENCE}", "wait-until", "Interface")
    hardware = ("ovs-vsctl", "--timeout=30", "set", "Bridge", bridge, f'other-config:hwaddr="{what.mac}"')
    raised = [f"ipv4/conf/{bridge}/arp_notify", f"ipv6/conf/{bridge}/ndisc_notify"]
    raised += [f"ipv4/conf/{bridge}/arp_ignore"] if own_mac else []
    parameters = [Command(("sh", "-c", 'echo 1 >"$0"', f"/proc/sys/net/{path}"), may_fail=True) for path in raised]
    commands = [
        Command((*wait, name, "ofport>0")),
        Command((*wait, bridge, "ofport>0")),
        Command(hardware),
        *parameters,
        *ip_commands([f"link set dev {bridge} down"]),
        *(command._replace(may_fail=True) for command in ip_commands(_away(what, name))),
        # What is refused must not keep the rest away; the next run finds what is missing.
        *(command._replace(may_fail=True) for command in ip_commands(_onto(what, bridge))),
        # At rest: the NIC is without addresses, and those of the bridge are the host's own configuration's too.
        Command(("networkctl", "reload"), may_fail=True),
    ]
    after = ["ovs-vswitchd.service", "network-pre.target", "networking.service", "systemd-networkd.service"]
    after.append(ifup_unit(name))
    return oneshot(
        KIND,
        name,
        f"Addresses of the NIC {name} on the bridge {bridge}",
        notes,
        commands,
        wanted_by=["multi-user.target", "ovs-vswitchd.service"],
        after=after,
        part_of=["ovs-vswitchd.service"],
        unit=[f"ConditionPathExistsGlob=|!{PLACE}/*.json*", f"ConditionPathExistsGlob=|{FLAGS}/*"],
        # Open vSwitch, or the NIC, may be late, and without this the host cannot be reached.
        again_after=5,
    )


def _away(what: Kept, device: str) -> list[str]:
    """The lines that take routes and addresses away: the last address first, as with the first of a subnet the others go."""
    routes = [f"route delete {words} dev {device}" for words in what.routes]
    addresses = [f"address delete {words.split(' ')[0]} dev {device}" for words in reversed(what.addresses)]
    return [*routes, *addresses]


def _onto(what: Kept, device: str) -> list[str]:
    """The lines that give addresses and routes; of duplicates nothing is known on a link that has just come up."""
    nodad = {words: " nodad" if ":" in words.split(" ")[0] else "" for words in what.addresses}
    given = [f"address replace {words}{nodad[words]} dev {device}" for words in what.addresses]
    routes = [f"route replace {words} dev {device}" for words in what.routes]
    return [*given, f"link set dev {device} up", *routes]


def networkd_texts(name: str, bridge: str, network: str) -> dict[str, str]:
    """The files by which systemd-networkd leaves the NIC without addresses, and configures the bridge as it did the NIC."""
    theirs, stacked = [], []
    section = ""
    for line in network.splitlines():
        text = line.strip()
        if text.startswith("["):
            section = text
        if section == "[Match]" or not text or text.startswith(("#", ";")):
            continue
        if section == "[Network]" and text.partition("=")[0].strip().lower() in _STACKED:
            stacked.append(text)
        else:
            theirs.append(text)
    nic = ["[Match]", f"Name={name}", "", "[Link]", "RequiredForOnline=no", "", "[Network]", "LinkLocalAddressing=no"]
    nic += ["IPv6AcceptRA=no", *stacked]
    port = ["[Match]", f"Name={bridge}", "", *theirs]
    return {
        networkd_file(name): _HEAD + "\n".join(nic) + "\n",
        networkd_file(bridge): _HEAD + "\n".join(port) + "\n",
    }


class Announce(t.NamedTuple):
    """Tell the neighbors that a NIC has addresses, which had another MAC address until now."""

    path: str
    addresses: tuple[str, ...]

    def shown(self) -> str:
        """As commands."""
        given = [words.partition("/")[0] for words in self.addresses]
        programs = {True: "ndsend {1} {0}", False: "arping -A -c 1 -I {0} {1}"}
        return "; ".join(programs[":" in address].format(self.path, address) for address in given)

    def do(self) -> None:
        """Tell them."""
        _state.announce({self.path: {"addresses": list(self.addresses)}})


# --- comparing ------------------------------------------------------------------------------------------------------------


def compare(found: Found, declared: t.Sequence[Item], settings: Settings, running: bool) -> Change:
    """The pure comparison. running: does systemd run this host?"""
    steps: list[AnyStep] = []
    before: dict[str, t.Any] = {}
    after: dict[str, t.Any] = {}
    for item in [*declared, *_no_longer(found, declared, settings)]:
        file = unit_name(KIND, item.name)
        old = kept(found.units.get(file))
        what = f"NIC {item.name}"
        if old is not None:
            rule = may_declare if item.present else may_remove
            rule(what, old.owner, settings.caller)
        if not item.present and old is None:
            continue
        new = _wanted(found, item, old, settings) if item.present else None
        done = _take(found, item.name, new, running) if new else _give(found, item.name, old, running)
        if done:
            steps += done
            before[item.name], after[item.name] = _told(found, item.name, old), _foretold(item.name, old, new)
    return Change(steps, before, after)


def _no_longer(found: Found, declared: t.Sequence[Item], settings: Settings) -> list[Item]:
    """What a purge gives back."""
    named = {item.name for item in declared}
    noted = [unit.notes() for unit in found.units.values()] if settings.purge else []
    ours = [notes["Name"] for notes in noted if notes.get("Owner") == settings.owner and notes["Name"] not in named]
    return [Item(name, "", None, False) for name in ours]


def _wanted(found: Found, item: Item, old: Kept | None, settings: Settings) -> Kept:
    """What the bridge has to have: what it took before, and what the NIC has now. Raises FabricError for what cannot be moved."""
    what, link = f"NIC {item.name}", found.links.get(item.name)
    if link is None:
        raise FabricError(f"{what} does not exist; correct the name")
    _check_manager(found, item.name, what, link)
    on = found.on.get(item.name, item.bridge)
    if on != item.bridge:
        raise FabricError(f"{what} is on the bridge {on}, not on {item.bridge}; take it from there, or correct bridge")
    addresses, routes = _state.addresses(link), _state.routes(found.routes, item.name)
    if old is None and not addresses:
        raise FabricError(f"{what} has no address that {item.bridge} could take over; leave it out")
    mac = item.mac or (old.mac if old else link["address"])
    held = old or Kept(settings.owner, item.bridge, mac, (), (), found.hwaddr.get(item.bridge, ""))
    return held._replace(
        owner=settings.owner,
        bridge=item.bridge,
        mac=mac,
        addresses=tuple(dict.fromkeys((*held.addresses, *addresses))),
        routes=tuple(dict.fromkeys((*held.routes, *routes))),
    )


def _check_manager(found: Found, name: str, what: str, link: t.Mapping[str, t.Any]) -> None:
    """Refuse what would not last: leases, and what others set again."""
    leased = [one["local"] for one in link.get("addr_info", ()) if one.get("dynamic") and one["family"] == "inet"]
    if leased:
        raise FabricError(
            f"{what} has the address {leased[0]} by DHCP, which a bridge cannot take over; give it a fixed one in the host's configuration first"
        )
    if name in found.manager:
        raise FabricError(
            f"{what} is NetworkManager's, which would give it its addresses again; have it configured by systemd-networkd or ifupdown, or name another NIC"
        )
    shared = [row["dst"] for row in found.routes if any(hop.get("dev") == name for hop in row.get("nexthops", ()))]
    if shared:
        raise FabricError(
            f"{what} is one of several gateways of the route to {shared[0]}, which cannot be moved; give it one gateway"
        )


def _take(found: Found, name: str, new: Kept, running: bool) -> list[AnyStep]:
    """The steps that have a bridge take over what a NIC has."""
    file = unit_name(KIND, name)
    network = found.networks.get(name, "")
    texts = networkd_texts(name, new.bridge, network) if network else {}
    files: list[AnyStep] = [Write(path, text) for path, text in texts.items() if found.files.get(path) != text]
    unit = takeover_unit(name, new, new.mac != found.links[name]["address"])
    units = unit_steps(found.units, {file: unit}, running)
    steps = [*files, *units.put]
    if not running or not (steps or _left(found, name, new)):
        return steps
    # Before Open vSwitch has the NIC, the unit waits for it.
    wait = [] if found.on.get(name) else ["--no-block"]
    return [*steps, Step(("systemctl", "restart", *wait, file))]


def _left(found: Found, name: str, new: Kept) -> bool:
    """Whether anything is still on the NIC, or not yet on the bridge."""
    nic, bridge = (_state.interface_state(found.links.values(), found.routes, one) for one in (name, new.bridge))
    held = {words.split(" ")[0] for words in bridge["addresses"]}
    wanted = {words.split(" ")[0] for words in new.addresses}
    return bool(nic["addresses"] or nic["routes"] or wanted - held or set(new.routes) - set(bridge["routes"]))


def _give(found: Found, name: str, old: Kept | None, running: bool) -> list[AnyStep]:
    """The steps that take a NIC from its bridge, and give it back what it had, which the unit's file alone knows: it is removed last."""
    if old is None:
        return []
    disable, *remove = unit_steps(found.units, {unit_name(KIND, name): None}, running).drop
    steps: list[AnyStep] = [disable]
    files = [path for path in (networkd_file(name), networkd_file(old.bridge)) if path in found.files]
    steps += map(Remove, files)
    held = _state.interface_state(found.links.values(), found.routes, old.bridge)
    present = {words.split(" ")[0] for words in held["addresses"]}
    here = old._replace(
        addresses=tuple(words for words in old.addresses if words.split(" ")[0] in present),
        routes=tuple(words for words in old.routes if words in held["routes"]),
    )
    steps += batch_steps(_away(here, old.bridge))
    if found.on.get(name) == old.bridge:
        vsctl = ("ovs-vsctl", "--timeout=30")
        port = ("--if-exists", "--with-iface", "del-port", old.bridge, name)
        steps.append(Step((*vsctl, *port, "--", *_hwaddr_back(old))))
    if name in found.links:
        steps += [*batch_steps(_onto(old, name)), Announce(name, old.addresses)]
    return [*steps, *([Step(("networkctl", "reload"))] if files else []), *remove]


def _hwaddr_back(old: Kept) -> tuple[str, ...]:
    """The command of ovs-vsctl(8) by which a bridge has the MAC address of before."""
    if old.hwaddr:
        return ("set", "Bridge", old.bridge, f'other_config:hwaddr="{old.hwaddr}"')
    return ("remove", "Bridge", old.bridge, "other_config", "hwaddr")


def _told(found: Found, name: str, old: Kept | None) -> dict[str, t.Any]:
    nic = _state.interface_state(found.links.values(), found.routes, name)
    device = old.bridge if old else name
    state = _state.interface_state(found.links.values(), found.routes, device) if old else nic
    return {"interface": device, "addresses": state["addresses"], "routes": state["routes"]}


def _foretold(name: str, old: Kept | None, new: Kept | None) -> dict[str, t.Any]:
    what = new or old
    if what is None:
        return {}
    return {
        "interface": new.bridge if new else name,
        "addresses": list(what.addresses),
        "routes": list(what.routes),
    }


def run(module: t.Any) -> None:
    """Do what the module's parameters ask for."""
    runner = module_runner(module)
    params = module.params
    try:
        declared = items(params)
    except FabricError as error:
        module.fail_json(msg=str(error), commands=[], spawned=0)
    settings = Settings(params["owner"], params["adopt"], params["purge"])
    reconcile(
        module,
        lambda: read(runner, declared),
        lambda found: compare(found, declared, settings, booted()),
        runner,
        lambda found: {"takeovers": state_of(found)},
        lambda found: refused(found, declared),
    )


def refused(found: Found, declared: t.Sequence[Item]) -> list[str]:
    """What bridges that have their NICs did not get, in words: the kernel refused it. systemd-networkd gives in its own time, and again."""
    told = []
    for item in declared if booted() else ():
        what = kept(found.units.get(unit_name(KIND, item.name)))
        if what is None or found.on.get(item.name) != what.bridge or networkd_file(item.name) in found.files:
            continue
        state = _state.interface_state(found.links.values(), found.routes, what.bridge)
        held = {words.split(" ")[0] for words in state["addresses"]}
        missing = [words for words in what.addresses if words.split(" ")[0] not in held]
        missing += [words for words in what.routes if words not in state["routes"]]
        told += [
            f"NIC {item.name}: {what.bridge} did not get {words}; see the journal of {unit_name(KIND, item.name)}"
            for words in missing
        ]
    return told


def state_of(found: Found) -> list[dict[str, t.Any]]:
    """What has been taken over, by the units."""
    rows = [(unit.notes().get("Name", ""), kept(unit)) for unit in found.units.values()]
    return [
        {
            "name": name,
            "owner": what.owner,
            "bridge": what.bridge,
            "addresses": list(what.addresses),
            "moved": not _left(found, name, what),
        }
        for name, what in rows
        if what is not None
    ]
