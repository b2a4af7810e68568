# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole way as its user goes it: a lab, site.yml, verify, drift, a killed run, teardown, by the playbooks alone."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import typing as t

import pytest
import roots
import yaml
from harness import REPOSITORY, Lab
from tracer import Tracer
from verifier import plan_of

BIN = pathlib.Path(sys.executable).parent
SEGMENTS = [
    {"name": "blue", "vlan": 10, "subnet": "10.1.1.0/24"},
    {"name": "red", "vlan": 20, "subnet": "10.1.2.0/24"},
    {"name": "green", "vlan": 30, "subnet": "10.1.3.0/24"},
]


def endpoint(name: str, segment: str, address: str) -> dict[str, str]:
    return {"name": name, "segment": segment, "address": address}


def one_each(number: int, segments: t.Iterable[str]) -> dict[str, t.Any]:
    """The variables of a host with an endpoint on each segment, such as web1 on web."""
    return {"fabric_endpoints": [{"name": f"{segment}{number}", "segment": segment} for segment in segments]}


def counted(report: dict[str, t.Any], *kinds: str) -> dict[str, int]:
    """How many checks of some kinds a report of verify has."""
    seen = collections.Counter(check["kind"] for check in report["checks"])
    return {kind: seen[kind] for kind in kinds}


_Fabric = t.TypeVar("_Fabric", bound="Fabric")


class Fabric:
    """An inventory in a folder of its own, and the commands that a user gives."""

    def __init__(self, folder: pathlib.Path, name: str) -> None:
        self.folder = folder
        self.lab = Lab(None, name)
        self.intent = {
            "fabric_name": name,
            "fabric_overlays": [{"name": "gre", "encapsulation": "gre"}],
            "fabric_segments": [dict(segment) for segment in SEGMENTS],
            "ansible_connection": "overloom.fabric.lab",
        }
        self.hosts = {
            "kvm1": {"fabric_endpoints": [endpoint("vm1", "blue", "10.1.1.2"), endpoint("red", "red", "10.1.2.1")]},
            "kvm2": {"fabric_endpoints": [endpoint("vm2", "red", "10.1.2.2"), endpoint("blue", "blue", "10.1.1.1")]},
        }
        self.routers: dict[str, dict] = {}
        self.write()

    @contextlib.contextmanager
    def built(self: _Fabric) -> t.Iterator[_Fabric]:
        """The fabric, built on a lab of its own, which is taken away in the end."""
        self.play("playbooks/lab.yml")
        try:
            self.play("site.yml")
            yield self
        finally:
            self.play("playbooks/lab_down.yml")

    def write(self) -> None:
        everybody = {**self.intent, "lab_root": roots.lab_root()}
        groups = {"kvm_hosts": {"hosts": self.hosts}, **({"routers": {"hosts": self.routers}} if self.routers else {})}
        if any(overlay.get("engine") == "ovn" for overlay in self.intent.get("fabric_overlays", ())):
            groups["ovn_central"] = {"hosts": {min(self.hosts): {}}}
        text = yaml.safe_dump({"all": {"vars": everybody, "children": groups}})
        (self.folder / "hosts.yml").write_text(text)

    def start(self, tool: str, *argv: str) -> subprocess.Popen:
        environment = {**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        command = [str(BIN / tool), *argv, "-i", str(self.folder / "hosts.yml")]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=REPOSITORY, env=environment, start_new_session=True, **streams)

    def run(self, tool: str, *argv: str, ok: bool = True) -> str:
        """Run an Ansible command from the checkout; ok says whether it must succeed."""
        process = self.start(tool, *argv)
        try:
            out, _err = process.communicate(timeout=600)
        except BaseException:
            # It is in a session of its own, and would go on with the lab that is removed now.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        assert (process.returncode == 0) is ok, f"{tool} {argv} ended with {process.returncode}\n{out}"
        return out

    def play(self, name: str, *argv: str, ok: bool = True) -> str:
        return self.run("ansible-playbook", name, *argv, ok=ok)

    def verify(self, ok: bool = True) -> dict:
        # What was broken does not become better by waiting.
        settle = [] if ok else ["-e", "verify_settle=2"]
        self.play("playbooks/verify.yml", "-e", f"verify_report={self.folder}/reports", *settle, ok=ok)
        return json.loads((self.folder / "reports/verify.json").read_text())

    def on(self, host: str, *argv: str) -> str:
        """Run a command on a host, by hand as it were."""
        return self.lab.host(host).run(argv)


def changed(text: str) -> dict[str, int]:
    """How many tasks changed something on each host, from the recap."""
    return {name: int(count) for name, count in re.findall(r"^(\S+) +: ok=.* changed=(\d+) ", text, re.M)}


@pytest.fixture(scope="module")
def fabric(tmp_path_factory):
    fabric = Fabric(tmp_path_factory.mktemp("site"), f"site-{os.getpid()}")
    fabric.play("playbooks/lab.yml")
    try:
        yield fabric
    finally:
        fabric.play("playbooks/lab_down.yml")


@pytest.fixture
def built(fabric):
    """The fabric as declared, whatever the test before has left."""
    fabric.write()
    fabric.play("site.yml")
    return fabric


def test_a_host_that_was_never_built_has_nothing_to_take_down(fabric):
    assert set(changed(fabric.play("playbooks/teardown.yml")).values()) == {0}


def test_from_an_empty_host_to_a_proven_overlay_and_nothing_changes_again(fabric):
    # Open vSwitch does not run yet, and its unit is one of what check mode only foretells.
    foretold = fabric.play("site.yml", "--check")
    assert "database cannot be reached" in foretold
    first = fabric.play("site.yml")
    assert changed(first) == changed(foretold)
    assert all(count >= 3 for host, count in changed(first).items() if host.startswith("kvm"))
    assert set(changed(fabric.play("site.yml")).values()) == {0}
    report = fabric.verify()
    assert report["failed"] == 0
    kinds = counted(report, "tep-ping", "ping", "mtu", "tcp", "isolation")
    assert kinds == {"tep-ping": 2, "ping": 4, "mtu": 4, "tcp": 4, "isolation": 8}
    assert all(check["control"] for check in report["checks"] if check["kind"] == "isolation")
    assert "<testsuites" in (fabric.folder / "reports/verify.xml").read_text()
    # The NIC on the underlay bridge is the kernel's too, and does not answer for the tunnel endpoint with its own MAC address.
    endpoint_mac = json.loads(fabric.on("kvm2", "ip", "-json", "link", "show", "dev", "tep0"))[0]["address"]
    assert endpoint_mac in fabric.on("kvm1", "ip", "neighbor", "show", "192.168.200.2", "dev", "tep0")


# What somebody changes by hand, on which host, and what --diff must show of it (the planned value).
DRIFTS = {
    "the remote end of a tunnel": (
        "kvm1",
        ["ovs-vsctl", "set", "interface", "gre-kvm2", "options:remote_ip=192.168.200.99"],
        "192.168.200.2",
    ),
    "an access tag": ("kvm1", ["ovs-vsctl", "set", "port", "v-vm1", "tag=20"], "tag: 10"),
    "an MTU": ("kvm1", ["ip", "-n", "red", "link", "set", "dev", "eth0", "mtu", "1200"], "mtu: 1458"),
    "an address": ("kvm1", ["ip", "-n", "vm1", "addr", "del", "10.1.1.2/24", "dev", "eth0"], "10.1.1.2/24"),
    "the trunks of a tunnel": ("kvm2", ["ovs-vsctl", "set", "port", "gre-kvm1", "trunks=30"], "10"),
    "a deleted veth pair": ("kvm2", ["ip", "link", "del", "v-blue"], "10.1.1.1/24"),
    "the tunnel endpoint's address": ("kvm2", ["ip", "addr", "flush", "dev", "tep0"], "192.168.200.2/24"),
}


def test_what_was_changed_by_hand_fails_verify_is_foretold_repaired_and_verified(built):
    for host, by_hand, _shown in DRIFTS.values():
        built.on(host, *by_hand)
    report = built.verify(ok=False)
    failed = {check["from"] for check in report["checks"] if not check["passed"]}
    assert failed >= {"kvm1:gre-kvm2", "kvm1:v-vm1", "kvm1:red", "kvm1:vm1", "kvm2:gre-kvm1", "kvm2:blue", "kvm2"}
    # All that failed is laid to a cause, and the tunnel is one of them.
    covered = sorted(number for cause in report["causes"] for number in cause["checks"])
    assert covered == [number for number, check in enumerate(report["checks"]) if not check["passed"]]
    assert "tunnel kvm1 <-> kvm2 of overlay gre" in [cause["title"] for cause in report["causes"]]
    foretold = built.play("site.yml", "--check", "--diff")
    added = "\n".join(line for line in foretold.splitlines() if line.startswith("+"))
    for what, (_host, _by_hand, shown) in DRIFTS.items():
        assert shown in added, f"{what} is not shown by --diff:\n{foretold}"
    # What changes is shown below the name of the thing that it changes on.
    for name in ("red", "vm1", "gre-kvm2"):
        assert re.search(rf"^ *([a-z]+ )?{name}:$", foretold, re.M), f"{name} is not named by --diff:\n{foretold}"
    # Bridges, tunnels and namespaces each change on both hosts, but kvm1 has no drift of a bridge.
    assert changed(foretold) == {"kvm1": 2, "kvm2": 3}
    assert changed(built.play("site.yml")) == {"kvm1": 2, "kvm2": 3}
    assert built.verify()["failed"] == 0
    assert set(changed(built.play("site.yml")).values()) == {0}


def test_a_leak_between_vlans_is_found(built):
    """The negative checks can fail: two VLANs joined by hand on one host."""
    built.on("kvm1", "ovs-vsctl", "set", "port", "v-red", "tag=10")
    report = built.verify(ok=False)
    leaks = [check for check in report["checks"] if check["kind"] == "isolation" and not check["passed"]]
    assert {(check["from"], check["to"]) for check in leaks} >= {
        ("kvm1/vm1", "kvm1/red"),
        ("kvm1/red", "kvm1/vm1"),
        ("kvm2/blue", "kvm1/red"),
    }


def test_a_segment_more_in_the_intent_is_everywhere_after_one_run_and_gone_after_another(built):
    built.hosts["kvm1"]["fabric_endpoints"].append({"name": "green", "segment": "green"})
    built.hosts["kvm2"]["fabric_endpoints"].append({"name": "green", "segment": "green"})
    built.write()
    try:
        built.play("site.yml")
        assert any(check["from"] == "kvm1/green" and check["to"] == "kvm2/green" for check in built.verify()["checks"])
    finally:
        for host in built.hosts.values():
            host["fabric_endpoints"].pop()
        built.write()
    built.play("site.yml")
    assert "green" not in built.on("kvm1", "ip", "netns", "list") and "v-green" not in built.on(
        "kvm1", "ovs-vsctl", "list-ports", "br-int"
    )


def test_a_rebooted_host_has_it_all_without_a_run(built):
    built.run("ansible", "kvm1", "-m", "ansible.builtin.reboot")
    assert built.verify()["failed"] == 0
    assert set(changed(built.play("site.yml")).values()) == {0}


def test_status_and_its_picture_show_what_is_not_as_planned_and_change_nothing(built):
    plan = plan_of(built.folder)
    tracer = Tracer(plan, built.lab)
    remote = next(tep["address"] for tep in plan["teps"] if tep["host"] == "kvm2")
    options = ["-e", f"status_report={built.folder}", "-e", f"status_prometheus={built.folder}/fabric.prom"]
    before = {host: tracer.state(host) for host in built.hosts}
    assert "all as planned" in built.play("playbooks/status.yml", *options)
    assert {host: tracer.state(host) for host in built.hosts} == before
    metrics = (built.folder / "fabric.prom").read_text()
    assert f'overloom_as_planned{{fabric="{built.intent["fabric_name"]}"}} 1' in metrics
    built.on("kvm1", "ovs-vsctl", "set", "interface", "gre-kvm2", "options:remote_ip=192.0.2.9")
    try:
        out = built.play("playbooks/status.yml", *options, ok=False)
    finally:
        built.on("kvm1", "ovs-vsctl", "set", "interface", "gre-kvm2", f"options:remote_ip={remote}")
    assert "tunnel kvm1:gre-kvm2: remote_ip 192.0.2.9; planned: remote_ip" in out
    report = json.loads((built.folder / "status.json").read_text())
    assert [problem["thing"] for problem in report["problems"]] == ["gre-kvm2"]
    # The second run knows of the first.
    assert all(row["tx_rate"] is not None for row in report["tunnels"])
    before = {host: tracer.state(host) for host in built.hosts}
    drawn = built.play("playbooks/diagram.yml", "-e", f"diagram_report={built.folder}")
    assert {host: tracer.state(host) for host in built.hosts} == before and set(changed(drawn).values()) == {0}
    assert "2 hosts, 3 segments, 4 endpoints, 1 tunnel; state of" in drawn and "1 problem" in drawn
    assert "✗ kvm1" in (built.folder / "fabric.svg").read_text(encoding="utf-8")
    assert "remote_ip 192.0.2.9; planned" in (built.folder / "fabric.html").read_text(encoding="utf-8")


def test_drift_is_none_right_after_site_and_names_what_was_changed_by_hand(built):
    tracer = Tracer(plan_of(built.folder), built.lab)
    before = {host: tracer.state(host) for host in built.hosts}
    assert "no drift" in built.play("playbooks/drift.yml", "-e", f"drift_report={built.folder}")
    assert {host: tracer.state(host) for host in built.hosts} == before
    built.on("kvm1", "ovs-vsctl", "set", "port", "v-vm1", "tag=20")
    try:
        out = built.play("playbooks/drift.yml", "-e", f"drift_report={built.folder}", ok=False)
    finally:
        built.on("kvm1", "ovs-vsctl", "set", "port", "v-vm1", "tag=10")
    assert "kvm1 namespace vm1\n      interfaces eth0 tag: 20; planned: 10" in out
    assert [one["thing"] for one in json.loads((built.folder / "drift.json").read_text())["differing"]] == [
        "namespace vm1"
    ]


def test_an_unreachable_host_fails_its_checks_and_the_others_are_still_measured(built):
    built.lab.host("kvm2").power_off()
    try:
        assert "kvm2: down" in built.play("playbooks/drift.yml", ok=False)
        out = built.play("playbooks/status.yml", ok=False)
        assert "host kvm2: down" in out and "Not as planned: 1 of 2 hosts." in " ".join(out.split())
        report = built.verify(ok=False)
        assert any(check["passed"] for check in report["checks"] if check["from"].startswith("kvm1"))
        assert all(not check["passed"] for check in report["checks"] if check["from"].startswith("kvm2"))
    finally:
        built.play("playbooks/lab.yml")
        built.play("site.yml")
    assert built.verify()["failed"] == 0


def test_a_run_killed_at_any_moment_converges_in_the_next(fabric):
    for tenths in (14, 26):
        fabric.play("playbooks/teardown.yml")
        process = fabric.start("ansible-playbook", "site.yml")
        time.sleep(tenths / 10)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        fabric.play("site.yml")
        assert set(changed(fabric.play("site.yml")).values()) == {0}
    assert fabric.verify()["failed"] == 0


@pytest.mark.long
def test_sixty_endpoints_are_measured_and_a_dead_segment_does_not_hold_up_the_others(tmp_path):
    """More pairs than the kernel's default neighbor tables hold, and more questions than a forwarder takes at once."""
    large = Fabric(tmp_path, f"large-{os.getpid()}")
    names = [f"s{number}" for number in range(3)]
    large.intent.update(
        fabric_segments=[{"name": name, "vlan": 10 + i, "subnet": f"10.{i}.0.0/16"} for i, name in enumerate(names)]
    )
    points = [{"name": f"e{i}", "segment": names[i % 3]} for i in range(30)]
    large.hosts = {host: {"fabric_endpoints": points} for host in ("kvm1", "kvm2")}
    large.write()
    large.play("playbooks/lab.yml")
    try:
        large.play("site.yml")
        report = large.verify()
        kinds = counted(report, "ping", "mtu", "tcp", "isolation", "namespace")
        assert kinds == {"ping": 1140, "mtu": 1140, "tcp": 1140, "isolation": 2000, "namespace": 60}
        assert report["failed"] == 0
        large.on("kvm1", "ovs-vsctl", "set", "port", "gre-kvm2", "trunks=11,12")
        failed = [
            check for check in large.verify(ok=False)["checks"] if not check["passed"] and check["kind"] == "ping"
        ]
        assert len(failed) == 2 * 10 * 10 and {check["observed"].partition(";")[0] for check in failed} == {
            "0 of 1 packets came back"
        }
    finally:
        large.play("playbooks/lab_down.yml")


def test_a_delegated_task_runs_on_the_host_that_it_is_sent_to(fabric):
    tasks = [
        {"ansible.builtin.command": "hostname", "delegate_to": "kvm2", "register": "told"},
        {"ansible.builtin.debug": {"msg": "ran on {{ told.stdout }}"}},
    ]
    playbook = fabric.folder / "delegated.yml"
    playbook.write_text(yaml.safe_dump([{"hosts": "kvm1", "gather_facts": False, "tasks": tasks}]))
    assert "ran on kvm2" in fabric.play(str(playbook))


def test_an_ad_hoc_tunnel_from_the_checkout_is_made_once(built):
    words = "bridge=br-int name=adhoc0 type=gre remote_ip=192.168.200.77 key=7"
    assert "CHANGED" in built.run("ansible", "kvm1", "-m", "ovs_tunnel", "-a", words)
    assert "CHANGED" not in built.run("ansible", "kvm1", "-m", "ovs_tunnel", "-a", words)
    assert set(changed(built.play("site.yml")).values()) == {0}, (
        "what the user made by hand with another owner is not the fabric's"
    )
    assert "CHANGED" in built.run("ansible", "kvm1", "-m", "ovs_tunnel", "-a", "name=adhoc0 state=absent")


def test_foreign_things_are_untouched_by_site_purge_and_teardown(fabric):
    fabric.play("playbooks/teardown.yml")
    # It runs unless this test is the first one.
    fabric.on("kvm1", "systemctl", "start", "openvswitch-switch")
    by_hand = [
        [
            "ovs-vsctl",
            "add-br",
            "br-foreign",
            "--",
            "set",
            "bridge",
            "br-foreign",
            "datapath_type=netdev",
            "external_ids:who=somebody",
        ],
        ["ovs-vsctl", "add-port", "br-foreign", "foreign0", "--", "set", "interface", "foreign0", "type=internal"],
        [
            "ovs-vsctl",
            "add-port",
            "br-foreign",
            "gre-foreign",
            "--",
            "set",
            "interface",
            "gre-foreign",
            "type=gre",
            "options:remote_ip=10.99.0.1",
        ],
        ["ip", "netns", "add", "foreign"],
        ["ip", "link", "add", "v-foreign", "type", "veth", "peer", "name", "eth0", "netns", "foreign"],
        ["ip", "-n", "foreign", "addr", "add", "10.99.1.1/24", "dev", "eth0"],
    ]
    for command in by_hand:
        fabric.on("kvm1", *command)

    def look():
        return [
            fabric.on(
                "kvm1",
                "ovs-vsctl",
                "--columns=_uuid,name,external_ids,tag",
                "list",
                "port",
                "br-foreign",
                "foreign0",
                "gre-foreign",
            ),
            fabric.on("kvm1", "ovs-vsctl", "get", "bridge", "br-foreign", "_uuid", "datapath_type", "external_ids"),
            fabric.on("kvm1", "ip", "-n", "foreign", "-brief", "addr"),
            fabric.on("kvm1", "ip", "-brief", "link", "show", "v-foreign"),
        ]

    try:
        before = look()
        fabric.play("site.yml")
        assert look() == before
        fabric.play("playbooks/teardown.yml")
        assert look() == before
        assert fabric.on("kvm1", "ovs-vsctl", "list-br").split() == ["br-foreign"]
        assert fabric.on("kvm1", "ip", "netns", "list").split()[0] == "foreign"
    finally:
        fabric.on("kvm1", "ovs-vsctl", "del-br", "br-foreign")
        fabric.on("kvm1", "ip", "netns", "del", "foreign")


def test_teardown_leaves_nothing_and_a_second_one_changes_nothing(built):
    out = built.play("playbooks/teardown.yml")
    assert changed(out)["kvm1"] > 0 and "What stays on the hosts: packages" in out
    assert set(changed(built.play("playbooks/teardown.yml")).values()) == {0}
    assert built.on("kvm1", "ovs-vsctl", "list-br").strip() == ""
    assert built.on("kvm1", "ip", "netns", "list").strip() == ""
    assert "overloom-" not in built.on("kvm1", "ls", "-R", "/etc/systemd/system")


def test_without_a_package_source_the_packages_are_named_and_the_outputs_leave_the_host_out(built):
    tool = built.on("kvm1", "sh", "-c", "command -v ethtool").strip()
    built.on("kvm1", "mv", tool, f"{tool}.away")
    try:
        out = built.play("site.yml", "-e", '{"kvm_host_packages": ["overloom-none"]}', ok=False)
        assert (
            re.search(r"kvm1 lacks ethtool, and the packages\s+overloom-none could not be installed", out)
            and "package source" in out
        )
        assert "on kvm2: ip netns exec" in out and "on kvm1: ip netns exec" not in out, (
            "the outputs are of the hosts that were reached"
        )
        refused = " ".join(built.play("site.yml", "--limit", "kvm1", "-e", "kvm_host_install=false", ok=False).split())
        assert "kvm1 lacks ethtool, and kvm_host_install is false" in refused
    finally:
        built.on("kvm1", "mv", f"{tool}.away", tool)


@pytest.mark.usefixtures("fabric")
@pytest.mark.parametrize(
    "playbook", ["site.yml", "playbooks/plan.yml", "playbooks/verify.yml", "playbooks/teardown.yml"]
)
def test_a_playbook_that_would_match_no_host_fails_and_names_the_groups_that_are_there(tmp_path, playbook):
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"children": {"kvmhosts": {"hosts": {"kvm1": None}}}}}))
    for arguments, sentence in (
        (["-i", str(inventory)], "its groups are kvmhosts (kvm1) (did you mean kvm_hosts with kvmhosts?)"),
        (["-i", str(inventory), "--limit", "kvm1"], "its groups are kvmhosts (kvm1)"),
        (["-i", str(tmp_path / "nowhere")], "/nowhere has no host at all"),
    ):
        done = subprocess.run(
            [BIN / "ansible-playbook", playbook, *arguments],
            cwd=REPOSITORY,
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode != 0 and sentence in done.stderr, done


def refused(playbook: str, inventory: pathlib.Path) -> str:
    """What a playbook says of an inventory that it does not take, by whichever stream."""
    done = subprocess.run(
        [BIN / "ansible-playbook", playbook, "-i", inventory],
        cwd=REPOSITORY,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0, done
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("playbook", ["playbooks/lab.yml", "playbooks/lab_down.yml", "site.yml"])
def test_an_inventory_that_is_not_there_or_is_no_yaml_is_told_with_its_path_and_line(tmp_path, playbook):
    assert f"{tmp_path}/nowhere has no host at all; correct its path (-i)" in refused(playbook, tmp_path / "nowhere")
    hosts, variables = tmp_path / "hosts.yml", tmp_path / "group_vars/all.yml"
    variables.parent.mkdir()
    hosts.write_text("all:\n  children:\n    kvm_hosts:\n      hosts:\n        kvm1:\n")
    variables.write_text("---\nfabric_name: mine\n\tfabric_segments: []\n")
    # Ansible itself tells neither the file nor the line of it.
    assert f"{variables}, line 3, is no YAML: it begins with a tab; indent with blanks" in refused(playbook, tmp_path)
    variables.write_text("fabric_name: mine\n")
    hosts.write_text("all:\n\tchildren:\n")
    assert f"{hosts}, line 2, is no YAML" in refused(playbook, hosts)


def test_no_lab_is_booted_of_hosts_that_are_reached_elsewhere():
    said = refused("playbooks/lab.yml", REPOSITORY / "inventory/example")
    assert (
        "kvm1, kvm2: reached by another connection than overloom.fabric.lab, so site.yml would not go to the lab"
        in said
    )
    assert "set ansible_connection: overloom.fabric.lab" in said


def test_a_second_inventory_with_the_same_fabric_name_neither_takes_nor_removes_the_first_ones_lab(built, tmp_path):
    second = Fabric(tmp_path, built.intent["fabric_name"])
    second.hosts = {"other1": {}, "other2": {}}
    second.write()
    for playbook in ("playbooks/lab.yml", "playbooks/lab_down.yml"):
        out = second.play(playbook, ok=False)
        assert f"inventory in {built.folder}, not to that in {second.folder}" in out
    assert set(changed(built.play("playbooks/lab.yml")).values()) == {0}
    assert built.on("kvm1", "hostname").strip() == "kvm1"


def test_a_wrong_intent_is_refused_as_a_whole_before_a_host_is_touched(built):
    built.intent["fabric_segments"][0]["vlan"] = 4095
    built.intent["fabric_overlay"] = []
    built.hosts["kvm1"]["fabric_endpoints"][0]["address"] = "10.9.9.9"
    built.write()
    try:
        out = built.play("site.yml", ok=False)
        assert "4095" in out and "10.9.9.9" in out and "did you mean fabric_overlays" in out
        assert "Configure the bridges" not in out
    finally:
        built.intent["fabric_segments"][0]["vlan"] = 10
        del built.intent["fabric_overlay"]
        built.hosts["kvm1"]["fabric_endpoints"][0]["address"] = "10.1.1.2"
        built.write()
