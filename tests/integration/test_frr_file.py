# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""frr.conf as people have it, edited beside what others wrote, and what FRR makes of it when it starts again."""

from __future__ import annotations

import collections
import difflib
import functools
import os
import random
import re
import typing as t

import frr_files
import frr_grammar
import harness
import pytest
import vtysh_batch
from frr_customs import CUSTOMS
from frr_habits import HABITS
from frr_operators import OPERATORS
from harness import wait
from routers import DAEMONS, OPTIONS, by_hand, daemons, deleted, loaded, running

from ansible_collections.overloom.fabric.plugins.module_utils._frr import conf
from ansible_collections.overloom.fabric.plugins.module_utils._frr import profile as profiles
from ansible_collections.overloom.fabric.plugins.module_utils._frr import saved as frr_saved
from ansible_collections.overloom.fabric.plugins.module_utils._frr import setting as frr_setting

pytestmark = pytest.mark.usefixtures("frr_stopped_afterwards")

# The daemons beside those of the modules, each with what tells that a file has lines for it.
OTHERS = {
    "pbrd": "pbr-|nexthop-group",
    "isisd": "isis",
    "pimd": "ip pim|ip igmp",
    "ldpd": "mpls ldp|l2vpn .* type",
    "eigrpd": "eigrp",
    "babeld": "babel",
    "pathd": "segment-routing",
    "nhrpd": "nhrp",
    "ripngd": "ripng",
    "vrrpd": "vrrp",
    "fabricd": "openfabric",
}


@pytest.fixture
def crowded(host: harness.Host) -> t.Iterator[harness.Host]:
    """A host with interfaces, for FRR."""
    host.run(["rm", "-rf", "/etc/overloom/frr"])
    for name in ("eth2", "eth3"):
        host.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"p{name}"])
    for name in ("eth1", "eth2", "eth3"):
        host.run(["ip", "link", "set", name, "up"])
    host.run(["install", "-d", "-o", "frr", "-g", "frr", "-m", "0755", "/etc/frr", "/run/frr"])
    yield host


def start(host: harness.Host, text: str, defaults: str = "traditional") -> None:
    """FRR started anew with a file, and with the daemons that it has lines for."""
    wanted = [*DAEMONS, *(name for name, lines in OTHERS.items() if re.search(lines, text))]
    enabled = "".join(f"{name}=yes\n" for name in wanted)
    host.write("/etc/frr/daemons", f'{enabled}{OPTIONS}frr_profile="{defaults}"\n')
    host.write("/etc/frr/vtysh.conf", "service integrated-vtysh-config\n")
    host.write("/etc/frr/frr.conf", text)
    host.run(["chown", "-R", "frr:frr", "/etc/frr"])
    restart(host)


def restart(host: harness.Host) -> None:
    """FRR started anew with the file that is there."""
    wanted = set(re.findall("^(.*)=yes$", host.run(["cat", "/etc/frr/daemons"]), re.M)) - {"vtysh_enable"}
    host.run(["systemctl", "reset-failed", "frr"], ok=None)
    host.run(["systemctl", "restart", "frr"])
    wait(lambda: wanted <= daemons(host) and loaded(host), "FRR's daemons with what frr.conf says", 120)


def saved(host: harness.Host) -> str:
    """The text of frr.conf."""
    return host.run(["cat", "/etc/frr/frr.conf"])


def holds(host: harness.Host, module: str, options: dict[str, t.Any]) -> None:
    """Apply options: nothing foreign is lost, now and after a restart, and then nothing is to be done."""
    hold_together(host, {module: options})


def hold_together(host: harness.Host, tasks: dict[str, dict[str, t.Any]]) -> None:
    """The same for several modules, and one restart. That check mode foretells it is claimed by `holds`."""
    gone = deleted(host)
    for module, options in tasks.items():
        (host.apply if len(tasks) == 1 else host.module)(module, options)
    ran = running(host)
    would_go = deleted(host)
    assert would_go is None if gone is None else would_go is not None and not would_go - gone
    restart(host)
    wait(lambda: running(host) == ran, "what ran before the restart", look=lambda: differing(ran, running(host)))
    for module, options in tasks.items():
        assert not host.module(module, options, check=True)["changed"]


def differing(before: str, after: str) -> str:
    """The lines in which two configurations differ."""
    return "\n".join(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))


POLICY = """\
frr defaults traditional
nexthop-group A
 nexthop 192.0.2.1
exit
!
pbr-map M seq 5
 match src-ip 192.0.2.0/24
 set nexthop-group A
exit
!
bfd
 peer 192.0.2.9
  detect-multiplier 7
 exit
exit
"""


def test_somebody_who_routes_by_policy_gets_a_static_route(crowded: harness.Host) -> None:
    start(crowded, POLICY)
    holds(crowded, "frr_static", {"prefix": "10.9.0.0/16", "discard": "blackhole"})
    # Each line of others is in its place, byte by byte.
    assert saved(crowded).replace("ip route 10.9.0.0/16 blackhole\n", "") == POLICY
    crowded.apply("frr_static", {"routes": [], "purge": True})
    assert saved(crowded) == POLICY


def test_the_host_of_somebody_with_policies_is_rebooted_and_the_playbook_runs_again(crowded: harness.Host) -> None:
    start(crowded, POLICY + QUAGGA)
    tasks: dict[str, dict[str, t.Any]] = {
        "frr_static": {"prefix": "10.9.0.0/16", "discard": "blackhole"},
        "frr_bgp": {"asn": "65000", "neighbors": [{"neighbor": "192.0.2.9", "description": "ours"}]},
        "frr_ospf": {"interfaces": [{"name": "eth1", "cost": 99}], "adopt": True},
    }
    for module, options in tasks.items():
        crowded.apply(module, options)
    ran, file = running(crowded), saved(crowded)
    assert re.search("10.9.0.0/16 blackhole.*ip ospf cost 99.*description ours.*set nexthop-group A", ran, re.S)
    crowded.run(["systemctl", "enable", "--quiet", "frr"])
    crowded.reboot()
    wait(lambda: set(DAEMONS) <= daemons(crowded), "FRR's daemons", 60)
    wait(lambda: running(crowded) == ran, "what ran before the reboot")
    assert saved(crowded) == file
    for module, options in tasks.items():
        assert not crowded.module(module, options, check=True)["changed"]
    crowded.run(["systemctl", "disable", "--quiet", "frr"])


EVPN = """\
frr defaults traditional
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
 !
 address-family l2vpn evpn
  neighbor 192.0.2.9 activate
  advertise-all-vni
  vni 1002
   rd 1:1
   route-target import 1:1
  exit-vni
  advertise-svi-ip
 exit-address-family
exit
!
end
"""


def test_somebody_with_evpn_gets_a_description(crowded: harness.Host) -> None:
    start(crowded, EVPN)
    holds(crowded, "frr_bgp", {"asn": "65000", "neighbors": [{"neighbor": "192.0.2.9", "description": "spine"}]})
    assert saved(crowded).replace(" neighbor 192.0.2.9 description spine\n", "") == EVPN


FABRIC = """\
frr version 8.4
frr defaults datacenter
vrf RED
 ip route 10.60.0.0/16 blackhole
exit-vrf
!
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
 !
 address-family l2vpn evpn
  neighbor 192.0.2.9 activate
  advertise-all-vni
  vni 1002
   rd 1:1
   route-target import 1:1
  exit-vni
  advertise-svi-ip
 exit-address-family
exit
!
router bgp 65000 vrf RED
 bgp router-id 10.0.0.7
exit
!
"""


def fabric(poll: int = 5) -> dict[str, dict[str, t.Any]]:
    """What a playbook declares on such a host: against the profile, in EVPN, in a VRF, with another AS, and without multicast."""
    evpn = [{"family": "l2vpn_evpn", "activate": True, "route_reflector_client": False}]
    words = {"local_as": "65123", "local_as_no_prepend": True, "local_as_replace_as": True}
    peers = [
        {"neighbor": "192.0.2.9", "description": "spine"},
        {"neighbor": "192.0.2.10", "remote_as": "65002", "address_families": evpn, **words},
    ]
    default = {
        "asn": "65000",
        "ebgp_requires_policy": True,
        "timers": {"keepalive": 60, "hold": 180},
        "default_ipv4_unicast": False,
        "neighbors": peers,
    }
    vrf = {"asn": "65000", "vrf": "RED", "neighbors": [{"neighbor": "192.0.2.11", "remote_as": "65003"}]}
    return {
        "frr_bgp": {"instances": [default, vrf], "purge": True},
        "frr_ospf": {
            "router_id": "10.0.0.1",
            "interfaces": [{"name": "eth1", "area": "0", "network_type": "non-broadcast"}],
            "neighbors": [{"address": "10.0.1.2", "poll_interval": poll, "priority": 5}],
            "areas": [{"area": "7", "type": "totally_nssa"}],
            "purge": True,
        },
        "frr_static": {"routes": [{"prefix": "10.41.0.0/16", "via": "192.0.2.9", "vrf": "RED"}], "purge": True},
    }


def notes(host: harness.Host) -> str:
    """What the modules remember of what they made."""
    return host.run(["grep", "-r", "", "/etc/overloom/frr"], ok=None)


def test_a_fabric_in_evpn_and_a_vrf_under_another_profile_outlives_daemon_and_host(crowded: harness.Host) -> None:
    start(crowded, FABRIC, "datacenter")
    first, gone = running(crowded), deleted(crowded)
    assert gone is not None
    for module, options in fabric().items():
        crowded.apply(module, options)
    ran, file, noted = running(crowded), saved(crowded), notes(crowded)
    would_go = deleted(crowded)
    assert would_go is not None and not would_go - gone
    for line in (
        " bgp ebgp-requires-policy",
        " timers bgp 60 180",
        " neighbor 192.0.2.10 local-as 65123 no-prepend replace-as",
        "  neighbor 192.0.2.10 activate",
        " neighbor 192.0.2.11 remote-as 65003",
        " neighbor 10.0.1.2 priority 5 poll-interval 5",
        " area 0.0.0.7 nssa no-summary",
        " ip route 10.41.0.0/16 192.0.2.9",
        "   rd 1:1",
    ):
        assert f"{line}\n" in ran and f"{line}\n" in file, line
    # What FRR refuses leaves what ran, in its VRF, and whose it is.
    bad = [{"prefix": "10.60.0.0/16", "via": "192.0.2.7", "vrf": "RED"}]
    routes = [*fabric()["frr_static"]["routes"], {"prefix": "10.42.0.0/16", "via": "192.0.2.9", "vrf": "RED"}, *bad]
    assert "10.60.0.0/16 192.0.2.7" in crowded.module("frr_static", {"routes": routes}, ok=False)["msg"]
    assert (running(crowded), saved(crowded), notes(crowded)) == (ran, file, noted)

    def nothing_to_do(starts: str) -> None:
        wait(lambda: set(DAEMONS) <= daemons(crowded), f"FRR's daemons after the {starts}", 60)
        wait(lambda: running(crowded) == ran, f"what ran before the {starts}")
        assert (saved(crowded), notes(crowded)) == (file, noted)
        for module, options in fabric().items():
            assert not crowded.module(module, options)["changed"], (starts, module)

    restart(crowded)
    nothing_to_do("restart")
    crowded.run(["systemctl", "enable", "--quiet", "frr"])
    crowded.reboot()
    nothing_to_do("reboot")
    crowded.run(["systemctl", "disable", "--quiet", "frr"])
    # The next change, and the teardown.
    crowded.apply("frr_ospf", fabric(poll=9)["frr_ospf"])
    assert " neighbor 10.0.1.2 priority 5 poll-interval 9\n" in running(crowded)
    for module, things in (("frr_static", "routes"), ("frr_ospf", "instances"), ("frr_bgp", "instances")):
        crowded.module(module, {things: [], "purge": True})
    assert running(crowded) == first and not notes(crowded)
    assert saved(crowded) == FABRIC
    restart(crowded)
    wait(lambda: running(crowded) == first, "what ran at first")


# --- any file --------------------------------------------------------------------------------------------------------

# How many random files are edited; the long form takes 10,000, as here in some fifteen minutes:
#   OVERLOOM_FRR_FILES=10000 python -m pytest tests/integration/test_frr_file.py -k random
FILES = int(os.environ.get("OVERLOOM_FRR_FILES", "250"))
# Of so many files FRR is started with one, three at least.
OF = 250
BGP = "router bgp 65000"
CHANGES = {
    ("ip route 10.9.0.0/16 blackhole",): "ip route 10.9.0.0/16 blackhole",
    (BGP,): BGP,
    (BGP, "neighbor 10.1.1.1 remote-as"): "neighbor 10.1.1.1 remote-as 1",
    (BGP, "address-family l2vpn evpn", "neighbor 10.1.1.1 activate"): "neighbor 10.1.1.1 activate",
    ("interface eth1", "ip ospf cost"): "ip ospf cost 5",
    ("vrf V0", "ip route 10.0.0.0/8 blackhole"): "ip route 10.0.0.0/8 blackhole",
    ("bfd", "profile US"): "profile US",
    ("bfd", "profile US", "transmit-interval"): "transmit-interval 77",
}


def change(lines: list[conf.Line], changes: t.Mapping[tuple[str, ...], str | None]) -> str:
    """A file changed."""
    return conf.Editor(lines, frr_saved.meanings(lines), frr_saved.GRAMMAR).change(changes).text


def placed(lines: t.Iterable[conf.Line]) -> collections.Counter[frr_files.Placed]:
    """How often each line stands in each block."""
    return collections.Counter((line.path, line.text) for line in lines if line.text)


def judge(seed: int, batch: vtysh_batch.Batch) -> None:
    """A random file of stanzas that people have."""
    rng = random.Random(seed)
    judged(rng, frr_files.draw(rng), batch)


def judged(rng: random.Random, stanzas: t.Sequence[frr_files.Stanza], batch: vtysh_batch.Batch) -> None:
    """A file is written in some hand, read, changed, read again, and changed back."""
    text = frr_files.written(rng, stanzas, frr_files.hand(rng))
    foreign = collections.Counter(frr_files.placed(stanzas))
    lines = conf.read(text, batch.ask)
    assert placed(lines) == foreign, text
    changed = change(lines, CHANGES)
    again = conf.read(changed, batch.ask)
    assert not foreign - placed(again), text
    config = frr_saved.settings(again, frr_saved.meanings(again))
    assert {address: config.get(address) for address in CHANGES} == CHANGES, text
    rest = iter(changed.splitlines())
    assert all(line in rest for line in text.splitlines()), text
    # What was made goes without a trace; what was there stays.
    theirs = any(path == (BGP,) for path, _line in foreign)
    ours = [address for address in CHANGES if address != (BGP,) or not theirs]
    assert change(again, dict.fromkeys(ours)) == text, text


def test_random_lines_of_others_stay_in_their_blocks_byte_by_byte() -> None:
    """For each file: FRR's grammar (vtysh without a daemon) has every foreign line in its block before and after, and ours where they belong."""
    vtysh_batch.each(judge, range(FILES))


def judge_listed(pool: frr_grammar.Pool, seed: int, batch: vtysh_batch.Batch) -> None:
    rng = random.Random(seed)
    judged(rng, frr_grammar.draw(rng, pool), batch)


def test_random_lines_of_all_that_frr_lists_stay_in_their_blocks_byte_by_byte(crowded: harness.Host) -> None:
    """The same for files of FRR's whole grammar: each command that the running daemons list, in some twenty kinds of blocks."""
    start(crowded, f"! {' '.join(lines.partition('|')[0] for lines in OTHERS.values())}\n")
    commands = frr_grammar.listed(crowded)
    assert sum(map(len, commands.values())) > 2000
    for first in range(0, FILES, OF):
        pool = frr_grammar.known(commands, first)
        assert sum(map(len, pool.values())) > 1800
        vtysh_batch.each(functools.partial(judge_listed, pool), range(first, min(first + OF, FILES)))


def test_frr_starts_with_all_that_random_others_wrote(crowded: harness.Host) -> None:
    """For one file of many: FRR itself runs with it, a reload would delete nothing, and all is there after a restart, and after ours has gone."""
    # What others have that runs in a lab, and in any order.
    kinds = [kind for kind in frr_files.KINDS if kind not in (frr_files.ldp, frr_files.others)]
    for seed in range(1000, 1000 + max(3, FILES // OF)):
        rng = random.Random(seed)
        start(crowded, frr_files.written(rng, frr_files.draw(rng, kinds), frr_files.hand(rng)))
        before = running(crowded)
        holds(crowded, "frr_ospf", {"router_id": "10.0.0.1", "interfaces": [{"name": "eth1", "area": "0", "cost": 5}]})
        crowded.apply("frr_ospf", {"instances": [], "purge": True})
        assert running(crowded) == before, seed
        restart(crowded)
        wait(lambda before=before: running(crowded) == before, "what ran at first")


def test_settings_go_from_a_router_of_somebody_which_stays(crowded: harness.Host) -> None:
    text = "frr defaults traditional\nrouter bgp 65000\n bgp cluster-id 10.0.0.9\n neighbor 192.0.2.9 remote-as 65001\nexit\n"
    start(crowded, text)
    before = running(crowded)
    crowded.apply("frr_bgp", {"asn": "65000", "always_compare_med": True})
    gone = crowded.module("frr_bgp", {"asn": "65000", "state": "absent"})
    assert gone["changed"] and "it is given back, not removed" in gone["warnings"][0]
    again = crowded.module("frr_bgp", {"asn": "65000", "state": "absent"}, ok=False)
    assert "was not made by this collection and stays" in again["msg"]
    assert running(crowded) == before and saved(crowded) == text


SET_BY_OTHERS = """\
frr defaults traditional
interface eth1
 ip ospf co 5
 ip ospf hello-interval 7
exit
router bgp 65000
 bgp router-id 10.0.0.7
 neighbor 192.0.2.9 remote-as 65001
 neigh 192.0.2.9 timers 10 30
 neighbor 192.0.2.9 description theirs
exit
router ospf
 ospf router-id 10.0.0.7
exit
ip prefix-list PL seq 5 permit 10.0.0.0/8
"""


def changed(round_: int) -> dict[str, dict[str, t.Any]]:
    """What a playbook declares where others have set something else, and then something else again."""
    peer = {"neighbor": "192.0.2.9", "description": f"ours {round_}", "timers": {"keepalive": round_, "hold": 9}}
    lists = [{"name": "PL", "entries": [{"seq": 5, "prefix": f"10.{round_}.0.0/16"}]}]
    bgp = {"asn": "65000", "router_id": f"10.0.0.{round_}", "neighbors": [peer], "prefix_lists": lists}
    interface = {"name": "eth1", "cost": 10 * round_, "hello_interval": 0}
    ospf = {"router_id": f"10.0.0.{round_}", "interfaces": [interface]}
    return {"frr_bgp": bgp, "frr_ospf": ospf}


def test_what_others_had_set_is_back_when_ours_goes(crowded: harness.Host) -> None:
    start(crowded, SET_BY_OTHERS)
    before = running(crowded)
    for round_ in (2, 3):
        hold_together(crowded, changed(round_))
        text = running(crowded)
        assert f"ip ospf cost {10 * round_}\n" in text and f"timers {round_} 9" in text and "hello-interval" not in text
        assert text.count(f"router-id 10.0.0.{round_}\n") == 2 and f"permit 10.{round_}.0.0/16" in text
    for module in ("frr_bgp", "frr_ospf"):
        lists = {"prefix_lists": []} if module == "frr_bgp" else {}
        crowded.apply(module, {"instances": [], **lists, "purge": True})
    assert running(crowded) == before and not notes(crowded)
    assert sorted(saved(crowded).splitlines()) == sorted(SET_BY_OTHERS.splitlines())
    restart(crowded)
    wait(lambda: running(crowded) == before, "what ran at first")


def test_what_others_change_meanwhile_is_theirs(crowded: harness.Host) -> None:
    start(crowded, SET_BY_OTHERS)
    crowded.apply("frr_ospf", {"interfaces": [{"name": "eth1", "cost": 10}]})
    by_hand(crowded, "interface eth1", "ip ospf cost 44")
    crowded.module("frr_ospf", {"instances": [], "purge": True})
    assert "ip ospf cost 44\n" in running(crowded) and saved(crowded) == SET_BY_OTHERS


# --- habits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("habit", HABITS)
def test_people_write_their_file_in_many_ways(crowded: harness.Host, habit: str) -> None:
    text = HABITS[habit]
    start(crowded, text)
    before = running(crowded)
    ospf = {"router_id": "10.0.0.1", "interfaces": [{"name": "eth1", "area": "0", "cost": 5}]}
    routes = [
        {"prefix": "10.9.0.0/16", "discard": "blackhole"},
        {"prefix": "10.9.0.0/16", "discard": "blackhole", "vrf": "V1"},
    ]
    hold_together(crowded, {"frr_ospf": ospf, "frr_static": {"routes": routes}})
    rest = iter(saved(crowded).splitlines())
    assert all(line in rest for line in text.splitlines()), "the lines of others are there in their order"
    crowded.module("frr_static", {"routes": [], "purge": True})
    crowded.module("frr_ospf", {"instances": [], "purge": True})
    assert saved(crowded).splitlines() == text.splitlines()
    wait(lambda: running(crowded) == before, "what ran at first")


FILES_OF_OTHERS = {**OPERATORS, **CUSTOMS}


def judge_operator(whose: str, batch: vtysh_batch.Batch) -> None:
    """A file is read, gets what it does not have yet, is read again, and loses that."""
    text = FILES_OF_OTHERS[whose]

    def read(file: str) -> tuple[list[conf.Line], list[conf.Entries]]:
        lines = conf.read(file, batch.ask, frr_setting.BLOCK.match)
        return lines, frr_saved.meanings(lines)

    lines, meant = read(text)
    foreign, had = conf.counted(lines, meant), frr_saved.settings(lines, meant)
    # That a block is there already is nothing that goes again.
    ours = {address: line for address, line in CHANGES.items() if address not in had}
    made = change(lines, ours)
    again, meant = read(made)
    assert not foreign - conf.counted(again, meant), whose
    config = frr_saved.settings(again, meant)
    assert {address: config.get(address) for address in ours} == ours, whose
    rest = iter(re.split("\r?\n", made))
    assert all(line in rest for line in re.split("\r?\n", text)), whose
    assert change(again, dict.fromkeys(ours)) == text, whose


def test_files_of_operators_and_controllers_keep_each_line_in_its_block() -> None:
    """In FRR's grammar (vtysh without a daemon)."""
    vtysh_batch.each(judge_operator, list(FILES_OF_OTHERS))


# A short run takes FRR through the first ones.
FEW = ("a leaf of Cumulus Linux: EVPN multihoming, VRRP", "names that are keywords", "everything twice", "MetalLB")
# FRR by itself encrypts the passwords of the first one anew with each start, and refuses its route maps, and with them `router rip`.
# The harness hands on text, which the second one is not. These are held in FRR's grammar alone.
NOT_STARTED = (
    "a border router of old, with lists without numbers",
    "letters of no alphabet, form feeds and blanks",
    "4,467 lines",
)
STARTED = (*FEW, *(whose for whose in FILES_OF_OTHERS if whose not in (*FEW, *NOT_STARTED)))


def beside(text: str) -> dict[str, dict[str, t.Any]]:
    """What a playbook declares on the router of somebody: something by each module."""
    (asn, *_more) = re.findall(r"^\s*rou\w* b\w* (\d+)\s*$", text, re.M) or ["65000"]
    evpn = [{"family": "l2vpn_evpn", "activate": True}]
    discard = {"prefix": "10.9.0.0/16", "discard": "blackhole"}
    entry = {"action": "permit", "match": ["ip address prefix-list US"]}
    return {
        "frr_static": {"routes": [discard, {**discard, "vrf": "V1"}], "purge": True},
        "frr_ospf": {"interfaces": [{"name": "eth1", "retransmit_interval": 6}], "purge": True},
        "frr_bgp": {
            "asn": asn,
            "neighbors": [
                {"neighbor": "10.1.1.1", "remote_as": "64496", "description": "us", "address_families": evpn}
            ],
            "prefix_lists": [{"name": "US", "entries": [{"seq": 5, "prefix": "10.0.0.0/8"}]}],
            "route_maps": [{"name": "US", "entries": [entry]}],
            "bfd_profiles": [{"name": "US", "transmit_interval": 77}],
            "purge": True,
        },
        "frr_rip": {
            "interfaces": [{"name": "eth3", "split_horizon": "poisoned_reverse"}],
            "key_chains": [{"name": "US", "keys": [{"id": 1, "string": "x"}]}],
            "purge": True,
        },
    }


@pytest.mark.parametrize(
    "whose", [pytest.param(whose, marks=[] if whose in FEW else pytest.mark.long) for whose in STARTED]
)
def test_the_router_of_an_operator_gets_something_of_each_module_which_goes_again(
    crowded: harness.Host, whose: str
) -> None:
    text = FILES_OF_OTHERS[whose]
    start(crowded, text, "datacenter" if "defaults datacenter" in text else "traditional")
    before, declared = running(crowded), beside(text)
    hold_together(crowded, declared)
    # Whatever breaks the lines: harness reads them as text.
    rest = iter(saved(crowded).split("\n"))
    assert all(line in rest for line in re.split("\r\n?|\n", text)), "the lines of others are there in their order"
    for module in reversed(declared):
        lists = dict.fromkeys(
            declared[module].keys() & {"prefix_lists", "route_maps", "bfd_profiles", "key_chains"}, []
        )
        crowded.module(module, {"routes" if module == "frr_static" else "instances": [], **lists, "purge": True})
    assert saved(crowded) == re.sub("\r\n?", "\n", text)
    assert running(crowded) == before


REFUSED = """\
frr defaults traditional
router ospf
 maximum-paths 3
exit
ip route 10.99.0.0/16 192.0.2.7 label 16/17
vrf V1
 ip route 10.98.0.0/16 blackhole
exit-vrf
"""


def ours_until_a_start(host: harness.Host, options: dict[str, t.Any]) -> bool:
    """Whether mgmtd reads the file, which takes none of its routes when it refuses one: ours run until then, and are given again."""
    if "mgmtd" not in daemons(host):
        return False
    assert not re.search("^ *ip route", running(host), re.M)
    for _start in range(2):
        assert host.module("frr_static", options)["changed"]
        assert not host.module("frr_static", options)["changed"]
        assert "vrf V1\n ip route 10.9.0.0/16 blackhole\n" in running(host)
        restart(host)
    return True


def test_a_route_that_frr_refuses_takes_none_of_ours_with_it(crowded: harness.Host) -> None:
    start(crowded, REFUSED)
    discard = {"prefix": "10.9.0.0/16", "discard": "blackhole"}
    options = {"routes": [discard, {**discard, "vrf": "V1"}], "purge": True}
    if ours_until_a_start(crowded, options):
        return
    for _start in range(2):
        # FRR by itself: the label is refused, as the kernel does not switch labels here, and then the next line, which is the header of the VRF.
        wait(lambda: "\nip route 10.98.0.0/16 blackhole\n" in running(crowded), "a route of V1 in the default VRF")
        assert not re.search("10.99|vrf V1", running(crowded))
        restart(crowded)
    holds(crowded, "frr_static", options)
    assert "\nip route 10.9.0.0/16 blackhole\n" in running(crowded)
    assert "vrf V1\n ip route 10.9.0.0/16 blackhole\n" in running(crowded)
    crowded.apply("frr_static", {"routes": [], "purge": True})
    assert saved(crowded) == REFUSED


ALONE = """\
frr defaults traditional
hostname a
! theirs
ip route 10.97.0.0/16 blackhole
ip route 10.99.0.0/16 192.0.2.7 label 16/17
vrf V1
 ip route 10.98.0.0/16 blackhole
exit-vrf
"""


def test_a_route_is_parted_from_one_that_frr_refuses_where_nothing_else_does_so(crowded: harness.Host) -> None:
    start(crowded, ALONE)
    discard = {"prefix": "10.9.0.0/16", "discard": "blackhole"}
    options = {"routes": [discard, {**discard, "vrf": "V1"}], "purge": True}
    if ours_until_a_start(crowded, options):
        return
    # FRR by itself takes none of theirs, and those of V1 into the default VRF.
    wait(lambda: "\nip route 10.98.0.0/16 blackhole\n" in running(crowded), "a route of V1 in the default VRF")
    before = running(crowded)
    assert not re.search("10.97|10.99|vrf V1", before)
    holds(crowded, "frr_static", options)
    assert "\nip route 10.9.0.0/16 blackhole\n" in running(crowded)
    assert "vrf V1\n ip route 10.9.0.0/16 blackhole\n" in running(crowded)
    crowded.apply("frr_static", {"routes": [], "purge": True})
    assert saved(crowded) == ALONE
    restart(crowded)
    wait(lambda: running(crowded) == before, "what ran at first")


# Nothing of a VRF stands between their routes and ours, and an interface parts nothing.
IN_DEFAULT_VRF = """\
frr defaults traditional
ip route 10.77.0.0/16 192.0.2.9
interface lo
! theirs
ip route 10.97.0.0/16 blackhole
ip route 10.99.0.0/16 192.0.2.7 label 16/17
"""


def test_a_route_is_parted_from_one_that_frr_refuses_in_the_default_vrf(crowded: harness.Host) -> None:
    start(crowded, IN_DEFAULT_VRF)
    options = {"routes": [{"prefix": "10.9.0.0/16", "discard": "blackhole"}], "purge": True}
    if ours_until_a_start(crowded, options):
        return
    # FRR by itself takes none of theirs.
    before = running(crowded)
    assert not re.search("10.77|10.97|10.99", before)
    holds(crowded, "frr_static", options)
    assert "\nip route 10.9.0.0/16 blackhole\n" in running(crowded)
    crowded.apply("frr_static", {"routes": [], "purge": True})
    assert saved(crowded) == IN_DEFAULT_VRF
    restart(crowded)
    wait(lambda: running(crowded) == before, "what ran at first")


# Ours takes the place of the second and the third one, and of the one in the VRF.
REPLACED = """\
frr defaults traditional
ip route 10.99.0.0/16 192.0.2.7 label 16/17
ip route 10.8.0.0/16 192.0.2.9 200
ip route 10.9.0.0/16 192.0.2.9
vrf V1
 ip route 10.7.0.0/16 192.0.2.9 200
exit-vrf
"""


def test_a_route_is_not_saved_in_the_place_of_one_that_frr_refuses(crowded: harness.Host) -> None:
    start(crowded, REPLACED)
    hops = [{"prefix": f"10.{number}.0.0/16", "via": "192.0.2.9"} for number in (8, 9, 7)]
    options = {"routes": [*hops[:2], {**hops[2], "vrf": "V1"}], "purge": True}
    if "mgmtd" in daemons(crowded):
        crowded.apply("frr_static", options)
        return
    # FRR by itself takes none of theirs where it stands, and that of V1 into the default VRF.
    before = running(crowded)
    assert re.findall("^ *ip route .*", before, re.M) == ["ip route 10.7.0.0/16 192.0.2.9 200"]
    holds(crowded, "frr_static", options)
    assert "vrf V1\n ip route 10.7.0.0/16 192.0.2.9\nexit-vrf\n" in running(crowded)
    crowded.apply("frr_static", {"routes": [], "purge": True})
    assert saved(crowded) == REPLACED
    restart(crowded)
    wait(lambda: running(crowded) == before, "what ran at first")


# A setting in two places, with a default and an empty family, and a neighbor that is made by its group ahead of all it has.
TWICE = """\
frr defaults traditional
router bgp 65000
 bgp network import-check
 neighbor G peer-group
 neighbor G remote-as 65001
 neighbor 192.0.2.9 peer-group G
 neighbor 192.0.2.9 description theirs
 neighbor 192.0.2.9 update-source lo
 neighbor 192.0.2.8 remote-as 65002
 neighbor 192.0.2.8 weight 7
 network 10.7.0.0/16
 address-family ipv4 unicast
  network 10.7.0.0/16
  neighbor 192.0.2.8 weight 7
 exit-address-family
 address-family ipv6 unicast
 exit-address-family
exit
bfd
 profile FAST
  detect-multiplier 5
 exit
exit
bfd
exit
"""


def test_what_others_say_twice_or_by_default_is_back_when_ours_goes(crowded: harness.Host) -> None:
    start(crowded, TWICE)
    before = running(crowded)
    family = {"family": "ipv4_unicast", "weight": 9}
    peers = [
        {"neighbor": "192.0.2.8", "address_families": [family], "bfd_profile": "FAST"},
        {"neighbor": "192.0.2.9", "peer_group": "", "remote_as": "65003"},
    ]
    own = {"family": "ipv4_unicast", "networks": [{"prefix": "10.8.0.0/16"}]}
    options = {"asn": "65000", "network_import_check": False, "neighbors": peers, "address_families": [own]}
    profiles_ = {"bfd_profiles": [{"name": "FAST", "transmit_interval": 77}]}
    holds(crowded, "frr_bgp", {**options, **profiles_})
    file = saved(crowded)
    assert (file.count("weight"), file.count("import-check"), file.count("profile FAST\n  ")) == (1, 1, 1)
    # What makes the neighbor stands ahead of what it has.
    assert file.index("192.0.2.9 remote-as 65003") < file.index("192.0.2.9 description")
    crowded.apply("frr_bgp", {"instances": [], "bfd_profiles": [], "purge": True})
    assert sorted(saved(crowded).splitlines()) == sorted(TWICE.splitlines())
    wait(lambda: running(crowded) == before, "what ran at first", look=lambda: differing(before, running(crowded)))
    restart(crowded)
    wait(lambda: running(crowded) == before, "what ran at first", look=lambda: differing(before, running(crowded)))


def test_the_playbook_runs_while_frr_still_reads_a_long_file(crowded: harness.Host) -> None:
    """As after a boot: the daemons answer before they have all of it."""
    listed = "".join(f"ip prefix-list L seq {5 * n} permit 10.{n // 256}.{n % 256}.0/24\n" for n in range(1, 301))
    start(crowded, POLICY + listed)
    options = {"prefix": "10.9.0.0/16", "discard": "blackhole"}
    crowded.apply("frr_static", options)
    crowded.run(["systemctl", "reset-failed", "frr"], ok=None)
    crowded.run(["systemctl", "restart", "frr"])
    again = crowded.module("frr_static", options)
    assert not again["changed"] and "warnings" not in again
    assert "seq 1500 " in running(crowded)


UNDONE = """\
router rip
 network eth2
exit
no router rip
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
 no neighbor 192.0.2.9
exit
"""


def test_what_a_line_of_others_undoes_is_ours_behind_it(crowded: harness.Host) -> None:
    start(crowded, UNDONE)
    before = running(crowded)
    rip = {"interfaces": [{"name": "eth2"}], "networks": ["eth2"], "purge": True}
    bgp = {"asn": "65000", "neighbors": [{"neighbor": "192.0.2.9", "remote_as": "65001"}], "purge": True}
    hold_together(crowded, {"frr_rip": rip, "frr_bgp": bgp})
    assert "router rip\n network eth2\n" in running(crowded) and "neighbor 192.0.2.9" in running(crowded)
    for module in ("frr_rip", "frr_bgp"):
        crowded.module(module, {"instances": [], "purge": True})
    assert running(crowded) == before and saved(crowded) == UNDONE


# Each beside a setting of ours whose words it begins with.
ALIKE = """\
frr defaults traditional
bfd
 profile THEIRS
  receive-interval 150
  transmit-interval 150
 exit
exit
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
 neighbor 192.0.2.9 timers delayopen 10
 neighbor 192.0.2.9 bfd
 neighbor 192.0.2.9 bfd check-control-plane-failure
exit
router ospf
 redistribute table 10
 distance ospf external 25
 area 0.0.0.7 nssa
 area 0.0.0.7 nssa suppress-fa
 graceful-restart helper planned-only
 graceful-restart helper supported-grace-time 163
exit
router ospf6
 distance ospf6 external 25
 graceful-restart helper enable 192.0.2.13
 graceful-restart helper planned-only
exit
router rip
 distance 99 10.9.9.0/24
exit
"""


def test_a_setting_of_others_that_begins_as_one_of_ours_is_another_one(crowded: harness.Host) -> None:
    start(crowded, ALIKE)
    before = running(crowded)
    areas = [{"area": "7", "type": "totally_nssa"}]
    profiles = [{"name": "THEIRS", "detect_multiplier": 4, "receive_interval": 300}]
    peer = {"neighbor": "192.0.2.9", "timers": {"keepalive": 5, "hold": 15}, "bfd": True}
    helped = {"distance": 77, "graceful_restart": {"helper": True}}
    tasks: dict[str, dict[str, t.Any]] = {
        "frr_bgp": {"asn": "65000", "neighbors": [peer], "bfd_profiles": profiles},
        "frr_ospf": {"instances": [{**helped, "areas": areas}, {**helped, "version": 3}]},
        "frr_rip": {"distance": 88},
    }
    hold_together(crowded, tasks)
    for text in (running(crowded), saved(crowded)):
        for line in ("timers 5 15", "distance 77", "distance 88", "nssa no-summary", "helper enable\n"):
            assert line in text, line
        # One that says a default is not shown.
        assert [line for line in ALIKE.splitlines() if line not in text] == ["  receive-interval 150"]
    for module in reversed(tasks):
        crowded.module(
            module, {"instances": [], "purge": True, **({"bfd_profiles": []} if module == "frr_bgp" else {})}
        )
    assert running(crowded) == before and sorted(saved(crowded).splitlines()) == sorted(ALIKE.splitlines())
    # BFD that is turned off is off at the next start.
    holds(crowded, "frr_bgp", {"asn": "65000", "neighbors": [{"neighbor": "192.0.2.9", "bfd": False}]})
    assert "192.0.2.9 bfd" not in running(crowded)


@pytest.mark.parametrize("said", ["no service integrated-vtysh-config", "! as Quagga had it"])
def test_a_router_with_a_file_for_each_daemon_is_refused_until_it_has_one(crowded: harness.Host, said: str) -> None:
    start(crowded, "frr defaults traditional\n")
    crowded.run(["rm", "/etc/frr/frr.conf"])
    crowded.write("/etc/frr/vtysh.conf", f"{said}\n")
    crowded.write("/etc/frr/staticd.conf", "ip route 10.50.0.0/16 blackhole\n")
    crowded.write("/etc/frr/ospfd.conf", "router ospf\n ospf router-id 10.0.0.7\n")
    crowded.run(["chown", "frr:frr", "/etc/frr/staticd.conf", "/etc/frr/ospfd.conf"])
    restart(crowded)
    before, options = running(crowded), {"prefix": "10.9.0.0/16", "discard": "blackhole"}
    for check in (True, False):
        refused = crowded.module("frr_static", options, check=check, ok=False)
        assert "FRR keeps a file for each daemon here (/etc/frr/ospfd.conf, /etc/frr/staticd.conf)" in refused["msg"]
    assert running(crowded) == before and not crowded.exists("/etc/frr/frr.conf")
    # As the sentence says.
    crowded.write("/etc/frr/vtysh.conf", "service integrated-vtysh-config\n")
    crowded.run(["vtysh", "-c", "write integrated"])
    holds(crowded, "frr_static", options)
    assert re.search("10.50.0.0/16 blackhole.*router-id 10.0.0.7", running(crowded), re.S)
    crowded.run(["rm", "/etc/frr/staticd.conf", "/etc/frr/ospfd.conf"])


def elsewhere(host: harness.Host, place: str) -> str:
    """Have frr.conf where people keep it: a copy of it in its place. Returns the file itself."""
    host.run(["install", "-D", "-m", "0604", "/etc/frr/frr.conf", "/srv/site/router.conf"])
    if place == "behind links":
        host.run(["ln", "-s", "site", "/srv/here"])
        host.run(["ln", "-sf", "/srv/here/router.conf", "/etc/frr/frr.conf"])
        return "/srv/site/router.conf"
    host.run(["chmod", "0604", "/etc/frr/frr.conf"])
    host.run(["chown", "root:daemon", "/etc/frr/frr.conf"])
    if place == "mounted":
        host.run(["mount", "--bind", "/srv/site/router.conf", "/etc/frr/frr.conf"])
    return "/etc/frr/frr.conf"


@pytest.fixture
def nothing_elsewhere(crowded: harness.Host) -> t.Iterator[harness.Host]:
    """A host whose frr.conf is a file of its own again afterwards."""
    yield crowded
    crowded.run(["umount", "/etc/frr/frr.conf"], ok=None)
    crowded.run(["rm", "-rf", "/etc/frr/frr.conf", "/srv/site", "/srv/here"])


@pytest.mark.parametrize("place", ["behind links", "with rights of its own", "mounted"])
def test_the_file_stays_where_it_is_with_its_owner_and_its_rights(nothing_elsewhere: harness.Host, place: str) -> None:
    host = nothing_elsewhere
    start(host, POLICY)
    path = elsewhere(host, place)

    def seen() -> list[str]:
        return [host.run(["stat", "--format=%F %U %G %a", one]) for one in ("/etc/frr/frr.conf", path)]

    before = seen()
    holds(host, "frr_static", {"prefix": "10.9.0.0/16", "discard": "blackhole"})
    assert "10.9.0.0/16" in host.run(["cat", path]) and seen() == before
    host.apply("frr_static", {"routes": [], "purge": True})
    assert (host.run(["cat", path]), seen()) == (POLICY, before)


def test_a_file_that_nobody_may_write_is_refused_before_anything_changes(nothing_elsewhere: harness.Host) -> None:
    host = nothing_elsewhere
    start(host, POLICY)
    before, options = running(host), {"prefix": "10.9.0.0/16", "discard": "blackhole"}
    elsewhere(host, "mounted")
    host.run(["mount", "-o", "remount,bind,ro", "/etc/frr/frr.conf"])
    for check in (True, False):
        refused = host.module("frr_static", options, check=check, ok=False)
        assert "/etc/frr/frr.conf cannot be written (Read-only file system)" in refused["msg"]
    assert running(host) == before and "frr_static" not in notes(host)
    host.run(["mount", "-o", "remount,bind,rw", "/etc/frr/frr.conf"])
    assert host.module("frr_static", options)["changed"]


# --- the defaults of a profile -----------------------------------------------------------------------------------------

DATACENTER = "frr version 8.4\nfrr defaults datacenter\nrouter bgp 65000\n bgp default ipv6-unicast\n neighbor 192.0.2.9 remote-as 65001\nexit\n"


# Each goes from its profile to the other one, so that both values are tried in both.
@pytest.mark.parametrize(("defaults", "strict"), [("datacenter", False), ("traditional", True)])
def test_an_option_means_the_same_under_each_profile(crowded: harness.Host, defaults: str, strict: bool) -> None:
    start(crowded, DATACENTER.replace("datacenter", defaults))
    timers = {"keepalive": 60, "hold": 180} if strict else {"keepalive": 3, "hold": 9}
    switches = dict.fromkeys(
        ("ebgp_requires_policy", "log_neighbor_changes", "deterministic_med", "network_import_check"), strict
    )
    families = [{"family": "ipv6_unicast", "activate": strict}]
    options = {
        "asn": "65000",
        "timers": timers,
        **switches,
        "neighbors": [{"neighbor": "192.0.2.9", "address_families": families}],
    }
    ospf = {"router_id": "10.0.0.1", "log_adjacency_changes": "changes" if strict else "none"}
    hold_together(crowded, {"frr_bgp": options, "frr_ospf": ospf})
    text = running(crowded)
    modern = defaults == "datacenter"
    for key, unsaid in (
        ("bgp ebgp-requires-policy", not modern),
        ("bgp log-neighbor-changes", modern),
        ("bgp deterministic-med", modern),
        ("log-adjacency-changes", modern),
    ):
        assert bool(re.search(f"^ {key}$", text, re.M)) == (strict and not unsaid), key
        assert bool(re.search(f"^ no {key}$", text, re.M)) == (not strict and unsaid), key
    assert (f" timers bgp {timers['keepalive']} {timers['hold']}\n" in text) == (strict == modern)
    assert ("no neighbor 192.0.2.9 activate" in text) != strict
    # After the other, the unsaid one.
    start(
        crowded, re.sub("frr defaults .*", f"frr defaults {'traditional' if modern else 'datacenter'}", saved(crowded))
    )
    holds(crowded, "frr_bgp", options)


@pytest.mark.parametrize("defaults", ["datacenter", "traditional"])
@pytest.mark.parametrize("version", ["7.0", "7.5", "8.2", "8.4"])
def test_the_defaults_are_those_of_the_file(crowded: harness.Host, version: str, defaults: str) -> None:
    routers = "router bgp 65000\nexit\nrouter ospf\nexit\nrouter ospf6\nexit\n"
    text = f"frr version {version}\nfrr defaults {defaults}\n"
    start(crowded, text + routers)
    stated = profiles.stated(text.splitlines())
    shown = running(crowded)
    config, runs_as = frr_setting.parse(shown), profiles.stated(shown.splitlines())
    for router, lines in profiles._RULES.items():
        for line in lines:
            address = (router.replace("bgp", "bgp 65000"), line)
            assert profiles.effective(address, config, runs_as) == profiles.default(address, config, stated)


@pytest.mark.parametrize("strict", [True, False])
def test_somebody_adds_a_router_to_a_file_of_an_older_release(crowded: harness.Host, strict: bool) -> None:
    file = "frr version 7.0\nfrr defaults traditional\n"
    start(crowded, file)
    before = running(crowded)
    options = {"asn": "65000", "ebgp_requires_policy": strict, "network_import_check": strict}
    crowded.apply("frr_bgp", options)
    text = running(crowded)
    # frr-reload.py takes no release into account: it would bring each router of such a file to the defaults of today.
    restart(crowded)
    wait(lambda: running(crowded) == text, "what ran before the restart")
    assert not crowded.module("frr_bgp", options, check=True)["changed"]
    assert ("no bgp ebgp-requires-policy" in text, "no bgp network import-check" in text) == (not strict, not strict)
    # What such a file means unsaid FRR shows in words, and it goes with the router.
    crowded.apply("frr_bgp", {"asn": "65000", "state": "absent"})
    assert running(crowded) == before and saved(crowded) == file


def test_a_line_that_says_a_default_is_no_line_that_does_not_run(crowded: harness.Host) -> None:
    said = " bgp ebgp-requires-policy\n no bgp log-neighbor-changes\n"
    start(
        crowded, f"frr version 8.4\nfrr defaults traditional\nrouter bgp 65000\n{said} bgp cluster-id 10.0.0.9\nexit\n"
    )
    options = {"asn": "65000", "adopt": True, "always_compare_med": True}
    assert not crowded.module("frr_bgp", options, check=True).get("warnings")
    by_hand(crowded, "router bgp 65000", "no bgp cluster-id 10.0.0.9", "bgp log-neighbor-changes")
    warning = " ".join(crowded.module("frr_bgp", options, check=True)["warnings"])
    assert "bgp cluster-id" in warning and "'no bgp log-neighbor-changes'" in warning
    assert "ebgp-requires-policy" not in warning


# --- older and shorter spellings -------------------------------------------------------------------------------------


QUAGGA = """\
! by hand, long ago
hostname a
!
interface eth1
 ip ospf cost 12
 ip ospf hello-interval 7
!
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
 network 10.0.0.0
 network 10.77.0.0 mask 255.255.0.0
 redistribute static route-map RM metric 5
 neighbor 192.0.2.9 route-map RM in
 neighbor 192.0.2.9 next-hop-self
 aggregate-address 10.88.0.0 255.255.0.0
!
router ospf
 router-id 10.0.0.1
 network 10.3.0.0/16 area 5
 passive-interface eth2
 redistribute connected metric-type 1 metric 9
!
ip prefix-list PL permit 10.1.0.0/16
ip prefix-list PL permit 10.2.0.0/16
ip route 10.50.0.0 255.255.0.0 Null0
ip route 10.60.0.0/16 192.0.2.1 20 tag 5
route-map RM permit 10
 match ip address prefix-list PL
!
line vty
!
"""


OF_VRFS = """\
interface eth1 vrf V1
 ip ospf cost 12
 ip ospf hello-interval 7
exit
int eth2 vr V1
 ip ospf cost 13
exit
"""


def test_an_interface_that_is_named_with_its_vrf_is_not_back_as_it_was_after_a_restart(crowded: harness.Host) -> None:
    start(crowded, OF_VRFS)
    before = running(crowded)
    options = {"interfaces": [{"name": "eth1", "cost": 0, "hello_interval": 8}, {"name": "eth2", "cost": 0}]}
    crowded.apply("frr_ospf", options)
    ran = running(crowded)
    assert "hello-interval 8" in ran and not re.search("ospf cost|hello-interval 7", ran)
    assert saved(crowded) == "router ospf\nexit\ninterface eth1 vrf V1\n ip ospf hello-interval 8\nexit\n"
    # Not frr-reload.py: that of FRR 8 takes such a name for another interface, whatever stands there.
    restart(crowded)
    wait(lambda: running(crowded) == ran, "what ran before the restart")
    assert not crowded.module("frr_ospf", options, check=True)["changed"]
    crowded.module("frr_ospf", {"instances": [], "purge": True})
    assert running(crowded) == before
    restart(crowded)
    wait(lambda: running(crowded) == before, "what ran at first")


def test_an_older_spelling_that_is_changed_is_not_back_after_a_restart(crowded: harness.Host) -> None:
    start(crowded, QUAGGA)
    family: dict[str, t.Any] = {
        "family": "ipv4_unicast",
        "networks": [{"prefix": "10.77.0.0/16"}],
        "redistribute": [],
        "aggregates": [],
    }
    of_neighbor = {"family": "ipv4_unicast", "route_map_in": "", "next_hop_self": "none"}
    options = {
        "asn": "65000",
        "address_families": [family],
        "neighbors": [{"neighbor": "192.0.2.9", "address_families": [of_neighbor]}],
        "prefix_lists": [{"name": "PL", "entries": [{"seq": 5, "prefix": "10.9.0.0/16"}]}],
        "adopt": True,
    }
    holds(crowded, "frr_bgp", options)
    text = running(crowded)
    assert "network 10.77.0.0/16\n" in text and "ip prefix-list PL seq 5 permit 10.9.0.0/16\n" in text
    assert not re.search(
        "network 10.0.0.0/8|redistribute static|route-map RM in|next-hop-self|aggregate-address|10.2.0.0/16", text
    )


def test_older_spellings_of_ospf_and_routes(crowded: harness.Host) -> None:
    start(crowded, QUAGGA)
    ospf = {
        "router_id": "10.0.0.2",
        "networks": [],
        "redistribute": [],
        "interfaces": [{"name": "eth1", "cost": 0, "hello_interval": 0}, {"name": "eth2", "passive": False}],
        "adopt": True,
    }
    holds(crowded, "frr_ospf", ospf)
    assert not re.search("network 10.3|passive|redistribute connected|ospf cost|hello-interval", running(crowded))
    discarded = {"prefix": "10.50.0.0/16", "discard": "reject", "adopt": True}
    holds(crowded, "frr_static", discarded)
    holds(crowded, "frr_static", {"prefix": "10.60.0.0/16", "via": "192.0.2.1", "state": "absent", "adopt": True})
    assert re.findall("^ip route .*", running(crowded), re.M) == ["ip route 10.50.0.0/16 reject"]
    assert "! by hand, long ago\nhostname a\n" in saved(crowded) and saved(crowded).endswith("line vty\n!\n")


SHORT = """\
router b 65000
 neigh 192.0.2.9 remote 65001
 neigh 192.0.2.9 desc old words
 addr ipv4 uni
  neigh 192.0.2.9 soft in
  red stat met 5
 exit
exit
int eth1
 ip ospf co 12
 ip ospf hel 7
ip pref PL per 10.1.0.0/16
ip rou 10.50.0.0/16 blackhole
"""


def test_keywords_written_short_are_what_they_mean(crowded: harness.Host) -> None:
    start(crowded, SHORT.replace("met 5", "metric 5"))
    family = {"family": "ipv4_unicast", "redistribute": []}
    of_neighbor = {"family": "ipv4_unicast", "soft_reconfiguration_inbound": False}
    neighbor = {"neighbor": "192.0.2.9", "description": "new", "address_families": [of_neighbor]}
    lists = [{"name": "PL", "state": "absent"}]
    holds(
        crowded,
        "frr_bgp",
        {"asn": "65000", "address_families": [family], "neighbors": [neighbor], "prefix_lists": lists, "adopt": True},
    )
    holds(crowded, "frr_ospf", {"interfaces": [{"name": "eth1", "cost": 0, "hello_interval": 0}]})
    holds(crowded, "frr_static", {"prefix": "10.50.0.0/16", "discard": "blackhole", "state": "absent", "adopt": True})
    assert not re.search("old words|soft|redistribute|ospf cost|hello|prefix-list|ip route", running(crowded))
    assert saved(crowded).startswith(
        "router b 65000\n neigh 192.0.2.9 remote 65001\n neighbor 192.0.2.9 description new\n"
    )


def test_a_line_of_the_file_that_does_not_run_is_told_of(crowded: harness.Host) -> None:
    start(crowded, "router bgp 65000\n neighbor 192.0.2.9 remote-as 65001\n neighbor 192.0.2.9 description a\nexit\n")
    by_hand(crowded, "router bgp 65000", "no neighbor 192.0.2.9 description")
    options = {"asn": "65000", "neighbors": [{"neighbor": "192.0.2.9", "remote_as": "65001"}]}
    (told,) = crowded.module("frr_bgp", options)["warnings"]
    assert "frr.conf: line 3, 'neighbor 192.0.2.9 description a': not what runs" in told
    by_hand(crowded, "router bgp 65000", "neighbor 192.0.2.9 description a")
    assert "warnings" not in crowded.module("frr_bgp", options)


# --- what FRR refuses ------------------------------------------------------------------------------------------------


def test_a_refused_route_leaves_no_route_in_another_vrf(crowded: harness.Host) -> None:
    start(crowded, "ip route 10.231.0.0/16 blackhole\nip route 10.41.0.0/16 192.0.2.9 7\n")
    before, file = running(crowded), saved(crowded)
    routes = [
        {"prefix": "10.231.0.0/16", "via": "192.0.2.7"},
        {"prefix": "10.40.0.0/16", "via": "192.0.2.9", "vrf": "red"},
        {"prefix": "10.41.0.0/16", "via": "192.0.2.9", "vrf": "red"},
    ]
    refused = crowded.module("frr_static", {"routes": routes}, ok=False)
    # With mgmtd, FRR says nothing, and what runs shows it; that of FRR 10.3 ends at it.
    ended = "the FRR daemon mgmtd ended at this change; what the others had taken of it was taken back"
    assert "FRR refused the line 'ip route 10.231.0.0/16 192.0.2.7'" in refused["msg"] or ended in refused["msg"]
    if "mgmtd" not in crowded.run(["vtysh", "-c", "show daemons"]):
        assert ": Route cannot have blackhole and non-blackhole nexthops" in refused["msg"]
    assert running(crowded) == before and saved(crowded) == file
    # Without the refused one, the others are taken where they belong.
    holds(crowded, "frr_static", {"routes": routes[1:]})
    assert "vrf red\n ip route 10.40.0.0/16 192.0.2.9\n" in running(crowded)


USED = {
    "peer group G": (
        {"peer_groups": [{"name": "G", "remote_as": "65002"}]},
        ["router bgp 65000", "neighbor 192.0.2.9 peer-group G"],
    ),
    "route map RM": (
        {"route_maps": [{"name": "RM", "entries": [{"action": "deny"}]}]},
        ["router ospf", "redistribute static route-map RM"],
    ),
    "prefix list ipv4 PL": (
        {"prefix_lists": [{"name": "PL", "entries": [{"prefix": "any"}]}]},
        ["route-map X permit 10", "match ip address prefix-list PL"],
    ),
    "BFD profile FAST": (
        {"bfd_profiles": [{"name": "FAST", "transmit_interval": 77}]},
        ["bfd", "peer 192.0.2.9", "profile FAST"],
    ),
    "AS path list AP": (
        {"as_path_lists": [{"name": "AP", "entries": [{"regex": "^1$"}]}]},
        ["route-map X permit 10", "match as-path AP"],
    ),
}


def test_what_others_use_does_not_go(crowded: harness.Host) -> None:
    start(crowded, "")
    emptied = {next(iter(options)): [] for options, _use in USED.values()}
    everything = {name: rows for options, _use in USED.values() for name, rows in options.items()}
    crowded.apply("frr_bgp", {"asn": "65000", **everything})
    for name, (_options, use) in USED.items():
        by_hand(crowded, *use)
        before = running(crowded)
        option = next(iter(_options))
        refused = crowded.module("frr_bgp", {"asn": "65000", option: [], "purge": True}, ok=False)
        assert refused["msg"].startswith(f"{name} is used by '{use[-1]}' in '") and running(crowded) == before
        by_hand(crowded, *use[:-1], f"no {use[-1]}")
    # A user that is only saved runs after the next restart.
    file = saved(crowded)
    crowded.write("/etc/frr/frr.conf", f"{file}router ospf\n redistribute kernel route-map RM\nexit\n")
    assert "redistribute kernel route-map RM" in saved(crowded) and "kernel" not in running(crowded)
    refused = crowded.module("frr_bgp", {"asn": "65000", "route_maps": [], "purge": True}, ok=False)
    assert "'redistribute kernel route-map RM' in 'router ospf' of /etc/frr/frr.conf" in refused["msg"]
    crowded.write("/etc/frr/frr.conf", file)
    crowded.apply("frr_bgp", {"asn": "65000", **emptied, "purge": True})
    crowded.run(["vtysh", "-c", "write memory"])
    ran = running(crowded)
    restart(crowded)
    wait(lambda: running(crowded) == ran, "what ran before the restart")
    assert not re.search("G|FAST|RM|PL|AP", running(crowded).replace("!", ""))


NAMING = """\
router bgp 65000
 neighbor 192.0.2.9 remote-as 65001
 address-family ipv6 unicast
  neighbor 192.0.2.9 prefix-list PL in
 exit-address-family
exit
route-map X permit 10
 match as-path AP
exit
"""


def test_what_others_named_before_it_was_there_goes_again(crowded: harness.Host) -> None:
    start(crowded, NAMING)
    before = running(crowded)
    lists: dict[str, t.Any] = {
        "prefix_lists": [{"name": "PL", "family": "ipv6", "entries": [{"prefix": "any"}]}],
        "as_path_lists": [{"name": "AP", "entries": [{"regex": "^1$"}]}],
    }
    options = {"asn": "65000", **lists, "purge": True}
    holds(crowded, "frr_bgp", options)
    gone = {"asn": "65000", **dict.fromkeys(lists, []), "purge": True}
    # Somebody who names it now needs it.
    by_hand(crowded, "route-map Y permit 10", "match as-path AP")
    refused = crowded.module("frr_bgp", gone, ok=False)["msg"]
    assert "used by 'match as-path AP' in 'route-map Y permit 10'" in refused
    by_hand(crowded, "no route-map Y permit 10")
    crowded.apply("frr_bgp", gone)
    assert (running(crowded), saved(crowded)) == (before, NAMING)


GROUPED = """\
router bgp 65000
 neighbor G peer-group
 neighbor G remote-as 65001
 neighbor 192.0.2.9 remote-as 65002
 neighbor 192.0.2.9 ttl-security hops 163
 neighbor 192.0.2.9 disable-connected-check
 address-family ipv4 multicast
  neighbor 192.0.2.9 activate
 exit-address-family
exit
"""


def test_a_neighbor_of_others_that_ours_moves_into_a_group_is_theirs_again(crowded: harness.Host) -> None:
    start(crowded, GROUPED)
    before = running(crowded)
    member = {"neighbor": "192.0.2.9", "peer_group": "G"}
    holds(crowded, "frr_bgp", {"asn": "65000", "neighbors": [member], "purge": True})
    text = running(crowded)
    assert " neighbor 192.0.2.9 peer-group G\n neighbor 192.0.2.9 ttl-security hops 163\n" in text
    assert "192.0.2.9 remote-as" not in text
    crowded.apply("frr_bgp", {"instances": [], "purge": True})
    assert (running(crowded), saved(crowded)) == (before, GROUPED)
    # What FRR refuses of a neighbor that is made anew leaves all that it had.
    group = {"name": "G", "ebgp_multihop": 2}
    refused = crowded.module("frr_bgp", {"asn": "65000", "peer_groups": [group], "neighbors": [member]}, ok=False)
    assert "cannot be configured together" in refused["msg"]
    assert (running(crowded), saved(crowded)) == (before, GROUPED)


def test_how_far_a_neighbor_may_be_takes_the_place_of_the_other_way_to_say_it(crowded: harness.Host) -> None:
    start(crowded, GROUPED)
    before = running(crowded)
    neighbor = {"neighbor": "192.0.2.9", "ebgp_multihop": 2}
    holds(crowded, "frr_bgp", {"asn": "65000", "neighbors": [neighbor], "purge": True})
    assert "ebgp-multihop 2" in running(crowded) and "ttl-security" not in running(crowded)
    crowded.apply("frr_bgp", {"instances": [], "purge": True})
    assert running(crowded) == before and "".join(sorted(saved(crowded))) == "".join(sorted(GROUPED))
