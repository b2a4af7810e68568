# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tunnels of Open vSwitch: what is declared, what would not work, and the comparison with what is there.

This file is private to the collection. Source: ovs-vswitchd.conf.db(5), table Interface, "Tunnel Options".
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.overloom.fabric.plugins.module_utils._ip.routes import Address as IpAddress
from ansible_collections.overloom.fabric.plugins.module_utils._ip.routes import Routes, host_routes
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.before import Before, port_given_back, was_there
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    AddPort,
    Database,
    DelPort,
    MovePort,
    Op,
    apply,
    ovs_runner,
    read_database,
    read_or_foresee,
    transaction,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.diff import described
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.options import (
    SECRET_OPTIONS,
    TUNNEL_TYPES,
    Address,
    Flag,
    Integer,
    Item,
    Option,
    Pairs,
    Text,
    Wanted,
    argument_spec,
    configurable,
    differences,
    extra_columns,
    failed_bridge,
    interface_name,
    is_remote,
    late_error,
    made_by,
    mark,
    marks_of,
    own_keys,
    owner_of,
    parse,
    port_name,
    removable,
    vsctl,
    words_for,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.port import (
    DEFAULT_PORTS,
    PORT_OPTIONS,
    check_types,
    check_vlans,
    identity,
    ip_address,
    write_steps,
)
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.rows import left_over
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.state import tunnel_names, tunnel_state
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.text import CLEAR, Put
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Caller, returned
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    Change,
    FabricError,
    Module,
    Step,
    reconcile,
)

MODULE = "ovs_tunnel"

_KEYED = tuple(kind for kind in TUNNEL_TYPES if kind not in ("bareudp", "srv6"))
_ERSPAN = ("erspan", "ip6erspan")

# Bits of the key on the wire; Open vSwitch takes a wider one without a word and sends what fits.
KEY_BITS = {
    "gre": 32,
    "ip6gre": 32,
    "vxlan": 24,
    "geneve": 24,
    "lisp": 24,
    "stt": 64,
    "gtpu": 32,
    "erspan": 10,
    "ip6erspan": 10,
}


def _tunnel_option(name: str, kind: t.Any, types: tuple[str, ...] = ()) -> Option:
    return Option(name, "Interface", "options", kind, name, name in SECRET_OPTIONS, types)


TUNNEL_OPTIONS = [
    Option("type", "Interface", "type", Text(*TUNNEL_TYPES, clears=False)),
    _tunnel_option("remote_ip", Address("flow")),
    _tunnel_option("local_ip", Address("flow")),
    _tunnel_option("key", Integer(0, 2**64 - 1, "flow"), _KEYED),
    _tunnel_option("in_key", Integer(0, 2**64 - 1, "flow"), _KEYED),
    _tunnel_option("out_key", Integer(0, 2**64 - 1, "flow"), _KEYED),
    _tunnel_option("dst_port", Integer(1, 65535), tuple(DEFAULT_PORTS)),
    _tunnel_option("csum", Flag(), ("gre", "ip6gre", "geneve", "bareudp", "vxlan")),
    _tunnel_option("ttl", Integer(1, 255, "inherit")),
    _tunnel_option("tos", Integer(0, 252, "inherit", step=4)),
    _tunnel_option("df_default", Flag(True)),
    _tunnel_option("egress_pkt_mark", Integer(0, 2**32 - 1)),
    _tunnel_option(
        "exts", Text(pattern=(r"(gbp|gpe)(,(gbp|gpe))*", "gbp, gpe, or both separated by a comma")), ("vxlan",)
    ),
    _tunnel_option("packet_type", Text("legacy_l2", "legacy_l3", "ptap"), ("gre", "vxlan", "lisp")),
    _tunnel_option("seq", Flag(), ("gre",)),
    _tunnel_option("erspan_ver", Integer(1, 2), _ERSPAN),
    _tunnel_option("erspan_idx", Integer(0, 2**20 - 1), _ERSPAN),
    _tunnel_option("erspan_dir", Integer(0, 1), _ERSPAN),
    _tunnel_option("erspan_hwid", Integer(0, 63), _ERSPAN),
    _tunnel_option("payload_type", Text(), ("bareudp",)),
    _tunnel_option("srv6_segs", Text(), ("srv6",)),
    _tunnel_option("srv6_flowlabel", Text("copy", "zero", "compute"), ("srv6",)),
    _tunnel_option("psk", Text(), ("gre", "geneve", "vxlan", "stt")),
    _tunnel_option("remote_cert", Text(), ("gre", "geneve", "vxlan", "stt")),
    _tunnel_option("remote_name", Text(), ("gre", "geneve", "vxlan", "stt")),
    Option("options", "Interface", "options", Pairs()),
]
# A daemon of its own sets up IPsec; without it packets go as they are.
IPSEC_OPTIONS = ("psk", "remote_cert", "remote_name")
IPSEC_DAEMON = "/usr/share/openvswitch/scripts/ovs-monitor-ipsec"
OPTIONS = TUNNEL_OPTIONS + PORT_OPTIONS
OWNED = own_keys(OPTIONS)
_PLACES = {(o.column, o.key): o for o in TUNNEL_OPTIONS if o.key is not None}


def tunnel_argument_spec() -> dict:
    """The options of one tunnel."""
    return {
        "bridge": {"type": "str"},
        "name": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        **argument_spec(OPTIONS),
    }


class Tunnel(t.NamedTuple):
    """One declared tunnel.

    bridge: "" for one that is to be absent from whichever bridge has it. wanted: its checked values; item: as it was declared.
    """

    name: str
    bridge: str
    present: bool
    wanted: list[Wanted]
    item: Item

    @property
    def what(self) -> str:
        """How errors call it."""
        return f"tunnel {self.name}"


class Settings(t.NamedTuple):
    """What holds for all tunnels of a call."""

    owner: str
    adopt: bool = False
    purge: bool = False
    check_route: bool = True
    # In check mode what an earlier task may still make is a warning.
    lenient: bool = False


def declared(items: t.Iterable[Item]) -> list[Tunnel]:
    """The declared tunnels, checked as far as that goes without the host."""
    tunnels: list[Tunnel] = []
    names: set[str] = set()
    for item in items:
        name = port_name(item.get("name") or "", "tunnel: name")
        if name in names:
            raise FabricError(f"tunnel {name} is declared twice; declare it once")
        names.add(name)
        present = item.get("state") != "absent"
        bridge = interface_name(item["bridge"], f"tunnel {name}: bridge") if item.get("bridge") else ""
        if present and not bridge:
            raise FabricError(f"tunnel {name}: bridge is missing; name the bridge that it hangs in")
        tunnels.append(Tunnel(name, bridge, present, parse(OPTIONS, item, f"tunnel {name}") if present else [], item))
    return tunnels


def compare(
    found: Database, tunnels: list[Tunnel], settings: Settings, routes: Routes | None
) -> tuple[list[Op], Database, list[str]]:
    """The pure comparison: the changes, the database after them, and warnings.

    routes: the host's, or None if they are not to be looked at. Raises FabricError if a tunnel could not work.
    """
    warnings: list[str] = []
    ops = _structure(found, tunnels, settings, warnings)
    ops += _values(found, apply(found, ops), tunnels, settings)
    before = Before(found, Caller(settings.owner, settings.adopt), words_for(OPTIONS))
    ops = before.settle(ops) + _given_back(found, tunnels, settings)
    warnings += before.left
    after = apply(found, ops)
    ops += left_over(found, after, settings.owner)
    for tunnel in tunnels:
        if tunnel.present:
            warnings += _check(after, tunnel, settings, routes)
    _check_unique(after, tunnels)
    return ops, after, warnings


def _structure(found: Database, tunnels: list[Tunnel], settings: Settings, warnings: list[str]) -> list[Op]:
    """The changes by which tunnels come, go and move."""
    ops: list[Op] = []
    for tunnel in tunnels:
        _check_type(found, tunnel)
        ops += (_placed if tunnel.present else _removed)(found, tunnel, settings, warnings)
    if settings.purge:
        declared_names = {tunnel.name for tunnel in tunnels}
        for name, row in sorted(found.tables["Port"].items()):
            leftover = made_by(row, settings.owner, MODULE) and not was_there(row, settings.owner)
            if name not in declared_names and leftover:
                ops.append(DelPort(found.bridge_of[name], name, row["_uuid"]))
    return ops


def _check_type(found: Database, tunnel: Tunnel) -> None:
    """A port by the name of a tunnel must be one."""
    if tunnel.name not in found.tables["Port"]:
        return
    kind = found.interface(tunnel.name)["type"]
    if kind not in TUNNEL_TYPES:
        raise FabricError(
            f"{tunnel.what}: {tunnel.name} is a port of another type ({kind or 'system'}) of bridge"
            f" {found.bridge_of.get(tunnel.name)}; choose another name"
        )


def _removed(found: Database, tunnel: Tunnel, settings: Settings, warnings: list[str]) -> list[Op]:
    """The removal of a tunnel that is to be absent."""
    row = found.tables["Port"].get(tunnel.name)
    if row is None or tunnel.bridge not in ("", found.bridge_of[tunnel.name]):
        return []
    stays = was_there(row, settings.owner) and not settings.adopt
    if owner_of(row) or not stays:
        removable(row, tunnel.what, settings.owner, settings.adopt)
    if stays:
        warnings.append(returned(tunnel.what))
        return []
    return [DelPort(found.bridge_of[tunnel.name], tunnel.name, row["_uuid"])]


def _placed(found: Database, tunnel: Tunnel, settings: Settings, warnings: list[str]) -> list[Op]:
    """The changes that make a tunnel, or move it to its bridge."""
    if tunnel.bridge not in found.tables["Bridge"]:
        if tunnel.name == tunnel.bridge:
            raise FabricError(f"{tunnel.what}: name and bridge are the same; choose another name")
        missing = f"{tunnel.what}: there is no bridge {tunnel.bridge} on this host; create it with ovs_bridge first"
        if not settings.lenient:
            raise FabricError(missing)
        warnings.append(missing)
    row = found.tables["Port"].get(tunnel.name)
    if row is None:
        for name in ("type", "remote_ip"):
            if not tunnel.item.get(name):
                raise FabricError(f"{tunnel.what}: {name} is missing; a new tunnel needs it")
        return [AddPort(tunnel.bridge, tunnel.name, (tunnel.name,))]
    configurable(row, tunnel.what, settings.owner, settings.adopt)
    bridge = found.bridge_of[tunnel.name]
    return [MovePort(tunnel.name, row["_uuid"], bridge, tunnel.bridge)] if bridge != tunnel.bridge else []


def _values(found: Database, staged: Database, tunnels: list[Tunnel], settings: Settings) -> list[Op]:
    """The changes of settings, once all tunnels are in their places."""
    ops: list[Op] = []
    marks = marks_of(settings.owner, MODULE)
    for tunnel in tunnels:
        if tunnel.present:
            port, interface = staged.tables["Port"][tunnel.name], staged.tables["Interface"][tunnel.name]
            if tunnel.name not in found.tables["Port"] or settings.adopt:
                ops += mark("Port", tunnel.name, port, settings.owner, MODULE)
            ops += _left_over(tunnel, interface)
            by_table: dict[str, list[Wanted]] = {"Port": [], "Interface": []}
            for wanted in tunnel.wanted:
                by_table[wanted.option.table].append(wanted)
            ops += differences(port, tunnel.name, by_table["Port"], OWNED, marks)
            ops += differences(interface, tunnel.name, by_table["Interface"], OWNED, marks)
    return ops


def _given_back(found: Database, tunnels: list[Tunnel], settings: Settings) -> list[Op]:
    """The changes that put back what was there before, of what is absent now or, with purge, no longer declared."""
    by_name = {tunnel.name: tunnel for tunnel in tunnels}
    ops: list[Op] = []
    for name in tunnel_names(found):
        tunnel = by_name.get(name)
        goes = settings.purge if tunnel is None else not tunnel.present and not settings.adopt
        if goes and was_there(found.tables["Port"][name], settings.owner):
            ops += port_given_back(found, name, settings.owner)
    return ops


def _left_over(tunnel: Tunnel, row: Item) -> list[Op]:
    """When the type changes: the old type's options that the new one does not know."""
    kind = tunnel.item.get("type")
    if not kind or not row["type"] or kind == row["type"]:
        return []
    named = {(w.option.column, w.option.key) for w in tunnel.wanted}
    named |= {("options", key) for w in tunnel.wanted if w.option.name == "options" for key in w.value}
    gone: list[Op] = []
    for key in row["options"]:
        option = _PLACES.get(("options", key))
        if ("options", key) not in named and (option is None or option.types and kind not in option.types):
            gone.append(Put("Interface", tunnel.name, "options", key, CLEAR))
    return gone


def _check(after: Database, tunnel: Tunnel, settings: Settings, routes: Routes | None) -> list[str]:
    """Refuse a tunnel that Open vSwitch would take and that could not work; returns warnings."""
    row = after.tables["Interface"][tunnel.name]
    kind, options = row["type"], row["options"]
    check_types(after, kind, tunnel.what)
    check_vlans(tunnel.item, after.tables["Port"][tunnel.name], tunnel.what)
    for wanted in tunnel.wanted:
        _check_option(tunnel, kind, wanted)
    if "key" in options and ("in_key" in options or "out_key" in options):
        raise FabricError(
            f"{tunnel.what}: key sets in_key and out_key at the same time; give either key or the other two, and clear the rest"
        )
    remote = _remote_address(tunnel, options)
    if remote is None:
        return []
    _check_addresses(after, tunnel, remote)
    return [] if routes is None else _check_route(tunnel, options["remote_ip"], remote, routes, settings)


def _check_option(tunnel: Tunnel, kind: str, wanted: Wanted) -> None:
    """Refuse an option that the type does not know, and a key that is too wide for it."""
    option = wanted.option
    if option.types and kind not in option.types and wanted.value is not CLEAR:
        raise FabricError(
            f"{tunnel.what}: {option.name} does not apply to type {kind}, but to {', '.join(option.types)}; leave it out"
        )
    is_number = option.name in ("key", "in_key", "out_key") and wanted.value not in (CLEAR, "flow")
    if is_number and int(wanted.value, 0) >= 2 ** KEY_BITS[kind]:
        bits = KEY_BITS[kind]
        raise FabricError(
            f"{tunnel.what}: {option.name} {wanted.value} does not fit into the {bits} bits of {kind}; give at most {2**bits - 1}"
        )


def _remote_address(tunnel: Tunnel, options: Item) -> IpAddress | None:
    """The address of the other end; None where flows or a host name give it."""
    remote = options.get("remote_ip")
    if remote is None:
        raise FabricError(f"{tunnel.what}: remote_ip cannot be cleared; give an address or flow")
    if options.get("local_ip") == "flow" and remote != "flow":
        raise FabricError(
            f"{tunnel.what}: local_ip flow is valid only with remote_ip flow; give an address, or clear it"
        )
    return None if remote == "flow" else ip_address(remote)


def _check_addresses(after: Database, tunnel: Tunnel, remote: IpAddress) -> None:
    """Refuse two ends that cannot be one tunnel's."""
    row = after.tables["Interface"][tunnel.name]
    remote_ip, local_ip = row["options"]["remote_ip"], row["options"].get("local_ip")
    local = ip_address(local_ip)
    if local is not None and local.version != remote.version:
        raise FabricError(
            f"{tunnel.what}: remote_ip {remote_ip} and local_ip {local_ip} are not of the same address family; give two of the same"
        )
    _check_family(after, tunnel, row["type"], remote)
    if local == remote:
        raise FabricError(
            f"{tunnel.what}: remote_ip and local_ip are both {remote_ip}, a tunnel to itself; give the other host's address as remote_ip"
        )


def _check_route(tunnel: Tunnel, shown: str, remote: IpAddress, routes: Routes, settings: Settings) -> list[str]:
    """Refuse a remote end that this host is itself, or does not reach; returns warnings. shown: as it is written."""
    if remote in routes.addresses:
        raise FabricError(
            f"{tunnel.what}: remote_ip {shown} is an address of this host, a tunnel to itself; give the other host's address"
        )
    if not settings.check_route or routes.reach(remote):
        return []
    missing = f"{tunnel.what}: this host has no route to remote_ip {shown}; add an address or a route in the underlay, or give check_route: false"
    if not settings.lenient:
        raise FabricError(missing)
    return [missing]


def _check_family(after: Database, tunnel: Tunnel, kind: str, address: IpAddress) -> None:
    bridge = after.tables["Bridge"].get(tunnel.bridge)
    netdev = bridge is None or bridge["datapath_type"] == "netdev"
    if kind in ("ip6gre", "ip6erspan") and address.version != 6:
        raise FabricError(
            f"{tunnel.what}: type {kind} runs over IPv6, and remote_ip {address} is not; use type {kind[3:]}"
        )
    if kind in ("gre", "erspan") and address.version != 4 and not netdev:
        raise FabricError(
            f"{tunnel.what}: in the kernel datapath type {kind} runs over IPv4, and remote_ip {address} is not; use type ip6{kind}"
        )


def _check_unique(after: Database, tunnels: list[Tunnel]) -> None:
    """Refuse two tunnels that Open vSwitch could not tell apart: it would answer File exists, late."""
    taken: dict[tuple[t.Any, ...], str] = {}
    declared_names = {tunnel.name for tunnel in tunnels if tunnel.present}
    # Those that are only there come first, so that the sentence begins with one that the caller can change.
    ports = sorted(after.members, key=lambda name: name in declared_names)
    for name in ports:
        row = after.tables["Interface"][after.members[name][0]]
        if row["type"] not in TUNNEL_TYPES:
            continue
        same = identity(after, name)
        if same in taken and name in declared_names:
            raise FabricError(
                f"tunnel {name} and tunnel {taken[same]} have the same type, local_ip, remote_ip, key and dst_port "
                f"({row['type']} to {row['options'].get('remote_ip')}), so Open vSwitch cannot tell them apart; give one another key"
            )
        taken.setdefault(same, name)


def run(module: t.Any) -> None:
    """The module ovs_tunnel."""
    params = module.params
    items = params["tunnels"]
    if items is None:
        items = [{name: params[name] for name in tunnel_argument_spec()}] if params["name"] else []
    settings = Settings(params["owner"], params["adopt"], params["purge"], params["check_route"], module.check_mode)
    begin = vsctl(params)
    runner = ovs_runner(module)
    secrets = tuple(item["psk"] for item in items if item.get("psk"))
    ipsec = [item["name"] for item in items if any(item.get(name) for name in IPSEC_OPTIONS)]
    if ipsec and not is_remote(params["database"]) and not os.path.exists(IPSEC_DAEMON):
        module.warn(
            f"tunnel {', '.join(ipsec)}: this host has no ovs-monitor-ipsec, so packets go without encryption; install the package openvswitch-ipsec"
        )
    try:
        tunnels = declared(items)
    except FabricError as error:
        module.fail_json(msg=str(error), changed=False, commands=[])
    present = [tunnel for tunnel in tunnels if tunnel.present]
    done: list[Op] = []

    def find(found: Database) -> Change:
        routes = None if is_remote(params["database"]) or not present else host_routes()
        ops, after, warnings = compare(found, tunnels, settings, routes)
        done.extend(ops)
        # A key that was there before is remembered with the rest, and shown no more than the new one.
        known = tuple(row["options"]["psk"] for row in found.tables["Interface"].values() if row["options"].get("psk"))
        steps: list[t.Any] = list(write_steps(begin, found, after, ops, secrets + known))
        before, later = described(found, after, ops, OPTIONS, "tunnel")
        return Change(steps, before, later, tuple(warnings))

    def judge(found: Database) -> list[str]:
        if runner.unanswered:
            return []
        bridges = (failed_bridge(found, bridge) for bridge in sorted({tunnel.bridge for tunnel in present}))
        ports = (late_error(found, tunnel.bridge, tunnel.name, "tunnel") for tunnel in present)
        return [error for error in (*bridges, *ports) if error]

    def undo(found: Database) -> list[Step]:
        return transaction(
            begin,
            [
                DelPort(op.bridge, op.port, found.tables["Port"][op.port]["_uuid"])
                for op in done
                if isinstance(op, AddPort) and late_error(found, op.bridge, op.port)
            ],
        )

    reconcile(
        module,
        read=lambda: read_or_foresee(
            module, runner, begin, extra_columns(OPTIONS, items), here=not is_remote(params["database"])
        ),
        compare=find,
        runner=runner,
        state=lambda found: {"tunnels": [tunnel_state(found, x.name) for x in present if x.name in found.members]},
        judge=judge,
        undo=undo,
    )


def run_info(module: Module) -> t.NoReturn:
    """The module ovs_tunnel_info."""
    params = module.params
    runner = ovs_runner(module)
    try:
        found = read_database(runner, vsctl(params))
    except FabricError as error:
        module.fail_json(msg=str(error), spawned=runner.spawned)
    states = (tunnel_state(found, name) for name in tunnel_names(found))
    filters = [(key, params[key]) for key in ("name", "bridge", "type", "owner") if params[key] is not None]
    module.exit_json(
        changed=False, tunnels=[s for s in states if all(s[k] == v for k, v in filters)], spawned=runner.spawned
    )
