# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""frr.conf as people have it, edited beside what others wrote, and what FRR makes of it when it starts again."""
from __future__ import annotations

import collections
import re
import typing as t

import harness
import pytest
from routers import DAEMONS, daemons, running, wait

pytestmark = pytest.mark.usefixtures("frr_stopped_afterwards")

ALL = (*DAEMONS, "pbrd", "isisd", "pimd", "ldpd", "eigrpd", "babeld", "pathd", "nhrpd", "vrrpd")


@pytest.fixture
def crowded(host: harness.Host) -> t.Iterator[harness.Host]:
    """A host with every daemon of FRR, and interfaces."""
    host.run(["rm", "-rf", "/etc/overloom/frr"])
    for name in ("eth2", "eth3"):
        host.run(["ip", "link", "add", name, "type", "veth", "peer", "name", f"p{name}"])
    for name in ("eth1", "eth2", "eth3"):
        host.run(["ip", "link", "set", name, "up"])
    host.run(["install", "-d", "-o", "frr", "-g", "frr", "-m", "0755", "/etc/frr", "/run/frr"])
    yield host


def start(host: harness.Host, text: str, defaults: str = "traditional") -> None:
    """FRR started anew with a file."""
    options = "".join(f"{name}=yes\n" for name in ALL) + 'vtysh_enable=yes\nzebra_options="-A 127.0.0.1"\n'
    host.write("/etc/frr/daemons", options + f'frr_profile="{defaults}"\n')
    host.write("/etc/frr/vtysh.conf", "service integrated-vtysh-config\n")
    host.write("/etc/frr/frr.conf", text)
    host.run(["chown", "-R", "frr:frr", "/etc/frr"])
    restart(host)


def restart(host: harness.Host) -> None:
    """FRR started anew with the file that is there."""
    host.run(["systemctl", "reset-failed", "frr"], ok=None)
    host.run(["systemctl", "restart", "frr"])
    wait(lambda: set(ALL) <= daemons(host), "FRR's daemons", 30)


def saved(host: harness.Host) -> str:
    """The text of frr.conf."""
    return host.run(["cat", "/etc/frr/frr.conf"])


def deleted(host: harness.Host) -> collections.Counter[str]:
    """The lines that a reload of the file would take away from what runs."""
    out = host.run(["/usr/lib/frr/frr-reload.py", "--test", "--stdout", "/etc/frr/frr.conf"], ok=None)
    part = re.search(r"Lines To Delete\n=+\n(.*?)(?:\n\nLines To Add|\Z)", out, re.S)
    return collections.Counter(line for line in (part.group(1).splitlines() if part else ()) if " INFO: " not in line)


def holds(host: harness.Host, module: str, options: dict[str, t.Any]) -> None:
    """Apply options: nothing foreign is lost, now and after a restart, and then nothing is to be done."""
    gone = deleted(host)
    host.apply(module, options)
    ran = running(host)
    assert not deleted(host) - gone
    restart(host)
    wait(lambda: running(host) == ran, "what ran before the restart", 10)
    assert not host.module(module, options, check=True)["changed"]


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
