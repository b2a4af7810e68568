# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan writes of rates, marks, multicast and several targets, as packets meet it: a chassis with its own databases and three namespaces."""

from __future__ import annotations

import ipaddress
import json
import typing as t

import ovn
import pytest
from harness import Host, wait

from ansible_collections.overloom.fabric.plugins.plugin_utils._intent.fabric import Mirror, Qos, Segment
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan import ovn_mirrors, ovn_qos
from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC

Item = t.Dict[str, t.Any]
SPACES = {"one": 1, "two": 2, "three": 3}
QUERIER = "02:00:00:00:00:fe"
ROUTER = "10.0.0.254"
GROUP = "239.1.1.1"
# Sends datagrams as fast as it can for the given seconds.
SENDER = """
import socket, sys, time
target, seconds = sys.argv[1], float(sys.argv[2])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(sys.argv[3]))
until = time.monotonic() + seconds
while time.monotonic() < until:
    s.sendto(bytes(1000), (target, 9000))
    time.sleep(0.0005)
"""
# Says what has come until two seconds pass in silence: bytes, seconds from the first to the last, and the TOS bytes.
RECEIVER = """
import json, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s.bind(("", 9000))
if len(sys.argv) > 1:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(sys.argv[1]) + socket.inet_aton(sys.argv[2]))
s.settimeout(float(sys.argv[3]) if len(sys.argv) > 3 else 20)
got, first, last, tos = 0, None, None, set()
try:
    while True:
        data, more, _flags, _from = s.recvmsg(2000, 100)
        last = time.monotonic()
        first = first or last
        got += len(data)
        tos |= {value[0] for _level, _kind, value in more}
        s.settimeout(2)
except socket.timeout:
    pass
print(json.dumps([got, (last or 0) - (first or 0), sorted(tos)]))
"""


def port(name: str) -> str:
    return f"test/kvm1/{name}"


def northbound(segment: Segment | None = None, **qos: Qos) -> Item:
    """A switch with the three ports, as the plan would write it."""
    known = {name: f"02:00:00:00:00:0{number} 10.0.0.{number}" for name, number in SPACES.items()}
    settings = ovn_qos.snooping(segment, QUERIER, ipaddress.ip_address(ROUTER)) if segment else {}
    return {
        "switches": [
            {
                "name": "test/web",
                "other_config": settings,
                "ports": [
                    {"name": port(name), "addresses": [text], "port_security": [text]} for name, text in known.items()
                ],
                "qos_rules": [rule for name in SPACES for rule in ovn_qos.rules(port(name), qos.get(name))],
            }
        ],
        "wait_for": "hv",
        "timeout": 60,
    }


@pytest.fixture(name="host", scope="module")
def with_a_chassis(session_lab: t.Any) -> t.Iterator[Host]:
    """A host with databases and a chassis, and the namespaces on its bridge."""
    host: Host = session_lab.host("a")
    host.run(["ip", "address", "add", "192.0.2.1/32", "dev", "lo"])
    ovn.start(host)
    host.module("ovs_bridge", {"name": "br-ovn", "datapath_type": "netdev", "fail_mode": "secure"})
    host.module("ovn_database", {"southbound": ["ptcp:6642:192.0.2.1"]})
    host.module(
        "ovn_chassis",
        {
            "name": "kvm1",
            "remotes": ["tcp:192.0.2.1:6642"],
            "encapsulations": ["geneve"],
            "encapsulation_ip": "192.0.2.1",
            "bridge": "br-ovn",
            "datapath_type": "netdev",
        },
    )
    host.run(["systemctl", "start", "ovn-host"])
    spaces = [
        {
            "name": name,
            "addresses": [f"10.0.0.{number}/24"],
            "mac": f"02:00:00:00:00:0{number}",
            "bridge": "br-ovn",
            "iface_id": port(name),
            "tx_checksum": "off",
        }
        for name, number in SPACES.items()
    ]
    host.module("netns_veth", {"namespaces": spaces})
    yield host
    host.module("netns_veth", {"namespaces": [], "purge": True})
    host.module("ovn_northbound", {"purge": True})
    host.module("ovn_chassis", {"state": "absent"})
    host.module("ovs_bridge", {"name": "br-ovn", "state": "absent"})
    ovn.stop(host)
    host.run(["ip", "address", "del", "192.0.2.1/32", "dev", "lo"])


def inside(name: str, program: str, *arguments: str) -> list[str]:
    return ["ip", "netns", "exec", name, "python3", "-c", program, *arguments]


def listen(host: Host, name: str, *arguments: str) -> str:
    """Begin to listen; the file that will tell what has come."""
    file = f"/tmp/heard-{name}"
    host.run(["rm", "-f", file])
    unit = f"--unit=heard-{name}"
    host.run(
        [
            "systemd-run",
            "--quiet",
            "--collect",
            unit,
            f"--property=StandardOutput=file:{file}",
            *inside(name, RECEIVER, *arguments),
        ]
    )
    wait(lambda: ":9000" in host.run(["ip", "netns", "exec", name, "ss", "-uln"]), "a listener")
    return file


def heard(host: Host, file: str) -> list[t.Any]:
    """What has come, when the silence is long enough."""
    text = wait(lambda: host.exists(file) and host.run(["cat", file]).strip(), "the end of the listener")
    return t.cast("list[t.Any]", json.loads(text))


def sent(host: Host, source: str, target: str) -> tuple[float, list[t.Any]]:
    """The rate in kbit/s that gets from one namespace to another one, and the TOS bytes. What passes at once in the beginning counts as well."""
    reach(host, source, target)
    file = listen(host, target)
    host.run(inside(source, SENDER, f"10.0.0.{SPACES[target]}", "4", f"10.0.0.{SPACES[source]}"))
    size, seconds, tos = heard(host, file)
    return size * 8 / 1000 / max(seconds, 1), tos


def reach(host: Host, source: str, target: str) -> None:
    """Wait until one answers the other."""
    ping = ["ip", "netns", "exec", source, "ping", "-c", "1", "-W", "1", f"10.0.0.{SPACES[target]}"]
    wait(lambda: "1 received" in host.run(ping, ok=None), f"an answer of {target} to {source}")


def test_rates_and_marks_hold_for_whom_they_are_stated_and_for_nobody_else(host: Host) -> None:
    host.module("ovn_northbound", northbound())
    free, tos = sent(host, "one", "two")
    assert free > 1500 and tos == [0]
    limited = northbound(one=Qos(400, None, 46), three=Qos(None, 400, None))
    host.module("ovn_northbound", limited)
    assert not host.module("ovn_northbound", limited)["changed"]
    # A second's worth passes at once.
    rate, tos = sent(host, "one", "two")
    assert 100 < rate < 900 and tos == [46 << 2]
    rate, tos = sent(host, "two", "three")
    assert 100 < rate < 900 and tos == [0]
    rate, tos = sent(host, "three", "two")
    assert rate > 1500 and tos == [0]
    host.module("ovn_northbound", northbound())
    assert sent(host, "one", "two")[0] > 1500


def segment(**more: t.Any) -> Segment:
    net = ipaddress.ip_network("10.0.0.0/24")
    return Segment("web", "web", None, None, None, net, None, None, "ov", **more)


def test_multicast_gets_to_who_asked_for_it_once_it_is_snooped(host: Host) -> None:
    host.module("ovn_northbound", northbound(segment()))
    assert _reached(host) == {"two": True, "three": True}
    host.module("ovn_northbound", northbound(segment(multicast_snooping=True)))
    assert _reached(host) == {"two": True, "three": False}


def _reached(host: Host) -> dict[str, bool]:
    """Which interfaces a datagram to the group gets to, of which two alone is a member."""
    reach(host, "one", "two")
    file = listen(host, "two", GROUP, "10.0.0.2")
    # The report is on its way; what comes before it is taken up is nobody's.
    snooped = "mcast_snoop" in host.run(["ovn-nbctl", "get", "Logical_Switch", "test/web", "other_config"])
    if snooped:
        wait(lambda: GROUP in groups(host), "the report")
    before = _received(host)
    host.run(inside("one", SENDER, GROUP, "2", "10.0.0.1"))
    after = _received(host)
    assert heard(host, file)[0] > 0
    return {name: after[name] - before[name] > 20 for name in ("two", "three")}


def groups(host: Host) -> str:
    """The groups whose members OVN knows."""
    return host.run(["ovn-sbctl", "--columns=address", "list", "IGMP_Group"])


def _received(host: Host) -> dict[str, int]:
    """The packets that have come to each namespace."""
    path = "/sys/class/net/eth0/statistics/rx_packets"
    return {name: int(host.run(["ip", "netns", "exec", name, "cat", path])) for name in SPACES}


def test_queries_for_members_are_sent_and_taken(host: Host) -> None:
    """Who is already a member when snooping begins is found by the querier."""
    host.module("ovn_northbound", northbound(segment()))
    reach(host, "one", "two")
    listen(host, "two", GROUP, "10.0.0.2", "120")
    snooped = northbound(segment(multicast_snooping=True))
    # A question may come before who is asked is ready, and the next one is usually 150 s later.
    snooped["switches"][0]["other_config"]["mcast_query_interval"] = "2"
    host.module("ovn_northbound", snooped)
    wait(lambda: GROUP in groups(host), "the answer of the member")
    host.run(["systemctl", "stop", "heard-two"])


# Several targets ---------------------------------------------------------------------------------------------------------

# Says its name to whoever asks.
SERVER = """
import socket, sys
listener = socket.create_server((sys.argv[2], 8080))
while True:
    link, _peer = listener.accept()
    link.sendall(sys.argv[1].encode())
    link.close()
"""
# Who answered each of some questions; a word for those that nobody did.
ASKER = """
import socket
for _number in range(12):
    try:
        print(socket.create_connection(("10.9.0.1", 80), 2).recv(100).decode())
    except OSError:
        print("nobody")
"""


def forwarding(**more: t.Any) -> Item:
    """A gateway's forwarded port, from the intent."""
    point = {
        name: {"name": name, "segment": "web", "address": f"10.0.0.{number}", "mac": f"02:00:00:00:00:0{number}"}
        for name, number in SPACES.items()
    }
    intent = {
        "fabric_name": "test",
        "fabric_overlays": [
            {"name": "ov", "engine": "ovn", "encapsulation": "geneve"},
            {"name": "office", "encapsulation": "vlan"},
        ],
        "fabric_segments": [
            {"name": "web", "overlay": "ov", "subnet": "10.0.0.0/24"},
            {"name": "wan", "overlay": "office", "vlan": 30, "subnet": "10.9.0.0/24"},
        ],
        "fabric_edges": [
            {
                "name": "gw",
                "hosts": ["kvm1"],
                "legs": [
                    {"segment": "web", "address": ROUTER},
                    {"segment": "wan", "address": "10.9.0.1", "gateway": False},
                ],
                "forwards": [
                    {
                        "name": "www",
                        "segment": "wan",
                        "port": 80,
                        "targets": ["kvm1/two", "kvm1/three"],
                        "to_port": 8080,
                        **more,
                    }
                ],
            }
        ],
        "fabric_endpoints": list(point.values()),
    }
    plan = compile_plan({"kvm1": intent}, SPEC, central=["kvm1"])
    northbound = plan["hosts"]["kvm1"]["ovn_central"]["northbound"]
    return {**northbound, "purge": True, "wait_for": "hv", "timeout": 60}


def answered(host: Host) -> set[str]:
    """Who answers the forwarded port."""
    return set(host.run(inside("one", ASKER)).split())


def monitored(host: Host) -> list[str]:
    """What OVN's service monitors say."""
    return sorted(host.run(["ovn-sbctl", "--bare", "--columns=status", "list", "Service_Monitor"]).split())


def await_monitors(host: Host, expected: list[str]) -> None:
    wait(lambda: monitored(host) == expected, f"the states {expected}", look=lambda: monitored(host))


def test_connections_are_shared_out_among_those_who_live(host: Host) -> None:
    host.module("ovn_northbound", forwarding())
    for name in SPACES:
        host.run(["ip", "-n", name, "route", "replace", "default", "via", ROUTER])
    for name in ("two", "three"):
        program = inside(name, SERVER, name, f"10.0.0.{SPACES[name]}")
        host.run(["systemd-run", "--quiet", "--collect", f"--unit=serve-{name}", *program])
    wait(lambda: answered(host) == {"two", "three"}, "questions shared by the two")
    host.run(["systemctl", "stop", "serve-three"])
    assert answered(host) == {"two", "nobody"}, "without a health check a dead target has its part"
    checked = forwarding(health_check={"source": "10.0.0.200", "interval": 1, "failures": 2})
    host.module("ovn_northbound", checked)
    assert not host.module("ovn_northbound", checked)["changed"]
    await_monitors(host, ["offline", "online"])
    host.run(["ovn-nbctl", "--timeout=60", "--wait=hv", "sync"])
    wait(lambda: answered(host) == {"two"}, "an end of the dead target's part")
    host.run(["systemctl", "stop", "serve-two"])
    await_monitors(host, ["offline", "offline"])
    host.run(["ovn-nbctl", "--timeout=60", "--wait=hv", "sync"])
    wait(lambda: answered(host) == {"nobody"}, "the silence of all")


# Routes by source --------------------------------------------------------------------------------------------------------

BEYOND = "198.51.100.7"


def by_source(*sources: str) -> Item:
    """A router that leads beyond by two, and what comes from some sources by three."""
    known = {name: f"02:00:00:00:00:0{number}" for name, number in SPACES.items()}
    points = [
        {"name": name, "segment": "web", "address": f"10.0.0.{SPACES[name]}", "mac": mac, "router": name != "one"}
        for name, mac in known.items()
    ]
    intent = {
        "fabric_name": "test",
        "fabric_overlays": [{"name": "ov", "engine": "ovn", "encapsulation": "geneve"}],
        "fabric_segments": [
            {"name": "web", "overlay": "ov", "subnet": "10.0.0.0/24"},
            {"name": "db", "overlay": "ov", "subnet": "10.0.1.0/24"},
        ],
        "fabric_edges": [
            {
                "name": "gw",
                "legs": [{"segment": "web", "address": ROUTER}, {"segment": "db", "address": "10.0.1.254"}],
                "routes": [
                    {"to": "default", "via": "10.0.0.2"},
                    *({"from": source, "to": f"{BEYOND}/32", "via": "10.0.0.3"} for source in sources),
                ],
            }
        ],
        "fabric_policy": [{"name": "out", "from": ["web"], "to": [f"{BEYOND}/32"]}],
        "fabric_endpoints": points,
    }
    plan = compile_plan({"kvm1": intent}, SPEC, central=["kvm1"])
    return {**plan["hosts"]["kvm1"]["ovn_central"]["northbound"], "purge": True, "wait_for": "hv", "timeout": 60}


def asks(host: Host) -> str:
    """Who hears the question of one, by the counters of the address beyond."""
    before = {name: counted(host, name) for name in ("two", "three")}
    host.run(["ip", "netns", "exec", "one", "ping", "-c", "3", "-i", "0.2", "-W", "20", BEYOND])
    return " ".join(name for name, count in before.items() if counted(host, name) > count)


def counted(host: Host, name: str) -> int:
    """How many packets have come for the address beyond."""
    found = host.run(["ip", "netns", "exec", name, "nft", "list", "counter", "inet", "beyond", "asked"])
    return int(found.split("packets ")[1].split()[0])


def test_what_comes_from_a_source_has_a_next_hop_of_its_own(host: Host) -> None:
    table = f"table inet beyond {{ counter asked {{ }}; chain in {{ type filter hook input priority 0; ip daddr {BEYOND} counter name asked; }}; }}"
    for name in ("two", "three"):
        host.run(["ip", "-n", name, "address", "replace", f"{BEYOND}/32", "dev", "lo"])
        host.run(["ip", "-n", name, "link", "set", "lo", "up"])
        host.run(["ip", "netns", "exec", name, "nft", table])
    host.run(["ip", "-n", "one", "route", "replace", "default", "via", ROUTER])
    for sources, hop in (([], "two"), (["web"], "three"), (["10.0.0.9"], "two"), (["10.0.0.1"], "three")):
        wanted = by_source(*sources)
        host.module("ovn_northbound", wanted)
        assert not host.module("ovn_northbound", wanted)["changed"]
        assert asks(host) == hop, sources


# Mirrors -----------------------------------------------------------------------------------------------------------------

# Tells of each packet of GRE what is behind the outer header.
SINK = """
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
while True:
    data = s.recv(4000)
    if data[23] == 47:
        print(data[34:].hex(), flush=True)
"""
SINK_ADDRESS = "198.51.100.2"


def mirrored(mirrors: dict[str, Mirror]) -> Item:
    """The switch, with mirrors of ports by their names."""
    wanted = northbound()
    wanted["mirrors"] = [
        {
            "name": ovn_mirrors.name_of("test", one),
            "filter": ovn_mirrors.FILTERS[one.direction],
            "sink": str(one.to),
            "type": one.encapsulation,
            "index": one.key,
        }
        for one in mirrors.values()
    ]
    for row in wanted["switches"][0]["ports"]:
        own = [one for name, one in mirrors.items() if row["name"] == port(name)]
        row["mirror_rules"] = ovn_mirrors.rules("test", own)
    return {**wanted, "purge": True}


@pytest.fixture(name="sink")
def with_a_sink(host: Host) -> t.Iterator[str]:
    """A namespace that the host reaches by a bridge; the file in which it says what has come."""
    host.module("ovs_bridge", {"name": "br-out", "datapath_type": "netdev"})
    host.run(["ip", "address", "add", "198.51.100.1/24", "dev", "br-out"])
    host.run(["ip", "link", "set", "br-out", "up"])
    space = {"name": "sink", "addresses": [f"{SINK_ADDRESS}/24"], "bridge": "br-out", "tx_checksum": "off"}
    host.module("netns_veth", space)
    output = "--property=StandardOutput=file:/tmp/mirrored"
    host.run(["rm", "-f", "/tmp/mirrored"])
    host.run(["systemd-run", "--quiet", "--collect", "--unit=sink", output, *inside("sink", SINK)])
    yield "/tmp/mirrored"
    host.run(["systemctl", "stop", "sink"], ok=None)
    host.module("netns_veth", {"name": "sink", "state": "absent"})
    host.module("ovs_bridge", {"name": "br-out", "state": "absent"})


@pytest.mark.parametrize(
    ("kind", "direction", "header"),
    [("gre", "sent", "20006558" + "0000004d"), ("erspan", "received", "100088be")],
)
def test_a_mirror_copies_one_direction_of_its_port_alone(
    host: Host, sink: str, kind: str, direction: str, header: str
) -> None:
    host.module("ovn_northbound", northbound())
    reach(host, "one", "two")
    before = host.run(["ovs-vsctl", "list-ports", "br-ovn"])
    mirror = Mirror("", ipaddress.ip_address(SINK_ADDRESS), direction, kind, 77)
    wanted = mirrored({"one": mirror})
    host.module("ovn_northbound", wanted)
    assert not host.module("ovn_northbound", wanted)["changed"]
    sent, received = "0800", "0000"
    ours, other = (sent, received) if direction == "sent" else (received, sent)

    def copied() -> int:
        count = _pings(host, sink, header, ours)
        reach(host, "one", "two")
        reach(host, "two", "three")
        return count

    wait(copied, "a copy")
    # What one does not take part in, and its other direction, are not copied.
    assert not _pings(host, sink, header, other)
    text = host.run(["cat", sink])
    assert "0a0000020a000003" not in text and "0a0000030a000002" not in text
    host.module("ovn_northbound", {**northbound(), "purge": True})
    wait(lambda: host.run(["ovs-vsctl", "list-ports", "br-ovn"]) == before, "the end of the tunnel")
    assert not host.run(["ovs-vsctl", "--bare", "--columns=name", "list", "Mirror"]).strip()


def _pings(host: Host, file: str, header: str, kind: str) -> int:
    """How many copies there are of pings (0800) or of answers (0000), between one and two."""
    pairs = {"0800": "0a0000010a000002", "0000": "0a0000020a000001"}
    lines = host.run(["cat", file]).split()
    return sum(line.startswith(header) and pairs[kind] + kind in line for line in lines)


def test_a_chassis_that_goes_takes_the_tunnels_of_its_mirrors_along(host: Host) -> None:
    """The last test, as the host is a chassis no more."""
    mirror = Mirror("", ipaddress.ip_address(SINK_ADDRESS), "sent", "gre", 0)
    host.module("ovn_northbound", mirrored({"one": mirror}))
    tunnel = f"ovn-{ovn_mirrors.name_of('test', mirror)}"
    wait(lambda: tunnel in host.run(["ovs-vsctl", "list-ports", "br-ovn"]).split(), "the tunnel")
    host.module("ovn_chassis", {"state": "absent"})
    assert tunnel not in host.run(["ovs-vsctl", "list-ports", "br-ovn"]).split()
