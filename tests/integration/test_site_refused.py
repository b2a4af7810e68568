# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts on which others were at work before the fabric: site.yml refuses what is theirs before the first change, each thing in one sentence.

All that others may have is put onto the same hosts, since a playbook takes seconds. Then the same hosts are adopted, and given back.
"""

from __future__ import annotations

import os
import re
import typing as t

import pytest
from containers import IMAGE, bring_images
from guests import PREPARE
from harness import PYTHON
from test_site import Fabric, changed, endpoint
from verifier import plan_of

GUEST = "<domain type='qemu'><name>g1</name><memory unit='MiB'>32</memory><os><type>hvm</type></os></domain>"
NETWORK = "<network><name>{}</name><bridge name='virbr9'/></network>"
SECURE = "-- set bridge br-int datapath_type=netdev fail_mode=secure"
LOOKS = {
    "switch": "ovs-vsctl --columns=name,fail_mode,controller,external_ids,other_config,datapath_type,protocols list bridge br-int; ovs-vsctl list-ports br-int",
    "flows": "ovs-ofctl dump-flows --no-stats br-int",
    "namespaces": "ls /run/netns",
    "files": "cd /etc; find netns frr libvirt/qemu systemd/system -type f | sort | xargs sha256sum",
    "guests": "virsh list --all --name; virsh net-list --all --name",
    "containers": "podman ps --all --format '{{.ID}} {{.Names}} {{.Pid}}'",
}


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Fabric]:
    """Two hosts with a router between them."""
    fabric = Fabric(tmp_path_factory.mktemp("others"), f"others-{os.getpid()}")
    routed(fabric)
    fabric.play("playbooks/lab.yml")
    for name in ("kvm1", "kvm2"):
        fabric.on(name, "systemctl", "start", "openvswitch-switch")
    try:
        yield fabric
    finally:
        fabric.play("playbooks/lab_down.yml")


def routed(fabric: Fabric, cable: str = "kvm2:eth1") -> None:
    """The intent of a fabric with one of each kind. cable: the NIC of the second host."""
    fabric.intent["fabric_links"] = [{"ends": ["kvm1:eth1", "r1:eth1"]}, {"ends": [cable, "r1:eth2"]}]
    guest = {"name": "g1", "kind": "guest", "segment": "blue", "guest": {"image": "lab"}}
    container = {"name": "c1", "kind": "container", "segment": "blue", "container": {"image": "lab"}}
    # Two that need what nobody has brought to the host.
    lacking = [
        {"name": "c2", "kind": "container", "segment": "blue", "container": {"image": "localhost/none:1"}},
        {"name": "site", "kind": "service", "segment": "red", "service": {"unit": "none.service"}},
    ]
    fabric.hosts["kvm1"]["fabric_endpoints"] = [endpoint("red", "red", "10.1.2.1"), guest, container, *lacking]
    fabric.routers = {"r1": {}}
    fabric.write()


def look(fabric: Fabric) -> dict[str, str]:
    """All that others have on the first host, and FRR's file on the router."""
    seen = {name: fabric.on("kvm1", "sh", "-c", command) for name, command in LOOKS.items()}
    return {**seen, "router": fabric.on("r1", "cat", "/etc/frr/frr.conf")}


def by_hand(fabric: Fabric, host: str, *lines: str) -> None:
    """What somebody types on a host."""
    fabric.on(host, "sh", "-ec", "\n".join(lines))


def test_all_that_others_use_is_told_of_all_hosts_at_once_and_nothing_is_changed(fabric: Fabric) -> None:
    routed(fabric)
    claims = plan_of(fabric.folder)["claims"]["kvm1"]["claims"]
    (tep,) = (claim for claim in claims if claim["kind"] == "address" and claim["on"] == "tep0")
    (network,) = (claim["name"] for claim in claims if claim["kind"] == "network")
    by_hand(
        fabric,
        "kvm1",
        f"ovs-vsctl add-br br-int {SECURE} -- set-controller br-int tcp:192.0.2.9",
        "ovs-ofctl add-flow br-int cookie=0x2a,in_port=42,actions=drop",
        "ovs-ofctl add-flow br-int cookie=0x2b,in_port=43,actions=drop",
        "ip netns add red",
        "ip netns exec red sleep infinity </dev/null >/dev/null 2>&1 &",
        "until ip netns pids red | grep -q .; do sleep 0.1; done",
        "ip link add v-red type veth peer name theirs netns red",
        f"ip address add {tep['name']} dev v-red",
    )
    lab_host = fabric.lab.host("kvm1")
    fabric.on("kvm1", PYTHON, "-c", PREPARE)
    lab_host.run(["virsh", "define", "/dev/stdin"], stdin=GUEST)
    lab_host.run(["virsh", "net-define", "/dev/stdin"], stdin=NETWORK.format(network))
    fabric.on("kvm1", "virsh", "start", "g1")
    bring_images(lab_host)
    fabric.on("kvm1", "podman", "run", "--detach", "--name=c1", "--network=none", IMAGE, "sleep", "86400")
    by_hand(
        fabric,
        "kvm2",
        "ovs-vsctl add-br br-int -- set bridge br-int external_ids:overloom-owner=blue",
        "ip address add 192.0.2.7/24 dev eth1",
        "ip link add theirs0 link eth1 type macvlan",
    )
    fabric.lab.host("kvm2").write("/etc/systemd/network/90-theirs.netdev", "[NetDev]\nName=tep0\nKind=dummy\n")
    fabric.lab.host("r1").write("/etc/frr/frr.conf", "router ospf\n network 192.0.2.0/24 area 0\n")
    before = look(fabric)
    sentences = [
        "kvm1: bridge br-int was there before the fabric and is in use (controller tcp:192.0.2.9, fail_mode secure, 2 flows with cookie 0x2a, 0x2b)",
        "name another bridge in fabric_overlays[gre].bridge, or set fabric_adopt to let the fabric use this one.",
        "kvm1: namespace red was there before the fabric and is in use (1 process, interface theirs); "
        "give the endpoint red another name in fabric_endpoints of kvm1",
        "kvm1: interface v-red was there before the fabric and is in use (an interface of the kind veth)",
        f"kvm1: address {tep['name']} was there before the fabric and is in use (interface v-red has it); take it off there",
        "kvm1: guest g1 was there before the fabric and is in use (it runs); give the endpoint g1 another name in fabric_endpoints of kvm1.",
        f"kvm1: network {network} was there before the fabric and is in use (it is defined); take another fabric_name, or rename that network.",
        "kvm1: container c1 was there before the fabric and is in use (",
        "kvm1: container c2 needs the image localhost/none:1, which is not there; bring it with podman pull, load or build",
        "kvm1: service none.service: there is no such unit on this host; install it first, or correct its name.",
        "kvm2: bridge br-int belongs to the owner blue; name another bridge",
        "kvm2: interface tep0 was there before the fabric and is in use (configured in /etc/systemd/network/90-theirs.netdev); "
        "name another port in fabric_underlay.tep, or set fabric_adopt",
        "or name br-int in fabric_adopt to take it over",
        "r1: router ospf was there before the fabric and is in use",
        "leave FRR on r1 to others with fabric_router.managed: false",
    ]
    cases = [
        ([], "kvm2: nic eth1 was there before the fabric and is in use (macvlan theirs0, address 192.0.2.7/24); name another one in"),
        (["--check"], "kvm2: there is no interface enp7s0; the host has eth1, theirs0; name another one in the ends of fabric_links"),
    ]  # fmt: skip
    for arguments, nic in cases:
        routed(fabric, "kvm2:enp7s0" if arguments else "kvm2:eth1")
        out = fabric.play("site.yml", *arguments, ok=False)
        assert set(changed(out).values()) == {0}, out
        said = " ".join(out.split())
        for sentence in (*sentences, nic):
            assert sentence in said, said
        assert len(set(re.findall(r"\d+\. (?:kvm\d|r1): ", said))) == 13, said
        assert look(fabric) == before


def test_what_is_adopted_or_was_prepared_is_used_and_given_back(fabric: Fabric) -> None:
    """A bridge of a controller with its flows, a namespace with a process in it, a router; an empty bridge and namespace need no adoption."""
    fabric.on("kvm1", PYTHON, "-c", PREPARE)
    clean = "for bridge in $(ovs-vsctl list-br); do ovs-vsctl del-br $bridge; done"
    by_hand(
        fabric,
        "kvm1",
        # Whether an earlier test has left it or not (|| true).
        f"{clean}; ip link delete v-red || true",
        f"ovs-vsctl add-br br-int {SECURE} -- set-controller br-int tcp:192.0.2.9 -- set bridge br-int external_ids:theirs=1",
        "ovs-ofctl add-flow br-int cookie=0x2a,priority=5,actions=normal",
        "ip netns list | grep -q ^red || ip netns add red",
        "ip netns pids red | grep -q . || ip netns exec red sleep infinity </dev/null >/dev/null 2>&1 &",
        "until ip netns pids red | grep -q .; do sleep 0.1; done",
    )
    by_hand(
        fabric,
        "kvm2",
        clean,
        # As above: it is there if the test of refusals ran before.
        "ip link delete theirs0 || true; ip address flush dev eth1; rm -f /etc/systemd/network/90-theirs.netdev",
        "ovs-vsctl add-br br-int -- set bridge br-int datapath_type=netdev; ip netns list | grep -q ^blue || ip netns add blue",
    )
    fabric.lab.host("r1").write("/etc/frr/frr.conf", "router ospf\n timers throttle spf 10 20 30\n")
    before = look(fabric)
    routed(fabric)
    fabric.hosts["kvm1"]["fabric_endpoints"] = [endpoint("red", "red", "10.1.2.1")]
    fabric.intent["fabric_adopt"] = ["br-int", "red", "router ospf"]
    fabric.write()
    fabric.play("site.yml")
    assert "fail_mode           : secure" in look(fabric)["switch"] and "cookie=0x2a" in look(fabric)["flows"]
    assert set(changed(fabric.play("site.yml")).values()) == {0}
    assert fabric.verify()["failed"] == 0
    fabric.play("playbooks/teardown.yml")
    after = look(fabric)
    for part in ("switch", "flows", "namespaces", "guests", "containers"):
        assert after[part] == before[part], part
    assert "timers throttle spf 10 20 30" in after["router"]
    assert fabric.on("kvm1", "ip", "netns", "pids", "red").split()
    assert fabric.on("kvm2", "ovs-vsctl", "list-br").split() == ["br-int"] and "blue" in fabric.on(
        "kvm2", "ls", "/run/netns"
    )
