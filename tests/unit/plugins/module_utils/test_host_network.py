# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bonds and VLANs of the kernel in the files of three managers: random declarations, against a model of the kernel."""

from __future__ import annotations

import configparser
import re
import typing as t

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.overloom.fabric.plugins.module_utils._host_network import (
    compare,
    declaration,
    ifupdown,
    networkd,
    networkmanager,
)
from ansible_collections.overloom.fabric.plugins.module_utils._host_network.declaration import Item, Kept
from ansible_collections.overloom.fabric.plugins.module_utils._host_network.reader import MANAGERS, Claim, Found
from ansible_collections.overloom.fabric.plugins.module_utils._owner import Settings
from ansible_collections.overloom.fabric.plugins.module_utils._reconcile import (
    FabricError,
    Remove,
    Runner,
    Step,
    Write,
)

NICS = ("eth1", "eth2", "eth3")
NOTES = {"networkd": networkd.NOTE, "networkmanager": networkmanager.NOTE, "ifupdown": ifupdown.NOTE}
US = Settings("us")


def declared(*rows: dict[str, t.Any]) -> list[Item]:
    """Items as a module's caller gives them."""
    unsaid = dict.fromkeys(declaration.INTERFACE)
    return declaration.items({"name": None, "interfaces": [{**unsaid, "state": "present", **row} for row in rows]})


def bond(**more: t.Any) -> dict[str, t.Any]:
    return {"name": "bond0", "members": ["eth1", "eth2"], **more}


def vlan(**more: t.Any) -> dict[str, t.Any]:
    return {"name": "tep0", "parent": "bond0", "vlan": 200, **more}


class World:
    """A host: its links, and files that are ours. The manager obeys at once."""

    def __init__(self, manager: str = "networkd") -> None:
        self.manager = manager
        self.files: dict[str, str] = {}
        self.links: dict[str, dict[str, t.Any]] = {}
        self.claims: dict[str, list[Claim]] = {}
        self.managed: frozenset[str] = frozenset()
        for name in NICS:
            self.link(name)
            self.links[name]["flags"] = []

    def link(self, name: str, **more: t.Any) -> None:
        common = {"ifname": name, "ifindex": len(self.links) + 1, "mtu": 1500, "flags": ["UP"], "addr_info": []}
        self.links[name] = {**common, **more}

    def found(self) -> Found:
        lines = [line for text in self.files.values() for line in text.splitlines()]
        mark = NOTES[self.manager]
        noted = [declaration.noted(line[len(mark) :]) for line in lines if line.startswith(mark)]
        kept = {one.item.name: one for one in noted if one}
        return Found(
            self.links,
            frozenset({self.manager}),
            self.managed or frozenset(NICS if self.manager == "networkmanager" else ()),
            self.claims,
            {self.manager: self.files},
            {self.manager: kept},
            ("/etc/network/interfaces.d/*",),
        )

    def change(self, *rows: dict[str, t.Any], settings: Settings = US) -> list[t.Any]:
        found = self.found()
        return list(compare.compare(found, compare.goal(found, declared(*rows), settings, "auto")).steps)

    def run(self, *rows: dict[str, t.Any], settings: Settings = US) -> list[t.Any]:
        """Take the steps, and let the kernel be what the files say."""
        steps = self.change(*rows, settings=settings)
        before = self.found().kept[self.manager]
        for step in steps:
            if isinstance(step, Write):
                self.files[step.path] = step.content
            elif isinstance(step, Remove):
                del self.files[step.path]
        self._settle(before, self.found().kept[self.manager])
        return steps

    def _settle(self, before: t.Mapping[str, Kept], after: t.Mapping[str, Kept]) -> None:
        for link in self.links.values():
            link.pop("master", None)
        for name in before:
            if name not in after and before[name].item.kind == "nic":
                self.link(name)
            elif name not in after:
                del self.links[name]
        for name, one in after.items():
            item = one.item
            given_ = [
                dict(zip(("local", "prefixlen"), (a.split("/")[0], int(a.split("/")[1])))) for a in item.addresses or ()
            ]
            info: dict[str, t.Any] = {}
            if item.kind == "bond":
                info = {"linkinfo": {"info_kind": "bond", "info_data": item.bond_settings()}}
            if item.kind == "vlan":
                info = {"link": item.parent, "linkinfo": {"info_kind": "vlan", "info_data": {"id": item.vlan}}}
            rows = [{**row, "family": "inet6" if ":" in row["local"] else "inet", "scope": "global"} for row in given_]
            self.link(name, mtu=item.mtu or 1500, addr_info=rows, **info)
            for member in item.members or ():
                self.links[member].update(master=name, flags=["UP"])


ADDRESSES = st.lists(st.sampled_from(["192.0.2.1/24", "192.0.2.2/25", "2001:db8::1/64"]), unique=True)
COMMON = {"mtu": st.sampled_from([0, 1400, 9000]), "addresses": ADDRESSES}


@st.composite
def bonds(draw: t.Any) -> dict[str, t.Any]:
    """A bond with options that go together."""
    mode = draw(st.sampled_from(declaration.MODES))
    members = draw(st.lists(st.sampled_from(NICS), min_size=2, unique=True))
    said: dict[str, t.Any] = {
        "name": "bond0",
        "members": members,
        "mode": mode,
        "miimon": draw(st.sampled_from([50, 100])),
    }
    said["up_delay"] = draw(st.sampled_from([0, 100, 700]))
    if mode == "802.3ad":
        said["lacp_rate"] = draw(st.sampled_from(["slow", "fast", ""]))
    if mode in ("802.3ad", "balance-xor"):
        said["xmit_hash_policy"] = draw(st.sampled_from(["", *declaration.HASH_POLICIES]))
    if mode == "active-backup":
        said["primary"] = draw(st.sampled_from(["", *members]))
    return {**said, **{key: draw(strategy) for key, strategy in COMMON.items()}}


@st.composite
def wishes(draw: t.Any) -> list[dict[str, t.Any]]:
    """Some interfaces that go together: a bond, VLANs on it or on a NIC, and a NIC."""
    rows = draw(st.lists(bonds(), max_size=1))
    used = {name for row in rows for name in row["members"]}
    free = [name for name in NICS if name not in used]
    parents = [*(["bond0"] if rows else []), *free]
    for name, number in draw(st.sets(st.sampled_from([("tep0", 200), ("store", 4094)]))):
        if parents:
            rows.append(
                {
                    "name": name,
                    "parent": draw(st.sampled_from(parents)),
                    "vlan": number,
                    **{k: draw(s) for k, s in COMMON.items()},
                }
            )
    if free and draw(st.booleans()):
        rows.append({"name": free[0], **{key: draw(strategy) for key, strategy in COMMON.items()}})
    return rows


@pytest.mark.parametrize("manager", MANAGERS)
@given(st.lists(wishes(), min_size=1, max_size=3))
def test_whatever_is_declared_is_made_a_second_run_changes_nothing_and_all_goes_again(
    manager: str, many: list[t.Any]
) -> None:
    world = World(manager)
    everything = Settings("us", purge=True)
    for rows in many:
        if {row["name"] for row in rows} & {
            n for row in world.found().kept[manager].values() for n in row.item.members or ()
        }:
            world.run(settings=everything)
        world.run(*rows, settings=everything)
        assert set(world.found().kept[manager]) == {row["name"] for row in rows}
        assert world.change(*rows, settings=everything) == []
        # What is left out is as it was.
        assert world.change(*({"name": row["name"]} for row in rows), settings=everything) == []
    world.run(settings=everything)
    assert world.files == {} and set(world.links) == set(NICS)


def sections(text: str) -> configparser.ConfigParser:
    """A file of networkd or NetworkManager; configparser refuses what is there twice, but for the options that are lists."""
    numbers = iter(range(1000))
    text = re.sub(r"(?m)^(Address|VLAN)=", lambda found: f"{found[1]}.{next(numbers)}=", text)
    parser = configparser.ConfigParser(interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


@given(wishes())
def test_each_file_has_each_section_once_and_the_addresses_that_are_declared(rows: list[dict[str, t.Any]]) -> None:
    kept = [Kept("us", declaration.merged(item, None), {}) for item in declared(*rows)]
    uuids = set()
    for path, (text, mode) in networkmanager.files(kept, {}).items():
        found = sections(text)
        uuids.add(found["connection"]["uuid"])
        assert mode == 0o600 and path.endswith(f"overloom-{found['connection']['interface-name']}.nmconnection")
    assert len(uuids) == len(networkmanager.files(kept, {}))
    for text, mode in networkd.files(kept, {}).values():
        assert mode == 0o644 and sections(text).sections()
    for one in kept:
        wanted = list(one.item.addresses or ())
        network = sections(networkd.files(kept, {})[networkd.path_of(one.item.name, "network")][0])["Network"]
        assert [value for key, value in network.items() if key.startswith("Address")] == wanted
        stanzas = ifupdown.files(kept, {})[ifupdown.path_of(one.item.name)][0]
        assert re.findall(r"(?m)^    address (\S+)", stanzas) == wanted
        connection = sections(networkmanager.files(kept, {})[networkmanager.path_of(one.item.name)][0])
        both = [*connection["ipv4"].items(), *connection["ipv6"].items()]
        assert sorted(value for key, value in both if key.startswith("address")) == sorted(wanted)
        assert declaration.noted(one.note()) == one


def test_a_bond_and_its_vlan_in_the_words_of_each_manager() -> None:
    rows = declared(bond(mode="802.3ad", lacp_rate="fast", mtu=9000), vlan(addresses=["192.168.200.1/24"]))
    kept = [Kept("us", declaration.merged(item, None), {}) for item in rows]
    texts = {path.rpartition("/")[2]: text for path, (text, _mode) in networkd.files(kept, {}).items()}
    for line in ("Kind=bond", "MTUBytes=9000", "Mode=802.3ad", "MIIMonitorSec=100ms", "LACPTransmitRate=fast"):
        assert f"\n{line}\n" in texts["00-overloom-net-bond0.netdev"]
    assert "\nVLAN=tep0\n" in texts["00-overloom-net-bond0.network"]
    assert "\nBond=bond0\n" in texts["00-overloom-net-eth2.network"]
    assert "\n[VLAN]\nId=200\n" in texts["00-overloom-net-tep0.netdev"]
    connections = networkmanager.files(kept, {})
    assert "\n[vlan]\nflags=1\nid=200\nparent=bond0\n" in connections[networkmanager.path_of("tep0")][0]
    assert "\nmaster=bond0\nslave-type=bond\n" in connections[networkmanager.path_of("eth1")][0]
    assert "\nlacp_rate=fast\n" in connections[networkmanager.path_of("bond0")][0]
    stanzas = ifupdown.files(kept, {})
    assert "    bond-slaves eth1 eth2\n    bond-mode 802.3ad\n" in stanzas[ifupdown.path_of("bond0")][0]
    assert " || ip link add link bond0 name tep0 type vlan id 200\n" in stanzas[ifupdown.path_of("tep0")][0]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([bond(members=["eth1"])], "bond bond0: members names eth1 alone; a bond needs two or more NICs"),
        ([bond(members=["eth1", "eth1"])], "bond bond0: members names eth1 twice; name each NIC once"),
        ([bond(members=["eth1", "eth9"])], "bond bond0: member eth9 does not exist on this host; correct the name"),
        ([bond(primary="eth3")], "bond bond0: primary eth3 is not among its members; name one of eth1, eth2"),
        ([bond(lacp_rate="fast")], "bond bond0: lacp_rate is for the mode 802.3ad; leave it out with active-backup"),
        ([bond(up_delay=50)], "bond bond0: up_delay 50 is no multiple of miimon 100; correct one of them"),
        (
            [bond(parent="eth3")],
            "interface bond0: members and parent exclude each other; a VLAN of a bond is an interface of its own",
        ),
        (
            [{"name": "eth1", "mode": "802.3ad"}],
            "interface eth1: mode is for a bond, which has members; leave it out, or complete the interface",
        ),
        ([{"name": "v", "parent": "eth1"}], "VLAN v: vlan is missing; give its number, 1 to 4094"),
        ([vlan(parent="eth9")], "VLAN tep0: parent eth9 does not exist on this host; correct the name"),
        ([{"name": "eth9"}], "NIC eth9 does not exist on this host; correct the name"),
        (
            [bond(), {"name": "bond1", "members": ["eth2", "eth3"]}],
            "bond bond1: eth2 is a member of bond0 already; name another NIC",
        ),
        (
            [bond(), {"name": "eth1"}],
            "bond bond0: eth1 is declared as an interface of its own, too; leave one of them out",
        ),
        ([bond(), vlan(parent="eth1")], "VLAN tep0: eth1 is a member of bond0; name that as parent"),
        ([{"name": "a*"}], "name: 'a*' is no name that each manager takes; use letters, digits and _.@+-"),
        ([bond(), bond()], "interface bond0 is declared twice; leave one out"),
    ],
)
def test_what_cannot_be_is_one_sentence(rows: list[dict[str, t.Any]], said: str) -> None:
    with pytest.raises(FabricError) as refused:
        World().change(*rows)
    assert str(refused.value) == said


THEIRS = "/etc/systemd/network/lan.network"


@pytest.mark.parametrize(
    ("claim", "manager", "said"),
    [
        (
            Claim("networkd", THEIRS),
            "networkd",
            f"bond bond0: member eth1 is configured by {THEIRS}; name another NIC, or give adopt: true",
        ),
        (
            Claim("ifupdown", "/etc/network/interfaces"),
            "networkd",
            "bond bond0: member eth1 is configured by /etc/network/interfaces (ifupdown), which would go on",
        ),
        (
            Claim("ifupdown", "/etc/network/interfaces"),
            "ifupdown",
            "bond bond0: member eth1 is configured by /etc/network/interfaces (ifupdown), which would go on",
        ),
    ],
)
def test_a_nic_of_others_is_refused_with_the_ways_on(claim: Claim, manager: str, said: str) -> None:
    world = World(manager)
    assert world.change(bond())
    world.claims = {"eth1": [claim]}
    with pytest.raises(FabricError) as refused:
        world.change(bond())
    assert str(refused.value).startswith(said)
    if said.endswith("adopt: true"):
        assert world.change(bond(), settings=Settings("us", adopt=True))


def test_a_file_for_whichever_nic_there_is_refuses_none_that_is_unused() -> None:
    """Images have `Name=en*` with DHCP; a NIC with an address of it, or with VLANs, is in use."""
    world = World()
    world.claims = {name: [Claim("networkd", "/run/systemd/network/10-netplan-all-en.network", False)] for name in NICS}
    world.run(bond(), {"name": "eth3"})
    assert world.change(bond(), {"name": "eth3"}) == []
    world.run(bond(state="absent"), {"name": "eth3", "state": "absent"})
    world.link("eth1.5", link="eth1", linkinfo={"info_kind": "vlan", "info_data": {"id": 5}})
    with pytest.raises(FabricError, match="member eth1 is configured by /run/systemd/network/10-netplan-all-en"):
        world.change(bond())
    world.links["eth1.5"]["linkinfo"] = {"info_kind": "veth"}
    assert world.change(bond())
    world.links["eth2"]["addr_info"] = [{"local": "198.51.100.1", "prefixlen": 24, "family": "inet", "scope": "global"}]
    with pytest.raises(FabricError, match="member eth2 has the address 198.51.100.1/24, which is not ours"):
        world.change(bond())


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("[Match]\nName=eth1\n[Network]\nDHCP=yes\n", True),
        # As Netplan writes it for `match: macaddress`, without and with set-name.
        ("[Match]\nPermanentMACAddress=52:54:00:12:34:56\n\n[Network]\nDHCP=ipv4\n", True),
        ("[Match]\nMACAddress=52:54:00:12:34:56\nName=ens3\n[Network]\n", True),
        ("[Match]\nPath=pci-0000:02:00.0\n", True),
        ("[Match]\nName=en*\n[Network]\nDHCP=yes\n", False),
        ("[Match]\nName=eth1 eth2\n", False),
        ("[Match]\nName=!eth0\n", False),
        ("[Match]\nType=ether\n[Network]\nName=x\n", False),
    ],
)
def test_which_files_are_for_one_nic_alone(text: str, alone: bool) -> None:
    assert networkd.for_one(text) is alone


def test_whose_connections_of_networkmanager_are() -> None:
    for path, kept in (
        ("/etc/NetworkManager/system-connections/lan.nmconnection", True),
        ("/etc/sysconfig/network-scripts/ifcfg-eth1", True),
        ("/run/NetworkManager/system-connections/netplan-eth1.nmconnection", True),
        ("/run/NetworkManager/system-connections/Wired connection 1.nmconnection", False),
        ("", False),
    ):
        assert networkmanager.kept(path) is kept


NOT_YET = "Error: Connection activation failed: The device could not be readied for configuration\n"


@pytest.mark.parametrize(
    ("argv", "answers", "runs", "status"),
    [
        (("nmcli", "connection", "up"), [(4, "", NOT_YET), (4, "", NOT_YET), (0, "", "")], 3, 0),
        (("nmcli", "connection", "up"), [(4, "", NOT_YET)] * 99, networkmanager.TRIES, 4),
        (("nmcli", "connection", "up"), [(4, "", "Error: unknown connection")] * 2, 1, 4),
        (("nmcli", "connection", "reload"), [(4, "", NOT_YET)] * 2, 1, 4),
    ],
)
def test_a_vlan_whose_bond_is_not_ready_yet_is_started_again_for_a_bounded_time(argv, answers, runs, status) -> None:
    left, pauses = list(answers), []
    runner = compare.patient(Runner(lambda _argv, _stdin: left.pop(0)), pauses.append)
    assert runner.run(argv)[0] == status
    assert (len(answers) - len(left), runner.spawned, len(pauses)) == (runs, runs, runs - 1)


@pytest.mark.parametrize("row", [bond(), vlan(parent="eth1")])
def test_networkd_takes_no_nic_that_networkmanager_has(row: dict[str, t.Any]) -> None:
    world = World()
    assert world.change(row)
    world.managed = frozenset({"eth1"})
    with pytest.raises(
        FabricError, match="eth1 is NetworkManager's, which would configure it as well; give manager: networkmanager"
    ):
        world.change(row)


def test_a_nic_with_addresses_a_port_of_another_and_a_bond_of_others_are_refused() -> None:
    world = World()
    world.links["eth1"]["master"] = "br0"
    with pytest.raises(
        FabricError, match="^bond bond0: member eth1 is a port of br0; take it from there, or name another NIC$"
    ):
        world.change(bond())
    del world.links["eth1"]["master"]
    world.links["eth2"]["addr_info"] = [{"local": "198.51.100.1", "prefixlen": 24, "family": "inet", "scope": "global"}]
    with pytest.raises(
        FabricError,
        match="^bond bond0: member eth2 has the address 198.51.100.1/24, which is not ours; name another NIC",
    ):
        world.change(bond())
    # Adopted, it goes, and comes back.
    own = Settings("us", adopt=True)
    lines = "".join(step.stdin or "" for step in world.run(bond(), settings=own) if isinstance(step, Step))
    assert "address flush dev eth2 scope global" in lines
    world.links["eth2"]["addr_info"] = []
    lines = "".join(step.stdin or "" for step in world.run(bond(state="absent")) if isinstance(step, Step))
    assert "address replace 198.51.100.1/24 dev eth2" in lines and "link set dev eth1 down" in lines
    world.link("bond0", linkinfo={"info_kind": "bond", "info_data": {}})
    world.links["eth2"]["addr_info"] = []
    with pytest.raises(FabricError, match="^bond bond0 is there, and no file of ours made it; choose another name"):
        world.change(bond())


@pytest.mark.parametrize(
    "entry",
    [
        {"local": "198.51.100.1", "prefixlen": 24, "family": "inet", "scope": "global", "dynamic": True},
        {
            "local": "2001:db8::5",
            "prefixlen": 64,
            "family": "inet6",
            "scope": "global",
            "dynamic": True,
            "mngtmpaddr": True,
        },
    ],
)
@pytest.mark.parametrize("manager", MANAGERS)
@pytest.mark.parametrize("row", [bond(members=["eth1", "eth2"]), {"name": "eth2"}])
def test_a_nic_that_has_its_address_of_dhcp_or_a_router_is_not_cut_off(manager, row, entry) -> None:
    """It may be the one that the SSH connection comes by: of an image's file for all NICs, or of no file, as NetworkManager does by itself."""
    world = World(manager)
    assert world.change(row)
    world.links["eth2"]["addr_info"] = [entry]
    world.claims = {"eth2": [Claim("networkd", THEIRS, exact=False)]} if manager == "networkd" else {}
    with pytest.raises(FabricError, match=f"eth2 has the address {entry['local']}/.*, which is not ours; name another"):
        world.change(row)
    lines = "".join(
        step.stdin or "" for step in world.run(row, settings=Settings("us", adopt=True)) if isinstance(step, Step)
    )
    assert ("address flush dev eth2 scope global" in lines) is ("members" in row)


@pytest.mark.parametrize("row", [bond(), {"name": "eth1"}])
def test_a_nic_that_carries_a_vlan_of_others_is_not_taken(row: dict[str, t.Any]) -> None:
    """The SSH connection may come by it, and ifupdown needs no stanza for the NIC itself. A VLAN of ours is no reason."""
    world = World()
    world.link("eth1.5", link="eth1", linkinfo={"info_kind": "vlan", "info_data": {"id": 5}})
    with pytest.raises(
        FabricError, match="eth1 carries eth1.5, which is not ours; name another NIC, remove that first"
    ):
        world.change(row)
    assert world.change(row, settings=Settings("us", adopt=True))
    assert world.change(vlan(parent="eth1"))
    del world.links["eth1.5"]
    world.run(vlan(parent="eth1"))
    assert world.change({"name": "eth1"})


def test_a_vlan_takes_no_address_from_its_parent_that_no_file_is_for() -> None:
    """systemd-networkd drops what the file that it gets for the parent does not say; beside a file of others ours is a drop-in."""
    world = World()
    row = vlan(parent="eth1")
    world.links["eth1"]["addr_info"] = [{"local": "198.51.100.1", "prefixlen": 24, "family": "inet", "scope": "global"}]
    with pytest.raises(FabricError, match="^VLAN tep0: parent eth1 has the address 198.51.100.1/24, which is not ours"):
        world.change(row)
    assert world.change(row, settings=Settings("us", adopt=True))
    world.claims = {"eth1": [Claim("networkd", THEIRS)]}
    assert world.change(row)


def test_another_owners_interface_is_neither_purged_nor_declared() -> None:
    world = World()
    world.run(bond(), settings=Settings("others"))
    assert world.change(settings=Settings("us", purge=True)) == []
    with pytest.raises(
        FabricError, match="^interface bond0 belongs to the owner others; give that owner, or adopt: true"
    ):
        world.change(bond())
    with pytest.raises(FabricError, match="^interface bond0 belongs to the owner others and stays; give that owner"):
        world.change({"name": "bond0", "state": "absent"})


def test_a_vlan_on_an_interface_of_others_is_a_drop_in_beside_their_file() -> None:
    world = World()
    world.claims = {"eth1": [Claim("networkd", "/run/systemd/network/10-netplan-eth1.network")]}
    world.run(vlan(parent="eth1"))
    dropin = "/etc/systemd/network/10-netplan-eth1.network.d/overloom-net-tep0.conf"
    assert (
        world.files[dropin].endswith("[Network]\nVLAN=tep0\n")
        and networkd.path_of("eth1", "network") not in world.files
    )
    assert world.change(vlan(parent="eth1")) == []
    # Their file has another name meanwhile.
    world.claims = {"eth1": [Claim("networkd", "/etc/systemd/network/lan.network")]}
    world.run(vlan(parent="eth1"))
    assert dropin not in world.files
    world.run({"name": "tep0", "state": "absent"})
    assert world.files == {}
    world.claims = {"eth1": [Claim("networkd", THEIRS, exact=False)]}
    with pytest.raises(
        FabricError, match="which is for more interfaces than eth1, and each of them would get the VLAN"
    ):
        world.change(vlan(parent="eth1"))


def test_the_manager_that_runs_on_the_host_is_chosen() -> None:
    world = World()
    found = world.found()
    for running, managed, chosen in (
        ({"networkd", "networkmanager"}, {"eth1"}, "networkmanager"),
        ({"networkd", "networkmanager"}, {"eth0"}, "networkd"),
        ({"networkmanager"}, set(), "networkmanager"),
        ({"networkd", "ifupdown"}, set(), "networkd"),
        ({"ifupdown"}, set(), "ifupdown"),
    ):
        there = found._replace(running=frozenset(running), managed=frozenset(managed))
        assert compare.manager_of(there, "auto", declared(bond()), "us") == chosen
    with pytest.raises(FabricError, match="^neither systemd-networkd nor NetworkManager runs on this host"):
        compare.manager_of(found._replace(running=frozenset()), "auto", declared(bond()), "us")
    with pytest.raises(
        FabricError, match="^manager networkmanager: NetworkManager does not run on this host; start it"
    ):
        compare.manager_of(found, "networkmanager", declared(bond()), "us")


def test_what_is_found_otherwise_is_made_so_again() -> None:
    world = World()
    world.run(bond(), vlan(addresses=["192.0.2.1/24"]))
    world.links["bond0"]["linkinfo"]["info_data"]["mode"] = "balance-rr"
    lines = "".join(step.stdin or "" for step in world.change(bond(), vlan()) if isinstance(step, Step))
    assert "link delete dev bond0" in lines
    world.links["bond0"]["linkinfo"]["info_data"]["mode"] = "active-backup"
    world.links["eth2"].pop("master")
    assert Step(("networkctl", "reconfigure", "eth1", "eth2", "bond0", "tep0")) in world.change(bond(), vlan())


def test_ifupdown_reads_what_it_is_told_to_read() -> None:
    world = World("ifupdown")
    # As older images of Ubuntu have it: ours would never be read.
    for sources in ((), ("/etc/network/interfaces.d/*.cfg",)):
        found = world.found()._replace(sources=sources)
        with pytest.raises(FabricError, match="^/etc/network/interfaces does not read /etc/network/interfaces.d"):
            compare.goal(found, declared(bond()), US, "auto")
    text = "source /etc/network/interfaces.d/*\nauto eth0\niface eth0 inet \\\n  dhcp\n# iface eth9 inet manual\n"
    assert ifupdown.defined(text) == ["eth0"] and ifupdown.sourced(text) == ["/etc/network/interfaces.d/*"]
    assert ifupdown.path_of("bond0.200") != ifupdown.path_of("bond0_200")
