# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests as the intent changes and as hands change them, by the playbooks alone."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import subprocess
import time
import typing as t

import pytest
from harness import REPOSITORY
from test_site import BIN, Fabric, changed, endpoint

LAB = {"image": "lab", "nics": [{"trunks": ["blue", "red"]}]}


def guest(name: str, segment: str, **options: object) -> dict:
    return {
        **endpoint(name, segment, "10.1.1.2" if segment == "blue" else "10.1.3.2"),
        "kind": "guest",
        "guest": {**LAB, **options},
    }


# For each guest of the host: when its process began, and how long its own clock ran until it was up; both in seconds.
STARTS = r"""
import glob, json, os, re
found = {}
for path in set(glob.glob('/run/libvirt/qemu/*.pid')) - {'/run/libvirt/qemu/driver.pid'}:
    name, pid = os.path.basename(path)[:-4], open(path).read().strip()
    began = int(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[19]) / os.sysconf('SC_CLK_TCK')
    up = re.search(r'is up after ([0-9.]+) s', open(f'/var/log/libvirt/qemu/{name}-console.log', errors='replace').read())
    found[name] = [int(pid), began, float(up[1])]
print(json.dumps(found))
"""


def starts(fabric: Fabric) -> dict[str, list[float]]:
    return json.loads(fabric.on("kvm1", "python3", "-c", STARTS))


def many(*numbers: int) -> list[dict]:
    return [
        {**endpoint(f"many{n}", "blue", f"10.1.1.{100 + n}"), "kind": "guest", "guest": {"image": "lab"}}
        for n in numbers
    ]


def ten_guests(fabric: Fabric, points: list[dict]) -> None:
    """Ten more guests come up side by side; and where one is exchanged, the others do not notice."""
    fabric.hosts["kvm1"]["fabric_endpoints"] = points + many(*range(10))
    fabric.write()
    fabric.play("site.yml")
    before = starts(fabric)
    ten = {name: when for name, when in before.items() if name.startswith("many")}
    assert len(ten) == 10
    last_began, first_up = (
        max(began for _pid, began, _up in ten.values()),
        min(began + up for _pid, began, up in ten.values()),
    )
    assert last_began < first_up, f"one was up {last_began - first_up:.1f} s before the last was started"
    fabric.hosts["kvm1"]["fabric_endpoints"] = points + many(*range(1, 11))
    fabric.write()
    said = fabric.play("site.yml")
    after = starts(fabric)
    assert set(after) - set(before) == {"many10"} and set(before) - set(after) == {"many0"}
    assert all(after[name][0] == before[name][0] for name in set(before) & set(after)), (
        "a guest that did not change was restarted"
    )
    assert "10.1.1.110/24" in said.split("Outputs")[1] and "on kvm1: virsh console many10" in said


def refused(fabric: Fabric, points: list[dict], one: dict, other: dict) -> str:
    """What a run says when such a guest is added on each host. Nothing of them is defined."""
    fabric.hosts["kvm1"]["fabric_endpoints"] = [
        *points,
        {**endpoint("bad", "blue", "10.1.1.9"), "kind": "guest", "guest": one},
    ]
    fabric.hosts["kvm2"]["fabric_endpoints"] = [
        {**endpoint("bad", "blue", "10.1.1.8"), "kind": "guest", "guest": other}
    ]
    fabric.write()
    said = fabric.play("site.yml", ok=False)
    for host in ("kvm1", "kvm2"):
        assert "bad" not in fabric.on(host, "ls", "-R", "/etc/libvirt/qemu", "/var/lib/libvirt/images")
    return said


def bad_guests(fabric: Fabric, points: list[dict]) -> None:
    """What only the host can know is refused there, each by one sentence."""
    for host in ("kvm1", "kvm2"):
        fabric.on(host, "python3", "-c", "open('/var/lib/plain.qcow2', 'wb').truncate(1 << 20)")
    said = refused(fabric, points, {"image": "/srv/none.qcow2"}, {"image": "/var/lib/plain.qcow2"})
    assert "domain bad: disk vda: backing_path /srv/none.qcow2 does not exist: put the image there first" in said
    assert "domain bad: disk vda: backing_path /var/lib/plain.qcow2 is raw, not qcow2: correct backing_format" in said
    said = refused(
        fabric, points, {"image": "lab", "memory": "8TiB"}, {"image": "/var/lib/plain.qcow2", "image_sha256": "0" * 64}
    )
    assert "kvm1: its guests take" in said and "lower guest.memory in fabric_endpoints, or move a guest" in said
    assert (
        "kvm2: the SHA-256 of /var/lib/plain.qcow2, which guest bad needs, is" in said
        and "or correct the checksum" in said
    )
    fabric.hosts["kvm1"]["fabric_endpoints"], fabric.hosts["kvm2"]["fabric_endpoints"] = points, []
    fabric.write()


def test_guests_follow_the_intent_and_drift_is_seen(tmp_path):
    fabric = Fabric(tmp_path, f"guests-{os.getpid()}")
    points = [guest("vm1", "blue"), endpoint("one", "blue", "10.1.1.1"), endpoint("two", "green", "10.1.3.1")]
    # The second host is the other end of the cable only.
    fabric.hosts = {"kvm1": {"fabric_endpoints": points}, "kvm2": {"fabric_endpoints": []}}
    fabric.write()
    fabric.play("playbooks/lab.yml")
    try:
        fabric.play("site.yml")
        report = fabric.verify()
        assert report["failed"] == 0 and {"ping", "mtu", "tcp", "isolation"} <= {
            c["kind"] for c in report["checks"] if c["from"] == "kvm1/vm1"
        }

        ten_guests(fabric, points)
        bad_guests(fabric, points)

        # Moved to another segment, with another trunk and more memory; the trunk's old portgroup goes in the same run.
        moved = guest("vm1", "green", memory="160MiB", restart=True, nics=[{"trunks": ["blue", "red", "green"]}])
        fabric.hosts["kvm1"]["fabric_endpoints"][0] = moved
        fabric.write()
        foretold = fabric.play("site.yml", "--check", "--diff")
        assert "portgroup: green" in foretold and "160MiB" in foretold
        fabric.play("site.yml")
        assert fabric.verify()["failed"] == 0
        assert set(changed(fabric.play("site.yml")).values()) == {0}
        network = fabric.on("kvm1", "virsh", "net-dumpxml", f"{fabric.intent['fabric_name']}-br-int")
        assert "trunk-10-20-30" in network and "'trunk-10-20'" not in network

        # By hand: a tag, then the guest itself. A guest of somebody else stays.
        foreign = "<domain type='qemu'><name>foreign</name><memory>65536</memory><os><type>hvm</type></os></domain>"
        fabric.on("kvm1", "python3", "-c", f"import libvirt; libvirt.open('qemu:///system').defineXML({foreign!r})")
        fabric.on("kvm1", "ovs-vsctl", "set", "port", "v-vm1", "tag=10")
        assert any(c["kind"] == "port" and not c["passed"] for c in fabric.verify(ok=False)["checks"])
        fabric.play("site.yml")
        assert fabric.verify()["failed"] == 0
        del fabric.hosts["kvm1"]["fabric_endpoints"][0]
        fabric.write()
        fabric.play("site.yml")
        assert fabric.on("kvm1", "virsh", "list", "--all", "--name").split() == ["foreign"]
        # libvirt need not run to be torn down: its sockets start it.
        mark = f"<metadata><o:fabric xmlns:o='urn:overloom.fabric' owner='{fabric.intent['fabric_name']}' module='libvirt_domain'/></metadata>"
        ours = foreign.replace("<name>foreign</name>", f"<name>ours</name>{mark}")
        fabric.on("kvm1", "python3", "-c", f"import libvirt; libvirt.open('qemu:///system').defineXML({ours!r})")
        fabric.on("kvm1", "systemctl", "stop", "libvirtd.service")
        fabric.play("playbooks/teardown.yml")
        assert fabric.on("kvm1", "virsh", "list", "--all", "--name").split() == ["foreign"]
        assert fabric.on("kvm1", "virsh", "net-list", "--all", "--name").split() == []
    finally:
        fabric.play("playbooks/lab_down.yml")


@pytest.fixture(scope="module")
def one_guest(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Fabric]:
    """A fabric with one guest, as it was built first."""
    fabric = Fabric(tmp_path_factory.mktemp("one"), f"restart-{os.getpid()}")
    points = [{**endpoint("vm1", "blue", "10.1.1.2"), "kind": "guest", "guest": {"image": "lab"}}]
    fabric.hosts = {"kvm1": {"fabric_endpoints": points}, "kvm2": {}}
    fabric.write()
    fabric.play("playbooks/lab.yml")
    try:
        assert "still runs as it was" not in fabric.play("site.yml")
        yield fabric
    finally:
        fabric.play("playbooks/lab_down.yml")


def typed(line: str, after: str, keys: str, seconds: float = 120) -> str:
    """What a line shows at a terminal, where the keys are typed once it has shown `after`; it has to end well."""
    ours, theirs = pty.openpty()
    shown = ""
    with subprocess.Popen(
        ["sh", "-c", line], cwd=REPOSITORY, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        until = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < until:
            if select.select([ours], [], [], 0.2)[0]:
                with contextlib.suppress(OSError):
                    shown += os.read(ours, 4096).decode("utf-8", "replace")
            if after in shown and keys:
                os.write(ours, keys.encode())
                keys = ""
        if process.poll() is None:
            process.terminate()
    os.close(ours)
    assert process.returncode == 0, shown
    return shown


def test_the_commands_that_make_lab_ends_with_lead_into_a_host_and_a_guest(one_guest: Fabric) -> None:
    """As printed, for an inventory that is not the default one."""
    tool = [str(BIN / "python"), "tools/hints.py", str(one_guest.folder / "hosts.yml")]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg")}
    printed = subprocess.run(tool, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True).stdout
    hints = [re.split(r"  +", line.strip())[0] for line in printed.splitlines()]
    (shell,) = (line for line in hints if line.startswith("make shell "))
    (console,) = (line for line in hints if line.startswith("make console "))
    # What the target needs is there, as these tests run.
    make = "make --no-print-directory --old-file=.venv/bin/.lab "
    shown = typed(shell.replace("make ", make, 1), "kvm1", "echo from $(hostname); exit\r")
    assert "from kvm1" in shown
    assert "Connected to domain 'vm1'" in typed(console.replace("make ", make, 1), "Escape character", "\x1d")
    unknown = typed(f"! {shell.replace('make ', make, 1).replace('kvm1', 'kvm7')}", "", "")
    assert "has no host kvm7; say HOST=NAME, NAME being one of: kvm1, kvm2" in unknown


def test_a_restart_that_a_changed_intent_needs_is_said_at_the_end_of_each_run_and_by_drift_until_it_happens(
    one_guest: Fabric,
) -> None:
    fabric = one_guest
    # Another address is on the command line of the lab guest's kernel, which only a restart gives it.
    vm1 = fabric.hosts["kvm1"]["fabric_endpoints"][0]
    vm1["address"] = "10.1.1.7"
    fabric.write()
    sentence = "kvm1: guest vm1 still runs as it was before a change of cmdline, which needs a restart; set guest.restart: true for vm1"
    for arguments, unchanged in ((["--check"], False), ([], False), ([], True)):
        out = fabric.play("site.yml", *arguments)
        assert sentence in " ".join(out.split()) and "guest, restart needed" in out
        assert not unchanged or set(changed(out).values()) == {0}, out
    # What site.yml has no more to change is drift until the guest runs as declared, and each time.
    for _again in range(2):
        out = fabric.play("playbooks/drift.yml", "-e", f"drift_report={fabric.folder}/reports", ok=False)
        said = " ".join(out.split())
        assert sentence in said and "Drift: 1 pending restart." in said
        report = json.loads((fabric.folder / "reports/drift.json").read_text(encoding="utf-8"))
        assert report["restarts"][0]["options"] == ["cmdline"] and not report["differing"]
    vm1["guest"]["restart"] = True
    fabric.write()
    assert "still runs as it was" not in fabric.play("site.yml")
    assert "no drift" in fabric.play("playbooks/drift.yml", "-e", f"drift_report={fabric.folder}/reports")
