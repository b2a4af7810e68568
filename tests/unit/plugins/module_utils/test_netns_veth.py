# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import typing as t

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._ip import iproute as _ip
from ansible_collections.overloom.fabric.plugins.module_utils._netns import declaration
from ansible_collections.overloom.fabric.plugins.module_utils._netns import veth as netns
from ansible_collections.overloom.fabric.plugins.module_utils._netns.reader import Kept, Space, notes_of, space_of
from ansible_collections.overloom.fabric.plugins.module_utils._ovs.database import (
    AddBridge,
    AddPort,
    Put,
    apply,
    empty_row,
)
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Change, FabricError
from ansible_collections.overloom.fabric.tests.unit.kernel import Link, Transaction, World

# The drawn items lie beside this file, and the folder is no package: the path comes first.
from ansible_collections.overloom.fabric.tests.unit.plugins.module_utils.netns_draw import drift, item, items

OWNER = "fabric"
MARK = "overloom:fabric"
SETTINGS = declaration.Settings(OWNER)


@pytest.fixture(autouse=True, scope="module")
def model() -> t.Iterator[None]:
    """Let the model take the ops instead of the command, and systemd run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(netns, "transaction", lambda _begin, ops: [Transaction(tuple(ops))] if ops else [])
        patch.setattr(netns, "booted", lambda: True)
        yield


def world() -> World:
    """A host with a bridge of each datapath."""
    made = World()
    ops = [AddBridge("br0"), Put("Bridge", "br0", "datapath_type", None, "netdev"), AddBridge("br1")]
    made.database = apply(made.database, ops)
    return made


def compare(host: World, items: list[dict], settings: declaration.Settings = SETTINGS) -> Change:
    """What the module would do."""
    veths = declaration.declared(items)
    spaces = host.read({}).spaces
    names = {veth.name for veth in veths}
    interests = {
        name: {**(spaces[name].sysctls if name in spaces else {}), **(declaration.joined_sysctls(veths, name) or {})}
        for name in names | set(spaces)
    }
    return netns.compare(host.read(interests), veths, settings)


def converge(host: World, items: list[dict], settings: declaration.Settings = SETTINGS) -> Change:
    """Do it; once is enough, and the difference is told if and only if there is something to do."""
    change = compare(host, items, settings)
    assert bool(change.steps) == (change.before != change.after), (change.before, change.after)
    for step in change.steps:
        host.do(step)
    again = compare(host, items, settings)
    assert not again.steps, again.steps
    return change


# Claims about all declarations -------------------------------------------------------------------------------------------


def check(host: World, items: list[dict]) -> None:
    """The host is as declared."""
    for wanted in items:
        far = host.spaces[wanted["name"]][wanted["interface"]]
        near = far.peer
        assert near is not None and near in host.spaces[None].values()
        check_links(wanted, near, far)
        check_port(host, wanted, near.name)
        if wanted.get("bridge"):
            assert near.addrgen == "none" and not near.link_local
        # The datapath of br0 is in user space.
        auto = False if wanted.get("bridge") == "br0" else far.offload
        assert far.offload == {"on": True, "off": False, "auto": auto}[wanted["tx_checksum"]]
        assert host.spaces[wanted["name"]]["lo"].up
    veths = declaration.declared(items)
    for name in {veth.name for veth in veths}:
        values = declaration.joined_sysctls(veths, name) or {}
        assert {path: host.sysctls[name][path] for path in values} == values


def check_links(wanted: dict, near: Link, far: Link) -> None:
    """Both ends of a veth pair are as declared."""
    assert far.up == wanted["up"] and near.up
    assert near.alias == far.alias == MARK
    assert far.mtu == near.mtu or "mtu" not in wanted
    assert (far.mtu, far.mac) == (wanted.get("mtu", far.mtu), wanted.get("mac", far.mac))
    if "addresses" in wanted:
        assert sorted(far.addresses) == sorted(wanted["addresses"])
        routes = {(route["to"], route["via"]) for route in wanted["routes"]}
        assert {(route.to, route.via) for route in far.routes} == routes


def check_port(host: World, wanted: dict, outer: str) -> None:
    """The port is in the declared bridge, or in none."""
    if "bridge" in wanted:
        assert host.database.bridge_of.get(outer, "") == wanted["bridge"]
    if wanted.get("bridge"):
        assert host.database.interface(outer)["type"] == ""
    if wanted.get("tag") is not None:
        assert host.database.tables["Port"][outer]["tag"] == (wanted["tag"] or None)


@settings(deadline=None)
@given(st.data())
def test_any_declaration_is_reached_in_one_run_from_any_state(data: st.DataObject) -> None:
    host = world()
    for _round in range(3):
        declared = data.draw(items())
        converge(host, declared)
        check(host, declared)
        for _change in range(data.draw(st.integers(0, 3))):
            drift(host, data.draw)


@settings(deadline=None)
@given(st.data())
def test_an_interrupted_run_is_completed_by_the_next(data: st.DataObject) -> None:
    host = world()
    converge(host, data.draw(items()))
    declared = data.draw(items())
    settings = declaration.Settings(OWNER, purge=data.draw(st.booleans()))
    steps = compare(host, declared, settings).steps
    target = copy.deepcopy(host)
    converge(target, declared, settings)
    stop = data.draw(st.integers(0, len(steps)))
    for step in steps[:stop]:
        host.do(step)
    if stop < len(steps):
        lines = len(getattr(steps[stop], "stdin", None) or "")
        if lines:
            host.do(steps[stop], data.draw(st.integers(0, steps[stop].stdin.count("\n"))))
    converge(host, declared, settings)
    check(host, declared)
    assert set(host.spaces) == set(target.spaces)
    assert {name: set(links) for name, links in host.spaces.items()} == {
        name: set(links) for name, links in target.spaces.items()
    }
    assert host.database.bridge_of == target.database.bridge_of
    assert host.units == target.units


@settings(deadline=None)
@given(items())
def test_purge_removes_everything_of_the_owner_and_nothing_else(declared: list[dict]) -> None:
    host = world()
    host.add_space("foreign")
    host.add_veth("v-foreign", "eth0", "foreign")
    host.database = apply(host.database, [AddPort("br1", "v-foreign", ("v-foreign",))])
    before = copy.deepcopy(host)
    converge(host, declared)
    converge(host, [], declaration.Settings("another", purge=True))
    check(host, declared)
    converge(host, [], declaration.Settings(OWNER, purge=True))
    assert set(host.ids) == {"foreign"} and set(host.spaces[None]) == {"lo", "v-foreign"}
    assert host.units == {} and host.database == before.database


@settings(deadline=None)
@given(items())
def test_what_boot_makes_is_what_the_run_made(declared: list[dict]) -> None:
    host = world()
    converge(host, declared)
    booted = world()
    booted.database, booted.units = host.database, host.units
    for unit in host.units.values():
        _boot(booted, unit.content)
    assert not compare(booted, declared).steps


def _boot(host: World, content: str) -> None:
    import shlex

    from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import Step

    for line in content.splitlines():
        if line.startswith("ExecStart="):
            _path, *words = shlex.split(line.partition("=")[2])
            if words[:2] == ["netns", "exec"]:
                host.do(Step(("ip", *words)))
            elif words[0] == "-n":
                host.do(Step(("ip", "-n", words[1], "-batch", "-"), shlex.join(words[2:]) + "\n"))
            else:
                host.do(Step(("ip", "-batch", "-"), shlex.join(words) + "\n"))


@settings(deadline=None)
@given(items())
def test_notes_of_a_unit_are_read_back(declared: list[dict]) -> None:
    host = world()
    converge(host, declared)
    for unit in host.units.values():
        name, space = t.cast(t.Tuple[str, Space], space_of(unit))
        assert netns.units_of(name, space)[0].content == unit.content
        assert {"Name": name, **notes_of(space)} == unit.notes()


# Claims about cases ------------------------------------------------------------------------------------------------------


def test_options_left_out_stay_and_empty_ones_clear() -> None:
    host = world()
    full = item(
        addresses=["10.0.0.1/24"],
        routes=[{"to": "default", "via": "10.0.0.2"}],
        mtu=1400,
        bridge="br0",
        tag=10,
        sysctls={"net.ipv4.ip_forward": 1},
    )
    converge(host, [full])
    assert not compare(host, [item()]).steps
    converge(host, [item(addresses=[], routes=[], bridge="", sysctls={})])
    far = host.spaces["red"]["eth0"]
    assert far.addresses == [] and far.routes == [] and far.mtu == 1400 and "v-red" not in host.database.bridge_of
    assert host.sysctls["red"]["net/ipv4/ip_forward"] == "0"


def test_what_an_earlier_run_declared_comes_back_with_a_veth_that_was_deleted() -> None:
    host = world()
    converge(host, [item(addresses=["10.0.0.1/24"], mtu=1400, mac="02:00:00:00:00:01")])
    host.delete("red", "eth0")
    converge(host, [item()])
    far = host.spaces["red"]["eth0"]
    assert (far.addresses, far.mtu, far.mac) == (["10.0.0.1/24"], 1400, "02:00:00:00:00:01")


def test_all_that_was_set_on_a_port_outlives_a_new_device() -> None:
    host = world()
    converge(host, [item(bridge="br0", tag=10)])
    qos = {**empty_row("QoS"), "_uuid": "q", "type": "linux-noop"}
    ops = [
        Put("Port", "v-red", "protected", None, True),
        Put("Port", "v-red", "qos", None, qos),
        Put("Interface", "v-red", "ofport_request", None, 7),
    ]
    host.database = apply(host.database, ops)
    before = copy.deepcopy(host.database)
    host.delete("red", "eth0")
    converge(host, [item(bridge="br0")])
    assert host.database == before and host.spaces["red"]["eth0"].peer is host.spaces[None]["v-red"]


def test_a_changed_address_keeps_the_routes_that_are_not_declared() -> None:
    host = world()
    converge(host, [item(addresses=["10.0.0.1/24"], routes=[{"to": "default", "via": "10.0.0.9"}])])
    converge(host, [item(addresses=["10.0.0.2/24"])])
    assert [route.via for route in host.spaces["red"]["eth0"].routes] == ["10.0.0.9"]


def test_names_are_exact() -> None:
    host = world()
    converge(host, [item("red-test")])
    converge(host, [item("red")])
    converge(host, [item("red", state="absent")])
    assert set(host.ids) == {"red-test"} and "v-red-test" in host.spaces[None]


def test_a_foreign_namespace_is_used_and_never_removed() -> None:
    host = world()
    host.add_space("red")
    host.add(None, "red-nic")
    converge(host, [item(addresses=["10.0.0.1/24"])])
    assert "WantedBy" not in host.units["overloom-netns-red.service"].content
    assert "PathExists=/run/netns/red" in host.units["overloom-netns-red.path"].content
    before = copy.deepcopy(host)
    with pytest.raises(FabricError, match="namespace red was not made by this collection and stays; give interface"):
        compare(host, [item(state="absent")])
    converge(host, [item(state="absent", interface="eth0")])
    assert "red" in host.ids and set(host.spaces["red"]) == {"lo"} and not host.units
    converge(before, [], declaration.Settings(OWNER, purge=True))
    assert "red" in before.ids and set(before.spaces["red"]) == {"lo"} and not before.units
    converge(host, [item(state="absent")], declaration.Settings(OWNER, adopt=True))
    assert "red" not in host.ids


def test_an_unmarked_veth_is_configured_but_not_removed_until_it_is_adopted() -> None:
    host = world()
    host.add_space("red")
    host.add_veth("v-red", "eth0", "red")
    warned = converge(host, [item(addresses=["10.0.0.1/24"])])
    assert "not made again at boot" in warned.warnings[0]
    assert (
        host.spaces["red"]["eth0"].addresses == ["10.0.0.1/24"]
        and not host.units
        and not host.spaces[None]["v-red"].alias
    )
    with pytest.raises(FabricError, match="interface v-red was not made by this collection"):
        compare(host, [item(interface="eth0", state="absent")])
    converge(host, [item()], declaration.Settings(OWNER, adopt=True))
    assert host.spaces[None]["v-red"].alias == MARK and host.units
    converge(host, [item(state="absent")], declaration.Settings(OWNER, adopt=True))
    assert "red" not in host.ids


@pytest.mark.parametrize("others", [(), ("theirs",)])
def test_a_namespace_with_interfaces_of_others_is_not_adopted_whole(others: tuple[str, ...]) -> None:
    host = world()
    host.add_space("red")
    host.add_veth("v-red", "eth0", "red")
    for name in others:
        host.add_veth(f"v-{name}", name, "red")
    converge(host, [item()], declaration.Settings(OWNER, adopt=True))
    assert (host.spaces["red"]["lo"].alias == MARK) is not bool(others)


def seen(host: World) -> dict[t.Any, t.Any]:
    """All that there is, but for the places in memory."""
    found = {}
    for space, links in host.spaces.items():
        found[space] = {name: {**vars(link), "peer": link.peer and link.peer.name} for name, link in links.items()}
    return found


@pytest.mark.parametrize("others", [(), ("theirs",)])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"mtu": 1400, "mac": "02:00:00:00:00:09", "tx_checksum": "off"},
        {"addresses": ["10.0.0.2/24", "2001:db8::2/64"], "routes": [{"to": "192.0.2.0/24", "via": "10.0.0.8"}]},
        {"bridge": "br0", "tag": 20},
        {"bridge": "br1", "tag": 30},
        {"up": False},
    ],
)
def test_what_was_adopted_is_given_back(changed: dict[str, t.Any], others: tuple[str, ...]) -> None:
    host = world()
    host.add_space("red")
    for name in ("eth0", *others):
        host.add_veth(f"v-{name}" if name in others else "v-red", name, "red")
    near, far = host.spaces[None]["v-red"], host.spaces["red"]["eth0"]
    near.set("up")
    far.set("up")
    near.alias, far.mtu = "rack 7", 1450
    far.addresses, far.routes = ["10.0.0.1/24"], [_ip.Route("default", "10.0.0.9", 0)]
    host.database = apply(host.database, [AddPort("br0", "v-red", ("v-red",)), Put("Port", "v-red", "tag", None, 10)])
    before, database = copy.deepcopy(seen(host)), copy.deepcopy(host.database)
    adopt = declaration.Settings(OWNER, adopt=True)
    converge(host, [item()], adopt)
    assert host.spaces[None]["v-red"].alias == MARK and host.units
    converge(host, [item(**changed)], adopt)
    again = copy.deepcopy(host)
    # Adopted for good: a later call does not have to say so.
    assert not compare(host, [item(**changed)]).steps
    converge(host, [], declaration.Settings(OWNER, adopt=True, purge=True))
    assert (seen(host), host.database, host.units) == (before, database, {})
    converge(again, [item(state="absent")], adopt)
    assert set(again.spaces[None]) == {"lo"} and not again.units


def test_another_owner_is_respected() -> None:
    host = world()
    converge(host, [item(bridge="br0")], declaration.Settings("another"))
    for wanted in (item(), item(state="absent"), item(interface="eth1")):
        with pytest.raises(FabricError, match="namespace red belongs to the owner another; give that owner, or adopt"):
            compare(host, [wanted])
    converge(host, [item(bridge="br0")], declaration.Settings(OWNER, adopt=True))
    assert host.spaces["red"]["lo"].alias == MARK
    assert host.database.tables["Port"]["v-red"]["external_ids"]["overloom-owner"] == OWNER


@pytest.mark.parametrize("alias", ["", "overloom:another"])
def test_a_foreign_interface_with_the_outer_name_is_refused(alias: str) -> None:
    host = world()
    host.add(None, "v-red", "veth").alias = alias
    with pytest.raises(FabricError, match="interface eth0: outer v-red is an interface already"):
        compare(host, [item()])


def test_a_foreign_interface_with_the_inner_name_is_refused() -> None:
    host = world()
    host.add_space("red")
    host.add("red", "eth0")
    with pytest.raises(
        FabricError, match="namespace red, interface eth0 is there already, and is not the other end of v-red"
    ):
        compare(host, [item()])


def test_a_changed_outer_name_replaces_the_pair_and_its_port() -> None:
    host = world()
    converge(host, [item(bridge="br0", tag=5, addresses=["10.0.0.1/24"])])
    converge(host, [item(bridge="br0", tag=5, outer="elsewhere")])
    assert (
        "v-red" not in host.spaces[None]
        and host.database.bridge_of["elsewhere"] == "br0"
        and "v-red" not in host.database.bridge_of
    )
    assert host.spaces["red"]["eth0"].addresses == ["10.0.0.1/24"]


def test_one_interface_can_go_while_the_namespace_stays() -> None:
    host = world()
    converge(host, [item(bridge="br0"), item(interface="eth1", bridge="br1")])
    converge(host, [item(interface="eth1", state="absent")])
    assert set(host.spaces["red"]) == {"lo", "eth0"} and "v-red-eth1" not in host.database.bridge_of
    converge(host, [item(), item(interface="eth2")])
    converge(host, [item(interface="eth2")], declaration.Settings(OWNER, purge=True))
    assert set(host.spaces["red"]) == {"lo", "eth2"}


def test_sysctls_of_an_interface_go_with_it() -> None:
    host = world()
    forward, filtered = {"net.ipv4.ip_forward": 1}, {"net.ipv4.conf.eth1.rp_filter": 1}
    converge(host, [item(sysctls=forward), item(interface="eth1", sysctls=filtered)])
    gone = copy.deepcopy(host)
    converge(host, [item(interface="eth1", state="absent")])
    content = host.units["overloom-netns-red.service"].content
    assert "eth1" not in content and "net/ipv4/ip_forward=1" in content
    gone.delete_space("red")
    converge(gone, [item(interface="eth1", state="absent")])
    assert "red" not in gone.ids
    with pytest.raises(FabricError, match="the namespace has no interface eth1"):
        compare(host, [item(sysctls=filtered), item(interface="eth1", state="absent")])


def test_absence_of_what_is_not_there_is_no_change() -> None:
    assert not compare(world(), [item(state="absent"), item("blue", interface="eth0", state="absent")]).steps


def test_a_missing_bridge_is_a_warning_in_check_mode_only() -> None:
    with pytest.raises(FabricError, match="bridge br9 does not exist; create it first"):
        compare(world(), [item(bridge="br9")])
    change = compare(world(), [item(bridge="br9")], declaration.Settings(OWNER, lenient=True))
    assert "br9 does not exist yet" in change.warnings[0]


def test_a_default_outer_name_fits_and_stays_unique() -> None:
    assert declaration.default_outer("red", "eth0") == "v-red"
    assert declaration.default_outer("red", "eth1") == "v-red-eth1"
    assert declaration.default_outer("a" * 13, "eth0") == "v-" + "a" * 13
    names = {declaration.default_outer("endpoint-of-tenant-" + str(n), "eth0") for n in range(1000)}
    assert len(names) == 1000 and {len(name) for name in names} == {15}


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ([item("")], "name: '' is no name for a namespace"),
        *(
            ([item(name)], "is no name for a namespace")
            for name in ("a b", "a/b", "-n", "--", "$(id)", "a;b", "a\nb", '"', "é", ".", "..", "x" * 65)
        ),
        ([item(interface="lo")], "interface lo is the loopback"),
        *(
            ([item(interface=name)], "is no interface name")
            for name in ("", "a b", "a/b", "-x", "a\n", "é", "x" * 16, "..", "eth%d", "a:b")
        ),
        *(([item(outer=name)], "outer: .* is no interface name") for name in ("", "a b", "$(x) y", "--", "x" * 16)),
        ([item(addresses=["10.0.0.1"])], "'10.0.0.1' is no address with a prefix length"),
        ([item(addresses=["10.0.0.300/24"])], "is no address"),
        ([item(addresses=["10.0.0.0/24"])], "address of the subnet itself"),
        ([item(addresses=["10.0.0.255/24"])], "broadcast address of 10.0.0.0/24"),
        ([item(addresses=["224.0.0.1/24"])], "no unicast address"),
        ([item(addresses=["fe80::1%eth0/64"])], "is no address"),
        ([item(addresses=["10.0.0.1/24", "10.0.0.1/24"])], "'10.0.0.1/24' is listed twice"),
        ([item(addresses=["fd00::1/64", "fd00:0::1/64"])], "is listed twice"),
        ([item(routes=[{"to": "10.2.0.1/16", "via": "10.0.0.2"}])], "'10.2.0.1/16' is no destination"),
        ([item(routes=[{"to": "default", "via": "x"}])], "via 'x' of the route to 'default' is no address"),
        ([item(routes=[{"to": "fd00::/64", "via": "10.0.0.2"}])], "other address family"),
        ([item(routes=[{"to": "default", "via": "10.0.0.2", "metric": -1}])], "metric -1 .* out of range"),
        (
            [item(routes=[{"to": "default", "via": "10.0.0.2"}, {"to": "0.0.0.0/0", "via": "10.0.0.3"}])],
            "second route to default",
        ),
        (
            [item(interface=f"eth{n}", routes=[{"to": "default", "via": f"10.0.{n}.2"}]) for n in range(2)],
            "second route to default",
        ),
        ([item(routes=[{"to": "default", "via": "10.0.0.2"}], up=False)], "routes need the interface up"),
        ([item(mtu=67)], "mtu: 67 is out of range"),
        ([item(mtu=65536)], "65536 is out of range"),
        ([item(mtu=1279, addresses=["fd00::1/64"])], "1279 is too small for fd00::1/64"),
        *(
            ([item(mac=mac)], "MAC address")
            for mac in ("", "01:00:00:00:00:00", "00:00:00:00:00:00", "02:00:00:00:00", "02:00:00:00:00:0g")
        ),
        ([item(), item()], "namespace red, interface eth0 is declared twice"),
        ([item(), item(state="absent")], "declared absent as a whole"),
        ([item(sysctls={"kernel.hostname": "x"})], "'kernel.hostname' is no sysctl of a network namespace"),
        ([item(sysctls={"net.ipv4/../../kernel.x": "x"})], "is no sysctl"),
        ([item(sysctls={"net.ipv4.ip_forward": "1\n2"})], "no number or single line"),
        ([item(sysctls={"net.ipv4.ip_forward": ""})], "no number or single line"),
        (
            [item(sysctls={"net.ipv4.ip_forward": 1}), item(interface="eth1", sysctls={"net.ipv4.ip_forward": 0})],
            "another value than another item",
        ),
        *(([item(bridge="br0", tag=tag)], "tag") for tag in (0, 4095, "ten", -1, True)),
        ([item(bridge="br0", trunks=[4095])], "trunks"),
        ([item(bridge="", tag=5)], "tag needs a port in a bridge"),
        ([item(bridge="a b")], "bridge"),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(wanted: list[dict], sentence: str) -> None:
    with pytest.raises(FabricError, match=sentence) as error:
        declaration.declared(wanted)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ([item(tag=5)], "tag needs a port in a bridge; give bridge"),
        ([item(outer="one"), item("blue", outer="one")], "outer one is that of namespace red, interface eth0 too"),
        (
            [item(addresses=["10.0.0.1/24"], routes=[{"to": "default", "via": "10.0.1.1"}])],
            "via 10.0.1.1 of the route to default is in no subnet",
        ),
        (
            [item(addresses=["10.0.0.1/24"], routes=[{"to": "default", "via": "10.0.0.1"}])],
            "the interface's own address",
        ),
        ([item(routes=[{"to": "default", "via": "10.0.0.1"}])], "is in no subnet"),
        ([item(sysctls={"net.ipv4.conf.eth7.rp_filter": 1})], "the namespace has no interface eth7"),
        ([item(bridge="br0", vlan_mode="access")], "vlan_mode access needs a VLAN"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_done(wanted: list[dict], sentence: str) -> None:
    with pytest.raises(FabricError, match=sentence):
        compare(world(), wanted)


def test_an_outer_name_of_another_namespace_is_refused() -> None:
    host = world()
    converge(host, [item(outer="one")])
    with pytest.raises(FabricError, match="namespace blue, interface eth0: outer one is that of namespace red"):
        compare(host, [item("blue", outer="one")])


@pytest.mark.parametrize("bridge", [None, "br0"])
def test_an_outer_name_can_pass_to_another_namespace_in_one_call(bridge: str | None) -> None:
    host = world()
    converge(host, [item(outer="one", bridge="br0")])
    converge(host, [item("blue", outer="one", bridge=bridge), item("red", state="absent")])
    assert set(host.ids) == {"blue"} and host.database.bridge_of.get("one") == bridge
    converge(host, [item("red", outer="one", bridge=bridge)], declaration.Settings(OWNER, purge=True))
    assert set(host.ids) == {"red"} and host.database.bridge_of.get("one") == bridge
    converge(host, [item("red", outer="two", bridge=bridge), item("green", outer="one")])
    assert host.database.bridge_of.get("two") == bridge and "one" not in host.database.bridge_of


def test_a_unit_that_was_changed_by_hand_beyond_reading_is_written_again() -> None:
    host = world()
    converge(host, [item(addresses=["10.0.0.1/24"])])
    name = "overloom-netns-red.service"
    for content in (
        "",
        "X-Overloom-Name=red\nX-Overloom-Owner=fabric\nX-Overloom-Namespace=made\nX-Overloom-Sysctls=[]\nX-Overloom-Interfaces={\n",
    ):
        host.units[name] = host.units[name]._replace(content=content)
        converge(host, [item(addresses=["10.0.0.1/24"])])
        assert "10.0.0.1/24" in host.units[name].content


@pytest.mark.parametrize("owner", ["", "a b", "a#b", "-a", "a\nb", "x" * 65, "é", "$(id)", "a'b"])
def test_an_owner_that_no_alias_can_carry_is_refused(owner: str) -> None:
    with pytest.raises(FabricError, match="owner: .* is no mark"):
        declaration.check_owner(owner)


def test_a_route_that_is_kept_but_would_lose_its_gateway_is_told() -> None:
    host = world()
    converge(host, [item(addresses=["10.0.0.1/24"], routes=[{"to": "default", "via": "10.0.0.2"}])])
    with pytest.raises(FabricError, match="via 10.0.0.2 of the route to default is in no subnet"):
        compare(host, [item(addresses=["10.0.5.1/24"])])
    assert Kept("x").all_routes() is None
